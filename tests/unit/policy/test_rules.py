"""The policy pack's rules: what each refuses and what it lets pass."""

from typing import Any

import pytest

from policy.rules import RULES, UNKNOWN, Resource

DATASET = "gcp:healthcare/dataset:Dataset"
STORE = "gcp:healthcare/dicomStore:DicomStore"
BUCKET = "gcp:storage/bucket:Bucket"
TABLES = "gcp:bigquery/dataset:Dataset"
TOPIC = "gcp:pubsub/topic:Topic"
STARTED = "pulumi-python:dynamic/imaging:StartedOperation"
CLOSED = {"uniformBucketLevelAccess": True, "publicAccessPrevention": "enforced"}
AGENT = "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
MEMBER = "gcp:projects/iAMMember:IAMMember"

Config = dict[str, list[str]]

REFUSED: list[tuple[str, Resource, Config, str]] = [
    ("no-public-members", Resource(MEMBER, {"member": "allUsers"}), {}, "member grants to allUsers"),
    (
        "no-public-members",
        Resource("gcp:storage/bucketIAMBinding:BucketIAMBinding", {"members": [AGENT, "allAuthenticatedUsers"]}),
        {},
        "members[1] grants to allAuthenticatedUsers",
    ),
    (
        "no-public-members",
        Resource(
            "gcp:storage/bucketIAMPolicy:BucketIAMPolicy", {"policyData": '{"bindings":[{"members":["allUsers"]}]}'}
        ),
        {},
        "policyData grants to allUsers",
    ),
    (
        "no-public-members",
        Resource(TABLES, {"accesses": [{"role": "READER", "specialGroup": "allAuthenticatedUsers"}]}),
        {},
        "accesses[0].specialGroup grants to allAuthenticatedUsers",
    ),
    (
        "no-public-members",
        Resource("gcp:storage/bucketACL:BucketACL", {"predefinedAcl": "publicRead"}),
        {},
        "predefinedAcl is publicRead",
    ),
    ("closed-buckets", Resource(BUCKET, CLOSED | {"uniformBucketLevelAccess": False}), {}, "uniformBucketLevelAccess"),
    (
        "closed-buckets",
        Resource(BUCKET, CLOSED | {"publicAccessPrevention": "inherited"}),
        {},
        "publicAccessPrevention",
    ),
    (
        "allowed-locations",
        Resource(DATASET, {"location": "us-central1"}),
        {"locations": ["EU"]},
        "us-central1 is none of EU",
    ),
    # What has no location gets the default of its API: the United States.
    ("allowed-locations", Resource(TABLES, {}), {"locations": ["EU"]}, "location US is none of EU"),
    (
        "allowed-destinations",
        Resource(STARTED, {"body": {"bigqueryDestination": {"tableUri": "bq://example.com:other.dicom.t"}}}),
        {"projects": ["research-*"]},
        "project example.com:other, which is none of research-*",
    ),
    (
        "allowed-destinations",
        Resource(STARTED, {"body": {"gcsDestination": {"uriPrefix": "gs://elsewhere/images/"}}}),
        {"buckets": ["hospital-*"]},
        "bucket elsewhere",
    ),
    (
        "allowed-destinations",
        Resource(STORE, {"streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://other.dicom.t"}}]}),
        {"projects": ["hospital"]},
        "project other",
    ),
    (
        "allowed-destinations",
        Resource(STORE, {"notificationConfig": {"pubsubTopic": "projects/other/topics/t"}}),
        {"projects": ["hospital"]},
        "project other",
    ),
    (
        "allowed-members",
        Resource(MEMBER, {"member": "user:somebody@example.com"}),
        {"members": ["group:*@example.org"]},
        "user:somebody@example.com is none of group:*@example.org",
    ),
    ("customer-managed-keys", Resource(DATASET, {}), {}, "encryptionSpec.kmsKeyName is not set"),
    ("customer-managed-keys", Resource(BUCKET, {"encryption": {}}), {}, "encryption.defaultKmsKeyName is not set"),
    ("customer-managed-keys", Resource(TABLES, {}), {}, "defaultEncryptionConfiguration.kmsKeyName is not set"),
    ("customer-managed-keys", Resource(TOPIC, {}), {}, "kmsKeyName is not set"),
    *(("deletion-protection", Resource(each, {}), {}, "isn't protected") for each in (DATASET, STORE, BUCKET, TABLES)),
]

PASSED: list[tuple[str, Resource, Config]] = [
    ("no-public-members", Resource(MEMBER, {"member": AGENT}), {}),
    ("no-public-members", Resource("aws:s3/bucket:Bucket", {"acl": "allUsers"}), {}),
    ("closed-buckets", Resource(BUCKET, CLOSED), {}),
    ("closed-buckets", Resource(BUCKET, dict.fromkeys(CLOSED, UNKNOWN)), {}),
    ("allowed-locations", Resource(DATASET, {"location": "us-central1"}), {}),
    ("allowed-locations", Resource(BUCKET, {"location": "eu"}), {"locations": ["EU"]}),
    ("allowed-locations", Resource(BUCKET, {"location": UNKNOWN}), {"locations": ["EU"]}),
    (
        "allowed-destinations",
        Resource(STARTED, {"body": {"bigqueryDestination": {"tableUri": "bq://research-1.dicom.t"}}}),
        {"projects": ["research-*"], "buckets": ["none"]},
    ),
    (
        "allowed-destinations",
        Resource(STARTED, {"body": {"gcsSource": {"uri": "gs://elsewhere/**"}}}),
        {"buckets": ["hospital-*"]},
    ),
    ("allowed-destinations", Resource(STARTED, {"body": UNKNOWN}), {"buckets": ["hospital-*"]}),
    ("allowed-members", Resource(MEMBER, {"member": AGENT}), {"members": ["group:*@example.org"]}),
    ("allowed-members", Resource(MEMBER, {"member": UNKNOWN}), {"members": ["group:*@example.org"]}),
    ("allowed-members", Resource(MEMBER, {"member": "user:somebody@example.com"}), {}),
    ("customer-managed-keys", Resource(BUCKET, {"encryption": {"defaultKmsKeyName": "k"}}), {}),
    ("customer-managed-keys", Resource(DATASET, {"encryptionSpec": UNKNOWN}), {}),
    ("deletion-protection", Resource(STORE, {}, protected=True), {}),
    ("deletion-protection", Resource(TOPIC, {}), {}),
]

_rules = {rule.name: rule for rule in RULES}


@pytest.mark.parametrize(("rule", "resource", "config", "expected"), REFUSED)
def test_a_rule_names_what_is_wrong(rule: str, resource: Resource, config: Config, expected: str) -> None:
    problems = list(_rules[rule].check(resource, config))
    assert len(problems) == 1
    assert expected in problems[0]


@pytest.mark.parametrize(("rule", "resource", "config"), PASSED)
def test_a_rule_lets_pass_what_keeps_to_it_or_is_not_known_yet(rule: str, resource: Resource, config: Config) -> None:
    assert list(_rules[rule].check(resource, config)) == []


def test_every_rule_has_a_case_that_it_refuses_and_one_that_it_lets_pass() -> None:
    assert {case[0] for case in REFUSED} == {case[0] for case in PASSED} == set(_rules)


def test_google_service_agents_need_no_permission_of_their_own() -> None:
    agents: list[Any] = [
        AGENT,
        "serviceAccount:bq-4711@bigquery-encryption.iam.gserviceaccount.com",
        "serviceAccount:service-4711@gs-project-accounts.iam.gserviceaccount.com",
    ]
    members = Resource("gcp:kms/cryptoKeyIAMBinding:CryptoKeyIAMBinding", {"members": agents})
    assert list(_rules["allowed-members"].check(members, {"members": ["group:*@example.org"]})) == []
