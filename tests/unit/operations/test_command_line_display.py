"""What a person sees: tables, details, the progress line."""

import io
import threading

import pytest
from rich.console import Console

from operations.command_line.views import formats_table, operation_details, operations_table, plain_table, to_text
from operations.command_line.watching import BarWatch, LineWatch, a_person_watches
from operations.command_line.wording import wait_command
from operations.model.mime_types import MIME_TYPES
from operations.model.outcome import Check, ItemError, Outcome, State, seconds_of
from operations.model.requests import make_export
from operations.run.wait import Progress
from tests.unit.operations.service import DATASET, STORE, SimulatedClock

NAME = f"{DATASET}/operations/1234567890123456789"
STARTED = "2024-05-17T09:30:00.123456Z"
NOW = seconds_of("2024-05-17T09:31:14Z")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def running(success: int = 0, failure: int = 0, pending: int = 0) -> Outcome:
    return Outcome(NAME, State.RUNNING, success, failure, pending, api_method="ExportDicomData_bq", start_time=STARTED)


def test_a_running_operation_shows_how_long_it_has_run_so_far() -> None:
    text = to_text(operations_table([running(success=31_400, failure=3, pending=66_709)], NOW))
    row = text.splitlines()[1]
    assert row.startswith("1234567890123456789  ")
    for part in ("export to BigQuery", "running", "31,400", "3", "66,709", "2024-05-17 09:30:00", "1 m 14 s so far"):
        assert part in row


def test_a_method_that_is_not_known_is_shown_as_the_service_names_it() -> None:
    assert "DeidentifyDataset" in to_text(
        operations_table([Outcome(NAME, State.FAILED, api_method="DeidentifyDataset")], NOW)
    )
    assert "unknown" in to_text(operations_table([Outcome(NAME, State.EXPIRED)], NOW))


def test_a_time_that_is_missing_leaves_its_place_empty() -> None:
    row = to_text(operations_table([Outcome(NAME, State.SUCCEEDED)], NOW)).splitlines()[1]
    assert row.split() == ["1234567890123456789", "unknown", "succeeded", "0", "0", "0"]


def test_on_a_narrow_terminal_names_of_operations_stay_whole() -> None:
    text = to_text(operations_table([running()], NOW), width=80)
    assert any(line.startswith("1234567890123456789") for line in text.splitlines())
    assert all(len(line) <= 80 for line in text.splitlines())


def test_text_of_the_service_is_never_read_as_markup() -> None:
    table = plain_table("text")
    table.add_row("[red]gs://a[0-9].dcm :smile:")
    assert "[red]gs://a[0-9].dcm :smile:" in to_text(table)
    outcome = Outcome(NAME, State.FAILED, error_code=3, error_message="[bold]bad[/bold] gs://a[0-9]")
    assert "[bold]bad[/bold] gs://a[0-9]" in operation_details(outcome, NOW)
    console = Console(file=Terminal(), force_terminal=True, width=200)
    with BarWatch(console) as watch:
        watch.say("[/nonsense] service says")
        watch.note("[/nonsense] started")


def test_details_put_checks_failures_and_notes_one_below_the_other() -> None:
    outcome = Outcome(
        NAME,
        State.SUCCEEDED_WITH_FAILURES,
        success=97,
        failure=25,
        start_time=STARTED,
        end_time="2024-05-17T09:31:00.123456Z",
        log_entries=tuple(ItemError(f"gs://in/{number}.dcm", "empty DICOM instance found", 3) for number in range(25)),
        checks=(Check("rows in the table", 97, 97, passed=True),),
        notes=("the log is slow",),
        logs_url="https://console.cloud.google.com/logs",
    )
    text = operation_details(outcome, NOW)
    assert "done       97 instances, 25 failed" in text
    assert "took       1 m" in text
    assert "rate       2 instances/s" in text
    assert "checked    rows in the table: 97" in text
    assert text.count("empty DICOM instance found") == 20
    assert "and 5 more" in text
    assert "note       the log is slow" in text


def test_an_operation_that_is_to_be_cancelled_says_so_while_it_runs() -> None:
    assert "running, to be cancelled" in operation_details(running().with_(cancel_requested=True), NOW)


def test_the_formats_are_all_there_with_their_values() -> None:
    text = to_text(formats_table(MIME_TYPES))
    assert "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50" in text
    assert len(text.splitlines()) == 1 + len(MIME_TYPES)


def test_the_bar_shows_counters_rate_failures_and_time_left_and_then_goes_away() -> None:
    screen = Terminal()
    console = Console(file=screen, force_terminal=True, width=160)
    outcome = running(success=31_397, failure=3, pending=66_712)
    with BarWatch(console) as watch:
        watch.progress(Progress(outcome, 74.0, rate=424.0))
        watch._bar.refresh()
    assert "31,400 of 98,112 instances (32 %), 424/s, 3 failed, about 2 m 37 s left" in screen.getvalue()
    assert screen.getvalue().rstrip("\n").endswith("\x1b[2K")  # the line was taken away


@pytest.mark.parametrize(
    ("stream", "variables", "watched"),
    [
        (Terminal(), {"TERM": "xterm-256color"}, True),
        (Terminal(), {}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
    ],
)
def test_a_bar_is_only_for_a_terminal_that_can_redraw(
    stream: io.StringIO, variables: dict[str, str], watched: bool
) -> None:
    assert a_person_watches(stream, variables) is watched


def test_what_repeats_itself_with_other_numbers_is_written_now_and_then() -> None:
    clock = SimulatedClock()
    err = io.StringIO()
    with LineWatch(err, clock) as watch:
        watch.say("waiting for a place, 5 running")
        for _ in range(10):
            clock.sleep(3)
            watch.say(f"waiting for a place, {clock.time} running")
        watch.say("something else")
    assert err.getvalue().splitlines() == [
        "waiting for a place, 5 running",
        "waiting for a place, 27.0 running",
        "something else",
    ]


def test_silence_is_broken_even_when_nothing_is_reported() -> None:
    class Notifying(io.StringIO):
        written = threading.Event()

        def write(self, text: str) -> int:
            self.written.set()
            return super().write(text)

    err = Notifying()
    watch = LineWatch(err, silence=0.01)
    watch._latest = "the service hasn't answered yet"
    with watch:
        assert err.written.wait(30)
    assert err.getvalue().splitlines()[0] == "the service hasn't answered yet"


def test_no_advice_speaks_of_a_stack() -> None:
    from operations.google import errors
    from operations.model.codes import CODES

    request = make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_EMPTY")
    for code in CODES:
        for message in ("", "Already exists", "Permission denied", "not found"):
            hint = errors.advice(code, message, request, wording=errors.COMMAND_WORDS)
            text = f"{hint.cause} {hint.fix}"
            assert not {"pulumi", "stack", "imaging:"} & set(text.replace("`", " ").split())


def test_the_command_that_waits_again_can_be_pasted_into_a_shell() -> None:
    assert wait_command("a b", "http://h:1/?x=1&y=2") == (
        "python -m operations wait 'a b' --endpoint 'http://h:1/?x=1&y=2'"
    )
