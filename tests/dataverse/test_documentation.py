"""The snippets of docs/queries.md do what the page says, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, errors
from airflow_provider_dynamics.dataverse.queries import query_functions
from airflow_provider_dynamics.dataverse.queries.conditions import ColumnName

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def client(emulator, clock):
    secret = ClientSecret(
        emulator.tenant_id, emulator.client_id, emulator.client_secret, authority=Authority(url=emulator.url)
    )
    with Client(emulator.url, secret, ca_bundle=emulator.ca_bundle, clock=clock) as opened:
        yield opened


def test_every_snippet_runs(client, emulator):
    names: dict[str, object] = {"client": client}
    for snippet in SNIPPETS:
        exec(compile(snippet, "queries.md", "exec"), names)  # noqa: S102 - it is our own page
        if rows := names.get("rows"):
            assert isinstance(rows, list)
    assert len(SNIPPETS) == 8
    assert names["exact"] == len([row for row in emulator.rows("account") if row["statecode"] == 0])


def test_every_name_of_the_page_exists():
    for name in re.findall(r"`\.(\w+)\(", PAGE):
        assert hasattr(ColumnName, name), name
    for name in re.findall(r"`(Unknown\w+|AggregateLimit|BadFetchXml|Forbidden|BadRequest)`", PAGE):
        assert hasattr(errors, name), name
    for name in re.findall(r'\.function\("(\w+)"', PAGE):
        query_functions.checked(name, ["x"] if name == "Under" else [])
