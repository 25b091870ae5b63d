"""A resource type as a table row, and what the plugin does with one: check, compare, create, read, update, delete."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any, Literal

from engine.plugins.gcp import checking, comparing
from engine.plugins.gcp.fields import ZERO, Field, from_wire, mapping, put, text, to_wire, value_to_wire, without_empty
from engine.plugins.gcp.rest import ApiError, expand, plain
from engine.plugins.gcp.values import UNKNOWN, Properties, has_unknown, without_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.plugins.gcp.provider import Provider

NOT_FOUND = 404
AWAITED_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0)
"""Seconds between looks at a resource that was created and is not there yet."""

KEPT = "__kept"
"""Among the values for a call: which of them the program did not give, so that they come from the state."""


class ResourceError(Exception):
    """An operation that can't be done, with what to do instead."""


class PartlyCreated(Exception):  # noqa: N818 - the resource exists; this says how far it came
    """The resource exists, but bringing it fully up failed.

    Args:
        identity: its id.
        outputs: its state as far as it is known.
        reason: what failed.
    """

    def __init__(self, identity: str, outputs: Properties, reason: str) -> None:
        super().__init__(reason)
        self.identity = identity
        self.outputs = outputs
        self.reason = reason


@dataclass(frozen=True)
class State:
    """A resource as it is now.

    Args:
        identity: its id, in the official form.
        outputs: all its properties.
    """

    identity: str
    outputs: Properties


PROJECT = text("project", wire=None, keeps=True, replaces=True)
DELETION_POLICY = text("deletionPolicy", wire=None, keeps=True)
LABELS = (
    mapping("labels", wire=None, read_back=True),
    mapping("pulumiLabels", wire=None, output=True),
    mapping("effectiveLabels", wire=None, output=True),
)
SELF_LINK = text("selfLink", output=True)


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One type of the provider.

    Args:
        token: its type token, for example `gcp:storage/bucket:Bucket`.
        api: the API that holds it.
        fields: its properties.
        identity: the template of its id; `{+name}` marks what holds slashes.
        collection: the template of the URL that creates it, below the API's address.
        resource: the template of its own URL.
        imports: other forms of the id that an import may give.
        create_query: query parameters of the creating call, as templates.
        query: query parameters of every other call.
        create_method: POST, or PUT where the caller names the resource.
        update: how it is changed: `mask` is PATCH with an `updateMask`, `patch` without one, `put` the whole of it.
        always: query parameters of all calls, for APIs that the official plugin calls through a client of Google's.
        omits_empty: whether empty values are left out of what is sent, as where that plugin's code is generated.
        awaited: whether a resource that was created is looked for until it is there, before it is read.
        named: whether it gets a name when the program gives none.
        pending: the words of a 404 that says the resource is still being made; the call is repeated.
        official_only: properties of the official plugin that this table does not have, with what its state holds for
            them where they are not set.
        on: functions that replace or complete the generic steps.
    """

    token: str
    api: str
    fields: tuple[Field, ...]
    identity: str
    collection: str
    resource: str
    imports: tuple[str, ...] = ()
    create_query: Mapping[str, str] | None = None
    query: Mapping[str, str] | None = None
    create_method: Literal["POST", "PUT"] = "POST"
    update: Literal["mask", "patch", "put"] = "mask"
    always: Mapping[str, str] | None = None
    omits_empty: bool = False
    awaited: bool = False
    named: bool = True
    pending: str = ""
    official_only: Mapping[str, Any] = dataclass_field(default_factory=dict)
    on: Steps | None = None

    def check(
        self, olds: Mapping[str, Any], news: Mapping[str, Any], name: str, seed: bytes
    ) -> tuple[Properties, list[checking.Failure]]:
        """The inputs with names and defaults filled in, and what is wrong with them."""
        inputs, failures = checking.check(self.token, self.fields, news, frozenset(self.official_only))
        if self.named:
            checking.fill_name(inputs, olds, name, seed)
        return inputs, failures

    def changes(
        self, provider: Provider, inputs: Mapping[str, Any], outputs: Mapping[str, Any], news: Mapping[str, Any]
    ) -> list[comparing.Change]:
        """What an update would change.

        Args:
            provider: the configured provider.
            inputs: the old inputs.
            outputs: the old state.
            news: the checked new inputs.
        """
        found = comparing.changes(self.fields, inputs, news)
        paths = {each.top for each in found}
        if self._has("project") and "project" not in paths and "project" not in news:
            old = outputs.get("project")
            if old and provider.project and old != provider.project:
                found.append(comparing.Change("project", "update", replaces=True))
        if self._has("pulumiLabels") and "labels" not in paths and not has_unknown(news.get("labels")):
            ours = provider.labels(_labels(news), outputs.get("effectiveLabels") or {})
            if ours != (outputs.get("pulumiLabels") or {}):
                found.append(comparing.Change("pulumiLabels", "update", replaces=False))
        if self.on and self.on.must_replace:
            found = [
                comparing.Change(each.path, each.kind, each.replaces or self.on.must_replace(each, inputs, news))
                for each in found
            ]
        return found

    def deletes_first(self, inputs: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
        """Whether a replacement must wait for the deletion: both would have the name that the program gave."""
        return (
            self.named
            and "name" not in (news.get("__defaults") or [])
            and news.get("name") == inputs.get("name")
            and news.get("name") != UNKNOWN
        )

    def planned(self, provider: Provider, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None) -> Properties:
        """What a preview shows: the inputs, what is known of the rest, and the engine's mark for what is not."""
        plan = dict(outputs) if outputs else {each.name: UNKNOWN for each in self.fields if each.output or each.keeps}
        for field in self.fields:
            if field.output:
                continue
            if field.name in inputs:
                plan[field.name] = without_defaults(inputs[field.name])
            elif not field.keeps:
                plan[field.name] = ZERO[field.kind]
        if self._has("project") and not inputs.get("project") and provider.project:
            plan["project"] = provider.project
        if self._has("deletionPolicy") and not inputs.get("deletionPolicy"):
            plan["deletionPolicy"] = (outputs or {}).get("deletionPolicy") or "DELETE"
        if self._has("pulumiLabels"):
            self._plan_labels(provider, inputs, outputs, plan)
        if outputs is None:
            plan["id"] = UNKNOWN
        return plan

    def create(self, provider: Provider, inputs: Mapping[str, Any]) -> State:
        """Makes the resource and reads it back."""
        values = self._values(provider, inputs, None)
        if self.on and self.on.create:
            return self.on.create(self, provider, values)
        body = self._body(values, creating=True)
        query = {name: expand(value, values) for name, value in (self.create_query or {}).items()}
        answer = self.call(provider, self.create_method, self._url(provider, self.collection, values), body, query)
        identity = plain(self.identity, values)
        try:
            if self.on and self.on.created:
                self.on.created(self, provider, values, answer)
            if self.awaited:
                self._await(provider, values)
            state = self.read(provider, identity, values)
        except ApiError as error:
            raise PartlyCreated(identity, _known(values, identity), str(error)) from error
        if state is None:
            message = f"{self.token} was created, but reading it back found nothing"
            raise PartlyCreated(identity, _known(values, identity), message)
        return state

    def read(self, provider: Provider, identity: str, values: Mapping[str, Any]) -> State | None:
        """The resource as it is, or None where it is gone.

        Args:
            provider: the configured provider.
            identity: its id.
            values: its known state; empty for an import.
        """
        if self.on and self.on.read:
            return self.on.read(self, provider, identity, values)
        try:
            answer = self.call(provider, "GET", self._url(provider, self.resource, values), None, self.query)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return self.state(identity, values, answer)

    def change(
        self,
        provider: Provider,
        identity: str,
        olds: Mapping[str, Any],
        inputs: Mapping[str, Any],
        news: Mapping[str, Any],
    ) -> State:
        """Changes the resource in place and reads it back.

        Args:
            provider: the configured provider.
            identity: its id.
            olds: its old state.
            inputs: its old inputs.
            news: its checked new inputs.
        """
        values = self._values(provider, news, olds)
        changed = {each.top for each in self.changes(provider, inputs, olds, news)}
        if self.on and self.on.update:
            return self.on.update(self, provider, identity, values, olds, changed)
        self.send_changes(provider, values, olds, changed)
        state = self.read(provider, identity, values)
        if state is None:
            raise ResourceError(f"{identity} was changed, but reading it back found nothing")
        return state

    def delete(self, provider: Provider, identity: str, outputs: Mapping[str, Any]) -> None:
        """Deletes the resource; one that is gone already is no error."""
        policy = outputs.get("deletionPolicy") or "DELETE"
        if policy == "PREVENT":
            raise ResourceError(f"{identity} has deletionPolicy PREVENT; set it to DELETE and run `pulumi up` first")
        if policy == "ABANDON":
            return
        try:
            if self.on and self.on.delete:
                self.on.delete(self, provider, outputs)
            else:
                query = self.on.delete_query(outputs) if self.on and self.on.delete_query else None
                self.call(provider, "DELETE", self._url(provider, self.resource, outputs), None, query)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    def parse_identity(self, provider: Provider, identity: str) -> tuple[str, Properties]:
        """The canonical id, and the properties in it, from an id that an import gave.

        Raises:
            ResourceError: the id has none of the forms.
        """
        for form in (self.identity, *self.imports):
            parts = re.split(r"\{(\+?)(\w+)\}", form)
            pattern = "".join(
                re.escape(part) + (f"(?P<{name}>{'.+' if slashes else '[^/]+'})" if name else "")
                for part, slashes, name in zip(parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True)
            )
            found = re.fullmatch(pattern, identity)
            if found:
                values: Properties = {
                    each.name: each.default for each in self.fields if each.path is None and each.default is not None
                }
                values.update(found.groupdict())
                if self._has("project") and "project" not in values:
                    values["project"] = provider.project
                return plain(self.identity, values), values
        forms = " or ".join(form.replace("{+", "{") for form in (self.identity, *self.imports))
        raise ResourceError(f"{identity!r} is no id of a {self.token}; write {forms}")

    def state(self, identity: str, values: Mapping[str, Any], answer: Mapping[str, Any]) -> State:
        """The state that an answer of the API describes."""
        outputs = {**self.official_only, **from_wire(self.fields, answer, without_defaults(dict(values)))}
        if self._has("pulumiLabels"):
            actual = dict(answer.get("labels") or {})
            given, ours = without_defaults(values.get("labels") or {}), values.get("pulumiLabels") or {}
            # The official plugin's state has no empty maps of labels, and plans an update where it finds one.
            outputs["labels"] = {name: actual[name] for name in given if name in actual} or None
            outputs["pulumiLabels"] = {name: actual[name] for name in ours if name in actual} or None
            outputs["effectiveLabels"] = actual or None
        if self._has("deletionPolicy"):
            outputs["deletionPolicy"] = values.get("deletionPolicy") or "DELETE"
        outputs["id"] = identity
        if self.on and self.on.decoded:
            self.on.decoded(outputs, answer)
        return State(identity, outputs)

    def send_changes(
        self, provider: Provider, values: Mapping[str, Any], olds: Mapping[str, Any], changed: set[str]
    ) -> dict[str, Any]:
        """Sends what changed, in the way this API wants it; nothing when only the plugin's own settings changed."""
        url = self._url(provider, self.resource, values)
        wired = [each for each in self.fields if each.name in changed and each.path and not each.output]
        # Which labels the program answers for may change without a change of the labels.
        labels = bool(changed & {"labels", "pulumiLabels"}) and values["effectiveLabels"] != olds.get("effectiveLabels")
        if not wired and not labels:
            return {}
        if self.update == "put":
            return self.call(provider, "PUT", url, self._body(values, creating=False), self.query)
        if self.update == "patch":
            return self.call(provider, "PATCH", url, self._patch(wired, values, olds, labels=labels), self.query)
        mask = [each.path[0] for each in self.fields if each in wired and each.path] + (["labels"] if labels else [])
        body = self._body(values, creating=False)
        if self.on and self.on.wrap:
            body = self.on.wrap(body, values)
        return self.call(provider, "PATCH", url, body, {"updateMask": ",".join(dict.fromkeys(mask))})

    def whole_body(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a PUT: everything that is set."""
        return self._body(values, creating=False)

    def url(self, provider: Provider, values: Mapping[str, Any]) -> str:
        """The resource's own URL."""
        return self._url(provider, self.resource, values)

    def call(
        self, provider: Provider, method: str, url: str, body: object, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Makes a call with the query parameters that all calls of this type have."""
        parameters = {**(query or {}), **(self.always or {})}
        return provider.client.call(method, url, body, query=parameters, pending=self.pending)

    def _await(self, provider: Provider, values: Mapping[str, Any]) -> None:
        url = self._url(provider, self.resource, values)
        for wait in AWAITED_PAUSES:
            try:
                self.call(provider, "GET", url, None, self.query)
            except ApiError as error:
                if error.status != NOT_FOUND:
                    raise
            else:
                return
            time.sleep(wait)

    def _patch(
        self, wired: list[Field], values: Mapping[str, Any], olds: Mapping[str, Any], *, labels: bool
    ) -> dict[str, Any]:
        """The body of a PATCH without a mask: what changed, with null for what is taken away."""
        body: dict[str, Any] = {}
        for field in wired:
            value = values.get(field.name)
            if field.path:
                put(body, field.path, None if value is None else value_to_wire(field, value))
        if labels:
            gone = set(olds.get("effectiveLabels") or {}) - set(values["effectiveLabels"])
            body["labels"] = {**dict.fromkeys(sorted(gone)), **values["effectiveLabels"]}
        return body

    def _url(self, provider: Provider, template: str, values: Mapping[str, Any]) -> str:
        return provider.client.address(self.api) + expand(template, values)

    def _values(self, provider: Provider, inputs: Mapping[str, Any], olds: Mapping[str, Any] | None) -> Properties:
        values: Properties = without_defaults(dict(inputs))
        kept: set[str] = set()
        for field in self.fields:
            if field.keeps and olds and values.get(field.name) is None and olds.get(field.name):
                values[field.name] = olds[field.name]
                kept.add(field.name)
        if self._has("project") and not values.get("project"):
            if not provider.project:
                raise ResourceError(f"{self.token} needs a project: give it `project`, or set gcp:project")
            values["project"] = provider.project
        if self._has("pulumiLabels"):
            before = None if olds is None else dict(olds.get("effectiveLabels") or {})
            ours = provider.labels(_labels(inputs), before)
            dropped = set((olds or {}).get("pulumiLabels") or {}) - set(ours)
            theirs = {name: each for name, each in (before or {}).items() if name not in dropped}
            values["pulumiLabels"] = ours
            values["effectiveLabels"] = {**theirs, **ours}
        values[KEPT] = kept
        return values

    def _body(self, values: Mapping[str, Any], *, creating: bool) -> dict[str, Any]:
        body = to_wire([each for each in self.fields if creating or not self._is_fixed(each)], values)
        if self.omits_empty:
            body = without_empty(body)
        for field in self.fields:
            if field.sends_empty and not creating and field.path:
                body.setdefault(field.path[0], "")
        if self._has("pulumiLabels") and values.get("effectiveLabels"):
            body["labels"] = dict(values["effectiveLabels"])
        if self.on and self.on.body:
            self.on.body(body, values, creating)
        return body

    def _is_fixed(self, field: Field) -> bool:
        """Whether a property is left out of an update. A PUT sends those too that only a new resource can change."""
        return field.wire_fixed or (field.replaces and self.update == "mask")

    def _plan_labels(
        self, provider: Provider, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None, plan: Properties
    ) -> None:
        if has_unknown(inputs.get("labels")):
            plan["pulumiLabels"] = plan["effectiveLabels"] = UNKNOWN
            return
        values = self._values(provider, {"labels": inputs.get("labels") or {}, "project": "-"}, outputs)
        plan["pulumiLabels"], plan["effectiveLabels"] = values["pulumiLabels"], values["effectiveLabels"]

    def _has(self, name: str) -> bool:
        return any(each.name == name for each in self.fields)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Where a type is not like the others.

    Args:
        body: completes the body of a create or a PUT.
        wrap: wraps the body of a PATCH with a mask.
        created: further calls after the creating one.
        decoded: completes the outputs from an answer.
        create: creates instead of the generic way.
        read: reads instead.
        update: updates instead.
        delete: deletes instead.
        delete_query: query parameters of the deleting call.
        must_replace: whether a change can't be made in place.
    """

    body: Callable[[dict[str, Any], Mapping[str, Any], bool], None] | None = None
    wrap: Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]] | None = None
    created: Callable[[ResourceType, Provider, Properties, Mapping[str, Any]], None] | None = None
    decoded: Callable[[Properties, Mapping[str, Any]], None] | None = None
    create: Callable[[ResourceType, Provider, Properties], State] | None = None
    read: Callable[[ResourceType, Provider, str, Mapping[str, Any]], State | None] | None = None
    update: Callable[[ResourceType, Provider, str, Properties, Mapping[str, Any], set[str]], State] | None = None
    delete: Callable[[ResourceType, Provider, Mapping[str, Any]], None] | None = None
    delete_query: Callable[[Mapping[str, Any]], dict[str, str]] | None = None
    must_replace: Callable[[comparing.Change, Mapping[str, Any], Mapping[str, Any]], bool] | None = None


def last_segment(value: Any) -> str:
    """The short name at the end of a full resource name."""
    return str(value).rsplit("/", 1)[-1]


def _known(values: Mapping[str, Any], identity: str) -> Properties:
    return {**{name: value for name, value in values.items() if name != KEPT}, "id": identity}


def _labels(inputs: Mapping[str, Any]) -> dict[str, str]:
    labels = inputs.get("labels")
    return without_defaults(labels) if isinstance(labels, dict) else {}
