"""The stack's life at a place: up, up again, refresh, a filtered run. Taking it down belongs to the ground."""

import pytest

from tests.live.ground import CT, Ground
from tests.live.questions import study_of

pytestmark = pytest.mark.engine


def test_the_stack_imports_exports_and_verifies(ground: Ground) -> None:
    ground.stack.up()
    outputs = ground.stack.outputs()
    imported = outputs["imports"]["archive"]
    assert (imported["success"], imported["failure"]) == (2, 1)
    assert [error["source"].rpartition("/")[2] for error in imported["errors"]] == ["broken.dcm"]
    metadata, images = outputs["exports"]["metadata"], outputs["exports"]["images"]
    assert (metadata["state"], metadata["success"], metadata["rows"]) == ("succeeded", 2, 2)
    assert (images["state"], images["success"]) == ("succeeded", 2)
    assert len(ground.place.objects(ground.outbox, "images/")) == 2
    studies = f"SELECT COUNT(DISTINCT StudyInstanceUID) FROM `{ground.table}`"  # noqa: S608 - a name of the run's own
    assert ground.place.query(studies) == [["2"]]


def test_a_second_run_and_one_after_a_refresh_have_nothing_to_do(ground: Ground) -> None:
    assert ground.stack.preview() == {}
    ground.stack.refresh()
    assert ground.stack.preview() == {}


def test_an_export_of_one_study_by_lines_holds_that_study_only(ground: Ground) -> None:
    study = study_of(CT)
    ground.stack.config["imaging:exports"].append(
        {
            "name": "one-study",
            "store": "pacs",
            "to": f"gs://{ground.outbox}/one-study/",
            "filter": {"lines": [f"/studies/{study}"]},
        }
    )
    ground.stack.up()
    assert ground.stack.outputs()["exports"]["one-study"]["success"] == 1
    (found,) = ground.place.objects(ground.outbox, "one-study/")
    assert found.startswith(f"one-study/{study}/")
