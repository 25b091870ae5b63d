"""Google's discovery documents: which methods exist, at which paths, and what their requests may contain.

The documents ship inside google-api-python-client. They are the arbiter here: routes are made from them, request
bodies and query parameters are checked against them, and a method that they name and the emulator does not serve is
answered with 501 instead of being mistaken for an unknown address.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.errors import ApiError
from . import enums
from .masks import camel

#: Discovery documents that are served, as (API, version); later entries never hide a path of an earlier one.
DOCUMENTS: tuple[tuple[str, str], ...] = (
    ("healthcare", "v1"),
    ("healthcare", "v1beta1"),
    ("bigquery", "v2"),
    ("storage", "v1"),
    ("cloudresourcemanager", "v1"),
    ("cloudresourcemanager", "v3"),
    ("serviceusage", "v1"),
    ("serviceusage", "v1beta1"),
    ("cloudbilling", "v1"),
    ("logging", "v2"),
    ("pubsub", "v1"),
    ("cloudkms", "v1"),
    ("iam", "v1"),
)

#: APIs that ignore unknown JSON fields and query parameters; all others refuse them.
LENIENT_APIS = frozenset({"storage"})

#: Fields whose values Google's own clients send in other types than the document says, as (API, schema, field):
#: google-cloud-bigquery sends the value of a FLOAT64 parameter as a number.
_UNTYPED_FIELDS: tuple[tuple[str, str, str], ...] = (("bigquery", "QueryParameterValue", "value"),)

_NOISE = ("description", "enumDescriptions", "documentationLink", "enumDeprecated")


#: Service Usage writes the kind of its parent as a variable too; projects are the only kind that is served.
_ANY_PARENT = re.compile(r"\{(v\d\w*)Id\}/\{\1Id1\}")


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a discovery document.

    ``id`` is the discovery id, which is the same in every version (``healthcare.projects.locations.datasets.get``);
    ``path`` has ``{+name}`` variables, ``flat_path`` one variable per segment; both start with the version or the
    service path and have no leading slash.
    """

    id: str
    api: str
    version: str
    http_method: str
    path: str
    flat_path: str
    parameters: frozenset[str]
    request: str | None
    upload_paths: tuple[str, ...]
    download_path: str | None = None
    response: str | None = None

    @property
    def path_variables(self) -> frozenset[str]:
        """Names of the variables of its path that are one field of the request: ``{+name}`` and ``{bucket}``."""
        return frozenset(_PATH_VARIABLE.findall(self.path))


#: (Schema, field) that Google's front end takes and no document has: Terraform names a job's project so, too, and its
#: tests pass on Google Cloud. The value is not read.
_TAKEN = frozenset({("JobReference", "project")})
_PATH_VARIABLE = re.compile(r"\{\+?(\w+)\}")


def document_path(api: str, version: str) -> Path:
    """Where google-api-python-client keeps the document, found without importing that package."""
    spec = find_spec("googleapiclient")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "google-api-python-client is not installed; the emulator reads its discovery documents"
        )
    return Path(spec.submodule_search_locations[0]) / "discovery_cache" / "documents" / f"{api}.{version}.json"


def _without_noise(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # "description" is prose in schemas and methods, but also the name of real fields: those hold an object.
    return {key: value for key, value in pairs if key not in _NOISE or isinstance(value, dict)}


@cache
def document(api: str, version: str) -> dict[str, Any]:
    """The parsed discovery document, without its prose.

    Raises:
        FileNotFoundError: there is no such document.
    """
    text = document_path(api, version).read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text, object_pairs_hook=_without_noise)
    for owner, schema, name in _UNTYPED_FIELDS:
        if owner == api:
            parsed["schemas"][schema]["properties"][name] = {"type": "any"}
    return parsed


def methods(api: str, version: str) -> list[Method]:
    """Every method of one document, in the document's order."""
    doc = document(api, version)
    service_path = doc.get("servicePath", "")
    found: list[Method] = []

    def walk(resources: dict[str, Any]) -> None:
        for resource in resources.values():
            for method in resource.get("methods", {}).values():
                upload = method.get("mediaUpload", {}).get("protocols", {})
                media = method.get("useMediaDownloadService", False)
                found.append(
                    Method(
                        id=method["id"],
                        api=api,
                        version=version,
                        http_method=method["httpMethod"],
                        path=service_path + method["path"],
                        flat_path=_ANY_PARENT.sub(
                            "projects/{projectsId}", service_path + method.get("flatPath", method["path"])
                        ),
                        parameters=frozenset(method.get("parameters", {})),
                        request=method.get("request", {}).get("$ref"),
                        upload_paths=tuple(protocol["path"].lstrip("/") for protocol in upload.values()),
                        download_path=f"download/{service_path}{method['path']}" if media else None,
                        response=method.get("response", {}).get("$ref"),
                    )
                )
            walk(resource.get("resources", {}))

    walk(doc.get("resources", {}))
    return found


def global_parameters(api: str, version: str) -> frozenset[str]:
    """Query parameters that all methods of the API take (``alt``, ``fields``, ``prettyPrint``…)."""
    return frozenset(document(api, version).get("parameters", {})) | {
        "$alt",
        "$fields",
        "$prettyPrint",
        "$apiKey",
    }


#: Query parameters that Google's own clients send though the document does not name them, by discovery id.
UNLISTED_PARAMETERS: dict[str, frozenset[str]] = {
    "bigquery.jobs.get": frozenset({"projection"}),
    "bigquery.jobs.insert": frozenset({"upload_id"}),
    "pubsub.projects.topics.patch": frozenset({"updateMask"}),
    "pubsub.projects.subscriptions.patch": frozenset({"updateMask"}),
}


def check_query(method: Method, names: set[str]) -> None:
    """Refuse query parameters that the method does not have, in the wording of Google's front end.

    Raises:
        ApiError: 400, naming each unknown parameter.
    """
    unknown = names - method.parameters - global_parameters(method.api, method.version)
    unknown -= UNLISTED_PARAMETERS.get(method.id, frozenset())
    if unknown:
        lines = [
            f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
            f"Field '{name}' could not be found in request message."
            for name in sorted(unknown)
        ]
        raise ApiError(400, "\n".join(lines))


def check_body(method: Method, body: Any) -> None:
    """Refuse a request body with unknown fields, wrong types or unknown enum values.

    Raises:
        ApiError: 400 with one line and one ``fieldViolations`` entry per problem, as Google's front end words them.
    """
    if method.request is None:
        return
    if isinstance(body, dict):
        # What the path names may stand in the body too, which has no field for it; the path counts.
        fields = document(method.api, method.version)["schemas"][method.request].get("properties", {})
        again = method.path_variables - fields.keys()
        body = {key: item for key, item in body.items() if key not in again or not isinstance(item, str)}
    violations = schema_violations(method.api, method.version, method.request, body)
    if violations:
        details = [
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [
                    {"field": field, "description": text} if field else {"description": text}
                    for field, text in violations
                ],
            }
        ]
        raise ApiError(400, "\n".join(text for _, text in violations), details=details)


def schema_violations(api: str, version: str, schema: str, value: Any) -> list[tuple[str, str]]:
    """What is wrong with ``value`` as an instance of the named schema: (path of the field, message) pairs."""
    problems: list[tuple[str, str]] = []
    _check(document(api, version)["schemas"], {"$ref": schema}, value, "", problems)
    return problems


def _check(schemas: dict[str, Any], spec: dict[str, Any], value: Any, at: str, problems: list[tuple[str, str]]) -> None:
    if value is None:
        return  # null stands for an absent field
    if "$ref" in spec:
        spec = schemas[spec["$ref"]]
    kind = spec.get("type", "any")
    if kind == "object":
        _check_object(schemas, spec, value, at, problems)
    elif kind == "array":
        if not isinstance(value, list):
            # Google's front end takes a single value for a repeated field.
            value = [value]
        for index, item in enumerate(value):
            if item is None and _type_of(schemas, spec["items"]) != "any":
                problems.append((at, f"Invalid value at '{at}[{index}]', null"))
            _check(schemas, spec["items"], item, f"{at}[{index}]", problems)
    elif kind != "any":
        _check_scalar(spec, kind, value, at, problems)


def _check_object(
    schemas: dict[str, Any], spec: dict[str, Any], value: Any, at: str, problems: list[tuple[str, str]]
) -> None:
    if not isinstance(value, dict):
        problems.append(
            (
                at,
                f"Invalid value at '{at}', {json.dumps(value)}"
                if at
                else "Invalid JSON payload received. Root element must be a message.",
            )
        )
        return
    properties = spec.get("properties", {})
    rest = spec.get("additionalProperties")
    for name, item in value.items():
        # Paths in the messages have the names of the protocol buffers, in snake case.
        snake = _CAPITAL.sub(lambda capital: f"_{capital[0].lower()}", name)
        inner = f"{at}.{snake}" if at else snake
        if name in properties:
            _check(schemas, properties[name], item, inner, problems)
        elif (spelled := camel(name)) in properties:
            _check(schemas, properties[spelled], item, inner, problems)
        elif rest is not None:
            _check(schemas, rest, item, inner, problems)
        elif (spec.get("id"), name) not in _TAKEN:
            where = f" at '{at}'" if at else ""
            problems.append((at, f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.'))


def as_declared(method: Method, body: dict[str, Any]) -> dict[str, Any]:
    """The checked body of a request in the one form that handlers see (:func:`declared`)."""
    if method.request is None:
        return body
    # A BigQuery PATCH clears the fields that are null.
    keep_null = method.api == "bigquery" and method.http_method == "PATCH"
    return declared(method.api, method.version, method.request, body, keep_null=keep_null)


def declared(api: str, version: str, schema: str, value: dict[str, Any], *, keep_null: bool = False) -> dict[str, Any]:
    """A checked instance of a schema in one form, without fields that the schema does not have.

    Google's front end takes several forms: names in snake case, a single value for a list, numbers and booleans as
    text, null or an empty list for an absent field.

    Args:
        api: name of the API.
        version: its version.
        schema: name of the schema.
        value: what was sent.
        keep_null: keep null and empty lists outside of lists, where they clear what was there.
    """
    found: dict[str, Any] = _declared(document(api, version)["schemas"], {"$ref": schema}, value, keep_null)
    return found


def _declared(schemas: dict[str, Any], spec: dict[str, Any], value: Any, keep_null: bool) -> Any:
    if value is None:
        return None
    if "$ref" in spec:
        spec = schemas[spec["$ref"]]
    match spec.get("type", "any"):
        case "object":
            properties, rest = spec.get("properties", {}), spec.get("additionalProperties")
            found = {}
            for name, item in value.items():
                known = name if name in properties or rest is not None else camel(name)
                inner = properties.get(known, rest)
                if inner is None or (item in (None, []) and not keep_null and inner.get("type") != "any"):
                    continue
                found[known] = _declared(schemas, inner, item, keep_null)
            return found
        case "array":
            items = value if isinstance(value, list) else [value]
            return [_declared(schemas, spec["items"], item, keep_null=False) for item in items]
        case "integer":
            return int(value)
        case "number":
            return value if isinstance(value, (int, float)) else float(value)
        case "boolean":
            return value if isinstance(value, bool) else value == "true"
        case "string" if "enum" in spec:
            return enums.name_of(spec["enum"], value)
        case "string" if not isinstance(value, str):
            return str(value)  # an int64, which answers write as text
    return value


def _type_of(schemas: dict[str, Any], spec: dict[str, Any]) -> str:
    """``type`` of a schema that may be a reference."""
    kind: str = (schemas[spec["$ref"]] if "$ref" in spec else spec).get("type", "any")
    return kind


_CAPITAL = re.compile(r"[A-Z]")


def _check_scalar(spec: dict[str, Any], kind: str, value: Any, at: str, problems: list[tuple[str, str]]) -> None:
    type_name = "TYPE_" + {"integer": "INT32", "number": "DOUBLE", "boolean": "BOOL"}.get(kind, "STRING")
    shown = json.dumps(value)
    if kind == "string" and spec.get("format") in _RANGES:
        good = _is_integer(value, spec["format"])
        type_name = f"TYPE_{spec['format'].upper()}"
    elif kind == "string":
        value = enums.name_of(spec["enum"], value) if "enum" in spec else value
        good = isinstance(value, str)
        if good and (form := _FORMS.get(spec.get("format", ""))):
            type_name = f"type.googleapis.com/google.protobuf.{form[0]}" if form[0] else "TYPE_BYTES"
            good = form[1].fullmatch(value) is not None
            shown = shown if form[0] else f"Base64 decoding failed for {shown}"
        if good and "enum" in spec and value not in spec["enum"]:
            good, type_name = False, "type.googleapis.com/" + at.rpartition(".")[2]
    elif kind == "integer":
        good = _is_integer(value, spec.get("format", "int32"))
    elif kind == "number":
        good = _is_number(value)
    else:
        good = isinstance(value, bool) or value in ("true", "false")
    if not good:
        problems.append((at, f"Invalid value at '{at}' ({type_name}), {shown}"))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        float(value)
    except (ValueError, OverflowError):
        return False
    return True


def _is_integer(value: Any, form: str) -> bool:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            return False
        value = int(value)
    least, most = _RANGES.get(form, _RANGES["int64"])
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
#: Well-known type (none: bytes) and form of text by format.
_FORMS = {
    "date-time": ("Timestamp", _TIME),
    "google-datetime": ("Timestamp", _TIME),
    "google-duration": ("Duration", re.compile(r"-?\d{1,12}(\.\d{1,9})?s", re.ASCII)),
    "byte": ("", re.compile(r"[A-Za-z0-9+/_-]*={0,2}")),
}

#: Least and largest value by format. An int32 may be any number of 32 bits: documents call a uint32 so as well.
_RANGES = {
    "int32": (-(2**31), 2**32 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
