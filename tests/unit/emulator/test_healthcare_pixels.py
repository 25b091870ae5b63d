"""Transfer syntaxes, frames and pictures.

Expected pixels come from somebody else: from pydicom's uncompressed twins of its compressed files, or from a decoder of
another maker than the encoder (GDCM, Pillow, OpenJPEG, CharLS, zlib). Grey values follow the formulas of the standard.
"""

from __future__ import annotations

import io
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array

from emulator.healthcare.dicom import syntaxes as ts
from emulator.healthcare.dicom.pixels import UnsupportedError, stored_frames
from emulator.healthcare.dicom.rendering import Viewport, rendered, windowed
from emulator.healthcare.dicom.transcoding import TARGETS, transcoded, transcoded_frames

LOSSLESS = TARGETS - {ts.JPEG, ts.JPEG_LS_NEAR_LOSSLESS}


def file(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def read(data: bytes | Path) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(data) if isinstance(data, bytes) else data)


@cache
def known(name: str) -> Any:
    """The pixels of a file that holds them as they are."""
    dataset = read(file(name))
    assert not dataset.file_meta.TransferSyntaxUID.is_compressed
    return dataset.pixel_array


def changed(name: str, **attributes: Any) -> bytes:
    """A file with other attributes."""
    dataset = read(file(name))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


# -- what is refused --


@pytest.mark.parametrize("target", [ts.JPEG_EXTENDED, ts.JPEG_XL, ts.HTJ2K, "1.2.840.10008.1.2.4.100", "1.2.3", ""])
def test_what_nothing_encodes_is_refused(target: str) -> None:
    with pytest.raises(UnsupportedError, match="nothing here encodes"):
        transcoded(file("CT_small.dcm"), target)


@pytest.mark.parametrize(
    ("name", "target", "text"),
    [
        ("liver_1frame.dcm", ts.RLE, "one bit"),
        ("SC_rgb_rle_16bit.dcm", ts.JPEG, "more than 8 bits"),
        ("CT_small.dcm", ts.JPEG, "not documented"),
        ("examples_palette.dcm", ts.JPEG, "PALETTE COLOR"),
        ("rtdose.dcm", ts.JPEG_LOSSLESS_FIRST_ORDER, "16 bits"),
        ("rtdose.dcm", ts.RLE, "of its kind"),
        ("MR_truncated.dcm", ts.RLE, "end before the end"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", ts.EXPLICIT, "decoder does not understand"),
    ],
)
def test_images_that_a_transfer_syntax_can_not_hold_are_refused(name: str, target: str, text: str) -> None:
    with pytest.raises(UnsupportedError, match=text) as refused:
        transcoded(file(name), target)
    assert refused.value.status == 406


def test_floating_point_pixels_are_only_had_uncompressed() -> None:
    dataset = read(file("CT_small.dcm"))
    dataset.FloatPixelData = np.zeros(128 * 128, "<f4").tobytes()
    del dataset.PixelData
    out = io.BytesIO()
    dataset.save_as(out)
    assert read(transcoded(out.getvalue(), ts.IMPLICIT)).FloatPixelData == dataset.FloatPixelData
    with pytest.raises(UnsupportedError, match="floating-point"):
        transcoded(out.getvalue(), ts.RLE)


def test_what_has_no_pixels_has_no_frames_and_no_picture_but_can_be_written_otherwise() -> None:
    with pytest.raises(UnsupportedError, match="no pixel data") as refused:
        stored_frames(file("rtplan.dcm"), None)
    assert refused.value.status == 400
    with pytest.raises(UnsupportedError, match="no pixel data"):
        transcoded_frames(file("rtplan.dcm"), [1], ts.RLE)
    with pytest.raises(UnsupportedError, match="no pixel data"):
        rendered(file("rtplan.dcm"), None, "image/png")
    plan = read(transcoded(file("rtplan.dcm"), ts.EXPLICIT))
    assert plan.RTPlanLabel == read(file("rtplan.dcm")).RTPlanLabel


def test_frames_that_would_take_too_much_memory_are_refused() -> None:
    data = changed("CT_small.dcm", NumberOfFrames=20_000)
    with pytest.raises(UnsupportedError, match="512 MiB"):
        transcoded(data, ts.RLE)
    with pytest.raises(UnsupportedError, match="512 MiB"):
        rendered(data, [1], "image/png")


# -- decoding --

TWINS = [
    ("MR_small_RLE.dcm", "MR_small.dcm"),
    ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ("MR_small_implicit.dcm", "MR_small.dcm"),
    ("MR_small_bigendian.dcm", "MR_small.dcm"),
    ("MR_small_expb.dcm", "MR_small.dcm"),
    ("MR_small_padded.dcm", "MR_small.dcm"),
    ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm"),
    ("liver_expb_1frame.dcm", "liver_1frame.dcm"),
    ("rtdose_rle.dcm", "rtdose.dcm"),
    ("rtdose_expb.dcm", "rtdose.dcm"),
]


@pytest.mark.parametrize(("name", "twin"), TWINS)
@pytest.mark.parametrize("target", [ts.EXPLICIT, ts.IMPLICIT, ts.DEFLATED])
def test_decoded_pixels_are_those_of_the_uncompressed_twin(name: str, twin: str, target: str) -> None:
    made = read(transcoded(file(name), target))
    assert made.file_meta.TransferSyntaxUID == target
    assert np.array_equal(made.pixel_array, known(twin))


@pytest.mark.parametrize(
    "name", ["MR_small_bigendian.dcm", "MR_small_expb.dcm", "rtdose_expb.dcm", "ExplVR_BigEnd.dcm"]
)
def test_all_values_of_a_big_endian_instance_survive(name: str) -> None:
    before, after = read(file(name)), read(transcoded(file(name), ts.EXPLICIT))
    for element in before:
        if element.keyword != "PixelData" and element.tag.element:
            assert after[element.tag].value == element.value, element.keyword
    assert np.array_equal(after.pixel_array, before.pixel_array)


@pytest.mark.parametrize("side", [2047, 2048, 2049, 4096])
def test_deflated_instances_of_any_size_come_back_whole(side: int) -> None:
    dataset = read(file("CT_small.dcm"))
    dataset.Rows = dataset.Columns = side
    dataset.PixelData = bytes(side * side * 2)
    out = io.BytesIO()
    dataset.save_as(out)
    small = transcoded(out.getvalue(), ts.DEFLATED)
    assert len(small) < 200_000
    assert read(transcoded(small, ts.EXPLICIT)).PixelData == dataset.PixelData


def test_jpeg_lossless_is_decoded() -> None:
    # The RLE file holds the same picture; its decoder is pydicom's own.
    made = read(transcoded(file("SC_rgb_jpeg_gdcm.dcm"), ts.EXPLICIT))
    assert np.array_equal(made.pixel_array, read(file("SC_rgb_rle.dcm")).pixel_array)


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "examples_ybr_color.dcm"])
def test_jpeg_baseline_is_decoded_as_gdcm_does(name: str) -> None:
    made = read(transcoded(file(name), ts.EXPLICIT))
    assert made.PhotometricInterpretation == "RGB"
    other = pixel_array(file(name), decoding_plugin="gdcm").astype(int)
    # Decoders may differ in the last bit, and in how they smooth colours that were kept for every other pixel.
    assert np.abs(made.pixel_array.astype(int) - other).mean() < 1.5


@pytest.mark.parametrize(
    ("name", "plugin"),
    [
        ("693_J2KI.dcm", "gdcm"),
        ("GDCMJ2K_TextGBR.dcm", "gdcm"),
        ("JPEGLSNearLossless_08.dcm", "gdcm"),
        ("JPEGLSNearLossless_16.dcm", "gdcm"),
        ("SC_rgb_jls_lossy_line.dcm", "gdcm"),
    ],
)
def test_jpeg_2000_and_jpeg_ls_are_decoded_as_gdcm_does(name: str, plugin: str) -> None:
    made = read(transcoded(file(name), ts.EXPLICIT))
    assert np.array_equal(made.pixel_array, pixel_array(file(name), decoding_plugin=plugin))


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_extended_of_twelve_bits_is_decoded_as_dcmtk_does(name: str) -> None:
    # Values by dcmdjpeg of DCMTK 3.6.7.
    made = read(transcoded(file(name), ts.EXPLICIT)).pixel_array
    assert (str(made.dtype), made.min(), made.max(), int(made.astype(int).sum())) == ("uint16", 0, 264, 3_767_007)
    assert made[420:422, 140:146].tolist() == [[244, 242, 249, 260, 218, 219], [234, 236, 248, 264, 238, 240]]
    assert picture(name).max() > 0


# -- encoding --


def decoded(made: pydicom.FileDataset) -> Any:
    """The pixels of an encoded instance, by a decoder that is not of the encoder's maker."""
    syntax, frames = str(made.file_meta.TransferSyntaxUID), int(made.get("NumberOfFrames") or 1)
    if syntax == ts.DEFLATED_FRAMES:
        raw = b"".join(zlib.decompress(one, -15) for one in generate_frames(made.PixelData, number_of_frames=frames))
        kind = np.dtype(f"<{'i' if made.PixelRepresentation else 'u'}{made.BitsAllocated // 8}")
        shape = [made.Rows, made.Columns, *([3] if made.SamplesPerPixel == 3 else [])]
        return np.frombuffer(raw, kind).reshape([frames, *shape] if frames > 1 else shape)
    if syntax in (ts.JPEG_LOSSLESS, ts.JPEG_LOSSLESS_FIRST_ORDER) and made.BitsAllocated == 8:
        pictures = [
            np.asarray(Image.open(io.BytesIO(one))) for one in generate_frames(made.PixelData, number_of_frames=frames)
        ]
        return np.stack(pictures) if frames > 1 else pictures[0]
    if syntax in (ts.JPEG, ts.JPEG_LS, ts.JPEG_LS_NEAR_LOSSLESS, ts.JPEG_2000_LOSSLESS, ts.JPEG_2000):
        return pixel_array(made, decoding_plugin="gdcm")
    return made.pixel_array


@pytest.mark.parametrize("target", sorted(LOSSLESS))
@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "CT_small.dcm", "examples_rgb_color.dcm", "ExplVR_BigEnd.dcm", "SC_rgb_jpeg_dcmd.dcm"]
)
def test_lossless_transfer_syntaxes_keep_every_pixel(name: str, target: str) -> None:
    before = read(file(name))
    made = read(transcoded(file(name), target))
    assert made.file_meta.TransferSyntaxUID == target
    assert np.array_equal(decoded(made), known(name))
    assert made.SOPInstanceUID == before.SOPInstanceUID
    assert made.get("LossyImageCompression") == before.get("LossyImageCompression")


@pytest.mark.parametrize("target", sorted(LOSSLESS))
def test_frames_stay_apart(target: str) -> None:
    before = read(file("SC_rgb_rle_2frame.dcm")).pixel_array
    made = read(transcoded(file("SC_rgb_rle_2frame.dcm"), target))
    assert np.array_equal(decoded(made), before)
    (second,) = transcoded_frames(file("SC_rgb_rle_2frame.dcm"), [2], target)
    made.PixelData, made.NumberOfFrames = b"", 1
    if target in (ts.EXPLICIT, ts.IMPLICIT, ts.DEFLATED):
        assert second == before[1].tobytes()
    else:
        from pydicom.encaps import encapsulate

        made.PixelData = encapsulate([second])
        made["PixelData"].is_undefined_length = True
        assert np.array_equal(decoded(made), before[1])


def test_jpeg_baseline_is_near_and_says_that_something_was_lost() -> None:
    made = read(transcoded(file("examples_rgb_color.dcm"), ts.JPEG))
    assert made.PhotometricInterpretation == "YBR_FULL_422"
    assert np.abs(decoded(made).astype(int) - known("examples_rgb_color.dcm")).mean() < 5
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    raw, encoded = known("examples_rgb_color.dcm").nbytes, len(made.PixelData)
    assert float(made.LossyImageCompressionRatio) == pytest.approx(raw / encoded, abs=0.01)


def test_near_lossless_jpeg_ls_is_off_by_two_at_most_and_says_so() -> None:
    made = read(transcoded(file("MR_small.dcm"), ts.JPEG_LS_NEAR_LOSSLESS))
    assert 0 < np.abs(decoded(made).astype(int) - known("MR_small.dcm")).max() <= 2
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_14495_1")


def test_a_second_loss_is_noted_behind_the_first() -> None:
    data = changed(
        "examples_rgb_color.dcm",
        LossyImageCompression="01",
        LossyImageCompressionRatio="4.5",
        LossyImageCompressionMethod="ISO_15444_1",
    )
    made = read(transcoded(data, ts.JPEG))
    assert list(made.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert float(made.LossyImageCompressionRatio[0]) == 4.5


# -- frames --


def test_frames_of_single_bits_follow_each_other_without_a_gap() -> None:
    dataset = read(file("liver_1frame.dcm"))
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 3, 3, 2
    dataset.PixelData = bytes([0b0101_0101, 0b1110_0011, 0b0000_0011, 0])  # the lowest bit is the first pixel
    out = io.BytesIO()
    dataset.save_as(out)
    bits = [int(bit) for byte in dataset.PixelData for bit in f"{byte:08b}"[::-1]]
    for number in (1, 2):
        (frame,) = stored_frames(out.getvalue(), [number])
        got = [int(bit) for byte in frame for bit in f"{byte:08b}"[::-1]]
        assert got[:9] == bits[(number - 1) * 9 : number * 9]
        assert len(frame) == 2


def test_frames_of_a_big_endian_instance_are_little_endian() -> None:
    assert stored_frames(file("MR_small_bigendian.dcm"), [1])[0] == known("MR_small.dcm").tobytes()


# -- pictures --


def picture(name: str | bytes, kind: str = "image/png", viewport: Viewport | None = None) -> Any:
    (data,) = rendered(name if isinstance(name, bytes) else file(name), [1], kind, viewport)
    return np.asarray(Image.open(io.BytesIO(data))).astype(float)


def test_a_window_follows_the_formula_of_the_standard() -> None:
    values = np.array([-1000.0, 49.5, 50.0, 100.0, 149.5, 1000.0])
    # PS3.3 C.11.2.1.2.1: centre 100, width 101: from 49.5 to 149.5
    assert windowed(values, 100, 101, "LINEAR") == pytest.approx([0, 0, 0.005, 0.505, 1, 1])
    # C.11.2.1.3.2: from 50 to 150
    assert windowed(values, 100, 100, "LINEAR_EXACT") == pytest.approx([0, 0, 0, 0.5, 0.995, 1])
    assert windowed(np.array([100.0, 125.0]), 100, 100, "SIGMOID") == pytest.approx([0.5, 1 / (1 + np.exp(-1))])
    assert list(windowed(np.array([99.0, 100.0]), 100, 1, "LINEAR")) == [0, 1]


def test_grey_values_go_through_rescaling_and_window() -> None:
    data = changed("CT_small.dcm", WindowCenter=["40", "600"], WindowWidth=["401", "1600"])
    dataset = read(data)
    units = known("CT_small.dcm") * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    wanted = np.clip((units - 39.5) / 400 + 0.5, 0, 1) * 255
    assert np.abs(picture(data) - wanted).max() <= 0.5
    assert np.abs(picture(data, "image/jpeg") - wanted).mean() < 3


def test_a_window_that_is_wider_than_the_values_is_not_stretched() -> None:
    data = changed("CT_small.dcm", WindowCenter="0", WindowWidth="20001")
    assert np.ptp(picture(data)) < 40


def test_without_a_window_values_are_spread_from_the_smallest_to_the_largest() -> None:
    values = known("MR_small.dcm").astype(float)
    dataset = read(file("MR_small.dcm"))
    for keyword in ("WindowCenter", "WindowWidth"):
        if keyword in dataset:
            del dataset[keyword]
    out = io.BytesIO()
    dataset.save_as(out)
    wanted = (values - values.min()) / np.ptp(values) * 255
    assert np.abs(picture(out.getvalue()) - wanted).max() <= 0.5


def test_monochrome1_is_dark_where_values_are_high() -> None:
    data = changed("MR_small.dcm", PhotometricInterpretation="MONOCHROME1")
    assert np.abs(picture(data) + picture("MR_small.dcm") - 255).max() <= 1


def test_a_lookup_table_is_used_instead_of_a_window() -> None:
    dataset = read(file("MR_small.dcm"))
    item = pydicom.Dataset()
    item.LUTDescriptor = [4096, 0, 12]
    item.add_new(0x00283006, "US", [4095 - number for number in range(4096)])
    dataset.VOILUTSequence = [item]
    out = io.BytesIO()
    dataset.save_as(out)
    wanted = (4095 - np.clip(known("MR_small.dcm"), 0, 4095)) / 4095 * 255
    assert np.abs(picture(out.getvalue()) - wanted).max() <= 0.5


def test_the_window_of_the_frame_is_used_in_enhanced_images() -> None:
    dataset = read(file("CT_small.dcm"))
    look, change, shared = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    look.WindowCenter, look.WindowWidth = "1000", "201"
    change.RescaleIntercept, change.RescaleSlope, change.RescaleType = "10", "2", "US"
    shared.FrameVOILUTSequence, shared.PixelValueTransformationSequence = [look], [change]
    dataset.SharedFunctionalGroupsSequence = [shared]
    out = io.BytesIO()
    dataset.save_as(out)
    wanted = np.clip((known("CT_small.dcm") * 2.0 + 10 - 999.5) / 200 + 0.5, 0, 1) * 255
    assert np.abs(picture(out.getvalue()) - wanted).max() <= 0.5


def test_colours_are_shown_as_they_are() -> None:
    assert np.array_equal(picture("examples_rgb_color.dcm"), known("examples_rgb_color.dcm"))
    uncompressed = picture("SC_ybr_full_422_uncompressed.dcm")
    assert np.abs(uncompressed - read(file("SC_rgb_rle.dcm")).pixel_array).mean() < 5
    with pytest.raises(UnsupportedError, match="more than 8 bits"):
        picture("SC_rgb_rle_16bit.dcm")


def test_a_palette_is_looked_up() -> None:
    dataset, shown = read(file("examples_palette.dcm")), picture("examples_palette.dcm")
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        _, first, bits = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value
        data = dataset[f"{colour}PaletteColorLookupTableData"].value
        table = np.frombuffer(data, "<u2") >> 8 if bits == 16 else np.frombuffer(data, "u1")
        assert np.array_equal(shown[..., channel], table[known("examples_palette.dcm") - first])


def test_single_bits_are_black_and_white() -> None:
    assert np.array_equal(picture("liver_1frame.dcm"), known("liver_1frame.dcm") * 255.0)


def test_a_viewport_shows_a_region_as_large_as_it_fits() -> None:
    whole = picture("examples_rgb_color.dcm")  # 320 wide, 240 high
    assert picture("examples_rgb_color.dcm", viewport=Viewport(160, 160)).shape == (120, 160, 3)
    assert picture("examples_rgb_color.dcm", viewport=Viewport(640, 4000)).shape == (480, 640, 3)
    part = Viewport(100, 50, 10, 20, 100, 50)
    assert np.array_equal(picture("examples_rgb_color.dcm", viewport=part), whole[20:70, 10:110])
    mirrored = Viewport(100, 50, 10, 20, -100, -50)
    assert np.array_equal(picture("examples_rgb_color.dcm", viewport=mirrored), whole[20:70, 10:110][::-1, ::-1])
    assert picture("examples_rgb_color.dcm", viewport=Viewport(20, 140, 300, 100)).shape == (140, 20, 3)
    with pytest.raises(UnsupportedError, match="outside") as refused:
        picture("examples_rgb_color.dcm", viewport=Viewport(10, 10, 400, 0))
    assert refused.value.status == 400
