"""The GoogleSQL files: their placeholders, and that BigQuery's grammar takes them."""

import re

import pytest
import sqlglot
from sqlglot import exp

from components.resources.reference_queries import FOLDER, VIEWS, load_query
from operations.model.uris import BigQueryTable, UriError

TABLE = "bq://research-analytics.dicom.instances"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.sql"))

# Types 1 and 2 in the modules that every image has (DICOM PS3.3: Patient, General Study, General Series, SOP Common),
# so that the column is there as soon as there is an image.
ALWAYS = {
    "InstanceNumber",
    "Modality",
    "PatientID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyDate",
    "StudyInstanceUID",
    "StudyTime",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [None, ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]])
def test_every_query_is_googlesql_without_placeholders_left(name: str, columns: list[str] | None) -> None:
    text = load_query(name, TABLE, columns)
    assert not re.search(r"[{}]", text)
    (statement,) = sqlglot.parse(text, read="bigquery")
    assert isinstance(statement, exp.Select)
    tables = {table.sql("bigquery").replace("`", "") for table in statement.find_all(exp.Table)}
    assert "research-analytics.dicom.instances" in tables


@pytest.mark.parametrize("name", ["patient_images", "latest_studies"])
def test_the_reference_questions_read_only_columns_that_every_image_has(name: str) -> None:
    statement = sqlglot.parse_one(load_query(name, TABLE), read="bigquery")
    aliases = {alias.alias for alias in statement.find_all(exp.Alias)}
    columns = {column.name for column in statement.find_all(exp.Column)} - (aliases - ALWAYS)
    assert columns <= ALWAYS


def test_a_column_that_the_table_lacks_becomes_null_of_its_type() -> None:
    text = load_query("views/studies", TABLE, ["studyinstanceuid", "StudyDate"])
    assert "MAX(StudyDate) AS StudyDate" in text
    assert "ANY_VALUE(CAST(NULL AS STRING)) AS PatientID" in text


def test_the_views_are_the_files() -> None:
    assert {f"views/{view}" for view in VIEWS} == {name for name in NAMES if name.startswith("views/")}


@pytest.mark.parametrize(
    "table",
    [
        "research-analytics.dicom.instances",
        "bq://research-analytics.dicom.x` WHERE FALSE; DROP TABLE y --",
        BigQueryTable("research-analytics", "dicom", "x`; DROP TABLE y; --"),
    ],
)
def test_nothing_but_a_tables_name_gets_into_the_text(table: BigQueryTable | str) -> None:
    with pytest.raises(UriError):
        load_query("patient_images", table)
