"""The whole job on the local emulator: upload, import, export, and both reference questions answered.

``make demo`` runs it from a clean checkout. It starts an emulator, uploads the DICOM files that ship inside the
pydicom package, runs ``pulumi up`` for the stack ``dev`` (Pulumi.dev.yaml), answers *which images does this patient
have* and *which studies are the latest* from the exported metadata, runs ``pulumi up`` again, and takes everything
down. With ``KEEP=1`` in the environment emulator and stack stay; ``make down`` ends them. With ``FILES=DIR`` it takes a
folder of one's own DICOM files instead, which is only read.

Exit status: 0 when everything went well, 1 when a step failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

import emulator.core.environment
import engine
from components.resources.reference_queries import load_query

yaml: Any = importlib.import_module("yaml")  # it has no type stubs
ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local" / "demo"
PORT = 8085
URL = f"http://127.0.0.1:{PORT}"
STACK = "dev"

#: Where the demo's images are put before the stack exists; Pulumi.dev.yaml imports from this bucket.
PROJECT = "hospital-imaging"
INBOX = "hospital-dicom-inbox"
INBOX_LOCATION = "EU"

#: The exported metadata, as Pulumi.dev.yaml has it.
RESEARCH_PROJECT = "research-analytics"
TABLE = "research-analytics.dicom.instances"

#: Where nobody watches (a pipeline's log) lines may be longer than the 80 characters that are assumed there.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

#: Of a long answer so many rows are shown, of a long UID so many characters.
ROWS_SHOWN = 10
UID_SHOWN = 22

#: Bytes of an object's name; uploads that run side by side.
LONGEST_NAME = 1024
UPLOADS_AT_ONCE = 8

#: Failures that are allowed where nobody can know how many there are.
ANY_NUMBER = 1_000_000_000

#: Outputs are shown as tables afterwards; a local backend has no page to link to.
QUIETLY = ("--yes", "--skip-preview", "--suppress-outputs", "--suppress-permalink=true")


class DemoError(Exception):
    """A step failed; the text says which, and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo or, with ``--down``, end what it left; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="The whole job on the local emulator.")
    parser.add_argument(
        "--files",
        type=Path,
        metavar="DIR",
        default=os.environ.get("FILES") or None,
        help="a folder of your own DICOM files, of any names and depth, which is only read (default: $FILES)",
    )
    parser.add_argument("--down", action="store_true", help="end the emulator and the stack that KEEP=1 left up")
    options = parser.parse_args(arguments)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    try:
        if options.down:
            down()
        else:
            demo(keep=keep, folder=options.files and options.files.expanduser())
    except DemoError as error:
        console.print(f"[bold red]error:[/] {error}")
        return 1
    except KeyboardInterrupt:
        console.print("\ninterrupted; nothing was left running")
        return 130
    return 0


def demo(*, keep: bool, folder: Path | None) -> None:
    """All steps, in order, on the files of a folder or, without one, on those of the pydicom package."""
    started = time.monotonic()
    images = files_of(folder) if folder else dicom_files()
    configure(any_may_fail=folder is not None)
    with running_emulator(keep=keep):
        step(
            "1",
            f"Upload the files of {folder}"
            if folder
            else "Upload the DICOM files that ship inside the pydicom package",
        )
        upload(images)
        step("2", "pulumi up: dataset, DICOM store, BigQuery dataset, grants, import, exports")
        fresh_stack()
        pulumi("up", *QUIETLY)
        outputs = stack_outputs()
        show_runs(outputs)
        step("3", "The two reference questions, asked of BigQuery")
        answer_questions()
        step("4", "pulumi up again: nothing to do")
        pulumi("up", *QUIETLY, "--expect-no-changes")
        if keep:
            look_around()
        else:
            step("5", "pulumi destroy")
            destroy()
    console.print(f"\nDone in {time.monotonic() - started:.0f} s.", end=" ")
    console.print("" if keep else "Everything was taken down again; `make demo KEEP=1` leaves it up to look around.")


def down() -> None:
    """End the emulator that an earlier run kept, and forget its stack."""
    process_id = kept_emulator()
    if process_id is None:
        console.print("no emulator of an earlier `make demo KEEP=1` is running")
    else:
        try:
            if stack_exists():
                destroy()
        except DemoError as error:
            # Retention and the like may forbid it, as on Google Cloud; here everything goes with the emulator anyway.
            console.print(f"[yellow]warning:[/] {error}; the emulator is ended all the same, with all that is in it")
        os.kill(process_id, signal.SIGTERM)
        console.print(f"emulator (process {process_id}) ended")
    pid_file().unlink(missing_ok=True)
    if stack_exists():
        remove_stack()


# --- the emulator -------------------------------------------------------------------------------------------------


@contextmanager
def running_emulator(*, keep: bool) -> Iterator[None]:
    """An emulator on the demo's port; ended afterwards unless ``keep`` is set and everything went well.

    Raises:
        DemoError: it did not start; the text says why.
    """
    if (process_id := kept_emulator()) is not None:
        raise DemoError(
            f"an emulator of an earlier `make demo KEEP=1` is running (process {process_id}); `make down` ends it"
        )
    STATE.mkdir(parents=True, exist_ok=True)
    log = STATE / "emulator.log"
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [
                sys.executable,
                "-m",
                "emulator",
                "serve",
                "--port",
                str(PORT),
                "--project",
                PROJECT,
                "--project",
                RESEARCH_PROJECT,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            # A process group of its own: Ctrl-C goes to the demo, which ends the emulator last.
            start_new_session=True,
        )
    leave = False
    try:
        assert process.stdout is not None  # noqa: S101 - stdout=PIPE
        line = process.stdout.readline().strip()
        if not line.startswith("ready "):
            process.wait()
            reason = log.read_text(encoding="utf-8").strip() or f"it ended with status {process.returncode}"
            reason = reason.removeprefix("error: ").replace("choose another one with --port", "end what listens there")
            raise DemoError(f"the emulator did not start: {reason}")
        console.print(f"emulator on {URL}, log in {log.relative_to(ROOT)}")
        yield
        leave = keep
    finally:
        if leave:
            pid_file().write_text(f"{process.pid}\n", encoding="utf-8")
        else:
            process.terminate()
            process.wait()


def pid_file() -> Path:
    """Where the process id of a kept emulator is written."""
    return STATE / "emulator.pid"


def kept_emulator() -> int | None:
    """The process id of the emulator that an earlier run kept, if it still runs."""
    try:
        process_id = int(pid_file().read_text(encoding="utf-8"))
        command = Path(f"/proc/{process_id}/cmdline")
        os.kill(process_id, 0)
    except (OSError, ValueError):
        return None
    # Process ids are used again: where the system tells, it must be an emulator.
    if command.exists() and b"emulator" not in command.read_bytes():
        return None
    return process_id


# --- the images ---------------------------------------------------------------------------------------------------


def dicom_files() -> list[tuple[str, Path]]:
    """The DICOM files inside the pydicom package, as (object name, path): good, odd and broken ones.

    Taken is what is named ``.dcm`` or starts like a DICOM file (PS3.10 section 7.1: "DICM" after 128 bytes).
    """
    data = Path(str(files("pydicom") / "data"))
    found = []
    for path in sorted(data.rglob("*")):
        if not path.is_file():
            continue
        with path.open("rb") as file:
            head = file.read(132)
        if path.suffix == ".dcm" or head[128:] == b"DICM":
            found.append((path.relative_to(data).as_posix(), path))
    return found


def files_of(folder: Path) -> list[tuple[str, Path]]:
    """Every file of a folder of one's own, as (object name, path), whatever it is: the import says what is DICOM.

    Raises:
        DemoError: there is no such folder, it can't be read, or there is no file in it.
    """

    def refuse(error: OSError) -> None:
        raise DemoError(f"{error.filename} can't be read: {error.strerror}")

    if not folder.is_dir():
        raise DemoError(f"FILES: {folder} is not a folder; give one with DICOM files")
    found = []
    for where, _, names in os.walk(folder, onerror=refuse):
        found += [Path(where, name) for name in names]
    files = [(_object_name(path.relative_to(folder)), path) for path in sorted(found) if path.is_file()]
    if not files:
        raise DemoError(f"FILES: there is no file in {folder}")
    return files


def _object_name(path: Path) -> str:
    """The path as an object's name: UTF-8 of at most 1,024 bytes without line breaks.

    https://cloud.google.com/storage/docs/objects#naming. What can't be in a name is escaped as in a URL; one that
    is too long keeps its end, behind a digest.
    """
    raw = os.fsencode(path.as_posix())
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = quote(raw, safe="/ ")
    name = re.sub(r"[\r\n]", lambda found: quote(found[0]), name)
    encoded = name.encode()
    if len(encoded) <= LONGEST_NAME:
        return name
    return hashlib.sha256(encoded).hexdigest() + "/" + encoded[-(LONGEST_NAME - 65) :].decode(errors="ignore")


def upload(images: list[tuple[str, Path]]) -> None:
    """Put the files into the inbox bucket, as some other system would have done.

    Raises:
        DemoError: a file can't be read.
    """
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    client = Client(PROJECT, AnonymousCredentials(), client_options=ClientOptions(api_endpoint=URL))  # type: ignore[no-untyped-call]
    bucket = client.create_bucket(INBOX, location=INBOX_LOCATION)
    from rich.progress import track

    def put(image: tuple[str, Path]) -> int:
        name, path = image
        try:
            bucket.blob(name).upload_from_filename(str(path), content_type="application/dicom")
        except OSError as error:
            raise DemoError(f"{path} can't be read: {error.strerror}") from None
        return path.stat().st_size

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        sizes = pool.map(put, images)
        size = sum(
            track(
                sizes,
                description=f"uploading to gs://{INBOX}",
                total=len(images),
                console=console,
                transient=True,
            )
        )
    console.print(f"{len(images):,} files, {size / 1e6:,.1f} MB, are in gs://{INBOX}")


# --- pulumi -------------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """The environment for ``pulumi`` against the local backend and the emulator: what ``make env`` exports."""
    return {**os.environ, **engine.environment(ROOT), **emulator.core.environment.environment(URL)}


def pulumi(*arguments: str, quiet: bool = False) -> str:
    """Run ``pulumi`` on the demo's stack and return what it printed, if ``quiet``.

    Raises:
        DemoError: it failed.
    """
    command = ["pulumi", *arguments]
    if arguments[0] != "stack":
        command += ["--stack", STACK, "--config-file", str(stack_file())]
    if quiet or not sys.stdout.isatty():
        command.append("--non-interactive")
    pipe = subprocess.PIPE if quiet else None
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, stdout=pipe, stderr=pipe)  # noqa: S603
    try:
        output, errors = process.communicate()
    except KeyboardInterrupt:
        # Ctrl-C reached pulumi too: it cancels what it is doing and saves its state. Wait for that.
        process.wait()
        raise
    if process.returncode != 0:
        if quiet:
            console.print(output, errors, markup=False)
        raise DemoError(f"`pulumi {arguments[0]}` failed with exit status {process.returncode}; its output is above")
    return output or ""


def stack_file() -> Path:
    """The configuration that the demo's stack has: Pulumi.dev.yaml, or a copy of it that allows every failure."""
    changed = STATE / f"Pulumi.{STACK}.yaml"
    return changed if changed.exists() else ROOT / f"Pulumi.{STACK}.yaml"


def configure(*, any_may_fail: bool) -> None:
    """Choose the configuration: nobody knows how many files of a person's own folder are no DICOM instances."""
    changed = STATE / f"Pulumi.{STACK}.yaml"
    if not any_may_fail:
        changed.unlink(missing_ok=True)
        return
    content = yaml.safe_load((ROOT / f"Pulumi.{STACK}.yaml").read_text(encoding="utf-8"))
    for run in content["config"]["imaging:imports"] + content["config"]["imaging:exports"]:
        run["allowedFailures"] = ANY_NUMBER
    STATE.mkdir(parents=True, exist_ok=True)
    changed.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def stack_exists() -> bool:
    """Whether an earlier run left the stack."""
    stacks = json.loads(pulumi("stack", "ls", "--json", quiet=True))
    return any(stack["name"] == STACK for stack in stacks)


def fresh_stack() -> None:
    """An empty stack: what an earlier run's emulator held is gone with it."""
    if stack_exists():
        remove_stack()
    pulumi("stack", "init", STACK, quiet=True)


def remove_stack() -> None:
    """Forget the stack but not its configuration."""
    pulumi("stack", "rm", STACK, "--yes", "--force", "--preserve-config", quiet=True)


def destroy() -> None:
    """Delete what the stack declared, images and tables with it, and forget the stack."""
    said = pulumi("destroy", *QUIETLY, quiet=True)
    deleted = [line.strip(" -") for line in said.splitlines() if line.strip().startswith("- ") and "deleted" in line]
    console.print(f"{deleted[-1] if deleted else 'nothing to delete'}")
    remove_stack()


def stack_outputs() -> dict[str, Any]:
    """The stack's outputs."""
    outputs: dict[str, Any] = json.loads(pulumi("stack", "output", "--json", "--stack", STACK, quiet=True))
    return outputs


# --- what a person sees -------------------------------------------------------------------------------------------


def step(number: str, text: str) -> None:
    """A heading."""
    console.print(f"\n[bold]{number}. {text}[/]")


def show_runs(outputs: dict[str, Any]) -> None:
    """The imports and exports with their counters, and why files were refused."""
    table = Table(title="Imports and exports", title_justify="left")
    for column in ("run", "state", "destination"):
        table.add_column(column)
    for column in ("success", "failure", "rows"):
        table.add_column(column, justify="right")
    failed: list[tuple[str, str]] = []
    for kind in ("imports", "exports"):
        for name, run in outputs[kind].items():
            figures = [str(run.get(key, "")) for key in ("success", "failure", "rows")]
            table.add_row(f"{kind[:-1]} {name}", run["state"], run["destination"], *figures)
            if run.get("failure"):
                failed += failures(run["operation"])
    console.print(table)
    if failed:
        show_failures(failed)


def failures(operation: str) -> list[tuple[str, str]]:
    """Everything that failed in an operation, as (file or instance, reason), by the project's own command."""
    command = [sys.executable, "-m", "operations", "failures", operation, "--json"]
    done = subprocess.run(  # noqa: S603 - our own module
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"`python -m operations failures {operation}` failed:\n{done.stderr.strip()}")
    return [(one["source"], one["message"]) for one in json.loads(done.stdout)["failures"]]


def show_failures(failed: list[tuple[str, str]]) -> None:
    """What failed, a row for each reason, those with most files first."""
    by_reason: dict[str, list[str]] = {}
    for resource, reason in failed:
        by_reason.setdefault(reason, []).append(resource.removeprefix(f"gs://{INBOX}/"))
    table = Table(title="What was refused, as the stack allows it, and why", title_justify="left")
    table.add_column("files", justify="right")
    table.add_column("reason")
    table.add_column("for example")
    reasons = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    for reason, names in reasons[:ROWS_SHOWN]:
        table.add_row(f"{len(names):,}", reason, names[0])
    console.print(table)
    if len(reasons) > ROWS_SHOWN:
        console.print(f"and {len(reasons) - ROWS_SHOWN} more reasons")
    console.print("While the stack is up (KEEP=1), `allFailures` in its outputs is the command that lists every file.")


@dataclass(frozen=True)
class Question:
    """A reference question: what it asks, and the name of its query in ``queries/``."""

    title: str
    query: str
    parameters: dict[str, Any]


def answer_questions() -> None:
    """Ask both reference questions and show the answers as tables."""
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    client = bigquery.Client(RESEARCH_PROJECT, AnonymousCredentials(), client_options=ClientOptions(api_endpoint=URL))  # type: ignore[no-untyped-call]
    busiest = f"SELECT PatientID FROM `{TABLE}` WHERE PatientID != '' GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT 1"  # noqa: S608
    patients = [row["PatientID"] for row in client.query_and_wait(busiest)]
    if not patients:
        console.print("No instance that was stored has a PatientID.")
    of_patient = [
        Question(f"Which images does patient {patient} have?", "patient_images", {"patient_id": patient})
        for patient in patients
    ]
    for question in (*of_patient, Question("Which studies are the latest?", "latest_studies", {"limit": 10})):
        sql = load_query(question.query, f"bq://{TABLE}")
        parameters = [
            bigquery.ScalarQueryParameter(name, "INT64" if isinstance(value, int) else "STRING", value)
            for name, value in question.parameters.items()
        ]
        rows = client.query_and_wait(sql, job_config=bigquery.QueryJobConfig(query_parameters=parameters))
        table = Table(title=f"{question.title}  (queries/{question.query}.sql)", title_justify="left")
        for column in rows.schema:
            table.add_column(column.name, justify="right" if column.field_type == "INTEGER" else "left")
        answers = [[_shown(name, value) for name, value in row.items()] for row in rows]
        for answer in answers[:ROWS_SHOWN]:
            table.add_row(*answer)
        console.print(table)
        if len(answers) > ROWS_SHOWN:
            console.print(f"and {len(answers) - ROWS_SHOWN} more")


def _shown(column: str, value: Any) -> str:
    """A value for a table; of a long UID the end, which tells it from its neighbours."""
    text = "" if value is None else str(value)
    return f"…{text[-UID_SHOWN:]}" if column.endswith("UID") and len(text) > UID_SHOWN + 1 else text


def look_around() -> None:
    """How to go on with what was left up."""
    shown = stack_file().relative_to(ROOT)
    configured = "" if shown.parent == Path() else f" --config-file {shown}"
    ways = (
        (f"{URL}/", "stores, operations, tables and a query box in the browser"),
        ('eval "$(make -s env)"', "pulumi, gcloud and the Google clients on the emulator, in this shell"),
        (f"pulumi stack output --stack {STACK}", "what the stack knows of every run"),
        (f"pulumi up --stack {STACK}{configured}", f"nothing to do; change {shown} and run it again"),
        (
            ".venv/bin/python -m operations list",
            "the operations of the dataset; also: gcloud healthcare operations list --dataset=radiology",
        ),
        ("make down", "end it all"),
    )
    console.print("\nThe emulator and the stack are still up. To look around:\n")
    for what, meaning in ways:
        console.print(f"  {what:<36}  {meaning}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
