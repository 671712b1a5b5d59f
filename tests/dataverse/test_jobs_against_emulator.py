"""Jobs over TLS, against a service whose jobs take their time, fail, are cancelled and forgotten as documented."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, FetchXml, Query, SavedQuery, any_of, column, errors

MISSING = "00000000-0000-0000-0000-00000000dead"
OLD = FetchXml(
    "<fetch><entity name='contoso_shipment'><filter>"
    "<condition attribute='contoso_number' operator='begins-with' value='SHP-000'/></filter></entity></fetch>"
)


@pytest.fixture
def client(emulator, clock):
    clock.time = time.time()  # a job starts when its moment has come, by the service's clock
    credential = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as made:
        yield made


@pytest.fixture
def patient(client, emulator):
    """Return a function that waits for a job while the service's time passes as fast as ours."""

    def wait(job_id, kind="system"):
        seen = []

        def told(job):
            seen.append(job.status)
            emulator.jobs.advance(0.3)

        return client.jobs.wait(job_id, kind, poll_interval=5, told=told), seen

    return wait


def numbers(emulator):
    return {row["contoso_number"] for row in emulator.rows("contoso_shipment")}


def test_a_bulk_delete_deletes_what_its_query_finds(client, emulator, patient, clock):
    before = numbers(emulator)
    gone = {number for number in before if number.startswith("SHP-000")}

    job_id = client.jobs.start_bulk_delete(OLD, name="Old shipments")
    assert client.jobs.get(job_id).status == "waiting for resources"
    job, seen = patient(job_id)

    assert (job.name, job.state, job.status, job.succeeded) == (
        "Old shipments",
        "completed",
        "succeeded",
        True,
    )
    assert "in progress" in seen
    assert numbers(emulator) == before - gone
    assert client.jobs.deletions(job_id).deleted == len(gone) > 0
    assert set(clock.slept) == {5}


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(OLD, id="FetchXML"),
        pytest.param(OLD.document, id="its text"),
        pytest.param(
            Query("contoso_shipment", filter=column("contoso_number").startswith("SHP-000")), id="a condition"
        ),
        pytest.param([OLD, "<fetch><entity name='task'/></fetch>"], id="several"),
    ],
)
def test_a_query_may_be_given_in_many_ways(client, emulator, patient, query):
    job_id = client.jobs.start_bulk_delete(query, whole_tables=isinstance(query, list))

    assert patient(job_id)[0].succeeded
    assert not any(number.startswith("SHP-000") for number in numbers(emulator))


def test_a_view_says_which_rows_go(client, emulator, patient):
    view = next(row["name"] for row in emulator.rows("savedquery") if row["returnedtypecode"] == "lead")
    before = len(emulator.rows("lead"))
    found = len(list(client.rows(SavedQuery("lead", view))))

    job_id = client.jobs.start_bulk_delete(SavedQuery("lead", view))

    assert patient(job_id)[0].succeeded
    assert len(emulator.rows("lead")) == before - found


def test_a_whole_table_goes_only_where_that_is_said(client, emulator, patient):
    for query in (Query("contoso_shipment"), "<fetch><entity name='contoso_shipment'/></fetch>"):
        with pytest.raises(ValueError, match="delete every row of contoso_shipment"):
            client.jobs.start_bulk_delete(query)

    assert patient(client.jobs.start_bulk_delete(Query("contoso_shipment"), whole_tables=True))[0].succeeded
    assert numbers(emulator) == set()


OUTER = "<link-entity name='account' from='accountid' to='contoso_account' link-type='{}'>{}</link-entity>"


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param("<filter/>", id="an empty filter"),
        pytest.param(OUTER.format("outer", ""), id="an outer link"),
        pytest.param(
            OUTER.format("outer", "<filter><condition attribute='name' operator='eq' value='x'/></filter>"),
            id="a condition on an outer link",
        ),
        pytest.param(
            "<filter><condition attribute='contoso_number' operator='like' value='%'/></filter>",
            id="a pattern without text",
        ),
    ],
)
def test_what_leaves_no_row_out_is_the_whole_table_too(client, emulator, inside):
    with pytest.raises(ValueError, match="delete every row of contoso_shipment"):
        client.jobs.start_bulk_delete(f"<fetch><entity name='contoso_shipment'>{inside}</entity></fetch>")

    assert not any("BulkDelete" in found.path for found in emulator.requests)


def test_a_condition_without_text_is_the_whole_table_too(client):
    with pytest.raises(ValueError, match="delete every row of contoso_shipment"):
        client.jobs.start_bulk_delete(
            Query("contoso_shipment", filter=column("contoso_number").startswith(""))
        )


@pytest.mark.parametrize(
    ("query", "error"),
    [
        pytest.param(
            Query("account", filter="statecode eq 0"), (TypeError, "OData's text"), id="OData's text"
        ),
        pytest.param(Query("account", top=3), (ValueError, "leave top out"), id="the first rows"),
        pytest.param([], (ValueError, "no query"), id="nothing"),
        pytest.param("<fetch", (errors.BadFetchXml, "not well-formed"), id="no document"),
        pytest.param(
            "<fetch top='3'><entity name='account'/></fetch>", (errors.BadFetchXml, "no top"), id="top"
        ),
        pytest.param(
            Query("account", filter=column("nam") == "x"), (errors.UnknownColumn, "'name'"), id="a typo"
        ),
        pytest.param(
            Query("account", filter=any_of("Account_Tasks")), (errors.BadRequest, "FetchXML"), id="of others"
        ),
    ],
)
def test_what_cannot_be_a_bulk_delete_is_refused_before_it_is_one(client, emulator, query, error):
    kind, words = error
    with pytest.raises(kind, match=words):
        client.jobs.start_bulk_delete(query)

    assert not any("BulkDelete" in found.path for found in emulator.requests)


def test_a_job_that_fails_says_why(client, emulator, patient):
    emulator.jobs.fail("The plug-in said no.", "0x80040265", after=0.5)

    job, _ = patient(client.jobs.start_bulk_delete(OLD))

    assert (job.status, job.code, job.message) == ("failed", "0x80040265", "The plug-in said no.")
    with pytest.raises(errors.JobFailed, match=r"failed: The plug-in said no \(0x80040265\)") as raised:
        job.check()
    assert not raised.value.retryable


def test_a_job_that_ran_out_of_time_may_be_started_again(client, emulator, patient):
    emulator.jobs.fail("Sql timeout", "0x80044151")

    job, _ = patient(client.jobs.start_bulk_delete(OLD))

    with pytest.raises(errors.JobFailed) as raised:
        job.check()
    assert raised.value.retryable


def test_a_job_is_cancelled_and_what_it_has_done_stays_done(client, emulator):
    before = len(emulator.rows("contoso_shipment"))
    job_id = client.jobs.start_bulk_delete(OLD)
    emulator.jobs.advance(0.45)

    job = client.jobs.cancel(job_id)
    again = client.jobs.cancel(job_id)
    emulator.jobs.advance(60)

    assert (job.status, job.ending, again.status) == ("canceled", True, "canceled")
    assert before - len(emulator.rows("contoso_shipment")) == client.jobs.deletions(job_id).deleted
    with pytest.raises(errors.JobFailed, match="was canceled"):
        job.check()


def test_a_job_that_ends_slowly_is_canceling(client, emulator, patient):
    emulator.jobs.canceling = 5.0
    job_id = client.jobs.start_bulk_delete(OLD)
    emulator.jobs.advance(0.3)

    job = client.jobs.cancel(job_id)

    assert (job.status, job.done, job.ending) == ("canceling", False, True)
    assert patient(job_id)[0].status == "canceled"


def test_a_job_that_cannot_be_cancelled_says_so(client, emulator):
    emulator.jobs.cancelable = False
    job_id = client.jobs.start_bulk_delete(OLD)

    with pytest.raises(errors.BadRequest, match="cannot be canceled") as raised:
        client.jobs.cancel(job_id)

    assert raised.value.code == "0x80044f00"


def test_a_job_whose_record_is_gone_is_said_in_words(client, emulator):
    emulator.jobs.keep_completed = False
    job_id = client.jobs.start_bulk_delete(OLD)
    emulator.jobs.advance(60)

    with pytest.raises(
        errors.JobGone, match=r"not there \(any more\), so nobody can say whether it succeeded"
    ):
        client.jobs.get(job_id)
    with pytest.raises(errors.JobGone):
        client.jobs.wait(MISSING)
    with pytest.raises(errors.JobGone):
        client.jobs.cancel(MISSING)
    with pytest.raises(errors.JobGone):
        client.jobs.deletions(MISSING)


def test_a_job_is_found_by_its_name_while_it_goes_on(client, emulator):
    job_id = client.jobs.start_bulk_delete(OLD, name="It's mine")
    other = client.jobs.find("Somebody else's")

    found = client.jobs.find("It's mine")
    emulator.jobs.advance(60)

    assert other is None
    assert found is not None
    assert found.id == job_id
    assert client.jobs.find("It's mine") is None


def test_signs_of_patterns_in_a_name_mean_themselves(client, emulator):
    mapped = client.jobs.start_bulk_delete(OLD, name="Old [50%] (dag.task[3] run_1)")
    client.jobs.start_bulk_delete(OLD, name="Old [50%] (dag.task[3] run-1)")

    found = client.jobs.find("Old [50%] (dag.task[3] run_", longer=True)
    listed = client.jobs.going_on("Old [50%] (dag.task[3] run_")

    assert found is not None
    assert [found.id, *(job.id for job in listed)] == [mapped, mapped]
    asked = [one.query for one in emulator.requests if one.path.endswith("/asyncoperations")]
    assert all("[[]50[%]]" in unquote(one) for one in asked)


def test_a_job_waits_for_its_moment(client, emulator):
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    job_id = client.jobs.start_bulk_delete(OLD, start_at=later)
    emulator.jobs.advance(1800)
    assert client.jobs.get(job_id).state == "suspended"

    emulator.jobs.advance(1900)

    assert client.jobs.get(job_id).succeeded


def test_an_action_that_starts_no_job_is_said_as_that(client):
    with pytest.raises(errors.BadRequest, match="started no background operation"):
        client.jobs.start("BulkDelete", bulk_delete(), background=True)


def bulk_delete():
    return {
        "QuerySet": [{"@odata.type": "Microsoft.Dynamics.CRM.QueryExpression", "EntityName": "task"}],
        "JobName": "Tasks",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": datetime.now(timezone.utc),
    }


def test_any_action_that_answers_with_a_job_can_be_waited_for(client, patient):
    started = client.jobs.start("BulkDelete", bulk_delete())

    assert started.kind == "system"
    assert patient(started.job_id)[0].name == "Tasks"


def test_a_custom_api_runs_in_the_background(client, emulator, patient):
    emulator.custom_api(
        *("contoso_Recalculate", {"Total": 7}),
        parameters={"Year": "Edm.Int32"},
        result={"Total": "Edm.Int32"},
    )

    started = client.jobs.start("contoso_Recalculate", {"Year": 2026}, background=True)
    waiting = client.jobs.get(started.job_id, "background")
    job, _ = patient(started.job_id, "background")

    assert (started.kind, waiting.status) == ("background", "waiting for resources")
    assert job.succeeded
    assert dict(job.outputs) == {"Total": 7}


def test_a_background_operation_is_cancelled_before_it_starts_only(client, emulator):
    emulator.custom_api("contoso_Recalculate", {"Total": 7})
    first = client.jobs.start("contoso_Recalculate", background=True).job_id
    second = client.jobs.start("contoso_Recalculate", background=True).job_id

    assert client.jobs.cancel(first, "background").status == "canceled"
    emulator.jobs.advance(0.4)
    assert not client.jobs.cancel(second, "background").ending


def test_a_background_operation_that_fails_says_why(client, emulator, patient):
    emulator.custom_api("contoso_Recalculate", {"Total": 7})
    emulator.jobs.fail("No such year.", "0x80040265")

    job, _ = patient(client.jobs.start("contoso_Recalculate", background=True).job_id, "background")

    assert (job.status, job.code, job.message) == ("failed", "0x80040265", "No such year.")


def test_a_cancelled_client_ends_a_wait_at_once(client):
    job_id = client.jobs.start_bulk_delete(OLD)

    with pytest.raises(errors.Interrupted):
        client.jobs.wait(job_id, told=lambda _: client.cancel())
