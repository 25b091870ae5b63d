"""Stand-in for `pulumi-resource-pulumi-python`: runs `pulumi.dynamic`, quiet when interrupted, gone with the engine.

Stands alone: the user's own modules are imported in this process, so nothing of this project's is left on its path.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import sys
from pathlib import Path


def main() -> None:
    """Watches the engine and serves dynamic resources until it goes."""
    spec = importlib.util.spec_from_file_location("_hosting", Path(__file__).with_name("hosting.py"))
    if spec is None or spec.loader is None:
        sys.exit("the stand-in plugins are incomplete")
    hosting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hosting)
    hosting.end_with_engine(lambda: os._exit(0))
    for number in (signal.SIGINT, signal.SIGTERM):
        # Provider threads may be in the middle of a wait; the engine has given up on them.
        signal.signal(number, lambda *_: os._exit(0))
    sys.path[0] = str(Path.cwd())
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)


main()
