"""`airflow dynamics webhook …` against the emulator: what is shown, registered and removed, and what is said."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from airflow_provider_dynamics.commands import webhooks
from airflow_provider_dynamics.dataverse import Step, Webhook
from airflow_provider_dynamics.dataverse.administration.endpoints import Registration

KEY = "webhook-key-of-the-commands"
URL = "http://localhost:8080/dynamics/events/crm"


@pytest.fixture
def run(emulator, monkeypatch, capsys):
    """Run a command with a connection that has, or has not, a Webhook secret; return its exit code and what it printed."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")

    def command(what, *, secret=KEY, **arguments):
        monkeypatch.setenv(
            "AIRFLOW_CONN_CRM", emulator.airflow_connection("crm", webhook_secret=secret)["AIRFLOW_CONN_CRM"]
        )
        given = dict.fromkeys(("environment", "table", "message", "column", "url"))
        try:
            what.__wrapped__.__wrapped__(Namespace(**{"conn_id": "crm", "json": False, **given, **arguments}))
        except SystemExit as ended:
            return ended.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return command


def test_registering_says_what_was_done_and_the_list_shows_it(run):
    code, out = run(webhooks.register, table=["account"], column=["name"])
    assert (code, out.splitlines()[0]) == (0, "Airflow localhost:8080/dynamics/events/crm: created")

    code, out = run(webhooks.list_webhooks)

    assert code == 0
    assert out.splitlines() == [
        "* Airflow localhost:8080/dynamics/events/crm",
        f"    {URL}",
        "    Create of account",
        "    Delete of account",
        "    Update of account (of name)",
    ]
    assert KEY not in out


def test_both_speak_json(run):
    _, out = run(webhooks.register, table=["account"], message=["Create"], json=True)
    assert json.loads(out)["created"] == ["Create of account"]

    _, out = run(webhooks.list_webhooks, json=True)
    (webhook,) = json.loads(out)
    assert [step["message"] for step in webhook["steps"]] == ["Create"]


def test_removing_takes_all_away_or_one_table(run):
    run(webhooks.register, table=["account", "contact"])

    assert "kept" in run(webhooks.remove, table=["account"])[1]
    assert "removed" in run(webhooks.remove)[1]
    assert "posts to no webhook" in run(webhooks.list_webhooks)[1]


@pytest.mark.parametrize(
    ("secret", "arguments", "says"),
    [
        (None, {"table": ["account"]}, "no Webhook secret"),
        ("short", {"table": ["account"]}, "5 characters"),
        (KEY, {"table": ["acount"]}, "account"),
        (KEY, {"table": ["account"], "url": "https://airflow.contoso.com:8080/x"}, "port 443"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run, secret, arguments, says):
    code, out = run(webhooks.register, secret=secret, **arguments)

    assert code == 1
    assert says in out


def test_an_airflow_that_does_not_know_its_address_says_how_to_tell_it(run, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")

    code, out = run(webhooks.register, table=["account"])

    assert code == 1
    assert "[api] base_url" in out


def test_what_is_there_is_shown_also_where_airflow_does_not_know_its_address(run, monkeypatch):
    run(webhooks.register, table=["account"])
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")

    code, out = run(webhooks.list_webhooks)

    assert (code, out.splitlines()[0]) == (0, "  Airflow localhost:8080/dynamics/events/crm")


def test_another_environment_is_worked_in_and_posts_to_a_door_of_its_own(run, emulator):
    host = emulator.url.removeprefix("https://")
    code, out = run(webhooks.register, table=["account"], environment=emulator.url)
    assert (code, out.splitlines()[0]) == (0, f"Airflow localhost:8080/dynamics/events/crm/{host}: created")

    assert run(webhooks.list_webhooks, environment=emulator.url)[1].startswith("* Airflow")
    code, out = run(webhooks.list_webhooks, environment="https://contoso.crm.dynamics.cn")
    assert (code, "contoso.crm.dynamics.cn" in out) == (1, True)


def test_steps_that_are_off_or_hold_changes_up_are_marked():
    steps = (Step("account", "Create", enabled=False), Step("account", "Update", mode="synchronous"))
    shown = webhooks.as_text(
        [Webhook("1", "somebody's", "https://x", steps, key_is_set=False)], URL, "https://y"
    )

    assert shown.splitlines() == [
        "  somebody's",
        "    https://x  (no key is set)",
        "    Create of account (off)",
        "    Update of account (synchronous)",
    ]


def test_what_was_done_is_told_by_kind():
    done = Registration("x", "updated", created=("Create of account",), unchanged=("Delete of account",))

    assert webhooks.told(done) == "x: updated\n  created    Create of account\n  unchanged  Delete of account"
