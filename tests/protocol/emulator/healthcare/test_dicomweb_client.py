"""Every method of dicomweb-client that has a counterpart in the service.

Expected values are read from the same files with pydicom.
"""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.data import get_testdata_file

Client = Any
CT, RLE = "CT_small.dcm", "SC_rgb_rle_2frame.dcm"
#: Methods without a counterpart in the service (renderings of series), and those that send nothing.
NOT_SERVED = {"retrieve_series_rendered"}
SEND_NOTHING = {"lookup_keyword", "lookup_tag", "set_chunk_size", "set_http_retry_params"}


def read(name: str) -> pydicom.FileDataset:
    return pydicom.dcmread(str(get_testdata_file(name, download=False)))


def uids(name: str) -> tuple[str, str, str]:
    dataset = read(name)
    return str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID)


@pytest.fixture
def web(ready: Client) -> Any:
    client = DICOMwebClient(f"{ready.local.url}/v1/{ready.store}/dicomWeb")
    stored = client.store_instances([read(CT), read(RLE)])
    assert [str(item.ReferencedSOPInstanceUID) for item in stored.ReferencedSOPSequence] == [uids(CT)[2], uids(RLE)[2]]
    return client


def refused(error: pytest.ExceptionInfo[requests.HTTPError]) -> int:
    assert error.value.response is not None
    return error.value.response.status_code


def test_instances_of_another_study_are_not_stored(web: Any) -> None:
    with pytest.raises(requests.HTTPError) as error:
        web.store_instances([read("MR_small.dcm")], study_instance_uid="1.2.3")
    assert refused(error) == 409


def test_searches_take_filters_fields_and_fuzzy_names(web: Any) -> None:
    dataset = read(CT)
    (found,) = web.search_for_studies(search_filters={"PatientID": str(dataset.PatientID)}, fields=["StudyDescription"])
    assert found["0020000D"]["Value"] == [uids(CT)[0]]
    assert found["00081030"]["Value"] == [dataset.StudyDescription]
    start = str(dataset.PatientName).split("^")[0][:4].lower()
    assert web.search_for_studies(search_filters={"PatientName": start}) == []
    (fuzzy,) = web.search_for_studies(fuzzymatching=True, search_filters={"PatientName": start})
    assert fuzzy["0020000D"]["Value"] == [uids(CT)[0]]
    (series,) = web.search_for_series(uids(CT)[0], fields=["SeriesNumber"])
    assert series["00200011"]["Value"] == [dataset.SeriesNumber]
    (instance,) = web.search_for_instances(*uids(CT)[:2], fields=["SliceThickness"])
    assert instance["00180050"]["Value"] == [float(dataset.SliceThickness)]
    assert [one["00080060"]["Value"] for one in web.search_for_series(search_filters={"Modality": "CT"})] == [["CT"]]


def test_searches_come_in_portions_until_nothing_remains(web: Any) -> None:
    everything = web.search_for_instances()
    assert len(everything) == 2
    assert web.search_for_instances(limit=1) == everything[:1]
    assert web.search_for_instances(limit=1, offset=1) == everything[1:]
    assert web.search_for_instances(limit=1, get_remaining=True) == everything
    assert len(web.search_for_studies(limit=1, get_remaining=True)) == 2
    assert len(web.search_for_series(limit=1, get_remaining=True)) == 2
    assert web.search_for_instances(offset=2) == []


def test_instances_come_alone_by_series_and_by_study(web: Any) -> None:
    study, series, instance = uids(RLE)
    expected = read(RLE).pixel_array
    one = web.retrieve_instance(study, series, instance)
    assert np.array_equal(one.pixel_array, expected)
    jls = ("application/dicom", "1.2.840.10008.1.2.4.80")
    encoded = web.retrieve_instance(study, series, instance, media_types=(jls,))
    assert encoded.file_meta.TransferSyntaxUID == jls[1]
    assert np.array_equal(encoded.pixel_array, expected)
    for found in (
        web.retrieve_series(study, series),
        web.retrieve_study(study),
        list(web.iter_series(study, series)),
        list(web.iter_study(study)),
    ):
        assert [str(dataset.SOPInstanceUID) for dataset in found] == [instance]
        assert np.array_equal(found[0].pixel_array, expected)


def test_metadata_come_alone_by_series_and_by_study(web: Any) -> None:
    study, series, instance = uids(CT)
    one = web.retrieve_instance_metadata(study, series, instance)
    assert one["00100020"]["Value"] == [str(read(CT).PatientID)]
    assert web.retrieve_series_metadata(study, series) == [one]
    assert web.retrieve_study_metadata(study) == [one]


def test_frames_come_one_by_one_in_any_form_that_they_have(web: Any) -> None:
    pixels = read(RLE).pixel_array
    plain = ("application/octet-stream",)
    assert web.retrieve_instance_frames(*uids(RLE), [2, 1], media_types=plain) == [
        pixels[1].tobytes(),
        pixels[0].tobytes(),
    ]
    assert list(web.iter_instance_frames(*uids(RLE), [1, 2], media_types=plain)) == [one.tobytes() for one in pixels]
    lossless = (("image/jpeg", "1.2.840.10008.1.2.4.70"),)
    (frame,) = web.retrieve_instance_frames(*uids(RLE), [2], media_types=lossless)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(frame))), pixels[1])


def test_pictures_come_of_instances_and_frames(web: Any) -> None:
    picture = web.retrieve_instance_rendered(*uids(CT), media_types=("image/png",), params={"viewport": "64,64"})
    assert Image.open(io.BytesIO(picture)).size == (64, 64)
    frame = web.retrieve_instance_frames_rendered(*uids(RLE), [2], media_types=("image/png",))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(frame))), read(RLE).pixel_array[1])
    with pytest.raises(requests.HTTPError) as error:
        web.retrieve_instance_rendered(*uids(RLE))
    assert refused(error) == 406


def test_bulk_data_come_from_the_address_in_the_metadata(web: Any) -> None:
    name = "waveform_ecg.dcm"
    web.store_instances([read(name)])
    metadata = web.retrieve_instance_metadata(*uids(name))
    uri = metadata["54000100"]["Value"][0]["54001010"]["BulkDataURI"]
    wanted = read(name).WaveformSequence[0].WaveformData
    assert web.retrieve_bulkdata(uri) == [wanted]
    assert list(web.iter_bulkdata(uri)) == [wanted]


def test_what_is_deleted_is_gone(web: Any) -> None:
    web.delete_instance(*uids(CT))
    with pytest.raises(requests.HTTPError) as error:
        web.retrieve_instance_metadata(*uids(CT))
    assert refused(error) == 404
    web.store_instances([read(CT)])
    web.delete_series(*uids(CT)[:2])
    web.delete_study(uids(RLE)[0])


def test_every_method_that_has_a_counterpart_is_called_here() -> None:
    methods = {name for name, _ in inspect.getmembers(DICOMwebClient, inspect.isfunction) if not name.startswith("_")}
    source = Path(__file__).read_text(encoding="utf-8")
    missing = {name for name in methods - NOT_SERVED - SEND_NOTHING if f"web.{name}(" not in source}
    assert missing == set()
    assert methods >= NOT_SERVED | SEND_NOTHING
