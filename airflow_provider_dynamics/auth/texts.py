"""How long an error's text may be, and what is left out of a longer one: its middle, where long values stand."""

from __future__ import annotations

__all__ = ["LONGEST_TEXT", "fitted"]

LONGEST_TEXT = 2000  # characters of an error; Airflow cuts a connection test's result there
_END = 1200  # characters of the end, which says what to do


def fitted(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text of at most `longest` characters: what went wrong is at its beginning, the remedy at its end."""
    if len(text) <= longest:
        return text
    end = min(_END, longest * 3 // 5)
    return f"{text[: longest - end - 3]} … {text[-end:]}"
