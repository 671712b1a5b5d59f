"""What a load would do, as a file and as counts: one line for each row, without a row being written."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.transfers.loads.row import LoadRow, Stage

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath
    from typing_extensions import Self

    from airflow_provider_dynamics.dataverse.metadata.columns import Column
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.transfers.loads.coming import Coming
    from airflow_provider_dynamics.transfers.loads.row import Compared

__all__ = ["PLANNED", "Plan", "Planning"]

PLANNED = {"create": "creates", "update": "updates", "delete": "deletes", "unchanged": "unchanged"}
"""What a plan counts, by action, and the names in its summary."""
EXISTS = "{} has a row of this id already, and it holds other values"
TAKEN = "{} has another row with this key already"
_ACTIONS = ("", *PLANNED, "reject")


class Plan:
    """The file of planned actions, NDJSON, in place only when complete; without a path they are counted only.

    A line holds ``row`` (place in the input), ``table``, ``action`` (create, update, delete, reject; unchanged rows
    have none), ``row_id`` and ``changes``: by column ``{"from", "to"}``. A reject has its ``message`` instead.
    `coming` takes in the rows that will be there.
    """

    def __init__(self, path: ObjectStoragePath | None, coming: Coming | None = None) -> None:
        self._path = path
        self._closing = ExitStack()
        self._file: Any = None
        self._counts: Counter[str] = Counter()
        self._fates: dict[str, bytearray] = {}  # by load, one byte a row
        self.coming = coming

    def __enter__(self) -> Self:
        from airflow_provider_dynamics.formats.storage import place, replacing

        self._closing.__enter__()
        if self._path is not None:
            self._file = self._closing.enter_context(replacing(place(self._path), "replace"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows would be created, updated, deleted, and are unchanged."""
        return {name: self._counts[action] for action, name in PLANNED.items()}

    @property
    def written_to(self) -> str | None:
        """The path, if there is one."""
        return None if self._path is None else str(self._path)

    def count(self, load: str, number: int, action: str) -> None:
        """Take note of what a pass would do with a row; a later pass adds to what an earlier one said."""
        fates = self._fates.setdefault(load, bytearray())
        if number > len(fates):
            fates.extend(bytes(number - len(fates)))
        before = _ACTIONS[fates[number - 1]]
        if before in {"", "unchanged"} or action == "reject":
            self._counts[before] -= 1
            self._counts[action] += 1
            fates[number - 1] = _ACTIONS.index(action)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line."""
        if self._file is not None:
            import msgspec

            self._file.write(msgspec.json.Encoder(decimal_format="number").encode(line) + b"\n")


class Planning(Stage):
    """Writes what would become of each row into the plan, in order; what could not be carried out becomes a reject.

    :param load: the load's name in the run
    :param first: the pass that writes the rows; a later one only adds what it changes of rows that are there
    :param derived_ids: ids are made from the rows: a row to create that is there is this one, whatever it holds
    """

    ordered = True

    def __init__(
        self, plan: Plan, load: str, table: Table, *, first: bool = True, derived_ids: bool = False
    ) -> None:
        self._plan = plan
        self._load = load
        self._table = table
        self._first = first
        self._derived_ids = derived_ids
        self._columns: dict[str, Column] = {}

    def __call__(self, batch: list[LoadRow]) -> None:
        """Plan the rows of a batch that has been compared."""
        coming = self._plan.coming if self._first else None
        for row in batch:
            if row.reject is None and row.compared is not None:
                self._refuse(row, row.compared)
            action, line = self._planned(row)
            if coming is not None and action not in {"reject", "delete"}:
                coming.note(self._table, row)
            if action == "unchanged":
                row.unchanged = True
            self._plan.count(self._load, row.number, action)
            if line is not None:
                self._plan.write(line)

    def _refuse(self, row: LoadRow, compared: Compared) -> None:
        """Refuse what Dynamics would refuse."""
        from airflow_provider_dynamics.transfers.loads.row import Reject

        table = self._table.logical_name
        if compared.action == "missing" and self._first:
            row.reject = Reject.of(row, f"{table} has no such row to update", table=table)
        elif compared.action == "taken":
            row.reject = Reject.of(row, TAKEN.format(table), table=table)
        elif compared.action == "exists" and compared.changed and not self._derived_ids:
            row.reject = Reject.of(row, EXISTS.format(table), table=table)
        elif compared.before is not None and self._without_owner(row, compared):
            row.reject = Reject.of(row, "the owner of a row that is there cannot be empty", table=table)

    def _without_owner(self, row: LoadRow, compared: Compared) -> bool:
        from airflow_provider_dynamics.dataverse.rows.comparing import compared_columns

        emptied = [name for name in compared.changed if row.values.get(name) is None]
        return any(column.type == "Owner" for column in compared_columns(self._table, emptied).values())

    def _planned(self, row: LoadRow) -> tuple[str, dict[str, Any] | None]:
        """Return the action and the line that says it, None for nothing to do."""
        compared = row.compared
        if row.reject is not None:
            return "reject", self._line(row, "reject", message=row.reject.message)
        if compared is None:
            return "create", self._line(row, "create", changes=_as_new(row))
        of_a_new_row = not self._first and compared.before is None
        if of_a_new_row or compared.action in {"unchanged", "exists"}:
            return "unchanged", None
        return compared.action, self._line(row, compared.action, changes=self._changes(row, compared))

    def _line(self, row: LoadRow, action: str, **more: Any) -> dict[str, Any]:
        stored = (row.compared.before if row.compared else None) or {}
        return {
            "row": row.number,
            "file": row.file,
            "table": self._table.logical_name,
            "action": action,
            "row_id": row.row_id or stored.get(self._table.primary_id),
            **more,
        }

    def _changes(self, row: LoadRow, compared: Compared) -> dict[str, Any]:
        from airflow_provider_dynamics.dataverse.rows.comparing import compared_columns

        before = compared.before
        if before is None or compared.action == "delete":
            return _as_new(row) if compared.action == "create" else {}
        new = [name for name in compared.changed if name not in self._columns]
        self._columns |= compared_columns(self._table, new)
        return {
            name: {"from": before.get(column.wire_name) if column else None, "to": row.values[name]}
            for name in compared.changed
            for column in [self._columns.get(name)]
        }


def _as_new(row: LoadRow) -> dict[str, Any]:
    """Return what a new row gets, what a later pass gives it included."""
    values = {**row.values, **(row.waits or {})}
    return {name: {"from": None, "to": value} for name, value in values.items() if value is not None}
