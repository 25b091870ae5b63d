"""Functions with plain arguments, as a table, and the way from a name to what compiles it.

https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ..types import SCALARS
from . import aggregates, dates, special
from .registry import Handler, no_signature
from .values import Expr, coerced

if TYPE_CHECKING:
    from sqlglot import exp

    from .names import ExpressionBase

#: name, types of arguments, result, DuckDB expression. The first row whose arguments fit is taken, exact ones first.
#: ``=`` in a template's place means "the same as the first argument". {0}, {1}… are the arguments.
_TABLE = r"""
ABS              INT64                   INT64      abs({0})
ABS              FLOAT64                 FLOAT64    abs({0})
ABS              NUMERIC                 NUMERIC    CAST(abs({0}) AS DECIMAL(38,9))
ACOS             FLOAT64                 FLOAT64    acos({0})
ASIN             FLOAT64                 FLOAT64    asin({0})
ATAN             FLOAT64                 FLOAT64    atan({0})
ATAN2            FLOAT64,FLOAT64         FLOAT64    atan2({0}, {1})
BIT_COUNT        INT64                   INT64      CAST(bit_count({0}) AS BIGINT)
BYTE_LENGTH      STRING                  INT64      strlen({0})
BYTE_LENGTH      BYTES                   INT64      octet_length({0})
OCTET_LENGTH     STRING                  INT64      strlen({0})
OCTET_LENGTH     BYTES                   INT64      octet_length({0})
CBRT             FLOAT64                 FLOAT64    cbrt({0})
CEIL             FLOAT64                 FLOAT64    ceil({0})
CEIL             NUMERIC                 NUMERIC    CAST(ceil({0}) AS DECIMAL(38,9))
CEILING          FLOAT64                 FLOAT64    ceil({0})
CEILING          NUMERIC                 NUMERIC    CAST(ceil({0}) AS DECIMAL(38,9))
CHAR_LENGTH      STRING                  INT64      length({0})
CHARACTER_LENGTH STRING                  INT64      length({0})
CHR              INT64                   STRING     chr(CAST({0} AS INTEGER))
CONTAINS_SUBSTR  STRING,STRING           BOOL       contains(lower({0}), lower({1}))
COS              FLOAT64                 FLOAT64    cos({0})
COSH             FLOAT64                 FLOAT64    cosh({0})
COT              FLOAT64                 FLOAT64    cot({0})
DATE_FROM_UNIX_DATE INT64                DATE       (DATE '1970-01-01' + CAST({0} AS INTEGER))
EDIT_DISTANCE    STRING,STRING           INT64      levenshtein({0}, {1})
ENDS_WITH        STRING,STRING           BOOL       ends_with({0}, {1})
EXP              FLOAT64                 FLOAT64    exp({0})
FLOOR            FLOAT64                 FLOAT64    floor({0})
FLOOR            NUMERIC                 NUMERIC    CAST(floor({0}) AS DECIMAL(38,9))
FROM_BASE64      STRING                  BYTES      from_base64({0})
FROM_HEX         STRING                  BYTES      unhex({0})
GENERATE_UUID    -                       STRING     CAST(uuid() AS VARCHAR)
IS_INF           FLOAT64                 BOOL       isinf({0})
IS_NAN           FLOAT64                 BOOL       isnan({0})
LENGTH           STRING                  INT64      length({0})
LENGTH           BYTES                   INT64      octet_length({0})
LN               FLOAT64                 FLOAT64    ln({0})
LOG              FLOAT64                 FLOAT64    ln({0})
LOG              FLOAT64,FLOAT64         FLOAT64    (ln({0}) / ln({1}))
LOG10            FLOAT64                 FLOAT64    log10({0})
MD5              STRING                  BYTES      unhex(md5({0}))
MD5              BYTES                   BYTES      unhex(md5({0}))
PI               -                       FLOAT64    pi()
POW              FLOAT64,FLOAT64         FLOAT64    power({0}, {1})
POWER            FLOAT64,FLOAT64         FLOAT64    power({0}, {1})
RAND             -                       FLOAT64    random()
REGEXP_CONTAINS  STRING,STRING           BOOL       regexp_matches({0}, {1})
REPLACE          STRING,STRING,STRING    STRING     CASE WHEN {1} = '' THEN {0} ELSE replace({0}, {1}, {2}) END
REVERSE          STRING                  STRING     reverse({0})
SAFE_ADD         INT64,INT64             INT64      TRY({0} + {1})
SAFE_ADD         FLOAT64,FLOAT64         FLOAT64    ({0} + {1})
SAFE_SUBTRACT    INT64,INT64             INT64      TRY({0} - {1})
SAFE_SUBTRACT    FLOAT64,FLOAT64         FLOAT64    ({0} - {1})
SAFE_MULTIPLY    INT64,INT64             INT64      TRY({0} * {1})
SAFE_MULTIPLY    FLOAT64,FLOAT64         FLOAT64    ({0} * {1})
SAFE_NEGATE      INT64                   INT64      TRY(-{0})
SAFE_NEGATE      FLOAT64                 FLOAT64    (-{0})
SAFE_CONVERT_BYTES_TO_STRING BYTES       STRING     sql_decoded({0})
SHA1             STRING                  BYTES      unhex(sha1({0}))
SHA1             BYTES                   BYTES      unhex(sha1({0}))
SHA256           STRING                  BYTES      unhex(sha256({0}))
SHA256           BYTES                   BYTES      unhex(sha256({0}))
SIGN             INT64                   INT64      CAST(sign({0}) AS BIGINT)
SIGN             FLOAT64                 FLOAT64    CAST(sign({0}) AS DOUBLE)
SIN              FLOAT64                 FLOAT64    sin({0})
SINH             FLOAT64                 FLOAT64    sinh({0})
SOUNDEX          STRING                  STRING     =
SQRT             FLOAT64                 FLOAT64    sqrt({0})
STARTS_WITH      STRING,STRING           BOOL       starts_with({0}, {1})
STRPOS           STRING,STRING           INT64      strpos({0}, {1})
TAN              FLOAT64                 FLOAT64    tan({0})
TANH             FLOAT64                 FLOAT64    tanh({0})
TIMESTAMP_MICROS INT64                   TIMESTAMP  make_timestamp({0})
TIMESTAMP_MILLIS INT64                   TIMESTAMP  make_timestamp({0} * 1000)
TIMESTAMP_SECONDS INT64                  TIMESTAMP  make_timestamp({0} * 1000000)
TO_BASE64        BYTES                   STRING     to_base64({0})
TO_HEX           BYTES                   STRING     lower(hex({0}))
TRUNC            FLOAT64                 FLOAT64    trunc({0})
UNICODE          STRING                  INT64      CAST(CASE WHEN {0} = '' THEN 0 ELSE unicode({0}) END AS BIGINT)
UNIX_DATE        DATE                    INT64      ({0} - DATE '1970-01-01')
UNIX_MICROS      TIMESTAMP               INT64      epoch_us({0})
UNIX_MILLIS      TIMESTAMP               INT64      CAST(floor(epoch_us({0}) / 1000.0) AS BIGINT)
UNIX_SECONDS     TIMESTAMP               INT64      CAST(floor(epoch_us({0}) / 1000000.0) AS BIGINT)
"""

#: Functions that are real but not served, with the reason.
REFUSED: dict[str, str] = {
    "SOUNDEX": "the function SOUNDEX",
    "ML.PREDICT": "machine learning",
    "HLL_COUNT": "HyperLogLog++ sketches",
}


#: Functions whose result may be beyond the range of FLOAT64.
_MAY_OVERFLOW = ("COSH", "EXP", "POW", "POWER", "SINH")


@cache
def table() -> dict[str, list[tuple[list[str], str, str]]]:
    """The table by function name: (types of arguments, result, template)."""
    made: dict[str, list[tuple[list[str], str, str]]] = {}
    for line in _TABLE.strip().splitlines():
        name, arguments, result, template = line.split(None, 3)
        if template == "=":
            continue
        made.setdefault(name, []).append(([] if arguments == "-" else arguments.split(","), result, template))
    return made


@cache
def handlers() -> dict[str, Handler]:
    """Functions that read their arguments themselves, by name."""
    return {**special.HANDLERS, **dates.HANDLERS, **aggregates.HANDLERS}


def call(compiler: ExpressionBase, name: str, arguments: list[Any], node: exp.Expression) -> Expr:
    """Compile a call of a function.

    Raises:
        SqlError: there is no such function, or its arguments don't fit.
    """
    upper = name.upper()
    own = compiler.environment.function(name)
    if own is not None:
        made: Expr = compiler.call_of(own, name, arguments, node)
        return made
    if upper in REFUSED:
        raise compiler.unsupported(REFUSED[upper], node)
    handler = handlers().get(upper)
    if handler is not None:
        return handler(compiler, upper, arguments, node)
    if upper in table():
        return simple(compiler, upper, [compiler.compile(argument) for argument in arguments], node)
    if upper in _KNOWN:
        raise compiler.unsupported(f"the function {upper}", node)
    raise compiler.error(f"Function not found: {name}", node)


def simple(compiler: ExpressionBase, name: str, arguments: list[Expr], node: exp.Expression) -> Expr:
    """A call by the table."""
    overloads = table()[name]
    for exact in (True, False):
        for kinds, result, template in overloads:
            if len(kinds) != len(arguments):
                continue
            fitted = []
            for kind, argument in zip(kinds, arguments, strict=True):
                wanted = SCALARS[kind]
                made = argument if exact and argument.type == wanted else None
                if not exact:
                    made = coerced(argument, wanted)
                if made is None:
                    break
                fitted.append(made.sql)
            else:
                sql = template.format(*fitted)
                if name in _MAY_OVERFLOW and result == "FLOAT64":
                    return compiler.checked(sql, *(coerced(one, SCALARS["FLOAT64"]) or one for one in arguments))
                return Expr(f"TRY({sql})" if compiler.safe and fitted else sql, SCALARS[result])
    raise no_signature(compiler, name, arguments, node)


#: Functions of BigQuery that are not served at all: their names are told from misspelt ones.
_KNOWN = frozenset(
    [
        "ACOSH",
        "ASINH",
        "ATANH",
        "CODE_POINTS_TO_BYTES",
        "COLLATE",
        "COSINE_DISTANCE",
        "COTH",
        "CSC",
        "CSCH",
        "DETERMINISTIC_DECRYPT_BYTES",
        "EUCLIDEAN_DISTANCE",
        "EXTERNAL_OBJECT_TRANSFORM",
        "GENERATE_RANGE_ARRAY",
        "DATE_BUCKET",
        "DATETIME_BUCKET",
        "TIMESTAMP_BUCKET",
        "JUSTIFY_DAYS",
        "JUSTIFY_HOURS",
        "JUSTIFY_INTERVAL",
        "KEYS",
        "NET.HOST",
        "NET.IP_FROM_STRING",
        "PARSE_BIGNUMERIC",
        "RANGE",
        "RANGE_CONTAINS",
        "RANGE_END",
        "RANGE_START",
        "S2_CELLIDFROMPOINT",
        "SEARCH",
        "SEC",
        "SECH",
        "SESSIONIZE",
        "SHA512",
        "ST_AREA",
        "ST_ASTEXT",
        "ST_CONTAINS",
        "ST_DISTANCE",
        "ST_DWITHIN",
        "ST_GEOGFROMTEXT",
        "ST_GEOGPOINT",
        "ST_INTERSECTS",
        "ST_WITHIN",
        "ST_X",
        "ST_Y",
        "STRING_TO_CODE_POINTS",
        "VECTOR_SEARCH",
        "APPENDS",
        "CHANGES",
        "EXTERNAL_QUERY",
        "BOOL_ARRAY",
        "HLL_COUNT.INIT",
        "HLL_COUNT.MERGE",
        "TO_BASE32",
        "FROM_BASE32",
    ]
)
