"""CREATE TABLE and CREATE VIEW.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from ..datasets import create as create_dataset
from ..encryption import settled
from ..names import TableName, already_exists, check_table_id, no_dataset
from ..output import output_fields
from ..sql.queries import Compiler
from ..sql.relations import Query
from ..sql.values import Expr, coerced
from ..tables import create
from ..types import Field, checked_schema, columns, schema_field
from ..writing import writable
from .definitions import column_of, ddl_outcome, option, partitioning
from .outcomes import Outcome, Plan, store
from .scripts import Scripts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Create(Scripts):
    """Statements that make tables and views."""

    def _new_table(self, node: Any, permission: str = "bigquery.tables.create") -> TableName:
        name = self.session.table_name([part.name for part in node.parts], node)
        check_table_id(name.table)
        self.catalog.require_dataset(self.session.principal, permission, name.project, name.dataset)
        dataset = self.catalog.find_dataset(name.project, name.dataset)
        if dataset is None:
            raise no_dataset(name.project, name.dataset, self.session.location or "US")
        self.session.settle_location(name.project, name.dataset, dataset["location"])
        return name

    def _dataset_of(self, node: Any) -> tuple[str, str]:
        parts = [part.name for part in node.parts if part.name]
        if len(parts) == 1:
            return self.session.project, parts[0]
        if len(parts) == 2:
            return parts[0], parts[1]
        raise Compiler(self.session).error("Invalid dataset name", node)

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
        declared = [] if schema_node is None else [column_of(compiler, one) for one in schema_node.expressions]
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
                        return ddl_outcome(statement, "SKIP", name)
                    if not node.args.get("replace"):
                        raise already_exists("Table", name.text)
                    operation["done"] = "REPLACE"
                self._make_table(compiler, name, declared, body, query, fields, source)
                if old is not None:
                    self.catalog.engine.drop(old["physical"])
            made = ddl_outcome(statement, operation["done"], name)
            if query is not None:
                made.table = name
            return made

        return Plan(statement, run, target=name)

    def _create_schema(self, node: exp.Create) -> Plan:
        compiler = Compiler(self.session)
        project, dataset = self._dataset_of(node.this)
        self.catalog.require_project(self.session.principal, "bigquery.datasets.create", project)
        body: dict[str, Any] = {}
        for one in node.args["properties"].expressions if node.args.get("properties") else []:
            if isinstance(one, exp.LocationProperty):
                body["location"] = one.this.name
            elif isinstance(one, exp.Property) and isinstance(one.this, exp.Var):
                body.update(option(compiler, one.this.name.lower(), one.args["value"]))
            else:
                raise compiler.unsupported(f"{type(one).__name__} of a schema", one)

        def run() -> Outcome:
            reference = {"projectId": project, "datasetId": dataset}
            if node.args.get("exists") and self.catalog.find_dataset(project, dataset) is not None:
                return ddl_outcome("CREATE_SCHEMA", "SKIP", dataset=reference)
            body.setdefault("location", self.session.location)
            create_dataset(self.catalog, self.session.principal, project, dataset, body)
            return ddl_outcome("CREATE_SCHEMA", "CREATE", dataset=reference)

        return Plan("CREATE_SCHEMA", run)

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
                body.update(partitioning(compiler, one.this))
            elif isinstance(one, (exp.ClusterProperty, exp.Cluster)):
                body["clustering"] = {"fields": [column.name for column in one.expressions]}
            elif isinstance(one, exp.LikeProperty):
                continue
            elif isinstance(one, exp.Property) and isinstance(one.this, exp.Var):
                body.update(option(compiler, one.this.name.lower(), one.args["value"]))
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
                        return ddl_outcome("CREATE_VIEW", "SKIP", name)
                    if not node.args.get("replace"):
                        raise already_exists("Table", name.text)
                    if "view" not in old["resource"]:
                        raise compiler.error(f"{name.text} is not a view")
                    operation = "REPLACE"
                create(self.catalog, self.session.principal, name, body, replace=old is not None)
            return ddl_outcome("CREATE_VIEW", operation, name)

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
        from ..sql.parser import GoogleSql

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
