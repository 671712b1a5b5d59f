"""The change cursor as a value, and the places it is kept in; what dag.test() does with it is in test_transfers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.state import (
    MAX_BYTES,
    MAX_RUNS,
    Cursor,
    CursorKey,
    CursorStore,
    VariableStore,
    cursor_store,
    run_order,
)

KEY = CursorKey("sales", "follow", -1, "https://contoso.crm.dynamics.com", "account", ("name", "revenue"))


class MemoryStore:
    """What Airflow's stores do: keep JSON."""

    def __init__(self):
        self.values = {}

    def get(self, key, default=None):
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key, value):
        self.values[key] = json.dumps(value)


def order(number):
    return f"2026-01-01T00:00:{number:02}.000000Z"


# --- the rules, one by one ---------------------------------------------------------------------------------------


def test_the_first_run_reads_the_whole_table_and_the_next_one_what_followed():
    first = Cursor().begin("r1", order(1)).commit("r1", order(1), since=None, until="L1")

    assert Cursor().plan("r1", order(1)) is None
    assert first.plan("r2", order(2)) == "L1"


def test_a_retried_run_reads_from_its_own_start_although_another_run_has_moved_on():
    cursor = Cursor(link="L2", order=order(2)).begin("r3", order(3))

    moved = cursor.begin("r4", order(4)).commit("r4", order(4), since="L2", until="L4")

    assert moved.link == "L4"
    assert moved.plan("r3", order(3)) == "L2"


def test_a_cleared_run_reads_from_its_own_start():
    cursor = Cursor()
    for number in (1, 2, 3):
        since = cursor.plan(f"r{number}", order(number))
        cursor = cursor.commit(f"r{number}", order(number), since=since, until=f"L{number}")

    assert [cursor.plan(f"r{number}", order(number)) for number in (1, 2, 3)] == [None, "L1", "L2"]


def test_an_older_run_never_moves_a_newer_cursor():
    cursor = Cursor(link="L4", order=order(4))

    after = cursor.commit("r2", order(2), since="L1", until="L9")

    assert (after.link, after.order) == ("L4", order(4))
    assert after.runs["r2"].until == "L9"


def test_a_run_does_not_move_the_cursor_past_a_newer_one_that_has_begun():
    cursor = Cursor(link="L1", order=order(1)).begin("r2", order(2)).begin("r3", order(3))

    assert cursor.commit("r2", order(2), since="L1", until="L2").link == "L1"
    assert cursor.commit("r3", order(3), since="L1", until="L3").link == "L3"


def test_the_newest_run_moves_the_cursor_again_when_it_is_cleared():
    cursor = Cursor().commit("r1", order(1), since=None, until="L1")

    assert cursor.commit("r1", order(1), since=None, until="L1b").link == "L1b"


def test_only_recent_runs_are_remembered_and_a_forgotten_one_reads_the_whole_table():
    cursor = Cursor()
    for number in range(MAX_RUNS + 5):
        cursor = cursor.commit(f"r{number:02}", f"{number:04}", since=f"L{number - 1}", until=f"L{number}")

    assert len(cursor.runs) == MAX_RUNS
    assert cursor.plan("r03", "0003") is None
    assert cursor.plan("r10", "0010") == "L9"
    assert cursor.plan("new", "9999") == f"L{MAX_RUNS + 4}"


def test_the_record_stays_small_however_long_the_links_are():
    cursor = Cursor()
    for number in range(MAX_RUNS):
        link = f"{number}".rjust(8000, "x")
        cursor = cursor.commit(f"r{number}", f"{number:04}", since=link, until=link)

    assert len(json.dumps(cursor.to_json())) < MAX_BYTES + 10_000
    assert cursor.runs


# --- no change is lost -------------------------------------------------------------------------------------------


@dataclass
class Table:
    """A table with change tracking, as little of it as a cursor can tell: a delta link is a place in the log."""

    rows: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    oldest: int = 0

    def write(self, row_id):
        self.log.append(row_id)
        self.rows[row_id] = len(self.log)

    def delete(self, row_id):
        if self.rows.pop(row_id, None) is not None:
            self.log.append(row_id)

    def read(self, link):
        """Return (since, upserts, deletes, next link) as an operator would get them, an expired link included."""
        if link is not None and int(link) < self.oldest:
            link = None
        if link is None:
            return None, dict(self.rows), set(), str(len(self.log))
        touched = set(self.log[int(link) :])
        upserts = {row_id: self.rows[row_id] for row_id in touched & self.rows.keys()}
        return link, upserts, touched - self.rows.keys(), str(len(self.log))


class World:
    """Runs of one DAG over one table; a run can be started, finished, crash at either point, and be run again."""

    def __init__(self):
        self.table, self.cursors = Table(), CursorStore(MemoryStore(), KEY, max_runs=4)
        self.files, self.started, self.count = {}, {}, 0

    def start(self, number):
        self.started[number] = self.cursors.begin(f"r{number}", order(number))

    def finish(self, number, *, crash_before_cursor=False):
        since, upserts, deletes, link = self.table.read(self.started.pop(number))
        self.files[number] = ("full" if since is None else "delta", upserts, deletes)
        if not crash_before_cursor:
            self.cursors.commit(f"r{number}", order(number), since=since, until=link)

    def new(self):
        self.count += 1
        self.start(self.count)
        return self.count

    def pick(self, numbers, choice):
        numbers = sorted(numbers)
        return numbers[choice % len(numbers)] if numbers else None

    def loaded(self):
        """Apply the files in the order of their runs, a full one as what it is: the whole table."""
        target: dict[str, int] = {}
        for number in sorted(self.files):
            mode, upserts, deletes = self.files[number]
            target = {} if mode == "full" else target
            target.update(upserts)
            target = {row_id: value for row_id, value in target.items() if row_id not in deletes}
        return target


STEPS = [
    "write",
    "write",
    "delete",
    "run",
    "run",
    "rerun",
    "start",
    "restart",
    "finish",
    "crash",
    "drop",
    "expire",
]


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 6)), max_size=50))
@example([("run", 0), ("write", 0), *[("run", 0)] * 5, ("rerun", 1)])  # its start is forgotten by then
@example([("start", 0), ("start", 0), ("crash", 1), ("write", 0), ("finish", 0)])
@settings(max_examples=400, deadline=None, database=None)
def test_no_change_is_lost_whatever_runs_retries_clears_and_crashes_happen(steps):
    world = World()
    for what, choice in steps:
        waiting = world.pick(world.started, choice)
        if what in {"write", "delete"}:
            getattr(world.table, what)(f"row{choice}")
        elif what == "start":
            world.new()
        elif what == "run":
            world.finish(world.new())
        elif what in {"restart", "rerun"} and world.count:
            world.start(again := 1 + choice % world.count)
            if what == "rerun":
                world.finish(again)
        elif what == "expire":
            world.table.oldest = len(world.table.log)
        elif waiting is not None and what in {"finish", "crash"}:
            world.finish(waiting, crash_before_cursor=what == "crash")
        elif waiting is not None and what == "drop":
            world.started.pop(waiting)

    world.finish(world.new())

    assert world.loaded() == world.table.rows


# --- where it is kept --------------------------------------------------------------------------------------------


def test_a_run_without_a_cursor_begins_with_the_whole_table_and_is_remembered():
    cursors = CursorStore(MemoryStore(), KEY)

    assert cursors.begin("r1", order(1)) is None
    assert cursors.load().runs["r1"].since is None


def test_a_cursor_made_for_other_columns_is_not_used():
    store = MemoryStore()
    CursorStore(store, KEY).commit("r1", order(1), since=None, until="L1")
    other = CursorKey("sales", "follow", -1, KEY.environment, "account", ("name",))

    assert CursorStore(store, other).begin("r2", order(2)) is None
    assert CursorStore(store, KEY).begin("r2", order(2)) == "L1"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("scribbled on", id="text somebody wrote"),
        pytest.param({"version": 99, "for": KEY.fingerprint}, id="a later version"),
        pytest.param({"version": 1, "for": "another"}, id="another table's record"),
        pytest.param({"version": 1, "for": KEY.fingerprint, "runs": 3}, id="half a record"),
        pytest.param([1, 2], id="a list"),
    ],
)
def test_a_record_that_does_not_match_means_a_full_read_and_is_said(value, caplog):
    store = MemoryStore()
    store.set(str(KEY), value)

    assert CursorStore(store, KEY).begin("r1", order(1)) is None
    assert "reading the whole table" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"dag_id": "other"},
        {"task_id": "other"},
        {"map_index": 3},
        {"environment": "https://fabrikam.crm.dynamics.com"},
        {"table": "contact"},
        {"select": ("name",)},
    ],
    ids=str,
)
def test_every_part_of_the_key_makes_another_cursor(change):
    other = CursorKey(**{**KEY.__dict__, **change})

    assert str(other) != str(KEY)
    assert other.fingerprint != KEY.fingerprint


def test_the_order_of_columns_and_the_spelling_of_the_host_do_not_matter():
    same = CursorKey(
        "sales", "follow", -1, "https://CONTOSO.crm.dynamics.com/", "account", ("revenue", "name")
    )

    assert str(same) == str(KEY)


def test_the_key_fits_into_a_variables_name_however_long_the_dag_is_called():
    assert len(str(CursorKey("d" * 250, "t" * 250, 1023, KEY.environment, "account", ()))) <= 250


def _asset(uri):
    return SimpleNamespace(uri=uri, name=uri)


class Accessors(dict[str, MemoryStore]):
    def __getitem__(self, asset):
        return self.setdefault(asset.uri, MemoryStore())


ACCOUNTS = _asset("dataverse://contoso.crm.dynamics.com/account")


def test_the_cursor_lives_with_the_inlet_that_is_the_table():
    accessors = Accessors()
    lake, elsewhere = _asset("s3://lake/account"), _asset("dataverse://fabrikam.crm.dynamics.com/account")

    found = cursor_store({"asset_state_store": accessors}, KEY, [lake, elsewhere, ACCOUNTS])

    assert found.store is accessors[ACCOUNTS]


def test_an_inlet_that_calls_the_environment_by_another_name_will_do():
    accessors = Accessors()
    alias = _asset("dataverse://crm.contoso.example/account")

    assert cursor_store({"asset_state_store": accessors}, KEY, [alias]).store is accessors[alias]


@pytest.mark.parametrize(
    ("context", "inlets"),
    [
        pytest.param({}, [ACCOUNTS], id="Airflow 3.2 has no asset state store"),
        pytest.param({"asset_state_store": Accessors()}, [], id="no inlet is given"),
        pytest.param(
            {"asset_state_store": Accessors()},
            [_asset("dataverse://contoso.crm.dynamics.com/contact")],
            id="the inlet is another table",
        ),
        pytest.param(
            {"asset_state_store": Accessors()}, [SimpleNamespace(name="x")], id="the inlet has no address"
        ),
    ],
)
def test_the_cursor_lives_in_a_variable_where_no_asset_can_hold_it(context, inlets):
    assert isinstance(cursor_store(context, KEY, inlets).store, VariableStore)


def test_runs_are_ordered_by_when_they_were_due_in_utc():
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    run = SimpleNamespace(run_after=noon, logical_date=None)

    assert run_order({"dag_run": run}) == "2026-03-01T10:00:00.000000Z"
    later = SimpleNamespace(run_after=noon + timedelta(microseconds=1), logical_date=None)
    assert run_order({"dag_run": later}) > run_order({"dag_run": run})
