"""The console through HTTP: every page, nothing unescaped, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from emulator.cloud import logs
from emulator.console.html import Html, el, join
from emulator.server.server import LocalEmulator

Rest = Callable[..., Any]

PROJECT = "hospital-imaging"
#: What must never come out as markup.
EVIL = '<script>alert("x")</script>'
EMPTY_PAGES = [
    "/",
    "/console",
    "/console/healthcare",
    "/console/operations",
    "/console/storage",
    "/console/bigquery",
    "/console/query",
    "/console/iam",
    "/console/logs",
    "/console/requests",
]


class Outline(HTMLParser):
    """Elements that are open, ids, and every address that a page names."""

    void = frozenset({"meta", "input", "br", "hr", "link", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.addresses: list[str] = []
        self.scripts = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        self.addresses += [value or "" for key, value in attrs if key in ("href", "src", "action")]
        self.problems += [f"{tag} {key}" for key in values if key.startswith("on") or key == "style"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")


def page(rest: Rest, path: str) -> str:
    answer = rest("GET", path)
    assert answer.status == 200, answer.body[:500]
    text: str = answer.body.decode()
    outline = Outline(text)
    assert outline.problems == []
    assert outline.open == []
    assert outline.scripts == 1
    assert all(one.startswith(("/", "#")) for one in outline.addresses), "nothing comes from elsewhere"
    # Where a long name may be broken is nobody's business here.
    return text.replace("<wbr>", "")


@pytest.mark.parametrize(
    "path", ["/console/nothing", "/console/storage?bucket=none", "/console/healthcare/store?name=x"]
)
def test_a_page_that_is_not_there_says_so(rest: Rest, path: str) -> None:
    answer = rest("GET", path)
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_an_unknown_address_outside_the_console_is_no_page(rest: Rest) -> None:
    assert rest("GET", "/favicon.ico").json["error"]["code"] == 404
    assert rest("DELETE", "/console/iam").json["error"]["code"] == 405
    assert rest("POST", "/", {}).json["error"]["code"] == 405


@pytest.mark.parametrize("path", EMPTY_PAGES)
def test_an_empty_emulator_has_all_pages(rest: Rest, path: str) -> None:
    text = page(rest, path)
    assert text.startswith("<!doctype html>")
    assert '<html lang="en">' in text
    assert text.count('aria-current="page"') == 1


def test_pages_allow_their_own_script_only_and_nothing_else(rest: Rest) -> None:
    first, second = (rest("GET", "/").headers["content-security-policy"] for _ in range(2))
    assert first.startswith("default-src 'none'")
    assert "unsafe" not in first
    assert "frame-ancestors 'none'" in first
    assert first != second, "a nonce is used once"
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", rest("GET", "/").headers["content-security-policy"]))
    assert nonce


def test_only_the_part_that_changes_is_fetched_again(rest: Rest) -> None:
    part = rest("GET", "/", headers={"X-Console-Part": "1"}).body.decode()
    assert "<html" not in part
    assert "Projects" in part


def test_whatever_people_name_things_comes_out_as_text(emulator: LocalEmulator, rest: Rest) -> None:
    rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": "inbox-1"})
    name = f"{EVIL}/{EVIL}.dcm"
    rest(
        "POST",
        f"/upload/storage/v1/b/inbox-1/o?uploadType=media&name={quote(name, safe='')}",
        b"x",
        headers={"Content-Type": EVIL},
    )
    condition = {"title": "t", "expression": 'request.time < timestamp("2999-01-01")'}
    binding = {"role": f"roles/{EVIL}", "members": [f"user:{EVIL}@example.org"], "condition": condition}
    rest("PUT", "/storage/v1/b/inbox-1/iam", {"bindings": [binding], "version": 3})
    logs.write_entry(emulator.emulator, PROJECT, {"severity": "ERROR", "textPayload": EVIL})
    rest("GET", f"/v1/projects/{PROJECT}", who=f"user:{EVIL}")
    query = urlencode({"bucket": "inbox-1", "prefix": f"{EVIL[:-7]}"})
    for path in (
        "/console/storage?bucket=inbox-1",
        f"/console/storage?{query}",
        f"/console/storage?{urlencode({'bucket': 'inbox-1', 'prefix': name[:-5]})}",
        "/console/iam",
        "/console/logs",
        "/console/requests",
        f"/console/query?{urlencode({'sql': EVIL + '</textarea>', 'project': EVIL})}",
    ):
        text = page(rest, path)
        assert EVIL not in text
        assert "alert(&quot;x&quot;)" in text or "alert" not in text
    for path in (f"/console/{EVIL}", f"/console/storage?{urlencode({'bucket': EVIL})}"):
        assert EVIL not in rest("GET", quote(path, safe="/?=&%")).body.decode()
    refused = rest("GET", f"/console/logs?{urlencode({'filter': EVIL + '='})}")
    assert refused.status == 400
    assert EVIL not in refused.body.decode()


def test_text_is_escaped_and_markup_is_not() -> None:
    inside = el("b", 'a & "b"', title='"<>"')
    assert inside == '<b title="&quot;&lt;&gt;&quot;">a &amp; &quot;b&quot;</b>'
    assert join([inside, None, ["<", Html("<hr>")], 3]) == inside + "&lt;<hr>3"
    assert el("input", disabled=True, checked=False, data_x=None, class_="y") == '<input disabled class="y">'


def test_an_object_that_is_a_web_page_can_not_act_as_the_console(rest: Rest) -> None:
    rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": "inbox-1"})
    path = "/upload/storage/v1/b/inbox-1/o?uploadType=media&name=x.html"
    rest("POST", path, EVIL.encode(), headers={"Content-Type": "text/html"})
    answer = rest("GET", "/download/storage/v1/b/inbox-1/o/x.html?alt=media")
    assert answer.body == EVIL.encode()
    assert answer.headers["content-security-policy"] == "sandbox"


def test_folders_and_files_of_a_bucket(rest: Rest) -> None:
    rest("POST", f"/storage/v1/b?project={PROJECT}", {"name": "inbox-1"})
    for name in ("2024/ct/1.dcm", "2024/readme.txt", "top"):
        path = f"/upload/storage/v1/b/inbox-1/o?uploadType=media&name={quote(name, safe='')}"
        rest("POST", path, b"12345")
    top = page(rest, "/console/storage?bucket=inbox-1")
    assert ">2024/</a>" in top
    assert ">top</a>" in top
    assert "readme.txt" not in top
    inside = page(rest, "/console/storage?bucket=inbox-1&prefix=2024%2F")
    assert ">ct/</a>" in inside
    assert "/download/storage/v1/b/inbox-1/o/2024%2Freadme.txt?alt=media" in inside
    assert "5 B" in inside


def test_stores_operations_tables_and_calls_are_shown(rest: Rest) -> None:
    datasets = f"/v1/projects/{PROJECT}/locations/europe-west4/datasets"
    rest("POST", f"{datasets}?datasetId=radiology", {"timeZone": "Europe/Berlin"})
    rest("POST", f"{datasets}/radiology/dicomStores?dicomStoreId=pacs", {"labels": {"team": "x-ray"}})
    rest(
        "POST",
        "/bigquery/v2/projects/research-analytics/datasets",
        {"datasetReference": {"projectId": "research-analytics", "datasetId": "dicom"}, "location": "EU"},
    )
    fields = [
        {"name": "PatientID", "type": "STRING"},
        {"name": "Series", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "Number", "type": "INTEGER"}]},
    ]
    rest(
        "POST",
        "/bigquery/v2/projects/research-analytics/datasets/dicom/tables",
        {"tableReference": {"tableId": "instances"}, "schema": {"fields": fields}},
    )
    healthcare = page(rest, "/console/healthcare")
    assert "radiology" in healthcare
    assert "Europe/Berlin" in healthcare
    assert "team=x-ray" in healthcare
    assert "CreateDataset" in page(rest, "/console/operations")
    name = f"projects/{PROJECT}/locations/europe-west4/datasets/radiology/dicomStores/pacs"
    assert "No study in this store." in page(rest, f"/console/healthcare/store?{urlencode({'name': name})}")
    assert ">instances</a>" in page(rest, "/console/bigquery")
    table = page(rest, "/console/bigquery?project=research-analytics&dataset=dicom&table=instances")
    assert "Series.Number" in table
    assert "research-analytics.dicom" in table
    calls = page(rest, "/console/requests")
    assert "healthcare.projects.locations.datasets.dicomStores.create" in calls
    assert "bigquery.tables.list" not in calls, "what the console asks is no call"
    assert "research-analytics" in page(rest, "/")


def test_other_sites_can_not_send_queries(rest: Rest) -> None:
    form = urlencode({"sql": "SELECT 1 AS one", "project": PROJECT}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers in ({"Origin": "http://evil.example.org"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        answer = rest("POST", "/console/query", form, headers={**kind, **headers})
        assert answer.status == 403
    assert rest("POST", "/console/query", form, headers=kind).status == 200


def test_the_query_box_shows_rows_and_refusals(rest: Rest) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}

    def ask(sql: str) -> str:
        form = urlencode({"sql": sql, "project": PROJECT}).encode()
        text: str = rest("POST", "/console/query", form, headers=kind).body.decode()
        assert Outline(text).problems == []
        return text

    answer = ask("SELECT 40 + 2 AS answer, '<b>' AS text, [1, 2] AS list")
    assert ">42</td>" in answer
    assert "&lt;b&gt;" in answer
    assert ">1 row<" in answer
    refused = ask("SELECT nothing FROM nowhere.at_all")
    assert "Refused" in refused
    assert "nowhere" in refused


def test_planned_faults_wait_for_clients(emulator: LocalEmulator, rest: Rest) -> None:
    rest("GET", f"/v1/projects/{PROJECT}")
    fault = emulator.control("POST", "faults", {"method": "bigquery.datasets.list", "effect": {"status": 503}})
    page(rest, "/")
    assert emulator.control("GET", f"faults/{fault['id']}")["consumed"] == 0


def test_settings_that_were_changed_stand_out(emulator: LocalEmulator, rest: Rest) -> None:
    assert '<span class="pill plain">requireAgentRole off</span>' in page(rest, "/")
    emulator.control("PATCH", "settings", {"requireAgentRole": True, "operationSeconds": 2.5})
    text = page(rest, "/")
    assert '<span class="pill warn">requireAgentRole on</span>' in text
    assert '<span class="pill warn">operationSeconds 2.5</span>' in text
    assert '<span class="pill plain">enforceIam on</span>' in text


def test_what_went_wrong_is_said_before_the_rest(rest: Rest) -> None:
    error = {"error": {"code": 3, "message": "empty DICOM instance found"}, "source": "gs://inbox/a.dcm", "more": 1}
    entry = {"severity": "ERROR", "jsonPayload": error}
    common = {"logName": "projects/hospital-imaging/logs/x", "resource": {"type": "global"}}
    assert rest("POST", "/v2/entries:write", {**common, "entries": [entry]}).status == 200
    text = page(rest, "/console/logs")
    assert '<span class="error">empty DICOM instance found</span>' in text
    assert text.index(">gs://inbox/a.dcm<") < text.index("<summary>entry</summary>") < text.index("&quot;more&quot;")


def test_policies_are_titled_with_what_they_belong_to(emulator: LocalEmulator, rest: Rest) -> None:
    named = {
        "b/inbox": "Bucket inbox",
        "bigquery/research-analytics/dicom": "BigQuery dataset research-analytics.dicom",
        "bigquery/research-analytics/dicom/instances": "BigQuery table research-analytics.dicom.instances",
        "projects/hospital-imaging": "Project hospital-imaging",
        "projects/hospital-imaging/topics/dicom": "projects/hospital-imaging/topics/dicom",
    }
    binding = {"role": "roles/viewer", "members": ["user:alice@example.org"]}
    for key in named:
        emulator.emulator.iam.set(key, {"bindings": [binding]})
    text = page(rest, "/console/iam")
    assert [title for title in named.values() if f"<h2>{title}</h2>" not in text] == []
    assert '<th scope="col">Condition</th>' not in text
    condition = {"expression": 'request.time < timestamp("2030-01-01T00:00:00Z")', "title": "for now"}
    emulator.emulator.iam.set("b/inbox", {"bindings": [{**binding, "condition": condition}]})
    assert page(rest, "/console/iam").count('<th scope="col">Condition</th>') == 1
