"""What Google's documents leave open, as questions to an API: the same ones to Google Cloud and to the emulator.

An answer consists of facts, which must be the same at both, and of texts, which are shown beside each other. Where a
document does say what happens, or somebody pasted what the service answered, the facts stand here (`documented`, with
the `evidence`), and the emulator is held to them without Google.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID

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
        documented: facts that Google documents, or that people saw.
        evidence: where they were seen, if no document has them.
    """

    name: str
    ask: Callable[[Ground], Observed]
    documented: Mapping[str, Any] = field(default_factory=dict)
    evidence: str = ""


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
    if "response" in done.body:
        facts["response"] = done.body["response"].get("@type", "").rpartition("/")[2]
    return Observed(facts, error.get("message", ""))


def _says(observed: Observed, words: str) -> Observed:
    """The answer with one more fact: whether its text has these words."""
    return Observed({**observed.facts, "says": words in observed.text}, observed.text)


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


def _import_closed(ground: Ground) -> Observed:
    """An import from a bucket that the service agent holds no role on."""
    name = f"{ground.place.project}-live-{ground.place.unique}-closed"
    ground.place.make_bucket(name)
    try:
        ground.place.upload(name, CT, image(CT))
        return _says(_import(ground, f"{name}/{CT}"), "doesn't have all required permissions [")
    finally:
        ground.place.remove_bucket(name)


def _import_other(ground: Ground) -> Observed:
    """An import of a file that differs from the stored instance with its UIDs."""
    changed = dcmread(str(get_testdata_file(CT)))
    changed.PatientComments = "changed"
    content = BytesIO()
    changed.save_as(content)
    ground.place.upload(ground.inbox, "other/changed.bin", content.getvalue())
    return _import(ground, f"{ground.inbox}/other/changed.bin")


def _logged(ground: Ground, kind: str) -> Observed:
    """What an entry about a failed file has; the entries are those of the questions before."""
    wanted = f'resource.type="healthcare_dicom_store" AND jsonPayload."@type":"{kind}"'
    body = {"resourceNames": [f"projects/{ground.place.project}"], "filter": wanted, "orderBy": "timestamp desc"}
    deadline = time.monotonic() + (1 if ground.place.endpoint else 60)
    while True:
        entries = ground.place.call("logging", "POST", "v2/entries:list", body).body.get("entries", [])
        if entries or time.monotonic() > deadline:
            break
        time.sleep(1)
    if not entries:
        return Observed({"fields": "", "id": ""})
    operation = entries[0].get("operation", {})
    known = ground.place.call("healthcare", "GET", f"v1/{ground.dataset}/operations").body.get("operations", [])
    ids = [each["name"].rpartition("/")[2] for each in known]
    return Observed(
        {
            "fields": ", ".join(sorted(entries[0]["jsonPayload"])),
            "id": any(operation.get("id", "").endswith(each) for each in ids),
            "producer": operation.get("producer", ""),
        },
        json.dumps(entries[0]),
    )


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


def _stow(ground: Ground, accept: str | None, data: bytes = image(CT), store: str | None = None) -> Observed:
    headers = {"Content-Type": "application/dicom", **({"Accept": accept} if accept else {})}
    path = f"v1/{store or ground.store}/dicomWeb/studies"
    answer = ground.place.call("healthcare", "POST", path, data, headers=headers)
    facts: dict[str, Any] = {"http": answer.status, "content": answer.content_type}
    for item in answer.body.get("00081198", {}).get("Value", []):
        facts |= {"reason": item["00081197"]["Value"][0], "creator": item["00090010"]["Value"][0]}
    return Observed(facts, json.dumps(answer.body))


def _instance(ground: Ground) -> str:
    dataset = dcmread(str(get_testdata_file(CT)), stop_before_pixels=True)
    uids = dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
    return "{}/dicomWeb/studies/{}/series/{}/instances/{}".format(ground.store, *uids)


def _retrieved(ground: Ground, accept: str) -> Observed:
    answer = ground.place.call("healthcare", "GET", f"v1/{_instance(ground)}", headers={"Accept": accept})
    return Observed({"http": answer.status, "content": answer.content_type})


def _metadata(ground: Ground) -> Observed:
    answer = ground.place.call("healthcare", "GET", f"v1/{_instance(ground)}/metadata")
    (found,) = answer.body["list"]
    return Observed({"first": min(found), "pixel data": "7FE00010" in found, "http": answer.status})


def _large_tag(ground: Ground) -> Observed:
    """An export of an instance with a text of more than 1 MB."""
    dataset = dcmread(str(get_testdata_file(CT)))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{UNKNOWN_UID}.1")
    dataset.TextValue = "x" * 1_200_000
    content = BytesIO()
    dataset.save_as(content)
    # Into the store that was empty: the other one is counted elsewhere.
    stored = _stow(ground, "application/dicom+json", content.getvalue(), ground.empty_store)
    table = f"{ground.bigquery_dataset}.large"
    done = _export(ground, _to_table(table, writeDisposition="WRITE_TRUNCATE"), ground.empty_store)
    if stored.facts["http"] not in (200, 409) or done.facts["code"]:
        return done
    sql = (
        f"SELECT d.TagName FROM `{table}`, UNNEST(DroppedTags) AS d"  # noqa: S608 - the names are the run's own
        f" WHERE SOPInstanceUID = '{dataset.SOPInstanceUID}'"
    )
    dropped = [row[0] for row in ground.place.query(sql)]
    return Observed({"listed": "TextValue" in dropped, "pixel data listed": "PixelData" in dropped})


def _policy_changed(ground: Ground) -> Observed:
    """A bucket's policy, put back as it is with the ETag of another version."""
    path = f"storage/v1/b/{ground.outbox}/iam"
    policy = ground.place.call("storage", "GET", path).body
    answer = ground.place.call("storage", "PUT", path, {**policy, "etag": "CAA="})
    return _says(Observed({"http": answer.status}, answer.error.get("message", "")), "Precondition Failed")


def _single_quotes(ground: Ground) -> Observed:
    """A body as Google's samples had it."""
    body = f"{{'gcsDestination': {{'uriPrefix': 'gs://{ground.outbox}/quotes/'}}}}".encode()
    return _outcome(ground, ground.place.call("healthcare", "POST", f"v1/{ground.store}:export", body))


def _columns(ground: Ground) -> Observed:
    project, dataset, table = ground.table.split(".")
    path = f"bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}"
    schema = ground.place.call("bigquery", "GET", path).body["schema"]["fields"]
    names = [each["name"] for each in schema]
    behind = [name for name in names[names.index("DroppedTags") :] if name != "SourceDicomStore"]
    return Observed(
        {
            "columns": sorted(_flat(schema)),
            "behind": ", ".join(behind),
            "group length": "FileMetaInformationGroupLength" in names,
        }
    )


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
        lambda g: _says(
            _export(g, _to_table(g.table) | {"writeDisposition": "WRITE_TRUNCATE"}),
            'Invalid JSON payload received. Unknown name "writeDisposition": Cannot find field.',
        ),
        {**_REFUSED, "says": True},
        "GoogleCloudPlatform/healthcare issue 133",
    ),
    Question(
        "a body in single quotes",
        _single_quotes,
        _EXPORTED,
        "the samples of Importing and exporting DICOM data using Cloud Storage, for years",
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
    Question(
        "an unknown dataset",
        lambda g: _says(_call(g, "GET", f"{g.dataset}_unknown"), "(or it may be malformed or not exist)."),
        {"http": 403, "says": False},
        "GoogleCloudPlatform/python-docs-samples issue 4025: no full stop at the end",
    ),
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
    Question(
        "an import that matches nothing",
        lambda g: _says(_import(g, f"{g.inbox}/nothing/*.dcm"), "resolves to zero GCS objects"),
        {"place": "call", "says": True},
        "ImagingDataCommons/tcia_download, dicom_datastore/load_collections: an HttpError of the call",
    ),
    Question(
        "an import of a folder without wildcards",
        lambda g: _says(_import(g, f"{g.inbox}/"), "resolves to zero GCS objects"),
        evidence="a public proof of concept (2022); the emulator refuses the URI itself",
    ),
    Question(
        "an import from a bucket without a grant",
        _import_closed,
        {"place": "call", "says": True},
        "a public proof of concept (2022), whose script never looks at the operation",
    ),
    # Permissions of the service agent
    Question(
        "an export to a BigQuery dataset without a grant",
        lambda g: _says(
            _export(g, _to_table(f"{g.ungranted}.t")),
            "Permission bigquery.tables.create denied on dataset",
        ),
        {"says": True},
        "hashicorp/terraform-provider-google issue 9577",
    ),
    Question(
        "an export to a bucket without a grant",
        lambda g: _says(
            _export(g, _to_bucket(f"{g.inbox}/images/")),
            "Healthcare API doesn't have required Cloud Storage permission.",
        ),
        {"says": True},
        "GoogleCloudPlatform/healthcare issue 457",
    ),
    Question(
        "a bucket's policy that changed meanwhile",
        _policy_changed,
        {"http": 412, "says": True},
        "hashicorp/terraform-provider-google issue 7853",
    ),
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
    Question(
        "the columns of the flattened layout",
        _columns,
        {"behind": "DroppedTags, Type, LastUpdated, StorageClass, BlobStorageSize", "group length": False},
        "xlang-ai/Spider2, spider2-snow/resource/databases/IDC/IDC_V17/DICOM_METADATA.json (November 2023)",
    ),
    Question("the columns of the JSON layout", _json_columns),
    Question(
        "the row of a CT image",
        lambda g: _row(g, "CT_small.dcm"),
        {"Type": "CREATE", "StorageClass": "STANDARD"},
        "the rows of the same table; GoogleCloudPlatform/medical-imaging, ilm/ilm_lib/dicom_store_lib.py",
    ),
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
    Question("an import of one broken file", lambda g: _import(g, f"{g.inbox}/{BROKEN}"), {"code": 3}),
    Question(
        "an import of good files and a broken one",
        lambda g: _import(g, f"{g.inbox}/**.dcm"),
        {"place": "operation", "code": 3},
        "synthetichealth/synthea issue 1568 (FHIR); the discovery document: an error if any file is no DICOM file",
    ),
    Question(
        "an import of a file that differs from the stored instance",
        _import_other,
        {"place": "operation", "counter": {"failure": "1"}},
        "GoogleCloudPlatform/nodejs-docs-samples issue 3502",
    ),
    Question(
        "what the log says of a file that failed",
        lambda g: _logged(g, "ImportDicomLogEntry"),
        {"fields": "@type, error, source"},
        "googleapis, google/cloud/healthcare/logging/dicom.proto; whether the id is the operation's, pages disagree",
    ),
    Question(
        "the operation that sets a storage class",
        lambda g: _outcome(
            g,
            g.place.call(
                "healthcare",
                "POST",
                f"v1/{g.store}:setBlobStorageSettings",
                {"blobStorageSettings": {"blobStorageClass": "STANDARD"}},
            ),
        ),
        {
            "apiMethodName": "google.cloud.healthcare.v1.storageinfo.StorageInfoService.SetBlobStorageSettings",
            "response": "google.protobuf.Empty",
        },
        "the page on DICOM storage classes",
    ),
    # Filters
    Question("a filter of one study", lambda g: _filtered(g, "one.txt", f"/studies/{study_of(CT)}"), _EXPORTED),
    Question("a filter of an unknown study", lambda g: _filtered(g, "unknown.txt", f"/studies/{UNKNOWN_UID}")),
    Question(
        "a filter with a known and an unknown study",
        lambda g: _filtered(g, "both.txt", f"/studies/{study_of(CT)}", f"/studies/{UNKNOWN_UID}"),
    ),
    Question("a filter with a blank line", lambda g: _filtered(g, "blank.txt", f"/studies/{study_of(CT)}", "", "")),
    Question("a filter with a header", lambda g: _filtered(g, "header.txt", "path", f"/studies/{study_of(CT)}")),
    Question(
        "a filter without the slash in front",
        lambda g: _filtered(g, "bare.txt", f"studies/{study_of(CT)}"),
        _EXPORTED,
        "GoogleCloudPlatform/medical-imaging, ilm_lib, for setBlobStorageSettings of v1beta1",
    ),
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
    Question(
        "a search without a result",
        lambda g: _search(g, {"StudyInstanceUID": UNKNOWN_UID}),
        {"http": 204, "content": "text/html"},
        "GoogleCloudPlatform/healthcare-api-dicomweb-cli issue 44, ImagingDataCommons/slim issue 51",
    ),
    Question(
        "a search by an attribute that isn't searchable",
        lambda g: _says(
            _search(g, {"SOPClassUID": UNKNOWN_UID}, "instances"), "SOPClassUID is not a supported instance"
        ),
        {"http": 400, "says": True},
        "imi-bigpicture/wsidicom issue 141",
    ),
    Question(
        "a search that includes an attribute that isn't supported",
        lambda g: _says(
            _search(g, {"includefield": "AvailableTransferSyntaxUID"}, "instances"),
            "unknown/unsupported QIDO attribute: AvailableTransferSyntaxUID",
        ),
        {"http": 400, "says": True},
        "imi-bigpicture/wsidicom issue 141",
    ),
    Question(
        "an instance's metadata",
        _metadata,
        {"first": "00020002", "pixel data": False},
        "GoogleCloudPlatform/nodejs-docs-samples issue 1545, GoogleCloudPlatform/medical-imaging, dicom_store_mock.py",
    ),
    Question(
        "an instance in a media type that can't be had",
        lambda g: _retrieved(g, "text/html"),
        {"http": 406, "content": "text/plain"},
        "GoogleCloudPlatform/healthcare-api-dicomweb-cli issue 22",
    ),
    Question(
        "an instance as JPEG",
        lambda g: _retrieved(g, 'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.70'),
        {"http": 200, "content": "multipart/related"},
        "GoogleCloudPlatform/healthcare-api-dicomweb-cli issue 22",
    ),
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
        {"http": 409, "content": "application/dicom+json", "reason": 272, "creator": "GOOGLE"},
        "dcmjs-org/dcmjs issue 249",
    ),
    Question(
        "a file that is no DICOM instance",
        lambda g: _stow(g, "application/dicom+json", b"no DICOM instance"),
        {"http": 409, "reason": 272, "creator": "GOOGLE"},
        "dcmjs-org/dcmjs issue 249",
    ),
    # The last, because it fills the empty store.
    Question(
        "a tag of more than 1 MB",
        _large_tag,
        {"listed": False, "pixel data listed": True},
        "the export's pages in Japanese and Portuguese (2026): excluded entirely",
    ),
)


def _search(ground: Ground, keys: Mapping[str, str], level: str = "studies") -> Observed:
    return _call(ground, "GET", f"{ground.store}/dicomWeb/{level}", query=keys)
