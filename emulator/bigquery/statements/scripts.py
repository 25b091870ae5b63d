"""DECLARE, SET, EXECUTE IMMEDIATE and temporary functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language
"""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from typing import Any

from sqlglot import exp

from ..encode import fetched
from ..parameters import literal
from ..sql import values
from ..sql.errors import runtime_error
from ..sql.parser import parse, tokens
from ..sql.queries import Compiler
from ..sql.scopes import Function
from ..sql.values import Expr, coerced
from ..types import INT64, STRING, Type
from .outcomes import Outcome, Plan, StatementCompiler


class Scripts(StatementCompiler):
    """Statements that only matter to those after them."""

    def _declare(self, node: exp.Declare) -> Plan:
        def run() -> Outcome:
            for item in node.expressions:
                compiler = Compiler(self.session)
                default = item.args.get("default")
                value = compiler.compile(default) if default else None
                kind = compiler.type_of(item.args["kind"]) if item.args.get("kind") else None
                if kind is None and value is None:
                    raise compiler.error("DECLARE needs a type or a default value", node)
                for one in item.this:
                    if one.name.lower() in self.session.variables:
                        raise compiler.error(f"Variable '{one.name}' redeclaration is not allowed", node)
                    self.session.variables[one.name.lower()] = self._evaluated(compiler, value, kind, node)
            return Outcome("SCRIPT")

        return Plan("SCRIPT", run)

    def _set(self, node: exp.Set) -> Plan:
        def run() -> Outcome:
            for item in node.expressions:
                compiler = Compiler(self.session)
                pair = item.this
                if not isinstance(pair, exp.EQ) or not isinstance(pair.this, exp.Column):
                    raise compiler.unsupported("this SET statement", node)
                name = pair.this.name.lower()
                known = self.session.variables.get(name)
                if known is None:
                    raise compiler.error(f"Undeclared variable: {pair.this.name}", node)
                value = compiler.compile(pair.expression)
                self.session.variables[name] = self._evaluated(compiler, value, known.type, node)
            return Outcome("SCRIPT")

        return Plan("SCRIPT", run)

    def _evaluated(self, compiler: Compiler, value: Expr | None, kind: Type | None, node: Any) -> Expr:
        import duckdb

        if value is None:
            return values.null(kind or INT64)
        wanted = kind or value.type
        made = coerced(value, wanted)
        if made is None:
            raise compiler.error(f"Cannot coerce expression of type {value.type} to type {wanted}", node)
        try:
            ((found,),) = self.catalog.engine.rows(f"SELECT {made.sql}")
        except duckdb.Error as error:
            raise runtime_error(error) from None
        return literal(found, wanted)

    def _execute(self, node: exp.Command) -> Plan:
        """``EXECUTE IMMEDIATE sql [INTO variables] [USING parameters]``.

        https://cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language#execute_immediate
        """
        compiler = Compiler(self.session)
        head, into, using = _parts(node.expression.name if node.expression is not None else "")
        if not head:
            raise compiler.unsupported("this EXECUTE statement", node)

        def run() -> Outcome:
            text = self._value(compiler, head)
            if text.type != STRING or text.literal is None:
                raise compiler.error("EXECUTE IMMEDIATE takes a STRING that is not NULL", node)
            named: dict[str, Expr] = {}
            positional: list[Expr] = []
            for one in using:
                words, name = _alias(one)
                value = self._value(compiler, words)
                if name:
                    named[name.lower()] = value
                else:
                    positional.append(value)
            nodes = parse(text.literal)
            if len(nodes) != 1:
                raise compiler.error("EXECUTE IMMEDIATE takes one statement", node)
            session = self.session
            outer = (session.sql, session.named, session.positional, session.used)
            session.sql, session.named, session.positional, session.used = text.literal, named, positional, 0
            try:
                return self._into(nodes[0], into) if into else self.plan(nodes[0]).run()
            finally:
                session.sql, session.named, session.positional, session.used = outer

        return Plan("SCRIPT", run)

    def _value(self, compiler: Compiler, text: str) -> Expr:
        """The value of an expression that is written out in a statement."""
        (node,) = parse(f"SELECT {text}")
        return self._evaluated(compiler, compiler.compile(node.expressions[0]), None, node)

    def _into(self, node: Any, names: list[str]) -> Outcome:
        """Run a query of one row at most into variables; without a row they become NULL."""
        import duckdb

        compiler = Compiler(self.session)
        query = compiler.query(node)
        if len(query.fields) != len(names):
            raise compiler.error(
                f"EXECUTE IMMEDIATE INTO has {len(names)} variables for {len(query.fields)} columns", node
            )
        columns = ", ".join(fetched(f"q.c{index}", one.type) for index, one in enumerate(query.fields))
        try:
            rows = self.catalog.engine.rows(f"SELECT {columns} FROM ({query.sql}) AS q LIMIT 2")
        except duckdb.Error as error:
            raise runtime_error(error) from None
        if len(rows) > 1:
            raise compiler.error("The query of EXECUTE IMMEDIATE INTO returns more than one row", node)
        for index, name in enumerate(names):
            known = self.session.variables.get(name.lower())
            if known is None:
                raise compiler.error(f"Undeclared variable: {name}", node)
            field = query.fields[index]
            value = literal(rows[0][index], field.type) if rows else values.null(field.type)
            self.session.variables[name.lower()] = self._evaluated(compiler, value, known.type, node)
        return Outcome("SCRIPT")

    def plan(self, node: Any) -> Plan:
        """Compile a statement."""
        raise NotImplementedError

    def _create_function(self, node: exp.Create) -> Plan:
        compiler = Compiler(self.session)
        properties = node.args["properties"].expressions if node.args.get("properties") else []
        if not any(isinstance(one, exp.TemporaryProperty) for one in properties):
            raise compiler.unsupported("CREATE FUNCTION without TEMP: persistent functions", node)
        result = None
        for one in properties:
            if isinstance(one, exp.LanguageProperty):
                raise compiler.unsupported(f"functions in the language {one.name}", node)
            if isinstance(one, exp.ReturnsProperty):
                result = compiler.type_of(one.this)
        if not isinstance(node.this, exp.UserDefinedFunction) or node.expression is None:
            raise compiler.unsupported("this CREATE FUNCTION", node)
        parameters = []
        for one in node.this.expressions:
            kind = one.args.get("kind") if isinstance(one, exp.ColumnDef) else None
            named = isinstance(kind, exp.DataType) and "ANY" not in kind.sql("bigquery").upper()
            parameters.append((one.name, compiler.type_of(kind) if named else None))
        name = node.this.this.name
        made = Function(tuple(parameters), node.expression, result)

        # Known from now on, so that a dry run of the script knows it too.
        self.session.functions[name.lower()] = made
        return Plan("CREATE_FUNCTION", lambda: Outcome("CREATE_FUNCTION", ddl={"ddlOperationPerformed": "CREATE"}))


def _parts(text: str) -> tuple[str, list[str], list[str]]:
    """The expression behind IMMEDIATE, the names behind INTO, and the expressions behind USING."""
    pieces: dict[str, list[str]] = {}
    word, start, depth = "", 0, 0
    found = tokens(text)
    for token in found:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        upper = token.text.upper()
        keyword = depth == 0 and upper in ("IMMEDIATE", "INTO", "USING") and text[token.start] not in "`'\""
        if keyword or (depth == 0 and token.text == "," and word):
            if word:
                pieces.setdefault(word, []).append(text[start : token.start].strip())
            word, start = (upper if keyword else word), token.end + 1
    if word:
        pieces.setdefault(word, []).append(text[start:].strip().rstrip(";").strip())
    (head, *_) = [*pieces.get("IMMEDIATE", []), ""]
    return head, [one.strip("`") for one in pieces.get("INTO", [])], pieces.get("USING", [])


def _alias(text: str) -> tuple[str, str]:
    """An expression, and its name behind AS if it has one."""
    found = tokens(text)
    if len(found) > 2 and found[-2].text.upper() == "AS":
        return text[: found[-2].start], found[-1].text.strip("`")
    return text, ""
