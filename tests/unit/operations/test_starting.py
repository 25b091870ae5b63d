"""Starting: exactly once, whatever becomes of the answer; nothing at all where it can't work."""

import contextlib
import threading

import pytest

from operations.google.clock import Clock, InterruptedWaitError, InterruptibleClock, SystemClock
from operations.google.connection import Connection
from operations.google.errors import COMMAND_WORDS, STACK_WORDS, ApiError, OperationsError, UnreachableError
from operations.model.requests import Request, make_export, make_import
from operations.model.resource_names import parse_dataset_name
from operations.run.checks import CheckError, Facts
from operations.run.deadline import deadline_in
from operations.run.slots import NoSlotError, free_slot
from operations.run.start import StartLimits, start
from tests.unit.operations.service import DATASET, STORE, Fault, Service, SimulatedClock

AGENT = "service-4711@gcp-sa-healthcare.iam.gserviceaccount.com"
AGENT_REFUSED = f"Access Denied: Dataset research:dicom: {AGENT} does not have bigquery.tables.create"
CALLER_REFUSED = f"Permission healthcare.dicomStores.export denied on resource {STORE} (or it may not exist)"


@pytest.fixture
def request_() -> Request:
    return make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_TRUNCATE")


def test_an_empty_store_is_an_error_before_anything_starts(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.instances = 0
    with pytest.raises(CheckError, match="DICOM store pacs is empty, so there is nothing to export"):
        start(connection, request_, clock=clock)
    assert service.count("export") == 0


def test_a_non_empty_table_with_write_empty_is_an_error_with_the_choices(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    service.rows = 98_112
    request = make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_EMPTY")
    with pytest.raises(CheckError, match=r"has 98,112 rows .* WRITE_EMPTY; choose WRITE_TRUNCATE .* WRITE_APPEND"):
        start(connection, request, clock=clock)
    assert service.count("export") == 0


def test_a_missing_bigquery_dataset_is_named_before_anything_starts(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.bigquery_dataset = False
    with pytest.raises(CheckError, match=r"BigQuery dataset research\.dicom doesn't exist"):
        start(connection, request_, clock=clock)
    assert service.count("export") == 0


@pytest.mark.parametrize(
    "table",
    ["research.imaging_dataset.instances", "research.dicom.dataset", "dataset-research.dicom.instances"],
)
@pytest.mark.parametrize("exists", [True, False])
def test_the_dataset_is_asked_for_and_no_word_of_the_text_decides_whether_it_exists(
    exists: bool, table: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    service.bigquery_dataset = exists
    request = make_export(STORE, f"bq://{table}", write_disposition="WRITE_TRUNCATE")
    if exists:
        assert start(connection, request, clock=clock).facts.rows == 0
        return
    with pytest.raises(CheckError, match=rf"BigQuery dataset {table.rpartition('.')[0]} doesn't exist"):
        start(connection, request, clock=clock)


def test_a_dataset_that_may_not_be_looked_at_is_left_to_the_service(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("bigquery.datasets.get", Fault(403, "Access Denied: Dataset research:dicom"))
    assert start(connection, request_, clock=clock).facts.rows == 0
    service.assert_consumed()


def test_a_missing_store_is_named(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("metrics", Fault(404, "not found"))
    with pytest.raises(CheckError, match=r"DICOM store projects/.*/dicomStores/pacs doesn't exist"):
        start(connection, request_, clock=clock)


@pytest.mark.parametrize("status", [403, 404])
def test_a_missing_location_is_named_with_the_nearest_there_is(
    status: int, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    service.datasets = [DATASET.replace("europe-west4", each) for each in ("us-central1", "europe-west4", "us")]
    service.plan("metrics", Fault(status, "denied (or it may not exist)"))
    store = STORE.replace("europe-west4", "europ-west-4")
    request = make_export(store, "bq://research.dicom.instances", write_disposition="WRITE_TRUNCATE")
    with pytest.raises(CheckError, match='has no location "europ-west-4"; did you mean "europe-west4"'):
        start(connection, request, clock=clock)
    assert service.count("export") == 0


def test_a_location_is_not_doubted_where_locations_may_not_be_listed(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("metrics", Fault(404, "not found"))
    service.plan("locations.list", Fault(403, "Permission healthcare.locations.list denied"))
    with pytest.raises(CheckError, match=r"DICOM store projects/.*/dicomStores/pacs doesn't exist"):
        start(connection, request_, clock=clock)
    service.assert_consumed()


def test_a_missing_bucket_is_named(service: Service, connection: Connection, clock: SimulatedClock) -> None:
    service.plan("buckets.get", Fault(404, "The specified bucket does not exist."))
    with pytest.raises(CheckError, match="bucket hospital-out doesn't exist"):
        start(connection, make_export(STORE, "gs://hospital-out/x"), clock=clock)


@pytest.mark.parametrize(
    ("kind", "missing", "destination"),
    [
        ("buckets.get", "The specified bucket does not exist.", "gs://hospital-out/x"),
        ("bigquery.datasets.get", "Not found: Dataset research:dicom", "bq://research.dicom.instances"),
    ],
)
def test_who_creates_what_is_missing_is_said_for_a_stack_and_not_at_the_command_line(
    kind: str, missing: str, destination: str, service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    disposition = "WRITE_TRUNCATE" if destination.startswith("bq:") else None
    request = make_export(STORE, destination, write_disposition=disposition)
    for wording, stacks in ((STACK_WORDS, True), (COMMAND_WORDS, False)):
        service.plan(kind, Fault(404, missing))
        with pytest.raises(CheckError, match="doesn't exist; create it") as refused:
            start(connection, request, clock=clock, wording=wording)
        assert ("the stack creates those under imaging:b" in str(refused.value)) is stacks
        assert ("stack" in str(refused.value)) is stacks


def test_an_import_that_matches_no_object_is_an_error_before_anything_starts(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    service.objects = {"2024/readme.txt": 1}
    with pytest.raises(CheckError, match=r"no object matches gs://inbox/2024/\*\*\.dcm"):
        start(connection, make_import(STORE, "gs://inbox/2024/**.dcm"), clock=clock)
    assert service.count("import") == 0


def test_a_refusal_of_the_caller_is_not_retried(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("export", Fault(403, CALLER_REFUSED))
    with pytest.raises(OperationsError, match="you do not have permission to do this with the store"):
        start(connection, request_, clock=clock)
    assert (service.count("export"), clock.time) == (1, 0)


def test_a_refusal_of_the_service_agent_is_retried_until_its_time_is_over_and_then_says_which_role_is_missing(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("export", *[Fault(403, AGENT_REFUSED)] * 100)
    with pytest.raises(OperationsError, match=r"roles/bigquery\.dataEditor") as caught:
        start(connection, request_, limits=StartLimits(permission_wait=300), service_agent=AGENT, clock=clock)
    assert 250 <= clock.time <= 300
    assert AGENT in str(caught.value)
    assert service.operations == {}


def test_grants_that_take_a_minute_to_spread_are_waited_for(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    said: list[str] = []
    service.plan("export", *[Fault(403, AGENT_REFUSED)] * 6)
    start(connection, request_, clock=clock, say=said.append)
    assert len(service.operations) == 1
    assert said[0].startswith("waiting for the service agent's permissions to take effect")
    service.assert_consumed()


def test_throttling_waits_as_long_as_asked_and_says_so(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    said: list[str] = []
    service.plan("export", Fault(429, "Quota exceeded: dicom_store_lro_ops", retry_after="90"))
    start(connection, request_, clock=clock, say=said.append)
    assert 90 <= clock.time <= 91
    assert said == ["the service asks to slow down (Quota exceeded: dicom_store_lro_ops); trying again in 1 m 30 s"]
    assert len(service.operations) == 1


def test_throttling_that_stays_is_given_up_in_the_end(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("export", *[Fault(429)] * 1000)
    with pytest.raises(OperationsError, match="a quota is used up"):
        start(connection, request_, limits=StartLimits(timeout=600), clock=clock)
    assert clock.time <= 600


def test_a_lost_answer_to_a_start_that_took_effect_adopts_the_operation(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    earlier = service.add(seconds=0)
    service.plan("export", Fault(drop="after"))
    started = start(connection, request_, clock=clock)
    assert started.adopted
    assert started.operation in service.operations
    assert started.operation != earlier
    assert (len(service.operations), service.count("export")) == (2, 1)


def test_a_lost_answer_to_a_start_that_took_no_effect_posts_it_again(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("export", Fault(drop="before"))
    started = start(connection, request_, clock=clock)
    assert not started.adopted
    assert (len(service.operations), service.count("export")) == (1, 2)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_posts_again_only_after_the_list_shows_that_nothing_began(
    status: int, service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("export", Fault(status), Fault(status))
    start(connection, request_, clock=clock)
    assert (len(service.operations), service.count("export")) == (1, 3)
    service.assert_consumed()


def test_two_candidates_after_a_lost_answer_are_named_and_none_is_adopted_or_posted(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    answer = service.answer

    def somebody_else_starts_too(method: str, uri: str, body: object) -> object:
        if uri.endswith(":export?alt=json"):
            service.add(seconds=0)
        return answer(method, uri, body)

    service.answer = somebody_else_starts_too  # type: ignore[method-assign, assignment]
    service.plan("export", Fault(drop="after"))
    with pytest.raises(OperationsError, match="2 operations began at that moment"):
        start(connection, request_, clock=clock)
    assert service.count("export") == 1


def test_a_lost_answer_is_not_posted_again_when_operations_may_not_be_listed(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("operations.list", *[Fault(403, "Permission healthcare.operations.list denied")] * 9)
    service.plan("export", Fault(drop="after"))
    with pytest.raises(OperationsError, match="may not list the dataset's operations"):
        start(connection, request_, clock=clock)
    assert service.count("export") == 1


def test_a_caller_who_may_not_list_operations_can_start_one(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("operations.list", Fault(403, "Permission healthcare.operations.list denied"))
    assert start(connection, request_, clock=clock).operation in service.operations


def test_an_emulator_that_is_not_running_is_said_at_once(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("metrics", *[Fault(error=ConnectionRefusedError(111, "refused"))] * 9)
    with pytest.raises(UnreachableError, match="start the emulator with `make emulator`"):
        start(connection, request_, clock=clock)
    assert clock.time < 5


def test_a_sixth_operation_waits_until_one_of_five_has_ended(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    said: list[str] = []
    for seconds in (100, 40, 100, 100, 100):
        service.add(seconds=seconds)
    start(connection, request_, clock=clock, say=said.append)
    assert 40 <= clock.time <= 70
    assert said[0] == "5 imports and exports are running (maximum 5); waiting for one to end"


def test_a_start_costs_one_list_however_many_datasets_the_project_has(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.datasets += [f"{DATASET}-{number}" for number in range(40)]
    for dataset in service.datasets[1:]:
        service.add(seconds=100, dataset=dataset)
    start(connection, request_, clock=clock)
    assert clock.time == 0
    assert [service.count(kind) for kind in ("operations.list", "datasets.list", "locations.list")] == [1, 0, 0]


def test_the_wait_for_a_slot_ends_with_the_timeout_and_says_what_runs(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    for _ in range(5):
        service.add(seconds=1e6)
    with pytest.raises(NoSlotError) as caught:
        start(connection, request_, limits=StartLimits(timeout=600), clock=clock)
    assert 600 <= clock.time <= 601
    assert str(caught.value) == (
        "no operation could be started within 10 m: 5 imports and exports are running (maximum 5); see "
        f"`python -m operations list {DATASET} --running`, cancel what hangs, or allow a longer `timeout`"
    )
    assert service.count("export") == 0


def test_what_was_counted_is_counted_again_after_the_wait_for_a_slot(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    """Rows that others append while a start waits were there before it, and are none that it wrote."""
    service.rows, service.instances = 7, 10
    for _ in range(5):
        service.add(seconds=100)
    answer = service.answer

    def meanwhile(method: str, uri: str, body: object) -> object:
        if clock.time >= 50:
            service.rows, service.instances = 1_007, 12
        return answer(method, uri, body)

    service.answer = meanwhile  # type: ignore[method-assign, assignment]
    request = make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_APPEND")
    facts = start(connection, request, clock=clock).facts
    assert clock.time >= 100
    assert facts.metrics is not None
    assert (facts.rows, facts.total, facts.metrics.instances) == (1_007, 12, 12)


def test_the_time_for_grants_begins_with_the_first_refusal(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    for _ in range(5):
        service.add(seconds=1000)
    service.plan("export", *[Fault(403, AGENT_REFUSED)] * 3)
    start(connection, request_, limits=StartLimits(permission_wait=60), clock=clock)
    service.assert_consumed()


@pytest.mark.parametrize("status", [500, 503])
def test_a_list_that_fails_is_not_taken_for_a_missing_permission(
    status: int, service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    """Without the list, the operation of a lost answer could not be told from others."""
    service.plan("operations.list", *[Fault(status)] * 100)
    with pytest.raises(ApiError):
        start(connection, request_, clock=clock)
    assert service.count("export") == 0


def test_a_list_that_is_throttled_is_waited_for_like_a_slot(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    said: list[str] = []
    service.plan("operations.list", *[Fault(429, "Quota exceeded: read_ops")] * 20)
    service.plan("export", Fault(drop="after"))
    assert start(connection, request_, clock=clock, say=said.append).adopted
    assert said[0] == "the service asks to slow down (Quota exceeded: read_ops); waiting for one to end"
    service.assert_consumed()


def test_a_start_that_is_interrupted_in_the_queue_holds_up_no_later_one(connection: Connection) -> None:
    dataset, begun, interrupted = parse_dataset_name(DATASET), threading.Event(), InterruptibleClock()
    clock, order = SystemClock(), []

    def queued(name: str, clock: Clock) -> None:
        begun.set()
        slot = free_slot(connection, dataset, 5, deadline=deadline_in(60, clock), say=print, clock=clock)
        with contextlib.suppress(InterruptedWaitError), slot:
            order.append(name)

    with free_slot(connection, dataset, 5, deadline=deadline_in(60, clock), say=print, clock=clock):
        second = threading.Thread(target=queued, args=("second", interrupted))
        second.start()
        assert begun.wait(10)
        interrupted.interrupt()
        second.join(10)
        assert not second.is_alive()
        third = threading.Thread(target=queued, args=("third", clock))
        third.start()
    third.join(10)
    assert order == ["third"]


def test_the_queue_of_a_program_ends_with_the_timeout_too(connection: Connection, clock: SimulatedClock) -> None:
    dataset = parse_dataset_name(DATASET)
    with free_slot(connection, dataset, 5, deadline=deadline_in(60, clock), say=print, clock=clock):
        late = free_slot(connection, dataset, 5, deadline=deadline_in(30, clock), say=print, clock=clock)
        with pytest.raises(NoSlotError, match="other starts of this program"), late:
            raise AssertionError("two starts had the turn at once")
    assert 30 <= clock.time <= 31


def test_a_start_that_was_interrupted_while_it_queued_starts_nothing(
    service: Service, connection: Connection, request_: Request
) -> None:
    interrupted = InterruptibleClock()
    interrupted.interrupt()
    with pytest.raises(InterruptedWaitError):
        start(connection, request_, clock=interrupted, facts=Facts())
    assert service.operations == {}


def test_finished_operations_and_those_of_another_kind_hold_nobody_up(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.datasets += [f"{DATASET}-2"]
    for _ in range(5):
        service.add(seconds=0, dataset=service.datasets[1])
        service.operations[service.add(seconds=100)].method = "DeidentifyDataset"
    start(connection, request_, clock=clock)
    assert clock.time == 0


def test_a_lost_answer_adopts_no_operation_of_another_dataset(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.datasets += [f"{DATASET}-2"]
    service.add(seconds=0, dataset=service.datasets[1])
    service.plan("export", Fault(drop="before"))
    started = start(connection, request_, clock=clock)
    assert not started.adopted
    assert started.operation.startswith(f"{DATASET}/operations/")


def test_the_facts_before_the_start_are_kept(service: Service, connection: Connection, clock: SimulatedClock) -> None:
    service.rows = 7
    request = make_export(STORE, "bq://research.dicom.instances", write_disposition="WRITE_APPEND")
    facts = start(connection, request, clock=clock).facts
    assert (facts.rows, facts.total) == (7, 10)
    assert facts.metrics is not None
    assert (facts.metrics.instances, facts.metrics.studies) == (10, 2)


def test_an_import_counts_the_objects_that_match(
    service: Service, connection: Connection, clock: SimulatedClock
) -> None:
    service.objects = {"2024/a.dcm": 1, "2024/b/c.dcm": 1, "2024/readme.txt": 1, "2023/a.dcm": 1}
    started = start(connection, make_import(STORE, "gs://inbox/2024/**.dcm"), clock=clock)
    assert started.facts.total == 2
    assert service.bodies == [{"gcsSource": {"uri": "gs://inbox/2024/**.dcm"}}]


def test_checks_that_were_made_are_not_made_again(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    start(connection, request_, clock=clock, facts=Facts(rows=3))
    called = [kind for _, kind in service.requests]
    assert called == ["operations.list", "export"]


def test_a_caller_without_rights_on_store_and_table_can_still_start(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("metrics", Fault(403, "denied"))
    service.plan("tables.get", Fault(403, "Access Denied"))
    assert start(connection, request_, clock=clock).facts == Facts()


@pytest.mark.parametrize("kind", ["metrics", "tables.get", "bigquery.datasets.get", "operations.list"])
@pytest.mark.parametrize(
    "fault", [Fault(503), Fault(429), Fault(401), Fault(drop="before"), Fault(drop="after")], ids=repr
)
def test_bursts_on_the_calls_around_the_start_are_survived(
    kind: str, fault: Fault, service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan(kind, fault, fault)
    start(connection, request_, clock=clock)
    assert len(service.operations) == 1
    service.assert_consumed()
