"""What every transfer does: find its file, say how far it is, and report how long it was kept waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.sdk import ObjectStoragePath

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from airflow_provider_dynamics.dataverse import Client

__all__ = ["Progress", "effort", "seconds_throttled", "storage_path"]

PROGRESS_SECONDS = 10.0


@dataclass
class Progress:
    """Says every few seconds how far a long transfer is."""

    log: Logger
    text: str
    every: float = PROGRESS_SECONDS
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._said = self.now()

    def reached(self, rows: int) -> None:
        if self.now() - self._said >= self.every:
            self._said = self.now()
            self.log.info(self.text, rows)


def seconds_throttled(client: Client) -> float:
    """Return how long the service has kept the client waiting, to a tenth of a second."""
    return round(client.throttled_seconds, 1)


def effort(client: Client) -> str:
    """Say what it took, for the line a task logs at its end."""
    return f"{client.requests_sent} requests, {client.throttled_seconds:.1f} s throttled"


def storage_path(path: str | ObjectStoragePath, conn_id: str | None) -> ObjectStoragePath:
    """Return a path on any storage; a path that brings its own connection keeps it."""
    if isinstance(path, ObjectStoragePath) and not conn_id:
        return path
    return ObjectStoragePath(str(path), conn_id=conn_id or None)
