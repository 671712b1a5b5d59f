"""Whatever happens to rows, tries and workers: accounted rows add up, and in the end the table equals the model."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.transfers.loads.row import LoadRow, Stage, Stages, open_rows
from tests.airflow.transfers.loads.frame import Died, Memory, Numbers, Refused, Store, Table, Taken, run, step

NAMES = st.sampled_from(["a", "b", "", "poison", "orphan"])
ROWS = st.lists(
    st.fixed_dictionaries({"name": NAMES, "parent": st.none() | st.integers(1, 9)}), min_size=0, max_size=60
)
DEATHS = st.lists(st.integers(0, 12), max_size=5)
"""For each try that does not come to its end: how many chunks are written before the worker dies."""
SEED = st.dictionaries(st.integers(1, 60), st.sampled_from(["a", "b"]))
"""What the table holds already."""


class Orphans(Stage):
    """Finds no parent for some rows, in the pass that looks for parents."""

    def __call__(self, batch: list[LoadRow]) -> None:
        for row in open_rows(batch):
            if "parent" in row.values and row.raw["name"] == "orphan":
                row.reject = Refused(row.number, "no such parent")  # type: ignore[assignment]  # it stands for one


class Compared(Stage):
    """Says of rows that the table holds already that they are unchanged."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __call__(self, batch: list[LoadRow]) -> None:
        for row in open_rows(batch):
            stored = self.table.rows.get(row.values["id"], {})
            row.unchanged = all(stored.get(name) == value for name, value in row.values.items())


class Index(Taken):
    """Refuses the second row of an id, as the index of keys does: it must see every row in its place."""

    ordered = True

    def __init__(self) -> None:
        self.seen: set[Any] = set()

    def __call__(self, batch: list[LoadRow]) -> None:
        super().__call__(batch)
        for row in open_rows(batch):
            if row.values["id"] in self.seen:
                row.reject = Refused(row.number, "twice")  # type: ignore[assignment]  # it stands for one
            self.seen.add(row.values["id"])


def load(
    table: Table, rows: list[dict[str, Any]], deaths: list[int], *, journal: bool, compares: bool
) -> Any:
    """Load the rows, try after try, and return the last try's run and its refused rows."""
    source = Numbers(rows)
    storage: dict[str, list[int]] = {}
    store = Store() if journal else None
    left = [Compared(table)] if compares else []
    first = step(source, stages=lambda: Stages([Index()], left), waits=frozenset({"parent"}))
    second = step(
        source,
        operation="update",
        number=2,
        columns=frozenset({"parent"}),
        stages=lambda: Stages([Index()], [Orphans(), *left]),
    )
    for number, dies_after in enumerate([*deaths, None]):
        table.dies_after = dies_after
        rejects = Memory(storage)
        this = run(table, first, second, rejects=rejects, store=store, first_try=number == 0)
        try:
            this.run()
        except Died:
            continue
        return this, rejects
    raise AssertionError("the last try does not die")


def model(seed: dict[int, str], rows: list[dict[str, Any]]) -> tuple[dict[Any, Any], list[int]]:
    """Return what must be in the table, and the numbers of the rows that must be refused."""
    table: dict[Any, Any] = {
        row_id: {"id": row_id, "name": name, "parent": 7} for row_id, name in seed.items()
    }
    refused, seen = [], set()
    for number, row in enumerate(rows, 1):
        if not row["name"] or row["id"] in seen:
            refused.append(number)
            continue
        seen.add(row["id"])
        if row["name"] == "poison":
            refused.append(number)
            continue
        table[row["id"]] = {**table.get(row["id"], {}), "id": row["id"], "name": row["name"]}
        if row["parent"] is not None and row["name"] == "orphan":
            refused.append(number)
        elif row["parent"] is not None:
            table[row["id"]]["parent"] = row["parent"]
        else:
            table[row["id"]].pop("parent", None)
    return table, sorted(refused)


@settings(max_examples=300)
@given(rows=ROWS, ids=st.data(), deaths=DEATHS, seed=SEED, journal=st.booleans(), compares=st.booleans())
def test_rows_add_up_and_the_table_equals_the_model(  # noqa: PLR0917 - what hypothesis draws
    rows, ids, deaths, seed, journal, compares
):
    numbered = [{**row, "id": ids.draw(st.integers(1, 2 * len(rows)))} for row in rows]
    table = Table(poison=["poison"], chunk=3)
    table.rows = {row_id: {"id": row_id, "name": name, "parent": 7} for row_id, name in seed.items()}
    expected, refused = model(seed, numbered)

    this, rejects = load(table, numbered, deaths, journal=journal, compares=compares)

    tally = this.tallies["account"]
    assert sorted(rejects.final) == refused
    assert tally.rows == len(rows) == tally.written + tally.unchanged + tally.rejected
    assert tally.rejected == len(refused)
    assert min(tally.written, tally.unchanged) >= 0
    stored = {
        row_id: {name: value for name, value in row.items() if value is not None}
        for row_id, row in table.rows.items()
    }
    assert stored == expected
