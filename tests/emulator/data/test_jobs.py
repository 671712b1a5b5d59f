"""System jobs and background operations: how they go in time, how they are stopped, and what a bulk deletion does."""

from __future__ import annotations

import json

import pytest

from airflow_provider_dynamics.emulator.custom_apis import custom_api
from airflow_provider_dynamics.emulator.messages import Request
from airflow_provider_dynamics.emulator.switches import Plugin

STATE = "$select=statecode,statuscode,errorcode,message,startedon,completedon"


def condition(column, operator, *values):
    listed = [{"Value": value, "Type": "System.String"} for value in values]
    return {"AttributeName": column, "Operator": operator, "Values": listed}


def query(table, *conditions, either=False):
    made = {"EntityName": table, "ColumnSet": {"AllColumns": True}, "Distinct": False}
    if conditions:
        made["Criteria"] = {"FilterOperator": "Or" if either else "And", "Conditions": list(conditions)}
    return made


def submit(service, *queries, **more):
    body = {
        "QuerySet": list(queries),
        "JobName": "Clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2025-06-01T00:00:00Z",
        **more,
    }
    return service("POST", "BulkDelete", body)


def start(service, *queries, **more):
    answer = submit(service, *queries, **more)
    assert answer.status == 200, answer.content
    return answer.json["JobId"]


def state(service, job_id):
    row = service.get(f"asyncoperations({job_id})?{STATE}").json
    return row["statecode"], row["statuscode"]


def counts(service):
    (row,) = service.get("bulkdeleteoperations?$select=successcount,failurecount,statuscode").rows
    return row["successcount"], row["failurecount"], row["statuscode"]


@pytest.fixture
def slow(empty):
    """Ten contacts, and jobs that wait two seconds and run ten."""
    for number in range(10):
        empty.make("contacts", firstname="Ann" if number % 2 else "Bob", lastname=str(number))
    empty.api.jobs.waiting, empty.api.jobs.running = 2, 10
    return empty


class TestLife:
    def test_a_job_waits_runs_and_succeeds(self, slow):
        job_id = start(slow, query("contact"))
        assert state(slow, job_id) == (0, 0)
        slow.wait(seconds=3)
        assert state(slow, job_id) == (2, 20)
        slow.wait(seconds=10)
        assert state(slow, job_id) == (3, 30)
        assert slow.api.rows("contact") == []
        row = slow.get(f"asyncoperations({job_id})?{STATE}").json
        assert (row["startedon"], row["completedon"]) == ("2025-06-15T12:00:02Z", "2025-06-15T12:00:12Z")
        assert (row["errorcode"], row["message"]) == (None, None)

    def test_its_work_is_spread_over_its_time(self, slow):
        start(slow, query("contact"))
        slow.wait(seconds=7)
        assert counts(slow) == (5, 0, 20)
        slow.wait(seconds=5)
        assert counts(slow) == (10, 0, 30)

    def test_the_jobs_clock_can_be_moved_alone(self, slow):
        job_id = start(slow, query("contact"))
        slow.api.jobs.advance(60)
        assert state(slow, job_id) == (3, 30)

    def test_held_jobs_stand_still(self, slow):
        job_id = start(slow, query("contact"))
        slow.api.jobs.held = True
        slow.wait(hours=1)
        assert state(slow, job_id) == (0, 0)
        slow.api.jobs.held = False
        assert state(slow, job_id) == (3, 30)

    def test_a_job_for_later_is_suspended_until_then(self, slow):
        job_id = start(slow, query("contact"), StartDateTime="2025-06-15T13:00:00Z")
        slow.wait(minutes=59)
        assert state(slow, job_id) == (1, 10)
        slow.wait(minutes=2)
        assert state(slow, job_id) == (3, 30)

    def test_a_job_that_fails_keeps_what_it_had_done_and_says_why(self, slow):
        slow.api.jobs.fail("The SQL Server timed out.", "0x80044151", after=0.5)
        job_id = start(slow, query("contact"))
        slow.wait(minutes=1)
        row = slow.get(f"asyncoperations({job_id})?{STATE}").json
        assert (row["statecode"], row["statuscode"]) == (3, 31)
        assert (row["errorcode"], row["message"]) == (-2147204783, "The SQL Server timed out.")
        assert len(slow.api.rows("contact")) == 5
        assert state(slow, start(slow, query("contact"))) == (0, 0)

    def test_completed_jobs_may_be_cleaned_away_at_once(self, slow):
        slow.api.jobs.keep_completed = False
        job_id = start(slow, query("contact"))
        slow.wait(minutes=1)
        answer = slow.get(f"asyncoperations({job_id})")
        assert (answer.status, answer.error) == (404, "0x80040217")
        assert slow.api.rows("contact") == []

    def test_completed_jobs_can_be_forgotten(self, slow):
        done = start(slow, query("contact"))
        slow.wait(minutes=1)
        waiting = start(slow, query("contact"))
        slow.api.jobs.forget()
        assert slow.get(f"asyncoperations({done})").status == 404
        assert state(slow, waiting) == (0, 0)
        with pytest.raises(KeyError):
            slow.api.jobs.forget(done)

    def test_a_reset_ends_them(self, slow):
        job_id = start(slow, query("contact"))
        slow.api.reset()
        slow.wait(minutes=1)
        assert slow.get(f"asyncoperations({job_id})").status == 404

    def test_a_job_of_a_change_set_that_was_undone_never_was(self, slow):
        def undone():
            with slow.api.transaction():
                start(slow, query("contact"))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            undone()
        slow.wait(minutes=1)
        assert len(slow.api.rows("contact")) == 10
        assert slow.api.jobs.as_dict()["open"] == []


class TestStopping:
    def cancel(self, service, job_id, state=3, status=32):
        return service("PATCH", f"asyncoperations({job_id})", {"statecode": state, "statuscode": status})

    def test_a_job_that_waits_is_canceled_and_does_nothing(self, slow):
        job_id = start(slow, query("contact"))
        assert self.cancel(slow, job_id).status == 204
        slow.wait(minutes=1)
        assert state(slow, job_id) == (3, 32)
        assert len(slow.api.rows("contact")) == 10

    def test_a_job_that_runs_is_canceled_and_what_it_did_stays_done(self, slow):
        job_id = start(slow, query("contact"))
        slow.wait(seconds=7)
        assert self.cancel(slow, job_id).status == 204
        slow.wait(minutes=1)
        assert state(slow, job_id) == (3, 32)
        assert counts(slow) == (5, 0, 32)

    def test_canceling_may_take_time(self, slow):
        slow.api.jobs.canceling = 5
        job_id = start(slow, query("contact"))
        slow.wait(seconds=7)
        self.cancel(slow, job_id)
        assert state(slow, job_id) == (2, 22)
        slow.wait(seconds=5)
        assert state(slow, job_id) == (3, 32)

    def test_a_completed_job_cannot_be_canceled(self, slow):
        job_id = start(slow, query("contact"))
        slow.wait(minutes=1)
        assert self.cancel(slow, job_id).error == "0x80044165"
        assert state(slow, job_id) == (3, 30)

    def test_nobody_can_say_that_a_job_succeeded(self, slow):
        job_id = start(slow, query("contact"))
        assert self.cancel(slow, job_id, 3, 30).error == "0x80044165"

    def test_a_job_of_the_platform_cannot_be_canceled(self, slow):
        slow.api.jobs.cancelable = False
        job_id = start(slow, query("contact"))
        assert self.cancel(slow, job_id).error == "0x80044f00"

    def test_a_running_job_can_be_paused_and_resumed(self, slow):
        job_id = start(slow, query("contact"))
        slow.wait(seconds=7)
        assert slow("PATCH", f"asyncoperations({job_id})", {"statecode": 1, "statuscode": 10}).status == 204
        slow.wait(hours=1)
        assert state(slow, job_id) == (1, 10)
        assert slow("PATCH", f"asyncoperations({job_id})", {"statecode": 0, "statuscode": 0}).status == 204
        slow.wait(seconds=3)
        assert state(slow, job_id) == (2, 20)
        slow.wait(seconds=5)
        assert state(slow, job_id) == (3, 30)

    def test_a_waiting_job_can_be_postponed(self, slow):
        job_id = start(slow, query("contact"))
        later = {"postponeuntil": "2025-06-15T14:00:00Z"}
        assert slow("PATCH", f"asyncoperations({job_id})", later).status == 204
        slow.wait(hours=1)
        assert state(slow, job_id) == (1, 10)
        slow.wait(hours=2)
        assert state(slow, job_id) == (3, 30)

    def test_a_job_that_was_deleted_does_nothing_more(self, slow):
        job_id = start(slow, query("contact"))
        assert slow("DELETE", f"asyncoperations({job_id})").status == 204
        slow.wait(minutes=1)
        assert len(slow.api.rows("contact")) == 10

    def test_what_a_job_did_is_forgotten_with_it(self, slow):
        job_id = start(slow, query("contact"))
        slow.wait(minutes=1)
        slow("DELETE", f"asyncoperations({job_id})")
        assert slow.api.rows("bulkdeleteoperation") == []

    def test_other_columns_of_a_job_stay_as_they_are(self, slow):
        job_id = start(slow, query("contact"))
        slow("PATCH", f"asyncoperations({job_id})", {"name": "Other"})
        assert slow.get(f"asyncoperations({job_id})?$select=name").json["name"] == "Clean up"

    def test_jobs_are_not_made_by_hand(self, slow):
        assert slow("POST", "asyncoperations", {"name": "Mine"}).status == 501


class TestBulkDelete:
    def test_it_deletes_what_its_queries_find(self, slow):
        job_id = start(slow, query("contact", condition("firstname", "Equal", "Ann")))
        slow.wait(minutes=1)
        assert state(slow, job_id) == (3, 30)
        assert {row["firstname"] for row in slow.api.rows("contact")} == {"Bob"}

    def test_operators_links_and_inner_filters_are_read(self, slow):
        account = slow.make("accounts", name="Contoso")
        slow.make(
            "contacts", lastname="Employee", **{"parentcustomerid_account@odata.bind": f"accounts({account})"}
        )
        wanted = query(
            "contact",
            condition("lastname", "Like", "Emp%"),
            condition("lastname", "In", "1", "2"),
            either=True,
        )
        wanted["Criteria"]["Filters"] = [
            {"FilterOperator": "And", "Conditions": [condition("lastname", "Equal", "3")]}
        ]
        start(slow, wanted)
        slow.wait(minutes=1)
        assert counts(slow)[0] == 4
        linked = query("contact")
        linked["LinkEntities"] = [
            {
                "LinkFromAttributeName": "parentcustomerid",
                "LinkToEntityName": "account",
                "LinkToAttributeName": "accountid",
                "JoinOperator": "Inner",
            }
        ]
        assert submit(slow, linked).status == 200

    def test_rows_made_after_it_began_are_left_alone(self, slow):
        start(slow, query("contact"))
        slow.wait(seconds=3)
        slow.get("contacts")
        slow.make("contacts", lastname="New")
        slow.wait(minutes=1)
        assert [row["lastname"] for row in slow.api.rows("contact")] == ["New"]

    def test_rows_that_may_not_go_are_kept_as_failures(self, slow):
        currency = slow.get("transactioncurrencies?$filter=isocurrencycode eq 'USD'").rows[0]
        slow.make("accounts", name="Contoso", revenue=5)
        job_id = start(slow, query("transactioncurrency", condition("isocurrencycode", "Equal", "USD")))
        slow.wait(minutes=1)
        assert state(slow, job_id) == (3, 30)
        assert counts(slow) == (0, 1, 30)
        (failure,) = slow.get(
            "bulkdeletefailures?$select=errornumber,errordescription,regardingobjecttypecode"
        ).rows
        assert failure["errornumber"] == -2147220953
        assert failure["regardingobjecttypecode"] == "transactioncurrency"
        assert slow.get(f"transactioncurrencies({currency['transactioncurrencyid']})").status == 200

    @pytest.mark.parametrize(
        ("wanted", "code"),
        [
            (query("nothing"), "0x80041102"),
            (query("contact", condition("nothing", "Equal", "x")), "0x80041103"),
            ({"ColumnSet": {"AllColumns": True}}, "0x80040203"),
        ],
    )
    def test_a_wrong_query_is_refused_at_once(self, slow, wanted, code):
        assert submit(slow, wanted).error == code
        assert slow.api.rows("asyncoperation") == []

    def test_what_is_missing_is_named(self, slow):
        answer = slow("POST", "BulkDelete", {"QuerySet": [query("contact")]})
        assert "JobName" in answer.message

    def test_no_query_is_refused(self, slow):
        assert submit(slow).error == "0x80040203"

    def test_fetch_xml_becomes_a_query(self, slow):
        document = (
            "<fetch top='3'><entity name='contact'><attribute name='lastname'/><filter type='or'>"
            "<condition attribute='firstname' operator='eq' value='Ann'/>"
            "<condition attribute='createdon' operator='older-than-x-days' value='0'/>"
            "</filter><order attribute='lastname' descending='true'/></entity></fetch>"
        ).replace("older-than", "olderthan")
        told = slow.get(
            f"FetchXmlToQueryExpression(FetchXml=@p1)?@p1='{document.replace(chr(39), chr(39) * 2)}'"
        )
        assert told.status == 200, told.content
        made = told.json["Query"]
        assert (made["EntityName"], made["TopCount"]) == ("contact", 3)
        operators = [one["Operator"] for one in made["Criteria"]["Conditions"]]
        assert operators == ["Equal", "OlderThanXDays"]
        start(slow, {**made, "Orders": []})
        slow.wait(minutes=1)
        assert counts(slow)[0] == 3


class TestControl:
    def test_members_are_set_and_told(self, slow):
        told = slow.api.jobs.apply({"waiting": 1, "fail": {"message": "No."}, "held": True})
        assert (told["waiting"], told["held"]) == (1.0, True)

    def test_a_job_of_ones_own_can_be_started(self, slow):
        shares: list[float] = []
        job_id = slow.api.jobs.begin("Import", operation_type=5, message_name="ImportAll", work=shares.append)
        slow.wait(seconds=7)
        assert state(slow, job_id) == (2, 20)
        slow.wait(minutes=1)
        assert state(slow, job_id) == (3, 30)
        assert shares == [0.5, 1.0]
        told = slow.api.jobs.apply({"begin": "Another"})
        assert len(told["open"]) == 1
        with pytest.raises(ValueError, match="no type 4711"):
            slow.api.jobs.begin("Import", operation_type=4711)

    def test_unknown_members_are_refused(self, slow):
        with pytest.raises(ValueError, match="speed"):
            slow.api.jobs.apply({"speed": 3})

    def test_everything_goes_back(self, slow):
        slow.api.jobs.apply({"waiting": 1, "fail": {}, "advance": 5})
        slow.api.jobs.restore()
        assert slow.api.jobs.as_dict()["waiting"] == 0.2
        assert slow.api.jobs.now() == slow.now


class TestBackground:
    @pytest.fixture
    def calls(self, slow):
        """A custom API that answers, and what it was called with."""
        made = []

        def answer(parameters):
            made.append(dict(parameters))
            return {"Sum": sum(made[-1].values())}

        slow.api.operations.add(
            custom_api(
                "sample_Add",
                answer,
                parameters={"Left": "Edm.Int32", "Right": "Edm.Int32"},
                result={"Sum": "Edm.Int32"},
            )
        )
        return made

    def ask(self, service):
        return service("POST", "sample_Add", {"Left": 1, "Right": 2}, Prefer="respond-async")

    def monitor(self, service, answer, method="GET"):
        location = answer.headers["Location"]
        path = location.removeprefix("https://127.0.0.1:8765")
        response = service.api.handle(Request(method, path, "", {}, b"", "https://127.0.0.1:8765"))
        return json.loads(response.body)

    def test_it_is_accepted_and_done_later(self, slow, calls):
        accepted = self.ask(slow)
        assert (accepted.status, accepted.content) == (202, b"")
        operation_id = accepted.headers["x-ms-dyn-backgroundoperationid"]
        assert accepted.headers["Location"].endswith(f"/api/backgroundoperation/{operation_id}")
        assert calls == []
        assert self.monitor(slow, accepted)["backgroundOperationStatusCode"] == 0
        slow.wait(minutes=1)
        told = self.monitor(slow, accepted)
        assert (told["backgroundOperationStateCode"], told["backgroundOperationStatusCode"]) == (3, 30)
        assert told["Sum"] == 3
        row = slow.get(f"backgroundoperations({operation_id})").json
        assert json.loads(row["outputparameters"]) == [{"Key": "Sum", "Value": 3}]

    def test_without_the_preference_it_is_done_at_once(self, slow, calls):
        assert slow("POST", "sample_Add", {"Left": 1, "Right": 2}).json["Sum"] == 3
        assert slow.api.rows("backgroundoperation") == []

    @pytest.mark.parametrize("way", ["patch", "delete"])
    def test_it_can_be_canceled_before_it_starts(self, slow, calls, way):
        accepted = self.ask(slow)
        if way == "delete":
            self.monitor(slow, accepted, "DELETE")
        else:
            path = f"backgroundoperations({accepted.headers['x-ms-dyn-backgroundoperationid']})"
            body = {"backgroundoperationstatecode": 2, "backgroundoperationstatuscode": 22}
            assert slow("PATCH", path, body, **{"If-Match": "*"}).status == 204
        slow.wait(minutes=1)
        assert self.monitor(slow, accepted)["backgroundOperationStatusCode"] == 32
        assert calls == []

    def test_once_it_runs_it_is_not_canceled(self, slow, calls):
        accepted = self.ask(slow)
        slow.wait(seconds=5)
        self.monitor(slow, accepted, "DELETE")
        slow.wait(minutes=1)
        assert self.monitor(slow, accepted)["backgroundOperationStatusCode"] == 30

    def test_a_failure_is_tried_again_and_told(self, slow, calls):
        accepted = slow("POST", "sample_Add", {"Left": "one"}, Prefer="respond-async")
        slow.wait(minutes=1)
        told = self.monitor(slow, accepted)
        assert told["backgroundOperationStatusCode"] == 31
        assert told["backgroundOperationErrorCode"] == -2147185383
        assert "one" in told["backgroundOperationErrorMessage"]
        row = slow.get(f"backgroundoperations({accepted.headers['x-ms-dyn-backgroundoperationid']})").json
        assert row["retrycount"] == 3


def test_a_job_that_breaks_fails_and_stops_no_request(empty):
    def breaks(_):
        raise KeyError("x")

    job = empty.api.jobs.begin("Broken", work=breaks)
    empty.wait(hours=1)
    row = empty.get(f"asyncoperations({job})").json
    assert (row["statecode"], row["statuscode"]) == (3, 31)
    assert "KeyError" in row["message"]


def test_a_job_that_cannot_be_written_down_is_let_go(empty):
    empty.api.jobs.begin("Refused")
    empty.api.faults.plugins.append(Plugin(table="asyncoperation"))
    empty.wait(hours=1)
    assert empty.get("accounts").status == 200
    assert empty.api.jobs.open == {}


def test_a_plug_in_of_every_table_leaves_the_services_own_rows_alone(empty):
    empty.api.faults.plugins.append(Plugin())
    job = empty.api.jobs.begin("Mine")
    empty.wait(hours=1)
    assert empty.get(f"asyncoperations({job})").json["statuscode"] == 30
    assert empty("POST", "accounts", {"name": "A"}).error == "0x80040265"
