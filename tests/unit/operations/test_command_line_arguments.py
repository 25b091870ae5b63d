"""What a person can get wrong at the command line: refused before anything is sent, with what to do."""

import json
import re
from pathlib import Path

import pytest

from operations.command_line import main
from operations.command_line.exit_codes import MEANINGS
from operations.command_line.names import defaults
from operations.google.connection import Connection
from operations.model.invalid import InputError
from tests.unit.operations.command_line import CommandLine
from tests.unit.operations.service import DATASET, STORE, Service, SimulatedClock

BQ = "--to bq://research.dicom.instances --write-disposition WRITE_TRUNCATE"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], connection: Connection, clock: SimulatedClock) -> CommandLine:
    return CommandLine(capsys, connection, clock)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("exprot", "invalid choice: 'exprot'"),
        ("export --to bq://a.b.c", "required: --store"),
        (f"export --store {STORE}", "required: --to"),
        (f"export --stor {STORE} {BQ}", "required: --store"),
        (f"export --store {STORE} {BQ} --allowed-failures some", "'some' is no number; write 0 or more"),
        (f"export --store {STORE} {BQ} --allowed-failures -1", "--allowed-failures"),
        ("list --state finished", "invalid choice: 'finished'"),
        ("filter make --to gs://bucket/f.txt", "one of the arguments --lines --query is required"),
        ("filter make --to gs://bucket/f.txt --lines a --query b", "not allowed with argument --lines"),
    ],
)
def test_arguments_of_no_command_are_refused_with_the_usage(
    cli: CommandLine, service: Service, line: str, words: str
) -> None:
    assert cli(line) == 2
    assert cli.err.startswith("usage: python -m operations")
    assert f"error: {words}" in cli.err or words in cli.err.splitlines()[-1]
    assert service.requests == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"export --store {STORE} --to bq://research.dicom.instances", "--write-disposition is missing; choose"),
        (f"export --store {STORE} --to bq://a.b --write-disposition WRITE_EMPTY", "names no table"),
        (f"export --store {STORE} {BQ} --mime-type jpeg", "--mime-type is for gs:// destinations"),
        (f"export --store {STORE} --to gs://out/x --schema json", "--schema is for bq:// destinations"),
        (f"export --store {STORE} --to gs://out/x --mime-type image/jpg", '--mime-type "image/jpg" is no format'),
        (f"export --store {STORE} --to s3://out/x", '"s3://out/x" is no destination'),
        (f"export --store {STORE} {BQ} --timeout soon", '--timeout "soon" is no duration'),
        (f"export --store {STORE} {BQ} --permission-wait=-1m", '"-1m" is no duration'),
        (f"export --store {STORE} {BQ} --filter-lines - --filter-file gs://b/f", "both given; choose one"),
        (f"export --store {STORE} {BQ} --filter-lines -", "--filter-bucket is missing"),
        (f"export --store {STORE} {BQ} --filter-query 'SELECT 1'", "--filter-bucket is missing"),
        (f"export --store {STORE} {BQ} --filter-lines - --filter-bucket gs://b-1/x", "has a path"),
        (f"export --store {STORE} {BQ} --filter-bucket some-bucket", "no filter to go with it"),
        (f"export --store {STORE} {BQ} --filter-file gs://bucket", "--filter-file"),
        (f"export --store {STORE} {BQ} --filter-query @/no/such.sql --filter-bucket b-1", "/no/such.sql can't be read"),
        (f"import --store {STORE} --from gs://inbox/**/x.dcm", "--from"),
        (f"import --store {STORE} --from gs://inbox/a.dcm --storage-class COLD", "--storage-class"),
        (f"describe {STORE}", "is no operation name"),
        ("wait 123", '"123" is a short name'),
        ("cancel 123 --dataset radiology --project hospital", "give --location (or set IMAGING_LOCATION)"),
        ("list", "give --dataset (or set IMAGING_DATASET)"),
        ("filter make --to gs://bucket --lines -", "--to"),
        ("filter make --to gs://bucket/f.txt --query 'SELECT 1'", "--query-project is missing"),
        ("filter check /no/such/file", "/no/such/file can't be read: No such file or directory"),
        ("plan /no/such/file", "/no/such/file can't be read: No such file or directory"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(
    cli: CommandLine, service: Service, line: str, words: str
) -> None:
    assert cli(line) == 2
    assert words in cli.err
    assert cli.out == ""
    assert service.requests == []


def test_all_problems_are_told_at_once_each_with_its_option(cli: CommandLine) -> None:
    assert cli("export --store pacs --to bq://a.b --mime-type jpg --timeout 5x --include-source-store") == 2
    first, *rest = cli.err.splitlines()
    assert first == "error: 5 problems in the arguments"
    assert [line.split()[0] for line in rest] == [
        "--store",
        "--timeout",
        "--to",
        "--write-disposition",
        "--mime-type",
    ]


def test_a_problem_is_a_json_document_when_a_script_reads(cli: CommandLine) -> None:
    assert cli("wait 123 --json") == 2
    document = json.loads(cli.out)
    assert document["exitCode"] == 2
    assert "short name" in document["error"]["message"]
    assert cli("wait --json") == 2
    assert "required: NAME" in json.loads(cli.out)["error"]["message"]


def test_a_filter_file_with_bad_lines_is_refused_with_their_numbers(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "studies.txt"
    file.write_bytes(b"/studies/1.2.3\r\nStudyInstanceUID\n/studies/1.0a.3\n")
    assert cli(f"filter check {file}") == 2
    assert f"{file}, line 2:" in cli.err
    assert f"{file}, line 3:" in cli.err
    assert "characters other than digits and dots" in cli.err
    bucket = "--filter-bucket hospital-filters"
    assert cli(f"export --store {STORE} {BQ} --filter-lines {file} {bucket}") == 2
    assert f"{file}, line 2:" in cli.err


def test_an_empty_filter_file_selects_nothing_and_is_refused(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "studies.txt"
    file.write_bytes(b"")
    assert cli(f"filter check {file}") == 2
    assert "selects nothing" in cli.err


@pytest.mark.parametrize("text", ["", "[]", '{"version": 3}', "no JSON", '{"deployment": null}'])
def test_what_is_no_state_of_a_stack_is_refused_with_the_way_to_get_one(
    cli: CommandLine, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    assert cli(f"plan {file}") == 2
    assert "pulumi stack export | python -m operations plan" in cli.err


def test_an_endpoint_that_is_no_url_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", DATASET, "--endpoint", "localhost"], environment={}) == 2
    assert '"localhost" is not a valid endpoint' in capsys.readouterr().err


def test_a_key_that_is_no_json_is_refused_without_showing_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", DATASET], environment={"GOOGLE_CREDENTIALS": '{"private_key": "secret'}) == 2
    said = capsys.readouterr().err
    assert "GOOGLE_CREDENTIALS is no JSON" in said
    assert "secret" not in said


def test_a_key_file_that_is_not_there_is_exit_4_and_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")
    assert main(["list", DATASET], environment={}) == 4
    said = capsys.readouterr().err
    assert "no Google credentials were found" in said
    assert "/no/such/key.json" in said


def test_a_short_name_is_completed_from_options_before_the_environment() -> None:
    environment = {
        "IMAGING_LOCATION": "us-central1",
        "GOOGLE_CLOUD_PROJECT": "other",
        "CLOUDSDK_HEALTHCARE_DATASET": "radiology",
    }
    names = defaults("hospital", None, None, environment)
    assert str(names.store_name("pacs")) == (
        "projects/hospital/locations/us-central1/datasets/radiology/dicomStores/pacs"
    )
    assert str(names.operation_name("7")).endswith("/datasets/radiology/operations/7")
    assert str(names.dataset_name("ct")) == "projects/hospital/locations/us-central1/datasets/ct"


def test_the_projects_own_variable_counts_before_those_of_other_tools() -> None:
    names = defaults(None, "l", "d", {"CLOUDSDK_CORE_PROJECT": "c", "IMAGING_PROJECT": "a", "GOOGLE_PROJECT": "b"})
    assert names.dataset_name().project == "a"


def test_a_full_dataset_name_completes_short_names_alone() -> None:
    names = defaults(None, None, DATASET, {})
    assert str(names.store_name("pacs")) == STORE
    assert str(names.dataset_name()) == DATASET


def test_a_full_name_needs_no_defaults_and_overrides_them() -> None:
    names = defaults("p", "l", "d", {})
    assert str(names.store_name(STORE)) == STORE
    assert str(names.dataset_name(DATASET)) == DATASET


@pytest.mark.parametrize("text", ["", "two words", "projects/p", "a:b", "ä/ö"])
def test_what_is_neither_a_short_nor_a_full_name_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        defaults("p", "l", "d", {}).store_name(text)


@pytest.mark.parametrize(
    "command", ["", "list", "describe", "failures", "wait", "cancel", "export", "import", "plan", "formats"]
)
def test_every_command_has_help_with_the_exit_codes(cli: CommandLine, command: str) -> None:
    assert cli(f"{command} --help") == 0
    for code in MEANINGS:
        assert f"\n  {code:<5d}" in cli.out


@pytest.fixture
def page(request: pytest.FixtureRequest) -> str:
    return (request.config.rootpath / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_the_page_for_users_tells_every_command_option_and_exit_code(cli: CommandLine, page: str) -> None:
    for code, meaning in MEANINGS.items():
        assert f"| {code:d} | {meaning} |" in page
    for command in (
        "list",
        "describe",
        "failures",
        "wait",
        "cancel",
        "export",
        "import",
        "plan",
        "filter check",
        "filter make",
    ):
        assert f"`{command}" in page
        assert cli(f"{command} --help") == 0
        options = set(re.findall(r"^  (--[a-z-]+)", cli.out, re.MULTILINE))
        assert "--json" in options
        missing = [option for option in sorted(options) if not re.search(rf"{option}(?![a-z-])", page)]
        assert missing == [], command


def test_the_wrong_arguments_on_the_page_are_answered_as_it_shows(cli: CommandLine, page: str) -> None:
    line, answer = re.findall(r"\$ python -m operations (.*soon)\n((?:.+\n)+?)```", page)[0]
    assert cli(line, environment={"IMAGING_DATASET": DATASET}) == 2
    assert cli.err == answer
