"""From a raw request path to a method and its handler.

Paths are matched segment by segment before percent-decoding, so that an object named ``a/b`` (``a%2Fb`` in the
path) stays one segment. The routes come from Google's discovery documents; handlers are attached to discovery ids.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from . import discovery

if TYPE_CHECKING:
    from starlette.responses import Response

    from .call import Call

#: A handler returns a JSON object, nothing (an empty JSON object is answered), or a ready response.
Handler = Callable[["Call"], "dict[str, Any] | Response | Awaitable[dict[str, Any] | Response | None] | None"]


@dataclass(frozen=True, slots=True)
class Served:
    """A handler and how it is to be run.

    ``blocking`` handlers run in a worker thread, the others on the event loop: those must answer within a
    millisecond or be ``async``. ``streams`` means that the handler reads the request body by itself.
    """

    handler: Handler
    blocking: bool = False
    streams: bool = False
    note: str = ""


class Routes:
    """Handlers of one API, registered by discovery id.

    Args:
        api: name of the API in its discovery document, the first part of every discovery id.
    """

    def __init__(self, api: str) -> None:
        self.api = api
        self.served: dict[str, Served] = {}

    def method(
        self, *ids: str, blocking: bool = False, streams: bool = False, note: str = ""
    ) -> Callable[[Handler], Handler]:
        """Serve the methods with these discovery ids (without the leading API name), in every version that has them.

        Args:
            ids: for instance ``projects.locations.datasets.get``.
            blocking: run the handler in a worker thread.
            streams: the handler reads the body itself (``call.stream()``); it is neither read nor checked before.
            note: what is missing, for the support table; empty if the method is served wholly.
        """

        def register(handler: Handler) -> Handler:
            for name in ids:
                full = f"{self.api}.{name}"
                if full in self.served:
                    raise ValueError(f"{full} has a handler already")
                self.served[full] = Served(handler, blocking, streams, note)
            return handler

        return register


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a discovery document at one path, with its handler if there is one."""

    method: discovery.Method
    served: Served | None
    names: tuple[str, ...]
    plus: tuple[tuple[str, str], ...]
    upload: bool = False

    def parameters(self, values: list[str]) -> dict[str, str]:
        """Path variables by name: those of the flat path, and the joined ones (``name``, ``parent``…)."""
        found = dict(zip(self.names, values, strict=True))
        for name, template in self.plus:
            found[name] = template.format_map(found)
        return found


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    verbs: dict[str, _Node] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)


_VARIABLE = re.compile(r"\{\+?(\w+)\}")

#: Versions without a discovery document, by the version whose paths they share. The alpha track of gcloud calls
#: Cloud Healthcare's v1alpha2, and only there can operations be cancelled.
_ALIASES = {"v1alpha2": "v1beta1"}


class Router:
    """All routes of all served APIs."""

    def __init__(self, routes: Iterable[Routes]) -> None:
        self._root = _Node()
        self.routes: list[Route] = []
        served = {name: entry for group in routes for name, entry in group.served.items()}
        known: set[str] = set()
        for api, version in discovery.DOCUMENTS:
            for method in discovery.methods(api, version):
                known.add(method.id)
                self._add(method, served.get(method.id))
        if unknown := sorted(set(served) - known):
            raise ValueError(f"no discovery document has {', '.join(unknown)}")
        self.method_ids = frozenset(known)

    def find(self, http_method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        """The route for a request, and the decoded path variables; None if no API has such a path."""
        segments = raw_path.lstrip("/").split("/")
        segments[0] = _ALIASES.get(segments[0], segments[0])
        values: list[str] = []
        node = self._root
        last = len(segments) - 1
        for index, segment in enumerate(segments):
            child = node.literals.get(segment)
            if child is None and node.variable is not None and segment:
                text = segment
                child = node.variable
                if index == last and ":" in segment:
                    head, _, verb = segment.rpartition(":")
                    if head and verb in child.verbs:
                        text, child = head, child.verbs[verb]
                values.append(unquote(text))
            if child is None:
                return None
            node = child
        route = node.routes.get(http_method)
        return None if route is None else (route, route.parameters(values))

    def _add(self, method: discovery.Method, served: Served | None) -> None:
        self._add_at(method.flat_path, method, served)
        if method.download_path:
            self._add_at(method.download_path, method, served)
        for path in method.upload_paths:
            self._add_at(path, method, served, upload=True)
            # A resumable upload goes on with PUT, and is cancelled with DELETE, where it began.
            for http_method in ("PUT", "DELETE"):
                self._add_at(path, replace(method, http_method=http_method), served, upload=True)

    def _add_at(self, path: str, method: discovery.Method, served: Served | None, *, upload: bool = False) -> None:
        plus = () if upload else _joined_variables(method)
        names: list[str] = []
        node = self._root
        for segment in path.split("/"):
            found = _VARIABLE.match(segment)
            if found is None:
                node = node.literals.setdefault(segment, _Node())
                continue
            names.append(found[1])
            node.variable = node.variable or _Node()
            node = node.variable
            rest = segment[found.end() :]
            if rest.startswith(":"):
                node = node.verbs.setdefault(rest[1:], _Node())
        route = Route(method, served, tuple(names), plus, upload)
        taken = node.routes.get(method.http_method)
        if taken is None or (taken.served is None and served is not None):
            node.routes[method.http_method] = route
        self.routes.append(route)


def _joined_variables(method: discovery.Method) -> tuple[tuple[str, str], ...]:
    """How each ``{+name}`` of the path is made from the variables of the flat path, as format strings."""
    if "{+" not in method.path:
        return ()
    pattern = re.escape(method.path)
    pattern = re.sub(r"\\\{\\?\+?(\w+)\\\}", r"(?P<\1>.+)", pattern)
    found = re.fullmatch(pattern, method.flat_path)
    if found is None:
        return ()
    own = set(_VARIABLE.findall(method.flat_path))
    return tuple((name, text) for name, text in found.groupdict().items() if name not in own)
