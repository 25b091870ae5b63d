"""From a DICOM tag to a BigQuery column: name, type and mode.

Rules: "Understanding the BigQuery DICOM schema" (cloud.google.com/healthcare-api/docs/how-tos/dicom-bigquery-schema).
The type follows from the dictionary's VR and the mode from the dictionary's VM, never from the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pydicom.datadict import dictionary_has_tag, get_entry, mask_match

#: BigQuery type (legacy name) by VR. VRs that are missing here have no column.
TYPES: dict[str, str] = {
    **dict.fromkeys(("AE", "AS", "CS", "LO", "LT", "SH", "ST", "UC", "UI", "UR", "UT", "DS", "IS"), "STRING"),
    "DA": "DATE",
    "TM": "TIME",
    "DT": "TIMESTAMP",
    "PN": "PN",
    "FL": "FLOAT",
    "FD": "FLOAT",
    **dict.fromkeys(("AT", "SL", "SS", "UL", "US", "SV", "UV"), "INTEGER"),
    "SQ": "SQ",
    # Dictionary entries that leave the choice to the data.
    "US or SS": "INTEGER",
}

#: VRs whose elements have a two-byte length in explicit VR, and those that have a four-byte one (PS3.5 7.1.2).
TWO_BYTE_LENGTHS = tuple("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())  # noqa: SIM905
FOUR_BYTE_LENGTHS = tuple("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # noqa: SIM905

#: Elements that hold pixels: bulk data of their own kind.
PIXELS = frozenset({0x7FE00010, 0x7FE00008, 0x7FE00009})

#: Values above this many bytes are left out ("about 1 MB").
LARGEST_VALUE = 1024 * 1024
#: BigQuery allows 15 levels of nested records.
DEEPEST = 15


@dataclass(frozen=True, slots=True)
class Column:
    """Where the values of a tag go.

    Attributes:
        tag: the DICOM tag.
        name: column name: the keyword, or ``Tag_GGGGEEEE``.
        type: a legacy BigQuery type, ``PN``, ``SQ``, or empty for what has no column.
        repeated: whether the dictionary's VM is anything but 1.
        group: ``Id`` of a repeating group's element (``6000``); empty for others.
        private: the group is odd.
        place: what orders columns and tells them apart: the tag, or that of its repeating group.
    """

    tag: int
    name: str
    type: str
    repeated: bool
    group: str
    private: bool
    place: int = -1


@cache
def column_for(tag: int) -> Column:
    """The column of a tag. For private tags the type is empty: what becomes of them depends on the data's VR."""
    name = f"Tag_{tag:08X}"
    if tag >> 16 & 1:
        return Column(tag, name, "", repeated=True, group="", private=True)
    try:
        vr, vm, _, _, keyword = get_entry(tag)
    except KeyError:
        return Column(tag, name, "", repeated=False, group="", private=False)
    # An element with an entry of its own belongs to no repeating group, though it may look so: 0028,0400 and 0028,04x0.
    mask = None if dictionary_has_tag(tag) else mask_match(tag)
    group, place = "", tag
    if mask is not None:
        group = f"{tag >> 16:04X}" if "x" in mask[:4] else f"{tag:08X}"
        # The highest of its tags: the lowest of 0028,04x0 is another element.
        place = int(mask.replace("x", "F"), 16)
    kind = TYPES.get(vr, "")
    repeated = kind == "SQ" or vm != "1"
    return Column(tag, keyword or name, kind if keyword else "", repeated, group, private=False, place=place)


@cache
def dictionary_vr(tag: int) -> str:
    """The dictionary's VR of a public tag (may be ``US or SS`` and the like); ``UN`` if there is none."""
    if tag & 0xFFFF == 0:
        return "UL"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        return get_entry(tag)[0]
    except KeyError:
        return "UN"
