"""Instances of one study that name different patients, and instances that are odd in other ways, through the API.

An instance is found and shown by its own attributes; a study and a series by those of an instance that is there
(DICOM PS3.18 10.6.3).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.emulator.odd_dicom import EXPLICIT, element, instance

Client = Any
STUDY, SERIES = "2.25.1", "2.25.2"


def one(uid: str, name: str, patient: str, modality: str, series: str = SERIES) -> bytes:
    return instance(
        element(0x00080060, "CS", modality),
        element(0x00100010, "PN", name),
        element(0x00100020, "LO", patient),
        uids={0x0020000D: STUDY, 0x0020000E: series, 0x00080018: uid},
    )


def store(client: Client, data: bytes, method: str = "POST") -> None:
    headers = {"Content-Type": "application/dicom"}
    status, _, answer = client.raw(method, f"{client.store}/dicomWeb/studies", data, headers)
    assert status == 200, answer


def search(client: Client, query: str) -> list[tuple[str, str, str]]:
    """UID of the instance, patient and modality of what is found; empty where a level has none."""
    status, _, answer = client.raw("GET", f"{client.store}/dicomWeb/{query}", b"", {})
    assert status in (200, 204), answer
    found = client.ok("GET", f"{client.store}/dicomWeb/{query}") if status == 200 else []
    return [
        tuple(row.get(tag, {}).get("Value", [""])[0] for tag in ("00080018", "00100020", "00080060")) for row in found
    ]


@pytest.fixture
def two(ready: Client) -> Client:
    store(ready, one("2.25.3", "One^A", "P1", "CT"))
    store(ready, one("2.25.4", "Two^B", "P2", "MR"))
    return ready


def test_an_instance_is_found_by_its_own_attributes(two: Client) -> None:
    second = ("2.25.4", "P2", "MR")
    assert search(two, "instances?PatientID=P2") == [second]
    assert search(two, "instances?Modality=MR") == [second]
    assert search(two, "instances?PatientName=two&fuzzymatching=true") == [second]
    assert search(two, "instances?PatientID=P1") == [("2.25.3", "P1", "CT")]
    assert search(two, "instances?PatientName=one&fuzzymatching=true") == [("2.25.3", "P1", "CT")]
    assert search(two, "instances?PatientID=P3") == []
    assert search(two, "instances") == [("2.25.3", "P1", "CT"), second]


def test_no_search_answers_the_patient_of_an_instance_that_is_gone(two: Client) -> None:
    two.ok("DELETE", f"{two.store}/dicomWeb/studies/{STUDY}/series/{SERIES}/instances/2.25.3")
    for level in ("studies", "series", "instances"):
        assert search(two, f"{level}?PatientID=P1") == []
        assert len(search(two, f"{level}?PatientID=P2")) == 1
    assert search(two, "series?Modality=CT") == []
    assert search(two, "series?Modality=MR") == [("", "P2", "MR")]
    store(two, one("2.25.5", "Two^B", "P2", "MR"))
    assert len(search(two, "instances?PatientID=P2")) == 2


def test_the_patient_of_a_replaced_and_deleted_instance_is_gone(two: Client) -> None:
    beta = two.in_version("v1beta1")
    store(beta, one("2.25.3", "Nine^A", "P9", "CT"), "PUT")
    assert search(two, "instances?PatientID=P9") == [("2.25.3", "P9", "CT")]
    assert search(two, "instances?PatientID=P1") == []
    assert search(two, "studies?PatientID=P1") == []
    two.ok("DELETE", f"{two.store}/dicomWeb/studies/{STUDY}/series/{SERIES}/instances/2.25.3")
    assert search(two, "studies?PatientID=P9") == []
    assert search(two, "studies?PatientID=P2") == [("", "P2", "")]


def test_a_series_of_another_patient_leaves_with_its_instances(ready: Client) -> None:
    store(ready, one("2.25.3", "One^A", "P1", "CT"))
    store(ready, one("2.25.4", "Two^B", "P2", "CT", series="2.25.9"))
    assert search(ready, "instances?PatientID=P2") == [("2.25.4", "P2", "CT")]
    ready.ok("DELETE", f"{ready.store}/dicomWeb/studies/{STUDY}/series/2.25.9")
    assert search(ready, "studies") == [("", "P1", "")]
    assert search(ready, "instances?PatientID=P2") == []
    assert search(ready, "instances?PatientID=P1") == [("2.25.3", "P1", "CT")]


def test_a_file_without_transfer_syntax_is_answered_without_one(ready: Client) -> None:
    data = one("2.25.3", "One^A", "P1", "CT").replace(
        element(0x00020010, "UI", EXPLICIT), element(0x00020012, "UI", "1.2")
    )
    store(ready, data)
    address = f"{ready.store}/dicomWeb/studies/{STUDY}/series/{SERIES}/instances/2.25.3"
    status, headers, body = ready.raw("GET", address, b"", {"Accept": "application/dicom; transfer-syntax=*"})
    assert (status, headers["content-type"], body) == (200, "application/dicom", data)


@pytest.mark.parametrize("change", [{0x0020000D: "1.2.x"}, {0x0020000D: ""}, {0x0020000E: "1..2"}])
def test_a_refused_instance_is_named_by_its_uids(ready: Client, change: dict[int, str]) -> None:
    data = instance(uids={0x00080016: "1.2.840.10008.5.1.4.1.1.7", 0x00080018: "2.25.3", **change})
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    status, _, answer = ready.raw("POST", f"{ready.store}/dicomWeb/studies", data, headers)
    assert status == 409
    (item,) = json.loads(answer)["00081198"]["Value"]
    assert item["00081150"]["Value"] == ["1.2.840.10008.5.1.4.1.1.7"]
    assert item["00081155"]["Value"] == ["2.25.3"]
