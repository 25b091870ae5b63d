"""BigQuery: datasets, tables and views, and grants on datasets. https://cloud.google.com/bigquery/docs/reference/rest"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.plugins.gcp.fields import Field, Kind, block, blocks, flag, get, integer, mapping, text, texts
from engine.plugins.gcp.iam import MemberType, PolicyHolder
from engine.plugins.gcp.resource import (
    DELETION_POLICY,
    KEPT,
    LABELS,
    PROJECT,
    SELF_LINK,
    ResourceError,
    ResourceType,
    Steps,
)
from engine.plugins.gcp.rest import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.plugins.gcp.comparing import Change
    from engine.plugins.gcp.provider import Provider
    from engine.plugins.gcp.values import Properties

POLICY_QUERY = {"accessPolicyVersion": "3"}

VIEW_REFERENCE = (
    text("projectId", required=True),
    text("datasetId", required=True),
    text("tableId", required=True),
)

ACCESS = (
    text("role"),
    text("userByEmail"),
    text("groupByEmail"),
    text("domain"),
    text("specialGroup"),
    text("iamMember"),
    block("view", *VIEW_REFERENCE),
    block(
        "dataset",
        block("dataset", text("projectId", required=True), text("datasetId", required=True), required=True),
        texts("targetTypes", required=True),
    ),
    block(
        "routine", text("projectId", required=True), text("datasetId", required=True), text("routineId", required=True)
    ),
    block("condition", text("expression", required=True), text("title"), text("description"), text("location")),
)


def _dataset_body(body: dict[str, Any], values: Mapping[str, Any], creating: bool) -> None:
    if not creating and "accesses" in values[KEPT]:
        # Access is left to whoever granted it, unless the program lists it.
        body.pop("access", None)


def _dataset_decoded(outputs: Properties, answer: Mapping[str, Any]) -> None:
    outputs["project"] = get(answer, ("datasetReference", "projectId")) or outputs["project"]


DATASET = ResourceType(
    token="gcp:bigquery/dataset:Dataset",  # noqa: S106 - a type token
    api="bigquery",
    fields=(
        text("datasetId", wire="datasetReference.datasetId", required=True, replaces=True),
        PROJECT,
        text("location", default="US", replaces=True, normal=lambda name: name.lower()),
        text("friendlyName", sends_empty=True),
        text("description"),
        *LABELS,
        blocks("accesses", *ACCESS, wire="access", keeps=True, unordered=True),
        integer("defaultTableExpirationMs"),
        integer("defaultPartitionExpirationMs"),
        block("defaultEncryptionConfiguration", text("kmsKeyName", required=True)),
        text("defaultCollation", keeps=True, sends_empty=True),
        flag("isCaseInsensitive", keeps=True),
        text("maxTimeTravelHours", keeps=True),
        text("storageBillingModel", keeps=True),
        mapping("resourceTags"),
        flag("deleteContentsOnDestroy", wire=None),
        DELETION_POLICY,
        SELF_LINK,
        text("etag", output=True),
        integer("creationTime", output=True),
        integer("lastModifiedTime", output=True),
    ),
    identity="projects/{project}/datasets/{datasetId}",
    imports=("{project}/{datasetId}", "{datasetId}"),
    collection="projects/{project}/datasets",
    create_query=POLICY_QUERY,
    query=POLICY_QUERY,
    resource="projects/{project}/datasets/{datasetId}",
    update="put",
    omits_empty=True,
    named=False,
    official_only={"externalCatalogDatasetOptions": None, "externalDatasetReference": None},
    on=Steps(
        body=_dataset_body,
        decoded=_dataset_decoded,
        delete_query=lambda outputs: {"deleteContents": "true" if outputs.get("deleteContentsOnDestroy") else "false"},
    ),
)

TYPE_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD", "DECIMAL": "NUMERIC"}


def _normal_schema(columns: Any) -> Any:
    """A schema without what makes no difference: the order of columns, NULLABLE, and the two names of a type."""
    if not isinstance(columns, list):
        return columns
    normal = []
    for column in columns:
        kept = {name: value for name, value in column.items() if value not in ("", None)}
        kept["mode"] = str(kept.get("mode") or "NULLABLE").upper()
        kept["type"] = TYPE_NAMES.get(str(kept.get("type")).upper(), str(kept.get("type")).upper())
        if "fields" in kept:
            kept["fields"] = _normal_schema(kept["fields"])
        normal.append(kept)
    return sorted(normal, key=lambda column: str(column.get("name")).lower())


def _must_replace_table(change: Change, inputs: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    # BigQuery adds columns and relaxes REQUIRED in place; anything else makes a new table.
    if change.top == "schema" and isinstance(news.get("schema"), str):
        return not _extends(json.loads(inputs.get("schema") or "[]"), json.loads(news["schema"]))
    return False


def _extends(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    after = {column["name"].lower(): column for column in _normal_schema(new)}
    for column in _normal_schema(old):
        now = after.get(column["name"].lower())
        if now is None:
            # The provider drops a column with ALTER TABLE; the stand-in makes a new table instead.
            return False
        relaxed = column["mode"] == "REQUIRED" and now["mode"] == "NULLABLE"
        if now["type"] != column["type"] or (now["mode"] != column["mode"] and not relaxed):
            return False
        if not _extends(column.get("fields") or [], now.get("fields") or []):
            return False
    return True


def _table_body(body: dict[str, Any], values: Mapping[str, Any], creating: bool) -> None:
    body["tableReference"] = {
        "projectId": values["project"],
        "datasetId": values["datasetId"],
        "tableId": values["tableId"],
    }
    if creating and values.get("view"):
        # A view's schema follows from its query; the API takes descriptions for it only afterwards.
        body.pop("schema", None)
    if not creating and values.get("view") and "schema" in values[KEPT]:
        body.pop("schema", None)


def _table_created(kind: ResourceType, provider: Provider, values: Properties, answer: Mapping[str, Any]) -> None:
    del answer
    if values.get("view") and values.get("schema"):
        provider.client.call("PUT", kind.url(provider, values), kind.whole_body(values))


def _table_decoded(outputs: Properties, answer: Mapping[str, Any]) -> None:
    outputs["project"] = get(answer, ("tableReference", "projectId")) or outputs["project"]


def _delete_table(kind: ResourceType, provider: Provider, outputs: Mapping[str, Any]) -> None:
    if outputs.get("deletionProtection"):
        table = outputs["tableId"]
        message = f"cannot destroy table {table} without setting deletionProtection=false and running `pulumi up`"
        raise ResourceError(message)
    provider.client.call("DELETE", kind.url(provider, outputs))


TABLE = ResourceType(
    token="gcp:bigquery/table:Table",  # noqa: S106 - a type token
    api="bigquery",
    fields=(
        text("datasetId", wire=None, required=True, replaces=True),
        text("tableId", wire=None, required=True, replaces=True),
        PROJECT,
        text("friendlyName"),
        text("description"),
        *LABELS,
        Field(name="schema", kind=Kind.JSON, wire="schema.fields", keeps=True, normal=_normal_schema),
        block("view", text("query", required=True), flag("useLegacySql", keeps=True)),
        block(
            "materializedView",
            text("query", required=True, replaces=True),
            flag("enableRefresh", keeps=True),
            integer("refreshIntervalMs", as_text=True, keeps=True),
            flag("allowNonIncrementalDefinition", keeps=True, replaces=True),
        ),
        block(
            "timePartitioning",
            text("type", required=True),
            text("field", replaces=True),
            integer("expirationMs", as_text=True, keeps=True),
        ),
        block(
            "rangePartitioning",
            text("field", required=True, replaces=True),
            block(
                "range",
                integer("start", required=True, as_text=True),
                integer("end", required=True, as_text=True),
                integer("interval", required=True, as_text=True),
                required=True,
            ),
        ),
        texts("clusterings", wire="clustering.fields"),
        flag("requirePartitionFilter"),
        integer("expirationTime", as_text=True, keeps=True),
        block(
            "encryptionConfiguration",
            text("kmsKeyName", required=True, replaces=True),
            text("kmsKeyVersion", output=True),
            replaces=True,
        ),
        text("maxStaleness", keeps=True),
        mapping("resourceTags"),
        flag("deletionProtection", wire=None, default=True),
        DELETION_POLICY,
        SELF_LINK,
        text("etag", output=True),
        text("location", output=True),
        text("type", output=True),
        text("generatedSchemaColumns", wire=None, output=True),
        integer("creationTime", output=True),
        integer("lastModifiedTime", output=True),
        integer("numBytes", output=True),
        integer("numLongTermBytes", output=True),
        integer("numRows", output=True),
    ),
    identity="projects/{project}/datasets/{datasetId}/tables/{tableId}",
    imports=("{project}/{datasetId}/{tableId}", "{datasetId}/{tableId}"),
    collection="projects/{project}/datasets/{datasetId}/tables",
    resource="projects/{project}/datasets/{datasetId}/tables/{tableId}",
    update="put",
    named=False,
    official_only=dict.fromkeys(
        (
            "biglakeConfiguration",
            "externalCatalogTableOptions",
            "externalDataConfiguration",
            "ignoreAutoGeneratedSchema",
            "ignoreSchemaChanges",
            "schemaForeignTypeInfo",
            "tableConstraints",
            "tableMetadataView",
            "tableReplicationInfo",
        )
    ),
    on=Steps(
        body=_table_body,
        created=_table_created,
        decoded=_table_decoded,
        delete=_delete_table,
        must_replace=_must_replace_table,
    ),
)

LEGACY_ROLES = {
    "OWNER": "roles/bigquery.dataOwner",
    "WRITER": "roles/bigquery.dataEditor",
    "READER": "roles/bigquery.dataViewer",
}
SPECIAL_GROUPS = ("projectOwners", "projectReaders", "projectWriters", "allAuthenticatedUsers")


@dataclass(frozen=True, kw_only=True)
class DatasetPolicy(PolicyHolder):
    """A dataset's `access` list seen as an IAM policy.

    Grants to views, routines and other datasets have no role, and members can be of kinds that are not known here.
    Every entry that was there is written back as it was, but for those of members that the policy no longer has.
    """

    def read(self, provider: Provider, parts: Mapping[str, str]) -> dict[str, Any]:
        """The dataset's entries with roles, as bindings, with the dataset's etag."""
        dataset = self._dataset(provider, parts)
        bindings: list[dict[str, Any]] = []
        for entry in dataset.get("access") or []:
            member = _entry_member(entry)
            if not entry.get("role") or member is None:
                continue
            role = LEGACY_ROLES.get(entry["role"], entry["role"])
            condition = entry.get("condition")
            known = next(
                (each for each in bindings if each["role"] == role and each.get("condition") == condition), None
            )
            if known is None:
                known = {"role": role, "members": [], **({"condition": condition} if condition else {})}
                bindings.append(known)
            known["members"].append(member)
        return {"bindings": bindings, "etag": dataset.get("etag", "")}

    def write(self, provider: Provider, parts: Mapping[str, str], policy: dict[str, Any]) -> None:
        """Sets the entries; BigQuery takes the list whole, and only while its etag is the one that was read.

        Raises:
            ApiError: with 412, the dataset was changed by others in between.
        """
        dataset = self._dataset(provider, parts)
        if policy.get("etag") and dataset.get("etag") != policy["etag"]:
            raise ApiError("PATCH", urlsplit(self._url(provider, parts)).path, 412, "the dataset was changed meanwhile")
        wanted = [
            (binding["role"], member, binding.get("condition"))
            for binding in policy.get("bindings") or []
            for member in binding["members"]
        ]
        access = []
        for entry in dataset.get("access") or []:
            role, member = entry.get("role"), _entry_member(entry)
            if role and member is not None:
                grant = (LEGACY_ROLES.get(role, role), member, entry.get("condition"))
                if grant not in wanted:
                    continue
                wanted.remove(grant)
            access.append({**entry, "role": LEGACY_ROLES.get(role, role)} if role else entry)
        for role, member, condition in wanted:
            access.append({"role": role, **_member_entry(member), **({"condition": condition} if condition else {})})
        provider.client.call(
            "PATCH",
            self._url(provider, parts),
            {"access": access},
            query=POLICY_QUERY,
            headers={"If-Match": dataset["etag"]} if dataset.get("etag") else {},
        )

    def _dataset(self, provider: Provider, parts: Mapping[str, str]) -> dict[str, Any]:
        return provider.client.call("GET", self._url(provider, parts), query=POLICY_QUERY)


def _entry_member(entry: Mapping[str, Any]) -> str | None:
    if entry.get("userByEmail"):
        kind = "serviceAccount" if "gserviceaccount" in entry["userByEmail"] else "user"
        return f"{kind}:{entry['userByEmail']}"
    if entry.get("groupByEmail"):
        return f"group:{entry['groupByEmail']}"
    if entry.get("domain"):
        return f"domain:{entry['domain']}"
    if entry.get("specialGroup") == "allAuthenticatedUsers":
        return "allAuthenticatedUsers"
    if entry.get("specialGroup"):
        return f"specialGroup:{entry['specialGroup']}"
    return f"iamMember:{entry['iamMember']}" if entry.get("iamMember") else None


def _member_entry(member: str) -> dict[str, Any]:
    kind, _, name = member.partition(":")
    if member in SPECIAL_GROUPS or kind == "specialGroup":
        return {"specialGroup": name or member}
    keys = {"user": "userByEmail", "serviceAccount": "userByEmail", "group": "groupByEmail", "domain": "domain"}
    if kind in keys:
        return {keys[kind]: name}
    return {"iamMember": name if kind == "iamMember" else member}


RESOURCES = (DATASET, TABLE)

MEMBERS = (
    MemberType(
        token="gcp:bigquery/datasetIamMember:DatasetIamMember",  # noqa: S106 - a type token
        parent=(text("datasetId", wire=None, required=True, replaces=True), PROJECT),
        holder=DatasetPolicy(
            api="bigquery",
            name="projects/{project}/datasets/{dataset}",
            source="datasetId",
            forms=("projects/{project}/datasets/{dataset}", "{dataset}"),
            shown="{dataset}",
            access="entries",
        ),
    ),
)
