"""From the bytes of an element's value to Python values, and from those to what BigQuery takes.

Encodings: DICOM PS3.5 6.2 (value representations) and 6.1.2 (character sets).
"""

from __future__ import annotations

import math
import re
import struct
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes

from .name_parts import NAME_GROUPS, NAME_PARTS

#: VRs with the default repertoire only, several values apart by backslashes.
ASCII_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"})
#: VRs whose text depends on the Specific Character Set, several values apart by backslashes.
TEXT_VRS = frozenset({"LO", "SH", "UC", "PN"})
#: One text that may contain backslashes.
LONG_TEXT_VRS = frozenset({"LT", "ST", "UT"})
#: Number VRs: struct code and size of one value.
NUMBER_VRS = {
    "US": ("H", 2),
    "SS": ("h", 2),
    "UL": ("I", 4),
    "SL": ("i", 4),
    "UV": ("Q", 8),
    "SV": ("q", 8),
    "FL": ("f", 4),
    "FD": ("d", 8),
}
BINARY_VRS = frozenset({"OB", "OW", "OD", "OF", "OL", "OV", "UN"})

_DEFAULT = ("iso8859",)
_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}
_NAME_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, ord("^"), ord("=")}


@lru_cache(maxsize=256)
def encodings_of(value: bytes) -> tuple[str, ...]:
    """Python codecs for a Specific Character Set (0008,0005).

    Args:
        value: the raw value; empty stands for the default repertoire.
    """
    names = [part.strip() for part in value.decode("ascii", "replace").rstrip("\0 ").split("\\")]
    if not any(names):
        return _DEFAULT
    try:
        return tuple(convert_encodings(names))
    except (LookupError, ValueError):
        return _DEFAULT


def text_values(vr: str, value: bytes, encodings: tuple[str, ...]) -> list[str]:
    """The texts of an element; empty ones among several stay, an empty element has none."""
    if vr in LONG_TEXT_VRS or vr == "UR":
        text = _decoded(value, encodings if vr != "UR" else _DEFAULT, _DELIMITERS).rstrip("\0 ")
        return [text.replace("\0", "")] if text else []
    if vr in ASCII_VRS:
        text = value.decode("iso8859")
        parts = text.split("\\")
    elif len(encodings) == 1:
        # One code for all of the value: in GBK and GB18030 the second byte of a character may be a backslash.
        parts = _decoded(value, encodings, _DELIMITERS).split("\\")
    else:
        delimiters = _NAME_DELIMITERS if vr == "PN" else _DELIMITERS
        parts = [_decoded(part, encodings, delimiters) for part in value.split(b"\\")]
    strip = "\0 " if vr != "UI" else "\0 \t\r\n"
    cleaned = [part.strip(strip).replace("\0", "") for part in parts]
    if vr == "UC":
        cleaned = [part.rstrip("\0 ").replace("\0", "") for part in parts]
    return cleaned if len(cleaned) > 1 or cleaned[0] else []


def _decoded(value: bytes, encodings: tuple[str, ...], delimiters: set[int]) -> str:
    if value.isascii() and b"\x1b" not in value and b"\\" not in value and b"~" not in value:
        return value.decode("ascii")
    try:
        return decode_bytes(value, encodings, delimiters)
    except (LookupError, UnicodeError, ValueError):
        return value.decode("ascii", "replace")


def number_values(vr: str, value: bytes, *, little: bool) -> list[int] | list[float]:
    """The numbers of an element.

    Raises:
        ValueError: the length of the value is no multiple of the size of one number.
    """
    code, size = NUMBER_VRS[vr]
    count, rest = divmod(len(value), size)
    if rest:
        raise ValueError(f"{len(value)} bytes are no whole number of {vr} values")
    return list(struct.unpack(f"{'<' if little else '>'}{count}{code}", value))


def tag_values(value: bytes, *, little: bool) -> list[int]:
    """The tags of an AT element as numbers.

    Raises:
        ValueError: the length of the value is no multiple of 4.
    """
    if len(value) % 4:
        raise ValueError(f"{len(value)} bytes are no whole number of tags")
    halves = struct.unpack(f"{'<' if little else '>'}{len(value) // 2}H", value)
    return [group << 16 | element for group, element in zip(halves[::2], halves[1::2], strict=True)]


# -- person names --


def name_groups(text: str) -> dict[str, str]:
    """The component groups of a person name that are not empty (DICOM PS3.5 6.2.1.2)."""
    groups = (group.strip("\0 ") for group in text.split("=")[:3])
    return {key: group for key, group in zip(NAME_GROUPS, groups, strict=False) if group}


def name_record(text: str) -> dict[str, dict[str, str]]:
    """A person name as the BigQuery record: components by group, empty ones left out."""
    record: dict[str, dict[str, str]] = {}
    for key, group in name_groups(text).items():
        parts = [part.strip() for part in group.split("^", 4)]
        named = {part: value for part, value in zip(NAME_PARTS, parts, strict=False) if value}
        if named:
            record[key] = named
    return record


# -- dates and times --

_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)|(\d{4})[.\-/](\d\d)[.\-/](\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6})\d*)?)?)?", re.ASCII)
_DATETIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)", re.ASCII)


def bigquery_date(text: str) -> str:
    """``YYYY-MM-DD`` of a DA value; the separators of ACR-NEMA files are understood.

    Raises:
        ValueError: it is not the date of one day.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("no date")
    year, month, day = (int(part) for part in found.groups() if part)
    return date(year, month, day).isoformat()


def bigquery_time(text: str) -> str:
    """``HH:MM:SS[.ffffff]`` of a TM value; what is missing at its end counts as zero.

    Raises:
        ValueError: it is no time of a day (a leap second is none in BigQuery).
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("no time")
    hour, minute, second = (int(found[n] or 0) for n in (1, 2, 3))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no time of a day")
    fraction = f".{found[4]:0<6}" if found[4] else ""
    return f"{hour:02}:{minute:02}:{second:02}{fraction}"


def bigquery_timestamp(text: str, offset: str) -> str:
    """A UTC timestamp of a DT value; what is missing at its end is taken as small as can be.

    Args:
        text: the value.
        offset: the instance's Timezone Offset From UTC (``+0100``), for values without an offset of their own.

    Raises:
        ValueError: it is no moment in time.
    """
    found = _DATETIME.fullmatch(text)
    if found is None:
        raise ValueError("no date and time")
    year, month, day, hour, minute, second = (
        int(found[n]) if found[n] else low for n, low in zip(range(1, 7), (1, 1, 1, 0, 0, 0), strict=True)
    )
    micro = int(f"{found[7]:0<6}") if found[7] else 0
    zone: timezone = UTC
    if shift := _OFFSET.fullmatch(found[8] or offset):
        minutes = int(shift[2]) * 60 + int(shift[3])
        if int(shift[3]) > 59 or minutes > (12 * 60 if shift[1] == "-" else 14 * 60):
            raise ValueError("no offset, which are from -1200 to +1400: it may be a range of years")
        zone = timezone(timedelta(minutes=-minutes if shift[1] == "-" else minutes))
    try:
        moment = datetime(year, month, day, hour, minute, second, micro, zone).astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None
    shown = moment.replace(tzinfo=None).isoformat(sep=" ")
    return f"{shown}+00:00"


# -- any value to any column --


def to_string(value: Any, vr: str = "FD") -> str:
    """A value as text; floating-point numbers with as many digits as they need to be read back.

    Args:
        value: text or number.
        vr: ``FL`` for numbers of 32 bits.
    """
    if not isinstance(value, float):
        return str(value)
    if vr == "FL" and math.isfinite(value):
        texts = (f"{value:.{digits}g}" for digits in range(6, 10))
        return next(text for text in texts if struct.pack("f", float(text)) == struct.pack("f", value))
    return repr(value).removesuffix(".0")


def to_integer(value: Any) -> int:
    """A value as an INT64.

    Raises:
        ValueError: it is no whole number, or too large.
    """
    number = int(value)
    if isinstance(value, float) and value != number:
        raise ValueError("not whole")
    if not -(2**63) <= number < 2**63:
        raise ValueError("larger than an INT64")
    return number


def to_float(value: Any) -> float | str:
    """A value as a FLOAT64; what JSON has no number for as the text that BigQuery reads.

    Raises:
        ValueError: it is no number.
    """
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
