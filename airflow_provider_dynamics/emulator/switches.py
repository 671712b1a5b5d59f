"""What the emulator does on purpose: short pages, expired delta tokens, refused rows, and how far away it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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


@dataclass(frozen=True)
class Plugin:
    """A synchronous plug-in that lets no row pass: of a table, at a message, with a value in a column; None is any.

    ``how`` it stops the row: "refuse" (with ``text``), "crash" or "timeout"; with less than 1 as ``probability`` it is
    left to a chance that runs the same way for one ``seed``. ``step`` is the id of its registration.
    """

    table: str | None = None
    message: str | None = None
    column: str | None = None
    value: Any = None
    how: str = "refuse"
    text: str = "The row was refused by a plug-in."
    probability: float = 1.0
    seed: int = 0
    step: str | None = None
    operation_status: str = "0"
    sub_error_code: str = "-2146233088"
    trace: str = ""


@dataclass
class DataFaults:
    """The switches the data side reads at every request; the wire side sets them.

    ``page_size_limit``: pages end after that many rows though more was asked for (the link goes on).
    ``expired_delta``: every delta token is answered 0x80044352.
    ``files_in_database``: files come whole only, as they always do ``on_premises``.
    ``privileges_taken``: (user id, or None for everyone; privilege) that roles give and nobody has all the same.
    """

    page_size_limit: int | None = None
    expired_delta: bool = False
    files_in_database: bool = False
    on_premises: bool = False
    poison: list[Poison] = field(default_factory=list)
    plugins: list[Plugin] = field(default_factory=list)
    privileges_taken: set[tuple[str | None, str]] = field(default_factory=set)

    def clear(self) -> None:
        """Everything off."""
        self.page_size_limit, self.expired_delta, self.files_in_database = None, False, False
        self.poison.clear()
        self.plugins = []  # a new list: what is left to chance begins anew
        self.privileges_taken.clear()


class Settings:
    """What an environment is like when nothing is wrong with it; may be set at any time, back at a reset.

    ``latency``: seconds by which answers under /api are late, each by itself: the way there and back, which uses up
    no execution time of the service. ``request_seconds`` and ``row_seconds``: what the service works over every
    request, and over every row that is written, which is execution time. ``dop_hint``: the degree of parallelism that
    ``x-ms-dop-hint`` recommends; None leaves the header out, as on-premises servers do. ValueError on other values.
    """

    NAMES = ("latency", "dop_hint", "request_seconds", "row_seconds")

    def __init__(self, latency: float = 0.0, dop_hint: int | None = DOP_HINT) -> None:
        self.at_the_start = (latency, dop_hint)
        self.reset()

    @property
    def latency(self) -> float:
        return self._latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._latency = _seconds("latency", seconds)

    @property
    def request_seconds(self) -> float:
        return self._request_seconds

    @request_seconds.setter
    def request_seconds(self, seconds: float) -> None:
        self._request_seconds = _seconds("request_seconds", seconds)

    @property
    def row_seconds(self) -> float:
        return self._row_seconds

    @row_seconds.setter
    def row_seconds(self, seconds: float) -> None:
        self._row_seconds = _seconds("row_seconds", seconds)

    @property
    def dop_hint(self) -> int | None:
        return self._dop_hint

    @dop_hint.setter
    def dop_hint(self, number: int | None) -> None:
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError(f"dop_hint is a whole number from 1 on, or None, not {number!r}")
        self._dop_hint = number

    def seconds_for(self, rows: Callable[[], int]) -> float:
        """How long the service works over a request; ``rows`` counts what it writes."""
        return self._request_seconds + (self._row_seconds * rows() if self._row_seconds else 0.0)

    def reset(self) -> None:
        """Back to what was set at the start."""
        self.latency, self.dop_hint = self.at_the_start
        self.request_seconds = self.row_seconds = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as they are."""
        return {name: getattr(self, name) for name in self.NAMES}

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Set those that are named, and return all; ValueError on a name that there is not."""
        unknown = set(wanted) - set(self.NAMES)
        if unknown:
            known = ", ".join(self.NAMES)
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}; there are {known}")
        for name, value in wanted.items():
            setattr(self, name, value)
        return self.as_dict()


def _seconds(name: str, value: float) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ValueError(f"{name} is a number of seconds, 0 or more, not {value!r}")
    return float(value)
