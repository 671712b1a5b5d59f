"""What flows through a load: rows in batches, from a source, through stages, each of which works on them in place.

Whoever adds to a load (labels, lookups, comparing) writes a stage; reading, sending and counting stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from airflow_provider_dynamics.transfers.loads.comparing import Compared
    from airflow_provider_dynamics.transfers.loads.rejects import Reject

__all__ = ["BATCH_ROWS", "LoadRow", "LoadSource", "Stage", "Stages", "open_rows"]

BATCH_ROWS = 500
"""Rows that go through the stages together."""


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
