"""Planned faults: what is to go wrong, how often, and whether it did.

A fault belongs to one method, skips ``after`` calls of it, then spoils ``times`` calls. Several faults may be planned
for one method; each call is spoiled by the oldest that still has something to do.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import RPC_CODES, invalid

if TYPE_CHECKING:
    from collections.abc import Collection

_EFFECTS = ("status", "message", "retryAfter", "delaySeconds", "drop", "operation")


@dataclass(frozen=True, slots=True)
class OperationFault:
    """What is to happen to the long-running operation that a call starts.

    Attributes:
        seconds: how long it takes, instead of the ``operationSeconds`` setting.
        failures: how many of its items fail, beside those that fail by themselves.
        error: ``{"code": google.rpc number, "message": text}`` with which it ends.
        vanish: its record disappears once it is done: ``operations.get`` answers 404.
    """

    seconds: float | None = None
    failures: int = 0
    error: dict[str, Any] | None = None
    vanish: bool = False


@dataclass(slots=True)
class Fault:
    """A planned fault and how much of it has happened."""

    id: str
    method: str
    times: int
    after: int
    status: int | None = None
    message: str | None = None
    retry_after: float | None = None
    delay_seconds: float = 0.0
    drop: str | None = None
    operation: OperationFault | None = None
    consumed: int = 0

    def to_json(self) -> dict[str, Any]:
        """``planned``, ``consumed`` and ``completed``."""
        return {
            "id": self.id,
            "planned": self.times,
            "consumed": self.consumed,
            "completed": self.consumed >= self.times,
        }


class Faults:
    """All planned faults."""

    def __init__(self) -> None:
        self._all: dict[str, Fault] = {}
        self._pending: dict[str, list[Fault]] = {}
        self._numbers = itertools.count(1)

    def clear(self) -> None:
        """Forget every fault."""
        self._all.clear()
        self._pending.clear()

    def get(self, fault_id: str) -> Fault | None:
        """The fault with this id."""
        return self._all.get(fault_id)

    def take(self, method: str) -> Fault | None:
        """The fault that spoils this call of the method, counted as consumed; None for a call that goes well."""
        pending = self._pending.get(method)
        if not pending:
            return None
        fault = pending[0]
        if fault.after > 0:
            fault.after -= 1
            return None
        fault.consumed += 1
        if fault.consumed >= fault.times:
            pending.pop(0)
            if not pending:
                del self._pending[method]
        return fault

    def plan(self, body: dict[str, Any], methods: Collection[str]) -> Fault:
        """Plan a fault from its JSON form.

        Args:
            body: ``{"method", "times", "after", "effect"}`` as described in the documentation of the control API.
            methods: the discovery ids that exist.

        Raises:
            ApiError: 400 with what is wrong in the description.
        """
        if unknown := set(body) - {"method", "times", "after", "effect"}:
            raise invalid(f"A fault has method, times, after and effect, not {', '.join(sorted(unknown))}")
        method = body.get("method")
        if not isinstance(method, str) or method not in methods:
            raise invalid(f"method: {method!r} is no discovery id of a served API")
        effect = body.get("effect")
        if not isinstance(effect, dict) or not effect:
            raise invalid(f"effect: an object with one or more of {', '.join(_EFFECTS)}")
        if unknown := set(effect) - set(_EFFECTS):
            raise invalid(f"effect: {', '.join(sorted(unknown))} is none of {', '.join(_EFFECTS)}")
        status = _number(effect, "status", None, whole=True)
        if status is not None and not 400 <= status <= 599:
            raise invalid(f"effect.status: an HTTP error status from 400 to 599, not {status}")
        drop = effect.get("drop")
        if drop not in (None, "before", "after"):
            raise invalid(f"effect.drop: 'before' or 'after' (the call takes effect), not {drop!r}")
        fault = Fault(
            id=str(next(self._numbers)),
            method=method,
            times=int(_number(body, "times", 1, whole=True) or 0),
            after=int(_number(body, "after", 0, whole=True) or 0),
            status=None if status is None else int(status),
            message=effect.get("message"),
            retry_after=_number(effect, "retryAfter", None),
            delay_seconds=_number(effect, "delaySeconds", 0) or 0.0,
            drop=drop,
            operation=_operation(effect.get("operation")),
        )
        if fault.times < 1:
            raise invalid("times: 1 or more")
        self._all[fault.id] = fault
        self._pending.setdefault(method, []).append(fault)
        return fault


def _operation(value: Any) -> OperationFault | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) - {"seconds", "failures", "error", "vanish"}:
        raise invalid("effect.operation: an object with seconds, failures, error or vanish")
    error = value.get("error")
    if error is not None and (not isinstance(error, dict) or error.get("code") not in RPC_CODES.values()):
        raise invalid("effect.operation.error: {code: a google.rpc number from 1 to 16, message: text}")
    failures = _number(value, "failures", 0, whole=True)
    return OperationFault(
        seconds=_number(value, "seconds", None),
        failures=int(failures or 0),
        error=None if error is None else {"code": error["code"], "message": str(error.get("message", ""))},
        vanish=value.get("vanish") is True,
    )


def _number(body: dict[str, Any], key: str, default: float | None, *, whole: bool = False) -> float | None:
    value = body.get(key, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or (whole and value != int(value)):
        raise invalid(f"{key}: {'a whole number' if whole else 'a number'}, 0 or more, not {value!r}")
    return value
