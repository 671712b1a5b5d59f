"""Environment variables and connection references through Airflow, by themselves and with an import."""

from __future__ import annotations

import logging

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse import WriteOptions
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import (
    DynamicsImportSolutionOperator,
    DynamicsSetConnectionReferenceOperator,
    DynamicsSetEnvironmentVariableOperator,
)
from tests.airflow.administrators import context
from tests.airflow.contoso_solution import NAME, exported, make

URL, REFERENCE = "ctx_ApiUrl", "ctx_sql"
CONNECTOR = "/providers/Microsoft.PowerApps/apis/shared_sql"


@pytest.fixture
def here(administrator):
    with administrator() as client:
        make(client)
        inside = WriteOptions(solution=NAME)
        client.create(
            "environmentvariabledefinition",
            {"schemaname": URL, "displayname": "Address", "type": 100000000, "defaultvalue": "https://none"},
            options=inside,
        )
        client.create(
            "connectionreference",
            {
                "connectionreferencelogicalname": REFERENCE,
                "connectionreferencedisplayname": "Database",
                "connectorid": CONNECTOR,
            },
            options=inside,
        )
        yield client


def values(environment):
    return [row["value"] for row in environment.rows("environmentvariablevalue")]


def setting(value, **arguments):
    return DynamicsSetEnvironmentVariableOperator(task_id="variable", variable=URL, value=value, **arguments)


@pytest.mark.usefixtures("here")
def test_a_variable_is_set_once_changed_and_taken_away(run_dag, emulator, caplog):
    with DAG("variables", schedule=None) as dag:
        setting("https://s3cret")
    with caplog.at_level(logging.DEBUG, "airflow_provider_dynamics"):
        told = [run_dag(dag).xcoms["variable"]["status"] for _ in range(2)]

    assert told == ["changed", "unchanged"]
    assert values(emulator) == ["https://s3cret"]
    assert not [one for one in caplog.records if "provider_dynamics" in one.name and "s3cret" in one.message]
    assert setting("https://other").execute(context())["status"] == "changed"
    assert values(emulator) == ["https://other"]
    assert setting(None).execute(context())["status"] == "changed"
    assert values(emulator) == []


@pytest.mark.usefixtures("here")
def test_a_reference_is_given_its_connection_once(emulator):
    task = DynamicsSetConnectionReferenceOperator(
        task_id="reference", reference=REFERENCE, connection_id="shared-sql-1"
    )

    assert [task.execute(context())["status"] for _ in range(2)] == ["changed", "unchanged"]
    [row] = emulator.rows("connectionreference")
    assert row["connectionid"] == "shared-sql-1"


@pytest.mark.usefixtures("dynamics_conn")
@pytest.mark.parametrize(
    "task",
    [
        DynamicsSetEnvironmentVariableOperator(task_id="x", variable="ctx_Gone", value="x"),
        DynamicsSetConnectionReferenceOperator(task_id="x", reference="ctx_Gone", connection_id="x"),
    ],
    ids=["a variable", "a reference"],
)
def test_what_is_not_there_is_named(task):
    with pytest.raises(AirflowFailException, match="'ctx_Gone'"):
        task.execute(context())


def test_an_import_brings_values_and_connections_along(here, emulator, tmp_path):
    production = emulator.add_environment("production", seed=None)
    path = tmp_path / "sales.zip"
    path.write_bytes(exported(here, emulator))

    def task(**arguments):
        return DynamicsImportSolutionOperator(
            task_id="import",
            environment=production.url,
            source_path=str(path),
            poll_interval=0.1,
            deferrable=False,
            **arguments,
        )

    for value in ("https://one", "https://two"):
        told = task(environment_variables={URL: value}, connection_references={REFERENCE: "c1"})
        assert told.execute(context())["status"] == "succeeded"
        assert values(production) == [value]
    [row] = production.rows("connectionreference")
    assert (row["connectionid"], row["connectorid"]) == ("c1", CONNECTOR)
    with pytest.raises(AirflowFailException, match="has no environment variable 'ctx_ApiUri'"):
        task(environment_variables={"ctx_ApiUri": "x"}).execute(context())
    with DynamicsHook(environment=production.url).get_conn() as client:
        assert getattr(client.solutions.get(NAME), "managed", None)
