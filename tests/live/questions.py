"""What Google's documents leave open, as questions to an API: the same ones to Google Cloud and to the emulator.

An answer consists of facts, which must be the same at both, and of texts, which are shown beside each other. Where a
document does say what happens, the facts stand here (`documented`) and the emulator is held to them without Google.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.live.ground import BROKEN, CT, Ground, image
from tests.live.place import Answer

#: Of no image anywhere.
UNKNOWN_UID = "1.2.826.0.1.3680043.8.498.1"
_LABELS = "apiMethodName", "counter"


@dataclass(frozen=True)
class Observed:
    """An answer.

    Attributes:
        facts: what a program may depend on.
        text: what a person reads.
    """

    facts: dict[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: what is asked, as a test's name.
        ask: asks it.
        documented: facts that Google documents.
    """

    name: str
    ask: Callable[[Ground], Observed]
    documented: Mapping[str, Any] = field(default_factory=dict)


def _outcome(ground: Ground, answer: Answer) -> Observed:
    """Whether a call was refused at once or its operation failed later, and with what."""
    if answer.status >= 300:
        return Observed(
            {"place": "call", "http": answer.status, "status": answer.error.get("status")},
            answer.error.get("message", ""),
        )
    done = ground.place.finish(answer)
    error = done.body.get("error", {})
    metadata = done.body.get("metadata", {})
    facts: dict[str, Any] = {"place": "operation", "code": error.get("code", 0)}
    facts |= {label: metadata[label] for label in _LABELS if label in metadata}
    return Observed(facts, error.get("message", ""))


def _export(ground: Ground, body: Mapping[str, Any], store: str | None = None) -> Observed:
    answer = ground.place.call("healthcare", "POST", f"v1/{store or ground.store}:export", body)
    return _outcome(ground, answer)


def _to_table(table: str, **more: Any) -> dict[str, Any]:
    return {"bigqueryDestination": {"tableUri": f"bq://{table}", **more}}


def _to_bucket(prefix: str, **more: Any) -> dict[str, Any]:
    return {"gcsDestination": {"uriPrefix": f"gs://{prefix}", **more}}


def _import(ground: Ground, uri: str) -> Observed:
    body = {"gcsSource": {"uri": f"gs://{uri}"}}
    return _outcome(ground, ground.place.call("healthcare", "POST", f"v1/{ground.store}:import", body))


def _filtered(ground: Ground, name: str, *lines: str) -> Observed:
    ground.place.upload(ground.inbox, name, "\n".join(lines).encode())
    filtered = {"filterConfig": {"resourcePathsGcsUri": f"gs://{ground.inbox}/{name}"}}
    return _export(ground, _to_bucket(f"{ground.outbox}/{name}/") | filtered)


def study_of(name: str) -> str:
    """The study's UID of one of pydicom's files."""
    return str(dcmread(str(get_testdata_file(name)), stop_before_pixels=True).StudyInstanceUID)


def _call(
    ground: Ground,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, str] | None = None,
) -> Observed:
    answer = ground.place.call("healthcare", method, f"v1/{path}", body, query=query)
    facts = {"http": answer.status, "status": answer.error.get("status"), "content": answer.content_type}
    return Observed(facts, answer.error.get("message", ""))


def _stow(ground: Ground, accept: str | None) -> Observed:
    headers = {"Content-Type": "application/dicom", **({"Accept": accept} if accept else {})}
    path = f"v1/{ground.store}/dicomWeb/studies"
    answer = ground.place.call("healthcare", "POST", path, image(CT), headers=headers)
    return Observed({"http": answer.status, "content": answer.content_type}, json.dumps(answer.body))


def _columns(ground: Ground) -> Observed:
    project, dataset, table = ground.table.split(".")
    path = f"bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}"
    schema = ground.place.call("bigquery", "GET", path).body["schema"]["fields"]
    return Observed({"columns": sorted(_flat(schema))})


def _flat(fields: list[dict[str, Any]], path: str = "") -> list[str]:
    found = []
    for each in fields:
        name = f"{path}{each['name']}"
        kind = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "STRUCT": "RECORD"}.get(each["type"], each["type"])
        found.append(f"{name} {kind} {each.get('mode', 'NULLABLE')}")
        found += _flat(each.get("fields", []), f"{name}.")
    return found


def _row(ground: Ground, name: str) -> Observed:
    instance = dcmread(str(get_testdata_file(name)), stop_before_pixels=True).SOPInstanceUID
    # The names are the run's own.
    sql = f"SELECT TO_JSON_STRING(t) FROM `{ground.table}` AS t WHERE SOPInstanceUID = '{instance}'"  # noqa: S608
    row = json.loads(ground.place.query(sql)[0][0])
    # The project's names, and the moment of the import, are the run's own.
    for column in ("SourceDicomStore", "LastUpdated", "StructuredStorageSize"):
        row.pop(column, None)
    return Observed({column: value for column, value in row.items() if value not in (None, [], {})})


def _json_columns(ground: Ground) -> Observed:
    table = f"{ground.bigquery_dataset}.json_layout"
    done = _export(ground, _to_table(table, schemaJson={}, writeDisposition="WRITE_TRUNCATE"))
    if done.facts["code"]:
        return done
    project, dataset, name = table.split(".")
    path = f"bigquery/v2/projects/{project}/datasets/{dataset}/tables/{name}"
    schema = ground.place.call("bigquery", "GET", path).body["schema"]["fields"]
    return Observed({"columns": sorted(_flat(schema))})


_REFUSED = {"place": "call", "http": 400, "status": "INVALID_ARGUMENT"}
_EXPORTED = {"place": "operation", "code": 0}

QUESTIONS = (
    # Requests
    Question(
        "an unknown field is refused",
        lambda g: _export(g, _to_table(g.table) | {"writeDisposition": "WRITE_TRUNCATE"}),
        _REFUSED,
    ),
    Question(
        "a wrong enum is refused", lambda g: _export(g, _to_table(g.table, writeDisposition="WRITE_OVER")), _REFUSED
    ),
    Question("no destination", lambda g: _export(g, {}), _REFUSED),
    Question("two destinations", lambda g: _export(g, _to_table(g.table) | _to_bucket(f"{g.outbox}/two/")), _REFUSED),
    Question("a table URI without a table", lambda g: _export(g, _to_table(g.bigquery_dataset))),
    Question("a table name with a forbidden character", lambda g: _export(g, _to_table(f"{g.bigquery_dataset}.a b"))),
    Question("an import with ** in the middle", lambda g: _import(g, f"{g.inbox}/**/CT_small.dcm")),
    Question("an import with two kinds of wildcards", lambda g: _import(g, f"{g.inbox}/?T*/**")),
    # What isn't there
    Question("an unknown dataset", lambda g: _call(g, "GET", f"{g.dataset}_unknown"), {"http": 403}),
    Question("an unknown store", lambda g: _call(g, "GET", f"{g.dataset}/dicomStores/unknown"), {"http": 404}),
    Question("an unknown operation", lambda g: _call(g, "GET", f"{g.dataset}/operations/1")),
    Question(
        "a dataset's name that is taken",
        lambda g: _call(g, "POST", g.dataset.rpartition("/")[0], {}, {"datasetId": g.dataset.rpartition("/")[2]}),
        {"http": 409},
    ),
    Question(
        "a store's name that is taken",
        lambda g: _call(g, "POST", f"{g.dataset}/dicomStores", {}, {"dicomStoreId": "pacs"}),
        {"http": 409},
    ),
    Question(
        "an export to an unknown BigQuery dataset",
        lambda g: _export(g, _to_table(f"{g.place.bigquery_project}.unknown_{g.place.unique}.instances")),
    ),
    Question(
        "an export to an unknown bucket", lambda g: _export(g, _to_bucket(f"{g.place.project}-{g.place.unique}-no/a/"))
    ),
    Question("an import that matches nothing", lambda g: _import(g, f"{g.inbox}/nothing/*.dcm")),
    # Permissions of the service agent
    Question("an export to a BigQuery dataset without a grant", lambda g: _export(g, _to_table(f"{g.ungranted}.t"))),
    Question("an export to a bucket without a grant", lambda g: _export(g, _to_bucket(f"{g.inbox}/images/"))),
    Question("an import from a bucket that it may only read", lambda g: _import(g, f"{g.inbox}/{CT}"), _EXPORTED),
    # Tables
    Question(
        "a table with rows and WRITE_EMPTY", lambda g: _export(g, _to_table(g.table, writeDisposition="WRITE_EMPTY"))
    ),
    Question("a table with rows and neither disposition nor force", lambda g: _export(g, _to_table(g.table))),
    Question("a table with rows and force", lambda g: _export(g, _to_table(g.table, force=True)), _EXPORTED),
    Question(
        "both force and a disposition",
        lambda g: _export(g, _to_table(f"{g.bigquery_dataset}.both", force=True, writeDisposition="WRITE_EMPTY")),
        _EXPORTED,
    ),
    Question("the columns of the flattened layout", _columns),
    Question("the columns of the JSON layout", _json_columns),
    Question("the row of a CT image", lambda g: _row(g, "CT_small.dcm")),
    Question("the row of an MR image", lambda g: _row(g, "MR_small.dcm")),
    # Stores
    Question(
        "an export of an empty store to BigQuery",
        lambda g: _export(g, _to_table(f"{g.bigquery_dataset}.nothing"), g.empty_store),
    ),
    Question(
        "an export of an empty store to Cloud Storage",
        lambda g: _export(g, _to_bucket(f"{g.outbox}/nothing/"), g.empty_store),
    ),
    Question("an import of one broken file", lambda g: _import(g, f"{g.inbox}/{BROKEN}")),
    Question("an import of good files and a broken one", lambda g: _import(g, f"{g.inbox}/**.dcm")),
    # Filters
    Question("a filter of one study", lambda g: _filtered(g, "one.txt", f"/studies/{study_of(CT)}"), _EXPORTED),
    Question("a filter of an unknown study", lambda g: _filtered(g, "unknown.txt", f"/studies/{UNKNOWN_UID}")),
    Question(
        "a filter with a known and an unknown study",
        lambda g: _filtered(g, "both.txt", f"/studies/{study_of(CT)}", f"/studies/{UNKNOWN_UID}"),
    ),
    Question("a filter with a blank line", lambda g: _filtered(g, "blank.txt", f"/studies/{study_of(CT)}", "", "")),
    Question("a filter with a header", lambda g: _filtered(g, "header.txt", "path", f"/studies/{study_of(CT)}")),
    Question("an empty filter", lambda g: _filtered(g, "empty.txt")),
    # Formats
    Question(
        "JPEG of 16-bit images",
        lambda g: _export(
            g, _to_bucket(f"{g.outbox}/jpeg/", mimeType="image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50")
        ),
    ),
    Question(
        "an unknown mime type",
        lambda g: _export(g, _to_bucket(f"{g.outbox}/tiff/", mimeType="image/tiff")),
    ),
    # DICOMweb
    Question("a search without a result", lambda g: _search(g, {"StudyInstanceUID": UNKNOWN_UID})),
    Question("a search by an attribute that isn't searchable", lambda g: _search(g, {"StationName": "CT1"})),
    Question(
        "an unknown study's metadata", lambda g: _call(g, "GET", f"{g.store}/dicomWeb/studies/{UNKNOWN_UID}/metadata")
    ),
    Question(
        "an instance stored twice, without Accept",
        lambda g: _stow(g, None),
        {"http": 409, "content": "application/dicom+xml"},
    ),
    Question(
        "an instance stored twice, with JSON",
        lambda g: _stow(g, "application/dicom+json"),
        {"http": 409, "content": "application/dicom+json"},
    ),
)


def _search(ground: Ground, keys: Mapping[str, str]) -> Observed:
    return _call(ground, "GET", f"{ground.store}/dicomWeb/studies", query=keys)
