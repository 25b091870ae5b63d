"""Every expression of the cases has the value that Google documents; every known gap is still one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from emulator.bigquery.catalog import Catalog
from emulator.bigquery.encode import fetched, row_encoder
from emulator.bigquery.session import Session
from emulator.core.errors import ApiError
from emulator.core.runtime import Emulator
from tests.unit.emulator.googlesql_cases import CASES, ERROR, GAPS
from tests.unit.emulator.googlesql_query_cases import QUERIES, REFUSED


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    emulator = Emulator()
    yield emulator.service(Catalog)
    emulator.close()


def evaluated(catalog: Catalog, expression: str) -> Any:
    """The value of an expression as the REST API encodes it, with arrays and structs made plain."""
    from emulator.bigquery.sql.parser import parse
    from emulator.bigquery.sql.queries import Compiler
    from emulator.bigquery.statements.outcomes import store

    sql = f"SELECT {expression} AS v"
    session = Session(catalog, "owner", "research-analytics", sql)
    query = Compiler(session).query(parse(sql)[0])
    physical = catalog.engine.write(lambda cursor: store(catalog, cursor, query, query.fields))
    try:
        (row,) = catalog.engine.rows(f'SELECT {fetched("v", query.fields[0].type)} FROM "{physical}"')  # noqa: S608 - a name of our own
    finally:
        catalog.engine.drop(physical)
    cell = row_encoder(query.fields)(row)["f"][0]["v"]
    return plain(cell, query.fields[0].type)


def plain(cell: Any, kind: Any) -> Any:
    if isinstance(cell, list):
        return [plain(item["v"], kind.element) for item in cell]
    if isinstance(cell, dict):
        return {field.name: plain(item["v"], field.type) for field, item in zip(kind.fields, cell["f"], strict=True)}
    return cell


ALL = [(group, expression, value) for group, cases in CASES.items() for expression, value in cases]


@pytest.mark.parametrize(("expression", "value"), [case[1:] for case in ALL], ids=[f"{c[0]}: {c[1]}" for c in ALL])
def test_an_expression_has_its_documented_value(catalog: Catalog, expression: str, value: Any) -> None:
    if isinstance(value, ERROR):
        with pytest.raises(ApiError) as caught:
            evaluated(catalog, expression)
        assert caught.value.status == 400, caught.value.message
        assert value.text in caught.value.message
    else:
        assert evaluated(catalog, expression) == value


def answered(catalog: Catalog, sql: str) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns and the rows of a query, encoded as by :func:`evaluated`."""
    from emulator.bigquery.names import TableName
    from emulator.bigquery.sql.parser import parse
    from emulator.bigquery.statements.outcomes import store
    from emulator.bigquery.statements.statements import Statements

    found: list[list[Any]] = []

    def sink(_: Session, query: Any, fields: list[Any]) -> TableName:
        physical = catalog.engine.write(lambda cursor: store(catalog, cursor, query, fields))
        encode = row_encoder(fields)
        for row in catalog.engine.rows(f'SELECT * FROM "{physical}" ORDER BY rowid'):  # noqa: S608 - a name of our own
            cells = encode(row)["f"]
            found.append([plain(cell["v"], field.type) for cell, field in zip(cells, fields, strict=True)])
        catalog.engine.drop(physical)
        return TableName("research-analytics", "d", "t")

    session = Session(catalog, "owner", "research-analytics", sql)
    outcome = Statements(session, sink).plan(parse(sql)[0]).run()
    return [field.name for field in outcome.fields or ()], found


ALL_QUERIES = [(group, *case) for group, cases in QUERIES.items() for case in cases]


@pytest.mark.parametrize(
    ("query", "names", "rows"), [case[1:] for case in ALL_QUERIES], ids=[f"{c[0]}: {c[1]}" for c in ALL_QUERIES]
)
def test_a_query_has_its_documented_rows(catalog: Catalog, query: str, names: list[str] | None, rows: Any) -> None:
    if isinstance(rows, ERROR):
        with pytest.raises(ApiError) as caught:
            answered(catalog, query)
        assert caught.value.status == 400, caught.value.message
        assert rows.text in caught.value.message
        return
    shown, found = answered(catalog, query)
    assert names is None or shown == names
    if "ORDER BY" in query:
        assert found == rows
    else:
        assert sorted(found, key=repr) == sorted(rows, key=repr)


@pytest.mark.parametrize(("query", "what"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_not_translated_is_refused_by_name(catalog: Catalog, query: str, what: str) -> None:
    with pytest.raises(ApiError) as caught:
        answered(catalog, query)
    assert caught.value.status == 501
    assert what in caught.value.message


@pytest.mark.parametrize(("expression", "value", "why"), GAPS, ids=[gap[0] for gap in GAPS])
def test_a_known_gap_is_one(catalog: Catalog, expression: str, value: Any, why: str) -> None:
    try:
        found = evaluated(catalog, expression)
    except ApiError as error:
        assert error.status in (400, 501), error.message
    else:
        assert found != value, f"no gap any more ({why}): the case belongs to CASES"
