"""What each door belongs to: a connection's environment, and the keys that open it, remembered for some seconds.

A burst of posts does not ask a secrets backend a thousand times, and a changed key is known as soon as somebody uses it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_dynamics.connection.webhook_keys import is_one_of

__all__ = ["Place", "Places"]

_REMEMBERED = 256  # of them: anybody may ask for names that are not there
_FRESH = 1.0  # seconds in which a key that does not fit is not looked up again
_KEPT = 10.0  # seconds

_Name = tuple[str, str]


@dataclass(frozen=True)
class Place:
    """Where posts belong that come in through one door. `trouble` says why nothing may come in, "" where it may."""

    environment: str = ""
    keys: tuple[str, ...] = field(default=(), repr=False)
    team: str | None = None
    on_premises: bool = False
    trouble: str = ""


class Places:
    """Finds places by a door's name. Safe to use from several threads.

    `read` returns the place of a connection, in another environment where one is named, and never raises.
    """

    def __init__(self, read: Callable[[str, str], Place], now: Callable[[], float]) -> None:
        self._read, self._now = read, now
        self._known: OrderedDict[_Name, tuple[float, Place]] = OrderedDict()
        self._opened: dict[_Name, tuple[float, Place]] = {}  # kept apart: only who has a key makes it longer
        self._lock = threading.Lock()

    def open(self, conn_id: str, environment: str, key: str) -> tuple[bool, Place]:
        """Say whether a key opens a door, and what is behind it."""
        asked = self._now()
        name = conn_id, environment
        place, read_at = self._find(name, asked - _KEPT)
        fits = is_one_of(key, place.keys)
        if not fits and read_at < asked - _FRESH:
            place, read_at = self._find(name, asked - _FRESH)
            fits = is_one_of(key, place.keys)
        opened = fits and not place.trouble
        if opened:
            with self._lock:
                self._opened.setdefault(name, (read_at, place))
        return opened, place

    def was_opened(self, conn_id: str, environment: str) -> bool:
        """Say whether a right key has ever opened a door."""
        return (conn_id, environment) in self._opened

    def _find(self, name: _Name, since: float) -> tuple[Place, float]:
        with self._lock:
            kept = self._opened if name in self._opened else self._known
            read_at, place = kept.get(name, (float("-inf"), Place()))
        if read_at >= since:
            return place, read_at
        read_at, place = self._now(), self._read(*name)
        with self._lock:
            kept.pop(name, None)  # what was read last is to be forgotten last
            kept[name] = read_at, place
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return place, read_at
