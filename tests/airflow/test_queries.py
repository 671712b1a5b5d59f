"""The query operator and the hook with everything that can be asked, and how templates are rendered into it."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from defusedxml.ElementTree import fromstring

from airflow_provider_dynamics.dataverse import Expand, FetchXml, Query, SavedQuery, any_of, column
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.operators.base import xml_text
from airflow_provider_dynamics.operators.query import source_of

START = datetime(2026, 3, 1, 12, 30, tzinfo=timezone.utc)
NAMES = (
    "<fetch><entity name='account'><attribute name='name'/><attribute name='statecode'/>"
    "<filter><condition attribute='name' operator='eq' value='{{ name }}'/></filter></entity></fetch>"
)
ALL = "<fetch><entity name='account'><attribute name='name'/></entity></fetch>"


def operator(**arguments):
    return DynamicsQueryOperator(task_id="ask", **arguments)


def rendered(made, **values):
    made.render_template_fields(values)
    return made


# -- what an operator's arguments ask for


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ({"table": "account"}, Query("account")),
        (
            {"table": "account", "select": "name, revenue", "top": "3"},
            Query("account", ["name", "revenue"], top=3),
        ),
        ({"table": "account", "filter": "", "order_by": None, "expand": []}, Query("account")),
        (
            {"table": "account", "apply": "aggregate($count as n)", "filter": "statecode eq 0"},
            Query("account", filter="statecode eq 0", apply="aggregate($count as n)"),
        ),
        ({"table": None, "fetch_xml": ALL, "labels": True}, FetchXml(ALL, labels=True)),
        (
            {"table": "account", "saved_query": "Mine", "page_size": "7"},
            SavedQuery("account", "Mine", page_size=7),
        ),
        ({"table": "account", "user_query": "Mine"}, SavedQuery("account", "Mine", personal=True)),
    ],
)
def test_arguments_ask_for_one_thing(arguments, source):
    assert source_of(**arguments) == source


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"table": None}, "nothing to read: name a table"),
        ({"table": None, "saved_query": "Mine"}, "nothing to read: name a table"),
        ({"table": "account", "fetch_xml": ALL}, "fetch_xml names its table itself: leave table out"),
        ({"table": None, "fetch_xml": ALL, "saved_query": "x"}, "fetch_xml and saved_query were both given"),
        (
            {"table": "account", "saved_query": "x", "select": ["name"], "filter": column("name") == "x"},
            "saved_query says itself what is read, so select and filter would be lost: leave them out",
        ),
        (
            {"table": None, "fetch_xml": ALL, "top": 3},
            "so top would be lost: leave it out, or fetch_xml",
        ),
        ({"table": "account", "top": "many"}, "top is 'many': give a whole number"),
        ({"table": "account", "apply": "aggregate($count as n)", "top": 3}, "apply goes with filter alone"),
        ({"table": None, "fetch_xml": " "}, "document is empty"),
        ({"table": "account", "expand": ["primarycontactid"]}, "it must be OData's text or Expand values"),
    ],
)
def test_arguments_that_contradict_each_other_fail_the_task_at_once(arguments, words):
    with pytest.raises(AirflowFailException, match=words):
        source_of(**arguments)


# -- templates


def test_a_value_rendered_into_fetchxml_stays_a_value():
    made = rendered(operator(fetch_xml=NAMES), name="A & <B> 'c' \"d\"")
    [condition] = fromstring(made.fetch_xml).iter("condition")
    assert condition.get("value") == "A & <B> 'c' \"d\""


@pytest.mark.parametrize("native", [False, True])
def test_rendering_as_native_objects_makes_no_difference(native):
    with DAG("d", schedule=None, start_date=START, render_template_as_native_obj=native):
        made = operator(fetch_xml=NAMES)
    rendered(made, name="A & B")
    assert "value='A &amp; B'" in made.fetch_xml


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (START, "2026-03-01T12:30:00Z"),
        (START.date(), "2026-03-01"),
        (7, "7"),
        (None, None),
        ("a\"b'c", "a&quot;b&apos;c"),
    ],
)
def test_values_are_spelled_as_xml_wants_them(value, text):
    assert xml_text(value) == text


def test_a_part_of_a_document_that_is_marked_safe_is_taken_as_it_is():
    made = operator(fetch_xml="<fetch><entity name='account'>{{ part | safe }}</entity></fetch>")
    assert rendered(made, part="<all-attributes/>").fetch_xml == (
        "<fetch><entity name='account'><all-attributes/></entity></fetch>"
    )


def test_a_document_is_taken_from_a_file_that_ends_in_xml(tmp_path):
    (tmp_path / "names.xml").write_text(NAMES)
    with DAG("d", schedule=None, start_date=START, template_searchpath=[str(tmp_path)]):
        made = operator(fetch_xml="names.xml")
    made.resolve_template_files()
    assert rendered(made, name="A & B").fetch_xml == NAMES.replace("{{ name }}", "A &amp; B")


def test_values_inside_conditions_and_expands_are_rendered_one_by_one():
    condition = (column("name") == "{{ name }}") & (column("createdon") > "{{ start }}")
    made = operator(
        table="account",
        filter=condition,
        expand=[Expand("Account_Tasks", filter=column("subject").contains("{{ name }}"))],
    )
    rendered(made, name="O'Brien' or 1 eq 1", start=START)
    assert str(made.filter) == "name eq 'O''Brien'' or 1 eq 1' and createdon gt '2026-03-01T12:30:00Z'"
    assert str(made.expand[0].filter) == "contains(subject,'O''Brien'' or 1 eq 1')"
    assert "{{ name }}" in str(condition)


def test_a_dag_with_conditions_is_stored_with_their_text():
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("d", schedule=None, start_date=START) as dag:
        operator(table="account", filter=(column("name") == "x") | any_of("Account_Tasks"))
    [task] = DagSerialization.to_dict(dag)["dag"]["tasks"]
    assert task["__var"]["filter"] == "name eq 'x' or Account_Tasks/any()"


def test_a_dag_file_with_conditions_costs_nothing_that_talks_to_a_service():
    code = (
        "import sys; from airflow_provider_dynamics.dataverse import Expand, FetchXml, SavedQuery, any_of, column;"
        "str(any_of('Account_Tasks', column('subject') == 'x')); FetchXml('<fetch/>');"
        "sys.exit(' '.join({'requests', 'msal', 'defusedxml', 'pyarrow', 'pandas'} & set(sys.modules)) or 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")


# -- rows


@pytest.mark.usefixtures("dynamics_conn")
def test_labels_come_as_columns_of_their_own():
    rows = operator(table="account", select=["name", "statecode", "ownerid"], labels=True).execute({})
    assert list(rows[0]) == [
        "accountid",
        "name",
        "statecode",
        "statecodename",
        "ownerid",
        "owneridname",
        "owneridtype",
    ]
    assert {row["statecodename"] for row in rows} == {"Active", "Inactive"}
    assert {row["owneridtype"] for row in rows} <= {"systemuser", "team"}


@pytest.mark.usefixtures("dynamics_conn")
def test_a_document_is_asked_and_its_labels_come_as_columns(emulator):
    name = emulator.rows("account")[0]["name"]
    [row] = rendered(operator(fetch_xml=NAMES, labels=True), name=name).execute({})
    assert (row["name"], list(row)) == (name, ["accountid", "name", "statecode", "statecodename"])


@pytest.mark.usefixtures("dynamics_conn")
@pytest.mark.parametrize(
    "arguments",
    [
        {"table": "account", "saved_query": "Active Accounts"},
        {"fetch_xml": ALL},
        {"table": "account", "filter": ~column("name").is_null()},
    ],
    ids=["a view", "a document", "a condition"],
)
def test_more_rows_than_allowed_are_an_error_whatever_was_asked(arguments):
    with pytest.raises(AirflowFailException, match="The query on account has more than 5 rows"):
        operator(**arguments, max_rows=5).execute({})


@pytest.mark.usefixtures("dynamics_conn")
def test_groups_are_asked_for(emulator):
    rows = operator(table="account", apply="groupby((statecode),aggregate($count as n))").execute({})
    assert sum(row["n"] for row in rows) == len(emulator.rows("account"))


@pytest.mark.usefixtures("dynamics_conn")
def test_a_document_that_is_none_spends_no_retries():
    with pytest.raises(AirflowFailException, match="not well-formed at line 1, column 8"):
        operator(fetch_xml="<fetch>").execute({})


@pytest.mark.usefixtures("dynamics_conn")
@pytest.mark.parametrize(
    "source",
    [FetchXml(ALL), SavedQuery("account", "Active Accounts"), Query("account", apply="groupby((name))")],
    ids=["a document", "a view", "groups"],
)
def test_the_hook_reads_rows_and_the_first_row_of_whatever_is_asked(source):
    hook = DynamicsHook()
    rows = hook.get_rows(source)
    assert len(rows) > 5
    assert (hook.get_first(source) or {})["name"] == rows[0]["name"]
    assert len(hook.get_df(source, "arrow")) == len(rows)
