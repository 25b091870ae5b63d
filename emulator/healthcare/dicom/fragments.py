"""The frames of encapsulated pixel data (DICOM PS3.5 A.4): items that hold fragments, behind one with a table.

The table may be empty, and in damaged files it is wrong. A frame is taken from what is certain: as many fragments as
frames are one fragment each, whatever the table says; else a table that fits the fragments; else the ends of the JPEG
streams. Where none of them gives as many frames as the instance says it has, there are none.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import NamedTuple

_ITEM = 0xFFFEE000
_SEQUENCE_END = 0xFFFEE0DD
_header = struct.Struct("<HHI").unpack_from
#: End of Image of a JPEG, JPEG-LS and JPEG 2000 stream, which padding may follow.
_END_OF_IMAGE = b"\xff\xd9"


class FragmentsError(ValueError):
    """Encapsulated pixel data that are damaged, or don't say where their frames are."""


class _Fragment(NamedTuple):
    offset: int  # of its item, from the first byte behind the offset table: what the tables hold
    data: bytes


def split_frames(pixel_data: bytes, frames: int, extended: tuple[bytes, bytes] | None = None) -> list[bytes]:
    """All frames of encapsulated pixel data, each fragment being read once.

    Args:
        pixel_data: the value, beginning with the item of the Basic Offset Table.
        frames: how many frames the instance says it has.
        extended: Extended Offset Table (7FE0,0001) and Extended Offset Table Lengths (7FE0,0002).

    Raises:
        FragmentsError: there is no such number of frames in it.
    """
    table, fragments = _items(pixel_data)
    if not all(fragment.data for fragment in fragments):
        fragments = [fragment for fragment in fragments if fragment.data]
    if not fragments:
        raise FragmentsError("the pixel data have no frames")
    if len(fragments) < frames:
        raise FragmentsError(f"the pixel data have fewer than {frames} frames")
    if frames == 1:
        return [b"".join(fragment.data for fragment in fragments)]
    if len(fragments) == frames:
        return [fragment.data for fragment in fragments]
    starts = _starts_in(table, "<I", fragments, frames)
    if starts is None and extended is not None:
        starts = _starts_in(extended[0], "<Q", fragments, frames)
    if starts is None:
        starts = _behind_ends(fragments, frames)
    if starts is None:
        raise FragmentsError(f"which fragments make up each of the {frames} frames can't be told")
    return [
        b"".join(fragment.data for fragment in fragments[first:behind])
        for first, behind in pairwise([*starts, len(fragments)])
    ]


def _items(value: bytes) -> tuple[bytes, list[_Fragment]]:
    """The offset table, and the fragments behind it."""
    found: list[_Fragment] = []
    at, behind_table = 0, 0
    while at + 8 <= len(value):
        group, element, length = _header(value, at)
        tag = group << 16 | element
        if tag == _SEQUENCE_END:
            break
        if tag != _ITEM or at + 8 + length > len(value):
            raise FragmentsError("the pixel data are damaged: a fragment is not whole")
        if not found:
            behind_table = at + 8 + length
        found.append(_Fragment(at - behind_table, value[at + 8 : at + 8 + length]))
        at += 8 + length
    if not found:
        raise FragmentsError("the pixel data have no frames")
    if at + 8 > len(value) and any(value[at:]):
        raise FragmentsError("the pixel data are damaged: something other than a fragment is behind the last one")
    return found[0].data, found[1:]


def _starts_in(table: bytes, form: str, fragments: list[_Fragment], frames: int) -> list[int] | None:
    """The first fragment of each frame by an offset table; None if it does not fit the fragments."""
    if len(table) != frames * struct.calcsize(form):
        return None
    numbers = {fragment.offset: number for number, fragment in enumerate(fragments)}
    starts = [numbers.get(offset, -1) for (offset,) in struct.iter_unpack(form, table)]
    fits = starts[0] == 0 and all(one < other for one, other in pairwise(starts))
    return starts if fits else None


def _behind_ends(fragments: list[_Fragment], frames: int) -> list[int] | None:
    """The first fragment of each frame by where streams end; None if there are more or fewer of those."""
    ends = [number for number, fragment in enumerate(fragments) if _END_OF_IMAGE in fragment.data[-10:]]
    if len(ends) != frames or ends[-1] != len(fragments) - 1:
        return None
    return [0, *(end + 1 for end in ends[:-1])]
