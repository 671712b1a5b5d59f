"""Expanded collections: what came in part is completed before a page is handed out."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.pages import walk
from airflow_provider_dynamics.dataverse.reading.inner import completed
from airflow_provider_dynamics.dataverse.throttle import Stop

FIRST = Request("GET", "accounts?$expand=tasks", {"Prefer": "odata.maxpagesize=2"})
LINK = "https://contoso.crm.dynamics.com/api/data/v9.2/accounts(1)/tasks?$skiptoken={}"


class Service:
    def __init__(self, answer_of, **answers):
        self.answer_of, self.answers, self.sent = answer_of, answers, []

    def send(self, request, stop=None):
        self.sent.append(request)
        return self.answer_of(self.answers[request.target.rpartition("=")[2]])


def tasks(*ids, link=None):
    return {"value": [{"id": n} for n in ids], **({"@odata.nextLink": LINK.format(link)} if link else {})}


@pytest.fixture
def read(answer_of):
    """Return a function that reads one page of these rows, with the service it came from."""

    def reading(*rows, **answers):
        service = Service(answer_of, tasks={"value": list(rows)}, **answers)
        [page] = completed(service, walk(service, FIRST, stop=Stop(), ahead=False), FIRST, stop=Stop())
        return page, service.sent[1:]

    return reading


def test_a_collection_cut_by_the_page_is_followed_to_its_end(read):
    row = {"tasks": [{"id": 1}], "tasks@odata.nextLink": LINK.format("a")}
    page, inner = read(row, a=tasks(2, 3, link="b"), b=tasks(4))
    assert page.rows == [{"tasks": [{"id": n} for n in (1, 2, 3, 4)]}]
    assert [request.headers for request in inner] == [FIRST.headers] * 2
    assert page.body == b""


def test_a_whole_collections_link_is_dropped_and_not_followed(read):
    row = {"tasks": [{"id": 1}], "tasks@odata.nextLink": LINK.partition("?")[0]}
    page, inner = read(row)
    assert page.rows == [{"tasks": [{"id": 1}]}]
    assert inner == []
    assert page.body


def test_a_filters_words_are_not_taken_for_options_of_a_link(read):
    row = {"tasks": [{"id": 1}], "tasks@odata.nextLink": "https://x/tasks?$filter=name eq 'a$skiptoken=b'"}
    page, inner = read(row)
    assert page.rows == [{"tasks": [{"id": 1}]}]
    assert inner == []


def test_a_collection_of_5000_may_have_more_and_is_read_anew(read):
    row = {"tasks": [{"id": 0}] * 5000, "tasks@odata.nextLink": LINK.partition("?")[0] + "?$select=id"}
    page, _ = read(row, id=tasks(1, 2))
    assert page.rows == [{"tasks": [{"id": 1}, {"id": 2}]}]


def test_a_collection_of_the_5000_that_were_asked_for_is_whole(read):
    row = {"tasks": [{"id": 0}] * 5000, "tasks@odata.nextLink": LINK.partition("?")[0] + "?$top=5000"}
    page, inner = read(row)
    assert len(page.rows[0]["tasks"]) == 5000
    assert inner == []


def test_collections_inside_of_related_rows_and_of_what_was_followed_are_completed_too(read):
    deep = {"id": 1, "notes": [], "notes@odata.nextLink": LINK.format("n")}
    row = {
        "owner": {"tasks": [], "tasks@odata.nextLink": LINK.format("o")},
        "tasks": [deep],
        "tasks@odata.nextLink": LINK.format("a"),
    }
    page, _ = read(
        row,
        o=tasks(7),
        n=tasks(8),
        a={"value": [{"id": 2, "notes": [], "notes@odata.nextLink": LINK.format("n")}]},
    )
    assert page.rows == [
        {
            "owner": {"tasks": [{"id": 7}]},
            "tasks": [{"id": 1, "notes": [{"id": 8}]}, {"id": 2, "notes": [{"id": 8}]}],
        }
    ]
