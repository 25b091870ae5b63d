"""``python -m emulator serve`` and ``python -m emulator env``.

Exit status: 0 after SIGINT or SIGTERM, 1 if the port or the data directory can't be used, 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from .core.environment import DEFAULTS, environment

DEFAULT_PORT = 8085


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "env":
        defaults = {name: getattr(options, name) for name in DEFAULTS}
        for name, value in environment(f"http://127.0.0.1:{options.port}", **defaults).items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    return _serve(options)


def _serve(options: argparse.Namespace) -> int:
    from .server.recovery import open_emulator
    from .server.server import PortInUseError, listen, serve

    try:
        listener = listen(options.host, options.port)
    except PortInUseError as error:
        print(f"error: {error}; choose another one with --port", file=sys.stderr)
        return 1
    if options.host not in ("127.0.0.1", "::1", "localhost"):
        print(
            f"warning: serving on {options.host}: whoever reaches this port may read and change everything",
            file=sys.stderr,
        )
    try:
        emulator = open_emulator(options.data, options.project)
    except OSError as error:
        print(f"error: the data directory {options.data} can't be used: {error.strerror}", file=sys.stderr)
        return 1
    host = f"[{options.host}]" if ":" in options.host else options.host
    emulator.url = f"http://{host}:{listener.getsockname()[1]}"
    try:
        serve(emulator, listener, lambda: print(f"ready {emulator.url}", flush=True))
    except KeyboardInterrupt:
        pass
    finally:
        emulator.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emulator", description="A local Google Cloud for DICOM images.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve in the foreground; prints 'ready URL' once it does")
    serve.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 picks a free one (default: %(default)s)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument(
        "--data", type=Path, metavar="DIR", help="keep everything in this directory (default: in memory)"
    )
    serve.add_argument(
        "--project", action="append", default=[], metavar="ID", help="a project that exists from the start"
    )
    env = commands.add_parser("env", help="print the shell exports that point Google's clients at the emulator")
    env.add_argument("--port", type=int, default=DEFAULT_PORT, help="the emulator's port (default: %(default)s)")
    for name in DEFAULTS:
        env.add_argument(f"--{name}", metavar="ID", help=f"the {name} of commands that name none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
