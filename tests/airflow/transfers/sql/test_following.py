"""A table followed into a database, SQLite and PostgreSQL: whatever comes between, it ends equal."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.sql.dynamics import FIELDS, Dynamics, ask, held, row_id, run


def test_the_first_run_makes_the_table_and_the_next_writes_what_changed(warehouse, dynamics):
    first = run(warehouse, dynamics)
    dynamics.put(1, name="Renamed")
    dynamics.put(7, name=None)
    dynamics.delete(2)
    second = run(warehouse, dynamics)
    third = run(warehouse, dynamics)

    assert (first.mode, first.rows, first.applied.upserts, first.applied.deleted) == ("full", 5, 5, 0)
    assert (second.mode, second.rows, second.applied.upserts, second.applied.deleted) == ("delta", 2, 2, 1)
    assert (third.mode, third.rows, third.applied.upserts) == ("delta", 0, 0)
    assert held(warehouse) == dynamics.table


def test_a_missed_run_and_a_repeated_one_leave_the_table_right(warehouse, dynamics):
    run(warehouse, dynamics)
    dynamics.put(0, name="one")
    dynamics.put(0, name="two")
    dynamics.delete(4)
    run(warehouse, dynamics)
    again = run(warehouse, dynamics)

    assert (again.applied.upserts, again.applied.deleted) == (0, 0)
    assert held(warehouse) == dynamics.table


def test_a_lost_place_leads_to_reading_every_row_and_deleting_what_is_gone(warehouse, dynamics):
    run(warehouse, dynamics)
    dynamics.delete(3)
    dynamics.put(9, name="New")
    dynamics.expire()
    ran = run(warehouse, dynamics)

    assert (ran.mode, ran.reason) == ("reconcile", "the place has expired")
    assert (ran.applied.upserts, ran.applied.deleted) == (1, 1), "rows that are as they were are left alone"
    assert held(warehouse) == dynamics.table


def test_without_change_tracking_what_is_gone_is_found_by_the_ids_there_are(warehouse, dynamics):
    dynamics.mode = "window"
    run(warehouse, dynamics)
    dynamics.delete(0)
    dynamics.put(2, name="Renamed")
    ran = run(warehouse, dynamics)

    assert (ran.mode, ran.applied.upserts, ran.applied.deleted) == ("window", 1, 1)
    assert held(warehouse) == dynamics.table


def test_a_row_made_while_the_ids_are_read_is_not_taken_for_gone(warehouse, dynamics):
    dynamics.mode = "window"
    run(warehouse, dynamics)
    dynamics.put(0, name="again")
    dynamics.put(1, name="again")
    dynamics.put(2, name="again")
    dynamics.meanwhile = lambda: dynamics.put(50, name="meanwhile")
    run(warehouse, dynamics)
    dynamics.meanwhile = lambda: None
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table


def test_an_older_run_that_ends_late_does_not_undo_what_a_newer_one_wrote(warehouse, dynamics):
    """A zombie: it has read its rows, another run writes newer ones, and then it wants to write its own."""
    run(warehouse, dynamics)
    dynamics.put(1, name="old")
    said: list[str] = []

    def newer_run():
        dynamics.meanwhile = lambda: None
        dynamics.put(1, name="new")
        dynamics.delete(2)
        run(warehouse, dynamics)

    dynamics.meanwhile = newer_run
    ran = run(warehouse, dynamics, say=said.append)

    assert held(warehouse) == dynamics.table
    assert len(said) == 1
    assert (ran.mode, ran.rows) == ("delta", 0), "it read on from where the newer one stopped"


def test_two_first_runs_at_once_make_one_table(warehouse, dynamics):
    def other():
        dynamics.meanwhile = lambda: None
        run(warehouse, dynamics)

    dynamics.meanwhile = other
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table


def test_a_run_that_always_comes_too_late_gives_up_and_writes_nothing(warehouse, dynamics):
    run(warehouse, dynamics)
    before = held(warehouse)

    def another_run():
        with warehouse.connection() as connection, connection.begin():
            connection.execute(sa.text("UPDATE dynamics_cursors SET generation = generation + 1"))

    dynamics.put(1, name="x")
    dynamics.meanwhile = another_run

    assert run(warehouse, dynamics) is None
    assert held(warehouse) == before


def test_a_table_emptied_by_hand_is_filled_anew(warehouse, dynamics):
    run(warehouse, dynamics)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("DELETE FROM account"))
    ran = run(warehouse, dynamics)

    assert (ran.mode, held(warehouse)) == ("full", dynamics.table)


def test_a_dropped_table_is_made_and_filled_anew(warehouse, dynamics):
    run(warehouse, dynamics)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("DROP TABLE account"))
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table


def test_the_cursor_can_be_reset_by_hand(warehouse, dynamics):
    run(warehouse, dynamics)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("UPDATE dynamics_cursors SET link = NULL WHERE sql_table = 'account'"))

    assert run(warehouse, dynamics).mode == "full"


def test_a_table_of_another_environment_is_not_replaced(warehouse, dynamics):
    run(warehouse, dynamics)
    with pytest.raises(
        FormatError, match=r"holds rows of account in contoso.crm.dynamics.com, not of account in other"
    ):
        run(warehouse, Dynamics(), host="other.crm.dynamics.com")

    assert held(warehouse) == dynamics.table


def test_a_table_of_somebody_else_is_not_touched(warehouse, dynamics):
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("CREATE TABLE account (accountid CHAR(36) PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO account VALUES (:row)"), {"row": row_id(99)})
    with pytest.raises(FormatError, match="dynamics_cursors does not say which"):
        run(warehouse, dynamics)

    assert ask(warehouse, "SELECT count(*) FROM account") == [(1,)]


def test_an_empty_table_made_by_hand_is_taken_with_its_own_columns(warehouse, dynamics):
    kind = "UUID" if warehouse.engine.dialect.name == "postgresql" else "CHAR(36)"
    with warehouse.connection() as connection, connection.begin():
        connection.execute(
            sa.text(f"CREATE TABLE account (accountid {kind} PRIMARY KEY, name VARCHAR(200), ours INTEGER)")
        )
    run(warehouse, dynamics)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("UPDATE account SET ours = 1"))
    dynamics.put(1, name="Renamed")
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table
    assert ask(warehouse, "SELECT DISTINCT ours FROM account") == [(1,)]


def test_a_table_without_a_key_is_refused(warehouse, dynamics):
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("CREATE TABLE account (accountid CHAR(36), name VARCHAR(200))"))
    with pytest.raises(FormatError, match="no primary key or unique constraint on accountid"):
        run(warehouse, dynamics)


def test_a_table_whose_type_would_round_is_refused(warehouse, dynamics):
    with warehouse.connection() as connection, connection.begin():
        connection.execute(
            sa.text("CREATE TABLE account (accountid UUID PRIMARY KEY, revenue NUMERIC(10, 2))")
        )
    with pytest.raises(FormatError, match=r"column \w+ of the table account is .* must be"):
        run(warehouse, dynamics)


CITY = Field("city")
WIDER = (*FIELDS[:2], Field("revenue", "decimal", 6, "Money"))


def test_a_new_column_is_added_and_filled_for_every_row(warehouse, dynamics):
    run(warehouse, dynamics)
    for number in dynamics.rows:
        dynamics.rows[number]["city"] = f"City {number}"  # as if it had always been there: no row has changed
    ran = run(warehouse, dynamics, fields=(*FIELDS, CITY))
    last = run(warehouse, dynamics, fields=(*FIELDS, CITY))

    assert [one.name for one in ran.layout.added] == ["city"]
    assert (ran.mode, last.mode) == ("full", "delta")
    assert {row[0] for row in ask(warehouse, "SELECT city FROM account")} == {f"City {n}" for n in range(5)}


def test_a_column_that_is_gone_stays_with_its_last_values_and_may_come_back(warehouse, dynamics):
    run(warehouse, dynamics)
    ran = run(warehouse, dynamics, fields=FIELDS[:2])
    kept = held(warehouse)
    back = run(warehouse, dynamics)

    assert ran.layout.removed == ("revenue",)
    assert kept == held(warehouse) == dynamics.table
    assert (back.mode, back.layout.added) == ("full", ())


def test_a_type_is_widened_where_no_value_is_lost(warehouse, dynamics):
    run(warehouse, dynamics)
    dynamics.put(1, revenue="1.123456")
    run(warehouse, dynamics, fields=WIDER)

    assert held(warehouse)[row_id(1)][1] == "1.123456"
    if warehouse.engine.dialect.name == "postgresql":
        assert held(warehouse)[row_id(2)][1] == "2.500000"


def test_an_integer_becomes_a_decimal_exactly(warehouse, dynamics):
    before = (*FIELDS, Field("size", "int32", type_name="Integer"))
    after = (*FIELDS, Field("size", "decimal", 2, "Decimal"))
    dynamics.put(1, size=7)
    run(warehouse, dynamics, fields=before)
    dynamics.put(1, size="123456789012345678.25")
    dynamics.put(2, size=3)
    run(warehouse, dynamics, fields=after)

    found = {str(row[0]): row[1] for row in ask(warehouse, "SELECT accountid, size FROM account")}
    assert str(found[row_id(1)]) == "123456789012345678.25"
    assert held(warehouse)[row_id(2)] == ("Account 2", "2.5000")


@pytest.mark.parametrize("fields", [(*FIELDS, CITY), FIELDS[:2], WIDER], ids=["new", "gone", "wider"])
def test_a_changed_column_fails_where_it_may_not_change(warehouse, dynamics, fields):
    run(warehouse, dynamics)
    dynamics.put(1, name="Renamed")
    before = held(warehouse)
    with pytest.raises(FormatError, match="on_schema_change is 'fail'"):
        run(warehouse, dynamics, fields=fields, policy="fail")

    assert held(warehouse) == before


def test_a_new_column_is_left_out_where_it_is_to_be_ignored(warehouse, dynamics):
    run(warehouse, dynamics)
    dynamics.put(1, name="Renamed", city="City")
    ran = run(warehouse, dynamics, fields=(*FIELDS, CITY), policy="ignore")

    assert ran.mode == "delta", "nothing that is kept has changed"
    assert held(warehouse) == dynamics.table


def test_a_value_that_its_type_cannot_hold_is_an_error_without_the_value(warehouse, dynamics):
    run(warehouse, dynamics)
    dynamics.put(1, revenue="1.23456789")
    with pytest.raises(FormatError, match="column revenue, row 1 of those read") as caught:
        run(warehouse, dynamics)

    assert "1.2345" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_row_that_another_constraint_refuses_changes_nothing_and_is_told_without_its_values(
    warehouse, dynamics
):
    run(warehouse, dynamics)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("CREATE UNIQUE INDEX one_name ON account (name)"))
    before = held(warehouse)
    dynamics.put(1, name="Secret name")
    dynamics.put(2, name="Secret name")
    with pytest.raises(AirflowFailException, match="Another constraint of the table refuses a row") as caught:
        run(warehouse, dynamics)

    assert "Secret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert held(warehouse) == before
    dynamics.put(2, name="Another")
    run(warehouse, dynamics)
    assert held(warehouse) == dynamics.table


def test_names_that_databases_keep_for_themselves_are_quoted(warehouse):
    dynamics = Dynamics()
    words = [Field(name) for name in ("select", "order", "Group By", 'a"b', "percent%s", "colon:x")]
    dynamics.put(1, **{field.name: field.name for field in words})
    fields = (FIELDS[0], *words)
    run(warehouse, dynamics, fields=fields[:3], name='user "table" %')
    run(warehouse, dynamics, fields=fields, name='user "table" %')

    with warehouse.connection() as connection:
        table = sa.Table('user "table" %', sa.MetaData(), autoload_with=connection)
        found = connection.execute(sa.select(table)).one()
    assert list(found)[1:] == [field.name for field in words]


def test_long_names_are_cut_so_that_they_stay_apart(warehouse):
    dynamics = Dynamics()
    long = [Field("new_" + "x" * 90 + end) for end in ("a", "b")]
    dynamics.put(1, **{field.name: field.name[-1] for field in long})
    run(warehouse, dynamics, fields=(FIELDS[0], *long))
    run(warehouse, dynamics, fields=(FIELDS[0], *long))

    assert [tuple(row)[1:] for row in ask(warehouse, "SELECT * FROM account")] == [("a", "b")]


def test_rows_come_through_whole_whatever_their_text_holds(warehouse, dynamics):
    names = [
        "tab\there",
        "new\nline",
        "back\\slash",
        "\\N",
        "\r\n",
        'quote\'s "q"',
        "",
        "ünïcödé 🙂",
        "\\.",
        "%s %(a)s :b",
    ]
    for number, name in enumerate(names):
        dynamics.put(number, name=name)
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table


def test_a_database_without_an_upsert_of_its_own_gets_the_same_rows(sqlite, dynamics, monkeypatch):
    from airflow_provider_dynamics.transfers.sql import applying

    warehouse = Database(sqlite)
    monkeypatch.setitem(applying._INSERTS, "sqlite", None)
    monkeypatch.delitem(applying._INSERTS, "sqlite")
    run(warehouse, dynamics)
    dynamics.put(1, name="Renamed")
    dynamics.delete(2)
    run(warehouse, dynamics)

    assert held(warehouse) == dynamics.table
