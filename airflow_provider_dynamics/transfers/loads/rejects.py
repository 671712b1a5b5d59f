"""Rows that were refused: how many are accepted, and the file they are set aside in."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.auth.texts import fitted
from airflow_provider_dynamics.transfers.loads.row import LONGEST_REASON

if TYPE_CHECKING:
    from airflow_provider_dynamics.formats.storage import Place
    from airflow_provider_dynamics.transfers.loads.row import Reject
    from airflow_provider_dynamics.transfers.segments import Segments

__all__ = ["Limit", "Rejects"]

NAMED_REASONS = 3
KEY = "rejects"


@dataclass(frozen=True)
class Limit:
    """How many refused rows a load accepts: a count, or a share of the rows read."""

    count: int = 0
    percent: float | None = None

    @classmethod
    def read(cls, value: int | str) -> Limit:
        """Read ``5``, ``"5"`` or ``"1%"``.

        :raises AirflowFailException: it is neither
        """
        text = str(value).strip()
        if re.fullmatch(r"\d+", text):
            return cls(count=int(text))
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
        if not found or float(found[1]) > 100:
            raise AirflowFailException(
                f"max_rejects is {value!r}: give a count such as 10 or a share such as '1%'."
            )
        return cls(percent=float(found[1]))

    def allows(self, rejected: int, rows: int) -> bool:
        return rejected <= (self.count if self.percent is None else rows * self.percent / 100)

    def __str__(self) -> str:
        return str(self.count) if self.percent is None else f"{self.percent:g}%"


class Rejects:
    """The file of refused rows, one JSON object a line; made with the first one, in place only when complete.

    It is written in segments beside its path, so that what an earlier try has set aside is joined with the
    rest. Without a path refused rows are only counted. With one and no refused row, a file left by an earlier
    load is removed: what stands there is always of the last load.
    """

    def __init__(self, path: Any = None) -> None:
        self._path = path
        self._check()
        self._kept: Segments | None = None
        self._first: list[str] = []
        self.count = 0

    def _check(self) -> None:
        from airflow_provider_dynamics.formats.storage import place

        if self._path is not None and place(self._path).folder():
            raise AirflowFailException(f"rejects_path {self._path} is a folder: add the file's name to it.")

    @property
    def written_to(self) -> str | None:
        """The path, if there is a file."""
        return str(self._path) if self.count and self._path is not None else None

    def add(self, reject: Reject) -> None:
        self.count += 1
        if len(self._first) < NAMED_REASONS:
            self._first.append(f"row {reject.row}: {fitted(reject.reason.rstrip('. '), LONGEST_REASON)}")
        if self._path is not None:
            self._write(reject)

    def first(self) -> str:
        """Name the first few rows of this try with their reasons."""
        return "; ".join(self._first)

    def resume(self, files: Sequence[tuple[str, int, int]]) -> bool:
        """Take up the segments an earlier try has completed, as ``complete`` named them; False if they are not there.

        Then nothing is taken up, and what is left of them is removed.
        """
        from airflow_provider_dynamics.transfers.segments import Segment

        if self._path is None:
            return not files
        kept = self._segments([Segment(*file) for file in files])
        if not kept.still_there():
            kept.remove(others=True)
            self._kept = None
            return False
        self.count = sum(rows for _, rows, _ in files)
        return True

    def complete(self) -> tuple[tuple[str, int, int], ...]:
        """Complete what is there so far, and return its segments as (name, rows, bytes)."""
        if self._kept is None:
            return ()
        self._kept.close()
        return tuple((one.name, one.rows, one.size) for one in self._kept.complete)

    def finish(self) -> None:
        """Put the file in place, or take away the one of an earlier load if no row was refused.

        What tries that were killed have left beside it goes, too.
        """
        from airflow_provider_dynamics.formats.storage import place

        if self._path is None:
            return
        if self.count:
            self._segments().finish("replace")
        else:
            place(self._path).remove()
        if self.count or self._folder().folder():
            self._segments().remove(others=True)
            self._kept = None

    def abandon(self) -> None:
        """Remove what was written; never raises."""
        if self._kept is not None:
            self._kept.remove(others=True)
            self._kept = None

    def _write(self, reject: Reject) -> None:
        import msgspec

        from airflow_provider_dynamics.formats import Prepared

        encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode
        try:
            line = encode(reject.line())
        except UnicodeEncodeError:  # half a character: as JSON's escape, which no load takes for a text
            line = encode(_spelled_out(reject.line())).replace(rb"\\ud", rb"\ud")
        self._segments().append(Prepared(1, line + b"\n"))

    def _folder(self) -> Place:
        from airflow_provider_dynamics.formats.storage import place

        found = place(self._path)
        return replace(found, path=posixpath.dirname(found.path))

    def _segments(self, kept: Any = ()) -> Segments:
        from airflow_provider_dynamics.formats.storage import place
        from airflow_provider_dynamics.transfers.segments import Segments

        if self._kept is None:
            self._kept = Segments(place(self._path), "ndjson", (), KEY, kept)
        return self._kept


def _spelled_out(value: Any) -> Any:
    """Return the same with halves of characters as Python would write them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_spelled_out(name): _spelled_out(inner) for name, inner in value.items()}
    return [_spelled_out(inner) for inner in value] if isinstance(value, list) else value
