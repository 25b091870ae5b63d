"""STOW, QIDO, WADO and deletes, through dicomweb-client and plain HTTP.

Expected values are read from the same files with pydicom.
"""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

Client = Any
NAMES = ("CT_small.dcm", "MR_small.dcm", "SC_rgb_rle_2frame.dcm", "examples_ybr_color.dcm", "waveform_ecg.dcm")


def file(name: str) -> bytes:
    return (Path(pydicom.data.__file__).parent / "test_files" / name).read_bytes()


def read(name: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(file(name)))


def multipart(*files: bytes, kind: str = "application/dicom") -> tuple[bytes, dict[str, str]]:
    body = b"".join(b"--B\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + data + b"\r\n" for data in files)
    return body + b"--B--\r\n", {"Content-Type": f'multipart/related; type="{kind}"; boundary=B'}


@pytest.fixture
def web(ready: Client) -> DICOMwebClient:
    return DICOMwebClient(f"{ready.local.url}/v1/{ready.store}/dicomWeb")


@pytest.fixture
def filled(ready: Client) -> Client:
    body, headers = multipart(*(file(name) for name in NAMES))
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, headers)
    assert status == 200, answer
    return ready


BAD_BODIES = [
    (b"", {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}, 400),
    (b"--B--\r\n", {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}, 400),
    (b"--B\r\nno end of headers", {"Content-Type": "multipart/related; boundary=B"}, 400),
    (b"x", {"Content-Type": "multipart/related"}, 400),
    (b"x", {"Content-Type": "text/plain"}, 415),
    (b"--B--\r\n", {"Content-Type": 'multipart/related; type="text/plain"; boundary=B'}, 415),
    (b"--B--\r\n", {"Content-Type": "multipart/related; boundary=B", "Accept": "text/html"}, 406),
    (
        b'--B\r\nContent-Type: application/dicom+json\r\n\r\n[{"00080018":{"vr":"UI","Value":[{}]}}]\r\n--B--\r\n',
        {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=B'},
        400,
    ),
]


@pytest.mark.parametrize(("body", "headers", "wanted"), BAD_BODIES)
def test_what_is_no_store_request_is_refused(ready: Client, body: bytes, headers: dict[str, str], wanted: int) -> None:
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, headers)
    assert status == wanted
    if wanted == 406:
        assert answer.startswith(b"no supported media type found in [text/html], accept-header must include one of ")
    else:
        assert json.loads(answer)["error"]["code"] == wanted


def test_a_store_answer_is_the_native_model_in_xml_unless_json_is_accepted(ready: Client) -> None:
    body, headers = multipart(file("CT_small.dcm"))
    status, received, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", body, headers)
    assert (status, received["content-type"]) == (200, "application/dicom+xml")
    tree = ET.fromstring(answer)  # noqa: S314 - the emulator's own answer
    ns = {"n": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}
    assert tree.tag == f"{{{ns['n']}}}NativeDicomModel"
    sequence = tree.find("n:DicomAttribute[@tag='00081199']", ns)
    assert sequence is not None
    assert (sequence.get("vr"), sequence.get("keyword")) == ("SQ", "ReferencedSOPSequence")
    uid = sequence.findtext("n:Item/n:DicomAttribute[@keyword='ReferencedSOPInstanceUID']/n:Value", None, ns)
    assert uid == str(read("CT_small.dcm").SOPInstanceUID)


def test_an_instance_that_is_there_already_is_a_failure_with_409(ready: Client) -> None:
    body, headers = multipart(file("CT_small.dcm"))
    address = f"{ready.store}/dicomWeb/studies"
    ready.raw("POST", address, body, headers)
    status, received, answer = ready.raw("POST", address, body, headers | {"Accept": "application/dicom+json"})
    assert (status, received["content-type"]) == (409, "application/dicom+json")
    (failed,) = json.loads(answer)["00081198"]["Value"]
    assert failed["00081197"] == {"vr": "US", "Value": [272]}
    assert failed["00090010"] == {"vr": "LO", "Value": ["GOOGLE"]}
    assert failed["00091097"]["vr"] == "LT"
    assert "already exists" in failed["00091097"]["Value"][0]
    assert "00081199" not in json.loads(answer)


@pytest.mark.parametrize(("data", "known"), [(file("CT_small.dcm"), True), (b"no DICOM", False)])
def test_a_failure_reads_as_people_pasted_it(ready: Client, data: bytes, known: bool) -> None:
    """The answer in dcmjs-org/dcmjs issue 249, attribute by attribute."""
    address, kind = f"{ready.store}/dicomWeb/studies", {"Content-Type": "application/dicom"}
    ready.raw("POST", address, file("CT_small.dcm"), kind)
    status, _, answer = ready.raw("POST", address, data, kind)
    assert status == 409
    tree = ET.fromstring(answer)  # noqa: S314 - the emulator's own answer
    ns = {"n": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}
    tops = [item.get("keyword") for item in tree]
    assert tops == [*(["RetrieveURL"] if known else []), "FailedSOPSequence"]
    reason = tree.find(".//n:DicomAttribute[@tag='00081197']", ns)
    assert reason is not None
    assert reason.findtext("n:Value", None, ns) == "272"
    detail = tree.find(".//n:DicomAttribute[@tag='00090097']", ns)
    assert detail is not None
    assert detail.attrib == {
        "tag": "00090097",
        "vr": "LT",
        "keyword": "FailureDetail",
        "privateCreator": "GOOGLE",
    }
    assert b'tag="00090010"' not in answer


def test_what_can_not_be_stored_is_named_beside_what_was(ready: Client) -> None:
    body, headers = multipart(file("CT_small.dcm"), b"no DICOM", file("dicomdirtests/DICOMDIR"), b"")
    address = f"{ready.store}/dicomWeb/studies"
    status, _, answer = ready.raw("POST", address, body, headers | {"Accept": "application/dicom+json"})
    assert status == 409
    parsed = json.loads(answer)
    assert len(parsed["00081199"]["Value"]) == 1
    texts = [item["00091097"]["Value"][0] for item in parsed["00081198"]["Value"]]
    assert "not a DICOM file" in texts[0]
    assert "no StudyInstanceUID" in texts[1]
    assert texts[2] == "empty DICOM instance found"


def test_an_instance_of_another_study_is_not_stored_in_this_one(ready: Client) -> None:
    body, headers = multipart(file("CT_small.dcm"))
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies/1.2.3", body, headers)
    assert status == 409
    assert b"not to 1.2.3" in answer


def test_one_instance_can_be_stored_without_parts(ready: Client) -> None:
    address = f"{ready.store}/dicomWeb/studies"
    status, _, _ = ready.raw("POST", address, file("CT_small.dcm"), {"Content-Type": "application/dicom"})
    assert status == 200
    assert ready.ok("GET", f"{ready.store}:getDICOMStoreMetrics")["instanceCount"] == "1"


def test_an_update_replaces_an_instance_in_v1beta1(filled: Client) -> None:
    dataset = read("CT_small.dcm")
    dataset.PatientID = "changed"
    out = io.BytesIO()
    dataset.save_as(out)
    body, headers = multipart(out.getvalue())
    beta = filled.in_version("v1beta1")
    status, _, answer = beta.raw("PUT", f"{filled.store}/dicomWeb/studies", body, headers)
    assert status == 200, answer
    found = filled.ok("GET", f"{filled.store}/dicomWeb/instances?SOPInstanceUID={dataset.SOPInstanceUID}")
    assert [item["00100020"]["Value"] for item in found] == [["changed"]]


BAD_CHANGES = [
    (b"no JSON", "not JSON"),
    (b"[]", "not one DICOM JSON object"),
    (b'{"00100020": 1}', "not one DICOM JSON object"),
    (b'{"7FE00010": {"vr": "OW", "InlineBinary": "AAA="}}', "bulk data"),
    (b'{"0020000D": {"vr": "UI", "Value": ["1.2"]}}', "UIDs"),
    (b'{"0010002X": {"vr": "LO", "Value": ["1.2"]}}', "can't be changed that way"),
]


@pytest.mark.parametrize(("body", "text"), BAD_CHANGES)
def test_metadata_that_can_not_be_changed_are_refused(filled: Client, body: bytes, text: str) -> None:
    beta = filled.in_version("v1beta1")
    address = f"{filled.store}/{path(read('CT_small.dcm'))}/metadata"
    status, _, answer = beta.raw("PATCH", address, body, {"Content-Type": "application/dicom+json"})
    assert status == 400
    assert text in json.loads(answer)["error"]["message"]


@pytest.mark.parametrize("name", ["image_dfl.dcm", "MR_small_bigendian.dcm", "MR_small_jp2klossless.dcm"])
def test_instances_keep_their_transfer_syntax_when_metadata_change(ready: Client, name: str) -> None:
    kind = {"Content-Type": "application/dicom"}
    assert ready.raw("POST", f"{ready.store}/dicomWeb/studies", file(name), kind)[0] == 200
    dataset = read(name)
    address = f"{ready.store}/{path(dataset)}"
    change = b'[{"00100020": {"vr": "LO", "Value": ["changed"]}}]'
    status, _, answer = ready.in_version("v1beta1").raw("PATCH", f"{address}/metadata", change, kind)
    assert status == 200, answer
    _, _, stored = ready.raw("GET", address, None, {"Accept": "application/dicom; transfer-syntax=*"})
    after = pydicom.dcmread(io.BytesIO(stored))
    assert after.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert (after.PatientID, after.Rows, after.PixelData) == ("changed", dataset.Rows, dataset.PixelData)


def test_characters_that_the_character_set_does_not_have_are_refused(filled: Client) -> None:
    beta = filled.in_version("v1beta1")
    address = f"{filled.store}/{path(read('CT_small.dcm'))}/metadata"  # ISO_IR 100: Latin-1
    for name, wanted in (("Jérôme", 200), ("山田", 400)):
        change = json.dumps([{"00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]}}]).encode()
        assert beta.raw("PATCH", address, change, {"Content-Type": "application/dicom+json"})[0] == wanted
    (metadata,) = filled.ok("GET", address)
    assert metadata["00100010"]["Value"] == [{"Alphabetic": "Jérôme"}]


def test_metadata_are_changed_at_once_for_an_instance_and_by_an_operation_for_more(filled: Client) -> None:
    beta = filled.in_version("v1beta1")
    dataset = read("CT_small.dcm")
    body = b'[{"00100020": {"vr": "LO", "Value": ["changed"]}}]'
    kind = {"Content-Type": "application/dicom+json"}
    assert beta.raw("PATCH", f"{filled.store}/{path(dataset)}/metadata", body, kind)[0] == 200
    (metadata,) = filled.ok("GET", f"{filled.store}/{path(dataset)}/metadata")
    assert metadata["00100020"]["Value"] == ["changed"]
    _, _, stored = filled.raw("GET", f"{filled.store}/{path(dataset)}", None, {"Accept": "application/dicom"})
    assert pydicom.dcmread(io.BytesIO(stored)).PixelData == dataset.PixelData
    study = f"{filled.store}/dicomWeb/studies/{dataset.StudyInstanceUID}/metadata"
    status, _, answer = beta.raw("PATCH", study, body.replace(b"changed", b"again"), kind)
    assert status == 200
    assert beta.wait(json.loads(answer))["metadata"]["counter"] == {"success": "1"}
    (metadata,) = filled.ok("GET", f"{filled.store}/{path(dataset)}/metadata")
    assert metadata["00100020"]["Value"] == ["again"]
    assert filled.ok("GET", f"{filled.store}:getDICOMStoreMetrics")["instanceCount"] == str(len(NAMES))


def test_dicomweb_client_stores_and_finds(web: DICOMwebClient) -> None:
    answer = web.store_instances([read(name) for name in NAMES])
    assert len(answer.ReferencedSOPSequence) == len(NAMES)
    dataset = read("CT_small.dcm")
    (study,) = web.search_for_studies(search_filters={"PatientID": str(dataset.PatientID)})
    assert study["0020000D"]["Value"] == [str(dataset.StudyInstanceUID)]
    assert study["00100010"]["Value"] == [{"Alphabetic": str(dataset.PatientName)}]
    assert study["00080020"]["Value"] == [str(dataset.StudyDate)]
    (series,) = web.search_for_series(study_instance_uid=str(dataset.StudyInstanceUID))
    assert series["00080060"]["Value"] == ["CT"]
    (instance,) = web.search_for_instances(search_filters={"SOPInstanceUID": str(dataset.SOPInstanceUID)})
    assert (instance["00280010"]["Value"], instance["00280011"]["Value"]) == ([dataset.Rows], [dataset.Columns])
    assert web.search_for_studies(search_filters={"PatientID": "nobody"}) == []


SEARCHES = [
    ("studies?Modality=CT", "Modality is not a supported study attribute"),
    # Both as in imi-bigpicture/wsidicom issue 141.
    ("instances?SOPClassUID=1.2", "SOPClassUID is not a supported instance attribute"),
    ("instances?includefield=AvailableTransferSyntaxUID", "QIDO attribute: AvailableTransferSyntaxUID"),
    ("studies?includefield=00083002", "unknown/unsupported QIDO attribute: 00083002"),
    ("studies?limit=0", "limit"),
    ("studies?limit=5001", "5000"),
    ("instances?limit=50001", "50000"),
    ("studies?offset=1000001", "1000000"),
    ("studies?offset=-1", "offset"),
    ("studies?fuzzymatching=yes", "true or false"),
    ("studies?includefield=Nonsense", "unknown/unsupported QIDO attribute: Nonsense"),
    ("studies?StudyDate=-", "beginning or an end"),
    ("studies?StudyDate=2020-01-01", "YYYYMMDD"),
]


@pytest.mark.parametrize(("query", "text"), SEARCHES)
def test_a_search_that_is_not_supported_is_refused(ready: Client, query: str, text: str) -> None:
    status, _, message = ready.refused("GET", f"{ready.store}/dicomWeb/{query}")
    assert status == 400
    assert text in message


@pytest.mark.parametrize("accept", ["*/*", "application/dicom+json", 'multipart/related; type="application/dicom+xml"'])
@pytest.mark.parametrize("level", ["studies", "series", "instances"])
def test_a_search_without_a_result_has_no_body(filled: Client, level: str, accept: str) -> None:
    """healthcare-api-dicomweb-cli issue 44: 204, empty, text/html."""
    query = f"{filled.store}/dicomWeb/{level}?StudyInstanceUID=1.2.826.0.1.3680043.8.498.1"
    status, received, answer = filled.raw("GET", query, None, {"Accept": accept})
    assert (status, answer) == (204, b"")
    assert received["content-type"].startswith("text/html")


def test_a_media_type_that_can_not_be_had_is_refused_in_plain_text(filled: Client) -> None:
    """healthcare-api-dicomweb-cli issue 22: the whole type quoted, and what the answer says."""
    wanted = 'multipart/related; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"'
    address = f"{filled.store}/{path(read('CT_small.dcm'))}"
    status, received, answer = filled.raw("GET", address, None, {"Accept": wanted})
    assert status == 406
    assert received["content-type"].startswith("text/plain")
    text = answer.decode()
    assert text.startswith(f"no supported media type found in [{wanted}], accept-header must include one of ")
    for kind in ("application/dicom", "application/octet-stream", "image/jpeg", "image/png"):
        assert f'type="{kind}"' in text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ('"image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50', "image/jpeg"),
        ('"image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.70', "image/jpeg"),
        ('"image/png"', "image/png"),
    ],
)
def test_an_instance_can_be_had_as_pictures_in_parts(filled: Client, accept: str, kind: str) -> None:
    from PIL import Image

    dataset = read("SC_rgb_rle_2frame.dcm")
    headers = {"Accept": f"multipart/related; type={accept}"}
    status, received, answer = filled.raw("GET", f"{filled.store}/{path(dataset)}", None, headers)
    assert status == 200, answer
    assert received["content-type"].startswith(f'multipart/related; type="{kind}"')
    boundary = received["content-type"].partition("boundary=")[2].encode()
    parts = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"--" + boundary)[1:-1]]
    assert [Image.open(io.BytesIO(part)).size for part in parts] == [(dataset.Columns, dataset.Rows)] * 2
    if "4.50" not in accept:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(parts[1]))), dataset.pixel_array[1])
    assert filled.raw("GET", f"{filled.store}/dicomWeb/studies/{dataset.StudyInstanceUID}", None, headers)[0] == 406


def test_searches_match_dates_ranges_and_beginnings_of_names(filled: Client) -> None:
    dataset = read("CT_small.dcm")
    uid = str(dataset.StudyInstanceUID)

    def found(query: str) -> bool:
        status, studies = filled("GET", f"{filled.store}/dicomWeb/studies?{query}")
        assert status in (200, 204)
        return uid in [study["0020000D"]["Value"][0] for study in studies]

    day = str(dataset.StudyDate)
    assert found(f"StudyDate={day}")
    assert found(f"StudyDate={day}-{day}")
    assert found(f"StudyDate=-{day}")
    assert not found(f"StudyDate={int(day) + 1}-")
    name = str(dataset.PatientName)
    assert found(f"PatientName={name.replace('^', '%5E')}")
    assert not found(f"PatientName={name[:4]}")
    assert found(f"PatientName={name[:4].lower()}&fuzzymatching=true")
    assert found(f"PatientName={name[:4].lower()}%20nobody&fuzzymatching=true")
    assert not found(f"PatientName={name[1:4].lower()}&fuzzymatching=true")
    assert found(f"00100020={dataset.PatientID}")


def test_searches_come_in_portions_and_with_more_attributes_when_asked(filled: Client) -> None:
    address = f"{filled.store}/dicomWeb/instances"
    everything = filled.ok("GET", address)
    assert len(everything) == len(NAMES)
    assert filled.ok("GET", f"{address}?limit=2&offset=1") == everything[1:3]
    dataset = read("CT_small.dcm")
    query = f"SOPInstanceUID={dataset.SOPInstanceUID}"
    (one,) = filled.ok("GET", f"{address}?{query}&includefield=SliceThickness,00180060")
    assert one["00180050"]["Value"] == [float(dataset.SliceThickness)]
    assert one["00180060"]["Value"] == [float(dataset.KVP)]
    (whole,) = filled.ok("GET", f"{address}?{query}&includefield=all")
    assert len(whole) > len(one)
    study = f"{filled.store}/dicomWeb/studies?StudyInstanceUID={dataset.StudyInstanceUID}"
    (named,) = filled.ok("GET", f"{study}&includefield=StudyDescription&includefield=Manufacturer")
    assert named["00081030"]["Value"] == [dataset.StudyDescription]
    assert "00080070" not in named  # an attribute of instances, which studies do not offer
    (whole,) = filled.ok("GET", f"{study}&includefield=all")
    assert whole.keys() - named.keys() == {"00080080"}  # InstitutionName
    series = f"{filled.store}/dicomWeb/series?SeriesInstanceUID={dataset.SeriesInstanceUID}&includefield=all"
    (whole,) = filled.ok("GET", series)
    assert whole["00200011"]["Value"] == [dataset.SeriesNumber]
    assert "00180050" not in whole


def test_results_come_in_xml_when_accepted(filled: Client) -> None:
    accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
    status, received, answer = filled.raw("GET", f"{filled.store}/dicomWeb/studies", None, accept)
    assert status == 200
    assert received["content-type"].startswith('multipart/related; type="application/dicom+xml"')
    assert answer.count(b"<NativeDicomModel") == len({str(read(name).StudyInstanceUID) for name in NAMES})


def where(dataset: Dataset) -> dict[str, Any]:
    return {
        "study_instance_uid": str(dataset.StudyInstanceUID),
        "series_instance_uid": str(dataset.SeriesInstanceUID),
        "sop_instance_uid": str(dataset.SOPInstanceUID),
    }


def path(dataset: Dataset) -> str:
    return (
        f"dicomWeb/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("filled")
def test_metadata_are_what_pydicom_reads(web: DICOMwebClient, name: str) -> None:
    dataset = read(name)
    found = Dataset.from_json(web.retrieve_instance_metadata(**where(dataset)), bulk_data_uri_handler=lambda *_: None)
    for element in dataset:
        if element.VR in ("OB", "OW", "UN", "SQ") or element.tag.element == 0:
            continue
        assert found[element.tag].VR == element.VR
        assert found[element.tag].value == element.value or str(found[element.tag].value) == str(element.value)


def test_instances_come_back_as_they_were_stored_or_in_explicit_little_endian(
    filled: Client, web: DICOMwebClient
) -> None:
    dataset = read("SC_rgb_rle_2frame.dcm")
    address = f"{filled.store}/{path(dataset)}"
    _, _, stored = filled.raw("GET", address, None, {"Accept": "application/dicom; transfer-syntax=*"})
    assert stored == file("SC_rgb_rle_2frame.dcm")
    _, _, plain_bytes = filled.raw("GET", address, None, {"Accept": "application/dicom"})
    plain = pydicom.dcmread(io.BytesIO(plain_bytes))
    assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert np.array_equal(plain.pixel_array, dataset.pixel_array)
    assert np.array_equal(web.retrieve_instance(**where(dataset)).pixel_array, dataset.pixel_array)
    assert web.retrieve_study(str(dataset.StudyInstanceUID))[0].SOPInstanceUID == dataset.SOPInstanceUID
    series = web.retrieve_series(str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID))
    assert len(series) == 1


def test_frames_come_back_decoded_or_as_stored(filled: Client, web: DICOMwebClient) -> None:
    dataset = read("SC_rgb_rle_2frame.dcm")
    frames = web.retrieve_instance_frames(
        **where(dataset), frame_numbers=[1, 2], media_types=("application/octet-stream",)
    )
    assert len(frames) == 2
    shape = dataset.pixel_array.shape[1:]
    got = np.frombuffer(frames[1], dtype=dataset.pixel_array.dtype).reshape(shape)
    assert np.array_equal(got, dataset.pixel_array[1])
    accept = {"Accept": 'multipart/related; type="image/dicom-rle"'}
    status, _, answer = filled.raw("GET", f"{filled.store}/{path(dataset)}/frames/1", None, accept)
    assert status == 200
    assert next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=2)) in answer


BAD_FRAMES = [("0", 400), ("x", 400), ("1,", 400), ("3", 404), ("1,99", 404)]


@pytest.mark.parametrize(("frames", "wanted"), BAD_FRAMES)
def test_frames_that_are_not_there_are_refused(filled: Client, frames: str, wanted: int) -> None:
    address = f"{filled.store}/{path(read('SC_rgb_rle_2frame.dcm'))}/frames/{frames}"
    assert filled.refused("GET", address)[0] == wanted


def test_pictures_are_rendered_to_fit_the_viewport(filled: Client) -> None:
    from PIL import Image

    address = f"{filled.store}/{path(read('CT_small.dcm'))}/rendered"
    status, received, answer = filled.raw("GET", address)
    assert (status, received["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer)).size == (128, 128)
    status, _, answer = filled.raw("GET", f"{address}?viewport=64,32", None, {"Accept": "image/png"})
    image = Image.open(io.BytesIO(answer))
    assert (image.format, image.size) == ("PNG", (32, 32))
    assert filled.refused("GET", f"{address}?viewport=x")[0] == 400
    assert filled.raw("GET", address, None, {"Accept": "video/mp4"})[0] == 406
    assert filled.refused("GET", f"{filled.store}/{path(read('waveform_ecg.dcm'))}/rendered")[0] == 400
    assert filled.refused("GET", f"{address}?window=40,400,linear")[0] == 400
    several = f"{filled.store}/{path(read('SC_rgb_rle_2frame.dcm'))}"
    assert filled.raw("GET", f"{several}/rendered")[0] == 406
    assert filled.raw("GET", f"{several}/frames/2/rendered")[0] == 200


def test_bulk_data_are_fetched_from_the_address_in_the_metadata(filled: Client) -> None:
    dataset, image = read("waveform_ecg.dcm"), read("CT_small.dcm")
    (metadata,) = filled.ok("GET", f"{filled.store}/{path(dataset)}/metadata")
    uri = metadata["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
    assert uri.startswith(filled.local.url)
    pixels = f"{filled.local.url}/v1/{filled.store}/{path(image)}/bulkdata/instance/7FE00010"
    for address, expected in ((uri, dataset.WaveformSequence[0].WaveformData), (pixels, image.PixelData)):
        accept = {"Accept": "application/octet-stream"}
        status, _, answer = filled.raw("GET", address.removeprefix(filled.local.url), None, accept)
        assert (status, answer) == (200, expected)
    assert filled.refused("GET", f"{filled.store}/{path(dataset)}/bulkdata/instance/00091001")[0] == 404
    assert filled.refused("GET", f"{filled.store}/{path(dataset)}/bulkdata/54000100.9/54001010")[0] == 404


def test_missing_studies_series_and_instances_answer_404(filled: Client) -> None:
    dataset = read("CT_small.dcm")
    study = f"{filled.store}/dicomWeb/studies/{dataset.StudyInstanceUID}"
    for address in (
        f"{filled.store}/dicomWeb/studies/1.2.3",
        f"{study}/series/1.2.3",
        f"{study}/series/{dataset.SeriesInstanceUID}/instances/1.2.3",
        f"{study}/series/1.2.3/instances/{dataset.SOPInstanceUID}/metadata",
    ):
        assert filled.refused("GET", address)[:2] == (404, "NOT_FOUND")
    assert filled.refused("GET", f"{filled.store}/dicomWeb/studies/1.2.3:getStudyMetrics")[0] == 404


def test_studies_and_series_are_deleted_by_operations_and_instances_at_once(filled: Client) -> None:
    dataset = read("CT_small.dcm")
    done = filled.wait(filled.ok("DELETE", f"{filled.store}/dicomWeb/studies/{dataset.StudyInstanceUID}"))
    assert done["metadata"]["counter"] == {"success": "1"}
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert filled.refused("GET", f"{filled.store}/{path(dataset)}/metadata")[0] == 404
    other = read("MR_small.dcm")
    assert filled.ok("DELETE", f"{filled.store}/{path(other)}") == {}
    assert filled.refused("DELETE", f"{filled.store}/{path(other)}")[0] == 404
    assert filled.ok("GET", f"{filled.store}:getDICOMStoreMetrics")["instanceCount"] == str(len(NAMES) - 2)


def test_metrics_count_parts_of_a_store(filled: Client) -> None:
    dataset = read("CT_small.dcm")
    size = str(len(file("CT_small.dcm")))
    study = f"{filled.store}/dicomWeb/studies/{dataset.StudyInstanceUID}"
    metrics = filled.ok("GET", f"{study}:getStudyMetrics")
    assert (metrics["study"], metrics["instanceCount"], metrics["seriesCount"]) == (study, "1", "1")
    assert metrics["blobStorageSizeBytes"] == size
    series = f"{study}/series/{dataset.SeriesInstanceUID}"
    assert filled.ok("GET", f"{series}:getSeriesMetrics")["series"] == series
    info = filled.ok("GET", f"{filled.store}/{path(dataset)}:getStorageInfo")
    assert info["referencedResource"] == f"{filled.store}/{path(dataset)}"
    assert info["blobStorageInfo"]["storageClass"] == "STANDARD"
    assert info["blobStorageInfo"]["sizeBytes"] == size


def test_storage_classes_are_set_by_an_operation(filled: Client) -> None:
    dataset = read("CT_small.dcm")
    body = {"blobStorageSettings": {"blobStorageClass": "ARCHIVE"}}
    study = f"{filled.store}/dicomWeb/studies/{dataset.StudyInstanceUID}"
    done = filled.wait(filled.ok("POST", f"{study}:setBlobStorageSettings", body))
    assert done["metadata"]["counter"] == {"success": "1"}
    # Both as on the page "DICOM storage classes".
    method = "google.cloud.healthcare.v1.storageinfo.StorageInfoService.SetBlobStorageSettings"
    assert done["metadata"]["apiMethodName"] == method
    assert done["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    info = filled.ok("GET", f"{filled.store}/{path(dataset)}:getStorageInfo")
    assert info["blobStorageInfo"]["storageClass"] == "ARCHIVE"
    other = filled.ok("GET", f"{filled.store}/{path(read('MR_small.dcm'))}:getStorageInfo")
    assert other["blobStorageInfo"]["storageClass"] == "STANDARD"
    assert filled.refused("POST", f"{filled.store}:setBlobStorageSettings", {})[0] == 400


def test_readers_and_writers_need_their_own_permissions(filled: Client) -> None:
    member = "user:alice@example.org"
    alice = filled.acting_as(member)
    policy = {"policy": {"bindings": [{"role": "roles/healthcare.dicomViewer", "members": [member]}]}}
    filled.ok("POST", f"{filled.store}:setIamPolicy", policy)
    assert len(alice.ok("GET", f"{filled.store}/dicomWeb/studies")) > 0
    assert alice.refused("DELETE", f"{filled.store}/{path(read('CT_small.dcm'))}")[:2] == (403, "PERMISSION_DENIED")
    body, headers = multipart(file("CT_small.dcm"))
    assert alice.raw("POST", f"{filled.store}/dicomWeb/studies", body, headers)[0] == 403
