"""Whatever is sent, no answer is a 5xx but the planned 501, and every answer has Google's shape."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.http import discovery

Client = Any
ROOT = Path(pydicom.data.__file__).parent / "test_files"

METHODS = [
    method
    for version in ("v1", "v1beta1")
    for method in discovery.methods("healthcare", version)
    if (".dicomStores" in method.id and not method.id.endswith(".dicomStores.delete"))
    or method.id.endswith((".datasets.create", ".datasets.patch", ".operations.list"))
]
SEGMENTS = st.one_of(
    st.sampled_from(
        ["hospital-imaging", "europe-west4", "radiology", "pacs", "1.2.3", "-", "a/b", "..", "%", "x" * 300, "ü", "1,2"]
    ),
    st.text(min_size=1, max_size=12),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.sampled_from(["gs://a/b", "bq://a.b.c"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=12), inner, max_size=3)),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "gcsSource",
        "uri",
        "bigqueryDestination",
        "tableUri",
        "writeDisposition",
        "gcsDestination",
        "filterConfig",
        "labels",
        "notificationConfig",
        "streamConfigs",
        "policy",
        "permissions",
        "blobStorageSettings",
        "timeZone",
    ]
)
PARAMETERS = [
    "pageSize",
    "pageToken",
    "filter",
    "updateMask",
    "datasetId",
    "dicomStoreId",
    "limit",
    "offset",
    "PatientName",
    "StudyDate",
    "includefield",
    "fuzzymatching",
    "viewport",
    "accept",
]
QUERIES = st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=20), max_size=3)
#: What the path variables have to be for a call to reach something.
RIGHT = {
    "projectsId": "hospital-imaging",
    "locationsId": "europe-west4",
    "datasetsId": "radiology",
    "dicomStoresId": "pacs",
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(METHODS),
    data=st.data(),
    body=st.one_of(st.none(), st.dictionaries(FIELDS, VALUES, max_size=3), VALUES),
    query=QUERIES,
)
def test_any_request_is_answered_in_googles_shape(
    ready: Client, method: discovery.Method, data: st.DataObject, body: Any, query: dict[str, str]
) -> None:
    path = method.flat_path
    while "{" in path:
        head, _, rest = path.partition("{")
        name, _, tail = rest.partition("}")
        right = RIGHT.get(name)
        # Once in a while something else stands there.
        draw_other = right is None or data.draw(st.integers(0, 9)) == 0
        path = head + quote(data.draw(SEGMENTS) if draw_other else str(right), safe="") + tail
    if query:
        path += "?" + "&".join(f"{quote(key)}={quote(value)}" for key, value in query.items())
    sent = None if body is None else json.dumps(body).encode()
    status, headers, answer = ready.raw(method.http_method, "/" + path, sent, {"Content-Type": "application/json"})
    assert status < 500 or status == 501, answer
    if status >= 400 and "json" in headers.get("content-type", ""):
        error = json.loads(answer)["error"]
        assert error["code"] == status
        assert error["message"]


def damaged(name: str, seed: int) -> bytes:
    chance = random.Random(f"{name}{seed}")  # noqa: S311 - a fixed corpus
    data = bytearray((ROOT / name).read_bytes())
    for _ in range(chance.choice([1, 2, 8, 64])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data))])])


NAMES = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "reportsi.dcm",
    "image_dfl.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "nested_priv_SQ.dcm",
]


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_can_be_stored_searched_and_retrieved_or_are_refused(ready: Client, name: str) -> None:
    for seed in range(25):
        status, _, answer = ready.raw(
            "POST", f"{ready.store}/dicomWeb/studies", damaged(name, seed), {"Content-Type": "application/dicom"}
        )
        assert status in (200, 409), answer
    status, found = ready("GET", f"{ready.store}/dicomWeb/instances?includefield=all&limit=100")
    assert status == (200 if found else 204)
    for one in found:
        uids = [one[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")]
        address = f"{ready.store}/dicomWeb/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}"
        for part in ("", "/metadata", "/rendered", "/frames/1", "/bulkdata/instance/7FE00010"):
            status, _, answer = ready.raw("GET", address + part)
            assert status in (200, 400, 404, 406), answer
