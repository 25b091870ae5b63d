"""Whatever a configuration holds, it is settings or named problems: never a traceback."""

import contextlib
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from components.access.checks import apis_by_project
from components.access.grants import grants_for
from components.access.needs import needs_of
from components.settings import Settings, SettingsError, settings_from, settings_warnings
from components.settings.load import foreign_namespaces, typed
from components.stack import log_buckets_first

# Words that some setting means something by, so that values get past the first check.
WORDS = [
    *("pacs", "radiology", "hospital-imaging", "europe-west4", "EU", "delete", "STANDARD", "90d", "0d", "48h", "1.5"),
    *("bq://hospital-imaging.dicom.instances", "bq://example.com:p-1.d.t", "gs://out-bucket/x/", "gs://out-bucket", ""),
    *("gs://in-bucket/**.dcm", "/studies/1.2", "/studies/01", "group:a@example.org", "allUsers", "Europe/Berlin"),
    *(
        "projects/p/topics/dicom",
        "projects/p/locations/eu/keyRings/r/cryptoKeys/k",
        "https://[",
        "2024-02-30",
        "\u0661",
    ),
    *(
        "roles/viewer",
        "WRITE_APPEND",
        "flattened",
        "image/png",
        "a@b",
        "domain:",
        "*",
        "true",
        "3",
        "[]",
        "{}",
        "x" * 300,
    ),
]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=12)
NUMBERS = st.integers(-3, 400) | st.sampled_from([2**63, 10**400, -1]) | st.floats()
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a setting's type, whose texts may still be wrong."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(inner[0])
    if origin in (Union, UnionType):
        return st.one_of([values(each) for each in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is list:
        return st.lists(doubtful(values(inner[0])), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXTS, doubtful(TEXTS), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return st.deferred(lambda: mappings(annotation))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS,
        bool: st.booleans(),
        int: NUMBERS,
        float: TEXTS | NUMBERS,
        type(None): st.none(),
    }
    return plain[annotation]


def doubtful(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is asked for, sometimes anything at all."""
    return st.integers(0, 19).flatmap(lambda chance: ANYTHING if chance == 0 else good)


def mappings(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    required = {name: doubtful(values(field.annotation)) for name, field in fields.items() if field.is_required()}
    optional = {name: doubtful(values(field.annotation)) for name, field in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


CONFIGURATIONS = mappings(Settings)
GOOD = {
    "project": "hospital-imaging",
    "location": "europe-west4",
    "dataset": {"name": "radiology"},
    "stores": [{"name": "pacs"}],
}
# Everything that a valid configuration goes through before a resource is declared.
USES: list[Callable[[Settings], Any]] = [
    settings_warnings,
    grants_for,
    needs_of,
    apis_by_project,
    lambda given: log_buckets_first(given.buckets),
]


def use(raw: dict[str, Any]) -> None:
    found: Settings | None = None
    with contextlib.suppress(SettingsError):
        found = settings_from(raw)
    if found is not None:
        for each in USES:
            each(found)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=CONFIGURATIONS)
def test_a_configuration_of_the_right_shape(raw: dict[str, Any]) -> None:
    use(raw)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=CONFIGURATIONS)
def test_a_configuration_whose_first_settings_are_right(raw: dict[str, Any]) -> None:
    use({**raw, **GOOD})


@settings(max_examples=200, deadline=None)
@given(raw=st.dictionaries(st.sampled_from(["stores", "exports", "buckets", "dataset", "zzz"]) | TEXTS, ANYTHING))
def test_a_configuration_of_any_shape(raw: dict[str, Any]) -> None:
    use({**GOOD, **raw})


@settings(max_examples=200, deadline=None)
@given(value=ANYTHING, name=st.sampled_from(sorted(Settings.model_fields)))
def test_anything_that_was_encrypted(value: Any, name: str) -> None:
    typed(value, Settings.model_fields[name].annotation)


@given(keys=st.lists(st.text()))
def test_any_namespace(keys: list[str]) -> None:
    foreign_namespaces(keys)
