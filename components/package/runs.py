"""Imports and exports for programs in other languages: every argument optional that has a default, each described.

Their code runs in the Python that Pulumi takes for dynamic resources, where this project must be installed:
docs/component-package.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.runs import dicom_export, dicom_import
from components.runs.declared import waits_provider


@dataclass(kw_only=True)
class DicomImportArgs:
    """The settings of an import."""

    store: pulumi.Input[str]
    """Full name of the DICOM store."""
    uri: str
    """`gs://BUCKET/OBJECT`; the object part may have the wildcards `*`, `?` and `**`."""
    storage_class: str | None = None
    """Of the imported bulk data: `STANDARD`, `NEARLINE`, `COLDLINE` or `ARCHIVE`."""
    rerun: str | None = None
    """When it runs again: `when-inputs-change` (the default), `when-store-changes` or `always`."""
    trigger: pulumi.Input[str] | None = None
    """Any text; a new one starts a new run."""
    allowed_failures: int | None = None
    """Files that may fail before the run counts as failed. None unless set."""
    when_empty: str | None = None
    """What an empty store or source means: `fail` (the default), or `skip`, which starts nothing."""
    timeout: float | None = None
    """Seconds that one `pulumi up` waits for a free slot, and then for the end. Defaults to six hours."""
    permission_wait: float | None = None
    """Seconds to wait for fresh grants of the service agent to take effect. Defaults to ten minutes."""
    max_running: int | None = None
    """Imports and exports of the dataset that run at once; further ones queue. Defaults to 5."""
    service_agent: pulumi.Input[str] | None = None
    """E-mail of the Healthcare service agent, for messages."""
    endpoint: str | None = None
    """The emulator's address; Google Cloud without it."""
    impersonate: str | None = None
    """Service account to act as."""
    existing: list[str] | None = None
    """What the program does not create and has to be there: `store`, `destination` (of an import: its bucket)."""
    secret: bool | None = None
    """Keep secret what is asked for and what the service says of it. It is so anyway where an input is a secret."""


@dataclass(kw_only=True)
class DicomExportArgs:
    """The settings of an export."""

    store: pulumi.Input[str]
    """Full name of the DICOM store."""
    destination: str
    """`bq://PROJECT.DATASET.TABLE` for metadata, `gs://BUCKET/PREFIX` for instances."""
    write_disposition: str | None = None
    """`WRITE_EMPTY`, `WRITE_TRUNCATE` or `WRITE_APPEND`; needed for `bq://`, only there."""
    schema: str | None = None
    """`flattened` (the default) or `json`; for `bq://`."""
    include_source_store: bool | None = None
    """Whether the table names the store of each row; for `bq://`."""
    mime_type: str | None = None
    """Format of the objects, as a value of the API or a short name; for `gs://`."""
    filter: dicom_export.ExportFilter | None = None
    """What to export; everything without it."""
    filter_bucket: pulumi.Input[str] | None = None
    """Bucket for the filter file of lines or a query."""
    imports: dict[str, pulumi.Input[str]] | None = None
    """`storeSince` of each import into the store, by any name: when the store is made again, and an import fills it
    again, the export runs again, too."""
    writers: dict[str, pulumi.Input[str]] | None = None
    """`tableSince` of each earlier export to the same table that replaces its rows, by any name: when that one runs
    again, and removes what this one has written, this one runs again, too."""
    rerun: str | None = None
    """When it runs again: `when-inputs-change` (the default), `when-store-changes` or `always`."""
    trigger: pulumi.Input[str] | None = None
    """Any text; a new one starts a new run."""
    allowed_failures: int | None = None
    """Instances that may fail before the run counts as failed. None unless set."""
    when_empty: str | None = None
    """What an empty store or source means: `fail` (the default), or `skip`, which starts nothing."""
    timeout: float | None = None
    """Seconds that one `pulumi up` waits for a free slot, and then for the end. Defaults to six hours."""
    permission_wait: float | None = None
    """Seconds to wait for fresh grants of the service agent to take effect. Defaults to ten minutes."""
    max_running: int | None = None
    """Imports and exports of the dataset that run at once; further ones queue. Defaults to 5."""
    service_agent: pulumi.Input[str] | None = None
    """E-mail of the Healthcare service agent, for messages."""
    endpoint: str | None = None
    """The emulator's address; Google Cloud without it."""
    impersonate: str | None = None
    """Service account to act as."""
    existing: list[str] | None = None
    """What the program does not create and has to be there: `store`, `destination` (of an import: its bucket)."""
    secret: bool | None = None
    """Keep secret what is asked for and what the service says of it. It is so anyway where an input is a secret."""


class DicomImport(dicom_import.DicomImport):
    """One import. A dependency on it is a dependency on the end of its run."""

    operation: pulumi.Output[str]
    """Full name of the operation."""
    outcome: pulumi.Output[dict[str, Any]]
    """What came of it: `state, success, failure, …`."""
    store_since: pulumi.Output[str]
    """Since when it has filled the store; another time when the store was made again."""

    def __init__(self, name: str, args: DicomImportArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        waits_provider(f"{name}-waits")
        super().__init__(name, dicom_import.DicomImportArgs(**_given(args)), opts)


class DicomExport(dicom_export.DicomExport):
    """One export. A dependency on it is a dependency on the end of its run."""

    operation: pulumi.Output[str]
    """Full name of the operation."""
    outcome: pulumi.Output[dict[str, Any]]
    """What came of it: `state, success, failure, rows, …`."""
    table_since: pulumi.Output[str]
    """When it last replaced the rows of its table; empty for one that has only added to them."""

    def __init__(self, name: str, args: DicomExportArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        given = _given(args)
        if "filter" in given:
            given["filter"] = dicom_export.ExportFilter(**given["filter"])
        waits_provider(f"{name}-waits")
        super().__init__(name, dicom_export.DicomExportArgs(**given), opts)


def _given(args: Any) -> dict[str, Any]:
    """Return the arguments that were given: they arrive as a mapping, whatever their type says."""
    mapping: Mapping[str, Any] = args
    return {name: value for name, value in mapping.items() if value is not None}
