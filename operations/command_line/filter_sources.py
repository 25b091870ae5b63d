"""Where the lines of a filter come from: an object, a local file or stdin, a query."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operations.command_line.problems import Problems
from operations.command_line.session import Session
from operations.model.filters import filter_from_lines
from operations.model.invalid import InputError, quoted
from operations.model.resource_names import DicomStoreName
from operations.model.uris import parse_cloud_storage_uri
from operations.run.filter_objects import PreparedFilter, prepare_filter

_BLOCK = 4 * 1024 * 1024
STDIN = "-"


class FileError(InputError):
    """A local file can't be read."""


@dataclass(frozen=True)
class FilterSource:
    """A filter that was asked for; exactly one of the three is set.

    Attributes:
        file: URI of an object that is there already.
        lines: path of a local file, or `-` for stdin; goes into an object in `bucket`.
        query: GoogleSQL; its result goes into an object in `bucket`.
        bucket: where filter files are made.
        query_project: the project in which the query runs; that of the store without it.
        query_location: where it runs, when BigQuery can't tell.
    """

    file: str | None = None
    lines: str | None = None
    query: str | None = None
    bucket: str = ""
    query_project: str | None = None
    query_location: str | None = None

    def prepare(self, store: DicomStoreName, session: Session) -> PreparedFilter:
        """Return the filter file, after making it where it is needed.

        Raises:
            FilterError: a line is no resource path.
            OperationsError: the file can't be made.
        """
        if self.file:
            return PreparedFilter(self.file, "")
        chosen: dict[str, Any] = {"bucket": self.bucket}
        if self.lines:
            chosen["lines"] = checked_lines(self.lines)
        else:
            project = self.query_project or store.project
            chosen |= {"query": self.query, "project": project, "location": self.query_location}
        prepared = prepare_filter(session.connection, store.store, chosen, session.clock)
        session.output.message(f"filter file {prepared.uri}")
        return prepared


def filter_source(options: argparse.Namespace, problems: Problems) -> FilterSource | None:
    """Read the filter options of `export`; None when everything is exported."""
    given = [kind for kind in ("file", "lines", "query") if getattr(options, f"filter_{kind}")]
    if not given:
        for extra in ("bucket", "query_project", "query_location"):
            if getattr(options, f"filter_{extra}"):
                problems.add(f"--filter-{extra.replace('_', '-')}", "is given, but no filter to go with it")
        return None
    if len(given) > 1:
        problems.add(f"--filter-{given[1]}", f"and --filter-{given[0]} are both given; choose one")
        return None
    bucket = problems.read("--filter-bucket", lambda: bucket_name(options.filter_bucket))
    if given != ["file"] and not options.filter_bucket:
        problems.add("--filter-bucket", f"is missing; the filter file made by --filter-{given[0]} goes there")
    query = problems.read("--filter-query", lambda: query_text(options.filter_query))
    return FilterSource(
        file=options.filter_file,
        lines=options.filter_lines,
        query=query,
        bucket=bucket or "",
        query_project=options.filter_query_project,
        query_location=options.filter_query_location,
    )


def bucket_name(text: str | None) -> str | None:
    """Read a bucket's name, with or without `gs://`.

    Raises:
        InputError: it is no bucket's name, or has a path.
    """
    if text is None:
        return None
    place = parse_cloud_storage_uri(text if text.startswith("gs://") else f"gs://{text}")
    if place.path:
        raise FileError(f"{quoted(text)} has a path; write the bucket's name alone")
    return place.bucket


def query_text(text: str | None) -> str | None:
    """Return a query; `@FILE` stands for the content of a file.

    Raises:
        InputError: the file can't be read.
    """
    if text is None or not text.startswith("@"):
        return text
    return b"".join(read_blocks(text[1:])).decode("utf-8", "replace")


def checked_lines(path: str) -> list[str]:
    """Read the lines of a filter, without repetitions.

    Raises:
        FilterError: a line is no resource path, named by the file and the line's number.
        InputError: the file can't be read.
    """
    return filter_from_lines(read_lines(path), title(path)).decode().splitlines()


def title(path: str) -> str:
    """Say what lines are read from."""
    return "stdin" if path == STDIN else path


def read_lines(path: str) -> Iterator[str]:
    r"""Read lines of a local file or of stdin, without their ends (`\n` or `\r\n`)."""
    rest = b""
    for block in read_blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield _text(line)
    if rest:
        yield _text(rest)


def read_blocks(path: str) -> Iterator[bytes]:
    """Read a local file or stdin in blocks.

    Raises:
        InputError: it can't be read.
    """
    try:
        if path == STDIN:
            while block := sys.stdin.buffer.read(_BLOCK):
                yield block
            return
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror or error}") from error


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")
