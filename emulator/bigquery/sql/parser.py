"""From text to sqlglot's tree.

Functions stay as they are written: the compiler decides what they mean, not sqlglot's mapping between dialects.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.parsers.bigquery import BigQueryParser
from sqlglot.tokenizer_core import Token

from .errors import TOO_DEEP, SqlError, UnsupportedError, place

#: Longest query text, in characters.
LONGEST = 1_000_000
#: Deepest nesting of brackets; deeper text would exhaust the stack of the parser.
_DEEPEST = 200


class _Parser(BigQueryParser):
    FUNCTIONS: ClassVar = {"STRUCT": BigQueryParser.FUNCTIONS["STRUCT"]}
    FUNCTION_PARSERS: ClassVar = {
        name: BigQueryParser.FUNCTION_PARSERS[name] for name in ("ARRAY", "CAST", "SAFE_CAST", "EXTRACT")
    }

    def _parse_grant_privilege(self) -> exp.GrantPrivilege | None:
        # Roles, which sqlglot would take for keywords and write in capitals.
        role = self._parse_id_var()
        return None if role is None else self.expression(exp.GrantPrivilege(this=role))


class GoogleSql(BigQuery):
    """BigQuery's dialect, with all functions left anonymous."""

    Parser = _Parser
    parser_class = _Parser  # type: ignore[assignment]


def parse(sql: str) -> list[exp.Expression]:
    """The statements of a text.

    Raises:
        SqlError: the text is empty, too long, or no GoogleSQL.
    """
    if len(sql) > LONGEST:
        raise SqlError(f"The query is too large. The maximum standard SQL query length is {LONGEST} characters")
    _check_depth(sql)
    try:
        found = GoogleSql().parse(sql)
    except ParseError as error:
        refuse_by_name(sql)
        first = error.errors[0] if error.errors else {}
        text = first.get("highlight") or ""
        at = _place_of(sql, first)
        if not text:
            raise SqlError("Syntax error: Unexpected end of script", at) from None
        raise SqlError(f'Syntax error: Unexpected "{text}"', at) from None
    except TokenError as error:
        raise SqlError(f"Syntax error: {_token_problem(sql, str(error))}") from None
    except RecursionError:
        raise SqlError(TOO_DEEP) from None
    except (SqlglotError, ValueError, AttributeError, IndexError, KeyError, TypeError) as error:
        # sqlglot is a lenient parser: on nonsense it may stumble in its own ways.
        raise SqlError(f"Syntax error: the statement can't be read ({type(error).__name__})") from None
    statements: list[Any] = [
        statement for statement in found if statement is not None and not isinstance(statement, exp.Semicolon)
    ]
    if not statements:
        raise SqlError("Syntax error: Unexpected end of script", (1, max(1, len(sql))))
    for statement in statements:
        _check_words(statement, sql)
    return statements


_RESERVED = """
    ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS CUBE CURRENT
    DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE FETCH FOLLOWING FOR FROM FULL
    GROUP GROUPING GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT LOOKUP
    MERGE NATURAL NEW NO NOT NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY RANGE RECURSIVE
    RESPECT RIGHT ROLLUP ROWS SELECT SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION UNNEST USING WHEN
    WHERE WINDOW WITH WITHIN
    """
_UNKNOWN = """
    ASSERT BEGIN BREAK CALL COMMIT CONTINUE ELSE ELSEIF END EXPORT FOR IF ITERATE LEAVE LOAD LOOP RAISE REPEAT RETURN
    ROLLBACK UNDROP UNTIL WHILE
    """
#: Words that are names in backticks or behind a dot only.
#: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords
RESERVED = frozenset(_RESERVED.split())
#: First words of statements that are valid and that the parser does not know.
_STATEMENTS = frozenset(_UNKNOWN.split())
_TABLE_FUNCTION = re.compile(r"(?i)\b((?:ML|AI)\.\w+|VECTOR_SEARCH|APPENDS|CHANGES|GAP_FILL|EXTERNAL_QUERY)\s*\(")


def refuse_by_name(sql: str) -> None:
    """Tell valid statements that the parser does not know from mistakes.

    Raises:
        UnsupportedError: the text begins with the word of such a statement, or calls such a function.
    """
    bare = re.sub(r"--[^\n]*|#[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL)
    for statement in bare.split(";"):
        word = re.match(r"\s*([A-Za-z]+)", statement)
        if word is not None and word[1].upper() in _STATEMENTS:
            raise UnsupportedError(f"{word[1].upper()} statements")
    found = _TABLE_FUNCTION.search(bare)
    if found is not None:
        raise UnsupportedError(f"the function {found[1].upper()}")


def _check_words(statement: exp.Expression, sql: str) -> None:
    """Refuse reserved words as names; sqlglot is more lenient.

    Raises:
        SqlError: an alias, or the first name of a path, is one and is not in backticks.
    """
    for node in statement.find_all(exp.Alias, exp.TableAlias, exp.Column):
        names = (
            [node.parts[0]]
            if isinstance(node, exp.Column)
            else [node.args.get("alias"), *(node.args.get("columns") or ())]
        )
        if isinstance(node, exp.TableAlias):
            names.append(node.this)
        for name in names:
            if not isinstance(name, exp.Identifier) or name.quoted or name.name.upper() not in RESERVED:
                continue
            start = name.meta.get("start")
            if start is None or name.name.upper() == "DEFAULT" or sql[:start].rstrip().endswith("."):
                continue
            raise SqlError(f"Syntax error: Unexpected keyword {name.name.upper()}", place(start, sql))


def tokens(text: str) -> list[Token]:
    """The tokens of a part of a statement.

    Raises:
        SqlError: a literal or comment in it has no end.
    """
    try:
        return GoogleSql().tokenize(text)
    except TokenError as error:
        raise SqlError(f"Syntax error: {_token_problem(text, str(error))}") from None


def _place_of(sql: str, error: dict[str, object]) -> tuple[int, int] | None:
    context = str(error.get("start_context", ""))
    highlight = str(error.get("highlight", ""))
    line = error.get("line")
    if not isinstance(line, int):
        return None
    whole = context + highlight
    at = sql.find(whole) if whole else -1
    if at >= 0:
        return place(at + len(context), sql)
    column = error.get("col")
    return line, max(1, int(column) - len(highlight) + 1) if isinstance(column, int) else 1


def _token_problem(sql: str, message: str) -> str:
    found = re.search(r"Missing (\S+) from (\d+)", message)
    if found:
        return f"Unclosed string literal or comment, {found[1]} is missing"
    del sql
    return "Unclosed string literal, identifier or comment"


def _check_depth(sql: str) -> None:
    depth = 0
    for character in sql:
        if character in "([":
            depth += 1
            if depth > _DEEPEST:
                raise SqlError(f"Syntax error: brackets are nested deeper than {_DEEPEST} levels")
        elif character in ")]":
            depth -= 1
