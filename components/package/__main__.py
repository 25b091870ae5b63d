"""Hosts the components as a package for programs in other languages and in YAML."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pulumi.provider.experimental import component_provider_host

from components import (
    AgentGrants,
    BigQueryDataset,
    Bucket,
    DicomStore,
    HealthcareDataset,
    ProjectAccess,
    ReferenceViews,
    Topic,
)
from components.package.runs import DicomExport, DicomImport

if __name__ == "__main__":
    component_provider_host(
        name="imaging",
        components=[
            AgentGrants,
            BigQueryDataset,
            Bucket,
            DicomExport,
            DicomImport,
            DicomStore,
            HealthcareDataset,
            ProjectAccess,
            ReferenceViews,
            Topic,
        ],
        version="0.1.0",
    )
