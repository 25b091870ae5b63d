"""Telling a person what takes so long: one line that is rewritten in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

TERMINAL_SECONDS = 0.5
LOG_SECONDS = 20.0


class Task:
    """One long step. `note` says what it is at; showing it is the progress's business."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = time.monotonic()
        self.detail = ""

    def note(self, detail: str) -> None:
        """What the step is at now."""
        self.detail = detail

    def line(self) -> str:
        """The title, minutes and seconds since the start, and the newest note."""
        seconds = int(time.monotonic() - self.started)
        return f"{self.title}  {seconds // 60}:{seconds % 60:02d}" + (f"  {self.detail}" if self.detail else "")


class Progress:
    """Writes to standard error, so that what a command prints can be evaluated by a shell.

    Args:
        stream: where to; by default standard error.
        every: seconds between lines when the stream is no terminal.
    """

    def __init__(self, stream: TextIO | None = None, every: float = LOG_SECONDS) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._every = TERMINAL_SECONDS if self._terminal else every

    def say(self, text: str) -> None:
        """One line that stays."""
        print(text, file=self._stream, flush=True)

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        """Shows a step until the block ends, then one line with the time it took."""
        task = Task(title)
        over = threading.Event()
        if not self._terminal:
            self.say(title)
        thread = threading.Thread(target=self._show, args=(task, over), daemon=True)
        thread.start()
        outcome = "interrupted or failed"
        try:
            yield task
            outcome = "done"
        finally:
            over.set()
            thread.join()
            task.note(outcome)
            self._write(task.line(), last=True)

    def _show(self, task: Task, over: threading.Event) -> None:
        while not over.wait(self._every):
            self._write(task.line())

    def _write(self, line: str, *, last: bool = False) -> None:
        if self._terminal:
            self._stream.write(f"\r\x1b[K{line[:110]}" + ("\n" if last else ""))
            self._stream.flush()
        else:
            self.say(line)
