"""What a preview says at its end of all imports and exports together."""

from components.runs.announced import Announced, summary


def test_the_counts_come_first_and_then_who_and_why() -> None:
    runs = [
        Announced("archive", starts=True, ends=True, succeeded=False),
        Announced("metadata", starts=True, ends=True, succeeded=True),
        Announced("nightly", starts=False, ends=True, succeeded=True),
        *(Announced(f"export-{number}", starts=False, ends=False, succeeded=True) for number in range(47)),
    ]
    assert summary(runs).splitlines() == [
        "imports and exports: 2 start, 1 is waited for, 47 hold",
        "  start, without a success so far: archive",
        "  start again, for the reason on the row of each: metadata",
        "  are waited for, as started earlier: nightly",
    ]


def test_when_nothing_is_to_be_done_that_is_one_line() -> None:
    assert summary([Announced("a", starts=False, ends=False, succeeded=True)]) == "imports and exports: 1 holds"


def test_many_are_counted_and_some_named() -> None:
    runs = [Announced(f"e{number}", starts=True, ends=True, succeeded=False) for number in range(1200)]
    said = summary(runs)
    assert said.startswith("imports and exports: 1,200 start\n")
    assert said.endswith("e8, e9 and 1,190 more")
