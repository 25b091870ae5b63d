"""Starts one stand-in plugin: `python launch.py language|dynamic|gcp ARGUMENTS…`.

A script, not a module: the engine starts plugins in the program's folder, from where this package can't be imported.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Runs the plugin that the first argument names, with the rest as its arguments."""
    plugin = sys.argv.pop(1)
    if plugin == "dynamic":
        # Runs the user's code, which must see the path that `python -m pulumi.dynamic` would give it.
        import runpy

        runpy.run_path(str(Path(__file__).with_name("dynamic.py")), run_name="__main__")
        return
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from engine.plugins.hosting import bare_packages

    # Only the protocol is needed of pulumi; the rest of it would double the time to start.
    bare_packages("pulumi", "pulumi.runtime", "pulumi.runtime.proto")
    if plugin == "language":
        from engine.plugins.language import main as run
    elif plugin == "gcp":
        from engine.plugins.gcp.server import main as run
    else:
        sys.exit(f"there is no stand-in plugin {plugin!r}")
    run()


if __name__ == "__main__":
    main()
