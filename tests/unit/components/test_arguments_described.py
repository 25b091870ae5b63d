"""Every argument of a component is described: below its field, or in its class under `Attributes:`."""

import ast
import dataclasses
import inspect
import re
from typing import Any

import pytest

import components
from components.package import runs
from components.runs.declared import RunArgs

ARGUMENTS: list[Any] = [
    *(each for each in (getattr(components, name) for name in components.__all__) if dataclasses.is_dataclass(each)),
    RunArgs,
    runs.DicomImportArgs,
    runs.DicomExportArgs,
]


def below_the_fields(kind: type) -> set[str]:
    """The fields that a text follows."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id
        for field, text in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and str(text.value.value).strip()
    }


def under_attributes(kind: type) -> set[str]:
    """The names that the class describes."""
    _, _, attributes = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    return set(re.findall(r"^    (\w+): \S", attributes, re.MULTILINE))


def test_the_arguments_of_all_components_are_looked_at() -> None:
    looked_at = {kind.__name__ for kind in ARGUMENTS}
    assert {name for name in components.__all__ if name.endswith("Args")} <= looked_at
    assert {"ExportFilter", "LifecycleRule"} <= looked_at


@pytest.mark.parametrize("kind", ARGUMENTS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_argument_is_described_and_nothing_else(kind: Any) -> None:
    described = set()
    for base in inspect.getmro(kind)[:-1]:
        described |= below_the_fields(base) | under_attributes(base)
    assert described == {field.name for field in dataclasses.fields(kind)}
