"""What has to wait waits, what need not does not, and what could not be sent later is refused at once."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Key, Table
from airflow_provider_dynamics.transfers.loads.job import TableLoad
from airflow_provider_dynamics.transfers.loads.passes import KINDS, Pass, passes_of


def lookup(name, *targets, **more):
    navigation = {target: name if len(targets) == 1 else f"{name}_{target}" for target in targets}
    return Column(name, "Lookup", f"_{name}_value", targets=targets, navigation=navigation, **more)


def table(*, state_on_create=False, owner_on_create=True, own_ids=True):
    columns = [
        Column("accountid", "Uniqueidentifier", "accountid", valid_for_create=own_ids),
        Column("name", "String", "name"),
        Column("accountnumber", "String", "accountnumber"),
        lookup("parentaccountid", "account"),
        lookup("primarycontactid", "contact"),
        lookup("customerid", "account", "contact"),
        Column(
            "ownerid",
            "Owner",
            "_ownerid_value",
            targets=("systemuser", "team"),
            navigation={"owner": "ownerid"},
            valid_for_create=owner_on_create,
        ),
        Column("statecode", "State", "statecode", valid_for_create=state_on_create),
        Column("statuscode", "Status", "statuscode"),
    ]
    keys = (Key("number", ("accountnumber",), "Active"),)
    return Table(
        "account", "accounts", "accountid", "name", {column.name: column for column in columns}, keys
    )


ACCOUNT = table()
KEYED = {"table": "account", "key": ["accountnumber"]}


def passes(columns, later=None, of=ACCOUNT, **members):
    return passes_of(of, TableLoad.of({**KEYED, **members}), ["accountnumber", *columns], later)


def test_plain_columns_need_one_pass():
    assert passes(["name", "primarycontactid", "ownerid"]) == (Pass(1, "upsert"),)


def test_a_lookup_to_the_table_itself_waits():
    assert passes(["name", "parentaccountid"]) == (
        Pass(1, "upsert", None, frozenset({"parentaccountid"})),
        Pass(2, "update", frozenset({"parentaccountid"}), kind="lookups"),
    )


@pytest.mark.parametrize(
    ("name", "lookups"),
    [
        ("parentaccountid@odata.bind", {}),
        ("parentaccountid", {"parentaccountid": "account.accountnumber"}),
        ("parentaccountid.name", {"parentaccountid": "account.name+accountnumber"}),
        ("customerid_account@odata.bind", {}),
        ("customerid", {}),
        ("customerid.table", {"customerid": ["account.name", "contact.fullname"]}),
    ],
)
def test_however_the_lookup_is_named(name, lookups):
    assert passes([name], lookups=lookups)[0].waits == {name}


@pytest.mark.parametrize(
    ("name", "lookups"),
    [
        ("customerid_contact@odata.bind", {}),
        ("customerid", {"customerid": "contact.emailaddress1"}),
        ("parentaccountid.x", {}),
    ],
)
def test_a_lookup_that_leads_elsewhere_does_not_wait(name, lookups):
    assert passes([name], lookups=lookups)[0].waits == frozenset()


def test_an_update_creates_nothing_that_one_could_wait_for():
    assert passes(["parentaccountid", "statecode"], operation="update") == (Pass(1, "update"),)


def test_an_update_waits_for_rows_that_the_same_run_creates_later():
    waiting = passes(["primarycontactid", "statecode"], ["contact"], operation="update")
    assert [one.kind for one in waiting] == ["rows", "lookups", "state"]


def test_deletions_have_one_pass_whatever_the_file_holds():
    assert passes(["parentaccountid"], operation="delete") == (Pass(1, "delete"),)


def test_rows_of_an_earlier_load_are_not_waited_for():
    assert passes(["primarycontactid", "parentaccountid"], later=[]) == (Pass(1, "upsert"),)


def test_states_wait_where_a_new_row_cannot_have_one():
    assert [one.kind for one in passes(["statecode", "statuscode", "name"])] == ["rows", "state"]
    assert passes(["statecode", "statuscode"])[1].columns == {"statecode", "statuscode"}
    assert passes(["statuscode"])[1].columns == {"statuscode"}
    assert len(passes(["statecode"], of=table(state_on_create=True))) == 1


def test_rows_are_closed_only_when_their_lookups_are_set():
    both = passes(["statecode", "parentaccountid"], of=table(state_on_create=True))
    assert [one.kind for one in both] == ["rows", "lookups", "state"]


def test_an_owner_goes_with_the_row_unless_a_new_row_cannot_have_one():
    assert len(passes(["ownerid"])) == 1
    assert [one.kind for one in passes(["ownerid", "statecode"], of=table(owner_on_create=False))] == [
        "rows",
        "owner",
        "state",
    ]


def test_what_finds_the_row_never_waits():
    own = TableLoad.of({"table": "account", "key": ["parentaccountid", "name"]})
    assert passes_of(ACCOUNT, own, ["parentaccountid", "name"]) == (Pass(1, "upsert"),)


def test_rows_that_could_not_be_found_again_are_refused_before_anything_is_written():
    with pytest.raises(
        AirflowFailException, match=r"statecode of table account can be set only once its rows exist"
    ):
        passes(["statecode"], of=table(own_ids=False), operation="create", key=[])
    assert len(passes(["statecode"], of=table(own_ids=False))) == 2
    assert len(passes(["statecode"], operation="create", key=[])) == 2


NAMES = [
    "name",
    "parentaccountid",
    "primarycontactid",
    "customerid_contact@odata.bind",
    "ownerid",
    "statecode",
    "statuscode",
]


@given(
    st.lists(st.sampled_from(NAMES), unique=True),
    st.sampled_from(["create", "upsert", "update", "delete"]),
    st.none() | st.lists(st.sampled_from(["account", "contact"]), unique=True),
    st.booleans(),
    st.booleans(),
)
def test_every_value_is_sent_by_exactly_one_pass(columns, operation, later, state, owner):
    first, *rest = passes(
        columns,
        later,
        table(state_on_create=state, owner_on_create=owner),
        operation=operation,
        key=["accountnumber"],
    )
    assert first.columns is None
    assert first.waits == frozenset().union(*(one.columns for one in rest))
    assert sum(len(one.columns) for one in rest) == len(first.waits)
    assert [one.number for one in (first, *rest)] == list(range(1, len(rest) + 2))
    assert [KINDS.index(one.kind) for one in (first, *rest)] == sorted(
        KINDS.index(one.kind) for one in (first, *rest)
    )
    assert {one.operation for one in rest} <= {"update"}
    assert "accountnumber" not in first.waits
