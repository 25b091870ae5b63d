"""Checks before anything is declared: each API is asked at its own host, and what passes by itself is waited for."""

import json
from typing import Any

import httplib2
import pytest

from components.access.google_rest import HOSTS, GoogleRest, RestError
from operations.google.connection import Connection, connection_settings
from tests.unit.operations.service import SimulatedClock

ENDPOINTS = {
    "healthcareCustomEndpoint": "https://europe-west4-healthcare.googleapis.com/v1beta1/",
    "bigQueryCustomEndpoint": "https://bigquery-psc.example.org/bigquery/v2/",
}
Answer = tuple[int, bytes] | Exception


class Google:
    """Answers in turn, the last one again and again, and remembers who was asked."""

    def __init__(self, *answers: Answer, **given: Any) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.clock = SimulatedClock()
        self._answers = list(answers) or [(200, b"{}")]
        settings = connection_settings(environment={}, access_token="ya29.real", **given)
        self.rest = GoogleRest(Connection(settings, lambda _timeout: self), self.clock)  # type: ignore[arg-type, return-value]

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **_more: Any) -> Any:
        del body
        self.asked.append((method, uri, dict(headers or {}).get("authorization")))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httplib2.Response({"status": str(answer[0])}), answer[1]

    def close(self) -> None:
        """A transport can be closed."""


@pytest.mark.parametrize("api", sorted(HOSTS))
def test_each_api_is_asked_at_its_own_host(api: str) -> None:
    google = Google(configuration=ENDPOINTS)
    google.rest.call(api, "GET", "v1/x")
    hosts = {
        "healthcare": "https://europe-west4-healthcare.googleapis.com",
        "bigquery": "https://bigquery-psc.example.org",
    }
    assert google.asked == [("GET", f"{hosts.get(api, HOSTS[api])}/v1/x", "Bearer ya29.real")]


@pytest.mark.parametrize("api", sorted(HOSTS))
def test_an_emulator_is_asked_for_everything_and_sees_no_real_token(api: str) -> None:
    google = Google(endpoint="http://127.0.0.1:8085")
    google.rest.call(api, "GET", "v1/x")
    assert google.asked == [("GET", "http://127.0.0.1:8085/v1/x", "Bearer /dev/null/emulator")]


@pytest.mark.parametrize("passing", [(429, b""), (503, b""), ConnectionResetError("gone")])
def test_what_passes_by_itself_is_asked_again(passing: Answer) -> None:
    google = Google(passing, (200, b'{"a": 1}'))
    assert google.rest.call("storage", "GET", "b") == {"a": 1}
    assert len(google.asked) == 2
    assert google.clock.monotonic() >= 1.0


def test_what_does_not_pass_is_left_after_a_while() -> None:
    google = Google((503, b"later"))
    begin = google.clock.monotonic()
    with pytest.raises(RestError) as refused:
        google.rest.call("storage", "GET", "b")
    assert refused.value.status == 503
    assert google.clock.monotonic() - begin <= 20.0


def test_a_refusal_is_given_in_googles_words_and_not_repeated() -> None:
    google = Google((403, json.dumps({"error": {"code": 403, "message": "no access"}}).encode()))
    with pytest.raises(RestError, match="no access") as refused:
        google.rest.call("storage", "GET", "b")
    assert (refused.value.status, len(google.asked)) == (403, 1)


def test_a_mistake_of_ours_is_not_called_a_check_that_was_not_possible() -> None:
    google = Google(AssertionError("a mistake"))
    with pytest.raises(AssertionError):
        google.rest.call("storage", "GET", "b")
