"""Metadata of a DICOM store as rows of a BigQuery table.

The rows were made when the instances were stored; here they are completed and handed to BigQuery as lines of JSON.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid, unimplemented
from .agent_checks import require_table
from .bigquery_uri import TableName
from .failures import Failures
from .instances import Instances
from .names import StoreName
from .schemas import CREATED, INSERTED, flattened, json_layout
from .selection import Selection

if TYPE_CHECKING:
    from .operations import Operation

_PORTION = 500
#: Why change data capture is refused where a table has rows already, or gets them one by one.
NO_CHANGE_DATA_CAPTURE = (
    "change_data_capture_config is not served for rows that are appended: the emulator's BigQuery has no change data "
    "capture, so older rows of an instance would stay"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows look.

    Attributes:
        json: the JSON layout; else the flattened one.
        source: the store's name for ``SourceDicomStore``; empty without that column.
        latest: change data capture: the table keeps the newest version of each instance only.
    """

    json: bool = False
    source: str = ""
    latest: bool = False


class BigQueryExport:
    """One export.

    Args:
        selection: which instances.
        table: the destination.
        disposition: write disposition; empty: none was given, an existing table is an error then even if it is empty.
        layout: how rows look.
    """

    def __init__(self, selection: Selection, table: TableName, disposition: str, layout: Layout) -> None:
        self._selection = selection
        self._emulator = selection.emulator
        self._table = table
        self._disposition = disposition
        self._layout = layout
        self._ids: list[int] | None = None

    def prepare(self, _: Operation) -> int:
        """Check the agent's access, the table's state and the filter; returns the number of instances."""
        selection = self._selection
        require_table(self._emulator, selection.store.project, self._table)
        self._check_table()
        if selection.uri is not None:
            self._ids = selection.ids()
            return len(self._ids)
        return self._emulator.service(Instances).counts(selection.number).instances

    def _check_table(self) -> None:
        from ..bigquery.service import table_state

        table = self._table
        state = table_state(self._emulator, table.project, table.dataset, table.table)
        if state is None:
            return
        where = f"{table.project}:{table.dataset}.{table.table}"
        if state.view:
            raise invalid(f"{where} is a view; rows can't be written to it")
        if self._layout.latest and self._disposition == "WRITE_APPEND":
            raise unimplemented(f"bigquery_destination: {NO_CHANGE_DATA_CAPTURE}")
        if not self._disposition or (self._disposition == "WRITE_EMPTY" and state.rows):
            raise ApiError(409, f"Already Exists: Table {where}")

    def run(self, operation: Operation) -> None:
        """Write the rows."""
        from ..bigquery.service import load_rows

        self._check_table()
        table = self._table
        failures = Failures(self._emulator, self._selection.store, operation, "export")
        shapes: set[str] = set()
        with tempfile.TemporaryDirectory(prefix="export-", dir=self._emulator.state.temporary) as directory:
            path = Path(directory) / "rows.json"
            with path.open("wb") as file:
                for portion in self._portions():
                    operation.check()
                    kept = [row for row in portion if not operation.take_planned_failure()]
                    for row in portion[: len(portion) - len(kept)]:
                        failures.add(self._path(row[0]), 13, "planned fault: this instance was to fail")
                    lines = self._json_lines(kept) if self._layout.json else self._flat_lines(kept, shapes)
                    for line in lines:
                        file.write(line)
                        operation.success += 1
            operation.check()
            try:
                self._selection.require_store()
                load_rows(
                    self._emulator,
                    table.project,
                    table.dataset,
                    table.table,
                    self._schema(shapes),
                    [path],
                    self._disposition or "WRITE_EMPTY",
                    columnar=("OtherElements",),
                )
            except ApiError:
                operation.success = 0
                raise
        failures.raise_if_all_failed()

    def _schema(self, shapes: set[str]) -> list[dict[str, Any]]:
        if self._layout.json:
            return json_layout(source=bool(self._layout.source), changes=not self._layout.latest)
        known = self._emulator.service(Instances).shapes(shapes)
        return flattened(known.values(), source=bool(self._layout.source))

    def _portions(self) -> Iterator[list[Any]]:
        instances = self._emulator.service(Instances)
        columns = "id, size, class, shape, updated, row"
        if self._layout.json:
            columns = "id, size, class, metadata_size, updated, row, metadata"
        if self._ids is None:
            yield from instances.pages(
                f"SELECT {columns} FROM instances WHERE store = ? AND id > ? ORDER BY id LIMIT ?",  # noqa: S608 - constants
                self._selection.number,
                _PORTION,
            )
            return
        for at in range(0, len(self._ids), 500):
            part = self._ids[at : at + 500]
            marks = ",".join("?" * len(part))
            yield instances.query(f"SELECT {columns} FROM instances WHERE id IN ({marks}) ORDER BY id", part)  # noqa: S608 - marks

    def _flat_lines(self, rows: list[Any], shapes: set[str]) -> Iterator[bytes]:
        source = f'"SourceDicomStore":{json.dumps(self._layout.source)},' if self._layout.source else ""
        for _, size, storage_class, shape, updated, row in rows:
            shapes.add(shape)
            version = f'"Type":"{CREATED}","LastUpdated":"{updated}"'
            head = f'{{{source}{version},"StorageClass":"{storage_class}","BlobStorageSize":{size},'
            yield b"".join((head.encode(), row, b"}\n"))

    def _json_lines(self, rows: list[Any]) -> Iterator[bytes]:
        known = {one.id: one for one in self._emulator.service(Instances).by_ids([row[0] for row in rows])}
        for number, size, storage_class, metadata_size, updated, row, metadata in rows:
            one = known.get(number)
            if one is None:
                continue  # deleted meanwhile
            yield json_row(
                self._selection.store,
                self._layout,
                uids=(one.study, one.series, one.uid),
                sizes=(metadata_size, size),
                storage_class=storage_class,
                updated=updated,
                row=row,
                metadata=metadata,
            )

    def _path(self, number: int) -> str:
        found = self._emulator.service(Instances).by_ids([number])
        return self._selection.path_of(found[0]) if found else str(self._selection.store)


def json_row(
    store: StoreName,
    layout: Layout,
    *,
    uids: tuple[str, str, str],
    sizes: tuple[int, int],
    storage_class: str,
    updated: str,
    row: bytes,
    metadata: bytes,
    change: str = INSERTED,
) -> bytes:
    """A line of the JSON layout.

    Args:
        store: the DICOM store.
        layout: which columns there are.
        uids: study, series, instance.
        sizes: of the metadata and of the file, in bytes.
        storage_class: of the file.
        updated: when the instance changed last (RFC 3339).
        row: members of the flattened row, whose last one lists what was dropped.
        metadata: compressed DICOM JSON.
        change: kind of change.
    """
    study, series, instance = uids
    head: dict[str, Any] = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
    if layout.source:
        head["SourceDicomStore"] = layout.source
    head |= {"StructuredStorageSize": sizes[0], "BlobStorageSize": sizes[1], "StorageClass": storage_class}
    head |= {"LastUpdated": updated, "DroppedTags": dropped_names(row)}
    if not layout.latest:
        head["Type"] = change
    text = zlib.decompress(metadata)
    base = f"{store}/dicomWeb/studies/{study}/series/{series}/instances/{instance}/".encode()
    text = text.replace(b'"BulkDataURI":"bulkdata/', b'"BulkDataURI":"' + base + b"bulkdata/")
    return json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"Metadata":' + text + b"}\n"


def dropped_names(row: bytes) -> list[str]:
    """The names of what a row leaves out."""
    mark = b'"DroppedTags":['
    at = row.rfind(mark)
    if at < 0:
        return []
    return [item["TagName"] for item in json.loads(row[at + len(mark) - 1 :])]
