"""Finding the operation that a start began whose answer never came."""

from collections.abc import Callable, Collection

from operations.google.clock import Clock
from operations.google.connection import Connection
from operations.google.errors import OperationsError, UnreachableError
from operations.google.reading import list_operations
from operations.model.outcome import Outcome, seconds_of
from operations.model.requests import Request
from operations.model.resource_names import DatasetName, parse_dataset_name
from operations.run.journal import Entry, Journal

# An accepted operation may take a moment to be listed.
_LOOK_AFTER_LOSS = (0.0, 1.0, 2.0, 4.0, 8.0)
_LOOK_AFTER_5XX = (0.0, 2.0)
_LOOK_LONG_AFTER = (0.0,)
# How long other starts of this machine that are just being made are given to learn which operations are theirs.
_OTHERS_SETTLE = 60.0
_LOOK_FOR_OTHERS_EVERY = 2.0
# A request that is on its way arrives within this time, or never.
_ON_ITS_WAY = 120.0
_MAY_NOT_LIST = (
    "you may not list the dataset's operations to find out whether it took effect; see in the Google Cloud console, "
    "or get roles/healthcare.datasetAdmin"
)
_TELL_APART = "see what they are with `python -m operations describe` and cancel what isn't wanted"
_OR_ANEW = "change `trigger` to start a new one"

Say = Callable[[str], None]


def find_started(
    connection: Connection,
    request: Request,
    known: Collection[str] | None,
    error: OperationsError,
    journal: Journal,
    clock: Clock,
) -> str | None:
    """Look for the operation that a POST without an answer may have started.

    Args:
        connection: the APIs.
        request: what was posted.
        known: the operations that were there before; None when they could not be listed.
        error: what came instead of an answer.
        journal: knows which operations other starts of this machine began.
        clock: real or simulated time.

    Returns:
        Its full name; None when nothing began.

    Raises:
        OperationsError: it can't be told.
    """
    if known is None:
        raise OperationsError(f"the answer to the start was lost ({error}), and {_MAY_NOT_LIST}")

    def is_new(outcome: Outcome) -> bool:
        return outcome.operation not in known and outcome.api_method in request.api_methods

    pauses = _LOOK_AFTER_LOSS if isinstance(error, UnreachableError) else _LOOK_AFTER_5XX
    dataset = request.store.parent
    new = _look(connection, dataset, is_new, pauses, journal, clock)
    if len(new) > 1 or (new and _others_starting(journal, dataset, clock)):
        began = "1 operation" if len(new) == 1 else f"{len(new)} operations"
        raise OperationsError(
            f"the answer to the start was lost ({error}), and {began} began at that moment, perhaps by another start: "
            f"{', '.join(new)}; {_TELL_APART}"
        )
    return new[0] if new else None


def find_interrupted(
    connection: Connection, request: Request, journal: Journal, entry: Entry, note: Say, clock: Clock
) -> str | None:
    """Look for the operation that a start may have begun in whose middle the program was killed.

    Args:
        connection: the APIs.
        request: what is to be started now.
        journal: of the resource.
        entry: the start whose end isn't known.
        note: told of an operation that may have begun with other settings.
        clock: real or simulated time.

    Returns:
        Its full name; None when nothing began, or nothing like this request.

    Raises:
        OperationsError: it can't be told.
    """
    same = journal.is_same(entry, request)
    if entry.known is None:
        if same:
            raise OperationsError(f"an earlier start was interrupted, and {_MAY_NOT_LIST}; or {_OR_ANEW}")
        return None
    recent = abs(clock.now() - seconds_of(entry.time)) < _ON_ITS_WAY
    dataset = parse_dataset_name(entry.dataset)
    pauses = _LOOK_AFTER_LOSS if recent else _LOOK_LONG_AFTER
    new = _look(connection, dataset, entry.may_have_begun, pauses, journal, clock)
    if not same:
        if new:
            note(f"an earlier start with other settings was interrupted and may have begun {', '.join(new)}")
        return None
    if len(new) > 1 or (new and _unanswered(journal, dataset)):
        raise OperationsError(
            "an earlier start was interrupted, and it can't be told whether it began any of the operations of that "
            f"moment: {', '.join(new)}; {_TELL_APART}, then run `pulumi up` again, for which those that were cancelled "
            f"don't count; or {_OR_ANEW}"
        )
    return new[0] if new else None


def _look(
    connection: Connection,
    dataset: DatasetName,
    fits: Callable[[Outcome], bool],
    pauses: Collection[float],
    journal: Journal,
    clock: Clock,
) -> list[str]:
    """Return the operations of a dataset that fit and that no other start of this machine began.

    The end comes with the first of them, or after the pauses. While another start is just being made, it is given time
    to learn which one is its own.
    """
    settled_by = clock.monotonic() + _OTHERS_SETTLE
    left = list(pauses)
    while True:
        clock.sleep(left.pop(0) if left else _LOOK_FOR_OTHERS_EVERY)
        new = [each.operation for each in list_operations(connection, dataset, clock) if fits(each)]
        # After the list: a start is written down before it is sent, so whatever is listed has its entry by now.
        claimed = {name for each in journal.others() for name in (each.operation, *each.earlier)}
        new = [name for name in new if name not in claimed]
        waits = new and _others_starting(journal, dataset, clock) and clock.monotonic() < settled_by
        if not waits and (new or not left):
            return new


def _unanswered(journal: Journal, dataset: DatasetName) -> list[Entry]:
    """Return the starts of other resources in a dataset of which it isn't known what they began."""
    others = journal.others()
    return [each for each in others if not each.settled and not each.operation and each.dataset == str(dataset)]


def _others_starting(journal: Journal, dataset: DatasetName, clock: Clock) -> list[Entry]:
    """Return those of them whose request may be on its way right now."""
    others = _unanswered(journal, dataset)
    return [each for each in others if abs(clock.now() - seconds_of(each.time)) < _ON_ITS_WAY]
