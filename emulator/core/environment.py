"""How Google's clients are pointed at an emulator: environment variables, as data."""

from __future__ import annotations

#: The bearer token. Google's provider reads a token "as a path or its contents": one that is the name of a file or a
#: folder where a command runs is taken for that. Nothing can be below /dev/null, so this is never the name of anything.
TOKEN = "/dev/null/emulator"  # noqa: S105 - opens nothing

#: Environment variable → value; ``{url}`` stands for the emulator's address without a trailing slash.
VARIABLES: dict[str, str] = {
    # Pulumi's gcp provider (the Google Terraform provider below it)
    "GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": "{url}/v1beta1/",
    "GOOGLE_BIG_QUERY_CUSTOM_ENDPOINT": "{url}/bigquery/v2/",
    "GOOGLE_STORAGE_CUSTOM_ENDPOINT": "{url}/storage/v1/",
    "GOOGLE_RESOURCE_MANAGER_CUSTOM_ENDPOINT": "{url}/v1/",
    "GOOGLE_CLOUD_RESOURCE_MANAGER_CUSTOM_ENDPOINT": "{url}/v1/",
    "GOOGLE_SERVICE_USAGE_CUSTOM_ENDPOINT": "{url}/v1beta1/",
    "GOOGLE_CLOUD_BILLING_CUSTOM_ENDPOINT": "{url}/v1/",
    "GOOGLE_PUBSUB_CUSTOM_ENDPOINT": "{url}/v1/",
    "GOOGLE_KMS_CUSTOM_ENDPOINT": "{url}/v1/",
    "GOOGLE_IAM_CUSTOM_ENDPOINT": "{url}/v1/",
    "GOOGLE_OAUTH_ACCESS_TOKEN": TOKEN,
    "PULUMI_GCP_SKIP_REGION_VALIDATION": "true",
    "PULUMI_GCP_DISABLE_GLOBAL_PROJECT_WARNING": "true",
    # gcloud and gcloud storage
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_HEALTHCARE": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "{url}/storage/v1/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_SERVICEUSAGE": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING": "{url}/",
    "CLOUDSDK_API_ENDPOINT_OVERRIDES_BIGQUERY": "{url}/",  # bq reads it too, and adds the path by itself
    "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
    "CLOUDSDK_AUTH_ACCESS_TOKEN": TOKEN,  # bq sends no request without one
    "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
    "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
    # Google's Python clients
    "BIGQUERY_EMULATOR_HOST": "{url}",
    "STORAGE_EMULATOR_HOST": "{url}",
    # not PUBSUB_EMULATOR_HOST: who reads it speaks gRPC, which is not served here
    # this project's own tools
    "IMAGING_ENDPOINT": "{url}",
    # for scripts: dicomweb-client takes "$DICOMWEB_ROOT/projects/P/locations/L/datasets/D/dicomStores/S/dicomWeb"
    "DICOMWEB_ROOT": "{url}/v1",
}

#: What commands need not name any more → gcloud's property, which ``python -m operations`` reads too.
DEFAULTS: dict[str, str] = {
    "project": "CLOUDSDK_CORE_PROJECT",
    "location": "CLOUDSDK_HEALTHCARE_LOCATION",
    "dataset": "CLOUDSDK_HEALTHCARE_DATASET",
}


def environment(url: str, **defaults: str | None) -> dict[str, str]:
    """The variables for an emulator at ``url``, and for the ``DEFAULTS`` that are given."""
    url = url.rstrip("/")
    variables = {name: value.format(url=url) for name, value in VARIABLES.items()}
    return variables | {DEFAULTS[name]: value for name, value in defaults.items() if value}
