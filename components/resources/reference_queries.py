"""The GoogleSQL files under `queries/`, with their two placeholders filled in.

`{table}` becomes a table's name, `{optional COLUMN TYPE}` a column that the table may lack. Values are never put
into the text: they are query parameters.
"""

import re
from collections.abc import Collection
from pathlib import Path

from operations.model.uris import BigQueryTable, parse_bigquery_uri

FOLDER = Path(__file__).resolve().parents[2] / "queries"
VIEWS = ("studies", "series", "patients", "dropped_tags")
"""The reference views, as files under `queries/views/`."""

_OPTIONAL = re.compile(r"\{optional (?P<column>\w+) (?P<type>[^{}]+)\}")


# The columns that every exported table has, with no row: stands in for a table that isn't there yet.
_NO_ROWS = "UNNEST(ARRAY<STRUCT<StudyInstanceUID STRING, SeriesInstanceUID STRING, SOPInstanceUID STRING>>[])"


def load_query(
    name: str, table: BigQueryTable | str, columns: Collection[str] | None = None, *, exists: bool = True
) -> str:
    """Return the text of a query over one table.

    Args:
        name: the file under `queries/` without its ending: `patient_images`, `views/studies`.
        table: the exported table, or its URI `bq://PROJECT.DATASET.TABLE`.
        columns: the columns the table has, in any case; None when they are not known, then all are taken to exist.
        exists: whether the table is there; without it the query has the same columns and no row.

    Raises:
        operations.model.uris.UriError: the table's URI is malformed.
        FileNotFoundError: there is no such query.
    """
    # A table made by hand is checked as one that was parsed: its names go into the text.
    checked = parse_bigquery_uri(table if isinstance(table, str) else table.uri)
    known = None if columns is None else {column.casefold() for column in columns}
    if not exists:
        known = set()

    def column_or_null(match: re.Match[str]) -> str:
        column = match["column"]
        return column if known is None or column.casefold() in known else f"CAST(NULL AS {match['type']})"

    text = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    text = _OPTIONAL.sub(column_or_null, text)
    if not exists:
        return text.replace("`{table}`", _NO_ROWS)
    return text.replace("{table}", f"{checked.project}.{checked.dataset}.{checked.table}")
