"""Statements: queries, DML and DDL, compiled to steps that are run in one transaction."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from ..datasets import remove as remove_dataset
from ..names import no_table
from ..output import output_fields
from ..plans import check_plan
from ..sql.parser import refuse_by_name
from ..sql.queries import Compiler
from ..sql.relations import Query
from ..types import member
from .ddl_alter import Alter
from .ddl_create import Create
from .definitions import ddl_outcome
from .dml import Dml
from .grants import change_access, entries_of
from .outcomes import Outcome, Plan


class Statements(Dml, Create, Alter):
    """Compiles the statements of one job; see :class:`.outcomes.StatementCompiler`."""

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
        if isinstance(node, exp.Command) and str(node.this).upper() == "EXECUTE":
            return self._execute(node)
        maker = makers.get(type(node))
        if maker is None:
            name = node.this if isinstance(node, exp.Command) and isinstance(node.this, str) else type(node).__name__
            compiler = Compiler(self.session)
            if isinstance(node, (exp.Column, exp.Alias, exp.Identifier)):
                refuse_by_name(self.session.sql)
                raise compiler.error(f'Syntax error: Unexpected "{node.sql("bigquery")[:60]}"', node)
            raise compiler.unsupported(f"{str(name).upper()} statements", node)
        return maker(node)

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
                    return ddl_outcome("DROP_SCHEMA", "SKIP", dataset=reference)
                remove_dataset(self.catalog, project, dataset, contents=bool(node.args.get("cascade")))
                return ddl_outcome("DROP_SCHEMA", "DROP", dataset=reference)

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
                        return ddl_outcome(statement, "SKIP", name)
                    raise no_table(name, self.session.location or "US")
                if ("view" in document["resource"]) != (kind == "VIEW"):
                    is_view = "view" in document["resource"]
                    raise compiler.error(
                        f"Cannot drop {name.text} with DROP {kind}: it is a {'view' if is_view else 'table'}"
                    )
                self.catalog.delete_table(name)
            return ddl_outcome(statement, "DROP", name)

        return Plan(statement, drop_table, target=name)
