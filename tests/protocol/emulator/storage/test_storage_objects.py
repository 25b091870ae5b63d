"""Objects: metadata, lists, copies, compose: https://cloud.google.com/storage/docs/json_api/v1/objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from emulator.server.server import LocalEmulator
from emulator.storage import service


def put(rest: Callable[..., Any], bucket: str, name: str, data: bytes = b"data", query: str = "") -> dict[str, Any]:
    path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}{query}"
    answer = rest("POST", path, data, headers={"Content-Type": "application/dicom"})
    assert answer.status == 200
    resource: dict[str, Any] = answer.json
    return resource


@pytest.mark.parametrize(
    ("http_method", "path", "body"),
    [
        ("GET", "o/missing", None),
        ("GET", "o/missing?alt=media", None),
        ("PATCH", "o/missing", {}),
        ("PUT", "o/missing", {}),
        ("DELETE", "o/missing", None),
        ("GET", "o/x?generation=1", None),
        ("DELETE", "o/x?generation=1", None),
        ("POST", "o/missing/copyTo/b/BUCKET/o/y", {}),
        ("POST", "o/missing/rewriteTo/b/BUCKET/o/y", {}),
        ("POST", "o/missing/moveTo/o/y", None),
        ("POST", "o/y/compose", {"sourceObjects": [{"name": "missing"}]}),
        ("POST", "o/y/compose", {"sourceObjects": [{"name": "x", "generation": "1"}]}),
    ],
)
def test_what_is_missing_is_named(
    rest: Callable[..., Any], bucket: str, http_method: str, path: str, body: Any
) -> None:
    put(rest, bucket, "x")
    answer = rest(http_method, f"/storage/v1/b/{bucket}/{path.replace('BUCKET', bucket)}", body)
    assert (answer.status, answer.reason) == (404, "notFound")
    name = "missing" if "missing" in path + str(body) else "x"
    assert answer.message == f"No such object: {bucket}/{name}"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("ifGenerationMatch=1", 412),
        ("ifMetagenerationMatch=2", 412),
        ("ifMetagenerationMatch=1", 200),
        ("ifMetagenerationNotMatch=1", 304),
        ("ifGenerationNotMatch=1", 200),
    ],
)
def test_preconditions_of_reading(rest: Callable[..., Any], bucket: str, query: str, status: int) -> None:
    put(rest, bucket, "x")
    for media in ("", "&alt=media"):
        assert rest("GET", f"/storage/v1/b/{bucket}/o/x?{query}{media}").status == status


@pytest.mark.parametrize("query", ["ifGenerationMatch=1", "ifMetagenerationMatch=2", "ifMetagenerationNotMatch=1"])
@pytest.mark.parametrize(("http_method", "body"), [("PATCH", {"contentType": "a/b"}), ("DELETE", None)])
def test_preconditions_of_changes(
    rest: Callable[..., Any], bucket: str, http_method: str, body: Any, query: str
) -> None:
    before = put(rest, bucket, "x")
    answer = rest(http_method, f"/storage/v1/b/{bucket}/o/x?{query}", body)
    assert (answer.status, answer.reason) == (412, "conditionNotMet")
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x").json == before


def test_metadata_change_without_touching_the_bytes(rest: Callable[..., Any], bucket: str) -> None:
    before = put(rest, bucket, "x")
    path = f"/storage/v1/b/{bucket}/o/x"
    rest("PATCH", path, {"metadata": {"site": "a", "kind": "ct"}, "customTime": "2026-01-01T00:00:00Z"})
    after = rest("PATCH", path, {"metadata": {"site": None}, "size": "1", "md5Hash": "AAAA"}).json
    assert after["metadata"] == {"kind": "ct"}
    assert after["customTime"] == "2026-01-01T00:00:00Z"
    assert after["metageneration"] == "3"
    assert (after["generation"], after["size"], after["md5Hash"]) == (
        before["generation"],
        before["size"],
        before["md5Hash"],
    )
    assert after["etag"] != before["etag"]
    replaced = rest("PUT", path, {"contentType": "text/plain"}).json
    assert "metadata" not in replaced
    assert replaced["contentType"] == "text/plain"


def test_metadata_can_not_begin_a_header(rest: Callable[..., Any], bucket: str) -> None:
    put(rest, bucket, "x")
    evil = "a/b\r\nSet-Cookie: x=y\r\n\r\nbody"
    names = ("contentType", "contentDisposition", "contentLanguage", "cacheControl", "contentEncoding")
    rest("PATCH", f"/storage/v1/b/{bucket}/o/x", dict.fromkeys(names, evil))
    answer = rest("GET", f"/storage/v1/b/{bucket}/o/x?alt=media")
    assert "set-cookie" not in answer.headers
    assert answer.body == b"data"
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x").json["contentType"] == evil


def test_a_held_object_stays(rest: Callable[..., Any], bucket: str) -> None:
    put(rest, bucket, "x")
    path = f"/storage/v1/b/{bucket}/o/x"
    rest("PATCH", path, {"temporaryHold": True})
    answer = rest("DELETE", path)
    assert (answer.status, answer.reason) == (403, "objectUnderActiveHold")
    assert rest("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=x", b"new").status == 403
    rest("PATCH", path, {"temporaryHold": False})
    assert rest("DELETE", path).status == 204


def test_lists_have_prefixes_pages_and_order(rest: Callable[..., Any], bucket: str) -> None:
    for name in ("2024/b.dcm", "2024/a.dcm", "2023/x.dcm", "readme"):
        put(rest, bucket, name)
    path = f"/storage/v1/b/{bucket}/o"
    top = rest("GET", f"{path}?delimiter=/").json
    assert [item["name"] for item in top["items"]] == ["readme"]
    assert top["prefixes"] == ["2023/", "2024/"]
    names: list[str] = []
    page = rest("GET", f"{path}?maxResults=1").json
    while True:
        names += [item["name"] for item in page["items"]]
        if "nextPageToken" not in page:
            break
        page = rest("GET", f"{path}?maxResults=1&pageToken={page['nextPageToken']}").json
    assert names == ["2023/x.dcm", "2024/a.dcm", "2024/b.dcm", "readme"]
    globbed = rest("GET", f"{path}?matchGlob={quote('**.dcm')}&startOffset=2024").json
    assert [item["name"] for item in globbed["items"]] == ["2024/a.dcm", "2024/b.dcm"]
    assert rest("GET", f"{path}?versions=true").json["items"][0]["generation"]
    assert rest("GET", f"{path}?maxResults=many").status == 400
    assert rest("GET", f"{path}?softDeleted=true").status == 501
    assert rest("GET", f"{path}?fields=items/name,nextPageToken&prefix=readme").json == {"items": [{"name": "readme"}]}


def test_an_unknown_field_in_a_selection_is_refused(rest: Callable[..., Any], bucket: str) -> None:
    answer = rest("GET", f"/storage/v1/b/{bucket}/o?fields=items/nothing")
    assert answer.status == 400
    assert "Invalid field selection items/nothing" in answer.message


def test_a_copy_shares_the_bytes_and_takes_metadata_along(
    emulator: LocalEmulator, rest: Callable[..., Any], bucket: str
) -> None:
    put(rest, bucket, "x", b"the bytes")
    rest("PATCH", f"/storage/v1/b/{bucket}/o/x", {"metadata": {"site": "a"}})
    copied = rest("POST", f"/storage/v1/b/{bucket}/o/x/copyTo/b/{bucket}/o/dir%2Fy", {}).json
    assert copied["metadata"] == {"site": "a"}
    assert copied["contentType"] == "application/dicom"
    rewritten = rest("POST", f"/storage/v1/b/{bucket}/o/x/rewriteTo/b/{bucket}/o/z", {"contentType": "a/b"}).json
    assert rewritten["done"] is True
    assert rewritten["totalBytesRewritten"] == rewritten["objectSize"] == "9"
    assert rewritten["resource"]["contentType"] == "a/b"
    assert "metadata" not in rewritten["resource"]
    blobs = {one.blob_id for one in service.list_objects(emulator.emulator, bucket)}
    assert len(blobs) == 1, "copies cost no space"
    rest("DELETE", f"/storage/v1/b/{bucket}/o/x")
    assert rest("GET", f"/storage/v1/b/{bucket}/o/dir%2Fy?alt=media").body == b"the bytes"


def test_bytes_go_with_the_last_who_refers_to_them(
    emulator: LocalEmulator, rest: Callable[..., Any], bucket: str
) -> None:
    put(rest, bucket, "x", b"bytes")
    inside = emulator.emulator
    stored = service.get_object(inside, bucket, "x")
    assert stored is not None
    service.retain_blob(inside, stored.blob_id)
    service.put_object(inside, bucket, "y", stored.blob, "application/dicom")
    rest("DELETE", f"/storage/v1/b/{bucket}/o/x")
    rest("DELETE", f"/storage/v1/b/{bucket}/o/y")
    assert inside.state.blobs.read(stored.blob_id) == b"bytes"
    service.release_blob(inside, stored.blob_id)
    with pytest.raises(FileNotFoundError):
        inside.state.blobs.read(stored.blob_id)


def test_the_preconditions_of_a_copy_are_those_of_source_and_destination(rest: Callable[..., Any], bucket: str) -> None:
    source = put(rest, bucket, "x")
    path = f"/storage/v1/b/{bucket}/o/x/copyTo/b/{bucket}/o/y"
    assert rest("POST", f"{path}?ifSourceGenerationMatch=1", {}).status == 412
    assert rest("POST", f"{path}?sourceGeneration=1", {}).status == 404
    good = f"{path}?ifSourceGenerationMatch={source['generation']}&ifGenerationMatch=0"
    assert rest("POST", good, {}).status == 200
    assert rest("POST", good, {}).status == 412


def test_a_moved_object_has_another_name(rest: Callable[..., Any], bucket: str) -> None:
    put(rest, bucket, "x", b"bytes")
    moved = rest("POST", f"/storage/v1/b/{bucket}/o/x/moveTo/o/dir%2Fy")
    assert (moved.status, moved.json["name"]) == (200, "dir/y")
    assert rest("GET", f"/storage/v1/b/{bucket}/o/x").status == 404
    assert rest("GET", f"/storage/v1/b/{bucket}/o/dir%2Fy?alt=media").body == b"bytes"


def test_composed_objects_have_components_and_no_md5(rest: Callable[..., Any], bucket: str) -> None:
    first = put(rest, bucket, "a", b"one")
    put(rest, bucket, "b", b"two")
    path = f"/storage/v1/b/{bucket}/o/c/compose"
    wrong = {"name": "a", "objectPreconditions": {"ifGenerationMatch": "1"}}
    assert rest("POST", path, {"sourceObjects": [wrong]}).status == 412
    assert rest("POST", path, {"sourceObjects": []}).status == 400
    assert rest("POST", path, {"sourceObjects": [{"name": "a"}] * 33}).status == 400
    sources = [{"name": "a", "generation": first["generation"]}, {"name": "b"}]
    composed = rest("POST", path, {"sourceObjects": sources, "destination": {"contentType": "x/y"}}).json
    assert composed["componentCount"] == 2
    assert "md5Hash" not in composed
    assert composed["contentType"] == "x/y"
    assert rest("GET", f"/storage/v1/b/{bucket}/o/c?alt=media").body == b"onetwo"
    twice = rest("POST", path, {"sourceObjects": [{"name": "c"}, {"name": "c"}]}).json
    assert twice["componentCount"] == 4


def test_objects_and_their_bytes_outlive_the_process(tmp_path: Any) -> None:
    import shutil

    from emulator.core.runtime import Emulator

    first = Emulator(tmp_path / "first")
    from emulator.iam import OWNER
    from emulator.storage.store import store

    store(first).buckets["b-1"] = {
        "project": "hospital-imaging",
        "location": "EU",
        "metageneration": 1,
        "timeCreated": "2026-01-01T00:00:00.000Z",
        "updated": "2026-01-01T00:00:00.000Z",
        "fields": {},
    }
    service.put_object(first, "b-1", "x", b"old", "a/b")
    service.put_object(first, "b-1", "x", b"new", "a/b")
    service.put_object(first, "b-1", "y", b"other", "a/b")
    assert service.delete_object(first, "b-1", "y")
    # Not closed: a killed process leaves what is on the disk now.
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    second = Emulator(tmp_path / "second")
    assert [one.name for one in service.list_objects(second, "b-1")] == ["x"]
    assert service.read_object(second, "b-1", "x") == b"new"
    assert service.allowed(second, OWNER, "storage.objects.get", "b-1")
    assert not service.allowed(second, OWNER, "storage.objects.get", "b-2")
    assert len([path for path in (tmp_path / "second" / "blobs").rglob("*") if path.is_file()]) == 1
    first.close()
    second.close()


@pytest.mark.parametrize("http_method", ["GET", "PUT", "HEAD", "DELETE"])
def test_the_xml_api_is_refused_by_name(rest: Callable[..., Any], bucket: str, http_method: str) -> None:
    refused = rest(http_method, f"/{bucket}/a.dcm", b"abc" if http_method == "PUT" else None)
    assert refused.status == 501
    assert http_method == "HEAD" or "XML API of Cloud Storage" in refused.message
    assert rest(http_method, "/nowhere/a.dcm").status == 404
