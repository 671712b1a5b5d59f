"""Views by name or by id, read as the FetchXML they hold."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from airflow_provider_dynamics.dataverse import FetchXml, SavedQuery, errors
from airflow_provider_dynamics.dataverse.reading.saved import document

FETCH = "<fetch><entity name='account'><attribute name='name'/></entity></fetch>"
ID = "00000000-0000-0000-00aa-000010001002"


class Views:
    """Answers for views beside what the fake Dataverse knows."""

    def __init__(self, dataverse, answer_of, *views):
        self.dataverse, self.answer_of, self.views = dataverse, answer_of, views
        self.asked = []

    def send(self, request, stop=None):
        target = unquote(request.target)
        if not re.match(r"(savedqueries|userqueries)", target):
            return self.dataverse.send(request, stop)
        self.asked.append(target)
        if found := re.search(r"\(([0-9a-f-]{36})\)", target):
            view = next((view for view in self.views if view["savedqueryid"] == found[1]), None)
            if view is None:
                raise errors.RowNotFound(
                    "savedquery Does Not Exist", status=404, code="0x80040217", request_id="r"
                )
            return self.answer_of(view)
        name = re.search(r"name eq '((?:[^']|'')*)'", target)
        wanted = name and name[1].replace("''", "'")
        return self.answer_of({"value": [view for view in self.views if wanted in {None, view["name"]}]})


def view(name="Active Accounts", *, row_id=ID, table="account", fetchxml=FETCH):
    return {"savedqueryid": row_id, "name": name, "returnedtypecode": table, "fetchxml": fetchxml}


@pytest.fixture
def views(dataverse, answer_of):
    return lambda *found: Views(dataverse, answer_of, *found)


def test_a_view_is_found_by_its_name_whatever_is_in_it(views, tables):
    service = views(view("Bob's"), view("Others"))
    assert document(service, SavedQuery("account", "Bob's", page_size=7, labels=True), tables) == FetchXml(
        FETCH, page_size=7, labels=True
    )
    assert service.asked == [
        (
            "savedqueries?$select=savedqueryid,name,returnedtypecode,fetchxml"
            "&$filter=returnedtypecode eq 'account' and name eq 'Bob''s'"
        )
    ]


def test_a_view_is_found_by_its_id(views, tables):
    service = views(view())
    assert document(service, SavedQuery("account", "{" + ID.upper() + "}"), tables) == FetchXml(FETCH)


def test_views_of_a_person_are_kept_apart(views, tables):
    service = views({**view("Mine"), "userqueryid": ID})
    document(service, SavedQuery("account", "Mine", personal=True), tables)
    assert service.asked[0].startswith("userqueries?")


def test_a_mistyped_view_names_the_nearest(views, tables):
    with pytest.raises(
        errors.UnknownView, match=r"no system view 'Active Acounts'. Did you mean 'Active Accounts'"
    ):
        document(views(view()), SavedQuery("account", "Active Acounts"), tables)


def test_an_unknown_id_says_what_the_service_said(views, tables):
    with pytest.raises(errors.UnknownView, match=f"no view saved by this user {ID} .*request id r"):
        document(views(), SavedQuery("account", ID, personal=True), tables)


def test_of_two_views_with_one_name_the_id_has_to_be_given(views, tables):
    other = "00000000-0000-0000-00aa-000010001003"
    with pytest.raises(errors.BadRequest, match=f"has 2 views called 'Active Accounts'. .*{ID}, {other}"):
        document(views(view(row_id=other), view()), SavedQuery("account", "Active Accounts"), tables)


def test_a_view_of_another_table_is_refused(views, tables):
    with pytest.raises(errors.BadRequest, match="'Active Accounts' is one of contact, not of account"):
        document(views(view(table="contact")), SavedQuery("account", ID), tables)


def test_a_view_without_fetchxml_is_refused(views, tables):
    with pytest.raises(errors.BadRequest, match="holds no FetchXML"):
        document(views(view(fetchxml=None)), SavedQuery("account", "Active Accounts"), tables)


def test_an_unknown_table_is_said_as_that(views, tables):
    with pytest.raises(errors.UnknownTable, match="no table 'acount'"):
        document(views(view()), SavedQuery("acount", "Active Accounts"), tables)
