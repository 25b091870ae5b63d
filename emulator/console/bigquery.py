"""BigQuery: datasets, tables with schema and preview, and a box for queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from .html import Html, el, join
from .layout import Page, missing
from .parts import code, crumbs, details, filter_box, link, pill, plural, section, size, table

if TYPE_CHECKING:
    from ..http.exchange import ServedApis
    from .layout import Parameters


#: Types whose values are aligned to the right.
_NUMBERS = frozenset({"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"})


async def bigquery_page(apis: ServedApis, query: Parameters) -> Page:
    """BigQuery datasets and tables, or one table with schema and preview."""
    if "table" in query:
        return await _table_page(apis, query)
    parts = []
    for project, datasets in sorted((await dataset_ids(apis)).items()):
        for dataset in datasets:
            path = f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables"
            _, found = await apis.ask("GET", f"{path}?maxResults=500")
            rows = []
            for one in found.get("tables", ()):
                name = one["tableReference"]["tableId"]
                where = urlencode({"project": project, "dataset": dataset, "table": name})
                _, full = await apis.ask("GET", f"{path}/{quote(name, safe='')}")
                is_table = one.get("type") == "TABLE"
                rows.append(
                    [
                        link(name, f"/console/bigquery?{where}"),
                        pill(one.get("type", "TABLE").lower(), "plain"),
                        f"{int(full.get('numRows', 0)):,}" if is_table else "",
                        size(int(full.get("numBytes", 0))) if is_table else "",
                        len(full.get("schema", {}).get("fields", ())) or "",
                    ]
                )
            columns = ["Table", "Kind", "Rows", "Size", "Columns"]
            tables = table(columns, rows, empty="No table in this dataset.", numbers=(2, 3, 4), caption=dataset)
            parts.append(section(f"{project}.{dataset}", tables))
    empty = el("section", el("p", "No BigQuery dataset yet.", class_="empty"))
    return Page("BigQuery", join(parts) if parts else empty, "/console/bigquery", live=True)


async def _table_page(apis: ServedApis, query: Parameters) -> Page:
    project, dataset, name = (query.get(key, "") for key in ("project", "dataset", "table"))
    path = "/bigquery/v2/projects/{}/datasets/{}/tables/{}".format(
        *(quote(part, safe="") for part in (project, dataset, name))
    )
    status, resource = await apis.ask("GET", path)
    if status != 200:
        return missing(f"table {project}.{dataset}.{name}", "/console/bigquery")
    fields = resource.get("schema", {}).get("fields", [])
    status, data = await apis.ask("GET", f"{path}/data?maxResults=50")
    if status == 200:
        preview = result_table(fields, data.get("rows", []), empty="The table is empty.")
    else:
        preview = el("p", data.get("error", {}).get("message", "No preview of a view: query it."), class_="empty")
    full = f"{project}.{dataset}.{name}"
    statement = "SELECT *\nFROM `" + full + "`\nLIMIT 100"
    ask = f"/console/query?{urlencode({'project': project, 'sql': statement})}"
    parts: list[Any] = [crumbs(("BigQuery", "/console/bigquery"), (full, ""))]
    rows = int(resource.get("numRows", 0))
    parts += [section("Preview", preview, note=join([plural(rows, "row"), " · ", link("query it", ask)]))]
    if "view" in resource:
        parts.append(section("View", el("pre", resource["view"].get("query", ""))))
    columns = ["Column", "Type", "Mode", "Description"]
    schema = table(columns, _schema_rows(fields), empty="No schema.", caption="Schema")
    parts += [filter_box("columns"), section("Schema", schema, note=plural(len(fields), "column"))]
    return Page(name, join(parts), "/console/bigquery")


def _schema_rows(fields: list[dict[str, Any]], before: str = "") -> list[list[Any]]:
    rows: list[list[Any]] = []
    for field in fields:
        name = f"{before}{field['name']}"
        rows.append([code(name), field["type"], field.get("mode", "NULLABLE").lower(), field.get("description", "")])
        rows += _schema_rows(field.get("fields", []), f"{name}.")
    return rows


def result_table(fields: list[dict[str, Any]], rows: list[dict[str, Any]], *, empty: str) -> Html:
    """Rows as the API gives them (``{"f": [{"v": …}]}``) under their columns, without those that are empty in all."""
    used = [at for at in range(len(fields)) if any(row["f"][at]["v"] not in (None, []) for row in rows)]
    shown = [[_cell(row["f"][at]["v"]) for at in used] for row in rows]
    numbers = [index for index, at in enumerate(used) if fields[at]["type"] in _NUMBERS]
    names = [fields[at]["name"] for at in used]
    whole = table(names, shown, empty=empty, numbers=numbers, caption="Rows", wide=True)
    hidden = len(fields) - len(used) if rows else 0
    note = (
        el("p", f"Left out, being empty in these rows: {plural(hidden, 'column')}.", class_="note pages")
        if hidden
        else None
    )
    return join([whole, note])


def _cell(value: Any) -> Any:
    if value is None:
        return el("span", "NULL", class_="note")
    if isinstance(value, (list, dict)):
        text = _plain(value)
        return details(code(text[:60] + "…"), el("pre", text)) if len(text) > 80 else code(text)
    text = str(value)
    return details(text[:60] + "…", el("pre", text)) if len(text) > 120 else text


def _plain(value: Any) -> str:
    """A nested value without the API's wrapping."""
    import json

    def unwrapped(one: Any) -> Any:
        if isinstance(one, dict) and "f" in one:
            return [unwrapped(item["v"]) for item in one["f"]]
        if isinstance(one, dict) and "v" in one:
            return unwrapped(one["v"])
        return [unwrapped(item) for item in one] if isinstance(one, list) else one

    return json.dumps(unwrapped(value), ensure_ascii=False)


async def query_page(apis: ServedApis, query: Parameters) -> Page:
    """A box for GoogleSQL, and what came of it."""
    projects = apis.emulator.projects.all()
    project = query.get("project") or (projects[0] if projects else "")
    sql = query.get("sql", "")
    options = [el("option", one, value=one, selected=one == project) for one in sorted({*projects, project} - {""})]
    form = el(
        "form",
        el("label", "GoogleSQL", for_="sql", class_="hidden"),
        el("textarea", sql, id="sql", name="sql", spellcheck="false", autofocus=not query.get("run"), required=True,
           placeholder="SELECT PatientID, COUNT(*) FROM `project.dataset.table` GROUP BY 1"),
        el(
            "div",
            el("button", "Run", type="submit"),
            el("label", "in project ", el("select", options, name="project")),
            el("span", el("kbd", "Ctrl"), " ", el("kbd", "Enter"), " runs it", class_="note"),
            class_="row",
        ),
        method="post",
        action="/console/query",
    )  # fmt: skip
    parts = [section("Query", form)]
    if query.get("run") and sql.strip():
        parts.append(await _outcome(apis, project, sql))
    return Page("Query", join(parts), "/console/query")


async def _outcome(apis: ServedApis, project: str, sql: str) -> Html:
    body = {"query": sql, "useLegacySql": False, "maxResults": 500}
    status, answer = await apis.ask("POST", f"/bigquery/v2/projects/{quote(project, safe='')}/queries", body)
    if status != 200:
        return section("Refused", el("pre", answer.get("error", {}).get("message", f"HTTP {status}"), class_="error"))
    fields = answer.get("schema", {}).get("fields", [])
    if not fields:
        changed = answer.get("numDmlAffectedRows")
        return section(
            "Done", el("p", f"{plural(int(changed), 'row')} changed" if changed else "The statement returned nothing.")
        )
    rows = answer.get("rows", [])
    total = int(answer.get("totalRows", len(rows)))
    note = plural(total, "row") + (f", the first {len(rows):,} shown" if total > len(rows) else "")
    return section("Result", result_table(fields, rows, empty="No row."), note=note)


async def dataset_ids(apis: ServedApis) -> dict[str, list[str]]:
    """Dataset ids by project, for the projects that have any."""
    found: dict[str, list[str]] = {}
    for project in apis.emulator.projects.all():
        status, answer = await apis.ask("GET", f"/bigquery/v2/projects/{project}/datasets?maxResults=1000")
        if status == 200 and answer.get("datasets"):
            found[project] = [one["datasetReference"]["datasetId"] for one in answer["datasets"]]
    return found
