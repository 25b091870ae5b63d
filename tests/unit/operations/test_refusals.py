"""Refusals in the words in which people pasted them: what they mean, and whom they are about.

None of Google's texts names a bucket, and none names a role to grant but one; the explanations do.
"""

import re
from typing import Any

import pytest

from operations.google.errors import advice, passes_with_grants
from operations.google.refusals import RULES, names_service_agent
from operations.model.codes import code_of
from operations.model.requests import make_export, make_import
from tests.unit.operations.service import STORE

EXPORT = make_export(STORE, "bq://research-analytics.dicom.instances", write_disposition="WRITE_TRUNCATE")
OBJECTS = make_export(STORE, "gs://hospital-out/x")
IMPORT = make_import(STORE, "gs://hospital-inbox/**")

_NO_PERMISSION = (
    "Healthcare API doesn't have required Cloud Storage permission. See https://cloud.google.com/healthcare/docs/"
    "how-tos/permissions-healthcare-api-gcp-products for more information"
)
# What people pasted, with the place, and what it is about. None of them names a bucket or a role to grant.
_BQ = "Access Denied: "
_AGENT = "service-825137411523@gcp-sa-healthcare.iam.gserviceaccount.com"
PASTED = [
    # GoogleCloudPlatform/healthcare 457: an export to Cloud Storage
    (OBJECTS, (3, 7, 9), _NO_PERMISSION, "does not have permission to write to bucket hospital-out", True),
    # A public proof of concept (2022): an import, then a project without the agent, then a folder without **
    (
        IMPORT,
        (3, 7, 9),
        "Cloud Healthcare Service Agent doesn't have all required permissions [storage.objects.list]",
        "does not have permission to list and read bucket hospital-inbox: storage.objects.list is missing",
        True,
    ),
    (
        IMPORT,
        (3, 9),
        f"Service account projects/poc01-330806/serviceAccounts/{_AGENT} does not exist.",
        "doesn't exist yet",
        True,
    ),
    (IMPORT, (3, 9), f"Service account {_AGENT} does not exist.", "doesn't exist yet", True),
    (
        IMPORT,
        (3, 5, 9),
        "the import pattern 'gs://poc01-330806-healthcare-bucket/input/dicom/' resolves to zero GCS objects",
        "no object matches gs://hospital-inbox/**",
        False,
    ),
    (
        IMPORT,
        (3, 9),
        "Bucket is requester pays bucket but no user project provided.",
        "requester-pays bucket",
        False,
    ),
    # mozilla/bigquery-etl 7581; r-dbi/bigrquery 237 (the older form, of a person)
    (
        EXPORT,
        (7,),
        f"{_BQ}Project moz-fx: User does not have bigquery.jobs.create permission in project moz-fx.",
        "does not have permission to run BigQuery jobs in project moz-fx",
        True,
    ),
    (
        EXPORT,
        (7,),
        "The user alice@example.org does not have bigquery.jobs.create permission in project research",
        "alice@example.org does not have the permission bigquery.jobs.create in project research",
        False,
    ),
    (
        EXPORT,
        (7,),
        f"The user {_AGENT} does not have bigquery.jobs.create permission in project research",
        "the Healthcare service agent does not have permission to run BigQuery jobs in project research",
        True,
    ),
    # terraform-provider-google 9577, 13721, 11820
    (
        EXPORT,
        (7,),
        f"{_BQ}Dataset p:d: Permission bigquery.tables.create denied on dataset p:d (or it may not exist).",
        "does not have permission to write to BigQuery dataset research-analytics.dicom",
        True,
    ),
    (
        None,
        (7,),
        (
            "failed to verify dataset (projectID:my-project, datasetID:my_dataset), please add the required "
            "bigquery.dataEditor role to your project's service account"
        ),
        "does not have permission to write to BigQuery dataset my-project.my_dataset",
        True,
    ),
    # healthcare-dicom-dicomweb-adapter 105; community PR 884
    *(
        (request, (7,), "Request had insufficient authentication scopes.", "made without the scope", False)
        for request in (EXPORT, OBJECTS, IMPORT, None)
    ),
    *(
        (
            request,
            (7,),
            (
                "Cloud Healthcare API has not been used in project 4711 before or it is disabled. Enable it by "
                "visiting "
                "https://console.developers.google.com/apis/api/healthcare.googleapis.com/overview?project=4711 then "
                "retry."
            ),
            "an API is not enabled in project 4711",
            False,
        )
        for request in (EXPORT, OBJECTS, IMPORT, None)
    ),
    # python-storage 1456, java-docs-samples 276, terraform-provider-google 5209, forseti-security 1465
    *(
        (request, (7,), text, "no open billing account", False)
        for request in (EXPORT, OBJECTS, IMPORT)
        for text in (
            "The billing account for the owning project is disabled in state absent",
            "Project charming-module-137923 (#808448574146) has billing disabled. Please enable it.",
            "The project to be billed is associated with an absent billing account.",
            "The project to be billed has not configured billing.",
        )
    ),
    # python-docs-samples 4025; STARCOP 6 (a person at Cloud Storage)
    (
        IMPORT,
        (7,),
        f"Permission healthcare.dicomStores.import denied on resource {STORE} (or it may be malformed or not exist)",
        "you do not have permission to do this with the store",
        False,
    ),
    (
        IMPORT,
        (7,),
        (
            "alice@example.org does not have storage.objects.get access to the Google Cloud Storage object. Permission "
            "'storage.objects.get' denied on resource (or it may not exist)."
        ),
        "alice@example.org does not have the permission storage.objects.get",
        False,
    ),
    (EXPORT, (7,), "The caller does not have permission", "you do not have a permission", False),
    # terraform-docs-samples PR 334, nodejs-storage 1254: keys of other services
    (
        EXPORT,
        (7,),
        (
            f"{_BQ}BigQuery BigQuery: Cloud KMS Error: Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on "
            "resource"
        ),
        "BigQuery's own service account",
        False,
    ),
    (
        OBJECTS,
        (7,),
        (
            "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account has been "
            "authorized "
            "to use this key."
        ),
        "Cloud Storage's own service account",
        False,
    ),
    # mllp 2, healthcare 133, python-docs-samples 5331, leonardo 619, synthea 1568
    (EXPORT, (3,), "location ID invalid, expected us-central1", "no such location", False),
    (
        EXPORT,
        (3,),
        'Invalid JSON payload received. Unknown name "output_config": Cannot find field.',
        "does not know a field",
        False,
    ),
    (EXPORT, (5,), "dataset not initialized", "created a moment ago", False),
    (
        IMPORT,
        (8,),
        (
            "Quota exceeded for quota metric 'DICOM store operations' and limit 'per minute' of service "
            "'healthcare.googleapis.com' for consumer 'project_number:4711'."
        ),
        "a quota is used up",
        False,
    ),
    (
        IMPORT,
        (3,),
        "invalid_argument: importing one or more resources failed. Please use the link in the metadata.logsUrl field",
        "some of the files can't be imported",
        False,
    ),
    # Nothing is known of whom this is about: nobody is blamed.
    (EXPORT, (7,), "Permission denied.", "a role is missing", False),
    (EXPORT, (7,), "", "a role is missing", False),
]


@pytest.mark.parametrize(("request_", "codes", "message", "means", "agents"), PASTED)
def test_what_people_pasted_is_explained_and_the_agent_named_only_where_it_is_meant(
    request_: Any, codes: tuple[int, ...], message: str, means: str, agents: bool
) -> None:
    for code in codes:
        hint = advice(code_of(code), message, request_)
        assert means in hint.cause
        assert names_service_agent(message) is agents
        assert passes_with_grants(code, message) is agents
        assert ("service agent" in hint.cause + hint.fix) is agents
        assert not re.search(r"[{}]", hint.cause + hint.fix)


@pytest.mark.parametrize("name", ["billing", "cloud_kms", "dataset", "service_agent"])
def test_names_of_resources_decide_nothing(name: str) -> None:
    message = f"Access Denied: Dataset {name}:{name}: Permission bigquery.tables.create denied on dataset {name}:{name}"
    request = make_export(STORE, f"bq://{name.replace('_', '-')}-1.{name}.t", write_disposition="WRITE_TRUNCATE")
    assert names_service_agent(message)
    assert "does not have permission to write to BigQuery dataset" in advice(code_of(7), message, request).cause


def test_every_rule_fits_something_that_is_tried_here_or_says_where_it_was_seen() -> None:
    for rule in RULES:
        assert rule.seen or rule.agent or not rule.words or rule.codes == (6, 9), rule
