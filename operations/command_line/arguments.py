"""Commands and their options."""

import argparse
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from operations.command_line.exit_codes import MEANINGS, ExitCode
from operations.command_line.filter_commands import check_command, make_command
from operations.command_line.format_commands import formats_command
from operations.command_line.names import VARIABLES
from operations.command_line.operation_commands import (
    cancel_command,
    describe_command,
    failures_command,
    list_command,
    wait_command,
)
from operations.command_line.plan_command import plan_command
from operations.command_line.run_commands import export_command, import_command
from operations.command_line.session import Session
from operations.model.invalid import InputError
from operations.model.outcome import State
from operations.model.requests import Schema, StorageClass, WhenEmpty, WriteDisposition
from operations.run.slots import MAX_RUNNING

PROGRAM = "python -m operations"
DEFAULT_TIMEOUT = "6h"
DEFAULT_PERMISSION_WAIT = "10m"

Command = Callable[[argparse.Namespace, Session], ExitCode]

_DESCRIPTION = """\
DICOM imports and exports of the Cloud Healthcare API: start them, wait for them, see what came of them.

Results go to stdout, everything else to stderr. Names of datasets, stores and operations are full resource names,
or just their last part where project, location and dataset are known from options or the environment."""

_EXPORT_EXAMPLES = """\
examples:
  # metadata of a store into a table
  {program} export --store pacs --to bq://research.dicom.instances --write-disposition WRITE_TRUNCATE
  # two studies as JPEG files
  printf '/studies/1.2.3\\n/studies/1.2.4\\n' | {program} export --store pacs --to gs://out/jpeg/ \\
      --mime-type jpeg --filter-lines - --filter-bucket hospital-filters"""


class UsageError(InputError):
    """The arguments are not those of any command. `usage` is how they should be."""

    def __init__(self, text: str, usage: str) -> None:
        """Say what is wrong and how it should be."""
        self.usage = usage
        super().__init__(text)


class Parser(argparse.ArgumentParser):
    """A parser that raises what it finds wrong instead of ending the process, and takes no shortened options."""

    def __init__(self, **keywords: Any) -> None:
        """Set what is the same for all commands; the rest is as in argparse."""
        keywords.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(message, self.format_usage().strip())


def parser() -> Parser:
    """Return the parser of the whole command line; the chosen command is in `run`."""
    top = Parser(prog=PROGRAM, description=_DESCRIPTION, epilog=exit_code_help())
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _list(commands)
    _describe(commands)
    _failures(commands)
    _wait(commands)
    _cancel(commands)
    _export(commands)
    _import(commands)
    _filter(commands)
    _plan(commands)
    formats = _command(commands, "formats", "show the formats that `export --mime-type` takes", formats_command)
    _output(formats)
    return top


def exit_code_help() -> str:
    """Return the exit codes as the help shows them."""
    lines = ["exit codes:"]
    for code, meaning in MEANINGS.items():
        lines += textwrap.wrap(meaning, 90, initial_indent=f"  {code:<5d}", subsequent_indent=" " * 7)
    return "\n".join(lines)


def _list(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(commands, "list", "show the operations of a dataset, newest first", list_command)
    command.add_argument("name", nargs="?", metavar="DATASET", help="the dataset; without it, that of --dataset")
    command.add_argument("--running", action="store_true", help="only those that run")
    command.add_argument(
        "--state",
        action="append",
        choices=[
            state.value.replace(" ", "-") for state in State if state not in (State.EXPIRED, State.SKIPPED, State.LOST)
        ],
        help="only those in this state; may be given several times",
    )
    command.add_argument("--limit", type=_count, metavar="N", help="the newest N only")
    _common(command)


def _describe(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(commands, "describe", "show one operation and why it failed", describe_command)
    command.add_argument("name", metavar="NAME", help="the operation")
    command.add_argument("--no-logs", action="store_true", help="leave the entries in Cloud Logging alone")
    _common(command)


def _failures(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(commands, "failures", "show each file or instance that failed, and why", failures_command)
    command.add_argument("name", metavar="NAME", help="the operation")
    _common(command)


def _wait(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(commands, "wait", "wait for an operation, with its progress", wait_command)
    command.add_argument("name", metavar="NAME", help="the operation")
    command.add_argument("--timeout", default=DEFAULT_TIMEOUT, metavar="DURATION", help=_TIMEOUT)
    command.add_argument("--allowed-failures", type=_count, default=0, metavar="N", help=_ALLOWED)
    _common(command)


def _cancel(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(commands, "cancel", "cancel an operation; what it did already stays", cancel_command)
    command.add_argument("name", metavar="NAME", help="the operation")
    command.add_argument("--wait", action="store_true", help="wait until it has ended")
    command.add_argument("--timeout", default=DEFAULT_TIMEOUT, metavar="DURATION", help="with --wait: " + _TIMEOUT)
    _common(command)


def _export(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(
        commands,
        "export",
        "export metadata to BigQuery or instances to Cloud Storage",
        export_command,
        examples=_EXPORT_EXAMPLES.format(program=PROGRAM),
    )
    command.add_argument("--store", required=True, help="the DICOM store")
    command.add_argument(
        "--to",
        required=True,
        metavar="URI",
        help="bq://PROJECT.DATASET.TABLE for metadata, gs://BUCKET/PREFIX for instances",
    )
    table = command.add_argument_group("metadata (bq://)")
    table.add_argument(
        "--write-disposition",
        metavar="|".join(WriteDisposition),
        help="what happens to rows that are in the table; required, there is no default",
    )
    table.add_argument("--schema", metavar="|".join(Schema), help="columns per tag (default), or one JSON column")
    table.add_argument("--include-source-store", action="store_true", help="add the column SourceDicomStore")
    objects = command.add_argument_group("instances (gs://)")
    objects.add_argument(
        "--mime-type",
        metavar="FORMAT",
        help=f"format of the objects; `{PROGRAM} formats` shows them (default: as stored)",
    )
    chosen = command.add_argument_group("filter: what to export; everything without it")
    chosen.add_argument("--filter-file", metavar="gs://…", help="an object with one resource path per line")
    chosen.add_argument("--filter-lines", metavar="FILE", help="a local file of such lines; - is stdin")
    chosen.add_argument(
        "--filter-query", metavar="SQL", help="GoogleSQL that selects such lines in its one column; @FILE reads it"
    )
    chosen.add_argument("--filter-query-project", metavar="PROJECT", help="where the query runs (default: the store's)")
    chosen.add_argument("--filter-query-location", metavar="LOCATION", help="of the query, when BigQuery can't tell")
    chosen.add_argument(
        "--filter-bucket", metavar="BUCKET", help="where the filter file of --filter-lines or --filter-query goes"
    )
    _run_options(command)
    _common(command)


def _import(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(
        commands,
        "import",
        "import DICOM files from Cloud Storage",
        import_command,
        examples=f"example:\n  {PROGRAM} import --store pacs --from 'gs://inbox/2024/**.dcm'",
    )
    command.add_argument("--store", required=True, help="the DICOM store")
    command.add_argument(
        "--from",
        required=True,
        dest="source",
        metavar="URI",
        help="gs://BUCKET/OBJECT; * for any characters but /, ? for one of them, or ** at the end, or **.dcm",
    )
    command.add_argument("--storage-class", metavar="|".join(StorageClass), help="of the imported bulk data")
    _run_options(command)
    _common(command)


def _filter(commands: "argparse._SubParsersAction[Parser]") -> None:
    group = commands.add_parser("filter", help="check and make filter files", epilog=exit_code_help())
    parts = group.add_subparsers(dest="part", required=True, metavar="COMMAND")
    check = _command(parts, "check", "check every line of a filter file", check_command)
    check.add_argument("source", metavar="FILE", help="a local file, - for stdin, or gs://BUCKET/OBJECT")
    _common(check)
    make = _command(parts, "make", "make a filter file in a bucket", make_command)
    source = make.add_mutually_exclusive_group(required=True)
    source.add_argument("--lines", metavar="FILE", help="from a local file of resource paths; - is stdin")
    source.add_argument("--query", metavar="SQL", help="from GoogleSQL that selects them; @FILE reads it")
    make.add_argument("--query-project", metavar="PROJECT", help="where the query runs (default: the project)")
    make.add_argument("--query-location", metavar="LOCATION", help="of the query, when BigQuery can't tell")
    make.add_argument("--to", required=True, metavar="gs://…", help="the object to write")
    make.add_argument("--replace", action="store_true", help="replace an object that exists")
    _common(make)


def _plan(commands: "argparse._SubParsersAction[Parser]") -> None:
    command = _command(
        commands,
        "plan",
        "show which imports and exports of a stack would run again, and why",
        plan_command,
        examples=f"example:\n  pulumi stack export | {PROGRAM} plan",
    )
    command.add_argument(
        "state",
        nargs="?",
        default="-",
        metavar="FILE",
        help="what `pulumi stack export` wrote; - is stdin (the default). Nothing is changed",
    )
    _api(command)
    _output(command)


_TIMEOUT = "how long to wait: 6h, 90m, 1h30m, or seconds (default: %(default)s); the operation itself has no limit"
_RUN_TIMEOUT = "for a free slot, and then for the end: " + _TIMEOUT
_ALLOWED = "instances that may fail before the operation counts as failed (default: %(default)s)"


def _run_options(command: Parser) -> None:
    group = command.add_argument_group("the run")
    group.add_argument("--allowed-failures", type=_count, default=0, metavar="N", help=_ALLOWED)
    group.add_argument("--timeout", default=DEFAULT_TIMEOUT, metavar="DURATION", help=_RUN_TIMEOUT)
    group.add_argument(
        "--when-empty",
        choices=list(WhenEmpty),
        default=WhenEmpty.FAIL.value,
        help="what an empty store, a pattern without objects or a filter query without a result means: an error "
        "(default), or a run that is skipped, with exit status 0",
    )
    group.add_argument("--no-wait", action="store_true", help="start only, and print the operation's name")
    group.add_argument(
        "--permission-wait",
        default=DEFAULT_PERMISSION_WAIT,
        metavar="DURATION",
        help="how long fresh grants of the service agent are waited for (default: %(default)s)",
    )
    group.add_argument(
        "--max-running",
        type=_count,
        default=MAX_RUNNING,
        metavar="N",
        help="start when fewer imports and exports run in the dataset (default: %(default)s)",
    )


def _common(command: Parser) -> None:
    names = command.add_argument_group("short names are completed with")
    for kind, variables in VARIABLES.items():
        names.add_argument(f"--{kind}", help=f"default: {', '.join(f'${name}' for name in variables)}")
    _api(command)
    _output(command)


def _api(command: Parser) -> None:
    where = command.add_argument_group("the API")
    where.add_argument(
        "--endpoint", metavar="URL", help="of the emulator (default: $IMAGING_ENDPOINT, else Google Cloud)"
    )
    where.add_argument(
        "--allow-remote", action="store_true", help="allow an emulator on another machine; nothing is encrypted"
    )
    where.add_argument(
        "--impersonate-service-account", dest="impersonate", metavar="E-MAIL", help="act as this service account"
    )


def _output(command: Parser) -> None:
    command.add_argument("--json", action="store_true", dest="as_json", help="write the result to stdout as JSON")


def _command(
    commands: "argparse._SubParsersAction[Parser]", name: str, title: str, run: Command, examples: str = ""
) -> Parser:
    epilog = f"{examples}\n\n{exit_code_help()}" if examples else exit_code_help()
    command = commands.add_parser(name, help=title, description=f"{title[0].upper()}{title[1:]}.", epilog=epilog)
    command.set_defaults(run=run)
    return command


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write 0 or more")
    return int(text)
