"""A DICOM import as a component: files from Cloud Storage into a DICOM store.

It owns the operation: start, wait, verification, outcome. It owns neither the store nor the bucket, nor the permission
of the Healthcare service agent to read it; hand those in through `depends_on`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.arguments import arguments
from components.operation_runs import (
    DEFAULT_MAX_RUNNING,
    DEFAULT_PERMISSION_WAIT,
    DEFAULT_TIMEOUT,
    RunArgs,
    declare_run,
)
from operations.requests import Rerun, make_import

# Stands in for a store whose name is known only later, when the rest of a request is checked.
_SOME_STORE = "projects/p/locations/l/datasets/d/dicomStores/s"


@dataclass(kw_only=True)
class DicomImportArgs:
    """The settings of an import.

    Attributes:
        store: full name of the DICOM store.
        uri: `gs://BUCKET/OBJECT`; the object part may have the wildcards `*`, `?` and `**`.
        storage_class: of the imported bulk data: `STANDARD`, `NEARLINE`, `COLDLINE` or `ARCHIVE`.
        rerun: `when-inputs-change`, `when-store-changes` (instances were added, deleted or replaced since) or `always`.
        trigger: any text; a new one starts a new run.
        allowed_failures: files that may fail before the run counts as failed.
        timeout: seconds that one `pulumi up` waits for the end at most.
        permission_wait: seconds to wait for fresh grants of the service agent to take effect.
        max_running: imports and exports of the project that run at once; further ones queue.
        service_agent: e-mail of the Healthcare service agent, for messages.
        endpoint: the emulator's address; Google Cloud without it.
        impersonate: service account to act as.
    """

    store: pulumi.Input[str]
    uri: str
    storage_class: str | None = None
    rerun: str = Rerun.WHEN_INPUTS_CHANGE
    trigger: pulumi.Input[str] | None = None
    allowed_failures: int = 0
    timeout: float = DEFAULT_TIMEOUT
    permission_wait: float = DEFAULT_PERMISSION_WAIT
    max_running: int = DEFAULT_MAX_RUNNING
    service_agent: pulumi.Input[str] | None = None
    endpoint: str | None = None
    impersonate: str | None = None


class DicomImport(pulumi.ComponentResource):
    """One import. A dependency on it is a dependency on the end of its run."""

    operation: pulumi.Output[str]
    outcome: pulumi.Output[dict[str, Any]]

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
            operations.invalid.InputError: the settings can't be right; the text names each that isn't.
        """
        super().__init__("imaging:index:DicomImport", name, None, opts)
        given = arguments(DicomImportArgs, args)
        request = make_import(_SOME_STORE, given.uri, storage_class=given.storage_class)
        run = declare_run(
            self,
            name,
            RunArgs(
                store=given.store,
                method=request.method,
                body=request.body(),
                filter=None,
                rerun=Rerun(given.rerun).value,
                trigger=given.trigger,
                allowed_failures=given.allowed_failures,
                timeout=given.timeout,
                permission_wait=given.permission_wait,
                max_running=given.max_running,
                service_agent=given.service_agent,
                endpoint=given.endpoint,
                impersonate=given.impersonate,
            ),
            opts,
        )
        self.operation = run.started.operation
        self.outcome = run.awaited.outcome
        self.register_outputs({"operation": self.operation, "outcome": self.outcome})
