"""Wrong arguments, all of them at once, each with the name of its option."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from operations.model.invalid import InputError
from operations.model.requests import RequestError

T = TypeVar("T")

# The fields of a request and the options they come from.
OPTIONS: Mapping[str, str] = {
    "store": "--store",
    "destination": "--to",
    "uri": "--from",
    "write_disposition": "--write-disposition",
    "schema": "--schema",
    "include_source_store": "--include-source-store",
    "mime_type": "--mime-type",
    "filter": "--filter-file",
    "storage_class": "--storage-class",
}


class ArgumentError(InputError):
    """Arguments can't be right. `problems` holds (option, text) of each thing that is wrong."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        """Put the problems together, one per line below a headline; a single one stands alone."""
        self.problems = tuple(problems)
        lines = [f"{option} {text}" for option, text in problems]
        if len(lines) > 1:
            width = max(len(option) for option, _ in problems)
            lines = [f"{len(problems)} problems in the arguments"]
            indent = " " * (width + 4)
            lines += [f"  {option:<{width}}  {text.replace(chr(10), chr(10) + indent)}" for option, text in problems]
        super().__init__("\n".join(lines))


class Problems:
    """Collects what is wrong, so that a person sees it all at once."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def add(self, option: str, text: str) -> None:
        """Note one problem."""
        self._found.append((option, text))

    def read(self, option: str, parse: Callable[[], T]) -> T | None:
        """Return what `parse` returns; None when it finds something wrong, which is noted."""
        try:
            return parse()
        except RequestError as error:
            for field, text in error.problems:
                self.add(OPTIONS.get(field, field), text)
        except InputError as error:
            self.add(option, str(error))
        return None

    def raise_if_any(self) -> None:
        """Raise ArgumentError when something was wrong."""
        if self._found:
            raise ArgumentError(self._found)
