"""What a client sets on a bucket has its effect on objects, or is refused.

Texts and reasons of refusals are those that people pasted of Google's answers; the rules are on the pages that each
test names.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.server.server import LocalEmulator

PROJECT = "hospital-imaging"
NAME = "hospital-archive"
PATH = f"/storage/v1/b/{NAME}"
Rest = Callable[..., Any]


def make(rest: Rest, **settings: Any) -> dict[str, Any]:
    answer = rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": NAME, "location": "EU", **settings})
    assert answer.status == 200, answer.message
    found: dict[str, Any] = answer.json
    return found


def put(rest: Rest, name: str = "x", query: str = "") -> Any:
    return rest("POST", f"/upload/storage/v1/b/{NAME}/o?uploadType=media&name={name}{query}", b"data")


class TestStorageClass:
    """https://cloud.google.com/storage/docs/storage-classes#default."""

    def test_new_objects_have_the_class_of_the_bucket_and_keep_it(self, rest: Rest) -> None:
        make(rest, storageClass="COLDLINE")
        assert put(rest).json["storageClass"] == "COLDLINE"
        rest("PATCH", PATH, {"storageClass": "NEARLINE"})
        assert rest("GET", f"{PATH}/o/x").json["storageClass"] == "COLDLINE"
        assert put(rest, "y").json["storageClass"] == "NEARLINE"
        assert rest("PATCH", f"{PATH}/o/x", {"metadata": {"a": "b"}}).json["storageClass"] == "COLDLINE"

    def test_a_copy_has_the_class_of_its_new_bucket(self, rest: Rest) -> None:
        make(rest, storageClass="ARCHIVE")
        put(rest)
        rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": "hospital-out", "location": "EU"})
        copied = rest("POST", f"{PATH}/o/x/rewriteTo/b/hospital-out/o/x", {}).json["resource"]
        assert copied["storageClass"] == "STANDARD"

    def test_with_autoclass_new_objects_are_standard(self, rest: Rest) -> None:
        """https://cloud.google.com/storage/docs/autoclass; the answer as recorded from Google."""
        bucket = make(rest, autoclass={"enabled": True})
        assert bucket["storageClass"] == "STANDARD"
        assert bucket["autoclass"]["terminalStorageClass"] == "NEARLINE"
        assert bucket["autoclass"]["toggleTime"] == bucket["autoclass"]["terminalStorageClassUpdateTime"]
        changed = rest("PATCH", PATH, {"autoclass": {"terminalStorageClass": "ARCHIVE"}}).json["autoclass"]
        assert changed["toggleTime"] == bucket["autoclass"]["toggleTime"]
        assert changed["terminalStorageClass"] == "ARCHIVE"
        assert put(rest).json["storageClass"] == "STANDARD"
        assert rest("PATCH", PATH, {"autoclass": {"enabled": False}}).json["autoclass"] == {"enabled": False}


class TestHolds:
    """https://cloud.google.com/storage/docs/object-holds."""

    def test_a_default_hold_is_on_new_objects_only(self, rest: Rest) -> None:
        make(rest)
        put(rest, "before")
        rest("PATCH", PATH, {"defaultEventBasedHold": True})
        assert put(rest, "after").json["eventBasedHold"] is True
        assert rest("DELETE", f"{PATH}/o/before").status == 204
        refused = rest("DELETE", f"{PATH}/o/after")
        assert (refused.status, refused.reason) == (403, "objectUnderActiveHold")
        assert put(rest, "after").status == 403
        rest("PATCH", f"{PATH}/o/after", {"eventBasedHold": False})
        assert rest("DELETE", f"{PATH}/o/after").status == 204


class TestRetention:
    """https://cloud.google.com/storage/docs/bucket-lock."""

    def test_an_object_can_neither_be_deleted_nor_replaced_before_its_time(self, rest: Rest) -> None:
        make(rest, retentionPolicy={"retentionPeriod": "3600"})
        made = put(rest).json
        until = datetime.fromisoformat(made["timeCreated"]) + timedelta(hours=1)
        assert datetime.fromisoformat(made["retentionExpirationTime"]) == until
        for refused in (
            rest("DELETE", f"{PATH}/o/x"),
            put(rest),
            rest("POST", f"{PATH}/o/x/moveTo/o/y"),
        ):
            assert (refused.status, refused.reason) == (403, "retentionPolicyNotMet")
            assert refused.message.startswith(
                f"Object '{NAME}/x' is subject to bucket's retention policy or object retention and cannot be deleted "
                "or overwritten until "
            )
        assert rest("PATCH", f"{PATH}/o/x", {"metadata": {"a": "b"}}).status == 200

    def test_an_object_whose_time_is_over_can_go(self, rest: Rest) -> None:
        make(rest, retentionPolicy={"retentionPeriod": 1})
        put(rest)
        deadline = time.monotonic() + 10
        while rest("DELETE", f"{PATH}/o/x").status == 403 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert rest("GET", f"{PATH}/o/x").status == 404

    def test_the_time_counts_from_the_end_of_an_event_based_hold(self, rest: Rest) -> None:
        make(rest, retentionPolicy={"retentionPeriod": "3600"}, defaultEventBasedHold=True)
        made = put(rest).json
        assert "retentionExpirationTime" not in made
        freed = rest("PATCH", f"{PATH}/o/x", {"eventBasedHold": False}).json
        until = datetime.fromisoformat(freed["updated"]) + timedelta(hours=1)
        assert abs(datetime.fromisoformat(freed["retentionExpirationTime"]) - until) < timedelta(seconds=1)
        assert rest("DELETE", f"{PATH}/o/x").reason == "retentionPolicyNotMet"

    def test_without_a_lock_it_can_be_shortened_and_removed(self, rest: Rest) -> None:
        made = make(rest, retentionPolicy={"retentionPeriod": "3600", "isLocked": True})
        assert "isLocked" not in made["retentionPolicy"], "a lock is a call of its own"
        put(rest)
        assert rest("PATCH", PATH, {"retentionPolicy": {"retentionPeriod": "60"}}).status == 200
        assert "retentionPolicy" not in rest("PATCH", PATH, {"retentionPolicy": None}).json
        assert rest("DELETE", f"{PATH}/o/x").status == 204

    def test_a_lock_can_only_be_made_longer(self, rest: Rest) -> None:
        lock = f"{PATH}/lockRetentionPolicy?ifMetagenerationMatch="
        assert make(rest)["metageneration"] == "1"
        assert rest("POST", f"{lock}1").status == 400, "there is no policy yet"
        rest("PATCH", PATH, {"retentionPolicy": {"retentionPeriod": "3600"}})
        assert rest("POST", f"{PATH}/lockRetentionPolicy").status == 400
        assert rest("POST", f"{lock}1").status == 412
        assert rest("POST", f"{lock}2").json["retentionPolicy"]["isLocked"] is True
        shorter = rest("PATCH", PATH, {"retentionPolicy": {"retentionPeriod": "3599"}})
        assert (shorter.status, shorter.message) == (
            403,
            f"Cannot reduce retention duration of a locked Retention Policy for bucket '{NAME}'.",
        )
        removed = rest("PATCH", PATH, {"retentionPolicy": None})
        assert removed.status == 403
        assert "has a locked Retention Policy which cannot be removed" in removed.message
        longer = rest("PATCH", PATH, {"retentionPolicy": {"retentionPeriod": "7200"}}).json
        assert longer["retentionPolicy"]["retentionPeriod"] == "7200"
        assert longer["retentionPolicy"]["isLocked"] is True


def test_nobody_makes_a_bucket_public_that_must_not_be(rest: Rest) -> None:
    """https://cloud.google.com/storage/docs/public-access-prevention."""
    make(rest, iamConfiguration={"publicAccessPrevention": "enforced", "uniformBucketLevelAccess": {"enabled": True}})
    for member in ("allUsers", "allAuthenticatedUsers"):
        policy = {"bindings": [{"role": "roles/storage.objectViewer", "members": ["user:a@example.org", member]}]}
        refused = rest("PUT", f"{PATH}/iam", policy)
        assert (refused.status, refused.reason) == (412, "conditionNotMet")
        assert "public access prevention is enforced" in refused.message
    rest("PATCH", PATH, {"iamConfiguration": {"publicAccessPrevention": "inherited"}})
    assert rest("PUT", f"{PATH}/iam", policy).status == 200


def test_two_regions_of_one_s_own_choice_are_a_dual_region(rest: Rest) -> None:
    """https://cloud.google.com/storage/docs/locations#location-dr."""
    placement = {"dataLocations": ["EUROPE-WEST1", "EUROPE-WEST4"]}
    made = make(rest, customPlacementConfig=placement, rpo="ASYNC_TURBO")
    assert (made["location"], made["locationType"], made["rpo"]) == ("EU", "dual-region", "ASYNC_TURBO")
    assert rest("PATCH", PATH, {"rpo": "DEFAULT"}).json["rpo"] == "DEFAULT"


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"storageClass": "COLD"}, 400),
        ({"rpo": "ASYNC_TURBO"}, 400),
        ({"customPlacementConfig": {"dataLocations": ["EUROPE-WEST1"]}}, 400),
        ({"customPlacementConfig": {"dataLocations": ["EUROPE-WEST1", "europe-west1"]}}, 400),
        ({"softDeletePolicy": {"retentionDurationSeconds": "3600"}}, 400),
        ({"retentionPolicy": {"retentionPeriod": "0"}}, 400),
        ({"retentionPolicy": {"retentionPeriod": "3155760001"}}, 400),
        ({"autoclass": {"enabled": True, "terminalStorageClass": "COLDLINE"}}, 400),
        ({"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {}}]}}, 400),
        ({"lifecycle": {"rule": [{"action": {"type": "Remove"}, "condition": {"age": 1}}]}}, 400),
        (
            {
                "lifecycle": {
                    "rule": [
                        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"numNewerVersions": 1}}
                    ]
                }
            },
            400,
        ),
        ({"ipFilter": {"mode": "Enabled"}}, 501),
        ({"acl": [{"entity": "allUsers", "role": "READER"}]}, 501),
    ],
)
def test_what_can_not_be_or_is_not_served_is_refused(rest: Rest, settings: dict[str, Any], status: int) -> None:
    body = {"name": NAME, "location": "EU", **settings}
    assert rest("POST", f"/storage/v1/b?project={PROJECT}", body).status == status
    assert rest("GET", PATH).status == 404


def test_retention_of_single_objects_is_refused(rest: Rest) -> None:
    answer = rest("POST", f"/storage/v1/b?project={PROJECT}&enableObjectRetention=true", {"name": NAME})
    assert answer.status == 501


class TestVersions:
    """https://cloud.google.com/storage/docs/object-versioning."""

    def write(self, rest: Rest, content: bytes, name: str = "x") -> str:
        answer = rest("POST", f"/upload/storage/v1/b/{NAME}/o?uploadType=media&name={name}", content)
        return str(answer.json["generation"])

    def versions(self, rest: Rest, query: str = "") -> list[tuple[str, str, bool]]:
        items = rest("GET", f"{PATH}/o?versions=true{query}").json.get("items", [])
        return [(each["name"], each["generation"], "timeDeleted" in each) for each in items]

    def test_what_is_replaced_or_deleted_stays_as_a_version(self, rest: Rest) -> None:
        make(rest, versioning={"enabled": True})
        first, second = self.write(rest, b"one"), self.write(rest, b"two")
        other = self.write(rest, b"other", "y")
        assert self.versions(rest) == [("x", first, True), ("x", second, False), ("y", other, False)]
        assert rest("DELETE", f"{PATH}/o/x").status == 204
        assert rest("GET", f"{PATH}/o/x").status == 404
        assert rest("GET", f"{PATH}/o").json["items"][0]["name"] == "y"
        assert self.versions(rest, "&prefix=x") == [("x", first, True), ("x", second, True)]
        assert rest("GET", f"{PATH}/o/x?alt=media&generation={first}").body == b"one"
        restored = rest("POST", f"{PATH}/o/x/rewriteTo/b/{NAME}/o/x?sourceGeneration={second}", {}).json["resource"]
        assert rest("GET", f"{PATH}/o/x?alt=media").body == b"two"
        assert restored["generation"] > second

    def test_a_version_that_is_named_goes_for_good(self, rest: Rest) -> None:
        make(rest, versioning={"enabled": True})
        first, second = self.write(rest, b"one"), self.write(rest, b"two")
        assert rest("DELETE", PATH).status == 409
        assert rest("DELETE", f"{PATH}/o/x?generation={first}").status == 204
        assert rest("GET", f"{PATH}/o/x?generation={first}").status == 404
        assert rest("DELETE", f"{PATH}/o/x?generation={second}").status == 204
        assert self.versions(rest) == []
        assert rest("DELETE", PATH).status == 204

    def test_a_bucket_with_nothing_but_versions_is_not_empty(self, rest: Rest) -> None:
        make(rest, versioning={"enabled": True})
        self.write(rest, b"one")
        rest("DELETE", f"{PATH}/o/x")
        refused = rest("DELETE", PATH)
        assert (refused.status, refused.message) == (409, "The bucket you tried to delete is not empty.")

    def test_versions_stay_when_no_more_are_kept(self, rest: Rest) -> None:
        make(rest, versioning={"enabled": True})
        first, second = self.write(rest, b"one"), self.write(rest, b"two")
        rest("PATCH", PATH, {"versioning": {"enabled": False}})
        third = self.write(rest, b"three")
        assert self.versions(rest) == [("x", first, True), ("x", third, False)]
        assert rest("GET", f"{PATH}/o/x?generation={second}").status == 404

    def test_a_hold_keeps_a_version_from_going(self, rest: Rest) -> None:
        make(rest, versioning={"enabled": True})
        first = self.write(rest, b"one")
        rest("PATCH", f"{PATH}/o/x", {"temporaryHold": True})
        assert rest("DELETE", f"{PATH}/o/x").reason == "objectUnderActiveHold"
        assert rest("DELETE", f"{PATH}/o/x?generation={first}").reason == "objectUnderActiveHold"


def call(emulator: LocalEmulator, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> bytes:
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
    request = urllib.request.Request(emulator.url + path, data, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        found: bytes = answer.read()
    return found


def test_versions_and_their_bytes_outlive_the_process(tmp_path: Path) -> None:
    with LocalEmulator(data=tmp_path) as first:
        settings = {"name": NAME, "location": "EU", "versioning": {"enabled": True}}
        call(first, "POST", f"/storage/v1/b?project={PROJECT}", settings)
        for content in (b"one", b"two"):
            call(first, "POST", f"/upload/storage/v1/b/{NAME}/o?uploadType=media&name=x", content)
    with LocalEmulator(data=tmp_path) as second:
        items = json.loads(call(second, "GET", f"{PATH}/o?versions=true"))["items"]
        found = [call(second, "GET", f"{PATH}/o/x?alt=media&generation={each['generation']}") for each in items]
    assert found == [b"one", b"two"]
