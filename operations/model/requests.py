"""The three requests: export to BigQuery, export to Cloud Storage, import from Cloud Storage.

Bodies are those of
https://cloud.google.com/healthcare-api/docs/reference/rest/v1/projects.locations.datasets.dicomStores/export
and `…/import`. `writeDisposition` stands *inside* `bigqueryDestination`; at the top level the API refuses it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from operations.model.invalid import InputError, quoted
from operations.model.mime_types import MimeType, parse_mime_type
from operations.model.resource_names import DicomStoreName, parse_dicom_store_name
from operations.model.uris import (
    BigQueryTable,
    CloudStoragePath,
    ImportSource,
    parse_bigquery_uri,
    parse_export_prefix,
    parse_import_uri,
    parse_object_uri,
)

# Stands in for a store whose name is wrong, or known only later, so that the rest of a request can be checked.
SOME_STORE = "projects/p/locations/l/datasets/d/dicomStores/s"


class WriteDisposition(StrEnum):
    """What happens to rows that are in the table already. There is no default: the user decides."""

    WRITE_EMPTY = "WRITE_EMPTY"
    WRITE_TRUNCATE = "WRITE_TRUNCATE"
    WRITE_APPEND = "WRITE_APPEND"


class Schema(StrEnum):
    """The shape of the table: one column per DICOM tag, or all tags in one JSON column."""

    FLATTENED = "flattened"
    JSON = "json"


class StorageClass(StrEnum):
    """The storage class of imported pixel data and other bulk data."""

    STANDARD = "STANDARD"
    NEARLINE = "NEARLINE"
    COLDLINE = "COLDLINE"
    ARCHIVE = "ARCHIVE"


class Rerun(StrEnum):
    """When an import or export that has succeeded runs again."""

    WHEN_INPUTS_CHANGE = "when-inputs-change"
    WHEN_STORE_CHANGES = "when-store-changes"
    ALWAYS = "always"


class WhenEmpty(StrEnum):
    """What an empty store, a pattern without objects or a filter query without a result means."""

    FAIL = "fail"
    SKIP = "skip"


class RequestError(InputError):
    """A request can't be right. `problems` holds (field, text) of each thing that is wrong."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        """Put the problems together, one per line."""
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{field}: {text}" for field, text in problems))


@dataclass(frozen=True)
class ExportToBigQuery:
    """Write the metadata of a store's instances to a table."""

    store: DicomStoreName
    table: BigQueryTable
    write_disposition: WriteDisposition
    schema: Schema = Schema.FLATTENED
    include_source_store: bool = False
    filter: CloudStoragePath | None = None

    method = "export"
    # Newer services name the variant, older ones only the method.
    api_methods = ("ExportDicomData_bq", "ExportDicomData")

    @property
    def destination(self) -> str:
        """Where the data goes, as a person wrote it."""
        return self.table.uri

    def describe(self) -> str:
        """Name source and destination in a few words: `pacs → bq://…`."""
        return f"{self.store.store} → {self.table.uri}"

    def body(self) -> dict[str, Any]:
        """Return the request body as the API takes it."""
        destination: dict[str, Any] = {
            "tableUri": self.table.uri,
            "writeDisposition": self.write_disposition.value,
        }
        destination["schemaJson" if self.schema is Schema.JSON else "schemaFlattened"] = {}
        if self.include_source_store:
            destination["includeSourceStore"] = True
        return {"bigqueryDestination": destination, **_filter_body(self.filter)}


@dataclass(frozen=True)
class ExportToCloudStorage:
    """Write a store's instances as objects, in their original format or in another one."""

    store: DicomStoreName
    prefix: CloudStoragePath
    mime_type: MimeType | None = None
    filter: CloudStoragePath | None = None

    method = "export"
    api_methods = ("ExportDicomData_gcs", "ExportDicomData")

    @property
    def destination(self) -> str:
        """Where the data goes, as a person wrote it."""
        return self.prefix.uri

    def describe(self) -> str:
        """Name source and destination in a few words: `pacs → gs://…`."""
        return f"{self.store.store} → {self.prefix.uri}"

    def body(self) -> dict[str, Any]:
        """Return the request body as the API takes it."""
        destination: dict[str, Any] = {"uriPrefix": self.prefix.uri}
        if self.mime_type is not None:
            destination["mimeType"] = self.mime_type.value
        return {"gcsDestination": destination, **_filter_body(self.filter)}


@dataclass(frozen=True)
class Import:
    """Read DICOM files from a bucket into a store. Instances that are there already are left as they are."""

    store: DicomStoreName
    source: ImportSource
    storage_class: StorageClass | None = None

    method = "import"
    api_methods = ("ImportDicomData_gcs", "ImportDicomData")

    @property
    def destination(self) -> str:
        """Where the data goes: the store."""
        return str(self.store)

    def describe(self) -> str:
        """Name source and destination in a few words: `gs://… → pacs`."""
        return f"{self.source.uri} → {self.store.store}"

    def body(self) -> dict[str, Any]:
        """Return the request body as the API takes it."""
        body: dict[str, Any] = {"gcsSource": {"uri": self.source.uri}}
        if self.storage_class is not None:
            body["blobStorageSettings"] = {"blobStorageClass": self.storage_class.value}
        return body


Request = ExportToBigQuery | ExportToCloudStorage | Import


def make_export(
    store: str,
    destination: str,
    *,
    write_disposition: str | None = None,
    schema: str | None = None,
    include_source_store: bool = False,
    mime_type: str | None = None,
    filter_uri: str | None = None,
) -> ExportToBigQuery | ExportToCloudStorage:
    """Check the settings of an export and make the request.

    Args:
        store: full name of the DICOM store.
        destination: `bq://PROJECT.DATASET.TABLE` for metadata or `gs://BUCKET/PREFIX` for instances.
        write_disposition: for `bq://`, and required there.
        schema: for `bq://`; `flattened` unless said otherwise.
        include_source_store: for `bq://`; adds the column SourceDicomStore.
        mime_type: for `gs://`; the original format unless said otherwise.
        filter_uri: object with the resource paths to export; everything unless said otherwise.

    Raises:
        RequestError: with all problems at once, each with the name of its field.
    """
    problems = _Problems()
    store_name = problems.read("store", parse_dicom_store_name, store)
    filter_path = None if filter_uri is None else problems.read("filter", parse_object_uri, filter_uri)
    if destination.startswith("gs://"):
        prefix = problems.read("destination", parse_export_prefix, destination)
        mime = None if mime_type is None else problems.read("mime_type", parse_mime_type, mime_type)
        for field, value in (
            ("write_disposition", write_disposition),
            ("schema", schema),
            ("include_source_store", include_source_store or None),
        ):
            if value is not None:
                problems.add(field, f"is for bq:// destinations; {quoted(destination)} is exported as objects")
        problems.raise_if_any()
        assert store_name and prefix  # noqa: S101 - for the type checker
        return ExportToCloudStorage(store_name, prefix, mime, filter_path)
    table = problems.read("destination", _parse_destination, destination)
    disposition = None
    if write_disposition is None:
        problems.add("write_disposition", f"is missing; choose {_choices(WriteDisposition)}")
    else:
        disposition = problems.choose("write_disposition", WriteDisposition, write_disposition)
    shape = Schema.FLATTENED if schema is None else problems.choose("schema", Schema, schema)
    if mime_type is not None:
        problems.add("mime_type", f"is for gs:// destinations; {quoted(destination)} takes metadata")
    problems.raise_if_any()
    assert store_name and table and disposition and shape  # noqa: S101 - for the type checker
    return ExportToBigQuery(store_name, table, disposition, shape, include_source_store, filter_path)


def make_import(store: str, uri: str, *, storage_class: str | None = None) -> Import:
    """Check the settings of an import and make the request.

    Args:
        store: full name of the DICOM store.
        uri: `gs://BUCKET/OBJECT`, with wildcards as `operations.model.uris.parse_import_uri` takes them.
        storage_class: of the imported bulk data; the service's default is STANDARD.

    Raises:
        RequestError: with all problems at once, each with the name of its field.
    """
    problems = _Problems()
    store_name = problems.read("store", parse_dicom_store_name, store)
    source = problems.read("uri", parse_import_uri, uri)
    chosen = None if storage_class is None else problems.choose("storage_class", StorageClass, storage_class)
    problems.raise_if_any()
    assert store_name and source  # noqa: S101 - for the type checker
    return Import(store_name, source, chosen)


def request_from_body(store: str, method: str, body: Mapping[str, Any]) -> Request:
    """Read a request as it is sent to the API.

    The legacy field `force` is not read: `force: false` refuses a table that exists even when it is empty, for which
    there is no write disposition. `body()` of the result never has it.

    Raises:
        RequestError: the body is none of the three requests.
    """
    if method == "import":
        return make_import(
            store,
            body.get("gcsSource", {}).get("uri", ""),
            storage_class=body.get("blobStorageSettings", {}).get("blobStorageClass"),
        )
    table, objects = body.get("bigqueryDestination"), body.get("gcsDestination")
    filter_uri = body.get("filterConfig", {}).get("resourcePathsGcsUri")
    if (table is None) == (objects is None):
        raise RequestError([("destination", "exactly one of bigqueryDestination and gcsDestination is needed")])
    if objects is not None:
        return make_export(
            store, objects.get("uriPrefix", ""), mime_type=objects.get("mimeType"), filter_uri=filter_uri
        )
    assert table is not None  # noqa: S101 - for the type checker
    return make_export(
        store,
        table.get("tableUri", ""),
        write_disposition=table.get("writeDisposition"),
        schema=Schema.JSON if "schemaJson" in table else Schema.FLATTENED,
        include_source_store=bool(table.get("includeSourceStore")),
        filter_uri=filter_uri,
    )


def _filter_body(path: CloudStoragePath | None) -> dict[str, Any]:
    return {} if path is None else {"filterConfig": {"resourcePathsGcsUri": path.uri}}


def _parse_destination(text: str) -> BigQueryTable:
    if not text.startswith("bq://"):
        raise InputError(
            f"{quoted(text)} is no destination; write bq://PROJECT.DATASET.TABLE for metadata "
            "or gs://BUCKET/PREFIX for instances"
        )
    return parse_bigquery_uri(text)


def _choices(kind: type[StrEnum]) -> str:
    *most, last = [member.value for member in kind]
    return f"{', '.join(most)} or {last}"


_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)


class _Problems:
    """Collects everything that is wrong, so that a person sees it all at once."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def add(self, field: str, text: str) -> None:
        self._found.append((field, text))

    def read(self, field: str, parse: Callable[[str], _T], text: str) -> _T | None:
        try:
            return parse(text)
        except InputError as error:
            self.add(field, str(error))
            return None

    def choose(self, field: str, kind: type[_E], text: str) -> _E | None:
        try:
            return kind(text)
        except ValueError:
            self.add(field, f"{quoted(text)} is unknown; choose {_choices(kind)}")
            return None

    def raise_if_any(self) -> None:
        if self._found:
            raise RequestError(self._found)
