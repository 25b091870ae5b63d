"""docs/emulator-support.md says what the emulator does."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from emulator.http.discovery import methods
from emulator.server.server import LocalEmulator
from emulator.server.support_table import PAGE, example_path, main, page, supports


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m emulator.server.support_table"


def test_a_page_that_is_not_current_fails_the_check(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path_factory.mktemp("docs") / "emulator-support.md"
    stale.write_text("# Something else\n", encoding="utf-8")
    monkeypatch.setattr("emulator.server.support_table.PAGE", stale)
    assert main(["--check"]) == 1
    assert "python -m emulator.server.support_table" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_every_method_of_every_document_is_on_the_page_and_no_partly_is_without_a_reason() -> None:
    every = supports()
    assert len({(one.id, one.version) for one in every}) == len(every)
    for one in every:
        assert one.state in ("served", "partly", "refused")
        assert (one.state == "partly") <= bool(one.note)
        assert "|" not in one.note


def test_what_the_page_calls_refused_answers_501_and_what_it_calls_served_does_not(emulator: LocalEmulator) -> None:
    paths = {
        (method.id, method.version): example_path(method)
        for one in {(one.api, one.version) for one in supports()}
        for method in methods(*one)
    }
    address = urlsplit(emulator.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    wrong = []
    for one in supports():
        if "at this address" in one.note:
            continue
        # A name without any meaning: a served method answers 400 or 404, or a result, but never that it is not served.
        connection.request(one.http_method, paths[one.id, one.version], headers={"Content-Length": "0"})
        answer = connection.getresponse()
        body = answer.read()
        if (answer.status == 501) != (one.state == "refused"):
            wrong.append((one.id, one.version, one.state, answer.status))
        if answer.status == 501:
            error = json.loads(body)["error"]
            assert error["code"] == 501, one.id
            # Errors of Cloud Storage have no status.
            assert error.get("status") == (None if one.api == "storage" else "UNIMPLEMENTED"), one.id
    connection.close()
    assert wrong == []
