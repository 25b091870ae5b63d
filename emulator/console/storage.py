"""Buckets and their objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ..core.errors import ApiError
from ..storage.listing import Query, list_names
from ..storage.store import store
from .html import el, join
from .layout import Page, missing, problem
from .parts import anchor, crumbs, filter_box, link, section, size, table, when

if TYPE_CHECKING:
    from ..core.runtime import Emulator
    from ..http.exchange import ServedApis
    from .layout import Parameters

_OBJECTS_ON_A_PAGE = 200


async def storage_page(apis: ServedApis, query: Parameters) -> Page:
    """Buckets, or the objects of one, folder by folder."""
    kept = store(apis.emulator)
    name = query.get("bucket")
    if name is None:
        rows = []
        for bucket_name in kept.buckets.keys_under(""):
            bucket = kept.buckets[bucket_name]
            objects = kept.objects(bucket_name)
            rows.append(
                [
                    link(bucket_name, f"/console/storage?{urlencode({'bucket': bucket_name})}"),
                    bucket["project"],
                    bucket["location"],
                    f"{len(objects):,}",
                    size(sum(one["size"] for one in list(objects.values()))),
                    when(bucket["timeCreated"]),
                    link("policy", f"/console/iam#{anchor(f'b/{bucket_name}')}"),
                ]
            )
        columns = ["Bucket", "Project", "Location", "Objects", "Size", "Created", "IAM"]
        buckets = table(columns, rows, empty="No bucket yet.", numbers=(3, 4), caption="Buckets")
        return Page("Buckets", section("Buckets", buckets), "/console/storage", live=True)
    if name not in kept.buckets:
        return missing(f"bucket {name}", "/console/storage")
    return _objects_page(apis.emulator, name, query)


def _objects_page(emulator: Emulator, bucket: str, query: Parameters) -> Page:
    kept = store(emulator)
    prefix = query.get("prefix", "")
    with kept.lock:
        try:
            asked = Query(prefix=prefix, delimiter="/", limit=_OBJECTS_ON_A_PAGE, token=query.get("token"))
            found = list_names(kept.names(bucket), asked)
        except ApiError as error:
            return problem(error, "/console/storage")
        objects = {name: kept.objects(bucket)[name] for name in found.names}

    def here(**values: str) -> str:
        return f"/console/storage?{urlencode({'bucket': bucket, **values})}"

    rows: list[list[Any]] = [
        [link(folder[len(prefix) :], here(prefix=folder)), "", "folder", ""] for folder in found.prefixes
    ]
    for name, one in objects.items():
        path = f"/download/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"
        rows.append(
            [
                link(name[len(prefix) :] or name, path, download=name.rpartition("/")[2] or "object"),
                size(one["size"]),
                one["fields"].get("contentType", ""),
                when(one["updated"]),
            ]
        )
    steps = [("Buckets", "/console/storage"), (bucket, here())]
    at = ""
    for part in prefix.split("/")[:-1]:
        at += part + "/"
        steps.append((part, here(prefix=at)))
    following = (
        el("p", link("Next page", here(prefix=prefix, token=found.token)), class_="pages") if found.token else None
    )
    listing = table(
        ["Name", "Size", "Type", "Updated"], rows, empty="Nothing in here.", numbers=(1,), caption="Objects"
    )
    body = join([crumbs(*steps), filter_box("objects"), section(prefix or bucket, listing, following)])
    return Page(bucket, body, "/console/storage")
