"""Where the APIs are, who is calling, and a transport that sends nothing twice."""

import socket
import threading
from collections.abc import Iterator

import pytest

from operations.google.connection import (
    EMULATOR_TOKEN,
    Connection,
    SingleSendHttp,
    connection_settings,
    token_for_emulator,
)
from operations.model.invalid import InputError

URL = "http://127.0.0.1:8085"


@pytest.mark.parametrize("url", ["127.0.0.1:8085", "ftp://host", "http://", ""])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    if not url:
        assert connection_settings("", environment={}).endpoints == {}
        return
    with pytest.raises(InputError, match=r"write http://127\.0\.0\.1:8085"):
        connection_settings(url, environment={})


def test_without_anything_the_apis_are_googles() -> None:
    settings = connection_settings(environment={})
    assert (settings.endpoints, settings.is_emulator, settings.access_token) == ({}, False, None)


def test_one_endpoint_stands_for_all_apis() -> None:
    apis = ("healthcare", "bigquery", "storage", "logging")
    assert connection_settings(f"{URL}/", environment={}).endpoints == dict.fromkeys(apis, URL)
    assert connection_settings(environment={"IMAGING_ENDPOINT": URL}).endpoints == dict.fromkeys(apis, URL)


def test_the_providers_variables_are_known_and_an_emulators_token_goes_to_no_api_of_googles() -> None:
    settings = connection_settings(environment={"GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": f"{URL}/v1beta1/"})
    assert settings.endpoints == dict.fromkeys(("healthcare", "bigquery", "storage", "logging"), URL)


def test_an_endpoint_with_https_is_no_emulator() -> None:
    variables = {"GOOGLE_HEALTHCARE_CUSTOM_ENDPOINT": "https://healthcare-psc.example.org/v1/"}
    settings = connection_settings(environment=variables)
    assert not settings.is_emulator
    assert settings.endpoints == {"healthcare": "https://healthcare-psc.example.org"}


def test_secrets_do_not_show() -> None:
    settings = connection_settings(environment={}, access_token="s3cret", credentials='{"private_key": "s3cret"}')
    assert "s3cret" not in repr(settings)


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
