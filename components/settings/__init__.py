"""The typed, validated stack configuration. Start with `models`; `load` reads it, `rules` holds it together."""

from components.settings.load import load_settings, settings_from
from components.settings.models import (
    BigQueryDatasetSettings,
    BucketSettings,
    DatasetSettings,
    ExportSettings,
    FilterSettings,
    ImportSettings,
    LifecycleSettings,
    NotificationSettings,
    ProjectSettings,
    RoleSettings,
    RunSettings,
    Settings,
    StoreSettings,
    StreamSettings,
    TopicSettings,
)
from components.settings.problems import Problem, SettingsError

__all__ = [
    "BigQueryDatasetSettings",
    "BucketSettings",
    "DatasetSettings",
    "ExportSettings",
    "FilterSettings",
    "ImportSettings",
    "LifecycleSettings",
    "NotificationSettings",
    "Problem",
    "ProjectSettings",
    "RoleSettings",
    "RunSettings",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "StreamSettings",
    "TopicSettings",
    "load_settings",
    "settings_from",
]
