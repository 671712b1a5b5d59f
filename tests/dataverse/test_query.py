"""Queries, documents and views as values: what they hold, and what they refuse at once."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse import Expand, FetchXml, Query, SavedQuery, column
from airflow_provider_dynamics.dataverse.queries.query import first_row, mapped


def test_names_may_be_text_with_commas():
    assert Query("account", "name, revenue").select == ("name", "revenue")
    assert Expand("primarycontactid", "fullname,jobtitle").select == ("fullname", "jobtitle")


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "3"])
@pytest.mark.parametrize(
    "make",
    [
        lambda value: Query("account", top=value),
        lambda value: Query("account", page_size=value),
        lambda value: Expand("Account_Tasks", top=value),
        lambda value: FetchXml("<fetch/>", page_size=value),
        lambda value: SavedQuery("account", "Active Accounts", page_size=value),
    ],
)
def test_a_count_that_is_no_whole_number_from_1_up_is_refused(make, value):
    with pytest.raises(ValueError, match="whole number from 1 up"):
        make(value)


def test_what_is_neither_text_nor_expands_is_refused():
    with pytest.raises(TypeError, match="must be OData's text or Expand values"):
        Query("account", expand=["primarycontactid"])  # type: ignore[list-item]


@pytest.mark.parametrize("others", [{"select": ["name"]}, {"top": 3}, {"order_by": "name"}, {"count": True}])
def test_apply_goes_with_filter_alone(others):
    with pytest.raises(ValueError, match="apply goes with filter alone"):
        Query("account", apply="aggregate($count as n)", **others)


def test_a_filter_beside_a_filter_in_apply_is_refused():
    with pytest.raises(ValueError, match="put both conditions into filter"):
        Query("account", apply="filter(statecode eq 0)/aggregate($count as n)", filter=column("name") == "A")


@pytest.mark.parametrize("document", ["", "  \n"])
def test_an_empty_document_is_refused(document):
    with pytest.raises(ValueError, match="document is empty"):
        FetchXml(document)


def test_a_view_without_a_name_is_refused():
    with pytest.raises(ValueError, match="view is empty"):
        SavedQuery("account", " ")


def test_a_document_says_its_table():
    assert FetchXml("<fetch><entity name='account'/></fetch>").table == "account"


@pytest.mark.parametrize(
    ("source", "first"),
    [
        (Query("account", page_size=500), Query("account", top=1)),
        (Query("account", apply="aggregate($count as n)"), Query("account", apply="aggregate($count as n)")),
        (FetchXml("<fetch/>"), FetchXml("<fetch/>", page_size=1)),
        (SavedQuery("account", "Mine", personal=True), SavedQuery("account", "Mine", True, page_size=1)),
    ],
)
def test_of_a_first_row_no_more_is_asked_than_can_be(source, first):
    assert first_row(source) == first


def test_a_text_that_becomes_a_number_stays_text_where_only_text_can_be():
    changed = mapped(column("name").startswith("x") & (column("revenue") > "x"), lambda _: 7)
    assert str(changed) == "startswith(name,'7') and revenue gt 7"


def test_blanks_in_a_selection_given_as_text_are_no_names():
    assert Query("account", " name, revenue ,").select == ("name", "revenue")
    assert Query("account", "").select == ()


def test_texts_inside_conditions_and_expands_can_be_changed():
    condition = (column("name") == "x") & ~column("name").startswith("x") | column("name").is_in(["x", 1])
    expand = (Expand("Account_Tasks", filter=column("subject") == "x", expand=[Expand("ownerid")]),)

    changed = mapped(condition, str.upper)

    assert str(changed) == str(condition).replace("'x", "'X").replace('"x', '"X')
    assert str(mapped(expand, str.upper)[0].filter) == "subject eq 'X'"
    assert mapped("x", str.upper) == "x"
    assert mapped(None, str.upper) is None
