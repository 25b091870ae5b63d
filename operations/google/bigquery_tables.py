"""What an export looks at in BigQuery: whether dataset and table exist, what kind of table it is, how many rows it has.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#Table: `type` is TABLE, VIEW, EXTERNAL,
MATERIALIZED_VIEW or SNAPSHOT.
"""

from dataclasses import dataclass
from typing import Any, cast

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.google.connection import Connection
from operations.google.errors import ApiError
from operations.google.retrying import PATIENCE, Patience, call
from operations.model.uris import BigQueryTable

_KINDS = {
    "TABLE": "table",
    "VIEW": "view",
    "EXTERNAL": "external table",
    "MATERIALIZED_VIEW": "materialized view",
    "SNAPSHOT": "table snapshot",
}


@dataclass(frozen=True)
class TableFacts:
    """What BigQuery says of a table.

    Attributes:
        kind: in words: `table`, `view`, `external table`, …
        rows: how many it has; rows that are being streamed are not among them.
        created: when it was created, in milliseconds since 1970, as the service writes it.
        modified: when it was last modified, in milliseconds since 1970, as the service writes it.
    """

    kind: str
    rows: int
    created: str = ""
    modified: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether rows can be written to it."""
        return self.kind == "table"


def read_table(
    connection: Connection, table: BigQueryTable, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> TableFacts:
    """Read what is known of a table.

    Raises:
        ApiError: 404 when the table or its dataset doesn't exist, 403 when the caller does not have permission.
    """
    answer = cast(
        "dict[str, Any]",
        call(
            connection,
            lambda: connection.bigquery.tables().get(
                projectId=table.project,
                datasetId=table.dataset,
                tableId=table.table,
                fields="type,numRows,creationTime,lastModifiedTime",
            ),
            clock=clock,
            patience=patience,
        ),
    )
    kind = str(answer.get("type") or "TABLE")
    return TableFacts(
        _KINDS.get(kind, kind.lower().replace("_", " ")),
        int(answer.get("numRows") or 0),
        str(answer.get("creationTime") or ""),
        str(answer.get("lastModifiedTime") or ""),
    )


def dataset_exists(
    connection: Connection, project: str, dataset: str, clock: Clock = SYSTEM_CLOCK, patience: Patience = PATIENCE
) -> bool | None:
    """Ask whether a BigQuery dataset exists; None when the caller does not have permission to know."""
    try:
        call(
            connection,
            lambda: connection.bigquery.datasets().get(projectId=project, datasetId=dataset, fields="id"),
            clock=clock,
            patience=patience,
        )
    except ApiError as error:
        return False if error.status == 404 else None
    return True
