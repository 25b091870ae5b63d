"""`bq://` and `gs://` URIs, with the import wildcards exactly as the service documents them.

Rules: https://cloud.google.com/healthcare-api/docs/how-tos/dicom-bigquery-export (destination, table name),
https://cloud.google.com/healthcare-api/docs/how-tos/dicom-import-export (wildcards),
https://cloud.google.com/storage/docs/buckets#naming, https://cloud.google.com/storage/docs/objects#naming,
https://cloud.google.com/bigquery/docs/datasets#dataset-naming.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from operations.model.invalid import InputError, quoted

BIGQUERY_FORM = "bq://PROJECT.DATASET.TABLE"
CLOUD_STORAGE_FORM = "gs://BUCKET/PATH"
TABLE_URI_MAX_LENGTH = 2000
OBJECT_NAME_MAX_BYTES = 1024

# A project id, perhaps scoped by a domain (example.com:imaging). Google asks for 6 to 30 characters of new
# ids; older ones exist, so the length is left to the service.
_PROJECT = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?:)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_BIGQUERY_NAME = re.compile(r"[A-Za-z0-9_]{1,1024}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_DOUBLE_WILDCARD_END = re.compile(r"\*\*(?P<extension>(?:\.[^/*?.]+)*)$")


class UriError(InputError):
    """A `bq://` or `gs://` URI is not of the form that is needed."""


@dataclass(frozen=True)
class BigQueryTable:
    """A BigQuery table. `project` may be domain-scoped (`example.com:imaging`)."""

    project: str
    dataset: str
    table: str

    @property
    def uri(self) -> str:
        """The table as the Healthcare API takes it, `bq://PROJECT.DATASET.TABLE`."""
        return f"bq://{self.project}.{self.dataset}.{self.table}"

    def __str__(self) -> str:
        return self.uri


@dataclass(frozen=True)
class CloudStoragePath:
    """An object or a folder-like prefix in a bucket; `path` is empty for the whole bucket."""

    bucket: str
    path: str

    @property
    def uri(self) -> str:
        """The path as `gs://BUCKET/PATH`."""
        return f"gs://{self.bucket}/{self.path}"

    def __str__(self) -> str:
        return self.uri


@dataclass(frozen=True)
class ImportSource:
    """What an import reads: one object, or every object that matches a pattern."""

    bucket: str
    pattern: str

    @property
    def uri(self) -> str:
        """The source as the Healthcare API takes it."""
        return f"gs://{self.bucket}/{self.pattern}"

    @property
    def literal_prefix(self) -> str:
        """The part before the first wildcard: the prefix under which matching objects can be listed."""
        return re.split(r"[*?]", self.pattern, maxsplit=1)[0]

    def matches(self, object_name: str) -> bool:
        """Tell whether the service would import the object of this name."""
        return self._expression.fullmatch(object_name) is not None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        wildcards = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
        pieces = re.split(r"(\*\*|\*|\?)", self.pattern)
        return re.compile("".join(wildcards.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)

    def __str__(self) -> str:
        return self.uri


def parse_bigquery_uri(text: str) -> BigQueryTable:
    """Read `bq://PROJECT.DATASET.TABLE`.

    Args:
        text: the URI; the project may be domain-scoped, as in `bq://example.com:imaging.dicom.instances`.

    Raises:
        UriError: the text is anything else; the message names the part that is wrong.
    """
    if not text.startswith("bq://"):
        raise UriError(f"{quoted(text)} is no BigQuery table; write {BIGQUERY_FORM}")
    if len(text) > TABLE_URI_MAX_LENGTH:
        raise UriError(f"{quoted(text, 60)} has {len(text)} characters; a table URI has {TABLE_URI_MAX_LENGTH} at most")
    rest = text.removeprefix("bq://")
    # A domain-scoped project contains dots of its own, all of them before the colon.
    domain, colon, scoped = rest.rpartition(":")
    parts = scoped.split(".")
    if len(parts) == 1:
        raise UriError(f"{quoted(text)} names no dataset and no table; write {BIGQUERY_FORM}")
    if len(parts) == 2:
        raise UriError(f"{quoted(text)} names no table; write {BIGQUERY_FORM}")
    if len(parts) > 3:
        raise UriError(
            f"{quoted(text)} has {len(parts)} parts separated by dots instead of three; write {BIGQUERY_FORM}"
        )
    project, dataset, table = domain + colon + parts[0], parts[1], parts[2]
    if not _PROJECT.fullmatch(project):
        raise UriError(
            f"{quoted(text)}: {quoted(project)} is no project id (lower-case letters, digits and hyphens); "
            f"write {BIGQUERY_FORM}"
        )
    for kind, name in (("dataset", dataset), ("table", table)):
        if not _BIGQUERY_NAME.fullmatch(name):
            raise UriError(
                f"{quoted(text)}: {quoted(name)} is no {kind} name (letters, digits, underscores; 1,024 at "
                f"most); write {BIGQUERY_FORM}"
            )
    return BigQueryTable(project, dataset, table)


def parse_cloud_storage_uri(text: str) -> CloudStoragePath:
    """Read `gs://BUCKET/PATH`; the path may be empty. Wildcards are refused: only imports know them.

    Raises:
        UriError: the text is no `gs://` URI, or the bucket or the path breaks the naming rules.
    """
    bucket, path = _split_cloud_storage_uri(text)
    if "*" in path or "?" in path:
        raise UriError(f"{quoted(text)} has a wildcard; wildcards are for imports only, write {CLOUD_STORAGE_FORM}")
    return CloudStoragePath(bucket, path)


def parse_export_prefix(text: str) -> CloudStoragePath:
    """Read the destination of an export to Cloud Storage: `gs://BUCKET` or `gs://BUCKET/FOLDER/`.

    Returns:
        The prefix, ending in a slash unless it is the whole bucket (the service adds a missing slash itself).
    """
    place = parse_cloud_storage_uri(text)
    if place.path and not place.path.endswith("/"):
        return CloudStoragePath(place.bucket, place.path + "/")
    return place


def parse_object_uri(text: str) -> CloudStoragePath:
    """Read the URI of one object, such as a filter file: `gs://BUCKET/PATH/OBJECT`.

    Raises:
        UriError: as for `parse_cloud_storage_uri`, or the URI names a bucket or a folder.
    """
    place = parse_cloud_storage_uri(text)
    if not place.path or place.path.endswith("/"):
        raise UriError(f"{quoted(text)} names no object; write gs://BUCKET/PATH/OBJECT")
    return place


def parse_import_uri(text: str) -> ImportSource:
    """Read what an import reads: `gs://BUCKET/OBJECT`, where the object part may have wildcards.

    `*` stands for any characters but `/`, `?` for one character but `/`, `**` for any characters including `/`. `**`
    ends the path, optionally followed by an extension (`**.dcm`), and no other wildcard stands beside it.

    Raises:
        UriError: any other form.
    """
    bucket, pattern = _split_cloud_storage_uri(text)
    if not pattern:
        raise UriError(f"{quoted(text)} names no object; write gs://BUCKET/OBJECT or, for everything, gs://{bucket}/**")
    if "**" in pattern:
        end = _DOUBLE_WILDCARD_END.search(pattern)
        if end is None:
            raise UriError(
                f"{quoted(text)}: ** must end the path, optionally followed by an extension; "
                "write gs://BUCKET/FOLDER/** or gs://BUCKET/FOLDER/**.dcm"
            )
        if "*" in pattern[: end.start()] or "?" in pattern[: end.start()]:
            raise UriError(f"{quoted(text)}: ** and another wildcard can't stand in one path; use one of them")
    elif pattern.endswith("/"):
        raise UriError(f"{quoted(text)} names a folder; write {text}** for everything below it, {text}* for its files")
    return ImportSource(bucket, pattern)


def _split_cloud_storage_uri(text: str) -> tuple[str, str]:
    if not text.startswith("gs://"):
        raise UriError(f"{quoted(text)} is no Cloud Storage URI; write {CLOUD_STORAGE_FORM}")
    bucket, _, path = text.removeprefix("gs://").partition("/")
    if not bucket:
        raise UriError(f"{quoted(text)} names no bucket; write {CLOUD_STORAGE_FORM}")
    if "*" in bucket or "?" in bucket:
        raise UriError(f"{quoted(text)} has a wildcard in the bucket; wildcards belong in the path")
    problem = _bucket_problem(bucket)
    if problem:
        raise UriError(f"{quoted(text)}: {quoted(bucket)} is no bucket name: {problem}")
    if "\n" in path or "\r" in path:
        raise UriError(f"{quoted(text)}: an object name has no line breaks")
    if len(path.encode()) > OBJECT_NAME_MAX_BYTES:
        raise UriError(f"{quoted(text, 60)}: the path is longer than {OBJECT_NAME_MAX_BYTES} bytes")
    if path.startswith("/"):
        raise UriError(f"{quoted(text)} has two slashes after the bucket; write gs://{bucket}/{path.lstrip('/')}")
    return bucket, path


def _bucket_problem(bucket: str) -> str | None:
    if not _BUCKET.fullmatch(bucket):
        return "3 to 63 lower-case letters, digits, hyphens, underscores, dots; a letter or digit at both ends"
    if any(len(component) > 63 or not component for component in bucket.split(".")):
        return "each part between dots has 1 to 63 characters"
    if _IP_ADDRESS.fullmatch(bucket):
        return "it looks like an IP address"
    return None
