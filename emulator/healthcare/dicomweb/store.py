"""STOW: storing instances.

The answer is the Store Instances Response of DICOM PS3.18 10.5.3, in the Native DICOM Model by default and in JSON for
clients that accept it. An instance that is there already is a failure, and any failure makes the status 409
(Google's conformance statement).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ...errors import ApiError, invalid
from ...routing import Routes
from ..access import stores
from ..arrivals import somebody_listens, tell
from ..instances import Instances, New
from ..names import StoreName
from .accept import DICOM, JSON, XML, accepted, parse_media_type
from .common import UPDATE, WRITE, root, store_and_path
from .multipart import Part, parts
from .native_xml import native_xml

if TYPE_CHECKING:
    from ...call import Call
    from ..dicom.reader import Record

routes = Routes("healthcare")
_PREFIX = "projects.locations.datasets.dicomStores"

#: Failure reasons (DICOM PS3.18 Table I.2-2).
_PROCESSING = 0x0110
_MISMATCH = 0xA900
_NOT_UNDERSTOOD = 0xC000
_BATCH_FILES = 32
_BATCH_BYTES = 16 * 1024 * 1024
_CREATOR = "GOOGLE CLOUD HEALTHCARE"


@dataclass(slots=True)
class _Outcome:
    """What became of the instances of a request."""

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
    outcome = _Outcome()
    work = _Storing(call, name, number, path.study, outcome, replace=replace)
    batch: list[bytes] = []
    size = 0
    async for data in _files(call):
        batch.append(data)
        size += len(data)
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            await asyncio.to_thread(work.keep, batch)
            batch, size = [], 0
    if batch:
        await asyncio.to_thread(work.keep, batch)
    if not outcome.stored and not outcome.failed:
        raise invalid("the request has no DICOM instance")
    status = 409 if outcome.failed else 200
    answer = _response(outcome, root(call, name))
    body = native_xml(answer) if kind == XML else json.dumps(answer, ensure_ascii=False).encode()
    return Response(body, status, media_type=kind)


def _answer_kind(call: Call) -> str:
    for one in accepted(call):
        if one.kind in (XML, "*/*"):
            return XML
        if one.kind in (JSON, "application/json"):
            return JSON
    raise ApiError(406, f"the answer can be had as {XML} or {JSON}")


async def _files(call: Call) -> AsyncIterator[bytes]:
    """The DICOM files of a request.

    Raises:
        ApiError: 400 or 415 for a body of another kind.
    """
    kind, parameters = parse_media_type(call.headers.get("content-type", ""))
    if kind == DICOM:
        yield await call.read(limit=2 * 1024**3)
        return
    if kind != "multipart/related":
        raise ApiError(
            415, f"{kind or 'a body without Content-Type'} can't be stored; multipart/related or {DICOM} can"
        )
    boundary = parameters.get("boundary")
    if not boundary:
        raise invalid("the Content-Type has no boundary")
    inner = parameters.get("type", DICOM).lower()
    if inner == DICOM:
        async for part in parts(call.stream(), boundary):
            yield part.data
    elif inner == JSON:
        async for data in _from_json(parts(call.stream(), boundary)):
            yield data
    else:
        raise ApiError(415, f'multipart/related; type="{inner}" can\'t be stored; {DICOM} and {JSON} can')


async def _from_json(found: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    """DICOM files made of metadata in JSON and bulk data in further parts."""
    datasets: list[dict[str, Any]] = []
    bulk: dict[str, Part] = {}
    async for part in found:
        if parse_media_type(part.headers.get("content-type", ""))[0] == JSON:
            try:
                parsed = json.loads(part.data)
            except (ValueError, RecursionError):
                raise invalid("the metadata are not JSON") from None
            datasets += parsed if isinstance(parsed, list) else [parsed]
        else:
            bulk[part.headers.get("content-location", "")] = part
    for dataset in datasets:
        yield await asyncio.to_thread(_file_of, dataset, bulk)


def _file_of(dataset: dict[str, Any], bulk: dict[str, Part]) -> bytes:
    """A DICOM file from its JSON form.

    Raises:
        ApiError: 400 if it is not a data set, or refers to bulk data that is not in the request.
    """
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    from ..dicom.reader import hush
    from ..dicom.syntaxes import EXPLICIT

    hush()
    syntax = EXPLICIT

    def fill(elements: dict[str, Any]) -> None:
        nonlocal syntax
        for tag, element in elements.items():
            if not isinstance(element, dict):
                raise invalid(f"attribute {tag} of the metadata is not an object")
            if "BulkDataURI" in element:
                part = bulk.get(element.pop("BulkDataURI"))
                if part is None:
                    raise invalid(f"the bulk data of attribute {tag} is not in the request")
                named = parse_media_type(part.headers.get("content-type", ""))[1].get("transfer-syntax", "")
                data = part.data
                if named and named != EXPLICIT and tag == "7FE00010":
                    syntax, data = named, encapsulate([data])
                element["InlineBinary"] = base64.b64encode(data).decode()
            elif element.get("vr") == "SQ":
                for item in element.get("Value") or []:
                    fill(item)

    try:
        fill(dataset)
        made = pydicom.Dataset.from_json(dataset)
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = UID(syntax)
        if "PixelData" in made and syntax != EXPLICIT:
            made["PixelData"].is_undefined_length = True
        out = BytesIO()
        made.save_as(out, implicit_vr=False, little_endian=True, enforce_file_format=True)
    except ApiError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the metadata are, they are the client's
        raise invalid(f"the metadata are not a DICOM data set: {type(error).__name__}") from None
    return out.getvalue()


class _Storing:
    """Stores the instances of one request."""

    def __init__(
        self, call: Call, store: StoreName, number: int, study: str, outcome: _Outcome, *, replace: bool
    ) -> None:
        self._call = call
        self._store = store
        self._number = number
        self._study = study
        self._outcome = outcome
        self._replace = replace

    def keep(self, files: list[bytes]) -> None:
        """Read and store some files."""
        from ..dicom.reader import BadInstanceError, read_instance

        records: list[tuple[Record, bytes]] = []
        for data in files:
            try:
                record = read_instance(data)
            except BadInstanceError as error:
                self._fail(None, _NOT_UNDERSTOOD, error.message)
                continue
            if self._study and record.study != self._study:
                self._fail(record, _MISMATCH, f"the instance belongs to study {record.study}, not to {self._study}")
                continue
            records.append((record, data))
        self._add(records)

    def _add(self, records: list[tuple[Record, bytes]]) -> None:
        emulator = self._call.emulator
        document = stores(emulator).get(str(self._store))
        if document is None or document["number"] != self._number:
            for record, _ in records:
                self._fail(record, _PROCESSING, f"DICOM store {self._store} was deleted")
            return
        from ...storage.service import release_blob

        instances = emulator.service(Instances)
        new = [New(record, emulator.state.blobs.put(data)) for record, data in records]
        ids = instances.add(self._number, new, replace=self._replace)
        for one, number in zip(new, ids, strict=True):
            if number:
                self._succeed(one.record)
            else:
                release_blob(emulator, one.blob.id)
                self._fail(one.record, _PROCESSING, "instance already exists")
        if somebody_listens(emulator, self._store):
            tell(emulator, self._store, "StoreInstances", instances.by_ids([n for n in ids if n]))

    def _succeed(self, record: Record) -> None:
        base = root(self._call, self._store)
        url = f"{base}/studies/{record.study}/series/{record.series}/instances/{record.instance}"
        self._outcome.studies[record.study] = None
        self._outcome.stored.append({**_reference(record), "00081190": {"vr": "UR", "Value": [url]}})

    def _fail(self, record: Record | None, reason: int, message: str) -> None:
        item = _reference(record) if record is not None else {}
        item["00081197"] = {"vr": "US", "Value": [reason]}
        item["00090010"] = {"vr": "LO", "Value": [_CREATOR]}
        item["00091097"] = {"vr": "UT", "Value": [message]}
        self._outcome.failed.append(item)


def _reference(record: Record) -> dict[str, Any]:
    reference: dict[str, Any] = {}
    if record.sop_class:
        reference["00081150"] = {"vr": "UI", "Value": [record.sop_class]}
    reference["00081155"] = {"vr": "UI", "Value": [record.instance]}
    return reference


def _response(outcome: _Outcome, base: str) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    if len(outcome.studies) == 1:
        answer["00081190"] = {"vr": "UR", "Value": [f"{base}/studies/{next(iter(outcome.studies))}"]}
    if outcome.failed:
        answer["00081198"] = {"vr": "SQ", "Value": outcome.failed}
    if outcome.stored:
        answer["00081199"] = {"vr": "SQ", "Value": outcome.stored}
    return answer
