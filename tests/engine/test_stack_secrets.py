"""Encrypted settings are nowhere in clear: not in the state, not in outputs, not in what the CLI prints."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from emulator.server.server import LocalEmulator
from tests.engine.stack_runner import Stack, rest

pytestmark = pytest.mark.engine

# How Pulumi marks a secret in the state: https://www.pulumi.com/docs/iac/concepts/state-and-backends/
SECRET = "4dabf18193072939515e22adb298388d"
# What a resource is known by. Pulumi has no way to encrypt it.
NAMES = {"urn", "id", "parent", "provider", "dependencies", "propertyDependencies", "aliases", "deletedWith"}
# Bytes of a class, in which any two letters may stand.
CODE = {"__provider"}


def in_clear(value: Any) -> Iterator[str]:
    """Every text of a state that is neither encrypted nor a name of a resource."""
    if isinstance(value, dict):
        if SECRET not in value:
            for key, each in value.items():
                if key not in NAMES | CODE:
                    yield from in_clear(each)
    elif isinstance(value, list):
        for each in value:
            yield from in_clear(each)
    elif value is not None:
        yield str(value)


def found_in(texts: list[str], state: str) -> dict[str, str]:
    """Which of the texts stand in clear in a state, each with an example."""
    clear = list(in_clear(json.loads(state)["deployment"].get("resources", [])))
    return {text: example for text in texts for example in clear if text in example}


def config(emulator: LocalEmulator, **more: Any) -> dict[str, Any]:
    return {
        "gcp:project": "hospital-imaging",
        "imaging:location": "europe-west4",
        "imaging:dataset": {"name": "radiology"},
        "imaging:deletionProtection": False,
        "imaging:endpoint": emulator.url,
        **{f"imaging:{key}": value for key, value in more.items()},
    }


@pytest.fixture
def hospital(emulator: LocalEmulator) -> LocalEmulator:
    for bucket in ("doe-inbox", "doe-out"):
        rest(emulator, "POST", "storage/v1/b?project=elsewhere", {"name": bucket})
    image = Path(str(pydicom.data.get_testdata_file("CT_small.dcm"))).read_bytes()
    for name, data in (("doe/CT.dcm", image), ("doe/jane.dcm", b"no DICOM")):
        rest(emulator, "POST", f"upload/storage/v1/b/doe-inbox/o?uploadType=media&name={name}", data)
    return emulator


def test_everything_derived_from_an_encrypted_setting_is_secret(tmp_path: Path, hospital: LocalEmulator) -> None:
    study = str(pydicom.dcmread(str(pydicom.data.get_testdata_file("CT_small.dcm"))).StudyInstanceUID)
    stack = Stack(
        tmp_path,
        config(
            hospital,
            stores=[{"name": "pacs"}],
            bigquery=[{"name": "dicom", "location": "EU"}, {"name": "open", "location": "EU"}],
            buckets=[{"name": "plain-bucket", "lifecycle": [{"action": "delete"}]}],
            imports=[{"name": "archive", "store": "pacs", "allowedFailures": 1}],
            exports=[
                {"name": "images", "store": "pacs"},
                {"name": "metadata", "store": "pacs", "writeDisposition": "WRITE_TRUNCATE"},
                {
                    "name": "viewed",
                    "store": "pacs",
                    "to": "bq://hospital-imaging.dicom.viewed",
                    "writeDisposition": "WRITE_TRUNCATE",
                    "views": True,
                },
                {
                    "name": "plain",
                    "store": "pacs",
                    "to": "bq://hospital-imaging.open.plain",
                    "writeDisposition": "WRITE_TRUNCATE",
                },
            ],
        ),
    )
    for path, text in {
        # Without a slash at its end: the API is asked for another text.
        "imaging:exports[0].to": "gs://doe-out/doe-images",
        "imaging:exports[0].filter.lines[0]": f"/studies/{study}",
        "imaging:exports[1].to": "bq://hospital-imaging.dicom.doe_table",
        # Short ones are secrets too.
        "imaging:exports[2].trigger": "§7",
        "imaging:bigquery[0].description": "§8",
        "imaging:bigquery[0].defaultTableExpiration": "2137h",
        "imaging:imports[0].from": "gs://doe-inbox/doe/**",
        "imaging:buckets[0].lifecycle[0].prefixes[0]": "§9",
    }.items():
        stack.set_secret(path, text)
    stack.config["imaging:buckets"][0]["lifecycle"][0]["afterDays"] = 7
    milliseconds = str(2137 * 3600 * 1000)
    secrets = ["doe-images", "doe_table", "§7", "§8", "§9", "2137h", milliseconds, "doe/", "jane", study]
    # Names stand in URNs and ids, and nowhere else.
    names = ["doe-out", "doe-inbox", "FROM `hospital-imaging.dicom.viewed`"]

    printed = [stack.run("preview"), stack.run("preview", "--diff"), stack.run("preview", "--json")]
    printed.append(stack.up("--diff"))
    printed += [stack.run("stack", "output"), stack.run("stack", "output", "--json")]
    assert {text: said for text in secrets for said in printed if text in said} == {}
    assert found_in([*secrets, *names], stack.run("stack", "export")) == {}

    outputs = stack.outputs()
    images, plain = outputs["exports"]["images"], outputs["exports"]["plain"]
    assert (images["state"], images["success"], images["destination"]) == ("succeeded", 1, "[secret]")
    assert plain["destination"] == "bq://hospital-imaging.open.plain", "what isn't encrypted can be read"
    assert (outputs["imports"]["archive"]["failure"], outputs["imports"]["archive"]["errors"]) == (1, "[secret]")
    assert stack.preview() == {}

    # Neither the old nor the new value shows when they change.
    stack.set_secret("imaging:exports[0].to", "gs://doe-out/roe-images")
    stack.set_secret("imaging:exports[2].trigger", "§6")
    said = [stack.run("preview"), stack.run("preview", "--diff"), stack.run("preview", "--json"), stack.up("--diff")]
    assert all("the request changed" in each for each in said[:2])
    assert {text: each for text in [*secrets, "roe-images", "§6"] for each in said if text in each} == {}
    assert found_in([*secrets, *names, "roe-images", "§6"], stack.run("stack", "export")) == {}

    # Nor does a setting that is no longer encrypted show what it was.
    stack.config["imaging:exports"][0]["to"] = "gs://doe-out/open-images"
    stack.config["imaging:exports"][0].pop("filter")
    said = [stack.run("preview"), stack.run("preview", "--diff"), stack.up()]
    assert {text: each for text in ["roe-images", study] for each in said if text in each} == {}
    stack.destroy()


def test_a_failure_of_a_secret_run_says_what_to_do_and_none_of_its_settings(
    tmp_path: Path, hospital: LocalEmulator
) -> None:
    stack = Stack(
        tmp_path,
        config(
            hospital,
            stores=[{"name": "pacs"}],
            imports=[{"name": "archive", "store": "pacs"}],
        ),
    )
    stack.set_secret("imaging:imports[0].from", "gs://doe-inbox/doe/**")
    said = stack.up_fails()
    assert 'import "archive" left out 1 of 2 instances' in said
    assert "python -m operations failures projects/hospital-imaging/" in said
    assert [text for text in ("doe/", "jane") if text in said] == []
    stack.set_secret("imaging:imports[0].from", "gs://doe-inbox/roe/**")
    said = stack.up_fails()
    assert 'import "archive"' in said
    assert "withheld, as the run has secret settings" in said
    assert [text for text in ("doe/", "roe/", "jane") if text in said] == []
    stack.destroy()


def test_a_mistake_in_an_encrypted_setting_is_named_without_its_value(tmp_path: Path, hospital: LocalEmulator) -> None:
    stack = Stack(
        tmp_path,
        config(
            hospital,
            stores=[{"name": "pacs"}],
            exports=[{"name": "a", "store": "pacs", "writeDisposition": "WRITE_EMPTY"}],
        ),
    )
    stack.set_secret("imaging:exports[0].to", "bq://hospital-imaging.doe")
    said = stack.preview_fails()
    assert "imaging:exports[0].to  [secret] names no table; write bq://PROJECT.DATASET.TABLE" in said
    assert "doe" not in said


def test_a_key_that_is_encrypted_as_a_whole_counts_for_everything_in_it(
    tmp_path: Path, hospital: LocalEmulator
) -> None:
    stack = Stack(tmp_path, config(hospital))
    bucket = {"name": "whole-bucket", "labels": {"customer": "doe-clinics"}}
    stack.set_secret("imaging:buckets", json.dumps([bucket]), whole=True)
    stack.up()
    assert found_in(["doe-clinics", "whole-bucket"], stack.run("stack", "export")) == {}
    assert stack.preview() == {}
    stack.destroy()


def test_grants_that_a_refresh_finds_on_a_dataset_are_secret(tmp_path: Path, emulator: LocalEmulator) -> None:
    datasets = [
        {
            "name": "dicom",
            "location": "EU",
            "readers": [{"condition": {"title": "for-a-while"}}],
        },
        {"name": "streamed", "location": "EU"},
        {"name": "open", "location": "EU"},
    ]
    stores = [{"name": "pacs", "streams": [{"table": "bq://hospital-imaging.streamed.t"}]}]
    stack = Stack(tmp_path, config(emulator, stores=stores, bigquery=datasets))
    secrets = {
        "imaging:bigquery[0].readers[0].member": "group:doe@example.org",
        "imaging:bigquery[0].readers[0].condition.expression": 'request.time < timestamp("2031-07-07T00:00:00Z")',
        "imaging:roles.exportMetadata": "roles/bigquery.admin",
    }
    for path, text in secrets.items():
        stack.set_secret(path, text)
    said = [stack.up("--diff"), stack.run("refresh", "--yes", "--diff"), stack.run("preview", "--diff")]
    assert stack.preview() == {}

    state = stack.run("stack", "export")
    assert found_in(["doe@example.org", "2031-07-07", "bigquery.admin"], state) == {}
    assert found_in(["projectOwners"], state) != {}, "where nothing is encrypted, the list can be read"
    # Members stand in URNs.
    assert [text for text in ("2031-07-07", "bigquery.admin") for each in said if text in each] == []
    stack.destroy()


def test_a_preview_of_grants_that_others_make_names_no_secret_setting(tmp_path: Path, hospital: LocalEmulator) -> None:
    exports = [{"name": "m", "store": "pacs", "writeDisposition": "WRITE_EMPTY"}]
    stack = Stack(tmp_path, config(hospital, grants="external", stores=[{"name": "pacs"}], exports=exports))
    stack.set_secret("imaging:exports[0].to", "bq://hospital-imaging.doe_data.doe_table")
    said = stack.preview_fails()
    assert "and imaging:grants is external, so the stack makes none" in said
    assert "pulumi config get --path 'imaging:exports[0]'" in said
    assert "doe_" not in said
