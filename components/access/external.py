"""With `grants: external`: which of the grants that the stack needs exist, and commands for those that don't."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from components.access.encrypted import Encrypted
from components.access.google_rest import GoogleRest, RestError
from components.access.grants import Grant, agents_of, grants_for
from components.access.rules import INCLUDES, RULES, Agent, Condition, On, Target, Use
from components.settings import Settings
from components.settings.fields import comparable_member


@dataclass(frozen=True)
class Missing:
    """A grant that isn't there, or of which it is not known.

    Attributes:
        command: what to run to make it.
        unknown: why it is not known whether the member has the permissions; empty if it surely doesn't.
    """

    grant: Grant
    member: str
    command: str
    unknown: str = ""


@dataclass(frozen=True)
class Binding:
    """A role of some members."""

    role: str
    members: frozenset[str]
    condition: str | None


def missing_grants(settings: Settings, rest: Callable[[str | None], GoogleRest]) -> list[Missing]:
    """Look for every grant that the stack needs.

    The Policy Troubleshooter is asked what the member may do, where it is enabled and answers: it knows groups, wider
    and custom roles, folders and organisations. Else the policies of the resource and its project are read: the same
    role for the same member is a grant; whatever else may give the permissions leaves it unknown.

    Args:
        settings: the stack's settings.
        rest: returns the calls as the deploying identity in a project.

    Raises:
        RestError: a project's number can't be read, so its service agent isn't known.
    """
    asking = _Asking(rest)
    found: list[Missing] = []
    for grant in grants_for(settings):
        member = asking.member_of(grant)
        unknown = asking.troubleshooter(grant, member)
        if unknown is None:
            unknown = asking.policies(grant, member)
        if unknown is not GRANTED:
            found.append(Missing(grant, member, command_for(grant, member), unknown))
    return found


# What an answer says of a grant: that it is there, that it surely is not, else why it is not known.
GRANTED = "granted"
NOT_GRANTED = ""


class _Asking:
    """The questions about grants of one stack, each resource's asked once."""

    def __init__(self, rest: Callable[[str | None], GoogleRest]) -> None:
        self._rest = rest
        self._projects: dict[str, Mapping[str, Any]] = {}
        self._policies: dict[Target, list[Binding] | str] = {}
        self._troubleshooter_answers = True

    def member_of(self, grant: Grant) -> str:
        """Return the member as IAM writes it."""
        if not isinstance(grant.member, Agent):
            return grant.member
        number = str(self._project(grant.member.project)["projectNumber"])
        return f"serviceAccount:{grant.member.email(number)}"

    def troubleshooter(self, grant: Grant, member: str) -> str | None:
        """Ask Google to evaluate every policy; None if that can't be asked.

        https://cloud.google.com/policy-intelligence/docs/troubleshoot-access
        """
        kind, _, email = member.partition(":")
        permissions = [each for use in grant.uses for each in PERMISSIONS.get(use, ())]
        if (
            grant.condition
            or not self._troubleshooter_answers
            or kind not in ("serviceAccount", "user")
            or not permissions
        ):
            return None
        answers = set()
        for permission in dict.fromkeys(permissions):
            access = {
                "principal": email,
                "fullResourceName": _full_name(grant.target),
                "permission": permission,
            }
            try:
                answer = self._rest(grant.target.project).call(
                    "policytroubleshooter", "POST", "v1/iam:troubleshoot", {"accessTuple": access}
                )
            except RestError:
                self._troubleshooter_answers = False
                return None
            answers.add(answer.get("access"))
        if answers == {"GRANTED"}:
            return GRANTED
        if "NOT_GRANTED" in answers:
            return NOT_GRANTED
        if "UNKNOWN_CONDITIONAL" in answers:
            return "a grant has a condition"
        return None

    def policies(self, grant: Grant, member: str) -> str:
        """Read the policies of the resource and its project."""
        places = [grant.target]
        project = grant.target.project
        if project and grant.target.on is not On.PROJECT:
            places.append(Target(On.PROJECT, project, project))
        unknown = []
        for place in places:
            if place not in self._policies:
                self._policies[place] = _policy(self._rest(place.project), place)
            bindings = self._policies[place]
            if isinstance(bindings, str):
                unknown.append(bindings)
                continue
            verdict = _verdict(bindings, grant, member, place)
            if verdict is GRANTED:
                return GRANTED
            if verdict:
                unknown.append(verdict)
        if unknown:
            return unknown[0]
        if project is None:
            return "the project of the bucket is not known, and may grant it"
        return self._above(project)

    def _above(self, project: str) -> str:
        try:
            parent = self._project(project).get("parent")
        except RestError as error:
            return str(error)
        return f"the {parent['type']} above project {project} may grant it" if parent else NOT_GRANTED

    def _project(self, project: str) -> Mapping[str, Any]:
        if project not in self._projects:
            self._projects[project] = self._rest(project).call("cloudresourcemanager", "GET", f"v1/projects/{project}")
        return self._projects[project]


def _verdict(bindings: list[Binding], grant: Grant, member: str, place: Target) -> str:
    role = grant.role
    # Without a condition a grant allows more, so it will do.
    enough = {None, grant.condition.expression if grant.condition else None}
    unknown = NOT_GRANTED
    for binding in bindings:
        everybody = {"allUsers", "allAuthenticatedUsers"} & binding.members
        itself = comparable_member(member) in binding.members
        many = sorted(each for each in binding.members if each.startswith(_OF_MANY))
        where = f"on {place.on} {place.label}"
        if (itself or everybody) and (binding.role == role or role in INCLUDES.get(binding.role, ())):
            if binding.condition in enough:
                return GRANTED
            unknown = f"it has {binding.role} {where} under a condition"
        elif (itself or everybody) and role not in _APART.get(binding.role, frozenset()):
            unknown = unknown or f"it has {binding.role} {where}, which may include {role}"
        elif many:
            unknown = unknown or f"{many[0]} has {binding.role} {where}, and it may belong to that"
    return unknown


_SERVICE_AGENT = RULES[Use.ACT_AS_AGENT].role
# Roles that the agent has beside each other, and which roles of the table they surely don't include. Google's role for
# the service agent may publish, and gives no access to buckets, tables and keys.
_NARROW = [
    _SERVICE_AGENT,
    *(RULES[use].role for use in (Use.RUN_JOBS, Use.NOTIFY, Use.ENCRYPT_DATASET, Use.READ_IMPORTS)),
]
_APART: Mapping[str, frozenset[str]] = {
    role: frozenset(
        rule.role
        for rule in RULES.values()
        if rule.role != role and (role, rule.role) != (_SERVICE_AGENT, RULES[Use.NOTIFY].role)
    )
    for role in _NARROW
}

# Members that stand for many.
_OF_MANY = ("group:", "domain:", "principalSet:")

# What no use can do without, for the question whether a member may do it. A role may give less than the predefined one.
_KEY_PERMISSIONS = ("cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt")
PERMISSIONS: Mapping[Use, tuple[str, ...]] = {
    Use.WRITE_METADATA: ("bigquery.tables.create", "bigquery.tables.updateData"),
    Use.STREAM_METADATA: ("bigquery.tables.updateData",),
    Use.RUN_JOBS: ("bigquery.jobs.create",),
    Use.WRITE_IMAGES: ("storage.objects.create", "storage.objects.delete"),
    Use.READ_IMPORTS: ("storage.objects.get", "storage.objects.list"),
    Use.READ_FILTER: ("storage.objects.get",),
    Use.NOTIFY: ("pubsub.topics.publish",),
    Use.ENCRYPT_DATASET: _KEY_PERMISSIONS,
    Use.ENCRYPT_TABLES: _KEY_PERMISSIONS,
    Use.ENCRYPT_OBJECTS: _KEY_PERMISSIONS,
    Use.ENCRYPT_MESSAGES: _KEY_PERMISSIONS,
    Use.READ_IMAGES: ("healthcare.dicomStores.dicomWebRead",),
    Use.EDIT_IMAGES: ("healthcare.dicomStores.dicomWebWrite",),
    Use.ADMINISTER_DATASET: ("healthcare.datasets.update",),
    Use.READ_TABLES: ("bigquery.tables.getData",),
    Use.EDIT_TABLES: ("bigquery.tables.updateData",),
}


def _full_name(target: Target) -> str:
    """Return a resource's full name: https://cloud.google.com/iam/docs/full-resource-names."""
    forms = {
        On.PROJECT: "//cloudresourcemanager.googleapis.com/projects/{name}",
        On.BIGQUERY_DATASET: "//bigquery.googleapis.com/projects/{project}/datasets/{name}",
        On.BUCKET: "//storage.googleapis.com/projects/_/buckets/{name}",
        On.TOPIC: "//pubsub.googleapis.com/{name}",
        On.KEY: "//cloudkms.googleapis.com/{name}",
        On.HEALTHCARE_DATASET: "//healthcare.googleapis.com/{name}",
        On.DICOM_STORE: "//healthcare.googleapis.com/{name}",
    }
    return forms[target.on].format(name=target.name, project=target.project)


def render(missing: list[Missing], encrypted: Encrypted) -> str:
    """Lay out what is missing for a terminal, each as a command that can be run as it stands.

    Args:
        missing: the grants that aren't there, or of which it is not known.
        encrypted: what is secret. A command that would show it is not written; the keys that lead to it are.
    """
    certain = any(not each.unknown for each in missing)
    count = f"{len(missing)} grants are" if len(missing) > 1 else "1 grant is"
    state = "missing" if certain else "perhaps missing"
    lines = [f"{count} {state}, and imaging:grants is external, so the stack makes none"]
    shown = [each.grant for each in missing if not encrypted.command(each.grant)]
    at_home = [each.grant for each in missing if _is_agent_of(each.grant, encrypted.project)]
    for agent in agents_of([*shown, *at_home]):
        lines.append(f"  # the {agent.service} service agent of {agent.project}, made if it does not exist yet")
        lines.append(f"  {command_for_agent(agent)}")
    for each in missing:
        lines += [f"  {line}" for line in _lines(each, encrypted)]
    return "\n".join(lines)


def _is_agent_of(grant: Grant, project: str) -> bool:
    return isinstance(grant.member, Agent) and grant.member.project == project


def _lines(each: Missing, encrypted: Encrypted) -> Iterator[str]:
    grant = each.grant
    keys = encrypted.keys(grant)
    if encrypted.command(grant):
        who = f"the {grant.member.service} service agent" if isinstance(grant.member, Agent) else "a member"
        role = "a role" if encrypted.role(grant) else grant.role
        yield f"# {who} needs {role} on a {grant.target.on}, for {', '.join(keys)}; which, secret settings say:"
        if each.unknown:
            yield "# not known whether it exists"
        for key in keys:
            yield f"#   pulumi config get --path {shlex.quote(key)}"
        return
    # The only reason of the service agent's own role is Google's, and names no setting.
    secret = encrypted.grant(grant) and Use.ACT_AS_AGENT not in grant.uses
    yield f"# needed for {', '.join(keys)}" if secret else f"# {'; '.join(grant.reasons)}"
    if each.unknown:
        yield f"# not known whether it exists: {each.unknown}"
    if grant.condition and grant.target.on is On.BIGQUERY_DATASET:
        yield "# GRANT has no conditions, so this adds to the dataset's access by the API; it needs curl and jq"
    yield each.command


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


# Texts that hardly any condition has all of; the last ones, none.
_DELIMITERS = ("|", "#", "~", ";", "%", *("@" * length for length in range(2, 100)))


def command_for(grant: Grant, member: str) -> str:
    """Return the command that makes a grant."""
    target, role = grant.target, grant.role
    suffix = ["--member", member, "--role", role]
    if grant.condition:
        # A delimiter of its own, because an expression may have commas, and `||`:
        # https://cloud.google.com/sdk/gcloud/reference/topic/escaping
        parts_of_condition = [f"{key}={value}" for key, value in grant.condition.as_input.items()]
        delimiter = next(each for each in _DELIMITERS if not any(each in part for part in parts_of_condition))
        suffix.append(f"--condition=^{delimiter}^" + delimiter.join(parts_of_condition))
    parts = dict(zip(target.name.split("/")[0::2], target.name.split("/")[1::2], strict=False))
    if target.on is On.BIGQUERY_DATASET and grant.condition:
        return _conditional_on_dataset(grant, member, grant.condition)
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


def _conditional_on_dataset(grant: Grant, member: str, condition: Condition) -> str:
    """Return a command that adds a grant with a condition to those of a dataset; without an answer it sends none.

    https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets/patch: conditions need version 3.
    """
    url = (
        f"https://bigquery.googleapis.com/bigquery/v2/projects/{grant.target.project}/datasets/{grant.target.name}"
        "?accessPolicyVersion=3"
    )
    entry = {"role": grant.role, **_dataset_entry(member), "condition": condition.as_input}
    call = (
        'curl -sS --fail-with-body -H "Authorization: Bearer $(gcloud auth print-access-token)" '
        f"-H 'Content-Type: application/json' {shlex.quote(url)}"
    )
    added = shlex.join(
        ["jq", "-e", "--argjson", "entry", json.dumps(entry), "select(.access) | {access: (.access + [$entry])}"]
    )
    return f'access="$({call} | {added})" && {call} -X PATCH -d "$access"'


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


def _policy(rest: GoogleRest, target: Target) -> list[Binding] | str:
    """Return the bindings, or why they could not be read."""
    try:
        if target.on is On.BIGQUERY_DATASET:
            path = f"bigquery/v2/projects/{target.project}/datasets/{target.name}?accessPolicyVersion=3"
            return list(_dataset_bindings(rest.call("bigquery", "GET", path).get("access", [])))
        api, method, path = READ[target.on]
        body = {"options": {"requestedPolicyVersion": 3}} if method == "POST" else None
        name = quote(target.name, safe="") if target.on is On.BUCKET else target.name
        policy = rest.call(api, method, path.format(name=name), body)
    except RestError as error:
        return str(error)
    return [
        Binding(
            each["role"],
            frozenset(map(comparable_member, each.get("members", []))),
            (each.get("condition") or {}).get("expression"),
        )
        for each in policy.get("bindings", [])
    ]


def _dataset_bindings(entries: list[dict[str, Any]]) -> Iterator[Binding]:
    for entry in entries:
        role = BIGQUERY_ROLES.get(entry.get("role", ""), entry.get("role"))
        member = _dataset_member(entry)
        if role and member:
            yield Binding(
                role, frozenset([comparable_member(member)]), (entry.get("condition") or {}).get("expression")
            )


def _dataset_member(entry: dict[str, Any]) -> str | None:
    if email := entry.get("userByEmail"):
        return f"{'serviceAccount' if email.endswith('gserviceaccount.com') else 'user'}:{email}"
    if group := entry.get("groupByEmail"):
        return f"group:{group}"
    if domain := entry.get("domain"):
        return f"domain:{domain}"
    # `projectWriters` and their likes have a basic role on the project, whose policy shows that.
    if entry.get("specialGroup") == "allAuthenticatedUsers":
        return "allAuthenticatedUsers"
    member: str | None = entry.get("iamMember")
    return member


def _dataset_entry(member: str) -> dict[str, str]:
    """Return a member as a dataset's access names it, the reverse of `_dataset_member`."""
    kind, _, name = member.partition(":")
    fields = {
        "user": "userByEmail",
        "serviceAccount": "userByEmail",
        "group": "groupByEmail",
        "domain": "domain",
    }
    if member == "allAuthenticatedUsers":
        return {"specialGroup": member}
    return {fields[kind]: name} if kind in fields else {"iamMember": member}
