"""A stack over several projects with everything in it: it goes up, stays, heals, and needs all that it grants.

Permissions, enabled APIs and keys are enforced, and so is what Google's pages leave open (docs/emulator.md). Whoever
deploys holds the roles that the check at preview names, and no others.
"""

import io
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from googleapiclient.http import MediaInMemoryUpload
from pydicom.uid import generate_uid

from components.access.checks import apis_by_project
from components.access.google_rest import GoogleRest, RestError
from components.access.grants import Grant, grants_for
from components.access.needs import needs_of
from components.access.rules import Agent, On
from components.settings import settings_from
from emulator.server.server import LocalEmulator
from operations.google.connection import Connection, ConnectionSettings
from tests.engine.stack_runner import Stack, StackFailedError

pytestmark = pytest.mark.engine

PLACE = "europe-west4"
DATASET = f"projects/hospital-imaging/locations/{PLACE}/datasets/radiology"
PACS = f"{DATASET}/dicomStores/pacs"
RING = f"projects/keys-project/locations/{PLACE}/keyRings/imaging"
KEY = f"{RING}/cryptoKeys/images"
TOPIC = "projects/messages/topics/dicom"
TABLES = "bigquery/v2/projects/research-analytics/datasets/dicom/tables"
DEPLOYER = "user:deployer@example.org"
READER, WRITER, ADMIN, ANALYST = (f"user:{name}@example.org" for name in ("reader", "writer", "admin", "analyst"))

SETTINGS: dict[str, Any] = {
    "location": PLACE,
    "dataset": {"name": "radiology", "kmsKey": KEY, "admins": [ADMIN]},
    "stores": [
        {
            "name": "pacs",
            "labels": {"team": "radiology"},
            "notifications": [{"topic": TOPIC, "bulkImports": True}],
            "streams": [{"table": "bq://research-analytics.stream.pacs"}],
            "readers": [READER],
            "writers": [WRITER],
        },
        {"name": "research"},
    ],
    "bigquery": [
        {"name": "dicom", "project": "research-analytics", "kmsKey": KEY, "readers": [ANALYST]},
        {"name": "stream", "project": "research-analytics", "labels": {"team": "research"}},
    ],
    "buckets": [{"name": "hospital-dicom-out", "project": "storage-project", "kmsKey": KEY}],
    "topics": [{"name": "dicom", "project": "messages", "kmsKey": KEY}],
    "imports": [{"name": "archive", "store": "pacs", "from": "gs://hospital-dicom-inbox/*.dcm"}],
    "exports": [
        {
            "name": "metadata",
            "store": "pacs",
            "to": "bq://research-analytics.dicom.instances",
            "writeDisposition": "WRITE_TRUNCATE",
            "filter": {"file": "gs://hospital-filters/chosen.txt"},
        },
        {"name": "images", "store": "pacs", "to": "gs://hospital-dicom-out/images/"},
    ],
    "deletionProtection": False,
}
PARSED = settings_from({"project": "hospital-imaging", **SETTINGS})
GRANTS = grants_for(PARSED)


class Caller:
    """Calls of the emulator, as its owner or as somebody else."""

    def __init__(self, url: str, principal: str | None = None) -> None:
        token = f"principal:{principal}" if principal else "owner"
        endpoints = dict.fromkeys(("healthcare", "bigquery", "storage", "logging"), url)
        self._connection = Connection(ConnectionSettings(endpoints=endpoints, access_token=token))
        self._rest = GoogleRest(self._connection)

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._rest.call("healthcare", method, path, body)

    def upload(self, bucket: str, name: str, data: bytes) -> None:
        media = MediaInMemoryUpload(data, mimetype="application/octet-stream")
        insert = self._connection.storage.objects().insert(bucket=bucket, body={"name": name}, media_body=media)
        insert.execute(num_retries=2)  # a connection that nobody used for long, while the stack came up, has ended

    def close(self) -> None:
        self._rest.close()


@dataclass
class Deployed:
    """The stack, up, and the owner's hands beside it."""

    stack: Stack
    emulator: LocalEmulator
    owner: Caller


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with LocalEmulator() as emulator:
        owner = Caller(emulator.url)
        for bucket in ("hospital-dicom-inbox", "hospital-filters"):
            owner("POST", "storage/v1/b?project=elsewhere", {"name": bucket})
        file = Path(str(pydicom.data.get_testdata_file("CT_small.dcm")))
        study = str(pydicom.dcmread(file).StudyInstanceUID)
        owner.upload("hospital-dicom-inbox", "CT_small.dcm", file.read_bytes())
        owner.upload("hospital-filters", "chosen.txt", f"/studies/{study}\n".encode())
        owner("POST", "v1/projects/keys-project/services/cloudkms.googleapis.com:enable", {})
        owner("POST", f"v1/{RING.rpartition('/')[0]}?keyRingId=imaging", {})
        owner("POST", f"v1/{RING}/cryptoKeys?cryptoKeyId=images", {"purpose": "ENCRYPT_DECRYPT"})
        emulator.control("PATCH", "settings", {"enforceServices": True, "requireAgentRole": True})
        config = {f"imaging:{key}": value for key, value in SETTINGS.items()}
        stack = Stack(
            tmp_path_factory.mktemp("stack"),
            {"gcp:project": "hospital-imaging", "imaging:endpoint": emulator.url, **config},
            environment={"GOOGLE_OAUTH_ACCESS_TOKEN": f"principal:{DEPLOYER}"},
        )
        with pytest.raises(StackFailedError, match="permissions that this stack needs are missing"):
            stack.preview()
        for (on, name), roles in roles_of_the_deployer().items():
            bindings = [{"role": role, "members": [DEPLOYER]} for role in sorted(roles)]
            write_policy(owner, on, name, {"bindings": bindings})
        stack.preview()
        stack.up()
        yield Deployed(stack, emulator, owner)
        stack.destroy()
        assert stack.resources() == {}
        owner.close()


def roles_of_the_deployer() -> dict[tuple[On, str], set[str]]:
    roles: dict[tuple[On, str], set[str]] = {}
    for need in needs_of(PARSED):
        roles.setdefault((need.on, need.name), set()).add(need.role)
    return roles


def test_every_grant_of_the_table_is_declared_and_listed(deployed: Deployed) -> None:
    access = deployed.stack.outputs()["access"]
    assert [(each["role"], each["project"]) for each in access] == [
        (grant.role, grant.target.project) for grant in GRANTS
    ]
    assert all(each["reason"] for each in access)


def test_a_second_run_and_one_after_refresh_change_nothing(deployed: Deployed) -> None:
    assert deployed.stack.preview() == {}
    deployed.stack.refresh()
    assert deployed.stack.preview() == {}


def test_what_was_changed_by_hand_is_shown_and_repaired_and_what_others_granted_stays(deployed: Deployed) -> None:
    owner, stack = deployed.owner, deployed.stack
    owner("PATCH", f"v1/{PACS}?updateMask=labels", {"labels": {"team": "somebody"}})
    owner("PATCH", f"v1/{PACS}?updateMask=notificationConfig", {"notificationConfig": {}})
    owner("PATCH", f"v1/{PACS}?updateMask=streamConfigs", {"streamConfigs": []})
    owner("PATCH", "bigquery/v2/projects/research-analytics/datasets/stream", {"labels": {"team": "nobody"}})
    others = jobs_may_be_run_by(owner) | {"group:others@example.org"}
    others_too = read_policy(owner, On.PROJECT, "research-analytics")
    others_too["bindings"].append({"role": "roles/bigquery.jobUser", "members": ["group:others@example.org"]})
    write_policy(owner, On.PROJECT, "research-analytics", others_too)
    for label in ("research-analytics", "hospital-dicom-out", "research-analytics.dicom", "messages.dicom"):
        for grant in GRANTS:
            if grant.target.label == label and isinstance(grant.member, Agent):
                change(deployed, grant, add=False)

    stack.refresh()
    assert stack.preview() == {
        "gcp:healthcare/dicomStore:DicomStore pacs": "update",
        "gcp:bigquery/dataset:Dataset research-analytics.stream": "update",
        "gcp:projects/iAMMember:IAMMember agent-runs-jobs-in-research-analytics": "create",
        "gcp:storage/bucketIAMMember:BucketIAMMember agent-writes-hospital-dicom-out": "create",
        "gcp:bigquery/datasetIamMember:DatasetIamMember agent-writes-research-analytics.dicom": "create",
        "gcp:pubsub/topicIAMMember:TopicIAMMember agent-publishes-to-messages.dicom": "create",
    }
    stack.up()
    store = owner("GET", f"v1/{PACS}")
    assert store["labels"]["team"] == "radiology"
    assert store["notificationConfig"] == {"pubsubTopic": TOPIC, "sendForBulkImport": True}
    assert [each["bigqueryDestination"]["tableUri"] for each in store["streamConfigs"]] == [
        "bq://research-analytics.stream.pacs"
    ]
    assert jobs_may_be_run_by(owner) == others
    assert stack.preview() == {}


def jobs_may_be_run_by(owner: Caller) -> set[str]:
    bindings = read_policy(owner, On.PROJECT, "research-analytics")["bindings"]
    return {name for each in bindings if each["role"] == "roles/bigquery.jobUser" for name in each["members"]}


# What the stack is for, each as one call that raises when it can't be done, and the grants that it needs.

Probe = Callable[[Deployed], None]
ACTS = "agent-acts-in-hospital-imaging"
OPENS = "agent-uses-keys-project.europe-west4.imaging.images"
TABLES_KEY = "bigquery-agent-of-research-analytics-uses-keys-project.europe-west4.imaging.images"
OBJECTS_KEY = "storage-agent-of-storage-project-uses-keys-project.europe-west4.imaging.images"
MESSAGES_KEY = "pubsub-agent-of-messages-uses-keys-project.europe-west4.imaging.images"
WRITES_TABLES = "agent-writes-research-analytics.dicom"
WRITES_OBJECTS = "agent-writes-hospital-dicom-out"
READS_INBOX = "agent-reads-hospital-dicom-inbox"


def run_operation(owner: Caller, path: str, body: dict[str, Any]) -> None:
    operation = owner("POST", path, body)
    while not operation.get("done"):
        time.sleep(0.005)
        operation = owner("GET", f"v1/{operation['name']}")
    if "error" in operation:
        # What goes wrong with single instances is in the log, from which every report of a failure takes it.
        wanted = f'operation.id:"{operation["name"].rpartition("/")[2]}"'
        written = {"resourceNames": ["projects/hospital-imaging"], "filter": wanted}
        entries = owner("POST", "v2/entries:list", written).get("entries", [])
        raise RestError(operation["error"]["code"], f"{operation['error']['message']} {entries}")


def export_metadata(deployed: Deployed) -> None:
    destination = {"tableUri": "bq://research-analytics.dicom.probe", "writeDisposition": "WRITE_TRUNCATE"}
    run_operation(deployed.owner, f"v1/{PACS}:export", {"bigqueryDestination": destination})


def export_metadata_by_a_job_of_the_source(deployed: Deployed) -> None:
    """Which project runs the load job, Google's pages leave open."""
    deployed.emulator.control("PATCH", "settings", {"bigqueryJobsProject": "source"})
    try:
        export_metadata(deployed)
    finally:
        deployed.emulator.control("PATCH", "settings", {"bigqueryJobsProject": "destination"})


def export_images(deployed: Deployed) -> None:
    body = {"gcsDestination": {"uriPrefix": "gs://hospital-dicom-out/probe/"}}
    run_operation(deployed.owner, f"v1/{PACS}:export", body)


def export_filtered(deployed: Deployed) -> None:
    body = {
        "gcsDestination": {"uriPrefix": "gs://hospital-dicom-out/probe/"},
        "filterConfig": {"resourcePathsGcsUri": "gs://hospital-filters/chosen.txt"},
    }
    run_operation(deployed.owner, f"v1/{PACS}:export", body)


def import_files(deployed: Deployed, name: str = "CT_small.dcm") -> None:
    run_operation(deployed.owner, f"v1/{PACS}:import", {"gcsSource": {"uri": f"gs://hospital-dicom-inbox/{name}"}})


def stream(deployed: Deployed) -> None:
    """Streaming to another table of the dataset; the stack's own configuration is put back."""
    path = f"v1/{PACS}?updateMask=streamConfigs"
    before = {"streamConfigs": deployed.owner("GET", f"v1/{PACS}")["streamConfigs"]}
    other = {"bigqueryDestination": {"tableUri": "bq://research-analytics.stream.probe"}}
    deployed.owner("PATCH", path, {"streamConfigs": [other]})
    deployed.owner("PATCH", path, before)


def notify(deployed: Deployed) -> None:
    """Importing a new instance; a message that can't be sent is no error of the call, but a log entry."""
    body = {"resourceNames": ["projects/hospital-imaging"], "filter": 'logName:"pubsub"'}
    before = len(deployed.owner("POST", "v2/entries:list", body).get("entries", []))
    instance = pydicom.dcmread(str(pydicom.data.get_testdata_file("CT_small.dcm")))
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    content = io.BytesIO()
    instance.save_as(content)
    name = f"{instance.SOPInstanceUID}.dcm"
    deployed.owner.upload("hospital-dicom-inbox", name, content.getvalue())
    import_files(deployed, name)
    entries = deployed.owner("POST", "v2/entries:list", body).get("entries", [])
    if len(entries) > before:
        raise RestError(403, entries[-1]["jsonPayload"]["error"]["message"])


def keep_a_table(deployed: Deployed) -> None:
    deployed.owner("POST", TABLES, {"tableReference": {"tableId": "kept"}})
    deployed.owner("DELETE", f"{TABLES}/kept")


def keep_an_object(deployed: Deployed) -> None:
    path = "upload/storage/v1/b/hospital-dicom-out/o?uploadType=media&name=kept"
    deployed.owner("POST", path, {})


def as_owner(method: str, path: str, body: dict[str, Any] | None = None) -> Probe:
    def probe(deployed: Deployed) -> None:
        deployed.owner(method, path, body)

    return probe


def as_principal(principal: str, method: str, path: str, body: dict[str, Any] | None = None) -> Probe:
    def probe(deployed: Deployed) -> None:
        caller = Caller(deployed.emulator.url, principal)
        try:
            caller(method, path, body)
        finally:
            caller.close()

    return probe


PUBLISH = as_owner("POST", f"v1/{TOPIC}:publish", {"messages": [{"data": "aGVsbG8="}]})
PROBES: dict[str, tuple[Probe, set[str]]] = {
    "export metadata": (
        export_metadata,
        {ACTS, OPENS, TABLES_KEY, WRITES_TABLES, "agent-runs-jobs-in-research-analytics"},
    ),
    "export metadata by a job of the source project": (
        export_metadata_by_a_job_of_the_source,
        {ACTS, OPENS, TABLES_KEY, WRITES_TABLES, "agent-runs-jobs-in-hospital-imaging"},
    ),
    "export images": (export_images, {ACTS, OPENS, OBJECTS_KEY, WRITES_OBJECTS}),
    "export chosen images": (
        export_filtered,
        {ACTS, OPENS, OBJECTS_KEY, WRITES_OBJECTS, "agent-reads-hospital-filters"},
    ),
    "import": (import_files, {ACTS, OPENS, READS_INBOX}),
    "stream": (stream, {ACTS, OPENS, "agent-writes-research-analytics.stream"}),
    "notify": (notify, {ACTS, OPENS, READS_INBOX, MESSAGES_KEY, "agent-publishes-to-messages.dicom"}),
    "use the store": (as_owner("GET", f"v1/{PACS}"), {OPENS}),
    "keep a table": (keep_a_table, {TABLES_KEY}),
    "keep an object": (keep_an_object, {OBJECTS_KEY}),
    "publish a message": (PUBLISH, {MESSAGES_KEY}),
    "read as a reader": (
        as_principal(READER, "GET", f"v1/{PACS}/dicomWeb/studies?limit=1"),
        {OPENS, f"{READER}-reads-hospital-imaging.europe-west4.radiology.pacs"},
    ),
    "import as a writer": (
        as_principal(
            WRITER, "POST", f"v1/{PACS}:import", {"gcsSource": {"uri": "gs://hospital-dicom-inbox/CT_small.dcm"}}
        ),
        {ACTS, OPENS, READS_INBOX, f"{WRITER}-edits-hospital-imaging.europe-west4.radiology.pacs"},
    ),
    "list operations as an admin": (
        as_principal(ADMIN, "GET", f"v1/{DATASET}/operations"),
        {OPENS, f"{ADMIN}-manages-hospital-imaging.europe-west4.radiology"},
    ),
    "read a table as an analyst": (
        as_principal(ANALYST, "GET", f"{TABLES}/instances/data"),
        {TABLES_KEY, f"{ANALYST}-reads-research-analytics.dicom"},
    ),
}
GOOGLES_WORDS = (
    "Healthcare API doesn't have required Cloud Storage permission",
    "Cloud Healthcare Service Agent doesn't have all required permissions",
    "User does not have bigquery.jobs.create permission in project",
    "Permission bigquery.tables.create denied on dataset",
    "please add the required bigquery.dataEditor role to your project's service account",
)
# How messages call roles that they don't name by id.
TITLES = {"roles/cloudkms.cryptoKeyEncrypterDecrypter": "Cloud KMS CryptoKey Encrypter/Decrypter"}


def test_everything_can_be_done(deployed: Deployed) -> None:
    for probe, _ in PROBES.values():
        probe(deployed)


def test_no_grant_is_unnecessary() -> None:
    assert {name for _, needed in PROBES.values() for name in needed} == {grant.name for grant in GRANTS}


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: grant.name)
def test_without_a_grant_exactly_what_needs_it_fails_and_names_it(deployed: Deployed, grant: Grant) -> None:
    refused: dict[str, str] = {}
    member = change(deployed, grant, add=False)
    try:
        for name, (probe, _) in PROBES.items():
            try:
                probe(deployed)
            except RestError as error:
                refused[name] = str(error)
    finally:
        change(deployed, grant, add=True)
    assert set(refused) == {name for name, (_, needed) in PROBES.items() if grant.name in needed}
    for text in refused.values():
        if isinstance(grant.member, Agent):
            # Google's own texts about the Healthcare agent name neither its e-mail nor, but for one, a role.
            if not any(words in text for words in GOOGLES_WORDS):
                assert member.partition(":")[2] in text
                assert grant.role.removeprefix("roles/") in text or TITLES[grant.role] in text
        else:
            # A refused caller hears of the permission and the resource, not of roles.
            assert "ermission" in text
            assert grant.target.name.rpartition("/")[2] in text


# APIs


# What uses each API in each project. Resource Manager and Service Usage can always be reached: they enable the others.
USES: dict[tuple[str, str], Probe] = {
    ("hospital-imaging", "healthcare"): as_owner("GET", f"v1/{PACS}"),
    ("hospital-imaging", "bigquery"): export_metadata_by_a_job_of_the_source,
    ("hospital-imaging", "logging"): as_owner(
        "POST", "v2/entries:list", {"resourceNames": ["projects/hospital-imaging"]}
    ),
    ("research-analytics", "bigquery"): export_metadata,
    ("storage-project", "storage"): export_images,
    ("messages", "pubsub"): PUBLISH,
    ("keys-project", "cloudkms"): as_owner("GET", f"v1/{KEY}:getIamPolicy"),
}
ALWAYS = {"cloudresourcemanager", "serviceusage"}


def test_no_api_is_enabled_that_nothing_uses() -> None:
    enabled = {(project, api) for project, apis in apis_by_project(PARSED).items() for api in apis}
    assert {each for each in enabled if each[1] not in ALWAYS} == set(USES)


@pytest.mark.parametrize(("project", "api"), USES, ids=lambda text: text)
def test_without_an_api_what_uses_it_fails_and_names_it(deployed: Deployed, project: str, api: str) -> None:
    service = f"v1/projects/{project}/services/{api}.googleapis.com"
    deployed.owner("POST", f"{service}:disable", {"disableDependentServices": True})
    try:
        with pytest.raises(RestError, match=f"API has not been used in project {project} before or it is disabled"):
            USES[project, api](deployed)
    finally:
        deployed.owner("POST", f"{service}:enable", {})
    USES[project, api](deployed)


# Changes by hand


def change(deployed: Deployed, grant: Grant, *, add: bool) -> str:
    """Add or remove one member by hand. Returns the member."""
    owner, target = deployed.owner, grant.target
    if isinstance(grant.member, Agent):
        number = owner("GET", f"v1/projects/{grant.member.project}")["projectNumber"]
        member = f"serviceAccount:{grant.member.email(number)}"
    else:
        member = grant.member
    if target.on is On.BIGQUERY_DATASET:
        _change_access(owner, target.project or "", target.name, grant.role, member, add=add)
        return member
    policy = read_policy(owner, target.on, target.name)
    bindings = {each["role"]: set(each["members"]) for each in policy.get("bindings", [])}
    members = bindings.setdefault(grant.role, set())
    (members.add if add else members.discard)(member)
    policy["bindings"] = [{"role": role, "members": sorted(each)} for role, each in bindings.items() if each]
    write_policy(owner, target.on, target.name, policy)
    return member


def read_policy(owner: Caller, on: On, name: str) -> dict[str, Any]:
    if on is On.BUCKET:
        return owner("GET", f"storage/v1/b/{urllib.parse.quote(name)}/iam")
    if on is On.PROJECT:
        return owner("POST", f"v1/projects/{name}:getIamPolicy", {})
    return owner("GET", f"v1/{name}:getIamPolicy")


def write_policy(owner: Caller, on: On, name: str, policy: dict[str, Any]) -> None:
    if on is On.BUCKET:
        owner("PUT", f"storage/v1/b/{urllib.parse.quote(name)}/iam", policy)
    else:
        full_name = f"projects/{name}" if on is On.PROJECT else name
        owner("POST", f"v1/{full_name}:setIamPolicy", {"policy": policy})


def _change_access(owner: Caller, project: str, dataset: str, role: str, member: str, *, add: bool) -> None:
    path = f"bigquery/v2/projects/{project}/datasets/{dataset}"
    email = member.partition(":")[2]
    entries = [each for each in owner("GET", path)["access"] if each.get("userByEmail") != email]
    if add:
        entries.append({"role": role, "userByEmail": email})
    owner("PATCH", path, {"access": entries})
