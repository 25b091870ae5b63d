"""Functions that DuckDB lacks, written in Python and called from its SQL as ``sql_…``.

They are slow, some ten thousand calls a second: what DuckDB can do, it does.
"""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
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


def json_changed(
    function: str, document: str, paths: list[str], texts: list[str], spread: list[bool], each: bool
) -> str:
    """A JSON value with others put in; what a path can't reach is left as it is.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_set, and those of
    JSON_ARRAY_APPEND and JSON_ARRAY_INSERT.

    Args:
        function: which of the three.
        document: JSON text.
        paths: where the values belong.
        texts: the values, as JSON text.
        spread: which of them were SQL arrays, whose elements are put in one by one.
        each: whether that is wanted; for JSON_SET, whether what is missing is made.

    Raises:
        ValueError: JSON_ARRAY_INSERT with a path that does not end with an index.
    """
    root: list[Any] = [json.loads(document)]
    for path, text, was_array in zip(paths, texts, spread, strict=True):
        steps: list[str | int] = [0, *_steps(path)]
        value = json.loads(text)
        if function == "JSON_SET":
            _put(root, steps, value, create=each)
            continue
        items = value if was_array and each and isinstance(value, list) else [value]
        if function == "JSON_ARRAY_APPEND":
            holder, last = _holder(root, steps)
            if holder is None or not _has(holder, last):
                continue
            if holder[last] is None:
                holder[last] = []
            if isinstance(holder[last], list):
                holder[last] += items
            continue
        last = steps.pop()
        if not isinstance(last, int) or not steps:
            raise ValueError("The JSONPath of JSON_ARRAY_INSERT must end with an array index")
        holder, key = _holder(root, steps)
        if holder is None or not _has(holder, key):
            continue
        if holder[key] is None:
            holder[key] = []
        target: Any = holder[key]
        if isinstance(target, list):
            target += [None] * (last - len(target))
            target[last:last] = items
    return _text(root[0])


def _steps(path: str) -> list[str | int]:
    """The members and indexes of a path in the spelling of the compiler: ``$."a"[0]``."""
    found: list[str | int] = []
    for name, index in re.findall(r'\."((?:\\.|[^"\\])*)"|\[(\d+)\]', path):
        found.append(int(index) if index else name.replace('\\"', '"'))
    return found


def _has(holder: Any, key: str | int) -> bool:
    if isinstance(holder, list):
        return isinstance(key, int) and key < len(holder)
    return isinstance(holder, dict) and isinstance(key, str) and key in holder


def _holder(root: list[Any], steps: list[str | int]) -> tuple[Any, str | int]:
    """What holds the value at the end of a path, and its key there; None if the way breaks off before."""
    holder: Any = root
    for step in steps[:-1]:
        if not _has(holder, step):
            return None, 0
        holder = holder[step]
    return holder, steps[-1]


def _put(root: list[Any], steps: list[str | int], value: Any, *, create: bool) -> None:
    # What stands in the way is found before anything is made.
    holder: Any = root
    for index, step in enumerate(steps):
        if _has(holder, step):
            if index == len(steps) - 1:
                holder[step] = value
                return
            inner = holder[step]
            if inner is None and create:
                holder[step] = _made(steps[index + 1 :], value)
                return
            holder = inner
            continue
        if not create or not isinstance(holder, list if isinstance(step, int) else dict):
            return
        made = _made(steps[index + 1 :], value)
        if isinstance(holder, list) and isinstance(step, int):
            holder += [None] * (step - len(holder))
            holder.append(made)
        elif isinstance(holder, dict):
            holder[step] = made
        return


def _made(steps: list[str | int], value: Any) -> Any:
    """Objects and arrays that hold nothing but a value at the end of a path."""
    for step in reversed(steps):
        value = [*[None] * step, value] if isinstance(step, int) else {step: value}
    return value


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def json_removed(document: str, paths: list[str]) -> str:
    """A JSON value without what is at the paths.

    Raises:
        ValueError: a path is ``$``.
    """
    root: list[Any] = [json.loads(document)]
    for path in paths:
        steps = _steps(path)
        if not steps:
            raise ValueError("The JSONPath cannot be '$'")
        holder, last = _holder(root, [0, *steps])
        if holder is not None and _has(holder, last):
            del holder[last]
    return _text(root[0])


def json_stripped(document: str, path: str, arrays: bool, empty: bool) -> str:
    """A JSON value without JSON nulls at and below a path.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_strip_nulls

    Args:
        document: JSON text.
        path: where to begin.
        arrays: in arrays too.
        empty: without objects and arrays that have nothing left, too.
    """
    root: list[Any] = [json.loads(document)]
    holder, last = _holder(root, [0, *_steps(path)])
    if holder is not None and _has(holder, last):
        holder[last] = _without_nulls(holder[last], arrays=arrays, empty=empty)
    return _text(root[0])


def _without_nulls(value: Any, *, arrays: bool, empty: bool) -> Any:
    if isinstance(value, dict):
        kept: Any = {key: _without_nulls(inner, arrays=arrays, empty=empty) for key, inner in value.items()}
        kept = {key: inner for key, inner in kept.items() if inner is not None}
        return None if empty and not kept else kept
    if isinstance(value, list) and arrays:
        kept = [_without_nulls(inner, arrays=arrays, empty=empty) for inner in value]
        kept = [inner for inner in kept if inner is not None]
        return None if empty and not kept else kept
    return value


def json_flattened(document: str) -> list[str]:
    """The elements of nested JSON arrays, all on one level, as JSON text; a value that is no array stays one."""

    def flat(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            for inner in value:
                yield from flat(inner)
        else:
            yield value

    return [_text(one) for one in flat(json.loads(document))]


def instr(value: str, part: str, position: int, occurrence: int) -> int:
    """Where text stands in other text, from 1; 0 if it does not.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions#instr

    Raises:
        ValueError: the position is 0, or the occurrence less than 1.
    """
    if position == 0:
        raise ValueError("Argument position of INSTR cannot be 0")
    if occurrence < 1:
        raise ValueError("Argument occurrence of INSTR must be at least 1")
    at = position - 1 if position > 0 else len(value) + position
    for _ in range(occurrence):
        found = value.find(part, at) if position > 0 else (value.rfind(part, 0, at + len(part)) if at >= 0 else -1)
        if found < 0:
            return 0
        at = found + (1 if position > 0 else -1)
    return found + 1


def regexp_extract(value: str | None, pattern: str | None, position: int | None, occurrence: int | None) -> str | None:
    """The part of a text that a regular expression of RE2 finds from a position on; None if it finds none.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions#regexp_extract

    Raises:
        ValueError: the pattern is not one, has several groups, or a number is less than 1.
    """
    import re2

    if value is None or pattern is None or position is None or occurrence is None:
        return None
    if position < 1 or occurrence < 1:
        raise ValueError("Arguments position and occurrence of REGEXP_EXTRACT must be at least 1")
    try:
        compiled = re2.compile(pattern)
    except re2.error as error:
        raise ValueError(f"Cannot parse regular expression: {error}") from None
    if compiled.groups > 1:
        raise ValueError(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group"
        )
    if position > len(value) + 1:
        return None
    for number, found in enumerate(compiled.finditer(value, position - 1), 1):
        if number == occurrence:
            taken: str | None = found.group(compiled.groups)
            return taken
    return None


def normalized(value: str, form: str, fold: bool) -> str:
    """Text in a normal form of Unicode, with letters of one case if ``fold``."""
    made = unicodedata.normalize(form, value)  # type: ignore[arg-type] # one of the four forms
    return unicodedata.normalize(form, made.casefold()) if fold else made  # type: ignore[arg-type] # as above


def fingerprint(data: bytes) -> int:
    """The 64-bit fingerprint of FarmHash, as an INT64."""
    import farmhash

    made: int = farmhash.fingerprint64(data)
    return made - 2**64 if made >= 2**63 else made


#: name, function, types of its arguments, type of its result, all as DuckDB has them; and whether it takes NULLs.
_FUNCTIONS: tuple[tuple[str, Callable[..., Any], list[str], str, bool], ...] = (
    ("sql_upper", str.upper, ["VARCHAR"], "VARCHAR", False),
    ("sql_lower", str.lower, ["VARCHAR"], "VARCHAR", False),
    ("sql_upper_bytes", lambda data: data.upper(), ["BLOB"], "BLOB", False),
    ("sql_lower_bytes", lambda data: data.lower(), ["BLOB"], "BLOB", False),
    ("sql_decoded", decoded, ["BLOB"], "VARCHAR", False),
    ("sql_instr", instr, ["VARCHAR", "VARCHAR", "BIGINT", "BIGINT"], "BIGINT", False),
    ("sql_regexp_extract", regexp_extract, ["VARCHAR", "VARCHAR", "BIGINT", "BIGINT"], "VARCHAR", True),
    ("sql_normalized", normalized, ["VARCHAR", "VARCHAR", "BOOLEAN"], "VARCHAR", False),
    ("sql_fingerprint", fingerprint, ["BLOB"], "BIGINT", False),
    (
        "sql_json_changed",
        json_changed,
        ["VARCHAR", "VARCHAR", "VARCHAR[]", "VARCHAR[]", "BOOLEAN[]", "BOOLEAN"],
        "VARCHAR",
        False,
    ),
    ("sql_json_removed", json_removed, ["VARCHAR", "VARCHAR[]"], "VARCHAR", False),
    ("sql_json_stripped", json_stripped, ["VARCHAR", "VARCHAR", "BOOLEAN", "BOOLEAN"], "VARCHAR", False),
    ("sql_json_flattened", json_flattened, ["VARCHAR"], "VARCHAR[]", False),
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
