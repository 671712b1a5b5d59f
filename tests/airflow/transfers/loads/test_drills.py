"""What networks and services do to a load, the six drills among them: every row lands once, or is named."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_dynamics.compat import HAS_RETRY_POLICY
from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator
from tests.airflow.transfers.drills import Impatiently
from tests.airflow.transfers.files import lines
from tests.airflow.transfers.loads.files import accounts, loaded, rows, run_load, writes

pytestmark = pytest.mark.usefixtures("dynamics_conn")

ROWS = 1_500
WRITES = r"\.\w+Multiple|\$batch"
WAYS: dict[str, dict[str, Any]] = {
    "upsert by key": {"operation": "upsert", "key": ["accountnumber"]},
    "create with ids from the key": {"operation": "create", "key": ["accountnumber"]},
    "upsert with ids from a column": {"operation": "upsert", "key": None, "row_id_from": ["accountnumber"]},
    "create": {"operation": "create", "key": None},
}
DRILLS = [
    pytest.param(("throttle", {"every": 3, "retry_after": 0}), id="429 on every third request"),
    pytest.param(("throttle", {"limit": "time", "count": 2, "retry_after": 0}), id="429 for execution time"),
    pytest.param(
        ("throttle", {"limit": "concurrency", "count": 2, "retry_after": 0}), id="429 for concurrency"
    ),
    pytest.param(("status", {"every": 4}), id="503 with a page of HTML on every fourth"),
    pytest.param(("expired_token", {"skip": 1, "count": 1}), id="one 401 in mid-run"),
    pytest.param(("reset", {"when": "before", "skip": 1, "count": 1}), id="request lost"),
    pytest.param(("reset", {"when": "after", "skip": 1, "count": 1}), id="answer lost"),
    pytest.param(("truncate", {"skip": 1, "count": 1}), id="answer cut short"),
]


class Impatient(Impatiently, ObjectStorageToDynamicsOperator):
    """A load that leaves it to Airflow to try again."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("drill", DRILLS)
def test_it_is_survived_with_every_row_once(run_dag, emulator, tmp_path, drill, way):
    kind, members = drill
    switch = emulator.fault(kind, path=WRITES, **members)
    source = accounts(tmp_path / "in.parquet", ROWS)

    ran = run_load(run_dag, source, chunk_size=250, **WAYS[way])

    assert ran.states == {"load": "success"}, ran.errors
    assert switch.hits > 0, "the drill never happened"
    assert loaded(emulator) == [tuple(row.values()) for row in rows(ROWS)]
    summary = ran.xcoms["load"]
    assert (summary["rows"], summary["rejected"]) == (ROWS, 0)
    assert summary["written"] + summary["unchanged"] == ROWS


@pytest.mark.parametrize("way", WAYS)
def test_one_bad_row_among_3000_is_named_and_all_others_land(run_dag, emulator, tmp_path, way):
    emulator.fault("poison", table="account", column="name", value="Drill 1234", code="0x80040265")
    source, rejects = accounts(tmp_path / "in.parquet", 3_000), tmp_path / "rejects.ndjson"

    ran = run_load(run_dag, source, rejects_path=str(rejects), max_rejects=1, chunk_size=500, **WAYS[way])

    assert [line["row"] for line in lines(rejects)] == [1234]
    assert ran.xcoms["load"]["rejected"] == 1
    assert len(loaded(emulator)) == 2_999
    asked = [request for request in emulator.requests if re.search(r"/accounts|batch", request.path)]
    assert len(asked) <= 6 + 12, "at most 12 requests for the bad row"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "drill",
    [
        pytest.param(("throttle", {"retry_after": 0}), id="throttled"),
        pytest.param(("status", {}), id="503 with a page of HTML"),
        pytest.param(("reset", {"when": "after"}), id="answer lost"),
    ],
)
def test_where_a_try_fails_the_retry_goes_on(run_dag, emulator, tmp_path, drill, way):
    kind, members = drill
    emulator.fault(kind, path=WRITES, skip=3, count=1, **members)
    source = accounts(tmp_path / "in.parquet", ROWS)

    ran = run_load(
        run_dag, source, Impatient, chunk_size=100, concurrency=1, checkpoint_seconds=0, **WAYS[way]
    )

    assert ran.states == {"load": "success"}, ran.errors
    assert loaded(emulator) == [tuple(row.values()) for row in rows(ROWS)]
    summary = ran.xcoms["load"]
    assert summary["rows"] == ROWS == summary["written"] + summary["unchanged"]
    if ran.tries["load"] > 1:
        assert (summary["resumed_rows"] > 0) == HAS_RETRY_POLICY


def test_an_outage_longer_than_all_tries_says_why_and_what_landed(run_dag, emulator, tmp_path):
    emulator.fault("status", path=WRITES, skip=2)
    source = accounts(tmp_path / "in.parquet", ROWS)

    ran = run_load(run_dag, source, Impatient, chunk_size=100, concurrency=1)

    assert (ran.states, ran.tries) == ({"load": "failed"}, {"load": 3})
    assert "HTTP 503" in str(ran.errors["load"])
    assert len(loaded(emulator)) < ROWS


def test_a_table_one_may_not_write_names_the_privilege_and_is_not_tried_again(run_dag, emulator, tmp_path):
    emulator.sign_ins.take_privilege("prvCreateAccount")
    source = accounts(tmp_path / "in.parquet", 10)

    ran = run_load(run_dag, source, operation="create", key=None)

    assert (ran.states, ran.tries) == ({"load": "failed"}, {"load": 1})
    assert "prvCreateAccount" in str(ran.errors["load"])
    assert len(writes(emulator)) < 12
