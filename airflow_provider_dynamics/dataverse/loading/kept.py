"""What is known of a chunk's rows when it ends half way: no outcome may be lost with the error that ended it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from airflow_provider_dynamics.dataverse.errors import Interrupted
from airflow_provider_dynamics.dataverse.loading.targets import RowOutcome

__all__ = ["Kept", "perhaps_written"]


class Kept:
    """Outcomes kept for whoever asks what became of the rows; each thread, and so each chunk, has its own."""

    def __init__(self) -> None:
        self._mine = threading.local()

    @contextmanager
    def keeping(self, outcomes: Sequence[RowOutcome]) -> Iterator[None]:
        """Keep what is among the outcomes by then, should the rest fail."""
        try:
            yield
        except BaseException:
            self._mine.__dict__.setdefault("outcomes", []).extend(outcomes)
            raise

    def taken(self) -> list[RowOutcome]:
        """Return what was kept, and forget it."""
        found: list[RowOutcome] = self._mine.__dict__.pop("outcomes", [])
        return found


@contextmanager
def perhaps_written(doubtful: bool = True) -> Iterator[None]:  # `with perhaps_written():` says all
    """Say of an interruption that the rows may have been written by an earlier request."""
    try:
        yield
    except Interrupted as error:
        error.repeated = error.repeated or doubtful
        raise
