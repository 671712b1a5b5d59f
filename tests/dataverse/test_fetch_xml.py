"""FetchXML: what is refused before it is sent, and pages by a cookie that has to be taken out of two wrappings."""

from __future__ import annotations

import json
from itertools import islice
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from defusedxml.ElementTree import fromstring

from airflow_provider_dynamics.dataverse import FetchXml, errors
from airflow_provider_dynamics.dataverse.errors import BadFetchXml
from airflow_provider_dynamics.dataverse.queries.fetch_document import Document
from airflow_provider_dynamics.dataverse.reading.fetch_xml import cookie_of, read
from airflow_provider_dynamics.dataverse.throttle import Stop

NAMES = "<fetch><entity name='account'><attribute name='name'/></entity></fetch>"
MORE = "@Microsoft.Dynamics.CRM.morerecords"
COOKIE = "@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"


def wrapped(cookie, page=2):
    """Return a cookie as the service sends it: percent-encoded twice, inside XML whose page number says little."""
    twice = quote(quote(cookie, safe=""), safe="")
    return f'<cookie pagenumber="{page}" pagingcookie="{twice}" istracking="False" />'


def inner(page):
    return f'<cookie page="{page}"><name last="A &amp; \'B\'" first="a" /><accountid last="{{X}}" /></cookie>'


@pytest.fixture
def service(dataverse, tables, answer_of):
    """Return a function that reads a document while accounts are answered from these bodies, one a page."""

    def reading(document, *bodies, after=None, **options):
        left = list(bodies)
        plain = dataverse.send

        class Service:
            def __init__(self):
                self.sent = []

            def send(self, request, stop=None):
                if not request.target.startswith("accounts?fetchXml="):
                    return plain(request, stop)
                self.sent.append(request)
                return answer_of(left.pop(0))

        service = Service()
        source = FetchXml(document, **options)
        return service.sent, read(service, source, tables, stop=Stop(), ahead=False, after=after)

    return reading


def page(*names, cookie=None, more=False):
    body = {"value": [{"name": name} for name in names]}
    return {**body, **({MORE: True} if more else {}), **({COOKIE: cookie} if cookie is not None else {})}


def fetch_of(request):
    return fromstring(parse_qs(urlsplit(request.target).query)["fetchXml"][0])


# -- what is refused


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("<fetch><entity name='account'>", "not well-formed at line 1, column 31: no element found"),
        ("<fetch>\n  <entity name=account/>\n</fetch>", "at line 2, column 16: not well-formed"),
        ("plain text", "at line 1, column 1: syntax error"),
        ("<entity name='account'/>", "outermost element is <entity>; it must be <fetch>"),
        ("<fetch/>", "holds 0 <entity> elements"),
        ("<fetch><entity name='a'/><entity name='b'/></fetch>", "holds 2 <entity> elements"),
        ("<fetch><entity name=' '/></fetch>", "<entity> has no name"),
        ("<fetch page='2'><entity name='account'/></fetch>", "asks for a later page by itself"),
        ("<fetch paging-cookie='x'><entity name='account'/></fetch>", "asks for a later page by itself"),
        ("<fetch count='many'><entity name='account'/></fetch>", "count='many'> is not a whole number"),
        ("<fetch top='0'><entity name='account'/></fetch>", "top='0'> is not a whole number"),
    ],
)
def test_what_is_no_fetchxml_is_refused_before_anything_is_sent(service, document, words):
    with pytest.raises(BadFetchXml, match=words):
        service(document)


@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE fetch><fetch><entity name='account'/></fetch>",
        "<!DOCTYPE f [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><fetch><entity name='&x;'/></fetch>",
        "<!DOCTYPE f [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'>]><fetch><entity name='&b;'/></fetch>",
    ],
    ids=["a DOCTYPE", "an external entity", "entities that grow"],
)
def test_entities_are_not_read_at_all(document):
    with pytest.raises(BadFetchXml, match="has a DOCTYPE or entities"):
        Document.parsed(document)


def test_a_declaration_comments_and_space_around_do_no_harm():
    text = "\ufeff\n<?xml version='1.0' encoding='utf-8'?>\n<!-- x --><fetch><!-- y --><entity name=' account '/></fetch>\n"
    assert Document.parsed(text).table == "account"


# -- what is sent


def test_a_document_is_sent_without_its_indents_and_with_everything_else(service):
    text = """
    <fetch latematerialize='true' no-lock='true'>
      <entity name='account'>
        <filter><condition attribute='name' operator='in'><value> a </value><value>Ä &amp; ü</value></condition></filter>
      </entity>
    </fetch>"""
    sent, pages = service(text, page("A"))
    assert [row["name"] for found in pages for row in found.rows] == ["A"]
    root = fetch_of(sent[0])
    assert root.attrib == {"latematerialize": "true", "no-lock": "true", "count": "5000", "page": "1"}
    assert [value.text for value in root.iter("value")] == [" a ", "Ä & ü"]
    assert "%0A" not in sent[0].target


def test_linked_tables_that_return_columns_are_sent_under_names_of_their_own(service):
    link = "<link-entity name='contact' from='contactid' to='primarycontactid'>{}</link-entity>"
    inside = link.format("<attribute name='fullname'/>") * 2 + link.format("")
    sent, pages = service(NAMES.replace("</entity>", f"{inside}</entity>"), page())
    list(pages)
    assert [found.get("alias") for found in fetch_of(sent[0]).iter("link-entity")] == [
        "contact",
        "contact1",
        None,
    ]


@pytest.mark.parametrize(
    ("document", "page_size", "sizes"),
    [
        (NAMES, None, {"count": "5000", "page": "1"}),
        (NAMES, 20, {"count": "20", "page": "1"}),
        (NAMES.replace("<fetch", "<fetch count='7' page='1'"), None, {"count": "7", "page": "1"}),
        (NAMES.replace("<fetch", "<fetch count='7'"), 9000, {"count": "5000", "page": "1"}),
        (NAMES.replace("<fetch", "<fetch top='3'"), 20, {"top": "3"}),
        (NAMES.replace("<fetch", "<fetch aggregate='true'"), 20, {"aggregate": "true"}),
    ],
)
def test_the_size_of_a_page_is_the_callers_else_the_documents(service, document, page_size, sizes):
    sent, pages = service(document, page("A"), page_size=page_size)
    list(pages)
    assert fetch_of(sent[0]).attrib == sizes


def test_the_annotations_that_lead_on_are_asked_for_and_labels_when_they_are_wanted(service):
    sent, pages = service(NAMES, page())
    list(pages)
    assert sent[0].headers["Prefer"] == (
        'odata.include-annotations="Microsoft.Dynamics.CRM.fetchxmlpagingcookie,Microsoft.Dynamics.CRM.morerecords"'
    )
    sent, pages = service(NAMES, page(), labels=True)
    list(pages)
    assert "OData.Community.Display.V1.FormattedValue" in sent[0].headers["Prefer"]


# -- pages


def test_the_cookie_is_decoded_twice_and_pages_are_counted_here(service):
    sent, pages = service(
        NAMES,
        page("a", "b", cookie=wrapped(inner(1)), more=True),
        page("c", cookie=wrapped(inner(2), page=2), more=True),  # the service's own number is not reliable
        page("d"),
    )
    assert [row["name"] for found in pages for row in found.rows] == ["a", "b", "c", "d"]
    assert [fetch_of(request).get("page") for request in sent] == ["1", "2", "3"]
    assert [fetch_of(request).get("paging-cookie") for request in sent] == [None, inner(1), inner(2)]


def test_a_short_page_does_not_end_the_reading_and_a_full_one_does_not_prolong_it(service):
    sent, pages = service(NAMES, page("a", cookie=wrapped(inner(1)), more=True), page("b", "c"), page_size=2)
    assert [len(found.rows) for found in pages] == [1, 2]
    assert len(sent) == 2


def test_reading_goes_on_behind_a_position(service):
    bodies = [page(name, cookie=wrapped(inner(n)), more=True) for n, name in enumerate("abc", 1)]
    _, pages = service(NAMES, *bodies, page("d"))
    positions = [found.position for found in pages]
    assert positions[3] is None

    sent, rest = service(NAMES, bodies[2], page("d"), after=positions[1])

    assert [row["name"] for found in rest for row in found.rows] == ["c", "d"]
    assert fetch_of(sent[0]).get("page") == "3"
    assert fetch_of(sent[0]).get("paging-cookie") == inner(2)
    assert json.loads(positions[0]) == {"page": 2, "cookie": inner(1)}


def test_a_position_of_something_else_is_refused(service):
    with pytest.raises(errors.BadRequest, match="does not belong to a FetchXML document"):
        service(NAMES, after="https://contoso.crm.dynamics.com/api/data/v9.2/accounts?$skiptoken=1")


def test_the_same_page_twice_ends_in_an_error_and_not_in_a_circle(service):
    again = page("a", cookie=wrapped(inner(1)), more=True)
    _, pages = service(NAMES, again, again, again)
    with pytest.raises(errors.BadResponse, match="same next link twice"):
        list(pages)


def test_without_a_cookie_pages_are_asked_for_by_number(service):
    sent, pages = service(NAMES, page("a", cookie=wrapped(""), more=True), page("b"))
    assert [row["name"] for found in pages for row in found.rows] == ["a", "b"]
    assert fetch_of(sent[1]).get("page") == "2"
    assert fetch_of(sent[1]).get("paging-cookie") is None


def test_what_cannot_be_reached_without_a_cookie_is_an_error_and_not_a_silent_end(service):
    sent, pages = service(NAMES, *[page("a", more=True)] * 20)
    with pytest.raises(errors.BadRequest, match="only the first 50,000 rows can be read") as caught:
        list(islice(pages, 20))
    assert len(sent) == 10
    assert "order by a linked table's column" in str(caught.value)


def test_groups_that_go_on_are_asked_for_by_page_though_the_document_names_no_size(service):
    sent, pages = service(NAMES.replace("<fetch", "<fetch aggregate='true'"), page("a", more=True), page("b"))
    assert [row["name"] for found in pages for row in found.rows] == ["a", "b"]
    assert [(fetch_of(one).get("count"), fetch_of(one).get("page")) for one in sent] == [
        (None, None),
        ("5000", "2"),
    ]


def test_a_document_with_top_is_one_page_whatever_the_service_says(service):
    sent, pages = service(
        NAMES.replace("<fetch", "<fetch top='1'"), page("a", cookie=wrapped(inner(1)), more=True)
    )
    assert [found.position for found in pages] == [None]
    assert len(sent) == 1


def test_a_cookie_that_is_no_xml_is_the_services_fault():
    with pytest.raises(errors.BadResponse, match="paging cookie that is no XML"):
        cookie_of("no xml")


@pytest.mark.parametrize("annotation", [None, "", '<cookie pagenumber="2" pagingcookie="" />'])
def test_no_cookie_is_none(annotation):
    assert cookie_of(annotation) is None
