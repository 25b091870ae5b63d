"""How the code's rooms use each other: no circles, and nothing imports upwards.

Imports inside functions and those for type checking alone count too: they only hide a circle from Python.
"""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What may use what: each line may use those below it, in its own package and in the packages that `USES` names; rooms
#: of one line may use each other. A module belongs to the longest name that it starts with.
FLOORS: dict[str, tuple[str, ...]] = {
    "components": (
        "components.package.__main__",
        "components",
        "components.package",
        "components.stack",
        "components.settings_docs",
        "components.runs",
        "components.resources",
        "components.access",
        "components.provider",
        "components.base",
        "components.settings",
        "components.base.secrets components.base.internals",
    ),
    "operations": (
        "operations",
        "operations.command_line",
        "operations.run",
        "operations.google",
        "operations.model",
    ),
    "emulator": (
        "emulator",
        "emulator.server",
        "emulator.console",
        "emulator.healthcare",
        # Jobs run statements; statements make tables and datasets as the methods do; views are compiled queries.
        "emulator.bigquery",
        "emulator.bigquery.jobs emulator.bigquery.uploads",
        "emulator.bigquery.queries emulator.bigquery.result_cache",
        "emulator.bigquery.statements",
        "emulator.bigquery.tabledata emulator.bigquery.tables emulator.bigquery.datasets",
        "emulator.bigquery.loads emulator.bigquery.copies emulator.bigquery.extracts emulator.bigquery.work",
        "emulator.bigquery.views emulator.bigquery.plans emulator.bigquery.output",
        "emulator.bigquery.session",
        "emulator.bigquery.information_schema emulator.bigquery.wildcards emulator.bigquery.parameters",
        "emulator.bigquery.sql",
        "emulator.bigquery.service emulator.bigquery.writing emulator.bigquery.pages emulator.bigquery.parquet",
        "emulator.bigquery.catalog emulator.bigquery.access emulator.bigquery.encryption emulator.bigquery.rows",
        "emulator.bigquery.engine emulator.bigquery.encode",
        "emulator.bigquery.natives emulator.bigquery.types emulator.bigquery.names",
        "emulator.storage",
        "emulator.cloud",
        "emulator.http",
        # What everything of one emulator hangs on has the policies too; they know only state, clock and projects.
        "emulator.core.runtime",
        "emulator.iam",
        "emulator.core",
    ),
    "engine": ("engine",),
    "queries": ("queries",),
}
#: What a package may use beside itself. The emulator uses nothing: it is a second opinion on what Google's APIs are.
USES: dict[str, tuple[str, ...]] = {
    "components": ("operations",),
    "operations": (),
    "emulator": (),
    "engine": (),
    "queries": ("operations",),
}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the packages below a directory, by its name."""
    found = {}
    for package in FLOORS:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> dict[str, int]:
    """The modules that a module imports, wherever it does, with a line that does."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            wanted = [one if (one := f"{base}.{alias.name}") in known else base for alias in node.names]
        else:
            continue
        found.update({one: node.lineno for one in wanted if one in known and one != name})
    return found


def graph(root: Path) -> dict[str, dict[str, int]]:
    """The imports of every module."""
    known = modules(root)
    return {name: imports(name, path, known) for name, path in known.items()}


def circle(found: dict[str, dict[str, int]]) -> list[str]:
    """A circle of imports; empty if there is none."""
    try:
        graphlib.TopologicalSorter(found).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def floor(name: str) -> int:
    """On which floor a module stands; 0 is the highest of its package."""
    floors = FLOORS[name.partition(".")[0]]
    fitting = [
        (len(room), index)
        for index, rooms in enumerate(floors)
        for room in rooms.split()
        if name == room or name.startswith(f"{room}.")
    ]
    return max(fitting)[1]


def upwards(found: dict[str, dict[str, int]]) -> list[str]:
    """The imports that go to a higher floor, or to a package that is not to be used."""
    wrong = []
    for name, targets in found.items():
        package = name.partition(".")[0]
        for target, line in targets.items():
            other = target.partition(".")[0]
            if floor(target) < floor(name) if other == package else other not in USES[package]:
                wrong.append(f"{name}:{line} imports {target}")
    return sorted(wrong)


def test_no_module_imports_itself_over_others() -> None:
    found = graph(ROOT)
    assert len(found) > 200
    assert circle(found) == []


def test_nothing_imports_upwards() -> None:
    assert upwards(graph(ROOT)) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from ..server import app\n", "emulator.core.state:1 imports emulator.server.app"),
        ("def late():\n    from emulator.http import call\n", "emulator.core.state:2 imports emulator.http.call"),
        ("if TYPE_CHECKING:\n    import emulator.iam\n", "emulator.core.state:2 imports emulator.iam"),
        ("import operations.model\n", "emulator.core.state:1 imports operations.model"),
        ("from operations import model\n", "emulator.core.state:1 imports operations.model"),
    ],
)
def test_an_import_upwards_is_seen_wherever_it_hides(tmp_path: Path, text: str, shown: str) -> None:
    for name in ("emulator/core/state", "emulator/server/app", "emulator/http/call", "emulator/iam/__init__"):
        _write(tmp_path, name)
    _write(tmp_path, "operations/model/__init__")
    _write(tmp_path, "emulator/core/state", text)
    assert upwards(graph(tmp_path)) == [shown]


def test_a_circle_is_seen_wherever_it_hides(tmp_path: Path) -> None:
    _write(tmp_path, "engine/a", "from . import b\n")
    _write(tmp_path, "engine/b", "if TYPE_CHECKING:\n    from engine.c import C\n")
    _write(tmp_path, "engine/c", "def late():\n    import engine.a\n")
    assert set(circle(graph(tmp_path))) == {"engine.a", "engine.b", "engine.c"}


def _write(root: Path, name: str, text: str = "") -> None:
    path = root / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
