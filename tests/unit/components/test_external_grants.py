"""Grants that others make: what is surely there, what surely is not, and what is not known."""

from collections.abc import Mapping
from typing import Any

import pytest

from components.access.external import missing_grants
from components.access.google_rest import GoogleRest, RestError
from components.settings import settings_from
from operations.google.connection import Connection, ConnectionSettings

AGENT = "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{AGENT}"
ROLE = "roles/storage.objectViewer"
SETTINGS = settings_from(
    {
        "project": "hospital-imaging",
        "location": "europe-west4",
        "dataset": {"name": "radiology"},
        "stores": [{"name": "pacs"}],
        "buckets": [{"name": "inbox-bucket", "existing": True}],
        "imports": [{"name": "archive", "store": "pacs", "from": "gs://inbox-bucket/**"}],
        "grants": "external",
    }
)
FOLDER = {"parent": {"type": "folder", "id": "1"}}


class Google(GoogleRest):
    """Answers for one bucket and its project."""

    def __init__(
        self,
        bucket: list[dict[str, Any]],
        project: list[dict[str, Any]] | None = None,
        parent: Mapping[str, Any] | None = None,
        access: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(Connection(ConnectionSettings()))
        self._bucket, self._bindings = bucket, project or []
        self._parent, self._access = parent or {}, access

    def call(self, api: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Answer as Google would."""
        del method
        if api == "policytroubleshooter":
            if self._access is None:
                raise RestError(403, "Policy Troubleshooter API has not been used in project 4711 before")
            assert body is not None
            asked = body["accessTuple"]
            assert asked["principal"] == AGENT
            assert asked["fullResourceName"] == "//storage.googleapis.com/projects/_/buckets/inbox-bucket"
            return {"access": self._access[asked["permission"]]}
        if path.endswith(":getIamPolicy"):
            agent_role = {"role": "roles/healthcare.serviceAgent", "members": [MEMBER]}
            return {"bindings": [agent_role, *self._bindings]}
        if api == "storage":
            return {"bindings": self._bucket}
        return {"projectNumber": "4711", **self._parent}


def found(google: Google) -> str | None:
    """Return what is said of the import's grant: None if it is there, else why it is not known, empty if it is not."""
    missing = [each for each in missing_grants(SETTINGS, lambda _: google) if each.grant.role == ROLE]
    return missing[0].unknown if missing else None


def binding(role: str, *members: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "members": list(members), **more}


CONDITION = {"title": "until 2027", "expression": "request.time < timestamp('2027-01-01T00:00:00Z')"}


@pytest.mark.parametrize(
    "google",
    [
        Google([binding(ROLE, MEMBER)]),
        Google([binding(ROLE, MEMBER.upper().replace("SERVICEACCOUNT", "serviceAccount"))]),
        Google([binding("roles/storage.objectAdmin", MEMBER)]),
        Google([], [binding(ROLE, MEMBER)]),
        Google([binding(ROLE, "allAuthenticatedUsers")]),
        # Whatever policies say, Google's own evaluation counts.
        Google([], parent=FOLDER, access={"storage.objects.get": "GRANTED", "storage.objects.list": "GRANTED"}),
    ],
)
def test_a_grant_that_is_there_is_found(google: Google) -> None:
    assert found(google) is None


@pytest.mark.parametrize(
    ("google", "why"),
    [
        (Google([binding(ROLE, "group:agents@example.org")]), "group:agents@example.org has"),
        (Google([], [binding("roles/viewer", "domain:example.org")]), "domain:example.org has"),
        (Google([], [binding("roles/owner", MEMBER)]), "roles/owner on project hospital-imaging, which may include"),
        (Google([binding("projects/p/roles/reader", MEMBER)]), "projects/p/roles/reader on bucket inbox-bucket"),
        (Google([], parent=FOLDER), "the folder above project hospital-imaging may grant it"),
        (Google([binding(ROLE, MEMBER, condition=CONDITION)]), "under a condition"),
        (
            Google([], access={"storage.objects.get": "UNKNOWN_CONDITIONAL", "storage.objects.list": "GRANTED"}),
            "a grant has a condition",
        ),
        (
            Google([], parent=FOLDER, access=dict.fromkeys(("storage.objects.get", "storage.objects.list"), "UNKNOWN")),
            "the folder above",
        ),
    ],
)
def test_what_may_give_the_permissions_is_not_called_missing(google: Google, why: str) -> None:
    said = found(google)
    assert said is not None
    assert why in said


@pytest.mark.parametrize(
    "google",
    [
        Google([], [binding(ROLE, "serviceAccount:somebody@else.iam.gserviceaccount.com")]),
        Google(
            [binding(ROLE, "group:agents@example.org")],
            parent=FOLDER,
            access={"storage.objects.get": "GRANTED", "storage.objects.list": "NOT_GRANTED"},
        ),
    ],
)
def test_what_is_surely_not_granted_is_missing(google: Google) -> None:
    assert found(google) == ""
