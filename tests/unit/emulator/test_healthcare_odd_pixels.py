"""Pixels of odd and damaged files: refused, or right; never fewer than the file has.

Expected pixels are the arrays that the files were made of.
"""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import RLELossless

from emulator.healthcare.dicom import syntaxes as ts
from emulator.healthcare.dicom.fragments import FragmentsError, split_frames
from emulator.healthcare.dicom.pixels import UnsupportedError, stored_frames
from emulator.healthcare.dicom.reader import BadInstanceError, read_instance
from emulator.healthcare.dicom.rendering import rendered
from emulator.healthcare.dicom.transcoding import transcoded, transcoded_frames
from emulator.healthcare.schemas import flattened
from tests.unit.emulator.odd_dicom import SEQUENCE_END, element, grey, instance, item, read, saved

THREE = np.arange(3, dtype="u1").repeat(4096).reshape(3, 64, 64)


def compressed(pixels: Any, stored: int, syntax: str, **attributes: Any) -> Any:
    dataset = grey(pixels, stored, **attributes)
    dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def with_table(*offsets: int, extra: int = 0) -> bytes:
    """Three frames in RLE with this offset table, and with more fragments behind them."""
    dataset = compressed(THREE, 8, RLELossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=3))
    frames += frames[:1] * extra
    dataset.PixelData = item(struct.pack(f"<{len(offsets)}I", *offsets)) + b"".join(map(item, frames))
    return saved(dataset)


# -- what is refused --


@pytest.mark.parametrize(
    "call", [lambda d: transcoded(d, ts.EXPLICIT), lambda d: transcoded_frames(d, [2], ts.EXPLICIT)]
)
def test_more_fragments_than_frames_without_a_sign_of_their_ends_are_refused(call: Any) -> None:
    for data in (with_table(extra=1), with_table(0, 5, 9, extra=1)):
        with pytest.raises(UnsupportedError, match="3 frames"):
            call(data)
        with pytest.raises(UnsupportedError, match="3 frames"):
            stored_frames(data, None)
        with pytest.raises(UnsupportedError, match="3 frames"):
            rendered(data, [1], "image/png")


@pytest.mark.parametrize(
    "value",
    [item(b""), item(b"") + item(b""), item(b"")[:6], item(b"") + item(b"abcd")[:-1] + SEQUENCE_END, b"\0" * 32],
)
def test_damaged_fragments_and_frames_without_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(FragmentsError):
        split_frames(value, 1)


def test_fewer_fragments_than_frames_are_refused() -> None:
    with pytest.raises(FragmentsError, match="fewer than 3"):
        split_frames(item(b"") + item(b"ab") + item(b"cd"), 3)


def test_a_file_that_ends_within_an_element_is_never_written_without_its_elements() -> None:
    whole = saved(compressed(THREE, 8, RLELossless))
    for cut in (9, 20, 60):
        with pytest.raises(UnsupportedError):
            transcoded(whole[:-cut], ts.EXPLICIT)


def test_a_whole_file_with_a_broken_end_is_refused_with_what_is_wrong() -> None:
    with pytest.raises(BadInstanceError, match="ends within") as refused:
        read_instance(instance(tail=b"\xff" * 37))
    assert "has no StudyInstanceUID" not in refused.value.message


@pytest.mark.parametrize(
    "uid", ["1.2.3\r\nX-Evil: yes", "1.2\n3", "1.2\x01", "1.2;a=b", '1.2"; x=y', "1" * 65, ".", "1..2", "1.2."]
)
def test_a_transfer_syntax_that_is_no_uid_is_refused(uid: str) -> None:
    with pytest.raises(BadInstanceError, match="TransferSyntaxUID"):
        read_instance(instance(syntax=uid))


@pytest.mark.parametrize("uid", [".", "1..2", "1.2.", "1" * 65, "1.2\n3"])
def test_uids_with_empty_parts_are_refused(uid: str) -> None:
    with pytest.raises(BadInstanceError, match="not a valid UID"):
        read_instance(instance(uids={0x0020000D: uid}))


def test_uids_with_zeros_in_front_are_kept() -> None:
    assert read_instance(instance(uids={0x0020000D: "1.02.003"})).study == "1.02.003"


# -- what is mended --


@pytest.mark.parametrize("offsets", [(), (0,), (0, 10**6, 2 * 10**6), (0, 0, 0), (0, 5, 9)])
def test_as_many_fragments_as_frames_are_one_each_whatever_the_table_says(offsets: tuple[int, ...]) -> None:
    data = with_table(*offsets)
    whole = read(transcoded(data, ts.EXPLICIT))
    assert whole.NumberOfFrames == 3
    np.testing.assert_array_equal(whole.pixel_array, THREE)
    assert [set(frame) for frame in transcoded_frames(data, None, ts.EXPLICIT)] == [{0}, {1}, {2}]
    assert transcoded_frames(data, [3, 1], ts.EXPLICIT) == [THREE[2].tobytes(), THREE[0].tobytes()]
    assert all(stored_frames(data, None))
    pictures = rendered(data, None, "image/png")
    assert len(pictures) == 3


def test_frames_of_several_fragments_are_found_by_either_table_or_by_their_ends() -> None:
    parts = [b"aa", b"bb\xff\xd9", b"cc", b"dd", b"ee\xff\xd9\0\0"]
    frames = [parts[0] + parts[1], parts[2] + parts[3] + parts[4]]
    behind = b"".join(map(item, parts))
    second = sum(len(item(part)) for part in parts[:2])
    assert split_frames(item(struct.pack("<2I", 0, second)) + behind, 2) == frames
    assert split_frames(item(b"") + behind, 2, (struct.pack("<2Q", 0, second), b"\0" * 16)) == frames
    assert split_frames(item(b"") + behind, 2) == frames
    assert split_frames(item(b"") + behind, 1) == [b"".join(parts)]


def test_encapsulated_pixels_without_their_delimiter_are_had() -> None:
    data = Path(str(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False))).read_bytes()
    assert data.endswith(SEQUENCE_END)
    expected = read(data)
    found = read(transcoded(data[:-8], ts.EXPLICIT))
    assert found.StudyInstanceUID == expected.StudyInstanceUID
    assert len(found) >= len(expected)
    assert stored_frames(data[:-8], [1]) == stored_frames(data, [1])


def test_all_frames_take_as_many_steps_with_an_empty_table_as_with_a_full_one(monkeypatch: Any) -> None:
    read_items = 0
    from emulator.healthcare.dicom import fragments

    original = fragments._header

    def counted(*arguments: Any) -> Any:
        nonlocal read_items
        read_items += 1
        return original(*arguments)

    monkeypatch.setattr(fragments, "_header", counted)
    dataset = compressed(np.zeros((200, 16, 16), "u1"), 8, RLELossless)
    dataset.PixelData = encapsulate(list(generate_frames(dataset.PixelData, number_of_frames=200)), has_bot=False)
    assert len(stored_frames(saved(dataset), None)) == 200
    assert read_items <= 203


# -- samples in more bytes than they need --

BYTES = (np.arange(4096) % 256).astype("<u2").reshape(64, 64)


@pytest.mark.parametrize("syntax", [ts.RLE, ts.JPEG_LS, ts.JPEG_2000_LOSSLESS, ts.JPEG_LOSSLESS_FIRST_ORDER])
def test_eight_bits_in_sixteen_stay_two_bytes(syntax: str) -> None:
    encoded = transcoded(saved(grey(BYTES, 8)), syntax)
    back = read(transcoded(encoded, ts.EXPLICIT))
    assert (len(back.PixelData), back.BitsAllocated, back.BitsStored) == (8192, 16, 8)
    np.testing.assert_array_equal(back.pixel_array, BYTES)
    if syntax == ts.RLE:
        assert struct.unpack("<I", stored_frames(encoded, [1])[0][:4]) == (2,)
        np.testing.assert_array_equal(read(encoded).pixel_array, BYTES)


@pytest.mark.parametrize(("kind", "stored"), [("<u4", 16), ("<u4", 12), ("<u4", 8), ("<i2", 8)])
def test_samples_get_the_bytes_that_bits_allocated_says(kind: str, stored: int) -> None:
    values = np.arange(4096).reshape(64, 64).astype(kind) % (1 << min(stored, 12))
    if kind == "<i2":
        values = (values - 128).astype(kind)
    data = saved(compressed(values, stored, ts.JPEG_2000_LOSSLESS))
    back = read(transcoded(data, ts.EXPLICIT))
    assert len(back.PixelData) == values.nbytes
    np.testing.assert_array_equal(back.pixel_array, values)


@pytest.mark.parametrize(("low", "stored"), [(-32768, 16), (-2048, 12), (-20, 16)])
def test_near_lossless_never_turns_the_lowest_signed_value_over(low: int, stored: int) -> None:
    values = np.random.default_rng(1).integers(low, low + 40, (64, 64)).astype("<i2")
    back = read(transcoded(transcoded(saved(grey(values, stored)), ts.JPEG_LS_NEAR_LOSSLESS), ts.EXPLICIT))
    assert np.abs(back.pixel_array.astype(int) - values.astype(int)).max() <= 2


# -- repeating groups --


def table(*files: bytes) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns of a table with these instances, and their rows."""
    records = [read_instance(data) for data in files]
    fields = flattened([json.loads(record.columns) for record in records], source=False)
    return [field["name"] for field in fields], [json.loads(b"{%b}" % record.row) for record in records]


def test_all_elements_of_a_repeating_group_share_a_column() -> None:
    one, two = element(0x10100004, "US", b"\1\0"), element(0x10101234, "US", b"\2\0")
    for files in ((instance(one, two),), (instance(one), instance(two))):
        names, rows = table(*files)
        assert names.count("ZonalMap") == 1
        entries = [entry for row in rows for entry in row["ZonalMap"]]
        assert entries == [{"Id": "10100004", "Value": [1]}, {"Id": "10101234", "Value": [2]}]


def test_elements_of_different_repeating_groups_have_columns_of_their_own() -> None:
    from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

    from emulator.healthcare.dicom.columns import column_for

    tags = [*DicomDictionary, *(int(mask.replace("x", digit), 16) for mask in RepeatersDictionary for digit in "02E")]
    columns = {column.place: column.name for column in map(column_for, tags)}
    by_name = {(column.name, column.place) for column in map(column_for, tags)}
    assert len(columns) == len(by_name) == len({name.lower() for name in columns.values()})


def test_no_element_of_two_repeating_groups_is_lost() -> None:
    parts = [element(0x00280800, "CS", "LAB"), element(0x00280802, "US", b"\5\0"), element(0x00280804, "US", b"\7\0")]
    names, (row,) = table(instance(*parts))
    assert {"CodeLabel", "NumberOfTables"} <= set(names)
    assert row["NumberOfTables"] == [{"Id": "00280802", "Value": 5}]
    assert sum(name in row for name in names) >= 3


# -- pictures --


def shown(data: bytes, number: int = 1) -> Any:
    (picture,) = rendered(data, [number], "image/png")
    return np.asarray(Image.open(io.BytesIO(picture)))


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": "40", "WindowWidth": "0"},
        {"WindowCenter": "40", "WindowWidth": "-5"},
        {"WindowCenter": "40", "WindowWidth": "0.5"},
    ],
)
def test_a_window_that_is_not_valid_is_as_none(window: dict[str, str]) -> None:
    pixels = np.arange(4096, dtype="<u2").reshape(64, 64)
    expected = (pixels / 4095 * 255).round()
    assert np.abs(shown(saved(grey(pixels, 12, **window))).astype(int) - expected).max() <= 1


def test_a_window_whose_centre_is_no_number_is_as_none() -> None:
    pixels = np.arange(4096, dtype="<u2").reshape(64, 64)
    data = saved(grey(pixels, 12, WindowCenter="4000", WindowWidth="10")).replace(b"DS\4\x004000", b"DS\4\0abcd")
    assert np.abs(shown(data).astype(int) - (pixels / 4095 * 255).round()).max() <= 1


def test_pictures_are_made_of_deflated_frames() -> None:
    pixels = np.stack([np.arange(4096).reshape(64, 64), np.arange(4096)[::-1].reshape(64, 64)]).astype("<u2")
    data = transcoded(saved(grey(pixels, 12)), ts.DEFLATED_FRAMES)
    for number in (1, 2):
        assert np.abs(shown(data, number).astype(int) - (pixels[number - 1] / 4095 * 255).round()).max() <= 1


def test_frames_of_single_bits_that_do_not_end_at_a_byte_have_pictures() -> None:
    bits = np.random.default_rng(2).integers(0, 2, (4, 3, 5), dtype="u1")
    dataset = grey(bits, 8, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data = saved(dataset)
    for number in range(1, 5):
        np.testing.assert_array_equal(shown(data, number), bits[number - 1] * 255)


def test_the_picture_of_a_frame_does_not_depend_on_the_offset_table() -> None:
    pixels = np.stack([np.full((64, 64), 10), np.arange(4096).reshape(64, 64) % 200]).astype("u1")
    dataset = compressed(pixels, 8, RLELossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=2))
    dataset.PixelData = item(struct.pack("<2I", 0, 0)) + b"".join(map(item, frames))
    assert len(np.unique(shown(saved(dataset), 2))) == 200


def test_fewer_than_eight_bits_as_lossless_jpeg_come_back() -> None:
    pixels = (np.arange(4096) % 64).reshape(64, 64).astype("u1")
    back = read(transcoded(transcoded(saved(grey(pixels, 6)), ts.JPEG_LOSSLESS_FIRST_ORDER), ts.EXPLICIT))
    assert back.BitsStored == 6
    np.testing.assert_array_equal(back.pixel_array, pixels)


@pytest.mark.parametrize("text", ["+2", " 2"])
def test_the_number_of_frames_may_have_a_sign(text: str) -> None:
    data = saved(grey(THREE[:2], 8)).replace(b"IS\2\x002 ", b"IS\2\0" + text.encode())
    assert read_instance(data).frames == 2


def test_what_one_decoder_refuses_another_one_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.arange(4096, dtype="<u2").reshape(64, 64)
    data = transcoded(saved(grey(pixels, 16)), ts.JPEG_LS)
    monkeypatch.setitem(ts.DECODERS, ts.JPEG_LS, "a decoder that is not there")
    np.testing.assert_array_equal(read(transcoded(data, ts.EXPLICIT)).pixel_array, pixels)
    assert shown(data).max() == 255
