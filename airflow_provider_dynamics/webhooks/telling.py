"""What the door writes into the log: the same thing only so often, and nothing that somebody else has written.

Anybody may knock, and as often as they like; a log that they can fill is a way to hide things.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Teller", "shown"]

_EVERY = 60.0  # seconds
_AT_ONCE = 5  # lines of a kind in that time
_KINDS = 500
_NAME = re.compile(r"[\w#!()\-.:/\[\]]{1,250}")


def shown(name: str) -> str:
    """Return a name that came from outside as it may stand in a log, or what kind of thing it is."""
    return f"'{name}'" if _NAME.fullmatch(name) else "a name that nothing here has"


class Teller:
    """Writes at most five lines of a kind in a minute, and then how many there were. Safe to use from several threads."""

    def __init__(self, log: logging.Logger, now: Callable[[], float]) -> None:
        self._log, self._now = log, now
        self._kinds: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def tell(
        self, level: int, kind: str, text: str, *, at_once: int = _AT_ONCE, every: float = _EVERY
    ) -> None:
        """Write a line, unless there were too many of its kind in `every` seconds; `kind` is not written."""
        left_out = self._count(kind, at_once, every)
        if left_out is not None:
            more = f" ({left_out} more like this were left out before)" if left_out else ""
            self._log.log(level, "%s%s", text, more)

    def _count(self, kind: str, at_once: int, every: float) -> int | None:
        """Return how many lines were left out before this one, None where this one is left out as well."""
        with self._lock:
            since, count = self._kinds.pop(kind, (self._now(), 0))
            left_out = 0
            if self._now() - since >= every:
                left_out, since, count = max(0, count - at_once), self._now(), 0
            self._kinds[kind] = since, count + 1
            while len(self._kinds) > _KINDS:
                self._kinds.popitem(last=False)
            return left_out if count < at_once else None
