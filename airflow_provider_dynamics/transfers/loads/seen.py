"""Which texts have come before, and where first: an index on disk, so that memory does not grow with them."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Seen"]

LONGEST = 64
"""Characters of a text that is kept as it is; longer ones are kept as their digest."""
CACHE_KIB = 4 * 1024
RECENT = 16_384
"""Texts that wait in memory, to go to disk together: sorted ones touch fewer pages."""
MARKS = 1 << 22
"""Bytes, one of which each text on disk marks: what finds its own unmarked need not be looked for there."""
_ADD = "INSERT INTO seen VALUES {}"
ADDED = 400  # rows of one statement; each gives other threads a turn, which may take them milliseconds
_FIND = "SELECT text, first FROM seen WHERE text IN ({})"
ASKED = 500  # texts of one question; SQLite takes 999 at least


class Seen:
    """Texts and the number each came with first; in a temporary file that `close` removes. For one thread at a time.

    `recent` is how many may wait in memory.
    """

    def __init__(self, *, recent: int = RECENT) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dynamics-load-")
        path = pathlib.Path(self._folder.name) / "seen.db"
        # whichever thread reads the source uses it, and only one does at a time
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            self._database.execute(f"PRAGMA {setting}")
        for table in (
            "seen (text TEXT PRIMARY KEY, first INTEGER)",
            "again (text TEXT PRIMARY KEY, times INTEGER)",
        ):
            self._database.execute(f"CREATE TABLE {table} WITHOUT ROWID")
        self._database.execute("BEGIN")
        self._recent: dict[str, int] = {}
        self._most_recent = recent
        self._marks = bytearray()

    def add(self, texts: Sequence[str], numbers: Sequence[int]) -> Mapping[int, int]:
        """Take texts in; return of those that came before, in this call or an earlier one, their place and first number."""
        kept = [_kept(text) for text in texts]
        stored, recent = self._stored(kept), self._recent
        before: dict[int, int] = {}
        for place, (text, number) in enumerate(zip(kept, numbers, strict=True)):
            first = stored[text] if text in stored else recent.setdefault(text, number)
            if first != number:
                before[place] = first
        if len(recent) >= self._most_recent:
            self._store()
        return before

    def again(self, text: str) -> int:
        """Count a text that came before: return 1 the first time, then 2, and so on."""
        kept = [_kept(text)]
        self._database.execute(
            "INSERT INTO again VALUES (?, 1) ON CONFLICT (text) DO UPDATE SET times = times + 1", kept
        )
        found = self._database.execute("SELECT times FROM again WHERE text = ?", kept)
        return int(found.fetchone()[0])

    def close(self) -> None:
        """Remove the index; harmless a second time."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
        self._folder.cleanup()

    def _stored(self, texts: Sequence[str]) -> Mapping[str, int]:
        """Return those texts that are on disk, each with its first number."""
        marks, last = self._marks, MARKS - 1
        marked = [text for text in texts if marks[hash(text) & last]] if marks else []
        return self._first(marked) if marked else {}

    def _store(self) -> None:
        marks, last = self._marks or bytearray(MARKS), MARKS - 1
        pairs = sorted(self._recent.items())
        for start in range(0, len(pairs), ADDED):
            part = pairs[start : start + ADDED]
            flat = [value for pair in part for value in pair]
            self._database.execute(_ADD.format(",".join(["(?,?)"] * len(part))), flat)
        for text in self._recent:
            marks[hash(text) & last] = 1
        self._marks = marks
        self._recent.clear()

    def _first(self, texts: Iterable[str]) -> dict[str, int]:
        wanted = list(dict.fromkeys(texts))
        found: dict[str, int] = {}
        for start in range(0, len(wanted), ASKED):
            part = wanted[start : start + ASKED]
            marks = ",".join("?" * len(part))
            found.update(self._database.execute(_FIND.format(marks), part))
        return found


def _kept(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return "\0" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
