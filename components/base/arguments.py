"""What the components' arguments have in common."""

from collections.abc import Mapping
from typing import Any, TypeVar

import pulumi

from components.base.internals import output_of

T = TypeVar("T")


def arguments(kind: type[T], given: T | Mapping[str, Any]) -> T:
    """Take arguments as they come: typed from a Python program, a mapping from a component package."""
    return kind(**given) if isinstance(given, Mapping) else given


def child(
    parent: pulumi.Resource, options: pulumi.ResourceOptions | None = None, **more: Any
) -> pulumi.ResourceOptions:
    """Return options for a child: its parent's `depends_on` and `replace_with` too, which Pulumi doesn't hand down.

    Args:
        parent: the component that the child belongs to.
        options: the options that the component was given.
        more: options of this child alone, by the names of `pulumi.ResourceOptions`. None leaves an option to the
            parent, as with `protect`: a component that is protected protects its children.
    """
    inherited = pulumi.ResourceOptions(
        parent=parent,
        depends_on=options.depends_on if options else None,
        replace_with=options.replace_with if options else None,
    )
    return pulumi.ResourceOptions.merge(inherited, pulumi.ResourceOptions(**more))


def gone_with(component: pulumi.Resource | None) -> pulumi.ResourceOptions:
    """Return options for what ends with a component's resource: a grant on it, a view in it.

    When that is replaced (a dataset or bucket that moves to another location), they are made again, too. Nothing in
    their own inputs tells the engine, since the new one has the name of the old one; and so the old ones go first.
    """
    resource = getattr(component, "resource", None)
    if resource is None:
        return pulumi.ResourceOptions()
    return pulumi.ResourceOptions(replace_with=[resource], delete_before_replace=True)


def without_dependencies(value: pulumi.Output[T]) -> pulumi.Output[T]:
    """Return the same value as if it came from no resource: what must come before is said by `depends_on` alone.

    What an invoke with `depends_on` answers depends on other resources in a preview than in an update, and
    `pulumi up --plan` holds the update to what the preview had.
    """

    async def read() -> T:
        return await value.future(with_unknowns=True)  # type: ignore[return-value] # None only for a None within

    return output_of(read(), value.is_known(), value.is_secret())
