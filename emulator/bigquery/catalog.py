"""Datasets and tables: what is declared about them, and which rows are theirs."""

# ruff: noqa: S608 - names are quoted and values escaped by functions made for it

from __future__ import annotations

import functools
import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.clock import milliseconds, now
from ..core.errors import ApiError, invalid
from ..iam import OWNER
from .access import bindings
from .engine import Engine
from .names import (
    ANONYMOUS_DATASET,
    TableName,
    dataset_policy,
    denied_dataset,
    denied_project,
    denied_table,
    no_dataset,
    no_table,
    table_policy,
)
from .types import INT64, Type, columns, duckdb_type, member, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from duckdb import DuckDBPyConnection

    from ..core.runtime import Emulator
    from ..http.call import Call
    from .types import Field

Document = dict[str, Any]

#: Rows whose size is measured.
_MEASURED = 5000
Handler = TypeVar("Handler", bound="Callable[..., Any]")

#: Results of queries without a destination that are kept; the oldest go first.
_MOST_RESULTS = 500


def reads(handler: Handler) -> Handler:
    """A function of a call that reads rows: tables that are replaced meanwhile stay until it is done."""

    @functools.wraps(handler)
    def reading(call: Call) -> Any:
        with call.emulator.service(Catalog).engine.reading():
            return handler(call)

    return reading  # type: ignore[return-value]


class Catalog:
    """The datasets and tables of one emulator; ``emulator.service(Catalog)``.

    A dataset's document is its REST resource without what is derived. A table's document is
    ``{"resource": …, "physical": name of its table of rows or None}``: None for views and for tables without columns.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.engine = Engine(emulator)
        self.datasets = emulator.state.collection("bigquery.datasets")
        self.tables = emulator.state.collection("bigquery.tables")
        self._sizes: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()
        if self.engine.exists:
            self.engine.keep_only({doc["physical"] for doc in self.tables.values() if doc["physical"]})

    # --- datasets ---

    def find_dataset(self, project: str, dataset: str) -> Document | None:
        """The document of a dataset."""
        return self.datasets.get(f"{project}/{dataset}")

    def dataset(self, project: str, dataset: str, location: str | None = None) -> Document:
        """The document of a dataset.

        Raises:
            ApiError: 404 if there is none; ``location`` is that of the job that asks.
        """
        found = self.find_dataset(project, dataset)
        if found is None:
            raise no_dataset(project, dataset, location)
        return found

    def keep_dataset(self, project: str, dataset: str, resource: Document) -> Document:
        """Store a dataset; its policy follows its ``access`` list.

        Raises:
            ApiError: 400 if the list names a service agent that does not exist.
        """
        moment = milliseconds(now())
        resource = {**resource, "lastModifiedTime": moment}
        resource.setdefault("creationTime", moment)
        resource["etag"] = etag(resource)
        self.emulator.iam.set(
            dataset_policy(project, dataset)[0], {"bindings": bindings(project, resource.get("access", []))}
        )
        self.datasets[f"{project}/{dataset}"] = resource
        return resource

    def delete_dataset(self, project: str, dataset: str) -> None:
        """Forget a dataset with everything in it."""
        self._delete_tables(project, dataset)
        with self.emulator.state.transaction():
            self.datasets.pop(f"{project}/{dataset}", None)
            self.emulator.iam.forget(dataset_policy(project, dataset)[0])
        # Until here a job could make another one.
        self._delete_tables(project, dataset)

    def _delete_tables(self, project: str, dataset: str) -> None:
        for key in self.tables.keys_under(f"{project}/{dataset}/"):
            self.delete_table(TableName(*key.split("/", 2)))

    # --- tables ---

    def find_table(self, name: TableName) -> Document | None:
        """The document of a table or view; an expired one is gone."""
        found = self.tables.get(name.key)
        if found is None:
            return None
        expires = found["resource"].get("expirationTime")
        if expires is not None and int(expires) <= int(milliseconds(now())):
            self.delete_table(name)
            return None
        return found

    def table(self, name: TableName, location: str | None = None) -> Document:
        """The document of a table or view.

        Raises:
            ApiError: 404 if the dataset or the table does not exist.
        """
        if name.dataset != ANONYMOUS_DATASET:
            self.dataset(name.project, name.dataset, location)
        found = self.find_table(name)
        if found is None:
            raise no_table(name, location)
        return found

    def table_names(self, project: str, dataset: str) -> list[TableName]:
        """The tables and views of a dataset, sorted."""
        names = [TableName(*key.split("/", 2)) for key in self.tables.keys_under(f"{project}/{dataset}/")]
        return [name for name in names if self.find_table(name) is not None]

    def keep_table(self, name: TableName, resource: Document, physical: str | None) -> Document:
        """Store a table, new or changed; returns its document.

        Args:
            name: which.
            resource: its REST resource; times and etag are set here.
            physical: its table of rows. The one that it had before is not dropped.

        Raises:
            ApiError: 404 if the dataset was deleted meanwhile; the rows are dropped then.
        """
        moment = milliseconds(now())
        resource = {**resource, "tableReference": name.reference, "lastModifiedTime": moment}
        if "creationTime" not in resource:
            resource["creationTime"] = moment
            dataset = self.find_dataset(name.project, name.dataset) or {}
            lifetime = dataset.get("defaultTableExpirationMs")
            partitions = dataset.get("defaultPartitionExpirationMs")
            partitioning = resource.get("timePartitioning")
            if partitions and partitioning:
                # For a partitioned table it takes the place of the table's own lifetime:
                # https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets (defaultPartitionExpirationMs)
                lifetime = None
                resource["timePartitioning"] = {"expirationMs": str(partitions), **partitioning}
            # Views too: https://cloud.google.com/bigquery/docs/managing-views#view-expiration
            if lifetime and "expirationTime" not in resource:
                resource["expirationTime"] = str(int(moment) + int(lifetime))
        if resource.get("expirationTime") in ("", "0", 0):
            del resource["expirationTime"]
        resource["etag"] = etag(resource)
        document = {"resource": resource, "physical": physical}
        with self.emulator.state.lock:
            kept = name.dataset == ANONYMOUS_DATASET or self.find_dataset(name.project, name.dataset) is not None
            if kept:
                self.tables[name.key] = document
        if not kept:
            self.engine.drop(physical)
            raise no_dataset(name.project, name.dataset, None)
        return document

    def touch(self, name: TableName) -> None:
        """Note that the rows of a table changed."""
        document = self.tables.get(name.key)
        if document is not None:
            self.keep_table(name, document["resource"], document["physical"])

    def delete_table(self, name: TableName) -> None:
        """Forget a table or view and its rows."""
        document = self.tables.pop(name.key, None)
        self.emulator.iam.forget(table_policy(name)[0])
        if document is not None:
            self.engine.drop(document["physical"])

    def create_rows(self, cursor: DuckDBPyConnection, fields: Iterable[Field]) -> str | None:
        """A new, empty table of rows with these columns; None if there are no columns."""
        parts = [f"{quoted(field.name)} {duckdb_type(field.type)}" for field in fields]
        if not parts:
            return None
        physical = self.engine.new_name()
        cursor.execute(f'CREATE TABLE "{physical}" ({", ".join(parts)})')
        return physical

    def count(self, document: Document) -> int:
        """Number of rows of a table."""
        if document["physical"] is None:
            return 0
        ((rows,),) = self.engine.rows(f'SELECT count(*) FROM "{document["physical"]}"')
        return int(rows)

    def size(self, document: Document) -> int:
        """Logical bytes of a table's rows, by BigQuery's table of sizes; computed once for every state of the table.

        Exact for small tables; of larger ones the first rows are measured and taken for all.

        https://cloud.google.com/bigquery/pricing#data
        """
        physical, state = document["physical"], document["resource"]["etag"]
        if physical is None:
            return 0
        with self._lock:
            known = self._sizes.get(physical)
        if known is not None and known[0] == state:
            return known[1]
        fields = columns(document["resource"].get("schema", {}).get("fields", []))
        terms = [_size(quoted(field.name), field.type) for field in fields]
        sample = f'(SELECT * FROM "{physical}" LIMIT {_MEASURED})'
        ((sampled, rows),) = self.engine.rows(f"SELECT coalesce(sum({' + '.join(terms)}), 0), count(*) FROM {sample}")
        total = int(sampled) * self.count(document) // rows if rows else 0
        with self._lock:
            self._sizes[physical] = (state, total)
            while len(self._sizes) > 4096:
                self._sizes.pop(next(iter(self._sizes)))
        return total

    def forget_old_results(self) -> None:
        """Keep the number of query results bounded."""
        keys = [
            (document["resource"]["creationTime"], key)
            for key, document in list(self.tables.items())
            if f"/{ANONYMOUS_DATASET}/" in key
        ]
        for _, key in sorted(keys)[:-_MOST_RESULTS]:
            self.delete_table(TableName(*key.split("/", 2)))

    # --- permissions ---

    def allowed(self, principal: str, permission: str, project: str, dataset: str, table: str | None = None) -> bool:
        """Whether the principal holds a permission on a dataset, or on one of its tables."""
        if dataset == ANONYMOUS_DATASET and table is not None:
            document = self.tables.get(f"{project}/{dataset}/{table}")
            # Results of a query belong to who ran it.
            return principal == OWNER or (document is not None and document["resource"].get("owner") == principal)
        keys = dataset_policy(project, dataset) if table is None else table_policy(TableName(project, dataset, table))
        return self.emulator.iam.allowed(principal, permission, *keys)

    def require_project(self, principal: str, permission: str, project: str) -> None:
        """Refuse a principal without the permission on the project.

        Raises:
            ApiError: 403.
        """
        if not self.emulator.iam.allowed(principal, permission, f"projects/{project}"):
            raise denied_project(permission, project)

    def require_dataset(self, principal: str, permission: str, project: str, dataset: str) -> None:
        """Refuse a principal without the permission on the dataset.

        Raises:
            ApiError: 403.
        """
        if not self.allowed(principal, permission, project, dataset):
            raise denied_dataset(permission, project, dataset)

    def require_table(self, principal: str, permission: str, name: TableName) -> None:
        """Refuse a principal without the permission on the table.

        Raises:
            ApiError: 403.
        """
        if not self.allowed(principal, permission, name.project, name.dataset, name.table):
            raise denied_table(permission, name)

    def project(self, text: str) -> str:
        """The id of the project with this id or number.

        Raises:
            ApiError: 404 for something that can't be a project.
        """
        try:
            return self.emulator.projects.use(text)
        except ApiError as error:
            raise invalid(f"Invalid project ID '{text}'. {error.message}") from None


def etag(resource: Document) -> str:
    """The etag of this state of a resource."""
    plain = {key: value for key, value in resource.items() if key != "etag"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:24]


def check_etag(expected: str | None, resource: Document) -> None:
    """Refuse a change if the resource is not what the caller read (``If-Match``).

    Raises:
        ApiError: 412.
    """
    if expected and expected.strip('"') not in ("*", resource["etag"]):
        raise ApiError(412, "Precondition check failed.", reason="conditionNotMet")


_SIZES = {"DATE": 8, "TIME": 8, "DATETIME": 8, "TIMESTAMP": 8, "INT64": 8, "FLOAT64": 8, "BOOL": 1, "NUMERIC": 16}
_SIZES |= {"BIGNUMERIC": 32, "INTERVAL": 16, "NULL": 8}


def _size(expression: str, kind: Type, depth: int = 0) -> str:
    """A DuckDB expression for the logical bytes of a value; 0 for NULL."""
    if kind.kind == "ARRAY":
        element = kind.element or INT64
        if element.kind in _SIZES:
            return f"coalesce(len({expression}) * {_SIZES[element.kind]}, 0)"
        name = f"x{depth}"
        inner = _size(name, element, depth + 1)
        return f"coalesce(list_sum(list_transform({expression}, lambda {name}: {inner})), 0)"
    if kind.kind == "STRUCT":
        return "(" + " + ".join(_size(member(expression, field.name), field.type, depth) for field in kind.fields) + ")"
    if kind.kind in _SIZES:
        return f"CASE WHEN {expression} IS NULL THEN 0 ELSE {_SIZES[kind.kind]} END"
    if kind.kind == "BYTES":
        return f"coalesce(octet_length({expression}) + 2, 0)"
    return f"coalesce(strlen(CAST({expression} AS VARCHAR)) + 2, 0)"
