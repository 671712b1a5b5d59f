"""Whatever happens to rows, tokens and workers: after the last run the destination equals the table."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse import errors
from tests.airflow.transfers.followed import Killed, Service, Task, read_file, row_id, table_of

EXAMPLES = int(os.environ.get("FOLLOWING_EXAMPLES", "60"))
ROWS = 4  # few, so that the same row is hit again and again

writes = st.tuples(st.just("write"), st.integers(0, ROWS - 1))
begins = st.tuples(st.just("begin"), st.integers(0, ROWS - 1))
deletes = st.tuples(st.just("delete"), st.integers(0, ROWS - 1))
commits = st.just(("commit", 0))
times = st.tuples(st.just("time"), st.sampled_from([1, 30, 70, 4000]))
expiries = st.just(("expire", 0))
returns = st.tuples(st.just("return"), st.integers(0, ROWS - 1))
changes = st.one_of(writes, begins, deletes, returns, commits, times)
deaths = st.lists(st.integers(0, 14), max_size=2)  # at which step each try dies; after these the run succeeds
runs = st.tuples(st.just("run"), deaths)
failures = st.tuples(st.just("fail"), st.integers(0, 14))
clears = st.tuples(st.just("clear"), st.integers(1, 50))
stories = st.lists(
    st.one_of(changes, changes, changes, runs, runs, runs, failures, clears, expiries),
    min_size=3,
    max_size=25,
)


class Story:
    """Plays a story on a service and a task."""

    def __init__(self, service, task, seed):
        self.service, self.task = service, task
        self.random = random.Random(seed)
        self.names = itertools.count()
        self.number = 0
        service.between = self.meanwhile

    def meanwhile(self):
        """Now and then somebody changes a row between two pages."""
        if self.random.random() < 0.5:
            what = self.random.choice(["write", "delete", "begin", "commit"])
            self.happens(what, self.random.randrange(ROWS))

    def happens(self, what, which):
        name = f"n{next(self.names)}"
        if what == "write":
            self.service.write(row_id(which), name)
        elif what == "begin" and not self.service.table.change_tracking:
            self.service.begin(row_id(which), name)
        elif what == "delete":
            self.service.delete(row_id(which))
        elif what == "return":
            self.service.delete(row_id(which))
            self.service.write(row_id(which), name)
        elif what == "commit":
            self.service.commit()
        elif what == "expire":
            self.service.expire()
        elif what == "time":
            self.service.passes(which)

    def play(self, story):
        for what, detail in story:
            if what == "run":
                self.number += 1
                self.dies(self.number, detail)
                self.task.run(self.number)
            elif what == "fail":
                self.number += 1
                self.dies(self.number, [detail])
            elif what == "clear" and self.number:
                self.dies(1 + detail % self.number, [detail % 15][: detail % 2])
                self.task.run(1 + detail % self.number)
            else:
                self.happens(what, detail)
        self.service.commit()
        self.service.between = lambda: None
        self.task.run(self.number + 1)

    def dies(self, number, deaths):
        for steps in deaths:
            with suppress(Killed):
                self.task.run(number, dying_after(steps))


def dying_after(steps):
    """Return a watcher that kills the worker at the step of this number."""
    left = iter(range(steps, -1, -1))

    def reached(_):
        if next(left, None) == 0:
            raise Killed

    return reached


def table(service):
    return {row_id: row["name"] for row_id, row in service.rows.items()}


def oldest(service):
    return min(service.rows, key=lambda known: service.rows[known]["versionnumber"])


TABLES = {
    "change tracking": (table_of("versionnumber", "modifiedon", tracked=True), "auto"),
    "version numbers": (table_of("versionnumber", "modifiedon", tracked=False), "auto"),
    "version numbers alone": (table_of("versionnumber", tracked=False), "auto"),
    "modification times": (table_of("modifiedon", tracked=False), "auto"),
    "neither": (table_of(tracked=False), "auto"),
    "a window although changes are tracked": (
        table_of("versionnumber", "modifiedon", tracked=True),
        "window",
    ),
}


@pytest.mark.parametrize("output", ["changes", "snapshot"])
@pytest.mark.parametrize("means", TABLES)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(story=[("write", 0), ("fail", 3), ("delete", 0)], seed=0, max_runs=40)
@example(
    story=[*[("run", [])] * 3, ("write", 2), ("clear", 1), ("delete", 2), ("run", [4])], seed=0, max_runs=2
)
@given(story=stories, seed=st.integers(0, 1000), max_runs=st.sampled_from([2, 40]))
def test_after_the_last_run_the_destination_equals_the_table(means, output, story, seed, max_runs):
    described, mode = TABLES[means]
    with tempfile.TemporaryDirectory() as folder:
        service = Service(described, loose=bool(seed % 2))
        task = Task(service, Path(folder), output=output, mode=mode, max_runs=max_runs)
        Story(service, task, seed).play(story)
        assert task.destination() == table(service)
        if output == "changes" and "versionnumber" in described.columns:
            assert task.destination(by_version=True) == table(service)


# -- what chance finds too seldom


@pytest.fixture
def follow(tmp_path):
    def make(*columns, tracked=True, output="changes", **options):
        service = Service(table_of(*columns, tracked=tracked))
        return service, Task(service, tmp_path, output=output, **options)

    return make


@pytest.mark.parametrize("output", ["changes", "snapshot"])
def test_a_row_that_is_deleted_while_its_changes_are_read_is_told_once(follow, output):
    service, task = follow("versionnumber", output=output)
    service.loose = True
    task.run(1)
    for number in range(4):
        service.write(row_id(number), "new")
    victims = iter([oldest(service)])
    service.between = lambda: [service.delete(victim) for victim in victims]
    task.run(2)
    assert task.destination() == table(service)
    assert len(service.rows) == 3


class Unlucky(Service):
    """Loses its oldest row in every reading, after that row was read."""

    def changes(self, *asked, **options):
        armed = iter([True])

        def lose_one():
            if next(armed, False):
                self.delete(oldest(self))

        self.between = lose_one
        yield from super().changes(*asked, **options)


def test_rows_that_are_deleted_at_every_reading_are_an_error_that_may_pass(tmp_path):
    service = Unlucky(table_of("versionnumber", tracked=True), loose=True)
    task = Task(service, tmp_path)
    task.run(1)
    for number in range(12):
        service.write(row_id(number), "new")
    with pytest.raises(errors.BadResponse, match="again and again") as caught:
        task.run(2)
    assert caught.value.retryable
    task.service = Service(
        service.table, rows=service.rows, deletions=service.deletions, version=service.version
    )
    task.run(2)
    assert task.destination() == table(service)


@pytest.mark.parametrize("output", ["changes", "snapshot"])
def test_a_row_that_appears_without_a_change_is_found_by_its_id(follow, output):
    service, task = follow("versionnumber", "modifiedon", tracked=False, output=output)
    service.write(row_id(1), "seen")
    service.write(row_id(2), "shared later")
    hidden = service.rows.pop(row_id(2))
    service.passes(5000)
    service.write(row_id(3), "newest")
    task.run(1)
    service.rows[row_id(2)] = hidden
    assert task.run(2).mode == "window"
    assert task.destination() == table(service)


def test_a_version_that_is_seen_long_after_it_was_given_is_found_by_comparing_versions(follow):
    service, task = follow("versionnumber", "modifiedon", tracked=False, overlap=0)
    service.write(row_id(1), "old")
    task.run(1)
    service.begin(row_id(1), "late")
    service.passes(60)
    service.write(row_id(2), "newer")
    task.run(2)
    service.commit()
    for steps in range(6):
        with pytest.raises(Killed):
            task.run(3, dying_after(steps))
    assert task.run(3).mode == "window"
    assert task.destination() == table(service)
    task.run(4)
    assert row_id(1) not in {row["thingid"] for row in read_file(task.path(4))}, "known for certain by now"


@pytest.mark.parametrize("steps", range(4))
def test_a_late_version_that_a_run_fetched_and_never_committed_is_fetched_again(follow, steps):
    service, task = follow("versionnumber", "modifiedon", tracked=False, overlap=0)
    service.write(row_id(1), "old")
    task.run(1)
    service.begin(row_id(1), "late")
    service.passes(60)
    service.write(row_id(2), "newer")
    task.run(2)
    service.commit()
    with pytest.raises(Killed):
        task.run(3, dying_after(steps))
    task.run(4)
    assert task.destination() == table(service)


def test_an_older_run_that_is_cleared_does_not_make_its_versions_certain(follow):
    service, task = follow("versionnumber", "modifiedon", tracked=False, overlap=0)
    service.write(row_id(1), "first")
    task.run(1)
    service.write(row_id(1), "second")
    task.run(2)
    service.write(row_id(1), "third")
    service.begin(row_id(1), "late")
    service.passes(60)
    service.write(row_id(2), "newer")
    task.run(3)
    service.commit()
    task.run(2)
    assert task.destination()[row_id(1)] == "third", "the file of a later run has it in an earlier state"
    task.run(4)
    assert task.destination() == table(service)


def test_a_task_that_kept_no_ids_so_far_lists_them_first(follow, tmp_path):
    service, task = follow("versionnumber")
    for number in range(3):
        service.write(row_id(number), "old")
    task.run(1)
    for text in task.store.texts:
        value = task.store.get(text)
        del value["keys"]
        task.store.set(text, value)
    shutil.rmtree(next(tmp_path.glob(".*.keys")))
    assert task.run(2).mode == "delta"
    service.delete(row_id(0))
    service.expire()
    assert task.run(3).written.deleted == 1
    assert task.destination() == table(service)


def test_new_columns_lead_to_every_row_and_are_said(follow):
    service, task = follow("versionnumber")
    service.write(row_id(1), "old")
    task.run(1)
    task.new_columns = ("fax", "telex")
    found = task.run(2)
    assert (found.mode, found.reason) == ("reconcile", "the table has new columns: fax, telex")
    assert found.written.rows == 1


def test_a_run_that_is_too_old_to_be_remembered_reads_every_row_and_says_so(follow):
    service, task = follow("versionnumber", max_runs=2)
    for number in range(1, 6):
        service.write(row_id(number), "old")
        task.run(number)
    found = task.run(1)
    assert (found.mode, found.reason) == (
        "reconcile",
        "this run is older than those whose place is remembered",
    )
    task.run(6)
    assert task.destination() == table(service)


def test_segments_are_joined_so_that_there_are_never_many(follow, tmp_path):
    service, task = follow("versionnumber")
    for number in range(1, 60):
        service.write(row_id(number), "new")
        service.delete(row_id(number - 3))
        task.run(number)
        assert len(list(next(tmp_path.glob(".*.keys")).iterdir())) <= 19
    service.expire()
    service.delete(row_id(58))
    found = task.run(60)
    assert (found.mode, found.written.deleted) == ("reconcile", 1)
    assert task.destination() == table(service)
