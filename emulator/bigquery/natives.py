"""Functions that DuckDB lacks, written in Python and called from its SQL as ``sql_…``.

They are slow, some ten thousand calls a second: what DuckDB can do, it does.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def _each_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - the handler is used for decoding only
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("each-byte", _each_byte)


def decoded(data: bytes) -> str:
    """BYTES as text, each byte that is not UTF-8 as U+FFFD."""
    return data.decode("utf-8", "each-byte")


def json_keys(document: str, depth: int | None, mode: str) -> list[str]:
    """The paths of the members of a JSON value, sorted, each once.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_keys

    Args:
        document: JSON text.
        depth: how deep to look; None for everywhere.
        mode: ``strict`` leaves arrays alone, ``lax`` looks into them, ``lax recursive`` into arrays of arrays too.

    Raises:
        ValueError: the depth is not positive, or there is no such mode.
    """
    if depth is not None and depth <= 0:
        raise ValueError("max_depth must be positive.")
    if mode.lower() not in ("strict", "lax", "lax recursive"):
        raise ValueError(f"Invalid JSON mode: {mode}")
    return sorted(set(_keys(json.loads(document), "", depth, mode.lower(), 0)))


def _keys(value: Any, path: str, depth: int | None, mode: str, arrays: int) -> Iterator[str]:
    if isinstance(value, list):
        if mode == "lax recursive" or (mode == "lax" and arrays == 0):
            for item in value:
                yield from _keys(item, path, depth, mode, arrays + 1)
        return
    if not isinstance(value, dict) or depth == 0:
        return
    for name, inner in value.items():
        plain = name.replace("_", "a").isalnum() and name.isascii() and not name[0].isdigit()
        shown = name if plain else json.dumps(name, ensure_ascii=False)
        at = f"{path}.{shown}" if path else shown
        yield at
        yield from _keys(inner, at, None if depth is None else depth - 1, mode, 0)


#: name, function, types of its arguments, type of its result, all as DuckDB has them; and whether it takes NULLs.
_FUNCTIONS: tuple[tuple[str, Callable[..., Any], list[str], str, bool], ...] = (
    ("sql_upper", str.upper, ["VARCHAR"], "VARCHAR", False),
    ("sql_lower", str.lower, ["VARCHAR"], "VARCHAR", False),
    ("sql_upper_bytes", lambda data: data.upper(), ["BLOB"], "BLOB", False),
    ("sql_lower_bytes", lambda data: data.lower(), ["BLOB"], "BLOB", False),
    ("sql_decoded", decoded, ["BLOB"], "VARCHAR", False),
    ("sql_json_keys", json_keys, ["VARCHAR", "BIGINT", "VARCHAR"], "VARCHAR[]", True),
)


def register(connection: DuckDBPyConnection) -> None:
    """Make the functions known to a database."""
    import duckdb
    from duckdb.func import FunctionNullHandling

    for name, function, arguments, result, nulls in _FUNCTIONS:
        types: list[Any] = [duckdb.sqltype(one) for one in arguments]
        handling = FunctionNullHandling.SPECIAL if nulls else FunctionNullHandling.DEFAULT
        connection.create_function(name, function, types, duckdb.sqltype(result), null_handling=handling)
