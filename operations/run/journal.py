"""A journal of starts, on disk before the service is asked for anything.

A stack knows an operation once the engine has saved its name. A program that is killed between the moment in which the
service accepts a start and that one leaves an operation of which the state says nothing. So each start is written down
before it is sent: whose it is, a digest of the request, when, and which operations were there. The next start of the
same resource that finds an entry whose end isn't known looks for the operation first (`operations.run.start.resume`).

There is one file for each resource, in a folder that only its user may read. It holds names of resources and counts;
nothing of a filter, and nothing about patients. A machine whose disk goes with the job has no journal.
"""

import contextlib
import hashlib
import json
import os
import time as real_time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from operations.model.outcome import Outcome, State, seconds_of
from operations.model.requests import Request
from operations.model.resource_names import parse_operation_name

# The request may be on its way for a while, and the clocks of this machine and of the service may differ a little.
_SAME_MOMENT = 600.0
# The service forgets an operation about 30 days after its end.
_KEPT_SECONDS = 40 * 86400.0
_EARLIER_KEPT = 50
# What a program that was killed while it wrote leaves behind.
_UNFINISHED_KEPT_SECONDS = 86400.0


@dataclass(frozen=True)
class Entry:
    """The last start of one resource.

    Attributes:
        owner: the resource, and the endpoint it starts at.
        dataset: full name of the dataset whose operations are meant.
        api_methods: what the service calls such an operation.
        digest: of the request.
        time: just before the request was sent, RFC 3339, by this machine's clock.
        known: operations that were there then, without the dataset; None when they could not be listed.
        facts: what was found before the start, as `Facts.to_json` gives it.
        operation: full name of the operation, once it is known.
        instead_of: the operation that failed for want of grants and for which this one was started anew.
        settled: whether the rest is known elsewhere: nothing began, or the stack has saved the name.
        earlier: names of the operations that this resource started before.
    """

    owner: str
    dataset: str
    api_methods: tuple[str, ...]
    digest: str
    time: str
    known: tuple[str, ...] | None
    facts: Mapping[str, Any]
    operation: str = ""
    instead_of: str = ""
    settled: bool = False
    earlier: tuple[str, ...] = ()

    def may_have_begun(self, outcome: Outcome) -> bool:
        """Tell whether an operation of the dataset may be the one that this start began."""
        created = seconds_of(outcome.start_time)
        return (
            self.known is not None
            and _short(outcome.operation) not in self.known
            and outcome.api_method in self.api_methods
            # Whatever is over without a success is started anew in any case.
            and outcome.state not in (State.FAILED, State.CANCELLED)
            and created <= seconds_of(self.time) + _SAME_MOMENT
        )


class Journal:
    """The journal, as one resource sees it. Without a folder it keeps nothing."""

    def __init__(
        self, folder: Path | None, resource: str = "", *, endpoint: str = "", trigger: str = "", instead_of: str = ""
    ) -> None:
        """Use a folder, which is made when it is needed.

        Args:
            folder: where the files are.
            resource: whose starts these are; a URN in a stack.
            endpoint: of the service, where it is not Google's: the same names mean other things there.
            trigger: counts as a part of the request, so that a new one asks for a new start.
            instead_of: the operation that stands in the state while others are started anew for it.
        """
        self._folder = folder
        self._endpoint = endpoint
        self._owner = owner = f"{endpoint} {resource}".strip()
        self._trigger = trigger
        self._instead_of = instead_of
        self._path = folder / f"{_digest(owner)[:32]}.json" if folder else None

    @property
    def open_entry(self) -> Entry | None:
        """The last start, when it isn't known what came of it."""
        entry = _read(self._path) if self._path else None
        return entry if entry is not None and not entry.settled else None

    def is_same(self, entry: Entry, request: Request) -> bool:
        """Tell whether an entry is about this very request."""
        return entry.digest == self._digest_of(request)

    def begin(self, request: Request, time: str, known: Collection[str] | None, facts: Mapping[str, Any]) -> None:
        """Write down that a request is about to be sent. It is on the disk when this returns.

        Raises:
            OSError: the folder can't be written.
        """
        if self._path is None:
            return
        before = _read(self._path)
        earlier = (*before.earlier, before.operation)[-_EARLIER_KEPT:] if before else ()
        entry = Entry(
            owner=self._owner,
            dataset=str(request.store.parent),
            api_methods=request.api_methods,
            digest=self._digest_of(request),
            time=time,
            known=None if known is None else tuple(sorted(map(_short, known))),
            facts=facts,
            instead_of=self._instead_of,
            earlier=tuple(filter(None, earlier)),
        )
        _write(self._path, entry)
        self._remove_old()

    def began(self, operation: str) -> None:
        """Write down which operation the last start began."""
        self._change(operation=operation)

    def settle(self) -> None:
        """Write down that nothing more needs to be found out about the last start."""
        self._change(settled=True)

    def seen(self, operations: Collection[str], started_at: str = "") -> None:
        """Settle the last start if the state has its operation, or that of a later start.

        Args:
            operations: names that the state has.
            started_at: when the start was made that the state has, RFC 3339.
        """
        entry = self.open_entry
        if entry and (entry.operation in operations or seconds_of(started_at) > seconds_of(entry.time)):
            self.settle()

    def others(self) -> list[Entry]:
        """Return the last starts of all other resources."""
        files = sorted(self._folder.glob("*.json")) if self._folder else []
        return [entry for file in files if file != self._path and (entry := _read(file))]

    def _change(self, **changes: Any) -> None:
        entry = _read(self._path) if self._path else None
        if entry is not None and self._path is not None:
            # The entry before this one stays when it can't be written: then the operation is looked for.
            with contextlib.suppress(OSError):
                _write(self._path, replace(entry, **changes))

    def _digest_of(self, request: Request) -> str:
        return _digest(json.dumps([str(request.store), request.method, request.body(), self._trigger], sort_keys=True))

    def _remove_old(self) -> None:
        assert self._folder is not None  # noqa: S101 - for the type checker
        for pattern, kept in (("*.json", _KEPT_SECONDS), ("*.new", _UNFINISHED_KEPT_SECONDS)):
            for file in self._folder.glob(pattern):
                with contextlib.suppress(OSError):
                    if file.stat().st_mtime < real_time.time() - kept:
                        file.unlink()


NO_JOURNAL = Journal(None)


def _read(path: Path) -> Entry | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        known = value["known"]
        value |= {key: tuple(value[key]) for key in ("api_methods", "earlier")}
        return Entry(**{**value, "known": None if known is None else tuple(known)})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, entry: Entry) -> None:
    """Replace a file by a whole new one that is on the disk."""
    _make(path.parent)
    new = path.with_suffix(f".{os.getpid()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(entry), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    with contextlib.suppress(OSError):  # Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _short(operation: str) -> str:
    return parse_operation_name(operation).operation


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
