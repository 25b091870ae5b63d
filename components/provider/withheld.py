"""What is shown of a run with secret settings: counts, times and names that Google gives, and no text of theirs.

A text of the service names what was asked for: buckets, tables, files. The engine hides in a message only the secrets
of the resource as it is now, and only as they are written there, so such texts are withheld altogether.
"""

from collections.abc import Callable, Mapping
from typing import Any

from operations.google.errors import ApiError

WITHHELD = "the text is withheld, as the run has secret settings"


def is_secret(*props: Mapping[str, Any]) -> bool:
    """Return whether the run has, or had, settings that are to be kept secret.

    Args:
        props: inputs or outputs of its resources.
    """
    return any(each.get("secret") for each in props)


def text_of_error(error: Exception, *, secret: bool) -> str:
    """Return what an error says; of a secret run only of which kind it is."""
    if not secret:
        return str(error)
    kind = f"{error.code.name} (HTTP {error.status})" if isinstance(error, ApiError) else type(error).__name__
    return f"{kind}; {WITHHELD}"


def say_of(show: Callable[[str], None], *, secret: bool) -> Callable[[str], None]:
    """Return what shows the steps of a run; of a secret one only that there are some."""
    return (lambda _text: show(f"in progress; {WITHHELD}")) if secret else show
