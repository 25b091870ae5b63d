"""Filters from a query, at the command line: the result becomes an object, and the export takes what it names."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.server.server import LocalEmulator
from operations.command_line import main
from operations.run.filter_objects import write_filter_lines
from tests.protocol.operations.hospital import DATASET, OUT, RESEARCH, TABLE, Hospital

EXPORT = f"export --store pacs --to {TABLE} --write-disposition WRITE_TRUNCATE"
QUERY = "SELECT DISTINCT CONCAT('/studies/', StudyInstanceUID) FROM dicom.instances WHERE PatientID = 'TEST-1'"
WRONG = "SELECT nothing FROM dicom.nowhere"
MADE = f"filter make --to gs://{OUT}/chosen.txt"


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    made = Hospital(emulator)
    made.store_instances(2)
    yield made
    made.close()


@pytest.fixture
def queries(hospital: Hospital) -> None:
    """Skip where the emulator can't run queries."""
    body: Any = {"query": "SELECT 1", "useLegacySql": False}
    from googleapiclient.errors import HttpError

    try:
        hospital.connection.bigquery.jobs().query(projectId=RESEARCH, body=body).execute()
    except HttpError as error:
        if error.resp.status == 501:
            pytest.skip("the emulator doesn't run queries yet")
        raise


def run(emulator: LocalEmulator, line: str) -> int:
    environment = {"IMAGING_ENDPOINT": emulator.url, "IMAGING_DATASET": DATASET}
    return main(shlex.split(line), environment=environment)


def objects(hospital: Hospital) -> list[str]:
    found: Any = hospital.connection.storage.objects().list(bucket=OUT).execute()
    return [item["name"] for item in found.get("items", [])]


@pytest.mark.usefixtures("queries")
def test_a_query_that_is_wrong_makes_no_file_and_starts_nothing(
    hospital: Hospital, emulator: LocalEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = f"--filter-query-project {RESEARCH} --filter-bucket {OUT} --filter-query"
    assert run(emulator, f'{EXPORT} {chosen} "{WRONG}"') in (1, 6)
    assert "error:" in capsys.readouterr().err
    assert objects(hospital) == []
    assert hospital.operations("ExportDicomData") == []


@pytest.mark.usefixtures("queries")
def test_an_export_takes_what_a_query_selects(hospital: Hospital, emulator: LocalEmulator) -> None:
    assert run(emulator, EXPORT) == 0
    chosen = f'--filter-query "{QUERY}" --filter-query-project {RESEARCH} --filter-bucket {OUT}'
    assert run(emulator, f"{EXPORT} {chosen}") == 0
    (name,) = objects(hospital)
    assert name.startswith("filters/pacs-")
    assert run(emulator, f'{MADE} --query "{QUERY}" --query-project {RESEARCH}') == 0
    assert sorted(objects(hospital)) == ["chosen.txt", name]


def test_the_file_of_a_query_goes_where_it_was_asked_for_and_nowhere_else(
    hospital: Hospital, emulator: LocalEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def selected(
        connection: Any, bucket: str, name: str, query: str, project: str, location: str | None, clock: Any
    ) -> Any:
        asked.append((query, project, location))
        return write_filter_lines(connection, bucket, name, ["/studies/1.2.3"], clock)

    # In place of the query alone; its file is written and moved for real.
    monkeypatch.setattr("operations.command_line.filter_commands.write_filter_query", selected)
    line = f'{MADE} --query "SELECT 1" --query-location EU'
    assert run(emulator, line) == 0
    assert objects(hospital) == ["chosen.txt"]
    assert run(emulator, line) == 6
    assert run(emulator, f"{line} --replace --query-project {RESEARCH}") == 0
    assert asked == [("SELECT 1", "hospital-imaging", "EU"), ("SELECT 1", RESEARCH, "EU")]
