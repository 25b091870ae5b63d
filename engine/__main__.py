"""`python -m engine`: ensure, where, path, env, update."""

from __future__ import annotations

import argparse
import shlex
import sys

from engine import EngineError, ensure, environment, find, path_only, places
from engine.update import update


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the words after `python -m engine`, by default this process's.

    Returns:
        The exit code: 0, 1 when there is no engine, 130 when interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m engine", description="Finds, installs or builds the Pulumi engine."
    )
    parser.add_argument("--root", help="the checkout to work in (default: the one this package is in)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ensure", help="provide an engine and its plugins; prints where it is")
    commands.add_parser("where", help="print the folder to put on PATH")
    commands.add_parser("path", help="print the shell export of PATH alone, for stacks on Google Cloud")
    commands.add_parser("env", help="print shell exports for local stacks, whose passphrase is everybody's")
    commands.add_parser("update", help="build the newest served release of the CLI from now on (for maintainers)")
    options = parser.parse_args(arguments)
    try:
        if options.command == "ensure":
            engine = ensure(options.root)
            print(f"{engine.directory}  ({engine.origin})")
        elif options.command == "where":
            found = find(places(options.root))
            if found is None:
                raise EngineError("there is no Pulumi engine yet; run `make setup` (or `python -m engine ensure`)")
            print(found.directory)
        elif options.command == "update":
            print(update())
        else:
            exports = path_only(options.root) if options.command == "path" else environment(options.root)
            for name, value in exports.items():
                print(f"export {name}={shlex.quote(value)}")
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
