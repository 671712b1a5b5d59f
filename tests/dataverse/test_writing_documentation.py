"""The snippets of docs/writing.md do what the page says, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_dynamics import operators
from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, errors

PAGE = (Path(__file__).parents[2] / "docs" / "writing.md").read_text(encoding="utf-8")
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
        exec(compile(snippet, "writing.md", "exec"), names)  # noqa: S102 - it is our own page
    assert (names["new"], names["merged"], names["again"], names["refused"]) == (True, True, False, [])
    assert len(SNIPPETS) == 12
    made = [row["name"] for row in emulator.rows("account")]
    assert [made.count(name) for name in ("Parent", "Left", "Right", "Alone")] == [1] * 4


def test_every_name_of_the_page_exists():
    for name in set(re.findall(r"`(Dynamics\w+Operator)`", PAGE)):
        assert hasattr(operators, name), name
    failures = PAGE.partition("## When it fails")[2]
    for name in set(re.findall(r"`([A-Z]\w+)`", failures)):
        assert hasattr(errors, name), name
