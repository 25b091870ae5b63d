"""What came of a command, as text for a person and as JSON for a script. Everything here is data in, text out.

The JSON keys are those of the stack's outputs (`startTime`, `logsUrl`, …).
"""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from operations.google.errors import COMMAND_WORDS, advice
from operations.model.codes import code_of
from operations.model.durations import format_duration
from operations.model.filters import FilterSummary
from operations.model.mime_types import MimeType
from operations.model.outcome import ItemError, Outcome, State, seconds_of
from operations.model.requests import Request
from operations.run.report import result_json

_STYLES = {
    State.RUNNING: "cyan",
    State.SUCCEEDED: "green",
    State.SUCCEEDED_WITH_FAILURES: "yellow",
    State.FAILED: "red",
    State.CANCELLED: "magenta",
    State.EXPIRED: "magenta",
    State.SKIPPED: "cyan",
}
_METHODS = {
    "ExportDicomData_bq": "export to BigQuery",
    "ExportDicomData_gcs": "export to Cloud Storage",
    "ExportDicomData": "export",
    "ImportDicomData": "import",
    "ImportDicomData_gcs": "import",
    "CreateDataset": "create dataset",
    "DeleteStudy": "delete study",
    "DeleteSeries": "delete series",
}
_ITEMS_SHOWN = 20
# Wide enough that nothing is wrapped where nobody looks at the lines.
_PIPE_WIDTH = 10_000


def method_title(api_method: str) -> str:
    """Say what an operation does, in words where they are known."""
    return _METHODS.get(api_method, api_method or "unknown")


def operations_table(outcomes: Iterable[Outcome], now: float) -> Table:
    """Return a table of operations in the order given.

    Args:
        outcomes: as read from the service.
        now: seconds since 1970, for how long the running ones have run.
    """
    table = plain_table("operation", "does", "state", ">done", ">failed", ">pending", "started (UTC)", ">took")
    for outcome in outcomes:
        table.add_row(
            outcome.operation.rpartition("/")[2],
            method_title(outcome.api_method),
            Text(outcome.state, style=_STYLES[outcome.state]),
            f"{outcome.success:,}",
            f"{outcome.failure:,}",
            f"{outcome.pending:,}",
            moment(outcome.start_time),
            _took(outcome, now),
        )
    return table


def failures_table(items: Iterable[ItemError]) -> Table:
    """Return a table of what failed, and why."""
    table = plain_table("file or instance", "code", "why")
    for item in items:
        table.add_row(item.source, code_of(item.code).name if item.code else "", item.message)
    return table


def operation_details(outcome: Outcome, now: float, request: Request | None = None) -> str:
    """Return everything that is known of one operation, one thing per line."""
    rows = [
        ("operation", outcome.operation),
        ("does", method_title(outcome.api_method)),
        ("state", outcome.state.value + (", to be cancelled" if _being_cancelled(outcome) else "")),
        ("done", _counters(outcome)),
        ("started", _with_utc(moment(outcome.start_time))),
        ("ended", _with_utc(moment(outcome.end_time))),
        ("took", _took(outcome, now)),
        ("rate", f"{outcome.rate:,.0f} instances/s" if outcome.rate and outcome.rate >= 1 else ""),
    ]
    if outcome.error_code:
        code = code_of(outcome.error_code)
        hint = advice(code, outcome.error_message, request, wording=COMMAND_WORDS)
        rows += [
            ("reason", f"{code.name} ({outcome.error_code}): {outcome.error_message}"),
            ("cause", hint.cause),
            ("fix", hint.fix),
        ]
    rows += [("checked", str(check)) for check in outcome.checks]
    items = outcome.item_errors
    rows += [("failure", str(item)) for item in items[:_ITEMS_SHOWN]]
    if len(items) > _ITEMS_SHOWN:
        rows.append(("", f"and {len(items) - _ITEMS_SHOWN:,} more"))
    rows += [("note", note) for note in outcome.notes]
    rows.append(("logs", outcome.logs_url))
    return labelled(rows)


def operation_json(
    outcome: Outcome, request: Request | None = None, *, filter_uri: str | None = None
) -> dict[str, Any]:
    """Return an operation for a script.

    Args:
        outcome: of it.
        request: what was asked for, when this command asked for it: adds destination and rows.
        filter_uri: the filter file that the request names.
    """
    if request is None:
        return outcome.to_json()
    return {**result_json(request, outcome), "filter": filter_uri}


def formats_table(mime_types: Sequence[MimeType]) -> Table:
    """Return a table of the export formats."""
    table = plain_table("name", "value", "what it is", "extension")
    for mime_type in mime_types:
        table.add_row(mime_type.name, mime_type.value, mime_type.title, mime_type.extension or "none")
    return table


def filter_text(source: str, summary: FilterSummary) -> str:
    """Say what a checked filter file holds."""
    lines = "1 line" if summary.lines == 1 else f"{summary.lines:,} lines"
    digest = f", SHA-256 {summary.sha256}" if summary.sha256 else ""
    return f"{source}: {lines}, {summary.size:,} bytes{digest}"


def filter_json(source: str, summary: FilterSummary) -> dict[str, Any]:
    """Return a checked filter file for a script; `sha256` is null for one that BigQuery and Cloud Storage made."""
    return {"filter": source, "lines": summary.lines, "bytes": summary.size, "sha256": summary.sha256}


def labelled(rows: Iterable[tuple[str, str]]) -> str:
    """Put labels and texts side by side; a row without text is left out."""
    kept = [(label, text) for label, text in rows if text]
    width = max((len(label) for label, _ in kept), default=0)
    indent = " " * (width + 2)
    return "\n".join(f"{label:<{width}}  {text.replace(chr(10), chr(10) + indent)}" for label, text in kept)


def plain_table(*headers: str) -> Table:
    """Return an empty table without lines; `>` before a header puts its column to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, header in enumerate(headers):
        table.add_column(
            header.removeprefix(">"),
            justify="right" if header.startswith(">") else "left",
            overflow="fold",
            no_wrap=number == 0,
        )
    return table


def to_text(renderable: RenderableType, width: int | None = None) -> str:
    """Return what a file or a pipe gets of a table: no colours, and without `width` nothing wrapped or shortened."""
    target = io.StringIO()
    plain_console(target, width=width or _PIPE_WIDTH, no_color=True, force_terminal=False).print(renderable)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def plain_console(file: TextIO, **options: Any) -> Console:
    """Return a console that takes texts as they are: brackets and colons in what the service says mean nothing."""
    return Console(file=file, markup=False, emoji=False, highlight=False, **options)


def moment(time: str) -> str:
    """Return an RFC 3339 time as `2024-05-17 09:30:00`, in UTC; empty when there is none."""
    seconds = seconds_of(time) if time else 0.0
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else ""


def _with_utc(text: str) -> str:
    return f"{text} UTC" if text else ""


def _being_cancelled(outcome: Outcome) -> bool:
    return outcome.cancel_requested and not outcome.done


def _counters(outcome: Outcome) -> str:
    parts = [f"{outcome.success:,} instances"]
    if outcome.failure:
        parts.append(f"{outcome.failure:,} failed")
    if outcome.pending:
        parts.append(f"{outcome.pending:,} pending")
    return ", ".join(parts)


def _took(outcome: Outcome, now: float) -> str:
    if outcome.seconds is not None:
        return format_duration(outcome.seconds)
    if outcome.done or not outcome.start_time:
        return ""
    return f"{format_duration(max(now - seconds_of(outcome.start_time), 0.0))} so far"
