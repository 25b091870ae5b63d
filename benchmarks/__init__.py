"""Benchmarks: each figure beside a peer or a limit, measured in the same run.

A module here has ``measure() -> Iterable[Figure]``; ``python -m benchmarks [NAME ...]`` runs all, or the named ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Args:
        name: what was measured.
        value: the figure, as text with its unit.
        reference: the peer or the limit it stands beside, with its own figure.
        ratio: figure / reference where both are of one kind; smaller is better unless ``more_is_better``.
        limit: the ratio that is still good; None where the figure is only shown.
        more_is_better: whether a higher ratio is the better one.
    """

    name: str
    value: str
    reference: str
    ratio: float | None = None
    limit: float | None = None
    more_is_better: bool = False

    @property
    def good(self) -> bool | None:
        """Whether the ratio keeps within its limit; None if there is none."""
        if self.ratio is None or self.limit is None:
            return None
        return self.ratio >= self.limit if self.more_is_better else self.ratio <= self.limit
