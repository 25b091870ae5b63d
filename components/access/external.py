"""With `grants: external`: which of the grants that the stack needs exist, and commands for those that don't."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from components.access.google_rest import GoogleRest, RestError
from components.access.grants import Grant, agents_of, grants_for
from components.access.rules import Agent, On, Target
from components.settings import Settings
from components.settings.fields import comparable_member


@dataclass(frozen=True)
class Missing:
    """A grant that isn't there, or whose resource could not be asked.

    Attributes:
        command: what to run to make it.
        unknown: why it is not known whether the grant exists; empty if it surely doesn't.
    """

    grant: Grant
    member: str
    command: str
    unknown: str = ""


def missing_grants(settings: Settings, rest: Callable[[str | None], GoogleRest]) -> list[Missing]:
    """Look for every grant that the stack needs.

    A grant counts if the role was given on the resource itself or on its project, without a condition or with the very
    one that the settings ask for.

    Args:
        settings: the stack's settings.
        rest: returns the calls as whoever deploys in a project.

    Raises:
        RestError: a project's number can't be read, so its service agent isn't known.
    """
    numbers: dict[str, str] = {}
    policies: dict[Target, Mapping[str, set[str]] | str] = {}
    found: list[Missing] = []
    for grant in grants_for(settings):
        member = _member(grant, numbers, rest)
        places = [grant.target]
        if grant.target.project and grant.target.on is not On.PROJECT:
            places.append(Target(On.PROJECT, grant.target.project, grant.target.project))
        answers = []
        for place in places:
            if place not in policies:
                policies[place] = _policy(rest(place.project), place)
            answers.append(policies[place])
        # Without a condition a grant allows more, so it will do.
        wanted = {grant.role, _with_condition(grant.role, grant.condition.expression if grant.condition else None)}
        same = comparable_member(member)
        if any(not isinstance(each, str) and any(same in each.get(key, set()) for key in wanted) for each in answers):
            continue
        unknown = answers[0] if isinstance(answers[0], str) else ""
        found.append(Missing(grant, member, command_for(grant, member), unknown))
    return found


def render(missing: list[Missing]) -> str:
    """Lay out what is missing for a terminal, each as a command that can be run as it stands."""
    count = f"{len(missing)} grants are" if len(missing) > 1 else "1 grant is"
    lines = [f"{count} missing, and imaging:grants is external, so the stack makes none"]
    for agent in agents_of(each.grant for each in missing):
        lines.append(f"  # the {agent.service} service agent of {agent.project}, made if it does not exist yet")
        lines.append(f"  {command_for_agent(agent)}")
    for each in missing:
        lines.append(f"  # {'; '.join(each.grant.reasons)}")
        if each.unknown:
            lines.append(f"  # not known whether it exists: {each.unknown}")
        lines.append(f"  {each.command}")
    return "\n".join(lines)


# Google makes an agent when it is first asked for; before that, nothing can be granted to it.
# https://cloud.google.com/iam/docs/create-service-agents, https://cloud.google.com/storage/docs/getting-service-agent,
# https://cloud.google.com/bigquery/docs/customer-managed-encryption
AGENT_COMMANDS: Mapping[str, str] = {
    "healthcare": "gcloud beta services identity create --service=healthcare.googleapis.com --project={project}",
    "pubsub": "gcloud beta services identity create --service=pubsub.googleapis.com --project={project}",
    "storage": "gcloud storage service-agent --project={project}",
    "bigquery": "bq show --encryption_service_account --project_id={project}",
}


def command_for_agent(agent: Agent) -> str:
    """Return the command that makes a service agent, or shows it if it exists."""
    return AGENT_COMMANDS[agent.service].format(project=shlex.quote(agent.project))


def command_for(grant: Grant, member: str) -> str:
    """Return the command that makes a grant."""
    target, role = grant.target, grant.role
    suffix = ["--member", member, "--role", role]
    if grant.condition:
        # A delimiter of its own, because an expression may have commas:
        # https://cloud.google.com/sdk/gcloud/reference/topic/escaping
        parts_of_condition = [f"{key}={value}" for key, value in grant.condition.as_input.items()]
        suffix.append("--condition=^|^" + "|".join(parts_of_condition))
    parts = dict(zip(target.name.split("/")[0::2], target.name.split("/")[1::2], strict=False))
    if target.on is On.BIGQUERY_DATASET:
        # https://cloud.google.com/bigquery/docs/reference/standard-sql/data-control-language
        sql = f'GRANT `{role}` ON SCHEMA `{target.project}.{target.name}` TO "{member}"'
        return shlex.join(["bq", "query", f"--project_id={target.project}", "--nouse_legacy_sql", sql])
    commands: dict[On, list[str]] = {
        On.PROJECT: [
            "projects",
            "add-iam-policy-binding",
            target.name,
            *([] if grant.condition else ["--condition=None"]),
        ],
        On.BUCKET: ["storage", "buckets", "add-iam-policy-binding", f"gs://{target.name}"],
        On.TOPIC: [
            "pubsub",
            "topics",
            "add-iam-policy-binding",
            parts.get("topics", ""),
            f"--project={parts.get('projects')}",
        ],
        On.KEY: [
            "kms",
            "keys",
            "add-iam-policy-binding",
            parts.get("cryptoKeys", ""),
            f"--keyring={parts.get('keyRings')}",
            f"--location={parts.get('locations')}",
            f"--project={parts.get('projects')}",
        ],
        On.HEALTHCARE_DATASET: [
            "healthcare",
            "datasets",
            "add-iam-policy-binding",
            parts.get("datasets", ""),
            f"--location={parts.get('locations')}",
            f"--project={parts.get('projects')}",
        ],
        On.DICOM_STORE: [
            "healthcare",
            "dicom-stores",
            "add-iam-policy-binding",
            parts.get("dicomStores", ""),
            f"--dataset={parts.get('datasets')}",
            f"--location={parts.get('locations')}",
            f"--project={parts.get('projects')}",
        ],
    }
    return shlex.join(["gcloud", *commands[target.on], *suffix])


def _member(grant: Grant, numbers: dict[str, str], rest: Callable[[str | None], GoogleRest]) -> str:
    if not isinstance(grant.member, Agent):
        return grant.member
    project = grant.member.project
    if project not in numbers:
        answer = rest(project).call("cloudresourcemanager", "GET", f"v1/projects/{project}")
        numbers[project] = str(answer["projectNumber"])
    return f"serviceAccount:{grant.member.email(numbers[project])}"


# How the policy of each kind of resource is read: API, HTTP method and path.
READ: Mapping[On, tuple[str, str, str]] = {
    On.PROJECT: ("cloudresourcemanager", "POST", "v1/projects/{name}:getIamPolicy"),
    On.BUCKET: ("storage", "GET", "storage/v1/b/{name}/iam?optionsRequestedPolicyVersion=3"),
    On.TOPIC: ("pubsub", "GET", "v1/{name}:getIamPolicy?options.requestedPolicyVersion=3"),
    On.KEY: ("cloudkms", "GET", "v1/{name}:getIamPolicy?options.requestedPolicyVersion=3"),
    On.HEALTHCARE_DATASET: ("healthcare", "GET", "v1/{name}:getIamPolicy?options.requestedPolicyVersion=3"),
    On.DICOM_STORE: ("healthcare", "GET", "v1/{name}:getIamPolicy?options.requestedPolicyVersion=3"),
}

# BigQuery reads dataset grants back by their old names:
# https://cloud.google.com/bigquery/docs/access-control-basic-roles
BIGQUERY_ROLES = {
    "OWNER": "roles/bigquery.dataOwner",
    "WRITER": "roles/bigquery.dataEditor",
    "READER": "roles/bigquery.dataViewer",
}


def _policy(rest: GoogleRest, target: Target) -> Mapping[str, set[str]] | str:
    """Return members by role, or why they could not be read."""
    try:
        if target.on is On.BIGQUERY_DATASET:
            path = f"bigquery/v2/projects/{target.project}/datasets/{target.name}?accessPolicyVersion=3"
            return _dataset_members(rest.call("bigquery", "GET", path).get("access", []))
        api, method, path = READ[target.on]
        body = {"options": {"requestedPolicyVersion": 3}} if method == "POST" else None
        name = quote(target.name, safe="") if target.on is On.BUCKET else target.name
        policy = rest.call(api, method, path.format(name=name), body)
    except RestError as error:
        return str(error)
    members: dict[str, set[str]] = {}
    for binding in policy.get("bindings", []):
        key = _with_condition(binding["role"], (binding.get("condition") or {}).get("expression"))
        members.setdefault(key, set()).update(map(comparable_member, binding.get("members", [])))
    return members


def _with_condition(role: str, expression: str | None) -> str:
    """Return the key that a role with a condition has in what `_policy` returns."""
    return f"{role} if {expression}" if expression else role


def _dataset_members(entries: list[dict[str, Any]]) -> Mapping[str, set[str]]:
    members: dict[str, set[str]] = {}
    for entry in entries:
        role = BIGQUERY_ROLES.get(entry.get("role", ""), entry.get("role"))
        if not role:
            continue
        role = _with_condition(role, (entry.get("condition") or {}).get("expression"))
        email = entry.get("userByEmail")
        if email:
            kind = "serviceAccount" if email.endswith("gserviceaccount.com") else "user"
            members.setdefault(role, set()).add(comparable_member(f"{kind}:{email}"))
        if entry.get("groupByEmail"):
            members.setdefault(role, set()).add(comparable_member(f"group:{entry['groupByEmail']}"))
        if entry.get("iamMember"):
            members.setdefault(role, set()).add(comparable_member(entry["iamMember"]))
    return members
