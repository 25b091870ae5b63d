"""Showing how far something is: a progress bar when a person watches, else plain lines, at least one a minute.

A pipeline kills a job that is silent for too long, so lines also come when there is nothing new to say: while the
service asks to be left alone for two minutes, or a request hangs.
"""

import os
import re
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from operations.google.clock import SYSTEM_CLOCK, Clock
from operations.run.wait import Progress

# Readings are at most 20 s apart: with one line per 25 s of news, two lines are never more than a minute apart.
_NEWS_EVERY = 25.0
_SILENCE_AT_MOST = 50.0
_NUMBERS = re.compile(r"[0-9][0-9.,]*")


class Watch(Protocol):
    """Something that shows progress."""

    def progress(self, progress: Progress) -> None:
        """Show how far the operation is."""

    def say(self, text: str) -> None:
        """Show what is waited for, or what went wrong and is tried again."""

    def note(self, text: str) -> None:
        """Write something that stays."""


def watch(
    err: TextIO, environment: Mapping[str, str] | None = None, clock: Clock = SYSTEM_CLOCK
) -> "AbstractContextManager[Watch]":
    """Return what suits the stream: a bar on a terminal, else lines."""
    return BarWatch(Console(file=err)) if a_person_watches(err, environment) else LineWatch(err, clock)


def a_person_watches(err: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Tell whether the stream is a terminal that can redraw a line."""
    variables = os.environ if environment is None else environment
    return err.isatty() and variables.get("TERM") not in ("dumb", "unknown")


class BarWatch(AbstractContextManager["BarWatch"]):
    """A line that is redrawn: spinner, bar, time, counters."""

    def __init__(self, console: Console) -> None:
        """Draw on this console."""
        self._bar = RichProgress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        self._bar.stop()

    def progress(self, progress: Progress) -> None:
        """Show how far the operation is."""
        self._bar.update(
            self._task, description=str(progress), completed=progress.handled, total=progress.expected or None
        )

    def say(self, text: str) -> None:
        """Show what is waited for in place of the counters."""
        self._bar.update(self._task, description=text)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


class LineWatch(AbstractContextManager["LineWatch"]):
    """Lines, for logs. What only repeats itself with other numbers is written now and then."""

    def __init__(self, err: TextIO, clock: Clock = SYSTEM_CLOCK, silence: float = _SILENCE_AT_MOST) -> None:
        """Write to `err`, and at the latest every `silence` seconds."""
        self._err = err
        self._clock = clock
        self._silence = silence
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._latest = "waiting"
        self._written = ""
        self._written_at = clock.monotonic()

    def __enter__(self) -> Self:
        """Begin to look after the silence."""
        threading.Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End with nothing further."""
        with self._lock:
            self._ended.set()

    def progress(self, progress: Progress) -> None:
        """Write how far the operation is, when it has been some time."""
        self._news(str(progress))

    def say(self, text: str) -> None:
        """Write what is waited for, when it is something new or has been some time."""
        self._news(text)

    def note(self, text: str) -> None:
        """Write a line."""
        with self._lock:
            self._write(text)

    def _news(self, text: str) -> None:
        with self._lock:
            self._latest = text
            repeated = _NUMBERS.sub("", text) == _NUMBERS.sub("", self._written)
            if not repeated or self._clock.monotonic() - self._written_at >= _NEWS_EVERY:
                self._write(text)

    def _break_silence(self) -> None:
        while not self._ended.wait(self._silence / 10):
            with self._lock:
                silent = self._clock.monotonic() - self._written_at
                if silent >= self._silence and not self._ended.is_set():
                    self._write(self._latest)

    def _write(self, text: str) -> None:
        self._written, self._written_at = text, self._clock.monotonic()
        self._err.write(text + "\n")
        self._err.flush()
