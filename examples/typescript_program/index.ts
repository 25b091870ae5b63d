// Images of one hospital, from its bucket to a table: what the stack of the README declares, in TypeScript.
import * as imaging from "@pulumi/imaging";
import * as pulumi from "@pulumi/pulumi";

const project = "hospital-imaging";
const inbox = "hospital-dicom-inbox";

const access = new imaging.ProjectAccess("access", {
    project,
    apis: ["healthcare", "bigquery", "storage", "logging"],
    serviceAgent: true,
});
const dataset = new imaging.HealthcareDataset(
    "radiology", { name: "radiology", project, location: "europe-west4" }, { dependsOn: access },
);
const store = new imaging.DicomStore("pacs", { name: "pacs", dataset: dataset.datasetId });
const tables = new imaging.BigQueryDataset("dicom", { name: "dicom", project, location: "EU" }, { dependsOn: access });
const grants = new imaging.AgentGrants(
    "agent",
    {
        serviceAgent: access.serviceAgent.apply(agent => agent!),
        readBuckets: [inbox],
        writeTablesIn: [`${project}.dicom`],
        runJobsIn: [project],
    },
    { dependsOn: tables },
);
const archive = new imaging.DicomImport(
    "archive", { store: store.storeId, uri: `gs://${inbox}/**.dcm`, allowedFailures: 10 }, { dependsOn: grants },
);
const metadata = new imaging.DicomExport(
    "metadata",
    { store: store.storeId, destination: `bq://${project}.dicom.instances`, writeDisposition: "WRITE_TRUNCATE" },
    { dependsOn: [grants, archive] },
);

export const rows: pulumi.Output<number> = metadata.outcome.apply(outcome => outcome.rows);
