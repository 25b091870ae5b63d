"""What a project needs before anything can be declared in it: APIs, and the service agents that act in it.

Owns the enabling of APIs (never disables one: others may use it) and the existence of the agents. Does not own what
the agents may do elsewhere: that is `grants`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.access.rules import AGENT_EMAILS, RULES, Use
from components.base.arguments import arguments, child, without_dependencies
from components.base.waiting import awaiting, remembered

API_DOMAIN = "googleapis.com"


@dataclass(kw_only=True)
class ProjectAccessArgs:
    """Arguments of `ProjectAccess`."""

    project: pulumi.Input[str]
    """Id of the project."""
    apis: list[str] | None = None
    """APIs to enable, by short name: `healthcare`, `bigquery`, `storage`, …"""
    service_agent: bool | None = None
    """Make sure that the Cloud Healthcare service agent of this project exists."""
    grant_agent_role: bool | None = None
    """Grant the agent `roles/healthcare.serviceAgent` on this project. Google does so only when the agent comes to be
    by enabling the API in a console. Defaults to `service_agent`."""
    encryption_agents: list[str] | None = None
    """Services whose agents use keys for this project's data: `bigquery`, `storage`, `pubsub`. Google makes an agent
    when it is first asked for; until then nothing can be granted to it."""


class ProjectAccess(pulumi.ComponentResource):
    """A project made ready: APIs enabled, service agent provided.

    Rules: https://cloud.google.com/healthcare-api/docs/permissions-healthcare-api-gcp-products
    """

    project: pulumi.Output[str]
    """Id of the project."""
    service_agent: pulumi.Output[str]
    """E-mail address of the Cloud Healthcare service agent for the stores in this project; empty unless asked for."""
    encryption_agents: pulumi.Output[Mapping[str, str]]
    """E-mail addresses of the agents that use keys, by service: those that were asked for."""

    def __init__(
        self,
        name: str,
        args: ProjectAccessArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("imaging:index:ProjectAccess", name, {}, opts)
        args = arguments(ProjectAccessArgs, args)
        self.ready: list[pulumi.Resource] = []
        """What must be there before anything is declared in the project, or granted to the agent."""
        enabled = {api: self._enable(name, args.project, api, opts) for api in args.apis or []}
        self.ready += enabled.values()
        self.project = pulumi.Output.from_input(args.project)
        self.service_agent = pulumi.Output.from_input("")
        self.agents: dict[str, pulumi.Output[str]] = {}
        """E-mail addresses of the agents that were asked for, by service."""
        if args.service_agent:
            self.ready.append(self._identity(name, args.project, "healthcare", list(enabled.values()), opts))
            # Computed, not read from the identity: so a preview knows the address before the agent exists.
            self.service_agent = agent_email("healthcare", args.project, pulumi.InvokeOutputOptions(parent=self))
            self.agents["healthcare"] = self.service_agent
            if args.grant_agent_role is not False:
                self.ready.append(self._agent_role(name, args.project, self.service_agent, opts))
        for service in args.encryption_agents or []:
            self.agents[service] = self._encryption_agent(name, args.project, service, list(enabled.values()), opts)
        self.encryption_agents = pulumi.Output.all(
            **{service: self.agents[service] for service in args.encryption_agents or []}
        )
        self.register_outputs(
            {
                "project": self.project,
                "serviceAgent": self.service_agent,
                "encryptionAgents": self.encryption_agents,
            }
        )

    def _encryption_agent(
        self,
        name: str,
        project: pulumi.Input[str],
        service: str,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None,
    ) -> pulumi.Output[str]:
        """Make sure that an agent exists, and return its address: asking for it makes it.

        https://cloud.google.com/storage/docs/projects#service-agents,
        https://cloud.google.com/bigquery/docs/reference/rest/v2/projects/getServiceAccount
        """
        asking = pulumi.InvokeOutputOptions(parent=self, depends_on=after)
        if service == "storage":
            found = gcp.storage.get_project_service_account_output(project=project, opts=asking)
            return without_dependencies(found.email_address)
        if service == "bigquery":
            account = gcp.bigquery.get_default_service_account_output(project=project, opts=asking)
            return without_dependencies(account.email)
        return self._identity(name, project, service, after, opts).email

    def _agent_role(
        self,
        name: str,
        project: pulumi.Input[str],
        agent: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None,
    ) -> gcp.projects.IAMMember:
        rule = RULES[Use.ACT_AS_AGENT]
        # Google's own grant, which every stack and store of the project needs: no destroy takes it away.
        # Either name lasts when the component is renamed: aliases reach children whose names begin with its name.
        return gcp.projects.IAMMember(
            f"agent-{rule.verb}-{project}" if isinstance(project, str) else f"{name}-agent-{rule.verb}",
            project=project,
            role=rule.role,
            member=pulumi.Output.concat("serviceAccount:", agent),
            opts=child(self, opts, depends_on=list(self.ready), hooks=remembered(), retain_on_delete=True),
        )

    def _enable(
        self, name: str, project: pulumi.Input[str], api: str, opts: pulumi.ResourceOptions | None
    ) -> gcp.projects.Service:
        return gcp.projects.Service(
            f"{name}-{api}",
            project=project,
            service=f"{api}.{API_DOMAIN}",
            disable_on_destroy=False,
            opts=child(self, opts, hooks=remembered()),
        )

    def _identity(
        self,
        name: str,
        project: pulumi.Input[str],
        service: str,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None,
    ) -> gcp.projects.ServiceIdentity:
        return gcp.projects.ServiceIdentity(
            f"{name}-{service}-agent",
            project=project,
            service=f"{service}.{API_DOMAIN}",
            opts=child(self, opts, depends_on=after, hooks=awaiting()),
        )


def agent_email(service: str, project: pulumi.Input[str], opts: pulumi.InvokeOutputOptions) -> pulumi.Output[str]:
    """Return the e-mail address of a service agent, whether it exists yet or not.

    Args:
        service: one of `AGENT_EMAILS`.
        project: the id of the project that it acts for.
        opts: the provider to ask for the project's number, or a parent that has it.
    """
    found = gcp.organizations.get_project_output(project_id=project, opts=opts)
    return found.number.apply(lambda number: AGENT_EMAILS[service].format(number=number))
