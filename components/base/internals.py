"""What is used of Pulumi's Python SDK that it does not offer; for its provider process, see provider/process.py.

Each with the reason why nothing public will do. Where a later release has it no longer, a warning names the version and
what is missing, and the program continues with what is public.
"""

import asyncio
from collections.abc import Awaitable
from importlib import metadata
from typing import Any, TypeVar

import pulumi
from pulumi.runtime import config as pulumi_config

T = TypeVar("T")


def whole_configuration() -> dict[str, Any]:
    """Return every key of the stack configuration, with its text.

    `pulumi.Config` reads keys one by one; only the whole shows keys that nobody asks for, such as mistyped ones. The
    language host hands the configuration over in the environment, which is public. An inline program of the Automation
    API, and a test, have it in a variable of the SDK's own.
    """
    inline = getattr(pulumi_config, "CONFIG", None)
    try:
        given = dict(inline.get())  # type: ignore[union-attr] # tried
    except (AttributeError, TypeError, ValueError, LookupError):
        _warn("settings of an inline program of the Automation API are not read")
        given = {}
    return {**pulumi.runtime.get_config_env(), **given}


def output_of(value: Awaitable[T], is_known: Awaitable[bool], is_secret: Awaitable[bool]) -> pulumi.Output[T]:
    """Return an output that comes from no resource.

    `Output.from_input` takes a value that is awaited for one that is known and not secret, and `apply` keeps the
    resources of what it is applied to.
    """
    try:
        return pulumi.Output(set(), value, is_known, is_secret)
    except TypeError:
        _warn("values that are not known yet, or secret, are taken for known ones in the plan")
        for unused in (is_known, is_secret):
            asyncio.ensure_future(unused)  # noqa: RUF006 - nobody waits for it; Python complains of what never began
        return pulumi.Output.from_input(value)


def _warn(missing: str) -> None:
    pulumi.log.warn(
        f"this project does not fit Pulumi's Python SDK {metadata.version('pulumi')}: {missing}. "
        "The versions that it is tested with are in requirements.lock"
    )
