"""Instances of a DICOM store as objects of Cloud Storage.

Names: ``PREFIX/STUDY/SERIES/INSTANCE[/FRAME].EXTENSION``, with a frame only for instances that have several and formats
that hold one (discovery document, ``GcsDestination``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import ApiError, invalid
from ..core.state import BlobInfo
from .agent_checks import WRITE, require_bucket
from .dicom import syntaxes as ts
from .failures import Failures
from .forms import frames_in, instance_in, pictures_of
from .instances import Instances
from .selection import Selection
from .stored import Instance

if TYPE_CHECKING:
    from .operations import Operation

_PORTION = 100
_DELETED = "the instance was deleted while the export ran"


@dataclass(frozen=True, slots=True)
class Format:
    """What the objects hold.

    Attributes:
        kind: media type without parameters; the objects have it as Content-Type.
        syntax: transfer syntax UID; ``*`` for the stored one.
        extension: end of the names, with its period.
    """

    kind: str
    syntax: str
    extension: str


ORIGINAL = Format("application/dicom", "*", ".dcm")


def parse_format(text: str) -> Format:
    """The format that a mime type stands for; an empty one for the original format.

    Raises:
        ApiError: 400 if it is none that can be exported to.
    """
    if not text.strip():
        return ORIGINAL
    kind, *parameters = (part.strip() for part in text.split(";"))
    given = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        given[name.strip().lower()] = value.strip().strip('"')
    syntax = given.pop("transfer-syntax", "")
    match kind.lower():
        case "application/dicom" if syntax in ("", "*") or syntax in ts.REQUESTABLE:
            found = Format("application/dicom", syntax or ts.EXPLICIT, ".dcm")
        case "application/octet-stream" if syntax in ("", "*", ts.EXPLICIT):
            found = Format("application/octet-stream", syntax or ts.EXPLICIT, "")
        case "image/jpeg" if syntax in ("", ts.JPEG):
            found = Format("image/jpeg", ts.JPEG, ".jpg")
        case "image/png" if not syntax:
            found = Format("image/png", "", ".png")
        case _:
            raise invalid(f"unsupported mime_type {text!r} of gcs_destination")
    if given:
        raise invalid(f"unsupported mime_type {text!r} of gcs_destination: {', '.join(given)} is not understood")
    return found


class StorageExport:
    """One export.

    Args:
        selection: which instances.
        bucket: destination.
        directory: what the names start with: empty or ending in ``/``.
        form: what the objects hold.
    """

    def __init__(self, selection: Selection, bucket: str, directory: str, form: Format) -> None:
        self._selection = selection
        self._emulator = selection.emulator
        self._bucket = bucket
        self._directory = directory
        self._form = form
        self._ids: list[int] = []

    def prepare(self, _: Operation) -> int:
        """Check the agent's access and the filter; returns the number of instances."""
        project = self._selection.store.project
        require_bucket(self._emulator, project, self._bucket, WRITE)
        self._ids = self._selection.ids()
        return len(self._ids)

    def run(self, operation: Operation) -> None:
        """Write the objects, several instances at a time."""
        failures = Failures(self._emulator, self._selection.store, operation, "export")
        instances = self._emulator.service(Instances)
        self._selection.require_store()
        with ThreadPoolExecutor(os.cpu_count()) as cores:
            for at in range(0, len(self._ids), _PORTION):
                operation.check()
                found = instances.by_ids(self._ids[at : at + _PORTION])
                kept = [one for one in found if not operation.take_planned_failure()]
                for one in found[: len(found) - len(kept)]:
                    failures.add(self._selection.path_of(one), 13, "planned fault: this instance was to fail")
                for one, problem in zip(kept, cores.map(lambda one: self._written(one, operation), kept), strict=True):
                    operation.check()
                    if problem is None:
                        operation.success += 1
                    else:
                        failures.add(self._selection.path_of(one), problem.code, problem.message)
                self._selection.require_store()
        failures.raise_if_all_failed()

    def _written(self, one: Instance, operation: Operation) -> _InstanceError | None:
        """Write the objects of an instance; what went wrong, if anything did."""
        # Those that wait for a core when the operation is stopped would hold up its end.
        operation.check()
        try:
            self._write(one)
        except _InstanceError as error:
            return error
        return None

    def _write(self, one: Instance) -> None:
        from ..storage.service import put_object

        base = f"{self._directory}{one.study}/{one.series}/{one.uid}"
        form = self._form
        for frame, data in self._contents(one):
            name = base + (f"/{frame}" if frame else "") + form.extension
            try:
                put_object(self._emulator, self._bucket, name, data, form.kind)
            except ApiError as error:
                raise _InstanceError(error.rpc_code, error.message) from None
            except FileNotFoundError:
                raise _InstanceError(5, _DELETED) from None

    def _contents(self, one: Instance) -> Iterator[tuple[int, bytes | BlobInfo]]:
        """The objects of an instance: number of the frame (0: no frame in the name) and contents."""
        form = self._form
        if form.kind == "application/dicom" and form.syntax in ("*", one.transfer_syntax):
            yield 0, one.blob_info
            return
        from .dicom.pixels import UnsupportedError

        try:
            match form.kind:
                case "application/dicom":
                    yield 0, instance_in(self._emulator, one, form.syntax)
                    return
                case "application/octet-stream":
                    frames = frames_in(self._emulator, one, None, form.syntax)
                case _:
                    frames = pictures_of(self._emulator, one, None, form.kind)
        except UnsupportedError as error:
            raise _InstanceError(3, error.message) from None
        except FileNotFoundError:
            raise _InstanceError(5, _DELETED) from None
        for number, data in enumerate(frames, 1):
            yield (number if len(frames) > 1 else 0), data


class _InstanceError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
