"""Where settings come from: which stack they are for, and which of them are encrypted."""

from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Where a setting stands, by the keys of the configuration: `("exports", 0, "filter", "lines", 2)`."""

FOR_EVERYTHING: tuple[Path, ...] = (("location",), ("filterBucket",), ("permissionWait",), ("endpoint",))
"""Settings that are in everything that a stack declares."""


@dataclass(frozen=True)
class Origin:
    """What is known of settings beside their values.

    Attributes:
        stack: full name of the stack, `ORGANIZATION/PROJECT/STACK`; empty for settings that belong to none.
        encrypted: the settings that are encrypted in the configuration, each by its own path or by that of a mapping
            or list which is encrypted as a whole.
    """

    stack: str = ""
    encrypted: frozenset[Path] = field(default=frozenset())

    @property
    def stack_name(self) -> str:
        """The stack's own name, without organization and project."""
        return self.stack.rpartition("/")[2]

    def is_encrypted(self, *path: str | int) -> bool:
        """Return whether a setting is encrypted, or any that stands in it, or the one that it stands in."""
        return any(_one_in_the_other(path, each) for each in self.encrypted)


def _one_in_the_other(a: Path, b: Path) -> bool:
    common = min(len(a), len(b))
    return a[:common] == b[:common]
