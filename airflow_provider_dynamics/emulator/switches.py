"""What the data side does wrong on purpose: short pages, expired delta tokens, rows a plug-in refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Poison:
    """A row that has this value in this column (by its name in a row) is refused when written."""

    table: str
    column: str
    value: Any
    status: int = 400
    code: str = "0x80040265"
    message: str = "The row was refused by a plug-in."


@dataclass
class DataFaults:
    """The switches the data side reads at every request; the wire side sets them.

    ``page_size_limit``: pages end after that many rows though more was asked for (the link goes on).
    ``expired_delta``: every delta token is answered 0x80044352.
    ``privileges_taken``: (user id, or None for everyone; privilege) that roles give and nobody has all the same.
    """

    page_size_limit: int | None = None
    expired_delta: bool = False
    poison: list[Poison] = field(default_factory=list)
    privileges_taken: set[tuple[str | None, str]] = field(default_factory=set)

    def clear(self) -> None:
        """Everything off."""
        self.page_size_limit, self.expired_delta = None, False
        self.poison.clear()
        self.privileges_taken.clear()
