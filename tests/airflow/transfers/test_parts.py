"""The small parts of transfers by hand: columns that fit, refused rows, progress."""

from __future__ import annotations

import dataclasses

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse.errors import UnknownKey
from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Key, Table
from airflow_provider_dynamics.transfers.loads.columns import check_columns
from airflow_provider_dynamics.transfers.loads.rejects import Limit
from airflow_provider_dynamics.transfers.transfer import storage_path


def column(name, type="String", **facts):
    return Column(name, type, facts.pop("wire_name", name), **facts)


ACCOUNT = Table(
    "account",
    "accounts",
    "accountid",
    "name",
    {
        found.name: found
        for found in (
            column("accountid", "Uniqueidentifier", valid_for_update=False),
            column("name"),
            column("accountnumber"),
            column("createdon", "DateTime", valid_for_create=False, valid_for_update=False),
            column("importsequencenumber", "Integer", valid_for_update=False),
            column(
                "primarycontactid",
                "Lookup",
                wire_name="_primarycontactid_value",
                navigation={"contact": "primarycontactid"},
            ),
            column(
                "customerid",
                "Customer",
                wire_name="_customerid_value",
                navigation={"account": "customerid_account", "contact": "customerid_contact"},
            ),
        )
    },
    keys=(
        Key("by_number", ("accountnumber",), "Active"),
        Key("by_name", ("name",), "Pending"),
    ),
)


@pytest.mark.parametrize(
    ("in_file", "arguments", "sent"),
    [
        pytest.param(["accountid", "name"], {}, ("accountid", "name"), id="the row id finds the row"),
        pytest.param(
            ["number", "name"],
            {"columns": {"number": "accountnumber"}, "key": ("accountnumber",)},
            ("accountnumber", "name"),
            id="a column under another name",
        ),
        pytest.param(
            ["accountnumber", "createdon"],
            {"columns": {"createdon": None}, "key": ("accountnumber",)},
            ("accountnumber",),
            id="a column left out",
        ),
        pytest.param(["name"], {"operation": "create"}, ("name",), id="a create needs no id"),
        pytest.param(
            ["accountid", "createdon"],
            {"operation": "delete"},
            ("accountid",),
            id="a delete takes the id and no more",
        ),
        pytest.param(
            ["accountid", "customerid_contact@odata.bind"],
            {},
            ("accountid", "customerid_contact@odata.bind"),
            id="a lookup by its binding",
        ),
        pytest.param(
            ["accountid", "primarycontactid"], {}, ("accountid", "primarycontactid"), id="a lookup by its id"
        ),
        pytest.param(
            ["accountid", "customerid", "customerid.table"],
            {"lookups": {"customerid", "customerid.table"}},
            ("accountid", "customerid", "customerid.table"),
            id="a lookup of several tables that is looked up",
        ),
        pytest.param(
            ["name", "accountnumber"],
            {"operation": "create", "key": ("accountnumber",)},
            ("name", "accountnumber"),
            id="a create by a key",
        ),
        pytest.param(
            ["legacy", "name"],
            {"columns": {"legacy": None}, "row_id_from": ("legacy",)},
            ("name",),
            id="ids made from a column that is left out",
        ),
        pytest.param(
            ["accountnumber", "name"],
            {"operation": "delete", "row_id_from": ("accountnumber",)},
            ("accountnumber",),
            id="a delete by made ids",
        ),
        pytest.param([], {}, (), id="no rows at all"),
    ],
)
def test_columns_that_fit_are_sent(in_file, arguments, sent):
    asked = {"columns": None, "operation": "upsert", "key": (), **arguments}

    assert check_columns(ACCOUNT, in_file, **asked) == sent


@pytest.mark.parametrize(
    ("in_file", "arguments", "said"),
    [
        pytest.param(["accountid", "nme"], {}, "no column 'nme'.*'name'", id="a column the table lacks"),
        pytest.param(
            ["accountid", "createdon"], {}, "'createdon'.*cannot be written", id="a column nobody may write"
        ),
        pytest.param(
            ["accountid", "importsequencenumber"],
            {"operation": "update"},
            "cannot be written by update",
            id="a column that only a create may write",
        ),
        pytest.param(["name"], {}, "no column 'accountid'.*accountnumber", id="no way to find the row"),
        pytest.param(
            ["name"], {"key": ("accountnumber",)}, "no column for 'accountnumber'", id="a key the file lacks"
        ),
        pytest.param(
            ["accountid"],
            {"columns": {"nmae": "name"}},
            "names 'nmae', which the file does not have",
            id="a mapping of nothing",
        ),
        pytest.param(
            ["accountid", "a", "name"],
            {"columns": {"a": "name"}},
            "'a' and 'name' both go to 'name'",
            id="two to one",
        ),
        pytest.param(
            ["name"],
            {"operation": "create", "key": ("number",)},
            "key names 'number', which the file does not have",
            id="a create by a key the file lacks",
        ),
        pytest.param(
            ["name"],
            {"row_id_from": ("nme",)},
            "row_id_from names 'nme', which the file does not have; did you mean 'name'",
            id="ids from a column the file lacks",
        ),
        pytest.param(
            ["name", "accountnumber"],
            {"row_id_from": ("name",), "key": ("accountnumber",)},
            "Leave one of them out",
            id="a key and made ids",
        ),
        pytest.param(
            ["accountid", "primarycontactid.nme"],
            {},
            "no column 'primarycontactid.nme'",
            id="a part of a lookup that is not looked up",
        ),
        pytest.param(
            ["accountid", "customerid"], {}, "several tables", id="an id that does not say of which table"
        ),
        pytest.param(
            ["accountid", "customerid_Contact@odata.bind"],
            {},
            "no lookup.*customerid_contact",
            id="a binding misspelt",
        ),
    ],
)
def test_columns_that_do_not_fit_are_answered_with_what_to_change(in_file, arguments, said):
    asked = {"columns": None, "operation": "upsert", "key": (), **arguments}

    with pytest.raises(AirflowFailException, match=said):
        check_columns(ACCOUNT, in_file, **asked)


def test_a_table_that_makes_its_own_ids_takes_none():
    fixed = dataclasses.replace(
        ACCOUNT, columns={**ACCOUNT.columns, "accountid": column("accountid", valid_for_create=False)}
    )
    with pytest.raises(
        AirflowFailException, match="does not let the caller choose row ids: leave row_id_from out"
    ):
        check_columns(fixed, ["name"], None, "create", (), row_id_from=("name",))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        pytest.param(("primarycontactid",), "accountnumber", id="columns that are no key"),
        pytest.param(("name",), "Pending", id="a key whose index is not ready"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(key, said):
    with pytest.raises(UnknownKey, match=said):
        check_columns(ACCOUNT, list(key), None, "upsert", key)


@pytest.mark.parametrize(
    ("value", "rows", "accepted"),
    [
        (0, 100, 0),
        (5, 100, 5),
        ("5", 100, 5),
        ("1%", 250, 2),
        ("1.5 %", 1000, 15),
        ("0%", 100, 0),
        ("100%", 3, 3),
    ],
    ids=repr,
)
def test_refused_rows_are_accepted_up_to_a_count_or_a_share(value, rows, accepted):
    limit = Limit.read(value)

    assert limit.allows(accepted, rows)
    assert not limit.allows(accepted + 1, rows)


@pytest.mark.parametrize("value", ["some", "-1", "101%", "", None, "1,5%"], ids=repr)
def test_a_limit_that_is_none_is_named(value):
    with pytest.raises(AirflowFailException, match="max_rejects"):
        Limit.read(value)


def test_a_path_that_brings_its_own_connection_keeps_it():
    path = ObjectStoragePath("file:///tmp/x.csv", conn_id="mine")

    assert storage_path(path, None) is path
    assert storage_path("file:///tmp/x.csv", "").conn_id is None
