"""Definitions that are wanted: what they become on the wire, and what cannot be one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_dynamics.dataverse.administration import differences
from airflow_provider_dynamics.dataverse.administration.definitions import (
    NewChoice,
    NewColumn,
    NewKey,
    NewTable,
    options_of,
)
from airflow_provider_dynamics.dataverse.administration.labels import label


def words(found):
    return found["LocalizedLabels"][0]["Label"]


def test_a_text_column_is_the_document_of_microsofts_page():
    made = NewColumn("new_BankName", "String", "Bank Name", description="Type the name of the bank").body(
        1033
    )

    # https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-column-definitions-using-web-api#create-a-string-column
    assert made == {
        "AttributeType": "String",
        "AttributeTypeName": {"Value": "StringType"},
        "Description": label("Type the name of the bank", 1033),
        "DisplayName": label("Bank Name", 1033),
        "RequiredLevel": {
            "Value": "None",
            "CanBeChanged": True,
            "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
        },
        "SchemaName": "new_BankName",
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
        "FormatName": {"Value": "Text"},
        "MaxLength": 100,
    }


@pytest.mark.parametrize(
    ("column", "members"),
    [
        (NewColumn("new_A", "Money"), {"PrecisionSource": 2, "Precision": 2}),
        (NewColumn("new_A", "Money", precision=4), {"PrecisionSource": 0, "Precision": 4}),
        (NewColumn("new_A", "DateTime", behavior="DateOnly"), {"Format": "DateOnly"}),
        (
            NewColumn("new_A", "DateTime"),
            {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}},
        ),
        (
            NewColumn("new_A", "Decimal", minimum=0, maximum=Decimal("99.5")),
            {"MinValue": 0, "MaxValue": 99.5},
        ),
        (NewColumn("new_A", "Boolean"), {"DefaultValue": False}),
        (
            NewColumn("new_A", "MultiSelectPicklist", options={1: "x"}),
            {"AttributeType": "Virtual", "AttributeTypeName": {"Value": "MultiSelectPicklistType"}},
        ),
        (
            NewColumn("new_A", "Picklist", choice="new_c"),
            {"GlobalOptionSet@odata.bind": "/GlobalOptionSetDefinitions(Name='new_c')"},
        ),
        (NewColumn("new_A", "File"), {"MaxSizeInKB": 32768}),
    ],
    ids=lambda value: value.type if isinstance(value, NewColumn) else "",
)
def test_each_type_has_members_of_its_own(column, members):
    made = column.body(1033)

    assert {name: made[name] for name in members} == members


def test_options_keep_their_numbers_through_json_and_templates():
    column = NewColumn.of({"name": "new_A", "type": "Picklist", "options": {"1": "Open", "2": "Closed"}})

    assert column.options == {1: "Open", 2: "Closed"}
    assert [one["Value"] for one in column.body(1033)["OptionSet"]["Options"]] == [1, 2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "new_A", "type": "Strng"}, "did you mean 'String'"),
        ({"name": "new_A", "type": "String", "lenght": 3}, "A column has no 'lenght'"),
        ({"name": "new_A", "type": "String", "max_lenght": 3}, "did you mean 'max_length'"),
        ({"name": "Amount", "type": "Money"}, "begins with the prefix of a solution's publisher"),
        ({"name": "new_A B", "type": "Money"}, "cannot be a column's name"),
        (
            {"name": "new_A", "type": "Money", "max_length": 3},
            "max_length of new_A: not for a column of type Money",
        ),
        ({"name": "new_A", "type": "Picklist"}, "give options or choice"),
        (
            {"name": "new_A", "type": "Picklist", "options": {1: "a"}, "choice": "new_c"},
            "give options or choice",
        ),
        ({"name": "new_A", "type": "Picklist", "options": ["a"]}, "give a dict"),
        ({"name": "new_A", "type": "Picklist", "options": {"a": "b"}}, "whole numbers, not 'a'"),
        ({"name": "new_A", "type": "Lookup"}, "name the table it leads to in targets"),
        ({"name": "new_A", "type": "String", "required": "yes"}, "required of new_A is 'yes'"),
        ({"name": "new_A"}, "lacks its type"),
        ({}, "lacks its name and type"),
        ("new_A", "give a dict with its name and type"),
    ],
)
def test_a_wrong_word_is_named_with_the_right_one(given, said):
    with pytest.raises(ValueError, match=r"new_A|column|options|Amount|lacks") as raised:
        NewColumn.of(given)

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NewKey("new_K", ()), "needs columns, each once"),
        (lambda: NewKey("new_K", ("a", "A")), "needs columns, each once"),
        (lambda: NewKey("key", ("a",)), "cannot be a key's name"),
        (lambda: NewChoice("new_c", {}), "needs options"),
        (lambda: NewTable("new_T", "T", "Ts", NewColumn("new_N", "Memo")), "it must be a String"),
        (
            lambda: NewTable("new_T", "T", "Ts", NewColumn("new_N", "String"), ownership="team"),
            "ownership is 'team'",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_asked(make, said):
    with pytest.raises(ValueError, match=r"new_|key|owner") as raised:
        make()

    assert said in str(raised.value)


def test_labels_of_other_languages_are_no_difference():
    found = {"DisplayName": label("Betrag", 1031), "AttributeType": "Money", "Precision": 2}

    assert not list(differences.of_column(found, NewColumn("new_A", "Money", "Amount", precision=2), 1033))


def test_what_is_not_said_is_never_different():
    found = {"AttributeType": "String", "MaxLength": 4000, "RequiredLevel": {"Value": "Recommended"}}

    assert not list(differences.of_column(found, NewColumn("new_A", "String"), 1033))


def test_the_order_of_a_keys_columns_is_no_difference():
    assert not list(differences.of_key({"KeyAttributes": ["b", "a"]}, NewKey("new_K", ("A", "b"))))


@pytest.mark.parametrize("number", ["7", 7, "7.0"])
def test_numbers_are_numbers_however_they_are_written(number):
    found = {"AttributeType": "Decimal", "MaxValue": number}

    assert not list(differences.of_column(found, NewColumn("new_A", "Decimal", maximum=7), 1033))


def test_options_may_be_more_than_wanted():
    found = {"Options": [{"Value": n, "Label": label(str(n), 1033)} for n in range(4)]}

    assert not list(differences.of_options(found, options_of({"1": "1"}), 1033))
