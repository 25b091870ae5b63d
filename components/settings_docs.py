"""Writes the reference of the settings from the models: `python -m components.settings_docs`.

`docs/settings.md` is for people, `docs/settings.schema.json` for editors, which complete and check
`Pulumi.<stack>.yaml` with it, `docs/permissions.md` lists the grants. `--check` writes nothing and fails if a file
isn't current.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.access.needs import Level, Need, needs_of
from components.access.rules import AGENT_EMAILS, RULES
from components.settings import Settings, settings_from
from components.settings.problems import FOREIGN_KEYS, NAMESPACE
from operations.model.durations import format_duration

DOCS = Path(__file__).resolve().parent.parent / "docs"

_GENERATED = "<!-- Written by `python -m components.settings_docs`; edit the models instead. -->"


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` compare them. Returns the exit code."""
    stale = []
    for name, text in files().items():
        path = DOCS / name
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
    if stale:
        print(f"error: {', '.join(stale)} not current; run python -m components.settings_docs", file=sys.stderr)
    return 1 if stale else 0


def files() -> dict[str, str]:
    """Return the text of each file by its name under `docs/`."""
    return {
        "settings.md": settings_page(),
        "settings.schema.json": json.dumps(stack_file_schema(), indent=2, ensure_ascii=False) + "\n",
        "permissions.md": permissions_page(),
    }


# JSON Schema


def stack_file_schema() -> dict[str, Any]:
    """Return the JSON Schema of a stack's configuration file."""
    schema = Settings.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema.pop("$defs")
    # Pulumi puts an encrypted value in place of any text: https://www.pulumi.com/docs/iac/concepts/secrets/
    definitions["Secret"] = {
        "type": "object",
        "properties": {"secure": {"type": "string"}},
        "required": ["secure"],
        "additionalProperties": False,
        "description": "An encrypted value, as `pulumi config set --secret` writes it.",
    }
    properties = {
        FOREIGN_KEYS.get(name, f"{NAMESPACE}:{name}"): _with_secrets(_as_text_too(value))
        for name, value in schema["properties"].items()
    }
    required = [FOREIGN_KEYS.get(name, f"{NAMESPACE}:{name}") for name in schema["required"]]
    names = [key for key in properties if key.startswith(f"{NAMESPACE}:")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stack configuration of the project imaging",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": properties,
                "required": required,
                "propertyNames": {"anyOf": [{"enum": names}, {"not": {"pattern": f"^{NAMESPACE}:"}}]},
            }
        },
        "$defs": {name: value if name == "Secret" else _cleaned(value) for name, value in definitions.items()},
    }


def _as_text_too(schema: dict[str, Any]) -> dict[str, Any]:
    """Allow a truth value in quotes, as `pulumi config set` writes it at the top."""
    if schema.get("type") != "boolean":
        return schema
    return {**{key: value for key, value in schema.items() if key != "type"}, "enum": [True, False, "true", "false"]}


def _with_secrets(schema: Any) -> Any:
    """Allow an encrypted value in every place, and drop titles, which repeat the keys."""
    return _encryptable(_cleaned(schema))


def _cleaned(schema: Any) -> Any:
    """Return a schema whose parts may be encrypted, without titles."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: _encryptable(_cleaned(each)) for name, each in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            found[key] = _encryptable(_cleaned(value))
        elif key in ("anyOf", "oneOf"):
            # Which of the forms a value has is seen at once, so any one of them will do.
            found["anyOf"] = [_cleaned(each) for each in value]
        elif key not in ("title", "discriminator"):
            found[key] = value
    return found


def _encryptable(schema: dict[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in about}
    choices = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {**about, "anyOf": [*choices, {"$ref": "#/$defs/Secret"}]}


# The page for people


SETTINGS_HEAD = f"""\
# Settings

{_GENERATED}

The keys of `Pulumi.<stack>.yaml`. Everything is checked before anything is created, and all mistakes are shown at
once. Editors that know JSON Schema complete and check the file with
`# yaml-language-server: $schema=docs/settings.schema.json` in its first line.

Every value may be encrypted, as `pulumi config set --secret --path 'imaging:exports[0].to' gs://…` does. All that is
declared for it is then encrypted in the state and hidden in outputs and messages: of a run what is asked for, its
outcome but for counts and times, its grants; texts of the service are withheld. Which settings are encrypted is read
from `Pulumi.<stack>.yaml`; where the configuration comes from elsewhere, everything below a key counts as encrypted.
What a resource is known by stays readable, because Pulumi keeps names and ids in clear: names of datasets, stores,
buckets, topics, runs and views, and the members, roles and conditions of grants."""


# What has no setting, and how to have it in a program of one's own.
LEFT_OUT = [
    (
        "several notification topics of a store",
        "not in the Google provider yet; let the subscriptions of one topic spread the messages",
    ),
    (
        "requester pays, website, object retention, hierarchical namespace and IP filters of a bucket",
        "a transformation of `gcp:storage/bucket:Bucket`",
    ),
    (
        "holds, retention and custom time of single objects",
        "set where the objects are written; an import or export does not set them",
    ),
    (
        "lifecycle rules by the size of objects",
        "a transformation, conditions `sizeAboveBytes` and `sizeBelowBytes`",
    ),
    (
        "collation, case-insensitive names, authorised views and datasets of a BigQuery dataset",
        "a transformation of `gcp:bigquery/dataset:Dataset`; `gcp.bigquery.DatasetAccess` for authorised views",
    ),
    (
        "schemas, transforms, ingestion and tags of a topic; its subscriptions",
        "a transformation of `gcp:pubsub/topic:Topic`; `gcp.pubsub.Subscription`",
    ),
    (
        "making tags and tag keys",
        "`gcp.tags.TagKey`, `gcp.tags.TagValue`; a dataset's `tags` use them",
    ),
    (
        "readers and writers of a bucket or topic",
        "`gcp.storage.BucketIAMMember`, `gcp.pubsub.TopicIAMMember`",
    ),
    (
        "conditions on the grants of the service agent",
        "not possible: it needs them for as long as the stack is there",
    ),
]

LEFT_OUT_SECTION = """\
## What has no setting

These are left to a [program of your own](library.md): the components have the resource that they made as `resource`,
its arguments can be changed by a
[transformation](https://www.pulumi.com/docs/iac/concepts/resources/options/transformations/), and further resources can
stand beside them.

{table}

```python
import pulumi
from components import Bucket, BucketArgs


def requester_pays(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    if args.type_ != "gcp:storage/bucket:Bucket":
        return None
    return pulumi.ResourceTransformationResult({{**args.props, "requester_pays": True}}, args.opts)


Bucket(
    "shared",
    BucketArgs(name="hospital-shared", project="hospital-imaging", location="EU"),
    pulumi.ResourceOptions(transformations=[requester_pays]),
)
```"""


def settings_page() -> str:
    """Return the reference page of the settings."""
    parts = [SETTINGS_HEAD, _table(Settings, top=True)]
    places: dict[type[BaseModel], list[str]] = {}
    for name, model in _nested(Settings):
        places.setdefault(model, []).append(name)
    for model, names in places.items():
        parts += [f"## {', '.join(names)}", str(model.__doc__).strip(), _table(model)]
    return "\n\n".join([*parts, _left_out()]) + "\n"


def _left_out() -> str:
    rows = ["| what | how to have it |", "|---|---|", *(f"| {what} | {how} |" for what, how in LEFT_OUT)]
    return LEFT_OUT_SECTION.format(table="\n".join(rows))


def _table(model: type[BaseModel], *, top: bool = False) -> str:
    rows = ["| setting | form | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        key = field.alias or name
        if top:
            key = FOREIGN_KEYS.get(name, f"{NAMESPACE}:{key}")
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{key}` | {_form(field)} | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def _nested(model: type[BaseModel], prefix: str = NAMESPACE) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the models inside, depth first, under the key that leads to each."""
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            separator = ":" if prefix == NAMESPACE else "."
            many = "[]" if get_origin(field.annotation) is list else ""
            key = f"{prefix}{separator}{field.alias or name}{many}"
            yield f"`{key}`", inner
            yield from _nested(inner, key)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]


_MANY = {"text": "texts", "mapping": "mappings", "text, or mapping": "texts, or mappings"}
_FORMS = {str: "text", int: "whole number", bool: "true or false", float: "duration", dict: "mapping of text"}


def _form(field: FieldInfo) -> str:
    return _form_of(field.annotation)


def _form_of(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _form_of(inner[0])
    if origin is Literal:
        return " / ".join(f"`{choice}`" for choice in inner)
    if origin is list:
        return f"list of {_MANY.get(_form_of(inner[0]), _form_of(inner[0]))}"
    if origin is dict:
        return _FORMS[dict]
    if inner:  # X | None, or two forms of one setting
        return ", or ".join(dict.fromkeys(_form_of(each) for each in inner if each is not NoneType))
    return _FORMS.get(annotation, "mapping")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value in (None, [], {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, float):
        return f"`{format_duration(value).replace(' ', '')}`"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


# Permissions


PERMISSIONS = """\
# Permissions

{generated}

What the stack grants follows from its settings by this table, each grant once, additive members only: what others
granted stays. The output `access` lists every grant with its reason. A destroy takes them along, but for the service
agent's own role ([lifecycle.md](lifecycle.md)).

With `imaging:grants: external` the stack grants nothing. A preview asks the
[Policy Troubleshooter](https://cloud.google.com/policy-intelligence/docs/troubleshoot-access) whether the agent has the
permissions, where that API is enabled, and else reads the policies of each resource and its project. What is surely
missing ends the preview, with the commands that grant it. What a group, a wider or custom role, a condition, a folder
or an organisation may give is not known: that is a warning. Of a grant that comes from encrypted settings
alone, the keys are named instead of the command.

{roles}

The Cloud Healthcare API acts as the service agent of the project that holds the *store*, wherever the data goes to or
comes from. Keys are used by the agent of the service that encrypts, in the project of the data:

{agents}

Google makes an agent when it is first asked for, and refuses grants to one that it has not made. The stack asks for
those that it grants something to; with `imaging:grants: external` the commands that it shows do.

Google asks for `roles/bigquery.jobUser` in the project of the table; which project is billed for the load job when the
store is in another one, its pages leave open. So the agent may run it in both.

`roles/storage.objectAdmin` includes `roles/storage.objectViewer`: a bucket that is written to and read from gets one
grant.

## The identity that deploys

`pulumi up` asks for these permissions before it touches anything, also with `--skip-preview`, as far as the settings
need them, and ends when one is missing. A preview shows the plan all the same, and warns of what is missing. A role
with the same permissions does as well. `imaging:checkPermissions: false` leaves the questions out.

{deployer}

Rights on a BigQuery dataset or table that exists already can't be asked: what is missing on its project is a warning.

Without these, the stack works, with less:

{optional}

The Cloud Resource Manager API must be enabled in the project of the deploying identity before the first run, because
Google enables it nowhere by itself, and without it nothing can be read or granted on a project:

```sh
gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com --project=PROJECT
```

## An identity that only previews

A preview reads: `roles/viewer` on each project of the settings is enough. It warns of what an `up` needs beyond that.

## When a grant takes effect

A new grant takes up to some minutes to take effect, and so do a new service agent and a newly enabled API. A resource
or a run that is refused for want of something that the same `pulumi up` has just made is tried again, for at most
`imaging:permissionWait`; its row says what it waits for. A refusal of the deploying identity ends at once.

That a Healthcare dataset can't use its key yet, Google tells only in the result of an operation, which its provider
doesn't read. So after a fresh grant on the key an empty dataset, `DATASET-key-check`, is made with it and deleted,
until that succeeds; then the dataset itself is made.
"""

# Settings that need everything, for the tables of what the deploying identity needs.
EVERYTHING: dict[str, Any] = {
    "project": "project-id",
    "location": "europe-west4",
    "dataset": {
        "name": "DATASET",
        "kmsKey": "projects/project-id/locations/europe-west4/keyRings/R/cryptoKeys/KEY",
        "admins": ["group:admins@example.org"],
    },
    "stores": [
        {
            "name": "STORE",
            "notifications": [{"topic": "projects/project-id/topics/EXISTING-TOPIC"}],
            "readers": ["group:readers@example.org"],
        }
    ],
    "bigquery": [{"name": "DATASET"}],
    "buckets": [{"name": "bucket"}],
    "topics": [{"name": "TOPIC"}],
    "imports": [{"name": "IMPORT", "store": "STORE", "from": "gs://existing-bucket/**"}],
    "exports": [
        {
            "name": "EXPORT",
            "store": "STORE",
            "to": "bq://project-id.DATASET.TABLE",
            "writeDisposition": "WRITE_APPEND",
            "filter": {"query": "SELECT … FROM `project-id.OTHER.TABLE`"},
            "views": True,
        },
        {"name": "IMAGES", "store": "STORE", "to": "gs://bucket/images/"},
    ],
}


def _deployer_rows() -> list[str]:
    rows = ["| on | permissions | for | predefined role |", "|---|---|---|---|"]
    for need in _needs_of_everything():
        if need.level is not Level.OPTIONAL:
            # What a stack grants is listed above; here it matters that it grants at all.
            purposes = dict.fromkeys("granting" if "granting" in each else each for each in need.purpose.split(", "))
            rows.append(f"| {need.on} | {_listed(need)} | {', '.join(purposes)} | `{need.role}` |")
    return rows


def _optional_rows() -> list[str]:
    rows = ["| on | permissions | lost without | predefined role |", "|---|---|---|---|"]
    rows += [
        f"| {need.on} | {_listed(need)} | {need.lost} | `{need.role}` |"
        for need in _needs_of_everything()
        if need.level is Level.OPTIONAL
    ]
    return rows


def _needs_of_everything() -> list[Need]:
    return needs_of(settings_from(EVERYTHING))


def _listed(need: Need) -> str:
    return ", ".join(f"`{permission}`" for permission in need.permissions)


def permissions_page() -> str:
    """Return the page about who needs which role on what."""
    roles = ["| to | role | on | custom role | source |", "|---|---|---|---|---|"]
    for use, rule in RULES.items():
        custom = f"`roles.{_camel(rule.custom)}`" if rule.custom else ""
        roles.append(f"| {use} | `{rule.role}` | {rule.on} | {custom} | [Google]({rule.page}) |")
    agents = ["| service | service agent |", "|---|---|"]
    agents += [f"| {service} | `{email.format(number='NUMBER')}` |" for service, email in AGENT_EMAILS.items()]
    return PERMISSIONS.format(
        generated=_GENERATED,
        roles="\n".join(roles),
        agents="\n".join(agents),
        deployer="\n".join(_deployer_rows()),
        optional="\n".join(_optional_rows()),
    )


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
