"""A condition in FetchXML finds the rows it finds in OData, on a service that reads both."""

from __future__ import annotations

import re
import uuid
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, FetchXml, Query, any_of, column, errors
from airflow_provider_dynamics.dataverse.queries.conditions import odata
from airflow_provider_dynamics.dataverse.reading.fetch_conditions import document

SOME = uuid.UUID("00000000-0000-0000-0000-000000000001")


@pytest.fixture(scope="module")
def client(emulator_server):
    emulator_server.reset()
    credential = ClientSecret(
        *(emulator_server.tenant_id, emulator_server.client_id, emulator_server.client_secret),
        authority=Authority(url=emulator_server.url),
    )
    with Client(emulator_server.url, credential, ca_bundle=emulator_server.ca_bundle) as made:
        yield made


CONDITIONS = [
    column("name").startswith("A"),
    ~column("name").startswith("A"),
    column("name").contains("e"),
    ~column("name").contains("100%"),
    column("name").endswith("n"),
    column("name") == "O'Neill & <Sons>",
    column("name") != "x",
    column("telephone1").is_null(),
    ~column("telephone1").is_null(),
    column("revenue") > Decimal("1000.50"),
    ~(column("revenue") > 1000),
    column("numberofemployees").between(5, 200),
    ~column("numberofemployees").between(5, 200),
    column("numberofemployees").is_in([1, 10, 100]),
    column("statecode") == 0,
    column("creditonhold") == True,  # noqa: E712 - it makes a condition
    column("createdon") < datetime(2026, 1, 1, tzinfo=timezone.utc),
    column("createdon").on_or_after(date(2020, 1, 1)),
    column("createdon").last_x_days(3000),
    column("createdon").older_than_x_days(10),
    column("createdon").function("ThisYear"),
    column("createdon").function("Last7Days"),
    column("primarycontactid") == SOME,
    ~column("primarycontactid").is_in([SOME]),
    column("ownerid").function("EqualUserId"),
    (column("statecode") == 0) & (column("name").startswith("A") | (column("revenue") < 10)),
    ~((column("statecode") == 0) & (column("name").startswith("A") | (column("revenue") < 10))),
    column("createdon") == column("modifiedon"),
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_it_finds_the_same_rows_as_odata_does(client, condition):
    text = document(client._tables.outline("account"), condition, client._tables)

    fetched = {row["accountid"] for row in client.rows(FetchXml(text))}

    assert fetched == {row["accountid"] for row in client.rows(Query("account", ["name"], filter=condition))}


@pytest.mark.parametrize(
    ("condition", "operator"),
    [
        (column("createdon").function("OlderThanXMonths", 3), "olderthan-x-months"),
        (column("createdon").function("InFiscalPeriodAndYear", 1, 2026), "in-fiscal-period-and-year"),
        (column("createdon").next_x_days(3), "next-x-days"),
        (column("ownerid").function("NotEqualUserId"), "ne-userid"),
        (column("ownerid").function("EqualUserOrUserTeams"), "eq-useroruserteams"),
        (column("accountid").function("AboveOrEqual", SOME), "eq-or-above"),
        (column("accountid").function("NotUnder", SOME), "not-under"),
    ],
    ids=str,
)
def test_functions_go_by_fetchxmls_own_names(client, condition, operator):
    text = document(client._tables.outline("account"), condition, client._tables)

    assert re.findall(r'operator="([^"]+)"', text) == [operator]


def test_without_a_condition_it_finds_all(client):
    text = document(client._tables.outline("account"), None, client._tables)

    assert text == '<fetch><entity name="account"><attribute name="accountid" /></entity></fetch>'


@pytest.mark.parametrize(
    "condition",
    [
        column("primarycontactid/fullname") == "x",
        any_of("Account_Tasks"),
        odata("statecode eq 0"),
        (column("name") == "x") & odata("statecode eq 0"),
    ],
    ids=repr,
)
def test_what_fetchxml_says_in_another_way_is_refused(client, condition):
    with pytest.raises(errors.BadRequest, match="cannot be put as FetchXML") as raised:
        document(client._tables.outline("account"), condition, client._tables)

    assert "Give a FetchXML document" in raised.value.remedy


def test_a_typo_names_the_nearest(client):
    with pytest.raises(errors.UnknownColumn, match="Did you mean 'name'"):
        document(client._tables.outline("account"), column("nam") == "x", client._tables)
