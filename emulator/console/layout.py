"""The frame of every page: head, navigation, style, and the little script that keeps live pages alive.

Nothing comes from elsewhere: style and script stand in the page, allowed by a nonce.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.responses import Response

from ..core.errors import ApiError
from .html import Html, el
from .parts import link, section

#: Query parameters, and the fields of a form.
Parameters = dict[str, str]

#: Address → name, in the order of the navigation.
PAGES = {
    "/": "Overview",
    "/console/healthcare": "Healthcare",
    "/console/operations": "Operations",
    "/console/storage": "Buckets",
    "/console/bigquery": "BigQuery",
    "/console/query": "Query",
    "/console/iam": "IAM",
    "/console/logs": "Logs",
    "/console/requests": "Requests",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        title: what it shows.
        body: its markup.
        at: the entry of the navigation that it belongs to.
        live: whether it is fetched again every second while somebody looks at it.
        status: HTTP status.
    """

    title: str
    body: Html
    at: str
    live: bool = False
    status: int = 200


def missing(what: str, at: str) -> Page:
    """There is no such thing."""
    return Page("Not found", section(f"There is no {what}", el("p", link("Back", at))), at, status=404)


def problem(error: ApiError, at: str) -> Page:
    """What was asked for can't be."""
    return Page("Refused", section(error.message, el("p", link("Back", at))), at, status=error.status)


def response(page: Page, *, part: bool) -> Response:
    """A page as an answer; only its main part if that is all that is wanted."""
    if part:
        return Response(page.body, page.status, media_type="text/html; charset=utf-8", headers=_HEADERS)
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    entries = [
        el("li", el("a", name, href=href, aria_current="page" if href == page.at else None))
        for href, name in PAGES.items()
    ]
    navigation = el(
        "header",
        el("a", el("b", "Emulator"), el("span", "Google Cloud for DICOM"), href="/", class_="brand"),
        el("nav", el("ul", entries), aria_label="Pages"),
    )
    document = el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("title", f"{page.title} - emulator"),
            el("style", Html(_STYLE), nonce=nonce),
        ),
        el(
            "body",
            el("a", "Skip to content", href="#content", class_="skip"),
            navigation,
            el(
                "main",
                el("h1", page.title),
                el("div", page.body, id="live" if page.live else None),
                id="content",
                tabindex="-1",
            ),
            el("script", Html(_SCRIPT), nonce=nonce),
        ),
        lang="en",
    )
    text = "<!doctype html>" + document
    return Response(
        text,
        page.status,
        media_type="text/html; charset=utf-8",
        headers={**_HEADERS, "content-security-policy": policy},
    )


_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "same-origin"}

_STYLE = """
:root{--bg:#f6f7f9;--surface:#fff;--raised:#fbfcfd;--text:#1b2027;--muted:#5a6472;--line:#e2e6ec;--accent:#0b6e7f;
--accent-soft:#e1f2f4;--good:#1a7f43;--good-soft:#e0f4e7;--bad:#b42318;--bad-soft:#fdeceb;--busy:#1c5fc4;
--busy-soft:#e5eefc;--warn:#8a5a00;--warn-soft:#fdf1da;--radius:10px;
--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
@media (prefers-color-scheme:dark){:root{--bg:#0e1116;--surface:#161b22;--raised:#1b212a;--text:#e5e9f0;--muted:#98a3b3;
--line:#29303b;--accent:#5cc8d7;--accent-soft:#12323a;--good:#63d08d;--good-soft:#12301f;--bad:#ff8f85;
--bad-soft:#3a1916;--busy:#86b4ff;--busy-soft:#162a4a;--warn:#f0be63;--warn-soft:#35280f}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem}
body{margin:0;min-height:100vh;display:grid;grid-template-columns:13.5rem minmax(0,1fr);background:var(--bg);
color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:1rem;z-index:9;background:var(--surface);padding:.5rem 1rem}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
body>header{position:sticky;top:0;align-self:start;height:100vh;overflow:auto;padding:1.4rem 1rem;
border-right:1px solid var(--line);background:var(--surface)}
.brand{display:block;margin:0 .6rem 1.4rem;color:inherit}
.brand:hover{text-decoration:none}
.brand b{display:block;font-size:1.15rem;letter-spacing:-.01em}
.brand span{color:var(--muted);font-size:.8rem}
body>header ul{list-style:none;margin:0;padding:0;display:grid;gap:2px}
body>header li a{display:block;padding:.42rem .6rem;border-radius:7px;color:var(--text)}
body>header li a:hover{background:var(--raised);text-decoration:none}
body>header li a[aria-current]{background:var(--accent-soft);color:var(--accent);font-weight:600}
main{padding:1.6rem 2rem 4rem;min-width:0;max-width:90rem}
main:focus{outline:none}
h1{margin:0 0 1.2rem;font-size:1.55rem;letter-spacing:-.02em}
h2{margin:0;font-size:1.05rem;letter-spacing:-.01em;overflow-wrap:anywhere}
section{background:var(--surface);border:1px solid var(--line);border-radius:var(--radius);margin:0 0 1.2rem;
overflow:hidden}
section>.head{display:flex;flex-wrap:wrap;gap:.2rem 1rem;align-items:baseline;padding:.85rem 1.1rem}
.note{margin:0;color:var(--muted);font-size:.86rem;overflow-wrap:anywhere}
section>:not(.head):not(.scroll){margin-inline:1.1rem}
section>p,section>form,section>details,section>pre{margin-block:0 1rem}
.scroll{overflow-x:auto;border-top:1px solid var(--line)}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{text-align:left;font-weight:600;font-size:.78rem;color:var(--muted);white-space:nowrap;background:var(--raised)}
th,td{padding:.5rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child{padding-left:1.1rem}
th:last-child,td:last-child{padding-right:1.1rem}
tbody tr:last-child td{border-bottom:0}
tbody tr:hover td{background:var(--raised)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td time{white-space:nowrap;font-variant-numeric:tabular-nums;color:var(--muted)}
code,pre,textarea,.mono{font-family:var(--mono);font-size:.86em}
td code,td strong{overflow-wrap:break-word}
.long,td .error{overflow-wrap:anywhere}
pre{margin:0;padding:.8rem 1rem;background:var(--raised);border:1px solid var(--line);border-radius:8px;
overflow:auto;max-height:24rem;white-space:pre-wrap}
.wide td{white-space:nowrap;max-width:22rem;overflow:hidden;text-overflow:ellipsis}
.wide td pre{white-space:pre-wrap;width:24rem}
main p.note:has(+input){margin-bottom:.8rem}
.empty{padding:0 0 .3rem;color:var(--muted)}
.figures{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:.8rem;margin:0 0 1.2rem}
.figure{display:block;background:var(--surface);border:1px solid var(--line);border-radius:var(--radius);
padding:.8rem 1rem;color:inherit}
a.figure:hover{border-color:var(--accent);text-decoration:none}
.figure strong{display:block;font-size:1.6rem;line-height:1.2;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.figure span{color:var(--muted);font-size:.84rem}
.pill{display:inline-block;padding:.08rem .55rem;border-radius:99px;font-size:.78rem;font-weight:600;white-space:nowrap}
.good{color:var(--good);background:var(--good-soft)}
.bad{color:var(--bad);background:var(--bad-soft)}
.busy{color:var(--busy);background:var(--busy-soft)}
.warn{color:var(--warn);background:var(--warn-soft)}
.plain{color:var(--muted);background:var(--raised);border:1px solid var(--line)}
.error{color:var(--bad)}
.progress{min-width:11rem}
.progress.partly progress::-webkit-progress-value{background:var(--warn)}
.progress.partly progress::-moz-progress-bar{background:var(--warn)}
.pills{display:flex;flex-wrap:wrap;gap:.4rem}
.progress small{color:var(--muted);font-variant-numeric:tabular-nums}
progress{appearance:none;display:block;width:100%;height:.5rem;border:0;border-radius:99px;overflow:hidden;
background:var(--line)}
progress::-webkit-progress-bar{background:var(--line)}
progress::-webkit-progress-value{background:var(--accent);border-radius:99px}
progress::-moz-progress-bar{background:var(--accent)}
.crumbs ol{display:flex;flex-wrap:wrap;gap:.3rem;list-style:none;margin:-.7rem 0 1.1rem;padding:0;font-size:.9rem}
.crumbs li+li::before{content:"/";color:var(--muted);margin-right:.3rem}
.crumbs span{color:var(--muted)}
input,textarea,select,button{font:inherit;color:inherit;background:var(--surface);border:1px solid var(--line);
border-radius:8px;padding:.45rem .7rem}
textarea{width:100%;min-height:8.5rem;resize:vertical;line-height:1.45}
input[type=search]{width:min(24rem,100%);margin:0 0 1rem}
input,select{max-width:100%}
form .row{display:flex;flex-wrap:wrap;gap:.6rem;align-items:center;margin-top:.6rem}
button{background:var(--accent);border-color:var(--accent);color:var(--surface);font-weight:600;cursor:pointer}
button:hover{filter:brightness(1.08)}
summary{cursor:pointer;color:var(--accent)}
.pages{display:flex;gap:1rem;padding:.7rem 1.1rem;border-top:1px solid var(--line);margin:0!important}
kbd{font:inherit;font-size:.8em;border:1px solid var(--line);border-bottom-width:2px;border-radius:4px;padding:0 .3rem}
body.away::after{content:"The emulator does not answer";position:fixed;right:1rem;bottom:1rem;padding:.5rem 1rem;
border-radius:8px;background:var(--bad-soft);color:var(--bad);font-weight:600}
@media (max-width:52rem){body{grid-template-columns:minmax(0,1fr);grid-template-rows:auto 1fr}
body>header{position:static;height:auto;padding:.8rem 1rem;border-right:0;border-bottom:1px solid var(--line)}
.brand{margin:0 0 .5rem}.brand span{display:none}body>header ul{display:flex;flex-wrap:wrap}
main{padding:1.1rem 1rem 3rem}}
@media (min-width:86rem){.figures{grid-template-columns:repeat(8,minmax(0,1fr))}}
@media (max-width:40rem){.figures{grid-template-columns:repeat(2,minmax(0,1fr))}
.scroll:not(.wide) thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.scroll:not(.wide) tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
.scroll:not(.wide) tbody tr:last-child{border-bottom:0}
.scroll:not(.wide) td{display:grid;grid-template-columns:6.5rem minmax(0,1fr);gap:.6rem;padding:.2rem 1.1rem;border:0;
text-align:left;white-space:normal;overflow-wrap:anywhere}
.scroll:not(.wide) td::before{content:attr(data-column);color:var(--muted);font-size:.78rem;font-weight:600;
padding-top:.1rem}
.scroll:not(.wide) td>*{grid-column:2;min-width:0}
.scroll:not(.wide) td.nothing{display:none}
.scroll:not(.wide) td .pill{justify-self:start}}
@media (prefers-reduced-motion:no-preference){progress:not([value])::-webkit-progress-bar{
background:linear-gradient(90deg,var(--line),var(--accent),var(--line));background-size:200% 100%;
animation:busy 1.4s linear infinite}@keyframes busy{to{background-position:-200% 0}}}
"""

_SCRIPT = """
const live = document.getElementById('live');
const applyFilter = () => {
  const box = document.querySelector('[data-filter]');
  if (!box) return;
  const wanted = box.value.trim().toLowerCase();
  for (const row of document.querySelectorAll('main tbody tr'))
    row.hidden = wanted !== '' && !row.textContent.toLowerCase().includes(wanted);
};
document.addEventListener('input', event => { if (event.target.matches('[data-filter]')) applyFilter(); });
document.addEventListener('keydown', event => {
  const typing = event.target.matches('input,textarea,select');
  if (event.key === '/' && !typing) {
    const box = document.querySelector('[data-filter],textarea');
    if (box) { box.focus(); event.preventDefault(); }
  }
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && event.target.form) event.target.form.requestSubmit();
});
if (live) {
  let last = null, busy = false;
  setInterval(async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, {headers: {'x-console-part': '1'}});
      const text = await answer.text();
      document.body.classList.remove('away');
      const active = document.activeElement;
      const inside = live.contains(active);
      if (answer.ok && text !== last && !(inside && active.matches('input,textarea'))) {
        const open = [...live.querySelectorAll('details')].map(one => one.open);
        const links = [...live.querySelectorAll('a,summary,[tabindex]')].indexOf(active);
        live.innerHTML = text;
        live.querySelectorAll('details').forEach((one, index) => { one.open = open[index] || false; });
        if (inside && links >= 0) live.querySelectorAll('a,summary,[tabindex]')[links]?.focus();
        applyFilter();
      }
      last = text;
    } catch { document.body.classList.add('away'); }
    finally { busy = false; }
  }, 1000);
}
"""
