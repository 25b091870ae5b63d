"""google-cloud-storage and google-api-python-client as they are, pointed at the emulator."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from emulator.server.server import LocalEmulator

MEGABYTE = 1024 * 1024


@pytest.fixture
def client(emulator: LocalEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
    client = storage.Client(project="hospital-imaging", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    yield client
    client.close()


@pytest.fixture
def inbox(client: Any) -> Any:
    return client.create_bucket("hospital-dicom-inbox", location="EU")


def test_a_missing_bucket_is_not_found(client: Any) -> None:
    from google.api_core.exceptions import NotFound

    with pytest.raises(NotFound, match="The specified bucket does not exist"):
        client.get_bucket("nowhere")
    assert client.lookup_bucket("nowhere") is None


def test_a_taken_name_is_a_conflict(client: Any, inbox: Any) -> None:
    from google.api_core.exceptions import Conflict

    with pytest.raises(Conflict, match="you already own it"):
        client.create_bucket(inbox.name)


def test_what_the_client_found_damaged_is_not_kept(inbox: Any) -> None:
    from google.api_core.exceptions import BadRequest

    blob = inbox.blob("x")
    blob.md5_hash = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(BadRequest, match="MD5"):
        blob.upload_from_string(b"bytes")
    assert not inbox.blob("x").exists()


@pytest.mark.parametrize("size", [0, 1, MEGABYTE, 9 * MEGABYTE])
@pytest.mark.parametrize("chunk", [None, 256 * 1024 * 3])
def test_bytes_go_up_and_come_down(inbox: Any, size: int, chunk: int | None) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    blob = inbox.blob("2024/ä b?.dcm", chunk_size=chunk)
    blob.upload_from_file(io.BytesIO(data), content_type="application/dicom", checksum="crc32c")
    fresh = inbox.get_blob("2024/ä b?.dcm")
    assert (fresh.size, fresh.content_type) == (size, "application/dicom")
    assert fresh.download_as_bytes(checksum="crc32c") == data
    assert inbox.blob("2024/ä b?.dcm", chunk_size=chunk).download_as_bytes() == data


def test_preconditions_are_those_of_the_client(inbox: Any) -> None:
    from google.api_core.exceptions import PreconditionFailed

    blob = inbox.blob("x")
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        inbox.blob("x").upload_from_string(b"2", if_generation_match=0)
    assert inbox.blob("x").download_as_bytes() == b"1"


def test_ranges_lists_copies_and_compose(client: Any, inbox: Any) -> None:
    for name in ("a/1", "a/2", "b"):
        inbox.blob(name).upload_from_string(name.encode() * 10)
    assert inbox.blob("a/1").download_as_bytes(start=3, end=5) == b"a/1"
    listed = client.list_blobs(inbox, delimiter="/")
    assert [blob.name for blob in listed] == ["b"]
    assert listed.prefixes == {"a/"}
    assert [blob.name for blob in client.list_blobs(inbox, match_glob="a/*", page_size=1)] == ["a/1", "a/2"]
    whole = inbox.blob("whole")
    whole.compose([inbox.blob("a/1"), inbox.blob("a/2")])
    assert whole.download_as_bytes() == b"a/1" * 10 + b"a/2" * 10
    copied = inbox.copy_blob(inbox.blob("b"), inbox, "c")
    assert copied.download_as_bytes() == b"b" * 10
    token, done, size = inbox.blob("d").rewrite(copied)
    assert (token, done, size) == (None, 10, 10)
    inbox.rename_blob(copied, "e")
    assert sorted(blob.name for blob in client.list_blobs(inbox)) == ["a/1", "a/2", "b", "d", "e", "whole"]


def test_metadata_labels_and_lifecycle(client: Any, inbox: Any) -> None:
    blob = inbox.blob("x")
    blob.metadata = {"site": "a"}
    blob.upload_from_string(b"bytes")
    blob.metadata = {"site": None, "kind": "ct"}
    blob.patch()
    assert inbox.get_blob("x").metadata == {"kind": "ct"}
    blob.update_storage_class("NEARLINE")
    assert inbox.get_blob("x").storage_class == "NEARLINE"
    inbox.labels = {"team": "radiology"}
    inbox.add_lifecycle_delete_rule(age=30)
    inbox.iam_configuration.uniform_bucket_level_access_enabled = True
    inbox.patch()
    fresh = client.get_bucket(inbox.name)
    assert fresh.labels == {"team": "radiology"}
    assert next(iter(fresh.lifecycle_rules))["condition"] == {"age": 30}
    assert fresh.iam_configuration.uniform_bucket_level_access_enabled is True
    assert fresh.iam_configuration.uniform_bucket_level_access_locked_time is not None


def test_policies_are_read_changed_and_written(inbox: Any) -> None:
    policy = inbox.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"user:alice@example.org"}})
    written = inbox.set_iam_policy(policy)
    assert written.etag != policy.etag
    assert inbox.test_iam_permissions(["storage.objects.get", "storage.buckets.delete"]) == [
        "storage.objects.get",
        "storage.buckets.delete",
    ]


def test_a_batch_does_all_its_calls(client: Any, inbox: Any) -> None:
    blobs = [inbox.blob(f"{number}") for number in range(5)]
    for blob in blobs:
        blob.upload_from_string(b"x")
    with client.batch():
        for blob in blobs:
            blob.metadata = {"batch": "yes"}
            blob.patch()
    assert {blob.metadata["batch"] for blob in client.list_blobs(inbox)} == {"yes"}
    inbox.delete_blobs(blobs[:2])
    with client.batch():
        for blob in blobs[2:]:
            blob.delete()
    assert list(client.list_blobs(inbox)) == []


def test_a_batch_reports_what_failed(client: Any, inbox: Any) -> None:
    from google.api_core.exceptions import NotFound

    inbox.blob("there").upload_from_string(b"x")
    with pytest.raises(NotFound, match="No such object"), client.batch():
        inbox.blob("missing").delete()
        inbox.blob("there").delete()
    assert list(client.list_blobs(inbox)) == [], "the calls of a batch stand alone"


def test_a_batch_of_the_api_client_answers_each_call(
    emulator: LocalEmulator, google_api: Callable[[str, str], Any], inbox: Any
) -> None:
    from googleapiclient.errors import HttpError
    from googleapiclient.http import BatchHttpRequest

    inbox.blob("dir/x").upload_from_string(b"x")
    service = google_api("storage", "v1")
    answers: dict[str, Any] = {}
    batch = BatchHttpRequest(
        callback=lambda name, answer, error: answers.update({name: error or answer}),
        batch_uri=f"{emulator.url}/batch/storage/v1",
    )
    batch.add(service.objects().get(bucket=inbox.name, object="dir/x"), request_id="good")
    batch.add(
        service.objects().patch(bucket=inbox.name, object="dir/x", body={"metadata": {"a": "ä"}}), request_id="set"
    )
    batch.add(service.objects().get(bucket=inbox.name, object="missing"), request_id="bad")
    batch.execute(http=service._http)
    assert answers["good"]["name"] == "dir/x"
    assert answers["set"]["metadata"] == {"a": "ä"}
    assert isinstance(answers["bad"], HttpError)
    assert answers["bad"].status_code == 404


def test_the_api_client_uploads_in_parts_and_in_chunks(google_api: Callable[[str, str], Any], inbox: Any) -> None:
    from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseDownload

    service = google_api("storage", "v1")
    data = bytes(range(256)) * 4096
    small = MediaInMemoryUpload(b"line\n\r\n", mimetype="application/dicom")
    created = service.objects().insert(bucket=inbox.name, body={"name": "small"}, media_body=small).execute()
    assert created["contentType"] == "application/dicom"
    media = MediaInMemoryUpload(data, mimetype="application/dicom", chunksize=256 * 1024, resumable=True)
    request = service.objects().insert(bucket=inbox.name, name="large", media_body=media)
    answer = None
    while answer is None:
        _, answer = request.next_chunk()
    assert answer["size"] == str(len(data))
    for name, expected in (("small", b"line\n\r\n"), ("large", data)):
        got = io.BytesIO()
        download = MediaIoBaseDownload(
            got, service.objects().get_media(bucket=inbox.name, object=name), chunksize=300_000
        )
        done = False
        while not done:
            _, done = download.next_chunk()
        assert got.getvalue() == expected


def test_an_interrupted_upload_is_finished_by_the_client(emulator: LocalEmulator, inbox: Any) -> None:
    data = bytes(range(256)) * 4096
    fault = emulator.control(
        "POST", "faults", {"method": "storage.objects.insert", "after": 2, "times": 1, "effect": {"status": 503}}
    )
    blob = inbox.blob("x", chunk_size=256 * 1024)
    blob.upload_from_file(io.BytesIO(data))
    assert emulator.control("GET", f"faults/{fault['id']}")["completed"] is True
    assert blob.download_as_bytes() == data
