"""What the transactions share: the part of a store that a path names, and where things are fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...core.errors import not_found
from ..access import find_store
from ..instances import Instances
from ..names import StoreName
from ..stored import Instance, Path

if TYPE_CHECKING:
    from ...http.call import Call

READ = "healthcare.dicomStores.dicomWebRead"
WRITE = "healthcare.dicomStores.dicomWebWrite"
DELETE = "healthcare.dicomStores.dicomWebDelete"
UPDATE = "healthcare.dicomStores.dicomWebUpdate"


def store_and_path(call: Call, permission: str) -> tuple[StoreName, int, Path]:
    """The DICOM store of a call, its number, and the part of it that the path names."""
    name, document = find_store(call, permission)
    path = Path(call.path.get("studiesId", ""), call.path.get("seriesId", ""), call.path.get("instancesId", ""))
    return name, document["number"], path


def found_instances(call: Call, store: StoreName, number: int, path: Path) -> list[Instance]:
    """The instances of a part of a store.

    Raises:
        ApiError: 404 if there are none.
    """
    found = call.emulator.service(Instances).find(number, path)
    if not found:
        raise missing(store, path)
    return found


def missing(store: StoreName, path: Path) -> Exception:
    """404 about a study, series or instance."""
    if path.instance:
        what = f"instance {path.instance} of series {path.series}"
    elif path.series:
        what = f"series {path.series} of study {path.study}"
    else:
        what = f"study {path.study}"
    return not_found(f"{what} not found in {store}")


def is_number(text: str) -> bool:
    """Whether a text is a whole number in ASCII digits, of a reasonable length."""
    return text.isascii() and text.isdigit() and len(text) < 18


def root(call: Call, store: StoreName) -> str:
    """The address of a store's DICOMweb service, as the client reaches it."""
    base, own = urlsplit(call.base_url), urlsplit(call.emulator.url)
    # dicomweb-client leaves the port out of the Host header.
    reached = call.emulator.url if base.port is None and base.hostname == own.hostname else call.base_url
    return f"{reached}/{call.version}/{store}/dicomWeb"
