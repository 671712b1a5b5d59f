"""The query operator, and what every Dynamics task does: templates, dates in OData text, stopping."""

from __future__ import annotations

import threading
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError, TaskDeferralTimeout

from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.compat import HAS_RETRY_POLICY
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.operators import (
    DynamicsActionOperator,
    DynamicsAddOptionsOperator,
    DynamicsAssociateOperator,
    DynamicsBulkDeleteOperator,
    DynamicsCreateChoiceOperator,
    DynamicsCreateColumnOperator,
    DynamicsCreateKeyOperator,
    DynamicsCreateRowOperator,
    DynamicsCreateTableOperator,
    DynamicsDeleteRowOperator,
    DynamicsDisassociateOperator,
    DynamicsExportSolutionOperator,
    DynamicsFunctionOperator,
    DynamicsGetRowOperator,
    DynamicsImportSolutionOperator,
    DynamicsJobOperator,
    DynamicsMergeRowsOperator,
    DynamicsPublishOperator,
    DynamicsQueryOperator,
    DynamicsRecalculateOperator,
    DynamicsRefreshTokenOperator,
    DynamicsRegisterWebhookOperator,
    DynamicsSetConnectionReferenceOperator,
    DynamicsSetEnvironmentVariableOperator,
    DynamicsUninstallSolutionOperator,
    DynamicsUpdateRowOperator,
    DynamicsUpdateTableOperator,
    DynamicsUpgradeSolutionOperator,
)
from airflow_provider_dynamics.operators.base import names, odata_text, whole_number
from airflow_provider_dynamics.retry import (
    DEFAULT_RETRY_POLICY,
    DynamicsRetryableError,
    DynamicsRetryPolicy,
    reason_of,
)
from airflow_provider_dynamics.sensors import (
    DynamicsChangeSensor,
    DynamicsCredentialExpirySensor,
    DynamicsJobSensor,
    DynamicsRowSensor,
)
from airflow_provider_dynamics.transfers import (
    DynamicsChangesToObjectStorageOperator,
    DynamicsFileToObjectStorageOperator,
    DynamicsPartitionsOperator,
    DynamicsToObjectStorageOperator,
    DynamicsToSqlOperator,
    DynamicsUpsertRowsOperator,
    ObjectStorageToDynamicsFileOperator,
    ObjectStorageToDynamicsOperator,
    ObjectStorageToDynamicsTablesOperator,
)
from tests.airflow.fakes import FakeClient, FakeHook

on_emulator = pytest.mark.usefixtures("dynamics_conn")
OPTIONS = "caller_object_id detect_duplicates bypass_business_logic bypass_steps bypass_flows solution tag"
MOMENT = pendulum.datetime(2026, 3, 1, 12, 30, tz="Europe/Berlin")
MINIMAL: dict[type, dict[str, Any]] = {
    DynamicsQueryOperator: {"table": "account"},
    DynamicsRefreshTokenOperator: {},
    DynamicsRegisterWebhookOperator: {},
    DynamicsGetRowOperator: {"table": "account"},
    DynamicsCreateRowOperator: {"table": "account", "row": {}},
    DynamicsUpdateRowOperator: {"table": "account", "row": {}},
    DynamicsDeleteRowOperator: {"table": "account"},
    DynamicsAssociateOperator: {"table": "account", "navigation": "x"},
    DynamicsDisassociateOperator: {"table": "account", "navigation": "x"},
    DynamicsMergeRowsOperator: {"table": "account"},
    DynamicsActionOperator: {"action": "x"},
    DynamicsFunctionOperator: {"function": "x"},
    DynamicsRowSensor: {"table": "account"},
    DynamicsChangeSensor: {"table": "account"},
    DynamicsCredentialExpirySensor: {},
    DynamicsToObjectStorageOperator: {"table": "account", "destination_path": "x.csv"},
    DynamicsPartitionsOperator: {"table": "account"},
    DynamicsChangesToObjectStorageOperator: {"table": "account", "destination_path": "x.csv"},
    DynamicsToSqlOperator: {"table": "account", "sql_conn_id": "x"},
    ObjectStorageToDynamicsOperator: {"table": "account", "source_path": "x.csv"},
    ObjectStorageToDynamicsTablesOperator: {"tables": []},
    DynamicsUpsertRowsOperator: {"table": "account", "rows": []},
    DynamicsBulkDeleteOperator: {"table": "account"},
    DynamicsJobOperator: {"action": "x"},
    DynamicsJobSensor: {"job_id": "x"},
    ObjectStorageToDynamicsFileOperator: {"table": "account", "column": "x", "source_path": "x"},
    DynamicsFileToObjectStorageOperator: {"table": "account", "column": "x", "destination_path": "x"},
    DynamicsExportSolutionOperator: {"solution_name": "x", "destination_path": "x"},
    DynamicsImportSolutionOperator: {"source_path": "x"},
    DynamicsUpgradeSolutionOperator: {"solution_name": "x"},
    DynamicsUninstallSolutionOperator: {"solution_name": "x"},
    DynamicsPublishOperator: {},
    DynamicsSetEnvironmentVariableOperator: {"variable": "x", "value": "y"},
    DynamicsSetConnectionReferenceOperator: {"reference": "x", "connection_id": "y"},
    DynamicsRecalculateOperator: {"table": "account"},
    DynamicsCreateTableOperator: {
        "table": "new_X",
        "display_name": "x",
        "plural_name": "y",
        "primary_column": {"name": "new_Name"},
    },
    DynamicsUpdateTableOperator: {"table": "account"},
    DynamicsCreateColumnOperator: {"table": "account", "columns": []},
    DynamicsCreateChoiceOperator: {"choice": "new_x", "options": {}},
    DynamicsAddOptionsOperator: {"options": {}},
    DynamicsCreateKeyOperator: {"table": "account", "key": "new_X", "columns": []},
}
LOAD = (
    "dynamics_conn_id environment on_row_error rejects_path rejects_conn_id max_rejects dry_run plan_path skip_unchanged undo_path "
    "caller_object_id detect_duplicates bypass_business_logic bypass_steps bypass_flows solution tag"
)
"""What every load has."""


def render(operator, **values):
    operator.render_template_fields(values)


def query(*answers, **arguments):
    made = DynamicsQueryOperator(task_id="ask", table="account", **arguments)
    made.__dict__["hook"] = FakeHook(FakeClient(*answers))
    return made


# --- templates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "fields"),
    [
        (
            DynamicsQueryOperator,
            (
                "dynamics_conn_id environment table select filter expand order_by top apply fetch_xml saved_query "
                "user_query"
            ),
        ),
        (DynamicsRefreshTokenOperator, "dynamics_conn_id environment"),
        (
            DynamicsRegisterWebhookOperator,
            "dynamics_conn_id environment tables messages columns state mode url webhook_name",
        ),
        (DynamicsGetRowOperator, "dynamics_conn_id environment table row_id key select expand if_missing"),
        (DynamicsCreateRowOperator, f"dynamics_conn_id environment table row blank {OPTIONS}"),
        (
            DynamicsUpdateRowOperator,
            f"dynamics_conn_id environment table row row_id key if_match blank {OPTIONS}",
        ),
        (
            DynamicsDeleteRowOperator,
            f"dynamics_conn_id environment table row_id key if_match if_missing {OPTIONS}",
        ),
        (
            DynamicsAssociateOperator,
            f"dynamics_conn_id environment table row_id key navigation other_row_id other_key other_table {OPTIONS}",
        ),
        (
            DynamicsDisassociateOperator,
            f"dynamics_conn_id environment table row_id key navigation other_row_id other_key other_table {OPTIONS}",
        ),
        (
            DynamicsMergeRowsOperator,
            f"dynamics_conn_id environment table row_id key other_row_id other_key content check_parents {OPTIONS}",
        ),
        (
            DynamicsActionOperator,
            f"dynamics_conn_id environment action parameters table row_id key repeatable checked {OPTIONS}",
        ),
        (
            DynamicsFunctionOperator,
            f"dynamics_conn_id environment function parameters table row_id key checked {OPTIONS}",
        ),
        (DynamicsRowSensor, "dynamics_conn_id environment table filter row_id min_rows max_rows"),
        (DynamicsChangeSensor, "dynamics_conn_id environment table select filter means"),
        (DynamicsCredentialExpirySensor, "dynamics_conn_id environment warn_days"),
        (
            DynamicsToObjectStorageOperator,
            (
                "dynamics_conn_id environment table destination_path destination_conn_id select filter expand order_by top apply "
                "fetch_xml saved_query user_query page_size lanes window_column partition file_format if_exists "
                "on_schema_change"
            ),
        ),
        (
            DynamicsPartitionsOperator,
            "dynamics_conn_id environment table filter partitions window_column",
        ),
        (
            DynamicsChangesToObjectStorageOperator,
            (
                "dynamics_conn_id environment table destination_path destination_conn_id select mode filter keys_path page_size "
                "file_format if_exists on_schema_change"
            ),
        ),
        (
            DynamicsToSqlOperator,
            (
                "dynamics_conn_id environment table select filter sql_conn_id sql_table schema mode on_schema_change lanes "
                "page_size"
            ),
        ),
        (
            ObjectStorageToDynamicsOperator,
            (
                f"{LOAD} source_path table operation key columns lookups on_missing_lookup choices_by_label "
                "row_id_from blank allow_empty source_conn_id file_format"
            ),
        ),
        (ObjectStorageToDynamicsTablesOperator, f"{LOAD} tables source_conn_id"),
        (
            DynamicsUpsertRowsOperator,
            f"{LOAD} table rows operation key columns lookups on_missing_lookup choices_by_label row_id_from blank",
        ),
        (
            DynamicsBulkDeleteOperator,
            f"dynamics_conn_id environment table filter fetch_xml saved_query user_query job_name recurrence start_at state {OPTIONS}",
        ),
        (
            DynamicsJobOperator,
            f"dynamics_conn_id environment action parameters table row_id key checked {OPTIONS}",
        ),
        (DynamicsJobSensor, "dynamics_conn_id environment job_id"),
        (
            DynamicsExportSolutionOperator,
            "dynamics_conn_id environment solution_name destination_path destination_conn_id managed if_exists",
        ),
        (
            DynamicsImportSolutionOperator,
            (
                "dynamics_conn_id environment source_path source_conn_id holding skip_installed stage overwrite_unmanaged "
                "publish_workflows environment_variables connection_references"
            ),
        ),
        (DynamicsUpgradeSolutionOperator, "dynamics_conn_id environment solution_name version"),
        (DynamicsUninstallSolutionOperator, "dynamics_conn_id environment solution_name"),
        (DynamicsPublishOperator, "dynamics_conn_id environment tables choices"),
        (DynamicsSetEnvironmentVariableOperator, "dynamics_conn_id environment variable value"),
        (DynamicsSetConnectionReferenceOperator, "dynamics_conn_id environment reference connection_id"),
        (DynamicsRecalculateOperator, "dynamics_conn_id environment table columns row_ids filter"),
        (
            DynamicsCreateTableOperator,
            (
                "dynamics_conn_id environment solution publish table display_name plural_name primary_column columns "
                "description ownership"
            ),
        ),
        (
            DynamicsUpdateTableOperator,
            "dynamics_conn_id environment solution publish table display_name plural_name description",
        ),
        (DynamicsCreateColumnOperator, "dynamics_conn_id environment solution publish table columns"),
        (
            DynamicsCreateChoiceOperator,
            "dynamics_conn_id environment solution publish choice options display_name description",
        ),
        (
            DynamicsAddOptionsOperator,
            "dynamics_conn_id environment solution publish options choice table column",
        ),
        (DynamicsCreateKeyOperator, "dynamics_conn_id environment table key columns display_name solution"),
        (
            ObjectStorageToDynamicsFileOperator,
            (
                "dynamics_conn_id environment source_path source_conn_id table column row_id key file_name content_type if_none "
                f"on_file_error concurrency {OPTIONS}"
            ),
        ),
        (
            DynamicsFileToObjectStorageOperator,
            (
                "dynamics_conn_id environment table column destination_path destination_conn_id row_id key filter if_exists "
                "on_missing on_file_error concurrency"
            ),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_data_argument_is_templated(operator, fields):
    assert operator.template_fields == tuple(fields.split())


@pytest.mark.parametrize("operator", MINIMAL, ids=lambda operator: operator.__name__)
def test_every_template_field_is_an_attribute_and_is_rendered(operator):
    made = operator(task_id="x", **MINIMAL[operator])
    for name in operator.template_fields:
        setattr(made, name, "{{ what }}")

    render(made, what="rendered")

    assert {getattr(made, name) for name in operator.template_fields} == {"rendered"}


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        pytest.param(MOMENT, "2026-03-01T11:30:00Z", id="a moment with a zone is given in UTC"),
        pytest.param(datetime(2026, 3, 1), "2026-03-01T00:00:00Z", id="one without a zone is UTC"),  # noqa: DTZ001 - the point
        pytest.param(
            datetime(2026, 3, 1, 0, 0, 0, 120000, tzinfo=timezone.utc),
            "2026-03-01T00:00:00.12Z",
            id="fractions are kept",
        ),
        pytest.param(date(2026, 3, 1), "2026-03-01", id="a date stays a date"),
        pytest.param("2026-03-01", "2026-03-01", id="text stays text"),
        pytest.param(7, 7, id="a number stays a number"),
        pytest.param(None, None, id="nothing stays nothing"),
        pytest.param(True, "true", id="yes is small"),
        pytest.param(False, "false", id="and no"),
    ],
)
def test_dates_become_odata_literals(value, literal):
    assert odata_text(value) == literal


@pytest.mark.parametrize(
    "operator", [DynamicsQueryOperator, DynamicsToObjectStorageOperator, DynamicsRowSensor]
)
def test_a_date_rendered_into_a_filter_is_a_literal(operator):
    made = operator(
        task_id="x", **{**MINIMAL[operator], "filter": "modifiedon ge {{ start }} and name eq '{{ name }}'"}
    )

    render(made, start=MOMENT, name="A")

    assert made.filter == "modifiedon ge 2026-03-01T11:30:00Z and name eq 'A'"


def test_a_date_rendered_into_a_path_stays_as_airflow_writes_it():
    made = DynamicsToObjectStorageOperator(task_id="x", table="account", destination_path="{{ start }}.csv")

    render(made, start=MOMENT)

    assert made.destination_path == f"{MOMENT}.csv"


def test_dates_become_literals_where_templates_are_rendered_to_python_values_too():
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        made = DynamicsQueryOperator(
            task_id="x", table="account", filter="createdon gt {{ start }}", top="{{ n }}"
        )

    render(made, start=MOMENT, n=3)

    assert (made.filter, made.top) == ("createdon gt 2026-03-01T11:30:00Z", 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["name", "revenue"], ("name", "revenue")),
        ("name, revenue", ("name", "revenue")),
        ("", ()),
        (None, ()),
    ],
    ids=repr,
)
def test_columns_may_be_a_list_or_what_a_template_leaves_of_one(value, expected):
    assert names(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(5, 5), ("5", 5), ("", None), (None, None)], ids=repr)
def test_numbers_may_come_out_of_a_template(value, expected):
    assert whole_number("top", value) == expected


@pytest.mark.parametrize("value", ["many", 0, -1, "1.5"], ids=repr)
def test_a_number_that_is_none_is_named(value):
    with pytest.raises(AirflowFailException, match="top is"):
        whole_number("top", value)


# --- retry policies ----------------------------------------------------------------------------------------------

needs_policy = pytest.mark.skipif(not HAS_RETRY_POLICY, reason="retry policies came with Airflow 3.3")


def mapped(operator, **arguments):
    with DAG("mapped", schedule=None):
        return operator.partial(task_id="x", **arguments).expand_kwargs([MINIMAL[operator]])


def plain(operator, **arguments):
    return operator(task_id="x", **MINIMAL[operator], **arguments)


@pytest.mark.parametrize("make", [plain, mapped])
@pytest.mark.parametrize("operator", MINIMAL, ids=lambda operator: operator.__name__)
def test_every_task_of_ours_carries_the_policy_where_airflow_has_policies(operator, make):
    assert getattr(make(operator), "retry_policy", None) is DEFAULT_RETRY_POLICY


@needs_policy
@pytest.mark.parametrize(
    "given", [None, DynamicsRetryPolicy() if HAS_RETRY_POLICY else None], ids=["none", "own"]
)
@pytest.mark.parametrize("make", [plain, mapped])
@pytest.mark.parametrize("operator", MINIMAL, ids=lambda operator: operator.__name__)
def test_a_policy_of_the_users_own_or_none_is_kept(operator, make, given):
    assert make(operator, retry_policy=given).retry_policy is given


@needs_policy
@pytest.mark.parametrize(
    "given", [None, DynamicsRetryPolicy() if HAS_RETRY_POLICY else None], ids=["none", "own"]
)
@pytest.mark.parametrize("operator", MINIMAL, ids=lambda operator: operator.__name__)
def test_a_policy_among_the_dags_default_arguments_is_kept(operator, given):
    with DAG("defaults", schedule=None, default_args={"retry_policy": given}):
        assert plain(operator).retry_policy is given
        assert operator.partial(task_id="y").expand_kwargs([MINIMAL[operator]]).retry_policy is given


# --- deferring ---------------------------------------------------------------------------------------------------


def resume(method, arguments):
    return DynamicsQueryOperator(task_id="ask", table="account").resume_execution(method, arguments, {})


def test_an_operator_that_deferred_returns_what_its_trigger_found():
    assert resume("execute_complete", {"event": {"status": "success", "rows": 3}}) == {"rows": 3}


def test_an_operator_that_deferred_raises_its_triggers_reason():
    reason = reason_of(errors.Forbidden("missing prvReadAccount", status=403, code="0x80040220"))
    assert reason is not None

    with pytest.raises(AirflowFailException, match="0x80040220"):
        resume("execute_complete", {"event": reason.as_event()})


def test_a_trigger_that_crashed_gives_its_operator_the_reason():
    crash = {"error": "Trigger failure", "traceback": ["Traceback …\n", "ImportError: no module x\n"]}

    with pytest.raises(DynamicsRetryableError, match="Trigger failure: ImportError: no module x") as raised:
        resume("__fail__", crash)

    assert isinstance(raised.value.__cause__, TaskDeferralError)


def test_a_trigger_that_ran_out_of_time_is_told_as_airflow_tells_it():
    with pytest.raises(TaskDeferralTimeout):
        resume("__fail__", {"error": "Trigger timeout"})


# --- the query operator ------------------------------------------------------------------------------------------


def test_it_asks_for_what_it_was_told():
    made = query(
        [],
        select=["name"],
        filter="statecode eq 0",
        expand="owner",
        order_by="name",
        top="5",
        annotations=True,
    )

    assert made.execute({}) == []

    asked = made.hook.client.queries[0]
    assert (asked.table, asked.select, asked.filter, asked.expand) == (
        "account",
        ("name",),
        "statecode eq 0",
        "owner",
    )
    assert (asked.order_by, asked.top, asked.annotations) == ("name", 5, True)


def test_exactly_as_many_rows_as_allowed_are_returned():
    rows = [{"n": n} for n in range(1000)]

    assert query(rows).execute({}) == rows


def test_one_row_too_many_fails_and_names_the_transfer_to_use():
    with pytest.raises(AirflowFailException, match=r"more than 3 rows.*DynamicsToObjectStorageOperator"):
        query([{"n": n} for n in range(4)], max_rows=3).execute({})


def test_no_more_is_fetched_than_it_takes_to_know_that_there_is_too_much():
    made = query([], max_rows=10)
    made.execute({})

    assert made.hook.client.queries[0].page_size == 11


@pytest.mark.parametrize(
    ("error", "raised"),
    [(errors.Forbidden("no"), AirflowFailException), (errors.ServerError("no"), DynamicsRetryableError)],
    ids=["permanent", "passing"],
)
def test_errors_are_airflows(error, raised):
    made = query(error)

    with pytest.raises(raised):
        made.execute({})

    assert made.hook.client.closed


def test_a_task_without_a_client_can_be_stopped():
    query().on_kill()


# --- through Airflow, against the emulator -----------------------------------------------------------------------


@on_emulator
def test_rows_come_back_through_xcom_with_exact_numbers(run_dag, emulator):
    with DAG("query", schedule=None) as dag:
        DynamicsQueryOperator(
            task_id="ask",
            table="account",
            select=["name", "revenue"],
            filter="revenue ne null",
            order_by="name",
            top=2,
        )

    ran = run_dag(dag)

    expected = sorted(
        (row for row in emulator.rows("account") if row["revenue"] is not None), key=lambda row: row["name"]
    )
    assert [row["name"] for row in ran.xcoms["ask"]] == [row["name"] for row in expected[:2]]
    assert [row["revenue"] for row in ran.xcoms["ask"]] == [
        Decimal(str(row["revenue"])) for row in expected[:2]
    ]


@on_emulator
def test_a_templated_date_reaches_the_service_as_a_literal_in_mapped_tasks_too(run_dag, emulator):
    with DAG("mapped_query", schedule=None) as dag:
        DynamicsQueryOperator.partial(
            task_id="ask", filter="createdon lt {{ dag_run.run_after }}", top=1
        ).expand(table=["account", "contact"])

    ran = run_dag(dag, at=datetime(2026, 5, 1, tzinfo=timezone.utc))

    assert ran.states == {"ask[0]": "success", "ask[1]": "success"}
    asked = [request.query for request in emulator.requests if "createdon" in request.query]
    assert len(asked) == 2
    assert all("2026-05-01T00%3A00%3A00Z" in query or "2026-05-01T00:00:00Z" in query for query in asked)


@on_emulator
def test_an_expired_secret_is_one_sentence_with_its_remedy_and_burns_no_retries(run_dag, emulator):
    SHARED.clear()  # a token another test got is still good
    emulator.fault("secret_expired")
    with DAG("expired_secret", schedule=None) as dag:
        DynamicsQueryOperator(task_id="ask", table="account", retries=3, retry_delay=timedelta(0))

    ran = run_dag(dag)

    assert (ran.states, ran.tries) == ({"ask": "failed"}, {"ask": 1})
    assert isinstance(ran.errors["ask"], AirflowFailException)
    assert "AADSTS7000222" in str(ran.errors["ask"])
    assert "new secret" in str(ran.errors["ask"])


@on_emulator
@needs_policy  # dag.test() of Airflow 3.2 gives callbacks no exception
def test_a_failure_callback_is_given_our_sentence(run_dag, emulator):
    SHARED.clear()
    emulator.fault("not_a_member")
    seen = []
    with DAG("callback", schedule=None) as dag:
        DynamicsQueryOperator(
            task_id="ask",
            table="account",
            retries=3,
            on_failure_callback=lambda context: seen.append(context["exception"]),
        )

    ran = run_dag(dag)

    assert ran.tries == {"ask": 1}
    assert [type(error) for error in seen] == [AirflowFailException]
    assert f"Add app {emulator.client_id} as an application user" in str(seen[0])


@on_emulator
def test_a_passing_fault_is_retried_by_airflow(run_dag, emulator):
    # more than the client repeats by itself would take minutes: a wait longer than it accepts comes back at once
    emulator.fault("throttle", retry_after=3600, count=1, path="/accounts")
    with DAG("passing_fault", schedule=None) as dag:
        # dag.test() would sit out the hour that our policy obeys
        DynamicsQueryOperator(
            task_id="ask", table="account", top=1, retries=1, retry_delay=timedelta(0), retry_policy=None
        )

    ran = run_dag(dag)

    assert (ran.states, ran.tries) == ({"ask": "success"}, {"ask": 2})
    assert isinstance(ran.errors["ask"], DynamicsRetryableError)
    assert ran.errors["ask"].retry_after == 3600


@on_emulator
def test_stopping_a_task_ends_its_wait_at_once_and_leaves_it_its_retries(emulator):
    emulator.fault("throttle", retry_after=300, path="/accounts")
    asking = DynamicsQueryOperator(task_id="ask", table="account")
    raised = []

    def execute():
        with pytest.raises(DynamicsRetryableError, match="cancelled") as error:
            asking.execute({})
        raised.append(error.value)

    working = threading.Thread(target=execute)
    working.start()
    while working.is_alive() and not any(request.status == 429 for request in emulator.requests):
        working.join(0.05)
    asking.on_kill()
    working.join(10)

    assert len(raised) == 1


@on_emulator
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"table": "acount"}, "account", id="an unknown table"),
        pytest.param({"table": "account", "select": ["nam"]}, "name", id="an unknown column"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(run_dag, arguments, said):
    with DAG("wrong_name", schedule=None) as dag:
        DynamicsQueryOperator(task_id="ask", retries=2, retry_delay=timedelta(0), **arguments)

    ran = run_dag(dag)

    assert (ran.states, ran.tries) == ({"ask": "failed"}, {"ask": 1})
    assert f"'{said}'" in str(ran.errors["ask"])
