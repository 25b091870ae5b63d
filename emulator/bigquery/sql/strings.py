"""Functions of strings that need more than a template.

https://cloud.google.com/bigquery/docs/reference/standard-sql/string_functions
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..types import BYTES, INT64, STRING, array, text
from .arguments import arguments, typed
from .registry import Handler
from .values import Expr

if TYPE_CHECKING:
    from .names import ExpressionBase


def _concat(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    return c.concatenated(arguments(c, name, nodes, node, 1, 1000), node, name)


def _substr(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 2, 3)
    if given[0].type.kind == "BYTES":
        raise c.unsupported(f"{name} on BYTES", node)
    value, *numbers = typed(c, name, nodes, node, [STRING, INT64, INT64], 2)
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


def _trim(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = typed(c, name, nodes, node, [STRING, STRING], 1)
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


def _pad(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = typed(c, name, nodes, node, [STRING, INT64, STRING], 2)
    fill = given[2].sql if len(given) == 3 else "' '"
    made = f"{name.lower()}({given[0].sql}, CAST({given[1].sql} AS INTEGER), {fill})"
    empty = c.fail(f"Third argument of {name} cannot be empty")
    made = f"CASE WHEN {fill} = '' THEN {empty} ELSE {_bounded(c, name, given[1].sql, made)} END"
    return Expr(_not_negative(c, name, given[1].sql, made), STRING)


def _not_negative(c: ExpressionBase, name: str, number: str, made: str) -> str:
    """An error where the number is negative, as for all lengths and counts of string functions."""
    return f"CASE WHEN {number} < 0 THEN {c.fail(f'Second argument in {name}() cannot be negative')} ELSE {made} END"


def _end(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = arguments(c, name, nodes, node, 2, 2)
    if given[0].type.kind == "BYTES":
        value, count = given[0], c.needed(given[1], INT64, node)
        size = f"least({count.sql}, octet_length({value.sql}))"
        text_ = f"hex({value.sql})"
        taken = f"left({text_}, 2 * {size})" if name == "LEFT" else f"right({text_}, 2 * {size})"
        return Expr(_not_negative(c, name, count.sql, f"unhex({taken})"), BYTES)
    value, count = typed(c, name, nodes, node, [STRING, INT64])
    return Expr(_not_negative(c, name, count.sql, f"{name.lower()}({value.sql}, {count.sql})"), STRING)


#: Letters whose other case has several letters or depends on the place: DuckDB maps letter by letter.
_SPECIAL_CASES = {
    "UPPER": r"[\x{DF}\x{149}\x{1F0}\x{390}\x{3B0}\x{587}\x{1E96}-\x{1E9A}\x{1F50}-\x{1F56}\x{1F80}-\x{1FFC}"
    r"\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}]",
    "LOWER": r"[\x{130}\x{3A3}]",
}


def _case(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    """UPPER and LOWER by the full rules of Unicode; of BYTES, letters of ASCII alone."""
    given = arguments(c, name, nodes, node, 1, 1)
    if given[0].type.kind == "BYTES":
        return Expr(f"sql_{name.lower()}_bytes({given[0].sql})", BYTES)
    (value,) = typed(c, name, nodes, node, [STRING])
    special = f"regexp_matches({value.sql}, {text(_SPECIAL_CASES[name])})"
    word = name.lower()
    return Expr(f"CASE WHEN {special} THEN sql_{word}({value.sql}) ELSE {word}({value.sql}) END", STRING)


def _ascii(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = typed(c, name, nodes, node, [STRING])
    code = f"ascii({value.sql})"
    problem = c.fail("Non-ASCII character found at the start of: ", value.sql)
    return Expr(
        f"CASE WHEN {value.sql} = '' THEN 0 WHEN {code} > 127 THEN CAST({problem} AS BIGINT) "
        f"ELSE CAST({code} AS BIGINT) END",
        INT64,
    )


def _translate(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    value, source, target = typed(c, name, nodes, node, [STRING, STRING, STRING])
    letters = f"regexp_extract_all({source.sql}, '(?s).')"
    problem = c.fail("Duplicate character in source characters of TRANSLATE: ", source.sql)
    return Expr(
        f"CASE WHEN len(list_distinct({letters})) < len({letters}) THEN {problem} "
        f"ELSE translate({value.sql}, {source.sql}, {target.sql}) END",
        STRING,
    )


def _bounded(c: ExpressionBase, name: str, size: str, made: str) -> str:
    problem = c.fail(f"Output of {name} exceeds max allowed output size of 1MB")
    return f"CASE WHEN {size} > 1048576 THEN {problem} ELSE {made} END"


def _repeat(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    value, times = typed(c, name, nodes, node, [STRING, INT64])
    size = f"CAST(strlen({value.sql}) AS HUGEINT) * {times.sql}"
    made = _bounded(c, name, size, f"repeat({value.sql}, {times.sql})")
    return Expr(_not_negative(c, name, times.sql, made), STRING)


def _split(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    given = typed(c, name, nodes, node, [STRING, STRING], 1)
    separator = given[1].sql if len(given) == 2 else "','"
    # DuckDB takes a NULL separator for none.
    made = f"CASE WHEN {separator} IS NOT NULL THEN string_split({given[0].sql}, {separator}) END"
    return Expr(made, array(STRING))


def _instr(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    value, part, *where = typed(c, name, nodes, node, [STRING, STRING, INT64, INT64], 2)
    if not where:
        return Expr(f"strpos({value.sql}, {part.sql})", INT64)
    at, occurrence = (*[one.sql for one in where], "CAST(1 AS BIGINT)")[:2]
    return Expr(_tried(c, f"sql_instr({value.sql}, {part.sql}, {at}, {occurrence})"), INT64)


def _tried(c: ExpressionBase, sql: str) -> str:
    return f"TRY({sql})" if c.safe else sql


def _normalized(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    form = "NFC"
    if len(nodes) == 2:
        form = str(nodes[1].name).upper()
        nodes = nodes[:1]
    if form not in ("NFC", "NFKC", "NFD", "NFKD"):
        raise c.error(f"{form} is not a normalization mode", node)
    (value,) = typed(c, name, nodes, node, [STRING])
    fold = "true" if name.endswith("CASEFOLD") else "false"
    return Expr(f"sql_normalized({value.sql}, '{form}', {fold})", STRING)


def _fingerprint(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = arguments(c, name, nodes, node, 1, 1)
    if value.type.kind == "BYTES":
        return Expr(f"sql_fingerprint({value.sql})", INT64)
    (value,) = typed(c, name, nodes, node, [STRING])
    return Expr(f"sql_fingerprint(encode({value.sql}))", INT64)


def _groups(c: ExpressionBase, pattern: Expr, name: str, node: Any) -> int:
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


def _regexp_extract(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) > 2 and name != "REGEXP_EXTRACT_ALL":
        value, pattern, *where = typed(c, name, nodes, node, [STRING, STRING, INT64, INT64], 2)
        at, occurrence = (*[one.sql for one in where], "CAST(1 AS BIGINT)")[:2]
        return Expr(_tried(c, f"sql_regexp_extract({value.sql}, {pattern.sql}, {at}, {occurrence})"), STRING)
    value, pattern = typed(c, name, nodes, node, [STRING, STRING])
    group = _groups(c, pattern, name, node)
    if name == "REGEXP_EXTRACT_ALL":
        return Expr(f"regexp_extract_all({value.sql}, {pattern.sql}, {group})", array(STRING))
    found = f"regexp_extract({value.sql}, {pattern.sql}, {group})"
    return Expr(f"CASE WHEN regexp_matches({value.sql}, {pattern.sql}) THEN {found} END", STRING)


def _regexp_replace(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    value, pattern, with_ = typed(c, name, nodes, node, [STRING, STRING, STRING])
    return Expr(f"regexp_replace({value.sql}, {pattern.sql}, {with_.sql}, 'g')", STRING)


def _regexp_instr(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) > 2:
        raise c.unsupported(f"{name} with a position or occurrence", node)
    value, pattern = typed(c, name, nodes, node, [STRING, STRING])
    group = _groups(c, pattern, name, node)
    found = f"regexp_extract({value.sql}, {pattern.sql}, {group})"
    return Expr(
        f"CASE WHEN regexp_matches({value.sql}, {pattern.sql}) THEN strpos({value.sql}, {found}) "
        f"WHEN {value.sql} IS NOT NULL THEN 0 END",
        INT64,
    )


#: Characters that end a word for INITCAP, unless the call names others.
_WORD_ENDS = r'\s\[\](){}/|<>!?@"^#$&~_,.:;*%+\-'


def _initcap(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) != 1:
        raise c.unsupported("INITCAP with delimiters", node)
    (value,) = typed(c, name, nodes, node, [STRING])
    words = f"regexp_extract_all({value.sql}, {text(f'[^{_WORD_ENDS}]+|[{_WORD_ENDS}]+')})"
    special = f"regexp_matches(w, {text(_SPECIAL_CASES['UPPER'])})"
    first = f"CASE WHEN {special} THEN sql_upper(w[1]) ELSE upper(w[1]) END"
    return Expr(f"array_to_string(list_transform({words}, lambda w: {first} || lower(w[2:])), '')", STRING)


def _code_points(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = arguments(c, name, nodes, node, 1, 1)
    if name == "TO_CODE_POINTS":
        if value.type != STRING:
            raise c.unsupported("TO_CODE_POINTS on anything but STRING", node)
        return Expr(
            f"list_transform(regexp_extract_all({value.sql}, '(?s).'), lambda x: CAST(unicode(x) AS BIGINT))",
            array(INT64),
        )
    points = c.needed(value, array(INT64), node)
    return Expr(f"array_to_string(list_transform({points.sql}, lambda x: chr(CAST(x AS INTEGER))), '')", STRING)


#: Functions by name.
HANDLERS: dict[str, Handler] = {
    "CONCAT": _concat,
    "SUBSTR": _substr,
    "SUBSTRING": _substr,
    "TRIM": _trim,
    "LTRIM": _trim,
    "RTRIM": _trim,
    "REPEAT": _repeat,
    "LEFT": _end,
    "UPPER": _case,
    "LOWER": _case,
    "RIGHT": _end,
    "ASCII": _ascii,
    "TRANSLATE": _translate,
    "LPAD": _pad,
    "RPAD": _pad,
    "SPLIT": _split,
    "INSTR": _instr,
    "NORMALIZE": _normalized,
    "NORMALIZE_AND_CASEFOLD": _normalized,
    "FARM_FINGERPRINT": _fingerprint,
    "INITCAP": _initcap,
    "REGEXP_EXTRACT": _regexp_extract,
    "REGEXP_SUBSTR": _regexp_extract,
    "REGEXP_EXTRACT_ALL": _regexp_extract,
    "REGEXP_REPLACE": _regexp_replace,
    "REGEXP_INSTR": _regexp_instr,
    "TO_CODE_POINTS": _code_points,
    "CODE_POINTS_TO_STRING": _code_points,
}
