"""Where the engine's files live: everything under `.local/`, so that removing that folder removes all of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

PLUGIN_LAUNCHER = Path(__file__).resolve().parent / "plugins" / "launch.py"
"""The script that every stand-in plugin is started through."""


class EngineError(Exception):
    """No engine could be had; the text is for the person who asked for one and says what to do."""


@dataclass(frozen=True)
class Places:
    """The paths of one checkout.

    Args:
        root: the checkout's top folder, absolute.
    """

    root: Path

    @property
    def engine(self) -> Path:
        """Built or installed engines, their log and the lock."""
        return self.root / ".local" / "engine"

    @property
    def build_log(self) -> Path:
        """What the newest build printed."""
        return self.engine / "build.log"

    @property
    def lock(self) -> Path:
        """Held while an engine is being built or installed."""
        return self.engine / "lock"

    @property
    def installed(self) -> Path:
        """What the official installer puts in place when this package runs it."""
        return self.engine / "official"

    @property
    def home(self) -> Path:
        """`PULUMI_HOME`: the plugins of this checkout, apart from the person's own."""
        return self.root / ".local" / "pulumi-home"

    @property
    def backend(self) -> Path:
        """The folder that keeps the local stacks' state."""
        return self.root / ".local" / "backend"

    @property
    def python(self) -> Path:
        """The Python that programs and plugins run with: the checkout's `.venv`, else the running one."""
        own = self.root / ".venv" / "bin" / "python"
        return own if own.exists() else Path(sys.executable)


def places(root: Path | str | None = None) -> Places:
    """The paths of a checkout.

    Args:
        root: its top folder; by default the one that this package stands in.
    """
    return Places(Path(root).resolve() if root else Path(__file__).resolve().parents[1])
