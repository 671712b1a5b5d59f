"""What OpenLineage's listener sends of tasks that ran: the events themselves, from a process that has it switched on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

pytest.importorskip("airflow.providers.openlineage", reason="the OpenLineage provider is not installed")
ROOT = Path(__file__).parents[2]


class Told(NamedTuple):
    """Where the tasks ran, and the last event of each."""

    folder: Path
    environment: str
    events: dict[str, Any]

    def sides(self, task: str) -> tuple[list[Any], list[Any]]:
        return self.events[task]["inputs"], self.events[task]["outputs"]


@pytest.fixture(scope="module")
def told(airflow_db, emulator_server, tmp_path_factory):  # noqa: ARG001 - the database only has to be there
    """Return what the tasks of a DAG have told."""
    emulator_server.reset()
    folder = tmp_path_factory.mktemp("telling")
    (folder / "in.csv").write_text("number,name,remark\nNEW-1,New,x\nNEW-2,Newer,y\n")
    transport = {"type": "file", "log_file_path": str(folder / "events"), "append": True}
    environment = {
        **os.environ,
        **emulator_server.airflow_connection("dynamics_default"),
        "AIRFLOW_CONN_WAREHOUSE": f"sqlite:///{folder}/warehouse.db",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "60",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(  # our own words
        [sys.executable, "-m", "tests.airflow.telling", str(folder)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "OpenLineage extractor returns" not in done.stdout
    events = [json.loads(line) for line in (folder / "events").read_text().splitlines()]
    return Told(
        folder,
        f"dataverse://{urlsplit(emulator_server.url).netloc}",
        {e["job"]["name"].rpartition(".")[2]: e for e in events if e["eventType"] == "COMPLETE"},
    )


def schema(dataset):
    return {field["name"]: field.get("type") for field in dataset["facets"]["schema"]["fields"]}


def origins(dataset):
    """Return the column lineage of a dataset: of each column the (namespace, table, column) it comes from."""
    return {
        name: [(one["namespace"], one["name"], one["field"]) for one in column["inputFields"]]
        for name, column in dataset["facets"]["columnLineage"]["fields"].items()
    }


def places(datasets):
    return {(dataset["namespace"], dataset["name"]) for dataset in datasets}


def test_an_export_tells_its_tables_its_file_and_where_each_column_comes_from(told):
    (account, contact), (file,) = told.sides("export")
    assert (account["namespace"], account["name"]) == (told.environment, "account")
    assert (contact["namespace"], contact["name"]) == (told.environment, "contact")
    assert schema(account) == {
        "accountid": "Uniqueidentifier",
        "name": "String",
        "revenue": "Money",
        "primarycontactid": "Lookup",
    }
    assert schema(contact) == {"fullname": "String"}
    assert (file["namespace"], file["name"]) == ("file", str(told.folder / "accounts.parquet"))
    assert schema(file)["revenue"] == "decimal(38,4)"
    assert origins(file) == {
        "accountid": [(told.environment, "account", "accountid")],
        "name": [(told.environment, "account", "name")],
        "revenue": [(told.environment, "account", "revenue")],
        "primarycontactid": [(told.environment, "account", "primarycontactid")],
        "primarycontactidname": [(told.environment, "account", "primarycontactid")],
        "primarycontactid.fullname": [(told.environment, "contact", "fullname")],
    }
    assert file["outputFacets"]["outputStatistics"]["rowCount"] > 0


def test_a_change_file_tells_its_own_columns_too(told):
    (account,), (file,) = told.sides("changes")
    assert places([account, file]) == {
        (told.environment, "account"),
        ("file", str(told.folder / "changes.csv")),
    }
    assert schema(file) == {
        "accountid": "string",
        "name": "string",
        "version": "int64",
        "operation": "string",
    }
    assert set(origins(file)) >= {"accountid", "name"}


def test_a_database_is_told_with_its_table(told):
    (contact,), (people,) = told.sides("sql")
    assert places([contact]) == {(told.environment, "contact")}
    assert places([people]) == {("sqlite", f"{told.folder}/warehouse.db.people")}
    assert origins(people) == {
        "contactid": [(told.environment, "contact", "contactid")],
        "fullname": [(told.environment, "contact", "fullname")],
    }


def test_a_load_tells_which_column_of_the_file_went_where(told):
    (file,), (account,) = told.sides("load")
    source = ("file", str(told.folder / "in.csv"))
    assert places([file]) == {source}
    assert places([account]) == {(told.environment, "account")}
    assert origins(account) == {"accountnumber": [(*source, "number")], "name": [(*source, "name")]}
    assert account["outputFacets"]["outputStatistics"]["rowCount"] == 2


def test_a_plain_task_tells_the_tables_that_its_hook_has_read_and_written(told):
    inputs, outputs = told.sides("plain")
    assert places(inputs) == {(told.environment, "account")}
    assert places(outputs) == {(told.environment, "contact")}


def test_an_operator_without_facets_of_its_own_tells_its_table(told):
    inputs, _ = told.sides("ask")
    assert (told.environment, "systemuser") in places(inputs)
