"""Results of queries that are answered again without running them.

https://cloud.google.com/bigquery/docs/cached-results: the same text by the same person, with nothing in it that changes
by itself, of tables that are as they were; for as long as the result is kept.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from .names import TableName
    from .session import Session
    from .types import Field
    from .work import Work

#: Results that are remembered; those not asked for longest go first.
_MOST = 500


@dataclass(frozen=True, slots=True)
class Cached:
    """A result: its columns, the table that holds its rows, and the state of what it was made from."""

    fields: list[Field]
    table: TableName
    etags: dict[TableName, str]


class ResultCache:
    """The results of one emulator; ``emulator.service(ResultCache)``."""

    def __init__(self, emulator: Emulator) -> None:
        self._results: OrderedDict[str, Cached] = OrderedDict()
        self._lock = threading.Lock()
        emulator.on_reset(self._results.clear)

    def find(self, work: Work, session: Session) -> Cached | None:
        """The result of a query that was compiled; None if it has to be run."""
        if not _may_use(work, session):
            return None
        key = _key(work)
        with self._lock:
            found = self._results.get(key)
            if found is None or found.etags != etags(work, session) or work.catalog.find_table(found.table) is None:
                return None
            self._results.move_to_end(key)
            return found

    def keep(self, work: Work, session: Session, result: Cached) -> None:
        """Remember the result of a query, unless it may be another the next time.

        Args:
            work: the job.
            session: what the query was compiled in.
            result: the result, with the state of the tables before it was made.
        """
        if _may_use(work, session) and result.etags == etags(work, session):
            with self._lock:
                self._results[_key(work)] = result
                while len(self._results) > _MOST:
                    self._results.popitem(last=False)


def _may_use(work: Work, session: Session) -> bool:
    options = work.configuration["query"]
    return session.cacheable and options.get("useQueryCache") is not False and not options.get("destinationTable")


def _key(work: Work) -> str:
    options = work.configuration["query"]
    asked = {name: options.get(name) for name in ("query", "queryParameters", "defaultDataset")}
    return json.dumps([work.principal, work.project, work.location, asked], sort_keys=True)


def etags(work: Work, session: Session) -> dict[TableName, str]:
    """The state of every table and view that a query reads."""
    found = {}
    for name in session.seen:
        document = work.catalog.find_table(name)
        found[name] = "" if document is None else document["resource"]["etag"]
    return found
