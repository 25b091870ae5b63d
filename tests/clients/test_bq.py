"""``bq`` against the emulator, with the environment that the emulator gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.core.environment import environment
from emulator.server.server import LocalEmulator
from emulator.storage import service as storage

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("bq") is None, reason="bq is not installed"),
]

Bq = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: gcloud, which bq asks for its settings, takes a second longer in an empty one."""
    return tmp_path_factory.mktemp("gcloud")


@pytest.fixture
def bq(emulator: LocalEmulator, configuration: Path) -> Bq:
    settings = {
        **os.environ,
        **environment(emulator.url),
        "CLOUDSDK_CONFIG": str(configuration),
        "CLOUDSDK_CORE_PROJECT": "research-analytics",
        "HOME": str(configuration),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bq", *arguments]
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)

    return run


def well(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def told(answer: subprocess.CompletedProcess[str]) -> str:
    """What bq says, without its line breaks."""
    assert answer.returncode != 0
    return " ".join((answer.stdout + answer.stderr).split())


def query(bq: Bq, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(well(bq("--format=json", "query", "--use_legacy_sql=false", sql)))
    return found


def test_what_can_not_be_is_said_and_fails(bq: Bq) -> None:
    well(bq("mk", "dicom"))
    assert "already exists" in told(bq("mk", "dicom"))
    assert "Unrecognized name: nothing at [1:8]" in told(bq("query", "--use_legacy_sql=false", "SELECT nothing"))
    assert "useLegacySql" in told(bq("query", "SELECT 1"))
    assert "Not found: Table research-" in told(bq("show", "dicom.missing"))


def test_a_table_is_loaded_queried_shown_and_removed(bq: Bq, tmp_path: Path) -> None:
    well(bq("mk", "--location=EU", "--description=metadata", "dicom"))
    lines = tmp_path / "rows.json"
    lines.write_text('{"PatientID": "P1", "Rows": 256, "ImageType": ["ORIGINAL"]}\n{"PatientID": "P2"}\n')
    well(bq("load", "--source_format=NEWLINE_DELIMITED_JSON", "--autodetect", "dicom.instances", str(lines)))
    assert query(bq, "SELECT PatientID, ImageType FROM dicom.instances ORDER BY 1") == [
        {"PatientID": "P1", "ImageType": ["ORIGINAL"]},
        {"PatientID": "P2", "ImageType": []},
    ]
    shown = json.loads(well(bq("show", "--format=json", "dicom.instances")))
    assert (shown["numRows"], shown["location"], shown["type"]) == ("2", "EU", "TABLE")
    listed = json.loads(well(bq("ls", "--format=json", "dicom")))
    assert [entry["tableReference"]["tableId"] for entry in listed] == ["instances"]
    well(bq("rm", "-r", "-f", "dicom"))


def test_views_copies_and_extracts(bq: Bq, emulator: LocalEmulator) -> None:
    well(bq("mk", "dicom"))
    well(bq("query", "--use_legacy_sql=false", "CREATE TABLE dicom.t AS SELECT 1 AS n UNION ALL SELECT 2"))
    view = "SELECT SUM(n) AS total FROM `research-analytics.dicom.t`"
    well(bq("mk", "--use_legacy_sql=false", f"--view={view}", "dicom.v"))
    assert query(bq, "SELECT total FROM dicom.v") == [{"total": "3"}]
    well(bq("cp", "dicom.t", "dicom.u"))
    address = f"{emulator.url}/storage/v1/b?project=research-analytics"
    bucket = urllib.request.Request(address, b'{"name": "research-files"}', method="POST")
    with urllib.request.urlopen(bucket):
        pass
    well(bq("extract", "dicom.u", "gs://research-files/out-*.csv"))
    assert storage.read_object(emulator.emulator, "research-files", "out-000000000000.csv") == b"n\n1\n2\n"
    dry = well(bq("query", "--use_legacy_sql=false", "--dry_run", "SELECT n FROM dicom.t"))
    assert "successfully validated" in dry


def test_parameters_destinations_and_policies(bq: Bq) -> None:
    well(bq("mk", "dicom"))
    sql = "SELECT @patient AS PatientID, @rows * 2 AS n"
    well(
        bq(
            "query",
            "--use_legacy_sql=false",
            "--destination_table=dicom.found",
            "--parameter=patient::P1",
            "--parameter=rows:INT64:4",
            sql,
        )
    )
    assert json.loads(well(bq("--format=json", "head", "dicom.found"))) == [{"PatientID": "P1", "n": "8"}]
    role, member = "roles/bigquery.dataViewer", "user:alice@example.org"
    policy = well(bq("add-iam-policy-binding", f"--member={member}", f"--role={role}", "dicom.found"))
    assert json.loads(policy[policy.index("{") :])["bindings"] == [{"role": role, "members": [member]}]


# What a person types in a row, and a part of what bq says to it; each command works on what those before it left.
SESSION: list[tuple[tuple[str, ...], str]] = [
    (("mk", "--location=EU", "--label=team:radiology", "--default_table_expiration=7200", "dicom"), "created"),
    (("show", "dicom"), "team:radiology"),
    (("update", "--description=metadata", "dicom"), "successfully updated"),
    (("mk", "--time_partitioning_type=DAY", "--clustering_fields=b", "dicom.parts", "a:INTEGER,b:STRING"), "created"),
    (("mk", "--table", "dicom.t", "a:INTEGER,b:STRING"), "created"),
    (("load", "--skip_leading_rows=1", "dicom.t", "{folder}/rows.csv"), ""),
    (("insert", "dicom.t", "{folder}/rows.json"), ""),
    (("update", "--schema={folder}/schema.json", "dicom.t"), "successfully updated"),
    (("head", "-n", "1", "dicom.t"), "| 1 | x |"),
    (("cp", "-a", "dicom.t", "dicom.t_2024"), "successfully copied"),
    (("query", "--use_legacy_sql=false", "SELECT COUNT(*) AS n, MAX(_TABLE_SUFFIX) AS s FROM `dicom.t_*`"), "3 | 2024"),
    (("extract", "--destination_format=NEWLINE_DELIMITED_JSON", "dicom.t", "gs://research-files/t.json"), ""),
    (("mk", "--view=SELECT 1 AS one", "--use_legacy_sql=false", "dicom.v"), "View"),
    (("update", "--view=SELECT 2 AS two", "--use_legacy_sql=false", "dicom.v"), "successfully updated"),
    (("ls", "-j", "-n", "2"), "SUCCESS"),
    (("rm", "-f", "-t", "dicom.parts"), ""),
    (("ls", "dicom"), "t_2024"),
]  # fmt: skip


def test_a_row_of_commands_does_what_it_says(bq: Bq, emulator: LocalEmulator, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "rows.json").write_text('{"a": 3, "b": "z"}\n')
    names = {"a": "INTEGER", "b": "STRING", "c": "DATE"}
    (tmp_path / "schema.json").write_text(json.dumps([{"name": name, "type": kind} for name, kind in names.items()]))
    address = f"{emulator.url}/storage/v1/b?project=research-analytics"
    with urllib.request.urlopen(urllib.request.Request(address, b'{"name": "research-files"}', method="POST")):
        pass
    for command, expected in SESSION:
        said = well(bq(*(part.replace("{folder}", str(tmp_path)) for part in command)))
        assert expected in said, command
    lines = storage.read_object(emulator.emulator, "research-files", "t.json")
    assert lines is not None
    assert len(lines.splitlines()) == 3
    assert json.loads(lines.splitlines()[0]) == {"a": "1", "b": "x"}


def test_a_query_that_costs_too_much_is_not_run(bq: Bq) -> None:
    well(bq("mk", "dicom"))
    well(bq("query", "--use_legacy_sql=false", "CREATE TABLE dicom.t AS SELECT 1 AS n"))
    refused = told(bq("query", "--use_legacy_sql=false", "--maximum_bytes_billed=1000", "SELECT n FROM dicom.t"))
    assert "Query exceeded limit for bytes billed: 1000. 10485760 or higher required" in refused
