"""Which settings are encrypted, setting by setting.

Pulumi hands a program the decrypted configuration, and tells only which top-level keys hold something encrypted. The
stack's own file says more: a setting that stands in clear at the same place there is no secret. Where that can't be
seen (another file, a configuration from an environment), everything below the key counts as encrypted.
"""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any

from components.settings.origin import Path

_NOTHING = object()


def encrypted_paths(values: Mapping[str, Any], in_file: Mapping[str, Any]) -> frozenset[Path]:
    """Return the paths of encrypted settings.

    Args:
        values: the decrypted top-level settings that hold something encrypted, by name.
        in_file: the same as the stack's file has them, as far as it does.
    """
    paths: set[Path] = set()
    for name, value in values.items():
        paths |= set(_hidden(value, in_file.get(name, _NOTHING), (name,))) or {(name,)}
    return frozenset(paths)


def settings_in_file(folder: str, stack: str, namespace: str) -> dict[str, Any]:
    """Read what a stack's file says in a namespace, encrypted or not; nothing if there is no such file.

    Args:
        folder: the project's, with `Pulumi.STACK.yaml` in it.
        stack: the stack's name.
        namespace: of the keys; they are returned without it.
    """
    yaml = importlib.import_module("yaml")  # it has no type stubs
    try:
        content = yaml.safe_load((File(folder) / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        return {}
    start = f"{namespace}:"
    return {str(key).removeprefix(start): value for key, value in config.items() if str(key).startswith(start)}


def _hidden(value: Any, shown: Any, path: Path) -> Iterator[Path]:
    """Yield what doesn't stand in clear, in the largest parts of which nothing does."""
    if isinstance(value, Mapping) and isinstance(shown, Mapping) and set(value) == set(shown):
        for key, each in value.items():
            yield from _hidden(each, shown[key], (*path, str(key)))
    elif isinstance(value, list) and isinstance(shown, list) and len(value) == len(shown):
        for position, each in enumerate(value):
            yield from _hidden(each, shown[position], (*path, position))
    elif type(value) is not type(shown) or value != shown:
        yield path
