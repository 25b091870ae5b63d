"""Encrypted settings stay secret: what is declared for one of them is marked as a whole, wherever its texts end up.

Marked is by origin: everything that a resource is given, because one of the settings that it is declared for is
encrypted. Comparing texts would miss what is derived from a setting (a bucket in a URI, a table in a query, a number of
days as milliseconds), and would mark equal texts that were never secret.

URNs and ids stay readable, since Pulumi keeps them in clear: they hold the names of datasets, stores, buckets, topics,
runs and views, and the members, roles and conditions of grants.
"""

from collections.abc import Mapping
from typing import Any

import pulumi

# Outputs that repeat inputs under other names; Pulumi marks only those of the same name by itself.
_REPEATING = ["self_link", "url"]
# An output in which a read finds what other resources declared: the grants on a BigQuery dataset.
_OF_OTHERS = ["accesses"]


def kept_secret(options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Return options of a component or resource that mark everything it and its children are given as secret."""
    return pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(transformations=[_conceal_inputs]))


def grants_kept_secret(options: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Return options of a component that mark the grants which a read finds on what it declares, and nothing else."""
    return pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(transformations=[_conceal_grants]))


def conceal(value: Any) -> Any:
    """Return a value with everything in it marked as secret, and only its keys to be read."""
    if isinstance(value, Mapping):
        return {key: conceal(each) for key, each in value.items()}
    return value if value is None else pulumi.Output.secret(value)


def _conceal_inputs(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    # Components, and imports and exports, which keep their own secrets: components.runs.declared.
    if isinstance(args.resource, pulumi.ComponentResource | pulumi.dynamic.Resource):
        return pulumi.ResourceTransformationResult(args.props, args.opts)
    props = {key: value if value is None else pulumi.Output.secret(value) for key, value in dict(args.props).items()}
    more = pulumi.ResourceOptions(additional_secret_outputs=[*_REPEATING, *_OF_OTHERS])
    return pulumi.ResourceTransformationResult(props, pulumi.ResourceOptions.merge(args.opts, more))


def _conceal_grants(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    if isinstance(args.resource, pulumi.ComponentResource):
        return pulumi.ResourceTransformationResult(args.props, args.opts)
    more = pulumi.ResourceOptions(additional_secret_outputs=_OF_OTHERS)
    return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, more))
