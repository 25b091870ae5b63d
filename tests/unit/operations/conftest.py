"""A service and a clock for each test."""

import pytest

from operations.google.connection import Connection
from tests.unit.operations.service import Service, SimulatedClock


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def service(clock: SimulatedClock) -> Service:
    return Service(clock)


@pytest.fixture
def connection(service: Service) -> Connection:
    return service.connection()
