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
#: What would be kept without an effect: field → what it is called, and the values that change nothing.
_WITHOUT_EFFECT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "defaultCollation": ("collations", (None, "")),
    "defaultRoundingMode": ("this rounding mode", (None, "", "ROUNDING_MODE_UNSPECIFIED", "ROUND_HALF_AWAY_FROM_ZERO")),
    "isCaseInsensitive": ("datasets whose names count without case", (None, False)),
    "requirePartitionFilter": ("required partition filters", (None, False)),
}
_FIELD_WITHOUT_EFFECT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "collation": _WITHOUT_EFFECT["defaultCollation"],
    "roundingMode": _WITHOUT_EFFECT["defaultRoundingMode"],
    "defaultValueExpression": ("default values of columns", (None, "")),
    "maxLength": ("lengths of columns", (None, "", "0")),
}
#: Precision and scale that the types have by themselves.
_WHOLE = {"NUMERIC": ("38", "9"), "BIGNUMERIC": ("76", "38")}
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
    refuse_without_effect(body)
    _refuse_field_settings(schema)
    made = {name: body[name] for name in WRITABLE if body.get(name) not in (None, "")}
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


def refuse_without_effect(resource: dict[str, Any]) -> None:
    """Refuse settings of a dataset or a table that the emulator would keep and not follow.

    Raises:
        ApiError: 501.
    """
    _refuse(resource, _WITHOUT_EFFECT)


def _refuse(resource: dict[str, Any], settings: dict[str, tuple[str, tuple[Any, ...]]]) -> None:
    for name, (kind, harmless) in settings.items():
        if resource.get(name) not in harmless:
            raise ApiError(501, f"The emulator does not serve {kind} ({name}: {resource[name]}).")


def _refuse_field_settings(fields: list[dict[str, Any]]) -> None:
    for field in fields:
        _refuse(field, _FIELD_WITHOUT_EFFECT)
        most = _WHOLE.get(field["type"], ("", ""))
        for name, whole in zip(("precision", "scale"), most, strict=True):
            if str(field.get(name) or whole) != whole:
                raise ApiError(501, f"The emulator does not serve a {name} of columns of its own ({field['name']}).")
        _refuse_field_settings(field.get("fields", []))


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
