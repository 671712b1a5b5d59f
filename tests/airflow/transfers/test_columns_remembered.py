"""A table's columns come and go: what each policy makes of it, and what the next run remembers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.dataverse.errors import UnknownColumn
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.queries.conditions import column
from airflow_provider_dynamics.dataverse.queries.query import Expand, FetchXml, Query, SavedQuery
from airflow_provider_dynamics.dataverse.reading.results import ResultColumn
from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.state.columns import ColumnMemory, ColumnsKey, column_memory
from airflow_provider_dynamics.transfers.drift import columns_key_source, memory_of, settled
from tests.airflow.transfers.reading import FakeStore

KEY = ColumnsKey("dag", "task", "https://contoso.crm.dynamics.com", "account")
TYPES = {"accountid": "Uniqueidentifier", "name": "String", "revenue": "Money", "employees": "Integer"}


class FakeTables:
    """A client of one table, whose columns are given."""

    def __init__(self, *names, **types):
        columns = {name: Column(name, {**TYPES, **types}[name], name) for name in ("accountid", *names)}
        self._table = Table("account", "accounts", "accountid", "name", columns)

    def table(self, name):
        return self._table

    def columns(self, source):
        chosen = [self._table.column(name) for name in source.select] or list(self._table.columns.values())
        if "accountid" not in [one.name for one in chosen]:
            chosen.insert(0, self._table.columns["accountid"])
        return tuple(ResultColumn(one.name, (one.wire_name,), one.type, one) for one in chosen)


@pytest.fixture
def memory():
    return ColumnMemory(FakeStore(), KEY)


def names(settled):
    return [field.name for field in settled.fields]


def one_run(memory, client, policy="evolve", select=()):
    found = settled(client, Query("account", select=select), policy, memory)
    found.remember()
    return found


def test_a_first_run_takes_the_columns_as_they_are(memory):
    found = one_run(memory, FakeTables("name"), "fail")

    assert names(found) == ["accountid", "name"]
    assert (found.added, found.removed) == ((), ())
    assert memory.load().fields == found.fields


@pytest.mark.parametrize("policy", ["evolve", "fail", "ignore"])
def test_nothing_is_written_where_nothing_has_changed(memory, policy):
    one_run(memory, FakeTables("name"))
    memory.store.set = None

    assert names(one_run(memory, FakeTables("name"), policy)) == ["accountid", "name"]


@pytest.mark.parametrize(
    ("policy", "written"),
    [("evolve", ["accountid", "revenue", "employees"]), ("ignore", ["accountid", "name", "revenue"])],
)
def test_a_column_that_came_and_one_that_went_are_told_and_treated_as_asked(memory, policy, written):
    one_run(memory, FakeTables("name", "revenue"))

    found = one_run(memory, FakeTables("revenue", "employees"), policy)

    assert names(found) == written
    assert (found.added, found.removed) == (("employees",), ("name",))


def test_columns_that_differ_are_refused_with_their_names_until_somebody_agrees(memory):
    one_run(memory, FakeTables("name"))

    for _ in range(2):
        with pytest.raises(FormatError, match=r"new: employees; gone: name.*'fail'"):
            one_run(memory, FakeTables("employees"), "fail")

    one_run(memory, FakeTables("employees"), "evolve")
    assert names(one_run(memory, FakeTables("employees"), "fail")) == ["accountid", "employees"]


def test_a_selected_column_that_is_gone_is_drift_and_one_that_never_was_is_an_error(memory):
    select = ["name", "revenue"]
    one_run(memory, FakeTables("name", "revenue"), select=select)

    for _ in range(2):
        found = one_run(memory, FakeTables("revenue"), "evolve", select)
        assert names(found) == ["accountid", "revenue"]
        assert found.source.select == ("revenue",)
    with pytest.raises(UnknownColumn, match="nme"):
        one_run(memory, FakeTables("revenue"), "evolve", ["nme", "revenue"])
    back = one_run(memory, FakeTables("name", "revenue"), "evolve", select)
    assert (back.added, sorted(names(back))) == (("name",), ["accountid", "name", "revenue"])


def test_where_every_selected_column_is_gone_the_row_ids_are_left(memory):
    one_run(memory, FakeTables("name"), select=["name"])

    assert one_run(memory, FakeTables("revenue"), select=["name"]).source.select == ("accountid",)


def test_a_type_that_widens_is_followed_and_one_that_narrows_is_kept(memory):
    one_run(memory, FakeTables("employees", employees="Integer"))

    wide = one_run(memory, FakeTables("employees", employees="BigInt"))
    after = one_run(memory, FakeTables("employees", employees="Integer"))

    assert [wide.fields[1].kind, after.fields[1].kind] == ["int64", "int64"]


@pytest.mark.parametrize("value", ["text", {}, {"version": 1, "for": "another"}, 5], ids=str)
def test_a_record_that_is_none_is_taken_for_no_record(memory, value, caplog):
    memory.store.set(str(KEY), value)

    assert memory.load() is None
    assert "does not hold" in caplog.text


class Away(FakeStore):
    def set(self, key, value, *, retention=None):
        raise RuntimeError("the API server is away")


def test_columns_that_cannot_be_kept_do_not_fail_a_task_whose_data_is_complete(caplog):
    memory = ColumnMemory(Away(), KEY)

    one_run(memory, FakeTables("name"))

    assert memory.load() is None
    assert "could not be remembered (the API server is away)" in caplog.text


def test_what_asks_for_other_columns_has_a_memory_of_its_own_and_rendered_text_does_not():
    many = Query("account", select=["name"], filter="createdon ge 2026-01-01")
    assert columns_key_source(many) == columns_key_source(
        Query("account", select=["name"], filter="x", top=3)
    )
    assert columns_key_source(many) != columns_key_source(Query("account", select=["name", "revenue"]))
    assert columns_key_source(many) != columns_key_source(Query("account", select=["name"], labels=True))
    assert columns_key_source(FetchXml("<a/>")) == columns_key_source(FetchXml("<b/>"))
    assert columns_key_source(SavedQuery("account", "one")) != columns_key_source(
        SavedQuery("account", "two")
    )


@pytest.mark.parametrize(
    "made",
    [
        lambda day: {
            "apply": f"filter(createdon ge {day}T00:00:00Z and name ne 'O''{day}')/aggregate($count as n)"
        },
        lambda day: {"expand": f"Account_Tasks($select=subject;$filter=createdon ge {day})"},
        lambda day: {"expand": [Expand("Account_Tasks", ["subject"], filter=column("createdon") >= day)]},
    ],
    ids=["apply", "expand as text", "expand"],
)
def test_a_date_rendered_into_a_query_does_not_make_a_memory_a_day(made):
    first, second = (
        columns_key_source(Query("account", **made(day))) for day in ("2026-01-01", "2026-01-02")
    )

    assert first == second


def test_other_expanded_columns_have_a_memory_of_their_own():
    subject, body = (
        columns_key_source(Query("account", expand=[Expand("Account_Tasks", [name])]))
        for name in ("subject", "description")
    )

    assert subject != body


def test_a_key_is_readable_and_fits_a_variable():
    assert str(KEY).startswith("dynamics_columns.account.dag.task.")
    assert len(str(ColumnsKey("d" * 250, "t" * 250, "e", "account"))) <= 250


def test_columns_are_kept_with_the_tables_asset_where_it_is_an_inlet():
    store, asset = FakeStore(), table_asset("account", environment="contoso.crm.dynamics.com")
    context = {
        "ti": SimpleNamespace(dag_id="dag", task_id="task"),
        "asset_state_store": {asset: store},
    }

    memory = memory_of(context, "https://contoso.crm.dynamics.com", Query("account"), [asset])
    memory.save((Field("accountid"),))

    remembered = memory.load()
    assert remembered is not None
    assert remembered.fields == (Field("accountid"),)
    assert len(store.values) == 1


def test_without_an_inlet_columns_are_a_variable(monkeypatch):
    monkeypatch.setenv(f"AIRFLOW_VAR_{str(KEY).upper()}", '"by hand"')

    assert column_memory({}, KEY, []).load() is None
