"""The component package in programs of other languages: YAML run by Pulumi's own host, TypeScript checked by `tsc`.

Where Pulumi came without its YAML host, the host is built from its Go module, once, into `.local/languages`. The Node
host can't be built from one, so Pulumi's code generator writes the SDK, and the example is type-checked against it.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import engine
from emulator.core.environment import environment
from emulator.server.server import LocalEmulator

pytestmark = pytest.mark.engine
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEPT = ROOT / ".local" / "languages"
EXAMPLES = ROOT / "examples"
PACKAGE = ROOT / "components" / "package"
YAML_HOST = HERE / "yaml_host"
SDK_WRITER = HERE / "typescript" / "typescript_sdk.go"

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: it builds the writer of the SDK")
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="Node is not installed: it type-checks TypeScript")


def run(command: Sequence[str], folder: Path, *, input_text: str | None = None, **variables: str) -> str:
    """What a command prints; a failure shows all of it."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        input=input_text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pulumi(folder: Path, *arguments: str, **variables: str) -> str:
    engine.ensure()
    backend = {"PULUMI_BACKEND_URL": f"file://{folder}", "PULUMI_CONFIG_PASSPHRASE": "test"}
    return run(["pulumi", *arguments], folder, **{**engine.environment(), **backend, **variables})


@pytest.fixture(scope="module")
def yaml_host() -> Path:
    """The folder of `pulumi-language-yaml`: Pulumi's own, else a build of what tests/engine/yaml_host pins."""
    engine.ensure()
    if found := shutil.which("pulumi-language-yaml", path=engine.environment()["PATH"]):
        return Path(found).parent
    if shutil.which("go") is None:
        pytest.skip("neither Pulumi's YAML host nor Go, which builds it, is installed")
    digest = hashlib.sha256((YAML_HOST / "go.mod").read_bytes() + (YAML_HOST / "go.sum").read_bytes()).hexdigest()
    folder = KEPT / f"yaml-{digest[:12]}"
    program = folder / "pulumi-language-yaml"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source = "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"
        flags = ["-mod=readonly", "-trimpath", "-tags=osusergo,grpcnotrace"]
        unfinished = folder / f"unfinished-{os.getpid()}"
        run(["go", "build", *flags, "-o", str(unfinished), source], YAML_HOST, CGO_ENABLED="0")
        unfinished.rename(program)
    return folder


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TypeScript SDK of the component package, as sources."""
    schema = pulumi(tmp_path_factory.mktemp("schema"), "package", "get-schema", str(PACKAGE))
    folder = tmp_path_factory.mktemp("sdk")
    flags = ["-mod=readonly", "-trimpath", "-tags=osusergo,grpcnotrace"]
    run(
        ["go", "run", *flags, str(SDK_WRITER), str(folder)], ROOT / "engine" / "cli", input_text=schema, CGO_ENABLED="0"
    )
    return folder


@pytest.fixture(scope="module")
def node_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that the example in TypeScript names, installed once for each content of its package.json."""
    manifest = (EXAMPLES / "typescript_program" / "package.json").read_bytes()
    folder = KEPT / f"node-{hashlib.sha256(manifest).hexdigest()[:12]}"
    if not folder.exists():
        unfinished = tmp_path_factory.mktemp("node")
        (unfinished / "package.json").write_bytes(manifest)
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], unfinished)
        KEPT.mkdir(parents=True, exist_ok=True)
        shutil.move(unfinished, folder)
    return folder / "node_modules"


def type_errors(folder: Path, program: str, sdk: Path, node_packages: Path) -> str:
    """What `tsc` says of a program that uses the SDK."""
    folder.mkdir()
    (folder / "index.ts").write_text(program, encoding="utf-8")
    shutil.copy(EXAMPLES / "typescript_program" / "tsconfig.json", folder)
    packages = folder / "node_modules"
    shutil.copytree(node_packages, packages, symlinks=True)
    shutil.copytree(sdk, packages / "@pulumi" / "imaging")
    command = [str(packages / ".bin" / "tsc"), "--project", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@needs_go
@needs_node
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("writeDisposition:", "writeDispositon:", "'writeDispositon' does not exist in type 'DicomExportArgs'"),
        ("store: store.storeId, uri:", "uri:", "Property 'store' is missing"),
        ("allowedFailures: 10", 'allowedFailures: "ten"', "Type 'string' is not assignable to type 'number'"),
        ("dataset.datasetId", "dataset.datasetName", "Property 'datasetName' does not exist"),
    ],
)
def test_a_mistake_in_a_program_in_typescript_is_found_by_the_types(
    old: str, new: str, problem: str, sdk: Path, node_packages: Path, tmp_path: Path
) -> None:
    program = (EXAMPLES / "typescript_program" / "index.ts").read_text(encoding="utf-8")
    assert old in program
    assert problem in type_errors(tmp_path / "program", program.replace(old, new), sdk, node_packages)


@needs_go
@needs_node
def test_the_example_in_typescript_has_the_right_types(sdk: Path, node_packages: Path, tmp_path: Path) -> None:
    program = (EXAMPLES / "typescript_program" / "index.ts").read_text(encoding="utf-8")
    assert type_errors(tmp_path / "program", program, sdk, node_packages) == ""


def test_the_example_in_yaml_comes_up_and_a_second_up_changes_nothing(
    yaml_host: Path, emulator: LocalEmulator, tmp_path: Path
) -> None:
    text = (EXAMPLES / "yaml_program" / "Pulumi.yaml").read_text(encoding="utf-8")
    (tmp_path / "Pulumi.yaml").write_text(text.replace("../../components/package", str(PACKAGE)), encoding="utf-8")
    variables = {
        **environment(emulator.url),
        "PATH": os.pathsep.join([engine.environment()["PATH"], str(yaml_host)]),
    }
    pulumi(tmp_path, "stack", "init", "test", "--non-interactive", **variables)
    pulumi(tmp_path, "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "test", **variables)
    outputs = json.loads(pulumi(tmp_path, "stack", "output", "--json", "--stack", "test", **variables))
    name = "projects/hospital-imaging/locations/europe-west4/datasets/radiology/dicomStores/pacs"
    assert outputs == {"store": name}
    pulumi(tmp_path, "preview", "--expect-no-changes", "--non-interactive", "--stack", "test", **variables)
