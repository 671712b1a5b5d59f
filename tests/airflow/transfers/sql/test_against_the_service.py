"""The operator with the feed it really has, against the emulator: whatever happens, the table ends equal to the service's."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.emulator import Emulator
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import DynamicsToSqlOperator
from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.drills import DRILLS, Patiently
from tests.airflow.transfers.sql.dynamics import ask

ROOT = Path(__file__).parents[4]
COLUMNS = ("name", "accountnumber", "primarycontactid")


@pytest.fixture(scope="module")
def small() -> Iterator[Emulator]:
    """An environment without rows."""
    with Emulator(seed=None) as running:
        yield running


@pytest.fixture
def conn(small, monkeypatch):
    for name, value in small.airflow_connection("dynamics_default").items():
        monkeypatch.setenv(name, value)
    small.reset()
    return small


@pytest.fixture
def client(conn):  # noqa: ARG001 - the connection has to be there
    with DynamicsHook("dynamics_default").get_conn() as opened:
        yield opened


class Patient(Patiently, DynamicsToSqlOperator):
    """The operator, which waits for no passing trouble."""


def execute(**arguments) -> dict[str, Any]:
    given = {
        "task_id": "follow",
        "table": "account",
        "select": COLUMNS,
        "sql_conn_id": "warehouse",
        "page_size": 2,
        "retry_policy": None,
        **arguments,
    }
    return Patient(**given).execute({})


def held(database, columns=COLUMNS):
    with database.connection() as connection:
        table = sa.Table("account", sa.MetaData(), autoload_with=connection)
        rows = connection.execute(sa.select(*[table.c[name] for name in ("accountid", *columns)])).all()
    return {str(row[0]): tuple(None if value is None else str(value) for value in row[1:]) for row in rows}


def there(emulator, columns=COLUMNS, wanted=lambda _row: True):
    wire = [f"_{name}_value" if name.endswith("id") else name for name in columns]
    return {
        row["accountid"]: tuple(row.get(name) for name in wire)
        for row in emulator.rows("account")
        if wanted(row)
    }


# --- random stories ----------------------------------------------------------------------------------------------

NUMBERS = st.integers(0, 3)
PUT = st.tuples(st.just("put"), NUMBERS, st.sampled_from(["a", "A", "b", None, "tab\t\\"]), st.booleans())
DELETE = st.tuples(st.just("delete"), NUMBERS)
ANEW = st.tuples(st.just("anew"), NUMBERS)
CHANGES = st.lists(PUT | PUT | DELETE | ANEW, max_size=4)
BEFORE = st.sampled_from(["nothing", "nothing", "nothing", "expire", "columns", "policy"])
RUN = st.tuples(st.just("run"), CHANGES, st.sampled_from([0, 0, 0, 1, 2, 3, 4]))
"""A run, what happens while it reads, and before which of its writing statements it dies (0: it lives)."""
STORY = st.lists(st.tuples(CHANGES, BEFORE, RUN), min_size=2, max_size=4)


class Died(BaseException):
    """The worker is no more."""


class Story:
    """A table of the service, a database, and what happens to both."""

    def __init__(self, emulator: Emulator, client: Any, mode: str) -> None:
        self.emulator = emulator
        self.client = client
        self.mode = mode
        self.columns_read: tuple[str, ...] = COLUMNS
        self.contacts = [client.create("contact", {"lastname": name}) for name in "xy"]

    def happen(self, what: tuple[Any, ...]) -> None:
        getattr(self, what[0])(*what[1:])

    def put(self, number: int, name: str | None, first: bool) -> None:
        row = {
            "name": name,
            "accountnumber": f"{number}",
            "primarycontactid@odata.bind": f"/contacts({self.contacts[first]})",
        }
        self.client.upsert("account", str(uuid.UUID(int=number + 1)), row)

    def delete(self, number: int) -> None:
        with contextlib.suppress(Exception):  # it need not be there
            self.client.delete("account", str(uuid.UUID(int=number + 1)))

    def anew(self, number: int) -> None:
        """Delete a row and make it again under the same id."""
        self.delete(number)
        self.put(number, "again", first=True)

    def nothing(self) -> None:
        """As most of the time."""

    def expire(self) -> None:
        self.emulator.expire_delta_tokens()

    def columns(self) -> None:
        self.columns_read = COLUMNS if len(self.columns_read) < len(COLUMNS) else COLUMNS[:1]

    def policy(self) -> None:
        self.mode = {"changes": "window", "window": "full", "full": "changes"}[self.mode]

    def run(self, meanwhile: list[tuple[Any, ...]], dies_at: int) -> None:
        waiting, left = list(meanwhile), dies_at

        def executing(_connection: Any, _cursor: Any, statement: str, *_ignored: Any) -> None:
            nonlocal left
            if statement.startswith("INSERT INTO dynamics_stage"):
                while waiting:
                    self.happen(waiting.pop())
            elif statement.startswith(("INSERT", "UPDATE", "DELETE", "ALTER")):
                left -= 1
                if left == 0:
                    raise Died

        sa.event.listen(sa.Engine, "before_cursor_execute", executing)
        try:
            execute(select=self.columns_read, mode=self.mode)
        except Died:
            pass
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", executing)


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(mode=st.sampled_from(["changes", "window"]), story=STORY)
def test_the_table_ends_equal_whatever_happens(conn, client, mode, story):
    conn.reset()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{folder}/story.db")
        told = Story(conn, client, mode)
        for changes, before, ran in story:
            for what in (*changes, (before,), ran):
                told.happen(what)
        told.run([], 0)
        assert held(Database("warehouse"), told.columns_read) == there(conn, told.columns_read)


# --- windows and their filters -----------------------------------------------------------------------------------


def test_a_row_that_fits_the_filter_only_now_though_it_has_not_changed_is_found(warehouse, conn, client):
    contact = client.create("contact", {"lastname": "Other"})
    for number in range(5):
        bound = {"primarycontactid@odata.bind": f"/contacts({contact})"} if number < 3 else {}
        client.create("account", {"name": f"Account {number}", **bound})
    window = {"mode": "window", "filter": "primarycontactid/lastname eq 'Wanted'"}
    execute(**{**window, "filter": "primarycontactid/lastname eq 'Other' or name eq 'Account 4'"})
    first = execute(**window)
    client.update("contact", contact, {"lastname": "Wanted"})
    client.create("account", {"name": "New", "primarycontactid@odata.bind": f"/contacts({contact})"})
    second = execute(**window)
    client.update("contact", contact, {"lastname": "Other"})
    third = execute(**window)

    assert (first["mode"], first["deleted"]) == ("reconcile", 4)
    assert second["upserts"] == 4
    assert third["deleted"] == 4
    assert held(warehouse) == {}
    assert len(there(conn)) == 6


def test_without_a_look_for_deletions_they_stay_until_there_is_one(warehouse, conn, client):
    accounts = [client.create("account", {"name": f"Account {number}"}) for number in range(3)]
    execute(mode="window", detect_deletes=False)
    client.delete("account", accounts[0])
    client.update("account", accounts[1], {"name": "Renamed"})
    kept = execute(mode="window", detect_deletes=False)
    found = execute(mode="window")

    assert (kept["deleted"], found["deleted"]) == (0, 1)
    assert held(warehouse) == there(conn)


# --- what the service does in the middle -------------------------------------------------------------------------


@pytest.mark.parametrize("fault", DRILLS)
@pytest.mark.parametrize("mode", ["changes", "window"])
def test_a_passing_trouble_in_mid_read_costs_no_row(sqlite, conn, client, fault, mode):
    accounts = [client.create("account", {"name": f"Account {number}"}) for number in range(9)]
    execute(mode=mode)
    for account in accounts[:7]:
        client.update("account", account, {"name": "Renamed"})
    client.delete("account", accounts[8])
    kind, members = fault
    conn.fault(kind, **members)
    execute(mode=mode)
    conn.clear_faults()

    assert held(Database(sqlite)) == there(conn)


# --- two workers -------------------------------------------------------------------------------------------------

WORKER = """
from tests.airflow.transfers.sql.test_against_the_service import execute
print(execute()["mode"])
"""


def worker() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORKER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.usefixtures("postgres")
def test_two_workers_at_once_leave_one_right_table(conn, client, postgres):
    for number in range(8):
        client.create("account", {"name": f"Account {number}"})
    both = [worker(), worker()]
    ended = [process.communicate(timeout=300) for process in both]
    account = next(iter(there(conn)))
    client.update("account", account, {"name": "Renamed"})
    last = execute()

    assert [process.returncode for process in both] == [0, 0], [said[-500:] for _, said in ended]
    assert (last["mode"], last["rows"]) == ("delta", 1)
    assert held(Database(postgres)) == there(conn)
    assert ask(Database(postgres), "SELECT count(*) FROM dynamics_cursors") == [(1,)]
