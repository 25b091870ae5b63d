"""A small hospital on the emulator, made through Google's own APIs: a store, buckets, a BigQuery dataset, grants."""

import io
from typing import Any
from urllib.request import Request, urlopen

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from emulator.server.server import LocalEmulator
from operations.google import cloud_storage
from operations.google.connection import Connection, connection_settings
from operations.model.uris import CloudStoragePath

PROJECT = "hospital-imaging"
RESEARCH = "research-analytics"
LOCATION = f"projects/{PROJECT}/locations/europe-west4"
DATASET = f"{LOCATION}/datasets/radiology"
STORE = f"{DATASET}/dicomStores/pacs"
INBOX = "hospital-dicom-inbox"
OUT = "hospital-dicom-out"
TABLE = f"bq://{RESEARCH}.dicom.instances"

METHODS = {
    "export": "healthcare.projects.locations.datasets.dicomStores.export",
    "import": "healthcare.projects.locations.datasets.dicomStores.import",
    "get": "healthcare.projects.locations.datasets.operations.get",
    "list": "healthcare.projects.locations.datasets.operations.list",
    "metrics": "healthcare.projects.locations.datasets.dicomStores.getDICOMStoreMetrics",
    "table": "bigquery.tables.get",
    "entries": "logging.entries.list",
}


class Hospital:
    """The APIs of an emulator with the hospital in it.

    Attributes:
        connection: the APIs, as the owner.
    """

    def __init__(self, emulator: LocalEmulator, *, grants: bool = True) -> None:
        self._emulator = emulator
        self._connections: list[Connection] = []
        self.connection = self.connect()
        datasets = self.connection.healthcare.projects().locations().datasets()
        datasets.create(parent=LOCATION, datasetId="radiology", body={}).execute()
        datasets.dicomStores().create(parent=DATASET, dicomStoreId="pacs", body={}).execute()
        for bucket in (INBOX, OUT):
            self.connection.storage.buckets().insert(project=PROJECT, body={"name": bucket}).execute()
        body: Any = {"datasetReference": {"projectId": RESEARCH, "datasetId": "dicom"}, "location": "EU"}
        self.connection.bigquery.datasets().insert(projectId=RESEARCH, body=body).execute()
        if grants:
            self.grant()

    def connect(self, token: str | None = None) -> Connection:
        """Return a connection of its own, perhaps as another principal."""
        connection = Connection(connection_settings(self._emulator.url, environment={}, access_token=token))
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    @property
    def agent(self) -> str:
        """E-mail of the Healthcare service agent."""
        project = self._json("GET", f"/v1/projects/{PROJECT}")
        return f"service-{project['projectNumber']}@gcp-sa-healthcare.iam.gserviceaccount.com"

    def grant(self) -> None:
        """Give the service agent what imports and exports need."""
        member = f"serviceAccount:{self.agent}"
        policy = {"policy": {"bindings": [{"role": "roles/bigquery.jobUser", "members": [member]}]}}
        self._json("POST", f"/v1/projects/{RESEARCH}:setIamPolicy", policy)
        access: Any = {"access": [{"role": "WRITER", "userByEmail": self.agent}]}
        self.connection.bigquery.datasets().patch(projectId=RESEARCH, datasetId="dicom", body=access).execute()
        for bucket, role in ((INBOX, "objectViewer"), (OUT, "objectAdmin")):
            body: Any = {"bindings": [{"role": f"roles/storage.{role}", "members": [member]}]}
            self.connection.storage.buckets().setIamPolicy(bucket=bucket, body=body).execute()

    def grant_caller(self, member: str, role: str) -> None:
        """Give somebody a role on the store's project."""
        policy = {"policy": {"bindings": [{"role": role, "members": [member]}]}}
        self._json("POST", f"/v1/projects/{PROJECT}:setIamPolicy", policy)

    def put(self, name: str, content: bytes, bucket: str = INBOX) -> None:
        """Write an object."""
        cloud_storage.write_object(self.connection, CloudStoragePath(bucket, name), content)

    def put_instances(self, count: int, folder: str = "2024", study: str = "1.2.3") -> None:
        """Write DICOM files, all of one study."""
        for number in range(count):
            self.put(f"{folder}/{number}.dcm", dicom_file(study, f"{study}.1", f"{study}.1.{number}"))

    def store_instances(self, count: int, study: str = "1.2.3") -> None:
        """Put instances into the store, by an import."""
        self.put_instances(count, f"stored-{study}", study)
        body: Any = {"gcsSource": {"uri": f"gs://{INBOX}/stored-{study}/**"}}
        stores = self.connection.healthcare.projects().locations().datasets().dicomStores()
        operation = stores.import_(name=STORE, body=body).execute()["name"]
        while not self.operation(operation).get("done"):
            pass

    def operation(self, name: str) -> Any:
        """Read an operation as the API returns it."""
        return self.connection.healthcare.projects().locations().datasets().operations().get(name=name).execute()

    def operations(self, method: str) -> list[Any]:
        """Return all operations of a method, such as `ExportDicomData`."""
        operations = self.connection.healthcare.projects().locations().datasets().operations()
        found: Any = operations.list(name=DATASET).execute().get("operations", [])
        return [each for each in found if method in each["metadata"]["apiMethodName"]]

    def fault(self, method: str, times: int = 1, after: int = 0, **effect: Any) -> str:
        """Plan a fault for a method, by its short name above or its own; returns its id."""
        body = {"method": METHODS.get(method, method), "times": times, "after": after, "effect": effect}
        return str(self._emulator.control("POST", "faults", body)["id"])

    def assert_consumed(self, *faults: str) -> None:
        """Check that planned faults have all happened."""
        for fault in faults:
            assert self._emulator.control("GET", f"faults/{fault}")["completed"]

    def settings(self, **settings: Any) -> None:
        """Change the emulator's settings."""
        self._emulator.control("PATCH", "settings", settings)

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        import json

        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": "Bearer owner", "Content-Type": "application/json"}
        with urlopen(Request(self._emulator.url + path, data, headers, method=method)) as answer:
            return json.load(answer)


def dicom_file(study: str, series: str, instance: str) -> bytes:
    """Return a small valid DICOM file."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = UID(instance)
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.PatientID = "TEST-1"
    dataset.Modality = "OT"
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
