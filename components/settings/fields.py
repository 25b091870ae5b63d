"""The types of single settings: names, members, labels, URIs, durations, each with Google's rule in its message.

Rules: datasets and DICOM stores https://cloud.google.com/healthcare-api/docs/reference/rest,
project ids https://cloud.google.com/resource-manager/docs/creating-managing-projects,
BigQuery datasets https://cloud.google.com/bigquery/docs/datasets#dataset-naming,
buckets https://cloud.google.com/storage/docs/buckets#naming,
topics https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names,
principals https://cloud.google.com/iam/docs/principal-identifiers.
"""

import re
import unicodedata
import zoneinfo
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from components.settings.problems import PartsError, did_you_mean, quoted
from operations.google.endpoints import emulator_endpoint_problem
from operations.model.durations import format_duration, parse_duration
from operations.model.filters import line_problem
from operations.model.mime_types import parse_mime_type
from operations.model.uris import (
    parse_bigquery_uri,
    parse_cloud_storage_uri,
    parse_export_prefix,
    parse_import_uri,
    parse_object_uri,
)

_PROJECT = re.compile(r"(?:[a-z0-9][a-z0-9.-]*[a-z0-9]:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_LOCATION = re.compile(r"[a-z]+(?:-[a-z]+[0-9]+)?")
_DATA_LOCATION = re.compile(r"[A-Za-z]+[0-9]*(?:-[A-Za-z]+[0-9]+)?")
_HEALTHCARE_ID = re.compile(r"[\w\-.]{1,256}")
_BIGQUERY_NAME = re.compile(r"[A-Za-z0-9_]{1,1024}")
_RUN_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9])?")
_KMS_KEY = re.compile(
    r"projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/keyRings/(?P<ring>[^/]+)/cryptoKeys/(?P<key>[^/]+)"
)
_TOPIC = re.compile(r"projects/(?P<project>[^/]+)/topics/(?P<topic>[^/]+)")
_TOPIC_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")
_ROLE = re.compile(r"roles/[A-Za-z0-9_.]+|(?:projects|organizations)/[^/]+/roles/[A-Za-z0-9_.]+")
# https://cloud.google.com/iam/docs/principal-identifiers; the third is a service account of Kubernetes:
# https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity
_MEMBER = re.compile(
    r"(?:user|group|serviceAccount):[^\s@:]+@[^\s@:]+"
    r"|domain:[^\s@:/]+\.[^\s@:/]+"
    r"|serviceAccount:[a-z0-9.:-]+\.svc\.id\.goog\[[a-z0-9.-]+/[a-z0-9.-]+\]"
    r"|principal://(?:iam\.googleapis\.com|goog)/\S+"
    r"|principalSet://(?:(?:iam|cloudresourcemanager)\.googleapis\.com|goog)/\S+"
)
_EMAIL = re.compile(r"[^\s@:]+@[^\s@:]+")
_REGION = re.compile(r"[A-Za-z]+-[A-Za-z]+[0-9]+")
_TAG_KEY = re.compile(r"(?:[0-9]+|[a-z][a-z0-9.:-]*)/[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,254}[A-Za-z0-9])?")
_TAG_VALUE = re.compile(r"[A-Za-z0-9](?:[\w.@%=+:,*#&()\[\]{}\- ]{0,254}[A-Za-z0-9])?")

# https://cloud.google.com/storage/docs/bucket-lock, /soft-delete; https://cloud.google.com/pubsub/docs/topic-properties;
# https://cloud.google.com/bigquery/docs/time-travel. All in seconds.
_DAY = 86400
LONGEST_RETENTION = 3_155_760_000
SOFT_DELETE = (7 * _DAY, 90 * _DAY)
TOPIC_RETENTION = (600, 31 * _DAY)
TIME_TRAVEL = (2 * _DAY, 7 * _DAY)


def _matching(pattern: re.Pattern[str], what: str, rule: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{quoted(value)} is not a valid {what}; {rule}")
        return value

    return check


def _bucket(value: str) -> str:
    if value.startswith("gs://"):
        bare = value.removeprefix("gs://").split("/")[0]
        raise ValueError(f'{quoted(value)} is a URI; write the bucket\'s name alone: "{bare}"')
    if not value or "/" in value:
        raise ValueError(f"{quoted(value)} is not a valid bucket name; write the bucket's name alone, without a path")
    try:
        parse_cloud_storage_uri(f"gs://{value}")
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{quoted('gs://' + value)}: ")) from None
    return value


def _time_zone(value: str) -> str:
    known = zoneinfo.available_timezones()
    if known and value not in known:
        raise ValueError(
            f"{quoted(value)} is not a valid time zone"
            f"{did_you_mean(value, known) or '; write an IANA name such as Europe/Berlin'}"
        )
    return value


def _member(value: str) -> str:
    if value in {"allUsers", "allAuthenticatedUsers"}:
        raise ValueError(f"{quoted(value)} would make medical images public; name a person, group or service account")
    if _EMAIL.fullmatch(value):
        kind = "serviceAccount" if value.endswith("gserviceaccount.com") else "user"
        raise ValueError(f"{quoted(value)} has no kind of member; write {kind}:{value} or group:{value}")
    if value.startswith("deleted:"):
        raise ValueError(f"{quoted(value)} was deleted and can't be granted anything; remove it")
    if not _MEMBER.fullmatch(value):
        raise ValueError(
            f"{quoted(value)} is not a valid member; write user:…, group:… or serviceAccount:… with an e-mail address, "
            "domain:…, serviceAccount:PROJECT.svc.id.goog[NAMESPACE/ACCOUNT], principal://… or principalSet://…"
        )
    return comparable_member(value)


def comparable_member(member: str) -> str:
    """Return a member with its address in small letters, as Google compares it and gives it back.

    The attributes of principals have a case of their own, and the kind keeps its spelling: `serviceAccount`.
    """
    if member.startswith("principal"):
        return member
    kind, colon, address = member.partition(":")
    if kind == "deleted":
        return f"{kind}{colon}{comparable_member(address)}"
    return f"{kind}{colon}{address.lower()}"


def _endpoint(value: str) -> str:
    # Where it may be depends on another setting: rules.py.
    if problem := emulator_endpoint_problem(value, allow_remote=True):
        raise ValueError(f"{quoted(value)} {problem}")
    return value.rstrip("/")


def _is_label_character(character: str, *, first: bool) -> bool:
    category = unicodedata.category(character)
    return category in {"Ll", "Lo"} or (not first and (category[0] == "N" or character in "_-"))


def _labels(value: dict[str, str]) -> dict[str, str]:
    problems: list[tuple[tuple[str | int, ...], str]] = []
    if len(value) > 64:
        problems.append(((), f"{len(value)} labels; the maximum is 64"))
    for key, text in value.items():
        if not 1 <= len(key) <= 63 or not all(
            _is_label_character(character, first=position == 0) for position, character in enumerate(key)
        ):
            form = "1 to 63 lower-case letters, digits, - and _, starting with a letter"
            problems.append(((), f"{quoted(key)} is not a valid label key; write {form}"))
        if len(text) > 63 or not all(_is_label_character(character, first=False) for character in text):
            form = "up to 63 lower-case letters, digits, - and _"
            problems.append(((key,), f"{quoted(text)} is not a valid label value; write {form}"))
    if problems:
        raise PartsError(problems)
    return value


def _tags(value: dict[str, str]) -> dict[str, str]:
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for key, text in value.items():
        if not _TAG_KEY.fullmatch(key):
            form = "PARENT/KEY, where PARENT is a project's id or an organisation's number"
            problems.append(((), f"{quoted(key)} is not a valid tag key; write {form}"))
        if not _TAG_VALUE.fullmatch(text):
            problems.append(((key,), f"{quoted(text)} is not a valid tag value; write the value's short name"))
    if problems:
        raise PartsError(problems)
    return value


def _filter_lines(value: list[str]) -> list[str]:
    problems = [((position,), text) for position, line in enumerate(value) if (text := line_problem(line.encode()))]
    if problems:
        raise PartsError(problems)
    return value


def _query(value: str) -> str:
    if not value.strip():
        raise ValueError(f"{quoted(value)} is empty; write a query, or remove the filter to export everything")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError(f"{quoted(value)} is empty; write a text, or remove it")
    return value


def _at_most(limit: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        if len(value.encode()) > limit:
            raise ValueError(f"{quoted(value)} has {len(value.encode())} bytes; the maximum is {limit}")
        return value

    return check


def _date(value: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError(f"{quoted(value)} is not a valid date; write YYYY-MM-DD, such as 2024-12-31")
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a valid date; there is no such day") from None
    return value


def _origin(value: str) -> str:
    if value == "*":
        return value
    parts = urlsplit_or_none(value)
    host = bool(parts and parts.netloc)
    if parts is None or parts.scheme not in {"http", "https"} or not host or parts.path or parts.query:
        raise ValueError(f"{quoted(value)} is not a valid origin; write https://HOST, without a path, or *")
    return value


def urlsplit_or_none(value: str) -> SplitResult | None:
    """Split a URL; None where it can't be one (a bracket that is not closed, a port out of range)."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _seconds_between(
    least: float, most: float, form: str, *, or_zero: bool = False, unit: float = 1
) -> Callable[[float], float]:
    def check(value: float) -> float:
        if or_zero and value == 0:
            return value
        if not least <= value <= most or value % unit:
            raise ValueError(f"{quoted(format_duration(value))} is not possible; write {form}")
        return value

    return check


def _checked(parse: Callable[[str], Any]) -> Callable[[str], str]:
    """Check with one of the parsers of `operations`, and keep the text that the person wrote."""

    def check(value: str) -> str:
        parse(value)
        return value

    return check


def _destination(value: str) -> str:
    if value.startswith("bq://"):
        parse_bigquery_uri(value)
    elif value.startswith("gs://"):
        parse_export_prefix(value)
    else:
        raise ValueError(
            f"{quoted(value)} is not a valid destination; write bq://PROJECT.DATASET.TABLE for metadata or "
            "gs://BUCKET/FOLDER/ for images"
        )
    return value


ProjectId = Annotated[
    str,
    AfterValidator(
        _matching(
            _PROJECT,
            "project id",
            "6 to 30 lower-case letters, digits and hyphens, a letter first, no hyphen last",
        )
    ),
]
Location = Annotated[
    str,
    AfterValidator(
        _matching(_LOCATION, "location of the Cloud Healthcare API", "write one such as europe-west4 or us")
    ),
]
DataLocation = Annotated[
    str, AfterValidator(_matching(_DATA_LOCATION, "location", "write one such as EU, US or europe-west4"))
]
HealthcareId = Annotated[
    str,
    AfterValidator(_matching(_HEALTHCARE_ID, "name here", "1 to 256 letters, digits, underscores, hyphens and dots")),
]
BigQueryName = Annotated[
    str,
    AfterValidator(_matching(_BIGQUERY_NAME, "BigQuery dataset name", "up to 1,024 letters, digits and underscores")),
]
BucketName = Annotated[str, AfterValidator(_bucket)]
TopicId = Annotated[
    str,
    AfterValidator(
        _matching(
            _TOPIC_ID,
            "topic name",
            "3 to 255 letters, digits and -_.~+%, a letter first, not starting with goog",
        )
    ),
]
TopicName = Annotated[str, AfterValidator(_matching(_TOPIC, "topic", "write projects/PROJECT/topics/TOPIC"))]
KmsKeyName = Annotated[
    str,
    AfterValidator(
        _matching(_KMS_KEY, "key", "write projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY")
    ),
]
RoleName = Annotated[
    str,
    AfterValidator(
        _matching(_ROLE, "role", "write roles/… or projects/PROJECT/roles/… or organizations/NUMBER/roles/…")
    ),
]
RunName = Annotated[
    str,
    AfterValidator(
        _matching(
            _RUN_NAME,
            "name here",
            "up to 100 letters, digits, dots, hyphens and underscores, a letter or digit at both ends",
        )
    ),
]
Member = Annotated[str, AfterValidator(_member)]
ServiceAccountEmail = Annotated[str, AfterValidator(_matching(_EMAIL, "service account", "write its e-mail address"))]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]
ImportUri = Annotated[str, AfterValidator(_checked(parse_import_uri))]
ObjectUri = Annotated[str, AfterValidator(_checked(parse_object_uri))]
TableUri = Annotated[str, AfterValidator(_checked(parse_bigquery_uri))]
Destination = Annotated[str, AfterValidator(_destination)]
MimeTypeName = Annotated[str, AfterValidator(_checked(parse_mime_type))]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "examples": ["6h", "90m", "1h30m"]}, {"type": "number", "minimum": 0}]}
    ),
]
"""Seconds; written as `6h`, `90m`, `1h30m` or a number of seconds."""
Retention = Annotated[Duration, AfterValidator(_seconds_between(1, LONGEST_RETENTION, "whole seconds, up to 36525d"))]
SoftDelete = Annotated[
    Duration, AfterValidator(_seconds_between(*SOFT_DELETE, "0d, which turns it off, or 7d to 90d", or_zero=True))
]
TopicRetention = Annotated[Duration, AfterValidator(_seconds_between(*TOPIC_RETENTION, "whole seconds, 10m to 31d"))]
TimeTravel = Annotated[
    Duration,
    AfterValidator(_seconds_between(*TIME_TRAVEL, "whole days: 48h, 72h, 96h, 120h, 144h or 168h", unit=_DAY)),
]
TableLifetime = Annotated[Duration, AfterValidator(_seconds_between(3600, 10**10, "at least 1h"))]
PartitionLifetime = Annotated[Duration, AfterValidator(_seconds_between(1, 10**10, "at least 1s"))]
CorsMaxAge = Annotated[Duration, AfterValidator(_seconds_between(0, 2**31 - 1, "whole seconds"))]
Region = Annotated[
    str, AfterValidator(_matching(_REGION, "region", "write one such as europe-west4, without a zone at its end"))
]
Day = Annotated[str, AfterValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
WebOrigin = Annotated[str, AfterValidator(_origin)]
Tags = Annotated[dict[str, str], AfterValidator(_tags)]
FilterLines = Annotated[list[str], AfterValidator(_filter_lines)]
FilterQuery = Annotated[str, AfterValidator(_query)]
ConditionTitle = Annotated[str, AfterValidator(_not_blank), AfterValidator(_at_most(100))]
ConditionDescription = Annotated[str, AfterValidator(_at_most(256))]
ConditionExpression = Annotated[str, AfterValidator(_not_blank)]


def kms_key_parts(key: str) -> dict[str, str]:
    """Split a key's name into `project`, `location`, `ring` and `key`; nothing for other text."""
    match = _KMS_KEY.fullmatch(key)
    return match.groupdict() if match else {}


def topic_parts(topic: str) -> dict[str, str]:
    """Split a topic's name into `project` and `topic`; nothing for other text."""
    match = _TOPIC.fullmatch(topic)
    return match.groupdict() if match else {}
