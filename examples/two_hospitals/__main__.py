"""A program of one's own: two hospitals, each in its own project, export metadata into one dataset for research.

Configuration: `hospitals` (list of project ids), `research` (project id), and, on the emulator, `endpoint`.
It uses this project as an installed library: `pulumi install` puts it into the program's own virtual environment, in
which Pulumi runs imports and exports, too.
"""

import pulumi
import pulumi_gcp as gcp

from components import (
    AgentGrants,
    AgentGrantsArgs,
    BigQueryDataset,
    BigQueryDatasetArgs,
    DicomExport,
    DicomExportArgs,
    DicomImport,
    DicomImportArgs,
    DicomStore,
    DicomStoreArgs,
    HealthcareDataset,
    HealthcareDatasetArgs,
    ProjectAccess,
    ProjectAccessArgs,
)
from components.base.providers import custom_endpoints, emulator_token

config = pulumi.Config()
hospitals: list[str] = config.require_object("hospitals")
research = config.require("research")
endpoint = config.get("endpoint")

# On Google Cloud the default provider does; here is how another one is handed to the components.
google = gcp.Provider("google", access_token=emulator_token(), **custom_endpoints(endpoint)) if endpoint else None
base = pulumi.ResourceOptions(provider=google)


def after(*resources: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=google, depends_on=list(resources))


access = ProjectAccess(research, ProjectAccessArgs(project=research, apis=["bigquery"]), base)
tables = BigQueryDataset(
    "dicom",
    BigQueryDatasetArgs(name="dicom", project=research, location="EU", deletion_protection=False),
    after(access),
)

previous: list[pulumi.Resource] = []
rows = {}
for hospital in hospitals:
    project = ProjectAccess(
        hospital,
        ProjectAccessArgs(project=hospital, apis=["healthcare", "bigquery", "logging"], service_agent=True),
        base,
    )
    dataset = HealthcareDataset(
        hospital,
        HealthcareDatasetArgs(name="radiology", project=hospital, location="europe-west4", deletion_protection=False),
        after(project),
    )
    store = DicomStore(
        hospital,
        DicomStoreArgs(name="pacs", dataset=dataset.dataset_id, deletion_protection=False),
        after(project),
    )
    grants = AgentGrants(
        hospital,
        AgentGrantsArgs(
            service_agent=project.service_agent,
            write_tables_in=[f"{research}.dicom"],
            run_jobs_in=[research, hospital],
            read_buckets=[f"{hospital}-inbox"],
        ),
        after(project, tables),
    )
    archive = DicomImport(
        f"{hospital}-archive",
        DicomImportArgs(store=store.store_id, uri=f"gs://{hospital}-inbox/**.dcm", endpoint=endpoint),
        after(grants),
    )
    # The first hospital replaces what is in the table, the next ones add to it, one after the other.
    export = DicomExport(
        f"{hospital}-metadata",
        DicomExportArgs(
            store=store.store_id,
            destination=f"bq://{research}.dicom.instances",
            write_disposition="WRITE_APPEND" if previous else "WRITE_TRUNCATE",
            include_source_store=True,
            endpoint=endpoint,
        ),
        after(grants, archive, *previous),
    )
    previous = [export]
    rows[hospital] = export.outcome["rows"]

pulumi.export("rows", rows)
