"""Tables as assets: one spelling for one table."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.assets import (
    ChangedRows,
    changed_rows,
    convert_to_openlineage,
    create_asset,
    sanitize_uri,
    table_asset,
)
from airflow_provider_dynamics.triggers.payloads import change_event

URI = "dataverse://contoso.crm.dynamics.com/account"


@pytest.mark.parametrize(
    ("environment", "table"),
    [
        ("contoso.crm.dynamics.com", "account"),
        ("https://Contoso.crm.dynamics.com/", "Account"),
        ("CONTOSO.CRM.DYNAMICS.COM", "account"),
    ],
)
def test_a_table_has_one_asset_however_its_environment_is_written(environment, table):
    assert table_asset(table, environment) == Asset(name=URI, uri=URI)


def test_an_environment_on_this_machine_keeps_its_port():
    assert (
        table_asset("new_project", "https://127.0.0.1:8765").uri == "dataverse://127.0.0.1:8765/new_project"
    )


def test_an_asset_may_have_a_name_a_group_and_facts_of_its_own():
    asset = table_asset(
        "account", "contoso.crm.dynamics.com", name="customers", group="crm", extra={"owner": "sales"}
    )
    assert (asset.name, asset.group, asset.extra, asset.uri) == ("customers", "crm", {"owner": "sales"}, URI)


@pytest.mark.parametrize(
    ("environment", "table"),
    [
        ("contoso.crm.dynamics.com", "accounts?x=1"),
        ("contoso.crm.dynamics.com", "account/name"),
        ("contoso.crm.dynamics.com", ""),
        ("contoso.crm.dynamics.com", "9lives"),
        ("https://contoso.crm.dynamics.com/api/data", "account"),
        ("", "account"),
        ("user:pass-word@contoso.crm.dynamics.com", "account"),
        ("contoso crm", "account"),
    ],
)
def test_what_is_no_table_of_an_environment_is_refused(environment, table):
    with pytest.raises(
        ValueError, match=r"Write dataverse://<environment host>/<table logical name>"
    ) as caught:
        table_asset(table, environment)
    assert "pass-word" not in str(caught.value)


def test_a_uri_is_spelt_in_lower_case():
    assert sanitize_uri(urlsplit("DataVerse://Contoso.crm.dynamics.com/Account")).geturl() == URI


def test_lineage_makes_the_same_asset():
    assert create_asset(host="contoso.crm.dynamics.com", table="account") == table_asset(
        "account", "contoso.crm.dynamics.com"
    )


def test_openlineage_sees_the_environment_as_namespace_and_the_table_as_name():
    dataset = convert_to_openlineage(table_asset("account", "contoso.crm.dynamics.com"), None)
    if find_spec("openlineage") is None:
        assert dataset is None  # Airflow's stand-in where OpenLineage is not installed
    else:
        assert (dataset.namespace, dataset.name) == ("dataverse://contoso.crm.dynamics.com", "account")


# --- what watchers have said -------------------------------------------------------------------------------------

ACCOUNTS = Asset(name="accounts", uri="x-test://accounts")
CONTACTS = Asset(name="contacts", uri="x-test://contacts")


def told(second, **payload):
    return SimpleNamespace(timestamp=second, extra={"from_trigger": True, "payload": payload})


def changed(second, rows, deleted=(), *, more=0, mode="delta", values=None):
    changes = [{"row_id": row, "operation": "upsert", **({"row": values} if values else {})} for row in rows]
    changes += [{"row_id": row, "operation": "delete"} for row in deleted]
    return told(
        second,
        **change_event(
            *("account", "https://contoso.crm.dynamics.com", "poll", changes),
            mode=mode,
            count=len(changes) + more,
        ),
    )


def failed(second, text="Signing in failed: AADSTS7000222 …"):
    return told(second, status="error", message=text, kind="permanent", code="AADSTS7000222")


@pytest.mark.parametrize(
    "events", [None, {}, {ACCOUNTS: []}], ids=["no value", "no event", "an asset without"]
)
def test_a_run_that_nobody_woke_has_no_changes(events):
    assert changed_rows(events) == ChangedRows()
    assert not changed_rows(events)


def test_the_rows_of_all_events_and_assets_come_together_each_once():
    rows = changed_rows(
        {ACCOUNTS: [changed(1, ["a"]), changed(2, ["a", "b"], ["c"])], CONTACTS: [changed(1, ["d"])]}
    )

    assert rows == ChangedRows(("a", "b", "d"), ("c",), count=5)
    assert len(rows) == 5
    assert rows.complete


def test_a_row_counts_as_what_was_told_of_it_last():
    first, second = changed(1, ["a"], ["b"]), changed(2, ["b"], ["a"])

    rows = changed_rows({ACCOUNTS: [second, first]})

    assert (rows.changed, rows.deleted, rows.count) == (("b",), ("a",), 4)


def test_columns_that_were_asked_for_come_along_as_they_were_told_last():
    old, new = changed(1, ["a", "b"], values={"name": "old"}), changed(2, ["a"], values={"name": "new"})

    rows = changed_rows({ACCOUNTS: [old, new]})

    assert rows.rows == {"a": {"name": "new"}, "b": {"name": "old"}}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(changed(1, ["a"], more=200), id="more rows than an event names"),
        pytest.param(changed(1, [], mode="full"), id="a watcher that had lost its place"),
    ],
)
def test_it_says_when_the_names_are_not_all(event):
    rows = changed_rows({ACCOUNTS: [event]})

    assert not rows.complete
    assert rows


def test_a_watchers_problem_fails_the_task_with_its_reason():
    with pytest.raises(AirflowFailException) as raised:
        changed_rows({ACCOUNTS: [changed(1, ["a"]), failed(2)]})

    assert str(raised.value) == "Signing in failed: AADSTS7000222 …"


def test_a_problem_that_is_over_fails_nothing():
    assert changed_rows({ACCOUNTS: [changed(3, ["a"]), failed(2)]}).changed == ("a",)


def test_events_of_tasks_and_of_aliases_are_passed_over():
    task = SimpleNamespace(timestamp=2, extra={"rows": 3})
    event = changed(1, ["a"])

    assert changed_rows({ACCOUNTS: [event, task], AssetAlias("any"): [event]}) == ChangedRows(("a",), (), 1)
