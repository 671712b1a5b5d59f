"""How far a table without change tracking has been read: a text of ours where Dataverse would give a delta link.

Version numbers are given out when a row is written and seen when its transaction ends, so a number that was
passed is no proof that every smaller one has been seen; what may still come is read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_dynamics.dataverse.protocol import odata

__all__ = ["MODIFIED", "PREFIX", "VERSION", "WindowPlace", "time_of"]

PREFIX = "window:"
VERSION = "versionnumber"
MODIFIED = "modifiedon"
_MARKS = 12
_SHARE = 8  # marks nearer to each other than this part of the overlap are one


@dataclass(frozen=True)
class WindowPlace:
    """Where the next window starts.

    `of` says what was read (environment, table, columns, filter). `column` is versionnumber, modifiedon, or
    None where the table has neither. `high` is the column's highest value when the reading began, `modified`
    the latest modifiedon then, `began` that moment in epoch seconds. `seen` is the highest version number in
    any row handed out so far. `marks` are earlier (moment, highest value), for tables without modifiedon.
    """

    of: str
    column: str | None
    high: Any = None
    modified: str | None = None
    began: float = 0.0
    seen: int = 0
    marks: tuple[tuple[float, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> WindowPlace | None:
        """Return the place that `str` wrote; None for anything else."""
        try:
            value: Mapping[str, Any] = json.loads(text.removeprefix(PREFIX))
            marks = tuple((float(moment), int(high)) for moment, high in value["marks"])
            return cls(**{**value, "marks": marks}) if text.startswith(PREFIX) else None
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return PREFIX + json.dumps(asdict(self), separators=(",", ":"))

    def condition(self, overlap: float) -> str | None:
        """Return the filter for what is new since; None means every row. `overlap` is how long a transaction may take, in seconds."""
        recent = (
            None if self.modified is None else f"{MODIFIED} ge {_before(self.modified, self.began, overlap)}"
        )
        if self.column == MODIFIED:
            return recent
        low = self.high if recent else self._settled(overlap)
        if low is None:
            return None
        above = f"{VERSION} gt {low}"
        return f"{above} or {recent}" if recent else above

    def misfit(self, earlier: WindowPlace | None) -> str:
        """Say why a reading at this place cannot go on from an earlier one; "" if it can."""
        if earlier is None:
            return "the place was reached by other means than a window"
        if earlier.of != self.of:
            return "the place was reached in another environment or table, or with other columns or another filter"
        if self.column is None:
            return "the table has neither change tracking nor versionnumber nor modifiedon, so every run reads every row"
        return (
            "" if earlier.column == self.column else f"{earlier.column}, by which the place was kept, is gone"
        )

    def after(self, earlier: WindowPlace | None, overlap: float) -> WindowPlace:
        """Return this place, which follows `earlier`, with what is still needed of it."""
        if earlier is None:
            return self
        marks = self.marks
        if self.column == VERSION and self.modified is None and earlier.high is not None:
            marks = _thinned((*earlier.marks, (earlier.began, int(earlier.high))), self.began, overlap)
        return replace(self, seen=max(self.seen, earlier.seen), marks=marks)

    def _settled(self, overlap: float) -> int | None:
        """Return the highest number below which every transaction had ended when the reading began, as far as is known."""
        old = [high for moment, high in self.marks if moment + overlap <= self.began]
        return max(old, default=None)


def time_of(text: str) -> datetime:
    """Return a moment as the Web API writes it; raises ValueError."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _before(modified: str, began: float, overlap: float) -> str:
    """Return the moment `overlap` before the latest change, or before the reading began if a row claims a later one."""
    latest = min(time_of(modified), datetime.fromtimestamp(began, timezone.utc))
    return odata.instant((latest - timedelta(seconds=overlap)).replace(microsecond=0))


def _thinned(
    marks: tuple[tuple[float, int], ...], now: float, overlap: float
) -> tuple[tuple[float, int], ...]:
    """Return the marks that can still be a lower bound, few and well apart; leaving one out only widens a window."""
    settled = [mark for mark in marks if mark[0] + overlap <= now][-1:]
    kept = list(settled)
    for mark in marks:
        if mark[0] + overlap > now and (not kept or mark[0] - kept[-1][0] >= overlap / _SHARE):
            kept.append(mark)
    return tuple(kept[: _MARKS + 1])
