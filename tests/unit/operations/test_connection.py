"""Where the APIs are, who is calling, and a transport that sends nothing twice."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from operations.google.connection import (
    EMULATOR_TOKEN,
    Connection,
    SingleSendHttp,
    connection_settings,
    token_for_emulator,
)
from operations.google.endpoints import ENDPOINT_KEYS
from operations.model.invalid import InputError

URL = "http://127.0.0.1:8085"


@pytest.mark.parametrize("url", ["127.0.0.1:8085", "ftp://host", "http://", ""])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    if not url:
        assert connection_settings("", environment={}).endpoints == {}
        return
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:8085"):
        connection_settings(url, environment={})


def test_without_anything_the_apis_are_googles() -> None:
    settings = connection_settings(environment={})
    assert (settings.endpoints, settings.is_emulator, settings.access_token) == ({}, False, None)


def test_one_endpoint_stands_for_all_apis() -> None:
    for settings in (
        connection_settings(f"{URL}/", environment={}),
        connection_settings(environment={"IMAGING_ENDPOINT": URL}),
    ):
        assert {api: settings.endpoint(api) for api in ENDPOINT_KEYS} == dict.fromkeys(ENDPOINT_KEYS, URL)


def test_the_providers_variables_are_known_and_an_emulators_token_goes_to_no_api_of_googles() -> None:
    settings = connection_settings(environment={"GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": f"{URL}/v1beta1/"})
    assert {api: settings.endpoint(api) for api in ENDPOINT_KEYS} == dict.fromkeys(ENDPOINT_KEYS, URL)


def test_an_endpoint_with_https_is_no_emulator() -> None:
    variables = {"GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": "https://healthcare-psc.example.org/v1/"}
    settings = connection_settings(environment=variables)
    assert not settings.is_emulator
    assert settings.endpoints == {"healthcare": "https://healthcare-psc.example.org"}


def test_secrets_do_not_show() -> None:
    settings = connection_settings(environment={}, access_token="s3cret", credentials='{"private_key": "s3cret"}')
    assert "s3cret" not in repr(settings)


def test_a_client_makes_each_of_its_collections_once_and_another_after_a_reset() -> None:
    connection = Connection(connection_settings("http://127.0.0.1:9"))

    def stores() -> object:
        return connection.healthcare.projects().locations().datasets().dicomStores()

    first = [connection.bigquery.jobs(), connection.storage.objects(), connection.logging.entries(), stores()]
    again = [connection.bigquery.jobs(), connection.storage.objects(), connection.logging.entries(), stores()]
    assert [one is other for one, other in zip(first, again, strict=True)] == [True] * 4
    connection.reset()  # a collection sends through the transport that it was made with
    assert connection.bigquery.jobs() is not first[0]
    assert stores() is not first[3]


def test_each_thread_has_a_transport_of_its_own() -> None:
    connection = Connection(connection_settings(URL, environment={}))
    seen: list[object] = [connection.healthcare]
    thread = threading.Thread(target=lambda: seen.append(connection.healthcare))
    thread.start()
    thread.join()
    assert connection.healthcare is seen[0]
    assert seen[0] is not seen[1]


@pytest.fixture
def hanging_up() -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads each request and ends the connection without an answer."""
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with accepted:
                received.append(accepted.recv(65536))

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/", received
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_whose_answer_is_lost_is_not_sent_again_by_the_transport(
    method: str, hanging_up: tuple[str, list[bytes]]
) -> None:
    url, received = hanging_up
    transport = SingleSendHttp(timeout=5)
    with pytest.raises(ConnectionResetError):
        transport.request(url, method, body=b"{}" if method == "POST" else None)
    transport.close()
    assert len(received) == 1


@pytest.mark.parametrize("token", ["ya29.a-real-one", "owner", None, ""])
def test_no_real_token_goes_to_an_emulator(token: str | None) -> None:
    assert token_for_emulator(token) == EMULATOR_TOKEN
    assert token_for_emulator("principal:user:a@example.org") == "principal:user:a@example.org"


def test_each_api_has_an_endpoint_of_its_own() -> None:
    configuration = {
        "healthcareCustomEndpoint": "https://europe-west4-healthcare.googleapis.com/v1beta1/",
        "kmsCustomEndpoint": "https://kms-psc.example.org/v1/",
    }
    variables = {
        "GOOGLE_BIG_QUERY_CUSTOM_ENDPOINT": "https://bigquery-psc.example.org/bigquery/v2/",
        "GOOGLE_CLOUD_RESOURCE_MANAGER_CUSTOM_ENDPOINT": "https://crm-psc.example.org/v1/",
        "GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": "https://not-this-one.example.org/v1/",
    }
    settings = connection_settings(environment=variables, configuration=configuration)
    assert {api: settings.endpoint(api) for api in ENDPOINT_KEYS} == {
        "healthcare": "https://europe-west4-healthcare.googleapis.com",
        "bigquery": "https://bigquery-psc.example.org",
        "cloudkms": "https://kms-psc.example.org",
        "cloudresourcemanager": "https://crm-psc.example.org",
        "storage": None,
        "logging": None,
        "pubsub": None,
    }
    assert not settings.is_emulator


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"endpoint": "https://127.0.0.1:8085"}, "the emulator speaks http"),
        ({"endpoint": "http://10.0.0.7:8085"}, "is not on this machine"),
        ({"endpoint": "http://localhost.example.org:8085"}, "is not on this machine"),
        ({"endpoint": "http://127.0.0.1.example.org:8085"}, "is not on this machine"),
        ({"configuration": {"storageCustomEndpoint": "http://10.0.0.7/storage/v1/"}}, "is not on this machine"),
        (
            {"configuration": {"storageCustomEndpoint": URL, "bigQueryCustomEndpoint": "https://b.example.org/"}},
            "must not go to Google",
        ),
    ],
)
def test_no_token_goes_where_it_must_not(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        connection_settings(**given, environment={})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_this_machine_goes_by_several_names(host: str) -> None:
    assert connection_settings(f"http://{host}:8085", environment={}).is_emulator


def test_an_emulator_elsewhere_has_to_be_allowed() -> None:
    url = "http://emulator.example.org:8085"
    assert connection_settings(url, environment={}, allow_remote=True).endpoint("healthcare") == url
    assert connection_settings(url, environment={"IMAGING_ALLOW_REMOTE": "true"}).endpoint("healthcare") == url
