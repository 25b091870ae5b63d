"""Statements: queries, DML and DDL, compiled to steps that are run in one transaction."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..catalog import Catalog
from ..datasets import create as create_dataset
from ..datasets import remove as remove_dataset
from ..encryption import require_key, settled
from ..names import TableName, already_exists, check_table_id, no_dataset, no_table
from ..rows import reshape_table
from ..session import Session, output_fields
from ..tables import change_schema, create, writable
from ..types import (
    BOOL,
    INT64,
    TIMESTAMP,
    Field,
    Type,
    absent,
    checked_schema,
    columns,
    lifted,
    member,
    quoted,
    schema_field,
)
from . import values
from .errors import runtime_error
from .expressions import Column, Function, Scope, Source
from .grants import change_access, entries_of
from .queries import Compiler, Query, _From
from .values import Expr, coerced

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(slots=True)
class Outcome:
    """What a statement did, for the job's statistics.

    Attributes:
        kind: BigQuery's statementType.
        fields: columns of the result; None if there is no result.
        table: where the result is.
        dml: ``insertedRowCount``, ``updatedRowCount``, ``deletedRowCount``.
        ddl: ``ddlOperationPerformed`` and the target.
    """

    kind: str
    fields: list[Field] | None = None
    table: TableName | None = None
    dml: dict[str, int] | None = None
    ddl: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """A compiled statement: what is known before it runs, and how it is run."""

    kind: str
    run: Callable[[], Outcome]
    fields: list[Field] | None = None
    target: TableName | None = None


#: Puts a finished query's rows where they belong and says where that is.
Sink = Callable[[Session, Query, list[Field]], TableName]


def select_sql(query: Query, fields: list[Field]) -> str:
    """The query with its columns under their own names, ready to be stored."""
    parts = ", ".join(f"{lifted(f'q.c{index}', one.type)} AS {quoted(one.name)}" for index, one in enumerate(fields))
    return f"SELECT {parts} FROM ({query.sql}) AS q"


def store(catalog: Catalog, cursor: DuckDBPyConnection, query: Query, fields: list[Field]) -> str:
    """Run a query into a new table of rows; returns its name.

    Raises:
        ApiError: the query fails while it runs, or an array of the result has a NULL.
    """
    import duckdb

    physical = catalog.engine.new_name()
    try:
        cursor.execute(f'CREATE TABLE "{physical}" AS {select_sql(query, fields)}')
        for one in fields:
            if one.type.kind == "ARRAY":
                sql = (
                    f'SELECT count(*) FROM "{physical}" WHERE list_count({quoted(one.name)}) < len({quoted(one.name)})'
                )
                ((bad,),) = cursor.execute(sql).fetchall()
                if bad:
                    from .errors import SqlError

                    raise SqlError(f"Array cannot have a null element; error in writing field {one.name}")
    except duckdb.TransactionException:
        raise
    except duckdb.Error as error:
        raise runtime_error(error) from None
    return physical


def check_plan(catalog: Catalog, query: Query) -> None:
    """Have DuckDB plan a query without running it.

    Raises:
        ApiError: it can't be planned (an ungrouped column, for instance).
    """
    import duckdb

    try:
        catalog.engine.rows(f"EXPLAIN {query.sql}")
    except duckdb.Error as error:
        raise runtime_error(error) from None


class Statements:
    """Compiles the statements of one job.

    Args:
        session: what they are compiled in.
        sink: takes the rows of a query.
        checking: have DuckDB plan queries, because they will not be run.
    """

    def __init__(self, session: Session, sink: Sink, *, checking: bool = False) -> None:
        self.session = session
        self.catalog = session.catalog
        self.sink = sink
        self.checking = checking

    def plan(self, node: Any) -> Plan:
        """Compile a statement.

        Raises:
            ApiError: it is wrong, not permitted, or not served.
        """
        if isinstance(node, exp.Query):
            return self._query(node)
        makers: dict[type, Callable[[Any], Plan]] = {
            exp.Insert: self._insert,
            exp.Update: self._update,
            exp.Delete: self._delete,
            exp.Merge: self._merge,
            exp.TruncateTable: self._truncate,
            exp.Create: self._create,
            exp.Drop: self._drop,
            exp.Alter: self._alter,
            exp.Declare: self._declare,
            exp.Set: self._set,
            exp.Grant: self._grant,
            exp.Revoke: self._grant,
        }
        maker = makers.get(type(node))
        if maker is None:
            name = node.this if isinstance(node, exp.Command) and isinstance(node.this, str) else type(node).__name__
            compiler = Compiler(self.session)
            if isinstance(node, (exp.Column, exp.Alias, exp.Identifier)):
                raise compiler.error(f'Syntax error: Unexpected "{node.sql("bigquery")[:60]}"', node)
            raise compiler.unsupported(f"{str(name).upper()} statements", node)
        return maker(node)

    # --- SELECT ---

    def _query(self, node: Any) -> Plan:
        query = Compiler(self.session).query(node)
        fields = output_fields(query.fields)
        if query.value and len(fields) == 1 and fields[0].type.kind == "STRUCT":
            # SELECT AS STRUCT: the result has the fields as columns.
            inner = fields[0].type.fields
            parts = ", ".join(f"{member('v.c0', one.name)} AS c{index}" for index, one in enumerate(inner))
            query = Query(f"SELECT {parts} FROM ({query.sql}) AS v", list(inner))
            fields = output_fields(list(inner))

        if self.checking:
            check_plan(self.catalog, query)

        def run() -> Outcome:
            return Outcome("SELECT", fields, self.sink(self.session, query, fields))

        return Plan("SELECT", run, fields)

    # --- DML ---

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
        from .errors import SqlError

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
                other = _From(compiler, scope).compile(node)
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
            using = _From(compiler, source_scope)._item(node.args["using"])  # noqa: SLF001 - one FROM item
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

    # --- scripts ---

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

    # --- DDL ---

    def _new_table(self, node: Any, permission: str = "bigquery.tables.create") -> TableName:
        name = self.session.table_name([part.name for part in node.parts], node)
        check_table_id(name.table)
        self.catalog.require_dataset(self.session.principal, permission, name.project, name.dataset)
        dataset = self.catalog.find_dataset(name.project, name.dataset)
        if dataset is None:
            raise no_dataset(name.project, name.dataset, self.session.location or "US")
        self.session.settle_location(name.project, name.dataset, dataset["location"])
        return name

    def _create(self, node: exp.Create) -> Plan:
        kind = str(node.kind or "").upper()
        compiler = Compiler(self.session)
        if kind == "SCHEMA":
            return self._create_schema(node)
        if kind == "VIEW":
            return self._create_view(node)
        if kind == "FUNCTION":
            return self._create_function(node)
        if kind != "TABLE":
            raise compiler.unsupported(f"CREATE {kind}", node)
        properties = node.args["properties"].expressions if node.args.get("properties") else []
        if any(isinstance(one, (exp.TemporaryProperty, exp.ExternalProperty)) for one in properties):
            raise compiler.unsupported("temporary and external tables", node)
        schema_node = node.this if isinstance(node.this, exp.Schema) else None
        name = self._new_table(schema_node.this if schema_node else node.this)
        body = self._table_properties(compiler, properties)
        declared = [] if schema_node is None else [_column(compiler, one) for one in schema_node.expressions]
        source = self._source_of(node, properties)
        query, fields = None, None
        if node.expression is not None and node.expression:
            query = compiler.query(node.expression)
            fields = output_fields(query.fields)
            if declared and len(declared) != len(fields):
                raise compiler.error(
                    "The number of columns in the column definition list does not match the number of columns produced "
                    "by the query",
                    node,
                )
            if any(one.anonymous for one in fields) and not declared:
                bad = next(index for index, one in enumerate(fields, 1) if one.anonymous)
                raise compiler.error(f"CREATE TABLE columns must be named, but column {bad} has no name", node)
        statement = "CREATE_TABLE_AS_SELECT" if query else "CREATE_TABLE"
        operation = {"done": "CREATE"}

        def run() -> Outcome:
            with self.catalog.engine.locked(name.key):
                old = self.catalog.find_table(name)
                if old is not None:
                    if node.args.get("exists"):
                        return _ddl(statement, "SKIP", name)
                    if not node.args.get("replace"):
                        raise already_exists("Table", name.text)
                    operation["done"] = "REPLACE"
                self._make_table(compiler, name, declared, body, query, fields, source)
                if old is not None:
                    self.catalog.engine.drop(old["physical"])
            made = _ddl(statement, operation["done"], name)
            if query is not None:
                made.table = name
            return made

        return Plan(statement, run, target=name)

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

    def _source_of(self, node: Any, properties: list[Any]) -> tuple[TableName, bool] | None:
        """The table that LIKE, CLONE or COPY names, and whether its rows are taken too."""
        clone = node.args.get("clone")
        like = next((one for one in properties if isinstance(one, exp.LikeProperty)), None)
        table = clone.this if clone is not None else like.this if like is not None else None
        if table is None:
            return None
        name = self.session.table_name([part.name for part in table.parts], table)
        document = self.session.readable(name)
        if "view" in document["resource"]:
            raise Compiler(self.session).error(f"{name.text} is a view; LIKE, CLONE and COPY take tables", node)
        return name, clone is not None

    def _make_table(
        self,
        compiler: Compiler,
        name: TableName,
        declared: list[dict[str, Any]],
        body: dict[str, Any],
        query: Query | None,
        fields: list[Field] | None,
        source: tuple[TableName, bool] | None,
    ) -> None:
        catalog = self.catalog
        if source is not None:
            document = catalog.table(source[0])
            schema = document["resource"].get("schema", {}).get("fields", [])

            def copied(cursor: DuckDBPyConnection) -> str | None:
                physical = catalog.create_rows(cursor, columns(schema))
                if physical and source[1] and document["physical"]:
                    cursor.execute(f'INSERT INTO "{physical}" SELECT * FROM "{document["physical"]}"')
                return physical

            keep = ("timePartitioning", "rangePartitioning", "clustering", "description", "labels")
            resource = {key: value for key, value in document["resource"].items() if key in keep}
            resource = settled(catalog, name, {**resource, **writable(body, schema), "schema": {"fields": schema}})
            catalog.keep_table(name, resource, catalog.engine.write(copied))
            return
        if query is None or fields is None:
            schema = checked_schema(declared)
            resource = settled(catalog, name, {**writable(body, schema), "schema": {"fields": schema}})
            made = catalog.engine.write(lambda cursor: catalog.create_rows(cursor, columns(schema)))
            catalog.keep_table(name, resource, made)
            return
        schema = checked_schema(declared or [schema_field(one) for one in fields])
        wanted = columns(schema)
        items = []
        for index, (have, want) in enumerate(zip(fields, wanted, strict=True)):
            made_item = coerced(Expr(f"q.c{index}", have.type), want.type)
            if made_item is None:
                raise compiler.error(
                    f"Column {want.name} has type {have.type} in the query, {want.type} in the definition"
                )
            items.append(f"{made_item.sql} AS c{index}")
        fitted = Query(f"SELECT {', '.join(items)} FROM ({query.sql}) AS q", list(wanted))
        resource = settled(catalog, name, {**writable(body, schema), "schema": {"fields": schema}})
        physical = catalog.engine.write(lambda cursor: store(catalog, cursor, fitted, list(wanted)))
        catalog.keep_table(name, resource, physical)

    def _table_properties(self, compiler: Compiler, properties: list[Any]) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for one in properties:
            if isinstance(one, exp.PartitionedByProperty):
                body.update(_partitioning(compiler, one.this))
            elif isinstance(one, (exp.ClusterProperty, exp.Cluster)):
                body["clustering"] = {"fields": [column.name for column in one.expressions]}
            elif isinstance(one, exp.LikeProperty):
                continue
            elif isinstance(one, exp.Property) and isinstance(one.this, exp.Var):
                body.update(_option(compiler, one.this.name.lower(), one.args["value"]))
            else:
                raise compiler.unsupported(f"{type(one).__name__} of a table", one)
        return body

    def _create_view(self, node: exp.Create) -> Plan:
        compiler = Compiler(self.session)
        properties = node.args["properties"].expressions if node.args.get("properties") else []
        if any(isinstance(one, (exp.MaterializedProperty, exp.TemporaryProperty)) for one in properties):
            raise compiler.unsupported("materialized views", node)
        schema_node = node.this if isinstance(node.this, exp.Schema) else None
        name = self._new_table(schema_node.this if schema_node else node.this)
        body = self._table_properties(compiler, properties)
        text = self._view_text(node)
        body["view"] = {"query": text, "useLegacySql": False}
        if schema_node is not None:
            body["schema"] = {"fields": [{"name": one.name} for one in schema_node.expressions]}
        # Compiled now, so that a dry run says what is wrong with it.
        compiler.query(node.expression)

        def run() -> Outcome:
            with self.catalog.engine.locked(name.key):
                old = self.catalog.find_table(name)
                operation = "CREATE"
                if old is not None:
                    if node.args.get("exists"):
                        return _ddl("CREATE_VIEW", "SKIP", name)
                    if not node.args.get("replace"):
                        raise already_exists("Table", name.text)
                    if "view" not in old["resource"]:
                        raise compiler.error(f"{name.text} is not a view")
                    operation = "REPLACE"
                create(self.catalog, self.session.principal, name, body, replace=old is not None)
            return _ddl("CREATE_VIEW", operation, name)

        return Plan("CREATE_VIEW", run, target=name)

    def _view_text(self, node: exp.Create) -> str:
        """The query of a view as it was written; table names get the project that they meant."""
        expression = node.expression.copy()
        for table in expression.find_all(exp.Table):
            if table.db and not table.catalog and "INFORMATION_SCHEMA" not in table.name:
                project = self.session.default_dataset[0] if self.session.default_dataset else self.session.project
                table.set("catalog", exp.to_identifier(project, quoted=True))
            elif not table.db and self.session.default_dataset and not self._is_local(table):
                table.set("db", exp.to_identifier(self.session.default_dataset[1], quoted=True))
                table.set("catalog", exp.to_identifier(self.session.default_dataset[0], quoted=True))
        from .parser import GoogleSql

        return str(expression.sql(dialect=GoogleSql))

    @staticmethod
    def _is_local(table: exp.Table) -> bool:
        """Whether a name without a dataset is that of a WITH query."""
        node: Any = table.parent
        while node is not None:
            clause = node.args.get("with_")
            if clause is not None and any(cte.alias.lower() == table.name.lower() for cte in clause.expressions):
                return True
            node = node.parent
        return False

    def _create_schema(self, node: exp.Create) -> Plan:
        compiler = Compiler(self.session)
        project, dataset = self._dataset_of(node.this)
        self.catalog.require_project(self.session.principal, "bigquery.datasets.create", project)
        body: dict[str, Any] = {}
        for one in node.args["properties"].expressions if node.args.get("properties") else []:
            if isinstance(one, exp.LocationProperty):
                body["location"] = one.this.name
            elif isinstance(one, exp.Property) and isinstance(one.this, exp.Var):
                body.update(_option(compiler, one.this.name.lower(), one.args["value"]))
            else:
                raise compiler.unsupported(f"{type(one).__name__} of a schema", one)

        def run() -> Outcome:
            reference = {"projectId": project, "datasetId": dataset}
            if node.args.get("exists") and self.catalog.find_dataset(project, dataset) is not None:
                return _ddl("CREATE_SCHEMA", "SKIP", dataset=reference)
            body.setdefault("location", self.session.location)
            create_dataset(self.catalog, self.session.principal, project, dataset, body)
            return _ddl("CREATE_SCHEMA", "CREATE", dataset=reference)

        return Plan("CREATE_SCHEMA", run)

    def _grant(self, node: exp.Grant | exp.Revoke) -> Plan:
        compiler = Compiler(self.session)
        statement = "GRANT" if isinstance(node, exp.Grant) else "REVOKE"
        if str(node.args.get("kind") or "").upper() != "SCHEMA":
            raise compiler.unsupported(f"{statement} on anything but a SCHEMA", node)
        project, dataset = self._dataset_of(node.args["securable"])
        self.catalog.require_dataset(self.session.principal, "bigquery.datasets.update", project, dataset)
        try:
            entries = entries_of(node)
        except ValueError as error:
            raise compiler.error(f"Invalid principal: {error}", node) from None

        def run() -> Outcome:
            change_access(self.catalog, project, dataset, entries, grant=statement == "GRANT")
            return Outcome(kind, ddl={"dclTargetDataset": {"projectId": project, "datasetId": dataset}})

        kind = f"{statement}_ON_SCHEMA"
        return Plan(kind, run)

    def _dataset_of(self, node: Any) -> tuple[str, str]:
        parts = [part.name for part in node.parts if part.name]
        if len(parts) == 1:
            return self.session.project, parts[0]
        if len(parts) == 2:
            return parts[0], parts[1]
        raise Compiler(self.session).error("Invalid dataset name", node)

    def _drop(self, node: exp.Drop) -> Plan:
        compiler = Compiler(self.session)
        kind = str(node.args.get("kind") or "").upper()
        target: Any = node.args["tables"][0] if node.args.get("tables") else node.this
        exists = bool(node.args.get("exists"))
        if kind == "SCHEMA":
            project, dataset = self._dataset_of(target)
            self.catalog.require_dataset(self.session.principal, "bigquery.datasets.delete", project, dataset)

            def drop_schema() -> Outcome:
                reference = {"projectId": project, "datasetId": dataset}
                if exists and self.catalog.find_dataset(project, dataset) is None:
                    return _ddl("DROP_SCHEMA", "SKIP", dataset=reference)
                remove_dataset(self.catalog, project, dataset, contents=bool(node.args.get("cascade")))
                return _ddl("DROP_SCHEMA", "DROP", dataset=reference)

            return Plan("DROP_SCHEMA", drop_schema)
        if kind not in ("TABLE", "VIEW") or node.args.get("materialized"):
            raise compiler.unsupported(f"DROP {kind}", node)
        name = self.session.table_name([part.name for part in target.parts], target)
        self.catalog.require_table(self.session.principal, "bigquery.tables.delete", name)
        statement = f"DROP_{kind}"

        def drop_table() -> Outcome:
            with self.catalog.engine.locked(name.key):
                document = self.catalog.find_table(name)
                if document is None:
                    if exists:
                        return _ddl(statement, "SKIP", name)
                    raise no_table(name, self.session.location or "US")
                if ("view" in document["resource"]) != (kind == "VIEW"):
                    is_view = "view" in document["resource"]
                    raise compiler.error(
                        f"Cannot drop {name.text} with DROP {kind}: it is a {'view' if is_view else 'table'}"
                    )
                self.catalog.delete_table(name)
            return _ddl(statement, "DROP", name)

        return Plan(statement, drop_table, target=name)

    def _alter(self, node: exp.Alter) -> Plan:
        compiler = Compiler(self.session)
        kind = str(node.args.get("kind") or "").upper()
        if kind not in ("TABLE", "VIEW"):
            raise compiler.unsupported(f"ALTER {kind}", node)
        target: Any = node.this
        name = self.session.table_name([part.name for part in target.parts], target)
        self.catalog.require_table(self.session.principal, "bigquery.tables.update", name)
        statement = f"ALTER_{kind}"

        def run() -> Outcome:
            with self.catalog.engine.locked(name.key):
                document = self.catalog.find_table(name)
                if document is None:
                    if node.args.get("exists"):
                        return _ddl(statement, "SKIP", name)
                    raise no_table(name, self.session.location or "US")
                for action in node.args["actions"]:
                    document = self._altered(compiler, name, self.catalog.table(name), action)
            return _ddl(statement, "ALTER", name)

        return Plan(statement, run, target=name)

    def _altered(self, compiler: Compiler, name: TableName, document: dict[str, Any], action: Any) -> dict[str, Any]:
        catalog, resource = self.catalog, document["resource"]
        fields = resource.get("schema", {}).get("fields", [])
        by_name = {one["name"].lower(): one for one in fields}
        if isinstance(action, exp.AlterSet):
            changes: dict[str, Any] = {}
            for group in action.expressions:
                for one in group.expressions:
                    changes.update(_option(compiler, one.this.name.lower(), one.args["value"]))
            kept = {key: value for key, value in resource.items() if key not in changes or changes[key] is not None}
            kept.update(writable(changes, fields))
            return catalog.keep_table(name, kept, document["physical"])
        if "view" in resource:
            raise compiler.unsupported("changing the columns of a view", action)
        if isinstance(action, exp.ColumnDef):
            if action.name.lower() in by_name:
                if action.args.get("exists"):
                    return document
                raise compiler.error(f"Column already exists: {action.name}", action)
            new = _column(compiler, action)
            if new.get("mode") == "REQUIRED":
                raise compiler.error(f"Cannot add required column {action.name} to an existing table", action)
            physical, schema = change_schema(catalog, name, document, checked_schema([*fields, new]))
            return self._switched(name, document, {**resource, "schema": schema}, physical)
        if isinstance(action, exp.Drop):
            column: Any = action.args["tables"][0] if action.args.get("tables") else action.this
            if column.name.lower() not in by_name:
                if action.args.get("exists"):
                    return document
                raise compiler.error(f"Column not found: {column.name}", action)
            left = [one for one in fields if one["name"].lower() != column.name.lower()]
            if not left:
                raise compiler.error(f"Table {name.text} must keep at least one column", action)
            return self._reshaped(name, document, left)
        if isinstance(action, exp.RenameColumn):
            return self._rename_column(compiler, name, document, action)
        if isinstance(action, exp.AlterColumn):
            return self._alter_column(compiler, name, document, action)
        if isinstance(action, exp.AlterRename):
            return self._rename(name, document, action.this.name)
        raise compiler.unsupported(f"ALTER TABLE with {type(action).__name__}", action)

    def _switched(
        self, name: TableName, document: dict[str, Any], resource: dict[str, Any], physical: str | None
    ) -> dict[str, Any]:
        kept = self.catalog.keep_table(name, resource, physical)
        if physical != document["physical"]:
            self.catalog.engine.drop(document["physical"])
        return kept

    def _reshaped(self, name: TableName, document: dict[str, Any], fields: list[dict[str, Any]]) -> dict[str, Any]:
        catalog, old = self.catalog, document["physical"]
        before = columns(document["resource"]["schema"]["fields"])
        physical = catalog.engine.write(lambda cursor: reshape_table(catalog, cursor, old, before, columns(fields)))
        return self._switched(name, document, {**document["resource"], "schema": {"fields": fields}}, physical)

    def _rename_column(
        self, compiler: Compiler, name: TableName, document: dict[str, Any], action: Any
    ) -> dict[str, Any]:
        fields = document["resource"]["schema"]["fields"]
        old, new = action.this.name, action.args["to"].name
        if not any(one["name"].lower() == old.lower() for one in fields):
            raise compiler.error(f"Column not found: {old}", action)
        schema = checked_schema([{**one, "name": new} if one["name"].lower() == old.lower() else one for one in fields])
        physical = document["physical"]
        if old.lower() != new.lower():
            self.catalog.engine.write(
                lambda cursor: cursor.execute(f'ALTER TABLE "{physical}" RENAME COLUMN {quoted(old)} TO {quoted(new)}')
            )
        return self.catalog.keep_table(name, {**document["resource"], "schema": {"fields": schema}}, physical)

    def _alter_column(
        self, compiler: Compiler, name: TableName, document: dict[str, Any], action: Any
    ) -> dict[str, Any]:
        fields = document["resource"]["schema"]["fields"]
        by_name = {one["name"].lower(): one for one in fields}
        column = by_name.get(action.name.lower())
        if column is None:
            raise compiler.error(f"Column not found: {action.name}", action)
        changed = dict(column)
        if action.args.get("allow_null") and action.args.get("drop"):
            changed["mode"] = "NULLABLE"
            schema = [changed if one is column else one for one in fields]
            resource = {**document["resource"], "schema": {"fields": schema}}
            return self.catalog.keep_table(name, resource, document["physical"])
        if action.args.get("dtype") is None:
            raise compiler.unsupported("this ALTER COLUMN", action)
        wanted = compiler.type_of(action.args["dtype"])
        have = columns([column])[0].type
        if wanted.kind not in values.WIDER.get(have.kind, ()) and wanted != have:
            raise compiler.error(
                f"ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type ({have}) is assignable "
                f"to the new type ({wanted})",
                action,
            )
        changed = {**changed, "type": schema_field(Field("x", wanted))["type"]}
        return self._reshaped(name, document, [changed if one is column else one for one in fields])

    def _rename(self, name: TableName, document: dict[str, Any], new: str) -> dict[str, Any]:
        target = TableName(name.project, name.dataset, check_table_id(new))
        if self.catalog.find_table(target) is not None:
            raise already_exists("Table", target.text)
        with self.catalog.emulator.state.transaction():
            kept = self.catalog.keep_table(target, document["resource"], document["physical"])
            self.catalog.tables.pop(name.key, None)
        return kept


# --- helpers ---


def _affected(cursor: DuckDBPyConnection, sql: str) -> int:
    row = cursor.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _ddl(kind: str, operation: str, name: TableName | None = None, dataset: dict[str, str] | None = None) -> Outcome:
    ddl: dict[str, Any] = {"ddlOperationPerformed": operation}
    if name is not None:
        ddl["ddlTargetTable"] = name.reference
    if dataset is not None:
        ddl["ddlTargetDataset"] = dataset
    return Outcome(kind, ddl=ddl)


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


def _column(compiler: Compiler, node: Any) -> dict[str, Any]:
    """A TableFieldSchema from a column definition."""
    if not isinstance(node, exp.ColumnDef):
        raise compiler.unsupported(f"{type(node).__name__} in a table definition", node)
    if node.args.get("kind") is None:
        raise compiler.error(f"Column {node.name} has no type", node)
    made = _schema_of(compiler, node.name, node.args["kind"])
    for constraint in node.args.get("constraints") or []:
        kind = constraint.args.get("kind")
        if isinstance(kind, exp.NotNullColumnConstraint):
            made["mode"] = "REQUIRED"
        elif isinstance(kind, exp.Properties):
            for one in kind.expressions:
                if one.this.name.lower() == "description":
                    made["description"] = one.args["value"].name
        elif isinstance(kind, exp.PrimaryKeyColumnConstraint):
            continue
        else:
            raise compiler.unsupported(f"{type(kind).__name__} of a column", node)
    return made


def _schema_of(compiler: Compiler, name: str, kind: Any) -> dict[str, Any]:
    return schema_field(Field(name, compiler.type_of(kind)))


def _partitioning(compiler: Compiler, node: Any) -> dict[str, Any]:
    if isinstance(node, (exp.Column, exp.Identifier)):
        return {"timePartitioning": {"type": "DAY", "field": node.name}}
    if isinstance(node, exp.Anonymous):
        name = str(node.name).upper()
        first = node.expressions[0] if node.expressions else None
        if name == "DATE" and isinstance(first, exp.Column):
            return {"timePartitioning": {"type": "DAY", "field": first.name}}
        if name in ("DATE_TRUNC", "TIMESTAMP_TRUNC", "DATETIME_TRUNC") and isinstance(first, exp.Column):
            return {"timePartitioning": {"type": node.expressions[1].name.upper(), "field": first.name}}
        if name == "RANGE_BUCKET" and isinstance(first, exp.Column):
            bounds = [one.name for one in node.expressions[1].expressions]
            start, end, step = [*bounds, "0", "0", "1"][:3]
            return {"rangePartitioning": {"field": first.name, "range": {"start": start, "end": end, "interval": step}}}
    raise compiler.unsupported("this PARTITION BY", node)


_OPTION_FIELDS = {
    "description": "description",
    "friendly_name": "friendlyName",
    "labels": "labels",
    "require_partition_filter": "requirePartitionFilter",
    "default_table_expiration_days": "defaultTableExpirationMs",
    "location": "location",
    "expiration_timestamp": "expirationTime",
    "kms_key_name": "encryptionConfiguration",
    "default_kms_key_name": "defaultEncryptionConfiguration",
}


def _option(compiler: Compiler, name: str, node: Any) -> dict[str, Any]:
    """A field of the REST resource from an entry of OPTIONS()."""
    key = _OPTION_FIELDS.get(name)
    if key is None:
        raise compiler.unsupported(f"the option {name}", node)
    if isinstance(node, exp.Null):
        return {key: None}
    if key == "labels":
        pairs = [one.expressions for one in node.expressions]
        return {key: {pair[0].name: pair[1].name for pair in pairs}}
    value = compiler.compile(node)
    if key == "expirationTime":
        made = coerced(value, TIMESTAMP)
        if made is None or made.literal is None:
            raise compiler.unsupported("an expiration_timestamp that is not a literal", node)
        epoch = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - UTC by definition
        return {key: str(int((made.literal - epoch).total_seconds() * 1000))}
    if key == "defaultTableExpirationMs":
        return {key: str(int(float(value.literal) * 86_400_000))}
    if not value.constant:
        raise compiler.unsupported(f"the option {name} with anything but a literal", node)
    if name in ("kms_key_name", "default_kms_key_name"):
        return {key: {"kmsKeyName": value.literal}}
    return {key: value.literal}
