"""STOW: storing instances.

The answer is the Store Instances Response of DICOM PS3.18 10.5.3, in the Native DICOM Model by default and in JSON for
clients that accept it. An instance that is there already is a failure, and any failure makes the status 409
(Google's conformance statement). What is large goes to disk while it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ...core.errors import ApiError, invalid
from ...http.routing import Routes
from ..access import stores
from ..arrivals import somebody_listens, tell
from ..instances import Instances
from ..names import StoreName
from ..stored import STORAGE_CLASSES, New
from .accept import DICOM, JSON, XML, accepted, not_acceptable, parse_media_type
from .common import UPDATE, WRITE, root, store_and_path
from .from_json import instances_from_json
from .multipart import Growing, parts
from .native_xml import native_xml

if TYPE_CHECKING:
    from ...core.state import BlobInfo, BlobWriter
    from ...http.call import Call
    from ..dicom.reader import Record

routes = Routes("healthcare")
_PREFIX = "projects.locations.datasets.dicomStores"

#: Failure reasons (DICOM PS3.18 Table I.2-2). The service gives the first also for what is no DICOM instance, with the
#: reason in words in a private attribute (dcmjs-org/dcmjs issue 249).
_PROCESSING = 0x0110
_MISMATCH = 0xA900
_BATCH_FILES = 32
_BATCH_BYTES = 16 * 1024 * 1024
_CREATOR = "GOOGLE"
_FAILURE_DETAIL = "00091097"
_KEYWORDS = {_FAILURE_DETAIL: "FailureDetail"}


@dataclass(slots=True)
class _Outcome:
    """What became of the instances of a request.

    Attributes:
        stored, failed: items of the answer's sequences.
        studies: studies of the instances that are in the store now, those that were there before among them.
    """

    stored: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    studies: dict[str, None] = field(default_factory=dict)


@routes.method(f"{_PREFIX}.storeInstances", f"{_PREFIX}.studies.storeInstances", streams=True)
async def store_instances(call: Call) -> Response:
    """Store new instances."""
    return await _store(call, WRITE, replace=False)


@routes.method(f"{_PREFIX}.updateInstances", f"{_PREFIX}.studies.updateInstances", streams=True)
async def update_instances(call: Call) -> Response:
    """Store instances, in place of those that have their UIDs."""
    return await _store(call, UPDATE, replace=True)


async def _store(call: Call, permission: str, *, replace: bool) -> Response:
    name, number, path = store_and_path(call, permission)
    kind = _answer_kind(call)
    work = _Storing(call, name, number, path.study, _storage_class(call), replace=replace)
    batch: list[bytes | BlobWriter] = []
    size = 0
    try:
        async for data, length in _files(call):
            batch.append(data)
            size += length
            if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
                files, batch, size = batch, [], 0
                await asyncio.to_thread(call.emulator.at_work, work.keep, files)
        files, batch = batch, []
        await asyncio.to_thread(call.emulator.at_work, work.keep, files)
    finally:
        for one in batch:
            if not isinstance(one, bytes):
                one.abort()
    outcome = work.outcome
    if not outcome.stored and not outcome.failed:
        raise invalid("the request has no DICOM instance")
    status = 409 if outcome.failed else 200
    answer = _response(outcome, root(call, name))
    body = native_xml(answer, keywords=_KEYWORDS) if kind == XML else json.dumps(answer, ensure_ascii=False).encode()
    return Response(body, status, media_type=kind)


def _storage_class(call: Call) -> str:
    """The storage class that the header ``Storage-Class`` names ("DICOM storage classes" page).

    Raises:
        ApiError: 400 if there is none of that name.
    """
    wanted = call.headers.get("storage-class", "STANDARD")
    if wanted.upper() not in STORAGE_CLASSES:
        raise invalid(f"invalid Storage-Class {wanted[:100]!r}: {', '.join(STORAGE_CLASSES)} are expected")
    return wanted.upper()


def _answer_kind(call: Call) -> str:
    for one in accepted(call):
        # "Using the DICOMweb standard" has clients accept application/dicom here; what it shows them is XML.
        if one.kind in (XML, DICOM, "application/*", "*/*"):
            return XML
        if one.kind in (JSON, "application/json"):
            return JSON
    raise not_acceptable(call, (XML, JSON))


async def _files(call: Call) -> AsyncIterator[tuple[bytes | BlobWriter, int]]:
    """The DICOM files of a request with their sizes: bytes, or where large ones are.

    Raises:
        ApiError: 400 or 415 for a body of another kind.
    """
    blobs = call.emulator.state.blobs
    kind, parameters = parse_media_type(call.headers.get("content-type", ""))
    if kind == DICOM:
        growing = Growing(blobs.create)
        try:
            async for chunk in call.stream():
                await growing.take(chunk)
            part = growing.whole()
        finally:
            growing.abort()
        yield part.data, part.size
        return
    if kind != "multipart/related":
        raise ApiError(
            415, f"{kind or 'a body without Content-Type'} can't be stored; multipart/related or {DICOM} can"
        )
    boundary = parameters.get("boundary")
    if not boundary:
        raise invalid("the Content-Type has no boundary")
    inner = parameters.get("type", DICOM).lower()
    found = parts(call.stream(), boundary, blobs.create)
    async with contextlib.aclosing(found):
        if inner == DICOM:
            async for part in found:
                yield part.data, part.size
        elif inner == JSON:
            async for data in instances_from_json(found, blobs):
                yield data, len(data)
        else:
            raise ApiError(415, f'multipart/related; type="{inner}" can\'t be stored; {DICOM} and {JSON} can')


class _RefusedError(Exception):
    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class _Storing:
    """Stores the instances of one request."""

    def __init__(
        self, call: Call, store: StoreName, number: int, study: str, storage_class: str, *, replace: bool
    ) -> None:
        self._call = call
        self._store = store
        self._number = number
        self._study = study
        self._class = storage_class
        self._replace = replace
        self.outcome = _Outcome()

    def keep(self, files: list[bytes | BlobWriter]) -> None:
        """Read and store some files."""
        from ..dicom.reader import BadInstanceError, read_instance

        blobs = self._call.emulator.state.blobs
        good: list[tuple[Record, bytes | BlobInfo]] = []
        for data in files:
            source: bytes | BlobInfo = data if isinstance(data, bytes) else data.commit()
            try:
                record = read_instance(source if isinstance(source, bytes) else blobs.path(source.id) or b"")
                self._check(record)
            except BadInstanceError as error:
                self._fail(_reference(error.sop_class, error.instance), _PROCESSING, error.message)
            except _RefusedError as error:
                self._fail(_reference(record.sop_class, record.instance), error.reason, error.message)
            else:
                good.append((record, source))
                continue
            if not isinstance(source, bytes):
                blobs.delete(source.id)
        self._add(good)

    def _check(self, record: Record) -> None:
        """Refuse an instance that must not be stored here, now.

        Raises:
            _RefusedError: saying why.
        """
        emulator = self._call.emulator
        if self._study and record.study != self._study:
            raise _RefusedError(_MISMATCH, f"the instance belongs to study {record.study}, not to {self._study}")
        document = stores(emulator).get(str(self._store))
        if document is None or document["number"] != self._number:
            raise _RefusedError(_PROCESSING, f"DICOM store {self._store} was deleted")
        if emulator.service(Instances).is_being_deleted(self._number, record):
            raise _RefusedError(_PROCESSING, "the study or series is being deleted")

    def _add(self, good: list[tuple[Record, bytes | BlobInfo]]) -> None:
        from ...storage.service import release_blob

        emulator = self._call.emulator
        blobs, instances = emulator.state.blobs, emulator.service(Instances)
        new = [
            New(record, blobs.put(source) if isinstance(source, bytes) else source, self._class)
            for record, source in good
        ]
        ids = instances.add(self._number, new, replace=self._replace)
        for one, number in zip(new, ids, strict=True):
            if number:
                self._succeed(one.record)
            else:
                release_blob(emulator, one.blob.id)
                self.outcome.studies[one.record.study] = None
                reference = _reference(one.record.sop_class, one.record.instance)
                self._fail(reference, _PROCESSING, "instance already exists")
        if somebody_listens(emulator, self._store):
            tell(emulator, self._store, "StoreInstances", instances.by_ids([n for n in ids if n]))

    def _succeed(self, record: Record) -> None:
        base = root(self._call, self._store)
        url = f"{base}/studies/{record.study}/series/{record.series}/instances/{record.instance}"
        self.outcome.studies[record.study] = None
        self.outcome.stored.append(
            {**_reference(record.sop_class, record.instance), "00081190": {"vr": "UR", "Value": [url]}}
        )

    def _fail(self, reference: dict[str, Any], reason: int, message: str) -> None:
        item = dict(reference)
        item["00081197"] = {"vr": "US", "Value": [reason]}
        item["00090010"] = {"vr": "LO", "Value": [_CREATOR]}
        item[_FAILURE_DETAIL] = {"vr": "LT", "Value": [message]}
        self.outcome.failed.append(item)


def _reference(sop_class: str, instance: str) -> dict[str, Any]:
    """Which instance it is, as far as its file says."""
    uids = {"00081150": sop_class, "00081155": instance}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items() if uid}


def _response(outcome: _Outcome, base: str) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    if len(outcome.studies) == 1:
        answer["00081190"] = {"vr": "UR", "Value": [f"{base}/studies/{next(iter(outcome.studies))}"]}
    if outcome.failed:
        answer["00081198"] = {"vr": "SQ", "Value": outcome.failed}
    if outcome.stored:
        answer["00081199"] = {"vr": "SQ", "Value": outcome.stored}
    return answer
