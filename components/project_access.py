"""What a project needs before anything can be declared in it: APIs, and the Cloud Healthcare service agent.

Owns the enabling of APIs (never disables one: others may use it) and the existence of the service agent. Does not
own what the agent may do elsewhere: that is `grants`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from components.arguments import arguments, child
from components.grants import AGENT_EMAILS, RULES, Use

API_DOMAIN = "googleapis.com"


@dataclass(kw_only=True)
class ProjectAccessArgs:
    """Arguments of `ProjectAccess`."""

    project: str
    """Id of the project."""
    apis: list[str] | None = None
    """APIs to enable, by short name: `healthcare`, `bigquery`, `storage`, …"""
    service_agent: bool | None = None
    """Make sure that the Cloud Healthcare service agent of this project exists."""
    grant_agent_role: bool | None = None
    """Grant the agent `roles/healthcare.serviceAgent` on this project. Google does so only when the agent comes to be
    by enabling the API in a console. Defaults to `service_agent`."""


class ProjectAccess(pulumi.ComponentResource):
    """A project made ready: APIs enabled, service agent provided.

    Rules: https://cloud.google.com/healthcare-api/docs/permissions-healthcare-api-gcp-products
    """

    project: pulumi.Output[str]
    """Id of the project."""
    service_agent: pulumi.Output[str]
    """E-mail address of the Cloud Healthcare service agent for the stores in this project; empty unless asked for."""

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
        if args.service_agent:
            self.ready.append(self._identity(name, args.project, list(enabled.values()), opts))
            # Computed, not read from the identity: so a preview knows the address before the agent exists.
            number = project_number(args.project, pulumi.InvokeOutputOptions(parent=self))
            self.service_agent = agent_email("healthcare", number)
            if args.grant_agent_role is not False:
                self.ready.append(self._agent_role(args.project, self.service_agent, opts))
        self.register_outputs({"project": self.project, "serviceAgent": self.service_agent})

    def _agent_role(
        self, project: str, agent: pulumi.Output[str], opts: pulumi.ResourceOptions | None
    ) -> gcp.projects.IAMMember:
        rule = RULES[Use.ACT_AS_AGENT]
        return gcp.projects.IAMMember(
            f"agent-{rule.verb}-{project}",
            project=project,
            role=rule.role,
            member=pulumi.Output.concat("serviceAccount:", agent),
            opts=child(self, opts, depends_on=list(self.ready)),
        )

    def _enable(self, name: str, project: str, api: str, opts: pulumi.ResourceOptions | None) -> gcp.projects.Service:
        return gcp.projects.Service(
            f"{name}-{api}",
            project=project,
            service=f"{api}.{API_DOMAIN}",
            disable_on_destroy=False,
            opts=child(self, opts),
        )

    def _identity(
        self,
        name: str,
        project: str,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None,
    ) -> gcp.projects.ServiceIdentity:
        return gcp.projects.ServiceIdentity(
            f"{name}-healthcare-agent",
            project=project,
            service=f"healthcare.{API_DOMAIN}",
            opts=child(self, opts, depends_on=after),
        )


def project_number(project: str, opts: pulumi.InvokeOutputOptions) -> pulumi.Output[str]:
    """Look a project's number up.

    Args:
        project: the project's id.
        opts: the provider to ask, or a parent that has it.
    """
    return gcp.organizations.get_project_output(project_id=project, opts=opts).number


def agent_email(service: str, number: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return the e-mail address of a Google service's agent for the project of this number."""
    return pulumi.Output.from_input(number).apply(lambda known: AGENT_EMAILS[service].format(number=known))
