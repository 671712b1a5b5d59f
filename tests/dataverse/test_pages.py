"""Reading ends where the data ends, and nowhere else."""

from __future__ import annotations

import json
import threading
from decimal import Decimal

import pytest

from airflow_provider_dynamics.dataverse import Query, RetryPolicy, errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.pages import walk
from airflow_provider_dynamics.dataverse.reading.reading import query_request
from airflow_provider_dynamics.dataverse.throttle import Stop

ENVIRONMENT = "https://contoso.crm.dynamics.com"
ROOT = f"{ENVIRONMENT}/api/data/v9.2/"
FIRST = Request("GET", "accounts", {"Prefer": "odata.maxpagesize=2"})


@pytest.fixture
def scripted(answer_of):
    class Service:
        def __init__(self, *answers):
            self.answers = list(answers)
            self.requests = []
            self.asked = threading.Semaphore(0)

        def send(self, request, stop=None):
            self.requests.append(request)
            self.asked.release()
            found = self.answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return answer_of(found)

    return Service


def page(*names, link=None, **more):
    found = {"value": [{"name": name} for name in names], **more}
    return {**found, "@odata.nextLink": ROOT + link} if link else found


def names_of(pages):
    return [[row["name"] for row in found.rows] for found in pages]


@pytest.fixture(params=[True, False], ids=["with the next page ahead", "one page at a time"])
def ahead(request):
    return request.param


@pytest.mark.usefixtures("threads_ended")
def test_pages_follow_each_other_until_no_link_comes(scripted, ahead):
    service = scripted(page("a", "b", link="accounts?2"), page("c", link="accounts?3"), page())
    assert names_of(walk(service, FIRST, stop=Stop(), ahead=ahead)) == [["a", "b"], ["c"], []]
    assert [request.target for request in service.requests] == [
        "accounts",
        ROOT + "accounts?2",
        ROOT + "accounts?3",
    ]


def test_a_short_or_an_empty_page_does_not_end_it(scripted, ahead):
    service = scripted(page("a", "b", link="2"), page(link="3"), page("c", link="4"), page("d", "e"))
    assert names_of(walk(service, FIRST, stop=Stop(), ahead=ahead)) == [["a", "b"], [], ["c"], ["d", "e"]]


def test_every_page_is_asked_for_with_the_same_wishes(scripted, ahead):
    service = scripted(page("a", link="2"), page("b", link="3"), page("c"))
    list(walk(service, FIRST, stop=Stop(), ahead=ahead))
    assert [request.headers for request in service.requests] == [{"Prefer": "odata.maxpagesize=2"}] * 3


@pytest.mark.usefixtures("threads_ended")
def test_a_link_that_comes_twice_is_an_error(scripted, ahead):
    service = scripted(page("a", link="2"), page("b", link="3"), page("c", link="2"), page("a"))
    with pytest.raises(errors.BadResponse, match="same next link twice") as caught:
        list(walk(service, FIRST, stop=Stop(), ahead=ahead))
    assert not caught.value.retryable
    assert len(service.requests) == 3


@pytest.mark.usefixtures("threads_ended")
def test_a_failing_next_page_is_raised_after_the_pages_before_it(scripted, ahead):
    service = scripted(page("a", link="2"), errors.Forbidden("no"))
    pages = walk(service, FIRST, stop=Stop(), ahead=ahead)
    assert next(pages).rows == [{"name": "a"}]
    with pytest.raises(errors.Forbidden):
        next(pages)


@pytest.mark.usefixtures("threads_ended")
def test_the_next_page_is_fetched_while_this_one_is_used(scripted):
    service = scripted(page("a", link="2"), page("b", link="3"), page("c"))
    pages = walk(service, FIRST, stop=Stop(), ahead=True)
    next(pages)
    assert service.asked.acquire(timeout=5)
    assert service.asked.acquire(timeout=5)
    pages.close()
    assert len(service.requests) == 2


def test_one_at_a_time_asks_for_nothing_early(scripted):
    service = scripted(page("a", link="2"), page("b"))
    pages = walk(service, FIRST, stop=Stop(), ahead=False)
    next(pages)
    pages.close()
    assert len(service.requests) == 1


@pytest.mark.usefixtures("threads_ended")
def test_leaving_early_ends_the_wait_of_the_next_page(answer_of):
    began = threading.Event()

    class Throttling:
        def send(self, request, stop=None):
            if request is FIRST:
                return answer_of(page("a", link="2"))
            began.set()
            assert stop.wait(30), "the wait was not ended"
            stop.check()
            return None

    pages = walk(Throttling(), FIRST, stop=Stop(), ahead=True)
    next(pages)
    assert began.wait(5)
    pages.close()


def test_cancelling_ends_a_walk_even_while_an_answer_is_on_its_way(answer_of):
    stop, release = Stop(), threading.Event()

    class Slow:
        def send(self, request, stop=None):
            if request is not FIRST:
                release.wait(30)
            return answer_of(page("a", link="2"))

    pages = walk(Slow(), FIRST, stop=stop, ahead=True)
    next(pages)
    stop.set()
    threading.Timer(0.5, release.set).start()
    with pytest.raises(errors.Interrupted):
        next(pages)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"value": 5}', id="no list"),
        pytest.param(b'{"error": 1}', id="no rows"),
        pytest.param(b'{"value": [1, 2]}', id="rows that are none"),
        pytest.param(b'{"value": [{"a": }]}', id="broken JSON"),
    ],
)
def test_an_answer_that_is_no_page_is_an_error(body, ahead):
    from airflow_provider_dynamics.dataverse.protocol.exchange import Response

    class Odd:
        def send(self, request, stop=None):
            return Response(200, {"REQ_ID": "1ee13aa7"}, body)

    with pytest.raises(errors.BadResponse, match="1ee13aa7"):
        [found.rows for found in walk(Odd(), FIRST, stop=Stop(), ahead=ahead)]


def test_money_is_exact_and_nothing_else_is_changed():
    from airflow_provider_dynamics.dataverse.protocol.exchange import Response

    raw = b'{"@odata.count": 1, "value": [{"revenue": 5000000.0000, "versionnumber": 9007199254740993, "name": null}]}'

    class One:
        def send(self, request, stop=None):
            return Response(200, {}, raw)

    [found] = walk(One(), FIRST, stop=Stop(), ahead=True)
    assert found.rows == [
        {"revenue": Decimal("5000000.0000"), "versionnumber": 9007199254740993, "name": None}
    ]
    assert str(found.rows[0]["revenue"]) == "5000000.0000"
    assert found.count == 1


@pytest.mark.parametrize(
    ("query", "target", "prefer"),
    [
        pytest.param(Query("account"), "accounts", None, id="everything"),
        pytest.param(
            Query("account", select=["name", "primarycontactid"], filter="name eq 'A&B'"),
            "accounts?$select=name,_primarycontactid_value&$filter=name%20eq%20'A%26B'",
            None,
            id="columns and a filter",
        ),
        pytest.param(
            Query("account", select="name, revenue", page_size=100, annotations=True),
            "accounts?$select=name,revenue",
            'odata.maxpagesize=100,odata.include-annotations="*"',
            id="columns as one text, pages, annotations",
        ),
        pytest.param(Query("account", top=3), "accounts?$top=3", None, id="the first rows"),
        pytest.param(Query("account", top=3, page_size=10), "accounts?$top=3", None, id="top wins over a larger page"),
        pytest.param(
            Query("account", top=30, page_size=10), "accounts", "odata.maxpagesize=10", id="pages win over a larger top"
        ),
        pytest.param(Query("account", top=9000), "accounts", "odata.maxpagesize=5000", id="more than a page can hold"),
        pytest.param(Query("account", page_size=9000), "accounts", "odata.maxpagesize=5000", id="a page too large"),
        pytest.param(
            Query("account", apply="aggregate($count as n)", page_size=10),
            "accounts?$apply=aggregate($count%20as%20n)",
            None,
            id="groups, whose paging is written nowhere",
        ),
        pytest.param(
            Query("account", order_by="name desc"), "accounts?$orderby=name%20desc,accountid", None, id="a definite order"
        ),
        pytest.param(
            Query("account", order_by="name, "), "accounts?$orderby=name,accountid", None, id="an order with a comma left over"
        ),
        pytest.param(
            Query("account", order_by="accountid desc"), "accounts?$orderby=accountid%20desc", None, id="by the id"
        ),
        pytest.param(Query("account", order_by="name", top=1), "accounts?$orderby=name&$top=1", None, id="the very first"),
        pytest.param(
            Query("account", expand="primarycontactid($select=fullname)", count=True),
            "accounts?$expand=primarycontactid($select=fullname)&$count=true",
            None,
            id="related rows and a count",
        ),
    ],
)  # fmt: skip
def test_a_query_becomes_this_request(account, query, target, prefer):
    request = query_request(query, account)
    assert request.target == target
    assert request.headers.get("Prefer") == prefer


def test_top_and_a_page_size_never_go_out_together(account):
    for top in (None, 1, 4999, 5000, 5001):
        for page_size in (None, 1, 4999, 5000, 9000):
            request = query_request(Query("account", top=top, page_size=page_size), account)
            assert not ("$top" in request.target and "maxpagesize" in request.headers.get("Prefer", ""))


@pytest.mark.parametrize("bad", [0, -1, True, "5", 2.5])
@pytest.mark.parametrize("name", ["top", "page_size"])
def test_a_limit_that_is_none_is_refused(name, bad):
    with pytest.raises(ValueError, match=name):
        Query("account", **{name: bad})


@pytest.fixture
def online(requests_mock, client, definition):
    requests_mock.get(ROOT + "EntityDefinitions(LogicalName='account')", json=definition)
    return client


def test_a_top_beyond_one_page_is_cut_here(online, requests_mock):
    requests_mock.get(ROOT + "accounts", json=page("a", "b", link="p2"))
    last = requests_mock.get(ROOT + "p2", json=page("c", "d", link="p3"))
    assert [row["name"] for row in online.rows(Query("account", top=3, page_size=2))] == ["a", "b", "c"]
    assert last.call_count == 1


def test_wishes_are_repeated_for_every_page_of_a_query(online, requests_mock):
    requests_mock.get(ROOT + "accounts", json=page("a", link="p2"))
    requests_mock.get(ROOT + "p2", json=page("b"))
    list(online.pages(Query("account", page_size=1, annotations=True)))
    sent = [
        r.headers.get("Prefer") for r in requests_mock.request_history if "entitydefinitions" not in r.path
    ]
    assert sent == ['odata.maxpagesize=1,odata.include-annotations="*"'] * 2


def test_a_link_to_another_host_is_not_followed(online, requests_mock):
    body = {"value": [{"name": "a"}], "@odata.nextLink": "https://evil.example/accounts?2"}
    requests_mock.get(ROOT + "accounts", json=body)
    pages = online.pages(Query("account"))
    assert len(next(pages).rows) == 1
    with pytest.raises(errors.ForeignLink, match=r"evil\.example"):
        next(pages)


def test_an_unknown_column_is_noticed_before_anything_is_read(online, requests_mock):
    rows = requests_mock.get(ROOT + "accounts", json=page())
    with pytest.raises(errors.UnknownColumn, match="Did you mean 'revenue'"):
        list(online.pages(Query("account", select=["revenu"])))
    assert rows.call_count == 0


def test_a_trigger_reads_without_threads(make_client, requests_mock, definition):
    requests_mock.get(ROOT + "EntityDefinitions(LogicalName='account')", json=definition)
    requests_mock.get(ROOT + "accounts", json=page("a", link="p2"))
    second = requests_mock.get(ROOT + "p2", json=page("b"))
    pages = make_client(retry=RetryPolicy.never()).pages(Query("account"))
    next(pages)
    assert second.call_count == 0
    pages.close()


def test_a_page_offers_its_bytes_while_they_hold_just_its_rows(scripted):
    service = scripted(page("a", "b", link="2"), page("c"))
    for found in walk(service, FIRST, stop=Stop(), ahead=False):
        assert [row["name"] for row in json.loads(found.body)["value"]] == [row["name"] for row in found.rows]


def test_a_page_that_was_cut_offers_no_bytes(online, requests_mock):
    requests_mock.get(ROOT + "accounts", json=page("a", "b", link="p2"))
    requests_mock.get(ROOT + "p2", json=page("c", "d"))
    bodies = [bool(found.body) for found in online.pages(Query("account", top=3, page_size=2))]
    assert bodies == [True, False]
