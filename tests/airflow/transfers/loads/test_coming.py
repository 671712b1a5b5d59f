"""Rows that a plan would make are known by the keys that lookups ask for, as Dataverse compares keys."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.transfers.loads.coming import Coming
from airflow_provider_dynamics.transfers.loads.lookup_keys import TargetKey
from airflow_provider_dynamics.transfers.loads.row import LoadRow

ID, OTHER = "d6f193fc-ce85-e611-80d8-00155d2a68de", "c59648c3-68f7-e511-80d3-00155db53318"
BY_ID = TargetKey("account")
BY_NUMBER = TargetKey("account", ("accountnumber",))
BY_NAME_AND_PARENT = TargetKey("account", ("name", "parentaccountid"))
BY_SIZE = TargetKey("account", ("numberofemployees",))
OF_CONTACTS = TargetKey("contact", ("name",))
KINDS = {
    "accountid": "Uniqueidentifier",
    "accountnumber": "String",
    "name": "String",
    "numberofemployees": "Integer",
}


def table(name):
    """Return a table with the columns of accounts, whatever it is called."""
    columns = {column: Column(column, kind, column) for column, kind in KINDS.items()}
    columns["parentaccountid"] = Column(
        "parentaccountid", "Lookup", "_parentaccountid_value", navigation={"account": "parentaccountid"}
    )
    return Table(name, f"{name}s", "accountid", "name", columns=columns)


def noted(*keys, row_id=None, of="account", **values):
    coming = Coming(keys)
    coming.note(table(of), LoadRow(1, None, {}, values, row_id=row_id))
    return coming


@pytest.mark.parametrize("value", ["A-1", "a-1", "A-1  "])
def test_a_row_is_known_by_its_key_however_that_is_spelled(value):
    assert noted(BY_NUMBER, accountnumber="A-1").has(BY_NUMBER, [value])


@pytest.mark.parametrize("value", ["A-2", " A-1", "", None])
def test_another_value_is_not_known(value):
    assert not noted(BY_NUMBER, accountnumber="A-1").has(BY_NUMBER, [value])


@pytest.mark.parametrize("value", [7, "7", "7.0", Decimal("7.00")])
def test_numbers_are_known_by_their_value(value):
    assert noted(BY_SIZE, numberofemployees=7).has(BY_SIZE, [value])


def test_what_cannot_be_a_value_of_the_column_is_not_known():
    assert not noted(BY_SIZE, numberofemployees=7).has(BY_SIZE, ["seven"])
    assert not noted(BY_SIZE, numberofemployees="seven").has(BY_SIZE, ["seven"])


def test_a_key_without_columns_is_the_row_id_whether_made_here_or_given_by_the_row():
    assert noted(BY_ID, row_id=ID).has(BY_ID, [ID.upper()])
    assert noted(BY_ID, accountid=ID).has(BY_ID, [ID])
    assert not noted(BY_ID, row_id=ID).has(BY_ID, [OTHER])


def test_a_lookup_in_a_key_is_the_id_it_is_bound_to():
    coming = noted(
        BY_NAME_AND_PARENT, **{"name": "Sub", "parentaccountid@odata.bind": f"/accounts({OTHER.upper()})"}
    )

    assert coming.has(BY_NAME_AND_PARENT, ["sub", OTHER])
    assert not coming.has(BY_NAME_AND_PARENT, ["sub", ID])


def test_a_row_that_lacks_a_part_of_the_key_is_not_known_by_it():
    assert not noted(BY_NAME_AND_PARENT, name="Sub").has(BY_NAME_AND_PARENT, ["Sub", None])


def test_parts_of_a_key_are_not_run_together():
    both = TargetKey("account", ("name", "accountnumber"))

    assert not noted(both, name="A", accountnumber="BC").has(both, ["AB", "C"])


def test_only_keys_that_lookups_ask_for_are_known_each_for_itself():
    coming = noted(BY_NUMBER, BY_ID, accountnumber="A-1", row_id=ID, name="A-1")

    assert not coming.has(BY_ID, ["A-1"])
    assert not coming.has(TargetKey("account", ("name",)), ["A-1"])


def test_a_row_of_another_table_is_not_known():
    assert not noted(OF_CONTACTS, of="account", name="A").has(OF_CONTACTS, ["A"])
    assert noted(OF_CONTACTS, of="contact", name="A").has(OF_CONTACTS, ["A"])


def test_nothing_is_known_before_a_row_was_noted():
    assert not Coming([BY_NUMBER]).has(BY_NUMBER, ["A-1"])
    assert not Coming().has(BY_NUMBER, ["A-1"])
