"""A row to be sent is held against the stored row as Dataverse stores values."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.rows.comparing import (
    compared_columns,
    differences,
    readable,
    restored,
)

ONE, OTHER = "d6f193fc-ce85-e611-80d8-00155d2a68de", "c59648c3-68f7-e511-80d3-00155db53318"
TARGET = "@Microsoft.Dynamics.CRM.lookuplogicalname"
OSLO = timezone(timedelta(hours=2))
LOOKUPS = {
    "primarycontactid": {"contact": "primarycontactid"},
    "customerid": {"account": "customerid_account", "contact": "customerid_contact"},
    "ownerid": {"owner": "ownerid"},
}
TYPES = {
    "accountid": "Uniqueidentifier",
    "name": "String",
    "revenue": "Money",
    "exchange": "Double",
    "employees": "Integer",
    "category": "Picklist",
    "topics": "MultiSelectPicklist",
    "creditonhold": "Boolean",
    "lastonholdtime": "DateTime",
    "primarycontactid": "Lookup",
    "customerid": "Customer",
    "ownerid": "Owner",
}


def column(name: str, kind: str) -> Column:
    wire_name = f"_{name}_value" if name in LOOKUPS else name
    return Column(name, kind, wire_name, navigation=LOOKUPS.get(name, {}))


TABLE = Table(
    *("account", "accounts", "accountid", "name"), columns={name: column(name, TYPES[name]) for name in TYPES}
)


def differ(sent, stored):
    return differences(compared_columns(TABLE, sent), sent, stored)


@pytest.mark.parametrize(
    ("name", "sent", "stored"),
    [
        ("name", "Contoso", "Contoso"),
        ("name", "", None),
        ("revenue", Decimal("10.50"), Decimal("10.5000")),
        ("revenue", 10, Decimal("10.0000")),
        ("revenue", "10.5", Decimal("10.5")),
        ("exchange", 0.1, Decimal("0.1")),
        ("employees", 12, 12),
        ("category", "2", 2),
        ("topics", "9, 1", "1,9"),
        ("creditonhold", False, False),
        ("lastonholdtime", "2024-01-31T10:00:00.250Z", "2024-01-31T10:00:00Z"),
        ("lastonholdtime", "2024-01-31T12:00:00+02:00", "2024-01-31T10:00:00Z"),
        ("lastonholdtime", datetime(2024, 1, 31, 12, tzinfo=OSLO), "2024-01-31T10:00:00Z"),
        ("lastonholdtime", datetime(2024, 1, 31, 10), "2024-01-31T10:00:00Z"),  # noqa: DTZ001 - counts as UTC
        ("lastonholdtime", date(2024, 1, 31), "2024-01-31"),
        ("lastonholdtime", "2024-01-31", "2024-01-31"),
        ("lastonholdtime", None, None),
        ("accountid", ONE.upper(), ONE),
    ],
)
def test_a_value_is_the_same_as_dataverse_stores_it(name, sent, stored):
    assert differ({name: sent}, {name: stored}) == ()


@pytest.mark.parametrize(
    ("name", "sent", "stored"),
    [
        ("name", "contoso", "Contoso"),
        ("name", None, "Contoso"),
        ("name", "Contoso", None),
        ("revenue", Decimal("10.51"), Decimal("10.50")),
        ("revenue", None, Decimal(0)),
        ("employees", 0, None),
        ("employees", "many", 12),
        ("topics", "1", "1,9"),
        ("creditonhold", None, False),
        ("lastonholdtime", "2024-01-31T10:00:01Z", "2024-01-31T10:00:00Z"),
        ("lastonholdtime", "yesterday at T", "2024-01-31T10:00:00Z"),
        ("accountid", ONE, OTHER),
    ],
)
def test_a_value_that_differs_is_named(name, sent, stored):
    assert differ({name: sent}, {name: stored}) == (name,)


def test_a_lookup_is_the_row_it_points_to_however_it_is_bound():
    stored = {"_primarycontactid_value": ONE}
    for reference in (
        f"/contacts({ONE.upper()})",
        f"contacts({ONE})",
        f"https://a.crm.dynamics.com/contacts({ONE})",
    ):
        assert differ({"primarycontactid@odata.bind": reference}, stored) == ()
    assert differ({"primarycontactid": ONE}, stored) == ()
    assert differ({"primarycontactid@odata.bind": f"/contacts({OTHER})"}, stored) == (
        "primarycontactid@odata.bind",
    )
    assert differ({"primarycontactid@odata.bind": None}, stored) == ("primarycontactid@odata.bind",)
    assert differ({"primarycontactid": None}, {"_primarycontactid_value": None}) == ()


def test_a_lookup_of_several_tables_is_compared_under_each_of_its_names():
    stored = {"_customerid_value": ONE}
    assert differ({"customerid_contact@odata.bind": f"/contacts({ONE})"}, stored) == ()
    assert differ({"customerid_account@odata.bind": f"/accounts({OTHER})"}, stored) == (
        "customerid_account@odata.bind",
    )


def test_what_cannot_be_compared_counts_as_different():
    sent = {
        "primarycontactid@odata.bind": "/contacts(emailaddress1='a@b.c')",
        "contact_customer_accounts": [],
    }
    assert differ(sent, {"_primarycontactid_value": ONE}) == tuple(sent)


def test_the_columns_to_read_are_those_behind_the_names_and_the_id():
    names = [
        "name",
        "customerid_contact@odata.bind",
        "customerid_account@odata.bind",
        "tags",
        "_ownerid_value",
    ]
    assert readable(TABLE, names) == ("accountid", "name", "customerid", "ownerid")


def test_a_stored_row_becomes_the_row_that_restores_it():
    stored = {
        "accountid": ONE,
        "name": None,
        "revenue": Decimal("1.50"),
        "_primarycontactid_value": OTHER,
        "_customerid_value": OTHER,
        f"_customerid_value{TARGET}": "account",
        "_ownerid_value": OTHER,
        f"_ownerid_value{TARGET}": "team",
    }
    names = ["name", "revenue", "primarycontactid", "customerid_contact@odata.bind", "ownerid@odata.bind"]
    assert restored(TABLE, stored, names, lambda table: f"{table}s") == {
        "name": None,
        "revenue": Decimal("1.50"),
        "primarycontactid@odata.bind": f"/contacts({OTHER})",
        "customerid_account@odata.bind": f"/accounts({OTHER})",
        "ownerid@odata.bind": f"/teams({OTHER})",
    }


def test_an_empty_lookup_is_restored_to_empty_and_one_of_unknown_target_is_left_out():
    stored = {"_primarycontactid_value": None, "_customerid_value": OTHER}
    names = ["primarycontactid", "customerid_contact@odata.bind"]
    assert restored(TABLE, stored, names, str) == {"primarycontactid": None}
