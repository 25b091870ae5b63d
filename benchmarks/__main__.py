"""Run the benchmarks and show their figures as a table.

Exit status: 0 when every figure keeps within its limit, 1 when one does not, 2 for an unknown name.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks import Figure


def main(arguments: list[str] | None = None) -> int:
    """Run the named benchmarks, or all; returns the exit status."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Benchmarks, each beside a peer or a limit."
    )
    parser.add_argument("name", nargs="*", help=f"one or more of: {', '.join(names)}")
    wanted = parser.parse_args(arguments).name or names
    if unknown := [name for name in wanted if name not in names]:
        print(f"error: there is no benchmark {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 120)
    figures: list[Figure] = []
    for name in wanted:
        started = time.monotonic()
        with console.status(f"{name} …"):
            figures += importlib.import_module(f"benchmarks.{name}").measure()
        console.print(f"[dim]{name}: {time.monotonic() - started:.0f} s[/]")
    console.print(_table(figures))
    return 1 if any(figure.good is False for figure in figures) else 0


def _table(figures: list[Figure]) -> Table:
    table = Table()
    for column in ("what", "measured", "beside"):
        table.add_column(column)
    for column in ("ratio", "limit"):
        table.add_column(column, justify="right")
    table.add_column("")
    for figure in figures:
        sign = "≥" if figure.more_is_better else "≤"
        table.add_row(
            figure.name,
            figure.value,
            figure.reference,
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            "" if figure.limit is None else f"{sign} {figure.limit:g}",
            {True: "[green]good[/]", False: "[red]missed[/]", None: ""}[figure.good],
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
