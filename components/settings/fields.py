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
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from components.settings.problems import did_you_mean, quoted
from operations.model.durations import parse_duration
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
_MEMBER = re.compile(r"(?:user|group|serviceAccount):[^\s@:]+@[^\s@:]+|domain:[^\s@:/]+|principal(?:Set)?://\S+")
_EMAIL = re.compile(r"[^\s@:]+@[^\s@:]+")


def _matching(pattern: re.Pattern[str], what: str, rule: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"{quoted(value)} is no {what}; {rule}")
        return value

    return check


def _bucket(value: str) -> str:
    if value.startswith("gs://"):
        bare = value.removeprefix("gs://").split("/")[0]
        raise ValueError(f'{quoted(value)} is a URI; write the bucket\'s name alone: "{bare}"')
    if not value or "/" in value:
        raise ValueError(f"{quoted(value)} is no bucket name; write the bucket's name alone, without a path")
    try:
        parse_cloud_storage_uri(f"gs://{value}")
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{quoted('gs://' + value)}: ")) from None
    return value


def _time_zone(value: str) -> str:
    known = zoneinfo.available_timezones()
    if known and value not in known:
        raise ValueError(
            f"{quoted(value)} is no time "
            f"zone{did_you_mean(value, known) or '; write an IANA name such as Europe/Berlin'}"
        )
    return value


def _member(value: str) -> str:
    if value in {"allUsers", "allAuthenticatedUsers"}:
        raise ValueError(f"{quoted(value)} would make medical images public; name a person, group or service account")
    if _EMAIL.fullmatch(value):
        kind = "serviceAccount" if value.endswith("gserviceaccount.com") else "user"
        raise ValueError(f"{quoted(value)} names no kind of member; write {kind}:{value} or group:{value}")
    if not _MEMBER.fullmatch(value):
        raise ValueError(
            f"{quoted(value)} is no member; write user:…, group:… or serviceAccount:… with an e-mail "
            "address, "
            "domain:…, principal://… or principalSet://…"
        )
    return value


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise ValueError(f"{quoted(value)} is no endpoint; write http://HOST:PORT, as the emulator prints it")
    return value.rstrip("/")


def _is_label_character(character: str, *, first: bool) -> bool:
    category = unicodedata.category(character)
    return category in {"Ll", "Lo"} or (not first and (category[0] == "N" or character in "_-"))


def _labels(value: dict[str, str]) -> dict[str, str]:
    if len(value) > 64:
        raise ValueError(f"{len(value)} labels; 64 is the most")
    for key, text in value.items():
        if not 1 <= len(key) <= 63 or not all(
            _is_label_character(character, first=position == 0) for position, character in enumerate(key)
        ):
            raise ValueError(
                f"{quoted(key)} is no label key; a key has 1 to 63 lower-case letters, digits, - and _, a letter first"
            )
        if len(text) > 63 or not all(_is_label_character(character, first=False) for character in text):
            raise ValueError(
                f"{quoted(text)} is no label value; a value has up to 63 lower-case letters, digits, - and _"
            )
    return value


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
            f"{quoted(value)} is no destination; write bq://PROJECT.DATASET.TABLE for metadata or "
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
    AfterValidator(
        _matching(_BIGQUERY_NAME, "BigQuery dataset name", "letters, digits and underscores, 1,024 at most")
    ),
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


def kms_key_parts(key: str) -> dict[str, str]:
    """Split a key's name into `project`, `location`, `ring` and `key`; nothing when it is no key's name."""
    match = _KMS_KEY.fullmatch(key)
    return match.groupdict() if match else {}


def topic_parts(topic: str) -> dict[str, str]:
    """Split a topic's name into `project` and `topic`; nothing when it is no topic's name."""
    match = _TOPIC.fullmatch(topic)
    return match.groupdict() if match else {}
