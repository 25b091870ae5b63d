"""Cloud Healthcare: datasets and DICOM stores.

https://cloud.google.com/healthcare-api/docs/reference/rest/v1beta1/projects.locations.datasets
"""

from __future__ import annotations

from engine.plugins.gcp.fields import block, blocks, flag, text
from engine.plugins.gcp.iam import MemberType, PolicyHolder
from engine.plugins.gcp.resource import DELETION_POLICY, LABELS, PROJECT, ResourceType, last_segment
from engine.plugins.gcp.rest import GOOGLES_CLIENT

DATASET = ResourceType(
    token="gcp:healthcare/dataset:Dataset",  # noqa: S106 - a type token
    api="healthcare",
    fields=(
        text("name", replaces=True, wire_fixed=True, decode=last_segment),
        text("location", wire=None, required=True, replaces=True),
        PROJECT,
        text("timeZone", keeps=True),
        block("encryptionSpec", text("kmsKeyName", replaces=True), keeps=True, replaces=True),
        DELETION_POLICY,
        text("selfLink", wire="name", output=True),
    ),
    identity="projects/{project}/locations/{location}/datasets/{name}",
    imports=("{project}/{location}/{name}", "{location}/{name}"),
    collection="projects/{project}/locations/{location}/datasets",
    create_query={"datasetId": "{+name}"},
    resource="projects/{project}/locations/{location}/datasets/{name}",
    omits_empty=True,
    pending="dataset not initialized",
)

DICOM_STORE = ResourceType(
    token="gcp:healthcare/dicomStore:DicomStore",  # noqa: S106 - a type token
    api="healthcare",
    fields=(
        text("name", replaces=True, wire_fixed=True, decode=last_segment),
        text("dataset", wire=None, required=True, replaces=True),
        *LABELS,
        block("notificationConfig", text("pubsubTopic", required=True), flag("sendForBulkImport")),
        blocks("streamConfigs", block("bigqueryDestination", text("tableUri", required=True), required=True)),
        DELETION_POLICY,
        text("selfLink", wire="name", output=True),
    ),
    identity="{+dataset}/dicomStores/{name}",
    collection="{+dataset}/dicomStores",
    create_query={"dicomStoreId": "{+name}"},
    resource="{+dataset}/dicomStores/{name}",
    omits_empty=True,
)

RESOURCES = (DATASET, DICOM_STORE)

MEMBERS = (
    MemberType(
        token="gcp:healthcare/datasetIamMember:DatasetIamMember",  # noqa: S106 - a type token
        parent=(text("datasetId", wire=None, required=True, replaces=True),),
        holder=PolicyHolder(
            api="healthcare",
            name="projects/{project}/locations/{location}/datasets/{dataset}",
            source="datasetId",
            forms=(
                "projects/{project}/locations/{location}/datasets/{dataset}",
                "{project}/{location}/{dataset}",
                "{location}/{dataset}",
            ),
            version="v1/",
            always=GOOGLES_CLIENT,
            asks_version=False,
        ),
    ),
    MemberType(
        token="gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember",  # noqa: S106 - a type token
        parent=(text("dicomStoreId", wire=None, required=True, replaces=True),),
        holder=PolicyHolder(
            api="healthcare",
            name="projects/{project}/locations/{location}/datasets/{dataset}/dicomStores/{store}",
            source="dicomStoreId",
            forms=(
                "projects/{project}/locations/{location}/datasets/{dataset}/dicomStores/{store}",
                "{project}/{location}/{dataset}/{store}",
                "{location}/{dataset}/{store}",
            ),
            version="v1/",
            always=GOOGLES_CLIENT,
            asks_version=False,
        ),
    ),
)
