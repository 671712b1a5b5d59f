"""Sixteen readers at once, with writers among them and a reset in the middle: every answer is whole."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from tests.emulator.data.conftest import Service

READERS = 16
COUNT = "<fetch aggregate='true'><entity name='account'><attribute name='accountid' alias='n' aggregate='count'/></entity></fetch>"
JOIN = (
    "<fetch count='50'><entity name='account'><attribute name='name'/><order attribute='name'/>"
    "<link-entity name='contact' from='contactid' to='primarycontactid' link-type='outer' alias='c'>"
    "<attribute name='fullname'/></link-entity></entity></fetch>"
)
PATHS = (
    "accounts?$select=name&$filter=createdon ge 2022-01-01T00:00:00Z and createdon lt 2023-01-01T00:00:00Z",
    "accounts?$apply=groupby((statecode),aggregate($count as n))",
    "accounts?$select=name&$expand=contact_customer_accounts($select=fullname)",
    "accounts?savedQuery=00000000-0000-0000-00aa-000010001002",
    f"accounts?fetchXml={quote(COUNT, safe='')}",
    f"accounts?fetchXml={quote(JOIN, safe='')}",
    "RetrieveTotalRecordCount(EntityNames=['account'])",
)


def read(service, number):
    """Ask for everything once, each reader beginning elsewhere; the writers write a row first."""
    if number % 4 == 0:
        service.make("accounts", name=f"Row of writer {number}")
    paths = PATHS[number % len(PATHS) :] + PATHS[: number % len(PATHS)]
    tracked = service.get("accounts?$select=name", prefer="odata.track-changes,odata.maxpagesize=50")
    return [tracked.status, *(service.get(path).status for path in paths)]


def test_many_readers_get_whole_answers_while_rows_change_and_are_reset(caplog):
    service = Service("sample", {"account": 120})
    with ThreadPoolExecutor(READERS) as pool:
        answers = [pool.submit(read, service, number) for number in range(READERS)]
        service.api.reset()
        service.api.expire_delta_tokens()
        found = [status for answer in answers for status in answer.result(timeout=60)]
    assert set(found) == {200}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_concurrent_writers_lose_no_row():
    service = Service("empty")
    with ThreadPoolExecutor(READERS) as pool:
        made = list(pool.map(lambda number: service.make("accounts", name=f"Row {number}"), range(100)))
    rows = {row["accountid"]: row["versionnumber"] for row in service.api.rows("account")}
    assert set(rows) == set(made)
    assert len(set(rows.values())) == 100
