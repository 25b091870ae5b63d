"""docs/operations.md says what the code does."""

from pathlib import Path

from operations.model.codes import CODES
from operations.model.requests import Rerun
from operations.run.rerun import RUN_INPUTS

TEXT = (Path(__file__).parents[3] / "docs/operations.md").read_text(encoding="utf-8")


def test_the_table_of_codes_is_that_of_the_code() -> None:
    rows = [f"| {code.number} | {code.name} | {code.cause} | {'yes' if code.passes else 'no'} |" for code in CODES]
    assert "\n".join(rows) in TEXT


def test_every_way_to_run_again_is_described() -> None:
    assert all(f"`{rerun}`" in TEXT for rerun in Rerun)
    assert "trigger" in RUN_INPUTS
