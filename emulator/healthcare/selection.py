"""Which instances an operation works on: all of a store, or those that a filter file lists.

Filter file: an object of Cloud Storage with one path per line, ``/studies/UID[/series/UID[/instances/UID]]``; a path
stands for everything below it. Lines that name nothing in the store select nothing. The pages show paths with a slash
in front; Google's own tool writes them without one, and no newline at the end of the file (GoogleCloudPlatform/
medical-imaging, ilm_lib/pipeline_util.py, for setBlobStorageSettings of v1beta1), so both are taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import ApiError, invalid, not_found
from .access import stores
from .agent_checks import READ, require_bucket
from .gcs_uri import parse_object
from .instances import Instances
from .names import StoreName
from .stored import Instance, Path

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..http.call import Call

_LINE = re.compile(r"/?studies/([0-9.]{1,64})(?:/series/([0-9.]{1,64})(?:/instances/([0-9.]{1,64}))?)?")
_LARGEST = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Selection:
    """The instances that an operation works on.

    Attributes:
        emulator: where.
        store: the DICOM store.
        number: its number.
        uri: the filter file; None for all instances.
    """

    emulator: Emulator
    store: StoreName
    number: int
    uri: str | None

    def ids(self) -> list[int]:
        """Their ids, in the order in which they were stored.

        Raises:
            ApiError: the filter file can't be read, or has a line that is no path.
        """
        instances = self.emulator.service(Instances)
        if self.uri is None:
            return instances.ids(self.number, Path())
        return _below(instances, self.number, read_filter(self.emulator, self.store.project, self.uri))

    def require_store(self) -> None:
        """End the work if the store is gone, whose instances are gone with it.

        Raises:
            ApiError: 404 if it was deleted.
        """
        document = stores(self.emulator).get(str(self.store))
        if document is None or document["number"] != self.number:
            raise not_found(f"DICOM store {self.store} was deleted while the export ran")

    def path_of(self, one: Instance) -> str:
        """The resource name of an instance, as logs and errors have it."""
        return f"{self.store}/dicomWeb/{one.path}"


def filter_uri(call: Call) -> str | None:
    """The URI of the filter file that a request names; None without one.

    Raises:
        ApiError: 400 if the URI is malformed.
    """
    config = call.body.get("filterConfig")
    if config is None:
        return None
    uri: str = config.get("resourcePathsGcsUri") or ""
    if not uri:
        raise invalid("filter_config.resource_paths_gcs_uri is required: the Cloud Storage URI of the filter file")
    parse_object(uri)
    return uri


def read_filter(emulator: Emulator, project: str, uri: str) -> list[Path]:
    """The parts of a store that a filter file lists.

    Args:
        emulator: where.
        project: the project of the DICOM store.
        uri: where the file is.

    Raises:
        ApiError: it can't be read, or has a line that is no path.
    """
    from ..storage.service import get_object, unreadable

    bucket, name = parse_object(uri)
    require_bucket(emulator, project, bucket, READ[:1])
    found = get_object(emulator, bucket, name)
    if found is None:
        raise ApiError(404, f"the filter file {uri} does not exist")
    if (problem := unreadable(emulator, found)) is not None:
        raise problem
    if found.size > _LARGEST:
        raise invalid(f"the filter file {uri} is larger than {_LARGEST >> 20} MiB")
    try:
        text = emulator.state.blobs.read(found.blob_id).decode()
    except UnicodeDecodeError:
        raise invalid(f"the filter file {uri} is not text in UTF-8") from None
    paths: dict[Path, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.removesuffix("\r")
        if not stripped:
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise invalid(
                f"line {number} of the filter file {uri} is not a path of the form "
                "/studies/{studyUID}[/series/{seriesUID}[/instances/{instanceUID}]]"
            )
        paths[Path(*(part or "" for part in match.groups()))] = None
    return list(paths)


def _below(instances: Instances, store: int, paths: list[Path]) -> list[int]:
    """The ids of the instances below the paths, each once, in the order in which they were stored."""
    found: set[int] = set()
    studies = {path.study for path in paths if not path.series}
    series = {(path.study, path.series) for path in paths if path.series and not path.instance}
    for path in paths:
        if path.series and (path.study in studies or (path.instance and (path.study, path.series) in series)):
            continue
        found.update(instances.ids(store, path))
    return sorted(found)
