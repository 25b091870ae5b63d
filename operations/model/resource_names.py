"""Full names of datasets, DICOM stores and operations of the Cloud Healthcare API.

Forms: https://cloud.google.com/healthcare-api/docs/reference/rest/v1/projects.locations.datasets.dicomStores.
"""

import re
from dataclasses import dataclass

from operations.model.invalid import InputError, quoted

DATASET_FORM = "projects/PROJECT/locations/LOCATION/datasets/DATASET"
DICOM_STORE_FORM = f"{DATASET_FORM}/dicomStores/STORE"
OPERATION_FORM = f"{DATASET_FORM}/operations/OPERATION"

# The dataset id rule is the API's own ([\p{L}\p{N}_\-\.]{1,256}); \w is [\p{L}\p{N}_] in Python.
_ID = r"[\w\-.]{1,256}"
_DATASET = rf"projects/(?P<project>[\w\-.:]+)/locations/(?P<location>[a-z0-9-]+)/datasets/(?P<dataset>{_ID})"
_DATASET_NAME = re.compile(_DATASET)
_DICOM_STORE_NAME = re.compile(rf"{_DATASET}/dicomStores/(?P<store>{_ID})")
_OPERATION_NAME = re.compile(rf"{_DATASET}/operations/(?P<operation>[\w\-.]+)")


class ResourceNameError(InputError):
    """A full resource name is not of the form that is needed."""


@dataclass(frozen=True)
class DatasetName:
    """A Healthcare dataset."""

    project: str
    location: str
    dataset: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/datasets/{self.dataset}"


@dataclass(frozen=True)
class DicomStoreName:
    """A DICOM store."""

    project: str
    location: str
    dataset: str
    store: str

    @property
    def parent(self) -> DatasetName:
        """The dataset the store is in; its operations hang off that."""
        return DatasetName(self.project, self.location, self.dataset)

    def __str__(self) -> str:
        return f"{self.parent}/dicomStores/{self.store}"


@dataclass(frozen=True)
class OperationName:
    """A long-running operation. It belongs to a dataset, not to a store."""

    project: str
    location: str
    dataset: str
    operation: str

    @property
    def parent(self) -> DatasetName:
        """The dataset the operation belongs to."""
        return DatasetName(self.project, self.location, self.dataset)

    def __str__(self) -> str:
        return f"{self.parent}/operations/{self.operation}"


def parse_dataset_name(text: str) -> DatasetName:
    """Read `projects/…/locations/…/datasets/…`.

    Raises:
        ResourceNameError: the text is anything else.
    """
    match = _DATASET_NAME.fullmatch(text)
    if match is None:
        raise ResourceNameError(f"{quoted(text)} is no dataset name; write {DATASET_FORM}")
    return DatasetName(**match.groupdict())


def parse_dicom_store_name(text: str) -> DicomStoreName:
    """Read `projects/…/locations/…/datasets/…/dicomStores/…`.

    Raises:
        ResourceNameError: the text is anything else.
    """
    match = _DICOM_STORE_NAME.fullmatch(text)
    if match is None:
        raise ResourceNameError(f"{quoted(text)} is no DICOM store name; write {DICOM_STORE_FORM}")
    return DicomStoreName(**match.groupdict())


def parse_operation_name(text: str) -> OperationName:
    """Read `projects/…/locations/…/datasets/…/operations/…`.

    Raises:
        ResourceNameError: the text is anything else.
    """
    match = _OPERATION_NAME.fullmatch(text)
    if match is None:
        raise ResourceNameError(f"{quoted(text)} is no operation name; write {OPERATION_FORM}")
    return OperationName(**match.groupdict())
