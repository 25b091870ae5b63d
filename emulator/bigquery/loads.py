"""Load jobs: from objects of Cloud Storage, or an upload, into a table.

https://cloud.google.com/bigquery/docs/batch-loading-data
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from ..core.patterns import wildcard
from . import parquet
from .copies import table_of
from .names import TableName, check_table_id, no_dataset, no_table
from .rows import BadRowError, RowReader, put_rows
from .types import checked_schema
from .writing import writable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .work import Work

_FORMATS = ("CSV", "NEWLINE_DELIMITED_JSON", "PARQUET")
_URI = re.compile(r"gs://([^/]+)/(.+)")
#: Rows that are looked at to find the columns of data without a schema.
_SAMPLE = 500


def run_load(work: Work) -> None:
    """Run a load job.

    Raises:
        ApiError: the source or the table is missing or not permitted, or the data does not fit.
    """
    options = work.configuration["load"]
    form = str(options.get("sourceFormat") or "CSV").upper()
    if form not in _FORMATS:
        raise ApiError(501, f"The emulator loads {', '.join(_FORMATS)}, not {form}.")
    name = table_of(options.get("destinationTable") or {}, work.project, "destinationTable")
    check_table_id(name.table)
    document = _may_write(work, name, options)
    with tempfile.TemporaryDirectory(prefix="load-", dir=work.catalog.emulator.state.temporary) as folder:
        files = [work.media] if work.media is not None else _fetch(work, options.get("sourceUris") or [], Path(folder))
        _load(work, options, form, name, document, files, Path(folder))


def _may_write(work: Work, name: TableName, options: dict[str, Any]) -> dict[str, Any] | None:
    catalog = work.catalog
    document = catalog.find_table(name)
    if document is None:
        catalog.require_dataset(work.principal, "bigquery.tables.create", name.project, name.dataset)
    catalog.require_table(work.principal, "bigquery.tables.updateData", name)
    dataset = catalog.find_dataset(name.project, name.dataset)
    if dataset is None:
        raise no_dataset(name.project, name.dataset, work.location)
    work.location = dataset["location"]
    if document is None and options.get("createDisposition") == "CREATE_NEVER":
        raise no_table(name)
    return document


def _fetch(work: Work, uris: list[str], folder: Path) -> list[Path]:
    """Files with the objects that the URIs name."""
    from ..storage import service

    if not uris:
        raise invalid("Required parameter is missing: load has sourceUris, or is an upload", reason="required")
    blobs = work.emulator.state.blobs
    made: list[Path] = []
    for uri in uris:
        found = _URI.fullmatch(uri)
        if found is None:
            raise invalid(f"Source URI must be a Google Cloud Storage location: {uri}")
        bucket, pattern = found[1], found[2]
        if pattern.count("*") > 1:
            raise invalid(f"Source URI {uri} has more than one wildcard")
        if not service.bucket_exists(work.emulator, bucket):
            raise ApiError(404, f"Not found: Bucket {bucket}", reason="notFound")
        if not service.allowed(work.emulator, work.principal, "storage.objects.get", bucket):
            who = work.principal.partition(":")[2] or work.principal
            raise ApiError(
                403,
                f"Access Denied: File {uri}: Access Denied. {who} does not have storage.objects.get access to the "
                "Google Cloud Storage object. Permission 'storage.objects.get' denied on resource "
                "(or it may not exist).",
                reason="accessDenied",
            )
        if "*" in pattern:
            prefix = pattern.partition("*")[0]
            shape = wildcard(pattern)
            objects = [one for one in service.list_objects(work.emulator, bucket, prefix) if shape.fullmatch(one.name)]
        else:
            one = service.get_object(work.emulator, bucket, pattern)
            objects = [] if one is None else [one]
        if not objects:
            raise ApiError(404, f"Not found: URI {uri}", reason="notFound")
        for one in objects:
            if (problem := service.unreadable(work.emulator, one)) is not None:
                raise problem
            path = folder / f"source-{len(made):06d}"
            with path.open("wb") as out:
                for chunk in blobs.chunks(one.blob_id):
                    out.write(chunk)
            made.append(path)
    return made


def _load(
    work: Work,
    options: dict[str, Any],
    form: str,
    name: TableName,
    document: dict[str, Any] | None,
    files: list[Path],
    folder: Path,
) -> None:
    size = sum(file.stat().st_size for file in files)
    own = None if document is None else document["resource"].get("schema", {}).get("fields")
    given = options.get("schema", {}).get("fields")
    truncating = options.get("writeDisposition") == "WRITE_TRUNCATE"
    skip = int(options.get("skipLeadingRows") or 0)
    if given:
        schema = checked_schema(given)
    elif form == "PARQUET":
        schema = own or checked_schema(parquet.schema(work.catalog.engine, files[0]))
    elif options.get("autodetect") or (
        not own and form == "NEWLINE_DELIMITED_JSON" and options.get("autodetect") is None
    ):
        if not options.get("autodetect"):
            raise invalid("No schema specified on job or table.")
        schema, header_rows = detect(files, form, options)
        skip = header_rows if options.get("skipLeadingRows") is None else skip
        schema = checked_schema(schema)
    elif own:
        schema = own
    else:
        raise invalid("No schema specified on job or table.")
    target = folder / "rows.ndjson"
    rows, bad = _convert(work, options, form, schema, files, target, skip)
    updates = options.get("schemaUpdateOptions") or []
    may_grow = truncating or document is None or "ALLOW_FIELD_ADDITION" in updates or not own
    layout = {key: options.get(key) for key in ("timePartitioning", "rangePartitioning", "clustering")}
    properties = options.get("destinationTableProperties") or {}
    layout.update({key: properties.get(key) for key in ("description", "friendlyName", "labels")})
    if options.get("destinationEncryptionConfiguration"):
        layout["encryptionConfiguration"] = options["destinationEncryptionConfiguration"]
    put_rows(
        work.catalog,
        name,
        schema,
        [target],
        options.get("writeDisposition") or "WRITE_APPEND",
        may_grow=may_grow,
        resource=writable(layout, schema),
    )
    kept = work.catalog.table(name)
    work.statistics["load"] = {
        "inputFiles": str(len(files)),
        "inputFileBytes": str(size),
        "outputRows": str(rows),
        "outputBytes": str(work.catalog.size(kept)),
        "badRecords": str(bad),
    }
    work.statistics["totalBytesProcessed"] = str(size)


def _convert(
    work: Work,
    options: dict[str, Any],
    form: str,
    schema: list[dict[str, Any]],
    files: list[Path],
    target: Path,
    skip: int,
) -> tuple[int, int]:
    """Write the canonical rows of the files; returns the number of good and bad ones."""
    reader = RowReader(schema, ignore_unknown=options.get("ignoreUnknownValues") is True)
    most = int(options.get("maxBadRecords") or 0)
    good, bad = 0, 0
    with target.open("w", encoding="utf-8") as out:
        for file in files:
            for place, row in _rows(work, options, form, schema, file, skip):
                if good % 1000 == 0:
                    work.check_cancelled()
                try:
                    if isinstance(row, BadRowError):
                        raise row
                    made = reader.row(row)
                except BadRowError as error:
                    bad += 1
                    kind = "JSON" if form == "NEWLINE_DELIMITED_JSON" else form
                    lead = f"Error while reading data, error message: {kind} parsing error in row starting at"
                    message = f"{lead} {place}: {error}"
                    if bad > most:
                        raise invalid(message) from None
                    work.warnings.append({"reason": "invalid", "message": message})
                    continue
                out.write(json.dumps(made, separators=(",", ":"), ensure_ascii=False) + "\n")
                good += 1
    return good, bad


def _rows(
    work: Work, options: dict[str, Any], form: str, schema: list[dict[str, Any]], file: Path, skip: int
) -> Iterator[tuple[str, Any]]:
    """The rows of a file as JSON has them, each with its place; a BadRowError stands for one that can't be read."""
    if form == "CSV":
        return _csv_rows(file, options, schema, skip)
    return parquet.rows(work.catalog.engine, file) if form == "PARQUET" else _json_rows(file)


def _opened(file: Path) -> Any:
    with file.open("rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    return gzip.open(file, "rb") if zipped else file.open("rb")


def _json_rows(file: Path) -> Iterator[tuple[str, Any]]:
    at = 0
    with _opened(file) as lines:
        for line in lines:
            place = f"position {at}"
            at += len(line)
            if not line.strip():
                continue
            try:
                yield place, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield place, BadRowError(f"Parser terminated before end of string: {error}")


def _text(file: Path, options: dict[str, Any]) -> Iterator[str]:
    encoding = {"ISO-8859-1": "latin-1", "UTF-16": "utf-16", "UTF-16BE": "utf-16-be", "UTF-16LE": "utf-16-le"}.get(
        str(options.get("encoding") or "UTF-8").upper(), "utf-8-sig"
    )
    with _opened(file) as lines, io.TextIOWrapper(lines, encoding=encoding, newline="") as decoded:
        try:
            yield from decoded
        except UnicodeDecodeError as error:
            raise invalid(f"Error while reading data, error message: the file is not {encoding}: {error}") from None


def _cells(file: Path, options: dict[str, Any]) -> Iterator[list[str]]:
    given = options.get("fieldDelimiter") or ","
    separator = {"tab": "\t", "\\t": "\t"}.get(given, given)
    quote = options.get("quote")
    csv.field_size_limit(100 * 1024 * 1024)
    try:
        if quote == "":
            yield from csv.reader(_text(file, options), delimiter=separator, quoting=csv.QUOTE_NONE)
        else:
            yield from csv.reader(_text(file, options), delimiter=separator, quotechar=quote or '"', strict=True)
    except csv.Error as error:
        raise invalid(f"Error while reading data, error message: CSV parsing error: {error}") from None
    except TypeError:
        raise invalid(f"fieldDelimiter and quote are single characters, not {given!r} and {quote!r}") from None


def _csv_rows(
    file: Path, options: dict[str, Any], schema: list[dict[str, Any]], skip: int
) -> Iterator[tuple[str, Any]]:
    null = options.get("nullMarker")
    jagged = options.get("allowJaggedRows") is True
    unknown = options.get("ignoreUnknownValues") is True
    for number, cells in enumerate(_cells(file, options), 1):
        if number <= skip or not cells:
            continue
        place = f"line {number}"
        if len(cells) > len(schema) and not unknown:
            yield (
                place,
                BadRowError(f"Too many values in row. Found {len(cells)} column(s) while expected {len(schema)}."),
            )
            continue
        if len(cells) < len(schema) and not jagged:
            yield (
                place,
                BadRowError(f"Too few values in row. Found {len(cells)} column(s) while expected {len(schema)}."),
            )
            continue
        row: dict[str, Any] = {}
        problem: BadRowError | None = None
        for field, cell in zip(schema, cells, strict=False):
            if field["type"] == "RECORD" or field["mode"] == "REPEATED":
                problem = BadRowError(f"CSV can't hold the nested or repeated field {field['name']}", field["name"])
                break
            if null is not None and cell == null:
                continue
            if cell == "" and (field["type"] not in ("STRING", "BYTES") or null == ""):
                continue
            row[field["name"]] = cell
        yield place, problem or row


# --- schemas found in the data ---


def detect(files: list[Path], form: str, options: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The columns of data without a schema, by its first rows, and the number of header lines.

    Raises:
        ApiError: 400 if there is nothing to go by.
    """
    if form == "CSV":
        return _detect_csv(files, options)
    fields: dict[str, Any] = {}
    for file in files:
        for index, (_, row) in enumerate(_json_rows(file)):
            if isinstance(row, dict):
                _merge(fields, row)
            if index >= _SAMPLE:
                break
    made = _fields_of(fields)
    if not made:
        raise invalid("Schema has no fields: the data has no rows to find columns in")
    return made, 0


def _merge(fields: dict[str, Any], row: dict[str, Any]) -> None:
    for name, value in row.items():
        known = fields.setdefault(name, {"types": set(), "repeated": False, "fields": {}})
        items = value if isinstance(value, list) else [value]
        known["repeated"] = known["repeated"] or isinstance(value, list)
        for item in items:
            if isinstance(item, dict):
                known["types"].add("RECORD")
                _merge(known["fields"], item)
            elif item is not None:
                known["types"].add(_type_of(item))


def _fields_of(fields: dict[str, Any]) -> list[dict[str, Any]]:
    made = []
    for name, known in fields.items():
        kind = _common(known["types"])
        field: dict[str, Any] = {"name": name, "type": kind, "mode": "REPEATED" if known["repeated"] else "NULLABLE"}
        if kind == "RECORD":
            field["fields"] = _fields_of(known["fields"])
            if not field["fields"]:
                continue
        made.append(field)
    return made


_SHAPES: tuple[tuple[str, str], ...] = (
    ("INTEGER", r"[+-]?\d{1,18}"),
    ("FLOAT", r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?"),
    ("BOOLEAN", r"(?i)true|false"),
    ("DATE", r"\d{4}-\d{1,2}-\d{1,2}"),
    ("TIMESTAMP", r"\d{4}-\d{1,2}-\d{1,2}[T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|UTC|[+-]\d{1,2}(:?\d{2})?)?"),
    ("TIME", r"\d{1,2}:\d{2}:\d{2}(\.\d+)?"),
)


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INTEGER"
    if isinstance(value, float):
        return "FLOAT"
    for kind, shape in _SHAPES:
        if re.fullmatch(shape, str(value)):
            return kind
    return "STRING"


def _common(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds == {"INTEGER", "FLOAT"}:
        return "FLOAT"
    if kinds == {"DATE", "TIMESTAMP"}:
        return "TIMESTAMP"
    return "STRING"


def _detect_csv(files: list[Path], options: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    rows: list[list[str]] = []
    for cells in _cells(files[0], options):
        if cells:
            rows.append(cells)
        if len(rows) > _SAMPLE:
            break
    if not rows:
        raise invalid("Schema has no fields: the data has no rows to find columns in")
    skip = options.get("skipLeadingRows")
    body = rows[max(int(skip or 0), 1) :] if len(rows) > 1 else rows
    width = max(len(row) for row in rows)
    nothing = ("", options.get("nullMarker"))
    kinds = [
        _common({_type_of(row[index]) for row in body if index < len(row) and row[index] not in nothing} or {"STRING"})
        for index in range(width)
    ]
    head = rows[int(skip) - 1] if skip else rows[0]
    # The first line is a header if it is all text where the lines below it are not.
    is_header = bool(skip) or (
        len(rows) > 1 and all(_type_of(cell) == "STRING" for cell in head) and any(kind != "STRING" for kind in kinds)
    )
    names = [_column_name(cell, index) for index, cell in enumerate(head)] if is_header else []
    names += [f"{kind.lower()}_field_{index}" for index, kind in enumerate(kinds)][len(names) :]
    fields = [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in zip(names, kinds, strict=True)]
    return fields, int(skip or 0) or (1 if is_header else 0)


def _column_name(cell: str, index: int) -> str:
    made = re.sub(r"[^A-Za-z0-9_]", "_", cell.strip())
    if not made:
        return f"string_field_{index}"
    return made if re.match(r"[A-Za-z_]", made) else f"_{made}"
