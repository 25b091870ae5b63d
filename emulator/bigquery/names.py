"""Names of BigQuery resources, and the errors that speak of them.

The texts are BigQuery's own: clients and people search for them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from ..core.errors import ApiError, invalid

_DATASET_ID = re.compile(r"[A-Za-z0-9_]{1,1024}")
_TABLE_EXTRA = frozenset(["Pc", "Pd", "Zs"])

#: Datasets that hold the results of queries without a destination start with an underscore, which hides them.
ANONYMOUS_DATASET = "_anonymous_results"


class TableName(NamedTuple):
    """A table or view: ``project``, ``dataset`` and ``table``."""

    project: str
    dataset: str
    table: str

    @property
    def key(self) -> str:
        """Its key in the collection of tables."""
        return f"{self.project}/{self.dataset}/{self.table}"

    @property
    def text(self) -> str:
        """``project:dataset.table``, as BigQuery's messages write it."""
        return f"{self.project}:{self.dataset}.{self.table}"

    @property
    def reference(self) -> dict[str, str]:
        """A TableReference."""
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table}


def dataset_policy(project: str, dataset: str) -> tuple[str, ...]:
    """Policy keys that decide about a dataset, the dataset's own first."""
    return (f"bigquery/{project}/{dataset}", f"projects/{project}")


def table_policy(name: TableName) -> tuple[str, ...]:
    """Policy keys that decide about a table, the table's own first."""
    return (f"bigquery/{name.project}/{name.dataset}/{name.table}", *dataset_policy(name.project, name.dataset))


def check_dataset_id(text: str) -> str:
    """A dataset id that may be created.

    Raises:
        ApiError: 400 if it may not.
    """
    if not _DATASET_ID.fullmatch(text):
        raise invalid(
            f'Invalid dataset ID "{text}". Dataset IDs must be alphanumeric (plus underscores) and must be at most '
            "1024 characters long."
        )
    return text


def check_table_id(text: str) -> str:
    """A table id that may be created: letters, marks, numbers, connectors, dashes and spaces, up to 1,024 bytes.

    Raises:
        ApiError: 400 if it may not.
    """

    def good(character: str) -> bool:
        category = unicodedata.category(character)
        return category[0] in "LMN" or category in _TABLE_EXTRA

    if not text or len(text.encode()) > 1024 or not all(good(character) for character in text):
        raise invalid(
            f'Invalid table ID "{text}". Table IDs must be alphanumeric (plus underscores, dashes and spaces) and must '
            "be at most 1024 bytes long."
        )
    return text


def no_dataset(project: str, dataset: str, location: str | None = None) -> ApiError:
    """404: there is no such dataset (or not in the job's location)."""
    where = f" was not found in location {location}" if location else ""
    return ApiError(404, f"Not found: Dataset {project}:{dataset}{where}", reason="notFound")


def no_table(name: TableName, location: str | None = None) -> ApiError:
    """404: there is no such table (or not in the job's location)."""
    where = f" was not found in location {location}" if location else ""
    return ApiError(404, f"Not found: Table {name.text}{where}", reason="notFound")


def already_exists(kind: str, text: str) -> ApiError:
    """409: the dataset, table or job exists."""
    return ApiError(409, f"Already Exists: {kind} {text}", reason="duplicate")


def denied_dataset(permission: str, project: str, dataset: str) -> ApiError:
    """403 about a dataset."""
    return ApiError(
        403,
        f"Access Denied: Dataset {project}:{dataset}: Permission {permission} denied on dataset {project}:{dataset} "
        "(or it may not exist).",
        reason="accessDenied",
    )


def denied_table(permission: str, name: TableName) -> ApiError:
    """403 about a table."""
    if permission == "bigquery.tables.getData":
        return ApiError(
            403,
            f"Access Denied: Table {name.text}: User does not have permission to query table {name.text}, "
            "or perhaps it does not exist.",
            reason="accessDenied",
        )
    return ApiError(
        403,
        f"Access Denied: Table {name.text}: Permission {permission} denied on table {name.text} (or it may not exist).",
        reason="accessDenied",
    )


def denied_project(permission: str, project: str) -> ApiError:
    """403 about a project."""
    return ApiError(
        403,
        f"Access Denied: Project {project}: User does not have {permission} permission in project {project}.",
        reason="accessDenied",
    )
