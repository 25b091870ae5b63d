"""Functions: look-ups of what exists already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.plugins.gcp import bigquery, kms, pubsub, storage
from engine.plugins.gcp.fields import Field, Kind
from engine.plugins.gcp.resource import ResourceError, ResourceType
from engine.plugins.gcp.rest import GOOGLES_CLIENT, ApiError, expand, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from engine.plugins.gcp.provider import Provider
    from engine.plugins.gcp.values import Properties

    Function = Callable[[Provider, Mapping[str, Any]], Properties]

# How the official plugin names, in a function's result, the list that a block becomes.
PLURALS = {
    "action": "actions",
    "autoclass": "autoclasses",
    "condition": "conditions",
    "customPlacementConfig": "customPlacementConfigs",
    "dataset": "datasets",
    "defaultEncryptionConfiguration": "defaultEncryptionConfigurations",
    "encryption": "encryptions",
    "encryptionConfiguration": "encryptionConfigurations",
    "hierarchicalNamespace": "hierarchicalNamespaces",
    "logging": "loggings",
    "materializedView": "materializedViews",
    "messageStoragePolicy": "messageStoragePolicies",
    "range": "ranges",
    "rangePartitioning": "rangePartitionings",
    "retentionPolicy": "retentionPolicies",
    "routine": "routines",
    "schemaSettings": "schemaSettings",
    "softDeletePolicy": "softDeletePolicies",
    "timePartitioning": "timePartitionings",
    "versionTemplate": "versionTemplates",
    "versioning": "versionings",
    "view": "views",
    "website": "websites",
}


def get_project(provider: Provider, arguments: Mapping[str, Any]) -> Properties:
    """`gcp.organizations.getProject`: a project's number, among other things, by its id."""
    project = arguments.get("projectId") or _project(provider, arguments)
    url = provider.client.unversioned("resourcemanager") + expand("v1/projects/{project}", {"project": project})
    found = provider.client.call("GET", url, query=GOOGLES_CLIENT)
    if found.get("lifecycleState", "ACTIVE") != "ACTIVE":
        raise ResourceError(f"project {project} is {found['lifecycleState']}")
    parent = found.get("parent") or {}
    return {
        "id": f"projects/{found['projectId']}",
        "projectId": found["projectId"],
        "number": str(found["projectNumber"]),
        "name": found.get("name", ""),
        "labels": found.get("labels") or {},
        "effectiveLabels": found.get("labels") or {},
        "pulumiLabels": found.get("labels") or {},
        "folderId": parent.get("id", "") if parent.get("type") == "folder" else "",
        "orgId": parent.get("id", "") if parent.get("type") == "organization" else "",
        "billingAccount": _billing_account(provider, found["projectId"]),
        "autoCreateNetwork": True,
        "deletionPolicy": "PREVENT",
        "tags": {},
    }


def _billing_account(provider: Provider, project: str) -> str:
    url = provider.client.unversioned("cloudbilling") + expand(
        "v1/projects/{project}/billingInfo", {"project": project}
    )
    try:
        account = provider.client.call("GET", url, query=GOOGLES_CLIENT).get("billingAccountName") or ""
    except ApiError as error:
        reasons = [each.get("reason") for each in (error.body.get("error") or {}).get("errors") or []]
        if "accessNotConfigured" not in reasons:
            raise
        account = ""
    return str(account).removeprefix("billingAccounts/")


def _lookup(kind: ResourceType, wanted: tuple[str, ...]) -> Function:
    def look(provider: Provider, arguments: Mapping[str, Any]) -> Properties:
        values = {name: arguments[name] for name in wanted}
        if any(each.name == "project" for each in kind.fields):
            values["project"] = arguments.get("project") or _project(provider, arguments)
        identity = plain(kind.identity, values)
        state = kind.read(provider, identity, values)
        if state is None:
            raise ResourceError(f"{identity} not found")
        found = _listed(kind.fields, {n: each for n, each in state.outputs.items() if n not in kind.official_only})
        if "effectiveLabels" in found:
            found["labels"] = found["pulumiLabels"] = found["effectiveLabels"]
        return found

    return look


def _listed(fields: Sequence[Field], outputs: Mapping[str, Any]) -> Properties:
    """A state's values as a function returns them: every block is a list of one, or empty."""
    found = dict(outputs)
    for field in fields:
        value = found.get(field.name)
        if field.kind is Kind.BLOCK:
            del found[field.name]
            found[PLURALS[field.name]] = [] if value is None else [_listed(field.fields, value)]
        elif field.kind is Kind.BLOCKS and field.fields:
            found[field.name] = [_listed(field.fields, each) for each in value or []]
    return found


def storage_service_account(provider: Provider, arguments: Mapping[str, Any]) -> Properties:
    """`gcp.storage.getProjectServiceAccount`: Cloud Storage's own account, which needs a bucket's key."""
    project = arguments.get("project") or _project(provider, arguments)
    url = provider.client.address("storage") + expand("projects/{project}/serviceAccount", {"project": project})
    email = provider.client.call("GET", url, query=GOOGLES_CLIENT)["email_address"]
    return {
        "id": email,
        "project": project,
        "emailAddress": email,
        "member": f"serviceAccount:{email}",
        "userProject": arguments.get("userProject") or "",
    }


def bigquery_service_account(provider: Provider, arguments: Mapping[str, Any]) -> Properties:
    """`gcp.bigquery.getDefaultServiceAccount`: BigQuery's own account, which needs a dataset's key."""
    project = arguments.get("project") or _project(provider, arguments)
    url = provider.client.address("bigquery") + expand("projects/{project}/serviceAccount", {"project": project})
    email = provider.client.call("GET", url, query=GOOGLES_CLIENT)["email"]
    return {"id": email, "project": project, "email": email, "member": f"serviceAccount:{email}"}


def bigquery_tables(provider: Provider, arguments: Mapping[str, Any]) -> Properties:
    """`gcp.bigquery.getTables`: the tables and views of a dataset, by id."""
    project, dataset = arguments.get("project") or _project(provider, arguments), arguments["datasetId"]
    place = {"project": project, "datasetId": dataset}
    url = provider.client.address("bigquery") + expand("projects/{project}/datasets/{datasetId}/tables", place)
    tables: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        page = provider.client.call("GET", url, query=query)
        tables += page.get("tables") or []
        if not page.get("nextPageToken"):
            break
        query = {"pageToken": page["nextPageToken"]}
    return {
        "id": f"projects/{project}/datasets/{dataset}/tables",
        "project": project,
        "datasetId": dataset,
        "tables": [
            {"tableId": each["tableReference"]["tableId"], "labels": each.get("labels") or {}} for each in tables
        ],
    }


def _project(provider: Provider, arguments: Mapping[str, Any]) -> str:
    project = arguments.get("project") or provider.project
    if not project:
        raise ResourceError("no project: give one, or set gcp:project")
    return str(project)


FUNCTIONS: dict[str, Function] = {
    "gcp:organizations/getProject:getProject": get_project,
    "gcp:bigquery/getDataset:getDataset": _lookup(bigquery.DATASET, ("datasetId",)),
    "gcp:bigquery/getTable:getTable": _lookup(bigquery.TABLE, ("datasetId", "tableId")),
    "gcp:bigquery/getDefaultServiceAccount:getDefaultServiceAccount": bigquery_service_account,
    "gcp:bigquery/getTables:getTables": bigquery_tables,
    "gcp:kms/getKMSCryptoKey:getKMSCryptoKey": _lookup(kms.CRYPTO_KEY, ("name", "keyRing")),
    "gcp:kms/getKMSKeyRing:getKMSKeyRing": _lookup(kms.KEY_RING, ("name", "location")),
    "gcp:pubsub/getTopic:getTopic": _lookup(pubsub.TOPIC, ("name",)),
    "gcp:storage/getBucket:getBucket": _lookup(storage.BUCKET, ("name",)),
    "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": storage_service_account,
}
