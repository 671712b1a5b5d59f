"""Rollups calculated now: which calls go out, and what becomes of those that fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.recalculating import recalculate

IDS = [f"0000000{n}-0000-4000-8000-00000000000{n}" for n in range(3)]


class _Batches:
    """A client that takes batches; `refused` are errors by the id of a row."""

    def __init__(self, **refused):
        self.sent = []
        self.refused = refused.get("refused", {})

    def entity_set(self, table):
        return f"{table}s"

    def table(self, name):
        def column(wanted):
            if wanted == "nam":
                raise errors.UnknownColumn("no such column")
            return SimpleNamespace(name=wanted)

        return SimpleNamespace(column=column)

    def batch(self, requests):
        self.sent.append(list(requests))
        return [
            SimpleNamespace(
                error=next((error for row, error in self.refused.items() if row in one.target), None)
            )
            for one in requests
        ]


Batches: Any = _Batches


def test_each_row_and_column_is_a_calculation_of_its_own():
    client = Batches()

    done = list(recalculate(client, "account", IDS[:2], ["new_total", "new_count"]))

    assert [(one.row_id, one.column) for one in done] == [
        (row, name) for row in IDS[:2] for name in ("new_total", "new_count")
    ]
    first = client.sent[0][0]
    assert first.method == "GET"
    # https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/calculaterollupfield
    assert unquote(first.target) == (
        "CalculateRollupField(Target=@p1,FieldName=@p2)"
        f"?@p1={{'@odata.id':'accounts({IDS[0]})'}}&@p2='new_total'"
    )


def test_goals_are_calculated_whole():
    client = Batches()

    assert [one.column for one in recalculate(client, "goal", IDS[:1])] == [""]
    [[request]] = client.sent
    assert (request.method, request.target) == ("POST", f"goals({IDS[0]})/Microsoft.Dynamics.CRM.Recalculate")


def test_a_hundred_go_out_at_a_time():
    client = Batches()

    assert len(list(recalculate(client, "account", IDS[:1] * 250, ["new_total"]))) == 250
    assert [len(one) for one in client.sent] == [100, 100, 50]


def test_what_a_row_is_to_blame_for_is_its_outcome():
    refused = errors.RowNotFound("gone", status=404)
    client = Batches(refused={IDS[1]: refused})

    assert [one.error for one in recalculate(client, "account", IDS, ["new_total"])] == [None, refused, None]


def test_what_no_row_is_to_blame_for_is_raised():
    client = Batches(refused={IDS[1]: errors.ServerError("down")})

    with pytest.raises(errors.ServerError):
        list(recalculate(client, "account", IDS, ["new_total"]))


def test_a_wrong_name_is_said_before_anything_is_calculated():
    client = Batches()

    with pytest.raises(errors.UnknownColumn):
        list(recalculate(client, "account", IDS, ["nam"]))
    with pytest.raises(errors.BadRequest, match="not a row id"):
        list(recalculate(client, "account", ["A1"], ["new_total"]))
    assert client.sent == []
