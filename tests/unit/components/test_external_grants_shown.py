"""What the commands for grants of others show, of encrypted settings and of conditions."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.access.encrypted import Encrypted
from components.access.external import Missing, command_for, render
from components.access.grants import Grant, grants_for
from components.access.rules import On
from components.settings import Settings, settings_from
from components.settings.origin import Origin
from components.settings.origin import Path as Key

RAW: dict[str, Any] = {
    "project": "hospital-imaging",
    "location": "europe-west4",
    "dataset": {"name": "radiology"},
    "stores": [{"name": "pacs", "streams": [{"table": "bq://zlab.zdata.zstream"}]}, {"name": "open"}],
    "bigquery": [{"name": "analysis", "readers": ["group:zdoe@example.org"]}],
    "buckets": [
        {"name": "zbucket", "project": "zproject", "kmsKey": "projects/zk/locations/eu/keyRings/r/cryptoKeys/k"}
    ],
    "imports": [{"name": "archive", "store": "open", "from": "gs://inbox-bucket/**"}],
    "exports": [{"name": "m", "store": "pacs", "to": "bq://zlab.zother.zhidden", "writeDisposition": "WRITE_TRUNCATE"}],
    "roles": {"readObjects": "projects/hospital-imaging/roles/zrole"},
    "grants": "external",
}
MEMBER = "serviceAccount:service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"


def shown(*encrypted: Key, unknown: str = "", raw: dict[str, Any] = RAW) -> str:
    wanted = settings_from(raw).of(Origin("o/p/s", frozenset(encrypted)))
    missing = []
    for grant in grants_for(wanted):
        member = grant.member if isinstance(grant.member, str) else MEMBER
        reason = unknown and f"{unknown} {grant.target.name}"
        missing.append(Missing(grant, member, command_for(grant, member), reason))
    return render(missing, Encrypted(wanted))


@pytest.mark.parametrize("unknown", ["", "Not found:"])
@pytest.mark.parametrize(
    ("key", "hidden", "named"),
    [
        (("stores", 0, "streams", 0, "table"), ["zstream", "zdata"], "imaging:stores[0]"),
        (("exports", 0, "to"), ["zhidden", "zother"], "imaging:exports[0]"),
        (("bigquery", 0, "readers", 0), ["zdoe"], "imaging:bigquery[0].readers"),
        (("buckets", 0, "project"), ["zproject", "--project=zk", "zbucket"], "imaging:buckets[0]"),
        (("roles", "readObjects"), ["zrole"], "imaging:roles"),
        (("exports",), ["zhidden", "zother"], "imaging:exports[0]"),
    ],
)
def test_no_encrypted_setting_is_in_the_commands(unknown: str, key: Key, hidden: list[str], named: str) -> None:
    in_clear = shown(unknown=unknown)
    assert [text for text in hidden if text not in in_clear] == []
    said = shown(key, unknown=unknown)
    assert [text for text in hidden if text in said] == []
    assert f"pulumi config get --path {shlex.quote(named)}" in said
    # What others need is still a command, as is the agent's own role.
    assert "roles/healthcare.serviceAgent" in said
    assert "inbox-bucket" in said or key[0] == "roles"
    assert said.splitlines()[0] == in_clear.splitlines()[0], "as many are counted"


def test_a_grant_that_a_setting_in_clear_needs_too_is_a_command_without_the_secret_reason() -> None:
    second = {"name": "zsecond", "store": "open", "from": "gs://inbox-bucket/zfolder/**"}
    raw = {**RAW, "imports": [*RAW["imports"], second], "roles": {}}
    said = shown(("imports", 1), raw=raw)
    assert "gs://inbox-bucket" in said
    assert "# needed for imaging:imports[0], imaging:imports[1]" in said
    assert "zsecond" not in said


def conditional(expression: str, member: str = "group:doctors@example.org") -> Settings:
    condition = {"title": "for a while", "expression": expression, "description": "until it's over"}
    reader = {"member": member, "condition": condition}
    return settings_from({**RAW, "bigquery": [{"name": "analysis", "readers": [reader]}]})


def the_grant(wanted: Settings) -> Grant:
    [grant] = [each for each in grants_for(wanted) if each.condition]
    return grant


CURL = """#!{python}
import pathlib, sys
here = pathlib.Path(__file__).parent
assert "Authorization: Bearer a-token" in sys.argv, sys.argv
assert [a for a in sys.argv if a.startswith("https://")] == [
    "https://bigquery.googleapis.com/bigquery/v2/projects/hospital-imaging/datasets/analysis?accessPolicyVersion=3"
]
if "PATCH" in sys.argv:
    (here / "sent").write_text(sys.argv[sys.argv.index("-d") + 1])
else:
    print((here / "answer").read_text())
    sys.exit((here / "answer").read_text().startswith('{{"error"') and 22)
"""


@pytest.mark.skipif(shutil.which("jq") is None, reason="the command needs jq")
@pytest.mark.parametrize(
    ("member", "entry"),
    [
        ("group:doctors@example.org", {"groupByEmail": "doctors@example.org"}),
        ("user:o'hara@example.org", {"userByEmail": "o'hara@example.org"}),
        ("serviceAccount:a@p.iam.gserviceaccount.com", {"userByEmail": "a@p.iam.gserviceaccount.com"}),
        ("domain:example.org", {"domain": "example.org"}),
        (
            "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s",
            {"iamMember": "principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s"},
        ),
    ],
)
def test_a_condition_on_a_dataset_is_kept_and_other_grants_stay(
    tmp_path: Path, member: str, entry: dict[str, str]
) -> None:
    expression = "request.time < timestamp('2027-01-01T00:00:00Z') || resource.name == \"a$b\""
    grant = the_grant(conditional(expression, member))
    command = command_for(grant, member)
    assert "GRANT " not in command, "a grant in SQL has no condition, and gives more than asked"
    curl, gcloud = tmp_path / "curl", tmp_path / "gcloud"
    curl.write_text(CURL.format(python=shutil.which("python3")))
    gcloud.write_text("#!/bin/sh\necho a-token\n")
    for each in (curl, gcloud):
        each.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    def run() -> int:
        return subprocess.run(["sh", "-c", command], env={"PATH": path}, check=False, capture_output=True).returncode

    (tmp_path / "answer").write_text('{"error": {"code": 403}}')
    assert run() != 0
    assert not (tmp_path / "sent").exists(), "without an answer, what others granted would be lost"

    there = [{"role": "OWNER", "specialGroup": "projectOwners"}, {"view": {"tableId": "v"}}]
    (tmp_path / "answer").write_text(json.dumps({"access": there, "etag": "e"}))
    assert run() == 0
    condition = {"title": "for a while", "expression": expression, "description": "until it's over"}
    added = {"role": "roles/bigquery.dataViewer", **entry, "condition": condition}
    assert json.loads((tmp_path / "sent").read_text()) == {"access": [*there, added]}


@pytest.mark.parametrize("expression", ["a < b", "a || b", "a || b # c ~ d ; e % f", "a | b # ~ ; % @@ @"])
def test_no_expression_ends_at_its_own_letters(expression: str) -> None:
    reader = {"member": "user:a@example.org", "condition": {"title": "t", "expression": expression}}
    wanted = settings_from({**RAW, "dataset": {"name": "radiology", "readers": [reader]}})
    grant = the_grant(wanted)
    assert grant.target.on is On.HEALTHCARE_DATASET
    [given] = [each for each in shlex.split(command_for(grant, "user:a@example.org")) if "--condition" in each]
    # https://cloud.google.com/sdk/gcloud/reference/topic/escaping
    _, delimiter, texts = given.split("^", 2)
    assert texts.split(delimiter) == ["title=t", f"expression={expression}"]
