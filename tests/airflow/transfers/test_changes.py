"""Changes to files, through Airflow against the emulator: what each run reads, whatever happens to the one before."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG

from airflow_provider_dynamics.assets import table_asset
from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.transfers import DynamicsChangesToObjectStorageOperator
from tests.airflow.transfers.files import ONCE, day, failed_once, lines, run_one
from tests.airflow.transfers.followed import read_file

pytestmark = pytest.mark.usefixtures("dynamics_conn")


def changes(path, **arguments):
    return DynamicsChangesToObjectStorageOperator(
        task_id="changes",
        table="account",
        destination_path=str(path),
        **{**ONCE, "select": ["name"], **arguments},
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
    [row] = deleted
    version = row.pop("version")
    assert row == {"accountid": gone, "name": None, "revenue": None, "operation": "delete"}
    first = pq.read_table(tmp_path / "2026-01-01.parquet")
    assert table.schema == first.schema
    assert version >= max(first["version"].to_pylist())


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

    def _following(self, *arguments):
        return replace(super()._following(*arguments), reached=self._crashing)

    @staticmethod
    def _crashing(step):
        if CrashesAfterTheFile.crashes and step == "the file is in place":
            CrashesAfterTheFile.crashes -= 1
            raise RuntimeError("the worker died")


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


def test_an_expired_place_leads_to_every_row_and_names_what_is_gone(
    run_dag, client, emulator, tmp_path, capsys
):
    dag = changes_dag(tmp_path, "expired")
    run_dag(dag, day(0))
    gone = emulator.rows("account")[0]["accountid"]
    client.delete("account", gone)
    emulator.fault("expired_delta")

    second = run_dag(dag, day(1)).xcoms["changes"]
    said = capsys.readouterr().out
    emulator.service.faults.clear()
    third = run_dag(dag, day(2)).xcoms["changes"]

    rows = len(emulator.rows("account"))
    assert (second["mode"], second["upserts"], second["deleted"]) == ("reconcile", rows, 1)
    assert of(tmp_path, 1)[gone] == ("delete", None)
    assert "0x80044352" in second["reason"]
    assert re.search(r"warning.*Every row of account was read.*0x80044352", said)
    assert (third["mode"], third["rows"]) == ("delta", 0)


def test_a_place_the_service_does_not_know_leads_to_every_row(run_dag, emulator, tmp_path):
    dag = changes_dag(tmp_path, "unknown_place")
    run_dag(dag, day(0))
    emulator.fault(
        "error", path="deltatoken", status=400, code="0x80060888", message="Invalid token", count=1
    )

    assert run_dag(dag, day(1)).xcoms["changes"]["mode"] == "reconcile"


def test_the_place_is_kept_with_the_inlet_and_otherwise_in_a_variable(run_dag, emulator, tmp_path):
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    def variables():
        with create_session() as session:
            return session.scalar(
                select(func.count())
                .select_from(Variable)
                .where(Variable.key.like("dynamics_changes.%.kept_%"))
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


UNTRACKED = "transactioncurrency"


def untracked_dag(tmp_path, name, **arguments):
    with DAG(name, schedule=None) as dag:
        DynamicsChangesToObjectStorageOperator(
            task_id="changes",
            table=UNTRACKED,
            select=["currencyname"],
            destination_path=f"{tmp_path}/{{{{ ds }}}}.ndjson",
            **{**ONCE, **arguments},
        )
    return dag


def test_delta_on_a_table_that_keeps_no_changes_is_told_what_to_switch_on(run_dag, tmp_path):
    text = failed_once(run_dag(untracked_dag(tmp_path, "insists", mode="delta")))

    assert "Track changes" in text
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_keeps_no_changes_is_followed_by_a_window_and_its_ids(
    run_dag, client, emulator, tmp_path
):
    dag = untracked_dag(tmp_path, "untracked")
    made = client.create(UNTRACKED, {"currencyname": "Mark", "isocurrencycode": "DEM", "currencysymbol": "M"})
    first = run_dag(dag, day(0)).xcoms["changes"]
    client.delete(UNTRACKED, made)
    second = run_dag(dag, day(1)).xcoms["changes"]

    assert (first["mode"], first["upserts"]) == ("full", len(emulator.rows(UNTRACKED)) + 1)
    assert (second["mode"], second["deleted"], second["reason"]) == ("window", 1, "")
    assert [
        row["transactioncurrencyid"]
        for row in lines(tmp_path / "2026-01-02.ndjson")
        if row["operation"] == "delete"
    ] == [made]


def test_a_filter_is_refused_where_the_table_tracks_changes(run_dag, tmp_path):
    text = failed_once(run_one(run_dag, lambda: changes(tmp_path / "x.csv", filter="statecode eq 0")))

    assert "cannot be filtered" in text
    assert 'mode="window"' in text


def test_a_condition_chooses_what_a_window_reads(run_dag, client, emulator, tmp_path):
    active = {row["accountid"] for row in emulator.rows("account") if row["statecode"] == 0}
    dag = changes_dag(tmp_path, "chosen", mode="window", filter=column("statecode") == 0)

    first = run_dag(dag, day(0)).xcoms["changes"]
    client.update("account", min(active), {"name": "Renamed"})
    second = run_dag(dag, day(1)).xcoms["changes"]

    assert (first["mode"], second["mode"]) == ("full", "window")
    assert set(of(tmp_path, 0)) == active
    assert of(tmp_path, 1)[min(active)] == ("upsert", "Renamed")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"mode": "poll"}, "auto, delta, window"), ({"output": "all"}, "changes, snapshot")],
)
def test_another_word_is_refused(run_dag, tmp_path, arguments, words):
    assert words in failed_once(run_one(run_dag, lambda: changes(tmp_path / "x.csv", **arguments)))


def test_a_snapshot_is_always_replaced(run_dag, tmp_path):
    operator = lambda: changes(tmp_path / "x.csv", output="snapshot", if_exists="fail")  # noqa: E731
    assert "leave it out" in failed_once(run_one(run_dag, operator))


@pytest.mark.parametrize("suffix", ["parquet", "ndjson", "csv"])
def test_a_snapshot_is_kept_equal_to_the_table(run_dag, client, emulator, tmp_path, suffix):
    file = tmp_path / f"accounts.{suffix}"
    with DAG(f"snapshot_{suffix}", schedule=None) as dag:
        DynamicsChangesToObjectStorageOperator(
            task_id="changes",
            table="account",
            select=["name", "revenue"],
            destination_path=str(file),
            output="snapshot",
            **ONCE,
        )
    first = run_dag(dag, day(0)).xcoms["changes"]
    rows = emulator.rows("account")
    client.update("account", rows[0]["accountid"], {"name": 'Ren"amed,\nagain'})
    client.delete("account", rows[1]["accountid"])
    client.create("account", {"name": "New"})
    second = run_dag(dag, day(1)).xcoms["changes"]

    assert (first["mode"], first["rows"]) == ("full", len(rows))
    assert (second["mode"], second["upserts"], second["deleted"], second["rows"]) == (
        "delta",
        2,
        1,
        len(rows),
    )
    found = {row["accountid"]: row["name"] for row in read_file(file)}
    assert found == {row["accountid"]: row["name"] for row in emulator.rows("account")}
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_a_snapshot_that_was_removed_is_made_anew(run_dag, emulator, tmp_path):
    file = tmp_path / "accounts.csv"
    with DAG("snapshot_removed", schedule=None) as dag:
        changes(file, output="snapshot")
    run_dag(dag, day(0))
    file.unlink()
    second = run_dag(dag, day(1)).xcoms["changes"]

    assert (second["mode"], second["rows"]) == ("reconcile", len(emulator.rows("account")))
    assert "no file" in second["reason"]


def test_labels_are_columns_of_their_own(run_dag, tmp_path):
    file = tmp_path / "x.ndjson"
    run_one(run_dag, lambda: changes(file, labels=True, select=["statecode"]))

    assert {row["statecodename"] for row in lines(file)} <= {"Active", "Inactive"}


def test_keys_that_were_removed_are_listed_anew_and_deletions_still_named(
    run_dag, client, emulator, tmp_path
):
    dag = changes_dag(tmp_path, "lost_keys")
    rows = emulator.rows("account")
    run_dag(dag, day(0))
    [keys] = [entry for entry in tmp_path.iterdir() if entry.name.endswith(".keys")]
    shutil.rmtree(keys)
    second = run_dag(dag, day(1)).xcoms["changes"]
    client.delete("account", rows[0]["accountid"])
    emulator.fault("expired_delta")
    third = run_dag(dag, day(2)).xcoms["changes"]

    assert second["mode"] == "delta"
    assert (third["mode"], third["deleted"]) == ("reconcile", 1)


def test_keys_and_place_that_are_lost_at_once_are_said(run_dag, emulator, tmp_path):
    dag = changes_dag(tmp_path, "all_lost")
    run_dag(dag, day(0))
    [keys] = [entry for entry in tmp_path.iterdir() if entry.name.endswith(".keys")]
    shutil.rmtree(keys)
    emulator.fault("expired_delta")
    second = run_dag(dag, day(1)).xcoms["changes"]

    assert (second["mode"], second["deleted"]) == ("full", 0)
    assert "0x80044352" in second["reason"]


def test_a_full_disk_of_changes_is_read_page_by_page(run_dag, emulator, tmp_path):
    ran = run_one(run_dag, lambda: changes(tmp_path / "x.csv", page_size=2))

    assert ran.xcoms["changes"]["rows"] == len(emulator.rows("account"))
