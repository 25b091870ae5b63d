"""The README and the pages of docs/ refer to what is there, and their examples are accepted by what they are for."""

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from components.settings import SettingsError, settings_from
from operations.command_line.arguments import parser
from policy.rules import RULES

yaml = importlib.import_module("yaml")  # it has no type stubs

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for indent, found, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if found in languages:
            yield re.sub(f"^{indent}", "", text, flags=re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """GitHub's: lower case, punctuation dropped, a hyphen for each space."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    missing = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_page_that_names_a_make_target_names_one_that_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|[`\s(])make (?:-s )?([a-z]+)\b(?=[`\s)]|$)", _code(page), re.MULTILINE))
    assert named <= targets


def _code(page: Path) -> str:
    """What stands in code blocks and between backticks."""
    text = page.read_text(encoding="utf-8")
    return "\n".join([block for _, _, block in _BLOCK.findall(text)] + re.findall(r"`[^`\n]+`", text))


def stack_configurations() -> Iterator[Any]:
    for page in PAGES:
        for number, text in enumerate(blocks(page, "yaml")):
            content = yaml.safe_load(text)
            if isinstance(content, dict) and any(key.startswith("imaging:") for key in content.get("config", ())):
                yield pytest.param(content["config"], id=f"{page_id(page)}-{number}")


@pytest.mark.parametrize("config", list(stack_configurations()))
def test_a_stack_configuration_that_is_shown_is_valid(config: dict[str, Any]) -> None:
    settings_from(
        {"project": config["gcp:project"]}
        | {key.removeprefix("imaging:"): value for key, value in config.items() if key.startswith("imaging:")}
    )


def test_the_readme_shows_mistakes_as_they_are_told() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^error: 4 problems in the stack configuration\n(?:  .*\n)+", readme, re.MULTILINE)
    mistakes = {
        "project": "hospital-imaging",
        "location": "europe-west4",
        "dataset": {"name": "radiology"},
        "stores": [{"name": "pacs"}],
        "exports": [
            {
                "name": "metadata",
                "store": "pacs",
                "to": "bq://research-analytics.dicom",
                "writeDisposition": "WRITE_EMPTY",
            },
            {
                "name": "images",
                "store": "pasc",
                "to": "gs://hospital-dicom-out/",
                "mimeType": "image/jpg",
                "writeDisposition": "WRITE_TRUNCATE",
            },
        ],
    }
    with pytest.raises(SettingsError) as refused:
        settings_from(mistakes)
    assert shown == [f"error: {refused.value}\n"]


def operations_commands() -> Iterator[Any]:
    for page in PAGES:
        for text in blocks(page, "sh", "shell", "console"):
            for line in text.replace("\\\n", " ").splitlines():
                command = line.partition(" -m operations ")[2]
                if command:
                    yield pytest.param(_words(command), id=f"{page_id(page)}: {command[:40]}")


def _words(line: str) -> list[str]:
    """The first command of a shell's line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(takewhile(lambda word: word[0] not in "();<>|&", lexer))


@pytest.mark.parametrize("arguments", list(operations_commands()))
def test_a_command_that_is_shown_is_understood(arguments: list[str]) -> None:
    parser().parse_args(arguments)


def test_the_policy_page_has_every_rule_with_its_level_and_lists() -> None:
    page = ROOT / "docs" / "policy.md"
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| [^|]* \|([^|]*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [(name, level, re.findall(r"`(\w+)`", lists)) for name, level, lists in rows] == [
        (rule.name, rule.level, list(rule.lists)) for rule in RULES
    ]
    (example,) = map(json.loads, blocks(page, "json"))
    known = {rule.name: set(rule.lists) for rule in RULES}
    for name, value in example.items():
        assert value in {"mandatory", "advisory", "disabled"} if isinstance(value, str) else set(value) <= known[name]
