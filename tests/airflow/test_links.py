"""Links from a task to Dynamics: where they lead, and that a task that ran has them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import row_url, table_url
from airflow_provider_dynamics.operators import DynamicsQueryOperator, DynamicsRefreshTokenOperator
from airflow_provider_dynamics.sensors import DynamicsRowSensor
from airflow_provider_dynamics.transfers import (
    DynamicsToObjectStorageOperator,
    ObjectStorageToDynamicsOperator,
)
from tests.airflow.fakes import FakeClient, FakeHook

ENVIRONMENT = "https://contoso.crm.dynamics.com"
ROW_ID = "91330924-802a-4b0d-a900-34fd9d790829"
BRACED = f"%7B{ROW_ID}%7D"
VIEW = "00000000-0000-0000-00aa-000010001004"


def test_a_tables_address_is_the_documented_one():
    assert table_url(ENVIRONMENT, "account") == f"{ENVIRONMENT}/main.aspx?pagetype=entitylist&etn=account"


@pytest.mark.parametrize(("personal", "kind"), [(False, 1039), (True, 4230)], ids=["system", "personal"])
def test_a_view_that_is_known_by_its_id_is_opened(personal, kind):
    assert table_url(ENVIRONMENT, "contact", VIEW, personal=personal) == (
        f"{ENVIRONMENT}/main.aspx?pagetype=entitylist&etn=contact&viewid=%7B{VIEW}%7D&viewtype={kind}"
    )
    assert table_url(ENVIRONMENT, "contact", "Active Contacts") == table_url(ENVIRONMENT, "contact")


@pytest.mark.parametrize("environment", [ENVIRONMENT, ENVIRONMENT + "/", "http://crm:5555/org"])
def test_a_rows_address_is_inside_the_environment(environment):
    url = row_url(environment, "account", ROW_ID)
    assert url == f"{environment.rstrip('/')}/main.aspx?pagetype=entityrecord&etn=account&id={BRACED}"
    assert url == row_url(environment, "account", f"{{{ROW_ID}}}")


def links_of(operator):
    return {link.name: link.get_link(operator, ti_key=None) for link in operator.operator_extra_links}


def having(operator, *answers):
    operator.__dict__["hook"] = FakeHook(FakeClient(*answers))
    return operator


def test_a_sensor_links_the_row_it_has_found():
    sensor = having(DynamicsRowSensor(task_id="wait", table="account"), [{"accountid": ROW_ID}])
    sensor.execute({})
    assert links_of(sensor) == {
        "Table in Dynamics": table_url(ENVIRONMENT, "account"),
        "Row in Dynamics": row_url(ENVIRONMENT, "account", ROW_ID),
    }


def test_a_sensor_that_still_waits_links_no_row():
    sensor = having(DynamicsRowSensor(task_id="wait", table="account", row_id=ROW_ID), [])
    assert not sensor.poke({})
    assert links_of(sensor)["Row in Dynamics"] == ""


def test_a_task_that_resumed_takes_the_environment_from_its_connection():
    sensor = DynamicsRowSensor(task_id="wait", table="account")
    sensor.__dict__["hook"] = SimpleNamespace(settings=SimpleNamespace(environment=ENVIRONMENT))
    sensor.execute_complete({}, {"status": "success", "table": "account", "row_id": ROW_ID})
    assert links_of(sensor)["Row in Dynamics"] == row_url(ENVIRONMENT, "account", ROW_ID)


def test_a_connection_that_cannot_be_read_gives_no_link_and_no_error():
    sensor = DynamicsRowSensor(task_id="wait", table="account", dynamics_conn_id="no_such")
    assert links_of(sensor) == {"Table in Dynamics": "", "Row in Dynamics": ""}


@pytest.mark.parametrize(
    ("rows", "row_id"),
    [
        pytest.param([{"accountid": ROW_ID}], ROW_ID, id="one row"),
        pytest.param([{"activityid": ROW_ID}], ROW_ID, id="one activity"),
        pytest.param([{"n": 1}], None, id="an aggregate"),
        pytest.param([{"accountid": 5}], None, id="an aggregate under the id's name"),
        pytest.param([{"accountid": ROW_ID}] * 2, None, id="two rows"),
        pytest.param([], None, id="no row"),
    ],
)
def test_a_query_links_the_row_if_it_found_just_one(rows, row_id):
    query = having(DynamicsQueryOperator(task_id="ask", table="account"), rows)
    query.execute({})
    assert links_of(query)["Row in Dynamics"] == (row_url(ENVIRONMENT, "account", row_id) if row_id else "")


def test_fetchxml_and_views_link_their_table_too():
    query = having(
        DynamicsQueryOperator(task_id="ask", fetch_xml='<fetch><entity name="contact"/></fetch>'), []
    )
    query.execute({})
    assert links_of(query)["Table in Dynamics"] == table_url(ENVIRONMENT, "contact")
    view = having(DynamicsQueryOperator(task_id="ask", table="contact", user_query=VIEW), [])
    view.execute({})
    assert links_of(view)["Table in Dynamics"] == table_url(ENVIRONMENT, "contact", VIEW, personal=True)


def test_a_query_that_failed_links_its_table_too():
    query = having(
        DynamicsQueryOperator(task_id="ask", fetch_xml='<fetch><entity name="contact"/></fetch>', max_rows=0),
        [{}],
    )
    with pytest.raises(AirflowFailException, match="more than 0 rows"):
        query.execute({})
    assert links_of(query)["Table in Dynamics"] == table_url(ENVIRONMENT, "contact")


def test_a_task_without_a_table_has_no_links():
    assert not DynamicsRefreshTokenOperator(task_id="renew").operator_extra_links


@pytest.mark.usefixtures("dynamics_conn")
def test_airflow_keeps_the_links_of_tasks_that_ran(run_dag, emulator, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("accountnumber,name\nNEW-1,New\n")
    row_id = emulator.rows("account")[0]["accountid"]
    with DAG("linked", schedule=None) as dag:
        DynamicsRowSensor(task_id="wait", table="account", row_id=row_id)
        DynamicsToObjectStorageOperator(
            task_id="export", table="account", destination_path=str(tmp_path / "a.parquet"), select=["name"]
        )
        ObjectStorageToDynamicsOperator(
            task_id="load", table="account", source_path=str(source), key=["accountnumber"]
        )
    kept = run_dag(dag).links
    table = table_url(emulator.url, "account")
    assert kept == {
        "wait": {"DynamicsTableLink": table, "DynamicsRowLink": row_url(emulator.url, "account", row_id)},
        "export": {"DynamicsTableLink": table},
        "load": {"DynamicsTableLink": table},
    }
