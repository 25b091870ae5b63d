"""What a program refuses is shown once, and ends it as Pulumi's language host expects."""

import pulumi
import pytest

from components import refusals_shown


def test_a_refusal_ends_the_program_with_the_status_that_says_it_was_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(pulumi.log, "error", shown.append)
    with pytest.raises(SystemExit) as ended, refusals_shown():
        raise pulumi.RunError("imaging:location is missing")
    assert ended.value.code == 32
    assert shown == ["imaging:location is missing"]


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="a mistake of ours"), refusals_shown():
        raise ValueError("a mistake of ours")
