"""Rollup columns calculated now, for rows that are named, found or all."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsRecalculateOperator
from tests.airflow.administrators import context

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def totals(**arguments):
    return DynamicsRecalculateOperator(task_id="totals", **{"table": "account", **arguments})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "columns is empty: name the rollup columns of account"),
        ({"columns": "opendeals"}, "Say which rows"),
        ({"columns": "opendeals", "row_ids": "x", "filter": "y"}, "Say which rows"),
        ({"columns": "opendeals", "filter": "", "whole_table": "false"}, "Say which rows"),
        ({"columns": "opendeal", "whole_table": True}, "opendeal"),
        ({"columns": "opendeals", "row_ids": "A1"}, "'A1' is not a row id"),
    ],
)
def test_what_cannot_be_calculated_is_said(emulator, arguments, said):
    with pytest.raises(AirflowFailException) as raised:
        totals(**arguments).execute(context())

    assert said in str(raised.value)
    assert not [one for one in emulator.requests if "CalculateRollupField" in one.path]


@pytest.mark.parametrize("way", ["row_ids", "filter", "whole_table"])
def test_rollups_say_what_is_true_now(run_dag, emulator, way):
    with DynamicsHook().get_conn() as client:
        account = client.create("account", {"name": "Rolled up"})
        for place in range(3):
            client.create(
                "opportunity",
                {
                    "name": str(place),
                    "parentaccountid": account,
                    "customerid_account@odata.bind": f"/accounts({account})",
                },
            )
        with DAG("totals", schedule=None) as dag:
            which = {"row_ids": [account], "filter": "name eq 'Rolled up'", "whole_table": True}[way]
            totals(columns=["opendeals"], **{way: which})
        accounts = len(emulator.rows("account"))

        told = run_dag(dag).xcoms["totals"]

        assert client.get("account", account)["opendeals"] == 3
    assert (told["rows"], told["calculated"], told["failed"]) == (
        accounts if way == "whole_table" else 1,
        accounts if way == "whole_table" else 1,
        0,
    )


def test_rows_that_cannot_be_calculated_fail_the_task_or_are_counted():
    gone = "00000000-0000-0000-0000-00000000dead"
    with pytest.raises(AirflowFailException, match="1 of 1 calculations failed: 00000000"):
        totals(columns="opendeals", row_ids=gone).execute(context())

    told = totals(columns="opendeals", row_ids=gone, max_failures=None).execute(context())

    assert (told["calculated"], told["failed"]) == (0, 1)
    assert told["failures"][0]["row_id"] == gone


def test_a_column_that_is_no_rollup_is_the_services_to_refuse():
    with DynamicsHook().get_conn() as client:
        account = client.create("account", {"name": "A"})

    with pytest.raises(AirflowFailException, match="non-rollup"):
        totals(columns="numberofemployees", row_ids=account).execute(context())
