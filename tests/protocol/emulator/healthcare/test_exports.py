"""Exporting to BigQuery and Cloud Storage, read back with Google's own clients.

Expected values: what pydicom reads of the same files, and the rules of the page "Understanding the BigQuery DICOM
schema".
"""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

Client = Any
ROOT = Path(pydicom.data.__file__).parent
OTHER = "research-analytics"
EXPORT = "healthcare.projects.locations.datasets.dicomStores.export"


def file(name: str) -> bytes:
    folder = "charset_files" if name.startswith("chr") else "test_files"
    return (ROOT / folder / name).read_bytes()


def made(**elements: Any) -> Dataset:
    """A small instance with these elements."""
    dataset = Dataset()
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    dataset.SOPInstanceUID = UID("1.2.3.4")
    dataset.StudyInstanceUID = UID("1.2.3")
    dataset.SeriesInstanceUID = UID("1.2.3.1")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def saved(dataset: Dataset) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    dataset.save_as(out, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return out.getvalue()


def to(table: str = "instances", **more: Any) -> dict[str, Any]:
    return {"bigqueryDestination": {"tableUri": f"bq://{OTHER}.dicom.{table}", **more}}


@pytest.fixture
def target(ready: Client) -> Client:
    """A store, and a BigQuery dataset in another project that the service agent may write to."""
    body = {"datasetReference": {"projectId": OTHER, "datasetId": "dicom"}}
    ready.ok("POST", f"/bigquery/v2/projects/{OTHER}/datasets", body)
    ready.grant(f"projects/{OTHER}", "roles/bigquery.jobUser", "roles/bigquery.dataEditor")
    return ready


@pytest.fixture
def sql(ready: Client) -> bigquery.Client:
    return bigquery.Client(
        OTHER,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": ready.local.url},
    )


def rows(sql: bigquery.Client, table: str = "instances") -> list[dict[str, Any]]:
    return [dict(row) for row in sql.list_rows(f"{OTHER}.dicom.{table}")]


def columns(sql: bigquery.Client, table: str = "instances") -> dict[str, bigquery.SchemaField]:
    return {field.name: field for field in sql.get_table(f"{OTHER}.dicom.{table}").schema}


BAD_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one destination"),
    ({**to(), "gcsDestination": {"uriPrefix": "gs://out/x"}}, "not both"),
    ({"bigqueryDestination": {}}, "bq://PROJECT.DATASET.TABLE"),
    ({"bigqueryDestination": {"tableUri": "bq://project.dataset"}}, "bq://PROJECT.DATASET.TABLE"),
    ({"bigqueryDestination": {"tableUri": "project.dataset.table"}}, "bq://PROJECT.DATASET.TABLE"),
    (to("a-b"), "letters, digits and underscores"),
    (to(writeDisposition="WRITE_OVER"), "WRITE_OVER"),
    ({**to(), "writeDisposition": "WRITE_EMPTY"}, 'Unknown name "writeDisposition": Cannot find field.'),
    (to(schemaJson={}, schemaFlattened={}), "only one of"),
    ({"gcsDestination": {}}, "uri_prefix is required"),
    ({"gcsDestination": {"uriPrefix": "out/x"}}, "gs://BUCKET/OBJECT"),
    ({"gcsDestination": {"uriPrefix": "gs://out-1/x", "mimeType": "image/gif"}}, "unsupported mime_type"),
    (
        {"gcsDestination": {"uriPrefix": "gs://out-1/x", "mimeType": "application/dicom; transfer-syntax=1.2"}},
        "unsupported mime_type",
    ),
    ({**to(), "filterConfig": {}}, "resource_paths_gcs_uri is required"),
    ({**to(), "filterConfig": {"resourcePathsGcsUri": "file.txt"}}, "gs://BUCKET/OBJECT"),
]


@pytest.mark.parametrize(("body", "text"), BAD_REQUESTS)
def test_an_export_that_can_not_be_is_refused_at_once(ready: Client, body: dict[str, Any], text: str) -> None:
    status, name, message = ready.refused("POST", f"{ready.store}:export", body)
    assert (status, name) == (400, "INVALID_ARGUMENT")
    assert text in message


def test_change_data_capture_exists_in_v1beta1_and_needs_the_json_schema(ready: Client) -> None:
    body = to(changeDataCaptureConfig={})
    assert "Cannot find field" in ready.refused("POST", f"{ready.store}:export", body)[2]
    assert "schema_json" in ready.in_version("v1beta1").refused("POST", f"{ready.store}:export", body)[2]


def test_change_data_capture_is_refused_where_older_rows_would_stay(target: Client, sql: bigquery.Client) -> None:
    target.import_files({"a.dcm": file("CT_small.dcm")})
    beta = target.in_version("v1beta1")
    body = to(schemaJson={}, changeDataCaptureConfig={}, writeDisposition="WRITE_APPEND")
    assert beta.run("export", body)["metadata"]["counter"] == {"success": "1"}
    assert "Type" not in columns(sql)
    again = beta.run("export", body)
    assert again["error"]["code"] == 12
    assert "change_data_capture_config" in again["error"]["message"]
    assert len(rows(sql)) == 1
    assert "error" not in beta.run("export", to(schemaJson={}, changeDataCaptureConfig={}, force=True))


#: What the agent holds, and what BigQuery says then: mozilla/bigquery-etl issue 7581, terraform-provider-google 9577.
_NO_JOBS = f"Access Denied: Project {OTHER}: User does not have bigquery.jobs.create permission in project {OTHER}."
_NO_TABLES = (
    f"Access Denied: Dataset {OTHER}:dicom: Permission bigquery.tables.create denied on dataset {OTHER}:dicom "
    "(or it may not exist)."
)
PERMISSIONS = [
    ((), _NO_JOBS),
    (("roles/bigquery.dataEditor",), _NO_JOBS),
    (("roles/bigquery.jobUser",), _NO_TABLES),
    (("roles/bigquery.jobUser", "roles/bigquery.dataViewer"), _NO_TABLES),
]


@pytest.mark.parametrize(("held", "message"), PERMISSIONS)
def test_without_a_role_the_export_fails_in_the_words_of_bigquery(
    target: Client, held: tuple[str, ...], message: str
) -> None:
    target.grant(f"projects/{OTHER}", *held)
    # What the agent may do in the project of the store does not matter.
    target.grant("projects/hospital-imaging", "roles/bigquery.jobUser", "roles/bigquery.dataEditor")
    assert target.run("export", to())["error"] == {"code": 7, "message": message}


def test_a_role_on_the_dataset_alone_is_enough_beside_job_user(target: Client) -> None:
    target.import_files({"a.dcm": file("CT_small.dcm")})
    target.grant(f"projects/{OTHER}", "roles/bigquery.jobUser")
    access = [{"role": "WRITER", "userByEmail": target.agent.partition(":")[2]}]
    target.ok("PATCH", f"/bigquery/v2/projects/{OTHER}/datasets/dicom", {"access": access})
    assert "error" not in target.run("export", to())


def test_a_missing_dataset_bucket_or_filter_file_ends_with_not_found(target: Client) -> None:
    assert target.run("export", {"bigqueryDestination": {"tableUri": f"bq://{OTHER}.none.t"}})["error"]["code"] == 5
    assert target.run("export", {"gcsDestination": {"uriPrefix": "gs://nobody/x"}})["error"]["code"] == 5
    target.bucket("lists", {}, "roles/storage.objectViewer")
    body = {**to(), "filterConfig": {"resourcePathsGcsUri": "gs://lists/none.txt"}}
    assert target.run("export", body)["error"]["code"] == 5


DISPOSITIONS = [
    # table before, request fields, code of the error (None: none), instances in the table afterwards
    ("absent", {}, None, 1),
    ("absent", {"writeDisposition": "WRITE_EMPTY"}, None, 1),
    ("absent", {"writeDisposition": "WRITE_TRUNCATE"}, None, 1),
    ("absent", {"writeDisposition": "WRITE_APPEND"}, None, 1),
    ("empty", {}, 6, 0),
    ("empty", {"force": False}, 6, 0),
    ("empty", {"writeDisposition": "WRITE_EMPTY"}, None, 1),
    ("empty", {"writeDisposition": "WRITE_APPEND"}, None, 1),
    ("full", {}, 6, 1),
    ("full", {"force": True}, None, 1),
    ("full", {"force": True, "writeDisposition": "WRITE_EMPTY"}, 6, 1),
    ("full", {"writeDisposition": "WRITE_EMPTY"}, 6, 1),
    ("full", {"writeDisposition": "WRITE_TRUNCATE"}, None, 1),
    ("full", {"writeDisposition": "WRITE_APPEND"}, None, 2),
]


@pytest.mark.parametrize(("before", "fields", "code", "count"), DISPOSITIONS)
def test_dispositions_do_what_they_say_to_every_state_of_the_table(
    target: Client, sql: bigquery.Client, before: str, fields: dict[str, Any], code: int | None, count: int
) -> None:
    target.import_files({"a.dcm": file("CT_small.dcm")})
    if before == "full":
        target.run("export", to())
    elif before == "empty":
        sql.create_table(bigquery.Table(f"{OTHER}.dicom.instances"))
    done = target.run("export", to(**fields))
    if code is None:
        assert done["metadata"]["counter"] == {"success": "1"}
        assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    else:
        assert done["error"]["code"] == code
        assert f"Already Exists: Table {OTHER}:dicom.instances" in done["error"]["message"]
    assert sql.get_table(f"{OTHER}.dicom.instances").num_rows == count


def test_columns_have_the_type_of_the_vr_and_the_mode_of_the_dictionarys_vm(
    target: Client, sql: bigquery.Client
) -> None:
    target.import_files({"a.dcm": file("CT_small.dcm")})
    target.run("export", to())
    found = columns(sql)
    wanted = {
        "SOPInstanceUID": ("STRING", "NULLABLE"),
        "ImageType": ("STRING", "REPEATED"),
        "StudyDate": ("DATE", "NULLABLE"),
        "StudyTime": ("TIME", "NULLABLE"),
        "PatientName": ("RECORD", "NULLABLE"),
        "PatientAge": ("STRING", "NULLABLE"),
        "SliceThickness": ("STRING", "NULLABLE"),
        "InstanceNumber": ("STRING", "NULLABLE"),
        "PixelSpacing": ("STRING", "REPEATED"),
        "ImagePositionPatient": ("STRING", "REPEATED"),
        "Rows": ("INTEGER", "NULLABLE"),
        "OtherElements": ("RECORD", "REPEATED"),
        "DroppedTags": ("RECORD", "REPEATED"),
        "MediaStorageSOPClassUID": ("STRING", "NULLABLE"),
        "TransferSyntaxUID": ("STRING", "NULLABLE"),
        "BlobStorageSize": ("INTEGER", "NULLABLE"),
        "StorageClass": ("STRING", "NULLABLE"),
    }
    assert {name: (found[name].field_type, found[name].mode) for name in wanted} == wanted
    assert "PixelData" not in found
    name = found["PatientName"]
    assert [group.name for group in name.fields] == ["Alphabetic", "Ideographic", "Phonetic"]
    parts = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"]
    assert all([part.name for part in group.fields] == parts for group in name.fields)
    assert [(field.name, field.mode) for field in found["OtherElements"].fields] == [
        ("Tag", "NULLABLE"),
        ("Data", "REPEATED"),
    ]


def test_columns_are_in_the_order_of_tags_with_the_gathered_ones_last(target: Client, sql: bigquery.Client) -> None:
    target.import_files({"a.dcm": file("CT_small.dcm"), "b.dcm": file("liver_1frame.dcm"), "c.dcm": file("rtplan.dcm")})
    target.run("export", to())
    names = list(columns(sql))
    # As in the table of the Imaging Data Commons (xlang-ai/Spider2, IDC_V17/DICOM_METADATA.json).
    gathered = ["OtherElements", "DroppedTags", "Type", "LastUpdated", "StorageClass", "BlobStorageSize"]
    assert not {"FileMetaInformationGroupLength", "FileMetaInformationVersion"} & set(names)
    private = [name for name in names if name.startswith("Tag_")]
    standard = names[: -len(gathered) - len(private)]
    assert names == [*standard, *private, *gathered]
    tags = [pydicom.datadict.tag_for_keyword(name) for name in standard]
    assert tags == sorted(tags, key=lambda tag: tag or 0)
    assert None not in tags


def test_a_row_holds_what_pydicom_reads(target: Client, sql: bigquery.Client) -> None:
    data = file("CT_small.dcm")
    target.import_files({"a.dcm": data})
    target.run("export", to())
    (row,) = rows(sql)
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert row["SOPInstanceUID"] == dataset.SOPInstanceUID
    assert row["PatientName"]["Alphabetic"]["FamilyName"] == dataset.PatientName.family_name
    assert row["StudyDate"] == dt.date(2004, 1, 19)
    assert row["StudyTime"] == dt.time(7, 27, 30)
    assert row["ImageType"] == list(dataset.ImageType)
    assert row["Rows"] == dataset.Rows
    assert row["PixelSpacing"] == [str(value) for value in dataset.PixelSpacing]
    assert row["SliceThickness"] == str(dataset.SliceThickness)
    assert row["PixelPaddingValue"] == dataset.PixelPaddingValue
    assert row["BlobStorageSize"] == len(data)
    assert row["StorageClass"] == "STANDARD"
    assert row["Type"] == "CREATE"
    assert dt.timedelta(0) <= dt.datetime.now(dt.UTC) - row["LastUpdated"] < dt.timedelta(minutes=5)
    assert {"TagName": "PixelData", "TagReference": ""} in row["DroppedTags"]
    creator = next(item for item in row["OtherElements"] if item["Tag"] == "Tag_00090010")
    assert creator["Data"] == [dataset[0x00090010].value]
    several = next(item for item in row["OtherElements"] if item["Tag"] == "Tag_00271050")
    assert [np.float32(text) for text in several["Data"]] == [np.float32(dataset[0x00271050].value)]


#: The names in pydicom's files, most of them the examples of DICOM PS3.5 annexes H to K.
CHARSETS = {
    "chrArab.dcm": "قباني^لنزار",
    "chrFren.dcm": "Buc^Jérôme",
    "chrGerm.dcm": "Äneas^Rüdiger",
    "chrGreek.dcm": "Διονυσιος",
    "chrH31.dcm": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32.dcm": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrHbrw.dcm": "שרון^דבורה",
    "chrI2.dcm": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrJapMulti.dcm": "やまだ^たろう",
    "chrKoreanMulti.dcm": "김희중",
    "chrRuss.dcm": "Люкceмбypг",  # noqa: RUF001 - as it is in the file
    "chrX1.dcm": "Wang^XiaoDong=王^小東",
    "chrX2.dcm": "Wang^XiaoDong=王^小东",
}


def test_names_of_every_character_set_come_out_as_text_in_their_components(
    target: Client, sql: bigquery.Client
) -> None:
    target.import_files({name: file(name) for name in CHARSETS})
    target.run("export", to())
    found = {row["SOPInstanceUID"]: row["PatientName"] for row in rows(sql)}
    for name, text in CHARSETS.items():
        record = found[str(pydicom.dcmread(io.BytesIO(file(name))).SOPInstanceUID)]
        texts = []
        for group in ("Alphabetic", "Ideographic", "Phonetic"):
            values = record[group] or {}
            texts.append("^".join(values.get(part) or "" for part in ("FamilyName", "GivenName")).rstrip("^"))
        assert "=".join(texts).rstrip("=") == text, name


@pytest.mark.parametrize("name", ["chrSQEncoding.dcm", "chrSQEncoding1.dcm"])
def test_items_of_sequences_have_character_sets_of_their_own(target: Client, sql: bigquery.Client, name: str) -> None:
    # One file says it in the item, the other before the sequence; neither has the UIDs of an instance.
    source = pydicom.dcmread(io.BytesIO(file(name)), force=True)
    source.update(made())
    target.import_files({"a.dcm": saved(source)})
    target.run("export", to())
    (row,) = rows(sql)
    ((item,),) = (row[element.keyword] for element in source if element.VR == "SQ")
    assert item["PatientName"]["Alphabetic"]["FamilyName"] == "ﾔﾏﾀﾞ"
    assert item["PatientName"]["Ideographic"]["GivenName"] == "太郎"


TIMES = [
    # element, value, expected (None: not in its column but in OtherElements)
    ("StudyDate", "20240229", dt.date(2024, 2, 29)),
    ("StudyDate", "2024.02.29", dt.date(2024, 2, 29)),
    ("StudyDate", "20230229", None),
    ("StudyDate", "202402", None),
    ("StudyDate", "20240101-20240131", None),
    ("StudyTime", "07", dt.time(7)),
    ("StudyTime", "0730", dt.time(7, 30)),
    ("StudyTime", "073015.25", dt.time(7, 30, 15, 250_000)),
    ("StudyTime", "07:30:15", dt.time(7, 30, 15)),
    ("StudyTime", "235960", None),
    ("StudyTime", "noon", None),
    ("AcquisitionDateTime", "20240229073015.5+0130", dt.datetime(2024, 2, 29, 6, 0, 15, 500_000, dt.UTC)),
    ("AcquisitionDateTime", "2024", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
    ("AcquisitionDateTime", "soon", None),
    ("NumberOfFrames", "3", "3"),
    ("PatientWeight", "71.50", "71.50"),
    ("PatientID", "a\\b", None),
]


@pytest.mark.parametrize(("keyword", "value", "expected"), TIMES)
def test_odd_values_become_what_they_mean_or_stay_beside_their_column(
    target: Client, sql: bigquery.Client, keyword: str, value: str, expected: Any
) -> None:
    dataset = made()
    tag = pydicom.datadict.tag_for_keyword(keyword)
    assert tag is not None
    vr = pydicom.datadict.dictionary_VR(tag)
    raw = value.encode() + b" " * (len(value) % 2)
    dataset[tag] = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(tag), vr, len(raw), raw, 0, is_implicit_VR=False, is_little_endian=True
    )
    target.import_files({"a.dcm": saved(dataset)})
    assert target.run("export", to())["metadata"]["counter"] == {"success": "1"}
    (row,) = rows(sql)
    assert row[keyword] == expected
    assert row["DroppedTags"] == []
    others = [] if expected is not None else [{"Tag": f"Tag_{tag:08X}", "Data": value.split("\\")}]
    assert (row.get("OtherElements") or []) == others


def test_sequences_nest_with_their_private_elements(target: Client, sql: bigquery.Client) -> None:
    dataset = made()
    item = Dataset()
    item.CodeValue = "T-1"
    item.add_new(0x00110010, "LO", "CREATOR")
    item.add_new(0x00111001, "DS", ["1.5", "2.5"])
    inner = Dataset()
    inner.CodeMeaning = "deep"
    item.PurposeOfReferenceCodeSequence = [inner]
    dataset.ProcedureCodeSequence = [item, Dataset()]
    own = Dataset()
    own.PatientID = "p"
    dataset.add_new(0x00110010, "LO", "CREATOR")
    dataset.add_new(0x00111110, "SQ", [own])
    dataset.ReferencedStudySequence = [Dataset()]
    target.import_files({"a.dcm": saved(dataset)})
    target.run("export", to())
    found = columns(sql)
    assert found["ProcedureCodeSequence"].mode == "REPEATED"
    assert [field.name for field in found["ProcedureCodeSequence"].fields] == [
        "CodeValue",
        "PurposeOfReferenceCodeSequence",
        "OtherElements",
    ]
    assert found["Tag_00111110"].field_type == "RECORD"
    # BigQuery has no records without fields: a sequence of empty items makes no column.
    assert "ReferencedStudySequence" not in found
    (row,) = rows(sql)
    first, second = row["ProcedureCodeSequence"]
    assert first["CodeValue"] == "T-1"
    assert first["PurposeOfReferenceCodeSequence"] == [{"CodeMeaning": "deep"}]
    assert first["OtherElements"] == [
        {"Tag": "Tag_00110010", "Data": ["CREATOR"]},
        {"Tag": "Tag_00111001", "Data": ["1.5", "2.5"]},
    ]
    assert second["CodeValue"] is None
    assert row["Tag_00111110"] == [{"PatientID": "p"}]


def test_repeating_groups_gather_in_one_column(target: Client, sql: bigquery.Client) -> None:
    dataset = made()
    for group in (0x6000, 0x6002):
        dataset.add_new((group, 0x0010), "US", 7 if group == 0x6000 else 8)
        dataset.add_new((group, 0x0050), "SS", [1, -2])
    target.import_files({"a.dcm": saved(dataset)})
    target.run("export", to())
    found = columns(sql)
    assert [(f.name, f.field_type, f.mode) for f in found["OverlayRows"].fields] == [
        ("Id", "STRING", "NULLABLE"),
        ("Value", "INTEGER", "NULLABLE"),
    ]
    assert found["OverlayOrigin"].fields[1].mode == "REPEATED"
    (row,) = rows(sql)
    assert [item["Value"] for item in row["OverlayRows"]] == [7, 8]
    assert [item["Value"] for item in row["OverlayOrigin"]] == [[1, -2], [1, -2]]


def test_fifteen_levels_of_records_are_the_deepest(target: Client, sql: bigquery.Client) -> None:
    dataset = made()
    level = dataset
    for _ in range(20):
        below = Dataset()
        below.CodeValue = "x"
        level.ContentSequence = [below]
        level = below
    target.import_files({"a.dcm": saved(dataset)})
    assert target.run("export", to())["metadata"]["counter"] == {"success": "1"}
    depth, fields = 0, columns(sql)
    while "ContentSequence" in fields:
        depth += 1
        fields = {field.name: field for field in fields["ContentSequence"].fields}
    assert depth == 15
    (row,) = rows(sql)
    assert [item["TagName"] for item in row["DroppedTags"]] == ["ContentSequence"]


def test_what_has_no_column_is_listed_and_the_row_stays(target: Client, sql: bigquery.Client) -> None:
    dataset = made(PixelPaddingValue=3, TextValue="x" * (1024 * 1024 + 2))
    dataset.add_new(0x00189810, "US", 5)  # dictionary: US or SS
    dataset.add_new(0x00480200, "SQ", [])
    dataset.add_new(0x00282000, "OB", b"icc profile ")
    dataset.add_new(0x00080000 | 0x9999, "LO", "unknown")
    dataset.add_new(0x00280010, "LO", "rows")  # text where the dictionary has a number
    target.import_files({"a.dcm": saved(dataset)})
    target.run("export", to())
    (row,) = rows(sql)
    # What exceeds about 1 MB is excluded entirely, by the export's pages of 2026; what is text stays.
    assert {item["TagName"] for item in row["DroppedTags"]} == {"ICCProfile"}
    assert {item["Tag"]: item["Data"] for item in row["OtherElements"]} == {
        "Tag_00089999": ["unknown"],
        "Tag_00280010": ["rows"],
    }
    assert row["PixelPaddingValue"] == 3
    assert row["Rows"] is None
    assert not {"TextValue", "ICCProfile", "Tag_00089999"} & set(columns(sql))


def test_the_source_store_is_a_column_when_asked_for(target: Client, sql: bigquery.Client) -> None:
    target.import_files({"a.dcm": file("CT_small.dcm")})
    target.run("export", to(includeSourceStore=True))
    assert [row["SourceDicomStore"] for row in rows(sql)] == [target.store]


def test_the_json_schema_has_its_fixed_columns(target: Client, sql: bigquery.Client) -> None:
    data = file("CT_small.dcm")
    target.import_files({"a.dcm": data})
    target.run("export", to(schemaJson={}, includeSourceStore=True))
    wanted = [
        ("StudyInstanceUID", "STRING", "NULLABLE"),
        ("SeriesInstanceUID", "STRING", "NULLABLE"),
        ("SOPInstanceUID", "STRING", "NULLABLE"),
        ("SourceDicomStore", "STRING", "NULLABLE"),
        ("Metadata", "JSON", "NULLABLE"),
        ("StructuredStorageSize", "INTEGER", "NULLABLE"),
        ("BlobStorageSize", "INTEGER", "NULLABLE"),
        ("DroppedTags", "STRING", "REPEATED"),
        ("StorageClass", "STRING", "NULLABLE"),
        ("LastUpdated", "TIMESTAMP", "NULLABLE"),
        ("Type", "STRING", "NULLABLE"),
    ]
    assert [(field.name, field.field_type, field.mode) for field in columns(sql).values()] == wanted
    (row,) = rows(sql)
    metadata = row["Metadata"] if isinstance(row["Metadata"], dict) else json.loads(row["Metadata"])
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert metadata["00100020"] == {"vr": "LO", "Value": [dataset.PatientID]}
    assert metadata["00020010"]["Value"] == [dataset.file_meta.TransferSyntaxUID]
    assert "PixelData" in row["DroppedTags"]
    assert (row["BlobStorageSize"], row["Type"]) == (len(data), "INSERT")


def test_a_filter_file_selects_subtrees_and_nothing_else(target: Client, sql: bigquery.Client) -> None:
    names = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "liver_1frame.dcm")
    data = {name: pydicom.dcmread(io.BytesIO(file(name)), stop_before_pixels=True) for name in names}
    target.import_files({name: file(name) for name in names})
    ct, mr, plan, _ = data.values()
    lines = [
        f"/studies/{ct.StudyInstanceUID}",
        f"/studies/{mr.StudyInstanceUID}/series/{mr.SeriesInstanceUID}\r",
        f"/studies/{mr.StudyInstanceUID}/series/{mr.SeriesInstanceUID}/instances/{mr.SOPInstanceUID}",
        f"/studies/{plan.StudyInstanceUID}/series/{plan.SeriesInstanceUID}/instances/1.2.3",
        "",
        # Without a slash in front and a newline at the end, as Google's medical-imaging writes them.
        f"studies/{ct.StudyInstanceUID}/series/{ct.SeriesInstanceUID}",
    ]
    target.bucket("lists", {"f.txt": "\n".join(lines).encode()})
    body = {**to(), "filterConfig": {"resourcePathsGcsUri": "gs://lists/f.txt"}}
    assert target.run("export", body)["error"]["code"] == 7
    target.grant("b/lists", "roles/storage.objectViewer")
    assert target.run("export", body)["metadata"]["counter"] == {"success": "2"}
    assert {row["SOPInstanceUID"] for row in rows(sql)} == {str(ct.SOPInstanceUID), str(mr.SOPInstanceUID)}


def test_a_malformed_line_of_a_filter_file_is_named_by_its_number(target: Client) -> None:
    target.bucket("lists", {"f.txt": b"/studies/1.2\n/series/1.2\n"}, "roles/storage.objectViewer")
    error = target.run("export", {**to(), "filterConfig": {"resourcePathsGcsUri": "gs://lists/f.txt"}})["error"]
    assert error["code"] == 3
    assert "line 2" in error["message"]


def test_an_empty_store_makes_an_empty_table(target: Client, sql: bigquery.Client) -> None:
    assert "error" not in target.run("export", to())
    assert rows(sql) == []


def test_appended_rows_may_bring_new_columns(target: Client, sql: bigquery.Client) -> None:
    target.import_files({"a.dcm": saved(made(PatientID="p"))})
    target.run("export", to())
    target.bucket("more", {"b.dcm": file("rtplan.dcm")}, "roles/storage.objectViewer")
    target.run("import", {"gcsSource": {"uri": "gs://more/*"}})
    done = target.run("export", to(writeDisposition="WRITE_APPEND"))
    assert done["metadata"]["counter"] == {"success": "2"}
    assert len(rows(sql)) == 3
    assert "BeamSequence" in columns(sql)


def test_planned_failures_are_missing_rows(target: Client, sql: bigquery.Client, emulator: Any) -> None:
    target.import_files({"a.dcm": file("CT_small.dcm"), "b.dcm": file("MR_small.dcm")})
    emulator.control("POST", "faults", {"method": EXPORT, "effect": {"operation": {"failures": 1}}})
    assert target.run("export", to())["metadata"]["counter"] == {"success": "1", "failure": "1"}
    assert len(rows(sql)) == 1


# --- to Cloud Storage ------------------------------------------------------------------------------------------------


def exported(call: Client, mime: str, prefix: str = "gs://out-1/x") -> tuple[dict[str, Any], dict[str, bytes]]:
    done = call.run("export", {"gcsDestination": {"uriPrefix": prefix, "mimeType": mime}})
    return done, call.objects("out-1")


def name_of(dataset: Dataset) -> str:
    return f"{dataset.StudyInstanceUID}/{dataset.SeriesInstanceUID}/{dataset.SOPInstanceUID}"


def test_without_object_admin_nothing_is_written(ready: Client) -> None:
    ready.import_files({"a.dcm": file("CT_small.dcm")})
    ready.bucket("out-1", {}, "roles/storage.objectCreator")
    done, objects = exported(ready, "")
    assert done["error"]["code"] == 7
    assert done["error"]["message"].startswith("Healthcare API doesn't have required Cloud Storage permission.")
    assert objects == {}


@pytest.mark.parametrize("mime", ["", "application/dicom; transfer-syntax=*"])
@pytest.mark.parametrize("prefix", ["gs://out-1/x", "gs://out-1/x/"])
def test_original_bytes_are_exported_below_the_prefix(ready: Client, mime: str, prefix: str) -> None:
    data = file("SC_rgb_rle_2frame.dcm")
    ready.import_files({"a.dcm": data})
    ready.bucket("out-1", {}, "roles/storage.objectAdmin")
    done, objects = exported(ready, mime, prefix)
    assert done["metadata"]["counter"] == {"success": "1"}
    dataset = pydicom.dcmread(io.BytesIO(data))
    assert objects == {f"x/{name_of(dataset)}.dcm": data}
    assert exported(ready, mime, prefix)[0]["metadata"]["counter"] == {"success": "1"}


def test_instances_are_transcoded_to_explicit_little_endian(ready: Client) -> None:
    import numpy as np

    data = file("SC_rgb_rle_2frame.dcm")
    ready.import_files({"a.dcm": data, "b.dcm": file("MR_small_implicit.dcm")})
    ready.bucket("out-1", {}, "roles/storage.objectAdmin")
    _, objects = exported(ready, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1")
    before = pydicom.dcmread(io.BytesIO(data))
    after = pydicom.dcmread(io.BytesIO(objects[f"x/{name_of(before)}.dcm"]))
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert after.SOPInstanceUID == before.SOPInstanceUID
    assert np.array_equal(after.pixel_array, before.pixel_array)


def test_pictures_are_named_by_frame_where_there_are_several(ready: Client) -> None:
    import numpy as np
    from PIL import Image

    ready.import_files({"a.dcm": file("SC_rgb_rle_2frame.dcm"), "b.dcm": file("CT_small.dcm")})
    ready.bucket("out-1", {}, "roles/storage.objectAdmin")
    _, objects = exported(ready, "image/png")
    several = pydicom.dcmread(io.BytesIO(file("SC_rgb_rle_2frame.dcm")))
    one = pydicom.dcmread(io.BytesIO(file("CT_small.dcm")))
    wanted = {f"x/{name_of(several)}/1.png", f"x/{name_of(several)}/2.png", f"x/{name_of(one)}.png"}
    assert set(objects) == wanted
    image = Image.open(io.BytesIO(objects[f"x/{name_of(several)}/1.png"]))
    assert np.array_equal(np.asarray(image), several.pixel_array[0])


def test_what_can_not_be_transcoded_is_a_failure_of_that_instance(ready: Client) -> None:
    ready.import_files({"a.dcm": file("CT_small.dcm"), "b.dcm": file("rtplan.dcm")})
    ready.bucket("out-1", {}, "roles/storage.objectAdmin")
    done, objects = exported(ready, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50")
    assert done["metadata"]["counter"] == {"success": "1", "failure": "1"}
    assert "error" not in done
    assert len(objects) == 1
    (entry,) = ready.log_entries(done)
    plan = pydicom.dcmread(io.BytesIO(file("rtplan.dcm")))
    # googleapis/google/cloud/healthcare/logging/dicom.proto: ExportDicomLogEntry{resource_name, error}
    assert entry["jsonPayload"].keys() == {"@type", "resourceName", "error"}
    assert entry["jsonPayload"]["@type"].endswith("logging.ExportDicomLogEntry")
    assert entry["jsonPayload"]["resourceName"].endswith(f"/instances/{plan.SOPInstanceUID}")
    assert "no pixel data" in entry["jsonPayload"]["error"]["message"]
