"""Resource names of Cloud Healthcare, taken from the path of a call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import invalid

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..http.call import Call

#: Letters, digits, ``_``, ``-`` and ``.``, 1 to 256 of them (discovery document, ``datasets.create``).
_ID = re.compile(r"[\w\-.]{1,256}")
_LOCATION = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class DatasetName:
    """``projects/P/locations/L/datasets/D``, with the project's id (never its number)."""

    project: str
    location: str
    dataset: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.location}/datasets/{self.dataset}"

    @property
    def project_key(self) -> str:
        """The policy key of the project."""
        return f"projects/{self.project}"

    def store(self, store: str) -> StoreName:
        """The name of a DICOM store in this dataset."""
        return StoreName(self, store)


@dataclass(frozen=True, slots=True)
class StoreName:
    """``…/datasets/D/dicomStores/S``."""

    parent: DatasetName
    store: str

    def __str__(self) -> str:
        return f"{self.parent}/dicomStores/{self.store}"

    @property
    def project(self) -> str:
        """The id of the project that holds the store."""
        return self.parent.project

    @property
    def policy_keys(self) -> tuple[str, str, str]:
        """The store itself, its dataset, its project."""
        return str(self), str(self.parent), self.parent.project_key

    @property
    def log_resource(self) -> dict[str, Any]:
        """The monitored resource of its log entries."""
        labels = {
            "project_id": self.project,
            "location": self.parent.location,
            "dataset_id": self.parent.dataset,
            "dicom_store_id": self.store,
        }
        return {"type": "healthcare_dicom_store", "labels": labels}


def location_of(call: Call) -> tuple[str, str]:
    """Project id and location of the path.

    Raises:
        ApiError: 400 if one of them can't be one.
    """
    project = call.emulator.projects.use(call.path["projectsId"])
    location = call.path["locationsId"]
    if not _LOCATION.fullmatch(location):
        raise invalid(f"Invalid location {location!r}: a region or multi-region such as europe-west4 or eu")
    return project, location


def dataset_of(call: Call) -> DatasetName:
    """The dataset that the path names, which need not exist."""
    return DatasetName(*location_of(call), call.path["datasetsId"])


def store_of(call: Call) -> StoreName:
    """The DICOM store that the path names, which need not exist."""
    return StoreName(dataset_of(call), call.path["dicomStoresId"])


def checked_id(call: Call, parameter: str) -> str:
    """The id of a resource to be created, from the query.

    Raises:
        ApiError: 400 if it is missing or has characters that an id must not have.
    """
    text = call.query.get(parameter, "")
    if not text:
        raise invalid(f"{parameter} is required")
    if not _ID.fullmatch(text):
        raise invalid(
            f"invalid {parameter} {text!r}: 1 to 256 letters, digits, underscores, hyphens and periods are allowed"
        )
    return text


def agent_of(emulator: Emulator, project: str) -> str:
    """The Cloud Healthcare service agent of a project, as an IAM member."""
    return f"serviceAccount:{emulator.projects.provision_service_agent(project)}"
