"""Operators that write single rows, tie and merge them, and call actions: what they do, and what a retry does."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.links import DynamicsRowLink
from airflow_provider_dynamics.operators import (
    DynamicsActionOperator,
    DynamicsAssociateOperator,
    DynamicsCreateRowOperator,
    DynamicsDeleteRowOperator,
    DynamicsDisassociateOperator,
    DynamicsFunctionOperator,
    DynamicsGetRowOperator,
    DynamicsMergeRowsOperator,
    DynamicsUpdateRowOperator,
)
from airflow_provider_dynamics.operators.base import true
from airflow_provider_dynamics.operators.writing import row_key
from tests.airflow.fakes import FakeClient, FakeHook

pytestmark = pytest.mark.usefixtures("dynamics_conn")

NO_KEY: Any = None
MISSING = "00000000-0000-0000-0000-00000000dead"


def context(run="run-1", task="make", index=-1):
    ti = SimpleNamespace(dag_id="dag", task_id=task, map_index=index, run_id=run, try_number=1)
    return {"ti": ti}


def render(operator, values):
    operator.render_template_fields(values)


def ran(operator, run=None):
    return operator.execute(run or context())


@pytest.fixture
def accounts(emulator):
    return [row["accountid"] for row in emulator.rows("account")]


@pytest.fixture
def contacts(emulator):
    return [row["contactid"] for row in emulator.rows("contact")]


def rows_of(emulator, table="account", **wanted):
    return [
        row for row in emulator.rows(table) if all(row.get(name) == value for name, value in wanted.items())
    ]


# --- one row ---


def test_a_row_is_found_by_its_id_and_by_a_key(emulator):
    row = next(row for row in emulator.rows("account") if row.get("accountnumber"))
    by_id = DynamicsGetRowOperator(
        task_id="get", table="account", row_id=row["accountid"], select="name, accountnumber"
    )
    by_key = DynamicsGetRowOperator(
        task_id="get", table="account", key={"accountnumber": row["accountnumber"]}
    )
    assert ran(by_id)["name"] == ran(by_key)["name"] == row["name"]
    assert "@odata.context" not in ran(by_id)
    assert by_id.linked_row == row["accountid"]


@pytest.mark.parametrize(
    ("if_missing", "raised"),
    [("fail", AirflowFailException), ("skip", AirflowSkipException), ("sometimes", AirflowFailException)],
)
def test_a_row_that_is_not_there_fails_or_skips_the_task(if_missing, raised):
    with pytest.raises(raised):
        ran(DynamicsGetRowOperator(task_id="get", table="account", row_id=MISSING, if_missing=if_missing))


def test_a_row_that_is_not_there_may_be_none():
    made = DynamicsGetRowOperator(task_id="get", table="account", row_id=MISSING, if_missing="none")
    assert ran(made) is None


def test_a_retried_or_cleared_task_makes_no_second_row(emulator):
    def create(**more):
        return ran(
            DynamicsCreateRowOperator(task_id="make", table="account", row={"name": "Once"}), context(**more)
        )

    first = create()
    assert create() == first
    assert len(rows_of(emulator, name="Once")) == 1
    assert len({create(run="run-2"), create(task="other"), create(index=3), first}) == 4


def test_another_rows_key_is_still_a_conflict(emulator):
    number = next(row["accountnumber"] for row in emulator.rows("account") if row.get("accountnumber"))
    made = DynamicsCreateRowOperator(
        task_id="make", table="account", row={"name": "A", "accountnumber": number}
    )
    with pytest.raises(AirflowFailException, match=r"0x80060892|0x80040237"):
        ran(made)


def test_a_row_that_brings_its_id_is_made_with_it_and_not_twice():
    row = {"name": "Mine", "accountid": "00000000-0000-4000-8000-0000000000a1"}
    made = DynamicsCreateRowOperator(task_id="make", table="account", row=row)
    assert ran(made) == row["accountid"]
    assert DynamicsRowLink().get_link(made, ti_key=NO_KEY).endswith("%7D")
    assert ran(made) == row["accountid"]  # a retry finds what the first try has made
    other = DynamicsCreateRowOperator(task_id="make", table="account", row={**row, "name": "Other"})
    with pytest.raises(AirflowFailException, match="exists"):
        ran(other)


def test_a_retried_task_is_not_told_that_its_own_row_is_a_duplicate(emulator):
    class Strict(DynamicsCreateRowOperator):
        """Its environment looks for duplicates before it looks at ids."""

        def client(self, **options):
            return refusing(super().client(**options))

    @contextmanager
    def refusing(opened):
        with opened as client:
            create = client.create

            def looked_at_first(table, row, **options):
                if rows_of(emulator, name=row["name"]):
                    raise errors.Conflict("a rule matches", code="0x80040333", status=412)
                return create(table, row, **options)

            client.create = looked_at_first
            yield client

    made = Strict(task_id="make", table="account", row={"name": "Careful"}, detect_duplicates=True)
    assert ran(made) == ran(made)
    with pytest.raises(AirflowFailException, match="a rule matches"):
        ran(made, context(run="another"))


def test_a_function_is_asked_as_another_user_and_with_a_tag(emulator):
    user = next(row for row in emulator.rows("systemuser") if row.get("azureactivedirectoryobjectid"))
    made = DynamicsFunctionOperator(
        task_id="who", function="WhoAmI", caller_object_id="{{ who }}", tag="nightly"
    )
    render(made, {"who": user["azureactivedirectoryobjectid"]})
    assert ran(made)["UserId"] == user["systemuserid"]
    assert "tag=nightly" in [found for found in emulator.requests if "WhoAmI" in found.path][-1].query


def test_a_column_of_a_row_inside_the_row_is_checked_before_anything_is_sent(emulator):
    row = {"name": "Deep", "primarycontactid": {"lastnam": "Moreau"}}
    with pytest.raises(AirflowFailException, match="Did you mean 'lastname'"):
        ran(DynamicsCreateRowOperator(task_id="make", table="account", row=row))
    assert not [found for found in emulator.requests if found.method == "POST" and "/api/" in found.path]


def test_templates_deep_inside_a_row_and_its_id_are_rendered(emulator):
    made = DynamicsCreateRowOperator(
        task_id="make",
        table="account",
        row={
            "accountid": "{{ id }}",
            "name": "{{ n }}",
            "contact_customer_accounts": [{"lastname": "{{ n }} 1"}, {"lastname": "{{ n }} 2"}],
        },
    )
    render(made, {"id": "00000000-0000-4000-8000-0000000000b1", "n": "O'Neil & Söhne 100 %"})
    assert ran(made) == "00000000-0000-4000-8000-0000000000b1"
    found = [row["lastname"] for row in emulator.rows("contact") if "Söhne" in row["lastname"]]
    assert sorted(found) == ["O'Neil & Söhne 100 % 1", "O'Neil & Söhne 100 % 2"]


def test_where_ids_cannot_be_chosen_the_log_says_what_a_retry_may_do(capsys):
    class Client(FakeClient):
        def check_row(self, table, row, *, creates):
            return None

        def create(self, table, row, **options):
            return MISSING

    made = DynamicsCreateRowOperator(task_id="make", table="x", row={"name": "A"})
    made.__dict__["hook"] = FakeHook(Client())
    ran(made)
    assert "a retry after a lost answer would create a second row" in capsys.readouterr().out


def test_a_row_is_changed_and_options_are_taken_from_templates(emulator, accounts):
    made = DynamicsUpdateRowOperator(
        task_id="change",
        table="account",
        row_id="{{ row }}",
        row={"name": "{{ name }}", "telephone1": ""},
        blank="skip",
        bypass_flows="{{ quiet }}",
        tag="t",
    )
    render(made, {"row": accounts[0], "name": "Changed", "quiet": "True"})
    ran(made)
    assert rows_of(emulator, accountid=accounts[0])[0]["name"] == "Changed"
    request = next(found for found in emulator.requests if found.method == "PATCH")
    assert request.headers["mscrm.suppresscallbackregistrationexpanderjob"] == "true"


def test_a_missing_row_is_never_created_by_a_change(emulator):
    with pytest.raises(AirflowFailException, match="0x80040217"):
        ran(DynamicsUpdateRowOperator(task_id="c", table="account", row_id=MISSING, row={"name": "A"}))
    assert not rows_of(emulator, name="A")


def test_a_change_of_an_older_version_is_refused(accounts, capsys):
    made = DynamicsUpdateRowOperator(
        task_id="c", table="account", row_id=accounts[0], row={"name": "A"}, if_match='W/"1"'
    )
    with pytest.raises(AirflowFailException, match="0x80060882"):
        ran(made)
    assert "cannot be told from another's" in capsys.readouterr().out


def test_a_deleted_row_is_deleted_once_and_a_retry_is_content(emulator, accounts):
    made = DynamicsDeleteRowOperator(task_id="drop", table="account", row_id=accounts[-1])
    assert (ran(made), ran(made)) == (True, False)
    assert not rows_of(emulator, accountid=accounts[-1])
    made.if_missing = "fail"
    with pytest.raises(AirflowFailException):
        ran(made)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"row": {"name": "A"}}, "Give row_id or key"),
        ({"row": {"name": "A"}, "row_id": MISSING, "key": {"a": 1}}, "Give only one of row_id and key"),
        ({"row": {"name": "A"}, "key": "A1"}, 'give a dict such as {"accountnumber"'),
        ({"row": {}, "row_id": MISSING}, "row is empty"),
        ({"row": "{'name': 'A'}", "row_id": MISSING}, "row is a str"),
        ({"row": {"name": "A"}, "row_id": MISSING, "blank": "drop"}, "use one of null, skip"),
        ({"row": {"name": "A"}, "row_id": MISSING, "bypass_flows": "perhaps"}, "give True or False"),
        ({"row": {"name": "A"}, "row_id": MISSING, "bypass_business_logic": "some"}, "must be one of"),
        ({"row": {"nam": "A"}, "row_id": MISSING}, "Did you mean 'name'"),
        (
            {"row": {"createdon": "2026-01-01T00:00:00Z"}, "row_id": MISSING},
            "'createdon' of account cannot be changed",
        ),
    ],
)
def test_bad_arguments_fail_with_what_to_give(arguments, words):
    with pytest.raises(AirflowFailException, match=words):
        ran(DynamicsUpdateRowOperator(task_id="c", table="account", **arguments))


# --- ties and merging ---


def test_rows_are_tied_and_untied(emulator, accounts, contacts):
    given = {
        "table": "account",
        "row_id": accounts[0],
        "navigation": "contact_customer_accounts",
        "other_row_id": contacts[0],
    }
    ran(DynamicsAssociateOperator(task_id="tie", **given))
    assert rows_of(emulator, "contact", contactid=contacts[0])[0]["_parentcustomerid_value"] == accounts[0]
    ran(DynamicsDisassociateOperator(task_id="untie", **given))
    assert rows_of(emulator, "contact", contactid=contacts[0])[0]["_parentcustomerid_value"] is None


def test_a_lookup_is_untied_without_the_other_row(emulator, accounts, contacts):
    given = {"table": "account", "row_id": accounts[0], "navigation": "primarycontactid"}
    ran(DynamicsAssociateOperator(task_id="tie", other_row_id=contacts[0], **given))
    ran(DynamicsDisassociateOperator(task_id="untie", **given))
    assert rows_of(emulator, accountid=accounts[0])[0]["_primarycontactid_value"] is None


def test_a_tie_needs_the_other_row(accounts):
    made = DynamicsAssociateOperator(
        task_id="tie", table="account", row_id=accounts[0], navigation="primarycontactid"
    )
    with pytest.raises(AirflowFailException, match="other_row_id or other_key"):
        ran(made)


def test_rows_are_merged_and_a_retry_sends_nothing(emulator, accounts):
    made = DynamicsMergeRowsOperator(
        task_id="merge",
        table="account",
        row_id=accounts[0],
        other_row_id=accounts[1],
        content={"telephone1": "555"},
    )
    assert (ran(made), ran(made)) == (True, False)
    assert rows_of(emulator, accountid=accounts[0])[0]["telephone1"] == "555"


# --- actions and functions ---


def test_an_action_is_called_on_a_row_and_returns_its_result(emulator, capsys):
    user = emulator.rows("systemuser")[0]["systemuserid"]
    opportunity = rows_of(emulator, "opportunity", statecode=0)[0]["opportunityid"]
    made = DynamicsActionOperator(
        task_id="win",
        action="WinOpportunity",
        parameters={
            "Status": "{{ status }}",
            "OpportunityClose": {"subject": "Won", "opportunityid": opportunity},
        },
    )
    render(made, {"status": 3})
    assert ran(made) is None
    assert "A second WinOpportunity would be done a second time" in capsys.readouterr().out
    asked = DynamicsFunctionOperator(
        task_id="ask",
        function="RetrievePrincipalAccess",
        parameters={"Target": ["opportunity", opportunity]},
        table="systemuser",
        row_id=user,
    )
    assert "ReadAccess" in ran(asked)["AccessRights"]


def test_an_actions_lost_answer_fails_the_task_for_good():
    class Client(FakeClient):
        def action(self, *names, **options):
            raise errors.Unreachable("The connection was reset", retryable=True)

    made = DynamicsActionOperator(task_id="do", action="new_Do")
    made.__dict__["hook"] = FakeHook(Client())
    with pytest.raises(AirflowFailException, match="may have been carried out"):
        ran(made)
    made.repeatable = "True"
    with pytest.raises(Exception, match="reset") as caught:
        ran(made)
    assert not isinstance(caught.value, AirflowFailException)


def test_a_mistyped_action_fails_with_the_right_name():
    with pytest.raises(AirflowFailException, match="Did you mean 'WinOpportunity'"):
        ran(DynamicsActionOperator(task_id="win", action="WinOpportunityy"))


def test_a_row_without_its_table_is_no_place_to_call_anything_on():
    with pytest.raises(AirflowFailException, match="give table, too"):
        ran(DynamicsFunctionOperator(task_id="ask", function="WhoAmI", row_id=MISSING))


def test_they_run_in_a_dag_and_hand_ids_on(run_dag, emulator):
    with DAG(dag_id="writes", schedule=None) as dag:
        made = DynamicsCreateRowOperator(task_id="create", table="account", row={"name": "From a DAG"})
        row_id: Any = made.output
        DynamicsUpdateRowOperator(task_id="update", table="account", row_id=row_id, row={"telephone1": "1"})
        DynamicsFunctionOperator(task_id="who", function="WhoAmI")
    found = run_dag(dag)
    assert set(found.states.values()) == {"success"}, found.errors
    [row] = rows_of(emulator, name="From a DAG")
    assert row["accountid"] == found.xcoms["create"]
    assert row["telephone1"] == "1"
    assert "UserId" in found.xcoms["who"]


# --- small things ---


@pytest.mark.parametrize(
    ("value", "meant"),
    [(True, True), ("true", True), ("1", True), (None, False), ("", False), ("False", False)],
)
def test_a_truth_may_come_out_of_a_template(value, meant):
    assert true("x", value) is meant


def test_a_key_of_uuids_is_a_row_id():
    assert row_key(MISSING, None) == MISSING
    assert row_key("", {"a": 1}) == {"a": 1}
