"""Where Google's APIs are and how they are reached: endpoints, credentials, one transport per thread.

On Google Cloud the credentials are, in this order: an access token, a key file or its content, application-default
credentials; any of them may impersonate a service account. On the emulator (an `http://` endpoint) a bearer token
says who is calling: `principal:user:alice@example.org` acts as that principal, any other token is the owner.
"""

import functools
import http.client
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import httplib2

from operations.google.credentials import find_credentials
from operations.google.endpoints import (
    ENDPOINT_KEYS,
    REMOTE_VARIABLE,
    check_endpoints_of_apis,
    emulator_endpoint_problem,
    endpoint_of,
    origin_of,
)
from operations.model.invalid import InputError, quoted

if TYPE_CHECKING:
    import google.auth.credentials
    from googleapiclient._apis.bigquery.v2.resources import BigqueryResource
    from googleapiclient._apis.healthcare.v1.resources import CloudHealthcareResource
    from googleapiclient._apis.logging.v2.resources import LoggingResource
    from googleapiclient._apis.storage.v1.resources import StorageResource

# Any text does on the emulator. Google's provider reads a token "as a path or its contents", so this one can't be the
# name of anything: nothing is below /dev/null.
# https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference
EMULATOR_TOKEN = "/dev/null/emulator"  # noqa: S105 - opens nothing
_PRINCIPAL = "principal:"
START_EMULATOR = "make emulator"
_TIMEOUT = 60.0

_VERSIONS = {"healthcare": "v1", "bigquery": "v2", "storage": "v1", "logging": "v2"}
# One endpoint for everything, that of the emulator.
_ENDPOINT_VARIABLE = "IMAGING_ENDPOINT"


@dataclass(frozen=True)
class ConnectionSettings:
    """How to reach the APIs. Secrets are left out of `repr`."""

    endpoints: Mapping[str, str] = field(default_factory=dict)
    access_token: str | None = field(default=None, repr=False)
    credentials: str | None = field(default=None, repr=False)
    impersonate: str | None = None
    timeout: float = _TIMEOUT

    @property
    def is_emulator(self) -> bool:
        """Whether the APIs are an emulator's: Google's are reached by https only."""
        return any(url.startswith("http://") for url in self.endpoints.values())

    def endpoint(self, api: str) -> str | None:
        """Return where an API is, as `https://HOST`; None for Google's own address.

        An emulator speaks all the APIs; its token must not go to Google for the ones that weren't named.
        """
        if api not in self.endpoints and self.is_emulator:
            return next(url for url in self.endpoints.values() if url.startswith("http://"))
        return self.endpoints.get(api)


def connection_settings(
    endpoint: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    configuration: Mapping[str, str] | None = None,
    access_token: str | None = None,
    credentials: str | None = None,
    impersonate: str | None = None,
    allow_remote: bool = False,
) -> ConnectionSettings:
    """Put the settings together from what is given and, for the rest, from environment variables.

    Args:
        endpoint: one URL for all APIs, that of the emulator. Without it IMAGING_ENDPOINT counts, then the endpoints of
            the single APIs in the configuration and the environment, then Google's own.
        environment: instead of `os.environ`.
        configuration: the `gcp:` configuration by key, for the endpoints of the single APIs (`ENDPOINT_KEYS`).
        access_token: OAuth token; else GOOGLE_OAUTH_ACCESS_TOKEN.
        credentials: path or content of a key file; else GOOGLE_CREDENTIALS. Application-default credentials find
            GOOGLE_APPLICATION_CREDENTIALS by themselves.
        impersonate: e-mail of a service account; else GOOGLE_IMPERSONATE_SERVICE_ACCOUNT.
        allow_remote: whether the emulator may be on another machine; else IMAGING_ALLOW_REMOTE, set to `true`.

    Raises:
        InputError: an endpoint is not a URL, or not where it may be.
    """
    variables = os.environ if environment is None else environment
    given = configuration or {}
    remote = allow_remote or variables.get(REMOTE_VARIABLE, "").lower() == "true"
    one = endpoint or variables.get(_ENDPOINT_VARIABLE)
    if one:
        if problem := emulator_endpoint_problem(one, allow_remote=remote):
            raise InputError(f"{quoted(one)} {problem}")
        endpoints = dict.fromkeys(ENDPOINT_KEYS, origin_of(one))
    else:
        endpoints = {api: origin_of(url) for api in ENDPOINT_KEYS if (url := endpoint_of(api, given, variables))}
        check_endpoints_of_apis(endpoints, allow_remote=remote)
    return ConnectionSettings(
        endpoints=endpoints,
        access_token=access_token or variables.get("GOOGLE_OAUTH_ACCESS_TOKEN") or None,
        credentials=credentials or variables.get("GOOGLE_CREDENTIALS") or None,
        impersonate=impersonate or variables.get("GOOGLE_IMPERSONATE_SERVICE_ACCOUNT") or None,
    )


class Connection:
    """The APIs for one caller. May be used by many threads: each gets its own transport, as httplib2 needs."""

    def __init__(
        self, settings: ConnectionSettings | None = None, make_http: Callable[[float], httplib2.Http] | None = None
    ) -> None:
        """Remember the settings; nothing is read or sent before the first call.

        Args:
            settings: `connection_settings()` unless given.
            make_http: makes a transport with a timeout in seconds, for tests; `SingleSendHttp` unless given.
        """
        self.settings = settings if settings is not None else connection_settings()
        self._make_http = make_http or (lambda timeout: SingleSendHttp(timeout=timeout))
        self._threads = threading.local()
        self._lock = threading.Lock()
        self._transports: WeakSet[Any] = WeakSet()
        self._credentials: google.auth.credentials.Credentials | None = None

    @property
    def healthcare(self) -> "CloudHealthcareResource":
        """The Cloud Healthcare API, v1."""
        return cast("CloudHealthcareResource", self._service("healthcare"))

    @property
    def bigquery(self) -> "BigqueryResource":
        """The BigQuery API, v2."""
        return cast("BigqueryResource", self._service("bigquery"))

    @property
    def storage(self) -> "StorageResource":
        """The Cloud Storage JSON API, v1."""
        return cast("StorageResource", self._service("storage"))

    @property
    def logging(self) -> "LoggingResource":
        """The Cloud Logging API, v2."""
        return cast("LoggingResource", self._service("logging"))

    @property
    def http(self) -> Any:
        """This thread's transport for calls that no client of an API makes, with the credentials in it."""
        services: dict[str, tuple[Any, Any]] = self._threads.__dict__.setdefault("services", {})
        if "" not in services:
            services[""] = (None, self._transport())
        return services[""][1]

    def reset(self) -> None:
        """Drop this thread's transports, after a connection broke or before a call that must not be repeated."""
        for _, transport in self._threads.__dict__.pop("services", {}).values():
            transport.close()

    def close(self) -> None:
        """Close the transports of all threads. A later call opens new ones."""
        with self._lock:
            transports = list(self._transports)
        for transport in transports:
            transport.close()

    def _service(self, api: str) -> Any:
        services: dict[str, tuple[Any, Any]] = self._threads.__dict__.setdefault("services", {})
        if api not in services:
            services[api] = self._build(api)
        return services[api][0]

    def _build(self, api: str) -> tuple[Any, Any]:
        from googleapiclient import discovery

        transport = self._transport()
        endpoint = self.settings.endpoint(api)
        if endpoint is None:
            service = discovery.build(api, _VERSIONS[api], http=transport, static_discovery=True, cache_discovery=False)
        else:
            # Not client_options.api_endpoint: uploads go to rootUrl, which that leaves as it is.
            document = json.loads(_discovery_document(api)) | {"rootUrl": f"{endpoint}/", "mtlsRootUrl": f"{endpoint}/"}
            service = discovery.build_from_document(document, http=transport)  # type: ignore[attr-defined]
        _keep_collections(service, _description(api))
        return service, transport

    def _transport(self) -> Any:
        import google_auth_httplib2

        transport = google_auth_httplib2.AuthorizedHttp(self._authorize(), http=self._make_http(self.settings.timeout))
        with self._lock:
            self._transports.add(transport)
        return transport

    def _authorize(self) -> "google.auth.credentials.Credentials":
        with self._lock:
            if self._credentials is None:
                self._credentials = _find_credentials(self.settings)
            return self._credentials


class SingleSendHttp(httplib2.Http):
    """A transport that sends each request once.

    httplib2 sends a request again when the connection ends before an answer, whatever the method. Here that would
    start an import or export twice, so the end of a connection is an error; who may repeat the call decides to.
    """

    def request(self, uri: str, *args: Any, **keywords: Any) -> Any:
        """Send one request; arguments and result as in httplib2."""
        if keywords.get("connection_type") is None and len(args) < 5:
            keywords["connection_type"] = _HTTPS if uri.startswith("https://") else _HTTP
        return super().request(uri, *args, **keywords)


class _HTTP(httplib2.HTTPConnectionWithTimeout):
    def getresponse(self) -> http.client.HTTPResponse:
        return _response_or_reset(super().getresponse)


class _HTTPS(httplib2.HTTPSConnectionWithTimeout):
    def getresponse(self) -> http.client.HTTPResponse:
        return _response_or_reset(super().getresponse)


def _response_or_reset(getresponse: Any) -> http.client.HTTPResponse:
    try:
        return cast("http.client.HTTPResponse", getresponse())
    except (http.client.BadStatusLine, http.client.ResponseNotReady) as error:
        raise ConnectionResetError("the connection ended before an answer") from error


def _find_credentials(settings: ConnectionSettings) -> "google.auth.credentials.Credentials":
    if settings.is_emulator:
        return _emulator_credentials(token_for_emulator(settings.access_token))
    return find_credentials(settings.access_token, settings.credentials, settings.impersonate)


def token_for_emulator(given: str | None) -> str:
    """Return the token to send to an emulator: one that names a principal, else `EMULATOR_TOKEN`.

    A real token, which an environment variable may hold, must get neither to an emulator nor into a stack's state.

    Args:
        given: the token of the configuration or the environment.
    """
    return given if given and given.startswith(_PRINCIPAL) else EMULATOR_TOKEN


def _emulator_credentials(token: str) -> "google.auth.credentials.Credentials":
    import google.auth.credentials

    class EmulatorCredentials(google.auth.credentials.Credentials):
        """A token that never expires; refreshing it after a 401 gives the same one again."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.token = token

        def refresh(self, request: object) -> None:
            """Do nothing: the token stays valid."""
            del request

    return EmulatorCredentials()


def _keep_collections(resource: Any, described: Mapping[str, Any]) -> None:
    """Let a client make each of its collections once: `jobs()` writes all of its methods, in 2 to 5 ms, at each call.

    Args:
        resource: the client, or one of its collections.
        described: what its discovery document says of it.
    """
    for name, inner in described.get("resources", {}).items():
        make = getattr(resource, name, None)
        if make is not None:
            setattr(resource, name, functools.cache(functools.partial(_kept_collection, make, inner)))


def _kept_collection(make: Callable[[], Any], described: Mapping[str, Any]) -> Any:
    collection = make()
    _keep_collections(collection, described)
    return collection


@functools.cache
def _description(api: str) -> Mapping[str, Any]:
    # Read only, and so shared: the client gets a document of its own, to do with as it likes.
    return cast("Mapping[str, Any]", json.loads(_discovery_document(api)))


@functools.cache
def _discovery_document(api: str) -> str:
    from googleapiclient import discovery_cache

    document = discovery_cache.get_static_doc(api, _VERSIONS[api])  # type: ignore[no-untyped-call]
    return cast("str", document)
