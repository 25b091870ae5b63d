"""``bigquery.datasets`` and ``bigquery.projects``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import ApiError, invalid
from ..core.projects import project_number, service_agent
from ..http.paging import page
from ..http.routing import Routes
from ..iam import OWNER
from .access import checked_access, default_access
from .catalog import Catalog, check_etag
from .encryption import check_key_name
from .names import already_exists, check_dataset_id
from .writing import refuse_without_effect

if TYPE_CHECKING:
    from ..http.call import Call

routes = Routes("bigquery")

#: What a client sets; the rest is derived or the server's.
_WRITABLE = (
    "access",
    "defaultCollation",
    "defaultEncryptionConfiguration",
    "defaultPartitionExpirationMs",
    "defaultRoundingMode",
    "defaultTableExpirationMs",
    "description",
    "externalCatalogDatasetOptions",
    "friendlyName",
    "isCaseInsensitive",
    "labels",
    "maxTimeTravelHours",
    "resourceTags",
    "storageBillingModel",
)
_SHORTEST_LIFE_MS = 3_600_000
#: https://cloud.google.com/bigquery/docs/time-travel: seven days, in hours.
_DEFAULT_TIME_TRAVEL = "168"
_LINKED = ("linkedDatasetSource", "externalDatasetReference")


def shown(call: Call, project: str, dataset: str, resource: dict[str, Any]) -> dict[str, Any]:
    """The REST resource of a dataset."""
    return {
        "kind": "bigquery#dataset",
        "id": f"{project}:{dataset}",
        "selfLink": f"{call.base_url}/bigquery/v2/projects/{project}/datasets/{dataset}",
        "datasetReference": {"datasetId": dataset, "projectId": project},
        "type": "DEFAULT",
        **resource,
    }


def _writable(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request body that are kept, checked."""
    for name in _LINKED:
        if body.get(name):
            raise ApiError(501, f"The emulator does not serve datasets with {name}.")
    refuse_without_effect(body)
    made = {name: body[name] for name in _WRITABLE if body.get(name) not in (None, "")}
    if "access" in made:
        made["access"] = checked_access(made["access"])
    lifetime = made.get("defaultTableExpirationMs")
    if lifetime is not None:
        if int(lifetime) == 0:
            del made["defaultTableExpirationMs"]
        elif int(lifetime) < _SHORTEST_LIFE_MS:
            raise invalid(
                f"Invalid value for defaultTableExpirationMs: {lifetime}, it is at least {_SHORTEST_LIFE_MS} (one hour)"
            )
        else:
            made["defaultTableExpirationMs"] = str(lifetime)
    if "defaultPartitionExpirationMs" in made:
        if int(made["defaultPartitionExpirationMs"]) <= 0:
            del made["defaultPartitionExpirationMs"]
        else:
            made["defaultPartitionExpirationMs"] = str(made["defaultPartitionExpirationMs"])
    if "maxTimeTravelHours" in made:
        made["maxTimeTravelHours"] = _time_travel(str(made["maxTimeTravelHours"]))
    if made.get("storageBillingModel") == "STORAGE_BILLING_MODEL_UNSPECIFIED":
        del made["storageBillingModel"]
    if "labels" in made:
        made["labels"] = {key: value for key, value in made["labels"].items() if value is not None}
    return made


def _time_travel(hours: str) -> str:
    """https://cloud.google.com/bigquery/docs/time-travel: two to seven whole days.

    Raises:
        ApiError: 400.
    """
    if not hours.isdecimal() or not 48 <= int(hours) <= 168 or int(hours) % 24:
        raise invalid(f"Invalid value for maxTimeTravelHours: {hours}, it is a multiple of 24 from 48 to 168")
    return hours


@routes.method(
    "datasets.insert",
    note="linked and external datasets, collations, names without case and rounding half to even are refused with 501",
)
def insert(call: Call) -> dict[str, Any]:
    """Create a dataset."""
    catalog = call.emulator.service(Catalog)
    project = catalog.project(call.path["projectId"])
    reference = call.body.get("datasetReference") or {}
    dataset = reference.get("datasetId")
    if not dataset:
        raise invalid("Required parameter is missing: datasetReference.datasetId", reason="required")
    if reference.get("projectId") not in (None, "", project, project_number(project)):
        raise invalid(f"datasetReference.projectId is {reference['projectId']}, the request's project is {project}")
    catalog.require_project(call.principal, "bigquery.datasets.create", project)
    return shown(call, project, dataset, create(catalog, call.principal, project, dataset, call.body))


def create(catalog: Catalog, principal: str, project: str, dataset: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a dataset from a Dataset resource; returns its document.

    Raises:
        ApiError: 400 for a bad id or setting, 409 if it exists.
    """
    check_dataset_id(dataset)
    resource = _writable(body)
    resource["location"] = location(body.get("location"))
    check_key_name(resource["location"], resource.get("defaultEncryptionConfiguration"))
    resource.setdefault("access", default_access(principal))
    with catalog.emulator.state.lock:
        if catalog.find_dataset(project, dataset) is not None:
            raise already_exists("Dataset", f"{project}:{dataset}")
        return catalog.keep_dataset(project, dataset, resource)


def location(given: str | None) -> str:
    """A location as BigQuery writes it: multi-regions in capitals, regions in small letters; US if none is given."""
    if not given:
        return "US"
    return given.upper() if given.upper() in ("US", "EU") else given.lower()


@routes.method("datasets.get")
def get(call: Call) -> dict[str, Any]:
    """Read a dataset."""
    catalog, project, dataset = _named(call)
    _may(call, catalog, "bigquery.datasets.get", project, dataset)
    found = catalog.dataset(project, dataset)
    # The default of time travel is told by this method only, not by the answers to changes.
    return {"maxTimeTravelHours": _DEFAULT_TIME_TRAVEL, **shown(call, project, dataset, found)}


@routes.method("datasets.list")
def list_(call: Call) -> dict[str, Any]:
    """The datasets of a project that the caller may see."""
    catalog = call.emulator.service(Catalog)
    project = catalog.project(call.path["projectId"])
    prefix = f"{project}/"
    wanted = _label_filter(call.query.get("filter", ""))
    names = [
        key.removeprefix(prefix)
        for key in catalog.datasets.keys_under(prefix)
        if catalog.allowed(call.principal, "bigquery.datasets.get", project, key.removeprefix(prefix))
        and wanted(catalog.datasets[key].get("labels", {}))
    ]
    names, token = page(names, call.page_size("maxResults", 1000, 10_000), call.query.get("pageToken"))  # type: ignore[assignment]
    listed = []
    for name in names:
        full = shown(call, project, name, catalog.datasets[prefix + name])
        keep = ("kind", "id", "datasetReference", "labels", "friendlyName", "location", "type")
        listed.append({key: full[key] for key in keep if key in full})
    answer: dict[str, Any] = {"kind": "bigquery#datasetList", "etag": "list"}
    if listed:
        answer["datasets"] = listed
    if token:
        answer["nextPageToken"] = token
    return answer


def _label_filter(text: str) -> Any:
    """``labels.key:value labels.other``: all of them have to fit.

    Raises:
        ApiError: 400 for anything else.
    """
    tests: list[tuple[str, str | None]] = []
    for word in text.split():
        key, colon, value = word.partition(":")
        if not key.startswith("labels.") or key == "labels.":
            raise invalid(f"Invalid filter: {word!r}; a filter is labels.KEY or labels.KEY:VALUE")
        tests.append((key.removeprefix("labels."), value if colon else None))

    def fits(labels: dict[str, str]) -> bool:
        return all(key in labels and value in (None, "", "*", labels[key]) for key, value in tests)

    return fits


@routes.method("datasets.patch")
def patch(call: Call) -> dict[str, Any]:
    """Change the fields that the request names; null removes one."""
    return _change(call, whole=False)


@routes.method("datasets.update")
def update(call: Call) -> dict[str, Any]:
    """Replace what can be set; ``access`` stays if the request has none."""
    return _change(call, whole=True)


def _change(call: Call, *, whole: bool) -> dict[str, Any]:
    catalog, project, dataset = _named(call)
    _may(call, catalog, "bigquery.datasets.update", project, dataset)
    body = call.body
    with call.emulator.state.lock:
        old = catalog.dataset(project, dataset)
        check_etag(call.headers.get("if-match"), old)
        new = dict(old)
        if whole:
            new = {key: value for key, value in old.items() if key not in _WRITABLE or key == "access"}
        for name in _WRITABLE:
            if name in body and body[name] in (None, ""):
                new.pop(name, None)
        given = _writable(body)
        if not whole and "labels" in given:
            # Labels are patched one by one; null removes a label.
            labels = {**old.get("labels", {}), **body["labels"]}
            given["labels"] = {key: value for key, value in labels.items() if value is not None}
        new.update(given)
        check_key_name(old["location"], given.get("defaultEncryptionConfiguration"))
        if str(body.get("defaultTableExpirationMs", "")) == "0":
            new.pop("defaultTableExpirationMs", None)
        if body.get("location") and location(body["location"]) != old["location"]:
            raise invalid(f"Dataset {project}:{dataset} is in {old['location']}; the location can't be changed")
        # A change that changes nothing leaves the etag and the time of the last change.
        return shown(call, project, dataset, old if new == old else catalog.keep_dataset(project, dataset, new))


@routes.method("datasets.delete", blocking=True)
def delete(call: Call) -> None:
    """Delete a dataset; with tables in it only if ``deleteContents`` is true."""
    catalog, project, dataset = _named(call)
    _may(call, catalog, "bigquery.datasets.delete", project, dataset)
    remove(catalog, project, dataset, contents=call.query.get("deleteContents", "").lower() == "true")


def remove(catalog: Catalog, project: str, dataset: str, *, contents: bool) -> None:
    """Delete a dataset.

    Raises:
        ApiError: 404 if there is none, 400 if tables are in it and ``contents`` is False.
    """
    catalog.dataset(project, dataset)
    if not contents and catalog.table_names(project, dataset):
        raise invalid(f"Dataset {project}:{dataset} is still in use", reason="resourceInUse")
    catalog.delete_dataset(project, dataset)


def _named(call: Call) -> tuple[Catalog, str, str]:
    catalog = call.emulator.service(Catalog)
    return catalog, catalog.project(call.path["projectId"]), call.path["datasetId"]


def _may(call: Call, catalog: Catalog, permission: str, project: str, dataset: str) -> None:
    """The owner of the emulator sees 404 for what does not exist; others who may not look see 403."""
    catalog.require_dataset(call.principal, permission, project, dataset)


@routes.method("projects.list")
def projects_list(call: Call) -> dict[str, Any]:
    """The projects in which the caller may do something with BigQuery."""
    permissions = ("bigquery.jobs.create", "bigquery.datasets.get", "bigquery.tables.list")
    known = [
        project
        for project in call.emulator.projects.all()
        if call.principal == OWNER
        or any(
            call.emulator.iam.allowed(call.principal, permission, f"projects/{project}") for permission in permissions
        )
    ]
    shown_ids, token = page(known, call.page_size("maxResults", 1000, 1000), call.query.get("pageToken"))
    answer: dict[str, Any] = {"kind": "bigquery#projectList", "etag": "list", "totalItems": len(known)}
    if shown_ids:
        answer["projects"] = [
            {
                "kind": "bigquery#project",
                "id": project,
                "numericId": project_number(project),
                "projectReference": {"projectId": project},
                "friendlyName": project,
            }
            for project in shown_ids
        ]
    if token:
        answer["nextPageToken"] = token
    return answer


@routes.method("projects.getServiceAccount")
def service_account(call: Call) -> dict[str, Any]:
    """The service account that BigQuery uses for keys of Cloud KMS."""
    catalog = call.emulator.service(Catalog)
    project = catalog.project(call.path["projectId"])
    return {
        "kind": "bigquery#getServiceAccountResponse",
        "email": service_agent("bigquery", project),
    }


@routes.method("models.list", note="models can't be made")
def models_list(call: Call) -> dict[str, Any]:
    """The models of a dataset: there are none; ``bq ls --models`` and clients ask."""
    return _nothing(call, "bigquery.models.list")


@routes.method("routines.list", note="routines can't be made")
def routines_list(call: Call) -> dict[str, Any]:
    """The routines of a dataset: there are none; ``bq ls --routines`` and clients ask."""
    return _nothing(call, "bigquery.routines.list")


def _nothing(call: Call, permission: str) -> dict[str, Any]:
    catalog, project, dataset = _named(call)
    _may(call, catalog, permission, project, dataset)
    catalog.dataset(project, dataset)
    return {}
