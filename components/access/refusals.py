"""Showing what a program refuses once: its own text, without a second line about the program's exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import pulumi

# How a program tells Pulumi's language host for Python that the person has seen what is wrong. After a RunError the
# host adds "Program exited with non-zero exit code: 1" to it.
SHOWN_ALREADY = 32


@contextmanager
def refusals_shown() -> Iterator[None]:
    """Show a `pulumi.RunError` and end the program with it.

    Only for the top level of a program that the Pulumi CLI runs: it ends the process.

    Raises:
        SystemExit: in place of a RunError, which has been shown.
    """
    try:
        yield
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        raise SystemExit(SHOWN_ALREADY) from None
