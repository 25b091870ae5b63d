"""Refusals of Google's services: whom they are about, what they mean and what helps. Data alone.

Each rule names where its words were seen. Google names neither the bucket nor the role in most of them, so the names in
the explanations are those of the request.
"""

import re
from dataclasses import dataclass

from operations.model.requests import ExportToBigQuery, ExportToCloudStorage, Import

# The words in which a service speaks of the Healthcare service agent. BigQuery calls whoever runs the load job "User".
_SERVICE_AGENT = re.compile(
    r"gcp-sa-healthcare|Healthcare Service Agent|your project's service account|Healthcare API doesn't have required|"
    r"Access Denied: (?:Project|Dataset|Table|BigQuery)|\bUser does not have bigquery\.",
    re.IGNORECASE,
)
# Whole forms, never a single word: projects, datasets and buckets may be called anything.
_NO_BILLING = (
    r"billing account for the owning project is disabled|has billing disabled|requires billing to be enabled|"
    r"has not configured billing|with an absent billing account|Billing account for project \S+ is not found|"
    r"Billing must be enabled"
)
# Somebody or something else, in words that are otherwise like these: the caller, another service's agent and its key,
# a token, an API, a bill.
_SOMEBODY_ELSE = re.compile(
    r"Permission '?healthcare\.|The user (?!\S*gcp-sa-healthcare)\S+ does not have|Cloud KMS|"
    r"insufficient authentication scopes|before or it is disabled|" + _NO_BILLING,
    re.IGNORECASE,
)


def names_service_agent(message: str) -> bool:
    """Tell whether a refusal is about the Healthcare service agent rather than the caller."""
    return bool(_SERVICE_AGENT.search(message)) and not _SOMEBODY_ELSE.search(message)


@dataclass(frozen=True)
class Rule:
    """One explanation.

    Attributes:
        codes: the google.rpc codes that it may come with; empty for any.
        words: a pattern for the message. Names in braces stand for those of the request; a rule whose names the request
            doesn't have is passed over. Groups with a name can be used in the texts.
        cause: what it usually means.
        fix: what to do.
        kinds: requests that it is about.
        agent: whether the message has to be about the service agent.
        seen: where the words come from.
    """

    codes: tuple[int, ...]
    words: str
    cause: str
    fix: str
    kinds: tuple[type, ...] = (ExportToBigQuery, ExportToCloudStorage, Import)
    agent: bool = False
    seen: str = ""


# PERMISSION_DENIED, and the codes that refusals of the agent were seen or are suspected to have besides.
_DENIED = (3, 7, 9)

#: The first rule that fits counts.
RULES: tuple[Rule, ...] = (
    # Neither the caller's roles nor the agent's
    Rule(
        (7,),
        r"insufficient authentication scopes",
        "the access token was made without the scope that Google Cloud's APIs need",
        "use credentials with the scope https://www.googleapis.com/auth/cloud-platform (`gcloud auth "
        "application-default login`; for a virtual machine its access scopes), then {again}",
        seen="GoogleCloudPlatform/healthcare-dicom-dicomweb-adapter issue 105",
    ),
    Rule(
        (),
        r"has not been used in project (?P<number>\S+) before or it is disabled",
        "an API is not enabled in project {number}",
        "enable it at the address in the message, wait some minutes, then {again}",
        seen="GoogleCloudPlatform/community pull request 884",
    ),
    Rule(
        (),
        _NO_BILLING,
        "a project has no open billing account",
        "link one to the project (`gcloud billing projects link`), then {again}",
        seen="googleapis/python-storage issue 1456, GoogleCloudPlatform/java-docs-samples issue 276, "
        "forseti-security issue 1465, hashicorp/terraform-provider-google issue 5209, kyegomez/zeta issue 71",
    ),
    Rule(
        (),
        r"requester pays bucket but no user project",
        "the bucket is a requester-pays bucket, and Cloud Healthcare names no project that pays",
        "turn requester pays off for the bucket, or copy the objects to another one, then {again}",
        seen="the list of errors of a public proof of concept (2022)",
    ),
    Rule(
        (),
        r"Cloud KMS Error|bigquery-encryption\.iam",
        "BigQuery's own service account does not have permission to use the encryption key of the destination",
        "grant roles/cloudkms.cryptoKeyEncrypterDecrypter on the key to bq-NUMBER@bigquery-encryption.iam."
        "gserviceaccount.com of the destination's project{grants}, then {again}",
        seen="terraform-google-modules/terraform-docs-samples pull request 334",
    ),
    Rule(
        (),
        r"Cloud KMS key.*Cloud Storage service account|gs-project-accounts",
        "Cloud Storage's own service account does not have permission to use the encryption key of a bucket",
        "grant roles/cloudkms.cryptoKeyEncrypterDecrypter on the key to service-NUMBER@gs-project-accounts.iam."
        "gserviceaccount.com of the bucket's project{grants}, then {again}",
        seen="googleapis/nodejs-storage issue 1254",
    ),
    # The caller
    Rule(
        (7,),
        r"Permission '?healthcare\.",
        "you do not have permission to do this with the store, or the Healthcare dataset doesn't exist",
        "get roles/healthcare.dicomEditor on the dataset, or correct the store's name",
        seen="GoogleCloudPlatform/python-docs-samples issue 4025",
    ),
    Rule(
        (7,),
        r"The user (?P<user>(?!\S*gcp-sa-healthcare)\S+) does not have (?P<permission>[\w.]+) permission in project "
        r"(?P<where>\S+\w)",
        "{user} does not have the permission {permission} in project {where}",
        "get a role with it there, then {again}",
        seen="r-dbi/bigrquery issue 237, MIT-LCP/mimic-code issue 1175",
    ),
    Rule(
        (7,),
        r"(?P<user>(?!\S*gcp-sa-healthcare)\S+@\S+) does not have (?P<permission>storage\.[\w.]+) access",
        "{user} does not have the permission {permission}",
        "get a role with it on the bucket, then {again}",
        seen="ESA-PhiLab/STARCOP issue 6",
    ),
    Rule(
        (7,),
        r"^The caller does not have permission",
        "you do not have a permission that this needs",
        "get the missing role (docs/permissions.md), then {again}",
        seen="google.api.servicecontrol, the text of PERMISSION_DENIED without a reason",
    ),
    # The service agent
    Rule(
        (),
        r"Service account (?:projects/\S+/serviceAccounts/)?\S*gcp-sa-healthcare\S* does not exist",
        "{agent} doesn't exist yet",
        "enable the Cloud Healthcare API in the store's project, or have the agent made with `gcloud beta services "
        "identity create --service=healthcare.googleapis.com`, wait some minutes, then {again}",
        seen="a public proof of concept (2022), hashicorp/terraform-provider-google pull request 26430",
    ),
    Rule(
        (7,),
        r"roles/healthcare\.serviceAgent",
        "{agent} does not have its own role on the project of the store",
        "grant it roles/healthcare.serviceAgent on that project{grants}, then {again}",
        seen="no text of Google's is known; this is the emulator's",
    ),
    Rule(
        _DENIED,
        r"doesn't have all required permissions \[(?P<permissions>[\w., ]*)\]",
        "{agent} does not have permission to list and read bucket {bucket}: {permissions} is missing",
        "grant it roles/storage.objectViewer there{grants}, then {again}",
        kinds=(Import,),
        seen="the list of errors of a public proof of concept (2022)",
    ),
    Rule(
        (7,),
        r"failed to verify dataset \(projectID: ?(?P<table_project>[\w:.-]+), datasetID: ?(?P<table_dataset>\w+)\)",
        "{agent} does not have permission to write to BigQuery dataset {table_project}.{table_dataset}, or the dataset "
        "doesn't exist",
        "grant it roles/bigquery.dataEditor there{grants}, then {again}",
        seen="hashicorp/terraform-provider-google issues 11820 and 13721",
    ),
    Rule(
        (7,),
        r"bigquery\.jobs\.create|jobUser",
        "{agent} does not have permission to run BigQuery jobs in project {jobs_project}",
        "grant it roles/bigquery.jobUser on that project{grants}, then {again}",
        kinds=(ExportToBigQuery,),
        agent=True,
        seen="mozilla/bigquery-etl issue 7581",
    ),
    Rule(
        _DENIED,
        # A table has nothing to do with Cloud Storage: whatever speaks of it is about the filter.
        r"resourcePaths|Cloud Storage|storage\.|{filter_bucket}",
        "{agent} does not have permission to read the filter file",
        "grant it roles/storage.objectViewer on bucket {filter_bucket}{grants}, then {again}",
        kinds=(ExportToBigQuery,),
        agent=True,
        seen="GoogleCloudPlatform/healthcare issue 457",
    ),
    Rule(
        _DENIED,
        r"resourcePaths|{filter_bucket}",
        "{agent} does not have permission to read the filter file",
        "grant it roles/storage.objectViewer on bucket {filter_bucket}{grants}, then {again}",
        kinds=(ExportToCloudStorage,),
        agent=True,
    ),
    Rule(
        _DENIED,
        r"{bucket}",
        "{agent} does not have permission to write to bucket {bucket}",
        "grant it roles/storage.objectAdmin there{grants}, then {again}",
        kinds=(ExportToCloudStorage,),
        agent=True,
    ),
    Rule(
        _DENIED,
        "",
        "{agent} does not have permission to write to bucket {bucket}, or to read the filter file in bucket "
        "{filter_bucket}",
        "grant it roles/storage.objectAdmin on the first and roles/storage.objectViewer on the second{grants}, "
        "then {again}",
        kinds=(ExportToCloudStorage,),
        agent=True,
        seen="GoogleCloudPlatform/healthcare issue 457: the text names neither",
    ),
    Rule(
        _DENIED,
        "",
        "{agent} does not have permission to write to BigQuery dataset {project}.{dataset}",
        "grant it roles/bigquery.dataEditor there and roles/bigquery.jobUser on project {project}{grants}, then "
        "{again}",
        kinds=(ExportToBigQuery,),
        agent=True,
        seen="hashicorp/terraform-provider-google issue 9577",
    ),
    Rule(
        _DENIED,
        "",
        "{agent} does not have permission to write to bucket {bucket}",
        "grant it roles/storage.objectAdmin there (roles/storage.objectCreator is not enough){grants}, then {again}",
        kinds=(ExportToCloudStorage,),
        agent=True,
        seen="GoogleCloudPlatform/healthcare issue 457",
    ),
    Rule(
        _DENIED,
        "",
        "{agent} does not have permission to read bucket {bucket}",
        "grant it roles/storage.objectViewer there{grants}, then {again}",
        kinds=(Import,),
        agent=True,
    ),
    # What is asked for
    Rule(
        (),
        r"resolves to zero GCS objects",
        "no object matches {source}",
        "correct the URI (a folder is imported with ** behind it), or upload the files first",
        kinds=(Import,),
        seen="ImagingDataCommons/tcia_download, dicom_datastore/load_collections",
    ),
    Rule(
        (3,),
        r"\bone or more\b.{{0,80}}\bfail",
        "some of the files can't be imported; the counters say how many",
        "correct or remove what the log entries name, or allow as many failures ({allow}); then {again}",
        seen="synthetichealth/synthea issue 1568 (FHIR)",
    ),
    Rule(
        (3,),
        r"location ID invalid",
        "Cloud Healthcare has no such location",
        "correct the location",
        seen="GoogleCloudPlatform/mllp issue 2",
    ),
    Rule(
        (3,),
        r"Invalid JSON payload received|Unknown name",
        "the service does not know a field of the request",
        "report it as a fault of this program, with the message",
        seen="GoogleCloudPlatform/healthcare issue 133",
    ),
    Rule(
        (6, 9),
        r"exist|empty",
        "the table has rows already, and WRITE_EMPTY leaves them alone",
        "choose WRITE_TRUNCATE to replace them, WRITE_APPEND to add to them, or another table",
        kinds=(ExportToBigQuery,),
    ),
    Rule(
        (5,),
        r"dataset not initialized",
        "the Healthcare dataset was created a moment ago and is not ready",
        "wait a minute, then {again}",
        seen="GoogleCloudPlatform/python-docs-samples issue 5331",
    ),
    Rule(
        (5,),
        "",
        "BigQuery dataset {project}.{dataset} doesn't exist, or the store is gone",
        "create it{creates_dataset}, then {again}",
        kinds=(ExportToBigQuery,),
    ),
    Rule(
        (5,),
        "",
        "bucket {bucket} doesn't exist, or the store is gone",
        "create it{creates_bucket}, then {again}",
        kinds=(ExportToCloudStorage, Import),
    ),
    # What passes
    Rule((1,), "", "somebody cancelled the operation", "{again}"),
    Rule(
        (8,),
        "",
        "a quota is used up, or too many operations run at once",
        "wait a while, then {again}",
        seen="DataBiosphere/leonardo issue 619",
    ),
    Rule((4, 10, 13, 14), "", "{cause}; such faults usually pass", "wait a while, then {again}"),
    Rule((16,), "", "the credentials are missing or have expired", "log in again, then {again}"),
)
