"""What the next `pulumi up` would run again, read from the state of a stack without changing it."""

import json
from pathlib import Path
from typing import Any

import pytest

from operations.command_line.stack_state import read_runs
from operations.google.connection import Connection
from operations.run.record import Record
from tests.unit.operations.command_line import CommandLine
from tests.unit.operations.service import DATASET, STORE, Fault, Service, SimulatedClock

PARENT = "urn:pulumi:test::imaging::imaging:index:DicomExport::metadata"
LAST = f"{DATASET}/operations/7"
# Counts as the state has them: numbers go through the engine as floating-point ones.
METRICS = {"studies": 1.0, "series": 1.0, "instances": 10.0, "blob_bytes": 0.0}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], connection: Connection, clock: SimulatedClock) -> CommandLine:
    return CommandLine(capsys, connection, clock)


def resource(kind: str, outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    type_ = f"pulumi-python:dynamic/imaging:{kind}"
    urn = f"urn:pulumi:test::imaging::imaging:index:DicomExport${type_}::metadata"
    return {"urn": urn, "type": type_, "parent": PARENT, "outputs": outputs, **more}


def started(**more: Any) -> dict[str, Any]:
    outputs = {
        "label": "metadata",
        "method": "export",
        "store": STORE,
        "body": {"bigqueryDestination": {"tableUri": "bq://research.dicom.instances"}},
        "operation": LAST,
        "facts": {"metrics": METRICS},
        "rerun": "when-inputs-change",
        "allowedFailures": 0.0,
        "previous": {"read": True, "operation": f"{DATASET}/operations/3"},
    }
    return resource("StartedOperation", {**outputs, **more})


def awaited(operation: str = LAST, **outcome: Any) -> dict[str, Any]:
    return resource("AwaitedOperation", {"operation": operation, "outcome": {"failure": 0.0, **outcome}})


@pytest.fixture
def plan(cli: CommandLine, tmp_path: Path) -> Any:
    def run(*resources: dict[str, Any], **deployment: Any) -> list[dict[str, Any]]:
        file = tmp_path / "state.json"
        others = [{"urn": f"{PARENT}x", "type": "pulumi:pulumi:Stack"}, {"urn": PARENT, "type": "some:other:Thing"}]
        state = {"version": 3, "deployment": {"resources": [*others, *resources], **deployment}}
        file.write_text(json.dumps(state), encoding="utf-8")
        assert cli(f"plan {file} --json") == 0
        found: list[dict[str, Any]] = json.loads(cli.out)
        assert cli(f"plan {file}") == 0
        return found

    return run


def test_a_run_whose_operation_failed_runs_again(plan: Any, service: Service) -> None:
    failed = service.add(0, error={"code": 8, "message": "quota"})
    (found,) = plan(started(operation=failed))
    assert (found["does"], found["why"]) == ("runs", "the last operation failed with RESOURCE_EXHAUSTED")


def test_a_run_whose_end_is_not_on_record_is_waited_for(plan: Any, service: Service) -> None:
    running = service.add(100)
    (found,) = plan(started(operation=running), awaited())
    assert (found["does"], found["operation"]) == ("waits", running)


def test_a_run_on_record_holds_and_nothing_is_asked(plan: Any, service: Service) -> None:
    (found,) = plan(started(), awaited())
    assert found == {
        "name": "metadata",
        "kind": "export",
        "does": "holds",
        "why": "nothing has changed",
        "operation": LAST,
    }
    assert service.requests == []


def test_a_store_that_changed_since_is_said_with_the_counts(plan: Any, service: Service) -> None:
    service.instances = 98_590
    changing = started(rerun="when-store-changes")
    (found,) = plan(changing, awaited())
    assert (found["does"], found["why"]) == ("runs", "store changed since the last run: 10 → 98,590 instances")


def test_rerun_always_runs(plan: Any) -> None:
    (found,) = plan(started(rerun="always"), awaited())
    assert (found["does"], found["why"]) == ("runs", "rerun is always")


def test_what_can_not_be_seen_is_said_and_no_run_is_planned(plan: Any, cli: CommandLine, service: Service) -> None:
    service.plan("operations.get", Fault(403, "Permission healthcare.operations.get denied"), Fault(403))
    (found,) = plan(started())
    service.assert_consumed()
    assert found["does"] == "unknown"
    assert "can't see whether a new run is needed" in found["why"]
    assert "0 of 1 would run again" in cli.err


def test_an_interrupted_start_is_said_and_not_guessed_at(plan: Any, service: Service) -> None:
    pending = [{"resource": started(), "type": "updating"}]
    (found,) = plan(started(), awaited(), pending_operations=pending)
    assert found["does"] == "unknown"
    assert "python -m operations list" in found["why"]
    first = [{"resource": resource("StartedOperation", {}), "type": "creating"}]
    (found,) = plan(pending_operations=first)
    assert (found["name"], found["does"], found["operation"]) == ("metadata", "unknown", None)
    assert service.requests == []


def test_a_resource_that_is_about_to_be_deleted_is_no_run() -> None:
    state = {"deployment": {"resources": [started() | {"delete": True}, started()]}}
    assert len(read_runs(json.dumps(state))) == 1


def test_runs_of_the_same_name_in_two_components_are_kept_apart() -> None:
    other = awaited(f"{DATASET}/operations/9") | {"parent": f"{PARENT}-other"}
    (run,) = read_runs(json.dumps({"deployment": {"resources": [started(), other]}}))
    assert run.record == Record()


def test_a_stack_without_runs_says_so(plan: Any, cli: CommandLine) -> None:
    assert plan() == []
    assert cli.out == ""
    assert "the stack has no imports and exports" in cli.err


def _secret(**value: str) -> dict[str, str]:
    return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", **value}


def test_secret_settings_are_read_where_the_state_shows_them(plan: Any, service: Service) -> None:
    service.instances = 98_590
    shown = {
        "store": _secret(plaintext=json.dumps(STORE)),
        "facts": {"metrics": _secret(plaintext=json.dumps(METRICS))},
    }
    (found,) = plan(started(rerun="when-store-changes", **shown), awaited())
    assert (found["does"], found["why"]) == ("runs", "store changed since the last run: 10 → 98,590 instances")


def test_encrypted_settings_are_named_with_the_way_to_show_them_and_hide_no_other_run(
    plan: Any, service: Service
) -> None:
    hidden = started(store=_secret(ciphertext="v1:x"), body={"a": [_secret(ciphertext="v1:y")]})
    other = started(label="other") | {"urn": f"{started()['urn']}2"}
    first, second = plan(hidden, other)
    assert (first["does"], first["why"]) == (
        "unknown",
        "its store, body are secret; write `pulumi stack export --show-secrets | python -m operations plan`",
    )
    assert (second["name"], second["does"]) == ("other", "runs")
    # Nothing was asked with a cipher text in it.
    assert service.bodies == []


@pytest.mark.parametrize("wrong", [{"store": "nonsense"}, {"allowedFailures": None}, {"endpoint": "ftp://x"}])
def test_settings_that_can_not_be_read_are_said_of_their_run_alone(wrong: dict[str, Any], plan: Any) -> None:
    bad, good = plan(started(rerun="when-store-changes", **wrong), started(rerun="always"), awaited())
    assert bad["does"] == "unknown"
    assert bad["why"].startswith("its settings in the state can't be read: ")
    assert good["does"] == "runs"
