"""INSERT, UPDATE, DELETE, MERGE, TRUNCATE.

https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax
"""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..encryption import require_key
from ..names import TableName, no_dataset
from ..sql import values
from ..sql.errors import runtime_error
from ..sql.from_clause import From
from ..sql.queries import Compiler
from ..sql.scopes import Column, Scope, Source
from ..sql.values import Expr, coerced
from ..types import BOOL, Field, absent, columns, lifted, member, quoted
from .outcomes import Outcome, Plan, StatementCompiler

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Dml(StatementCompiler):
    """Statements that change rows."""

    def _target(self, node: Any, permission: str) -> tuple[TableName, dict[str, Any], list[dict[str, Any]]]:
        """The table that a statement changes: name, document, schema."""
        if not isinstance(node, exp.Table):
            raise Compiler(self.session).unsupported("this target", node)
        name = self.session.table_name([part.name for part in node.parts], node)
        self.catalog.require_table(self.session.principal, permission, name)
        dataset = self.catalog.find_dataset(name.project, name.dataset)
        if dataset is None:
            raise no_dataset(name.project, name.dataset, self.session.location or "US")
        self.session.settle_location(name.project, name.dataset, dataset["location"])
        document = self.catalog.table(name, self.session.location)
        if "view" in document["resource"]:
            raise Compiler(self.session).error(f"Cannot change rows of {name.text}: it is a view", node)
        require_key(self.catalog, name, document["resource"])
        if name not in self.session.referenced:
            self.session.referenced.append(name)
        return name, document, document["resource"].get("schema", {}).get("fields", [])

    def _change(
        self, kind: str, name: TableName, work: Callable[[DuckDBPyConnection, str], dict[str, int]]
    ) -> Callable[[], Outcome]:
        """Run a change of a table's rows in a transaction, with other writers kept away."""

        def run() -> Outcome:
            import duckdb

            with self.catalog.engine.locked(name.key):
                document = self.catalog.table(name)
                physical = document["physical"]
                if physical is None:
                    return Outcome(kind, table=name, dml={})

                def changed(cursor: DuckDBPyConnection) -> dict[str, int]:
                    try:
                        counts = work(cursor, physical)
                        self._check_required(cursor, physical, document)
                        return counts
                    except duckdb.TransactionException:
                        raise
                    except duckdb.Error as error:
                        raise runtime_error(error) from None

                counts = self.catalog.engine.write(changed)
                self.catalog.touch(name)
            return Outcome(kind, table=name, dml=counts)

        return run

    @staticmethod
    def _check_required(cursor: DuckDBPyConnection, physical: str, document: dict[str, Any]) -> None:
        from ..sql.errors import SqlError

        for one in document["resource"].get("schema", {}).get("fields", []):
            if one["mode"] == "REQUIRED":
                sql = f'SELECT count(*) FROM "{physical}" WHERE {quoted(one["name"])} IS NULL'
                ((bad,),) = cursor.execute(sql).fetchall()
                if bad:
                    raise SqlError(f"Required field {one['name']} cannot be null")

    def _insert(self, node: exp.Insert) -> Plan:
        compiler = Compiler(self.session)
        table = node.this.this if isinstance(node.this, exp.Schema) else node.this
        name, _, schema = self._target(table, "bigquery.tables.updateData")
        fields = columns(schema)
        by_name = {one.name.lower(): one for one in fields}
        wanted = list(fields)
        if isinstance(node.this, exp.Schema):
            wanted = []
            for column in node.this.expressions:
                found = by_name.get(column.name.lower())
                if found is None:
                    raise compiler.error(f"Column {column.name} is not present in table {name.text}", column)
                wanted.append(found)
        source: Any = node.expression
        if isinstance(source, exp.Values):
            body = self._values(compiler, source, wanted)
        else:
            query = compiler.query(source)
            if len(query.fields) != len(wanted):
                raise compiler.error(
                    f"Inserted row has wrong column count; Has {len(query.fields)}, expected {len(wanted)}", node
                )
            items = [Expr(f"q.c{index}", one.type) for index, one in enumerate(query.fields)]
            body = f"SELECT {self._fitted(compiler, items, wanted, node)} FROM ({query.sql}) AS q"
        rest = [one for one in fields if one not in wanted and one.type.kind == "ARRAY"]
        names = ", ".join(quoted(one.name) for one in [*wanted, *rest])
        empty = "".join(f", {absent(one.type)}" for one in rest)
        listed = ", ".join(f"c{index}" for index in range(len(wanted)))

        def work(cursor: DuckDBPyConnection, physical: str) -> dict[str, int]:
            sql = f'INSERT INTO "{physical}" ({names}) SELECT {listed}{empty} FROM ({body}) AS s({listed})'
            return {"insertedRowCount": _affected(cursor, sql)}

        return Plan("INSERT", self._change("INSERT", name, work), target=name)

    def _values(self, compiler: Compiler, node: exp.Values, wanted: list[Field]) -> str:
        rows = []
        for row in node.expressions:
            items = row.expressions if isinstance(row, exp.Tuple) else [row]
            if len(items) != len(wanted):
                raise compiler.error(
                    f"Inserted row has wrong column count; Has {len(items)}, expected {len(wanted)}", row
                )
            compiled = [
                Expr(absent(one.type), one.type) if _is_default(item) else compiler.compile(item)
                for item, one in zip(items, wanted, strict=True)
            ]
            rows.append("SELECT " + self._fitted(compiler, compiled, wanted, row))
        return " UNION ALL ".join(rows)

    def _fitted(self, compiler: Compiler, items: list[Expr], wanted: list[Field], node: Any) -> str:
        parts = []
        for item, one in zip(items, wanted, strict=True):
            parts.append(self._assigned(compiler, item, one, node))
        return ", ".join(parts)

    @staticmethod
    def _assigned(compiler: Compiler, item: Expr, one: Field, node: Any) -> str:
        made = coerced(item, one.type)
        if (
            made is None
            and {item.type.kind, one.type.kind} <= {"INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC"}
            and item.constant
        ):
            made = values.cast(item, one.type)
        if made is None:
            raise compiler.error(
                f"Value has type {item.type} which cannot be inserted into column {one.name}, "
                f"which has type {one.type}",
                node,
            )
        return lifted(made.sql, one.type)

    @staticmethod
    def _scope_of(node: exp.Table, schema: list[dict[str, Any]], alias: str) -> Source:
        shown = node.alias or node.name
        return Source(shown, [Column(one.name, one.type, f"{alias}.{quoted(one.name)}") for one in columns(schema)])

    def _where(self, compiler: Compiler, node: Any, statement: str) -> str:
        clause = node.args.get("where")
        if clause is None:
            raise compiler.error(f"{statement} must have a WHERE clause", node)
        return compiler.compiled(clause.this, BOOL, "WHERE clause").sql

    def _assignments(
        self, compiler: Compiler, items: list[Any], schema: list[dict[str, Any]], alias: str, name: TableName
    ) -> str:
        """``column = value`` for UPDATE SET; nested fields are set inside a new value of their column."""
        trees: dict[str, dict[str, Any]] = {}
        by_name = {one.name.lower(): one for one in columns(schema)}
        for item in items:
            if not isinstance(item, exp.EQ):
                raise compiler.unsupported("this assignment", item)
            path = _path(compiler, item.this)
            if len(path) > 1 and path[0].lower() not in by_name:
                path = path[1:]
            if path[0].lower() not in by_name:
                raise compiler.error(f"Column {path[0]} is not present in table {name.text}", item)
            tree = trees
            for part in path[:-1]:
                tree = tree.setdefault(part.lower(), {})
            tree[path[-1].lower()] = item.expression
        parts = []
        for key, change in trees.items():
            one = by_name[key]
            parts.append(f"{quoted(one.name)} = {self._updated(compiler, f'{alias}.{quoted(one.name)}', one, change)}")
        return ", ".join(parts)

    def _updated(self, compiler: Compiler, sql: str, one: Field, change: Any) -> str:
        if not isinstance(change, dict):
            value = Expr(absent(one.type), one.type) if _is_default(change) else compiler.compile(change)
            return self._assigned(compiler, value, one, change)
        if one.type.kind != "STRUCT":
            raise compiler.error(f"Cannot access field {next(iter(change))} on a value with type {one.type}")
        unknown = [name for name in change if one.type.field(name) is None]
        if unknown:
            raise compiler.error(f"Field name {unknown[0]} does not exist in {one.type}")
        parts = []
        for inner in one.type.fields:
            old = member(sql, inner.name)
            if inner.name.lower() in change:
                old = self._updated(compiler, old, inner, change[inner.name.lower()])
            elif inner.type.kind == "ARRAY":
                old = f"coalesce({old}, [])"
            parts.append(f"{quoted(inner.name)} := {old}")
        return f"struct_pack({', '.join(parts)})"

    def _update(self, node: exp.Update) -> Plan:
        compiler = Compiler(self.session)
        name, _, schema = self._target(node.this, "bigquery.tables.updateData")
        self.catalog.require_table(self.session.principal, "bigquery.tables.getData", name)
        alias = compiler.fresh("r")
        scope = Scope(sources=[self._scope_of(node.this, schema, alias)])
        with compiler.within(scope):
            other = ""
            if node.args.get("from_") is not None:
                other = From(compiler, scope).compile(node)
            where = self._where(compiler, node, "UPDATE")
            changes = self._assignments(compiler, node.expressions, schema, alias, name)

        def work(cursor: DuckDBPyConnection, physical: str) -> dict[str, int]:
            if other:
                source = other.removeprefix(" FROM ")
                sql = (
                    f'SELECT count(*) FROM (SELECT {alias}.rowid FROM "{physical}" AS {alias}, {source} '
                    f"WHERE {where} GROUP BY 1 HAVING count(*) > 1)"
                )
                ((twice,),) = cursor.execute(sql).fetchall()
                if twice:
                    raise compiler.error("UPDATE/MERGE must match at most one source row for each target row")
            sql = f'UPDATE "{physical}" AS {alias} SET {changes}{other} WHERE {where}'
            return {"updatedRowCount": _affected(cursor, sql)}

        return Plan("UPDATE", self._change("UPDATE", name, work), target=name)

    def _delete(self, node: exp.Delete) -> Plan:
        compiler = Compiler(self.session)
        tables = node.args.get("tables")
        table: Any = tables[0] if tables else node.this
        name, _, schema = self._target(table, "bigquery.tables.updateData")
        self.catalog.require_table(self.session.principal, "bigquery.tables.getData", name)
        alias = compiler.fresh("r")
        with compiler.within(Scope(sources=[self._scope_of(table, schema, alias)])):
            where = self._where(compiler, node, "DELETE")

        def work(cursor: DuckDBPyConnection, physical: str) -> dict[str, int]:
            return {"deletedRowCount": _affected(cursor, f'DELETE FROM "{physical}" AS {alias} WHERE {where}')}

        return Plan("DELETE", self._change("DELETE", name, work), target=name)

    def _truncate(self, node: exp.TruncateTable) -> Plan:
        name, _, _ = self._target(node.expressions[0], "bigquery.tables.updateData")

        def work(cursor: DuckDBPyConnection, physical: str) -> dict[str, int]:
            return {"deletedRowCount": _affected(cursor, f'DELETE FROM "{physical}"')}

        return Plan("TRUNCATE_TABLE", self._change("TRUNCATE_TABLE", name, work), target=name)

    def _merge(self, node: exp.Merge) -> Plan:
        compiler = Compiler(self.session)
        target: Any = node.this
        name, _, schema = self._target(target, "bigquery.tables.updateData")
        self.catalog.require_table(self.session.principal, "bigquery.tables.getData", name)
        alias = compiler.fresh("r")
        own = self._scope_of(target, schema, alias)
        source_scope = Scope()
        with compiler.within(source_scope):
            using = From(compiler, source_scope)._item(node.args["using"])  # noqa: SLF001 - one FROM item
        both = Scope(sources=[own, *source_scope.sources])
        with compiler.within(both):
            on = compiler.compiled(node.args["on"], BOOL, "MERGE ON clause").sql
        branches = node.args["whens"].expressions
        whens = [self._when(compiler, when, name, schema, alias, own, source_scope, both) for when in branches]
        changes_rows = any(
            when.args.get("matched") and not isinstance(when.args["then"], exp.Insert) for when in branches
        )

        def work(cursor: DuckDBPyConnection, physical: str) -> dict[str, int]:
            if changes_rows:
                sql = (
                    f'SELECT count(*) FROM (SELECT {alias}.rowid FROM "{physical}" AS {alias} JOIN {using} ON {on} '
                    "GROUP BY 1 HAVING count(*) > 1)"
                )
                ((twice,),) = cursor.execute(sql).fetchall()
                if twice:
                    raise compiler.error("UPDATE/MERGE must match at most one source row for each target row")
            sql = f'MERGE INTO "{physical}" AS {alias} USING {using} ON {on} {" ".join(whens)} RETURNING merge_action'
            counts: dict[str, int] = {}
            for (action,) in cursor.execute(sql).fetchall():
                key = {"INSERT": "insertedRowCount", "UPDATE": "updatedRowCount", "DELETE": "deletedRowCount"}[action]
                counts[key] = counts.get(key, 0) + 1
            return counts

        return Plan("MERGE", self._change("MERGE", name, work), target=name)

    def _when(
        self,
        compiler: Compiler,
        when: Any,
        name: TableName,
        schema: list[dict[str, Any]],
        alias: str,
        own: Source,
        source_scope: Scope,
        both: Scope,
    ) -> str:
        matched, by_source = bool(when.args.get("matched")), bool(when.args.get("source"))
        scope = both if matched else Scope(sources=[own]) if by_source else source_scope
        with compiler.within(scope):
            condition = ""
            if when.args.get("condition") is not None:
                condition = f" AND {compiler.compiled(when.args['condition'], BOOL, 'WHEN condition').sql}"
            then = when.args["then"]
            if isinstance(then, exp.Update):
                action = "UPDATE SET " + self._assignments(compiler, then.expressions, schema, alias, name)
            elif isinstance(then, exp.Insert):
                action = self._merge_insert(compiler, then, schema, source_scope, name)
            elif isinstance(then, exp.Var) and then.name.upper() == "DELETE":
                action = "DELETE"
            else:
                raise compiler.unsupported("this MERGE action", then)
        word = "MATCHED" if matched else "NOT MATCHED BY SOURCE" if by_source else "NOT MATCHED"
        return f"WHEN {word}{condition} THEN {action}"

    def _merge_insert(
        self, compiler: Compiler, then: Any, schema: list[dict[str, Any]], source_scope: Scope, name: TableName
    ) -> str:
        fields = columns(schema)
        by_name = {one.name.lower(): one for one in fields}
        if isinstance(then.this, exp.Var):
            wanted = list(fields)
            available = [column for source in source_scope.sources for column in source.columns]
            if len(available) != len(wanted):
                raise compiler.error(
                    f"INSERT ROW has {len(available)} columns, table {name.text} has {len(wanted)}", then
                )
            items = [Expr(column.sql, column.type) for column in available]
        else:
            wanted = list(fields) if then.this is None or not then.this else []
            for column in [] if wanted else then.this.expressions:
                if column.name.lower() not in by_name:
                    raise compiler.error(f"Column {column.name} is not present in table {name.text}", column)
                wanted.append(by_name[column.name.lower()])
            if isinstance(then.expression, exp.Var):
                items = [compiler.resolve([one.name], then) for one in wanted]
            else:
                given = then.expression.expressions
                if len(given) != len(wanted):
                    raise compiler.error(
                        f"Inserted row has wrong column count; Has {len(given)}, expected {len(wanted)}", then
                    )
                items = [
                    Expr(absent(one.type), one.type) if _is_default(item) else compiler.compile(item)
                    for item, one in zip(given, wanted, strict=True)
                ]
        rest = [one for one in fields if one not in wanted and one.type.kind == "ARRAY"]
        names = ", ".join(quoted(one.name) for one in [*wanted, *rest])
        parts = [self._assigned(compiler, item, one, then) for item, one in zip(items, wanted, strict=True)]
        parts += [absent(one.type) for one in rest]
        return f"INSERT ({names}) VALUES ({', '.join(parts)})"


def _affected(cursor: DuckDBPyConnection, sql: str) -> int:
    row = cursor.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _is_default(node: Any) -> bool:
    return isinstance(node, (exp.Var, exp.Column)) and node.name.upper() == "DEFAULT" and not node.args.get("table")


def _path(compiler: Compiler, node: Any) -> list[str]:
    tail: list[str] = []
    while isinstance(node, exp.Dot):
        tail.insert(0, node.expression.name)
        node = node.this
    if not isinstance(node, exp.Column):
        raise compiler.unsupported("this assignment", node)
    return [part.name for part in node.parts] + tail
