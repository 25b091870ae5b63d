"""What every command works with: the APIs, the streams, the clock, and which operation is under way."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from operations.command_line.names import Defaults
from operations.command_line.output import Output
from operations.command_line.watching import Watch, watch
from operations.command_line.wording import wait_command
from operations.google.clock import Clock, InterruptibleClock
from operations.google.connection import Connection, connection_settings
from operations.google.credentials import read_key


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came; like Ctrl-C it ends the waiting and not the operation."""


@dataclass
class Session:
    """One run of the command line.

    Attributes:
        output: where results and messages go.
        names: what short names are completed with.
        endpoint: the emulator's address as given by --endpoint.
        impersonate: service account to act as.
        environment: the environment variables.
        clock: real or simulated time.
        allow_remote: whether the emulator may be on another machine.
        operation: the one that was started or is waited for, for messages when the command is interrupted.
        ended: the one whose end was seen.
        starting: whether an operation may just be coming into being.
        stopped_by: the interrupt that is held back until it is known what was started.
    """

    output: Output
    names: Defaults
    endpoint: str | None
    impersonate: str | None
    environment: Mapping[str, str]
    clock: Clock
    allow_remote: bool = False
    operation: str | None = field(default=None, init=False)
    ended: str | None = field(default=None, init=False)
    starting: bool = field(default=False, init=False)
    stopped_by: KeyboardInterrupt | None = field(default=None, init=False)
    _made: list[Connection] = field(default_factory=list, init=False)

    @cached_property
    def connection(self) -> Connection:
        """The APIs, with the credentials of the environment."""
        return self.connect(self.endpoint, self.impersonate)

    def connect(self, endpoint: str | None, impersonate: str | None) -> Connection:
        """Return the APIs at an endpoint, with the credentials of the environment."""
        settings = connection_settings(
            endpoint, environment=self.environment, impersonate=impersonate, allow_remote=self.allow_remote
        )
        if settings.credentials and settings.credentials.strip().startswith("{"):
            read_key(settings.credentials)  # said now, and not in the middle of the first call
        made = Connection(settings)
        self._made.append(made)
        return made

    def close(self) -> None:
        """Close the connections."""
        for connection in self._made:
            connection.close()

    @property
    def how_to_wait(self) -> str:
        """The command that waits for the operation that is under way."""
        return wait_command(self.operation or "", self.endpoint)

    def watch(self) -> AbstractContextManager[Watch]:
        """Return what shows the progress of this command."""
        return watch(self.output.err, self.environment, self.clock)

    @contextmanager
    def being_started(self) -> Iterator[None]:
        """Hold back a first interrupt: a request that is on its way must tell which operation it started."""
        self.starting = True
        yield
        self.starting = False
        if self.stopped_by is not None:
            raise self.stopped_by

    def interrupt(self, interrupt: KeyboardInterrupt) -> None:
        """End the command, at once or as soon as it is known what was started.

        Raises:
            KeyboardInterrupt: the interrupt, at once.
        """
        if not self.starting or self.stopped_by is not None or not isinstance(self.clock, InterruptibleClock):
            raise interrupt
        self.stopped_by = interrupt
        self.clock.interrupt()
        self.output.message("\nstopping as soon as it is known what was started; once more to stop at once")
