"""Reading the settings: from the stack configuration that Pulumi hands to the program, or from plain data."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.runtime import config as pulumi_config
from pydantic import BaseModel, ValidationError

from components.base.secrets import keep_secret
from components.settings.models import Settings
from components.settings.origin import Origin
from components.settings.problems import FOREIGN_KEYS, NAMESPACE, Problem, SettingsError, from_pydantic
from components.settings.rules import rule_problems


def load_settings() -> Settings:
    """Read the settings of the stack that is being deployed; encrypted ones are kept secret in resources and outputs.

    Raises:
        pulumi.RunError: something is wrong; the text names every problem, and Pulumi shows it without a traceback.
    """
    try:
        raw, problems = _stack_configuration()
        settings = settings_from(raw, problems)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    keep_secret(value for key, value in raw.items() if pulumi_config.is_config_secret(f"{NAMESPACE}:{key}"))
    return settings.of(Origin(stack=f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"))


def settings_from(raw: Mapping[str, Any], found: Sequence[Problem] = ()) -> Settings:
    """Check plain data and make settings of it.

    Args:
        raw: the settings by key, spelled as in the configuration without `imaging:`; `project` is `gcp:project`.
        found: problems that are known already, to be reported with the others.

    Raises:
        SettingsError: with every problem there is, in the order in which the settings are documented.
    """
    present = {key: value for key, value in raw.items() if value not in (None, "")}
    problems = list(found)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(present, by_alias=True, by_name=False, context={"rules_applied": True})
    except ValidationError as error:
        problems += from_pydantic(error, Settings)
    reported = {problem.key for problem in problems}
    problems += [problem for problem in rule_problems(present) if problem.key not in reported]
    if problems or settings is None:
        raise SettingsError(sorted(problems, key=_position))
    return settings


_ORDER = {field.alias or name: position for position, (name, field) in enumerate(Settings.model_fields.items())}


def _position(problem: Problem) -> int:
    """Sort problems as the settings are documented; within one top-level key the order found is kept."""
    head = problem.key.partition(":")[2].partition(".")[0].partition("[")[0]
    return _ORDER.get(head, -1)


def _stack_configuration() -> tuple[dict[str, Any], list[Problem]]:
    """Collect the keys of this project's namespace, and `gcp:project`.

    `pulumi.Config` reads keys one by one; only the whole configuration shows keys that nobody asks for.
    """
    everything = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    raw: dict[str, Any] = {field: everything.get(key) for field, key in FOREIGN_KEYS.items()}
    problems: list[Problem] = []
    prefix = f"{NAMESPACE}:"
    for key, text in everything.items():
        name = key.removeprefix(prefix)
        if name in FOREIGN_KEYS:
            problems.append(Problem(key, f"is no setting; it is {FOREIGN_KEYS[name]}"))
        elif key.startswith(prefix):
            raw[name] = _decoded(name, text)
    return raw, problems


def _decoded(name: str, text: Any) -> Any:
    """Turn one configuration value, which Pulumi hands over as text, into what it stands for.

    Mappings, lists, numbers and truth values arrive as JSON. A setting that is text stays as it is, so that
    `0123` and `true` remain the words that were written.
    """
    if not isinstance(text, str) or _is_text(name):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _is_text(name: str) -> bool:
    for field_name, field in Settings.model_fields.items():
        if name == (field.alias or field_name):
            annotation = field.annotation
            kinds = getattr(annotation, "__args__", (annotation,))
            return not any(
                getattr(kind, "__origin__", kind) in (list, dict, bool)
                or (isinstance(kind, type) and issubclass(kind, BaseModel))
                for kind in kinds
            )
    return False
