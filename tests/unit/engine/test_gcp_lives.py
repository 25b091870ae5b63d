"""Every mapped type through its life, with the calls that each step makes.

The calls are those of the Terraform provider that the official plugin is built on (`google/services/*` of
hashicorp/terraform-provider-google-beta, read 2026-08-21), but for what engine/README.md names under Limitations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from engine.plugins.gcp.catalog import TYPES

if TYPE_CHECKING:
    from typing import Any

AGENT = "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
DATASET = "projects/hospital/locations/europe-west4/datasets/radiology"
STORE = f"{DATASET}/dicomStores/pacs"
RING = "projects/hospital/locations/europe-west4/keyRings/imaging"
KEY = f"{RING}/cryptoKeys/images"
TOPIC = "projects/hospital/topics/dicom"
SERVICES = "/v1/projects/hospital/services"
LISTED = f"GET {SERVICES}?filter=state:ENABLED&fields=services/name,nextPageToken&pageSize=200"
PROJECT = "GET /v1/projects/hospital"
IDENTITY = "/v1beta1/projects/hospital/services/healthcare.googleapis.com:generateServiceIdentity"
POLICY = "?options.requestedPolicyVersion=3"


@dataclass(frozen=True)
class Life:
    """What happens to a resource, and what is asked of Google for it.

    Args:
        given: its inputs.
        answers: what Google says, by method and path; the last answer of several is repeated.
        identity: its id.
        create: the calls that make it.
        read: the calls of a refresh, and of an import.
        delete: the calls that delete it.
        change: inputs that are changed in place; none where there are no such.
        update: the calls of that.
        replacing: inputs whose change makes another resource.
        imported: forms of the id that an import takes, beside the id itself.
    """

    given: dict[str, Any]
    answers: dict[str, Any]
    identity: str
    create: list[str]
    read: list[str]
    delete: list[str]
    change: dict[str, Any] = field(default_factory=dict)
    update: list[str] = field(default_factory=list)
    replacing: dict[str, Any] = field(default_factory=dict)
    imported: tuple[str, ...] = ()


def member(given: dict[str, Any], name: str, get: str, put: str) -> Life:
    """A grant: nothing of it is changed in place; it is made and removed by reading and writing the whole policy."""
    method, _, path = get.partition("?")[0].partition(" ")
    writes, _, written = put.partition("?")[0].partition(" ")
    return Life(
        given={**given, "role": "roles/a.b", "member": AGENT},
        answers={f"{method} {path}": "policy", f"{writes} {written}": "policy"},
        identity=f"{name}/roles/a.b/{AGENT}",
        create=[get, put, get],
        read=[get],
        delete=[get, put],
        replacing={"role": "roles/c.d", "member": "user:other@example.org"},
        imported=(f"{name} roles/a.b {AGENT}",),
    )


LIVES: dict[str, Life] = {
    "gcp:healthcare/dataset:Dataset": Life(
        given={"name": "radiology", "location": "europe-west4", "timeZone": "UTC"},
        answers={"GET": {"name": DATASET, "timeZone": "UTC"}},
        identity=DATASET,
        create=[
            "POST /v1beta1/projects/hospital/locations/europe-west4/datasets?datasetId=radiology",
            f"GET /v1beta1/{DATASET}",
        ],
        read=[f"GET /v1beta1/{DATASET}"],
        change={"timeZone": "Europe/Berlin"},
        update=[f"PATCH /v1beta1/{DATASET}?updateMask=timeZone", f"GET /v1beta1/{DATASET}"],
        replacing={"name": "other", "location": "us", "encryptionSpec": {"kmsKeyName": KEY}, "project": "elsewhere"},
        delete=[f"DELETE /v1beta1/{DATASET}"],
        imported=("hospital/europe-west4/radiology", "europe-west4/radiology"),
    ),
    "gcp:healthcare/dicomStore:DicomStore": Life(
        given={"name": "pacs", "dataset": DATASET},
        answers={"GET": {"name": STORE}},
        identity=STORE,
        create=[f"POST /v1beta1/{DATASET}/dicomStores?dicomStoreId=pacs", f"GET /v1beta1/{STORE}"],
        read=[f"GET /v1beta1/{STORE}"],
        change={
            "labels": {"a": "b"},
            "notificationConfig": {"pubsubTopic": TOPIC},
            "streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://p.d.t"}}],
        },
        update=[
            f"PATCH /v1beta1/{STORE}?updateMask=notificationConfig,streamConfigs,labels",
            f"GET /v1beta1/{STORE}",
        ],
        replacing={"name": "other", "dataset": f"{DATASET}2"},
        delete=[f"DELETE /v1beta1/{STORE}"],
    ),
    "gcp:healthcare/datasetIamMember:DatasetIamMember": member(
        {"datasetId": DATASET}, DATASET, f"GET /v1/{DATASET}:getIamPolicy", f"POST /v1/{DATASET}:setIamPolicy"
    ),
    "gcp:healthcare/dicomStoreIamMember:DicomStoreIamMember": member(
        {"dicomStoreId": STORE}, STORE, f"GET /v1/{STORE}:getIamPolicy", f"POST /v1/{STORE}:setIamPolicy"
    ),
    "gcp:bigquery/dataset:Dataset": Life(
        given={"datasetId": "dicom", "location": "EU"},
        answers={"GET": {"datasetReference": {"projectId": "hospital", "datasetId": "dicom"}, "location": "EU"}},
        identity="projects/hospital/datasets/dicom",
        create=[
            "POST /bigquery/v2/projects/hospital/datasets?accessPolicyVersion=3",
            "GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
        ],
        read=["GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3"],
        change={"description": "metadata", "defaultEncryptionConfiguration": {"kmsKeyName": KEY}},
        update=[
            "PUT /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
            "GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
        ],
        replacing={"datasetId": "other", "location": "US", "project": "elsewhere"},
        delete=["DELETE /bigquery/v2/projects/hospital/datasets/dicom?deleteContents=false"],
        imported=("hospital/dicom", "dicom"),
    ),
    "gcp:bigquery/datasetIamMember:DatasetIamMember": Life(
        given={"datasetId": "dicom", "role": "roles/a.b", "member": AGENT},
        answers={"GET": "access", "PATCH": "access"},
        identity=f"projects/hospital/datasets/dicom/roles/a.b/{AGENT}",
        # Read, read again for entries that are no grants, written, confirmed.
        create=[
            "GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
            "GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
            "PATCH /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
            "GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
        ],
        read=["GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3"],
        replacing={"role": "roles/c.d", "member": "user:other@example.org", "datasetId": "other"},
        delete=[
            "GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
            "GET /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
            "PATCH /bigquery/v2/projects/hospital/datasets/dicom?accessPolicyVersion=3",
        ],
        imported=(f"projects/hospital/datasets/dicom roles/a.b {AGENT}",),
    ),
    "gcp:bigquery/table:Table": Life(
        given={"datasetId": "dicom", "tableId": "t", "deletionProtection": False},
        answers={"GET": {"tableReference": {"projectId": "hospital", "datasetId": "dicom", "tableId": "t"}}},
        identity="projects/hospital/datasets/dicom/tables/t",
        create=[
            "POST /bigquery/v2/projects/hospital/datasets/dicom/tables",
            "GET /bigquery/v2/projects/hospital/datasets/dicom/tables/t",
        ],
        read=["GET /bigquery/v2/projects/hospital/datasets/dicom/tables/t"],
        change={"description": "instances"},
        update=[
            "PUT /bigquery/v2/projects/hospital/datasets/dicom/tables/t",
            "GET /bigquery/v2/projects/hospital/datasets/dicom/tables/t",
        ],
        replacing={"tableId": "other", "datasetId": "other", "project": "elsewhere"},
        delete=["DELETE /bigquery/v2/projects/hospital/datasets/dicom/tables/t"],
        imported=("hospital/dicom/t", "dicom/t"),
    ),
    "gcp:storage/bucket:Bucket": Life(
        given={"name": "inbox", "location": "EU"},
        answers={
            "GET": {"name": "inbox", "location": "EU", "storageClass": "STANDARD", "projectNumber": "4711"},
            "GET /storage/v1/b/inbox/o": {},
        },
        identity="inbox",
        create=["POST /storage/v1/b?project=hospital", "GET /storage/v1/b/inbox", "GET /storage/v1/b/inbox"],
        read=["GET /storage/v1/b/inbox"],
        change={"labels": {"a": "b"}, "encryption": {"defaultKmsKeyName": KEY}},
        update=["PATCH /storage/v1/b/inbox", "GET /storage/v1/b/inbox"],
        replacing={"name": "other", "location": "US", "project": "elsewhere"},
        delete=[
            "GET /storage/v1/b/inbox/anywhereCaches/",
            "GET /storage/v1/b/inbox/o?versions=true",
            "DELETE /storage/v1/b/inbox",
        ],
    ),
    "gcp:storage/bucketIAMMember:BucketIAMMember": member(
        {"bucket": "inbox"},
        "b/inbox",
        "GET /storage/v1/b/inbox/iam?optionsRequestedPolicyVersion=3",
        "PUT /storage/v1/b/inbox/iam",
    ),
    "gcp:storage/bucketObject:BucketObject": Life(
        given={"name": "a/b.txt", "bucket": "inbox", "content": "hello"},
        # The MD5 of "hello", as RFC 1864 writes it.
        answers={"GET": {"name": "a/b.txt", "bucket": "inbox", "md5Hash": "XUFAKrxLKna5cZ2REBfFkg=="}},
        identity="inbox-a/b.txt",
        create=[
            "POST /upload/storage/v1/b/inbox/o?uploadType=multipart&name=a/b.txt",
            "GET /storage/v1/b/inbox/o/a%2Fb.txt",
        ],
        read=["GET /storage/v1/b/inbox/o/a%2Fb.txt"],
        change={"content": "other"},
        update=[
            "POST /upload/storage/v1/b/inbox/o?uploadType=multipart&name=a/b.txt",
            "GET /storage/v1/b/inbox/o/a%2Fb.txt",
        ],
        replacing={"name": "other", "bucket": "other", "kmsKeyName": KEY},
        delete=["DELETE /storage/v1/b/inbox/o/a%2Fb.txt"],
        imported=("inbox/a/b.txt",),
    ),
    "gcp:projects/service:Service": Life(
        given={"service": "healthcare.googleapis.com"},
        answers={
            "GET": {"projectId": "hospital", "lifecycleState": "ACTIVE"},
            f"GET {SERVICES}": [{}, {"services": [{"name": "projects/4711/services/healthcare.googleapis.com"}]}],
            f"POST {SERVICES}/healthcare.googleapis.com:enable": {"name": "operations/1", "done": True},
        },
        identity="hospital/healthcare.googleapis.com",
        create=[LISTED, f"POST {SERVICES}/healthcare.googleapis.com:enable", LISTED, PROJECT, LISTED],
        read=[PROJECT, LISTED],
        change={"disableOnDestroy": True},
        update=[],
        replacing={"service": "bigquery.googleapis.com", "project": "elsewhere"},
        delete=[],
    ),
    "gcp:projects/serviceIdentity:ServiceIdentity": Life(
        given={"service": "healthcare.googleapis.com"},
        answers={f"POST {IDENTITY}": {"done": True, "response": {"email": AGENT.partition(":")[2]}}},
        identity="projects/hospital/services/healthcare.googleapis.com",
        create=[f"POST {IDENTITY}"],
        read=[],
        replacing={"service": "pubsub.googleapis.com", "project": "elsewhere"},
        delete=[],
    ),
    "gcp:projects/iAMMember:IAMMember": member(
        {"project": "hospital"},
        "hospital",
        "POST /v1/projects/hospital:getIamPolicy",
        "POST /v1/projects/hospital:setIamPolicy",
    ),
    "gcp:pubsub/topic:Topic": Life(
        given={"name": "dicom"},
        answers={"GET": {"name": TOPIC}},
        identity=TOPIC,
        create=[f"PUT /v1/{TOPIC}", f"GET /v1/{TOPIC}", f"GET /v1/{TOPIC}"],
        read=[f"GET /v1/{TOPIC}"],
        change={"labels": {"a": "b"}, "kmsKeyName": KEY},
        update=[f"PATCH /v1/{TOPIC}?updateMask=kmsKeyName,labels", f"GET /v1/{TOPIC}"],
        replacing={"name": "other", "project": "elsewhere"},
        delete=[f"DELETE /v1/{TOPIC}"],
        imported=("hospital/dicom", "dicom"),
    ),
    "gcp:pubsub/topicIAMMember:TopicIAMMember": member(
        {"topic": "dicom"}, TOPIC, f"GET /v1/{TOPIC}:getIamPolicy", f"POST /v1/{TOPIC}:setIamPolicy"
    ),
    "gcp:kms/keyRing:KeyRing": Life(
        given={"name": "imaging", "location": "europe-west4"},
        answers={"GET": {"name": RING}},
        identity=RING,
        create=[f"POST /v1/{RING.rpartition('/')[0]}?keyRingId=imaging", f"GET /v1/{RING}"],
        read=[f"GET /v1/{RING}"],
        replacing={"name": "other", "location": "us", "project": "elsewhere"},
        delete=[],
        imported=("hospital/europe-west4/imaging", "europe-west4/imaging"),
    ),
    "gcp:kms/cryptoKey:CryptoKey": Life(
        given={"name": "images", "keyRing": RING},
        answers={
            "GET": {"name": KEY, "purpose": "ENCRYPT_DECRYPT"},
            f"GET /v1/{KEY}/cryptoKeyVersions": {"cryptoKeyVersions": [{"name": f"{KEY}/cryptoKeyVersions/1"}]},
        },
        identity=KEY,
        create=[f"POST /v1/{RING}/cryptoKeys?cryptoKeyId=images", f"GET /v1/{KEY}"],
        read=[f"GET /v1/{KEY}"],
        change={"labels": {"a": "b"}},
        update=[f"PATCH /v1/{KEY}?updateMask=labels", f"GET /v1/{KEY}"],
        replacing={"name": "other", "keyRing": f"{RING}2", "purpose": "ASYMMETRIC_SIGN"},
        delete=[f"GET /v1/{KEY}/cryptoKeyVersions", f"POST /v1/{KEY}/cryptoKeyVersions/1:destroy"],
    ),
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": member(
        {"cryptoKeyId": KEY}, KEY, f"GET /v1/{KEY}:getIamPolicy{POLICY}", f"POST /v1/{KEY}:setIamPolicy"
    ),
    "gcp:kms/keyRingIAMMember:KeyRingIAMMember": member(
        {"keyRingId": RING}, RING, f"GET /v1/{RING}:getIamPolicy{POLICY}", f"POST /v1/{RING}:setIamPolicy"
    ),
}


def test_every_mapped_type_has_its_life_here() -> None:
    assert set(LIVES) == set(TYPES)


class Google:
    """Answers one life's calls; policies and access lists are kept, so that what is written can be read."""

    def __init__(self, life: Life, recorder: Any) -> None:
        self.recorder = recorder
        self.kept: dict[str, Any] = {"policy": {"bindings": []}, "access": {"access": []}}
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            recorder.answer(method, ".*", life.answers.get(method, {}) if method != "DELETE" else {})
        for call, answer in life.answers.items():
            method, _, path = call.partition(" ")
            answers = answer if isinstance(answer, list) else [answer]
            if answer in ("policy", "access"):
                answers = [lambda request, kind=answer: self._keep(kind, request)]
            recorder.answer(method, path.replace("+", r"\+") or ".*", *answers)

    def _keep(self, kind: str, request: Any) -> Any:
        written = request.body.get("policy", request.body) if isinstance(request.body, dict) else {}
        if {"bindings", "access"} & set(written):
            self.kept[kind] = written
        return self.kept[kind]

    def asked(self) -> list[str]:
        """The calls since the last time."""
        lines: list[str] = self.recorder.lines()
        self.recorder.requests.clear()
        return lines


@pytest.mark.parametrize("token", LIVES)
def test_a_type_is_made_kept_changed_refreshed_imported_and_deleted_by_these_calls(
    token: str, plugin: Any, recorder: Any
) -> None:
    life = LIVES[token]
    google = Google(life, recorder)

    identity, outputs = plugin.create(token, life.given)
    assert identity == life.identity
    assert google.asked() == life.create

    same = plugin.diff(token, life.given, outputs, life.given)
    assert list(same.diffs) == []
    assert google.asked() == []

    if life.change:
        changed = {**life.given, **life.change}
        answer = plugin.diff(token, life.given, outputs, changed)
        assert set(answer.diffs) == set(life.change)
        assert list(answer.replaces) == []
        assert google.asked() == []
        plugin.update(token, life.given, outputs, changed)
        assert google.asked() == life.update

    for name, value in life.replacing.items():
        answer = plugin.diff(token, life.given, outputs, {**life.given, name: value})
        assert list(answer.replaces) == [name], name
    assert google.asked() == []

    refreshed, state, _ = plugin.read(token, identity, outputs, life.given)
    assert refreshed == identity
    assert state == outputs
    assert google.asked() == life.read

    if token != "gcp:projects/serviceIdentity:ServiceIdentity":  # can't be looked up, so it can't be imported
        for form in (identity, *life.imported):
            found, state, inputs = plugin.read(token, form)
            assert found == identity
            assert google.asked() == life.read
            # What was imported is what the program gives, as far as it can be read.
            assert set(plugin.diff(token, _plain(inputs), state, life.given).replaces) == set()
            google.asked()

    plugin.delete(token, outputs)
    assert google.asked() == life.delete


def _plain(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != "__defaults"}
