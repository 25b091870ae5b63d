"""Settings of the emulator that can be changed while it runs (``/emulator/v1/settings``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import invalid


@dataclass(slots=True)
class Settings:
    """How the emulator behaves.

    Attributes:
        operation_seconds: how long every long-running operation takes at least; 0 = as long as its work takes.
        iam_propagation_seconds: how long a new grant takes to become effective.
        enforce_iam: whether permissions are checked; False lets everybody do everything.
    """

    operation_seconds: float = 0.0
    iam_propagation_seconds: float = 0.0
    enforce_iam: bool = True

    def to_json(self) -> dict[str, Any]:
        """The settings under their JSON names."""
        return {_json_name(name): value for name, value in asdict(self).items()}

    def change(self, body: dict[str, Any]) -> None:
        """Take new values, all or none.

        Raises:
            ApiError: 400 for an unknown setting or a value of the wrong kind.
        """
        taken: dict[str, Any] = {}
        fields = {_json_name(name): name for name in asdict(self)}
        for key, value in body.items():
            name = fields.get(key)
            if name is None:
                raise invalid(f"There is no setting {key!r}; the settings are {', '.join(fields)}")
            if name == "enforce_iam":
                if not isinstance(value, bool):
                    raise invalid(f"{key} is true or false, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise invalid(f"{key} is a number of seconds, 0 or more, not {value!r}")
            taken[name] = value
        for name, value in taken.items():
            setattr(self, name, value)


def _json_name(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
