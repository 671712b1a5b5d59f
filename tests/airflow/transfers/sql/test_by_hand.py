"""What others do to the table, its columns and its place, and what Dynamics does to the columns, is seen and not covered up."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.sql.dynamics import FIELDS, ask, by_hand, held, once, row_id, run


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dynamics_cursors SET link = NULL",
        "DELETE FROM account",
        "DROP TABLE account",
        "ALTER TABLE account DROP COLUMN revenue",
    ],
)
def test_what_somebody_does_while_changes_are_read_is_not_covered_up(warehouse, dynamics, statement):
    run(warehouse, dynamics)
    dynamics.put(1, name="Renamed")
    once(dynamics, lambda: by_hand(warehouse, statement))
    ran = run(warehouse, dynamics)

    assert ran.mode == "full"
    assert held(warehouse) == dynamics.table


def test_rows_that_a_window_does_not_show_are_asked_for_by_their_ids(warehouse, dynamics):
    """They fit the filter, or are shared with the user, only now, and nothing of them has changed."""
    dynamics.mode = "window"
    run(warehouse, dynamics)
    by_hand(warehouse, "DELETE FROM account WHERE name IN ('Account 1', 'Account 3')")
    ran = run(warehouse, dynamics)

    assert (ran.mode, ran.rows, ran.applied.upserts) == ("window", 2, 2)
    assert held(warehouse) == dynamics.table


def test_more_missing_rows_than_are_asked_for_at_once_are_found(warehouse, dynamics, monkeypatch):
    from airflow_provider_dynamics.transfers.sql import staging

    monkeypatch.setattr(staging, "PIECE", 2)
    dynamics.mode = "window"
    run(warehouse, dynamics)
    by_hand(warehouse, "DELETE FROM account WHERE name <> 'Account 2'")
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table


def test_a_type_changed_by_hand_so_that_it_would_round_is_refused(postgres, dynamics):
    warehouse = Database(postgres)
    run(warehouse, dynamics)
    by_hand(warehouse, "ALTER TABLE account ALTER COLUMN revenue TYPE numeric(10, 2)")
    dynamics.put(1, revenue="1.2345")
    with pytest.raises(FormatError, match=r"column revenue of the table account is NUMERIC\(10, 2\)"):
        run(warehouse, dynamics)


def test_a_collation_that_takes_small_letters_for_large_ones_hides_no_change(sqlite, dynamics):
    warehouse = Database(sqlite)
    by_hand(warehouse, "CREATE TABLE account (accountid CHAR(36) PRIMARY KEY, name TEXT COLLATE NOCASE)")
    run(warehouse, dynamics)
    dynamics.put(1, name="ACCOUNT 1")
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table


OWNER_TEXT, OWNER_ID = Field("owner"), Field("owner", type_name="Owner")


@pytest.mark.parametrize("policy", ["evolve", "ignore", "fail"])
def test_a_text_column_that_becomes_a_lookup_is_refused(warehouse, dynamics, policy):
    run(warehouse, dynamics, fields=(*FIELDS, OWNER_TEXT))
    with pytest.raises(FormatError, match="owner was String and is Owner"):
        run(warehouse, dynamics, fields=(*FIELDS, OWNER_ID), policy=policy)


def test_a_lookup_that_becomes_text_is_retyped_only_where_it_may(warehouse, dynamics):
    dynamics.put(1, owner=row_id(9))
    run(warehouse, dynamics, fields=(*FIELDS, OWNER_ID))
    with pytest.raises(FormatError, match="owner was Owner and is String"):
        run(warehouse, dynamics, fields=(*FIELDS, OWNER_TEXT), policy="ignore")
    dynamics.put(1, owner="text")
    run(warehouse, dynamics, fields=(*FIELDS, OWNER_TEXT))

    assert ("text",) in ask(warehouse, "SELECT owner FROM account")


class Died(BaseException):
    """The worker is no more."""


def test_where_changing_a_table_ends_the_transaction_a_run_that_dies_then_loses_nothing(
    sqlite, dynamics, monkeypatch
):
    from airflow_provider_dynamics.transfers.sql import applying

    monkeypatch.setattr(applying, "WITH_TABLES", frozenset())
    warehouse = Database(sqlite)
    run(warehouse, dynamics)
    dynamics.put(1, name="Renamed", city="City")
    engine = warehouse.engine

    @sa.event.listens_for(engine, "before_cursor_execute")
    def executing(_connection, _cursor, statement, *_ignored):
        if statement.startswith("INSERT INTO account"):
            raise Died

    with pytest.raises(Died):
        run(warehouse, dynamics, fields=(*FIELDS, Field("city")))
    sa.event.remove(engine, "before_cursor_execute", executing)
    assert ask(warehouse, "SELECT link FROM dynamics_cursors") == [(None,)]
    ran = run(warehouse, dynamics, fields=(*FIELDS, Field("city")))

    assert ran.mode == "full"
    assert held(warehouse) == dynamics.table
    assert ("City",) in ask(warehouse, "SELECT city FROM account")
