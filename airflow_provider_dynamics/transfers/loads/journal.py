"""How far a load has come, kept where the next try of its task finds it.

It saves time and nothing else: without it, or with a wrong one, rows are sent again and known again by their keys.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_dynamics.state.progress import Checkpoint, Checkpoints
from airflow_provider_dynamics.transfers.loads.settling import Fates, Tally

__all__ = ["Journal", "Reached", "fingerprint_of"]

SAVED_EVERY = 5.0
"""Seconds between two entries: what a killed worker sends again at most."""
LONGEST_ENTRY = 48 * 1024
"""Characters; Airflow advises at most 64 KB a value."""


@dataclass
class Reached:
    """The place behind the last settled row.

    ``step`` counts the passes of all loads from 0, ``row`` the settled rows of that pass. By load: what was
    counted, and the fates where it has several passes.
    """

    step: int = 0
    row: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    fates: dict[str, Fates] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "row": self.row,
            "tallies": {load: asdict(tally) for load, tally in self.tallies.items()},
            "fates": {load: fates.packed() for load, fates in self.fates.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reached:
        """Read what ``to_json`` wrote.

        :raises ValueError: the value is something else
        """
        try:
            return cls(
                int(value["step"]),
                int(value["row"]),
                {load: Tally(**counts) for load, counts in value["tallies"].items()},
                {load: Fates(packed) for load, packed in value["fates"].items()},
            )
        except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError("not a load's journal") from error


class Journal:
    """The one entry of a task's load; `fingerprint` says of what, so that another load never goes on from it."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        fingerprint: str,
        *,
        every: float = SAVED_EVERY,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoints = checkpoints
        self._fingerprint = fingerprint
        self._every = every
        self._now = now
        self._saved = now()

    @property
    def kept(self) -> bool:
        """Whether there is anywhere to keep it."""
        return self._checkpoints.kept

    @property
    def due(self) -> bool:
        """Whether the last entry is long enough ago."""
        return self.kept and self._now() - self._saved >= self._every

    def load(self) -> tuple[Reached, tuple[tuple[str, int, int], ...]] | None:
        """Return how far the last try of this very load came, and the files of its refused rows."""
        found = self._checkpoints.load(self._fingerprint)
        if found is None or found.position is None:
            return None
        try:
            return Reached.from_json(found.position), found.files
        except ValueError:
            return None

    def save(self, reached: Reached, files: tuple[tuple[str, int, int], ...]) -> None:
        """Keep the place, instead of the one before; one that is too long to keep leaves that as it is."""
        self._saved = self._now()
        entry = reached.to_json()
        if len(json.dumps(entry)) > LONGEST_ENTRY:
            return
        self._checkpoints.save(Checkpoint(self._fingerprint, files, entry, self._checkpoints.now()))

    def clear(self) -> None:
        """Forget it."""
        self._checkpoints.clear()


def fingerprint_of(*parts: Any) -> str:
    """Return a short name of everything that decides what a load does."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
