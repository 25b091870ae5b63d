"""Filter files: which studies, series and instances an export takes.

One resource path per line, `/studies/{uid}[/series/{uid}[/instances/{uid}]]`, lines end in `\\n` or `\\r\\n`
(https://cloud.google.com/healthcare-api/docs/how-tos/dicom-export-filter). UIDs follow DICOM PS3.5 chapter 9:
digits and dots, up to 64 characters. That chapter allows no component with a leading zero, but archives hold such UIDs,
and what a store holds can be exported: they are taken, and `doubtful_line` tells of them. The pages show paths with a
slash in front; Google's own tool writes them without one (GoogleCloudPlatform/medical-imaging, ilm_lib), so files may
have either, and what is written here has the slash.

Files may have many millions of lines, so they are checked as they stream, block by block, never held whole.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from operations.model.invalid import InputError, quoted

FILTER_LINE_FORM = "/studies/UID[/series/UID[/instances/UID]]"
UID_MAX_LENGTH = 64
MAX_LINE_LENGTH = 65536
MAX_PROBLEMS_SHOWN = 10

_COMPONENT = rb"[0-9]++"
_UID = rb"(?=[0-9.]{1,64}(?![0-9.]))" + _COMPONENT + rb"(?:\." + _COMPONENT + rb")*+"
_PATH = rb"/?+studies/" + _UID + rb"(?:/series/" + _UID + rb"(?:/instances/" + _UID + rb")?+)?+"
_GOOD_LINES = re.compile(rb"(?:" + _PATH + rb"\r?+\n)*+")
_LINE = re.compile(_PATH)
_LEADING_ZERO = re.compile(r"(?:^|[./])0[0-9]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HEADER_ADVICE = (
    "a query result is exported without its header by bq extract --noprint_header or by EXPORT DATA with header=false"
)


class FilterError(InputError):
    """Lines of a filter are not resource paths. `problems` holds (line number, text) of the first ones."""

    def __init__(self, source: str, problems: Sequence[tuple[int, str]], *, more: bool = False) -> None:
        """Describe the bad lines of `source`; `more` tells that checking stopped before the end."""
        self.source = source
        self.problems = tuple(problems)
        lines = [f"{source}, line {number:,}: {text}" for number, text in self.problems]
        if more:
            lines.append(f"{source}: stopped after {len(self.problems)} problems")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class FilterSummary:
    """What is known of a checked filter.

    Attributes:
        lines: how many it has.
        size: in bytes.
        sha256: of its bytes; None when they never passed through this machine.
    """

    lines: int
    size: int
    sha256: str | None


def check_filter(blocks: Iterable[bytes], source: str = "filter") -> FilterSummary:
    """Check a filter file as it streams, in one pass and in constant memory.

    Args:
        blocks: the bytes of the file in pieces of any size.
        source: what to call the file in errors.

    Raises:
        FilterError: there are bad lines (the first ten are named, with their numbers), or no line at all.
    """
    digest = hashlib.sha256()
    size = lines = 0
    rest = b""
    problems: list[tuple[int, str]] = []
    for block in blocks:
        digest.update(block)
        size += len(block)
        text = rest + block if rest else block
        lines, rest = _check_lines(text, lines, problems)
        if len(rest) > MAX_LINE_LENGTH:
            problems.append((lines + 1, f"the line is longer than {MAX_LINE_LENGTH:,} bytes; is this a text file?"))
        if len(problems) >= MAX_PROBLEMS_SHOWN or len(rest) > MAX_LINE_LENGTH:
            raise FilterError(source, problems, more=True)
    if rest:
        lines, _ = _check_lines(rest + b"\n", lines, problems)
    if problems:
        raise FilterError(source, problems)
    if not lines:
        raise FilterError(source, [(1, f"the filter selects nothing; write one {FILTER_LINE_FORM} per line")])
    return FilterSummary(lines, size, digest.hexdigest())


def filter_from_lines(lines: Iterable[str], source: str = "filter") -> bytes:
    """Make the content of a filter file from lines a person wrote: checked, duplicates removed, order kept.

    Raises:
        FilterError: as for `check_filter`.
    """
    problems = []
    kept: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        problem = line_problem(line.encode(), 0)
        if problem:
            problems.append((number, problem))
            if len(problems) >= MAX_PROBLEMS_SHOWN:
                raise FilterError(source, problems, more=True)
        kept["/" + line.removeprefix("/")] = None
    if problems:
        raise FilterError(source, problems)
    if not kept:
        raise FilterError(source, [(1, f"the filter selects nothing; write one {FILTER_LINE_FORM} per line")])
    return "".join(f"{line}\n" for line in kept).encode()


def line_problem(line: bytes, number: int = 0) -> str | None:
    """Say what is wrong with one line, or None when it is a resource path.

    Args:
        line: without its line end.
        number: its number in a file, where the first may be a CSV header; 0 for lines that come from elsewhere.
    """
    if _LINE.fullmatch(line):
        return None
    text = line.decode("utf-8", "replace")
    if not text.strip():
        return f"the line is blank; remove it, every line must be {FILTER_LINE_FORM}"
    if line.startswith(_BYTE_ORDER_MARK):
        return "the file begins with a byte order mark; save it as UTF-8 without one"
    if text != text.strip():
        return f"{quoted(text)} has spaces around it"
    if text.startswith('"') or text.endswith(('"', ",")):
        return f"{quoted(text)} is quoted or has a comma, as in CSV; every line must be just {FILTER_LINE_FORM}"
    if number == 1 and "/" not in text:
        return f"{quoted(text)} looks like a CSV header; {_HEADER_ADVICE}"
    parts = ("/" + text.removeprefix("/")).split("/")
    if parts[1::2] not in (
        ["studies"],
        ["studies", "series"],
        ["studies", "series", "instances"],
    ):
        return f"{quoted(text)} is no resource path; write {FILTER_LINE_FORM}"
    for kind, uid in zip(("study", "series", "instance"), parts[2::2], strict=False):
        problem = _uid_problem(uid)
        if problem:
            return f"{quoted(text)}: the {kind} UID {problem}"
    return f"{quoted(text)} is no resource path; write {FILTER_LINE_FORM}"


def doubtful_line(line: str) -> str | None:
    """Say what is doubtful about a line that is a resource path, or None: it is most likely a typing mistake.

    Args:
        line: without its line end; `line_problem` found nothing wrong with it.
    """
    if _LEADING_ZERO.search(line):
        return f"{quoted(line)} has a UID component with a leading zero, which DICOM does not allow"
    return None


def _check_lines(text: bytes, lines: int, problems: list[tuple[int, str]]) -> tuple[int, bytes]:
    """Check the whole lines of `text`; return the number of lines so far and the unfinished last line."""
    position = 0
    end = text.rfind(b"\n") + 1
    while position < end and len(problems) < MAX_PROBLEMS_SHOWN:
        # One match runs over all good lines and stops at the first bad one.
        match = _GOOD_LINES.match(text, position, end)
        stop = match.end() if match else position
        lines += text.count(b"\n", position, stop)
        if stop < end:
            bad_end = text.index(b"\n", stop)
            lines += 1
            line = text[stop:bad_end].removesuffix(b"\r")
            problems.append(
                (
                    lines,
                    line_problem(line, lines) or f"{quoted(line.decode('utf-8', 'replace'))} is no resource path",
                )
            )
            stop = bad_end + 1
        position = stop
    return lines, text[end:]


def _uid_problem(uid: str) -> str | None:
    if not uid:
        return "is missing"
    if len(uid) > UID_MAX_LENGTH:
        return f"has {len(uid)} characters; {UID_MAX_LENGTH} at most"
    if not re.fullmatch(r"[0-9.]+", uid):
        return "has characters other than digits and dots"
    if uid.startswith(".") or uid.endswith(".") or ".." in uid:
        return "has an empty component"
    return None
