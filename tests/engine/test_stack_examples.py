"""The example program, with this project as an installed library: a wheel in a virtual environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import ROOT, Stack
from tests.engine.stack_runner import rest as call

pytestmark = pytest.mark.engine

# What a build reads; built elsewhere, it leaves nothing behind in the checkout.
SOURCES = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "components", "operations", "queries")
# Says what a program of one's own needs: the components, their files, and type information for its editor.
USE = """
import components, operations
from importlib.metadata import version
from pathlib import Path
from components import DicomExport, DicomStore
from components.resources.reference_queries import VIEWS, load_query
for view in VIEWS:
    assert "SELECT" in load_query(f"views/{view}", "bq://project-id.dataset.table")
assert "SELECT" in load_query("patient_images", "bq://project-id.dataset.table")
assert all((Path(each.__file__).parent / "py.typed").exists() for each in (components, operations))
print(version("imaging"), components.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(source))
    (built,) = target.glob("imaging-*.whl")
    return built


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)


def install(wheel: Path, folder: Path) -> Path:
    """A new virtual environment with the wheel in it. Other packages come from this one, as if they were installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", str(wheel))
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def test_the_wheel_holds_what_a_program_imports_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"components", "operations", "queries"}
    expected = {
        str(file.relative_to(ROOT))
        for folder in ("components", "operations", "queries")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".sql", ".typed") and "package" not in file.relative_to(ROOT).parts
    }
    assert names == expected


def test_an_installed_library_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    python = install(wheel, tmp_path / "venv")
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    said = subprocess.run(
        [str(python), "-c", USE], cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.split()[0] == "0.1.0"
    assert str(tmp_path) in said.stdout


def test_two_hospitals_export_into_one_table(wheel: Path, tmp_path: Path, emulator: LocalEmulator) -> None:
    for hospital, file in (("hospital-a", "CT_small.dcm"), ("hospital-b", "MR_small.dcm")):
        call(emulator, "POST", f"storage/v1/b?project={hospital}", {"name": f"{hospital}-inbox"})
        data = Path(str(pydicom.data.get_testdata_file(file))).read_bytes()
        call(emulator, "POST", f"upload/storage/v1/b/{hospital}-inbox/o?uploadType=media&name={file}", data)
    config: dict[str, Any] = {
        "two-hospitals:hospitals": ["hospital-a", "hospital-b"],
        "two-hospitals:research": "research-analytics",
        "two-hospitals:endpoint": emulator.url,
    }
    stack = Stack(tmp_path, config, program=ROOT / "examples" / "two_hospitals", environment={"PYTHONPATH": ""})
    install(wheel, stack.project / "venv")
    stack.up()
    assert stack.outputs()["rows"] == {"hospital-a": 1, "hospital-b": 2}
    assert stack.preview() == {}
    stack.destroy()
    assert stack.resources() == {}
