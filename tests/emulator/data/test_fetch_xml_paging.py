"""Pages of FetchXML: cookies, simple paging, and where it ends."""

from __future__ import annotations

import pytest

from tests.emulator.data.fetching import COOKIE, MORE, PAGING, ask, pages

DESCENDING = "<order attribute='fullname' descending='true'/>"


def contacts(inside, **fetch):
    given = "".join(f" {key}='{value}'" for key, value in fetch.items())
    return f"<fetch{given}><entity name='contact'><attribute name='fullname'/>{inside}</entity></fetch>"


def keys(found, column="contactid"):
    return [row[column] for page in found for row in page["value"]]


def every(service, table="contact"):
    return {row[f"{table}id"] for row in service.api.rows(table)}


@pytest.mark.parametrize(
    "order",
    [
        "",
        "<order attribute='fullname'/>",
        DESCENDING,
        "<order attribute='jobtitle'/>",
        "<order attribute='jobtitle' descending='true'/>",
        "<order attribute='parentcustomerid'/><order attribute='statecode' descending='true'/>",
        "<order attribute='annualincome' descending='true'/>",
        "<order attribute='createdon'/>",
        "<order attribute='contactid' descending='true'/>",
        "<order attribute='creditonhold'/>",
    ],
)
def test_cookies_lead_over_every_row_once(sample, order):
    found = list(pages(sample, contacts(order, count=10), "contacts"))
    assert len(keys(found)) == len(set(keys(found)))
    assert set(keys(found)) == every(sample)
    assert all(COOKIE in page for page in found[:-1])


def test_any_text_survives_in_a_cookie(empty):
    texts = ["a\tb", "a\r\nb", "a\nb", "a b", "quote \" & ' <x>", "ä%41", "{x}"]
    for text in texts:
        empty.make("contacts", description=text)
    xml = contacts("<attribute name='description'/><order attribute='description'/>", count=1)
    found = [row["description"] for page in pages(empty, xml, "contacts") for row in page["value"]]
    assert sorted(found) == sorted(texts)


def test_both_annotations_are_absent_on_the_last_page(sample):
    last = list(pages(sample, contacts("", count=10), "contacts"))[-1]
    assert not {COOKIE, MORE} & set(last)


def test_a_page_that_ends_with_the_rows_is_the_last(sample):
    found = list(pages(sample, contacts("", count=len(every(sample))), "contacts"))
    assert len(found) == 1


def test_a_join_that_repeats_rows_is_paged_without_loss(sample):
    joined = "<link-entity name='account' from='statecode' to='statecode' alias='a'><attribute name='accountid'/></link-entity>"
    xml = contacts(joined + "<order attribute='fullname'/>", count=700)
    found = [
        (row["contactid"], row["a.accountid"])
        for page in pages(sample, xml, "contacts")
        for row in page["value"]
    ]
    states = [row["statecode"] for row in sample.api.rows("account")]
    expected = sum(states.count(row["statecode"]) for row in sample.api.rows("contact"))
    assert len(found) == len(set(found)) == expected


def test_an_order_of_a_linked_table_has_no_cookie_and_pages_by_number(sample):
    joined = (
        "<link-entity name='account' from='accountid' to='parentcustomerid' link-type='outer' alias='a'>"
        "<order attribute='name'/></link-entity>"
    )
    found = list(pages(sample, contacts(joined, count=10), "contacts"))
    assert all(COOKIE not in page for page in found)
    assert set(keys(found)) == every(sample)


def test_distinct_rows_are_paged_by_number(sample):
    xml = (
        "<fetch distinct='true' count='3'><entity name='contact'><attribute name='jobtitle'/>"
        "<order attribute='jobtitle'/></entity></fetch>"
    )
    found = [row.get("jobtitle") for page in pages(sample, xml, "contacts") for row in page["value"]]
    assert len(found) == len(set(found))
    assert set(found) == {row["jobtitle"] for row in sample.api.rows("contact")}


def test_pages_may_be_asked_for_by_number_alone(sample):
    first = ask(sample, contacts(DESCENDING, count=10, page=1), "contacts").rows
    both = ask(sample, contacts(DESCENDING, count=20), "contacts").rows
    second = ask(sample, contacts(DESCENDING, count=10, page=2), "contacts").rows
    assert first + second == both


def test_the_page_behind_the_end_is_empty(sample):
    answer = ask(sample, contacts("", count=10, page=99), "contacts", **PAGING).json
    assert answer["value"] == []
    assert MORE not in answer


def test_without_a_cookie_only_so_many_rows_are_reached(sample):
    sample.api.query_limits.simple_paging = 20
    try:
        reached = ask(sample, contacts("", count=10, page=2), "contacts")
        beyond = ask(sample, contacts("", count=10, page=3), "contacts")
        with_cookie = list(pages(sample, contacts("", count=10), "contacts"))
    finally:
        sample.api.query_limits.restore()
    assert reached.status == 200
    assert (beyond.status, beyond.error) == (400, "0x8004430a")
    assert set(keys(with_cookie)) == every(sample)


def test_no_page_holds_more_than_5000_rows(grown):
    xml = "<fetch count='9000'><entity name='contoso_shipment'><attribute name='contoso_name'/></entity></fetch>"
    found = list(pages(grown, xml, "contoso_shipments"))
    assert [len(page["value"]) for page in found] == [5000, 1200]
    assert len(set(keys(found, "contoso_shipmentid"))) == 6200


def test_top_cuts_and_promises_nothing(sample):
    answer = ask(sample, contacts("", top=3), "contacts", **PAGING).json
    assert len(answer["value"]) == 3
    assert not {COOKIE, MORE} & set(answer)


def test_a_short_page_leads_on_by_its_cookie(sample):
    sample.api.faults.page_size_limit = 7
    try:
        found = list(pages(sample, contacts("", count=50), "contacts"))
    finally:
        sample.api.faults.clear()
    assert {len(page["value"]) for page in found[:-1]} == {7}
    assert set(keys(found)) == every(sample)
    assert len(keys(found)) == len(every(sample))


@pytest.mark.parametrize(
    "cookie",
    [
        "nonsense",
        "&lt;cookie page=&quot;1&quot;&gt;&lt;/cookie&gt;",
        "&lt;cookie&gt;&lt;contactid last=&quot;{x}&quot; /&gt;&lt;/cookie&gt;",
        "&lt;cookie page=&quot;1&quot;&gt;&lt;contactid /&gt;&lt;/cookie&gt;",
        "&lt;cookie page=&quot;1&quot;&gt;&lt;fullname last=&quot;A&quot; /&gt;&lt;/cookie&gt;",
    ],
)
def test_a_cookie_of_another_query_is_refused(sample, cookie):
    answer = ask(sample, contacts("", **{"count": 5, "page": 2, "paging-cookie": cookie}), "contacts")
    assert (answer.status, answer.error) == (400, "0x8004112a")


def test_going_back_with_a_cookie_is_not_emulated(sample):
    cookie = "&lt;cookie page=&quot;3&quot;&gt;&lt;contactid lastnull=&quot;1&quot; /&gt;&lt;/cookie&gt;"
    answer = ask(sample, contacts("", **{"count": 5, "page": 2, "paging-cookie": cookie}), "contacts")
    assert answer.status == 501
