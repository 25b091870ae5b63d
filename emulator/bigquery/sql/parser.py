"""From text to sqlglot's tree.

Functions stay as they are written: the compiler decides what they mean, not sqlglot's mapping between dialects.
"""

from __future__ import annotations

import re
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.parsers.bigquery import BigQueryParser
from sqlglot.tokenizer_core import Token

from .errors import TOO_DEEP, SqlError, place

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
    statements = [
        statement for statement in found if statement is not None and not isinstance(statement, exp.Semicolon)
    ]
    if not statements:
        raise SqlError("Syntax error: Unexpected end of script", (1, max(1, len(sql))))
    return statements  # type: ignore[return-value]


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
