"""The bodies of Google's published samples for curl and PowerShell, as they stand on the pages, in single quotes.

"Importing and exporting DICOM data using Cloud Storage" (Japanese copy) and "Exporting DICOM metadata to BigQuery"
(older English copy). Only the words that a reader has to replace are replaced.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

Client = Any

_IMPORT = """{
      'gcsSource': {
        'uri': 'gs://BUCKET/*.dcm'
      }
    }"""
_TO_STORAGE = """{
      'gcsDestination': {
        'uriPrefix': 'gs://BUCKET/DIRECTORY'
      }
    }"""
_FILTERED = """{
      'gcsDestination': {
        'uriPrefix': 'gs://BUCKET/DIRECTORY'
      },
      'filterConfig': {
        'resourcePathsGcsUri': 'gs://BUCKET/DIRECTORY/FILTER_FILE'
      }
    }"""
# As it was published: a brace is missing.
_FILTERED_IN_POWERSHELL = """{
    'gcsDestination': {
      'uriPrefix': 'gs://BUCKET/DIRECTORY'
    },
    'filterConfig': {
      'resourcePathsGcsUri': 'gs://BUCKET/DIRECTORY/FILTER_FILE'
  }"""
_TO_TABLE = """{
      'bigqueryDestination': {
        'tableUri': 'bq://PROJECT_ID.BIGQUERY_DATASET_ID.BIGQUERY_TABLE_ID'
      },
      'writeDisposition': '{WRITE_EMPTY|WRITE_TRUNCATE|WRITE_APPEND}'
    }"""
_TO_OTHER_TABLE = _TO_TABLE.replace("PROJECT_ID", "DESTINATION_PROJECT_ID")
_TO_TABLE_FILTERED = """{
      'bigqueryDestination': {
        'tableUri': 'bq://PROJECT_ID.BIGQUERY_DATASET_ID.BIGQUERY_TABLE_ID'
      },
      'filterConfig': {
        'resourcePathsGcsUri': 'gs://BUCKET/DIRECTORY/FILTER_FILE'
      },
      'writeDisposition': '{WRITE_EMPTY|WRITE_TRUNCATE|WRITE_APPEND}'
    }"""


def _powershell(body: str) -> str:
    """PowerShell's samples are the same, indented by two less."""
    return body.replace("\n  ", "\n")


_MISPLACED = 'Invalid JSON payload received. Unknown name "writeDisposition"'
#: Verb, version, body, and the refusal (empty: the operation begins). The newer pages have the write disposition within
#: the destination; beside it, where the older one has it, it is no field of the request.
SAMPLES = [
    ("import", "v1", _IMPORT, ""),
    ("import", "v1", _powershell(_IMPORT), ""),
    ("export", "v1", _TO_STORAGE, ""),
    ("export", "v1", _powershell(_TO_STORAGE), ""),
    ("export", "v1beta1", _FILTERED, ""),
    ("export", "v1beta1", _FILTERED_IN_POWERSHELL, "Invalid JSON payload received."),
    ("export", "v1", _TO_TABLE, _MISPLACED),
    ("export", "v1", _powershell(_TO_TABLE), _MISPLACED),
    ("export", "v1", _TO_OTHER_TABLE, _MISPLACED),
    ("export", "v1", _powershell(_TO_OTHER_TABLE), _MISPLACED),
    ("export", "v1beta1", _TO_TABLE_FILTERED, _MISPLACED),
    ("export", "v1beta1", _powershell(_TO_TABLE_FILTERED), _MISPLACED),
]
REPLACED = {
    "gs://BUCKET/": "gs://inbox/",
    "DESTINATION_PROJECT_ID": "research-analytics",
    "PROJECT_ID": "hospital-imaging",
    "BIGQUERY_DATASET_ID": "dicom",
    "BIGQUERY_TABLE_ID": "instances",
    "{WRITE_EMPTY|WRITE_TRUNCATE|WRITE_APPEND}": "WRITE_TRUNCATE",
}


@pytest.mark.parametrize(("verb", "version", "body", "refusal"), SAMPLES)
def test_published_samples_are_understood(ready: Client, verb: str, version: str, body: str, refusal: str) -> None:
    ready.bucket("inbox", {"a.dcm": b"x", "DIRECTORY/FILTER_FILE": b"/studies/1.2\n"}, "roles/storage.objectAdmin")
    for word, name in REPLACED.items():
        body = body.replace(word, name)
    kind = {"Content-Type": "application/json; charset=utf-8"}
    status, _, answer = ready.in_version(version).raw("POST", f"{ready.store}:{verb}", body.encode(), kind)
    if refusal:
        assert status == 400
        assert refusal in json.loads(answer)["error"]["message"]
        return
    assert status == 200, answer
    done = ready.wait(json.loads(answer))
    # The only file is no image: the import fails, and there is nothing to export.
    assert ("error" in done) is (verb == "import")


QUOTED = [
    (b"{'displayName': 'it\\'s'}", "it's"),
    (b"{'displayName': 'a \"b\" c'}", 'a "b" c'),
    (b'{"displayName": "it\'s"}', "it's"),
    (b"{'displayName': 'back\\\\slash \\\\\"'}", 'back\\slash \\"'),
    (b"{'displayName': '\\u00e4'}", "\u00e4"),
]


@pytest.mark.parametrize(("body", "text"), QUOTED)
def test_single_quotes_hold_the_same_text_as_double_ones(body: bytes, text: str) -> None:
    from emulator.http.call import parse_json

    assert parse_json(body, single_quotes=True) == {"displayName": text}


@pytest.mark.parametrize(
    "body",
    [
        b"{displayName: 'a'}",
        b"{'displayName': 'a',}",
        b"{'displayName': 'a}",
        b"{'displayName' 'a'}",
        b"{'displayName': 'a' 'b'}",
        b"{'displayName': 'a\nb'}",
    ],
)
def test_nothing_else_is_taken_that_is_not_json(ready: Client, body: bytes) -> None:
    status, _, answer = ready.raw("POST", f"{ready.store}:import", body, {"Content-Type": "application/json"})
    assert status == 400
    assert "Invalid JSON payload received." in json.loads(answer)["error"]["message"]


def test_apis_of_the_older_front_end_take_json_alone(ready: Client) -> None:
    body, kind = b"{'name': 'bucket-in-quotes'}", {"Content-Type": "application/json"}
    assert ready.raw("POST", "/storage/v1/b?project=hospital-imaging", body, kind)[0] == 400
