"""Uploads that have begun and are not finished: their parts by place or by block, under a token each."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field

from airflow_provider_dynamics.emulator.messages import Fault

MOST = 100  # begun uploads and downloads that are remembered; the oldest are given up beyond this many


@dataclass
class Upload:
    """One upload to one column of one row; ``parts`` by the place of their first byte, ``blocks`` by id."""

    table: str
    row_id: str
    column: str
    name: str
    parts: dict[int, bytes] = field(default_factory=dict)
    blocks: dict[str, bytes] = field(default_factory=dict)

    def joined(self, total: int) -> bytes:
        """All parts in order; raises ``Fault`` when bytes are missing."""
        data = bytearray()
        for start in sorted(self.parts):
            if start != len(data):
                break
            data += self.parts[start]
        if len(data) != total:
            raise _lost(f"The last chunk came, and bytes from {len(data)} on are missing.")
        return bytes(data)


class Uploads:
    """The begun uploads by token; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Upload] = {}

    def open(self, upload: Upload) -> str:
        """Begin one and return its token."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._open) >= MOST:
                self._open.pop(next(iter(self._open)))
            self._open[token] = upload
        return token

    def of(self, token: object) -> Upload:
        """The upload of a token; raises ``Fault`` when there is none, or none any more."""
        with self._lock:
            found = self._open.get(token) if isinstance(token, str) else None
        if found is None:
            raise _lost("The continuation token is not one of an open upload or download.")
        return found

    def close(self, token: str) -> None:
        """Forget one."""
        with self._lock:
            self._open.pop(token, None)

    def forget(self) -> None:
        """Forget all."""
        with self._lock:
            self._open.clear()


def _lost(reason: str) -> Fault:
    # Microsoft does not say which error this is.
    return Fault(400, "0x80040203", reason)
