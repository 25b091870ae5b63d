"""Short names: `pacs` instead of `projects/…/dicomStores/pacs`, where project, location and dataset are known.

Full names always work and need no defaults. The defaults come from options, then from the environment; the
variables of gcloud's own properties are understood too
(https://cloud.google.com/sdk/docs/properties#setting_properties_using_environment_variables).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from operations.model.invalid import InputError, quoted
from operations.model.resource_names import (
    DATASET_FORM,
    DICOM_STORE_FORM,
    OPERATION_FORM,
    DatasetName,
    DicomStoreName,
    OperationName,
    parse_dataset_name,
    parse_dicom_store_name,
    parse_operation_name,
)

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "project": ("IMAGING_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT", "CLOUDSDK_CORE_PROJECT"),
    "location": ("IMAGING_LOCATION", "CLOUDSDK_HEALTHCARE_LOCATION"),
    "dataset": ("IMAGING_DATASET", "CLOUDSDK_HEALTHCARE_DATASET"),
}
_SHORT = re.compile(r"[\w\-.]{1,256}")


class ShortNameError(InputError):
    """A name is not one that can be understood."""


@dataclass(frozen=True)
class Defaults:
    """What a short name is completed with. `dataset` may be a full name, which then says all three."""

    project: str | None = None
    location: str | None = None
    dataset: str | None = None

    def dataset_name(self, text: str | None = None) -> DatasetName:
        """Complete a dataset's name.

        Args:
            text: full name or id; the default dataset without it.

        Raises:
            InputError: it is malformed, or project or location are not known.
        """
        given = text or self.dataset
        if not given:
            raise ShortNameError(
                f"no dataset is named; give --dataset (or set IMAGING_DATASET), or write {DATASET_FORM}"
            )
        if "/" in given:
            return parse_dataset_name(given)
        missing = [kind for kind in ("project", "location") if not getattr(self, kind)]
        if missing:
            raise ShortNameError(_incomplete(given, missing, DATASET_FORM))
        return parse_dataset_name(f"projects/{self.project}/locations/{self.location}/datasets/{given}")

    @property
    def any_project(self) -> str | None:
        """A project to work in: the default one, else that of the dataset."""
        if self.project or not self.dataset or "/" not in self.dataset:
            return self.project
        return parse_dataset_name(self.dataset).project

    def store_name(self, text: str) -> DicomStoreName:
        """Complete a DICOM store's name: full name or id.

        Raises:
            InputError: it is malformed, or the dataset is not known.
        """
        return parse_dicom_store_name(self._in_dataset(text, "dicomStores", DICOM_STORE_FORM))

    def operation_name(self, text: str) -> OperationName:
        """Complete an operation's name: full name or id.

        Raises:
            InputError: it is malformed, or the dataset is not known.
        """
        return parse_operation_name(self._in_dataset(text, "operations", OPERATION_FORM))

    def _in_dataset(self, text: str, collection: str, form: str) -> str:
        if "/" in text:
            return text
        if not _SHORT.fullmatch(text):
            raise ShortNameError(f"{quoted(text)} is no name; write {form}")
        if self.dataset and "/" in self.dataset:
            return f"{parse_dataset_name(self.dataset)}/{collection}/{text}"
        missing = [kind for kind in ("project", "location", "dataset") if not getattr(self, kind)]
        if missing:
            raise ShortNameError(_incomplete(text, missing, form))
        return f"{self.dataset_name()}/{collection}/{text}"


def defaults(
    project: str | None, location: str | None, dataset: str | None, environment: Mapping[str, str]
) -> Defaults:
    """Put the defaults together from options and environment variables; options count first."""
    given = {"project": project, "location": location, "dataset": dataset}
    return Defaults(
        **{
            kind: given[kind] or next((value for name in names if (value := environment.get(name))), None)
            for kind, names in VARIABLES.items()
        }
    )


def _incomplete(text: str, missing: list[str], form: str) -> str:
    options = _all_of(f"--{kind}" for kind in missing)
    variables = _all_of(VARIABLES[kind][0] for kind in missing)
    return (
        f"{quoted(text)} is a short name, and its {_all_of(missing)} can't be told; "
        f"give {options} (or set {variables}), or write {form}"
    )


def _all_of(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
