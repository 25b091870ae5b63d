"""Functions whose arguments are read in their own way: conditions, strings, arrays, JSON, FORMAT."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import BOOL, FLOAT64, INT64, JSON, NUMERIC, SCALARS, STRING, Type, array, duckdb_type, member, text
from . import values
from .functions import Handler, no_signature
from .values import Expr, supertype

if TYPE_CHECKING:
    from .queries import Compiler


def _arguments(c: Compiler, name: str, nodes: list[Any], node: Any, least: int, most: int) -> list[Expr]:
    if not least <= len(nodes) <= most:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} argument(s)", node)
    return [c.compile(one) for one in nodes]


def _typed(
    c: Compiler, name: str, nodes: list[Any], node: Any, kinds: list[Type], least: int | None = None
) -> list[Expr]:
    """Arguments of fixed types; those beyond ``least`` may be left out."""
    given = _arguments(c, name, nodes, node, len(kinds) if least is None else least, len(kinds))
    made = []
    for value, kind in zip(given, kinds, strict=False):
        fitted = values.coerced(value, kind)
        if fitted is None:
            raise no_signature(c, name, given, node)
        made.append(fitted)
    return made


# --- conditions ---


def _coalesce(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 1, 1000)
    if name == "IFNULL" and len(given) != 2:
        raise no_signature(c, name, given, node)
    kind = c.common(given, name, node)
    return Expr(f"coalesce({', '.join(c.needed(value, kind, node).sql for value in given)})", kind)


def _nullif(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    a, b = _arguments(c, name, nodes, node, 2, 2)
    left, right = c.comparable(a, b, "=", node)
    return Expr(f"nullif({left.sql}, {right.sql})", left.type)


def _extreme(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 1, 1000)
    kind = c.common(given, name, node)
    if kind.kind in ("ARRAY", "STRUCT", "JSON"):
        raise no_signature(c, name, given, node)
    parts = [c.needed(value, kind, node).sql for value in given]
    nulls = " OR ".join(f"{part} IS NULL" for part in parts)
    return Expr(f"CASE WHEN {nulls} THEN NULL ELSE {name.lower()}({', '.join(parts)}) END", kind)


def _error(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = _typed(c, name, nodes, node, [STRING])
    return Expr("NULL" if c.safe else f"CAST(error({value.sql}) AS BIGINT)", Type("NULL"))


def _if(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 3:
        raise c.error(f"No matching signature for function {name} with {len(nodes)} argument(s)", node)
    return c.compile(exp.If(this=nodes[0], true=nodes[1], false=nodes[2]))


# --- numbers ---


def _round(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 1, 2)
    kind = NUMERIC if given[0].type.kind in ("NUMERIC", "BIGNUMERIC") else FLOAT64
    value = c.needed(given[0], kind, node) if values.coerced(given[0], kind) else None
    if value is None:
        raise no_signature(c, name, given, node)
    if len(given) == 1:
        return Expr(f"CAST({name.lower()}({value.sql}) AS {duckdb_type(kind)})", kind)
    digits = c.needed(given[1], INT64, node)
    if name == "TRUNC":
        factor = f"power(10::DOUBLE, {digits.sql})"
        return Expr(f"CAST(trunc({value.sql} * {factor}) / {factor} AS {duckdb_type(kind)})", kind)
    return Expr(f"CAST(round({value.sql}, CAST({digits.sql} AS INTEGER)) AS {duckdb_type(kind)})", kind)


def _mod(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    a, b = _arguments(c, name, nodes, node, 2, 2)
    kind = supertype([a, b])
    if kind is None or kind.kind not in ("INT64", "NUMERIC"):
        raise no_signature(c, name, [a, b], node)
    left, right = c.needed(a, kind, node).sql, c.needed(b, kind, node).sql
    guard = c.fail(
        "division by zero: ", f"'{name}(' || CAST({left} AS VARCHAR) || ', ' || CAST({right} AS VARCHAR) || ')'"
    )
    if kind == INT64:
        made = f"({left} {'%' if name == 'MOD' else '//'} {right})"
    elif name == "MOD":
        made = f"({left} % {right})"
    else:
        # What is left out first is no more than the rounding of the quotient could make good again.
        quotient = values.numeric_quotient(f"({left} - {left} % {right})", right)
        made = f"CAST(trunc({quotient}) AS {duckdb_type(kind)})"
    return Expr(f"CASE WHEN {right} = 0 THEN CAST({guard} AS {duckdb_type(kind)}) ELSE {made} END", kind)


def _divide(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    a, b = _arguments(c, name, nodes, node, 2, 2)
    left, right = values.coerced(a, FLOAT64), values.coerced(b, FLOAT64)
    if left is None or right is None:
        raise no_signature(c, name, [a, b], node)
    if name == "IEEE_DIVIDE":
        return Expr(f"({left.sql} / {right.sql})", FLOAT64)
    return c.divided(left, right, FLOAT64, node, zero="NULL")


# --- strings ---


def _concat(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    return c.concatenated(_arguments(c, name, nodes, node, 1, 1000), node, name)


def _substr(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 2, 3)
    if given[0].type.kind == "BYTES":
        raise c.unsupported(f"{name} on BYTES", node)
    value, *numbers = _typed(c, name, nodes, node, [STRING, INT64, INT64], 2)
    start = numbers[0].sql
    # Position 0 is 1; a negative one counts from the end, and one before the start is the start.
    at = f"CASE WHEN {start} = 0 THEN 1 WHEN {start} < -length({value.sql}) THEN 1 ELSE {start} END"
    if numbers[0].constant and isinstance(numbers[0].literal, int) and numbers[0].literal > 0:
        at = start
    if len(numbers) == 1:
        return Expr(f"substring({value.sql}, {at})", STRING)
    length = numbers[1].sql
    problem = c.fail("Third argument in SUBSTR() cannot be negative")
    return Expr(f"CASE WHEN {length} < 0 THEN {problem} ELSE substring({value.sql}, {at}, {length}) END", STRING)


def _trim(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _typed(c, name, nodes, node, [STRING, STRING], 1)
    word = name.lower()
    if len(given) == 1:
        # All white space of Unicode is trimmed, not only blanks.
        body = given[0].sql
        if name in ("TRIM", "LTRIM"):
            body = f"regexp_replace({body}, '^[\\s\\p{{Z}}]+', '')"
        if name in ("TRIM", "RTRIM"):
            body = f"regexp_replace({body}, '[\\s\\p{{Z}}]+$', '')"
        return Expr(body, STRING)
    return Expr(f"{word}({given[0].sql}, {given[1].sql})", STRING)


def _pad(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _typed(c, name, nodes, node, [STRING, INT64, STRING], 2)
    fill = given[2].sql if len(given) == 3 else "' '"
    made = f"{name.lower()}({given[0].sql}, CAST({given[1].sql} AS INTEGER), {fill})"
    return Expr(_bounded(c, name, given[1].sql, made), STRING)


def _bounded(c: Compiler, name: str, size: str, made: str) -> str:
    problem = c.fail(f"Output of {name} exceeds max allowed output size of 1MB")
    return f"CASE WHEN {size} > 1048576 THEN {problem} ELSE {made} END"


def _repeat(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    value, times = _typed(c, name, nodes, node, [STRING, INT64])
    size = f"CAST(strlen({value.sql}) AS HUGEINT) * {times.sql}"
    return Expr(_bounded(c, name, size, f"repeat({value.sql}, {times.sql})"), STRING)


def _split(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _typed(c, name, nodes, node, [STRING, STRING], 1)
    separator = given[1].sql if len(given) == 2 else "','"
    return Expr(f"string_split({given[0].sql}, {separator})", array(STRING))


def _instr(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 2:
        raise c.unsupported("INSTR with a position", node)
    value, part = _typed(c, name, nodes, node, [STRING, STRING])
    return Expr(f"strpos({value.sql}, {part.sql})", INT64)


def _groups(c: Compiler, pattern: Expr, name: str, node: Any) -> int:
    """Capturing groups of a pattern that is written out."""
    if not pattern.constant or not isinstance(pattern.literal, str):
        raise c.unsupported(f"{name} with a pattern that is not a literal or parameter", node)
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "", pattern.literal)
    count = len(re.findall(r"\((?!\?)|\(\?P?<(?![=!])", bare))
    if count > 1:
        raise c.error(
            "Regular expressions passed into extraction functions must not have more than 1 capturing group", node
        )
    return count


def _regexp_extract(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) > 2:
        raise c.unsupported(f"{name} with a position or occurrence", node)
    value, pattern = _typed(c, name, nodes, node, [STRING, STRING])
    group = _groups(c, pattern, name, node)
    if name == "REGEXP_EXTRACT_ALL":
        return Expr(f"regexp_extract_all({value.sql}, {pattern.sql}, {group})", array(STRING))
    found = f"regexp_extract({value.sql}, {pattern.sql}, {group})"
    return Expr(f"CASE WHEN regexp_matches({value.sql}, {pattern.sql}) THEN {found} END", STRING)


def _regexp_replace(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    value, pattern, with_ = _typed(c, name, nodes, node, [STRING, STRING, STRING])
    return Expr(f"regexp_replace({value.sql}, {pattern.sql}, {with_.sql}, 'g')", STRING)


def _regexp_instr(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) > 2:
        raise c.unsupported(f"{name} with a position or occurrence", node)
    value, pattern = _typed(c, name, nodes, node, [STRING, STRING])
    group = _groups(c, pattern, name, node)
    found = f"regexp_extract({value.sql}, {pattern.sql}, {group})"
    return Expr(
        f"CASE WHEN regexp_matches({value.sql}, {pattern.sql}) THEN strpos({value.sql}, {found}) "
        f"WHEN {value.sql} IS NOT NULL THEN 0 END",
        INT64,
    )


#: Characters that end a word for INITCAP, unless the call names others.
_WORD_ENDS = r'\s\[\](){}/|<>!?@"^#$&~_,.:;*%+\-'


def _initcap(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 1:
        raise c.unsupported("INITCAP with delimiters", node)
    (value,) = _typed(c, name, nodes, node, [STRING])
    words = f"regexp_extract_all({value.sql}, {text(f'[^{_WORD_ENDS}]+|[{_WORD_ENDS}]+')})"
    return Expr(f"array_to_string(list_transform({words}, lambda w: upper(w[1]) || lower(w[2:])), '')", STRING)


def _code_points(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = _arguments(c, name, nodes, node, 1, 1)
    if name == "TO_CODE_POINTS":
        if value.type != STRING:
            raise c.unsupported("TO_CODE_POINTS on anything but STRING", node)
        return Expr(
            f"list_transform(regexp_extract_all({value.sql}, '(?s).'), lambda x: CAST(unicode(x) AS BIGINT))",
            array(INT64),
        )
    points = c.needed(value, array(INT64), node)
    return Expr(f"array_to_string(list_transform({points.sql}, lambda x: chr(CAST(x AS INTEGER))), '')", STRING)


# --- arrays ---


def _array_argument(c: Compiler, name: str, value: Expr, node: Any) -> tuple[str, Type]:
    """An array, and its element type. Stored arrays are never NULL, at the lowest level either."""
    if value.type.kind == "NULL":
        return values.null(array(INT64)).sql, INT64
    if value.type.kind != "ARRAY":
        raise no_signature(c, name, [value], node)
    return value.sql, value.type.element or INT64


def _array_length(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = _arguments(c, name, nodes, node, 1, 1)
    sql, _ = _array_argument(c, name, value, node)
    return Expr(f"len({sql})", INT64)


def _array_reverse(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = _arguments(c, name, nodes, node, 1, 1)
    sql, element = _array_argument(c, name, value, node)
    return Expr(f"list_reverse({sql})", array(element))


def _array_concat(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    return c.concatenated(_arguments(c, name, nodes, node, 1, 1000), node, name)


def _array_to_string(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 2, 3)
    sql, element = _array_argument(c, name, given[0], node)
    if element.kind != "STRING":
        raise no_signature(c, name, given, node)
    separator = c.needed(given[1], STRING, node).sql
    if len(given) == 3:
        shown = c.needed(given[2], STRING, node).sql
        sql = f"list_transform({sql}, lambda x: coalesce(x, {shown}))"
    else:
        sql = f"list_filter({sql}, lambda x: x IS NOT NULL)"
    return Expr(
        f"CASE WHEN {given[0].sql} IS NOT NULL THEN coalesce(array_to_string({sql}, {separator}), '') END", STRING
    )


def _array_end(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = _arguments(c, name, nodes, node, 1, 1)
    sql, element = _array_argument(c, name, value, node)
    problem = c.fail(f"{name} cannot get the {'first' if name == 'ARRAY_FIRST' else 'last'} element of an empty array")
    return Expr(
        f"CASE WHEN len({sql}) = 0 THEN {problem} ELSE {sql}[{1 if name == 'ARRAY_FIRST' else -1}] END", element
    )


def _array_slice(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 3, 3)
    sql, element = _array_argument(c, name, given[0], node)
    start, end = (c.needed(one, INT64, node).sql for one in given[1:])
    from_ = f"CASE WHEN {start} < 0 THEN greatest(len({sql}) + {start}, 0) ELSE {start} END"
    to = f"CASE WHEN {end} < 0 THEN len({sql}) + {end} ELSE {end} END"
    return Expr(
        f"CASE WHEN ({to}) < ({from_}) THEN CAST([] AS {duckdb_type(array(element))}) "
        f"ELSE {sql}[({from_}) + 1:({to}) + 1] END",
        array(element),
    )


def _array_includes(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 2, 2)
    return c._in_array(given[1], given[0], "", node)  # noqa: SLF001 - the same operation


def _array_distinct(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = _arguments(c, name, nodes, node, 1, 1)
    sql, _ = _array_argument(c, name, value, node)
    return Expr(
        f"(len(list_distinct({sql})) + CASE WHEN list_count({sql}) < len({sql}) THEN 1 ELSE 0 END = len({sql}))", BOOL
    )


def _generate_array(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    given = _arguments(c, name, nodes, node, 2, 3)
    kind = supertype(given)
    if kind is None or kind.kind not in ("INT64", "FLOAT64"):
        raise c.unsupported(f"{name} of {kind}", node) if kind else no_signature(c, name, given, node)
    start, end, *rest = (c.needed(one, kind, node).sql for one in given)
    step = rest[0] if rest else ("CAST(1 AS BIGINT)" if kind == INT64 else "CAST(1 AS DOUBLE)")
    problem = c.fail("Sequence step cannot be 0.")
    many = c.fail(f"{name} makes more than {_MOST_GENERATED} elements")
    too_many = f"abs(CAST({end} AS DOUBLE) - {start}) / abs({step}) > {_MOST_GENERATED}"
    if kind == INT64:
        made = f"generate_series({start}, {end}, {step})"
        body = f"CASE WHEN {step} = 0 THEN {problem} WHEN {too_many} THEN {many} ELSE {made} END"
    else:
        count = f"CAST(floor(({end} - {start}) / {step} + 1e-9) AS BIGINT)"
        made = f"list_transform(generate_series(CAST(0 AS BIGINT), {count}), lambda x: {start} + x * {step})"
        nothing = "CAST([] AS DOUBLE[])"
        body = f"CASE WHEN {step} = 0 THEN {problem} WHEN {too_many} THEN {many} ELSE {made} END"
        body = f"CASE WHEN {step} <> 0 AND {count} < 0 THEN {nothing} ELSE {body} END"
    nulls = " OR ".join(f"{one} IS NULL" for one in (start, end, step))
    return Expr(f"CASE WHEN {nulls} THEN NULL ELSE {body} END", array(kind))


#: Elements of a generated array; more would take the memory of the whole emulator.
_MOST_GENERATED = 10_000_000


# --- JSON ---

_PATH_PART = re.compile(
    r"""\.(?P<name>[^.\[\]"'\s]+)|\."(?P<quoted>(?:\\.|[^"\\])*)"|\[\s*(?P<index>\d+)\s*\]"""
    r"""|\[\s*'(?P<single>(?:\\.|[^'\\])*)'\s*\]|\[\s*"(?P<double>(?:\\.|[^"\\])*)"\s*\]"""
)


def json_path(c: Compiler, path: Expr, node: Any) -> str:
    """DuckDB's spelling of a JSONPath that is written out."""
    if not path.constant or not isinstance(path.literal, str):
        raise c.error("JSONPath must be a string literal or query parameter", node)
    shown = path.literal
    if not shown.startswith("$"):
        raise c.error(f"Invalid token in JSONPath at: {shown}: JSONPath must start with '$'", node)
    made, at = "$", 1
    while at < len(shown):
        found = _PATH_PART.match(shown, at)
        if found is None:
            raise c.error(f"Invalid token in JSONPath at: {shown[at:]}", node)
        if found["index"] is not None:
            made += f"[{found['index']}]"
        else:
            name = next(
                one for one in (found["name"], found["quoted"], found["single"], found["double"]) if one is not None
            )
            if name == "*":
                raise c.error("Unsupported operator in JSONPath: *", node)
            made += '."' + name.replace('"', '\\"') + '"'
        at = found.end()
    return text(made)


def _json_source(c: Compiler, name: str, nodes: list[Any], node: Any) -> tuple[Expr, str, str]:
    """The JSON argument, its DuckDB expression with text that is no JSON as NULL, and the path."""
    given = _arguments(c, name, nodes, node, 1, 2)
    path = json_path(c, given[1], node) if len(given) == 2 else "'$'"
    value = given[0]
    if value.type.kind == "NULL":
        value = values.null(STRING)
    if value.type.kind == "JSON":
        return value, value.sql, path
    if value.type.kind != "STRING":
        raise no_signature(c, name, given, node)
    return value, f"CASE WHEN json_valid({value.sql}) THEN CAST({value.sql} AS JSON) END", path


def _json_value(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    _, source, path = _json_source(c, name, nodes, node)
    found = f"json_extract({source}, {path})"
    return Expr(
        f"CASE WHEN json_type({found}) NOT IN ('OBJECT', 'ARRAY', 'NULL') "
        f"THEN json_extract_string({source}, {path}) END",
        STRING,
    )


def _json_query(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    value, source, path = _json_source(c, name, nodes, node)
    found = f"json_extract({source}, {path})"
    if value.type == JSON:
        return Expr(found, JSON)
    return Expr(f"CASE WHEN json_type({found}) <> 'NULL' THEN CAST({found} AS VARCHAR) END", STRING)


def _json_array(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    value, source, path = _json_source(c, name, nodes, node)
    found = f"json_extract({source}, {path})"
    items = f"CASE WHEN json_type({found}) = 'ARRAY' THEN CAST({found} AS JSON[]) END"
    if name in ("JSON_VALUE_ARRAY", "JSON_EXTRACT_STRING_ARRAY"):
        scalar = "json_extract_string(x, '$')"
        inner = f"lambda x: CASE WHEN json_type(x) NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN {scalar} END"
        bad = f"len(list_filter({items}, lambda y: json_type(y) IN ('OBJECT', 'ARRAY'))) > 0"
        return Expr(f"CASE WHEN {bad} THEN NULL ELSE list_transform({items}, {inner}) END", array(STRING))
    if value.type == JSON:
        return Expr(items, array(JSON))
    return Expr(f"list_transform({items}, lambda x: CAST(x AS VARCHAR))", array(STRING))


def _parse_json(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) > 1:
        nodes = [one for one in nodes if not isinstance(one, (exp.Kwarg, exp.PropertyEQ))]
    (value,) = _typed(c, name, nodes, node, [STRING])
    problem = c.fail("Invalid input to PARSE_JSON: ", value.sql)
    return Expr(
        f"CASE WHEN {value.sql} IS NULL THEN NULL WHEN json_valid({value.sql}) THEN json({value.sql}) "
        f"ELSE {problem} END",
        JSON,
    )


def _json_type(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = _typed(c, name, nodes, node, [JSON])
    kind = f"json_type({value.sql})"
    return Expr(
        f"CASE {kind} WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string' "
        "WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' "
        f"ELSE CASE WHEN {value.sql} IS NOT NULL THEN 'number' END END",
        STRING,
    )


def _json_keys(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 1:
        raise c.unsupported("JSON_KEYS with a depth or mode", node)
    (value,) = _typed(c, name, nodes, node, [JSON])
    return Expr(f"list_sort(json_keys({value.sql}))", array(STRING))


def json_text(value: Expr, depth: int = 0) -> str:
    """The JSON text of a value (``TO_JSON_STRING``); never NULL."""
    sql, kind = value.sql, value.type
    name = f"j{depth}"
    match kind.kind:
        case "NULL":
            return "'null'"
        case "BOOL":
            body = f"CAST({sql} AS VARCHAR)"
        case "INT64":
            safe = f"abs({sql}) <= 9007199254740991"
            body = f"CASE WHEN {safe} THEN CAST({sql} AS VARCHAR) ELSE '\"' || CAST({sql} AS VARCHAR) || '\"' END"
        case "FLOAT64":
            special = f"isnan({sql}) OR isinf({sql})"
            words = f"CASE WHEN isnan({sql}) THEN '\"NaN\"' WHEN {sql} > 0 THEN '\"Infinity\"' ELSE '\"-Infinity\"' END"
            body = f"CASE WHEN {special} THEN {words} ELSE {values.float_as_text(sql)} END"
        case "NUMERIC" | "BIGNUMERIC":
            body = values.text_of(value) or "''"
        case "BYTES":
            body = f"'\"' || to_base64({sql}) || '\"'"
        case "JSON":
            body = f"CAST(json({sql}) AS VARCHAR)"
        case "TIMESTAMP":
            body = f"'\"' || strftime({sql}, '%Y-%m-%dT%H:%M:%S') || {values.fraction(sql)} || 'Z\"'"
        case "DATETIME":
            body = f"'\"' || strftime({sql}, '%Y-%m-%dT%H:%M:%S') || {values.fraction(sql)} || '\"'"
        case "ARRAY":
            inner = json_text(Expr(name, kind.element or INT64), depth + 1)
            body = f"'[' || coalesce(array_to_string(list_transform({sql}, lambda {name}: {inner}), ','), '') || ']'"
            return f"coalesce({body}, 'null')" if depth == 0 else f"coalesce({body}, '[]')"
        case "STRUCT":
            parts = [
                text(("," if index else "") + _quoted(one.name if not one.anonymous else "") + ":")
                + " || "
                + json_text(Expr(member(sql, one.name), one.type), depth + 1)
                for index, one in enumerate(kind.fields)
            ]
            body = "'{' || " + " || ".join(parts) + " || '}'"
            return f"CASE WHEN {sql} IS NULL THEN 'null' ELSE {body} END"
        case _:
            body = f"CAST(to_json({values.text_of(value)}) AS VARCHAR)"
    return f"coalesce({body}, 'null')"


def _quoted(name: str) -> str:
    import json

    return json.dumps(name, ensure_ascii=False)


def _to_json(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    plain = [one for one in nodes if not isinstance(one, (exp.Kwarg, exp.PropertyEQ))]
    if len(plain) != 1 or len(plain) != len(nodes):
        raise c.unsupported(f"{name} with options", node)
    value = c.compile(plain[0])
    made = json_text(value)
    return Expr(f"({made})", STRING) if name == "TO_JSON_STRING" else Expr(f"CAST({made} AS JSON)", JSON)


def _json_object(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) % 2:
        raise c.error(f"{name} takes keys and values in pairs", node)
    parts = []
    for index in range(0, len(nodes), 2):
        key, value = c.compile(nodes[index]), c.compile(nodes[index + 1])
        lead = "'" + ("," if index else "") + "'"
        parts.append(
            f"{lead} || CAST(to_json({c.needed(key, STRING, node).sql}) AS VARCHAR) || ':' || {json_text(value, 1)}"
        )
    return Expr("CAST('{' || " + " || ".join(parts) + " || '}' AS JSON)" if parts else "CAST('{}' AS JSON)", JSON)


def _json_array_of(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    parts = [json_text(c.compile(one), 1) for one in nodes]
    del name, node
    return Expr(
        "CAST('[' || " + " || ',' || ".join(parts) + " || ']' AS JSON)" if parts else "CAST('[]' AS JSON)", JSON
    )


_JSON_KINDS = {
    "BOOL": ("('BOOLEAN')", "BOOLEAN"),
    "INT64": ("('BIGINT', 'UBIGINT')", "BIGINT"),
    "FLOAT64": ("('BIGINT', 'UBIGINT', 'DOUBLE')", "DOUBLE"),
    "STRING": ("('VARCHAR')", "VARCHAR"),
}


def _from_json(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    """``INT64(json)``, ``STRING(json)``… and ``STRING(timestamp)``."""
    given = _arguments(c, name, nodes, node, 1, 2)
    value = given[0]
    if name == "STRING" and value.type.kind in ("TIMESTAMP", "DATE", "TIME", "DATETIME"):
        if len(given) == 2:
            raise c.unsupported("STRING with a time zone", node)
        return Expr(values.text_of(value) or "", STRING)
    if value.type != JSON:
        raise no_signature(c, name, given, node)
    kinds, into = _JSON_KINDS[name]
    problem = c.fail(f"The provided JSON input is not a{'n integer' if name == 'INT64' else ' ' + name.lower()}")
    taken = f"CAST(json_extract_string({value.sql}, '$') AS {into})"
    return Expr(
        f"CASE WHEN {value.sql} IS NULL THEN NULL WHEN json_type({value.sql}) IN {kinds} THEN {taken} "
        f"ELSE {problem} END",
        SCALARS[name],
    )


# --- FORMAT ---

_SPEC = re.compile(r"%(?P<flags>[-+ 0#']*)(?P<width>\d+)?(?:\.(?P<precision>\d+))?(?P<kind>[a-zA-Z%])")


def _format(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    if not nodes:
        raise c.error(f"No matching signature for function {name} with no arguments", node)
    pattern, *given = [c.compile(one) for one in nodes]
    if not pattern.constant or not isinstance(pattern.literal, str):
        raise c.unsupported("FORMAT with a pattern that is not a literal or parameter", node)
    shown, parts, at, used = pattern.literal, [], 0, 0
    for found in _SPEC.finditer(shown):
        if found.start() > at:
            parts.append(text(shown[at : found.start()]))
        at = found.end()
        if found["kind"] == "%":
            parts.append("'%'")
            continue
        if used >= len(given):
            raise c.error("Too few arguments to FORMAT for pattern " + repr(shown), node)
        parts.append(_formatted(c, found, given[used], node))
        used += 1
    if used < len(given):
        raise c.error("Too many arguments to FORMAT for pattern " + repr(shown), node)
    if at < len(shown):
        parts.append(text(shown[at:]))
    return Expr("(" + " || ".join(parts or ["''"]) + ")", STRING)


def _formatted(c: Compiler, found: re.Match[str], value: Expr, node: Any) -> str:
    kind, flags, width, precision = found["kind"], found["flags"], found["width"], found["precision"]
    if "'" in flags:
        raise c.unsupported("FORMAT with the flag '", node)
    spec = f"%{flags}{width or ''}"
    if kind in "dixXo" and value.type == INT64:
        return f"printf({text(spec + ('d' if kind == 'i' else kind))}, {value.sql})"
    if kind in "fFeEgG" and value.type.kind in ("FLOAT64", "INT64", "NUMERIC"):
        digits = "" if precision is None else f".{precision}"
        if precision is None and kind in "fFeE":
            digits = ".6"
        return f"printf({text(spec + digits + kind)}, CAST({value.sql} AS DOUBLE))"
    if kind == "s" and value.type == STRING:
        body = value.sql if precision is None else f"left({value.sql}, {precision})"
    elif kind in "tT":
        body = _printed(c, value, node, literal=kind == "T")
    else:
        raise c.error(f"Invalid type for argument in FORMAT; Expected another type for %{kind}, got {value.type}", node)
    if width is None:
        return body
    pad = "rpad" if "-" in flags else "lpad"
    return f"CASE WHEN length({body}) >= {width} THEN {body} ELSE {pad}({body}, {width}, ' ') END"


def _printed(c: Compiler, value: Expr, node: Any, *, literal: bool) -> str:
    if value.type.kind == "NULL":
        return "'NULL'"
    if value.type.kind in ("ARRAY", "STRUCT") or (
        literal and value.type.kind not in ("INT64", "STRING", "BOOL", "DATE")
    ):
        raise c.unsupported(f"%{'T' if literal else 't'} in FORMAT with {value.type}", node)
    body = values.text_of(value)
    if value.type.kind == "JSON":
        body = f"CAST({value.sql} AS VARCHAR)"
    if value.type.kind == "FLOAT64":
        body = f"CASE WHEN regexp_full_match({body}, '-?\\d+') THEN {body} || '.0' ELSE {body} END"
    if literal and value.type.kind == "STRING":
        body = f"CAST(to_json({value.sql}) AS VARCHAR)"
    if literal and value.type.kind == "DATE":
        body = f"'DATE \"' || {body} || '\"'"
    return f"coalesce({body}, 'NULL')"


def _session_user(c: Compiler, name: str, nodes: list[Any], node: Any) -> Expr:
    made = c.environment.system_variable("session_user")
    del name, nodes, node
    return made or values.string("owner@example.com")


HANDLERS: dict[str, Handler] = {
    "COALESCE": _coalesce,
    "IFNULL": _coalesce,
    "NULLIF": _nullif,
    "GREATEST": _extreme,
    "LEAST": _extreme,
    "ERROR": _error,
    "IF": _if,
    "ROUND": _round,
    "TRUNC": _round,
    "MOD": _mod,
    "DIV": _mod,
    "SAFE_DIVIDE": _divide,
    "IEEE_DIVIDE": _divide,
    "CONCAT": _concat,
    "SUBSTR": _substr,
    "SUBSTRING": _substr,
    "TRIM": _trim,
    "LTRIM": _trim,
    "RTRIM": _trim,
    "REPEAT": _repeat,
    "LPAD": _pad,
    "RPAD": _pad,
    "SPLIT": _split,
    "INSTR": _instr,
    "INITCAP": _initcap,
    "REGEXP_EXTRACT": _regexp_extract,
    "REGEXP_SUBSTR": _regexp_extract,
    "REGEXP_EXTRACT_ALL": _regexp_extract,
    "REGEXP_REPLACE": _regexp_replace,
    "REGEXP_INSTR": _regexp_instr,
    "TO_CODE_POINTS": _code_points,
    "CODE_POINTS_TO_STRING": _code_points,
    "ARRAY_LENGTH": _array_length,
    "ARRAY_REVERSE": _array_reverse,
    "ARRAY_CONCAT": _array_concat,
    "ARRAY_TO_STRING": _array_to_string,
    "ARRAY_FIRST": _array_end,
    "ARRAY_LAST": _array_end,
    "ARRAY_SLICE": _array_slice,
    "ARRAY_INCLUDES": _array_includes,
    "ARRAY_IS_DISTINCT": _array_distinct,
    "GENERATE_ARRAY": _generate_array,
    "JSON_VALUE": _json_value,
    "JSON_EXTRACT_SCALAR": _json_value,
    "JSON_QUERY": _json_query,
    "JSON_EXTRACT": _json_query,
    "JSON_QUERY_ARRAY": _json_array,
    "JSON_EXTRACT_ARRAY": _json_array,
    "JSON_VALUE_ARRAY": _json_array,
    "JSON_EXTRACT_STRING_ARRAY": _json_array,
    "PARSE_JSON": _parse_json,
    "JSON_TYPE": _json_type,
    "JSON_KEYS": _json_keys,
    "TO_JSON_STRING": _to_json,
    "TO_JSON": _to_json,
    "JSON_OBJECT": _json_object,
    "JSON_ARRAY": _json_array_of,
    "BOOL": _from_json,
    "INT64": _from_json,
    "FLOAT64": _from_json,
    "STRING": _from_json,
    "FORMAT": _format,
    "SESSION_USER": _session_user,
}
