"""A DICOM import as a component: files from Cloud Storage into a DICOM store.

It owns the operation: start, wait, verification, outcome. It owns neither the store nor the bucket, nor the permission
of the Healthcare service agent to read it; hand those in through `depends_on`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base.arguments import arguments
from components.runs.declared import RunArgs, declare_run
from operations.model.requests import SOME_STORE, make_import


@dataclass(kw_only=True)
class DicomImportArgs(RunArgs):
    """The settings of an import, beside those of every run.

    Attributes:
        uri: `gs://BUCKET/OBJECT`; the object part may have the wildcards `*`, `?` and `**`.
        storage_class: of the imported bulk data: `STANDARD`, `NEARLINE`, `COLDLINE` or `ARCHIVE`.
    """

    uri: str
    storage_class: str | None = None


class DicomImport(pulumi.ComponentResource):
    """One import. A dependency on it is a dependency on the end of its run."""

    operation: pulumi.Output[str]
    outcome: pulumi.Output[dict[str, Any]]
    store_since: pulumi.Output[str]
    """Since when it has filled the store; another time when the store was made again."""

    def __init__(
        self,
        name: str,
        args: DicomImportArgs | Mapping[str, Any],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare an import.

        Args:
            name: what it is called in the stack and in messages.
            args: its settings.
            opts: as for every component; `depends_on` holds back both start and wait.

        Raises:
            operations.model.invalid.InputError: the settings can't be right; the text names each that isn't.
        """
        super().__init__("imaging:index:DicomImport", name, None, opts)
        given = arguments(DicomImportArgs, args)
        request = make_import(SOME_STORE, given.uri, storage_class=given.storage_class)
        self.run = run = declare_run(self, name, given, request, opts)
        self.operation = run.started.operation
        self.outcome = run.awaited.outcome
        self.store_since = run.started.storeSince
        self.register_outputs({"operation": self.operation, "outcome": self.outcome})
