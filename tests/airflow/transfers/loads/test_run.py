"""A load's frame: every row is settled once, whatever happens, and the next try goes on from there."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse import RowOutcome, errors
from airflow_provider_dynamics.transfers.loads.row import Stage, Stages
from airflow_provider_dynamics.transfers.loads.settling import UNCHANGED, Tally
from tests.airflow.transfers.loads.frame import (
    Died,
    Memory,
    Numbers,
    Refused,
    Store,
    Table,
    Taken,
    run,
    step,
)


def people(count, **values):
    return [{"id": number, "name": f"N{number}", **values} for number in range(1, count + 1)]


def test_every_row_of_the_source_is_sent_and_counted():
    table = Table()

    tallies = run(table, step(people(10))).run()

    assert tallies == {"account": Tally(rows=10, written=10)}
    assert sorted(table.rows) == list(range(1, 11))


def test_rows_that_are_refused_here_or_there_are_set_aside_in_the_order_of_the_source():
    rows, rejects = people(10), Memory()
    rows[1]["name"] = rows[9]["name"] = ""
    rows[4]["name"] = "poison"

    tallies = run(Table(poison=["poison"]), step(rows), rejects=rejects).run()

    assert tallies["account"] == Tally(rows=10, written=7, rejected=3)
    assert rejects.final == [2, 5, 10]


def test_a_load_whose_rows_do_not_add_up_never_succeeds():
    table, store = Table(), Store()
    running = run(table, step(people(10)), store=store)
    running.tallies["account"].count(UNCHANGED)  # one that was never read

    with pytest.raises(AirflowFailException, match="10 were read, 10 written, 1 unchanged and 0 refused"):
        running.run()


def test_a_load_of_nothing_sends_nothing():
    table = Table()

    assert run(table, step([])).run() == {"account": Tally()}
    assert table.sent == []


class SameAs(Stage):
    """Says of the rows that a table holds already that they are unchanged."""

    def __init__(self, table):
        self.table = table

    def __call__(self, batch):
        for row in batch:
            row.unchanged = row.reject is None and self.table.rows.get(row.values["id"]) == row.values


def test_rows_that_are_unchanged_are_counted_without_being_sent():
    table = Table()
    table.rows = {row["id"]: row for row in people(10)}
    rows = people(12)
    rows[3]["name"] = "Another"

    tallies = run(table, step(rows, stages=lambda: Stages([Taken()], [SameAs(table)]))).run()

    assert tallies["account"] == Tally(rows=12, written=3, unchanged=9)
    assert table.sent == [4, 11, 12]


def test_a_deleted_row_that_is_not_there_is_unchanged():
    table = Table()
    table.rows = {3: {}}

    tallies = run(table, step(people(4), operation="delete")).run()

    assert tallies["account"] == Tally(rows=4, written=1, unchanged=3)


def test_the_first_refused_row_can_end_the_load():
    rows = people(20)
    rows[6]["name"] = ""
    table = Table()

    with pytest.raises(AirflowFailException, match=r"Row 7 was refused: no name.*6 rows before it"):
        run(table, step(rows), fail_at_once=True).run()

    assert table.sent == [1, 2, 3, 4, 5, 6]


def test_nothing_is_sent_by_a_dry_run():
    table = Table()

    tallies = run(table, step(people(5)), dry_run=True).run()

    assert tallies["account"] == Tally(rows=5, written=5)
    assert table.sent == []


# --- several passes ---


def two_passes(rows):
    source = Numbers(rows)
    first = step(source, waits=frozenset({"parent"}))
    return first, step(source, operation="update", number=2, columns=frozenset({"parent"}))


def test_what_waits_is_sent_in_a_later_pass_by_the_rows_that_have_it():
    rows = people(6)
    rows[0]["parent"], rows[5]["parent"] = 5, 1
    table = Table()

    tallies = run(table, *two_passes(rows)).run()

    assert tallies["account"] == Tally(rows=6, written=6)
    assert table.sent == [1, 2, 3, 4, 5, 6, 1, 6]
    assert (table.rows[1]["parent"], table.rows[6]["parent"]) == (5, 1)


def test_a_row_refused_in_the_first_pass_has_no_second_and_one_refused_there_is_refused_once():
    rows = people(6, parent=1)
    rows[1]["name"] = "poison"
    rejects, table = Memory(), Table(poison=["poison"])
    second = []

    class Refusing(Stage):
        def __call__(self, batch):
            for row in batch:
                second.append(row.number)
                if row.number == 4:
                    row.reject = Refused(4, "no such parent")

    one, two = two_passes(rows)
    two = step(
        one.source,
        operation="update",
        number=2,
        columns=frozenset({"parent"}),
        stages=lambda: Stages([Taken()], [Refusing()]),
    )

    tallies = run(table, one, two, rejects=rejects).run()

    assert tallies["account"] == Tally(rows=6, written=4, rejected=2)
    assert rejects.final == [2, 4]
    assert second == [1, 3, 4, 5, 6], "the refused row takes part in no stage that need not see every row"


# --- one try after another ---


def test_the_next_try_goes_on_behind_the_last_row_that_was_settled():
    table, store = Table(), Store()
    rejects: dict[str, list[int]] = {}
    rows = people(100)
    rows[10]["name"] = ""
    table.dies_after = 20

    first = run(table, step(rows), store=store, rejects=Memory(rejects))
    with pytest.raises(Died):
        first.run()
    table.sent.clear()
    second = Memory(rejects)
    retried = run(table, step(rows), store=store, rejects=second, first_try=False)
    tallies = retried.run()

    assert retried.resumed_rows == 81
    assert tallies["account"] == Tally(rows=100, written=99, rejected=1)
    assert table.sent == list(range(82, 101))
    assert second.final == [11]
    assert not store, "what is done is forgotten"


def test_what_was_on_its_way_when_the_try_broke_off_and_was_written_is_settled_too():
    table, store = Table(), Store()
    written, rows = [RowOutcome(8), RowOutcome(9)], people(20)
    table.late = [
        *written,
        RowOutcome(10, error=errors.Interrupted("The work was cancelled")),
        RowOutcome(11),
    ]
    table.dies_after = 2
    with pytest.raises(Died):
        run(table, step(rows), store=store).run()
    table.late = []
    table.sent.clear()

    tallies = run(table, step(rows), store=store, first_try=False).run()

    assert table.sent == list(range(11, 21))
    assert tallies["account"] == Tally(rows=20, written=20)


def test_without_a_journal_everything_is_sent_again():
    table, rows = Table(), people(20)
    table.dies_after = 3

    with pytest.raises(Died):
        run(table, step(rows)).run()
    table.sent.clear()
    tallies = run(table, step(rows), first_try=False).run()

    assert tallies["account"] == Tally(rows=20, written=20)
    assert len(table.sent) == 20


def test_refused_rows_that_are_gone_from_the_storage_start_the_load_over():
    table, store, rows = Table(), Store(), people(100)
    rows[0]["name"] = ""
    table.dies_after = 20
    with pytest.raises(Died):
        run(table, step(rows), store=store, rejects=Memory()).run()
    rejects = Memory()

    retried = run(table, step(rows), store=store, rejects=rejects, first_try=False)

    assert retried.resumed_rows == 0
    assert retried.run()["account"] == Tally(rows=100, written=99, rejected=1)
    assert rejects.final == [1]


def test_a_stage_that_must_see_every_row_sees_those_too_that_are_settled():
    table, store, rows = Table(), Store(), people(100)
    seen: list[int] = []

    class Index(Taken):
        ordered = True

        def __call__(self, batch):
            super().__call__(batch)
            seen.extend(row.number for row in batch)

    table.dies_after = 20
    steps = step(rows, stages=lambda: Stages([Index()]))
    with pytest.raises(Died):
        run(table, steps, store=store).run()
    seen.clear()

    run(table, steps, store=store, first_try=False).run()

    assert seen == list(range(1, 101))


def test_a_later_pass_is_gone_on_with_and_knows_what_the_first_refused():
    rows = people(100, parent=1)
    rows[49]["name"] = "poison"
    table, store = Table(poison=["poison"]), Store()
    storage: dict[str, list[int]] = {}
    table.dies_after = 25 + 20
    with pytest.raises(Died):
        run(table, *two_passes(rows), store=store, rejects=Memory(storage)).run()
    table.sent.clear()
    rejects = Memory(storage)

    tallies = run(table, *two_passes(rows), store=store, rejects=rejects, first_try=False).run()

    assert tallies["account"] == Tally(rows=100, written=99, rejected=1)
    assert table.sent == list(range(82, 101))
    assert rejects.final == [50]


def test_what_cannot_be_helped_by_trying_again_leaves_no_journal():
    store, rows = Store(), people(100)
    rows[80]["name"] = ""

    with pytest.raises(AirflowFailException):
        run(Table(), step(rows), store=store, fail_at_once=True).run()

    assert not store


def test_stages_are_closed_however_the_pass_ends():
    closed = []

    class Holding(Taken):
        def close(self):
            closed.append(self)

    table = Table()
    run(table, step(people(1), stages=lambda: Stages([Holding()]))).run()
    table.dies_after = 0
    with pytest.raises(Died):
        run(table, step(people(9), stages=lambda: Stages([Holding()]))).run()

    assert len(closed) == 2
