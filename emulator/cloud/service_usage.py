"""Service Usage: which APIs of a project are enabled, and the service agents that come with them.

https://cloud.google.com/service-usage/docs/reference/rest
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid, not_found
from ..core.projects import project_number, service_agent
from ..http.paging import page
from ..http.routing import Routes

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..core.state import Collection
    from ..http.call import Call

routes = Routes("serviceusage")

#: Titles of APIs; those with True are enabled in every new project
#: (https://cloud.google.com/service-usage/docs/enabled-service#default).
_SERVICES: dict[str, tuple[str, bool]] = {
    "bigquery.googleapis.com": ("BigQuery API", True),
    "bigquerystorage.googleapis.com": ("BigQuery Storage API", True),
    "cloudapis.googleapis.com": ("Google Cloud APIs", True),
    "cloudbilling.googleapis.com": ("Cloud Billing API", False),
    "cloudkms.googleapis.com": ("Cloud Key Management Service (KMS) API", False),
    "cloudresourcemanager.googleapis.com": ("Cloud Resource Manager API", False),
    "healthcare.googleapis.com": ("Cloud Healthcare API", False),
    "iam.googleapis.com": ("Identity and Access Management (IAM) API", False),
    "logging.googleapis.com": ("Cloud Logging API", True),
    "monitoring.googleapis.com": ("Cloud Monitoring API", True),
    "pubsub.googleapis.com": ("Cloud Pub/Sub API", False),
    "servicemanagement.googleapis.com": ("Service Management API", True),
    "serviceusage.googleapis.com": ("Service Usage API", True),
    "storage-api.googleapis.com": ("Google Cloud Storage JSON API", True),
    "storage-component.googleapis.com": ("Cloud Storage", True),
    "storage.googleapis.com": ("Cloud Storage API", True),
}
_HEALTHCARE = "healthcare.googleapis.com"
_NAME = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+")
#: https://cloud.google.com/service-usage/docs/reference/rest/v1/services/batchEnable
_MOST_IN_A_BATCH = 20
#: https://cloud.google.com/service-usage/docs/reference/rest/v1/services/batchGet
_MOST_IN_A_GET = 30
#: What Google names operations that were over before they began.
_DONE = ("operations/noop.DONE_OPERATION", "operations/finished.DONE_OPERATION")
_TYPE = "type.googleapis.com/google.api.serviceusage.v1"


def is_enabled(emulator: Emulator, project: str, service: str) -> bool:
    """Whether an API is enabled in a project (``healthcare.googleapis.com``)."""
    kept = _states(emulator).get(f"{project}/{service}")
    if kept is not None:
        return kept["enabled"] is True and kept["from"] <= time.time()
    return _SERVICES.get(service, ("", False))[1]


def title(service: str) -> str:
    """What an API is called; empty if it is none that is known here."""
    return _SERVICES.get(service, ("", False))[0]


@routes.method("services.list")
def list_services(call: Call) -> dict[str, Any]:
    """The known APIs, or those in one state."""
    project = _project(call, "serviceusage.services.list", "list services for consumer container")
    wanted = _state_of_filter(call.query.get("filter", ""))
    kept = _states(call.emulator)
    known = {*_SERVICES, *(key.partition("/")[2] for key in kept.keys_under(f"{project}/"))}
    names = sorted(
        name for name in known if wanted is None or is_enabled(call.emulator, project, name) is (wanted == "ENABLED")
    )
    names, token = page(names, call.page_size("pageSize", 50, 200), call.query.get("pageToken"))  # type: ignore[assignment]
    answer: dict[str, Any] = {}
    if names:
        answer["services"] = [_service(call.emulator, project, name) for name in names]
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("services.get")
def get(call: Call) -> dict[str, Any]:
    """One API."""
    project = _project(call, "serviceusage.services.get", "get service")
    return _service(call.emulator, project, _checked(call.path["servicesId"]))


@routes.method("services.batchGet")
def batch_get(call: Call) -> dict[str, Any]:
    """Several APIs."""
    project = _project(call, "serviceusage.services.get", "get service")
    names = [name.rpartition("/")[2] for name in call.query.getlist("names")]
    if not 1 <= len(names) <= _MOST_IN_A_GET:
        raise invalid(f"names: 1 to {_MOST_IN_A_GET} services can be read in one request, not {len(names)}")
    return {"services": [_service(call.emulator, project, _checked(name)) for name in names]}


@routes.method("services.enable")
def enable(call: Call) -> dict[str, Any]:
    """Enable an API."""
    service = _checked(call.path["servicesId"])
    project = _project(call, "serviceusage.services.enable", f"enable service [{service}]")
    return _enable(call, project, [service], "EnableServiceResponse")


@routes.method("services.batchEnable")
def batch_enable(call: Call) -> dict[str, Any]:
    """Enable several APIs: all or none."""
    names = [_checked(name) for name in call.body.get("serviceIds") or []]
    project = _project(call, "serviceusage.services.enable", f"enable service [{', '.join(names)}]")
    if not names or len(names) > _MOST_IN_A_BATCH:
        raise invalid(f"serviceIds: 1 to {_MOST_IN_A_BATCH} APIs can be enabled in one request, not {len(names)}")
    return _enable(call, project, names, "BatchEnableServicesResponse")


@routes.method("services.disable", note="APIs that depend on it are not looked at")
def disable(call: Call) -> dict[str, Any]:
    """Disable an API."""
    service = _checked(call.path["servicesId"])
    project = _project(call, "serviceusage.services.disable", f"disable service [{service}]")
    if not is_enabled(call.emulator, project, service):
        raise ApiError(
            400,
            f"The service {service} is not enabled in {project} and can't be disabled.",
            name="FAILED_PRECONDITION",
            reason="failedPrecondition",
        )
    fault = call.operation_fault
    if fault is None or fault.error is None:
        _states(call.emulator)[f"{project}/{service}"] = {"enabled": False, "from": 0.0}
    response = {"@type": f"{_TYPE}.DisableServiceResponse", "service": _service(call.emulator, project, service)}
    return _operation(call, project, [service], response)


@routes.method("services.generateServiceIdentity")
def generate_service_identity(call: Call) -> dict[str, Any]:
    """Create the service agent of an API; done at once."""
    service = _checked(call.path["servicesId"])
    project = _project(call, "serviceusage.services.enable", f"generate the service identity of [{service}]")
    if service == _HEALTHCARE:
        # An agent that somebody asked for is granted nothing (https://cloud.google.com/iam/docs/create-service-agents).
        email = call.emulator.projects.provision_service_agent(project)
    else:
        email = service_agent(service.partition(".")[0], project)
    return {
        "name": _DONE[1],
        "done": True,
        "response": {
            "@type": "type.googleapis.com/google.api.serviceusage.v1beta1.ServiceIdentity",
            "email": email,
            "uniqueId": unique_id(email),
        },
    }


@routes.method("operations.get")
def get_operation(call: Call) -> dict[str, Any]:
    """An operation of this API; the path is the same for other APIs, whose operations are never kept here."""
    name = f"operations/{call.path['operationsId']}"
    if name in _DONE:
        return {"name": name, "done": True}
    kept = _operations(call.emulator).get(name)
    if kept is None or (kept.get("vanishes") and kept["until"] <= time.time()):
        raise not_found(f"Operation not found: {name}")
    return _shown_operation(kept)


def provision_healthcare_agent(emulator: Emulator, project: str) -> str:
    """Create the Cloud Healthcare service agent, unless it exists, with its role on its own project.

    https://cloud.google.com/healthcare-api/docs/troubleshooting: so it comes with the API and the first dataset.

    Returns:
        Its e-mail.
    """
    with emulator.state.lock:
        if emulator.projects.has_service_agent(project):
            return service_agent("healthcare", project)
        email = emulator.projects.provision_service_agent(project)
        policy = emulator.iam.get(f"projects/{project}")
        binding = {"role": "roles/healthcare.serviceAgent", "members": [f"serviceAccount:{email}"]}
        emulator.iam.set(f"projects/{project}", {**policy, "bindings": [*policy.get("bindings", []), binding]})
    return email


def unique_id(email: str) -> str:
    """The numeric id of a service account, derived from its e-mail."""
    digest = int.from_bytes(hashlib.sha256(email.encode()).digest()[:8], "big")
    return str(100_000_000_000_000_000_000 + digest % 10_000_000_000_000_000_000)


def _states(emulator: Emulator) -> Collection:
    return emulator.state.collection("serviceusage.services")


def _operations(emulator: Emulator) -> Collection:
    return emulator.state.collection("serviceusage.operations")


def _project(call: Call, permission: str, doing: str) -> str:
    project = call.emulator.projects.use(call.path["projectsId"])
    if not call.emulator.iam.allowed(call.principal, permission, f"projects/{project}"):
        where = f" [projects/{project_number(project)}]" if doing.endswith("container") else ""
        raise ApiError(403, f"Permission denied to {doing}{where}", reason="forbidden")
    return project


def _checked(service: str) -> str:
    if not _NAME.fullmatch(service) or (service.endswith(".googleapis.com") and service.count(".") != 2):
        raise ApiError(403, f"Not found or permission denied for service(s): {service}.", reason="forbidden")
    return service


def _service(emulator: Emulator, project: str, service: str) -> dict[str, Any]:
    number = project_number(project)
    name = title(service)
    return {
        "name": f"projects/{number}/services/{service}",
        "config": {"name": service, **({"title": name} if name else {})},
        "state": "ENABLED" if is_enabled(emulator, project, service) else "DISABLED",
        "parent": f"projects/{number}",
    }


def _state_of_filter(text: str) -> str | None:
    if not text:
        return None
    found = re.fullmatch(r"\s*state\s*[:=]\s*\"?(ENABLED|DISABLED)\"?\s*", text)
    if found is None:
        raise invalid(f"filter: state:ENABLED or state:DISABLED is expected, not {text!r}")
    return found[1]


def _enable(call: Call, project: str, services: list[str], response_type: str) -> dict[str, Any]:
    emulator = call.emulator
    missing = [name for name in services if not is_enabled(emulator, project, name)]
    fault = call.operation_fault
    if fault is None or fault.error is None:
        seconds = _seconds(call)
        for name in missing:
            _states(emulator)[f"{project}/{name}"] = {
                "enabled": True,
                "from": time.time() + seconds if seconds else 0.0,
            }
        if _HEALTHCARE in services:
            provision_healthcare_agent(emulator, project)
    enabled = [{**_service(emulator, project, name), "state": "ENABLED"} for name in services]
    response: dict[str, Any] = {"@type": f"{_TYPE}.{response_type}"}
    if response_type == "EnableServiceResponse":
        response["service"] = enabled[0]
    else:
        response["services"] = enabled
    if not missing and fault is None:
        return {"name": _DONE[0], "done": True, "response": response}
    return _operation(call, project, services, response)


def _seconds(call: Call) -> float:
    fault = call.operation_fault
    if fault is not None and fault.seconds is not None:
        return fault.seconds
    return call.emulator.settings.operation_seconds


def _operation(call: Call, project: str, services: list[str], response: dict[str, Any]) -> dict[str, Any]:
    number = project_number(project)
    operations = _operations(call.emulator)
    fault = call.operation_fault
    kept: dict[str, Any] = {
        "name": f"operations/acat.p2-{number}-{len(operations) + 1:08x}",
        "until": time.time() + _seconds(call),
        "resources": [f"services/{name}/projectSettings/{number}" for name in services],
        "vanishes": fault is not None and fault.vanish,
    }
    if fault is not None and fault.error is not None:
        kept["error"] = fault.error
    else:
        kept["response"] = response
    operations[kept["name"]] = kept
    return _shown_operation(kept)


def _shown_operation(kept: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": kept["name"],
        "metadata": {"@type": f"{_TYPE}.OperationMetadata", "resourceNames": kept["resources"]},
    }
    if kept["until"] <= time.time():
        shown["done"] = True
        shown.update({key: kept[key] for key in ("error", "response") if key in kept})
    return shown
