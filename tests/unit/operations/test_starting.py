"""Starting: exactly once, whatever becomes of the answer; nothing at all where it can't work."""

import pytest

from operations.google.clock import InterruptedWaitError, InterruptibleClock
from operations.google.connection import Connection
from operations.google.errors import COMMAND_WORDS, STACK_WORDS, OperationsError, UnreachableError
from operations.model.requests import Request, make_export, make_import
from operations.run.checks import CheckError, Facts
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
    with pytest.raises(OperationsError, match="you may not do this with the store"):
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
        start(connection, request_, limits=StartLimits(throttle_wait=600), clock=clock)
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
    assert said[0] == "5 operations of the project are running, 5 at most; waiting for a place"


@pytest.mark.parametrize("location", ["europe-west4", "us-central1"])
def test_operations_of_other_datasets_and_locations_count_too(
    location: str, service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    said: list[str] = []
    there = DATASET.replace("europe-west4", location)
    service.datasets = [f"{there}-{number}" for number in range(3)] + [DATASET]
    service.page_size = 2
    for dataset, seconds in zip([*service.datasets, DATASET], (100, 40, 100, 100, 100), strict=True):
        service.add(seconds=seconds, dataset=dataset)
    start(connection, request_, clock=clock, say=said.append)
    assert 40 <= clock.time <= 70
    assert said[0] == "5 operations of the project are running, 5 at most; waiting for a place"


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


def test_datasets_that_may_not_be_looked_at_are_left_out(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.datasets += [f"{DATASET}-2"]
    for _ in range(5):
        service.add(seconds=100, dataset=service.datasets[1])
    service.plan("datasets.list", Fault(403, "Permission healthcare.datasets.list denied"))
    service.plan("locations.list", Fault(403, "Permission healthcare.locations.list denied"))
    start(connection, request_, clock=clock)
    service.plan("operations.list", Fault(403, "Permission healthcare.operations.list denied"))
    start(service.connection(), request_, clock=clock)
    assert clock.time == 0
    service.assert_consumed()


def test_a_lost_answer_adopts_no_operation_of_another_dataset(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.datasets += [f"{DATASET}-2"]
    service.add(seconds=0, dataset=service.datasets[1])
    service.plan("export", Fault(drop="before"))
    started = start(connection, request_, clock=clock)
    assert not started.adopted
    assert started.operation.startswith(f"{DATASET}/operations/")


def test_many_datasets_cost_a_bounded_number_of_requests(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.datasets += [f"{DATASET}-{number}" for number in range(200)]
    start(connection, request_, clock=clock)
    assert service.count("operations.list") <= 21
    assert service.count("locations.list") == 0  # there are enough to count without


def test_locations_and_datasets_are_looked_through_once_in_ten_minutes(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    elsewhere = DATASET.replace("europe-west4", "us-central1")
    service.datasets += [elsewhere]
    for _ in range(3):
        start(connection, request_, clock=clock, facts=Facts())
    # The own location, the list of locations, the other location; then the operations of two datasets per start.
    assert [service.count(kind) for kind in ("datasets.list", "locations.list", "operations.list")] == [2, 1, 6]
    clock.time += 601
    start(connection, request_, clock=clock, facts=Facts())
    assert [service.count(kind) for kind in ("datasets.list", "locations.list", "operations.list")] == [4, 2, 8]


def test_a_location_that_is_out_of_order_holds_nothing_up_for_long(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.datasets += [DATASET.replace("europe-west4", "us-central1")]
    service.plan("locations.list", *[Fault(503)] * 4)
    start(connection, request_, clock=clock)
    assert clock.time <= 10
    assert len(service.operations) == 1
    service.assert_consumed()


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
    assert called == ["datasets.list", "locations.list", "operations.list", "export"]


def test_a_caller_without_rights_on_store_and_table_can_still_start(
    service: Service, connection: Connection, clock: SimulatedClock, request_: Request
) -> None:
    service.plan("metrics", Fault(403, "denied"))
    service.plan("tables.get", Fault(403, "Access Denied"))
    assert start(connection, request_, clock=clock).facts == Facts()


@pytest.mark.parametrize(
    "kind", ["metrics", "tables.get", "bigquery.datasets.get", "locations.list", "datasets.list", "operations.list"]
)
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
