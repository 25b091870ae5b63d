"""The policy pack: the rules, as Pulumi checks them before it creates or changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError
from rules import RULES, UNKNOWN, Resource, Rule


def policy(rule: Rule) -> Policy:
    """One rule as Pulumi wants it."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = Resource(args.resource_type, plain(args.props), args.opts.protect)
        for problem in rule.check(resource, args.get_config()):
            report(problem)

    return ResourceValidationPolicy(
        name=rule.name,
        description=rule.description,
        validate=validate,
        enforcement_level=EnforcementLevel(rule.level),
        config_schema=PolicyConfigSchema(properties=properties(rule)) if rule.lists else None,
    )


def plain(value: Any) -> Any:
    """A value without the proxies that raise at what isn't known yet."""
    if isinstance(value, Mapping):
        return {key: _known(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_known(value, index) for index in range(len(value))]
    return value


def _known(container: Any, key: Any) -> Any:
    try:
        return plain(container[key])
    except UnknownValueError:
        return UNKNOWN


def properties(rule: Rule) -> Mapping[str, dict[str, Any]]:
    """The JSON Schema of a rule's configuration."""
    return {
        name: {"type": "array", "items": {"type": "string"}, "description": meaning, "default": []}
        for name, meaning in rule.lists.items()
    }


PolicyPack(name="imaging", policies=[policy(rule) for rule in RULES])
