"""What clients may set of a table: kept as it is, checked, or refused."""

from __future__ import annotations

from typing import Any

from ..core.errors import ApiError, invalid

#: What a client sets, beside ``schema`` and ``view``; kept as it is.
WRITABLE = (
    "clustering",
    "defaultCollation",
    "defaultRoundingMode",
    "description",
    "encryptionConfiguration",
    "expirationTime",
    "friendlyName",
    "labels",
    "maxStaleness",
    "rangePartitioning",
    "requirePartitionFilter",
    "resourceTags",
    "tableConstraints",
    "timePartitioning",
)
_REFUSED = {
    "materializedView": "materialized views",
    "externalDataConfiguration": "external tables",
    "snapshotDefinition": "snapshots",
    "cloneDefinition": "clones",
    "model": "models",
    "biglakeConfiguration": "BigLake tables",
}
_PARTITION_KINDS = ("HOUR", "DAY", "MONTH", "YEAR")


def writable(body: dict[str, Any], schema: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a request body that are kept, checked against the table's columns.

    Raises:
        ApiError: 400 for partitioning or clustering by a column that can't serve; 501 for kinds of tables that the
            emulator does not have.
    """
    for field, kind in _REFUSED.items():
        if body.get(field):
            raise ApiError(501, f"The emulator does not serve {kind} ({field}).")
    made = {name: body[name] for name in WRITABLE if body.get(name) is not None}
    if "labels" in made:
        made["labels"] = {key: value for key, value in made["labels"].items() if value is not None}
    if "expirationTime" in made:
        made["expirationTime"] = str(made["expirationTime"])
    by_name = {field["name"].lower(): field for field in schema}
    _check_partitioning(made, by_name)
    for column in made.get("clustering", {}).get("fields", []):
        if column.lower() not in by_name:
            raise invalid(f"The field specified for clustering cannot be found in the schema: {column}")
    return made


def _check_partitioning(made: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> None:
    time = made.get("timePartitioning")
    if time is not None:
        if time.get("type") not in _PARTITION_KINDS:
            raise invalid(f"timePartitioning.type is one of {', '.join(_PARTITION_KINDS)}, not {time.get('type')!r}")
        column = time.get("field")
        if column is not None:
            field = by_name.get(column.lower())
            if field is None:
                raise invalid(f"The field specified for partitioning cannot be found in the schema: {column}")
            if field["type"] not in ("DATE", "TIMESTAMP", "DATETIME") or field["mode"] == "REPEATED":
                raise invalid(
                    f"The field specified for time partitioning can only be of type TIMESTAMP, DATE or DATETIME. "
                    f"The type found is: {field['type']}."
                )
    ranges = made.get("rangePartitioning")
    if ranges is not None:
        field = by_name.get(str(ranges.get("field", "")).lower())
        if field is None or field["type"] != "INTEGER":
            raise invalid(f"The field specified for range partitioning is not an INTEGER column: {ranges.get('field')}")
