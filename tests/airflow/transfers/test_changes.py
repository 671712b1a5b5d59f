"""Changes to files, through Airflow against the emulator: what each run reads, whatever happens to the one before."""

from __future__ import annotations

import json
import re

import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import DynamicsChangesToObjectStorageOperator
from tests.airflow.transfers.files import ONCE, day, failed_once, lines, run_one

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def changes(path, **arguments):
    return DynamicsChangesToObjectStorageOperator(
        task_id="changes",
        table="account",
        select=["name"],
        destination_path=str(path),
        **{**ONCE, **arguments},
    )


def changes_dag(tmp_path, name, operator=DynamicsChangesToObjectStorageOperator, **arguments):
    with DAG(name, schedule=None) as dag:
        operator(
            task_id="changes",
            table="account",
            select=["name"],
            destination_path=f"{tmp_path}/{{{{ ds }}}}.ndjson",
            **{**ONCE, **arguments},
        )
    return dag


def of(tmp_path, number):
    """Return what the run of a day wrote: {row id: (operation, name)}."""
    return {
        row["accountid"]: (row["operation"], row["name"])
        for row in lines(tmp_path / f"{day(number):%Y-%m-%d}.ndjson")
    }


@pytest.fixture
def client(dynamics_conn):
    with DynamicsHook(dynamics_conn).get_conn() as opened:
        yield opened


def test_the_first_run_writes_everything_and_the_next_what_changed(run_dag, client, emulator, tmp_path):
    dag = changes_dag(tmp_path, "follow")
    rows = emulator.rows("account")

    first = run_dag(dag, day(0)).xcoms["changes"]
    client.update("account", rows[0]["accountid"], {"name": "Renamed"})
    client.delete("account", rows[1]["accountid"])
    made = client.create("account", {"name": "New"})
    second = run_dag(dag, day(1)).xcoms["changes"]
    third = run_dag(dag, day(2)).xcoms["changes"]

    assert (first["mode"], first["rows"], first["deleted"]) == ("full", len(rows), 0)
    assert (second["mode"], second["rows"], second["upserts"], second["deleted"]) == ("delta", 3, 2, 1)
    assert of(tmp_path, 1) == {
        rows[0]["accountid"]: ("upsert", "Renamed"),
        made: ("upsert", "New"),
        rows[1]["accountid"]: ("delete", None),
    }
    assert (third["mode"], third["rows"], of(tmp_path, 2)) == ("delta", 0, {})
    assert second["path"].endswith("2026-01-02.ndjson")
    assert "deltatoken" not in json.dumps([first, second, third])


def test_changes_are_typed_in_parquet_and_a_deleted_row_has_its_id_only(run_dag, client, emulator, tmp_path):
    with DAG("follow_parquet", schedule=None) as dag:
        DynamicsChangesToObjectStorageOperator(
            task_id="changes",
            table="account",
            select=["name", "revenue"],
            destination_path=f"{tmp_path}/{{{{ ds }}}}.parquet",
        )
    run_dag(dag, day(0))
    gone = emulator.rows("account")[0]["accountid"]
    client.delete("account", gone)
    run_dag(dag, day(1))

    table = pq.read_table(tmp_path / "2026-01-02.parquet")
    deleted = [row for row in table.to_pylist() if row["operation"] == "delete"]
    assert deleted == [{"accountid": gone, "name": None, "revenue": None, "operation": "delete"}]
    assert table.schema == pq.read_schema(tmp_path / "2026-01-01.parquet")


def test_a_cleared_run_reads_again_from_its_own_start_and_does_not_set_the_others_back(
    run_dag, client, emulator, tmp_path
):
    dag = changes_dag(tmp_path, "cleared")
    ids = [row["accountid"] for row in emulator.rows("account")[:3]]
    run_dag(dag, day(0))
    client.update("account", ids[0], {"name": "one"})
    run_dag(dag, day(1))
    client.update("account", ids[1], {"name": "two"})
    run_dag(dag, day(2))
    client.update("account", ids[2], {"name": "three"})

    again = run_dag(dag, day(1)).xcoms["changes"]
    last = run_dag(dag, day(3)).xcoms["changes"]

    assert again["mode"] == "delta"
    assert of(tmp_path, 1) == {
        ids[0]: ("upsert", "one"),
        ids[1]: ("upsert", "two"),
        ids[2]: ("upsert", "three"),
    }
    assert (last["rows"], of(tmp_path, 3)) == (1, {ids[2]: ("upsert", "three")})


class CrashesAfterTheFile(DynamicsChangesToObjectStorageOperator):
    """Dies between the file and the cursor, once; as a class of its own, because Airflow copies operators."""

    crashes = 0

    def _write(self, *arguments):
        written = super()._write(*arguments)
        if CrashesAfterTheFile.crashes:
            CrashesAfterTheFile.crashes -= 1
            raise RuntimeError("the worker died")
        return written


def test_a_run_that_died_between_file_and_cursor_reads_the_same_again(run_dag, client, emulator, tmp_path):
    dag = changes_dag(tmp_path, "died", CrashesAfterTheFile)
    account = emulator.rows("account")[0]["accountid"]
    run_dag(dag, day(0))
    client.update("account", account, {"name": "one"})
    CrashesAfterTheFile.crashes = 1

    ran = run_dag(dag, day(1))

    assert (ran.states, ran.tries) == ({"changes": "success"}, {"changes": 2})
    assert ran.xcoms["changes"]["mode"] == "delta"
    assert of(tmp_path, 1) == {account: ("upsert", "one")}


def test_an_expired_place_leads_to_a_full_read_and_is_said(run_dag, client, emulator, tmp_path, capsys):
    dag = changes_dag(tmp_path, "expired")
    run_dag(dag, day(0))
    client.delete("account", emulator.rows("account")[0]["accountid"])
    emulator.fault("expired_delta")

    second = run_dag(dag, day(1)).xcoms["changes"]
    said = capsys.readouterr().out
    emulator.service.faults.clear()
    third = run_dag(dag, day(2)).xcoms["changes"]

    assert (second["mode"], second["rows"], second["deleted"]) == ("full", len(emulator.rows("account")), 0)
    assert re.search(r"warning.*all rows are read.*0x80044352", said)
    assert (third["mode"], third["rows"]) == ("delta", 0)


def test_a_place_the_service_does_not_know_leads_to_a_full_read(run_dag, emulator, tmp_path):
    dag = changes_dag(tmp_path, "unknown_place")
    run_dag(dag, day(0))
    emulator.fault(
        "error", path="deltatoken", status=400, code="0x80060888", message="Invalid token", count=1
    )

    assert run_dag(dag, day(1)).xcoms["changes"]["mode"] == "full"


def test_the_place_is_kept_with_the_inlet_and_otherwise_in_a_variable(run_dag, emulator, tmp_path):
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    def variables():
        with create_session() as session:
            return session.scalar(
                select(func.count()).select_from(Variable).where(Variable.key.like("%.kept_%"))
            )

    run_dag(changes_dag(tmp_path, "kept_in_a_variable"), day(0))
    assert variables() == 1

    inlet = table_asset("account", environment=emulator.url)
    dag = changes_dag(tmp_path, "kept_with_the_asset", inlets=[inlet])
    run_dag(dag, day(0))
    second = run_dag(dag, day(1)).xcoms["changes"]

    assert second["mode"] == "delta"
    try:
        from airflow.models.asset_state_store import AssetStateStoreModel
    except ImportError:  # Airflow 3.2
        assert variables() == 2
        return
    with create_session() as session:
        ours = AssetStateStoreModel.key.like("dynamics_changes.account.kept_with_the_asset.changes.%")
        assert len(session.scalars(select(AssetStateStoreModel).where(ours)).all()) == 1
    assert variables() == 1


def test_a_table_that_keeps_no_changes_is_told_what_to_switch_on(run_dag, client, tmp_path):
    untracked = next(
        name
        for name in ("organization", "transactioncurrency", "businessunit")
        if not client.table(name).change_tracking
    )
    with DAG("untracked", schedule=None) as dag:
        DynamicsChangesToObjectStorageOperator(
            task_id="changes", table=untracked, destination_path=f"{tmp_path}/x.csv", **ONCE
        )

    text = failed_once(run_dag(dag))

    assert "Track changes" in text
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_of_changes_is_read_page_by_page(run_dag, emulator, tmp_path):
    ran = run_one(run_dag, lambda: changes(tmp_path / "x.csv", page_size=2))

    assert ran.xcoms["changes"]["rows"] == len(emulator.rows("account"))
