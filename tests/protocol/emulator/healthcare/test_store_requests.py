"""STOW beyond the plain case: large parts, JSON with bulk data, storage classes, studies that are being deleted."""

from __future__ import annotations

import http.client
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from emulator.server.server import LocalEmulator

Client = Any
FILE = Path(str(get_testdata_file("CT_small.dcm", download=False)))
JPEG_FILE = Path(str(get_testdata_file("SC_rgb_small_odd_jpeg.dcm", download=False)))
JPEG = "1.2.840.10008.1.2.4.50"


def large_file(size: int) -> bytes:
    """A file with so many bytes of pixels."""
    dataset = pydicom.dcmread(FILE)
    dataset.PixelData = np.random.default_rng(1).bytes(size)
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def address(dataset: pydicom.Dataset) -> str:
    return (
        f"dicomWeb/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


def blob_files(local: LocalEmulator) -> list[Path]:
    blobs = local.emulator.state.blobs
    return [path for path in blobs.file("x").parents[1].rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("*/*", "application/dicom+xml"),
        ("application/*", "application/dicom+xml"),
        ("application/dicom", "application/dicom+xml"),
        ("text/html, application/dicom+json;q=0.5", "application/dicom+json"),
        ("application/dicom+json;q=0.5, application/dicom+xml;q=0.7", "application/dicom+xml"),
    ],
)
def test_the_answer_has_the_form_that_is_accepted_most(ready: Client, accept: str, wanted: str) -> None:
    headers = {"Content-Type": "application/dicom", "Accept": accept}
    status, received, _ = ready.raw("POST", f"{ready.store}/dicomWeb/studies", FILE.read_bytes(), headers)
    assert (status, received["content-type"]) == (200, wanted)


# -- large parts --


@pytest.mark.parametrize("form", ["multipart", "single"])
def test_large_instances_are_stored_byte_by_byte(ready: Client, form: str) -> None:
    data = large_file(5_000_000)
    body, kind = data, "application/dicom"
    if form == "multipart":
        body = b"--B\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--B--\r\n"
        kind = 'multipart/related; type="application/dicom"; boundary=B'
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, {"Content-Type": kind})
    assert status == 200, answer
    where = f"{ready.store}/{address(pydicom.dcmread(FILE))}"
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    assert ready.raw("GET", where, None, accept)[2] == data
    again = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, {"Content-Type": kind})
    assert again[0] == 409
    assert len(blob_files(ready.local)) == 1  # that of the first one
    ready.ok("DELETE", where)
    assert blob_files(ready.local) == []


def test_nothing_stays_on_disk_of_large_parts_that_are_no_instances(ready: Client) -> None:
    junk = b"x" * 3_000_000
    body = b"--B\r\n\r\n" + junk + b"\r\n--B\r\n\r\n" + junk
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", body + b"\r\n--B--", kind)[0] == 409
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, kind)[0] == 400
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", junk, {"Content-Type": "application/dicom"})[0] == 409
    assert blob_files(ready.local) == []


def test_a_large_instance_passes_without_being_held_in_memory(ready: Client) -> None:
    size = 96 * 1024 * 1024
    start = b"\xe0\x7f\x10\x00OW\0\0"
    head = large_file(2).partition(start)[0] + start + size.to_bytes(4, "little")

    def pieces() -> Iterator[bytes]:
        yield b"--B\r\nContent-Type: application/dicom\r\n\r\n" + head
        for _ in range(size // 65_536):
            yield b"\1" * 65_536
        yield b"\r\n--B--\r\n"

    place = urlsplit(ready.local.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
    tracemalloc.start()
    try:
        connection.request("POST", f"/v1/{ready.store}/dicomWeb/studies", pieces(), kind, encode_chunked=True)
        assert connection.getresponse().status == 200
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()
        connection.close()
    info = ready.ok("GET", f"{ready.store}/{address(pydicom.dcmread(FILE))}:getStorageInfo")
    assert int(info["blobStorageInfo"]["sizeBytes"]) == len(head) + size


# -- JSON --


def json_request(metadata: Any, *bulk: tuple[str, str, bytes], syntax: str = "") -> tuple[bytes, dict[str, str]]:
    more = f"; transfer-syntax={syntax}" if syntax else ""
    body = f"--B\r\nContent-Type: application/dicom+json{more}\r\n\r\n{json.dumps(metadata)}".encode()
    for where, kind, data in bulk:
        body += f"\r\n--B\r\nContent-Location: {where}\r\nContent-Type: {kind}\r\n\r\n".encode() + data
    headers = {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=B'}
    return body + b"\r\n--B--\r\n", headers | {"Accept": "application/dicom+json"}


def photo(**changes: Any) -> list[dict[str, Any]]:
    """The metadata of the example in Google's how-to guide ("Store DICOM JSON metadata with JPEG files")."""
    found: dict[str, Any] = {
        "00020010": {"vr": "UI", "Value": [JPEG]},
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
        "00080018": {"vr": "UI", "Value": ["1.2.3.4.5"]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
        "00280002": {"vr": "US", "Value": [3]},
        "00280004": {"vr": "CS", "Value": ["YBR_FULL_422"]},
        "00280006": {"vr": "US", "Value": [0]},
        "00280008": {"vr": "IS", "Value": [1]},
        "00280010": {"vr": "US", "Value": [3]},
        "00280011": {"vr": "US", "Value": [3]},
        "00280100": {"vr": "US", "Value": [8]},
        "00280101": {"vr": "US", "Value": [8]},
        "00280102": {"vr": "US", "Value": [7]},
        "00280103": {"vr": "US", "Value": [0]},
        "7FE00010": {"vr": "OB", "BulkDataURI": "jpeg-image"},
    }
    for tag, element in changes.items():
        found.pop(tag.removeprefix("x"), None)
        if element is not None:
            found[tag.removeprefix("x")] = element
    return [found]


def jpeg() -> bytes:
    dataset = pydicom.dcmread(JPEG_FILE)
    return next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))


IMAGE = ("jpeg-image", f"image/jpeg; transfer-syntax={JPEG}", jpeg())


def test_metadata_and_a_jpeg_image_make_an_instance(ready: Client) -> None:
    body, headers = json_request(photo(), IMAGE)
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, headers)
    assert status == 200, answer
    where = f"{ready.store}/dicomWeb/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5"
    _, _, stored = ready.raw("GET", where, None, {"Accept": "application/dicom; transfer-syntax=*"})
    made = pydicom.dcmread(io.BytesIO(stored))
    assert made.file_meta.TransferSyntaxUID == JPEG
    assert np.array_equal(made.pixel_array, pydicom.dcmread(JPEG_FILE).pixel_array)
    assert blob_files(ready.local) == []  # it is small, and the parts are gone


def test_metadata_and_uncompressed_pixels_make_an_instance(ready: Client) -> None:
    dataset = pydicom.dcmread(FILE)
    model = dataset.to_json_dict(10**9) | {
        "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2"]},
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "pixels"},
    }
    body, headers = json_request(
        [model], ("pixels", "application/octet-stream", dataset.PixelData), syntax="1.2.840.10008.1.2"
    )
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, headers)
    assert status == 200, answer
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    made = pydicom.dcmread(io.BytesIO(ready.raw("GET", f"{ready.store}/{address(dataset)}", None, accept)[2]))
    assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2"
    assert made.PixelData == dataset.PixelData
    assert made.PatientID == dataset.PatientID


BAD = [
    (photo(x00020010=None), [IMAGE], "TransferSyntaxUID"),
    (photo(x00080005=None), [IMAGE], "SpecificCharacterSet"),
    (photo(x00080005={"vr": "CS", "Value": ["ISO_IR 100"]}), [IMAGE], "ISO_IR 192"),
    (photo(x00020010={"vr": "UI", "Value": ["1.2.840.10008.1.2.2"]}), [IMAGE], "1.2.840.10008.1.2.2"),
    (photo(x00020010={"vr": "UI", "Value": ["1.2.840.10008.1.2.1.99"]}), [IMAGE], "1.2.840.10008.1.2.1.99"),
    (photo(x0020000D={"vr": "UI"}), [IMAGE], "StudyInstanceUID"),
    (photo(x7FE00010={"vr": "OB", "InlineBinary": "AAAA"}), [], "PixelData"),
    (photo(), [], "not in the request"),
    (photo(), [("jpeg-image", "application/octet-stream", b"x")], "transfer syntax"),
    (photo(), [("jpeg-image", "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90", b"x")], "transfer syntax"),
    (photo(), [IMAGE, IMAGE], "Content-Location"),
    (photo(x00420011={"vr": "OB", "BulkDataURI": "jpeg-image"}), [IMAGE], "same BulkDataURI"),
    (photo(x7FE00010=None, x00420011={"vr": "OB", "BulkDataURI": "jpeg-image"}), [IMAGE], "only be those of PixelData"),
    (photo(x00420011={"vr": "OB", "BulkDataURI": "a"}) * 2, [IMAGE, ("a", "application/octet-stream", b"ab")], "same"),
    (["x"], [], "DICOM JSON"),
    ([{"00080018": 1}], [], "SpecificCharacterSet"),
    (photo(x0040A730={"vr": "SQ", "Value": [1]}), [IMAGE], "0040A730"),
]


@pytest.mark.parametrize(("metadata", "bulk", "text"), BAD)
def test_json_that_is_not_as_it_has_to_be_is_refused(
    ready: Client, metadata: Any, bulk: list[tuple[str, str, bytes]], text: str
) -> None:
    body, headers = json_request(metadata, *bulk)
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, headers)
    assert status == 400
    assert text in json.loads(answer)["error"]["message"]
    assert ready.local.emulator.state.blobs.memory == {}


def test_the_first_part_has_to_be_the_metadata(ready: Client) -> None:
    body = b"--B\r\nContent-Type: image/jpeg\r\n\r\n" + b"x" * 2_000_000 + b"\r\n--B--"
    kind = {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=B'}
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, kind)[0] == 400
    assert blob_files(ready.local) == []


@pytest.mark.parametrize("depth", [100, 200, 300, 450, 1000, 100_000])
def test_metadata_that_are_nested_too_deeply_are_refused(ready: Client, depth: int) -> None:
    nested = '{"vr":"SQ","Value":[{"0040A730":' * depth + '{"vr":"SQ"}' + "}]}" * depth
    body, headers = json_request(photo(x0040A730="NESTED"), IMAGE)
    body = body.replace(b'"NESTED"', nested.encode())
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, headers)[0] in (400, 409)


# -- storage classes --


@pytest.mark.parametrize(("name", "wanted"), [("NEARLINE", "NEARLINE"), ("archive", "ARCHIVE")])
def test_the_storage_class_of_new_instances_is_named_by_a_header(ready: Client, name: str, wanted: str) -> None:
    headers = {"Content-Type": "application/dicom", "Storage-Class": name}
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", FILE.read_bytes(), headers)[0] == 200
    info = ready.ok("GET", f"{ready.store}/{address(pydicom.dcmread(FILE))}:getStorageInfo")
    assert info["blobStorageInfo"]["storageClass"] == wanted


def test_a_storage_class_that_does_not_exist_is_refused(ready: Client) -> None:
    headers = {"Content-Type": "application/dicom", "Storage-Class": "COLD"}
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", FILE.read_bytes(), headers)[0] == 400


# -- deletion --


@pytest.mark.parametrize("level", ["study", "series"])
def test_nothing_is_put_into_a_study_or_series_while_it_is_being_deleted(ready: Client, level: str) -> None:
    kind = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    web = f"{ready.store}/dicomWeb/studies"
    assert ready.raw("POST", web, FILE.read_bytes(), kind)[0] == 200
    dataset = pydicom.dcmread(FILE)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    out = io.BytesIO()
    dataset.save_as(out)
    ready.bucket("inbox", {"a.dcm": out.getvalue()}, "roles/storage.objectViewer")
    ready.local.control("PATCH", "settings", {"operationSeconds": 3600})
    part = f"/series/{dataset.SeriesInstanceUID}" if level == "series" else ""
    operation = ready.ok("DELETE", f"{web}/{dataset.StudyInstanceUID}{part}")
    ready.local.control("PATCH", "settings", {"operationSeconds": 0})
    status, _, answer = ready.raw("POST", web, out.getvalue(), kind)
    assert status == 409
    (failed,) = json.loads(answer)["00081198"]["Value"]
    assert "being deleted" in failed["00091097"]["Value"][0]
    done = ready.run("import", {"gcsSource": {"uri": "gs://inbox/a.dcm"}})
    assert done["metadata"]["counter"] == {"failure": "1"}
    ready.ok("POST", f"{operation['name']}:cancel", {})
    assert ready.raw("POST", web, out.getvalue(), kind)[0] == 200
