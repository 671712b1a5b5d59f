"""Rows that were refused: how many are accepted, and the file they are set aside in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_provider_dynamics.dataverse.errors import DataverseError
    from airflow_provider_dynamics.formats import FileRow

__all__ = ["Limit", "Reject", "Rejects"]

NAMED_REASONS = 3


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


@dataclass(frozen=True)
class Reject:
    """One refused row: its place in the file from 1, the service's code, why, and what the row held."""

    row: int
    code: str | None
    message: str
    data: Mapping[str, Any]

    @classmethod
    def by_service(cls, row: FileRow, error: DataverseError) -> Reject:
        return cls(row.number, error.code or None, error.message, row.row)

    @classmethod
    def by_file(cls, row: FileRow) -> Reject:
        """Return a row that was never sent because of a value its column cannot hold."""
        return cls(row.number, None, row.error or "", row.row)

    @property
    def reason(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message


class Rejects:
    """The file of refused rows, one JSON object a line; made with the first one, in place only when complete.

    Without a path they are only counted. With one and no refused row, a file left by an earlier try is
    removed, so that what stands there is always of the last load.
    """

    def __init__(self, path: ObjectStoragePath | None) -> None:
        self._path = path
        self._closing = ExitStack()
        self._file: Any = None
        self._first: list[Reject] = []
        self.count = 0

    @property
    def written_to(self) -> str | None:
        """The path, if there is a file."""
        return str(self._path) if self.count and self._path is not None else None

    def __enter__(self) -> Self:
        self._closing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.count and self._path is not None:
            _place(self._path).remove()
        self._closing.__exit__(kind, error, trace)

    def add(self, reject: Reject) -> None:
        self.count += 1
        if len(self._first) < NAMED_REASONS:
            self._first.append(reject)
        if self._path is not None:
            self._write(reject)

    def first(self) -> str:
        """Name the first few rows with their reasons."""
        return "; ".join(f"row {reject.row}: {reject.reason.rstrip('. ')}" for reject in self._first)

    def _write(self, reject: Reject) -> None:
        import msgspec

        if self._file is None:
            from airflow_provider_dynamics.formats.storage import replacing

            self._file = self._closing.enter_context(replacing(_place(self._path), "replace"))
        self._file.write(msgspec.json.Encoder(decimal_format="number").encode(asdict(reject)) + b"\n")


def _place(path: Any) -> Any:
    from airflow_provider_dynamics.formats.storage import place

    return place(path)
