"""Random requests made from the discovery documents, and what every answer must keep to.

Hypothesis only makes the requests, always the same ones: what is wrong is collected by the test, so that a failure
that needs an earlier request is told as well. ``EMULATOR_FUZZ`` multiplies the number of requests.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

from hypothesis import HealthCheck, Phase, settings

from emulator.http.discovery import Method, document
from emulator.http.routing import Route, Router
from emulator.server.services import all_routes
from tests.protocol.emulator.schemas import Schemas

PROJECT = "hospital-imaging"
#: Seconds that no answer to a small request may take on a loaded machine; a hang is a failure.
PATIENCE = 20
#: CT_small.dcm of pydicom.
STUDY, SERIES, INSTANCE = (
    "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322",
    "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322",
    "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322",
)
AGENT = "serviceAccount:service-1@gcp-sa-healthcare.iam.gserviceaccount.com"

#: Names of things that exist while the requests are made, by what variables and parameters are called.
KNOWN: dict[str, list[str]] = {
    "project": [PROJECT, "research-analytics"],
    "location": ["europe-west4", "us"],
    "dataset": ["radiology", "dicom", "research"],
    "dicomStore": ["pacs", "archive"],
    "studies": [STUDY],
    "series": [SERIES],
    "instances": [INSTANCE],
    "frames": ["1", "1,2", "0"],
    "bulkdata": ["instance", "7FE00010", "00082112.0"],
    "bucket": ["inbox", "out"],
    "object": ["ct.dcm", "a/b.txt", "empty"],
    "table": ["instances", "people"],
    "topic": ["arrivals"],
    "subscription": ["readers"],
    "keyRing": ["ring"],
    "cryptoKey": ["key"],
    "version": ["1"],
    "service": ["healthcare.googleapis.com", "bigquery.googleapis.com"],
    "role": ["roles/viewer", "reader", "projects/hospital-imaging/roles/reader"],
    "account": ["robot@hospital-imaging.iam.gserviceaccount.com"],
    "uri": ["gs://inbox/**", "gs://out/x", "bq://hospital-imaging.dicom.instances", "gs://inbox/ct.dcm"],
    "policy": ["etag"],
    "member": ["user:alice@example.org", "allUsers", AGENT],
    "mask": ["labels", "notificationConfig.pubsubTopic", "timeZone", "*"],
    "time": ["2026-01-02T03:04:05Z", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z"],
    "filter": ["labels.a=b", "name:x", 'operation.id="1"', "done=true", "SEARCH("],
    "query": ["SELECT 1", "SELECT * FROM dicom.instances", "SELECT", "DROP TABLE dicom.people"],
    "disposition": ["WRITE_TRUNCATE"],
    "mimeType": ["image/png", "application/dicom; transfer-syntax=*"],
    "fields": ["name", "items(name,x/y)", "*", "(", "a,,b"],
}

NASTY = [
    *("", ".", "..", "../..", "/", "//", "%", "%2e%2e", "%00", "\0", "\n", "\r\nX: y", " ", "a b", "ä", "😀", "\ud800"),
    *("'", '"', "`", ";", "<script>alert(1)</script>", "{}", "{+name}", "$", "*", "**", "?", "#", "\\", "~", "|"),
    *(
        "0",
        "-1",
        "1e309",
        "NaN",
        "-0",
        "0x10",
        "٣",
        "²",
        "9" * 400,
        "9" * 5000,
        "a" * 1025,
        "a" * 5000,
        "true",
        "null",
        "None",
    ),
    *("' OR 1=1 --", "${jndi:x}", "CON", "__proto__", "a:b", ":", "a:import", "projects/x/y", "\u202e", "e\u0301"),
]
_STATUS_NAMES = re.compile(r"[A-Z_]+")
#: Statuses of the 5xx kind that are answers of their own and no accident.
_MEANT = (501,)


@dataclass(frozen=True)
class Request:
    """One request."""

    route: Route | None
    http_method: str
    path: str
    headers: dict[str, str]
    body: bytes | None

    @property
    def name(self) -> str:
        """The discovery id of its method."""
        return "none" if self.route is None else self.route.method.id

    def __str__(self) -> str:
        return f"{self.http_method} {self.path[:400]} {self.headers} {(self.body or b'')[:600]!r}"


@dataclass(frozen=True)
class Got:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Sender:
    """Sends requests over one connection, which is opened again when it was closed."""

    url: str
    connection: http.client.HTTPConnection | None = None

    def send(self, request: Request) -> Got:
        for attempt in (0, 1):
            fresh = self.connection is None
            if self.connection is None:
                address = urlsplit(self.url)
                self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE)
            try:
                self.connection.request(request.http_method, request.path, request.body, request.headers)
                answer = self.connection.getresponse()
                return Got(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                # The server may have closed a connection that was kept; one that is new must be answered.
                if fresh or attempt:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def examples(number: int) -> settings:
    """The same requests in every run; as many as ``number`` times the environment variable ``EMULATOR_FUZZ``."""
    return settings(
        max_examples=number * int(os.environ.get("EMULATOR_FUZZ", "1")),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


# --- what a request is made of ---


class Maker:
    """Makes requests: from nothing (:meth:`request`), or from good ones (:meth:`variant`).

    Args:
        random: where the chances come from.
        hurt: damage many of the bodies.
    """

    def __init__(self, random: Random, *, hurt: bool) -> None:
        self._random = random
        self._hurt = hurt

    def request(self) -> Request:
        """A request to any method; most of them are served."""
        route = self._random.choice(_routes(served=not self._once_in(15)))
        method = route.method
        template = "/" + (method.upload_paths[0] if route.upload else method.flat_path)
        path = re.sub(r"\{\+?(\w+)\}", lambda found: quoted(self.named(found[1])), template)
        if query := self._query(method):
            path += "?" + "&".join(f"{quoted(name)}={quoted(value)}" for name, value in query)
        headers = {} if self._once_in(2) else dict(self._random.choice(_HEADERS))
        body = None
        if method.http_method not in ("GET", "HEAD"):
            body, kind = self._body(method)
            headers = {**headers, **kind}
        return Request(route, method.http_method, path, headers, body)

    def variant(self) -> Request:
        """One of the good requests of ``fuzz_seeds.json``, with a thing or two changed; now and then as it is."""
        http_method, target, body = self._random.choice(_SEEDS)
        path, _, query = target.partition("?")
        segments = path.split("/")
        pairs = [pair for pair in query.split("&") if pair]
        headers = {} if body is None else dict(_JSON)
        data = None if body is None else json.dumps(body).encode()
        for _ in range(self._random.randrange(3)):
            match self._random.randrange(12):
                case 0:
                    segments[self._random.randrange(1, len(segments))] = quoted(self.text())
                case 1:
                    at = self._random.randrange(1, len(segments))
                    segments[at] += self._random.choice([":", ":x", quoted(self.text()), "%", "%zz", "/", ";a=b"])
                case 2 | 3 if pairs:
                    at = self._random.randrange(len(pairs))
                    pairs[at] = f"{pairs[at].partition('=')[0]}={quoted(self.text())}"
                case 2 | 3:
                    pairs.append(f"{self._random.choice(_EVERYWHERE)}={quoted(self.text())}")
                case 4:
                    headers.update(self._random.choice(_HEADERS))
                case 5 if data:
                    data = data[: self._random.randrange(len(data) + 1)]
                case 6 if data:
                    data = self._random.choice(_BODIES)
                case _ if data:
                    data = json.dumps(self._changed(json.loads(json.dumps(body)))).encode()
        path = "/".join(segments) + ("?" + "&".join(pairs) if pairs else "")
        return Request(_route_of(http_method, path.partition("?")[0]), http_method, path, headers, data)

    def _changed(self, value: Any) -> Any:
        """A JSON value with one thing in it changed."""
        places: list[tuple[Any, Any]] = []

        def collect(node: Any) -> None:
            for key, item in list(node.items() if isinstance(node, dict) else enumerate(node)):
                places.append((node, key))
                if isinstance(item, (dict, list)):
                    collect(item)

        collect(value)
        if not places:
            return self.anything()
        node, key = self._random.choice(places)
        match self._random.randrange(8):
            case 0:
                del node[key]
            case 1:
                node[key] = None
            case 2:
                node[key] = [node[key]]
            case 3:
                node[key] = {"x": node[key]}
            case 4 if isinstance(node, list):
                node.extend([node[key]] * 3)
            case 5 if isinstance(node, dict):
                node[self.text()] = node.pop(key)
            case 6:
                node[key] = self.anything()
            case _:
                node[key] = self.text()
        return value

    def text(self) -> str:
        """Any text, often an unpleasant one."""
        if not self._once_in(4):
            return self._random.choice(NASTY)
        return "".join(chr(self._random.randrange(1, 0xD7FF)) for _ in range(self._random.randrange(12)))

    def named(self, name: str) -> str:
        """A value for something of this name: mostly one that makes sense."""
        return self.text() if self._once_in(6) else self._random.choice(known(name))

    def anything(self, depth: int = 0) -> Any:
        """Any JSON value, and some that are none."""
        match self._random.randrange(9 if depth < 3 else 7):
            case 0:
                return None
            case 1:
                return self._once_in(2)
            case 2:
                return self._random.choice([0, -1, 2**31, 2**63, -(2**64), 10**400])
            case 3:
                return self._random.choice([0.5, -0.0, 1e308, float("nan"), float("inf")])
            case 7:
                return [self.anything(depth + 1) for _ in range(self._random.randrange(3))]
            case 8:
                return {self.text(): self.anything(depth + 1) for _ in range(self._random.randrange(3))}
        return self.text()

    def _once_in(self, times: int) -> bool:
        return self._random.randrange(times) == 0

    def _query(self, method: Method) -> list[tuple[str, str]]:
        own = sorted(set(method.parameters) - set(re.findall(r"\w+", method.path)))
        if method.api == "healthcare" and "dicomWeb" in method.flat_path:
            own += _DICOMWEB
        if own and self._once_in(3):
            return _required(method)
        found = []
        for _ in range(self._random.randrange(4)):
            name = self.text() if self._once_in(8) else self._random.choice([*own, *own, *own, *_EVERYWHERE])
            found.append((name, self.named(name)))
        return found

    def _body(self, method: Method) -> tuple[bytes | None, dict[str, str]]:
        if method.request:
            value = self.value(method.api, method.version, {"$ref": method.request}, "", 0)
        else:
            value = self.anything()
        data = json.dumps(value).encode()
        if not self._hurt or self._once_in(3):
            return data, dict(_JSON)
        match self._random.randrange(8):
            case 0:
                return data[: self._random.randrange(len(data) + 1)], dict(_JSON)
            case 1:
                return gzip.compress(data, mtime=0), {**_JSON, "Content-Encoding": "gzip"}
            case 2:
                return data.decode().encode("utf-16"), dict(_JSON)
            case 3:
                return data, {"Content-Type": self._random.choice(_TYPES)}
            case 4:
                return self._random.randbytes(40), {"Content-Type": self._random.choice(_TYPES)}
            case 5:
                return json.dumps(self.anything()).encode(), dict(_JSON)
            case 6:
                return None, {}
        return self._random.choice(_BODIES), dict(_JSON)

    def value(self, api: str, version: str, spec: dict[str, Any], name: str, depth: int) -> Any:
        """A value of a schema, now and then one that it does not allow."""
        if depth and self._once_in(20):
            return self.anything()
        if "$ref" in spec:
            spec = document(api, version)["schemas"][spec["$ref"]]
        kind, form = spec.get("type", "any"), spec.get("format", "")
        if kind == "object":
            return {} if depth > 5 else self._object(api, version, spec, name, depth)
        if kind == "array":
            return [
                self.value(api, version, spec["items"], name, depth + 1)
                for _ in range(self._random.randrange(3) if depth < 6 else 0)
            ]
        if "enum" in spec:
            return self._random.choice(spec["enum"])
        if kind == "string" and form in ("int64", "uint64"):
            return self._random.choice(["0", "-1", 7, str(2**63), 2**64, "3600000"])
        if kind == "string" and "time" in form:
            return self._random.choice(KNOWN["time"])
        if kind == "string" and form == "google-duration":
            return self._random.choice(["1s", "0.5s", "-1s", "99999999999999s", "1"])
        if kind == "string":
            return self.named(name)
        if kind == "integer":
            return self._random.choice([0, 1, 2, -1, 1000, 2**31 - 1, 2**33])
        if kind == "number":
            return self._random.choice([0, 0.25, -1e300, 1e300])
        if kind == "boolean":
            return self._once_in(2)
        return self.anything(2)

    def _object(self, api: str, version: str, spec: dict[str, Any], name: str, depth: int) -> dict[str, Any]:
        properties = spec.get("properties")
        if properties is None:
            inner = spec.get("additionalProperties", {})
            return {
                self.named(name): self.value(api, version, inner, name, depth + 1)
                for _ in range(self._random.randrange(3))
            }
        most = min(len(properties), 3 if depth else 6)
        chosen = self._random.sample(sorted(properties), self._random.randint(0, most))
        found = {key: self.value(api, version, properties[key], key, depth + 1) for key in chosen}
        if self._once_in(15):
            found[self.text()] = self.anything()
        return found


_JSON = {"Content-Type": "application/json"}
_EVERYWHERE = ["alt", "fields", "prettyPrint", "$fields", "key", "quotaUser", "uploadType"]
_DICOMWEB = ["PatientName", "00100020", "StudyDate", "includefield", "limit", "offset", "fuzzymatching", "viewport"]
_HEADERS = [
    {"Authorization": "Bearer principal:user:alice@example.org"},
    {"Authorization": "Bearer principal:"},
    {"Authorization": "nonsense"},
    {"Accept": "application/dicom+json"},
    {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'},
    {"Accept": "image/png;q=2, text/*;q=x"},
    {"Accept": ",;,"},
    {"X-HTTP-Method-Override": "GET"},
    {"Range": "bytes=5-2"},
    {"Range": "bytes=-3"},
    {"Range": "bytes=99999999999999999999-"},
    {"Content-Range": "bytes 5-2/9"},
    {"Content-Range": "bytes */*"},
    {"If-None-Match": "*"},
    {"If-Match": '"x"'},
    {"x-goog-hash": "crc32c=,md5=x"},
    {"x-upload-content-length": "-1"},
    {"Content-Encoding": "gzip"},
    {"Content-Encoding": "br"},
]
_TYPES = [
    "application/json; charset=utf-16",
    "text/html",
    "",
    "multipart/related",
    "multipart/related; boundary=",
    'multipart/related; type="application/dicom"; boundary=b',
    "multipart/related; boundary=b",
    "application/dicom",
    "application/x-www-form-urlencoded",
    "a" * 2000,
]
_BODIES = [
    b'{"labels":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    b"[" * 100_000,
    b'{"name": "\xff\xfe\xc0"}',
    b'{"name": "\\ud800", "labels": {"\\udfff": "\\u0000"}}',
    b'{"maxResults": ' + b"9" * 5000 + b"}",
    b'{"timeoutMs": 1e999, "x": NaN, "y": -Infinity}',
    b"\xef\xbb\xbf{}",
    b"null",
    b'"text"',
    b"{}{}",
    b'{"a":1,"a":2}',
]


_SEEDS: list[tuple[str, str, Any]] = json.loads(Path(__file__).with_name("fuzz_seeds.json").read_text("utf-8"))


@cache
def known(name: str) -> list[str]:
    """The values that make sense for something of this name."""
    stem = re.sub(r"(Id1?|Name|_id)$", "", name).lower()
    return next((values for key, values in KNOWN.items() if key.lower() in stem), ["x"])


def quoted(value: str) -> str:
    """A value in an address, every byte of it escaped that may be."""
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


@cache
def _router() -> Router:
    return Router(all_routes())


def _route_of(http_method: str, path: str) -> Route | None:
    found = _router().find(http_method, path)
    return None if found is None else found[0]


@cache
def _routes(*, served: bool) -> list[Route]:
    return [route for route in _router().routes if (route.served is not None) == served]


@cache
def _required(method: Method) -> list[tuple[str, str]]:
    parameters = _specs(method.api, method.version)[method.id].get("parameters", {})
    return [
        (name, known(name)[0])
        for name, spec in parameters.items()
        if spec.get("location") == "query" and (spec.get("required") or name.endswith("Id") or name == "project")
    ]


@cache
def _specs(api: str, version: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(resources: dict[str, Any]) -> None:
        for resource in resources.values():
            for spec in resource.get("methods", {}).values():
                found[spec["id"]] = spec
            walk(resource.get("resources", {}))

    walk(document(api, version)["resources"])
    return found


# --- what an answer must keep to ---


@dataclass
class Judge:
    """Says what is wrong with answers."""

    schemas: dict[tuple[str, str], Schemas] = field(default_factory=dict)

    def problems(self, request: Request, got: Got) -> list[str]:
        """What is wrong with the answer to a request."""
        method = None if request.route is None else request.route.method
        if got.status >= 500 and got.status not in _MEANT:
            return [f"{got.status} {got.body[:300]!r}"]
        if request.http_method == "HEAD" or got.status == 308:
            return []
        kind = got.headers.get("content-type", "")
        if got.status == 204 and "dicomWeb" in request.path:
            return [] if not got.body else ["204 has a body"]  # a search without a result
        if "html" in kind:
            return ["an answer of an API is HTML"]
        if got.status >= 400:
            return self._refusal(method, got, kind)
        if not kind.startswith("application/json") or "fields" in request.path or not got.body:
            return []
        if method is None or method.response is None or "dicomWeb" in method.flat_path or "alt=" in request.path:
            return []
        if "X-HTTP-Method-Override" in request.headers:
            return []  # the answer is that of another method
        return self._answer(method, got)

    def _refusal(self, method: Method | None, got: Got, kind: str) -> list[str]:
        if got.status == 499 and not got.body:
            return []  # a cancelled upload
        if got.status == 409 and "dicom+" in kind:
            return []  # STOW says in its own form what was not stored
        if got.status == 406 and kind.startswith("text/plain"):
            return []  # DICOMweb lists media types in plain text
        if not kind.startswith("application/json"):
            return [f"{got.status} is no JSON but {kind!r}: {got.body[:200]!r}"]
        try:
            error = json.loads(got.body)["error"]
        except (ValueError, KeyError, TypeError):
            return [f"{got.status} has no error object: {got.body[:200]!r}"]
        wrong = []
        if error.get("code") != got.status:
            wrong.append(f"error.code is {error.get('code')!r}, the status {got.status}")
        if not error.get("message"):
            wrong.append("error.message is empty")
        if method is not None and method.api == "storage":
            # Recorded errors of Cloud Storage have no status.
            named = "status" not in error
        elif method is None and "errors" in error and "status" not in error:
            named = True  # an address below that of Cloud Storage
        else:
            named = _STATUS_NAMES.fullmatch(str(error.get("status"))) is not None and error["status"] != "UNKNOWN"
        if not named:
            wrong.append(f"error.status is {error.get('status')!r}")
        if (
            method is not None
            and method.api in ("bigquery", "storage")
            and not all(one.get("reason") for one in error.get("errors") or [{}])
        ):
            wrong.append("error.errors has no reason")
        return wrong

    def _answer(self, method: Method, got: Got) -> list[str]:
        key = (method.api, method.version)
        schemas = self.schemas.setdefault(key, Schemas(*key))
        try:
            value = json.loads(got.body, parse_constant=_refuse_constant)
        except ValueError as error:
            return [f"the answer is no JSON: {error}: {got.body[:200]!r}"]
        return schemas.problems(method.id.partition(".")[2], value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
