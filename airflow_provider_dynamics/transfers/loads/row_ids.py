"""Row ids made from the rows themselves: whoever sends a row again sends the same id, and makes no second row."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from airflow_provider_dynamics.transfers.loads.identity import BETWEEN, Identity, NoIdentity
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Reject, Stage, open_rows
from airflow_provider_dynamics.transfers.loads.seen import Seen

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["ContentIds", "KeyIds", "row_id"]

NAMESPACE = uuid.UUID("6b0f3f6e-3c1d-5c39-9d0a-7f1c6e1f5a11")
"""Ours for all environments and all time: another one would make other ids of the same rows."""
_VARIANT = {f"{n:x}": f"{8 | n & 3:x}" for n in range(16)}

_encode = msgspec.json.Encoder(order="sorted", decimal_format="number", enc_hook=str).encode


def row_id(name: str) -> str:
    """Return the UUIDv5 of a name: https://www.rfc-editor.org/rfc/rfc9562#section-5.5."""
    made = hashlib.sha1(
        NAMESPACE.bytes + name.encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).hexdigest()
    return f"{made[:8]}-{made[8:12]}-5{made[13:16]}-{_VARIANT[made[16]]}{made[17:20]}-{made[20:32]}"


class KeyIds(Stage):
    """Gives each row the id that its key makes, whichever run, environment or file it comes from.

    :param table: the table that is loaded
    :param columns: what the id is made from; the table's columns, or ones of the file that are not sent
    :param only: send the id and nothing else, as for a delete
    """

    asks = False

    def __init__(self, table: Table, columns: Sequence[str], *, only: bool = False) -> None:
        self._table = table
        self._only = only
        self._identity = Identity(table, sorted(columns))
        self._begin = BETWEEN.join((table.logical_name, *self._identity.columns, ""))

    def __call__(self, batch: list[LoadRow]) -> None:
        """Set the ids of the open rows; a row that brings its own keeps it, one without a key is refused."""
        primary = self._table.primary_id
        for row in open_rows(batch):
            if row.values.get(primary) is None:
                try:
                    row.values[primary] = row_id(self._begin + self._identity.text(row))
                except NoIdentity as error:
                    row.reject = Reject.of(
                        row, str(error), table=self._table.logical_name, column=error.column
                    )
                    continue
            row.row_id = row.values[primary]
            if self._only:
                row.values = {primary: row.row_id}


class ContentIds(Stage):
    """Gives each row the id that its content makes within one run: a retry repeats it, another run does not.

    Rows that are equal in everything are told apart by which of them comes first.

    :param table: the table that is loaded
    :param scope: names the dag, the task and the run
    """

    ordered = True

    def __init__(self, table: Table, scope: str) -> None:
        self._table = table
        self._begin = BETWEEN.join((table.logical_name, scope, ""))
        self._seen = Seen()

    def __call__(self, batch: list[LoadRow]) -> None:
        """Set the ids of the open rows; a row that brings its own keeps it."""
        primary = self._table.primary_id
        for row in open_rows(batch):
            if row.row_id is not None:  # refused rows that are read again, and are written but for a part
                row.values[primary] = row.row_id
        rows = [row for row in open_rows(batch) if row.values.get(primary) is None]
        texts = [
            hashlib.sha256(
                _encode({name: value for name, value in row.values.items() if name != primary})
            ).hexdigest()
            for row in rows
        ]
        again = self._seen.add(texts, [row.number for row in rows])
        for place, (row, text) in enumerate(zip(rows, texts, strict=True)):
            occurrence = self._seen.again(text) if place in again else 0
            row.values[primary] = row_id(f"{self._begin}{text}{BETWEEN}{occurrence}")
        for row in open_rows(batch):
            row.row_id = row.values[primary]

    def close(self) -> None:
        """Remove the index."""
        self._seen.close()
