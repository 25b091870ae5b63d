"""The examples of docs/library.md are programs that run."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

import components

Run = Callable[..., Any]
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "library.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=["an export", "a bucket with a key"])
def test_an_example_runs_as_it_stands(run: Run, example: str) -> None:
    def declare() -> pulumi.Output[str]:
        exec(compile(example, "docs/library.md", "exec"), {})  # noqa: S102 - the page is ours
        return pulumi.Output.from_input("")

    assert run(declare).declared


def test_the_page_names_every_component() -> None:
    names = [name.removesuffix("Args") for name in components.__all__ if name.endswith("Args")]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
