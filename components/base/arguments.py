"""What the components' arguments have in common."""

from collections.abc import Mapping
from typing import Any, TypeVar

import pulumi

T = TypeVar("T")


def arguments(kind: type[T], given: T | Mapping[str, Any]) -> T:
    """Take arguments as they come: typed from a Python program, a mapping from a component package."""
    return kind(**given) if isinstance(given, Mapping) else given


def child(
    parent: pulumi.Resource, options: pulumi.ResourceOptions | None = None, **more: Any
) -> pulumi.ResourceOptions:
    """Return options for a child: its parent's `depends_on` too, which Pulumi doesn't hand down by itself.

    Args:
        parent: the component that the child belongs to.
        options: the options that the component was given.
        more: options of this child alone, by the names of `pulumi.ResourceOptions`. None leaves an option to the
            parent, as with `protect`: a component that is protected protects its children.
    """
    inherited = pulumi.ResourceOptions(parent=parent, depends_on=options.depends_on if options else None)
    return pulumi.ResourceOptions.merge(inherited, pulumi.ResourceOptions(**more))
