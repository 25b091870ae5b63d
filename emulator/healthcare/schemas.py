"""BigQuery schemas of exported metadata, as TableFieldSchema objects.

Layouts: "Understanding the BigQuery DICOM schema"; the JSON layout is the discovery document's ``SchemaJSON``. Which
columns a flattened table has beside those of DICOM, and their order, no page says; they are as in a table that was
exported in November 2023 (xlang-ai/Spider2, spider2-snow/resource/databases/IDC/IDC_V17/DICOM_METADATA.json).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .dicom.name_parts import NAME_GROUPS, NAME_PARTS

Field = dict[str, Any]


def _field(name: str, kind: str, *, repeated: bool = False, fields: list[Field] | None = None) -> Field:
    found: Field = {"name": name, "type": kind, "mode": "REPEATED" if repeated else "NULLABLE"}
    if fields is not None:
        found["fields"] = fields
    return found


#: Columns behind the DICOM ones, and what names the store if that is asked for.
_VERSION_COLUMNS = [_field("Type", "STRING"), _field("LastUpdated", "TIMESTAMP")]
_STORAGE_COLUMNS = [_field("StorageClass", "STRING"), _field("BlobStorageSize", "INTEGER")]
#: ``Type`` of a new instance in the flattened layout, as seen; the document of the JSON layout says ``INSERT``.
CREATED = "CREATE"
INSERTED = "INSERT"
SOURCE_COLUMN = _field("SourceDicomStore", "STRING")
_DROPPED = _field(
    "DroppedTags",
    "RECORD",
    repeated=True,
    fields=[_field("TagName", "STRING"), _field("TagReference", "STRING")],
)
_OTHER = _field(
    "OtherElements",
    "RECORD",
    repeated=True,
    fields=[_field("Tag", "STRING"), _field("Data", "STRING", repeated=True)],
)
_NAME_FIELDS = [
    _field(group, "RECORD", fields=[_field(part, "STRING") for part in NAME_PARTS]) for group in NAME_GROUPS
]


def flattened(shapes: Iterable[list[list[Any]]], *, source: bool) -> list[Field]:
    """The schema that holds the rows of all these shapes.

    Args:
        shapes: columns as :func:`emulator.healthcare.dicom.convert.described` gives them.
        source: whether the store's name is a column.
    """
    columns: _Columns = {}
    for shape in shapes:
        _unite(columns, shape)
    fields = [field for field in _fields(columns) if field["name"] != "DroppedTags"]
    # Always there, so that a query for what was dropped works whether or not anything was.
    fields += [_DROPPED, *_VERSION_COLUMNS, *_STORAGE_COLUMNS]
    return [*fields, SOURCE_COLUMN] if source else fields


#: By class and tag: name, type, repeated, children.
_Columns = dict[tuple[int, int], tuple[str, str, bool, "_Columns"]]


def _unite(columns: _Columns, shape: list[list[Any]]) -> None:
    for order, tag, name, kind, repeated, children in shape:
        known = columns.setdefault((order, tag), (name, kind, repeated, {}))
        if children:
            _unite(known[3], children)


def _fields(columns: _Columns) -> list[Field]:
    return [_column(*columns[place]) for place in sorted(columns)]


def _column(name: str, kind: str, repeated: bool, children: _Columns) -> Field:
    if kind == "SQ":
        return _field(name, "RECORD", repeated=True, fields=_fields(children))
    if kind == "PN":
        return _field(name, "RECORD", repeated=repeated, fields=_NAME_FIELDS)
    if kind == "OTHER":
        return _OTHER
    if kind.startswith("GROUP:"):
        value = _field("Value", kind.removeprefix("GROUP:"), repeated=repeated)
        return _field(name, "RECORD", repeated=True, fields=[_field("Id", "STRING"), value])
    return _field(name, kind, repeated=repeated)


def whole_row(members: bytes) -> dict[str, Any]:
    """A row whose members were kept, as an object; ``OtherElements``, kept by field, as a list of records."""
    row: dict[str, Any] = json.loads(b"{%b}" % members)
    if other := row.get("OtherElements"):
        row["OtherElements"] = [
            {"Tag": tag, "Data": data} for tag, data in zip(other["Tag"], other["Data"], strict=True)
        ]
    return row


def json_layout(*, source: bool, changes: bool) -> list[Field]:
    """The fixed columns of the JSON layout.

    Args:
        source: whether the store's name is a column.
        changes: whether the kind of change is one (not with change data capture).
    """
    uids = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return [
        *(_field(name, "STRING") for name in uids),
        *([SOURCE_COLUMN] if source else []),
        _field("Metadata", "JSON"),
        _field("StructuredStorageSize", "INTEGER"),
        _field("BlobStorageSize", "INTEGER"),
        _field("DroppedTags", "STRING", repeated=True),
        _field("StorageClass", "STRING"),
        _field("LastUpdated", "TIMESTAMP"),
        *([_field("Type", "STRING")] if changes else []),
    ]
