"""JSON functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..types import BOOL, FLOAT64, INT64, JSON, SCALARS, STRING, array, member, text
from . import values
from .arguments import arguments, named_arguments, typed
from .registry import Handler, no_signature
from .values import Expr

if TYPE_CHECKING:
    from .names import ExpressionBase

_PATH_PART = re.compile(
    r"""\.(?P<name>[^.\[\]"'\s]+)|\."(?P<quoted>(?:\\.|[^"\\])*)"|\[\s*(?P<index>\d+)\s*\]"""
    r"""|\[\s*'(?P<single>(?:\\.|[^'\\])*)'\s*\]|\[\s*"(?P<double>(?:\\.|[^"\\])*)"\s*\]"""
)


def json_path(c: ExpressionBase, path: Expr, node: Any) -> str:
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


def _json_source(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> tuple[Expr, str, str]:
    """The JSON argument, its DuckDB expression with text that is no JSON as NULL, and the path."""
    given = arguments(c, name, nodes, node, 1, 2)
    path = json_path(c, given[1], node) if len(given) == 2 else "'$'"
    value = given[0]
    if value.type.kind == "NULL":
        value = values.null(STRING)
    if value.type.kind == "JSON":
        return value, value.sql, path
    if value.type.kind != "STRING":
        raise no_signature(c, name, given, node)
    return value, f"CASE WHEN json_valid({value.sql}) THEN CAST({value.sql} AS JSON) END", path


def _json_value(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    _, source, path = _json_source(c, name, nodes, node)
    found = f"json_extract({source}, {path})"
    return Expr(
        f"CASE WHEN json_type({found}) NOT IN ('OBJECT', 'ARRAY', 'NULL') "
        f"THEN json_extract_string({source}, {path}) END",
        STRING,
    )


def _json_query(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    value, source, path = _json_source(c, name, nodes, node)
    found = f"json_extract({source}, {path})"
    if value.type == JSON:
        return Expr(found, JSON)
    return Expr(f"CASE WHEN json_type({found}) <> 'NULL' THEN CAST({found} AS VARCHAR) END", STRING)


def _json_array(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
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


def _parse_json(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) > 1:
        nodes = [one for one in nodes if not isinstance(one, (exp.Kwarg, exp.PropertyEQ))]
    (value,) = typed(c, name, nodes, node, [STRING])
    problem = c.fail("Invalid input to PARSE_JSON: ", value.sql)
    return Expr(
        f"CASE WHEN {value.sql} IS NULL THEN NULL WHEN json_valid({value.sql}) THEN json({value.sql}) "
        f"ELSE {problem} END",
        JSON,
    )


def _json_type(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = typed(c, name, nodes, node, [JSON])
    kind = f"json_type({value.sql})"
    return Expr(
        f"CASE {kind} WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string' "
        "WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' "
        f"ELSE CASE WHEN {value.sql} IS NOT NULL THEN 'number' END END",
        STRING,
    )


def _json_keys(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    plain, options = named_arguments(c, name, nodes, node, {"mode": STRING})
    given = typed(c, name, plain, node, [JSON, INT64], 1)
    depth = given[1].sql if len(given) == 2 else "CAST(NULL AS BIGINT)"
    mode = options["mode"].sql if "mode" in options else "'strict'"
    made = f"sql_json_keys(CAST({given[0].sql} AS VARCHAR), {depth}, {mode})"
    if len(given) == 2:
        made = f"CASE WHEN {depth} IS NOT NULL THEN {made} END"
    return Expr(f"CASE WHEN {given[0].sql} IS NOT NULL THEN {made} END", array(STRING))


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


def _to_json(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    plain = [one for one in nodes if not isinstance(one, (exp.Kwarg, exp.PropertyEQ))]
    if len(plain) != 1 or len(plain) != len(nodes):
        raise c.unsupported(f"{name} with options", node)
    value = c.compile(plain[0])
    made = json_text(value)
    return Expr(f"({made})", STRING) if name == "TO_JSON_STRING" else Expr(f"CAST({made} AS JSON)", JSON)


def _json_object(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) % 2:
        raise c.error(f"{name} takes keys and values in pairs", node)
    if not nodes:
        return Expr("CAST('{}' AS JSON)", JSON)
    pairs = [(c.compile(nodes[index]), c.compile(nodes[index + 1])) for index in range(0, len(nodes), 2)]
    if len(pairs) == 1 and pairs[0][0].type.kind == "ARRAY":
        raise c.unsupported("JSON_OBJECT of arrays of keys and values", node)
    keys = [c.needed(key, STRING, node).sql for key, _ in pairs]
    members = [
        f"CAST(to_json({key}) AS VARCHAR) || ':' || {json_text(value, 1)}"
        for key, (_, value) in zip(keys, pairs, strict=True)
    ]
    # Of members with one name the first one stays.
    index, other = c.fresh("i"), c.fresh("i")
    names = f"[{', '.join(keys)}]"
    is_first = f"list_position({names}, ({names})[{index} + 1]) = {index} + 1"
    first = f"list_filter(range({len(keys)}), lambda {index}: {is_first})"
    body = f"array_to_string(list_transform({first}, lambda {other}: ([{', '.join(members)}])[{other} + 1]), ',')"
    if len(pairs) == 1 or (
        all(key.constant for key, _ in pairs) and len({key.literal for key, _ in pairs}) == len(pairs)
    ):
        body = " || ',' || ".join(members)
    nulls = " OR ".join(f"{key} IS NULL" for key in keys)
    problem = c.fail("JSON_OBJECT: a key cannot be NULL")
    return Expr(f"CASE WHEN {nulls} THEN CAST({problem} AS JSON) ELSE CAST('{{' || {body} || '}}' AS JSON) END", JSON)


def _json_array_of(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
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


def _from_json(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    """``INT64(json)``, ``STRING(json)``… and ``STRING(timestamp)``."""
    given = arguments(c, name, nodes, node, 1, 2)
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


def _lax(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    """``LAX_INT64`` and its sisters: NULL where nothing can be made of the value.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#lax_converters
    """
    (value,) = typed(c, name, nodes, node, [JSON])
    kind, shown = f"json_type({value.sql})", f"json_extract_string({value.sql}, '$')"
    plain = f"{kind} IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE')"
    number = f"{kind} = 'VARCHAR' AND regexp_full_match({shown}, {text(_NUMBER)})"
    match name:
        case "LAX_BOOL":
            body = (
                f"CASE WHEN {kind} = 'BOOLEAN' THEN {shown} = 'true' WHEN {kind} = 'VARCHAR' THEN "
                f"CASE lower({shown}) WHEN 'true' THEN true WHEN 'false' THEN false END "
                f"WHEN {plain} THEN CAST({shown} AS DOUBLE) <> 0 END"
            )
            return Expr(body, BOOL)
        case "LAX_INT64":
            # As a decimal where it fits, for a double loses digits of large integers.
            exact = f"coalesce(TRY_CAST({shown} AS BIGINT), TRY_CAST(round(TRY_CAST({shown} AS DOUBLE)) AS BIGINT))"
            body = (
                f"CASE WHEN {kind} = 'BOOLEAN' THEN CASE {shown} WHEN 'true' THEN 1 ELSE 0 END "
                f"WHEN {plain} OR ({number}) THEN {exact} END"
            )
            return Expr(f"CAST({body} AS BIGINT)", INT64)
        case "LAX_FLOAT64":
            special = f"{kind} = 'VARCHAR' AND regexp_full_match({shown}, '(?i)[+-]?(nan|inf|infinity)')"
            made = f"CASE WHEN {plain} OR ({number}) OR ({special}) THEN TRY_CAST({shown} AS DOUBLE) END"
            return Expr(made, FLOAT64)
    return Expr(f"CASE WHEN {kind} IN ('BOOLEAN', 'VARCHAR') OR {plain} THEN {shown} END", STRING)


_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


def _changed(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    """``JSON_SET``, ``JSON_ARRAY_APPEND`` and ``JSON_ARRAY_INSERT``: pairs of a path and a value."""
    option = {"JSON_SET": "create_if_missing", "JSON_ARRAY_APPEND": "append_each_element"}.get(
        name, "insert_each_element"
    )
    plain, options = named_arguments(c, name, nodes, node, {option: BOOL})
    if len(plain) < 3 or len(plain) % 2 == 0:
        raise c.error(f"{name} takes a JSON value, and paths and values in pairs", node)
    document = c.compiled(plain[0], JSON, name)
    paths, made, spread = [], [], []
    for index in range(1, len(plain), 2):
        path, value = c.compile(plain[index]), c.compile(plain[index + 1])
        paths.append(json_path(c, path, node))
        made.append(json_text(value))
        spread.append("true" if value.type.kind == "ARRAY" else "false")
    flag = options[option].sql if option in options else "true"
    call = (
        f"sql_json_changed('{name}', CAST({document.sql} AS VARCHAR), [{', '.join(paths)}], [{', '.join(made)}], "
        f"[{', '.join(spread)}], {flag})"
    )
    return Expr(
        f"CASE WHEN {document.sql} IS NOT NULL AND {flag} IS NOT NULL THEN CAST({_try(c, call)} AS JSON) END", JSON
    )


def _try(c: ExpressionBase, sql: str) -> str:
    return f"TRY({sql})" if c.safe else sql


def _removed(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) < 2:
        raise c.error(f"{name} takes a JSON value and paths", node)
    document = c.compiled(nodes[0], JSON, name)
    paths = [json_path(c, c.compile(one), node) for one in nodes[1:]]
    call = f"sql_json_removed(CAST({document.sql} AS VARCHAR), [{', '.join(paths)}])"
    return Expr(f"CASE WHEN {document.sql} IS NOT NULL THEN CAST({_try(c, call)} AS JSON) END", JSON)


def _stripped(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    plain, options = named_arguments(c, name, nodes, node, {"include_arrays": BOOL, "remove_empty": BOOL})
    if not 1 <= len(plain) <= 2:
        raise c.error(f"No matching signature for function {name} with {len(plain)} arguments", node)
    document = c.compiled(plain[0], JSON, name)
    path = json_path(c, c.compile(plain[1]), node) if len(plain) == 2 else "'$'"
    arrays = options["include_arrays"].sql if "include_arrays" in options else "true"
    empty = options["remove_empty"].sql if "remove_empty" in options else "false"
    call = f"sql_json_stripped(CAST({document.sql} AS VARCHAR), {path}, {arrays}, {empty})"
    nulls = " AND ".join(f"{one} IS NOT NULL" for one in (document.sql, arrays, empty))
    return Expr(f"CASE WHEN {nulls} THEN CAST({_try(c, call)} AS JSON) END", JSON)


def _flattened(c: ExpressionBase, name: str, nodes: list[Any], node: Any) -> Expr:
    (value,) = typed(c, name, nodes, node, [JSON])
    made = f"CAST(sql_json_flattened(CAST({value.sql} AS VARCHAR)) AS JSON[])"
    return Expr(f"CASE WHEN {value.sql} IS NOT NULL THEN {made} END", array(JSON))


#: Functions by name.
HANDLERS: dict[str, Handler] = {
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
    "JSON_SET": _changed,
    "JSON_ARRAY_APPEND": _changed,
    "JSON_ARRAY_INSERT": _changed,
    "JSON_REMOVE": _removed,
    "JSON_STRIP_NULLS": _stripped,
    "JSON_FLATTEN": _flattened,
    **dict.fromkeys(("LAX_BOOL", "LAX_FLOAT64", "LAX_INT64", "LAX_STRING"), _lax),
    "TO_JSON_STRING": _to_json,
    "TO_JSON": _to_json,
    "JSON_OBJECT": _json_object,
    "JSON_ARRAY": _json_array_of,
    "BOOL": _from_json,
    "INT64": _from_json,
    "FLOAT64": _from_json,
    "STRING": _from_json,
}
