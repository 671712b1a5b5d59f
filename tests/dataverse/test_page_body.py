"""A page's bytes stand in for its rows only while they hold exactly those rows, and the deletions that it names."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.following.changes import follow
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.pages import Page, walk
from airflow_provider_dynamics.dataverse.throttle import Stop

DELTA = "https://contoso.crm.dynamics.com/api/data/v9.2/accounts?$deltatoken=1"
DELETION = {"@odata.context": "https://x/$metadata#accounts/$deletedEntity", "id": "b", "reason": "deleted"}


class OneAnswer:
    """A transport that always answers the same."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def send(self, request: Request, stop: Stop | None = None) -> Response:
        return Response(200, {}, self.body)


def only_page(body: bytes) -> Page:
    (page,) = walk(OneAnswer(body), Request("GET", "accounts"), stop=Stop())
    return page


def only_changes(*rows: dict[str, str]) -> Page:
    body = json.dumps({"value": rows, "@odata.deltaLink": DELTA}).encode()
    (page,) = follow(OneAnswer(body), Request("GET", "accounts"), stop=Stop(), ahead=False)
    return page


def test_a_page_as_it_came_has_its_bytes():
    body = b'{"value":[{"accountid":"a","revenue":1.10}]}'
    page = only_page(body)
    assert page.body == body
    assert page.rows == [{"accountid": "a", "revenue": Decimal("1.10")}]


def test_rows_are_decoded_once():
    page = only_page(b'{"value":[{"accountid":"a"}]}')
    assert page.rows is page.rows


def test_rows_that_are_none_are_an_error_when_they_are_asked_for():
    page = only_page(b'{"value":[1]}')
    with pytest.raises(errors.BadResponse, match="not what the Web API sends"):
        _ = page.rows


def test_changes_without_deletions_keep_their_bytes():
    page = only_changes({"accountid": "a"})
    assert json.loads(page.body)["value"] == page.rows == [{"accountid": "a"}]
    assert page.deleted == []


def test_changes_with_deletions_keep_their_bytes_too():
    page = only_changes({"accountid": "a"}, DELETION)
    assert json.loads(page.body)["value"] == [*page.rows, DELETION]
    assert page.rows == [{"accountid": "a"}]
    assert [gone.row_id for gone in page.deleted] == ["b"]
    assert page.delta_link == DELTA


def test_a_row_that_only_speaks_of_deletions_is_no_deletion():
    page = only_changes({"accountid": "a", "name": "$deletedEntity"})
    assert page.rows == [{"accountid": "a", "name": "$deletedEntity"}]
    assert (page.deleted, bool(page.body)) == ([], True)
