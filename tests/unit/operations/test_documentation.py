"""docs/operations.md and docs/troubleshooting.md say what the code does."""

from pathlib import Path

from operations.model.codes import CODES
from operations.model.requests import Rerun
from operations.run.rerun import RUN_INPUTS

DOCS = Path(__file__).parents[3] / "docs"


def test_the_table_of_codes_is_that_of_the_code() -> None:
    rows = [f"| {code.number} | {code.name} | {code.cause} | {'yes' if code.passes else 'no'} |" for code in CODES]
    assert "\n".join(rows) in (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


def test_every_way_to_run_again_is_described() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert all(f"`{rerun}`" in text for rerun in Rerun)
    assert "trigger" in RUN_INPUTS
