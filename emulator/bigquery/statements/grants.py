"""GRANT and REVOKE on datasets: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-control-language.

They change the dataset's access list. Grants on tables and views are not served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..access import checked_access

if TYPE_CHECKING:
    from sqlglot import exp

    from ..catalog import Catalog

_MEMBERS = ("user", "group", "serviceAccount", "domain")


def entries_of(node: exp.Grant | exp.Revoke) -> list[dict[str, Any]]:
    """The entries of an access list that a statement names: each role for each principal.

    Raises:
        ApiError: 400 for a role that is none.
        ValueError: for a principal that is none.
    """
    principals = [principal.name for principal in node.args["principals"]]
    for principal in principals:
        if principal.partition(":")[0] not in _MEMBERS and principal != "specialGroup:allAuthenticatedUsers":
            raise ValueError(principal)
    return checked_access(
        [
            {"role": privilege.name, "iamMember": principal.removeprefix("specialGroup:")}
            for privilege in node.args["privileges"]
            for principal in principals
        ]
    )


def change_access(catalog: Catalog, project: str, dataset: str, entries: list[dict[str, Any]], *, grant: bool) -> None:
    """Add entries to a dataset's access list, or take them from it.

    Raises:
        ApiError: 404 if there is no such dataset; 400 for a service agent that does not exist.
    """
    with catalog.emulator.state.lock:
        resource = catalog.dataset(project, dataset)
        kept = [entry for entry in resource.get("access", []) if entry not in entries]
        catalog.keep_dataset(project, dataset, {**resource, "access": [*kept, *entries] if grant else kept})
