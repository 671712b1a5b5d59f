"""The small internet, a company in it, and its stored connection with fields changed as a form would change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.hooks import DynamicsHook
from tests.airflow.destinations.contoso import ASSERTION, CLIENT, HOST, HOSTS, MODES, TENANT, Contoso, Mode
from tests.world import World, world

STANDARD = ("host", "login", "password")


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), HOSTS) as running:
        yield running


@pytest.fixture
def contoso(internet: World) -> Contoso:
    SHARED.clear()
    made = Contoso(internet)
    made.start()
    return made


@pytest.fixture
def connect(contoso: Contoso, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., DynamicsHook]:
    """Define the connection, `connect(mode, authority=…)`, and return a hook for it; no store keeps what is rotated."""
    assertion = tmp_path / "assertion"
    assertion.write_text(ASSERTION)
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "none")

    def define(mode: Mode = MODES["client secret"], /, **changes: Any) -> DynamicsHook:
        fields: dict[str, Any] = {"host": HOST, "login": CLIENT, "tenant_id": TENANT}
        fields |= {"proxy": contoso.world.proxy, "ca_bundle": contoso.world.ca_bundle}
        if mode is MODES["workload identity"]:
            fields["assertion_file"] = str(assertion)
        fields |= {**mode.fields, **changes}
        connection = {"conn_type": "dynamics", **{name: fields.pop(name, None) for name in STANDARD}}
        monkeypatch.setenv("AIRFLOW_CONN_DYNAMICS_DEFAULT", json.dumps({**connection, "extra": fields}))
        return DynamicsHook()

    return define
