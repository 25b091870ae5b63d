"""What the service says in words is for people: no decision hangs on a word that may be part of a name.

`Not found: Table p:imaging_dataset.t` has the word "dataset" in it. So the code asks for a status, or asks the API, or
matches the whole form of a text in operations/google/errors.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("operations", "components", "queries")
# The one place that reads texts; its patterns are tested with texts that were recorded.
READS_TEXTS = {"operations/google/errors.py"}
METHODS = {"find", "index", "count", "startswith", "endswith", "partition", "split"}


def decisions(source: str) -> Iterator[str]:
    """Yield the expressions that look for a text without a space in the message of an error."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.In | ast.NotIn) for each in node.ops):
            words, texts = [node.left], node.comparators
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            words, texts = node.args, [node.func.value]
        else:
            continue
        if any(map(_is_word, words)) and any(map(_is_message, texts)):
            yield ast.unparse(node)


def _is_word(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value.strip()


def _is_message(node: ast.expr) -> bool:
    """Tell whether an expression is the text of an error, also in lower case or cut to a part."""
    if isinstance(node, ast.Call):
        inner = [*node.args, *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
        return any(map(_is_message, inner))
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in {"message", "error_message", "error", "refusal", "reason"}


@pytest.mark.parametrize(
    "source",
    [
        'if "dataset" in error.message.lower(): pass',
        'if "bucket" not in str(error): pass',
        'error.message.startswith("Not")',
    ],
)
def test_what_is_looked_for_is_found(source: str) -> None:
    assert list(decisions(source))


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_decision_hangs_on_a_word_in_a_message(folder: str) -> None:
    found = {
        str(file.relative_to(ROOT)): list(decisions(file.read_text(encoding="utf-8")))
        for file in (ROOT / folder).rglob("*.py")
    }
    assert {name: texts for name, texts in found.items() if texts and name not in READS_TEXTS} == {}
