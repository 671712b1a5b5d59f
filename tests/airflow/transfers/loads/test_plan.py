"""What a load would do is counted and written down, row by row."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.transfers.loads.plan import Plan, Planning
from airflow_provider_dynamics.transfers.loads.row import Compared, LoadRow, Reject

ID = "d6f193fc-ce85-e611-80d8-00155d2a68de"
COLUMNS = {"accountid": "Uniqueidentifier", "name": "String", "revenue": "Money"}
TABLE = Table(
    *("account", "accounts", "accountid", "name"),
    columns={name: Column(name, kind, name) for name, kind in COLUMNS.items()},
)


def row(number, compared=None, reject=None, **values):
    return LoadRow(number, "a.csv", {**values}, {**values}, reject=reject, compared=compared)


@pytest.fixture
def path(tmp_path):
    return ObjectStoragePath(f"file://{tmp_path}/plan.ndjson")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_row_has_its_line_but_the_unchanged_ones(path):
    stored = {"accountid": ID, "name": "Old", "revenue": 10}
    batch = [
        row(1, Compared("create", None, ("name",)), name="New"),
        row(2, Compared("update", stored, ("name",)), name="New", revenue=10),
        row(3, Compared("unchanged", stored), name="Old"),
        row(4, Compared("delete", stored)),
        row(5, reject=Reject(5, "a.csv", "account", "too long"), name="x"),
    ]
    with Plan(path) as plan:
        Planning(plan, "account", TABLE)(batch)

    assert plan.counts == {"creates": 1, "updates": 1, "deletes": 1, "unchanged": 1}
    assert lines(path) == [
        {**_line(1, "create"), "changes": {"name": {"from": None, "to": "New"}}},
        {**_line(2, "update", ID), "changes": {"name": {"from": "Old", "to": "New"}}},
        {**_line(4, "delete", ID), "changes": {}},
        {**_line(5, "reject"), "message": "too long"},
    ]
    assert [one.unchanged for one in batch] == [False, False, True, False, False]


def _line(number, action, row_id=None):
    return {"row": number, "file": "a.csv", "table": "account", "action": action, "row_id": row_id}


def test_what_dynamics_would_refuse_is_planned_as_refused():
    stored = {"accountid": ID, "name": "Old"}
    batch = [
        row(1, Compared("missing", None, ("name",)), name="New"),
        row(2, Compared("exists", stored, ("name",)), name="New"),
        row(3, Compared("exists", stored), name="Old"),
    ]
    with Plan(None) as plan:
        Planning(plan, "account", TABLE)(batch)

    assert [one.reject and one.reject.message for one in batch] == [
        "account has no such row to update",
        "account has a row of this id already, and it holds other values",
        None,
    ]
    assert plan.counts == {"creates": 0, "updates": 0, "deletes": 0, "unchanged": 1}


def test_a_later_pass_adds_to_the_first_and_counts_no_row_twice():
    stored = {"accountid": ID, "name": "Old"}
    with Plan(None) as plan:
        Planning(plan, "account", TABLE)(
            [
                row(1, Compared("create", None, ("name",)), name="New"),
                row(2, Compared("update", stored, ("name",)), name="New"),
                row(3, Compared("unchanged", stored), name="Old"),
            ]
        )
        Planning(plan, "account", TABLE, first=False)(
            [
                row(1, Compared("missing", None, ("revenue",)), revenue=1),
                row(2, Compared("update", stored, ("revenue",)), revenue=1),
                row(3, Compared("update", stored, ("revenue",)), revenue=1),
            ]
        )

    assert plan.counts == {"creates": 1, "updates": 2, "deletes": 0, "unchanged": 0}


def test_a_plan_that_breaks_off_leaves_the_file_of_the_one_before(path):
    path.write_text("before")

    def breaks_off():
        with Plan(path) as plan:
            Planning(plan, "account", TABLE)([row(1, Compared("create", None, ("name",)), name="New")])
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        breaks_off()

    assert path.read_text() == "before"
