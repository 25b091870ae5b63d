"""What starts and waits read from the inputs of their resources: the request, the connection, limits, the journal.

Loaded only by the process of the dynamic provider, with the first resource that needs it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.provider import process as provider_process
from operations.google.connection import Connection, connection_settings
from operations.model.requests import Request, request_from_body
from operations.run.journal import Journal
from operations.run.start import StartLimits
from operations.run.wait import Waiter

_AWAITED, _STARTED = "AwaitedOperation", "StartedOperation"

#: The `gcp:` configuration, as far as it says who calls.
gcp_config: dict[str, str] = {}

_connections: dict[str, Connection] = {}
_waiters: dict[Connection, Waiter] = {}


def title_of(props: Mapping[str, Any]) -> str:
    """Return what messages call the run: `export "metadata"`."""
    return f'{props["method"]} "{props["label"]}"'


def text_of(props: Mapping[str, Any], key: str) -> str | None:
    """Return an input that may be missing, empty or not known yet; None in these cases."""
    value = props.get(key)
    return value if isinstance(value, str) and value else None


def request_of(props: Mapping[str, Any], filter_uri: str | None) -> Request:
    """Return the request, with the filter file that was prepared for it."""
    body = dict(props["body"])
    if filter_uri:
        body["filterConfig"] = {"resourcePathsGcsUri": filter_uri}
    return request_from_body(str(props["store"]), str(props["method"]), body)


def limits_of(props: Mapping[str, Any]) -> StartLimits:
    """Return how long a start may wait."""
    return StartLimits(float(props["permissionWait"]), float(props["timeout"]), int(props["maxRunning"]))


def connection_of(props: Mapping[str, Any]) -> Connection:
    """Return the APIs for the one who acts; the same for all resources alike."""
    endpoint = text_of(props, "endpoint")
    account = text_of(props, "impersonate") or gcp_config.get("impersonateServiceAccount")
    key = f"{endpoint} {account}"
    if key not in _connections:
        settings = connection_settings(
            endpoint,
            configuration=gcp_config,
            # The program that wrote the endpoint into the resource has checked where it may be.
            allow_remote=endpoint is not None,
            access_token=gcp_config.get("accessToken"),
            credentials=gcp_config.get("credentials"),
            impersonate=account,
        )
        _connections.setdefault(key, Connection(settings))
    return _connections[key]


def waiter_of(props: Mapping[str, Any]) -> Waiter:
    """Return what waits for the operations of one connection together."""
    connection = connection_of(props)
    return _waiters.setdefault(connection, Waiter(connection, provider_process.clock))


def started_urn(props: Mapping[str, Any]) -> str:
    """Return the URN of a run's start, for both of its resources: `urn:pulumi:STACK::PROJECT::TYPES::NAME`."""
    stack, project, types, name = str(props["urn"]).split("::", 3)
    parents, _, kind = types.rpartition("$")
    # Only the resource's own type tells the two apart: a stack, a parent or a run may be called alike.
    return "::".join((stack, project, f"{parents}${kind.replace(_AWAITED, _STARTED)}", name))


def journal_of(props: Mapping[str, Any], instead_of: str = "") -> Journal:
    """Return the journal of a run, the same for both of its resources.

    Args:
        props: the inputs of one of them.
        instead_of: the operation in the state, where others may be started anew for it.
    """
    return Journal(
        journal_folder(os.environ),
        started_urn(props),
        endpoint=text_of(props, "endpoint") or "",
        trigger=text_of(props, "trigger") or "",
        instead_of=instead_of,
    )


def journal_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the journal: `IMAGING_JOURNAL`, or one beside what else Pulumi keeps for this user."""
    home = environment.get("PULUMI_HOME") or Path.home() / ".pulumi"
    return Path(environment.get("IMAGING_JOURNAL") or Path(home) / "imaging" / "starts")
