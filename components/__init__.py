"""Pulumi components for medical images on Google Cloud: what is declared, and in what order."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.agent_grants import AgentGrants, AgentGrantsArgs
    from components.bigquery_dataset import BigQueryDataset, BigQueryDatasetArgs
    from components.bucket import Bucket, BucketArgs, LifecycleRule
    from components.dicom_export import DicomExport, DicomExportArgs, ExportFilter
    from components.dicom_import import DicomImport, DicomImportArgs
    from components.dicom_store import DicomStore, DicomStoreArgs
    from components.healthcare_dataset import HealthcareDataset, HealthcareDatasetArgs
    from components.imaging import Imaging
    from components.preview_checks import check_access
    from components.project_access import ProjectAccess, ProjectAccessArgs
    from components.reference_views import ReferenceViews, ReferenceViewsArgs
    from components.refusals import refusals_shown
    from components.settings import Settings, load_settings, settings_from
    from components.topic import Topic, TopicArgs

# Imported when asked for: the Google provider's package is large, and dynamic resource providers, which live in this
# package too, start without it.
_HOMES = {
    "AgentGrants": "agent_grants",
    "AgentGrantsArgs": "agent_grants",
    "BigQueryDataset": "bigquery_dataset",
    "BigQueryDatasetArgs": "bigquery_dataset",
    "Bucket": "bucket",
    "BucketArgs": "bucket",
    "DicomExport": "dicom_export",
    "DicomExportArgs": "dicom_export",
    "DicomImport": "dicom_import",
    "DicomImportArgs": "dicom_import",
    "DicomStore": "dicom_store",
    "DicomStoreArgs": "dicom_store",
    "ExportFilter": "dicom_export",
    "HealthcareDataset": "healthcare_dataset",
    "HealthcareDatasetArgs": "healthcare_dataset",
    "Imaging": "imaging",
    "LifecycleRule": "bucket",
    "ProjectAccess": "project_access",
    "ProjectAccessArgs": "project_access",
    "ReferenceViews": "reference_views",
    "ReferenceViewsArgs": "reference_views",
    "Settings": "settings",
    "Topic": "topic",
    "TopicArgs": "topic",
    "check_access": "preview_checks",
    "load_settings": "settings",
    "refusals_shown": "refusals",
    "settings_from": "settings",
}

__all__ = [
    "AgentGrants",
    "AgentGrantsArgs",
    "BigQueryDataset",
    "BigQueryDatasetArgs",
    "Bucket",
    "BucketArgs",
    "DicomExport",
    "DicomExportArgs",
    "DicomImport",
    "DicomImportArgs",
    "DicomStore",
    "DicomStoreArgs",
    "ExportFilter",
    "HealthcareDataset",
    "HealthcareDatasetArgs",
    "Imaging",
    "LifecycleRule",
    "ProjectAccess",
    "ProjectAccessArgs",
    "ReferenceViews",
    "ReferenceViewsArgs",
    "Settings",
    "Topic",
    "TopicArgs",
    "check_access",
    "load_settings",
    "refusals_shown",
    "settings_from",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
