"""The stack that the live scenarios stand on: imports, exports and grants at a place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.data import get_testdata_file

from tests.engine.stack_runner import Stack
from tests.live.place import Place

#: What ships inside pydicom, one CT and one MR image of different patients, with their study's UID.
CT = "CT_small.dcm"
MR = "MR_small.dcm"
BROKEN = "broken.dcm"


@dataclass(frozen=True)
class Ground:
    """A stack that is up, and what stands beside it.

    Attributes:
        place: where.
        stack: the stack.
        store: full name of the DICOM store with both images.
        empty_store: full name of a store with none.
        inbox: bucket that the service agent may read but not write.
        outbox: bucket that it may write.
        table: `PROJECT.DATASET.TABLE` of the exported metadata.
        ungranted: BigQuery dataset in which it may do nothing.
    """

    place: Place
    stack: Stack
    store: str
    empty_store: str
    inbox: str
    outbox: str
    table: str
    ungranted: str

    @property
    def dataset(self) -> str:
        """Full name of the Healthcare dataset."""
        return self.store.partition("/dicomStores/")[0]

    @property
    def bigquery_dataset(self) -> str:
        """`PROJECT.DATASET` of the table."""
        return self.table.rpartition(".")[0]


def image(name: str) -> bytes:
    """The bytes of one of pydicom's files."""
    return Path(str(get_testdata_file(name))).read_bytes()


def configuration(place: Place) -> dict[str, Any]:
    """The stack's configuration."""
    unique = place.unique
    return {
        "gcp:project": place.project,
        "imaging:location": place.location,
        "imaging:dataset": {"name": f"live_{unique}"},
        "imaging:stores": [{"name": "pacs"}, {"name": "empty"}],
        "imaging:bigquery": [{"name": f"live_{unique}", "project": place.bigquery_project, "location": place.location}],
        "imaging:buckets": [{"name": _bucket(place, "out"), "location": place.location}],
        "imaging:imports": [
            {"name": "archive", "store": "pacs", "from": f"gs://{_bucket(place, 'in')}/**.dcm", "allowedFailures": 1}
        ],
        "imaging:exports": [
            {
                "name": "metadata",
                "store": "pacs",
                "to": f"bq://{place.bigquery_project}.live_{unique}.instances",
                "writeDisposition": "WRITE_TRUNCATE",
                "includeSourceStore": True,
                "views": True,
            },
            {"name": "images", "store": "pacs", "to": f"gs://{_bucket(place, 'out')}/images/"},
        ],
        "imaging:deletionProtection": False,
        **({"imaging:endpoint": place.endpoint} if place.endpoint else {}),
    }


@contextmanager
def prepared(place: Place, folder: Path) -> Iterator[Ground]:
    """Put the files and what the stack may not touch in place; the stack itself isn't up yet.

    Everything is removed afterwards, the stack as well.
    """
    inbox, ungranted = _bucket(place, "in"), f"live_{place.unique}_ungranted"
    datasets = f"bigquery/v2/projects/{place.bigquery_project}/datasets"
    config = configuration(place)
    dataset = f"projects/{place.project}/locations/{place.location}/datasets/{config['imaging:dataset']['name']}"
    folder.mkdir(parents=True, exist_ok=True)
    stack = Stack(folder, config, environment=place.environment)
    try:
        place.make_bucket(inbox)
        for name, content in ((CT, image(CT)), (MR, image(MR)), (BROKEN, b"this is no DICOM file")):
            place.upload(inbox, name, content)
        reference = {"projectId": place.bigquery_project, "datasetId": ungranted}
        made = place.call("bigquery", "POST", datasets, {"datasetReference": reference, "location": place.location})
        assert made.status == 200, made
        yield Ground(
            place=place,
            stack=stack,
            store=f"{dataset}/dicomStores/pacs",
            empty_store=f"{dataset}/dicomStores/empty",
            inbox=inbox,
            outbox=_bucket(place, "out"),
            table=config["imaging:exports"][0]["to"].removeprefix("bq://"),
            ungranted=f"{place.bigquery_project}.{ungranted}",
        )
    finally:
        stack.destroy()
        place.remove_bucket(inbox)
        place.call("bigquery", "DELETE", f"{datasets}/{ungranted}", query={"deleteContents": "true"})
        place.close()


def _bucket(place: Place, purpose: str) -> str:
    return f"{place.project}-live-{place.unique}-{purpose}"
