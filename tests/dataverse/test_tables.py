"""A table is known as its metadata has it, and asked for once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.columns import Option
from airflow_provider_dynamics.dataverse.metadata.table import Key

ID = "d6f193fc-ce85-e611-80d8-00155d2a68de"


def test_a_table_comes_with_its_columns_and_keys(tables):
    table = tables.whole("account")
    assert (table.entity_set, table.primary_id, table.primary_name) == ("accounts", "accountid", "name")
    assert table.change_tracking
    assert not table.elastic
    assert table.keys[0] == Key("new_number", ("accountnumber",), "Active")
    assert table.columns["name"].max_length == 160
    assert table.columns["revenue"].precision == 2
    assert table.columns["createdon"].date_behavior == "UserLocal"
    assert not table.columns["createdon"].valid_for_create
    assert table.columns["new_start"].date_behavior == "DateOnly"
    assert table.columns["new_topics"].type == "MultiSelectPicklist"


def test_a_lookup_knows_its_wire_name_and_how_to_bind_it(tables):
    columns = tables.whole("account").columns
    assert columns["primarycontactid"].wire_name == "_primarycontactid_value"
    assert columns["new_region"].navigation == {"new_region": "new_Region"}
    assert columns["new_parentid"].targets == ("account", "contact")
    assert columns["ownerid"].targets == ("systemuser", "team")


def test_the_labels_of_choices_and_lookups_are_not_columns(account):
    assert "statecodename" not in account.columns
    assert "primarycontactidname" not in account.columns


def test_an_outline_costs_one_request_and_is_kept(tables, dataverse):
    tables.outline("account")
    tables.outline("account")
    assert len(dataverse.requests) == 1


def test_the_whole_table_asks_only_for_types_it_has_and_once(tables, dataverse):
    tables.whole("account")
    asked = len(dataverse.requests)
    tables.whole("account")
    tables.outline("account")
    assert len(dataverse.requests) == asked == 6
    assert dataverse.sent("GET", "DoubleAttributeMetadata") == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        pytest.param("acount", "Did you mean 'account'?", id="a mistyped name"),
        pytest.param("accounts", "the logical name is 'account'", id="the name in URLs"),
        pytest.param("zzz", "for example 'account'", id="a name like no other"),
    ],
)
def test_an_unknown_table_is_an_error_that_helps(tables, name, advice):
    with pytest.raises(errors.UnknownTable, match=advice):
        tables.outline(name)


@pytest.mark.parametrize("name", ["", "a/b", "account')/Attributes", "a b", "compañía"])
def test_what_cannot_be_a_table_is_not_even_asked_for(tables, dataverse, name):
    with pytest.raises(errors.UnknownTable):
        tables.outline(name)
    assert dataverse.requests == []


def test_columns_go_by_either_spelling(account):
    assert account.wire_names(["name", "primarycontactid", "_primarycontactid_value"]) == [
        "name",
        "_primarycontactid_value",
    ]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        pytest.param("nam", "Did you mean 'name'?", id="a mistyped name"),
        pytest.param("Name", "Did you mean 'name'?", id="a schema name"),
        pytest.param(
            "statecodename", "_?statecode@OData.Community.Display.V1.FormattedValue", id="a choice's label"
        ),
        pytest.param("primarycontactidname", "'_primarycontactid_value@OData", id="a lookup's label"),
        pytest.param("_zzzzzz_value", "logical name", id="nothing similar"),
    ],
)
def test_an_unknown_column_is_an_error_that_helps(account, name, advice):
    with pytest.raises(errors.UnknownColumn, match=advice):
        account.wire_names([name])


def test_a_row_is_named_by_id_or_alternate_key(account):
    assert account.predicate(ID.upper()) == f"({ID})"
    assert account.predicate({"accountid": ID}) == f"({ID})"
    assert account.predicate({"accountnumber": "A'1"}) == "(accountnumber='A''1')"
    assert account.predicate({"name": "N", "new_region": ID}) == f"(_new_region_value={ID},name='N')"


def test_a_key_that_is_not_there_names_those_that_are(account):
    with pytest.raises(
        errors.UnknownKey, match="Its alternate keys: accountnumber; new_region,name; numberof"
    ):
        account.predicate({"name": "N"})


def test_a_key_still_being_built_cannot_be_used(account):
    with pytest.raises(
        errors.UnknownKey, match="new_employees of account is not ready: its index is Pending"
    ):
        account.predicate({"numberofemployees": 5})


def test_a_row_id_that_is_none_is_refused(account):
    with pytest.raises(errors.BadRequest, match="'A1' is not a row id"):
        account.predicate("A1")


def test_upsert_in_chunks_is_there_where_both_others_are(tables, dataverse):
    assert tables.accepts("account", "UpsertMultiple")
    assert not any("UpsertMultiple" in request.target for request in dataverse.requests)
    asked = len(dataverse.requests)
    assert tables.accepts("account", "CreateMultiple")
    assert len(dataverse.requests) == asked


def test_upsert_in_chunks_is_missing_where_one_of_them_is(tables, dataverse):
    dataverse.messages = {"CreateMultiple"}
    assert not tables.accepts("account", "UpsertMultiple")
    assert tables.accepts("account", "CreateMultiple")


def test_who_may_not_look_at_messages_tries_them(tables, dataverse):
    def refuse(request):
        if "sdkmessagefilters" in request.target:
            raise errors.Forbidden("no")

    dataverse.before = refuse
    assert tables.accepts("account", "CreateMultiple")


# -- what values are checked by before they are sent


def test_a_table_for_writing_knows_limits_places_and_options(tables):
    columns = tables.for_writing("account").columns
    assert (columns["numberofemployees"].minimum, columns["numberofemployees"].maximum) == (0, 1_000_000_000)
    assert columns["revenue"].maximum == Decimal(922337203685477)
    assert columns["statecode"].options == (
        Option(0, ("Aktiv", "Active")),
        Option(1, ("Inactive",)),
    )
    assert columns["donotemail"].options == (Option(0, ("Allow",)), Option(1, ("Do Not Allow",)))
    assert [option.value for option in columns["new_topics"].options] == [1, 9]
    assert columns["statecode"].options[0].label == "Aktiv"


def test_only_types_of_the_columns_that_are_sent_are_asked_for_and_once(tables, dataverse):
    tables.whole("account")
    asked = len(dataverse.requests)
    tables.for_writing("account", ["name", "statecode", "nothing"])
    tables.for_writing("account", ["statecode"])
    assert [request.target.split("CRM.")[1].split("?")[0] for request in dataverse.requests[asked:]] == [
        "StateAttributeMetadata"
    ]
    assert not tables.for_writing("account", ["statecode"]).columns["donotemail"].options
    assert tables.for_writing("account", ["donotemail"]).columns["donotemail"].options


@pytest.mark.parametrize(
    ("source", "rows", "places"),
    [
        pytest.param(0, {}, 2, id="the column's own"),
        pytest.param(
            1, {"organizations": [{"pricingdecimalprecision": 3}]}, 3, id="the organization's for prices"
        ),
        pytest.param(
            2,
            {"transactioncurrencies": [{"currencyprecision": 2}, {"currencyprecision": 0}]},
            2,
            id="the currencies', the most of them",
        ),
        pytest.param(2, {}, 4, id="what storage keeps, if currencies may not be read"),
        pytest.param(None, {}, None, id="not known"),
    ],
)
def test_the_places_of_money_come_from_where_the_column_says(tables, dataverse, source, rows, places):
    dataverse.details["MoneyAttributeMetadata"][0]["PrecisionSource"] = source
    dataverse.listed = rows
    column = tables.for_writing("account", ["revenue"]).columns["revenue"]
    assert (column.places, column.precision) == (places, 2)
