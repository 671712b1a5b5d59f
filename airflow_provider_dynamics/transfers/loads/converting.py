"""The first stage: what a row's values mean to the table, column by column, each checked before anything is sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.formats.incoming import Incoming
from airflow_provider_dynamics.formats.readers import ArrowRow
from airflow_provider_dynamics.transfers.loads.choices import CHOICES, choice_reader
from airflow_provider_dynamics.transfers.loads.columns import file_to_table
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Reject, Stage, open_rows

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.table import Table

__all__ = ["Converting"]

NEVER_EMPTY = frozenset({"State", "Status", "Owner"})
"""Every row has one of these: an empty value leaves it as it is."""


class Converting(Stage):
    """Fills ``values`` from ``raw``; a row with a value that its column cannot hold is refused, and the column named.

    :param table: read for writing, so that limits and options are known
    :param sent: the table's columns that are sent, as ``check_columns`` returned them
    :param columns: the file's names to the table's, where they differ
    :param lookups: columns whose values a later stage looks up: passed on as the file has them
    :param choices_by_label: take labels of choices, not their numbers only
    """

    asks = False

    def __init__(
        self,
        table: Table,
        sent: Collection[str],
        *,
        columns: Mapping[str, str | None] | None = None,
        lookups: Iterable[str] = (),
        choices_by_label: bool = True,
    ) -> None:
        self._table = table
        self._sent = frozenset(sent)
        self._targets = file_to_table(columns)
        self._lookups = frozenset(lookups)
        self._by_label = choices_by_label
        self._ways: dict[str, tuple[str, Incoming] | None] = {}
        self._never_empty = [name for name in self._sent if _kind(table, name) in NEVER_EMPTY]

    def __call__(self, batch: list[LoadRow]) -> None:
        """Convert the open rows of a batch, together those that have the same columns."""
        rows = open_rows(batch)
        if rows:
            self._convert(rows)
        for name in self._never_empty:
            for row in rows:
                if row.values.get(name) in {None, ""}:
                    row.values.pop(name, None)

    def _convert(self, rows: list[LoadRow]) -> None:
        first = rows[0].raw
        if isinstance(first, ArrowRow) and all(
            isinstance(row.raw, ArrowRow) and row.raw.batch is first.batch for row in rows
        ):
            self._arrow(rows, first.batch)
            return
        for names, group in _by_shape(rows):
            self._columns(group, names)

    def _arrow(self, rows: Sequence[LoadRow], batch: Any) -> None:
        if len(rows) < batch.num_rows:
            batch = batch.take([row.raw.place for row in rows])  # type: ignore[attr-defined]  # all are ArrowRows
        ways = [(name, way) for name in batch.schema.names if (way := self._way(name))]
        made = [(name, target, way.arrow(batch.column(name))) for name, (target, way) in ways]
        self._fill(rows, made)

    def _columns(self, rows: Sequence[LoadRow], names: tuple[str, ...]) -> None:
        ways = [(name, way) for name in names if (way := self._way(name))]
        given = [[row.raw[name] for row in rows] for name, _ in ways]
        made = [
            (name, target, way.many(values))
            for (name, (target, way)), values in zip(ways, given, strict=True)
        ]
        if len(ways) == len(names) and all(
            name == target and values is asked and not wrong
            for (name, target, (values, wrong)), asked in zip(made, given, strict=True)
        ):
            for row in rows:  # all is right as the file has it
                row.values = dict(row.raw)
            return
        self._fill(rows, made)

    def _fill(self, rows: Sequence[LoadRow], made: Sequence[tuple[str, str, Any]]) -> None:
        targets = [target for _, target, _ in made]
        for row, values in zip(rows, zip(*(values for _, _, (values, _) in made), strict=True), strict=False):
            row.values = dict(zip(targets, values, strict=True))
        for name, target, (_, wrong) in made:
            for place, message in wrong.items():
                self._refuse(rows[place], name, target, message)

    def _refuse(self, row: LoadRow, name: str, target: str, message: str) -> None:
        if row.reject is None:
            row.reject = Reject.of(
                row, f"column {name}: {message}", table=self._table.logical_name, column=target
            )

    def _way(self, name: str) -> tuple[str, Incoming] | None:
        """Return what a column of the file is called in the table and how its values get there; None: it is not sent."""
        if name not in self._ways:
            target = self._targets.get(name, name)
            self._ways[name] = (target, self._incoming(target)) if target in self._sent else None
        return self._ways[name]

    def _incoming(self, target: str) -> Incoming:
        column = None if target in self._lookups else self._table.columns.get(target)
        if column is None or column.type not in CHOICES:
            return Incoming(column)
        return Incoming(column, choice_reader(column, by_label=self._by_label))


def _kind(table: Table, name: str) -> str:
    column = table.columns.get(name.removesuffix("@odata.bind"))
    return column.type if column else ""


def _by_shape(rows: Sequence[LoadRow]) -> Iterable[tuple[tuple[str, ...], list[LoadRow]]]:
    """Return the rows by the columns they have: in NDJSON, what a row leaves out stays as it is."""
    names = [tuple(row.raw) for row in rows]
    if len(set(names)) == 1:
        return [(names[0], list(rows))]
    shapes: dict[tuple[str, ...], list[LoadRow]] = {}
    for row, shape in zip(rows, names, strict=True):
        shapes.setdefault(shape, []).append(row)
    return shapes.items()
