"""Settings of the emulator that can be changed while it runs (``/emulator/v1/settings``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import invalid

#: Settings that are one of several words, with these words.
_CHOICES: dict[str, tuple[str, ...]] = {
    "bigquery_jobs_project": ("destination", "source"),
    "partial_imports": ("error", "response"),
}


@dataclass(slots=True)
class Settings:
    """How the emulator behaves.

    Attributes:
        operation_seconds: how long every long-running operation takes at least; 0 = as long as its work takes.
        iam_propagation_seconds: how long a new grant takes to become effective.
        enforce_iam: whether permissions are checked; False lets everybody do everything.
        bigquery_jobs_project: in which project the Cloud Healthcare service agent needs ``bigquery.jobs.create`` for an
            export to BigQuery: that of the table (``destination``) or that of the DICOM store (``source``). Google's
            pages leave open which of them runs the load job; they have the set-up done in the destination's.
        require_agent_role: whether the Cloud Healthcare service agent must hold ``roles/healthcare.serviceAgent`` on
            its own project before it does anything in other products.
        enforce_services: whether calls of an API that is not enabled in the project are refused.
        partial_imports: how an import ends some of whose files failed: with an ``error`` of code 3, or with a
            ``response`` and the counters alone. Google's pages say both. The error is the better documented form: the
            method "returns an error if any of the files to import are not DICOM files" (discovery document,
            ``ImportDicomDataRequest``), and imports of FHIR resources were seen to end so.
    """

    operation_seconds: float = 0.0
    iam_propagation_seconds: float = 0.0
    enforce_iam: bool = True
    bigquery_jobs_project: str = "destination"
    require_agent_role: bool = False
    enforce_services: bool = False
    partial_imports: str = "error"

    def to_json(self) -> dict[str, Any]:
        """The settings under their JSON names."""
        return {_json_name(name): value for name, value in asdict(self).items()}

    def change(self, body: dict[str, Any]) -> None:
        """Take new values, all or none.

        Raises:
            ApiError: 400 for an unknown setting or a value of the wrong kind.
        """
        taken: dict[str, Any] = {}
        names = {_json_name(one.name): one.name for one in fields(self)}
        for key, value in body.items():
            name = names.get(key)
            if name is None:
                raise invalid(f"There is no setting {key!r}; the settings are {', '.join(names)}")
            _check(key, name, value, getattr(self, name))
            taken[name] = value
        for name, value in taken.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Set everything back to its default."""
        for one in fields(self):
            setattr(self, one.name, one.default)


def _check(key: str, name: str, value: Any, present: Any) -> None:
    """Refuse a value that is not of the setting's kind.

    Raises:
        ApiError: 400.
    """
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise invalid(f"{key} is {' or '.join(repr(word) for word in _CHOICES[name])}, not {value!r}")
    elif isinstance(present, bool):
        if not isinstance(value, bool):
            raise invalid(f"{key} is true or false, not {value!r}")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise invalid(f"{key} is a number of seconds, 0 or more, not {value!r}")


def _json_name(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
