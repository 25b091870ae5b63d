"""Which refusals pass by themselves, in the words that Google's services were seen to use, and which never do.

Sources: github.com/hashicorp/terraform-provider-google issues 13721, 11820 (streaming), 9969 (agents), 8128 (datasets);
GoogleCloudPlatform/terraform-docs-samples 334 and googleapis/nodejs-storage 1254 (keys).
"""

from typing import Any

import pytest

from components.base.waiting import Made, awaited

KEY = "projects/keys/locations/europe-west4/keyRings/imaging/cryptoKeys/images"
TABLES = Made("gcp:bigquery/datasetIamMember:DatasetIamMember", {"project": "research", "datasetId": "stream"})
KEYS = Made("gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember", {"cryptoKeyId": KEY})
TOPIC = Made("gcp:pubsub/topicIAMMember:TopicIAMMember", {"project": "messages", "topic": "dicom"})
API = Made("gcp:projects/service:Service", {"project": "hospital-imaging", "service": "healthcare.googleapis.com"})
ROLE = Made(
    "gcp:projects/iAMMember:IAMMember", {"project": "hospital-imaging", "role": "roles/healthcare.serviceAgent"}
)

STORE = {
    "dataset": "projects/hospital-imaging/locations/europe-west4/datasets/radiology",
    "notificationConfig": {"pubsubTopic": "projects/messages/topics/dicom"},
    "streamConfigs": [{"bigqueryDestination": {"tableUri": "bq://research.stream.pacs"}}],
}
BUCKET = {"name": "out", "project": "storage", "encryption": {"defaultKmsKeyName": KEY}}
AGENT = {"member": "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"}

STREAM_WORDS = (
    "googleapi: Error 403: failed to verify dataset (projectID:research, datasetID:stream), please add the required "
    "bigquery.dataEditor role to your project's service account"
)
STORAGE_KEY_WORDS = (
    "googleapi: Error 403: Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account "
    "has been authorized to use this key., forbidden"
)
BIGQUERY_KEY_WORDS = (
    "Access Denied: BigQuery BigQuery: Cloud KMS Error: Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on "
    f"resource '{KEY}' (or it may not exist)."
)
NO_AGENT = (
    "Error setting IAM policy: googleapi: Error 400: Service account "
    "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com does not exist., badRequest"
)
DISABLED = (
    "Cloud Healthcare API has not been used in project 4711 before or it is disabled. Enable it by visiting … then "
    "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry."
)


@pytest.mark.parametrize(
    ("message", "inputs", "made", "what"),
    [
        (STREAM_WORDS, STORE, [TABLES], "a new grant"),
        (STREAM_WORDS, STORE, [ROLE], "a new grant"),
        (STORAGE_KEY_WORDS, BUCKET, [KEYS], "a new grant"),
        (BIGQUERY_KEY_WORDS, {"defaultEncryptionConfiguration": {"kmsKeyName": KEY}}, [KEYS], "a new grant"),
        ("the Cloud Healthcare service agent can't publish", STORE, [TOPIC], "a new grant"),
        (NO_AGENT, AGENT, [], "a new service agent"),
        (NO_AGENT.replace("account s", "account projects/p/serviceAccounts/s"), AGENT, [], "a new service agent"),
        (DISABLED, STORE, [API], "a newly enabled API"),
        ("googleapi: Error 404: dataset not initialized", STORE, [], "the new dataset"),
    ],
)
def test_what_passes_by_itself_is_waited_for(message: str, inputs: dict[str, Any], made: list[Made], what: str) -> None:
    assert awaited(message, inputs, made) == what


@pytest.mark.parametrize(
    ("message", "inputs", "made"),
    [
        # nothing was granted, or nothing that this resource uses
        (STREAM_WORDS, STORE, []),
        (STREAM_WORDS, STORE, [KEYS]),
        (STORAGE_KEY_WORDS, BUCKET, [TABLES, TOPIC, API]),
        (DISABLED, STORE, [TABLES, ROLE]),
        # the caller is refused
        ("Permission healthcare.dicomStores.create denied on resource projects/hospital-imaging", STORE, [TABLES]),
        ("Permission 'cloudkms.cryptoKeys.setIamPolicy' denied on resource", {"cryptoKeyId": KEY}, [KEYS]),
        ("User not authorized to perform this action.", STORE, [TOPIC]),
        # somebody who doesn't exist: a mistyped account never comes to be
        ("Service account typo@p.iam.gserviceaccount.com does not exist.", {"member": "serviceAccount:typo@p"}, [API]),
        # other errors
        ("Error 409: Already exists", STORE, [TABLES, KEYS, TOPIC, API, ROLE]),
    ],
)
def test_what_never_passes_is_not_waited_for(message: str, inputs: dict[str, Any], made: list[Made]) -> None:
    assert awaited(message, inputs, made) is None
