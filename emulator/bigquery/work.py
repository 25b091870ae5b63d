"""A job while it runs, for what does its work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError

if TYPE_CHECKING:
    from pathlib import Path

    from .catalog import Catalog


class Work:
    """A job while it runs: what it may see, and what it says about itself.

    Attributes:
        statistics: the job's statistics, filled as the work goes on.
        result: for a query: ``fields`` (TableFieldSchema objects) and ``table`` (key of the table with the rows).
    """

    def __init__(self, catalog: Catalog, job: dict[str, Any], media: Path | None) -> None:
        self.catalog = catalog
        self.emulator = catalog.emulator
        self.principal: str = job["principal"]
        self.project: str = job["jobReference"]["projectId"]
        self.job_id: str = job["jobReference"]["jobId"]
        self.location: str | None = job["jobReference"].get("location")
        self.configuration: dict[str, Any] = job["configuration"]
        self.dry_run = bool(job["configuration"].get("dryRun"))
        self.media = media
        self.statistics: dict[str, Any] = {}
        self.result: dict[str, Any] = {}
        self.warnings: list[dict[str, Any]] = []
        self.cancelled = threading.Event()
        self.thread: int | None = None
        self.problem = "Job execution was cancelled: User requested cancellation"

    def cancel(self, problem: str | None = None) -> None:
        """Have the work end soon; ``problem`` is said instead of that somebody cancelled it."""
        self.problem = problem or self.problem
        self.cancelled.set()
        self.catalog.engine.interrupt(self.thread)

    def check_cancelled(self) -> None:
        """End the work if somebody cancelled the job.

        Raises:
            ApiError: it was cancelled.
        """
        if self.cancelled.is_set():
            raise ApiError(499, self.problem, reason="stopped")
