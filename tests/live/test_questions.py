"""Whether the emulator answers as documented, and Google Cloud as the emulator does."""

from typing import Any

import pytest

from tests.live.ground import Ground
from tests.live.questions import QUESTIONS, Observed, Question

pytestmark = pytest.mark.engine

_asked: dict[tuple[str, str], Observed] = {}


@pytest.fixture(params=QUESTIONS, ids=lambda question: question.name.replace(" ", "-"))
def question(request: pytest.FixtureRequest) -> Question:
    found: Question = request.param
    return found


def _ask(ground: Ground, question: Question) -> Observed:
    """The answer; a question is asked once at each place, in the order of the table."""
    if ground.place.name not in {place for place, _ in _asked} and not ground.stack.resources():
        ground.stack.up()
    asked = (ground.place.name, question.name)
    if asked not in _asked:
        _asked[asked] = question.ask(ground)
    return _asked[asked]


def test_the_emulator_answers_as_documented_and_never_by_accident(rehearsed: Ground, question: Question) -> None:
    facts = _ask(rehearsed, question).facts
    assert {key: facts.get(key) for key in question.documented} == dict(question.documented)
    assert facts.get("http", 200) < 500
    assert facts.get("code", 0) not in (2, 12, 13)


@pytest.mark.live
def test_google_answers_as_the_emulator_does(live: Ground, rehearsed: Ground, question: Question) -> None:
    expected, observed = _ask(rehearsed, question), _ask(live, question)
    print(f"emulator: {expected.text}\ngoogle:   {observed.text}\nevidence: {question.evidence or 'none'}")
    assert _comparable(observed.facts) == _comparable(expected.facts)


def _comparable(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts without what the documents call free: the order of lists of texts."""
    return {
        key: sorted(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value
        for key, value in facts.items()
    }
