"""What a stack with medical images must keep to, rule by rule; nothing here talks to Pulumi.

A rule looks at the inputs of one resource, of this project's components or of any other program, and says what is
wrong with it. Rules that need a list (locations, projects, members) hold nothing until it is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

#: Stands for what a preview doesn't know yet; the update checks it again.
UNKNOWN = object()

#: Members that stand for everybody. https://cloud.google.com/iam/docs/principal-identifiers
EVERYBODY = ("allUsers", "allAuthenticatedUsers")

#: Service agents act for Google's own services; their e-mail addresses end so.
#: https://cloud.google.com/iam/docs/service-agents
_SERVICE_AGENTS = (
    "serviceAccount:service-*@*.iam.gserviceaccount.com",
    "serviceAccount:bq-*@*.iam.gserviceaccount.com",
)

_DATASET = "gcp:healthcare/dataset:Dataset"
_STORE = "gcp:healthcare/dicomStore:DicomStore"
_BUCKET = "gcp:storage/bucket:Bucket"
_BIGQUERY_DATASET = "gcp:bigquery/dataset:Dataset"
_TOPIC = "gcp:pubsub/topic:Topic"
_EXPORT = "pulumi-python:dynamic/imaging:StartedOperation"

#: Where each type that holds data names its Cloud KMS key.
KEYS: dict[str, tuple[str, ...]] = {
    _DATASET: ("encryptionSpec", "kmsKeyName"),
    _BUCKET: ("encryption", "defaultKmsKeyName"),
    _BIGQUERY_DATASET: ("defaultEncryptionConfiguration", "kmsKeyName"),
    _TOPIC: ("kmsKeyName",),
}

#: What must not be deleted by mistake.
_PROTECTED = (_DATASET, _STORE, _BUCKET, _BIGQUERY_DATASET)


@dataclass(frozen=True)
class Resource:
    """A resource as a program declares it.

    Attributes:
        type: Pulumi's type token.
        props: its inputs.
        protected: whether its deletion is refused.
    """

    type: str
    props: Mapping[str, Any]
    protected: bool = False


Check = Callable[[Resource, Mapping[str, Any]], Iterator[str]]


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: how a configuration refers to it.
        description: what it holds.
        level: `mandatory`, `advisory` or `disabled`, unless a configuration says otherwise.
        check: yields what is wrong with a resource, given the rule's configuration.
        lists: the lists of texts that can be configured, with what they mean.
    """

    name: str
    description: str
    level: str
    check: Check
    lists: Mapping[str, str] = field(default_factory=dict)


def no_public_members(resource: Resource, _: Mapping[str, Any]) -> Iterator[str]:
    """Nothing is granted to everybody, in whichever property a type of resource has it."""
    if not resource.type.startswith("gcp:"):
        return
    for path, text in _texts(resource.props):
        found = [member for member in EVERYBODY if text == member or f'"{member}"' in text]
        if found:
            yield f"{path} grants to {found[0]}; name the people, groups or service accounts"
        elif path.endswith(("predefinedAcl", "predefinedDefaultObjectAcl")) and text.startswith("public"):
            yield f"{path} is {text}; remove it"


def closed_buckets(resource: Resource, _: Mapping[str, Any]) -> Iterator[str]:
    """Buckets have uniform access and public-access prevention."""
    if resource.type != _BUCKET:
        return
    if resource.props.get("uniformBucketLevelAccess") not in (True, UNKNOWN):
        yield "uniformBucketLevelAccess is not true: single objects could be shared"
    if resource.props.get("publicAccessPrevention") not in ("enforced", UNKNOWN):
        yield 'publicAccessPrevention is not "enforced": the bucket could be opened to everybody'


def allowed_locations(resource: Resource, config: Mapping[str, Any]) -> Iterator[str]:
    """What holds data is in one of the configured locations."""
    allowed = _configured(config, "locations")
    if not allowed or resource.type not in (_DATASET, _BUCKET, _BIGQUERY_DATASET):
        return
    # BigQuery's and Cloud Storage's own default is the United States.
    location = resource.props.get("location") or "US"
    if isinstance(location, str) and location.lower() not in {each.lower() for each in allowed}:
        yield f"location {location} is none of {', '.join(allowed)}"


def allowed_destinations(resource: Resource, config: Mapping[str, Any]) -> Iterator[str]:
    """Exports, streams and notifications write into configured projects and buckets only."""
    projects, buckets = _configured(config, "projects"), _configured(config, "buckets")
    for kind, name, uri in _destinations(resource):
        allowed = projects if kind == "project" else buckets
        if allowed and not any(fnmatchcase(name, each) for each in allowed):
            yield f"{uri} is in {kind} {name}, which is none of {', '.join(allowed)}"


def allowed_members(resource: Resource, config: Mapping[str, Any]) -> Iterator[str]:
    """Roles are granted to configured members, and to Google's service agents."""
    allowed = _configured(config, "members")
    if not allowed or not resource.type.startswith("gcp:"):
        return
    given = resource.props.get("member")
    many = resource.props.get("members")
    members = [given] if given else many if isinstance(many, list) else []
    for member in members:
        if isinstance(member, str) and not any(fnmatchcase(member, each) for each in (*allowed, *_SERVICE_AGENTS)):
            yield f"{member} is none of {', '.join(allowed)}"


def customer_managed_keys(resource: Resource, _: Mapping[str, Any]) -> Iterator[str]:
    """What holds data is encrypted with a Cloud KMS key of one's own."""
    path = KEYS.get(resource.type)
    if path is None:
        return
    value: Any = resource.props
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else value
    if not value:
        yield f"{'.'.join(path)} is not set; give it a Cloud KMS key"


def deletion_protection(resource: Resource, _: Mapping[str, Any]) -> Iterator[str]:
    """What holds data can't be deleted without saying so first."""
    if resource.type not in _PROTECTED:
        return
    if not resource.protected:
        yield "it isn't protected from deletion; leave imaging:deletionProtection on, or set `protect`"


RULES = (
    Rule("no-public-members", "Nothing is granted to everybody", "mandatory", no_public_members),
    Rule("closed-buckets", "Buckets have uniform access and public-access prevention", "mandatory", closed_buckets),
    Rule(
        "allowed-locations",
        "Datasets and buckets are in allowed locations",
        "mandatory",
        allowed_locations,
        {"locations": "locations as Google writes them, such as europe-west4 or EU"},
    ),
    Rule(
        "allowed-destinations",
        "Exports, streams and notifications write into allowed projects and buckets",
        "mandatory",
        allowed_destinations,
        {
            "projects": "projects of BigQuery tables and Pub/Sub topics; * stands for any characters",
            "buckets": "buckets; * stands for any characters",
        },
    ),
    Rule(
        "allowed-members",
        "Roles are granted to allowed members only",
        "mandatory",
        allowed_members,
        {"members": "members as IAM writes them, such as group:*@example.org; * stands for any characters"},
    ),
    Rule(
        "customer-managed-keys",
        "Datasets, buckets and topics are encrypted with keys of one's own",
        "disabled",
        customer_managed_keys,
    ),
    Rule("deletion-protection", "Datasets, stores and buckets are protected", "advisory", deletion_protection),
)


def _destinations(resource: Resource) -> Iterator[tuple[str, str, str]]:
    """Where a resource writes data to: `project` or `bucket`, its name, and the URI or name it was given as."""
    if resource.type == _EXPORT:
        body = resource.props.get("body") or {}
    else:
        body = resource.props if resource.type == _STORE else {}
    for path, text in _texts(body):
        match path.rpartition(".")[2]:
            case "tableUri":
                # bq://PROJECT.DATASET.TABLE; a domain-scoped project has dots of its own: example.com:imaging
                yield "project", text.removeprefix("bq://").rsplit(".", 2)[0], text
            case "uriPrefix":
                yield "bucket", text.removeprefix("gs://").partition("/")[0], text
            case "pubsubTopic":
                yield "project", text.removeprefix("projects/").partition("/")[0], text


def _configured(config: Mapping[str, Any], name: str) -> list[str]:
    return [str(each) for each in config.get(name) or ()]


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text inside a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _texts(each, f"{path}[{index}]")
