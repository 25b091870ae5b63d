"""Fuzzy matching of person names in searches."""

from __future__ import annotations

import re
import unicodedata


def name_matches(name: str | None, wanted: str) -> bool:
    """Whether a word of one text begins a word of a person name, whatever their cases and accents are.

    That is the fuzzy matching of Google's conformance statement.
    """
    words = _words(name or "")
    return any(word.startswith(start) for start in _words(wanted) for word in words)


def _words(text: str) -> list[str]:
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.split(r"[\s^=,]+", plain.casefold().strip(" ^=,")) if plain.strip(" ^=,") else []
