"""DECLARE, SET and temporary functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from ..sql import values
from ..sql.errors import runtime_error
from ..sql.queries import Compiler
from ..sql.scopes import Function
from ..sql.values import Expr, coerced
from ..types import INT64, Type
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

        from ..parameters import literal

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
