"""`airflow dynamics environments`: what it prints, for people and for programs, and what it says where there is no list."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.commands.environments import as_text, environments
from airflow_provider_dynamics.connection import Settings
from airflow_provider_dynamics.dataverse.administration.discovery import Instance


@pytest.fixture
def ask(emulator, monkeypatch, capsys):
    """Run the command for a connection to the emulator: ``ask("refresh_token", json=True, host=None)``."""
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "none")
    emulator.list_instance("Adatum", "https://adatum.crm4.dynamics.com", State=1, Region="EMEA")
    SHARED.clear()

    def run(auth_type, authority_type="entra", *, json_asked=False, **changed):
        [text] = emulator.airflow_connection("crm", auth_type, authority_type).values()
        monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({**json.loads(text), **changed}))
        code: str | int | None = 0
        try:
            environments(Namespace(conn_id="crm", json=json_asked, verbose=False, subcommand="environments"))
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return run


def test_a_persons_environments_are_listed_with_the_connections_own_marked(ask, emulator):
    code, out = ask("refresh_token")

    header, own, closed = out.splitlines()
    assert code == 0
    assert header.split() == ["NAME", "ENVIRONMENT", "URL", "REGION", "VERSION"]
    assert own.startswith("*  Contoso")
    assert emulator.url in own
    assert own.endswith("administrator")
    assert closed.split()[:3] == ["Adatum", "https://adatum.crm4.dynamics.com", "EMEA"]
    assert closed.endswith("disabled")


def test_programs_get_one_document(ask, emulator):
    code, out = ask("refresh_token", json_asked=True)

    assert code == 0
    assert [one["url"] for one in json.loads(out)] == [emulator.url, "https://adatum.crm4.dynamics.com"]


def test_the_connection_need_not_have_an_environment(ask, emulator):
    code, out = ask("refresh_token", host=None)

    assert code == 0
    assert emulator.url in out
    assert "*" not in out


def test_an_app_is_told_that_the_list_is_for_persons(ask, emulator):
    code, out = ask("client_secret")

    assert code == 1
    assert "listed for persons" in out
    assert not [one for one in emulator.requests if "Instances" in one.path]


def test_on_premises_nobody_has_a_list(ask):
    code, out = ask("refresh_token", "adfs")

    assert code == 1
    assert "for Microsoft's clouds only" in out


def test_whoever_may_enter_none_is_told_that_clouds_have_lists_of_their_own():
    settings = Settings.from_fields(
        login="client",
        extra={"auth_type": "refresh_token", "refresh_token": "0.x", "username": "ann"},
        choosing=True,
    )

    said = as_text([], settings)

    assert said.startswith("ann may enter no environment that https://globaldisco.crm.dynamics.com lists.")


def test_a_trial_is_told_with_its_end():
    settings = Settings.from_fields(
        host="https://trial.crm.dynamics.com",
        login="client",
        password="secret",
        extra={"tenant_id": "contoso.com"},
    )

    said = as_text([Instance("https://trial.crm.dynamics.com", "Trial", trial_ends="2027-02-01")], settings)

    assert said.splitlines()[1].startswith("*  Trial")
    assert said.endswith("trial until 2027-02-01")
