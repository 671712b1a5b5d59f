"""A client tells which tables it reads and writes, each once."""

from __future__ import annotations

from contextlib import suppress

import pytest
from requests_mock import ANY as ANYTHING

from airflow_provider_dynamics.dataverse import FetchXml, Query, errors

ROW_ID = "0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b001"
CONTACTS = FetchXml('<fetch><entity name="contact"/></fetch>')
READS = {
    "pages": lambda client: list(client.pages(Query("account"))),
    "rows": lambda client: list(client.rows(Query("account"))),
    "get": lambda client: client.get("account", ROW_ID),
    "changes": lambda client: list(client.changes("account")),
    "lanes": lambda client: client.lanes(Query("account")),
    "feed": lambda client: client.feed("account", (), None),
}
WRITES = {
    "create": lambda client: client.create("account", {}),
    "update": lambda client: client.update("account", ROW_ID, {}),
    "upsert": lambda client: client.upsert("account", ROW_ID, {}),
    "delete": lambda client: client.delete("account", ROW_ID),
    "bulk": lambda client: client.bulk("account", []),
}


@pytest.fixture
def told(client, requests_mock):
    """Return a client whose service refuses everything, and what it tells."""
    requests_mock.register_uri(ANYTHING, ANYTHING, status_code=403)
    uses: list[tuple[str, str]] = []
    client.on_use = lambda what, table: uses.append((what, table))
    return client, uses


@pytest.mark.parametrize(
    ("what", "use"),
    [
        *(pytest.param("read", use, id=name) for name, use in READS.items()),
        *(pytest.param("write", use, id=name) for name, use in WRITES.items()),
    ],
)
def test_a_table_that_is_used_is_told_once(told, what, use):
    client, uses = told
    for _ in range(2):
        with suppress(errors.Forbidden):
            use(client)
    assert uses == [(what, "account")]


def test_fetchxml_tells_the_table_that_it_names(told):
    client, uses = told
    with pytest.raises(errors.Forbidden):
        list(client.pages(CONTACTS))
    assert uses == [("read", "contact")]


def test_metadata_is_no_use_of_a_table(told):
    client, uses = told
    with pytest.raises(errors.Forbidden):
        client.columns(Query("account"))
    assert uses == []


def test_nobody_has_to_listen(client, requests_mock):
    requests_mock.register_uri(ANYTHING, ANYTHING, status_code=403)
    with pytest.raises(errors.Forbidden):
        client.create("account", {})
