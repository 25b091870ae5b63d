"""Importing from Cloud Storage: wildcards, permissions, broken files, duplicates, progress, cancelling, faults."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

Client = Any
ROOT = Path(pydicom.data.__file__).parent
METHOD = "healthcare.projects.locations.datasets.dicomStores.import"


def file(name: str) -> bytes:
    return (ROOT / "test_files" / name).read_bytes()


BAD_SOURCES = [
    ({}, "gcs_source.uri is required"),
    ({"gcsSource": {"uri": "s3://inbox/x"}}, "gs://BUCKET/OBJECT"),
    ({"gcsSource": {"uri": "gs://inbox"}}, "gs://BUCKET/OBJECT"),
    ({"gcsSource": {"uri": "gs://in*box/x"}}, "gs://BUCKET/OBJECT"),
    ({"gcsSource": {"uri": "gs://inbox/**/x.dcm"}}, "** must end the path"),
    ({"gcsSource": {"uri": "gs://inbox/*/**"}}, "** must end the path"),
    ({"gcsSource": {"uri": "gs://inbox/a?/**.dcm"}}, "** must end the path"),
    ({"gcsSource": {"uri": "gs://inbox/x"}, "blobStorageSettings": {"blobStorageClass": "COLD"}}, "COLD"),
    ({"gcsSource": {"url": "gs://inbox/x"}}, "Cannot find field"),
]


@pytest.mark.parametrize(("body", "text"), BAD_SOURCES)
def test_an_import_from_what_is_no_source_is_refused(ready: Client, body: dict[str, Any], text: str) -> None:
    status, name, message = ready.refused("POST", f"{ready.store}:import", body)
    assert (status, name) == (400, "INVALID_ARGUMENT")
    assert text in message


DIFFERS = (
    "An instance already exists in this DICOM Store with the same Study/Series/SOPInstance UID, "
    "but the DICOM files differ (checksum mismatch)."
)
WILDCARDS = [
    ("**", {"a.dcm", "b.txt", "d/a.dcm", "d/e/a.dcm"}),
    ("**.dcm", {"a.dcm", "d/a.dcm", "d/e/a.dcm"}),
    ("d/**", {"d/a.dcm", "d/e/a.dcm"}),
    ("*", {"a.dcm", "b.txt"}),
    ("*.dcm", {"a.dcm"}),
    ("*/a.dcm", {"d/a.dcm"}),
    ("?.dcm", {"a.dcm"}),
    ("d/?/a.dcm", {"d/e/a.dcm"}),
    ("a.dcm", {"a.dcm"}),
    ("a+dcm", set()),
]


@pytest.mark.parametrize(("pattern", "wanted"), WILDCARDS)
def test_wildcards_select_what_the_documentation_says(ready: Client, pattern: str, wanted: set[str]) -> None:
    names = ("a.dcm", "b.txt", "d/a.dcm", "d/e/a.dcm")
    ready.bucket("inbox", dict.fromkeys(names, b"no DICOM"), "roles/storage.objectViewer")
    body = {"gcsSource": {"uri": f"gs://inbox/{pattern}"}}
    if not wanted:
        # The text is that of ImagingDataCommons/tcia_download, which gets it as an HttpError of the call.
        assert ready.refused("POST", f"{ready.store}:import", body) == (
            400,
            "INVALID_ARGUMENT",
            f"the import pattern 'gs://inbox/{pattern}' resolves to zero GCS objects",
        )
        assert "operations" not in ready.ok("GET", f"{ready.dataset}/operations?filter=metadata.apiMethodName:Import")
        return
    done = ready.run("import", body)
    failed = {sample["resource"].removeprefix("gs://inbox/") for sample in done["error"]["details"][0]["sampleErrors"]}
    assert failed == wanted


def test_without_the_role_the_call_is_refused_with_the_missing_permissions(ready: Client) -> None:
    ready.bucket("inbox", {"a.dcm": file("CT_small.dcm")})
    body = {"gcsSource": {"uri": "gs://inbox/a.dcm"}}
    refused = "Cloud Healthcare Service Agent doesn't have all required permissions "
    both = f"{refused}[storage.objects.get, storage.objects.list]"
    assert ready.refused("POST", f"{ready.store}:import", body) == (403, "PERMISSION_DENIED", both)
    ready.grant("b/inbox", "roles/storage.objectCreator")
    assert ready.refused("POST", f"{ready.store}:import", body)[2] == both
    # The very text that was pasted: the agent may read each object but not list them.
    ready.grant("b/inbox", "roles/storage.legacyObjectReader")
    assert ready.refused("POST", f"{ready.store}:import", body)[2] == f"{refused}[storage.objects.list]"
    ready.grant("projects/hospital-imaging", "roles/storage.objectViewer")
    assert "error" not in ready.run("import", body)


def test_a_missing_bucket_is_refused_at_once(ready: Client) -> None:
    assert ready.refused("POST", f"{ready.store}:import", {"gcsSource": {"uri": "gs://nobody/a.dcm"}})[0] == 404


FORMS = [
    # setting, files, form, success, failure
    ("error", ("CT_small.dcm", ""), "error", "1", "1"),
    ("response", ("CT_small.dcm", ""), "response", "1", "1"),
    ("error", ("", "x"), "error", None, "2"),
    ("response", ("", "x"), "error", None, "2"),
    ("error", ("CT_small.dcm", "MR_small.dcm"), "response", "2", None),
]


@pytest.mark.parametrize(("setting", "names", "form", "success", "failure"), FORMS)
def test_an_import_some_of_whose_files_fail_ends_in_the_form_that_is_set(
    ready: Client, emulator: Any, setting: str, names: tuple[str, ...], form: str, success: str, failure: str
) -> None:
    emulator.control("PATCH", "settings", {"partialImports": setting})
    files = {f"{n}.dcm": file(name) if name.endswith("dcm") else name.encode() for n, name in enumerate(names)}
    done = ready.import_files(files)
    assert form in done
    assert not {"error", "response"} - {form} & done.keys()
    counter = {key: value for key, value in (("success", success), ("failure", failure)) if value}
    assert done["metadata"]["counter"] == counter
    if form == "error" and setting == "error":
        assert done["error"]["code"] == 3
        # As imports of FHIR resources end: synthetichealth/synthea issue 1568.
        wanted = "invalid_argument: importing one or more instances failed. Please use the link in the metadata.logsUrl"
        assert done["error"]["message"].startswith(wanted)


def test_a_file_that_differs_from_the_stored_instance_fails_and_the_same_one_does_not(ready: Client) -> None:
    changed = pydicom.dcmread(io.BytesIO(file("CT_small.dcm")))
    changed.PatientID = "another"
    out = io.BytesIO()
    changed.save_as(out)
    done = ready.import_files({"a.dcm": file("CT_small.dcm"), "b.dcm": file("CT_small.dcm"), "c.dcm": out.getvalue()})
    assert done["metadata"]["counter"] == {"success": "2", "failure": "1"}
    (entry,) = ready.log_entries(done)
    # GoogleCloudPlatform/nodejs-docs-samples issue 3502.
    assert entry["jsonPayload"]["error"]["message"] == DIFFERS
    assert entry["jsonPayload"]["source"] == "gs://inbox/c.dcm"
    (one,) = ready.ok("GET", f"{ready.store}/dicomWeb/instances")
    assert one["00100020"]["Value"] == [str(pydicom.dcmread(io.BytesIO(file("CT_small.dcm"))).PatientID)]


def test_every_file_of_pydicom_is_stored_or_fails_with_its_reason(ready: Client) -> None:
    """What can be stored is decided here by pydicom: a Part 10 file that has its three UIDs."""
    files: dict[str, bytes] = {}
    expected: dict[str, tuple[str, str, str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")):
            name = str(path.relative_to(ROOT))
            files[name] = path.read_bytes()
            try:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
            except pydicom.errors.InvalidDicomError:
                continue
            found = [str(dataset.get(f"{level}InstanceUID") or "") for level in ("Study", "Series", "SOP")]
            if all(found):
                expected[name] = (found[0], found[1], found[2])
    done = ready.import_files(files)
    assert done["error"]["code"] == 3
    counter = done["metadata"]["counter"]
    # Files are read in the order of their names; what differs from an instance that is stored already fails.
    stored: dict[tuple[str, str, str], bytes] = {}
    differing = {name for name in sorted(expected) if stored.setdefault(expected[name], files[name]) != files[name]}
    good = expected.keys() - differing
    assert counter == {"success": str(len(good)), "failure": str(len(files) - len(good))}
    metrics = ready.ok("GET", f"{ready.store}:getDICOMStoreMetrics")
    uids = set(expected.values())
    assert metrics["instanceCount"] == str(len(uids))
    assert metrics["seriesCount"] == str(len({uid[:2] for uid in uids}))
    assert metrics["studyCount"] == str(len({uid[0] for uid in uids}))
    entries = ready.log_entries(done)
    assert {entry["jsonPayload"]["source"].removeprefix("gs://inbox/") for entry in entries} == set(files) - good
    reasons = {entry["jsonPayload"]["error"]["message"] for entry in entries}
    assert reasons == {
        "not a DICOM file: the prefix 'DICM' after the preamble is missing",
        "the DICOM instance has no StudyInstanceUID",
        DIFFERS,
    }


def test_failures_are_logged_in_the_documented_form(ready: Client) -> None:
    done = ready.import_files({"good.dcm": file("CT_small.dcm"), "empty.dcm": b""})
    (entry,) = ready.log_entries(done)
    assert entry["jsonPayload"] == {
        "@type": "type.googleapis.com/google.cloud.healthcare.logging.ImportDicomLogEntry",
        "error": {"code": 3, "message": "empty DICOM instance found"},
        "source": "gs://inbox/empty.dcm",
    }
    assert entry["severity"] == "ERROR"
    assert entry["resource"] == {
        "type": "healthcare_dicom_store",
        "labels": {
            "project_id": "hospital-imaging",
            "location": "europe-west4",
            "dataset_id": "radiology",
            "dicom_store_id": "pacs",
        },
    }
    assert "import_dicom" in entry["operation"]["producer"]


def test_when_every_file_fails_the_operation_fails_with_samples(ready: Client) -> None:
    done = ready.import_files({"a.dcm": b"", "b.dcm": b"x" * 200})
    assert done["metadata"]["counter"] == {"failure": "2"}
    assert "response" not in done
    assert done["error"]["code"] == 3
    (details,) = done["error"]["details"]
    assert details["@type"].endswith("ImportDicomDataErrorDetails")
    assert details["sampleErrors"][0] == {
        "resource": "gs://inbox/a.dcm",
        "error": {"code": 3, "message": "empty DICOM instance found"},
    }


def test_duplicates_count_as_success_and_change_nothing(ready: Client) -> None:
    first = file("CT_small.dcm")
    done = ready.import_files({"a.dcm": first, "b.dcm": first})
    assert done["metadata"]["counter"] == {"success": "2"}
    assert done["metadata"]["apiMethodName"].startswith("google.cloud.healthcare.v1.dicom.DicomService.ImportDicomData")
    (found,) = ready.ok("GET", f"{ready.store}/dicomWeb/studies")
    assert found["00100020"]["Value"] == ["1CT1"]


def test_the_storage_class_is_that_of_the_request(ready: Client) -> None:
    ready.bucket("inbox", {"a.dcm": file("CT_small.dcm")}, "roles/storage.objectViewer")
    body = {"gcsSource": {"uri": "gs://inbox/a.dcm"}, "blobStorageSettings": {"blobStorageClass": "COLDLINE"}}
    ready.run("import", body)
    dataset = pydicom.dcmread(io.BytesIO(file("CT_small.dcm")))
    path = f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    info = ready.ok("GET", f"{ready.store}/dicomWeb/{path}:getStorageInfo")
    assert info["blobStorageInfo"]["storageClass"] == "COLDLINE"


def test_imported_bytes_outlive_the_object_they_came_from(ready: Client) -> None:
    ready.import_files({"a.dcm": file("CT_small.dcm")})
    ready.raw("DELETE", "/storage/v1/b/inbox/o/a.dcm")
    assert ready.objects("inbox") == {}
    dataset = pydicom.dcmread(io.BytesIO(file("CT_small.dcm")))
    path = f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    assert ready.raw("GET", f"{ready.store}/dicomWeb/{path}", None, accept)[2] == file("CT_small.dcm")
    ready.ok("DELETE", f"{ready.store}/dicomWeb/{path}")
    assert ready.local.emulator.state.blobs.memory == {}


def test_counters_move_with_the_time_that_an_operation_is_made_to_last(
    ready: Client, emulator: Any, until: Callable[[Callable[[], bool]], None]
) -> None:
    from emulator.healthcare.operations import Operations

    ready.bucket("inbox", {f"{n}.dcm": file("CT_small.dcm") for n in range(4)}, "roles/storage.objectViewer")
    emulator.control("POST", "faults", {"method": METHOD, "effect": {"operation": {"seconds": 7200}}})
    operation = ready.ok("POST", f"{ready.store}:import", {"gcsSource": {"uri": "gs://inbox/*"}})

    def counter() -> dict[str, str]:
        found = ready.ok("GET", operation["name"])
        assert not {"done", "response", "error"} & found.keys()
        shown: dict[str, str] = found["metadata"].get("counter", {})
        return shown

    until(lambda: counter() == {"pending": "4"})
    emulator.emulator.service(Operations)._running[operation["name"]].began -= 3700
    assert counter() == {"success": "2", "pending": "2"}
    emulator.emulator.service(Operations)._running[operation["name"]].began -= 36000
    assert counter() == {"success": "3", "pending": "1"}


def test_an_operation_that_is_made_to_last_does_its_work(ready: Client, emulator: Any) -> None:
    emulator.control("POST", "faults", {"method": METHOD, "effect": {"operation": {"seconds": 0.02}}})
    done = ready.import_files({"a.dcm": file("CT_small.dcm")})
    assert done["metadata"]["counter"] == {"success": "1"}
    assert ready.ok("GET", f"{ready.store}:getDICOMStoreMetrics")["instanceCount"] == "1"


def test_a_cancelled_import_ends_with_code_1_and_stores_nothing(ready: Client, emulator: Any) -> None:
    ready.bucket("inbox", {"a.dcm": file("CT_small.dcm")}, "roles/storage.objectViewer")
    emulator.control("PATCH", "settings", {"operationSeconds": 3600})
    operation = ready.ok("POST", f"{ready.store}:import", {"gcsSource": {"uri": "gs://inbox/*"}})
    assert ready.ok("POST", f"{operation['name']}:cancel", {}) == {}
    done = ready.wait(operation)
    assert done["error"]["code"] == 1
    assert done["metadata"]["cancelRequested"] is True
    assert "endTime" in done["metadata"]
    assert ready.ok("GET", f"{ready.store}:getDICOMStoreMetrics")["instanceCount"] == "0"
    assert ready.ok("POST", f"{operation['name']}:cancel", {}) == {}
    assert ready.refused("POST", f"{ready.dataset}/operations/1:cancel", {})[0] == 404


def test_planned_failures_are_counted_beside_the_real_ones(ready: Client, emulator: Any) -> None:
    emulator.control("POST", "faults", {"method": METHOD, "effect": {"operation": {"failures": 1}}})
    done = ready.import_files({"a.dcm": file("CT_small.dcm"), "b.dcm": file("MR_small.dcm"), "c.dcm": b""})
    assert done["metadata"]["counter"] == {"success": "1", "failure": "2"}


def test_a_planned_error_ends_the_operation_without_its_work(ready: Client, emulator: Any) -> None:
    error = {"code": 8, "message": "quota"}
    emulator.control("POST", "faults", {"method": METHOD, "effect": {"operation": {"error": error}}})
    done = ready.import_files({"a.dcm": file("CT_small.dcm")})
    assert done["error"] == error
    assert ready.ok("GET", f"{ready.store}:getDICOMStoreMetrics")["instanceCount"] == "0"


def test_many_files_are_read_by_worker_processes(ready: Client) -> None:
    template = file("MR_small.dcm")
    uid = str(pydicom.dcmread(io.BytesIO(template)).SOPInstanceUID)
    files = {}
    for number in range(1100):
        other = f"{uid[:-4]}{number:04}"
        files[f"{number:04}.dcm"] = template.replace(uid.encode(), other.encode())
    files["broken.dcm"] = b"x"
    done = ready.import_files(files)
    assert done["metadata"]["counter"] == {"success": "1100", "failure": "1"}
    assert ready.ok("GET", f"{ready.store}:getDICOMStoreMetrics")["instanceCount"] == "1100"


# --- hostile files: an error within bounded time and memory --------------------------------------------------------


def header(syntax: bytes) -> bytes:
    """Preamble and file meta information for a transfer syntax."""
    value = syntax + b"\0" * (len(syntax) % 2)
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(value)) + value


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


UIDS = (
    element(0x0008, 0x0018, b"UI", b"1.2.3.44"),
    element(0x0020, 0x000D, b"UI", b"1.2.3.55") + element(0x0020, 0x000E, b"UI", b"1.2.3.66"),
)


def nested(depth: int) -> bytes:
    """Sequences of undefined length within each other."""
    begin = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return begin * depth + end * depth


def nested_with_lengths(depth: int) -> bytes:
    """Sequences of known length within each other."""
    data = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
        data = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, len(item)) + item
    return data


def bomb() -> bytes:
    """A megabyte that inflates to a gigabyte."""
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = b"\0" * (16 * 1024 * 1024)
    return b"".join(compress.compress(zeros) for _ in range(64)) + compress.flush()


HOSTILE = {
    "deflate bomb": (header(b"1.2.840.10008.1.2.1.99") + bomb(), "expands to more than 256 MiB"),
    "deflate garbage": (header(b"1.2.840.10008.1.2.1.99") + b"garbage" * 9, "damaged"),
    "nested": (header(b"1.2.840.10008.1.2.1") + UIDS[0] + nested(50_000) + UIDS[1], "nested too deeply"),
    "nested with lengths": (
        header(b"1.2.840.10008.1.2.1") + UIDS[0] + nested_with_lengths(2_000) + UIDS[1],
        "nested too deeply",
    ),
    "elements": (
        header(b"1.2.840.10008.1.2")
        + b"".join(struct.pack("<HHI", 9 + n // 65_000 * 2, n % 65_000, 0) for n in range(1_100_000)),
        "too many elements",
    ),
    "lengths": (
        header(b"1.2.840.10008.1.2.1") + UIDS[0] + struct.pack("<HH2sHI", 9, 0x1010, b"OB", 0, 0xFFFFFFF0) + b"x",
        "no StudyInstanceUID",
    ),
    "uids": (
        header(b"1.2.840.10008.1.2.1")
        + element(8, 0x18, b"UI", b"../../x\0")
        + UIDS[1],
        "not a valid UID",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_failure_with_its_reason(ready: Client, name: str) -> None:
    data, reason = HOSTILE[name]
    done = ready.import_files({"hostile.dcm": data, "good.dcm": file("CT_small.dcm")})
    assert done["metadata"]["counter"] == {"success": "1", "failure": "1"}
    (entry,) = ready.log_entries(done)
    assert reason in entry["jsonPayload"]["error"]["message"]


def test_a_flipped_bit_anywhere_is_stored_or_fails(ready: Client) -> None:
    """A corpus of damaged files: whatever happens to each, the operation ends and counts all."""
    import random

    chance = random.Random(7)  # noqa: S311 - a fixed corpus
    files = {}
    for name in ("CT_small.dcm", "reportsi.dcm", "rtplan.dcm", "priv_SQ.dcm", "MR_small_implicit.dcm"):
        original = file(name)
        for number in range(40):
            data = bytearray(original)
            for _ in range(1 + number % 4):
                data[chance.randrange(132, min(len(data), 4000))] ^= 1 << chance.randrange(8)
            files[f"{name}-{number}"] = bytes(data)
        for number in range(20):
            files[f"{name}-cut-{number}"] = original[: chance.randrange(len(original))]
    counter = ready.import_files(files)["metadata"]["counter"]
    assert sum(int(value) for value in counter.values()) == len(files)
    assert "pending" not in counter
