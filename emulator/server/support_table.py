"""Writes docs/emulator-support.md: which methods are served, partly served, refused.

Run it with ``python -m emulator.server.support_table``.
The page is made of the discovery documents and the registered handlers, so it can't say anything else than what the
emulator does. ``--check`` writes nothing and fails if the page isn't current.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..http import discovery
from ..http.routing import Router
from .services import all_routes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "emulator-support.md"

#: How a note begins whose handler refuses the method with a reason.
_REFUSED = "refused with 501"

_TITLES = {
    "healthcare": "Cloud Healthcare",
    "bigquery": "BigQuery",
    "storage": "Cloud Storage (JSON)",
    "cloudresourcemanager": "Resource Manager",
    "serviceusage": "Service Usage",
    "cloudbilling": "Cloud Billing",
    "logging": "Cloud Logging",
    "pubsub": "Pub/Sub",
    "cloudkms": "Cloud KMS",
    "iam": "IAM",
}

_INTRODUCTION = """\
<!-- Written by `python -m emulator.server.support_table`; the notes stand where the handlers are registered. -->
# What the emulator serves

Every method of the discovery documents that google-api-python-client ships is here, in one of three states:

* **served**: as the document describes it;
* **partly**: served, but for what the last column says;
* **refused**: the answer is 501 `UNIMPLEMENTED` in Google's shape. Nothing is made up.

Addresses that no document has are answered with 404.
"""


@dataclass(frozen=True, slots=True)
class Support:
    """How one method of one version is supported.

    Attributes:
        id: discovery id.
        api, version: the document it is from.
        http_method: its HTTP method.
        state: ``served``, ``partly`` or ``refused``.
        note: what is missing, or why it is refused.
    """

    id: str
    api: str
    version: str
    http_method: str
    state: str
    note: str = ""

    @property
    def name(self) -> str:
        """The discovery id without the name of the API."""
        return self.id.partition(".")[2]


def supports() -> list[Support]:
    """Every method of every document once, in the order of the documents."""
    router = Router(all_routes())
    served = {
        (route.method.id, route.method.version): route.served for route in router.routes if route.served is not None
    }
    found = []
    for api, version in discovery.DOCUMENTS:
        for method in discovery.methods(api, version):
            handler = served.get((method.id, version))
            note = "" if handler is None else handler.note
            if handler is None or note.startswith(_REFUSED):
                state, note = "refused", note.removeprefix(_REFUSED).lstrip(": ") or _other_at(router, method)
            else:
                state = "partly" if note else "served"
            found.append(Support(method.id, api, version, method.http_method, state, note))
    return found


def example_path(method: discovery.Method) -> str:
    """A path of the method, with ``x`` for every variable."""
    return "/" + re.sub(r"\{\+?\w+\}", "x", method.flat_path)


def _other_at(router: Router, method: discovery.Method) -> str:
    """Which served method of another API has the same address; Google tells them apart by the host."""
    there = router.find(method.http_method, example_path(method))
    if there is None or there[0].served is None:
        return ""
    return f"at this address, `{there[0].method.id}` is served"


def page() -> str:
    """The text of the page."""
    every = supports()
    return "\n".join([_INTRODUCTION, *_overview(every), *(line for api in _TITLES for line in _section(api, every))])


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it; returns the exit status."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        print(f"error: docs/{PAGE.name} is not current; run python -m emulator.server.support_table", file=sys.stderr)
        return 1
    return 0


def _overview(every: list[Support]) -> Iterator[str]:
    yield "| API | version | served | partly | refused |"
    yield "|---|---|---:|---:|---:|"
    for api, version in discovery.DOCUMENTS:
        states = [one.state for one in every if (one.api, one.version) == (api, version)]
        counts = " | ".join(str(states.count(state)) for state in ("served", "partly", "refused"))
        yield f"| {_TITLES[api]} | {version} | {counts} |"
    yield ""


def _section(api: str, every: list[Support]) -> Iterator[str]:
    own = [one for one in every if one.api == api]
    yield f"## {_TITLES[api]}"
    yield ""
    yield "| method | versions | HTTP | state | what is missing |"
    yield "|---|---|---|---|---|"
    for versions, one in _by_version(one for one in own if one.state != "refused"):
        yield f"| `{one.name}` | {versions} | {one.http_method} | {one.state} | {one.note} |"
    yield ""
    refused = list(_by_version(one for one in own if one.state == "refused"))
    if not refused:
        return
    yield "Refused:"
    yield ""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for versions, one in refused:
        resource, _, method = one.name.rpartition(".")
        groups.setdefault((resource, versions, one.note), []).append(method)
    for (resource, versions, note), methods in groups.items():
        reason = f" ({note})" if note else ""
        yield f"* `{resource}` ({versions}): {', '.join(methods)}{reason}"
    yield ""


def _by_version(own: Iterable[Support]) -> list[tuple[str, Support]]:
    """Methods that are the same in several versions, once, with those versions."""
    versions: dict[tuple[str, str, str, str], list[str]] = {}
    kept: dict[tuple[str, str, str, str], Support] = {}
    for one in own:
        key = (one.id, one.http_method, one.state, one.note)
        versions.setdefault(key, []).append(one.version)
        kept.setdefault(key, one)
    return [(", ".join(versions[key]), kept[key]) for key in kept]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
