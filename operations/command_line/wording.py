"""Commands as texts name them, to be pasted into a shell."""

import shlex


def wait_command(operation: str, endpoint: str | None = None) -> str:
    """Return the command that waits for an operation (again)."""
    more = f" --endpoint {shlex.quote(endpoint)}" if endpoint else ""
    return f"python -m operations wait {shlex.quote(operation)}{more}"
