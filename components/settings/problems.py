"""What is wrong with a stack configuration, all of it at once, in words for the person who wrote it."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from components.settings.origin import Origin, Path

NAMESPACE = "imaging"
"""The project's name, and so the namespace of its configuration keys."""

# Settings that come from another namespace of the stack configuration than this project's.
FOREIGN_KEYS = {"project": "gcp:project"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the configuration key, as in `imaging:exports[0].to`, and the text."""

    key: str
    text: str


class SettingsError(ValueError):
    """The configuration can't be used. `problems` holds everything that is wrong, in the file's order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(render(self.problems))


class PartsError(ValueError):
    """Several things are wrong inside one value: each with the path that leads to it from there."""

    def __init__(self, parts: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        self.parts = tuple(parts)
        super().__init__("; ".join(text for _, text in parts))


# What pydantic puts into the path of a value that may have two forms; it is not part of a key.
PLAIN_FORM, MAPPING_FORM = "(plain)", "(mapping)"


def render(problems: Sequence[Problem]) -> str:
    """Lay out the problems for a terminal: a headline, then one line each, the texts aligned."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    width = max((len(problem.key) for problem in problems), default=0)
    lines = [f"  {problem.key:<{width}}  {problem.text}" for problem in problems]
    return "\n".join([f"{count} in the stack configuration", *lines])


def key_of(location: Sequence[str | int]) -> str:
    """Spell a path into the settings as its configuration key: `("exports", 0, "to")` → `imaging:exports[0].to`."""
    if not location:
        return NAMESPACE
    head, *rest = location
    key = FOREIGN_KEYS.get(str(head), f"{NAMESPACE}:{head}")
    for step in rest:
        key += f"[{step}]" if isinstance(step, int) else f".{step}"
    return key


def quoted(value: object) -> str:
    """Show a value as it stands in YAML or JSON, shortened when it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"?')


def without_values(problems: Sequence[Problem], origin: Origin, raw: Mapping[str, Any]) -> list[Problem]:
    """Return the same problems without the values of encrypted settings.

    Args:
        problems: what is wrong.
        origin: which settings are encrypted.
        raw: the settings by key, decrypted.
    """
    secrets = [quoted_whole(text) for path in origin.encrypted for text in _texts(_at(raw, path))]

    def hide(problem: Problem) -> Problem:
        of_secret = origin.is_encrypted(*path_of(problem.key))

        def hidden(match: re.Match[str]) -> str:
            # A long value is shown in part.
            shown = match[0].strip('"…')
            known = shown and any(text in shown or shown in text for text in secrets)
            return "[secret]" if of_secret or known else match[0]

        return Problem(problem.key, _QUOTED.sub(hidden, problem.text))

    return [hide(problem) for problem in problems]


def quoted_whole(text: str) -> str:
    """Return a text as `quoted` spells it, neither quoted nor shortened."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def path_of(key: str) -> Path:
    """Return the path of a configuration key: `imaging:exports[0].to` → `("exports", 0, "to")`."""
    steps = re.findall(r"\[(\d+)\]|([^.\[\]]+)", key.partition(":")[2])
    return tuple(int(position) if position else name for position, name in steps)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step] if isinstance(value, list) and isinstance(step, int) else value[str(step)]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value not in (None, "", True, False):
        yield str(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "…"?` when a known word is much like this one, else nothing."""
    choices = list(known)
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.55)
    return f'; did you mean "{folded[near[0]]}"?' if near else ""


def from_pydantic(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Turn pydantic's report on `model` into problems in this project's words."""
    problems: list[Problem] = []
    for detail in error.errors(include_url=False):
        location = tuple(step for step in detail["loc"] if step not in (PLAIN_FORM, MAPPING_FORM))
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, PartsError):
            problems += [Problem(key_of((*location, *path)), text) for path, text in cause.parts]
        elif location:
            problems.append(Problem(key_of(location), _text({**detail, "loc": location}, model)))
    return problems


_KINDS = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def _text(detail: dict[str, Any], model: type[BaseModel]) -> str:
    kind, value, location = detail["type"], detail["input"], detail["loc"]
    if kind == "missing":
        return _missing(location, model)
    if kind == "extra_forbidden":
        owner = _model_at(location[:-1], model)
        known = list(_fields(owner)) if owner else []
        suggestion = did_you_mean(str(location[-1]), known)
        listing = "" if suggestion else f"; settings here are {', '.join(known)}"
        return f"is not a setting{suggestion or listing}"
    if kind == "literal_error":
        choices = [word.strip(" '") for word in detail["ctx"]["expected"].replace(" or ", ", ").split(",")]
        hint = did_you_mean(value, choices) if isinstance(value, str) else ""
        return f"{quoted(value)} is not one of {', '.join(choices)}{hint}"
    if kind in _KINDS:
        hint = "; put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
        return f"{quoted(value)} is not {_KINDS[kind]}{hint}"
    if kind == "greater_than_equal":
        return f"{quoted(value)} is too small; it must be at least {detail['ctx']['ge']}"
    if kind == "less_than_equal":
        return f"{quoted(value)} is too large; the maximum is {detail['ctx']['le']}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    message: str = detail["msg"]
    return f"{quoted(value)}: {message[0].lower()}{message[1:]}"


def _missing(location: Sequence[str | int], model: type[BaseModel]) -> str:
    owner = _model_at(location[:-1], model)
    field = _fields(owner).get(str(location[-1])) if owner else None
    meaning = (field.description or "") if field else ""
    first_sentence = meaning.split(". ")[0].rstrip(".")
    return f"is missing: {first_sentence[:1].lower()}{first_sentence[1:]}" if first_sentence else "is missing"


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's fields by the name they have in the configuration."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_at(location: Sequence[str | int], model: type[BaseModel]) -> type[BaseModel] | None:
    """Find the model that describes the mapping at `location`."""
    for step in location:
        if isinstance(step, int):
            continue
        field = _fields(model).get(step)
        inner = _inner_model(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found:
            return found
    return None
