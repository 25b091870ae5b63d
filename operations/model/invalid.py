"""The base of every error about something a person wrote: a URI, a name, a mime type, a filter line."""


class InputError(ValueError):
    """Something a person wrote can't be right; the text says what is wrong and what the right form is."""


def quoted(text: str, limit: int = 120) -> str:
    """Quote `text` for an error message: `limit` characters at most, control characters escaped."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    escaped = "".join(character if character.isprintable() else repr(character)[1:-1] for character in shown)
    return f'"{escaped}"'
