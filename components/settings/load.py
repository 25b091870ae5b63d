"""Reading the settings: from the stack configuration that Pulumi hands to the program, or from plain data."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pulumi
import pulumi_gcp as gcp
from pydantic import BaseModel, ValidationError

from components.base.internals import whole_configuration
from components.settings.encrypted import encrypted_paths, settings_in_file
from components.settings.models import Settings
from components.settings.origin import Origin
from components.settings.problems import (
    FOREIGN_KEYS,
    NAMESPACE,
    Problem,
    SettingsError,
    from_pydantic,
    quoted,
    render,
    without_values,
)
from components.settings.rules import rule_problems
from components.settings.warnings import settings_warnings


def load_settings() -> Settings:
    """Read the settings of the stack that is being deployed; encrypted ones are kept secret in resources and outputs.

    Raises:
        pulumi.RunError: something is wrong; the text names every problem, and Pulumi shows it without a traceback.
    """
    raw, problems = stack_configuration()
    origin = _origin(raw)
    try:
        settings = settings_from(raw, problems).of(origin)
    except SettingsError as error:
        raise pulumi.RunError(render(without_values(error.problems, origin, raw))) from None
    warnings = [*foreign_namespaces(whole_configuration()), *settings_warnings(settings)]
    for warning in without_values(warnings, origin, raw):
        pulumi.log.warn(f"{warning.key}: {warning.text}")
    return settings


def _origin(raw: Mapping[str, Any]) -> Origin:
    stack = pulumi.get_stack()
    partly = {key: each for key, each in raw.items() if pulumi.runtime.is_config_secret(f"{NAMESPACE}:{key}")}
    in_file = settings_in_file(pulumi.get_root_directory() or ".", stack, NAMESPACE) if partly else {}
    return Origin(f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}", encrypted_paths(partly, in_file))


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


def stack_configuration() -> tuple[dict[str, Any], list[Problem]]:
    """Collect the keys of this project's namespace, and `gcp:project`."""
    everything = whole_configuration()
    raw: dict[str, Any] = {field: everything.get(key) for field, key in FOREIGN_KEYS.items()}
    problems: list[Problem] = []
    prefix = f"{NAMESPACE}:"
    for key, text in everything.items():
        name = key.removeprefix(prefix)
        if name in FOREIGN_KEYS:
            problems.append(Problem(key, f"is not a setting; it is {FOREIGN_KEYS[name]}"))
        elif key.startswith(prefix):
            value = _decoded(name, text)
            # An encrypted value arrives as text, whatever it is in the place where it was encrypted.
            raw[name] = typed(value, _annotation(name)) if pulumi.runtime.is_config_secret(key) else value
    return raw, problems


def foreign_namespaces(keys: Iterable[str]) -> list[Problem]:
    """Return the keys whose namespace is nearly this project's, or that of Google's provider.

    Their settings are not read, and nothing else says so: a mistyped `gcp:impersonateServiceAccount` is not used.

    Args:
        keys: all keys of the stack configuration, `NAMESPACE:NAME`.
    """
    known = _annotations()
    found = []
    for key in keys:
        namespace, colon, name = key.partition(":")
        if not colon or namespace in (NAMESPACE, _GOOGLE):
            continue
        if _is_near_google(namespace) and name in _google_names():
            found.append(_not_read(key, f"{_GOOGLE}:{name}"))
        if not _is_near(namespace, NAMESPACE):
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.55)
        meant = f"{NAMESPACE}:{name if name in known else near[0]}" if near else f"{NAMESPACE}:…"
        found.append(_not_read(key, meant))
    return found


def _not_read(key: str, meant: str) -> Problem:
    namespace = key.partition(":")[0]
    return Problem(key, f"is not read, because the namespace is {quoted(namespace)}; write {meant}")


def _is_near(word: str, known: str) -> bool:
    word = word.casefold()
    # Others may have it in the middle: a policy pack is `gcp-imaging-policy`.
    return word.startswith(known) or word.endswith(known) or difflib.SequenceMatcher(None, word, known).ratio() >= 0.75


_GOOGLE = "gcp"


def _is_near_google(word: str) -> bool:
    """Return whether two letters of three are those of the provider's namespace, in their order."""
    return difflib.SequenceMatcher(None, word.casefold(), _GOOGLE).ratio() >= 0.66


def _google_names() -> set[str]:
    """Return the settings of Google's provider: namespaces of three letters are too often near each other by chance."""
    arguments = [argument for argument in vars(gcp.ProviderArgs) if not argument.startswith("_")]
    return {re.sub("_([a-z0-9])", lambda match: match[1].upper(), argument) for argument in arguments}


def typed(value: Any, annotation: Any) -> Any:
    """Read texts as what their setting is: numbers, truth values, lists and mappings, wherever they are not text.

    Args:
        value: a setting, or a part of one, in which encrypted parts are text.
        annotation: the type of that setting. A text that is not of the type stays a text, which the models refuse.
    """
    choices = _choices(annotation)
    if isinstance(value, str) and str not in choices:
        decoded = _json(value)
        if any(_fits(decoded, each) for each in choices):
            value = decoded
    if isinstance(value, dict):
        model = next((each for each in choices if isinstance(each, type) and issubclass(each, BaseModel)), None)
        if model is not None:
            fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
            return {key: typed(each, fields.get(key)) for key, each in value.items()}
    if isinstance(value, list):
        inner = next((get_args(each)[0] for each in choices if get_origin(each) is list), None)
        return [typed(each, inner) for each in value]
    return value


def _choices(annotation: Any) -> list[Any]:
    """Return the plain types that a setting may be of."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _choices(inner[0])
    if origin in (Union, UnionType):
        return [choice for each in inner for choice in _choices(each)]
    if origin is Literal:
        return [type(each) for each in inner]
    return [annotation]


def _fits(value: Any, kind: Any) -> bool:
    origin = get_origin(kind) or kind
    if isinstance(value, bool):
        return origin is bool
    if isinstance(value, dict):
        return origin is dict or (isinstance(origin, type) and issubclass(origin, BaseModel))
    if isinstance(value, list):
        return origin is list
    return isinstance(value, int | float) and origin in (int, float)


def _decoded(name: str, text: Any) -> Any:
    """Turn one configuration value, which Pulumi hands over as text, into what it stands for.

    Mappings, lists, numbers and truth values arrive as JSON. A setting that is text stays as it is, so that
    `0123` and `true` remain the words that were written.
    """
    if not isinstance(text, str) or str in _choices(_annotation(name)):
        return text
    return _json(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # not JSON, or a number or a nesting beyond any setting
        return text


def _annotations() -> dict[str, Any]:
    """Return the type of each setting at the top, by its name in the configuration."""
    return {field.alias or name: field.annotation for name, field in Settings.model_fields.items()}


def _annotation(name: str) -> Any:
    return _annotations().get(name)
