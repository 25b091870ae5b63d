"""Projects made ready and grants declared for a whole stack, and the list of who may do what."""

from collections.abc import Iterable
from typing import Any

import pulumi

from components.access.encrypted import Encrypted
from components.access.grants import Grant, agents_of, filter_bucket_of, grants_for, own_filter_bucket
from components.access.project import ProjectAccess, ProjectAccessArgs, agent_email
from components.access.resources import declare_grant
from components.access.rules import Agent, On, Use
from components.base.arguments import gone_with
from components.base.providers import Providers
from components.base.secrets import conceal, kept_secret
from components.settings import Settings
from components.settings.fields import kms_key_parts, topic_parts
from operations.model.uris import parse_bigquery_uri


class Access:
    """Declares what each project needs, and each grant when it is asked to."""

    def __init__(self, settings: Settings, providers: Providers) -> None:
        self._settings = settings
        self._providers = providers
        self.encrypted = Encrypted(settings)
        """What has to be kept secret."""
        self._grants = grants_for(settings)
        self._granted: list[tuple[Grant, pulumi.Resource]] = []
        self._emails: dict[Agent, pulumi.Output[str]] = {}
        self._projects: dict[str, ProjectAccess] = {}
        for project, apis in apis_by_project(settings).items():
            self._projects[project] = self._project(project, apis)

    @property
    def service_agent(self) -> pulumi.Output[str]:
        """E-mail address of the agent that acts for the stores of this stack."""
        return self._email(Agent("healthcare", self._settings.project))

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Every grant that the stack needs: member, role, resource, project and reason."""
        return [
            conceal(self._entry(grant)) if self.encrypted.grant(grant) else self._entry(grant) for grant in self._grants
        ]

    def _entry(self, grant: Grant) -> dict[str, Any]:
        return {
            "member": self._member(grant),
            "role": grant.role,
            "resource": f"{grant.target.on} {grant.target.label}",
            "project": grant.target.project,
            "reason": "; ".join(grant.reasons),
        }

    def ready(self, project: str | None) -> list[pulumi.Resource]:
        """Return what must be there before anything is declared in a project."""
        return list(self._projects[project].ready) if project in self._projects else []

    def grant(self, *kinds: On, after: dict[str, pulumi.Resource]) -> None:
        """Declare the grants on these kinds of resources.

        Args:
            kinds: the kinds.
            after: what this stack declares of them, by the label of `grants.Target`. The rest exists already.
        """
        if self._settings.grants == "external":
            return
        for grant in self._grants:
            if grant.target.on not in kinds or self._granted_with_the_project(grant):
                continue
            first = self.ready(grant.target.project)
            if isinstance(grant.member, Agent):
                first += self.ready(grant.member.project)
            declared = after.get(grant.target.label)
            if declared is not None:
                first.append(declared)
            options = pulumi.ResourceOptions(
                provider=self._providers.for_project(grant.target.project), depends_on=first
            )
            options = pulumi.ResourceOptions.merge(options, gone_with(declared))
            if self.encrypted.grant(grant):
                options = kept_secret(options)
            self._granted.append((grant, declare_grant(grant, self._member(grant), options)))

    def grants_are_encrypted(self, on: On, label: str) -> bool:
        """Return whether any grant on a resource, by the label of `grants.Target`, comes from encrypted settings."""
        return any(
            (grant.target.on, grant.target.label) == (on, label) and self.encrypted.grant(grant)
            for grant in self._grants
        )

    def granted_to(self, user: str) -> list[pulumi.Resource]:
        """Return the grants that a user waits for, as in `grants.Grant.needed_by`."""
        return [resource for grant, resource in self._granted if user in grant.needed_by]

    def _project(self, project: str, apis: Iterable[str]) -> ProjectAccess:
        settings = self._settings
        # Where others grant, the agents exist already: nothing can be granted to one that doesn't.
        used = agents_of(self._grants) if settings.grants == "managed" else ()
        services = [agent.service for agent in used if agent.project == project]
        return ProjectAccess(
            project,
            ProjectAccessArgs(
                project=project,
                apis=list(apis) if settings.enable_apis else [],
                service_agent="healthcare" in services,
                encryption_agents=[service for service in services if service != "healthcare"],
            ),
            pulumi.ResourceOptions(provider=self._providers.for_project(project)),
        )

    def _granted_with_the_project(self, grant: Grant) -> bool:
        return Use.ACT_AS_AGENT in grant.uses

    def _email(self, agent: Agent) -> pulumi.Output[str]:
        if agent not in self._emails:
            holder = self._projects[agent.project]
            if agent.service in holder.agents:
                self._emails[agent] = holder.agents[agent.service]
            else:
                provider = self._providers.for_project(agent.project)
                self._emails[agent] = agent_email(
                    agent.service, agent.project, pulumi.InvokeOutputOptions(provider=provider)
                )
        return self._emails[agent]

    def _member(self, grant: Grant) -> pulumi.Output[str]:
        if isinstance(grant.member, Agent):
            return pulumi.Output.concat("serviceAccount:", self._email(grant.member))
        return pulumi.Output.from_input(grant.member)


def apis_by_project(settings: Settings) -> dict[str, list[str]]:
    """Return the APIs that each project needs, by short name, the project of the stores first.

    Resource Manager, for numbers and grants, and Service Usage, for agents and APIs, are enabled in the project of the
    stores, which is the provider's own. Projects of buckets that aren't declared are not known, and not needed: Cloud
    Storage is on in every project that has a bucket.
    """
    runs = bool(settings.imports or settings.exports)
    needed: dict[str, list[str]] = {
        settings.project: ["cloudresourcemanager", "serviceusage", "healthcare", *(["logging"] if runs else [])]
    }

    def need(project: str | None, api: str) -> None:
        apis = needed.setdefault(project or settings.project, [])
        if api not in apis:
            apis.append(api)

    for export in settings.exports:
        if export.is_metadata or (export.filter and export.filter.query):
            need(None, "bigquery")  # the query runs here, and perhaps the load job: see `grants`
        if filter_bucket_of(settings, export.name) == own_filter_bucket(settings):
            need(None, "storage")
    tables = [export.to for export in settings.exports if export.is_metadata]
    tables += [stream.table for store in settings.stores for stream in store.streams]
    for table in tables:
        need(parse_bigquery_uri(table).project, "bigquery")
    for dataset in settings.bigquery:
        need(dataset.project, "bigquery")
    for bucket in settings.buckets:
        need(bucket.project, "storage")
    topics = [notification.topic for store in settings.stores for notification in store.notifications]
    for topic in topics:
        need(topic_parts(topic)["project"], "pubsub")
    for declared in settings.topics:
        need(declared.project, "pubsub")
    keys = [settings.dataset.kms_key, *(each.kms_key for each in settings.bigquery)]
    keys += [each.kms_key for each in settings.buckets] + [each.kms_key for each in settings.topics]
    for key in filter(None, keys):
        need(kms_key_parts(key)["project"], "cloudkms")
    return needed
