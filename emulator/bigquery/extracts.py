"""Extract jobs: from a table to objects of Cloud Storage.

https://cloud.google.com/bigquery/docs/exporting-data
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from .copies import table_of
from .encode import Encoder, decimal_text, fetched, float_text
from .encryption import require_key
from .names import ANONYMOUS_DATASET
from .types import INT64, Field, Type, columns, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .work import Work

#: Bytes after which the next shard begins.
_SHARD = 64 * 1024 * 1024
_URI = re.compile(r"gs://([^/]+)/(.+)")
_TYPES = {"CSV": "text/csv", "NEWLINE_DELIMITED_JSON": "application/json"}


def run_extract(work: Work) -> None:
    """Run an extract job.

    Raises:
        ApiError: the table or bucket is missing or not permitted, or the format can't hold the table.
    """
    catalog, options = work.catalog, work.configuration["extract"]
    if options.get("sourceModel"):
        raise ApiError(501, "The emulator does not serve the extraction of models.")
    name = table_of(options.get("sourceTable") or {}, work.project, "sourceTable")
    catalog.require_table(work.principal, "bigquery.tables.export", name)
    document = catalog.table(name, work.location or "US")
    if "view" in document["resource"]:
        raise invalid(f"{name.text} is not allowed for this operation because it is currently a VIEW.")
    require_key(catalog, name, document["resource"])
    if name.dataset != ANONYMOUS_DATASET:  # which is no dataset that one can look at; its tables are where the job is
        work.location = catalog.dataset(name.project, name.dataset)["location"]
    form = options.get("destinationFormat") or "CSV"
    if form not in _TYPES:
        raise ApiError(501, f"The emulator extracts to {' and '.join(_TYPES)}, not to {form}.")
    compression = str(options.get("compression") or "NONE").upper()
    if compression not in ("NONE", "GZIP"):
        raise ApiError(501, f"The emulator compresses with GZIP, not with {compression}.")
    fields = columns(document["resource"].get("schema", {}).get("fields", []))
    if form == "CSV":
        _check_flat(fields)
    uris = options.get("destinationUris") or ([options["destinationUri"]] if options.get("destinationUri") else [])
    if not uris:
        raise invalid("Required parameter is missing: destinationUris", reason="required")
    counts = []
    for index, uri in enumerate(uris):
        bucket, pattern = _destination(work, uri)
        chunks = _chunks(work, document["physical"], fields, form, options, index, len(uris))
        counts.append(_store(work, bucket, pattern, chunks, compression == "GZIP", _TYPES[form]))
    work.statistics["extract"] = {
        "destinationUriFileCounts": [str(count) for count in counts],
        "inputBytes": str(catalog.size(document)),
    }


def _check_flat(fields: tuple[Field, ...]) -> None:
    for field in fields:
        if field.type.kind == "STRUCT":
            raise invalid(f"Operation cannot be performed on a nested schema. Field: {field.name}")
        if field.type.kind == "ARRAY":
            raise invalid(f"Operation cannot be performed on a repeated field. Field: {field.name}")


def _destination(work: Work, uri: str) -> tuple[str, str]:
    from ..storage import service

    found = _URI.fullmatch(uri)
    if found is None:
        raise invalid(f"Invalid extract destination URI '{uri}'. Must be a valid Google Storage path.")
    bucket, pattern = found[1], found[2]
    if pattern.count("*") > 1:
        raise invalid(f"Invalid extract destination URI '{uri}'. There is at most one wildcard.")
    if not service.bucket_exists(work.emulator, bucket):
        raise ApiError(404, f"Not found: Bucket {bucket}", reason="notFound")
    for permission in ("storage.objects.create", "storage.objects.delete"):
        if not service.allowed(work.emulator, work.principal, permission, bucket):
            who = work.principal.partition(":")[2] or work.principal
            raise ApiError(
                403,
                f"Access Denied: BigQuery BigQuery: Permission denied while writing data. {who} does not have "
                f"{permission} access to the Google Cloud Storage bucket {bucket}.",
                reason="accessDenied",
            )
    return bucket, pattern


def _chunks(
    work: Work,
    physical: str | None,
    fields: tuple[Field, ...],
    form: str,
    options: dict[str, Any],
    index: int,
    parts: int,
) -> Iterator[bytes]:
    """The file's text, a batch of rows at a time; the first piece is the header and may be empty."""
    separator = {"tab": "\t", "\\t": "\t"}.get(
        str(options.get("fieldDelimiter") or ","), options.get("fieldDelimiter") or ","
    )
    header = form == "CSV" and options.get("printHeader", True) is not False
    yield _line([field.name for field in fields], separator) if header else b""
    if physical is None:
        return
    plain = [_plain(field.type) for field in fields]
    names = [field.name for field in fields]
    shown = ", ".join(fetched(quoted(field.name), field.type) for field in fields)
    total = int(work.catalog.engine.rows(f'SELECT count(*) FROM "{physical}"')[0][0])  # noqa: S608
    start, end = total * index // parts, total * (index + 1) // parts
    with work.catalog.engine.cursor() as cursor:
        cursor.execute(f'SELECT {shown} FROM "{physical}" LIMIT {end - start} OFFSET {start}')  # noqa: S608
        while rows := cursor.fetchmany(2000):
            work.check_cancelled()
            if form == "CSV":
                yield b"".join(
                    _line([_cell(one(value)) for one, value in zip(plain, row, strict=True)], separator) for row in rows
                )
                continue
            made = []
            for row in rows:
                entry = {
                    name: one(value) for name, one, value in zip(names, plain, row, strict=True) if value is not None
                }
                made.append(json.dumps(entry, separators=(",", ":"), ensure_ascii=False) + "\n")
            yield "".join(made).encode()


def _line(cells: list[str], separator: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _plain(kind: Type) -> Encoder:
    """A value as extracted files have it: INT64 as text, TIMESTAMP with UTC behind it."""
    if kind.kind == "ARRAY":
        inner = _plain(kind.element or INT64)
        return lambda value: [inner(item) for item in value or []]
    if kind.kind == "STRUCT":
        pairs = [(field.name, _plain(field.type)) for field in kind.fields]
        return lambda value: (
            None if value is None else {name: one(value[name]) for name, one in pairs if value[name] is not None}
        )
    one = _SCALARS[kind.kind]
    return lambda value: None if value is None else one(value)


def _json_value(value: Any) -> Any:
    return json.loads(value)


_SCALARS: dict[str, Encoder] = {
    "INT64": str,
    "NULL": str,
    "FLOAT64": lambda value: value if value == value and abs(value) != float("inf") else float_text(value),
    "NUMERIC": decimal_text,
    "BIGNUMERIC": decimal_text,
    "BOOL": bool,
    "STRING": str,
    "BYTES": lambda value: __import__("base64").b64encode(value).decode(),
    "DATE": lambda value: value.isoformat(),
    "TIME": lambda value: value.isoformat(),
    "DATETIME": lambda value: value.isoformat(),
    "TIMESTAMP": lambda value: value.isoformat(" ") + " UTC",
    "INTERVAL": str,
    "JSON": _json_value,
}


def _store(work: Work, bucket: str, pattern: str, chunks: Iterator[bytes], zipped: bool, content_type: str) -> int:
    """Write the text into one object, or into numbered ones if the name has a wildcard; returns their number."""
    from ..storage import service

    header = next(chunks)
    shard, count = [header], 0
    size = len(header)

    def flush() -> None:
        nonlocal shard, size, count
        data = b"".join(shard)
        if zipped:
            data = gzip.compress(data, 6, mtime=0)
        name = pattern.replace("*", f"{count:012d}")
        service.put_object(work.emulator, bucket, name, data, content_type)
        count += 1
        shard, size = [header], len(header)

    for chunk in chunks:
        if "*" in pattern and size > _SHARD:
            flush()
        shard.append(chunk)
        size += len(chunk)
    flush()
    return count
