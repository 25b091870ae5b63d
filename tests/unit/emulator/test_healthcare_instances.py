"""Reading instances: cutting elements directly and letting pydicom read them come to the same."""

from __future__ import annotations

import io
import json
import warnings
import zlib
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset

from emulator.healthcare.dicom import reader
from emulator.healthcare.dicom.elements import NotPlainError
from emulator.healthcare.schemas import flattened, whole_row

ROOT = Path(pydicom.data.__file__).parent
FILES = sorted(
    path for folder in ("test_files", "charset_files") for path in (ROOT / folder).rglob("*") if path.is_file()
)


def read(path: Path) -> reader.Record | None:
    try:
        return reader.read_instance(path)
    except reader.BadInstanceError:
        return None


STORED = [path for path in FILES if read(path) is not None]


def test_most_files_of_pydicom_are_instances() -> None:
    assert len(STORED) == 160


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_pydicom_reads_the_same_out_of_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The direct way through a file is only quicker."""
    directly = read(path)

    def refuse(*_: Any, **__: Any) -> None:
        raise NotPlainError

    monkeypatch.setattr(reader, "cut", refuse)
    assert read(path) == directly
    assert reader.read_instance(path.read_bytes()) == directly


def comparable(value: Any) -> Any:
    """DICOM JSON without what writers may choose: bulk data, numbers as 1 or 1.0, padding, empty values."""
    if isinstance(value, dict):
        kept = {key: comparable(one) for key, one in value.items() if key not in ("InlineBinary", "BulkDataURI")}
        return {key: one for key, one in kept.items() if one != []}
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value.rstrip() or None if isinstance(value, str) else value


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_the_metadata_are_those_that_pydicom_writes(path: Path) -> None:
    record = read(path)
    assert record is not None
    ours = json.loads(zlib.decompress(record.metadata))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in pydicom.dcmread(path):
            if element.tag.element == 0:
                continue
            try:
                theirs = element.to_json_dict(None, 1024)
            except ValueError:
                continue  # pydicom refuses values that are against the standard
            tag = f"{int(element.tag):08X}"
            if tag == "7FE00010":
                continue
            assert comparable(ours[tag]) == comparable(theirs), tag


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_rows_have_no_column_that_the_schema_lacks(path: Path) -> None:
    record = read(path)
    assert record is not None
    schema = flattened([json.loads(record.columns)], source=False)

    def check(row: dict[str, Any], fields: list[dict[str, Any]]) -> None:
        known = {field["name"]: field for field in fields}
        for name, value in row.items():
            field = known[name]
            assert isinstance(value, list) == (field["mode"] == "REPEATED"), name
            for one in value if isinstance(value, list) else [value]:
                if field["type"] == "RECORD":
                    check(one, field["fields"])
                elif field["type"] in ("STRING", "DATE", "TIME", "TIMESTAMP"):
                    assert isinstance(one, str), name
                elif field["type"] == "INTEGER":
                    assert isinstance(one, int), name

    check(whole_row(record.row), schema)


def instance(**elements: Any) -> Dataset:
    dataset = Dataset()
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.1"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def record_of(dataset: Dataset, *, implicit: bool = False) -> reader.Record:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    out = io.BytesIO()
    dataset.save_as(out, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return reader.read_instance(out.getvalue())


def test_bulk_data_are_what_the_conformance_statement_calls_so() -> None:
    """OB, OW, UN always; OD, OF, OL, OV above 2 KiB; AT, FD, FL, UL, US, SV, UV with more than 512 values."""
    dataset = instance()
    dataset.add_new(0x00282000, "OB", b"ab")
    dataset.add_new(0x00660016, "OF", b"\0" * 2048)
    dataset.add_new(0x00660023, "OW", b"\0\0")
    dataset.add_new(0x00660040, "OL", b"\0" * 2052)
    dataset.add_new(0x00186004, "US", 1)
    dataset.add_new(0x00281101, "US", [1] * 3)
    dataset.add_new(0x00720078, "UL", [1] * 513)
    dataset.add_new(0x00720076, "FL", [1.0] * 512)
    metadata = json.loads(zlib.decompress(record_of(dataset).metadata))
    bulk = {tag for tag, element in metadata.items() if "BulkDataURI" in element}
    assert bulk == {"00282000", "00660023", "00660040", "00720078"}
    assert "InlineBinary" in metadata["00660016"]
    assert len(metadata["00720076"]["Value"]) == 512


def test_a_sequence_of_a_mebibyte_is_in_neither_metadata_nor_row() -> None:
    """Nor is it listed as dropped: the export's pages of 2026 say "excluded entirely"."""
    item = Dataset()
    item.TextValue = "x" * (1024 * 1024)
    small = Dataset()
    small.TextValue = "y"
    record = record_of(instance(ContentSequence=[item], ConceptNameCodeSequence=[small]))
    metadata = json.loads(zlib.decompress(record.metadata))
    row = whole_row(record.row)
    assert "0040A730" not in metadata
    assert "0040A043" in metadata
    assert "DroppedTags" not in row
    assert "ContentSequence" not in row


def test_implicit_files_get_their_vrs_from_the_dictionaries() -> None:
    dataset = instance(PixelRepresentation=1, SmallestImagePixelValue=-3, Rows=4)
    dataset.add_new(0x00090010, "LO", "GEMS_IDEN_01")
    dataset.add_new(0x00091030, "SH", "x")  # known to pydicom's private dictionary
    dataset.add_new(0x00091099, "UN", b"??")
    record = record_of(dataset, implicit=True)
    row = whole_row(record.row)
    assert row["SmallestImagePixelValue"] == -3
    assert {"Tag": "Tag_00091030", "Data": ["x"]} in row["OtherElements"]
    assert [one["TagName"] for one in row["DroppedTags"]] == ["Tag_00091099"]


def test_elements_behind_the_pixel_data_are_read() -> None:
    dataset = instance(Rows=1, Columns=2, BitsAllocated=8, SamplesPerPixel=1)
    dataset.add_new(0x7FE00010, "OB", b"\0\1")
    dataset.add_new(0x7FE10010, "LO", "CREATOR")
    dataset.add_new(0x7FE11001, "LO", "behind")
    row = whole_row(record_of(dataset).row)
    assert {"Tag": "Tag_7FE11001", "Data": ["behind"]} in row["OtherElements"]


def test_the_metadata_begin_with_the_header_and_have_no_pixel_data() -> None:
    """GoogleCloudPlatform/nodejs-docs-samples issue 1545: 00020002 comes first. Pixel data: medical-imaging's mock."""
    dataset = instance(Rows=1, Columns=2, BitsAllocated=8, SamplesPerPixel=1)
    dataset.add_new(0x7FE00010, "OB", b"\0\1")
    record = record_of(dataset)
    metadata = json.loads(zlib.decompress(record.metadata))
    assert next(iter(metadata)) == "00020002"
    assert metadata["00020010"]["Value"] == ["1.2.840.10008.1.2.1"]
    assert not {"00020000", "00020001", "7FE00010"} & metadata.keys()
    row = whole_row(record.row)
    assert row["DroppedTags"] == [{"TagName": "PixelData", "TagReference": ""}]
    assert not {"FileMetaInformationGroupLength", "FileMetaInformationVersion"} & row.keys()


@pytest.mark.parametrize(
    ("tag", "vr", "value", "data"),
    [
        # Rows of the Imaging Data Commons have these, of tags that the service did not know and of a name of carets.
        (0x00080090, "PN", "^^^^", ["^^^^"]),
        (0x00089999, "LO", "unknown", ["unknown"]),
        # The same kind: values that fit no column.
        (0x00280010, "LO", "rows", ["rows"]),
        (0x00100020, "LO", ["a", "b"], ["a", "b"]),
        (0x00282000, "LO", "text", ["text"]),
        (0x0040A730, "LO", "no sequence", ["no sequence"]),
    ],
)
def test_standard_elements_without_a_place_are_other_elements(tag: int, vr: str, value: Any, data: list[str]) -> None:
    dataset = instance()
    dataset.add_new(tag, vr, value)
    inner = instance()
    inner.add_new(tag, vr, value)
    dataset.ReferencedStudySequence = [inner]
    row = whole_row(record_of(dataset).row)
    wanted = [{"Tag": f"Tag_{tag:08X}", "Data": data}]
    assert row["OtherElements"] == wanted
    assert row["ReferencedStudySequence"][0]["OtherElements"] == wanted
    assert "DroppedTags" not in row


def test_what_is_dropped_within_sequences_names_them() -> None:
    inner = Dataset()
    inner.add_new(0x00282000, "OB", b"ab")
    row = whole_row(record_of(instance(ReferencedStudySequence=[inner])).row)
    assert row["DroppedTags"] == [{"TagName": "ICCProfile", "TagReference": "00081110"}]
