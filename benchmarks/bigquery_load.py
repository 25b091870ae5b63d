"""Loading DICOM-like rows into BigQuery tables, beside DuckDB reading the same JSON lines, and queries on them.

100,000 rows of about 4 KB with 147 columns, among them person names, sequences in sequences and private elements, as an
export of metadata makes them.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import Figure
from emulator.bigquery import service
from emulator.bigquery.catalog import Catalog
from emulator.bigquery.jobs import Jobs
from emulator.bigquery.types import checked_schema, columns, duckdb_type, quoted, text
from emulator.core.runtime import Emulator
from emulator.iam import OWNER

ROWS = 100_000
PROJECT = "research-analytics"

#: Number of scalar columns by type, and a value of each for row ``n``.
_SCALARS: dict[str, tuple[int, Any]] = {
    "STRING": (80, lambda n, r: f"1.2.840.{r.randrange(10**9)}.{n}"),
    "INTEGER": (15, lambda _, r: r.randrange(65536)),
    "FLOAT": (8, lambda _, r: round(r.random(), 6)),
    "DATE": (6, lambda _, r: f"2024-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}"),
    "TIME": (6, lambda _, r: f"{r.randrange(24):02d}:{r.randrange(60):02d}:{r.randrange(60):02d}.5"),
    "TIMESTAMP": (1, lambda _, r: f"2024-01-01T{r.randrange(24):02d}:00:00Z"),
}
_ARRAYS = 14
_SEQUENCES = 12


def _strings(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "type": "STRING", "mode": "NULLABLE"} for name in names]


def _record(name: str, fields: list[dict[str, Any]], mode: str = "REPEATED") -> dict[str, Any]:
    return {"name": name, "type": "RECORD", "mode": mode, "fields": fields}


def schema() -> list[dict[str, Any]]:
    """The columns."""
    made: list[dict[str, Any]] = []
    for kind, (count, _) in _SCALARS.items():
        made += [{"name": f"{kind.title()}{index}", "type": kind, "mode": "NULLABLE"} for index in range(count)]
    made += [{"name": f"Values{index}", "type": "STRING", "mode": "REPEATED"} for index in range(_ARRAYS)]
    five = _strings("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
    person = [_record(name, five, "NULLABLE") for name in ("Alphabetic", "Ideographic", "Phonetic")]
    made += [_record("PatientName", person, "NULLABLE"), _record("OperatorsName", person)]
    code = _record("PurposeCodeSequence", _strings("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    item = [*_strings("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"), code]
    made += [_record(f"Sequence{index}", item) for index in range(_SEQUENCES)]
    data = {"name": "Data", "type": "STRING", "mode": "REPEATED"}
    return [*made, _record("OtherElements", [*_strings("Tag"), data])]


def write(path: Path, rows: int) -> None:
    """Write rows as JSON lines; the same every time."""
    source = random.Random(1)  # noqa: S311 - no secret
    code = [{"CodeValue": "121311", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Localizer"}]
    with path.open("w", encoding="utf-8") as out:
        for number in range(rows):
            row: dict[str, Any] = {}
            for kind, (count, value) in _SCALARS.items():
                for index in range(count):
                    if source.random() < 0.75:
                        row[f"{kind.title()}{index}"] = value(number, source)
            for index in range(_ARRAYS):
                if source.random() < 0.5:
                    row[f"Values{index}"] = ["ORIGINAL", "PRIMARY", "0.5"]
            row["PatientName"] = {"Alphabetic": {"FamilyName": "Doe", "GivenName": f"Jane{number}"}}
            for index in range(_SEQUENCES):
                if source.random() < 0.3:
                    row[f"Sequence{index}"] = [
                        {"ReferencedSOPInstanceUID": f"1.2.{number}", "PurposeCodeSequence": code}
                    ]
            row["OtherElements"] = [{"Tag": f"Tag_0043{index:04X}", "Data": ["a", "b"]} for index in range(8)]
            out.write(json.dumps(row, separators=(",", ":")) + "\n")


#: What is asked, in GoogleSQL and as DuckDB has it.
_QUERIES: tuple[tuple[str, str, str], ...] = (
    (
        "a value of a private element",
        "SELECT COUNT(*) FROM d.t, UNNEST(OtherElements) o WHERE o.Tag = 'Tag_00430003'",
        "SELECT count(*) FROM t, unnest(OtherElements) AS o(o) WHERE o.Tag = 'Tag_00430003'",
    ),
    (
        "groups",
        "SELECT Date0, COUNT(*) AS n, ANY_VALUE(String0) FROM d.t GROUP BY Date0 ORDER BY n DESC LIMIT 10",
        "SELECT Date0, count(*) AS n, any_value(String0) FROM t GROUP BY Date0 ORDER BY n DESC LIMIT 10",
    ),
    (
        "paths",
        "SELECT CONCAT('/studies/', String0, '/series/', String1, '/instances/', String2) FROM d.t",
        "SELECT '/studies/' || String0 || '/series/' || String1 || '/instances/' || String2 FROM t",
    ),
)


def measure() -> Iterator[Figure]:
    """Load in memory and on disk, then query; DuckDB alone does the same before."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        file = Path(folder) / "rows.ndjson"
        write(file, ROWS)
        size = f"{file.stat().st_size / 1e6:,.0f} MB"
        for where, data in (("in memory", None), ("on disk", Path(folder) / "data")):
            peer = duckdb.connect(":memory:" if data is None else str(Path(folder) / "peer.duckdb"))
            plain = _seconds(partial(peer.execute, _plain(file)))
            emulator = Emulator(data)
            emulator.service(Catalog).keep_dataset(PROJECT, "d", {"location": "EU"})
            service.append_rows(emulator, PROJECT, "d", "first", schema()[:1], [{}])
            took = _seconds(partial(service.load_rows, emulator, PROJECT, "d", "t", schema(), [file], "WRITE_EMPTY"))
            beside = f"DuckDB alone reads the same {size} into a table in {plain:.2f} s"
            yield Figure(f"load {ROWS:,} rows {where}", f"{took:.2f} s", beside, took / plain, limit=2.0)
            if data is None:
                yield from _queries(emulator, peer)
            emulator.close()
            peer.close()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _plain(file: Path) -> str:
    fields = columns(checked_schema(schema()))
    shapes = ", ".join(f"{text(field.name)}: {text(duckdb_type(field.type))}" for field in fields)
    names = ", ".join(quoted(field.name) for field in fields)
    return (
        f"CREATE TABLE t AS SELECT {names} FROM read_json({text(str(file))}, "  # noqa: S608 - names of our own
        f"format = 'newline_delimited', columns = {{{shapes}}})"
    )


def _queries(emulator: Emulator, peer: Any) -> Iterator[Figure]:
    _run(emulator, "SELECT 1")  # imports the parser
    for name, sql, plain in _QUERIES:
        took = _seconds(partial(_run, emulator, sql))
        alone = _seconds(partial(peer.execute, f"CREATE OR REPLACE TABLE result AS {plain}"))
        beside = f"DuckDB alone: {alone:.2f} s"
        yield Figure(f"query {ROWS:,} rows: {name}", f"{took:.2f} s", beside, took / alone)


def _run(emulator: Emulator, sql: str) -> None:
    jobs = emulator.service(Jobs)
    job, future = jobs.start(OWNER, PROJECT, {"query": {"query": sql, "useLegacySql": False}}, {})
    if future is not None:
        future.result()
    done = jobs.find(PROJECT, job["jobReference"]["jobId"])
    if "errorResult" in done["status"]:
        raise RuntimeError(done["status"]["errorResult"]["message"])
