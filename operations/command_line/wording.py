"""Texts in the words of the command line, where `operations.errors.Wording` doesn't reach."""

import re
import shlex

_WORDS: tuple[tuple[str, str], ...] = (
    # At the command line nothing is created or granted by a stack.
    (r" \([^()]*by the stack[^()]*\)", ""),
    (r"set imaging:endpoint to use the emulator", "give --endpoint (or IMAGING_ENDPOINT) to use the emulator"),
)


def for_command_line(text: str) -> str:
    """Return the text with what a person at the command line would do."""
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


def wait_command(operation: str, endpoint: str | None = None) -> str:
    """Return the command that waits for an operation (again)."""
    more = f" --endpoint {shlex.quote(endpoint)}" if endpoint else ""
    return f"python -m operations wait {shlex.quote(operation)}{more}"
