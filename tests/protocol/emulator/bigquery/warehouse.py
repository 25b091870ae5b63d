"""What the BigQuery tests share: clients of the emulator, and a table as a metadata export makes it."""

from __future__ import annotations

from typing import Any

from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from emulator.server.server import LocalEmulator

PROJECT = "research-analytics"
#: Errors come at once instead of being retried for minutes.
NEVER = Retry(predicate=lambda _: False)
TABLE = f"{PROJECT}.dicom.instances"


def client_of(emulator: LocalEmulator, member: str | None = None, project: str = PROJECT) -> bigquery.Client:
    """A client that acts as the owner, or as an IAM member."""
    credentials: Any = (
        AnonymousCredentials()  # type: ignore[no-untyped-call]
        if member is None
        else Credentials(token=f"principal:{member}")  # type: ignore[no-untyped-call]
    )
    return bigquery.Client(
        project=project, credentials=credentials, client_options=ClientOptions(api_endpoint=emulator.url)
    )


def rows(client: bigquery.Client, sql: str, **options: Any) -> list[dict[str, Any]]:
    """The rows of a query."""
    job = client.query(sql, job_config=bigquery.QueryJobConfig(**options), retry=NEVER, job_retry=None)
    return [dict(row) for row in job.result(retry=NEVER)]


def strings(*names: str) -> list[dict[str, Any]]:
    """NULLABLE STRING columns."""
    return [{"name": name, "type": "STRING", "mode": "NULLABLE"} for name in names]


PERSON = [
    {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": strings("FamilyName", "GivenName")}
    for name in ("Alphabetic", "Ideographic")
]
SCHEMA: list[dict[str, Any]] = [
    *strings("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "Modality", "InstanceNumber"),
    {"name": "StudyDate", "type": "DATE", "mode": "NULLABLE"},
    {"name": "StudyTime", "type": "TIME", "mode": "NULLABLE"},
    {"name": "Rows", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "ImageType", "type": "STRING", "mode": "REPEATED"},
    {"name": "PatientName", "type": "RECORD", "mode": "NULLABLE", "fields": PERSON},
    {
        "name": "ReferencedImageSequence",
        "type": "RECORD",
        "mode": "REPEATED",
        "fields": [
            *strings("ReferencedSOPInstanceUID"),
            {
                "name": "PurposeOfReferenceCodeSequence",
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": strings("CodeValue", "CodeMeaning"),
            },
        ],
    },
    {
        "name": "OtherElements",
        "type": "RECORD",
        "mode": "REPEATED",
        "fields": [*strings("Tag"), {"name": "Data", "type": "STRING", "mode": "REPEATED"}],
    },
]
INSTANCES: list[dict[str, Any]] = [
    {
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.1.1",
        "SOPInstanceUID": f"1.2.1.1.{number}",
        "PatientID": "P1",
        "Modality": "MR",
        "InstanceNumber": str(number),
        "StudyDate": "2024-02-29",
        "StudyTime": "10:11:12.5",
        "Rows": 256,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "PatientName": {"Alphabetic": {"FamilyName": "Doe", "GivenName": "Jane"}},
        "ReferencedImageSequence": [
            {
                "ReferencedSOPInstanceUID": "1.2.9",
                "PurposeOfReferenceCodeSequence": [{"CodeValue": "121311", "CodeMeaning": "Localizer"}],
            }
        ],
        "OtherElements": [{"Tag": "Tag_00431039", "Data": ["1000", "0"]}, {"Tag": "Tag_00430010", "Data": ["GEMS"]}],
    }
    for number in (1, 2, 10)
]
INSTANCES.append(
    {"StudyInstanceUID": "1.2.2", "SeriesInstanceUID": "1.2.2.1", "SOPInstanceUID": "1.2.2.1.1", "PatientID": "P2"}
)


def fill(client: bigquery.Client) -> None:
    """Make dataset and table, and put the instances in."""
    client.create_dataset("dicom")
    table = client.create_table(
        bigquery.Table(TABLE, schema=[bigquery.SchemaField.from_api_repr(field) for field in SCHEMA])
    )
    assert client.insert_rows_json(table, INSTANCES) == []
