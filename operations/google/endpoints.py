"""Where APIs may be: Google's own addresses, regional and private ones of single APIs, an emulator's.

A token must never get to a host of another sort: a real one not to an emulator, which is reached by http on this
machine, and the emulator's not to Google.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from operations.model.invalid import InputError, quoted

_NOT_VALID = "is not a valid endpoint; write http://HOST:PORT, as the emulator prints it: http://127.0.0.1:8085"
REMOTE_VARIABLE = "IMAGING_ALLOW_REMOTE"
ENDPOINT_KEYS = {
    "healthcare": ("healthcareCustomEndpoint",),
    "bigquery": ("bigQueryCustomEndpoint",),
    "storage": ("storageCustomEndpoint",),
    "logging": ("loggingCustomEndpoint",),
    "pubsub": ("pubsubCustomEndpoint",),
    "cloudkms": ("kmsCustomEndpoint",),
    "cloudresourcemanager": ("resourceManagerCustomEndpoint", "cloudResourceManagerCustomEndpoint"),
}
"""Each API's own endpoint, for regional and private addresses: the keys of Pulumi's Google provider, without `gcp:`.

It reads them from the environment too, as GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT and so on. Their path is not needed here.
https://cloud.google.com/healthcare-api/docs/regional-endpoints
"""


def emulator_endpoint_problem(url: str, *, allow_remote: bool) -> str | None:
    """Return what is wrong with an emulator's address, to follow the address itself; None if nothing is.

    Args:
        url: as given.
        allow_remote: whether it may be on another machine.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # half a pair of brackets
        return _NOT_VALID
    if parts.scheme == "https":
        return (
            "is an https address, and the emulator speaks http; for a regional or private address of a Google API, set "
            "that API's own endpoint, such as gcp:healthcareCustomEndpoint or GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT"
        )
    if parts.scheme != "http" or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        return _NOT_VALID
    if not allow_remote and not is_loopback(parts.hostname):
        return (
            "is not on this machine, and what is sent there is not encrypted; use the emulator's loopback address, or "
            "allow it with imaging:allowRemoteEndpoint: true in a stack, --allow-remote on the command line, or "
            f"{REMOTE_VARIABLE}=true"
        )
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def endpoint_of(api: str, configuration: Mapping[str, str], variables: Mapping[str, str]) -> str | None:
    """Return the endpoint that is set for an API alone, if there is one.

    Args:
        api: one of `ENDPOINT_KEYS`.
        configuration: the `gcp:` configuration by key.
        variables: the environment variables.
    """
    for key in ENDPOINT_KEYS[api]:
        variable = "GOOGLE_" + re.sub("([A-Z])", r"_\1", key).upper()
        if url := configuration.get(key) or variables.get(variable):
            return url
    return None


def check_endpoints_of_apis(endpoints: Mapping[str, str], *, allow_remote: bool) -> None:
    """Refuse addresses that a token must not be sent to, and emulator and Google side by side.

    Args:
        endpoints: by API.
        allow_remote: whether an emulator may be on another machine.

    Raises:
        InputError: an address is not where it may be.
    """
    plain = {api: url for api, url in endpoints.items() if url.startswith("http://")}
    for url in plain.values():
        if problem := emulator_endpoint_problem(url, allow_remote=allow_remote):
            raise InputError(f"{quoted(url)} {problem}")
    if plain and len(plain) != len(endpoints):
        (api, url), *_ = ((api, url) for api, url in endpoints.items() if api not in plain)
        raise InputError(
            f"the endpoint of {next(iter(plain))} is an emulator's (http) and that of {api} is {quoted(url)}; "
            "an emulator's token must not go to Google, nor a real one to an emulator: use one scheme for all"
        )


def origin_of(url: str) -> str:
    """Return scheme, host and port of an endpoint; its path is that of another client.

    Raises:
        InputError: it is not a URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InputError(f"{quoted(url)} {_NOT_VALID}") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"{quoted(url)} is not a valid endpoint; write http://127.0.0.1:8085")
    return f"{parts.scheme}://{parts.netloc}"
