"""A DICOM export as a component: metadata to BigQuery, or instances to Cloud Storage.

It owns the operation: start, wait, verification, outcome. It does not own the destination, nor the permissions of the
Healthcare service agent there; hand those in through `depends_on`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base.arguments import arguments
from components.runs.declared import RunArgs, declare_run
from operations.model.filters import filter_from_lines
from operations.model.invalid import InputError
from operations.model.requests import SOME_STORE, make_export
from operations.model.uris import parse_object_uri


@dataclass(kw_only=True)
class ExportFilter:
    """What an export takes; exactly one of the three.

    Attributes:
        lines: resource paths, `/studies/UID[/series/UID[/instances/UID]]`.
        file: `gs://` URI of a file of such lines; it is read and checked, never changed.
        query: GoogleSQL that selects such lines in its one column.
        query_project: the project in which the query runs; the store's unless given.
        query_location: where it runs, when BigQuery can't tell.
    """

    lines: Sequence[str] | None = None
    file: str | None = None
    query: str | None = None
    query_project: str | None = None
    query_location: str | None = None


@dataclass(kw_only=True)
class DicomExportArgs(RunArgs):
    """The settings of an export, beside those of every run.

    Attributes:
        destination: `bq://PROJECT.DATASET.TABLE` for metadata, `gs://BUCKET/PREFIX` for instances.
        write_disposition: `WRITE_EMPTY`, `WRITE_TRUNCATE` or `WRITE_APPEND`; needed for `bq://`, only there.
        schema: `flattened` (the default) or `json`; for `bq://`.
        include_source_store: whether the table names the store of each row; for `bq://`.
        mime_type: format of the objects, as a value of the API or a short name; for `gs://`.
        filter: what to export; everything without it.
        filter_bucket: bucket for the filter file of `lines` or `query`.
        imports: `store_since` of each import into the store, by any name: when the store is made again, and an import
            fills it again, the export runs again, too.
        writers: `table_since` of each earlier export to the same table that replaces its rows, by any name: when that
            one runs again, and removes what this one has written, this one runs again, too.
    """

    destination: str
    write_disposition: str | None = None
    schema: str | None = None
    include_source_store: bool = False
    mime_type: str | None = None
    filter: ExportFilter | None = None
    filter_bucket: pulumi.Input[str] | None = None
    imports: Mapping[str, pulumi.Input[str]] | None = None
    writers: Mapping[str, pulumi.Input[str]] | None = None


class DicomExport(pulumi.ComponentResource):
    """One export. A dependency on it is a dependency on the end of its run."""

    operation: pulumi.Output[str]
    outcome: pulumi.Output[dict[str, Any]]
    table_since: pulumi.Output[str]
    """When it last replaced the rows of its table; empty for one that has only added to them."""

    def __init__(
        self,
        name: str,
        args: DicomExportArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare an export.

        Args:
            name: what it is called in the stack and in messages.
            args: its settings.
            opts: as for every component; `depends_on` holds back both start and wait.

        Raises:
            operations.model.invalid.InputError: the settings can't be right; the text names each that isn't.
        """
        super().__init__("imaging:index:DicomExport", name, None, opts)
        given = arguments(DicomExportArgs, args)
        request = make_export(
            SOME_STORE,
            given.destination,
            write_disposition=given.write_disposition,
            schema=given.schema,
            include_source_store=given.include_source_store,
            mime_type=given.mime_type,
        )
        self.run = run = declare_run(
            self,
            name,
            given,
            request,
            opts,
            chosen=_filter_input(name, given),
            imports=given.imports,
            writers=given.writers,
        )
        self.operation = run.started.operation
        self.outcome = run.awaited.outcome
        self.table_since = run.started.tableSince
        self.register_outputs({"operation": self.operation, "outcome": self.outcome})


def _filter_input(name: str, args: DicomExportArgs) -> dict[str, Any] | None:
    chosen = args.filter
    if chosen is None:
        return None
    kinds = [kind for kind in ("lines", "file", "query") if getattr(chosen, kind)]
    if len(kinds) != 1:
        raise InputError(f'filter of "{name}": give exactly one of lines, file and query')
    if chosen.file:
        return {"file": parse_object_uri(chosen.file).uri}
    if not args.filter_bucket:
        raise InputError(f'filter of "{name}": {kinds[0]} need a bucket for the filter file (filter_bucket)')
    if chosen.lines:
        lines = filter_from_lines(chosen.lines, f'filter of "{name}"').decode().splitlines()
        return {"lines": lines, "bucket": args.filter_bucket}
    return {
        "query": chosen.query,
        "project": chosen.query_project or pulumi.Output.from_input(args.store).apply(lambda name: name.split("/")[1]),
        "location": chosen.query_location,
        "bucket": args.filter_bucket,
    }
