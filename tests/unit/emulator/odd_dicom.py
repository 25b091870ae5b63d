"""DICOM files made byte by byte: what no library would write."""

from __future__ import annotations

import io
import struct
from typing import Any

import pydicom
from pydicom.uid import generate_uid

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")


def element(tag: int, vr: str, value: bytes | str = b"", *, implicit: bool = False) -> bytes:
    """An element in little endian, padded to an even length."""
    data = value.encode() if isinstance(value, str) else value
    data += b"\0" * (len(data) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack("<I", len(data)) + data
    size = struct.pack("<HI", 0, len(data)) if vr in _LONG else struct.pack("<H", len(data))
    return head + vr.encode() + size + data


def item(data: bytes) -> bytes:
    """An item of defined length: of a sequence, or a fragment."""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


def instance(*more: bytes, syntax: str = EXPLICIT, tail: bytes = b"", uids: dict[int, str] | None = None) -> bytes:
    """A file with UIDs and these elements, and with ``tail`` behind them."""
    implicit = syntax == IMPLICIT
    own = {
        0x00080016: "1.2.840.10008.5.1.4.1.1.7",
        **{tag: str(generate_uid()) for tag in (0x00080018, 0x0020000D, 0x0020000E)},
        **(uids or {}),
    }
    parts = [*(element(tag, "UI", uid, implicit=implicit) for tag, uid in own.items()), *more]
    parts.sort(key=lambda part: struct.unpack("<HH", part[:4]))
    return b"\0" * 128 + b"DICM" + element(0x00020010, "UI", syntax) + b"".join(parts) + tail


def grey(pixels: Any, stored: int, **attributes: Any) -> pydicom.FileDataset:
    """A grey image of rows and columns, or of frames, rows and columns."""
    dataset = pydicom.dcmread(io.BytesIO(instance()))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, stored, stored - 1
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def saved(dataset: pydicom.FileDataset) -> bytes:
    """The file of a data set."""
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def read(data: bytes) -> pydicom.FileDataset:
    """The data set of a file."""
    return pydicom.dcmread(io.BytesIO(data))
