"""Filters from a query: checked, distinct, one object per result; large ones never pass through this machine."""

from collections.abc import Iterator
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from operations.google import cloud_storage
from operations.google.clock import SystemClock
from operations.google.connection import Connection
from operations.google.errors import OperationsError
from operations.model.filters import FilterError, FilterSummary
from operations.model.requests import make_export
from operations.model.uris import CloudStoragePath, parse_object_uri
from operations.run import filter_objects
from operations.run.filter_objects import file_digest, prepare_filter, query_sources, write_filter_query
from operations.run.start import start
from operations.run.wait import Waiter
from tests.protocol.operations.hospital import INBOX, RESEARCH, STORE, TABLE, Hospital

QUERY = "SELECT CONCAT('/studies/', StudyInstanceUID) AS path FROM `research-analytics.dicom.instances`"


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    """A hospital whose table has three instances of one study and two of another."""
    made = Hospital(emulator)
    made.store_instances(3)
    made.store_instances(2, study="1.2.4")
    request = make_export(STORE, TABLE, write_disposition="WRITE_TRUNCATE")
    assert Waiter(made.connection).wait(start(made.connection, request).operation, timeout=60).done
    yield made
    made.close()


def content(connection: Connection, uri: str) -> bytes:
    return b"".join(cloud_storage.read_object(connection, parse_object_uri(uri)))


def digest_of(hospital: Hospital, query: str) -> str:
    chosen = {"query": query, "project": RESEARCH, "bucket": INBOX}
    return prepare_filter(hospital.connection, "subset", chosen).digest


def objects(connection: Connection) -> list[str]:
    return [item.name for item in cloud_storage.list_objects(connection, INBOX, "filters/", max_pages=1)[0]]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT StudyInstanceUID, Modality FROM dicom.instances", "selects one STRING column"),
        ("SELECT 1 AS one", "selects one STRING column"),
        ("SELEC 1", "the query failed in project research-analytics"),
        ("SELECT path FROM dicom.nowhere", "the query failed in project research-analytics"),
        (f"{QUERY} WHERE StudyInstanceUID = 'none'", "selects nothing"),
    ],
)
def test_a_query_that_makes_no_filter_is_an_error_and_writes_nothing(
    query: str, problem: str, hospital: Hospital
) -> None:
    with pytest.raises(OperationsError, match=problem):
        write_filter_query(hospital.connection, INBOX, "subset", query, RESEARCH)
    assert objects(hospital.connection) == []


def test_rows_that_are_no_resource_paths_are_an_error(hospital: Hospital) -> None:
    with pytest.raises(
        FilterError, match=r'result of the filter query of "subset", line 1: "1\.2\.3" is no resource path'
    ):
        write_filter_query(hospital.connection, INBOX, "subset", QUERY.replace("'/studies/'", "''"), RESEARCH)
    assert objects(hospital.connection) == []


@pytest.mark.parametrize("end", ["", ";", " -- all of them", "\n"])
def test_a_result_becomes_one_object_without_repetitions(end: str, hospital: Hospital) -> None:
    prepared = write_filter_query(hospital.connection, INBOX, "subset", QUERY + end, RESEARCH)
    assert content(hospital.connection, prepared.uri) == b"/studies/1.2.3\n/studies/1.2.4\n"
    assert prepared.summary is not None
    assert prepared.summary.lines == 2


def test_two_exports_never_share_a_filter_object_and_the_same_result_has_the_same_name(hospital: Hospital) -> None:
    uris = [write_filter_query(hospital.connection, INBOX, name, QUERY, RESEARCH).uri for name in ("a", "b", "a")]
    assert uris[0] == uris[2] != uris[1]


def test_the_digest_follows_the_result_and_not_the_words_of_the_query(hospital: Hospital) -> None:
    chosen = {"query": QUERY, "project": RESEARCH, "bucket": INBOX}
    prepared = prepare_filter(hospital.connection, "subset", chosen)
    assert digest_of(hospital, QUERY) == prepared.digest
    assert digest_of(hospital, f"{QUERY} ORDER BY 1 DESC") == prepared.digest
    assert digest_of(hospital, f"{QUERY} WHERE StudyInstanceUID = '1.2.4'") != prepared.digest


def test_what_a_query_reads_is_found_out_without_running_it(hospital: Hospital) -> None:
    """A dry run: no bytes are billed, and no job is left behind."""
    chosen = {"query": f"{QUERY};", "project": RESEARCH, "bucket": INBOX}
    jobs = hospital.connection.bigquery.jobs()
    before = len(jobs.list(projectId=RESEARCH, allUsers=True).execute().get("jobs", []))
    sources = query_sources(hospital.connection, chosen)
    assert list(sources) == ["research-analytics.dicom.instances"]
    assert int(sources["research-analytics.dicom.instances"]) > 0
    assert len(jobs.list(projectId=RESEARCH, allUsers=True).execute().get("jobs", [])) == before
    assert query_sources(hospital.connection, chosen) == sources
    body: Any = {"query": "DELETE FROM dicom.instances WHERE StudyInstanceUID = '1.2.4'", "useLegacySql": False}
    jobs.query(projectId=RESEARCH, body=body).execute()
    assert query_sources(hospital.connection, chosen) != sources
    assert query_sources(hospital.connection, {"file": f"gs://{INBOX}/filter.txt"}) == {}
    with pytest.raises(OperationsError, match="can't be run in project research-analytics"):
        query_sources(hospital.connection, chosen | {"query": "SELECT path FROM dicom.nowhere"})


def test_the_digest_of_a_file_follows_its_content(hospital: Hospital) -> None:
    chosen = {"file": f"gs://{INBOX}/filter.txt"}
    assert file_digest(hospital.connection, chosen) == ""
    hospital.put("filter.txt", b"/studies/1.2.3\n")
    before = file_digest(hospital.connection, chosen)
    hospital.put("filter.txt", b"/studies/1.2.3\n")
    assert file_digest(hospital.connection, chosen) == before
    hospital.put("filter.txt", b"/studies/1.2.4\n")
    assert file_digest(hospital.connection, chosen) != before


def test_the_digest_of_a_large_result_follows_the_result_too(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filter_objects, "SMALL", 1)
    digest = digest_of(hospital, QUERY)
    assert digest_of(hospital, f"{QUERY} ORDER BY 1 DESC") == digest
    assert digest_of(hospital, f"{QUERY} UNION ALL SELECT '/studies/9'") != digest


def test_a_bad_row_of_a_large_result_is_an_error_before_anything_is_written(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filter_objects, "SMALL", 1)
    with pytest.raises(FilterError, match="empty component"):
        write_filter_query(hospital.connection, INBOX, "subset", f"{QUERY} UNION ALL SELECT '/studies/1..2'", RESEARCH)
    assert objects(hospital.connection) == []


def test_a_large_result_is_extracted_and_composed(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filter_objects, "SMALL", 1)
    prepared = write_filter_query(hospital.connection, INBOX, "subset", QUERY, RESEARCH)
    assert sorted(content(hospital.connection, prepared.uri).split()) == [b"/studies/1.2.3", b"/studies/1.2.4"]
    assert objects(hospital.connection) == [parse_object_uri(prepared.uri).path]
    # Its bytes were never seen here, so nothing is claimed of them.
    assert prepared.summary == FilterSummary(2, 30, sha256=None)


def test_lost_answers_to_compose_double_no_line(hospital: Hospital) -> None:
    """100 parts take four calls; the answer to each is lost once, and each is made again."""
    names = [f"filters/x/part-{number:03}.txt" for number in range(100)]
    for number, name in enumerate(names):
        cloud_storage.write_object(hospital.connection, CloudStoragePath(INBOX, name), f"/studies/{number}\n".encode())
    lost = [hospital.fault("storage.objects.compose", drop="after", after=min(number, 1)) for number in range(4)]
    filter_objects._compose(hospital.connection, INBOX, names, "filters/x/", "filters/x.txt", SystemClock())
    hospital.assert_consumed(*lost)
    expected = "".join(f"/studies/{number}\n" for number in range(100)).encode()
    assert content(hospital.connection, f"gs://{INBOX}/filters/x.txt") == expected


def test_an_object_is_not_composed_of_itself(hospital: Hospital) -> None:
    with pytest.raises(ValueError, match="composed of itself"):
        cloud_storage.compose_objects(hospital.connection, INBOX, ["a", "b"], "a")


@pytest.mark.parametrize("parts", [1, 32, 33, 64, 100])
def test_any_number_of_parts_is_composed_in_order(parts: int, hospital: Hospital) -> None:
    names = [f"filters/x/part-{number:03}.txt" for number in range(parts)]
    for number, name in enumerate(names):
        cloud_storage.write_object(
            hospital.connection, CloudStoragePath(INBOX, name), f"/studies/{number + 1}\n".encode()
        )
    filter_objects._compose(hospital.connection, INBOX, names, "filters/x/", "filters/x.txt", SystemClock())
    expected = "".join(f"/studies/{number + 1}\n" for number in range(parts)).encode()
    assert content(hospital.connection, f"gs://{INBOX}/filters/x.txt") == expected
