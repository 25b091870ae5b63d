"""Writing a data set in another transfer syntax: headers are made, values are copied.

A transfer syntax says how lengths, VRs and numbers are encoded, and nothing of characters (DICOM PS3.5 10). So the
bytes of a value stay as they are stored, swapped where they come from big endian; only what was changed is encoded by
pydicom. What is no element of a data set is left out: group lengths, which are retired, commands (group 0000, PS3.7),
items and delimiters outside of sequences (PS3.5 7.5).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .columns import FOUR_BYTE_LENGTHS, TWO_BYTE_LENGTHS, dictionary_vr
from .convert import one_vr, private_vr
from .elements import Elements
from .syntaxes import DEFLATED, IMPLICIT, NATIVE

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

_UNDEFINED = 0xFFFFFFFF
_SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
_ITEM = struct.Struct("<HHI")
_VRS = frozenset((*TWO_BYTE_LENGTHS, *FOUR_BYTE_LENGTHS))
_LONG = frozenset(FOUR_BYTE_LENGTHS)
#: Values of these VRs are padded with a zero byte, texts with a space (PS3.5 6.2).
_BYTES = frozenset({"UI", "OB", "UN"})
#: Bytes of one number by VR: what is swapped.
_WORDS = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}


def elements_of(dataset: Dataset) -> dict[int, Any]:
    """The elements of a data set as they are stored now, whatever is read of it or changed in it later."""
    found: Any = dataset._dict  # noqa: SLF001 - the public mapping would convert every value
    return dict(found)


def encoded(dataset: FileDataset, stored: Mapping[int, Any], syntax: str) -> bytes:
    """The file of an instance in a transfer syntax in little endian.

    Args:
        dataset: the instance, its pixel data being as the transfer syntax wants them.
        stored: its elements as they were before it was changed (:func:`elements_of`).
        syntax: transfer syntax UID.

    Raises:
        Exception: of any kind, if there are values that can't be written.
    """
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info
    from pydicom.uid import UID

    if "PixelData" in dataset:
        dataset["PixelData"].is_undefined_length = syntax not in NATIVE
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    head = DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    head.write((dataset.preamble or b"\0" * 128) + b"DICM")
    write_file_meta_info(head, dataset.file_meta, enforce_standard=False)
    body = _Writer(syntax == IMPLICIT, dataset).data_set(dataset, stored)
    if syntax == DEFLATED:
        squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = squeeze.compress(body) + squeeze.flush()
        body += b"\0" * (len(body) % 2)
    whole: bytes = head.getvalue() + body
    return whole


class _Writer:
    """Writes data sets in one encoding.

    Args:
        implicit: implicit VR.
        top: the main data set, which says whether numbers of ambiguous VRs are signed.
    """

    def __init__(self, implicit: bool, top: Dataset) -> None:
        self._implicit = implicit
        self._signed = str(top.get("PixelRepresentation")) == "1"

    def data_set(self, dataset: Dataset, stored: Mapping[int, Any]) -> bytes:
        """The elements of a data set, in the order of their tags."""
        parts = []
        now = elements_of(dataset)
        for tag in sorted(now):
            group = tag >> 16
            if group in (0, 0xFFFE) or not tag & 0xFFFF:
                continue
            element = now[tag]
            before = stored.get(tag)
            if before is not None and before is not element and _same(before, element, dataset):
                element = before
            if not element.is_raw:
                parts.append(self._converted(element, dataset))
            else:
                parts.append(self._raw(element, now, dataset))
        return b"".join(parts)

    def _converted(self, element: Any, dataset: Dataset) -> bytes:
        """An element that pydicom has made: a sequence, or one that was changed."""
        from pydicom.filebase import DicomBytesIO
        from pydicom.filewriter import write_data_element

        if element.VR == "SQ":
            return self._header(element.tag, "SQ", self._items(element.value or ()))
        out = DicomBytesIO()
        out.is_little_endian, out.is_implicit_VR = True, self._implicit
        write_data_element(out, element, _charset(dataset))
        written: bytes = out.getvalue()
        return written

    def _raw(self, raw: Any, elements: Mapping[int, Any], dataset: Dataset) -> bytes:
        """An element as it is stored."""
        value: bytes = raw.value or b""
        vr = self._vr(raw, elements)
        little = raw.is_little_endian
        if vr == "SQ" and raw.length != _UNDEFINED:
            if not little or bool(raw.is_implicit_VR) != self._implicit:
                value = self._items(_read_items(raw, dataset))
            return self._header(raw.tag, vr, value)
        if not little and (size := _WORDS.get(vr)):
            value = swapped(value, size)
        if raw.length == _UNDEFINED:
            return self._header(raw.tag, vr, value, undefined=True) + _SEQUENCE_END
        return self._header(raw.tag, vr, value)

    def _vr(self, raw: Any, elements: Mapping[int, Any]) -> str:
        """The VR that is written: what the file says, or what the metadata of the store say."""
        tag, vr = int(raw.tag), raw.VR
        if vr is None and tag & 0x10000:
            creator = elements.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
            known: Elements = {} if creator is None else {int(creator.tag): ("LO", _creator(creator))}
            vr = private_vr(known, tag, vr)
        elif vr is None:
            vr = dictionary_vr(tag)
        vr = one_vr(vr or "UN", signed=self._signed)
        return vr if vr in _VRS else "UN"

    def _items(self, items: Any) -> bytes:
        """The items of a sequence, with their lengths."""
        data = [self.data_set(item, elements_of(item)) for item in items]
        return b"".join(_ITEM.pack(0xFFFE, 0xE000, len(one)) + one for one in data)

    def _header(self, tag: int, vr: str, value: bytes, *, undefined: bool = False) -> bytes:
        """An element with its value, padded to an even length."""
        if len(value) % 2:
            value += b"\0" if vr in _BYTES or vr in _WORDS else b" "
        length = _UNDEFINED if undefined else len(value)
        place = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if self._implicit:
            return place + struct.pack("<I", length) + value
        if vr not in _LONG and length > 0xFFFF:
            vr = "UN"  # PS3.5 6.2.2: for values that are too long for their VR
        size = struct.pack("<HI", 0, length) if vr in _LONG else struct.pack("<H", length)
        return place + vr.encode() + size + value


def _charset(dataset: Dataset) -> Any:
    """The codecs that pydicom reads and writes the texts of a data set with."""
    return dataset._character_set  # noqa: SLF001 - it has no public name


def _creator(element: Any) -> bytes:
    value = element.value or b""
    return value if isinstance(value, bytes) else str(value).encode("ascii", "replace")


def _same(before: Any, now: Any, dataset: Dataset) -> bool:
    """Whether an element was only read, and not changed."""
    from pydicom.dataelem import convert_raw_data_element

    if now.is_raw or now.VR == "SQ" or not before.is_raw:
        return False
    try:
        return bool(convert_raw_data_element(before, encoding=_charset(dataset)).value == now.value)
    except Exception:  # noqa: BLE001 - pydicom fails in any way on what is not valid
        return False


def _read_items(raw: Any, dataset: Dataset) -> Any:
    """The items of a sequence whose value is stored as bytes.

    Raises:
        ValueError: they are damaged.
    """
    from pydicom.values import convert_SQ

    items: Any = convert_SQ(raw.value or b"", raw.is_implicit_VR, raw.is_little_endian, _charset(dataset))
    _check_items(raw.value or b"", items, "<" if raw.is_little_endian else ">")
    return items


def _check_items(value: bytes, items: Any, order: str) -> None:
    """Refuse items that pydicom found where there are none, or left without elements because one is cut."""
    at, header = 0, struct.Struct(f"{order}HHI")
    for one in items:
        if at + 8 > len(value):
            raise ValueError("items that are not there")
        group, number, length = header.unpack_from(value, at)
        if (group, number) != (0xFFFE, 0xE000) or (length and not one and length != _UNDEFINED):
            raise ValueError("an item is damaged")
        if length == _UNDEFINED:
            return
        at += 8 + length
    if at > len(value) or any(value[at:]):
        raise ValueError("the last item is not whole")


def swapped(value: bytes, size: int) -> bytes:
    """Numbers of ``size`` bytes in the other byte order."""
    out = bytearray(value)
    whole = len(value) // size * size
    for at in range(size):
        out[at:whole:size] = value[size - 1 - at : whole : size]
    return bytes(out)
