"""Pulumi components for medical images on Google Cloud: what is declared, and in what order."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.access.agent import AgentGrants, AgentGrantsArgs
    from components.access.preview import check_access
    from components.access.project import ProjectAccess, ProjectAccessArgs
    from components.access.refusals import refusals_shown
    from components.access.rules import MemberCondition
    from components.base.stack_outputs import keep_outputs_of_a_failed_update
    from components.resources.bigquery_dataset import BigQueryDataset, BigQueryDatasetArgs
    from components.resources.bucket import Bucket, BucketArgs, CorsRule, LifecycleRule
    from components.resources.dicom_store import DicomStore, DicomStoreArgs
    from components.resources.healthcare_dataset import HealthcareDataset, HealthcareDatasetArgs
    from components.resources.reference_views import ReferenceViews, ReferenceViewsArgs
    from components.resources.topic import Topic, TopicArgs
    from components.runs.dicom_export import DicomExport, DicomExportArgs, ExportFilter
    from components.runs.dicom_import import DicomImport, DicomImportArgs
    from components.settings import Settings, load_settings, settings_from
    from components.stack import Imaging

# Imported when asked for: the Google provider's package is large, and dynamic resource providers, which live in this
# package too, start without it.
_HOMES = {
    "AgentGrants": "access.agent",
    "AgentGrantsArgs": "access.agent",
    "BigQueryDataset": "resources.bigquery_dataset",
    "BigQueryDatasetArgs": "resources.bigquery_dataset",
    "Bucket": "resources.bucket",
    "BucketArgs": "resources.bucket",
    "CorsRule": "resources.bucket",
    "DicomExport": "runs.dicom_export",
    "DicomExportArgs": "runs.dicom_export",
    "DicomImport": "runs.dicom_import",
    "DicomImportArgs": "runs.dicom_import",
    "DicomStore": "resources.dicom_store",
    "DicomStoreArgs": "resources.dicom_store",
    "ExportFilter": "runs.dicom_export",
    "HealthcareDataset": "resources.healthcare_dataset",
    "HealthcareDatasetArgs": "resources.healthcare_dataset",
    "Imaging": "stack",
    "LifecycleRule": "resources.bucket",
    "MemberCondition": "access.rules",
    "ProjectAccess": "access.project",
    "ProjectAccessArgs": "access.project",
    "ReferenceViews": "resources.reference_views",
    "ReferenceViewsArgs": "resources.reference_views",
    "Settings": "settings",
    "Topic": "resources.topic",
    "TopicArgs": "resources.topic",
    "check_access": "access.preview",
    "keep_outputs_of_a_failed_update": "base.stack_outputs",
    "load_settings": "settings",
    "refusals_shown": "access.refusals",
    "settings_from": "settings",
}

__all__ = [
    "AgentGrants",
    "AgentGrantsArgs",
    "BigQueryDataset",
    "BigQueryDatasetArgs",
    "Bucket",
    "BucketArgs",
    "CorsRule",
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
    "MemberCondition",
    "ProjectAccess",
    "ProjectAccessArgs",
    "ReferenceViews",
    "ReferenceViewsArgs",
    "Settings",
    "Topic",
    "TopicArgs",
    "check_access",
    "keep_outputs_of_a_failed_update",
    "load_settings",
    "refusals_shown",
    "settings_from",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
