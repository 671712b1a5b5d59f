"""Tables, columns, keys and choices through Airflow: made once, waited for, and refused where the connection says so."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_dynamics.dataverse.administration.definitions import NewColumn
from airflow_provider_dynamics.operators import (
    DynamicsAddOptionsOperator,
    DynamicsCreateChoiceOperator,
    DynamicsCreateColumnOperator,
    DynamicsCreateKeyOperator,
    DynamicsCreateTableOperator,
    DynamicsUpdateTableOperator,
)
from tests.airflow.administrators import context

ORDER = {
    "table": "new_Order",
    "display_name": "Order",
    "plural_name": "Orders",
    "primary_column": {"name": "new_Name", "display_name": "Name"},
    "columns": [{"name": "new_Number", "type": "String", "max_length": 20}],
}
NUMBER = {"name": "new_Number", "type": "String", "max_length": 20}


def made(emulator, path):
    return [one for one in emulator.requests if one.method == "POST" and one.path.endswith(path)]


def order(**arguments):
    return DynamicsCreateTableOperator(task_id="order", **{**ORDER, **arguments})


def key(**arguments):
    given = {"table": "new_order", "key": "new_Number", "columns": ["new_number"], "poll_interval": 0.1}
    return DynamicsCreateKeyOperator(task_id="key", **{**given, **arguments})


@pytest.mark.parametrize("deferrable", [False, True], ids=["on a worker", "deferred"])
@pytest.mark.usefixtures("administrator")
def test_a_table_is_prepared_by_a_dag_that_may_run_again(run_dag, emulator, deferrable):
    with DAG("prepare", schedule=None) as dag:
        choice = DynamicsCreateChoiceOperator(
            task_id="choice", choice="new_colors", options={"1": "Red", "2": "Blue"}
        )
        more = DynamicsAddOptionsOperator(task_id="more", choice="new_colors", options={3: "Green"})
        columns = DynamicsCreateColumnOperator(
            task_id="columns",
            table="new_order",
            columns={"name": "new_Paint", "type": "Picklist", "choice": "new_colors"},
        )
        choice >> more >> order() >> columns >> key(deferrable=deferrable)

    first, second = run_dag(dag), run_dag(dag)

    assert {name: told["status"] for name, told in first.xcoms.items()} == {
        "choice": "created",
        "more": "changed",
        "order": "created",
        "columns": "created",
        "key": "created",
    }
    assert {told["status"] for told in second.xcoms.values()} == {"unchanged"}
    assert first.xcoms["order"] == {
        "table": "new_order",
        "status": "created",
        "columns": {"new_number": "created"},
    }
    assert first.xcoms["key"]["columns"] == ["new_number"]
    for path, times in {"EntityDefinitions": 1, "Keys": 1, "Attributes": 2, "PublishXml": 4}.items():
        assert len(made(emulator, f"/{path}")) + len(made(emulator, f"')/{path}")) >= times
    assert len(made(emulator, "/EntityDefinitions")) == len(made(emulator, "/Keys")) == 1
    assert len(made(emulator, "PublishXml")) == 4


@pytest.mark.usefixtures("administrator")
def test_more_columns_of_a_table_that_is_there_are_a_change():
    order(columns=()).execute(context())

    told = order().execute(context())

    assert (told["status"], told["columns"]) == ("changed", {"new_number": "created"})


@pytest.mark.usefixtures("administrator")
def test_columns_may_be_values_too():
    order().execute(context())
    task = DynamicsCreateColumnOperator(
        task_id="x", table="new_order", columns=NewColumn("new_Due", "DateTime", behavior="DateOnly")
    )

    assert task.execute(context())["columns"] == {"new_due": "created"}


@pytest.mark.usefixtures("administrator")
def test_what_is_there_and_different_fails_without_a_retry(run_dag):
    order().execute(context())
    with DAG("prepare", schedule=None) as dag:
        order(columns=[{**NUMBER, "max_length": 40}], retries=3)

    ran = run_dag(dag)

    assert ran.tries == {"order": 1}
    assert isinstance(ran.errors["order"], AirflowFailException)
    assert "new_order.new_number is there, but max_length is 20, not 40" in str(ran.errors["order"])


@pytest.mark.usefixtures("administrator")
def test_change_tracking_is_switched_on(emulator):
    order(change_tracking=None).execute(context())
    task = DynamicsUpdateTableOperator(task_id="x", table="new_order", change_tracking=True)

    assert task.execute(context()) == {"table": "new_order", "status": "changed"}
    assert task.execute(context()) == {"table": "new_order", "status": "unchanged"}
    assert len(made(emulator, "PublishXml")) == 2


@pytest.mark.usefixtures("administrator")
def test_nothing_is_published_where_that_is_not_wanted(emulator):
    order(publish="False").execute(context())

    assert not made(emulator, "PublishXml")


def test_a_key_whose_rows_are_equal_fails_with_the_reason(administrator):
    order().execute(context())
    with administrator() as client:
        for name in ("a", "b"):
            client.create("new_order", {"new_name": name, "new_number": "1"})

    with pytest.raises(AirflowFailException, match="index of the key new_number of new_order failed: "):
        key(deferrable=False).execute(context())


@pytest.mark.usefixtures("administrator")
def test_a_key_that_is_being_built_is_waited_for_and_not_made_again(emulator):
    order().execute(context())
    emulator.jobs.held = True
    for _ in range(2):
        with pytest.raises(TaskDeferred) as deferred:
            key(deferrable=True).execute(context())

    trigger = deferred.value.trigger
    assert (trigger.job_id, trigger.kind) == ("new_order/new_number", "key")
    assert len(made(emulator, "/Keys")) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(order, "creating the table new_Order does", id="table"),
        pytest.param(
            lambda: DynamicsCreateColumnOperator(task_id="x", table="account", columns=[NUMBER]),
            "creating the column new_Number does",
            id="column",
        ),
        pytest.param(lambda: key(table="account"), "creating the key new_Number does", id="key"),
        pytest.param(
            lambda: DynamicsCreateChoiceOperator(task_id="x", choice="new_c", options={1: "a"}),
            "creating the choice new_c does",
            id="choice",
        ),
        pytest.param(
            lambda: DynamicsAddOptionsOperator(task_id="x", choice="new_c", options={1: "a"}),
            "adding options to the choice new_c does",
            id="options",
        ),
        pytest.param(
            lambda: DynamicsUpdateTableOperator(task_id="x", table="account", change_tracking=True),
            "changing the table account does",
            id="update",
        ),
    ],
)
@pytest.mark.usefixtures("dynamics_conn")
def test_a_connection_that_does_not_allow_it_is_told_so_by_name(emulator, make, said):
    with pytest.raises(AirflowFailException) as raised:
        make().execute(context())

    assert said in str(raised.value)
    assert "Switch on Allow metadata changes" in str(raised.value)
    assert not [one for one in emulator.requests if "/api/data/" in one.path]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(
            lambda: order(columns=[{"name": "new_A", "type": "Strng"}]), "did you mean 'String'", id="type"
        ),
        pytest.param(lambda: order(table="Order"), "begins with the prefix", id="name"),
        pytest.param(lambda: key(columns=""), "needs columns", id="key"),
        pytest.param(lambda: order(solution="My solution"), "give its unique name", id="solution"),
    ],
)
@pytest.mark.usefixtures("administrator")
def test_a_wrong_definition_is_told_in_a_sentence(make, said):
    with pytest.raises(AirflowFailException) as raised:
        make().execute(context())

    assert said in str(raised.value)


@pytest.mark.usefixtures("administrator")
def test_definitions_survive_templates():
    task = order(
        table="{{ prefix }}_Order",
        columns=[{"name": "{{ prefix }}_State", "type": "Picklist", "options": {"1": "{{ word }}"}}],
    )
    task.render_template_fields({"prefix": "new", "word": "Open"})

    assert json.dumps(task.columns[0])
    assert task.execute(context())["columns"] == {"new_state": "created"}
