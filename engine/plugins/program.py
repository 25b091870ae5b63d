"""Runs one Pulumi program in a process of its own, as the official language host does.

Stands alone: the program must find only its own folder and the installed packages on its path.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SHOWN_ALREADY = 32
"""The exit code that says: the person has seen what went wrong."""


def main() -> int:
    """Runs the program under the engine that the arguments name.

    Returns:
        0, 1 after a RunError, 32 after an error that was shown in full, 130 when interrupted.
    """
    parser = argparse.ArgumentParser()
    for name in ("project", "stack", "organization", "monitor", "engine", "root-directory", "pwd"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("program")
    options = parser.parse_args()
    try:
        import pulumi
        from pulumi import runtime
    except ImportError as error:
        print(f"{error}: the Pulumi SDK is not installed for {sys.executable}", file=sys.stderr)
        return 1

    runtime.set_all_config(runtime.get_config_env(), runtime.get_config_secret_keys_env())
    settings = runtime.Settings(
        project=options.project,
        stack=options.stack,
        organization=options.organization,
        parallel=options.parallel,
        dry_run=options.dry_run,
        monitor=options.monitor,
        engine=options.engine,
        root_directory=options.root_directory,
    )
    runtime.configure(settings)
    sys.argv = [options.program]
    os.chdir(options.pwd)
    program = Path(options.program).resolve()
    if program.is_dir() and not (program / "__main__.py").exists():
        pulumi.log.error(f"there is no __main__.py in {program}")
        return SHOWN_ALREADY

    # asyncio complains about futures that are never awaited; after a failure there are always some, and it is harmless.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    threads = ThreadPoolExecutor(max_workers=max(options.parallel, 1) * 4 if options.parallel < 64 else 256)
    loop.set_default_executor(threads)
    try:
        loop.run_until_complete(runtime.run_in_stack(lambda: _run(program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - whatever the program raises is shown to its author
        pulumi.log.error("Program failed with an unhandled exception:\n" + _trace(error, program))
        return SHOWN_ALREADY
    finally:
        threads.shutdown(wait=True)
        loop.close()
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _run(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")


def _trace(error: BaseException, program: Path) -> str:
    # The author's frames, not those of the machinery that runs the program.
    shown = traceback.TracebackException.from_exception(error)
    folder = str(program if program.is_dir() else program.parent)
    first = next((n for n, frame in enumerate(shown.stack) if frame.filename.startswith(folder)), 0)
    shown.stack = traceback.StackSummary.from_list(list(shown.stack)[first:])
    return "".join(shown.format())


if __name__ == "__main__":
    # The folder of this script is not the program's business.
    sys.path.pop(0)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        os._exit(130)
