"""How far a load has come, as the next try finds it."""

from __future__ import annotations

import random

import pytest

from airflow_provider_dynamics.state.progress import KEY, Checkpoints
from airflow_provider_dynamics.transfers.loads.journal import LONGEST_ENTRY, Journal, Reached, fingerprint_of
from airflow_provider_dynamics.transfers.loads.settling import REJECTED, WRITTEN, Fates, Tally
from tests.airflow.transfers.loads.frame import Store

FILES = (("segment", 3, 120),)


def journal(store, fingerprint="this", **arguments):
    return Journal(Checkpoints(store), fingerprint, **arguments)


def reached(rows=1_000, chance=0.0):
    fates, dice = Fates(), random.Random(7)
    for number in range(1, rows + 1):
        fates.set(number, REJECTED if dice.random() < chance else WRITTEN)
    return Reached(1, rows, {"account": Tally(rows, rows)}, {"account": fates})


def test_what_is_saved_is_found_by_the_next_try_with_what_became_of_each_row():
    store = Store()
    journal(store).save(reached(chance=0.1), FILES)

    found, files = journal(store).load()

    assert (found.step, found.row, found.tallies) == (1, 1_000, {"account": Tally(1_000, 1_000)})
    assert files == FILES
    expected = reached(chance=0.1).fates["account"]
    assert [found.fates["account"][n] for n in range(1, 1_001)] == [expected[n] for n in range(1, 1_001)]


def test_another_load_never_goes_on_from_it():
    store = Store()
    journal(store, "this").save(reached(), FILES)

    assert journal(store, "another").load() is None


def test_a_million_rows_that_share_a_fate_fit_into_a_few_kilobytes():
    assert len(reached(200_000).fates["account"].packed()) < 1_000


def test_an_entry_too_long_to_keep_leaves_the_one_before():
    store = Store()
    journal(store).save(reached(), FILES)
    tall = reached(400_000, chance=0.5)
    assert len(tall.fates["account"].packed()) > LONGEST_ENTRY

    journal(store).save(tall, (*FILES, ("another", 1, 1)))

    found, files = journal(store).load()
    assert (found.row, files) == (1_000, FILES)


@pytest.mark.parametrize(
    "damage",
    [
        {"position": {"step": 0}},
        {"position": {"step": 0, "row": 1, "tallies": {"a": {"x": 1}}, "fates": {}}},
        {"position": {"step": 0, "row": 1, "tallies": {}, "fates": {"a": "not packed"}}},
        {"position": None},
        {"version": 99},
    ],
)
def test_an_entry_that_cannot_be_read_starts_the_load_over(damage):
    store = Store()
    journal(store).save(reached(), FILES)
    store[KEY] = {**store[KEY], **damage}

    assert journal(store).load() is None


def test_an_entry_is_due_when_the_last_one_is_long_enough_ago():
    moments = iter([0.0, 4.9, 5.0, 5.0, 6.0])
    kept = journal(Store(), every=5, now=lambda: next(moments))

    assert not kept.due
    assert kept.due
    kept.save(reached(), ())
    assert not kept.due


def test_without_a_store_nothing_is_ever_due():
    kept = journal(None, every=0)

    assert not kept.due
    kept.save(reached(), ())
    assert kept.load() is None


@pytest.mark.parametrize("other", [("a", {"x": 2}), ("a", {"x": 1, "y": None}), ("b", {"x": 1})])
def test_a_fingerprint_changes_with_every_part(other):
    assert fingerprint_of("a", {"x": 1}) == fingerprint_of("a", {"x": 1})
    assert fingerprint_of("a", {"x": 1}) != fingerprint_of(*other)
