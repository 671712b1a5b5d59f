"""What the emulator does on purpose: short pages, expired delta tokens, refused rows, and how far away it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DOP_HINT = 4


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


class Settings:
    """What an environment is like when nothing is wrong with it; may be set at any time, back at a reset.

    ``latency``: seconds by which answers under /api are late, each by itself: the way there and back, which uses up
    no execution time of the service. ``dop_hint``: the degree of parallelism that ``x-ms-dop-hint`` recommends; None
    leaves the header out, as on-premises servers do. ValueError on other values.
    """

    def __init__(self, latency: float = 0.0, dop_hint: int | None = DOP_HINT) -> None:
        self.at_the_start = (latency, dop_hint)
        self.reset()

    @property
    def latency(self) -> float:
        return self._latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 <= seconds < math.inf:
            raise ValueError(f"latency is a number of seconds, 0 or more, not {seconds!r}")
        self._latency = float(seconds)

    @property
    def dop_hint(self) -> int | None:
        return self._dop_hint

    @dop_hint.setter
    def dop_hint(self, number: int | None) -> None:
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError(f"dop_hint is a whole number from 1 on, or None, not {number!r}")
        self._dop_hint = number

    def reset(self) -> None:
        """Back to what was set at the start."""
        self.latency, self.dop_hint = self.at_the_start

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as they are."""
        return {"latency": self.latency, "dop_hint": self.dop_hint}

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Set those that are named, and return all; ValueError on a name that there is not."""
        unknown = set(wanted) - set(self.as_dict())
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}; there are latency, dop_hint")
        for name, value in wanted.items():
            setattr(self, name, value)
        return self.as_dict()
