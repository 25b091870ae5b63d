"""``bq://PROJECT.DATASET.TABLE``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..core.errors import invalid

_TABLE = re.compile(r"bq://([^.]+(?:\.[a-z]+:[^.]+)?)\.(\w{1,1024})\.(\w{1,1024})", re.ASCII)
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class TableName:
    """A BigQuery table."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


def parse_table_uri(text: str) -> TableName:
    """The table that a URI names.

    Raises:
        ApiError: 400 saying which form is expected.
    """
    found = _TABLE.fullmatch(text)
    if found is None or len(text) > _LONGEST:
        raise invalid(
            f"invalid BigQuery table URI {text[:200]!r}: bq://PROJECT.DATASET.TABLE is expected, with letters, "
            "digits and underscores in the names of dataset and table"
        )
    return TableName(*found.groups())
