"""A bulk delete that the service repeats: exactly one of a name, as it is described, until it is taken away."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators import DynamicsBulkDeleteOperator
from tests.airflow.administrators import context
from tests.airflow.one_job import SHIPMENTS

pytestmark = pytest.mark.usefixtures("dynamics_conn")
WEEKLY = "FREQ=DAILY;INTERVAL=7;"


def clean(**arguments):
    given = {"fetch_xml": SHIPMENTS, "job_name": "Old shipments", "recurrence": WEEKLY}
    return DynamicsBulkDeleteOperator(task_id="clean", **{**given, **arguments})


def jobs(emulator):
    return [row for row in emulator.rows("asyncoperation") if row["statecode"] != 3]


def sent(emulator):
    return [one for one in emulator.requests if one.path.endswith("/BulkDelete")]


def test_it_is_started_once_and_not_waited_for(run_dag, emulator):
    with DAG("cleaning", schedule=None) as dag:
        clean(start_at="2099-01-01T02:00:00Z")

    first, second = run_dag(dag), run_dag(dag)

    assert [ran.xcoms["clean"]["status"] for ran in (first, second)] == ["scheduled", "unchanged"]
    assert first.xcoms["clean"]["recurrence"] == WEEKLY
    assert first.xcoms["clean"]["job_id"] == second.xcoms["clean"]["job_id"]
    assert len(sent(emulator)) == 1
    [job] = jobs(emulator)
    assert job["recurrencepattern"] == WEEKLY
    assert job["recurrencestarttime"].startswith("2099-01-01T02:00:00")


def test_it_goes_on_after_it_has_run(emulator):
    clean().execute(context())
    emulator.jobs.advance(120)
    assert not emulator.rows("contoso_shipment")

    assert clean().execute(context())["status"] == "unchanged"
    assert len(sent(emulator)) == len(jobs(emulator)) == 1


@pytest.mark.parametrize(
    "other",
    [{"recurrence": "FREQ=DAILY;INTERVAL=1;"}, {"fetch_xml": SHIPMENTS.replace("'ge'", "'gt'")}],
    ids=["another rhythm", "another query"],
)
def test_another_description_takes_the_place_of_the_one_before(emulator, other):
    clean(start_at="2099-01-01T02:00:00Z").execute(context())

    told = clean(start_at="2099-01-01T02:00:00Z", **other).execute(context())

    assert told["status"] == "scheduled"
    assert [row["asyncoperationid"] for row in jobs(emulator)] == [told["job_id"]]


def test_it_is_taken_away(emulator):
    clean(start_at="2099-01-01T02:00:00Z").execute(context())

    assert clean(state="absent").execute(context())["status"] == "removed"
    assert clean(state="absent").execute(context())["status"] == "unchanged"
    assert jobs(emulator) == []


def test_jobs_of_other_names_are_left_alone(emulator):
    clean(job_name="Others", start_at="2099-01-01T02:00:00Z").execute(context())

    clean(state="absent").execute(context())

    assert len(jobs(emulator)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start_at": "tomorrow"}, "start_at is 'tomorrow'"),
        ({"state": "gone"}, "state is 'gone': use one of present, absent"),
        ({"state": "absent", "recurrence": ""}, "give the recurrence of the job"),
    ],
)
def test_what_makes_no_sense_is_said(emulator, arguments, said):
    with pytest.raises(AirflowFailException) as raised:
        clean(**arguments).execute(context())

    assert said in str(raised.value)
    assert not sent(emulator)
