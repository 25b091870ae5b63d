"""Programs under the stand-in language host and dynamic provider, with the real CLI: what is shown, and how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.engine.small_program import SmallProgram

pytestmark = pytest.mark.engine

EMPTY = "import pulumi\n"

SLEEPER = """
import pulumi, time
from pulumi.dynamic import CreateResult, Resource, ResourceProvider

class Sleeps(ResourceProvider):
    def create(self, props):
        open("started", "w").write(str(__import__("os").getpid()))
        time.sleep(600)
        return CreateResult("never", {})

class Sleeper(Resource):
    def __init__(self, name):
        super().__init__(Sleeps(), name, {})

Sleeper("sleeper")
"""


def _processes(folder: Path) -> list[str]:
    """The command lines of processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").resolve() == folder.resolve() and "\nState:\tZ" not in (
                process / "status"
            ).read_text():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def _wait_until_gone(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while _processes(folder):
        assert time.monotonic() < deadline, f"still there: {_processes(folder)}"
        time.sleep(0.05)


def _start_sleeping(program: SmallProgram) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color", "never"],
        cwd=program.folder,
        env=program.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (program.folder / "started").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_an_interrupted_update_ends_without_a_traceback_and_leaves_no_process(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path, program=SLEEPER)
    process = _start_sleeping(program)
    # As a terminal does it: everything in the foreground group hears it; the second time the engine stops waiting.
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said
    _wait_until_gone(program.folder)


def test_plugins_of_a_killed_engine_end_by_themselves(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path, program=SLEEPER)
    process = _start_sleeping(program)
    process.kill()
    process.communicate(timeout=60)
    _wait_until_gone(program.folder)


def test_an_exception_shows_the_programs_own_lines_only(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path, program="def deeper():\n    raise ValueError('no such store')\n\ndeeper()\n")
    said = program.up(fails=True)
    assert "ValueError: no such store" in said
    assert f'File "{program.folder}/__main__.py", line 2, in deeper' in said
    assert "engine/plugins" not in said
    assert "runpy" not in said
    assert "exited with non-zero" not in said


def test_a_refusal_of_the_program_is_shown_without_a_traceback(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path, program="import pulumi\nraise pulumi.RunError('imaging:location is missing')\n")
    said = program.up(fails=True)
    assert "error: imaging:location is missing" in said
    assert "Traceback" not in said


def test_a_program_that_has_said_what_is_wrong_ends_quietly(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path, program="import sys, pulumi\npulumi.log.error('two problems')\nsys.exit(32)\n")
    said = program.up(fails=True)
    assert "two problems" in said
    assert "exited with" not in said


@pytest.mark.parametrize("code", [1, 7])
def test_a_program_that_ends_early_is_named_with_its_exit_code(tmp_path: Path, code: int) -> None:
    program = SmallProgram(tmp_path, program=f"import os\nos._exit({code})\n")
    assert f"Program exited with non-zero exit code: {code}" in program.up(fails=True)


def test_a_folder_without_a_program_says_so(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path)
    (program.folder / "__main__.py").unlink()
    assert "__main__.py" in program.up(fails=True)


def test_what_a_program_prints_is_shown_and_its_configuration_and_outputs_work(tmp_path: Path) -> None:
    program = SmallProgram(
        tmp_path,
        program=(
            "import sys, pulumi\n"
            "config = pulumi.Config()\n"
            "print('printed', config.require('name'))\n"
            "pulumi.export('secret', config.require_secret('token'))\n"
            "pulumi.export('list', config.require_object('list'))\n"
            "pulumi.export('stack', pulumi.get_stack())\n"
            "pulumi.export('organization', pulumi.get_organization())\n"
            "pulumi.export('path', sys.path[0])\n"
        ),
    )
    program.pulumi("config", "set", "name", "radiology")
    program.pulumi("config", "set", "token", "hidden", "--secret")
    program.pulumi("config", "set", "--path", "list[0]", "a")
    said = program.up()
    assert "printed radiology" in said
    assert "hidden" not in said
    outputs = program.pulumi("stack", "output", "--json")
    assert '"list": [' in outputs
    assert '"stack": "test"' in outputs
    assert '"organization": "organization"' in outputs
    assert f'"path": "{program.folder}"' in outputs
    assert "using" not in said, "a warning about plugins on PATH"


def test_a_dynamic_resource_finds_modules_beside_the_program_and_keeps_its_state(tmp_path: Path) -> None:
    program = SmallProgram(
        tmp_path,
        program=(
            "import pulumi\n"
            "from beside import Counter\n"
            "pulumi.export('made', Counter('counter', pulumi.Config().get('step') or 'one').made)\n"
        ),
    )
    (program.folder / "beside.py").write_text(
        "from pulumi import Output\n"
        "from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult\n"
        "class Provider(ResourceProvider):\n"
        "    def create(self, props):\n"
        "        return CreateResult('c', {**props, 'made': 'created ' + props['step']})\n"
        "    def diff(self, id_, olds, news):\n"
        "        return DiffResult(changes=olds['step'] != news['step'])\n"
        "    def update(self, id_, olds, news):\n"
        "        return UpdateResult({**news, 'made': 'updated ' + news['step']})\n"
        "class Counter(Resource):\n"
        "    made: Output[str]\n"
        "    def __init__(self, name, step):\n"
        "        super().__init__(Provider(), name, {'step': step, 'made': None})\n"
    )
    program.up()
    assert program.planned() == {}
    program.pulumi("config", "set", "step", "two")
    assert program.planned() == {"counter": "update"}
    program.up()
    assert program.state()["counter"]["outputs"]["made"] == "updated two"
    program.pulumi("destroy", "--yes", "--skip-preview")
    assert program.state() == {}


def test_a_component_of_a_python_plugin_is_run_by_the_language_host(tmp_path: Path) -> None:
    program = SmallProgram(
        tmp_path,
        program=(
            "import pulumi\n"
            "class Remote(pulumi.ComponentResource):\n"
            "    greeting: pulumi.Output[str]\n"
            "    def __init__(self, name):\n"
            "        props = {'name': 'radiology', 'greeting': None}\n"
            "        super().__init__('greeter:index:Greeter', name, props, None, True)\n"
            "pulumi.export('greeting', Remote('remote').greeting)\n"
        ),
    )
    plugin = tmp_path / "greeter"
    plugin.mkdir()
    (plugin / "PulumiPlugin.yaml").write_text("runtime: python\n")
    (plugin / "__main__.py").write_text(
        "from typing import TypedDict\n"
        "import pulumi\n"
        "from pulumi.provider.experimental import component_provider_host\n"
        "class GreeterArgs(TypedDict):\n"
        "    name: pulumi.Input[str]\n"
        "class Greeter(pulumi.ComponentResource):\n"
        "    greeting: pulumi.Output[str]\n"
        "    def __init__(self, name: str, args: GreeterArgs, opts: pulumi.ResourceOptions | None = None):\n"
        "        super().__init__('greeter:index:Greeter', name, {}, opts)\n"
        "        self.greeting = pulumi.Output.from_input(args['name']).apply(lambda it: 'hello ' + it)\n"
        "        self.register_outputs({'greeting': self.greeting})\n"
        "component_provider_host(name='greeter', components=[Greeter])\n"
    )
    (program.folder / "Pulumi.yaml").write_text(
        f"name: small\nruntime: python\nplugins:\n  providers:\n    - name: greeter\n      path: {plugin}\n"
    )
    program.up()
    assert '"greeting": "hello radiology"' in program.pulumi("stack", "output", "--json")


def test_about_names_the_python_and_the_packages(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path, program=EMPTY)
    said = program.pulumi("about")
    assert program.environment["PULUMI_PYTHON_CMD"] in said
    assert "pydantic" in said


def test_install_makes_the_virtual_environment_that_the_project_names(tmp_path: Path) -> None:
    program = SmallProgram(tmp_path, program=EMPTY)
    project = "name: small\nruntime: {name: python, options: {virtualenv: own}}\n"
    (program.folder / "Pulumi.yaml").write_text(project)
    (program.folder / "requirements.txt").write_text("# nothing\n")
    program.pulumi("install")
    assert (program.folder / "own" / "bin" / "python").exists()
    assert str(program.folder / "own" / "bin" / "python") in program.pulumi("about")
