"""Changing the metadata of stored instances (v1beta1): of one at once, of a study or series by an operation.

The request is one DICOM JSON object, or an array of one, whose attributes replace those of the instances. UIDs that
identify an instance, and pixel data, stay as they are.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ...core.errors import ApiError, invalid
from ...http.routing import Routes
from ..arrivals import somebody_listens, tell
from ..failures import Failures
from ..forms import source_of
from ..instances import Instances
from ..names import StoreName
from ..operations import Operation, Operations
from ..stored import Instance, New
from .accept import JSON
from .common import UPDATE, found_instances, store_and_path

if TYPE_CHECKING:
    from ...core.runtime import Emulator
    from ...http.call import Call

routes = Routes("healthcare")
_STUDIES = "projects.locations.datasets.dicomStores.studies"
_FIXED = ("0020000D", "0020000E", "00080018", "00080016")
_PIXELS = ("7FE00008", "7FE00009", "7FE00010")


@routes.method(f"{_STUDIES}.series.instances.updateMetadata", streams=True)
async def update_one(call: Call) -> Response:
    """Change the metadata of an instance."""
    store, number, path = store_and_path(call, UPDATE)
    changes = _changes(await call.read())

    def work() -> None:
        (one,) = found_instances(call, store, number, path)
        _apply(call.emulator, store, number, one, changes)

    await asyncio.to_thread(call.emulator.at_work, work)
    return Response("[]", media_type=JSON)


@routes.method(f"{_STUDIES}.updateMetadata", f"{_STUDIES}.series.updateMetadata", streams=True)
async def update_many(call: Call) -> dict[str, Any]:
    """Change the metadata of all instances of a study or series."""
    store, number, path = store_and_path(call, UPDATE)
    changes = _changes(await call.read())

    def start() -> dict[str, Any]:
        found = found_instances(call, store, number, path)

        def run(operation: Operation) -> None:
            failures = Failures(call.emulator, store, operation, "update")
            for one in found:
                operation.check()
                try:
                    _apply(call.emulator, store, number, one, changes)
                    operation.success += 1
                except ApiError as error:
                    failures.add(f"{store}/dicomWeb/{one.path}", error.rpc_code, error.message)
            failures.raise_if_all_failed()

        kind = "UpdateSeriesMetadata" if path.series else "UpdateStudyMetadata"
        return call.emulator.service(Operations).start(
            call, store.parent, f"dicom.DicomService.{kind}", prepare=lambda _: len(found), run=run
        )

    return await asyncio.to_thread(call.emulator.at_work, start)


def _changes(data: bytes) -> dict[str, Any]:
    """The attributes of a request.

    Raises:
        ApiError: 400 if they are not one DICOM JSON object, or name what can't be changed.
    """
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        raise invalid("the metadata are not JSON") from None
    if isinstance(parsed, list) and len(parsed) == 1:
        parsed = parsed[0]
    if not isinstance(parsed, dict) or not all(isinstance(element, dict) for element in parsed.values()):
        raise invalid("the metadata are not one DICOM JSON object")
    for tag, element in parsed.items():
        if tag.upper() in _PIXELS or "BulkDataURI" in element:
            raise invalid(f"bulk data can't be changed by updating metadata: attribute {tag}")
    return parsed


def _apply(emulator: Emulator, store: StoreName, number: int, one: Instance, changes: dict[str, Any]) -> None:
    """Change one instance.

    Raises:
        ApiError: 400 if it can't be changed that way.
    """
    import pydicom

    from ..dicom.pixels import UnsupportedError, open_instance, syntax_of, written
    from ..dicom.reader import BadInstanceError, read_instance

    blobs = emulator.state.blobs
    try:
        dataset = open_instance(source_of(emulator, one))
        before = {tag: str(dataset.get(int(tag, 16), "")) for tag in _FIXED}
        changed = pydicom.Dataset.from_json(changes)
        dataset.update(changed)
        if before != {tag: str(dataset.get(int(tag, 16), "")) for tag in _FIXED}:
            raise invalid("the UIDs that identify an instance can't be changed")
        data = written(dataset, one.transfer_syntax or syntax_of(dataset))
        # pydicom writes question marks for characters that the instance's character set does not have.
        again = open_instance(data)
        beyond_ascii = not json.dumps(changes, ensure_ascii=False).isascii()
        if beyond_ascii and any(again[element.tag].value != element.value for element in changed):
            raise invalid(f"instance {one.uid}: its Specific Character Set has not all of the characters")
        record = read_instance(data)
    except ApiError:
        raise
    except (UnsupportedError, BadInstanceError) as error:
        raise invalid(f"instance {one.uid}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever the metadata are, they are the client's
        raise invalid(f"instance {one.uid} can't be changed that way: {type(error).__name__}") from None
    instances = emulator.service(Instances)
    new = New(record, blobs.put(data), one.storage_class)
    (stored,) = instances.add(number, [new], replace=True)
    if somebody_listens(emulator, store):
        tell(emulator, store, "StoreInstances", instances.by_ids([stored]))
