"""Encrypted settings stay secret: what they say is marked as secret wherever it goes into a resource or an output.

Pulumi decrypts a setting for the program and tells only its top-level key, so every text below an encrypted key counts.
What a resource is known by stays readable, because Pulumi keeps URNs and ids in clear: the names of datasets, stores,
buckets and topics, and the members of grants.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pulumi

# Shorter texts (EU, a label) would mark half the stack.
_LEAST_LENGTH = 4

# Resources whose outputs repeat inputs under other names; Pulumi marks only those of the same name by itself.
_REPEATING = {"pulumi-python:dynamic/imaging:AwaitedOperation": ["outcome"]}

_concealed: set[str] = set()


def keep_secret(values: Iterable[Any]) -> None:
    """Mark every text in these values as secret, in all resources and outputs of the program from now on.

    Args:
        values: the decrypted settings, as plain data.
    """
    texts = {text for value in values for text in _texts(value) if len(text) >= _LEAST_LENGTH}
    if texts and not _concealed:
        pulumi.runtime.register_stack_transformation(_transform)
    _concealed.update(texts)


def conceal(value: Any) -> Any:
    """Return a value with each text that is to be kept secret marked as such, also inside lists and mappings."""
    if isinstance(value, str):
        return pulumi.Output.secret(value) if value in _concealed else value
    if isinstance(value, Mapping):
        return {key: conceal(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [conceal(each) for each in value]
    return value


def conceal_parts(value: pulumi.Output[Any]) -> pulumi.Output[Any]:
    """Return an output that is secret as a whole with only those texts secret that are to be kept so."""
    return pulumi.Output.unsecret(value).apply(conceal)


def _transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    props = dict(args.props)
    opts = args.opts
    repeated = _REPEATING.get(args.type_)
    if repeated and not _concealed.isdisjoint(_texts(props)):
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=repeated))
    return pulumi.ResourceTransformationResult(props=conceal(props), opts=opts)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
