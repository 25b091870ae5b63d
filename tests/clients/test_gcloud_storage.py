"""``gcloud storage`` against the emulator, with the environment that the emulator gives."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.core.environment import environment
from emulator.server.server import LocalEmulator

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed"),
]

Gcloud = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: gcloud takes a second longer in an empty one."""
    return tmp_path_factory.mktemp("gcloud")


@pytest.fixture
def gcloud(emulator: LocalEmulator, configuration: Path) -> Gcloud:
    settings = {
        **os.environ,
        **environment(emulator.url),
        "CLOUDSDK_CONFIG": str(configuration),
        "CLOUDSDK_CORE_PROJECT": "hospital-imaging",
        "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_ENABLED": "True",
        "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_THRESHOLD": "12M",
        "CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_COMPONENT_SIZE": "6M",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["gcloud", "storage", *arguments]
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)

    return run


def well(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_what_can_not_be_is_said_and_fails(gcloud: Gcloud) -> None:
    well(gcloud("buckets", "create", "gs://inbox-1"))
    again = gcloud("buckets", "create", "gs://inbox-1")
    assert again.returncode == 1
    assert "you already own it" in again.stderr
    missing = gcloud("cat", "gs://inbox-1/missing.dcm")
    assert missing.returncode == 1
    assert "matched no objects" in missing.stderr
    nowhere = gcloud("cp", "gs://nowhere-1/x", ".")
    assert nowhere.returncode == 1


@pytest.mark.parametrize(
    ("size", "methods"),
    [
        (6, {"storage.objects.insert"}),  # in parts
        (9_000_000, {"storage.objects.insert"}),  # resumable
        (13_000_000, {"storage.objects.insert", "storage.objects.compose"}),  # several at once, joined
    ],
)
def test_files_go_in_and_come_out(
    emulator: LocalEmulator, gcloud: Gcloud, tmp_path: Path, size: int, methods: set[str]
) -> None:
    sent, got = tmp_path / "sent.dcm", tmp_path / "got.dcm"
    sent.write_bytes((bytes(range(251)) * (size // 251 + 1))[:size])
    well(gcloud("buckets", "create", "gs://inbox-1", "--location=EU", "--uniform-bucket-level-access"))
    well(gcloud("cp", str(sent), "gs://inbox-1/2024/ä 1.dcm"))
    well(gcloud("cp", "gs://inbox-1/2024/ä 1.dcm", str(got)))
    assert got.read_bytes() == sent.read_bytes()
    called = {call["method"] for call in emulator.control("GET", "requests")["requests"]}
    assert methods <= called


def test_trees_are_listed_copied_and_removed(gcloud: Gcloud, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "1.txt").write_text("one")
    (tree / "sub" / "2.txt").write_text("two")
    well(gcloud("buckets", "create", "gs://inbox-1"))
    well(gcloud("cp", "-r", str(tree), "gs://inbox-1/"))
    assert well(gcloud("ls", "gs://inbox-1/tree/")).split() == ["gs://inbox-1/tree/1.txt", "gs://inbox-1/tree/sub/"]
    assert well(gcloud("cat", "gs://inbox-1/tree/**")) == "onetwo"
    well(gcloud("mv", "gs://inbox-1/tree/1.txt", "gs://inbox-1/moved.txt"))
    assert well(gcloud("ls", "gs://inbox-1/**")).split() == ["gs://inbox-1/moved.txt", "gs://inbox-1/tree/sub/2.txt"]
    well(gcloud("rm", "-r", "gs://inbox-1"))
    assert gcloud("ls", "gs://inbox-1").returncode == 1


def test_policies_and_labels_of_buckets(gcloud: Gcloud) -> None:
    well(gcloud("buckets", "create", "gs://inbox-1"))
    member, role = "--member=user:alice@example.org", "--role=roles/storage.objectViewer"
    assert "user:alice@example.org" in well(gcloud("buckets", "add-iam-policy-binding", "gs://inbox-1", member, role))
    well(gcloud("buckets", "update", "gs://inbox-1", "--update-labels=team=radiology"))
    shown = well(gcloud("buckets", "describe", "gs://inbox-1", "--format=value(labels.team,location)"))
    assert shown.split() == ["radiology", "US"]


# What a person types in a row, and a part of what gcloud answers; each command works on what those before it left.
SESSION: list[tuple[tuple[str, ...], str]] = [
    (("rsync", "-r", "{folder}/tree", "gs://inbox-1/copy"), ""),
    (("ls", "-l", "gs://inbox-1/copy/**"), "TOTAL: 2 objects, 6 bytes"),
    (("objects", "update", "gs://inbox-1/copy/1.txt", "--custom-metadata=a=b", "--storage-class=NEARLINE"), ""),
    (
        ("objects", "describe", "gs://inbox-1/copy/1.txt", "--format=value(storage_class,custom_fields.a)"),
        "NEARLINE\tb",
    ),
    (("objects", "compose", "gs://inbox-1/copy/1.txt", "gs://inbox-1/copy/sub/2.txt", "gs://inbox-1/both.txt"), ""),
    (("cat", "gs://inbox-1/both.txt"), "onetwo"),
    (("cp", "{folder}/tree/1.txt", "gs://inbox-1/new.txt", "--if-generation-match=0"), ""),
    (("buckets", "update", "gs://inbox-1", "--versioning", "--soft-delete-duration=0"), ""),
    (("buckets", "describe", "gs://inbox-1", "--format=value(versioning_enabled)"), "True"),
    (("rsync", "-r", "gs://inbox-1/copy", "{folder}/back", "--delete-unmatched-destination-objects"), ""),
    (("rm", "gs://inbox-1/copy/**"), ""),
]


def test_a_row_of_commands_does_what_it_says(gcloud: Gcloud, tmp_path: Path) -> None:
    for name, content in (("tree/1.txt", "one"), ("tree/sub/2.txt", "two"), ("back/old.txt", "old")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    well(gcloud("buckets", "create", "gs://inbox-1"))
    for command, expected in SESSION:
        said = well(gcloud(*(part.replace("{folder}", str(tmp_path)) for part in command)))
        assert expected in said, command
    back = {str(path.relative_to(tmp_path / "back")) for path in (tmp_path / "back").rglob("*.txt")}
    assert back == {"1.txt", "sub/2.txt"}
    again = gcloud("cp", str(tmp_path / "tree/1.txt"), "gs://inbox-1/new.txt", "--if-generation-match=0")
    assert again.returncode == 1
    assert "At least one of the pre-conditions you specified did not hold" in again.stderr
    assert well(gcloud("ls", "gs://inbox-1/**")).split() == ["gs://inbox-1/both.txt", "gs://inbox-1/new.txt"]
