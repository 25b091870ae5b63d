"""``gs://`` URIs: sources with wildcards, destinations, filter files.

Wildcards of an import: ``*`` any number of characters but ``/``, ``?`` one, ``**`` any number including ``/``; ``**``
ends the path, perhaps with an extension behind it, and stands alone (discovery document, ``GcsSource.uri``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..core.errors import invalid
from ..core.patterns import Pattern, compiled

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_EXTENSION = re.compile(r"(?:\.[^*?/]*)?")


@dataclass(frozen=True, slots=True)
class Source:
    """The objects of an import.

    Attributes:
        bucket: bucket.
        prefix: what the names start with, up to the first wildcard.
        pattern: what the whole names match.
    """

    bucket: str
    prefix: str
    pattern: Pattern


def parse_source(uri: str) -> Source:
    """The objects that an import's URI stands for.

    Raises:
        ApiError: 400 saying what is wrong with it.
    """
    bucket, name = _split(uri)
    if not name:
        raise invalid(f"invalid Cloud Storage URI {uri!r}: gs://BUCKET/OBJECT is expected, with or without wildcards")
    first = min((at for at in (name.find("*"), name.find("?")) if at >= 0), default=len(name))
    if "**" in name:
        head, _, tail = name.partition("**")
        if "*" in head or "?" in head or not _EXTENSION.fullmatch(tail):
            raise invalid(
                f"invalid Cloud Storage URI {uri!r}: ** must end the path, perhaps with a file extension behind it, "
                "and can't be combined with other wildcards"
            )
    parts = re.split(r"(\*\*|\*|\?)", name)
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    pattern = "".join(wild.get(part) or re.escape(part) for part in parts)
    return Source(bucket, name[:first], compiled(pattern, dot_matches_newline=True))


def parse_object(uri: str) -> tuple[str, str]:
    """Bucket and name of one object.

    Raises:
        ApiError: 400 saying which form is expected.
    """
    bucket, name = _split(uri)
    if not name or "*" in name:
        raise invalid(f"invalid Cloud Storage URI {uri!r}: gs://BUCKET/OBJECT is expected")
    return bucket, name


def parse_prefix(uri: str) -> tuple[str, str]:
    """Bucket and directory of an export's destination; the directory ends in ``/`` or is empty.

    Raises:
        ApiError: 400 saying which form is expected.
    """
    bucket, name = _split(uri)
    return bucket, name if not name or name.endswith("/") else name + "/"


def _split(uri: str) -> tuple[str, str]:
    bucket, slash, name = uri.removeprefix("gs://").partition("/")
    if not uri.startswith("gs://") or not _BUCKET.fullmatch(bucket) or len(name.encode()) > 1024:
        raise invalid(f"invalid Cloud Storage URI {uri[:300]!r}: gs://BUCKET/OBJECT is expected")
    return bucket, name if slash else ""
