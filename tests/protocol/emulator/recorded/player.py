"""Plays a recorded scene on the emulator, request by request, and tells in what the answers differ.

A scene is a file of JSON lines: ``{"method", "host", "path", "query", "body", "status", "answer"}``. What differs from
run to run stands in it as ``${projectId}``, ``${uniqueId}`` and so on, or as one of the values of :data:`_STAND_INS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulator.core.projects import project_number
from emulator.server.app import Application

from ..conftest import Rest

PROJECT = "recorded-scenes"
_UNIQUE = "r3c0rd3d"
#: What the recordings write where Google's answer had an etag; a request sends the last one that was answered.
_ETAG = "abcdef0123A="
#: Etags, times, numbers and keys that the recordings replaced: only their types are compared.
_STAND_INS = re.compile(r"abcdef0123A=?|20\d\d-\d\d-01T12:34:56(\.\d+)?Z|0{9,}|1{9,}|8{9,}|12345678\d*|BwXXYYY.*")
_PLACEHOLDER = re.compile(r"\\\$\\\{(\w+)\\\}")
#: What the recordings have in place of Google's milliseconds and of the caller's address, and what is sent instead.
_REPLACED = {
    "2024-09-01T12:34:56.123456Z": "4102444800000",
    "user@google.com": "owner@example.com",
    "placeholder@example.com": "owner@example.com",
}
#: Lists whose order says nothing: they are compared as sets.
_SETS = frozenset({"bindings", "members", "acl", "defaultObjectAcl", "access", "permissions"})
#: Services by host, in the order in which they are told.
SERVICES = {
    "storage.googleapis.com": "storage",
    "bigquery.googleapis.com": "bigquery",
    "pubsub.googleapis.com": "pubsub",
    "cloudkms.googleapis.com": "kms",
    "iam.googleapis.com": "iam",
    "serviceusage.googleapis.com": "serviceusage",
    "cloudresourcemanager.googleapis.com": "projects",
}


@dataclass(frozen=True)
class Played:
    """One request of a scene, played.

    Attributes:
        scene: name of the file, without its ending.
        line: of the file, from 1.
        service: one of :data:`SERVICES`.
        method: the API method's id.
        differences: each ``where: recorded -> answered``; none if the answers are the same.
    """

    scene: str
    line: int
    service: str
    method: str
    differences: tuple[str, ...]


def play(scene: Path, rest: Rest, application: Application) -> Iterator[Played]:
    """Play a scene on an empty emulator.

    Args:
        scene: the file.
        rest: sends a request.
        application: tells which methods the emulator serves.

    Yields:
        One for each request to a method that the emulator serves; the others are sent nowhere.
    """
    chosen = {"projectId": PROJECT, "projectNumber": project_number(PROJECT), "uniqueId": _UNIQUE}
    bound: dict[str, str] = {}
    etag = ""
    for number, line in enumerate(scene.read_text().splitlines(), start=1):
        recorded = json.loads(line)
        service = SERVICES.get(recorded["host"])
        known = bound | chosen
        path = _filled(recorded["path"], known)
        found = None if service is None or "${" in path else application.router.find(recorded["method"], path)
        if service is None or found is None or found[0].served is None:
            continue
        body = recorded["body"]
        if body is not None:
            body = json.loads(_filled(json.dumps(body).replace(_ETAG, etag), known | _REPLACED))
        query = _filled(recorded["query"] or "", known)
        answer = rest(recorded["method"], f"{path}?{query}" if query else path, body)
        etag = _etag_in(answer.json) or etag
        differences = list(Comparison(application, chosen, bound).compare(recorded["answer"] or {}, answer.json, ""))
        if answer.status != recorded["status"]:
            differences = [f"status: {recorded['status']} -> {answer.status} {answer.message}"]
        yield Played(scene.stem, number, service, found[0].method.id, tuple(differences))


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name if name in _REPLACED else "${" + name + "}", value)
    return text


def _etag_in(answer: dict[str, Any]) -> str | None:
    """The etag of an answer; an operation has that of what it made."""
    found: str | None = answer.get("etag")
    return found


class Comparison:
    """Compares an answer with the recorded one.

    Args:
        application: the emulator, which knows the numbers of its projects.
        chosen: values of the placeholders that a scene is played with.
        bound: values of the others, from the answers; new ones are added.
    """

    def __init__(self, application: Application, chosen: dict[str, str], bound: dict[str, str]) -> None:
        self._chosen = chosen
        self._bound = bound
        # A scene may be of several projects, whose numbers are all ${projectNumber}.
        numbers = [project_number(project) for project in application.emulator.projects.all()]
        self._number = "(?:" + "|".join([chosen["projectNumber"], *numbers]) + ")"

    def compare(self, recorded: Any, answered: Any, at: str) -> Iterator[str]:
        """The differences below a path."""
        if isinstance(recorded, dict) and isinstance(answered, dict):
            for name in sorted(recorded.keys() | answered.keys()):
                inner = f"{at}.{name}" if at else name
                if name not in answered:
                    yield f"{inner}: {_shown(recorded[name])} -> missing"
                elif name not in recorded:
                    yield f"{inner}: missing -> {_shown(answered[name])}"
                else:
                    yield from self.compare(recorded[name], answered[name], inner)
        elif isinstance(recorded, list) and isinstance(answered, list) and len(recorded) == len(answered):
            yield from self._lists(recorded, answered, at)
        elif not self._same(recorded, answered):
            yield f"{at}: {_shown(recorded)} -> {_shown(answered)}"

    def _lists(self, recorded: list[Any], answered: list[Any], at: str) -> Iterator[str]:
        if at.rpartition(".")[2] not in _SETS:
            for index, (left, right) in enumerate(zip(recorded, answered, strict=True)):
                yield from self.compare(left, right, f"{at}[{index}]")
            return
        left_over = list(answered)
        for item in recorded:
            match = next((one for one in left_over if not any(self.compare(item, one, at))), None)
            if match is None:
                yield f"{at}[]: {_shown(item)} -> missing"
            else:
                left_over.remove(match)
        for item in left_over:
            yield f"{at}[]: missing -> {_shown(item)}"

    def _same(self, recorded: Any, answered: Any) -> bool:
        if type(recorded) is not type(answered):
            return False
        if not isinstance(recorded, str):
            return bool(recorded == answered)
        if _STAND_INS.fullmatch(recorded):
            return True
        if recorded.startswith("https://") and answered.startswith("http://127.0.0.1:"):
            # Links lead to the emulator itself, so that clients can follow them.
            recorded, answered = urlsplit(recorded).path, urlsplit(answered).path
        chosen = {name: value for name, value in self._chosen.items() if name != "projectNumber"}
        pattern = re.escape(_filled(recorded, {**chosen, **_REPLACED}))
        pattern = pattern.replace(re.escape("${projectNumber}"), self._number)
        pattern = _PLACEHOLDER.sub(r"(?P<\1>[^/]+)", pattern, count=1)
        match = re.fullmatch(pattern, answered)
        if match is None:
            return False
        self._bound |= match.groupdict()
        return True


def _shown(value: Any) -> str:
    return json.dumps(value)[:300]
