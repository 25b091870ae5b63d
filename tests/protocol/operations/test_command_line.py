"""The command line against the emulator, from arguments to exit codes, with faults in between."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.server import LocalEmulator
from operations.clock import SystemClock
from operations.command_line import main

PROJECT = "hospital-imaging"
PLACE = f"projects/{PROJECT}/locations/europe-west4"
DATASET = f"{PLACE}/datasets/radiology"
STORE = f"{DATASET}/dicomStores/pacs"
EXPORT = f"export --store pacs --to bq://{PROJECT}.dicom.instances --write-disposition WRITE_TRUNCATE"
IMPORT = "import --store pacs --from gs://inbox/**.dcm"
# Two instances of two studies; their UIDs as pydicom's documentation of its test files has them.
FILES = ("CT_small.dcm", "MR_small.dcm")
CT_STUDY = "/studies/1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
CALLER = "serviceAccount:pipeline@hospital-imaging.iam.gserviceaccount.com"
_API = "healthcare.projects.locations.datasets"


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


class Hospital:
    """An emulator with a dataset, an empty store, buckets, a BigQuery dataset and all grants; and the command line."""

    def __init__(self, local: LocalEmulator, capsys: pytest.CaptureFixture[str]) -> None:
        self.local = local
        self._capsys = capsys
        self.out = self.err = ""
        self.environment = {
            "IMAGING_ENDPOINT": local.url,
            "IMAGING_PROJECT": PROJECT,
            "IMAGING_LOCATION": "europe-west4",
            "IMAGING_DATASET": "radiology",
        }

    def __call__(self, line: str, **environment: str) -> int:
        variables = {**self.environment, **environment}
        code = main(shlex.split(line), environment=variables, clock=QuickClock())
        self.out, self.err = self._capsys.readouterr()
        return code

    @property
    def document(self) -> dict[str, Any]:
        """The JSON that the last command wrote."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    def rest(self, method: str, path: str, body: Any = None, data: bytes | None = None) -> dict[str, Any]:
        request = urllib.request.Request(self.local.url + path, data, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else {}

    def upload(self, bucket: str, name: str, content: bytes) -> None:
        query = urllib.parse.urlencode({"uploadType": "media", "name": name})
        self.rest("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", data=content)

    def grant(self, *grants: tuple[str, str]) -> None:
        """Make these the project's whole policy: (role, member)."""
        bindings = [{"role": role, "members": [member]} for role, member in grants]
        self.rest("POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": bindings}})

    def grant_agent(self, *more: tuple[str, str]) -> None:
        agent = "serviceAccount:" + self.local.emulator.projects.provision_service_agent(PROJECT)
        roles = ("roles/bigquery.dataEditor", "roles/bigquery.jobUser", "roles/storage.objectAdmin")
        self.grant(*[(role, agent) for role in roles], *more)

    def fault(self, method: str, effect: dict[str, Any], times: int = 1, after: int = 0) -> str:
        body = {"method": method, "times": times, "after": after, "effect": effect}
        return str(self.local.control("POST", "faults", body)["id"])

    def assert_consumed(self, fault: str) -> None:
        assert self.local.control("GET", f"faults/{fault}")["completed"]

    def operations(self, kind: str = "") -> list[dict[str, Any]]:
        """The imports and exports that exist, whatever became of them."""
        found = self.rest("GET", f"/v1/{DATASET}/operations").get("operations", [])
        return [each for each in found if f"{kind}DicomData" in each["metadata"]["apiMethodName"]]


@pytest.fixture
def hospital(emulator: LocalEmulator, capsys: pytest.CaptureFixture[str]) -> Hospital:
    """A store that has two instances."""
    found = Hospital(emulator, capsys)
    found.rest("POST", f"/v1/{PLACE}/datasets?datasetId=radiology", {})
    found.rest("POST", f"/v1/{DATASET}/dicomStores?dicomStoreId=pacs", {})
    for bucket in ("inbox", "outbox", "filters"):
        found.rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": bucket})
    found.rest("POST", f"/bigquery/v2/projects/{PROJECT}/datasets", {"datasetReference": {"datasetId": "dicom"}})
    found.grant_agent()
    folder = Path(pydicom.data.__file__).parent / "test_files"
    for name in FILES:
        found.upload("inbox", name, (folder / name).read_bytes())
    return found


@pytest.fixture
def filled(hospital: Hospital) -> Hospital:
    """A store that has both instances already."""
    assert hospital(IMPORT) == 0, hospital.err
    return hospital


def test_an_import_without_matching_objects_is_exit_6_and_starts_nothing(hospital: Hospital) -> None:
    assert hospital(IMPORT.replace("**.dcm", "2024/**")) == 6
    assert "no object matches gs://inbox/2024/**" in hospital.err
    assert hospital.operations() == []


def test_an_export_of_a_store_that_does_not_exist_is_exit_6(hospital: Hospital) -> None:
    assert hospital(EXPORT.replace("--store pacs", "--store pasc")) == 6
    assert f"DICOM store {DATASET}/dicomStores/pasc doesn't exist" in hospital.err


def test_an_export_to_a_dataset_that_does_not_exist_is_exit_6(filled: Hospital) -> None:
    assert filled(EXPORT.replace(".dicom.", ".nowhere.")) == 6
    assert f"BigQuery dataset {PROJECT}.nowhere doesn't exist" in filled.err
    assert filled.operations("Export") == []


def test_a_table_with_rows_is_not_overwritten_by_write_empty(filled: Hospital) -> None:
    assert filled(EXPORT) == 0
    assert filled(EXPORT.replace("TRUNCATE", "EMPTY")) == 6
    assert "has 2 rows and the write disposition is WRITE_EMPTY" in filled.err
    assert len(filled.operations("Export")) == 1


def test_a_caller_without_permission_is_exit_4(hospital: Hospital) -> None:
    token = {"GOOGLE_OAUTH_ACCESS_TOKEN": f"principal:{CALLER}"}
    for command in (IMPORT, "list", "describe 123", "cancel 123"):
        assert hospital(command, **token) == 4, command
        assert "Permission" in hospital.err
        assert "do      get roles/healthcare." in hospital.err
    assert hospital.operations() == []


def test_a_file_that_is_no_dicom_makes_the_import_exit_1_and_is_named(hospital: Hospital) -> None:
    hospital.upload("inbox", "notes.dcm", b"no DICOM")
    assert hospital(f"{IMPORT} --json") == 1
    document = hospital.document
    assert (document["success"], document["failure"]) == (2, 1)
    assert document["state"] == "succeeded with failures"
    assert any(error["source"] == "gs://inbox/notes.dcm" for error in document["errors"])
    assert "1 instances failed, 0 are allowed (--allowed-failures)" in hospital.err
    assert hospital(f"{IMPORT} --allowed-failures 1") == 0


def test_an_operation_of_another_dataset_is_not_found(filled: Hospital) -> None:
    assert filled("describe 123") == 6
    assert f"{DATASET}/operations/123" in filled.err


def test_an_emulator_that_does_not_run_is_exit_5_with_how_to_start_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list", DATASET], environment={"IMAGING_ENDPOINT": "http://127.0.0.1:1"}, clock=QuickClock()) == 5
    assert "start the emulator with `make emulator`" in capsys.readouterr().err


def test_an_import_says_what_came_of_it_and_repeated_what_was_there(hospital: Hospital) -> None:
    assert hospital(IMPORT) == 0
    assert hospital.out.startswith("gs://inbox/**.dcm → pacs: 2 instances")
    assert "new instances in the store: 2" in hospital.out
    assert hospital(IMPORT) == 0
    assert "2 of 2 were there already" in hospital.out


def test_an_export_fills_a_table_and_its_json_says_how_many_rows(filled: Hospital) -> None:
    assert filled(f"{EXPORT} --include-source-store --schema json --json") == 0
    document = filled.document
    assert (document["state"], document["success"], document["rows"]) == ("succeeded", 2, 2)
    assert document["destination"] == f"bq://{PROJECT}.dicom.instances"
    assert document["store"] == STORE
    table = filled.rest("GET", f"/bigquery/v2/projects/{PROJECT}/datasets/dicom/tables/instances")
    assert table["numRows"] == "2"
    assert "SourceDicomStore" in {field["name"] for field in table["schema"]["fields"]}


def test_rows_are_appended_where_that_was_asked_for(filled: Hospital) -> None:
    assert filled(EXPORT) == 0
    assert filled(f"{EXPORT.replace('TRUNCATE', 'APPEND')} --json") == 0
    assert filled.document["rows"] == 4


def test_filtered_lines_become_a_filter_file_and_bound_the_export(filled: Hospital, tmp_path: Path) -> None:
    lines = tmp_path / "studies.txt"
    lines.write_text(f"{CT_STUDY}\r\n{CT_STUDY}\n")
    line = f"export --store pacs --to gs://outbox/jpeg --mime-type jpeg --filter-lines {lines} --filter-bucket filters"
    assert filled(f"{line} --json") == 0, filled.err
    assert filled.document["success"] == 1
    assert filled.document["filter"].startswith("gs://filters/")
    objects = filled.rest("GET", "/storage/v1/b/outbox/o")["items"]
    assert [item["name"].startswith(f"jpeg/{CT_STUDY.removeprefix('/studies/')}/") for item in objects] == [True]
    assert objects[0]["name"].endswith(".jpg")


def test_a_filter_file_that_is_made_can_be_checked_and_used(filled: Hospital, tmp_path: Path) -> None:
    lines = tmp_path / "studies.txt"
    lines.write_text(f"{CT_STUDY}\n")
    made = "filter make --to gs://filters/ct.txt"
    assert filled(f"{made} --lines {lines} --json") == 0
    assert filled.document["lines"] == 1
    assert filled(f"{made} --lines {lines}") == 6
    assert "exists already; give --replace" in filled.err
    assert filled(f"{made} --lines {lines} --replace") == 0
    assert filled("filter check gs://filters/ct.txt") == 0
    assert f"gs://filters/ct.txt: 1 line, {len(CT_STUDY) + 1} bytes" in filled.out
    assert filled(f"{EXPORT} --filter-file gs://filters/ct.txt --json") == 0
    assert filled.document["rows"] == 1


def test_a_filter_file_that_is_not_there_is_exit_6(filled: Hospital, tmp_path: Path) -> None:
    assert filled("filter check gs://filters/none.txt") == 6
    assert filled(f"{EXPORT} --filter-file gs://filters/none.txt") == 6
    lines = tmp_path / "studies.txt"
    lines.write_text(f"{CT_STUDY}\n")
    assert filled(f"filter make --to gs://no-such-bucket/ct.txt --lines {lines}") == 6
    assert "bucket no-such-bucket doesn't exist" in filled.err
    assert filled.operations("Export") == []


def test_a_csv_header_in_a_filter_object_is_refused_with_its_line(filled: Hospital) -> None:
    filled.upload("filters", "studies.csv", f"path\n{CT_STUDY}\n".encode())
    assert filled("filter check gs://filters/studies.csv") == 2
    assert "gs://filters/studies.csv, line 1:" in filled.err
    assert "header" in filled.err
    assert filled(f"{EXPORT} --filter-file gs://filters/studies.csv") == 2
    assert filled.operations("Export") == []


def test_operations_are_listed_described_and_waited_for_by_short_names(filled: Hospital) -> None:
    assert filled(f"{EXPORT} --no-wait") == 0
    name = filled.out.strip()
    short = name.rpartition("/")[2]
    assert filled(f"wait {short}") == 0
    assert "2 instances" in filled.out
    assert filled("list") == 0
    rows = [line for line in filled.out.splitlines() if "BigQuery" in line]
    assert [row.split()[0] for row in rows] == [short]
    assert filled(f"describe {short} --json") == 0
    assert filled.document["operation"] == name
    assert filled.document["method"] == "ExportDicomData_bq"
    assert filled("list --state succeeded --limit 1 --json") == 0
    assert [each["operation"] for each in filled.document["operations"]] == [name]


def test_a_cancelled_export_is_exit_1_when_waited_for(filled: Hospital) -> None:
    filled.local.control("PATCH", "settings", {"operationSeconds": 600})
    assert filled(f"{EXPORT} --no-wait") == 0
    name = filled.out.strip()
    assert filled(f"wait {name} --timeout 5") == 3
    assert f"python -m operations wait {name}" in filled.err
    assert filled(f"cancel {name} --wait") == 0
    assert "has ended: cancelled" in filled.err
    assert filled(f"wait {name}") == 1
    assert filled("cancel --json " + name) == 0
    assert filled.document["error"]["name"] == "CANCELLED"


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


_DENIED = "Access Denied: Dataset hospital-imaging:dicom: Permission bigquery.tables.create denied on dataset"
SCENARIOS = (
    Scenario("503 while checking", f"{_API}.dicomStores.getDICOMStoreMetrics", {"status": 503}, 0, times=3),
    Scenario("503 while waiting", f"{_API}.operations.get", {"status": 503}, 0, times=4),
    Scenario("connection lost while waiting", f"{_API}.operations.get", {"drop": "before"}, 0, times=3),
    Scenario("token expired while waiting", f"{_API}.operations.get", {"status": 401}, 0),
    Scenario("throttled start", f"{_API}.dicomStores.export", {"status": 429, "retryAfter": 2}, 0, times=2),
    Scenario("answer to the start lost", f"{_API}.dicomStores.export", {"drop": "after"}, 0, words="adopted"),
    Scenario("start lost on its way", f"{_API}.dicomStores.export", {"drop": "before"}, 0),
    Scenario("start refused", f"{_API}.dicomStores.export", {"status": 400}, 1, operations=0),
    Scenario(
        "grants take time",
        f"{_API}.dicomStores.export",
        {"operation": {"error": {"code": 7, "message": _DENIED}}},
        0,
        operations=3,
        times=2,
        words="started anew",
    ),
    Scenario(
        "grants never come",
        f"{_API}.dicomStores.export",
        {"operation": {"error": {"code": 7, "message": _DENIED}}},
        1,
        words="may not write to BigQuery dataset hospital-imaging.dicom",
        more="--permission-wait 0",
    ),
    Scenario(
        "operation fails",
        f"{_API}.dicomStores.export",
        {"operation": {"error": {"code": 13, "message": "Internal error"}}},
        1,
        words="INTERNAL (13)",
    ),
    Scenario(
        "one instance fails",
        f"{_API}.dicomStores.export",
        {"operation": {"failures": 1}},
        1,
        words="left out 1 of 2 instances",
    ),
    Scenario(
        "record vanishes",
        f"{_API}.dicomStores.export",
        {"operation": {"vanish": True, "seconds": 0.2}},
        6,
        operations=0,
        words="what it did is unknown",
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_faults_end_as_they_should_and_nothing_is_started_twice(filled: Hospital, scenario: Scenario) -> None:
    fault = filled.fault(scenario.method, scenario.effect, scenario.times)
    assert filled(f"{EXPORT} {scenario.more}") == scenario.code, filled.err
    filled.assert_consumed(fault)
    assert len(filled.operations("Export")) == scenario.operations
    assert scenario.words in filled.err
    assert "Traceback" not in filled.err
    assert "pulumi" not in filled.err


@pytest.fixture
def run(filled: Hospital, request: pytest.FixtureRequest) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start the command line as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(line: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "operations", *shlex.split(line)],
            cwd=request.config.rootpath,
            env={**os.environ, **filled.environment},
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
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
    filled: Hospital, run: Callable[[str], "subprocess.Popen[str]"], number: int, code: int
) -> None:
    filled.local.control("PATCH", "settings", {"operationSeconds": 600})
    process = run(f"{EXPORT} --json")
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"started {DATASET}/operations/")
    assert process.stderr.readline().endswith("\n")  # the first look: it waits now
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    (operation,) = filled.operations("Export")
    assert process.returncode == code
    assert "Traceback" not in err
    assert f"python -m operations wait {operation['name']}" in err
    assert json.loads(out)["operation"] == operation["name"]
    assert not operation.get("done")
    again = run(f"wait {operation['name']} --timeout 1")
    again.communicate(timeout=60)
    assert again.returncode == 3


def test_the_process_reads_stdin_writes_stdout_and_ends_with_the_exit_code(
    run: Callable[[str], "subprocess.Popen[str]"],
) -> None:
    process = run("filter make --to gs://filters/ct.txt --lines - --json")
    out, err = process.communicate(f"{CT_STUDY}\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["filter"] == "gs://filters/ct.txt"
    process = run("filter check -")
    _, err = process.communicate("StudyInstanceUID\n", timeout=60)
    assert process.returncode == 2
    assert "stdin, line 1:" in err
