"""What pages are made of: tables, pills, figures, progress bars."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from .html import Html, el, join

_UNITS = ("B", "kB", "MB", "GB", "TB")


def section(title: Any, *children: Any, note: Any = None, id_: str | None = None) -> Html:
    """A titled part of a page."""
    head = el("div", el("h2", title), el("p", note, class_="note") if note else None, class_="head")
    return el("section", head, *children, id=id_)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    empty: str,
    numbers: Iterable[int] = (),
    caption: str = "",
    wide: bool = False,
) -> Html:
    """A table; ``numbers`` are the columns that are aligned to the right, ``wide`` keeps cells on one line."""
    right = frozenset(numbers)
    body = [
        el("tr", [_cell(cell, columns[index], number=index in right) for index, cell in enumerate(row)]) for row in rows
    ]
    if not body:
        return el("p", empty, class_="empty")
    heads = [
        el("th", name, scope="col", class_="number" if index in right else None) for index, name in enumerate(columns)
    ]
    parts = [
        el("caption", caption, class_="hidden") if caption else None,
        el("thead", el("tr", heads)),
        el("tbody", body),
    ]
    return el(
        "div",
        el("table", parts),
        class_="scroll wide" if wide else "scroll",
        tabindex="0",
        role="region",
        aria_label=caption or columns[0],
    )


def _cell(value: Any, column: str, *, number: bool) -> Html:
    """A cell; it names its column, for narrow windows, where cells stand below one another."""
    nothing = value is None or value == ""
    names = [name for name, wanted in (("number", number), ("nothing", nothing)) if wanted]
    return el("td", value, class_=" ".join(names) or None, data_column=column)


def figure(value: Any, name: str, href: str | None = None) -> Html:
    """A large number with what it counts."""
    inside = [el("strong", value), el("span", name)]
    return el("a", inside, href=href, class_="figure") if href else el("div", inside, class_="figure")


def figures(items: Iterable[Html]) -> Html:
    """Several of them in a row."""
    return el("div", *items, class_="figures")


def pill(text: str, kind: str) -> Html:
    """A state: ``good``, ``bad``, ``busy``, ``warn`` or ``plain``."""
    return el("span", text, class_=f"pill {kind}")


def progress(done: int, total: int, label: str, *, partly: bool = False) -> Html:
    """A bar; a total of 0 means that it is not known yet, ``partly`` that not all of what is done went well."""
    bar = el("progress", f"{label}", value=done if total else None, max=total or None, aria_label=label)
    return el("div", bar, el("small", label), class_="progress partly" if partly else "progress")


def link(text: Any, href: str, **attributes: Any) -> Html:
    """A link."""
    return el("a", text, href=href, **attributes)


def code(text: Any) -> Html:
    """A name or a value as machines write it."""
    return el("code", text)


def crumbs(*steps: tuple[str, str]) -> Html:
    """Where a page is: texts and addresses, the last being the page itself."""
    items = [
        el("li", link(text, href) if index < len(steps) - 1 else el("span", text, aria_current="page"))
        for index, (text, href) in enumerate(steps)
    ]
    return el("nav", el("ol", items), class_="crumbs", aria_label="Where this is")


def filter_box(what: str) -> Html:
    """A field that hides the rows below that do not have its text."""
    return el(
        "input",
        type="search",
        placeholder=f"Filter {what}  ( / )",
        aria_label=f"Filter {what}",
        data_filter=True,
        autocomplete="off",
    )


def details(summary: Any, *children: Any) -> Html:
    """Something that is opened when it is wanted."""
    return el("details", el("summary", summary), *children)


def size(count: int) -> str:
    """Bytes in the unit that reads best."""
    number = float(count)
    for unit in _UNITS:
        if number < 1000 or unit == _UNITS[-1]:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1000
    return ""


def plural(count: int, what: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def when(text: str | None) -> Html:
    """A moment, short, with the whole of it as a tooltip."""
    if not text:
        return Html("")
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return el("span", text)
    return el("time", f"{moment:%Y-%m-%d %H:%M:%S}", datetime=text, title=text)


def lasted(start: str | None, end: str | None) -> str:
    """How long something took, or has taken."""
    if not start:
        return ""
    try:
        until = datetime.fromisoformat(end) if end else datetime.now(UTC)
        seconds = (until - datetime.fromisoformat(start)).total_seconds()
    except ValueError:
        return ""
    if seconds < 10:
        return f"{seconds:.2f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def lines(items: Iterable[Any]) -> Html:
    """One below the other."""
    return join([el("div", item) for item in items])


def pager(here: str, offset: int, step: int, *, more: bool) -> Html | None:
    """Links to the pages before and after."""
    links = []
    if offset:
        links.append(link("Previous", f"{here}&offset={max(0, offset - step)}", rel="prev"))
    if more:
        links.append(link("Next", f"{here}&offset={offset + step}", rel="next"))
    return el("div", links, class_="pages") if links else None


def anchor(key: str) -> str:
    """The id of a policy's part of the page."""
    return quote(key, safe="").replace("%", "_")


def pretty(value: Any) -> str:
    """JSON to read."""
    return json.dumps(value, indent=2, ensure_ascii=False)
