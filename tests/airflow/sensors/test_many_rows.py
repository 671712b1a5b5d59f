"""The row sensor with conditions on many rows: what it asks for, and what it says of what it found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.sensors import DynamicsRowSensor
from airflow_provider_dynamics.triggers import find_rows
from airflow_provider_dynamics.triggers.rows import MAX_NAMED

ROW_ID = "11111111-2222-3333-4444-555555555555"


class FakeClient:
    """A table of so many rows; notes what it was asked."""

    def __init__(self, rows):
        self.there = rows
        self.asked = []

    def table(self, name):
        return SimpleNamespace(primary_id=f"{name}id")

    def rows(self, query):
        self.asked.append(query.top)
        return iter([{"accountid": f"id-{number}"} for number in range(min(self.there, query.top))])

    def count(self, _query):
        self.asked.append("count")
        if self.there > 50_000:
            raise errors.AggregateLimit("too many", status=400)
        return self.there


def find(there, **bounds):
    client: Any = FakeClient(there)
    return find_rows(client, "account", **bounds), client.asked


@pytest.mark.parametrize(
    ("there", "bounds", "count", "asked"),
    [
        (0, {}, None, [1]),
        (7, {}, 1, [1]),
        (2, {"min_rows": 3}, None, [3]),
        (9, {"min_rows": 3}, 3, [3]),
        (0, {"min_rows": 0, "max_rows": 0}, 0, [1]),
        (1, {"min_rows": 0, "max_rows": 0}, None, [1]),
        (4, {"min_rows": 2, "max_rows": 4}, 4, [5]),
        (5, {"min_rows": 2, "max_rows": 4}, None, [5]),
        (1, {"min_rows": 2, "max_rows": 4}, None, [5]),
        (1_999, {"min_rows": 2_000}, None, ["count"]),
        (2_500, {"min_rows": 2_000}, 2_000, ["count", MAX_NAMED]),
        (99_999, {"min_rows": 50_000}, 50_000, ["count", MAX_NAMED]),
        (99_999, {"min_rows": 0, "max_rows": 49_999}, None, ["count"]),
        (1_500, {"min_rows": 0, "max_rows": 1_500}, 1_500, ["count", MAX_NAMED]),
    ],
)
def test_it_asks_for_no_more_than_decides(there, bounds, count, asked):
    found, requests = find(there, **bounds)

    assert (None if found is None else found["count"]) == count
    assert requests == asked


def test_it_names_some_of_them():
    found, _ = find(500, min_rows=150)

    assert len(found["row_ids"]) == MAX_NAMED
    assert found["row_id"] == found["row_ids"][0] == "id-0"


def bounds(**arguments):
    return DynamicsRowSensor(task_id="wait", table="account", **arguments)._bounds()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, (1, None)),
        ({"min_rows": "5", "max_rows": ""}, (5, None)),
        ({"max_rows": 0}, (0, 0)),
        ({"min_rows": 2, "max_rows": "3"}, (2, 3)),
        ({"row_id": ROW_ID, "max_rows": 0}, (0, 0)),
    ],
    ids=str,
)
def test_the_bounds_may_come_out_of_templates_and_have_defaults(arguments, found):
    assert bounds(**arguments) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_rows": 3, "max_rows": 2}, "no number of rows is both"),
        ({"min_rows": 0}, "always so"),
        ({"min_rows": -1}, "min_rows is -1: give a whole number from 0 to 50,000"),
        ({"max_rows": "many"}, "max_rows is 'many': give a whole number from 0 to 49,999"),
        ({"min_rows": 50_001}, "50,000"),
        ({"min_rows": 2.5}, "whole number"),
        ({"min_rows": 2, "row_id": ROW_ID}, "at most one row"),
    ],
    ids=str,
)
def test_bounds_that_make_no_sense_fail_the_task(arguments, said):
    with pytest.raises(AirflowFailException, match=said):
        bounds(**arguments)


def test_an_id_whose_template_left_nothing_is_not_any_row():
    with pytest.raises(AirflowFailException, match="row_id is empty"):
        DynamicsRowSensor(task_id="wait", table="account", row_id=" ").poke({})


@pytest.mark.usefixtures("dynamics_conn")
def test_it_waits_for_a_row_to_go_away(emulator):
    row_id = emulator.rows("account")[0]["accountid"]
    gone = DynamicsRowSensor(task_id="wait", table="account", row_id=row_id, max_rows=0)
    before = bool(gone.poke({}))
    with DynamicsHook().get_conn() as client:
        client.delete("account", row_id)

    assert (before, bool(gone.poke({}))) == (False, True)
    assert gone.linked_row is None


@pytest.mark.usefixtures("dynamics_conn")
def test_the_emulator_counts_as_the_service_does(emulator):
    there = len(emulator.rows("account"))

    def poke(**arguments):
        return DynamicsRowSensor(task_id="wait", table="account", **arguments).poke({}).xcom_value

    assert poke(min_rows=there)["count"] == there
    assert poke(min_rows=there + 1) is None
    assert poke(max_rows=there)["count"] == there
    assert poke(max_rows=there - 1) is None
    assert poke(max_rows=2_000)["count"] == there
    assert poke(min_rows=2_000) is None
