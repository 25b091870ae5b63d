"""Instances, frames and pictures in the form in which they are wanted; what is native and plain is cut out directly.

Everything else is made by worker processes (:mod:`.pool`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .dicom import syntaxes as ts
from .pool import PixelPool

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from .dicom.rendering import Viewport
    from .stored import Instance


#: Larger instances are read by worker processes, even if their frames only have to be cut out.
_LARGE = 64 * 1024 * 1024


def source_of(emulator: Emulator, one: Instance) -> bytes | Path:
    """Where an instance's bytes are: the file, or the bytes themselves."""
    path = emulator.state.blobs.path(one.blob)
    return emulator.state.blobs.read(one.blob) if path is None else path


def instance_in(emulator: Emulator, one: Instance, syntax: str) -> bytes:
    """An instance in a transfer syntax (``*``: the stored one).

    Raises:
        UnsupportedError: it can't be had in that form.
    """
    if syntax in ("*", one.transfer_syntax):
        return emulator.state.blobs.read(one.blob)
    found: bytes = emulator.service(PixelPool).do("transcode", source_of(emulator, one), syntax)
    return found


def frames_in(emulator: Emulator, one: Instance, numbers: list[int] | None, syntax: str) -> list[bytes]:
    """Frames of an instance in a transfer syntax (``*``: the stored one).

    Args:
        emulator: where.
        one: the instance.
        numbers: which, from 1; None for all.
        syntax: transfer syntax UID.

    Raises:
        UnsupportedError: they can't be had in that form.
    """
    from .dicom.pixels import stored_frames

    stored = one.transfer_syntax or ts.IMPLICIT
    if syntax in ("*", stored) or {syntax, stored} <= ts.NATIVE:
        if one.size <= _LARGE:
            return stored_frames(source_of(emulator, one), numbers)
        cut: list[bytes] = emulator.service(PixelPool).do("cut", source_of(emulator, one), numbers)
        return cut
    found: list[bytes] = emulator.service(PixelPool).do("frames", source_of(emulator, one), numbers, syntax)
    return found


def pictures_of(
    emulator: Emulator, one: Instance, numbers: list[int] | None, kind: str, viewport: Viewport | None = None
) -> list[bytes]:
    """Frames of an instance as pictures.

    Args:
        emulator: where.
        one: the instance.
        numbers: which, from 1; None for all.
        kind: ``image/jpeg`` or ``image/png``.
        viewport: what they have to fit in.

    Raises:
        UnsupportedError: they can't be rendered.
    """
    found: list[bytes] = emulator.service(PixelPool).do("render", source_of(emulator, one), numbers, kind, viewport)
    return found
