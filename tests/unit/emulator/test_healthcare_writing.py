"""Instances in another transfer syntax: pixels and headers change, values don't.

Expected values are the bytes that the files were made of, and the VRs of DICOM PS3.5 A.1 and PS3.6.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from emulator.healthcare.dicom import syntaxes as ts
from emulator.healthcare.dicom.pixels import UnsupportedError
from emulator.healthcare.dicom.reader import read_instance
from emulator.healthcare.dicom.transcoding import transcoded
from tests.unit.emulator.odd_dicom import EXPLICIT, IMPLICIT, SEQUENCE_END, element, grey, instance, item, read, saved


def stored_bytes(data: bytes, tag: int) -> tuple[str | None, bytes]:
    """VR and bytes of an element, before pydicom makes a value of them."""
    raw: Any = read(data).get_item(tag)
    return raw.VR, raw.value


def metadata(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(read_instance(data).metadata))
    return found


# -- what can't be written --


def test_a_sequence_that_is_none_is_refused_where_its_bytes_have_to_change() -> None:
    data = instance(element(0x00081115, "SQ", "garbage!"))
    with pytest.raises(UnsupportedError, match="can't be written"):
        transcoded(data, IMPLICIT)


# -- texts --

TEXTS = [
    (0x00100010, "PN", b"M\xfcller"),
    (0x00100010, "PN", b"M\xc3"),
    (0x00100010, "PN", b"="),
    (0x00200013, "IS", b"  12"),
    (0x00080054, "AE", b" ONE  "),
    (0x00180050, "DS", b"1.50e+0 "),
    (0x00104000, "LT", b"a\\b \xff"),
]


@pytest.mark.parametrize(("tag", "vr", "value"), TEXTS)
def test_texts_keep_their_bytes_whatever_their_character_set_says(tag: int, vr: str, value: bytes) -> None:
    charset = element(0x00080005, "CS", "ISO_IR 192")
    padded = value + b"\0" * (len(value) % 2)
    for source in (
        instance(charset, element(tag, vr, value)),
        instance(charset, element(0x00081115, "SQ", item(element(tag, vr, value)))),
    ):
        for target in (IMPLICIT, ts.DEFLATED):
            there = transcoded(source, target)
            back = read(transcoded(there, EXPLICIT))
            holder: Any = back.ReferencedSeriesSequence[0] if "ReferencedSeriesSequence" in back else back
            assert holder.get_item(tag).value == padded


def test_texts_of_an_image_keep_their_bytes_when_its_pixels_change() -> None:
    pixels = np.arange(4096, dtype="u1").reshape(64, 64)
    data = saved(grey(pixels, 8, PatientID="12"))
    data = data.replace(b"\x10\0\x20\0LO\x02\x0012", b"\x10\0\x20\0LO\x02\0\xfc2")
    encoded = transcoded(data, ts.RLE)
    assert stored_bytes(encoded, 0x00100020)[1] == b"\xfc2"
    back = transcoded(encoded, EXPLICIT)
    assert stored_bytes(back, 0x00100020)[1] == b"\xfc2"
    np.testing.assert_array_equal(read(back).pixel_array, pixels)


def test_big_endian_numbers_are_swapped_and_texts_are_not() -> None:
    source = Path(str(get_testdata_file("MR_small_bigendian.dcm", download=False)))
    expected = read(source.read_bytes())
    found = read(transcoded(source, EXPLICIT))
    for one in expected:
        if one.VR not in ("SQ", "OW", "UN") and one.tag.element:
            assert found[one.tag].value == one.value
    np.testing.assert_array_equal(found.pixel_array, expected.pixel_array)


# -- VRs that implicit VR leaves open --

OPEN = [
    (0x50003000, "OW"),
    (0x5000200C, "OW"),
    (0x7F000010, "OW"),
    (0x00281200, "OW"),
    (0x00283006, "OW"),
    (0x00280071, "US"),
    (0x00281111, "US"),
]


@pytest.mark.parametrize(("tag", "vr"), OPEN)
def test_open_vrs_are_written_as_the_metadata_say(tag: int, vr: str) -> None:
    part = element(tag, "", b"\1\2", implicit=True)
    data = instance(part, syntax=IMPLICIT)
    found = transcoded(data, EXPLICIT)
    assert stored_bytes(found, tag) == (vr, b"\1\2")
    assert metadata(data)[f"{tag:08X}"]["vr"] == vr
    nested = instance(element(0x00081115, "", item(part), implicit=True), syntax=IMPLICIT)
    inner: Any = read(transcoded(nested, EXPLICIT)).ReferencedSeriesSequence[0]
    assert (inner.get_item(tag).VR, inner.get_item(tag).value) == (vr, b"\1\2")


# -- what is no element --


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
@pytest.mark.parametrize("tail", [bytes(64), SEQUENCE_END, item(b"abcd"), SEQUENCE_END + item(b"")])
def test_padding_and_stray_delimiters_are_neither_written_nor_in_the_metadata(syntax: str, tail: bytes) -> None:
    data = instance(syntax=syntax, tail=tail)
    plain = {"00020010", "00080016", "00080018", "0020000D", "0020000E"}
    assert set(metadata(data)) == plain
    assert b"DroppedTags" not in read_instance(data).row
    for target in {IMPLICIT, EXPLICIT, ts.DEFLATED} - {syntax}:
        assert len(read(transcoded(data, target))) == 4


def test_commands_are_left_out() -> None:
    data = instance(element(0x00000110, "US", b"\1\0"))
    assert "00000110" not in metadata(data)
    assert len(read(transcoded(data, IMPLICIT))) == 4


def test_an_unknown_vr_is_written_as_un() -> None:
    data = instance(b"\x08\0\x30\x10ZZ\4\0abcd")
    assert stored_bytes(transcoded(data, ts.DEFLATED), 0x00081030) == ("UN", b"abcd")
    assert stored_bytes(transcoded(data, IMPLICIT), 0x00081030)[1] == b"abcd"


def test_sequences_of_both_lengths_and_private_elements_stay_what_they_are() -> None:
    inner = item(
        element(0x00080100, "SH", "T-1") + element(0x00090010, "LO", "ACME") + element(0x00091001, "US", b"\7\0")
    )
    undefined = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF) + inner + SEQUENCE_END
    for part in (element(0x00081115, "SQ", inner), undefined):
        for target in (IMPLICIT, ts.DEFLATED):
            (found,) = read(transcoded(instance(part), target)).ReferencedSeriesSequence
            assert found.CodeValue == "T-1"
            assert found.get_item(0x00091001).value == b"\7\0"


# -- the record of odd values --


def test_a_large_sequence_is_in_the_metadata_whichever_its_length() -> None:
    inner = item(element(0x54001010, "OW", bytes(1_200_000)))
    undefined = struct.pack("<HH2sHI", 0x5400, 0x0100, b"SQ", 0, 0xFFFFFFFF) + inner + SEQUENCE_END
    implicit = element(0x54000100, "", item(element(0x54001010, "", bytes(1_200_000), implicit=True)), implicit=True)
    found = [
        metadata(data).get("54000100")
        for data in (
            instance(undefined),
            instance(element(0x54000100, "SQ", inner)),
            instance(implicit, syntax=IMPLICIT),
        )
    ]
    assert found[0] == found[1] == found[2]
    assert found[0] is not None
    assert found[0]["Value"][0]["54001010"]["BulkDataURI"].endswith("/54001010")


def test_a_sequence_that_is_none_is_dropped_and_has_no_items() -> None:
    data = instance(element(0x00081115, "SQ", "garbage!"))
    assert metadata(data)["00081115"] == {"vr": "SQ"}
    assert b'"TagName":"ReferencedSeriesSequence"' in read_instance(data).row


@pytest.mark.parametrize(("tag", "vr", "text"), [(0x00200013, "IS", "1_000 "), (0x00180050, "DS", "1_0 ")])
def test_numbers_with_underscores_are_texts(tag: int, vr: str, text: str) -> None:
    assert metadata(instance(element(tag, vr, text)))[f"{tag:08X}"]["Value"] == [text.strip()]


@pytest.mark.parametrize("text", ["2023-2024", "20230101+1401", "20230101-1201", "20230101+0060", "2023+2500"])
def test_a_range_of_years_is_no_moment(text: str) -> None:
    row = json.loads(b"{%b}" % read_instance(instance(element(0x0008002A, "DT", text))).row)
    assert "AcquisitionDateTime" not in row


def test_old_dates_are_found_as_dates() -> None:
    assert read_instance(instance(element(0x00080020, "DA", "1999.12.31"))).study_date == "19991231"
