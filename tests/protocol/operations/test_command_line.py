"""The command line against the emulator, from arguments to exit codes, with faults in between."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from operations.command_line import main
from operations.google.clock import SystemClock
from tests.protocol.operations.hospital import DATASET, INBOX, OUT, STORE, TABLE, Hospital

EXPORT = f"export --store pacs --to {TABLE} --write-disposition WRITE_TRUNCATE"
IMPORT = f"import --store pacs --from gs://{INBOX}/2024/**.dcm"
STUDY = "/studies/1.2.3"
CALLER = "serviceAccount:pipeline@hospital-imaging.iam.gserviceaccount.com"


class QuickClock(SystemClock):
    """Time that runs fifty times faster, so that pauses between attempts don't hold up the tests."""

    _SPEED = 50.0

    def __init__(self) -> None:
        self._begin, self._wall = time.monotonic(), time.time()

    def now(self) -> float:
        return self._wall + self.monotonic()

    def monotonic(self) -> float:
        return (time.monotonic() - self._begin) * self._SPEED

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._SPEED)

    def wait(self, condition: Any, seconds: float) -> None:
        condition.wait(seconds / self._SPEED)


class CommandLine:
    """Runs commands on the hospital; `out` and `err` are what the last one wrote."""

    def __init__(self, emulator: LocalEmulator, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""
        self.environment = {"IMAGING_ENDPOINT": emulator.url, "IMAGING_DATASET": DATASET}

    def __call__(self, line: str, **environment: str) -> int:
        code = main(shlex.split(line), environment={**self.environment, **environment}, clock=QuickClock())
        self.out, self.err = self._capsys.readouterr()
        return code

    @property
    def document(self) -> dict[str, Any]:
        """The JSON that the last command wrote."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def cli(emulator: LocalEmulator, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(emulator, capsys)


@pytest.fixture
def hospital(emulator: LocalEmulator) -> Iterator[Hospital]:
    """A hospital with an empty store and two files to import."""
    made = Hospital(emulator)
    made.put_instances(2)
    yield made
    made.close()


@pytest.fixture
def filled(hospital: Hospital) -> Hospital:
    """A store that has two instances."""
    hospital.store_instances(2)
    return hospital


def exports(hospital: Hospital) -> list[str]:
    return [each["name"] for each in hospital.operations("ExportDicomData")]


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """A local file of lines that selects the one study there is, twice."""
    file = tmp_path / "studies.txt"
    file.write_text(f"{STUDY}\r\n{STUDY}\n")
    return file


def test_an_import_without_matching_objects_is_exit_6_and_starts_nothing(hospital: Hospital, cli: CommandLine) -> None:
    assert cli(IMPORT.replace("2024", "2023")) == 6
    assert f"no object matches gs://{INBOX}/2023/**.dcm" in cli.err
    assert hospital.operations("ImportDicomData") == []


@pytest.mark.usefixtures("hospital")
def test_an_export_of_a_store_that_does_not_exist_is_exit_6(cli: CommandLine) -> None:
    assert cli(EXPORT.replace("--store pacs", "--store pasc")) == 6
    assert f"DICOM store {DATASET}/dicomStores/pasc doesn't exist" in cli.err


def test_an_export_to_a_dataset_that_does_not_exist_is_exit_6(filled: Hospital, cli: CommandLine) -> None:
    assert cli(EXPORT.replace(".dicom.", ".nowhere.")) == 6
    assert "BigQuery dataset research-analytics.nowhere doesn't exist" in cli.err
    assert exports(filled) == []


def test_a_table_with_rows_is_not_overwritten_by_write_empty(filled: Hospital, cli: CommandLine) -> None:
    assert cli(EXPORT) == 0
    assert cli(EXPORT.replace("TRUNCATE", "EMPTY")) == 6
    assert "has 2 rows and the write disposition is WRITE_EMPTY" in cli.err
    assert len(exports(filled)) == 1


def test_a_caller_without_permission_is_exit_4(hospital: Hospital, cli: CommandLine) -> None:
    for command in (IMPORT, "list", "describe 123", "cancel 123"):
        assert cli(command, GOOGLE_OAUTH_ACCESS_TOKEN=f"principal:{CALLER}") == 4, command
        assert "Permission" in cli.err
        assert "fix     get roles/healthcare." in cli.err
    assert hospital.operations("ImportDicomData") == []


def test_a_file_that_is_no_dicom_makes_the_import_exit_1_and_is_named(hospital: Hospital, cli: CommandLine) -> None:
    hospital.put("2024/notes.dcm", b"no DICOM")
    assert cli(f"{IMPORT} --json") == 1
    assert (cli.document["success"], cli.document["failure"]) == (2, 1)
    assert cli.document["state"] == "succeeded with failures"
    assert [error["source"] for error in cli.document["errors"]] == [f"gs://{INBOX}/2024/notes.dcm"]
    assert "1 instances failed, 0 are allowed (--allowed-failures)" in cli.err
    assert cli(f"{IMPORT} --allowed-failures 1") == 0


@pytest.mark.usefixtures("filled")
def test_an_operation_that_does_not_exist_is_exit_6(cli: CommandLine) -> None:
    assert cli("describe 123") == 6
    assert f"{DATASET}/operations/123" in cli.err


def test_an_emulator_that_does_not_run_is_exit_5_with_how_to_start_it(cli: CommandLine) -> None:
    assert cli("list", IMAGING_ENDPOINT="http://127.0.0.1:1") == 5
    assert "start the emulator with `make emulator`" in cli.err


@pytest.mark.usefixtures("hospital")
def test_an_import_says_what_came_of_it_and_repeated_what_was_there(cli: CommandLine) -> None:
    assert cli(IMPORT) == 0
    assert cli.out.startswith(f"gs://{INBOX}/2024/**.dcm → pacs: 2 instances")
    assert "new instances in the store: 2" in cli.out
    assert cli(IMPORT) == 0
    assert "2 of 2 were there already" in cli.out


def test_an_export_fills_a_table_and_its_json_says_how_many_rows(filled: Hospital, cli: CommandLine) -> None:
    assert cli(f"{EXPORT} --include-source-store --schema json --json") == 0
    assert (cli.document["state"], cli.document["success"], cli.document["rows"]) == ("succeeded", 2, 2)
    assert cli.document["destination"] == TABLE
    assert cli.document["store"] == STORE
    tables = filled.connection.bigquery.tables()
    table: Any = tables.get(projectId="research-analytics", datasetId="dicom", tableId="instances").execute()
    assert table["numRows"] == "2"
    assert "SourceDicomStore" in {field["name"] for field in table["schema"]["fields"]}


@pytest.mark.usefixtures("filled")
def test_rows_are_appended_where_that_was_asked_for(cli: CommandLine) -> None:
    assert cli(EXPORT) == 0
    assert cli(f"{EXPORT.replace('TRUNCATE', 'APPEND')} --json") == 0
    assert cli.document["rows"] == 4


def test_lines_become_a_filter_file_and_bound_the_export(filled: Hospital, cli: CommandLine, studies: Path) -> None:
    # A study with pixels, which the lines leave out, beside one that they name.
    filled.put("2024/ct.dcm", (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes())
    assert cli(IMPORT) == 0
    line = f"export --store pacs --to gs://{OUT}/as-stored --mime-type dicom-as-stored"
    assert cli(f"{line} --filter-lines {studies} --filter-bucket {OUT} --json") == 0, cli.err
    assert cli.document["success"] == 2
    assert cli.document["filter"].startswith(f"gs://{OUT}/filters/pacs-")
    found: Any = filled.connection.storage.objects().list(bucket=OUT, prefix="as-stored/").execute()
    assert {item["name"].split("/")[1] for item in found["items"]} == {STUDY.removeprefix("/studies/")}


def test_a_short_format_name_decides_about_the_objects(hospital: Hospital, cli: CommandLine) -> None:
    hospital.put("2023/ct.dcm", (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes())
    assert cli(IMPORT.replace("2024", "2023")) == 0
    assert cli(f"export --store pacs --to gs://{OUT}/jpeg --mime-type jpeg") == 0
    found: Any = hospital.connection.storage.objects().list(bucket=OUT, prefix="jpeg/").execute()
    assert [item["name"].endswith(".jpg") for item in found["items"]] == [True]


def test_a_filter_file_that_is_made_can_be_checked_and_used(filled: Hospital, cli: CommandLine, studies: Path) -> None:
    made = f"filter make --to gs://{OUT}/one.txt --lines {studies}"
    assert cli(f"{made} --json") == 0
    assert cli.document["lines"] == 1
    assert cli(made) == 6
    assert "exists already; give --replace" in cli.err
    assert cli(f"{made} --replace") == 0
    assert cli(f"filter check gs://{OUT}/one.txt") == 0
    assert f"gs://{OUT}/one.txt: 1 line, {len(STUDY) + 1} bytes" in cli.out
    assert cli(f"{EXPORT} --filter-file gs://{OUT}/one.txt --json") == 0
    assert cli.document["rows"] == 2
    assert len(exports(filled)) == 1


def test_a_filter_file_or_bucket_that_is_not_there_is_exit_6(filled: Hospital, cli: CommandLine, studies: Path) -> None:
    assert cli(f"filter check gs://{OUT}/none.txt") == 6
    assert cli(f"{EXPORT} --filter-file gs://{OUT}/none.txt") == 6
    assert cli(f"filter make --to gs://no-such-bucket/one.txt --lines {studies}") == 6
    assert "bucket no-such-bucket doesn't exist" in cli.err
    assert exports(filled) == []


def test_a_csv_header_in_a_filter_object_is_refused_with_its_line(filled: Hospital, cli: CommandLine) -> None:
    filled.put("studies.csv", f"path\n{STUDY}\n".encode(), OUT)
    assert cli(f"filter check gs://{OUT}/studies.csv") == 2
    assert f"gs://{OUT}/studies.csv, line 1:" in cli.err
    assert "header" in cli.err
    assert cli(f"{EXPORT} --filter-file gs://{OUT}/studies.csv") == 2
    assert exports(filled) == []


@pytest.mark.usefixtures("filled")
def test_operations_are_listed_described_and_waited_for_by_short_names(cli: CommandLine) -> None:
    assert cli(f"{EXPORT} --no-wait") == 0
    name = cli.out.strip()
    short = name.rpartition("/")[2]
    assert cli(f"wait {short}") == 0
    assert "2 instances" in cli.out
    assert cli("list") == 0
    rows = [line for line in cli.out.splitlines() if "BigQuery" in line]
    assert [row.split()[0] for row in rows] == [short]
    assert cli(f"describe {short} --json") == 0
    assert cli.document["operation"] == name
    assert cli.document["method"] == "ExportDicomData_bq"
    assert cli("list --state succeeded --limit 1 --json") == 0
    assert [each["operation"] for each in cli.document["operations"]] == [name]


def test_a_cancelled_export_is_exit_1_when_waited_for(filled: Hospital, cli: CommandLine) -> None:
    filled.settings(operationSeconds=600)
    assert cli(f"{EXPORT} --no-wait") == 0
    name = cli.out.strip()
    assert cli(f"wait {name} --timeout 5") == 3
    assert f"python -m operations wait {name}" in cli.err
    assert cli(f"cancel {name} --wait") == 0
    assert "has ended: cancelled" in cli.err
    assert cli(f"wait {name}") == 1
    assert cli("cancel --json " + name) == 0
    assert cli.document["error"]["name"] == "CANCELLED"


@dataclass(frozen=True)
class Scenario:
    """A fault during an export, and what must come of it."""

    name: str
    method: str
    effect: dict[str, Any]
    code: int
    operations: int = 1
    times: int = 1
    words: str = ""
    more: str = ""

    def __str__(self) -> str:
        return self.name


_DENIED = "Access Denied: Dataset research-analytics:dicom: Permission bigquery.tables.create denied on dataset"
SCENARIOS = (
    Scenario("503 while checking", "metrics", {"status": 503}, 0, times=3),
    Scenario("503 while waiting", "get", {"status": 503}, 0, times=4),
    Scenario("connection lost while waiting", "get", {"drop": "before"}, 0, times=3),
    Scenario("token expired while waiting", "get", {"status": 401}, 0),
    Scenario("throttled start", "export", {"status": 429, "retryAfter": 2}, 0, times=2),
    Scenario("answer to the start lost", "export", {"drop": "after"}, 0, words="found its operation"),
    Scenario("start lost on its way", "export", {"drop": "before"}, 0),
    Scenario("start refused", "export", {"status": 400}, 1, operations=0),
    Scenario(
        "grants take time",
        "export",
        {"operation": {"error": {"code": 7, "message": _DENIED}}},
        0,
        operations=3,
        times=2,
        words="started anew",
    ),
    Scenario(
        "grants never come",
        "export",
        {"operation": {"error": {"code": 7, "message": _DENIED}}},
        1,
        words="does not have permission to write to BigQuery dataset research-analytics.dicom",
        more="--permission-wait 0",
    ),
    Scenario(
        "operation fails",
        "export",
        {"operation": {"error": {"code": 13, "message": "Internal error"}}},
        1,
        words="INTERNAL (13)",
    ),
    Scenario("one instance fails", "export", {"operation": {"failures": 1}}, 1, words="left out 1 of 2 instances"),
    Scenario(
        "record vanishes", "export", {"operation": {"vanish": True}}, 6, operations=0, words="what it did is unknown"
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_faults_end_as_they_should_and_nothing_is_started_twice(
    filled: Hospital, cli: CommandLine, scenario: Scenario
) -> None:
    fault = filled.fault(scenario.method, scenario.times, **scenario.effect)
    assert cli(f"{EXPORT} {scenario.more}") == scenario.code, cli.err
    filled.assert_consumed(fault)
    assert len(exports(filled)) == scenario.operations
    assert scenario.words in cli.err
    assert "Traceback" not in cli.err
    assert "pulumi" not in cli.err


Run = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def run(cli: CommandLine, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Start the command line as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(line: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "operations", *shlex.split(line)],
            cwd=request.config.rootpath,
            env={**os.environ, **cli.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_export_goes_on_and_can_be_waited_for_again(
    filled: Hospital, run: Run, number: int, code: int
) -> None:
    filled.settings(operationSeconds=600)
    process = run(f"{EXPORT} --json")
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"started {DATASET}/operations/")
    assert process.stderr.readline().endswith("\n")  # the first look: it waits now
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    (operation,) = filled.operations("ExportDicomData")
    assert process.returncode == code
    assert "Traceback" not in err
    assert f"python -m operations wait {operation['name']}" in err
    assert json.loads(out)["operation"] == operation["name"]
    assert not operation.get("done")
    again = run(f"wait {operation['name']} --timeout 1")
    again.communicate(timeout=60)
    assert again.returncode == 3


@pytest.mark.usefixtures("hospital")
def test_the_process_reads_stdin_writes_stdout_and_ends_with_the_exit_code(run: Run) -> None:
    process = run(f"filter make --to gs://{OUT}/one.txt --lines - --json")
    out, err = process.communicate(f"{STUDY}\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["filter"] == f"gs://{OUT}/one.txt"
    process = run("filter check -")
    _, err = process.communicate("StudyInstanceUID\n", timeout=60)
    assert process.returncode == 2
    assert "stdin, line 1:" in err


def test_all_failures_of_an_operation_are_listed_each_once(hospital: Hospital, cli: CommandLine) -> None:
    # More than a page of the log at its default size, and than the reports of a run show.
    names = [f"2024/broken-{number:03}.dcm" for number in range(60)]
    for name in names:
        hospital.put(name, b"no DICOM")
    hospital.put_instances(1)
    hospital.grant()
    assert cli(f"{IMPORT} --no-wait") == 0
    operation = cli.out.strip()
    cli(f"wait {operation}")
    assert cli(f"failures {operation}") == 0
    rows = cli.out.splitlines()[1:]
    assert sorted(row.split()[0] for row in rows) == [f"gs://{INBOX}/{name}" for name in names]
    assert "60 entries about 60 failures" in cli.err
    assert cli(f"failures {operation.rpartition('/')[2]} --json") == 0
    assert cli.document["operation"] == operation
    assert sorted(each["source"] for each in cli.document["failures"]) == [f"gs://{INBOX}/{name}" for name in names]
    assert all(each["message"] for each in cli.document["failures"])


@pytest.mark.usefixtures("filled")
def test_an_operation_without_failures_has_none_to_list(cli: CommandLine) -> None:
    assert cli(f"{EXPORT} --no-wait") == 0
    operation = cli.out.strip()
    assert cli(f"wait {operation}") == 0
    assert cli(f"failures {operation}") == 0
    assert (cli.out, cli.err.strip()) == ("", f"nothing failed in {operation}")


def test_failures_of_an_unknown_operation_are_exit_5_or_6(cli: CommandLine) -> None:
    assert cli("failures 123") == cli("describe 123")
