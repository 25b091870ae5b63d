"""Random requests to every method: no accident, no hang, and every error in Google's shape."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.server.server import LocalEmulator
from tests.protocol.emulator.fuzzing import PATIENCE, PROJECT, Judge, Maker, Request, Sender, examples

DATASET = f"/v1/projects/{PROJECT}/locations/europe-west4/datasets/radiology"


def call(local: LocalEmulator, http_method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(local.url + path, data, {"Content-Type": kind}, method=http_method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def furnish(local: LocalEmulator) -> None:
    """Something of every kind, under the names that the random requests use."""
    from pydicom.data import get_testdata_file

    local.emulator.reset()
    ct = Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    call(local, "POST", DATASET.rpartition("/")[0] + "?datasetId=radiology", {})
    for store in ("pacs", "archive"):
        call(local, "POST", f"{DATASET}/dicomStores?dicomStoreId={store}", {})
    call(local, "POST", f"{DATASET}/dicomStores/pacs/dicomWeb/studies", ct, "application/dicom")
    for bucket in ("inbox", "out"):
        call(local, "POST", f"/storage/v1/b?project={PROJECT}", {"name": bucket})
        files = {"ct.dcm": ct, "a%2Fb.txt": b"text", "empty": b"", "filter.txt": b"/studies/1.2.3\n"}
        files |= {"rows.json": b'{"a": 1, "b": [{"c": "x"}]}\n', "rows.csv": b"a,b\nx,1\n"}
        for name, data in files.items():
            call(local, "POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}", data, "text/plain")
    base = f"/bigquery/v2/projects/{PROJECT}/datasets"
    call(local, "POST", base, {"datasetReference": {"projectId": PROJECT, "datasetId": "dicom"}})
    reference = {"projectId": PROJECT, "datasetId": "dicom", "tableId": "people"}
    columns = [{"name": "name", "type": "STRING"}, {"name": "born", "type": "DATE"}]
    call(local, "POST", f"{base}/dicom/tables", {"tableReference": reference, "schema": {"fields": columns}})
    call(local, "PUT", f"/v1/projects/{PROJECT}/topics/arrivals", {})
    subscription = {"topic": f"projects/{PROJECT}/topics/arrivals"}
    call(local, "PUT", f"/v1/projects/{PROJECT}/subscriptions/readers", subscription)
    agent = "serviceAccount:" + local.emulator.projects.provision_service_agent(PROJECT)
    roles = ("roles/storage.admin", "roles/bigquery.admin", "roles/pubsub.publisher")
    bindings = [{"role": role, "members": [agent]} for role in roles]
    call(local, "POST", f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": bindings}})
    ring = f"/v1/projects/{PROJECT}/locations/europe-west4/keyRings"
    call(local, "POST", f"{ring}?keyRingId=ring", {})
    call(local, "POST", f"{ring}/ring/cryptoKeys?cryptoKeyId=key", {"purpose": "ENCRYPT_DECRYPT"})


@pytest.fixture
def sender(emulator: LocalEmulator) -> Iterator[Sender]:
    one = Sender(emulator.url)
    yield one
    one.close()


MAKERS: dict[str, Callable[[Random], Request]] = {
    "from-the-documents": lambda random: Maker(random, hurt=False).request(),
    "damaged": lambda random: Maker(random, hurt=True).request(),
    "from-good-requests": lambda random: Maker(random, hurt=True).variant(),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_random_requests_are_answered_and_refused_in_googles_shapes(
    emulator: LocalEmulator, sender: Sender, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    judge = Judge()
    wrong: list[str] = []
    count = 0

    @examples(700)
    @given(st.randoms(use_true_random=True))
    def run(random: Random) -> None:
        nonlocal count
        request = MAKERS[kind](random)
        # What the requests delete is made again now and then.
        if count % 100 == 0:
            furnish(emulator)
        count += 1
        began = time.monotonic()
        got = sender.send(request)
        took = time.monotonic() - began
        found = judge.problems(request, got)
        if took > PATIENCE / 2:
            found.append(f"took {took:.1f} s")
        wrong.extend(f"{request}\n    {request.name}: {problem}" for problem in found)

    run()
    # Operations and jobs work in the background: what goes wrong there is not in an answer.
    wrong += [f"{record.getMessage()}: {record.exc_text}" for record in caplog.records if record.name == "emulator"]
    assert wrong == [], f"{len(wrong)} problems:\n" + "\n".join(wrong)
