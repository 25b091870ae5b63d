"""What must hold between settings: names that refer to something, combinations that mean something.

The rules read the configuration as plain data (keys as in the file) and step over whatever is malformed: the
models report that. So one run names every problem, of both sorts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.settings.fields import kms_key_parts
from components.settings.problems import Problem, did_you_mean, key_of, quoted
from operations.google.endpoints import emulator_endpoint_problem
from operations.model.uris import parse_bigquery_uri, parse_export_prefix

Path = tuple[str | int, ...]

BIGQUERY_ONLY = ("writeDisposition", "schema", "includeSourceStore", "views")
CLOUD_STORAGE_ONLY = ("mimeType",)
WRITE_DISPOSITIONS = (
    "WRITE_EMPTY (the table must be empty or absent), WRITE_TRUNCATE (its rows are replaced) "
    "or WRITE_APPEND (rows are added)"
)
MAX_STREAMS = 5
_TABLE = re.compile(r"[\w:.-]+[.:][A-Za-z0-9_]+\.[A-Za-z0-9_]+")

# What can't be said of something that exists already, because it would change it.
CHANGES = {
    "dataset": ("timeZone", "kmsKey"),
    "stores": ("labels", "notifications", "streams"),
    "bigquery": (
        *("description", "labels", "kmsKey", "title", "defaultTableExpiration", "partitionExpiration", "timeTravel"),
        *("billing", "tags"),
    ),
    "buckets": (
        *("labels", "kmsKey", "storageClass", "versioning", "softDelete", "retention", "eventBasedHold", "autoclass"),
        *("regions", "turboReplication", "accessLogs", "cors", "lifecycle"),
    ),
    "topics": ("labels", "kmsKey", "regions", "enforceInTransit", "retention"),
}

MAX_LIFECYCLE_RULES = 100  # https://cloud.google.com/storage/quotas#buckets
ABORT_CONDITIONS = {"action", "afterDays", "prefixes", "suffixes"}
# Places of two regions that Cloud Storage lets one choose, with the regions' beginnings:
# https://cloud.google.com/storage/docs/locations#location-dr
_DUAL_REGION_PLACES = {"EU": ("EUROPE-",), "US": ("US-",), "ASIA": ("ASIA-",)}
_DUAL_REGIONS = {"ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4"}


def rule_problems(raw: Mapping[str, Any]) -> list[Problem]:
    """Return what doesn't fit together in a configuration.

    Args:
        raw: the settings by key, as in the file; parts of any wrong type are stepped over.
    """
    rules = (
        _duplicates,
        _references,
        _former_names,
        _stores,
        _exports,
        _writers,
        _buckets,
        _topics,
        _keys,
        _adopted,
        _endpoint,
    )
    return [problem for rule in rules for problem in rule(raw)]


def _endpoint(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse an emulator on another machine that isn't allowed."""
    endpoint = raw.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint or emulator_endpoint_problem(endpoint, allow_remote=True):
        return
    allowed = raw.get("allowRemoteEndpoint") in {True, "true"}
    if problem := emulator_endpoint_problem(endpoint, allow_remote=allowed):
        yield _problem(("endpoint",), f"{quoted(endpoint)} {problem}")


def _problem(path: Path, text: str) -> Problem:
    return Problem(key_of(path), text)


def _mappings(raw: Mapping[str, Any], key: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the well-formed entries of a list with the path of each."""
    for path, value in _entries(raw, (), key):
        if isinstance(value, Mapping):
            yield path, value


def _entries(owner: Mapping[str, Any], path: Path, key: str) -> Iterator[tuple[Path, Any]]:
    values = owner.get(key)
    if isinstance(values, Sequence) and not isinstance(values, str):
        for position, value in enumerate(values):
            yield (*path, key, position), value


def _text(owner: Mapping[str, Any], key: str) -> str:
    value = owner.get(key)
    return value if isinstance(value, str) else ""


def _duplicates(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("stores", "bigquery", "buckets", "topics", "imports", "exports", "projects"):
        seen: dict[tuple[str, str], Path] = {}
        for path, entry in _mappings(raw, key):
            name = _text(entry, "name")
            # A dataset or a topic is unique within its project, everything else by its name alone.
            project = _text(entry, "project") or _text(raw, "project") if key in {"bigquery", "topics"} else ""
            if not name:
                continue
            first = seen.setdefault((project, name), path)
            if first is not path:
                yield _problem((*path, "name"), f"{quoted(name)} is already the name of {key_of(first)}")


def _references(raw: Mapping[str, Any]) -> Iterator[Problem]:
    stores = [_text(store, "name") for _, store in _mappings(raw, "stores")]
    for key in ("imports", "exports"):
        for path, run in _mappings(raw, key):
            store = _text(run, "store")
            if store and store not in stores:
                hint = did_you_mean(store, stores) or f"; there is {', '.join(stores) or 'none'}"
                yield _problem((*path, "store"), f"{quoted(store)} is not declared under imaging:stores{hint}")


def _former_names(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse a former name that a run has now: the state would give that run's operation to none or to both."""
    for key in ("imports", "exports"):
        runs = list(_mappings(raw, key))
        now = {_text(run, "name"): path for path, run in runs}
        former: dict[str, Path] = {}
        for path, run in runs:
            for formerly_path, name in _entries(run, path, "formerly"):
                if not isinstance(name, str):
                    continue
                first = former.setdefault(name, formerly_path)
                if name in now:
                    yield _problem(
                        formerly_path,
                        f"{quoted(name)} is the name of {key_of(now[name])} now; remove it here, and both run again, "
                        "or rename in two updates, with a third name in between",
                    )
                elif first is not formerly_path:
                    yield _problem(formerly_path, f"{quoted(name)} is a former name in {key_of(first)} already")


def _stores(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for path, store in _mappings(raw, "stores"):
        notifications = list(_entries(store, path, "notifications"))
        if len(notifications) > 1:
            yield _problem(
                (*path, "notifications"),
                f"{len(notifications)} topics; Pulumi's Google provider knows one per store. "
                "Let the topic's subscriptions spread the messages",
            )
        streams = list(_entries(store, path, "streams"))
        if len(streams) > MAX_STREAMS:
            yield _problem((*path, "streams"), f"{len(streams)} tables; a store streams to {MAX_STREAMS} at most")
        tables: dict[str, Path] = {}
        for stream_path, stream in streams:
            table = _text(stream, "table") if isinstance(stream, Mapping) else ""
            if table and tables.setdefault(table, stream_path) is not stream_path:
                yield _problem(
                    (*stream_path, "table"),
                    f"{quoted(table)} is already streamed to by {key_of(tables[table])}",
                )


def _exports(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for path, export in _mappings(raw, "exports"):
        yield from _destination(path, export, _text(export, "to"))
        yield from _filter(path, export)


def _destination(path: Path, export: Mapping[str, Any], to: str) -> Iterator[Problem]:
    given = {key for key in (*BIGQUERY_ONLY, *CLOUD_STORAGE_ONLY) if export.get(key) not in (None, False)}
    # A destination without a scheme is a problem of its own; what it looks like tells what else is missing.
    if to.startswith("bq://") or _TABLE.fullmatch(to):
        misplaced, kind, wanted = [key for key in CLOUD_STORAGE_ONLY if key in given], "gs://", "bq://"
    elif to.startswith("gs://"):
        misplaced, kind, wanted = [key for key in BIGQUERY_ONLY if key in given], "bq://", "gs://"
    else:
        return
    if {"mimeType", "writeDisposition"} <= given:
        wrong = "mimeType" if wanted == "bq://" else "writeDisposition"
        misplaced.remove(wrong)
        yield _problem(path, f"both mimeType and writeDisposition are set; {wrong} is for {kind} destinations")
    for key in misplaced:
        yield _problem((*path, key), f"is for {kind} destinations, and `to` is a {wanted} one; remove it")
    if wanted == "bq://":
        if export.get("writeDisposition") is None:
            yield _problem((*path, "writeDisposition"), f"is missing; write {WRITE_DISPOSITIONS}")
        if export.get("views") is True and export.get("schema") == "json":
            yield _problem(
                (*path, "views"),
                "the reference views read the flattened schema; remove views or schema: json",
            )


def _writers(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse two writers of one table or one folder: each would remove or mix what the other one wrote."""
    streams = {
        table: (*stream_path, "table")
        for path, store in _mappings(raw, "stores")
        for stream_path, stream in _entries(store, path, "streams")
        if isinstance(stream, Mapping) and (table := _table(_text(stream, "table")))
    }
    tables: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    for path, export in _mappings(raw, "exports"):
        to = _text(export, "to")
        if table := _table(to):
            first = tables.setdefault(table, path)
            disposition = _text(export, "writeDisposition")
            if first is not path and disposition in _AFTER_ANOTHER:
                yield _problem(
                    (*path, "writeDisposition"),
                    f"{key_of(first)} exports to the same table first, so {disposition} {_AFTER_ANOTHER[disposition]}; "
                    "write WRITE_APPEND, or another table",
                )
            if table in streams:
                yield _problem(
                    (*path, "to"),
                    f"{quoted(to)} is the table of {key_of(streams[table])}; stream and export to different tables",
                )
        elif folder := _folder(to):
            for other, other_path in folders.items():
                if folder.startswith(other) or other.startswith(folder):
                    place = "inside" if len(folder) > len(other) else "around" if len(folder) < len(other) else "also"
                    yield _problem(
                        (*path, "to"),
                        f"{quoted(to)} is {place} the folder of {key_of(other_path)}; export to different folders",
                    )
                    break
            folders.setdefault(folder, path)


_AFTER_ANOTHER = {
    "WRITE_TRUNCATE": "would remove what that one wrote",
    "WRITE_EMPTY": "would find the table full",
}


def _table(uri: str) -> str:
    """Return one spelling for each table; nothing for other text."""
    try:
        return parse_bigquery_uri(uri).uri
    except ValueError:
        return ""


def _folder(uri: str) -> str:
    """Return one spelling for each folder, with a slash at its end; nothing for other text."""
    try:
        return parse_export_prefix(uri).uri
    except ValueError:
        return ""


def _filter(path: Path, export: Mapping[str, Any]) -> Iterator[Problem]:
    chosen = export.get("filter")
    if not isinstance(chosen, Mapping):
        return
    given = [key for key in ("query", "file", "lines") if chosen.get(key) is not None]
    if len(given) != 1 and not set(chosen) - {"query", "file", "lines"}:
        what = " and ".join(given) if given else "nothing"
        yield _problem((*path, "filter"), f"{what} given; write exactly one of query, file and lines")
    if chosen.get("lines") == []:
        yield _problem((*path, "filter", "lines"), "has no lines; remove the filter to export everything")


def _buckets(raw: Mapping[str, Any]) -> Iterator[Problem]:
    declared = {_text(bucket, "name"): bucket for _, bucket in _mappings(raw, "buckets")}
    for path, bucket in _mappings(raw, "buckets"):
        yield from _retention(path, bucket, raw)
        yield from _regions(path, bucket, raw)
        yield from _access_logs(path, bucket, declared)
        yield from _lifecycle(path, bucket)


def _retention(path: Path, bucket: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[Problem]:
    chosen = bucket.get("retention")
    locked = isinstance(chosen, Mapping) and chosen.get("locked") is True
    if locked and raw.get("deletionProtection") is False:
        yield _problem(
            (*path, "retention", "locked"),
            "is true, and imaging:deletionProtection is false; a lock can't be undone, so remove "
            "deletionProtection: false, or the lock",
        )


def _regions(path: Path, bucket: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[Problem]:
    """https://cloud.google.com/storage/docs/locations#location-dr."""
    regions = [region.upper() for _, region in _entries(bucket, path, "regions") if isinstance(region, str)]
    place = (_text(bucket, "location") or _text(raw, "location")).upper()
    if regions:
        if len(regions) != 2 or len(set(regions)) != len(regions):
            yield _problem((*path, "regions"), f"{', '.join(regions)}; a dual-region has two different regions")
        beginnings = _DUAL_REGION_PLACES.get(place)
        if "-" in place:
            yield _problem(
                (*path, "location"), f"{quoted(place)} is one region; write the place of both regions, such as EU"
            )
        elif beginnings and (outside := [each for each in regions if not each.startswith(beginnings)]):
            yield _problem((*path, "regions"), f"{', '.join(outside)} is not in {place}; write regions of {place}")
    if bucket.get("turboReplication") is True and not regions and place not in _DUAL_REGIONS:
        yield _problem(
            (*path, "turboReplication"),
            f"is for dual-regions, and {quoted(place)} is not one; write two regions, or remove it",
        )


def _access_logs(path: Path, bucket: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    seen = [_text(bucket, "name")]
    current = bucket
    while isinstance(logs := current.get("accessLogs"), Mapping) and (name := _text(logs, "bucket")):
        if name == seen[0]:
            chain = " → ".join([*seen, name])
            yield _problem((*path, "accessLogs", "bucket"), f"{chain} logs into itself; write another bucket")
            return
        if name in seen:
            return  # the circle is further on, and named there
        seen.append(name)
        current = declared.get(name, {})


def _lifecycle(path: Path, bucket: Mapping[str, Any]) -> Iterator[Problem]:
    """https://cloud.google.com/storage/docs/lifecycle, https://cloud.google.com/storage/docs/autoclass."""
    rules = list(_entries(bucket, path, "lifecycle"))
    autoclass = bucket.get("autoclass") not in (None, False)
    if len(rules) > MAX_LIFECYCLE_RULES:
        yield _problem((*path, "lifecycle"), f"{len(rules)} rules; the maximum is {MAX_LIFECYCLE_RULES}")
    if autoclass and bucket.get("storageClass") not in (None, "STANDARD"):
        yield _problem(
            (*path, "storageClass"), "is chosen by autoclass, which begins with STANDARD; remove storageClass"
        )
    for rule_path, rule in rules:
        if not isinstance(rule, Mapping):
            continue
        action = _text(rule, "action")
        conditions = {key for key, value in rule.items() if key != "action" and value not in (None, [])}
        if not conditions:
            yield _problem(rule_path, "has no condition, and would apply to every object; write one, such as afterDays")
        if action == "abort-uploads":
            for key in sorted(str(key) for key in conditions - ABORT_CONDITIONS):
                yield _problem((*rule_path, key), "is not for abort-uploads, which takes afterDays, prefixes, suffixes")
        if autoclass and (action in {"NEARLINE", "COLDLINE", "ARCHIVE"} or "storageClasses" in conditions):
            yield _problem(rule_path, "is about storage classes, which autoclass chooses; remove the rule or autoclass")


def _topics(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for path, topic in _mappings(raw, "topics"):
        if topic.get("enforceInTransit") is True and not list(_entries(topic, path, "regions")):
            yield _problem((*path, "enforceInTransit"), "is about the topic's regions; write regions, or remove it")


def _keys(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that a dataset's key is where the dataset is: https://cloud.google.com/healthcare-api/docs/cmek.

    The page doesn't say which key goes with the multi-region `eu`. One in `europe` does for BigQuery and Cloud Storage,
    so nothing is refused here that the service may take.
    """
    dataset = raw.get("dataset")
    key = _text(dataset, "kmsKey") if isinstance(dataset, Mapping) else ""
    place, location = kms_key_parts(key).get("location"), _text(raw, "location")
    if place and location and place != location and (place, location) != ("europe", "eu"):
        yield _problem(
            ("dataset", "kmsKey"),
            f"the key is in {place} and the dataset in {location}; they must be in the same location",
        )


def _adopted(raw: Mapping[str, Any]) -> Iterator[Problem]:
    dataset = raw.get("dataset")
    candidates: list[tuple[str, Path, Mapping[str, Any]]] = []
    if isinstance(dataset, Mapping):
        candidates.append(("dataset", ("dataset",), dataset))
    for key in ("stores", "bigquery", "buckets", "topics"):
        candidates += [(key, path, entry) for path, entry in _mappings(raw, key)]
    for key, path, entry in candidates:
        if entry.get("existing") is True:
            for change in CHANGES[key]:
                if entry.get(change) not in (None, [], {}, ""):
                    yield _problem(
                        (*path, change),
                        "would change something that exists already; remove it, or remove existing: true",
                    )
    if isinstance(dataset, Mapping) and dataset.get("existing") is not True:
        for path, store in _mappings(raw, "stores"):
            if store.get("existing") is True:
                yield _problem((*path, "existing"), "a store can't exist already in a dataset that this stack creates")
