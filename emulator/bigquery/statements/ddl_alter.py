"""ALTER TABLE and ALTER VIEW.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from ..names import TableName, already_exists, check_table_id, no_table
from ..rows import reshape_table
from ..sql import values
from ..sql.queries import Compiler
from ..tables import change_schema
from ..types import Field, checked_schema, columns, quoted, schema_field
from ..writing import writable
from .definitions import column_of, ddl_outcome, option
from .outcomes import Outcome, Plan, StatementCompiler


class Alter(StatementCompiler):
    """Statements that change tables and views."""

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
                        return ddl_outcome(statement, "SKIP", name)
                    raise no_table(name, self.session.location or "US")
                for action in node.args["actions"]:
                    document = self._altered(compiler, name, self.catalog.table(name), action)
            return ddl_outcome(statement, "ALTER", name)

        return Plan(statement, run, target=name)

    def _altered(self, compiler: Compiler, name: TableName, document: dict[str, Any], action: Any) -> dict[str, Any]:
        catalog, resource = self.catalog, document["resource"]
        fields = resource.get("schema", {}).get("fields", [])
        by_name = {one["name"].lower(): one for one in fields}
        if isinstance(action, exp.AlterSet):
            changes: dict[str, Any] = {}
            for group in action.expressions:
                for one in group.expressions:
                    changes.update(option(compiler, one.this.name.lower(), one.args["value"]))
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
            new = column_of(compiler, action)
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
