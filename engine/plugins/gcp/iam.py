"""IAM members: one role for one member on one resource, added to whatever policy is there.

Read, modify, write with the policy's etag; a conflict starts over. Members that others granted are never touched.
https://cloud.google.com/iam/docs/allow-policies#policy-structure
"""

from __future__ import annotations

import collections
import random
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from engine.plugins.gcp import checking, comparing
from engine.plugins.gcp.fields import Field, block, text
from engine.plugins.gcp.resource import NOT_FOUND, ResourceError, State
from engine.plugins.gcp.rest import ApiError, expand, plain
from engine.plugins.gcp.values import UNKNOWN, Properties, without_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.plugins.gcp.provider import Provider

CONFLICTS = frozenset({409, 412})
CONFLICT_SECONDS = 60.0
POLICY_VERSION = 3
"""The version that carries conditions; asking for a lower one would drop them."""

POLICY_PARTS = ("version", "bindings", "auditConfigs", "etag")

BARE_MEMBERS = frozenset({"allUsers", "allAuthenticatedUsers", "projectOwners", "projectReaders", "projectWriters"})
"""Members that are written without a kind; the last three are BigQuery's."""

_locks: collections.defaultdict[str, threading.Lock] = collections.defaultdict(threading.Lock)
_locks_guard = threading.Lock()


def comparable_member(member: Any) -> Any:
    """A member as it is compared: without case, but for principals, whose attributes have one."""
    return member if not isinstance(member, str) or member.startswith("principal") else member.lower()


GRANT = (
    text("role", wire=None, required=True, replaces=True),
    text("member", wire=None, required=True, replaces=True, normal=comparable_member),
    block(
        "condition",
        text("title", required=True, replaces=True),
        text("description", replaces=True),
        text("expression", required=True, replaces=True),
        wire=None,
        replaces=True,
    ),
    text("etag", output=True),
)


@dataclass(frozen=True, kw_only=True)
class PolicyHolder:
    """A kind of resource that has an IAM policy.

    Args:
        api: the API that holds it.
        name: the template of its name, which is also the beginning of a member's id.
        source: the property that names it.
        forms: what that property may hold.
        version: appended to the API's unversioned address; empty for the address as it is.
        always: query parameters of all calls, where the official plugin makes them with a client of Google's.
        asks_version: whether reading asks for a version of the policy.
        access: how its policy is reached: `methods` are `:getIamPolicy` and `:setIamPolicy`, `posted` has POST for
            both, `subresource` is Cloud Storage's `/iam`.
        shown: the template of what the source property holds in the state, or empty to leave it as given.
        path: the template of the URL, where it is not the name.
    """

    api: str
    name: str
    source: str
    forms: tuple[str, ...]
    version: str = ""
    access: Literal["methods", "posted", "subresource", "entries"] = "methods"
    shown: str = ""
    path: str = ""
    always: Mapping[str, str] = field(default_factory=dict)
    asks_version: bool = True

    def values(self, provider: Provider, properties: Mapping[str, Any]) -> dict[str, str]:
        """The parts of the resource's name.

        Raises:
            ResourceError: the property holds none of the forms, or the project is not known.
        """
        given = str(properties[self.source])
        for form in self.forms:
            pattern = "".join(
                f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part)
                for part in re.split(r"(\{\w+\})", form)
            )
            found = re.fullmatch(pattern, given)
            if found:
                parts = found.groupdict()
                if "{project}" in self.name + self.path and "project" not in parts:
                    project = properties.get("project") or provider.project
                    if not project:
                        raise ResourceError(f"{given} names no project: give it `project`, or set gcp:project")
                    parts["project"] = str(project)
                return parts
        raise ResourceError(f"{self.source} is {given!r}; write {' or '.join(self.forms)}")

    def read(self, provider: Provider, parts: Mapping[str, str]) -> dict[str, Any]:
        """The policy as it is."""
        url = self._url(provider, parts)
        if self.access == "subresource":
            return provider.client.call(
                "GET", f"{url}/iam", query={"optionsRequestedPolicyVersion": str(POLICY_VERSION)}
            )
        if self.access == "posted":
            body = {"options": {"requestedPolicyVersion": POLICY_VERSION}}
            return provider.client.call("POST", f"{url}:getIamPolicy", body, query=self.always)
        version = {"options.requestedPolicyVersion": str(POLICY_VERSION)} if self.asks_version else {}
        return provider.client.call("GET", f"{url}:getIamPolicy", query={**version, **self.always})

    def write(self, provider: Provider, parts: Mapping[str, str], policy: dict[str, Any]) -> None:
        """Writes the policy; its etag makes the API refuse it if another write came between."""
        url = self._url(provider, parts)
        if self.access == "subresource":
            provider.client.call("PUT", f"{url}/iam", policy)
        elif self.access == "posted":
            body = {"policy": policy, "updateMask": "bindings,etag,auditConfigs"}
            provider.client.call("POST", f"{url}:setIamPolicy", body, query=self.always)
        else:
            provider.client.call("POST", f"{url}:setIamPolicy", {"policy": policy}, query=self.always)

    def _url(self, provider: Provider, parts: Mapping[str, str]) -> str:
        base = provider.client.unversioned(self.api) if self.version else provider.client.address(self.api)
        return base + self.version + expand(self.path or self.name, parts)


@dataclass(frozen=True, kw_only=True)
class MemberType:
    """An IAM member resource type.

    Args:
        token: its type token.
        parent: the properties that name what is granted on.
        holder: what that is.
    """

    token: str
    parent: tuple[Field, ...]
    holder: PolicyHolder

    @property
    def fields(self) -> tuple[Field, ...]:
        """All properties of the type."""
        return (*self.parent, *GRANT)

    def check(
        self, olds: Mapping[str, Any], news: Mapping[str, Any], name: str, seed: bytes
    ) -> tuple[Properties, list[checking.Failure]]:
        """The inputs, and what is wrong with them."""
        del olds, name, seed
        inputs, failures = checking.check(self.token, self.fields, news)
        member = inputs.get("member")
        if isinstance(member, str) and member != UNKNOWN and ":" not in member and member not in BARE_MEMBERS:
            failures.append(
                checking.Failure("member", f"member is {member!r}; write user:…, group:…, serviceAccount:… or domain:…")
            )
        role = inputs.get("role")
        if (
            isinstance(role, str)
            and role != UNKNOWN
            and not re.fullmatch(r"(projects/[^/]+/|organizations/[^/]+/)?roles/.+", role)
        ):
            failures.append(
                checking.Failure("role", f"role is {role!r}; write roles/NAME or projects/PROJECT/roles/NAME")
            )
        return inputs, failures

    def changes(
        self, provider: Provider, inputs: Mapping[str, Any], outputs: Mapping[str, Any], news: Mapping[str, Any]
    ) -> list[comparing.Change]:
        """What differs; every difference makes a new member."""
        del provider, outputs
        return comparing.changes(self.fields, inputs, news)

    def deletes_first(self, inputs: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
        """Never: the new member is granted before the old one goes."""
        del inputs, news
        return False

    def planned(self, provider: Provider, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None) -> Properties:
        """What a preview shows."""
        plan = dict(outputs or {"etag": UNKNOWN, "id": UNKNOWN, "condition": None})
        plan.update(without_defaults(dict(inputs)))
        if any(each.name == "project" for each in self.parent) and not plan.get("project"):
            plan["project"] = provider.project or UNKNOWN
        return plan

    def create(self, provider: Provider, inputs: Mapping[str, Any]) -> State:
        """Grants the role, unless the member has it already, and reads it back."""
        values = without_defaults(dict(inputs))
        parts = self.holder.values(provider, values)

        def add(policy: dict[str, Any]) -> bool:
            binding = _binding(policy, values)
            if binding is None:
                binding = {"role": values["role"], "members": []}
                if values.get("condition"):
                    binding["condition"] = _condition(values)
                policy.setdefault("bindings", []).append(binding)
            if _member_in(binding, values["member"]):
                return False
            binding["members"] = sorted({*binding["members"], values["member"]})
            return True

        self._modify(provider, parts, add, POLICY_VERSION)
        state = self.read(provider, "", values)
        if state is None:
            name = plain(self.holder.name, parts)
            raise ResourceError(
                f"{values['role']} was granted to {values['member']} on {name}, but is not in its policy"
            )
        return state

    def read(self, provider: Provider, identity: str, values: Mapping[str, Any]) -> State | None:
        """The member as it is, or None where the policy no longer has it."""
        del identity
        values = without_defaults(dict(values))
        parts = self.holder.values(provider, values)
        try:
            policy = self.holder.read(provider, parts)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        binding = _binding(policy, values)
        member = _member_in(binding, values["member"]) if binding else None
        if member is None:
            return None
        name = plain(self.holder.name, parts)
        condition = values.get("condition") or None
        identity = "/".join([name, values["role"], member, *([_named(condition)] if condition else [])])
        outputs: Properties = {
            **{each.name: values.get(each.name) or "" for each in self.parent},
            "role": values["role"],
            "member": member,
            "condition": {"description": "", **condition} if condition else None,
            "etag": policy.get("etag", ""),
            "id": identity,
        }
        if self.holder.shown:
            outputs[self.holder.source] = plain(self.holder.shown, parts)
        if "project" in outputs:
            outputs["project"] = parts["project"]
        return State(identity, outputs)

    def change(
        self,
        provider: Provider,
        identity: str,
        olds: Mapping[str, Any],
        inputs: Mapping[str, Any],
        news: Mapping[str, Any],
    ) -> State:
        """Nothing of a member can be changed; reached only when two spellings mean the same."""
        del olds, inputs
        state = self.read(provider, identity, news)
        return state or self.create(provider, news)

    def delete(self, provider: Provider, identity: str, outputs: Mapping[str, Any]) -> None:
        """Takes the role from the member; others keep it."""
        del identity
        parts = self.holder.values(provider, outputs)

        def remove(policy: dict[str, Any]) -> bool:
            binding = _binding(policy, outputs)
            member = _member_in(binding, outputs["member"]) if binding else None
            if binding is None or member is None:
                return False
            binding["members"] = [each for each in binding["members"] if each != member]
            if not binding["members"]:
                policy["bindings"].remove(binding)
            return True

        try:
            self._modify(provider, parts, remove)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    def parse_identity(self, provider: Provider, identity: str) -> tuple[str, Properties]:
        """The canonical id and properties from `RESOURCE ROLE MEMBER [CONDITION_TITLE]` or from the id itself.

        Raises:
            ResourceError: the text has neither form.
        """
        found = re.fullmatch(r"(\S+) (\S+) (\S+)(?: (.+))?", identity) or re.fullmatch(
            r"(.+?)/((?:(?:projects|organizations)/[^/]+/)?roles/[^/]+)/([^/]+:[^/]+|allUsers|allAuthenticatedUsers)(?:/(.+))?",
            identity,
        )
        if not found:
            raise ResourceError(f"{identity!r} is no id of a {self.token}; write {self.holder.name} ROLE MEMBER")
        holder, role, member, title = found.groups()
        values: Properties = {self.holder.source: holder, "role": role, "member": member}
        parts = self.holder.values(provider, values)
        if self.holder.shown:
            values[self.holder.source] = plain(self.holder.shown, parts)
        for each in self.parent:
            if each.name in parts and each.name != self.holder.source:
                values[each.name] = parts[each.name]
        if title:
            values["condition"] = self._condition_titled(provider, parts, role, title)
        return identity, values

    def _condition_titled(self, provider: Provider, parts: Mapping[str, str], role: str, title: str) -> Properties:
        for binding in self.holder.read(provider, parts).get("bindings") or []:
            condition = binding.get("condition") or {}
            if binding.get("role") == role and title in (condition.get("title"), _named(condition)):
                return dict(condition)
        raise ResourceError(
            f"{plain(self.holder.name, parts)} has no grant of {role} with a condition titled {title!r}"
        )

    def _modify(
        self,
        provider: Provider,
        parts: Mapping[str, str],
        modify: Callable[[dict[str, Any]], bool],
        version: int | None = None,
    ) -> None:
        name = f"{self.holder.api}/{plain(self.holder.name, parts)}"
        with _locks_guard:
            lock = _locks[name]
        deadline = time.monotonic() + CONFLICT_SECONDS
        wait = 0.1
        with lock:
            while True:
                # Not what says which resource's policy it is (`kind`, `resourceId`).
                read = self.holder.read(provider, parts)
                policy = {name: read[name] for name in POLICY_PARTS if name in read}
                if not modify(policy):
                    return
                if not policy.get("bindings"):
                    policy.pop("bindings", None)
                if version is not None:
                    policy["version"] = version
                try:
                    self.holder.write(provider, parts, policy)
                except ApiError as error:
                    if error.status not in CONFLICTS or time.monotonic() > deadline:
                        raise
                else:
                    return
                # Someone outside this process wrote in between.
                time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
                wait = min(wait * 2, 10.0)


def _binding(policy: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any] | None:
    wanted = _condition(values)
    for binding in policy.get("bindings") or []:
        if binding.get("role") == values["role"] and _comparable(binding.get("condition")) == _comparable(wanted):
            return binding  # type: ignore[no-any-return]
    return None


def _condition(values: Mapping[str, Any]) -> dict[str, str]:
    condition = values.get("condition") or {}
    return {name: condition[name] for name in ("title", "description", "expression") if condition.get(name)}


def _named(condition: Mapping[str, Any]) -> str:
    """What an id says of a condition, as the official plugin writes it."""
    return "/".join(_comparable(condition))


def _comparable(condition: Mapping[str, Any] | None) -> tuple[str, ...]:
    return tuple((condition or {}).get(name) or "" for name in ("title", "description", "expression"))


def _member_in(binding: Mapping[str, Any], member: str) -> str | None:
    # Google writes addresses in lower case.
    spellings = {comparable_member(member), f"specialgroup:{comparable_member(member)}"}
    return next((each for each in binding.get("members") or [] if comparable_member(each) in spellings), None)
