"""Bulk deletions that the service repeats by itself: which patterns it takes, and when the next run is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_dynamics.emulator.jobs.recurrence import daily
from airflow_provider_dynamics.emulator.messages import Fault

DAY = 24 * 3600
CONTACTS = {"EntityName": "contact", "ColumnSet": {"AllColumns": True}, "Distinct": False}
# The service's clock in these tests stands at 2025-06-15T12:00:00Z.
START = "2025-06-16T03:00:00Z"


def submit(service, **more):
    body = {
        "QuerySet": [CONTACTS],
        "JobName": "Clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "FREQ=DAILY;INTERVAL=2;",
        "StartDateTime": START,
        **more,
    }
    return service("POST", "BulkDelete", body)


def jobs(service):
    names = "statuscode,postponeuntil,recurrencepattern,recurrencestarttime"
    return service.get(f"asyncoperations?$select={names}&$orderby=createdon").rows


def operations(service):
    names = "successcount,statuscode,isrecurring,nextrun"
    return service.get(f"bulkdeleteoperations?$select={names}&$orderby=createdon").rows


@pytest.fixture
def contacts(empty):
    """Make contacts at once."""
    empty.api.jobs.waiting = empty.api.jobs.running = 0

    def make(number):
        for one in range(number):
            empty.make("contacts", lastname=str(one))

    make(3)
    return make


def test_the_first_run_waits_for_its_start_and_the_next_follows_by_the_rule(empty, contacts):
    first = submit(empty).json["JobId"]
    (waiting,) = jobs(empty)
    assert (waiting["statuscode"], waiting["postponeuntil"]) == (10, START)
    assert (waiting["recurrencepattern"], waiting["recurrencestarttime"]) == ("FREQ=DAILY;INTERVAL=2;", START)
    empty.wait(seconds=DAY)
    done, following = jobs(empty)
    assert (done["asyncoperationid"], done["statuscode"]) == (first, 30)
    assert (following["statuscode"], following["postponeuntil"]) == (10, "2025-06-18T03:00:00Z")
    assert empty.api.rows("contact") == []
    contacts(2)
    empty.wait(seconds=2 * DAY)
    assert [row["statuscode"] for row in jobs(empty)] == [30, 30, 10]
    assert empty.api.rows("contact") == []


@pytest.mark.usefixtures("contacts")
def test_every_run_is_an_operation_that_tells_its_count_and_the_next_run(empty):
    submit(empty)
    assert [row["nextrun"] for row in operations(empty)] == [START]
    empty.wait(seconds=DAY)
    done, following = operations(empty)
    assert (done["successcount"], done["statuscode"], done["isrecurring"]) == (3, 30, True)
    assert done["nextrun"] == following["nextrun"] == "2025-06-18T03:00:00Z"
    assert (following["successcount"], following["statuscode"]) == (0, 10)


@pytest.mark.usefixtures("contacts")
def test_a_job_that_is_cancelled_does_not_come_back(empty):
    job_id = submit(empty).json["JobId"]
    assert empty("PATCH", f"asyncoperations({job_id})", {"statecode": 3, "statuscode": 32}).status == 204
    empty.wait(seconds=9 * DAY)
    assert [row["statuscode"] for row in jobs(empty)] == [32]
    assert [row["nextrun"] for row in operations(empty)] == [None]
    assert len(empty.api.rows("contact")) == 3


@pytest.mark.usefixtures("contacts")
def test_a_run_that_fails_is_followed_by_the_next(empty):
    empty.api.jobs.fail("No luck.")
    submit(empty)
    empty.wait(seconds=DAY)
    assert [row["statuscode"] for row in jobs(empty)] == [31, 10]


@pytest.mark.usefixtures("contacts")
def test_a_start_that_is_past_runs_at_once(empty):
    submit(empty, StartDateTime="2025-06-10T03:00:00Z")
    empty.wait(seconds=1)
    assert [row["postponeuntil"] for row in jobs(empty)] == [None, "2025-06-16T03:00:00Z"]


@pytest.mark.usefixtures("contacts")
def test_an_operation_that_runs_once_tells_no_next_run(empty):
    submit(empty, RecurrencePattern="", StartDateTime="2025-06-10T03:00:00Z")
    empty.wait(seconds=1)
    (row,) = operations(empty)
    assert (row["isrecurring"], row["nextrun"]) == (False, None)


@pytest.mark.parametrize(
    ("pattern", "status", "code"),
    [
        ("FREQ=WEEKLY;", 400, "0x8004d2a0"),
        ("FREQ=HOURLY;INTERVAL=2;", 400, "0x8004d2a0"),
        ("FREQ=DAILY;INTERVAL=0;", 400, "0x8004d2a1"),
        ("FREQ=DAILY;INTERVAL=366;", 400, "0x8004d2a1"),
        ("FREQ=DAILY;INTERVAL=-1", 400, "0x8004d2a1"),
        ("every day", 400, "0x8004e100"),
        ("INTERVAL=2;", 400, "0x8004e100"),
        ("FREQ=SOMETIMES;", 400, "0x8004e100"),
        ("FREQ=DAILY;COUNT=3;", 501, "0x80060888"),
    ],
)
def test_other_patterns_are_refused(empty, pattern, status, code):
    answer = submit(empty, RecurrencePattern=pattern)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert jobs(empty) == []


def test_without_an_interval_it_is_every_day():
    assert daily("freq=daily").days == 1
    assert daily("FREQ=DAILY;INTERVAL=365").days == 365
    with pytest.raises(Fault):
        daily("FREQ=DAILY;INTERVAL=")


@pytest.mark.parametrize(("hours", "days"), [(-5, 0), (0, 3), (1, 3), (71, 3), (72, 6), (200, 9)], ids=str)
def test_the_next_moment_is_the_first_of_the_rule_that_is_to_come(hours, days):
    start = datetime(2025, 6, 15, 3, tzinfo=timezone.utc)
    found = daily("FREQ=DAILY;INTERVAL=3").after(start, start + timedelta(hours=hours))
    assert found == start + timedelta(days=days)
