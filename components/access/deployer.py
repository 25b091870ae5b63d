"""What the deploying identity is missing, asked of Google before anything is touched.

The question is `testIamPermissions`, which says what the caller holds on a resource:
https://cloud.google.com/iam/docs/testing-permissions. Each project is asked at the same time as the others, so that
an update without changes takes hardly longer for it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote, urlencode

from components.access.google_rest import GoogleRest, RestError
from components.access.needs import Level, Need, needs_of
from components.access.rules import On
from components.settings import Settings

_AT_ONCE = 8
_OTHER_ROLE = "or another role with these permissions"

Rest = Callable[[str | None], GoogleRest]


def missing_permissions(settings: Settings, rest: Rest) -> tuple[list[Need], list[str]]:
    """Ask which of the needed permissions the caller doesn't have.

    Args:
        settings: the stack's settings.
        rest: returns the calls as the deploying identity in a project, the same ones for one project.

    Returns:
        What is missing, each need with the missing permissions only; and what could not be asked, and why.
    """
    by_caller: dict[GoogleRest, list[Need]] = {}
    for need in needs_of(settings):
        by_caller.setdefault(rest(need.project), []).append(need)
    missing: list[Need] = []
    unknown: list[str] = []
    # One thread for each caller: its connection can't be used by two at once.
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for found, unasked in threads.map(_asked_and_closed, by_caller, by_caller.values()):
            missing += found
            unknown += unasked
    return missing, unknown


def render_refusal(missing: Sequence[Need]) -> str:
    """Lay out what is missing, and what to do, for a terminal."""
    count = _count(missing)
    return _laid_out(
        f"{count} that this stack needs {'is' if count.startswith('1 ') else 'are'} missing",
        missing,
        lambda need: (f"for  {need.purpose}", f"fix  grant this identity {need.role} there, {_OTHER_ROLE}"),
        "To skip this check, set imaging:checkPermissions to false.",
    )


def render_warning(missing: Sequence[Need]) -> str:
    """Lay out what a preview can do without, and the `up` after it can't."""
    return _laid_out(
        f"the identity of this preview does not have {_count(missing)} that `pulumi up` needs",
        missing,
        lambda need: (f"for  {need.purpose}", f"fix  grant {need.role} there to the identity that deploys"),
    )


def render_maybe(missing: Sequence[Need]) -> str:
    """Lay out what is not held on a project, and may be held on something in it that can't be asked."""
    return _laid_out(
        f"it is not known whether this identity has {_count(missing)} that `pulumi up` needs",
        missing,
        lambda need: (
            f"for  {need.purpose}",
            f"fix  unless they are granted on the dataset or table itself, grant {need.role} there",
        ),
    )


def render_optional(missing: Sequence[Need]) -> str:
    """Lay out what the stack can do without, and what is lost then."""
    return _laid_out(
        f"this identity does not have {_count(missing)}; the stack works without, with less",
        missing,
        lambda need: (f"lost {need.lost}", f"fix  grant this identity {need.role} there, {_OTHER_ROLE}"),
    )


def _laid_out(lead: str, needs: Sequence[Need], details: Callable[[Need], Sequence[str]], end: str = "") -> str:
    lines = [lead]
    for need in needs:
        lines.append(f"  {need.on} {need.name}: {', '.join(need.permissions)}")
        lines += [f"    {detail}" for detail in details(need)]
    return "\n".join([*lines, *([f"  {end}"] if end else [])])


def of_level(missing: Sequence[Need], *levels: Level) -> list[Need]:
    """Return the needs of these levels."""
    return [need for need in missing if need.level in levels]


def _count(needs: Sequence[Need]) -> str:
    number = sum(len(need.permissions) for need in needs)
    return f"{number} permission{'s' if number > 1 else ''}"


def _asked_and_closed(rest: GoogleRest, needs: list[Need]) -> tuple[list[Need], list[str]]:
    # A transport belongs to its thread, and is lost with it.
    try:
        return _missing_of(rest, needs)
    finally:
        rest.close()


def _missing_of(rest: GoogleRest, needs: list[Need]) -> tuple[list[Need], list[str]]:
    missing: list[Need] = []
    unknown: list[str] = []
    for (on, name), group in _by_resource(needs).items():
        wanted = tuple(dict.fromkeys(each for need in group for each in need.permissions))
        try:
            held = _held(rest, on, name, wanted)
        except RestError as error:
            unknown.append(f"{on} {name}: {error}")
            continue
        for need in group:
            without = tuple(each for each in need.permissions if each not in held)
            if without:
                missing.append(replace(need, permissions=without))
    return missing, unknown


def _by_resource(needs: list[Need]) -> dict[tuple[On, str], list[Need]]:
    grouped: dict[tuple[On, str], list[Need]] = {}
    for need in needs:
        grouped.setdefault((need.on, need.name), []).append(need)
    return grouped


# How each kind of resource is asked: API and path of testIamPermissions. Cloud Storage has a form of its own.
ASK: Mapping[On, tuple[str, str]] = {
    On.PROJECT: ("cloudresourcemanager", "v1/projects/{name}:testIamPermissions"),
    On.TOPIC: ("pubsub", "v1/{name}:testIamPermissions"),
    On.KEY: ("cloudkms", "v1/{name}:testIamPermissions"),
    On.HEALTHCARE_DATASET: ("healthcare", "v1/{name}:testIamPermissions"),
    On.DICOM_STORE: ("healthcare", "v1/{name}:testIamPermissions"),
}


def _held(rest: GoogleRest, on: On, name: str, wanted: tuple[str, ...]) -> set[str]:
    try:
        return _ask(rest, on, name, wanted)
    except RestError as error:
        if error.status != 400 or len(wanted) == 1:
            raise
    # One permission that the resource doesn't know spoils the whole question; such a one can't be lacking there.
    held: set[str] = set()
    for permission in wanted:
        try:
            held |= _ask(rest, on, name, (permission,))
        except RestError as error:
            if error.status != 400:
                raise
            held.add(permission)
    return held


def _ask(rest: GoogleRest, on: On, name: str, wanted: tuple[str, ...]) -> set[str]:
    if on is On.BUCKET:
        query = urlencode([("permissions", each) for each in wanted])
        answer = rest.call("storage", "GET", f"storage/v1/b/{quote(name, safe='')}/iam/testPermissions?{query}")
    else:
        api, path = ASK[on]
        answer = rest.call(api, "POST", path.format(name=name), {"permissions": list(wanted)})
    return set(answer.get("permissions", []))
