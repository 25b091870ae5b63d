"""Where things are written: results to stdout, as text or as one JSON document; everything else to stderr."""

import json
from dataclasses import dataclass
from typing import Any, TextIO

from rich.console import RenderableType

from operations.command_line.views import plain_console, to_text


@dataclass(frozen=True)
class Output:
    """The two streams, and whether a script reads the results."""

    out: TextIO
    err: TextIO
    as_json: bool = False

    def result(self, text: RenderableType, value: Any) -> None:
        """Write a result.

        Args:
            text: for a person: a table, or text that is written as it is.
            value: the same for a script.
        """
        if self.as_json:
            self.out.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        elif isinstance(text, str):
            self.out.write(text + "\n" if text else "")
        elif self.out.isatty():
            plain_console(self.out).print(text)
        else:
            self.out.write(to_text(text) + "\n")
        self.out.flush()

    def message(self, text: str) -> None:
        """Tell the person something that is no result."""
        self.err.write(text + "\n")
        self.err.flush()
