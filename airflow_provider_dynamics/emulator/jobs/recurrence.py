"""How often a system job repeats: the parts of RFC 2445 that bulk deletion takes.

https://learn.microsoft.com/power-apps/developer/data-platform/asynchronous-service#recurrence-start-times-and-patterns
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated

_MOST_DAYS = 365
_PART = re.compile(r"(?P<name>[A-Z-]+)=(?P<value>[^;=]+)")
_FREQUENCIES = frozenset({"SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"})
_INVALID = Fault(400, "0x8004e100", "Invalid recurrence pattern.")
_NOT_DAILY = Fault(
    400, "0x8004d2a0", "Bulk Delete and Duplicate Detection recurrence must be specified as daily."
)
_NO_INTERVAL = Fault(
    400, "0x8004d2a1", "To set recurrence, you must specify an interval that is between 1 and 365."
)


@dataclass(frozen=True)
class Daily:
    """Every so many days from a start on."""

    days: int
    pattern: str

    def after(self, start: datetime, now: datetime) -> datetime:
        """The first moment of the rule after ``now``; runs that were missed are left out."""
        step = timedelta(days=self.days)
        passed = max(0, (now - start) // step + 1) if now >= start else 0
        return start + step * passed


def daily(pattern: str) -> Daily:
    """Read a bulk deletion's pattern, such as "FREQ=DAILY;INTERVAL=7;"; raises ``Fault`` in the service's words."""
    texts = [text.strip() for text in pattern.strip().upper().split(";") if text.strip()]
    matches = [_PART.fullmatch(text) for text in texts]
    parts = {match["name"]: match["value"] for match in matches if match}
    if len(parts) != len(texts) or parts.get("FREQ") not in _FREQUENCIES:
        raise _INVALID
    if parts["FREQ"] != "DAILY":
        raise _NOT_DAILY
    if others := parts.keys() - {"FREQ", "INTERVAL"}:
        raise NotEmulated(f"{', '.join(sorted(others))} in a recurrence pattern")
    interval = parts.get("INTERVAL", "1")
    if not interval.isdecimal() or not 1 <= int(interval) <= _MOST_DAYS:
        raise _NO_INTERVAL
    return Daily(int(interval), pattern)
