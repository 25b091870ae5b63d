"""The console in a real browser: Chromium without a window, driven over its debugging pipe."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from emulator.server.server import LocalEmulator

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = [pytest.mark.clients, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


class Browser:
    """One page of a browser. https://chromedevtools.github.io/devtools-protocol/"""

    def __init__(self, profile: Path) -> None:
        to_read, self._out = os.pipe()
        self._in, to_write = os.pipe()
        # The browser reads commands from descriptor 3 and writes answers to 4.
        starter = f"import os, sys; os.dup2({to_read}, 3); os.dup2({to_write}, 4); os.execv(sys.argv[1], sys.argv[1:])"
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
        command = [sys.executable, "-c", starter, str(CHROMIUM), *options, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._numbers = itertools.count(1)
        self._received = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait(20)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], 60)
            assert ready, "the browser says nothing for a minute"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser ended"
            self._received += data
        first, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message

    def open(self, url: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.loaded()

    def loaded(self) -> None:
        """Wait for the page that was opened, or that a form leads to, since ``events`` was cleared."""
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true; the page's own clock gives up after 20 seconds."""
        script = (
            "new Promise((good, bad) => { const from = Date.now(); const look = () => "
            f"({condition}) ? good(true) : Date.now() - from > 20000 ? bad(document.body.innerText) "
            ": setTimeout(look, 50); look(); })"
        )
        assert self.run(script) is True

    def key(self, key: str, *, control: bool = False) -> None:
        modifiers = 2 if control else 0
        codes = {"Enter": 13, "/": 191, "Tab": 9}
        common = {"key": key, "modifiers": modifiers, "windowsVirtualKeyCode": codes[key]}
        text = {"text": key} if key == "/" else {"text": "\r"} if key == "Enter" and not control else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def complaints(self) -> list[str]:
        """What the browser logged as wrong: refused scripts and styles, failed loads."""
        self.run("1")
        entries = [one["params"]["entry"] for one in self.events if one.get("method") == "Log.entryAdded"]
        thrown = [str(one["params"]) for one in self.events if one.get("method") == "Runtime.exceptionThrown"]
        return thrown + [
            one["text"] for one in entries if one["level"] == "error" and "favicon" not in one.get("url", "")
        ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def send(emulator: LocalEmulator, http_method: str, path: str, body: Any) -> None:
    data = json.dumps(body).encode()
    request = urllib.request.Request(
        emulator.url + path, data, {"Content-Type": "application/json"}, method=http_method
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()


DATASETS = "/v1/projects/hospital-imaging/locations/europe-west4/datasets"


def test_a_page_changes_when_the_emulator_does_and_without_the_page(emulator: LocalEmulator, browser: Browser) -> None:
    browser.open(emulator.url + "/console/healthcare")
    assert "No dataset yet." in browser.run("document.body.innerText")
    send(emulator, "POST", f"{DATASETS}?datasetId=radiology", {})
    browser.until("document.body.innerText.includes('radiology')")
    assert browser.complaints() == []


def test_an_operation_moves_its_bar_until_it_is_done(emulator: LocalEmulator, browser: Browser) -> None:
    emulator.control("PATCH", "settings", {"operationSeconds": 2})
    send(emulator, "POST", f"{DATASETS}?datasetId=radiology", {})
    browser.open(emulator.url + "/console/operations")
    browser.until("document.querySelector('.pill.good')?.textContent === 'done'")
    assert browser.complaints() == []


def test_the_keyboard_is_enough(emulator: LocalEmulator, browser: Browser) -> None:
    for name in ("inbox-1", "outbox-1"):
        send(emulator, "POST", "/storage/v1/b?project=hospital-imaging", {"name": name})
    browser.open(emulator.url + "/console/iam")
    browser.key("/")
    assert browser.run("document.activeElement.type") == "search"
    browser.call("Input.insertText", text="legacyBucketReader")
    assert browser.run("[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).length") == 2
    browser.open(emulator.url + "/console/query")
    browser.until("document.activeElement.id === 'sql'")
    browser.call("Input.insertText", text="SELECT 40 + 2 AS answer")
    browser.events.clear()
    browser.key("Enter", control=True)
    browser.loaded()
    assert browser.run("document.querySelectorAll('h2').length") == 2, "the query, and below it what came of it"
    assert browser.run("document.querySelector('textarea').value") == "SELECT 40 + 2 AS answer"
    assert browser.complaints() == []


def test_the_first_tab_leads_past_the_navigation(emulator: LocalEmulator, browser: Browser) -> None:
    browser.open(emulator.url + "/")
    browser.key("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to content"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_its_ground(
    emulator: LocalEmulator, browser: Browser, scheme: str, tmp_path: Path
) -> None:
    send(emulator, "POST", "/storage/v1/b?project=hospital-imaging", {"name": "inbox-1"})
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(emulator.url + "/")
    ground, text = browser.run(
        "['background-color','color'].map(name => getComputedStyle(document.body).getPropertyValue(name))"
    )
    bright, dark = (sum(int(part) for part in one[4:-1].split(",")) for one in (ground, text))
    assert (bright > dark) is (scheme == "light")
    assert abs(bright - dark) > 3 * 150
    picture = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
    (tmp_path / "overview.png").write_bytes(picture)
    assert picture.startswith(b"\x89PNG")
