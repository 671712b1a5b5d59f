"""What flows through a load: rows in batches, from a source, through stages, each of which works on them in place.

Whoever adds to a load (labels, lookups, comparing) writes a stage; reading, sending and counting stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from airflow_provider_dynamics.auth.texts import fitted

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.errors import DataverseError

__all__ = [
    "BATCH_ROWS",
    "LONGEST_REASON",
    "Action",
    "Compared",
    "LoadRow",
    "LoadSource",
    "Reject",
    "Stage",
    "Stages",
    "open_rows",
]

LONGEST_REASON = 500  # characters; a wrong value may be a book

BATCH_ROWS = 500
"""Rows that go through the stages together."""


Action = Literal["create", "update", "delete", "unchanged", "missing", "exists", "taken"]


@dataclass(frozen=True, slots=True)
class Compared:
    """What sending a row would do.

    :param action: what happens; ``missing``: the row to update is not there; ``exists``: the row to create is;
        ``taken``: another row has the key of the row to create
    :param before: the row as it is stored, by wire names; None where there is none
    :param changed: names of the sent values that differ
    """

    action: Action
    before: Mapping[str, Any] | None = None
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused row.

    :param row: its place in the whole input, from 1
    :param file: the file it stands in; None for rows out of memory
    :param table: the table it was meant for
    :param message: why it was refused
    :param code: the service's code; None where the row was never sent
    :param request_id: the service's name for the request, for a support ticket
    :param retryable: the same row may be taken another time
    :param column: the table's column at fault, where one is known
    :param data: what the row held, as its file has it; nothing for a line that was no row
    :param row_id: the id of the row that is written, where only what had to wait is refused
    """

    row: int
    file: str | None
    table: str
    message: str
    code: str | None = None
    request_id: str | None = None
    retryable: bool = False
    column: str | None = None
    data: Mapping[str, Any] | None = None
    row_id: str | None = None

    @classmethod
    def of(cls, row: LoadRow, message: str, *, table: str, column: str | None = None) -> Reject:
        """Return why a row was not even sent."""
        return cls(row.number, row.file, table, fitted(message, LONGEST_REASON), column=column, data=row.raw)

    @classmethod
    def by_service(cls, row: LoadRow, error: DataverseError, *, table: str, written: bool = False) -> Reject:
        """Return why the service refused a row; `written`: only what was left for a later pass."""
        message = (
            f"The row is written, and what had to wait is refused: {error.message}"
            if written
            else error.message
        )
        return cls(
            row.number,
            row.file,
            table,
            fitted(message),
            error.code or None,
            error.request_id or None,
            error.retryable,
            data=row.raw,
            row_id=row.row_id if written else None,
        )

    @property
    def reason(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message

    def line(self) -> dict[str, Any]:
        """Return it as the file of refused rows has it."""
        from airflow_provider_dynamics.formats.values import plain_value

        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "data"}
        return {**found, "data": plain_value(self.data) if self.data else None}


class LoadRow(msgspec.Struct, gc=False):
    """One row on its way into a table.

    :param number: its place in the whole input, from 1
    :param file: the file it comes from; None for rows out of memory
    :param raw: the row as the file has it, for rejects
    :param values: what is sent: by target column, or by ``<navigation property>@odata.bind``
    :param reject: why it is not sent, once a stage has refused it
    :param unchanged: Dynamics has it like this already: not sent
    :param row_id: its id, where it is known before it is sent
    :param waits: what a later pass will send of it; None for nothing
    :param compared: how it stands to the row that is stored, where that was asked
    """

    number: int
    file: str | None
    raw: Mapping[str, Any]
    values: dict[str, Any]
    reject: Reject | None = None
    unchanged: bool = False
    row_id: str | None = None
    waits: dict[str, Any] | None = None
    compared: Compared | None = None


class LoadSource(Protocol):
    """Rows that can be read again from the beginning, the same each time.

    ``label`` names them in messages and the summary, ``columns`` are the names that the rows use, and
    ``fingerprint`` is another one as soon as the content may be.
    """

    label: str
    fingerprint: str

    @property
    def columns(self) -> Sequence[str]: ...

    def batches(self, size: int = BATCH_ROWS) -> Iterator[list[LoadRow]]:
        """Yield the rows, numbered from 1, with `values` still empty; a row that is none has its reject.

        :raises FormatError: the content is not what its format says, or changes while it is read
        """


class Stage:
    """One step of every row's way: works on the open rows of a batch in place.

    ``ordered``: batches come one after the other, in the order of the input and in one thread at a time; else
    several at once, each in a thread of its own. ``asks``: it may ask the service. Threads help to wait and for
    nothing else, so where nobody asks, batches are worked on in turn.
    """

    ordered: bool = False
    asks: bool = True

    def __call__(self, batch: list[LoadRow]) -> None:
        """Work on the rows of `batch` that are open."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it holds, at the end of the pass, however that ends."""
        return


@dataclass(frozen=True)
class Stages:
    """The stages of one pass: `every` sees each row of the input from the first on, `left` only what is going to be sent.

    What an earlier try has settled or an earlier pass has refused goes through `every` again: values are made
    there, ids, and the index of keys.
    """

    every: Sequence[Stage] = ()
    left: Sequence[Stage] = ()


def open_rows(batch: list[LoadRow]) -> list[LoadRow]:
    """Return the rows of a batch that are neither refused nor unchanged."""
    return [row for row in batch if row.reject is None and not row.unchanged]
