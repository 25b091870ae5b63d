"""Query jobs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from ..core.clock import milliseconds, now
from ..core.errors import invalid
from .encryption import settled
from .names import ANONYMOUS_DATASET, TableName, already_exists, check_table_id, no_dataset, no_table
from .parameters import parameter
from .result_cache import Cached, ResultCache, etags
from .rows import reshape_table
from .session import Session
from .sql.errors import TOO_DEEP, SqlError
from .sql.parser import parse
from .statements.outcomes import Outcome, store
from .statements.statements import Statements
from .types import SchemaMismatchError, checked_schema, columns, quoted, reshaped, schema_field, union_schema
from .writing import writable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from .sql.relations import Query
    from .statements.outcomes import Plan
    from .types import Field
    from .work import Work

#: How long a result without a destination is kept, in milliseconds.
_RESULT_LIFE = 24 * 3600 * 1000
_MEGABYTE = 1024 * 1024
#: Megabytes that a query is billed for at least for each table.
_LEAST_MEGABYTES = 10


def run_query(work: Work) -> None:
    """Run a query job, or only check it if it is a dry run.

    Raises:
        ApiError: whatever is wrong with the query.
    """
    try:
        _run(work)
    except RecursionError:
        raise SqlError(TOO_DEEP) from None


def _run(work: Work) -> None:
    options = work.configuration["query"]
    text = options.get("query") or ""
    if not text.strip():
        raise invalid("Required parameter is missing: query", reason="required")
    _check_dialect(options, text)
    session = _session(work, options, text)
    nodes = parse(text)
    statements = Statements(session, _Sink(work, options), checking=work.dry_run)
    if work.dry_run:
        plans = [statements.plan(node) for node in nodes]
        kind = plans[0].kind if len(plans) == 1 else "SCRIPT"
        fields = plans[-1].fields
        _note(work, session, kind)
        if fields is not None:
            work.statistics["query"]["schema"] = {"fields": [schema_field(field) for field in fields]}
            work.result = {"fields": [schema_field(field) for field in fields]}
        return
    outcome: Outcome | None = None
    last: Outcome | None = None
    cached = False
    for node in nodes:
        work.check_cancelled()
        plan = statements.plan(node)
        _check_billing(work, session)
        if len(nodes) == 1 and plan.kind == "SELECT":
            outcome, cached = _selected(work, session, plan)
        else:
            outcome = plan.run()
        if outcome.fields is not None or last is None or len(nodes) == 1:
            last = outcome
    if outcome is None or last is None:
        return
    _note(work, session, outcome.kind if len(nodes) == 1 else "SCRIPT", cached=cached)
    _report(work, last, outcome)


def _check_dialect(options: dict[str, Any], text: str) -> None:
    lowered = text.lstrip().lower()
    if lowered.startswith("#standardsql"):
        return
    if options.get("useLegacySql", True) in (True, "true") or lowered.startswith("#legacysql"):
        raise invalid(
            "The emulator serves GoogleSQL only. useLegacySql is true unless a request sets it: send "
            '"useLegacySql": false (bq: --use_legacy_sql=false).',
            reason="invalidQuery",
        )


def _session(work: Work, options: dict[str, Any], text: str) -> Session:
    default = options.get("defaultDataset") or {}
    given = options.get("queryParameters") or []
    named = str(options.get("parameterMode") or "").upper() == "NAMED" or any(one.get("name") for one in given)
    values = [parameter(one) for one in given]
    return Session(
        work.catalog,
        work.principal,
        work.project,
        text,
        default_dataset=(default.get("projectId") or work.project, default["datasetId"])
        if default.get("datasetId")
        else None,
        location=work.location,
        named={str(one.get("name", "")).lower(): value for one, value in zip(given, values, strict=True)}
        if named
        else {},
        positional=[] if named else values,
    )


def _selected(work: Work, session: Session, plan: Plan) -> tuple[Outcome, bool]:
    """What a SELECT gives, and whether that was known already."""
    cache = work.emulator.service(ResultCache)
    known = cache.find(work, session)
    if known is not None:
        return Outcome("SELECT", known.fields, known.table), True
    before = etags(work, session)
    outcome = plan.run()
    if outcome.fields is not None and outcome.table is not None:
        cache.keep(work, session, Cached(outcome.fields, outcome.table, before))
    return outcome, False


def _sizes(work: Work, session: Session) -> list[int]:
    """Bytes of the tables that a query reads."""
    documents = (work.catalog.find_table(name) for name in dict.fromkeys(session.scanned))
    return [work.catalog.size(document) for document in documents if document is not None]


def _billed(sizes: list[int]) -> int:
    """Bytes that a query is billed for: whole megabytes, ten at least for each table.

    https://cloud.google.com/bigquery/pricing#on_demand_pricing
    """
    return sum(max(-(-size // _MEGABYTE), _LEAST_MEGABYTES) * _MEGABYTE for size in sizes)


def _check_billing(work: Work, session: Session) -> None:
    """Refuse to run a query that costs more than the request allows.

    Raises:
        ApiError: 400 ``bytesBilledLimitExceeded``.
    """
    limit = int(work.configuration["query"].get("maximumBytesBilled") or 0)
    if limit and (needed := _billed(_sizes(work, session))) > limit:
        raise invalid(
            f"Query exceeded limit for bytes billed: {limit}. {needed} or higher required.",
            reason="bytesBilledLimitExceeded",
        )


def _note(work: Work, session: Session, kind: str, *, cached: bool = False) -> None:
    """Statistics that every query has."""
    work.location = session.location or work.location or "US"
    sizes = [] if cached else _sizes(work, session)
    shown = str(sum(sizes))
    work.statistics["totalBytesProcessed"] = shown
    query: dict[str, Any] = {
        "statementType": kind,
        "totalBytesProcessed": shown,
        "totalBytesBilled": str(0 if work.dry_run else _billed(sizes)),
        "cacheHit": cached,
        "billingTier": 0 if work.dry_run or cached else 1,
        "totalSlotMs": "0",
        "totalPartitionsProcessed": "0",
    }
    if work.dry_run:
        query["totalBytesProcessedAccuracy"] = "PRECISE"
    if session.referenced:
        query["referencedTables"] = [name.reference for name in session.referenced]
    work.statistics["query"] = query


def _report(work: Work, last: Outcome, outcome: Outcome) -> None:
    details = work.statistics["query"]
    details.update(outcome.ddl)
    if outcome.dml is not None:
        details["numDmlAffectedRows"] = str(sum(outcome.dml.values()))
        details["dmlStats"] = {key: str(value) for key, value in outcome.dml.items()}
    if last.fields is not None:
        work.result = {"fields": [schema_field(field) for field in last.fields]}
        if last.table is not None:
            work.result["table"] = last.table.key
            options = work.configuration["query"]
            if "destinationTable" not in options:
                changed = {**options, "destinationTable": last.table.reference}
                changed.setdefault("writeDisposition", "WRITE_TRUNCATE")
                changed.setdefault("createDisposition", "CREATE_IF_NEEDED")
                changed.setdefault("priority", "INTERACTIVE")
                work.configuration = {**work.configuration, "query": changed}
    elif outcome.ddl.get("ddlTargetTable") and outcome.table is not None:
        # CREATE TABLE AS SELECT: the new table is the job's destination.
        options = {**work.configuration["query"], "destinationTable": outcome.table.reference}
        work.configuration = {**work.configuration, "query": options}


class _Sink:
    """Puts the rows of a query into the job's destination, or into a table that only its owner sees."""

    def __init__(self, work: Work, options: dict[str, Any]) -> None:
        self.work = work
        self.options = options

    def __call__(self, session: Session, query: Query, fields: list[Field]) -> TableName:
        catalog = self.work.catalog
        reference = self.options.get("destinationTable") or {}
        if not reference.get("tableId"):
            physical = catalog.engine.write(lambda cursor: store(catalog, cursor, query, fields))
            name = TableName(self.work.project, ANONYMOUS_DATASET, "anon" + secrets.token_hex(12))
            schema = [schema_field(field) for field in fields]
            expires = _later(_RESULT_LIFE)
            resource = {"schema": {"fields": schema}, "owner": self.work.principal, "expirationTime": expires}
            catalog.keep_table(name, resource, physical)
            catalog.forget_old_results()
            return name
        name = TableName(
            reference.get("projectId") or self.work.project,
            reference["datasetId"],
            check_table_id(reference["tableId"]),
        )
        self._may_write(session, name)
        with catalog.engine.locked(name.key):
            self._write(name, query, fields)
        return name

    def _may_write(self, session: Session, name: TableName) -> None:
        catalog, principal = self.work.catalog, self.work.principal
        exists = catalog.find_table(name) is not None
        if exists:
            catalog.require_table(principal, "bigquery.tables.updateData", name)
        else:
            catalog.require_dataset(principal, "bigquery.tables.create", name.project, name.dataset)
        dataset = catalog.find_dataset(name.project, name.dataset)
        if dataset is None:
            raise no_dataset(name.project, name.dataset, session.location or "US")
        session.settle_location(name.project, name.dataset, dataset["location"])
        if not exists and self.options.get("createDisposition") == "CREATE_NEVER":
            raise no_table(name, session.location)

    def _write(self, name: TableName, query: Query, fields: list[Field]) -> None:
        catalog = self.work.catalog
        document = catalog.find_table(name)
        disposition = self.options.get("writeDisposition") or "WRITE_EMPTY"
        if document is not None and "view" in document["resource"]:
            raise invalid(f"{name.text} is a view; results of queries are only written to tables")
        if disposition == "WRITE_EMPTY" and document is not None and catalog.count(document):
            raise already_exists("Table", name.text)
        schema = checked_schema([schema_field(field) for field in fields])
        fresh = document is None or disposition != "WRITE_APPEND" or document["physical"] is None
        old = None if document is None else document["physical"]
        resource = {} if document is None else {k: v for k, v in document["resource"].items() if k != "schema"}
        resource.update(writable({key: self.options.get(key) for key in _LAYOUT}, schema))
        wanted = self.options.get("destinationEncryptionConfiguration")
        resource = settled(catalog, name, resource, wanted, append=not fresh)
        if fresh or document is None:
            physical: str | None = catalog.engine.write(lambda cursor: store(catalog, cursor, query, fields))
            catalog.keep_table(name, {**resource, "schema": {"fields": schema}}, physical)
        else:
            schema, physical = self._append(name, document, query, fields, schema)
            catalog.keep_table(name, {**document["resource"], "schema": {"fields": schema}}, physical)
        if old != physical:
            catalog.engine.drop(old)

    def _append(
        self,
        name: TableName,
        document: dict[str, Any],
        query: Query,
        fields: list[Field],
        schema: list[dict[str, Any]],
    ) -> tuple[list[dict[str, Any]], str]:
        catalog = self.work.catalog
        have = document["resource"]["schema"]["fields"]
        allowed = self.options.get("schemaUpdateOptions") or []
        try:
            united, grown = union_schema(have, schema)
            if grown and "ALLOW_FIELD_ADDITION" not in allowed:
                raise SchemaMismatchError("Cannot add fields")
        except SchemaMismatchError as error:
            raise invalid(f"Invalid schema update. {error}. Table {name.text}") from None
        before, after = columns(have), columns(united)
        by_name = {field.name.lower(): field for field in fields}

        def work(cursor: DuckDBPyConnection) -> str:
            target: str = document["physical"]
            if grown:
                target = reshape_table(catalog, cursor, target, before, after)
            source = store(catalog, cursor, query, fields)
            pairs = [(field, by_name[field.name.lower()]) for field in after if field.name.lower() in by_name]
            names = ", ".join(quoted(field.name) for field, _ in pairs)
            values = ", ".join(reshaped(quoted(one.name), one.type, field.type) for field, one in pairs)
            cursor.execute(f'INSERT INTO "{target}" ({names}) SELECT {values} FROM "{source}"')  # noqa: S608
            cursor.execute(f'DROP TABLE "{source}"')
            return target

        return united, catalog.engine.write(work)


_LAYOUT = ("timePartitioning", "rangePartitioning", "clustering")


def _later(milliseconds_on: int) -> str:
    return str(int(milliseconds(now())) + milliseconds_on)
