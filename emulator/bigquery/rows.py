"""Putting rows into tables: from files of JSON lines, whole or appended, all or nothing."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import json
import re
import tempfile
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import ApiError, invalid
from .encryption import settled
from .names import TableName, already_exists, no_table
from .types import (
    Field,
    SchemaMismatchError,
    Type,
    absent,
    checked_schema,
    columns,
    duckdb_type,
    lifted,
    member,
    quoted,
    relaxed,
    reshaped,
    text,
    union_schema,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from duckdb import DuckDBPyConnection

    from .catalog import Catalog

#: Longest line of a file of JSON lines, in bytes. Reading takes several buffers of this size, so it is tried with
#: the smaller one first; the larger one is BigQuery's own limit for a row.
LINE_LENGTHS = (16 * 1024 * 1024, 100 * 1024 * 1024)


def put_rows(
    catalog: Catalog,
    name: TableName,
    schema: list[dict[str, Any]],
    files: Sequence[Path],
    disposition: str,
    *,
    may_grow: bool = True,
    resource: dict[str, Any] | None = None,
    columnar: Collection[str] = (),
) -> int:
    """Load files of JSON lines into a table; afterwards all rows are there, or none.

    Args:
        catalog: where the table is.
        name: the table; made if it does not exist.
        schema: TableFieldSchema objects of the rows.
        files: each line an object by column name. DATE, TIME, DATETIME and TIMESTAMP are text, BYTES base64.
        disposition: ``WRITE_EMPTY``, ``WRITE_TRUNCATE`` or ``WRITE_APPEND``.
        may_grow: whether columns may be added to a table that is appended to.
        resource: more fields for a table that is made.
        columnar: REPEATED RECORD columns whose values are written as one object with an array for each field, all of
            the same length and complete. Long arrays of records are read three times as fast that way.

    Returns:
        Number of rows loaded.

    Raises:
        ApiError: 409 if the table has rows and the disposition is WRITE_EMPTY; 400 if the schema does not fit the
            table, or a value does not fit its column.
    """
    schema = checked_schema(schema)
    # A dataset is deleted without the locks of its tables: the rows that are appended to stay until that fails here.
    with catalog.engine.locked(name.key), catalog.engine.reading():
        document = catalog.find_table(name)
        if document is not None and "view" in document["resource"]:
            raise invalid(f"{name.text} is a view; rows are only written to tables")
        rows_before = 0 if document is None else catalog.count(document)
        if disposition == "WRITE_EMPTY" and rows_before:
            raise already_exists("Table", name.text)
        writing = document is None or disposition == "WRITE_TRUNCATE"
        given = dict(resource or {})
        wanted = given.pop("encryptionConfiguration", None)
        made = settled(catalog, name, {**given, **_kept(document)}, wanted, append=not writing)
        for longest in LINE_LENGTHS:
            source = _Source(files, longest, frozenset(columnar))
            with contextlib.suppress(_LongLineError):
                if document is None or writing:
                    return _replace(catalog, name, schema, source, made)
                return _append(catalog, name, document, schema, source, may_grow=may_grow)
    raise invalid(f"Error while reading data, error message: a row is larger than {LINE_LENGTHS[-1]} bytes")


class _LongLineError(Exception):
    """A line is longer than the reader's buffers."""


class _Source(NamedTuple):
    files: Sequence[Path]
    longest: int
    columnar: frozenset[str] = frozenset()


def _kept(document: dict[str, Any] | None) -> dict[str, Any]:
    if document is None:
        return {}
    return {key: value for key, value in document["resource"].items() if key != "schema"}


def _replace(
    catalog: Catalog, name: TableName, schema: list[dict[str, Any]], source: _Source, resource: dict[str, Any]
) -> int:
    fields = columns(schema)

    def work(cursor: DuckDBPyConnection) -> tuple[str | None, int]:
        physical = catalog.create_rows(cursor, fields)
        return physical, 0 if physical is None else _insert(cursor, physical, schema, source)

    physical, rows = catalog.engine.write(work)
    before = catalog.find_table(name)
    catalog.keep_table(name, {**resource, "schema": {"fields": schema}}, physical)
    if before is not None:
        catalog.engine.drop(before["physical"])
    return rows


def _append(
    catalog: Catalog,
    name: TableName,
    document: dict[str, Any],
    schema: list[dict[str, Any]],
    source: _Source,
    *,
    may_grow: bool,
) -> int:
    old = document["resource"].get("schema", {}).get("fields", [])
    if not old:
        return _replace(catalog, name, schema, source, _kept(document))
    try:
        # Columns that are new to the table can't be REQUIRED: its present rows have no values for them.
        united, grown = union_schema(old, [relaxed(field) for field in schema])
        if grown and not may_grow:
            _refuse_growth(old, united)
    except SchemaMismatchError as error:
        raise invalid(f"Provided Schema does not match Table {name.text}. {error}") from None
    physical = document["physical"]
    by_name = {field["name"].lower(): field for field in united}
    used = [by_name[field["name"].lower()] for field in schema]

    def work(cursor: DuckDBPyConnection) -> tuple[str, int]:
        target = reshape_table(catalog, cursor, physical, columns(old), columns(united)) if grown else physical
        return target, _insert(cursor, target, united, source, {field["name"] for field in used})

    target, rows = catalog.engine.write(work)
    if catalog.find_table(name) is None:
        if target != physical:
            catalog.engine.drop(target)
        raise no_table(name)
    catalog.keep_table(name, {**document["resource"], "schema": {"fields": united}}, target)
    if target != physical:
        catalog.engine.drop(physical)
    return rows


def _refuse_growth(old: list[dict[str, Any]], united: list[dict[str, Any]], path: str = "") -> None:
    if len(united) > len(old):
        raise SchemaMismatchError(f"Cannot add fields (field: {path}{united[len(old)]['name']})")
    for before, after in zip(old, united, strict=True):
        if before["type"] == "RECORD":
            _refuse_growth(before["fields"], after["fields"], f"{path}{before['name']}.")


def reshape_table(
    catalog: Catalog,
    cursor: DuckDBPyConnection,
    physical: str,
    old: tuple[Field, ...],
    new: tuple[Field, ...],
) -> str:
    """A copy of a table of rows with other columns, matched by name; returns the copy's name."""
    target = catalog.engine.new_name()
    known = {field.name.lower(): field for field in old}
    parts = []
    for field in new:
        before = known.get(field.name.lower())
        value = absent(field.type) if before is None else reshaped(quoted(before.name), before.type, field.type)
        parts.append(f"{value} AS {quoted(field.name)}")
    cursor.execute(f'CREATE TABLE "{target}" AS SELECT {", ".join(parts)} FROM "{physical}"')
    return target


def _insert(
    cursor: DuckDBPyConnection,
    physical: str,
    schema: list[dict[str, Any]],
    source: _Source,
    used: set[str] | None = None,
) -> int:
    """Insert the lines of the files; columns outside ``used`` are not looked for in them."""
    import duckdb

    files = [file for file in source.files if file.stat().st_size]
    if not files:
        return 0
    fields = columns(schema)
    read = [field for field in fields if used is None or field.name in used]
    rest = [field for field in fields if field not in read and field.type.kind == "ARRAY"]
    kinds = {
        field.name: _transposed(field.type) if field.name in source.columnar else _read_as(field.type) for field in read
    }
    shapes = ", ".join(f"{text(name)}: {text(duckdb_type(kind))}" for name, kind in kinds.items())
    values = [
        _zipped(quoted(field.name), field.type)
        if field.name in source.columnar
        else lifted(_decoded(quoted(field.name), field.type), field.type)
        for field in read
    ] + ["[]" for _ in rest]
    names = ", ".join(quoted(field.name) for field in [*read, *rest])
    paths = ", ".join(text(str(file)) for file in files)
    sql = (
        f'INSERT INTO "{physical}" ({names}) SELECT {", ".join(values)} FROM read_json([{paths}], '
        f"format = 'newline_delimited', columns = {{{shapes}}}, maximum_object_size = {source.longest})"
    )
    try:
        inserted = cursor.execute(sql).fetchone()
    except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException) as error:
        if "maximum_object_size" in str(error) and source.longest < LINE_LENGTHS[-1]:
            raise _LongLineError from None
        raise invalid(f"Error while reading data, error message: {_first_line(error)}") from None
    rows = int(inserted[0]) if inserted else 0
    required = [field["name"] for field in schema if field["mode"] == "REQUIRED"]
    for column in required:
        ((missing,),) = cursor.execute(f'SELECT count(*) FROM "{physical}" WHERE {quoted(column)} IS NULL').fetchall()
        if missing:
            raise invalid(f"Error while reading data, error message: Missing required field: {column}.")
    return rows


def _transposed(kind: Type) -> Type:
    """An array of records as a record of arrays."""
    fields = kind.element.fields if kind.element is not None else ()
    return Type("STRUCT", fields=tuple(Field(field.name, Type("ARRAY", element=field.type)) for field in fields))


def _zipped(expression: str, kind: Type) -> str:
    """The array of records that a record of arrays stands for."""
    names = [field.name for field in kind.element.fields] if kind.element is not None else []
    arrays = ", ".join(member(expression, name) for name in names)
    return f"coalesce(CAST(list_zip({arrays}) AS {duckdb_type(kind)}), [])"


def _first_line(error: Exception) -> str:
    line = str(error).splitlines()[0]
    # Where the emulator keeps the rows in between is nobody's business.
    return re.sub(r'in file "[^"]*"', "in the data", line.partition("Error: ")[2] or line)


def _read_as(kind: Type) -> Type:
    """The type under which a value is read from JSON: BYTES come as text."""
    if kind.kind == "ARRAY" and kind.element is not None:
        return Type("ARRAY", element=_read_as(kind.element))
    if kind.kind == "STRUCT":
        return Type("STRUCT", fields=tuple(Field(field.name, _read_as(field.type)) for field in kind.fields))
    return Type("STRING") if kind.kind == "BYTES" else kind


def _decoded(expression: str, kind: Type, depth: int = 0) -> str:
    if _read_as(kind) == kind:
        return expression
    if kind.kind == "ARRAY" and kind.element is not None:
        name = f"b{depth}"
        return f"list_transform({expression}, lambda {name}: {_decoded(name, kind.element, depth + 1)})"
    if kind.kind == "STRUCT":
        parts = ", ".join(
            f"{quoted(field.name)} := {_decoded(member(expression, field.name), field.type, depth)}"
            for field in kind.fields
        )
        return f"CASE WHEN {expression} IS NOT NULL THEN struct_pack({parts}) END"
    return f"from_base64({expression})"


# --- rows as clients send them ---------------------------------------------------------------------------------


class BadRowError(Exception):
    """A row that does not fit the schema; the first argument is the message, ``location`` the field."""

    def __init__(self, message: str, location: str = "", reason: str = "invalid") -> None:
        super().__init__(message)
        self.location = location
        self.reason = reason


class RowReader:
    """Turns rows as clients write them into the canonical form that :func:`put_rows` takes.

    Args:
        schema: the table's columns.
        ignore_unknown: leave fields that the schema lacks out instead of refusing them.
    """

    def __init__(self, schema: list[dict[str, Any]], *, ignore_unknown: bool = False) -> None:
        self._schema = schema
        self._ignore_unknown = ignore_unknown

    def row(self, given: Any) -> dict[str, Any]:
        """One row.

        Raises:
            BadRowError: a field is unknown, missing, or has a value of another type.
        """
        if not isinstance(given, dict):
            raise BadRowError(f"A row is a JSON object, not {type(given).__name__}")
        return self._record(self._schema, given, "")

    def _record(self, fields: list[dict[str, Any]], given: dict[str, Any], path: str) -> dict[str, Any]:
        values = {key.lower(): value for key, value in given.items()}
        made: dict[str, Any] = {}
        for field in fields:
            value = values.pop(field["name"].lower(), None)
            shown = f"{path}{field['name']}"
            if field["mode"] == "REPEATED":
                made[field["name"]] = self._repeated(field, value, shown)
            elif value is not None:
                made[field["name"]] = self._value(field, value, shown)
            elif field["mode"] == "REQUIRED":
                raise BadRowError(f"Missing required field: {shown}.", shown)
        if values and not self._ignore_unknown:
            name = next(key for key in given if key.lower() in values)
            raise BadRowError(f"no such field: {path}{name}.", f"{path}{name}")
        return made

    def _repeated(self, field: dict[str, Any], value: Any, shown: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            # A single value is taken as an array of one.
            value = [value]
        if any(item is None for item in value):
            raise BadRowError(f"Only optional fields can be set to NULL. Field: {shown}; Value: NULL", shown)
        return [self._value(field, item, shown) for item in value]

    def _value(self, field: dict[str, Any], value: Any, shown: str) -> Any:
        kind = field["type"]
        if kind == "RECORD":
            if not isinstance(value, dict):
                raise BadRowError(f"This field: {shown} is a record.", shown)
            return self._record(field["fields"], value, f"{shown}.")
        if isinstance(value, (dict, list)) and kind != "JSON":
            if isinstance(value, list):
                raise BadRowError(f"Array specified for non-repeated field: {shown}.", shown)
            raise BadRowError(f"This field: {shown} is not a record.", shown)
        try:
            return READERS[kind](value)
        except (ValueError, InvalidOperation, OverflowError, binascii.Error):
            raise BadRowError(
                f"Cannot convert value to {_SPOKEN.get(kind, kind.lower())} (bad value): {value}", shown
            ) from None


_SPOKEN = {"INTEGER": "integer", "FLOAT": "double", "BOOLEAN": "bool"}
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")
_STAMP = re.compile(
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?)?"
    r"\s*(Z|z|UTC|[+-]\d{1,2}(?::?\d{2})?|[A-Za-z]+/[A-Za-z_/]+)?"
)
_CLOCK = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?")


def integer(value: Any) -> int:
    """An INT64 from JSON."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value.strip()):
            raise ValueError(value)
        value = int(value.strip().partition(".")[0])
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(value)
        value = int(value)
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError(value)
    return value


def _float(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(value)  # noqa: TRY004 - all unfit values end alike
    number = float(value)
    # JSON has no word for these; DuckDB reads them as text.
    return number if number == number and abs(number) != float("inf") else str(number)


def boolean(value: Any) -> bool:
    """A BOOL from JSON."""
    if isinstance(value, bool):
        return value
    known = {"true": True, "t": True, "yes": True, "y": True, "1": True}
    known |= {"false": False, "f": False, "no": False, "n": False, "0": False}
    if isinstance(value, (int, str)) and str(value).strip().lower() in known:
        return known[str(value).strip().lower()]
    raise ValueError(value)


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _decimal(scale: int) -> Any:
    def read(value: Any) -> str:
        number = Decimal(str(value))
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or -exponent > scale:
            raise ValueError(value)
        return format(number, "f")

    return read


def _date(value: Any) -> str:
    found = _STAMP.fullmatch(str(value))
    if found is None or found[4] or found[8]:
        raise ValueError(value)
    return dt.date(int(found[1]), int(found[2]), int(found[3])).isoformat()


def _clock(hour: str | None, minute: str | None, second: str | None, fraction: str | None) -> dt.time:
    micros = int((fraction or "").ljust(6, "0")[:6])
    return dt.time(int(hour or 0), int(minute or 0), min(int(second or 0), 59), micros)


def _at(day: dt.date, found: re.Match[str], first: int) -> dt.datetime:
    """A day with the clock of four groups; a leap second is the first second of the next minute."""
    clock = _clock(found[first], found[first + 1], found[first + 2], found[first + 3])
    if int(found[first + 2] or 0) == 60:
        return dt.datetime.combine(day, clock.replace(microsecond=0)) + dt.timedelta(seconds=1)
    return dt.datetime.combine(day, clock)


def _time(value: Any) -> str:
    found = _CLOCK.fullmatch(str(value))
    if found is None:
        raise ValueError(value)
    return _at(dt.date(2000, 1, 1), found, 1).time().isoformat()


def _datetime(value: Any) -> str:
    found = _STAMP.fullmatch(str(value))
    if found is None or found[8]:
        raise ValueError(value)
    day = dt.date(int(found[1]), int(found[2]), int(found[3]))
    return _at(day, found, 4).isoformat(" ")


def timestamp(value: Any) -> dt.datetime:
    """A TIMESTAMP from JSON or a parameter, as UTC without a zone: text, or seconds since 1970."""
    epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - UTC by definition
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return epoch + dt.timedelta(microseconds=round(Decimal(str(value)) * 1_000_000))
    shown = str(value).strip()
    if re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", shown):
        return epoch + dt.timedelta(microseconds=round(Decimal(shown) * 1_000_000))
    found = _STAMP.fullmatch(shown)
    if found is None:
        raise ValueError(value)
    day = dt.date(int(found[1]), int(found[2]), int(found[3]))
    moment = _at(day, found, 4)
    zone = found[8] or "Z"
    if zone in ("Z", "z", "UTC"):
        return moment
    if zone[0] in "+-":
        hours, minutes = zone[1:].replace(":", "").ljust(3, "0"), "0"
        digits = zone[1:].replace(":", "")
        hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
        offset = dt.timedelta(hours=int(hours), minutes=int(minutes))
        return moment - offset if zone[0] == "+" else moment + offset
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return moment.replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC).replace(tzinfo=None)
    except ZoneInfoNotFoundError:
        raise ValueError(value) from None


def _bytes(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004 - all unfit values end alike
    padded = value.replace("-", "+").replace("_", "/")
    raw = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    return base64.b64encode(raw).decode()


def _json(value: Any) -> Any:
    if isinstance(value, str):
        # Text holds JSON; what is not JSON is refused.
        return json.loads(value)
    return value


#: How a value of a column is read from JSON, by the schema's name of the type.
READERS: dict[str, Any] = {
    "INTEGER": integer,
    "FLOAT": _float,
    "BOOLEAN": boolean,
    "STRING": _string,
    "NUMERIC": _decimal(9),
    "BIGNUMERIC": _decimal(38),
    "DATE": _date,
    "TIME": _time,
    "DATETIME": _datetime,
    "TIMESTAMP": lambda value: timestamp(value).isoformat(" "),
    "BYTES": _bytes,
    "JSON": _json,
    "INTERVAL": _string,
}


def append_rows(catalog: Catalog, name: TableName, schema: list[dict[str, Any]], rows: list[dict[str, Any]]) -> int:
    """Append a few canonical rows; columns that the table lacks are added. See :func:`put_rows`."""
    with tempfile.TemporaryDirectory(prefix="rows-", dir=catalog.emulator.state.temporary) as folder:
        file = Path(folder) / "rows.ndjson"
        with file.open("w", encoding="utf-8") as out:
            for row in rows:
                out.write(json.dumps(row, separators=(",", ":")) + "\n")
        return put_rows(catalog, name, schema, [file], "WRITE_APPEND")


def refuse_bad_row(error: BadRowError) -> ApiError:
    """A bad row as the error of a whole job."""
    return invalid(f"Error while reading data, error message: JSON parsing error in row: {error}")
