"""Every served method of Cloud Healthcare, in both versions, held to Google's discovery documents.

Requests and answers are validated against their schemas: no unknown field, right types. A method that is served and
has no case here fails the suite.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient.discovery import build

from emulator.healthcare import routes
from emulator.http import discovery
from emulator.server.server import LocalEmulator

Client = Any
VERSIONS = ("v1", "v1beta1")
FILE = (Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm").read_bytes()
DATASET = pydicom.dcmread(io.BytesIO(FILE), stop_before_pixels=True)
VALUES = {
    "projectsId": "hospital-imaging",
    "locationsId": "europe-west4",
    "datasetsId": "radiology",
    "dicomStoresId": "pacs",
    "studiesId": str(DATASET.StudyInstanceUID),
    "seriesId": str(DATASET.SeriesInstanceUID),
    "instancesId": str(DATASET.SOPInstanceUID),
    "framesId": "1",
    "bulkdataId": "instance",
    "bulkdataId1": "7FE00010",
    "operationsId": "",
}


@dataclass(frozen=True)
class Case:
    """A call of a method.

    ``raw`` answers are not JSON messages; ``status`` is what is expected; ``data`` is a body that is not JSON.
    """

    method: str
    query: str = ""
    body: dict[str, Any] | None = None
    raw: bool = False
    status: int = 200
    data: bytes | None = None
    values: dict[str, str] = field(default_factory=dict)


D = "projects.locations.datasets"
S = f"{D}.dicomStores"
W = f"{S}.studies"
CASES = [
    Case("projects.locations.list"),
    Case("projects.locations.get"),
    Case(f"{D}.create", "?datasetId=other", {"timeZone": "UTC"}),
    Case(f"{D}.list"),
    Case(f"{D}.get"),
    Case(f"{D}.patch", "?updateMask=timeZone", {"timeZone": "Europe/Berlin"}),
    Case(f"{D}.getIamPolicy", "?options.requestedPolicyVersion=3"),
    Case(f"{D}.setIamPolicy", "", {"policy": {"bindings": [{"role": "roles/viewer", "members": ["user:a@b.org"]}]}}),
    Case(f"{D}.testIamPermissions", "", {"permissions": ["healthcare.datasets.get"]}),
    Case(f"{D}.deidentify", "", {}, status=501),
    Case(f"{D}.delete"),
    Case(f"{D}.operations.list"),
    Case(f"{D}.operations.get"),
    Case(f"{D}.operations.cancel", "", {}),
    Case(
        f"{S}.create",
        "?dicomStoreId=other",
        {
            "labels": {"a": "b"},
            "notificationConfig": {"pubsubTopic": "projects/p/topics/t", "sendForBulkImport": True},
        },
    ),
    Case(
        f"{S}.create",
        "?dicomStoreId=another",
        {"notificationConfigs": [{"pubsubTopic": "projects/p/topics/t"}]},
    ),
    Case(f"{S}.list", "?filter=labels.a:*"),
    Case(f"{S}.get"),
    Case(f"{S}.patch", "?updateMask=labels", {"labels": {"c": "d"}}),
    Case(f"{S}.getIamPolicy"),
    Case(f"{S}.setIamPolicy", "", {"policy": {"bindings": [{"role": "roles/viewer", "members": ["user:a@b.org"]}]}}),
    Case(f"{S}.testIamPermissions", "", {"permissions": ["healthcare.dicomStores.get"]}),
    Case(f"{S}.deidentify", "", {}, status=501),
    Case(f"{S}.getDICOMStoreMetrics"),
    Case(
        f"{S}.import",
        "",
        {"gcsSource": {"uri": "gs://inbox/**"}, "blobStorageSettings": {"blobStorageClass": "STANDARD"}},
    ),
    Case(
        f"{S}.export",
        "",
        {"bigqueryDestination": {"tableUri": "bq://a.b.c", "writeDisposition": "WRITE_APPEND", "schemaFlattened": {}}},
    ),
    Case(f"{S}.setBlobStorageSettings", "", {"blobStorageSettings": {"blobStorageClass": "ARCHIVE"}}),
    Case(f"{S}.dicomWeb.studies.setBlobStorageSettings", "", {"blobStorageSettings": {"blobStorageClass": "ARCHIVE"}}),
    Case(f"{S}.dicomWeb.studies.getStudyMetrics"),
    Case(f"{S}.dicomWeb.studies.series.getSeriesMetrics"),
    Case(f"{S}.dicomWeb.studies.series.instances.getStorageInfo"),
    Case(f"{S}.delete"),
    Case(f"{S}.storeInstances", data=FILE, raw=True, status=409),
    Case(f"{S}.updateInstances", data=FILE, raw=True),
    Case(f"{W}.storeInstances", data=FILE, raw=True, status=409),
    Case(f"{W}.updateInstances", data=FILE, raw=True),
    Case(f"{W}.updateMetadata", data=b'{"00100020":{"vr":"LO","Value":["x"]}}'),
    Case(f"{W}.series.updateMetadata", data=b'{"00100020":{"vr":"LO","Value":["x"]}}'),
    Case(f"{W}.series.instances.updateMetadata", data=b'{"00100020":{"vr":"LO","Value":["x"]}}', raw=True),
    Case(f"{S}.searchForStudies", raw=True),
    Case(f"{S}.searchForSeries", raw=True),
    Case(f"{S}.searchForInstances", raw=True),
    Case(f"{W}.searchForSeries", raw=True),
    Case(f"{W}.searchForInstances", raw=True),
    Case(f"{W}.series.searchForInstances", raw=True),
    Case(f"{W}.retrieveStudy", raw=True),
    Case(f"{W}.retrieveMetadata", raw=True),
    Case(f"{W}.series.retrieveSeries", raw=True),
    Case(f"{W}.series.retrieveMetadata", raw=True),
    Case(f"{W}.series.instances.retrieveInstance", raw=True),
    Case(f"{W}.series.instances.retrieveMetadata", raw=True),
    Case(f"{W}.series.instances.retrieveRendered", "?viewport=10,10", raw=True),
    Case(f"{W}.series.instances.frames.retrieveFrames", raw=True),
    Case(f"{W}.series.instances.frames.retrieveRendered", raw=True),
    Case(f"{W}.series.instances.bulkdata.retrieveBulkdata", raw=True),
    Case(f"{W}.series.instances.delete"),
    Case(f"{W}.series.delete"),
    Case(f"{W}.delete"),
]


def responses(version: str) -> dict[str, str]:
    """The name of the answer's schema by method."""
    found: dict[str, str] = {}

    def walk(resources: dict[str, Any]) -> None:
        for resource in resources.values():
            for method in resource.get("methods", {}).values():
                found[method["id"]] = method["response"]["$ref"]
            walk(resource.get("resources", {}))

    walk(discovery.document("healthcare", version)["resources"])
    return found


def test_every_served_method_has_a_case() -> None:
    served = {name for group in routes() for name in group.served}
    assert served == {f"healthcare.{case.method}" for case in CASES}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.method)
def test_requests_and_answers_are_those_of_the_discovery_document(ready: Client, case: Case, version: str) -> None:
    methods = {method.id: method for method in discovery.methods("healthcare", version)}
    method = methods.get(f"healthcare.{case.method}")
    if method is None:
        assert version == "v1"
        assert case.method.endswith(("updateInstances", "updateMetadata"))
        return
    store = f"/v1/{ready.store}/dicomWeb/studies"
    assert ready.raw("POST", store, FILE, {"Content-Type": "application/dicom"})[0] == 200
    ready.bucket("inbox", {"a.dcm": FILE}, "roles/storage.objectViewer")
    operation = ready.ok("GET", f"{ready.dataset}/operations")["operations"][0]["name"]
    values = {**VALUES, "operationsId": operation.rpartition("/")[2]}
    address = "/" + method.flat_path.format_map(values) + case.query
    if case.body is not None:
        assert method.request is not None
        assert discovery.schema_violations("healthcare", version, method.request, case.body) == []
    data = case.data if case.data is not None else None if case.body is None else json.dumps(case.body).encode()
    kind = "application/dicom" if case.data else "application/json"
    status, headers, answer = ready.raw(method.http_method, address, data, {"Content-Type": kind})
    assert status == case.status, answer
    if status == 501:
        error = json.loads(answer)["error"]
        assert (error["code"], error["status"]) == (501, "UNIMPLEMENTED")
        return
    schema = responses(version)[method.id]
    if case.raw:
        assert schema == "HttpBody"
        assert headers["content-type"] not in ("", "application/json")
        return
    parsed = json.loads(answer)
    assert discovery.schema_violations("healthcare", version, schema, parsed) == []
    if schema == "Operation" and set(parsed) == {"name"}:
        done = ready.in_version(version).wait(parsed)
        assert discovery.schema_violations("healthcare", version, "Operation", done) == []
        metadata = {key: value for key, value in done["metadata"].items() if key != "@type"}
        assert discovery.schema_violations("healthcare", version, "OperationMetadata", metadata) == []
        assert done["metadata"]["@type"].endswith(f".{version}.OperationMetadata")
        assert ("error" in done) != ("response" in done)


@pytest.mark.parametrize("version", VERSIONS)
def test_googles_python_client_goes_all_the_way(emulator: LocalEmulator, call: Client, version: str) -> None:
    service: Any = build(
        "healthcare",
        version,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": emulator.url},
        static_discovery=True,
    )
    datasets: Any = service.projects().locations().datasets()
    place = call.dataset.rpartition("/datasets/")[0]
    created = datasets.create(parent=place, datasetId="radiology", body={}).execute()
    assert datasets.operations().get(name=created["name"]).execute()["done"] is True
    stores = datasets.dicomStores()
    assert stores.create(parent=call.dataset, dicomStoreId="pacs", body={}).execute() == {"name": call.store}
    call.bucket("inbox", {"a.dcm": FILE}, "roles/storage.objectViewer")
    body = {"gcsSource": {"uri": "gs://inbox/a.dcm"}}
    started = stores.import_(name=call.store, body=body).execute()
    assert call.in_version(version).wait(started)["metadata"]["counter"] == {"success": "1"}
    assert stores.getDICOMStoreMetrics(name=call.store).execute()["instanceCount"] == "1"
    found = stores.searchForStudies(parent=call.store, dicomWebPath="studies").execute()
    assert found[0]["0020000D"]["Value"] == [str(DATASET.StudyInstanceUID)]
    listed = datasets.operations().list(name=call.dataset, pageSize=1).execute()
    assert len(listed["operations"]) == 1
    assert listed["nextPageToken"]
    assert stores.delete(name=call.store).execute() == {}
    service.close()
