"""What a query is run in: who asks, which project pays, which tables its names mean, what its parameters are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..iam import OWNER
from . import information_schema, wildcards
from .access import authorizes
from .encryption import require_key
from .names import ANONYMOUS_DATASET, TableName, denied_table, no_dataset
from .sql import values
from .sql.errors import SqlError, UnsupportedError, position
from .sql.parser import parse
from .sql.queries import Compiler
from .sql.relations import Relation
from .sql.volatile import changes_by_itself
from .types import STRING, columns, quoted

if TYPE_CHECKING:
    from sqlglot import exp

    from .catalog import Catalog
    from .sql.scopes import Function
    from .sql.values import Expr

#: How deep views may be built on views.
_DEEPEST_VIEW = 16


class Session:
    """One query job's surroundings.

    Args:
        catalog: datasets and tables.
        principal: who asks.
        project: the project that runs the job; names without a project belong to it.
        sql: the text, for positions in messages.
        default_dataset: (project, dataset) of table names without a dataset.
        location: where the job runs; None if it follows the tables.
        named: named parameters.
        positional: positional parameters.
    """

    def __init__(
        self,
        catalog: Catalog,
        principal: str,
        project: str,
        sql: str,
        *,
        default_dataset: tuple[str, str] | None = None,
        location: str | None = None,
        named: dict[str, Expr] | None = None,
        positional: list[Expr] | None = None,
    ) -> None:
        self.catalog = catalog
        self.principal = principal
        self.project = project
        self.sql = sql
        self.default_dataset = default_dataset
        self.location = location
        self.named = named or {}
        self.positional = list(positional or [])
        self.variables: dict[str, Expr] = {}
        #: Tables of the text so far, in order; views stand for themselves.
        self.referenced: list[TableName] = []
        #: Tables whose rows are read, views' tables included.
        self.scanned: list[TableName] = []
        #: Tables and views that the query depends on in any way.
        self.seen: set[TableName] = set()
        #: Whether the same text has the same result as long as these do not change.
        self.cacheable = not changes_by_itself(sql)
        self.temporary: dict[str, TableName] = {}
        self.functions: dict[str, Function] = {}
        self._views: list[TableName] = []
        self.used = 0

    # --- parameters and variables ---

    def named_parameter(self, name: str) -> Expr | None:
        """The value of ``@name``."""
        return self.named.get(name.lower())

    def positional_parameter(self) -> Expr | None:
        """The value of the next ``?``."""
        if self.used >= len(self.positional):
            return None
        self.used += 1
        return self.positional[self.used - 1]

    def variable(self, name: str) -> Expr | None:
        """The value of a variable of a script."""
        return self.variables.get(name.lower())

    def function(self, name: str) -> Function | None:
        """A function that the script made; views know none."""
        return None if self._views else self.functions.get(name.lower())

    def system_variable(self, name: str) -> Expr | None:
        """The value of ``@@name``."""
        self.cacheable = False
        match name.lower():
            case "project_id":
                return values.string(self.project)
            case "time_zone":
                return values.string("UTC")
            case "session_user":
                return values.string(
                    "owner@example.com" if self.principal == OWNER else self.principal.partition(":")[2]
                )
            case "dataset_id":
                return values.string(self.default_dataset[1]) if self.default_dataset else values.null(STRING)
            case "dataset_project_id":
                return values.string(self.default_dataset[0] if self.default_dataset else self.project)
        return None

    # --- names ---

    def table_name(self, parts: list[str], node: exp.Expression | None = None) -> TableName:
        """The table that a name in a query means.

        Raises:
            SqlError: the name lacks a dataset and there is no default, or has too many parts.
        """
        at = None if node is None else position(node, self.sql)
        words = parts
        table = words[-1]
        if table.endswith("*"):
            raise UnsupportedError("wildcard tables", at)
        if "$" in table or "@" in table:
            raise UnsupportedError("partition and snapshot decorators", at)
        if len(words) == 1:
            if table.lower() in self.temporary:
                return self.temporary[table.lower()]
            if self.default_dataset is None:
                raise SqlError(f'Table "{table}" must be qualified with a dataset (e.g. dataset.table).', at)
            return TableName(*self.default_dataset, table)
        if len(words) == 2:
            project = self.default_dataset[0] if self.default_dataset else self.project
            return TableName(project, words[0], table)
        if len(words) == 3:
            return TableName(words[0], words[1], table)
        raise SqlError(f"Invalid table name: {'.'.join(words)}", at)

    def relation(self, parts: list[str], node: exp.Expression) -> Relation:
        """The rows of a table, view or INFORMATION_SCHEMA view, which the caller may read.

        Raises:
            ApiError: 403 if the caller may not, 404 if there is none.
        """
        joined = ".".join(parts)
        found = re.fullmatch(r"(?:(.*)\.)?INFORMATION_SCHEMA\.(\w+)", joined, re.IGNORECASE)
        if found:
            self.cacheable = False
            return information_schema.relation(self, found[1], found[2].upper(), node)
        if (listed := re.fullmatch(r"(?:([^.]+)\.)?([^.]+)\.__TABLES__", joined)) is not None:
            self.cacheable = False
            default = self.default_dataset[0] if self.default_dataset else self.project
            return information_schema.tables(self, listed[1] or default, listed[2])
        if parts[-1].endswith("*"):
            self.cacheable = False
            return wildcards.relation(self, self.table_name([*parts[:-1], parts[-1][:-1]], node), node)
        name = self.table_name(parts, node)
        document = self.readable(name)
        self.noted(name, rows="view" not in document["resource"])
        resource = document["resource"]
        if "view" in resource:
            return self._view(name, resource)
        fields = columns(resource.get("schema", {}).get("fields", []))
        if document["physical"] is None:
            raise SqlError(f"Table {name.text} does not have a schema.")
        return Relation(quoted(document["physical"]), [(field.name, field.type, field.name) for field in fields])

    def noted(self, name: TableName, *, rows: bool = True) -> None:
        """Remember that the query names a table or view, and whether its rows are read."""
        if name not in self.referenced and not self._views and name.dataset != ANONYMOUS_DATASET:
            self.referenced.append(name)
        if rows:
            self.scanned.append(name)

    def readable(self, name: TableName) -> dict[str, Any]:
        """The document of a table that the caller may read.

        Raises:
            ApiError: 403 or 404.
        """
        catalog = self.catalog
        if not self._may_read(name):
            raise denied_table("bigquery.tables.getData", name)
        dataset = catalog.find_dataset(name.project, name.dataset)
        if name.dataset != ANONYMOUS_DATASET:
            if dataset is None:
                raise no_dataset(name.project, name.dataset, self.location or "US")
            self.settle_location(name.project, name.dataset, dataset["location"])
        document = catalog.table(name, self.location or "US")
        self.seen.add(name)
        require_key(catalog, name, document["resource"])
        return document

    def settle_location(self, project: str, dataset: str, location: str) -> None:
        """Note where a table is; a job runs in one location.

        Raises:
            ApiError: 404 if the job runs elsewhere.
        """
        if self.location is None:
            self.location = location
        elif self.location.lower() != location.lower():
            raise no_dataset(project, dataset, self.location)

    def _may_read(self, name: TableName) -> bool:
        if self.catalog.allowed(self.principal, "bigquery.tables.getData", name.project, name.dataset, name.table):
            return True
        if not self._views:
            return False
        entries = (self.catalog.find_dataset(name.project, name.dataset) or {}).get("access", [])
        view = self._views[-1]
        return authorizes(entries, view.project, view.dataset, view.table)

    def _view(self, name: TableName, resource: dict[str, Any]) -> Relation:
        if name in self._views or len(self._views) >= _DEEPEST_VIEW:
            raise SqlError(f"View {name.text} refers to itself, or views are nested deeper than {_DEEPEST_VIEW} levels")
        text = resource["view"]["query"]
        self.cacheable = self.cacheable and not changes_by_itself(text)
        outer = (self.project, self.default_dataset, self.sql, self.variables)
        self.project, self.default_dataset, self.sql, self.variables = name.project, None, text, {}
        self._views.append(name)
        try:
            made = Compiler(self).query(parse(text)[0])
        finally:
            self._views.pop()
            self.project, self.default_dataset, self.sql, self.variables = outer
        shown = [field["name"] for field in resource.get("schema", {}).get("fields", [])]
        names = shown if len(shown) == len(made.fields) else [field.name for field in made.fields]
        return Relation(
            f"({made.sql})",
            [
                (label, field.type, f"c{index}")
                for index, (label, field) in enumerate(zip(names, made.fields, strict=True))
            ],
        )
