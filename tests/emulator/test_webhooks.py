"""Webhooks: what can be registered, what is posted when rows change, and what becomes of posts that fail."""

from __future__ import annotations

import re
import threading

import pytest
import requests

from airflow_provider_dynamics.emulator.wire.tls import certificates
from tests.emulator.receiver import receiving

SETTINGS = '<settings><setting name="x-key" value="abc" /></settings>'
SINGLE = ("Create", "Update", "Delete")


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


class Registry:
    """Registers webhooks over the wire, as Microsoft documents it."""

    def __init__(self, wire, receiver):
        self.wire = wire
        self.receiver = receiver

    def account(self, **columns):
        made = self.wire("POST", "/api/data/v9.2/accounts", json={"name": "Litware", **columns})
        assert made.status_code == 204, made.text
        return made.headers["OData-EntityId"]

    def endpoint(self, **members):
        given = {
            "name": "events",
            "contract": 8,
            "authtype": 5,
            "authvalue": SETTINGS,
            "url": self.receiver.url,
        }
        return self.wire("POST", "/api/data/v9.2/serviceendpoints", json={**given, **members})

    def filter(self, table, message):
        where = f"primaryobjecttypecode eq '{table}' and sdkmessageid/name eq '{message}'"
        found = self.wire.get(
            f"/sdkmessagefilters?$select=sdkmessagefilterid,_sdkmessageid_value&$filter={where}"
        )
        return found.json()["value"][0]

    def step(self, message, table="account", endpoint=None, **members):
        endpoint = endpoint or self.endpoint().headers["OData-EntityId"]
        found = self.filter(table, message)
        given = {
            "name": f"{message} of {table}",
            "mode": 1,
            "stage": 40,
            "rank": 1,
            "supporteddeployment": 0,
            "eventhandler_serviceendpoint@odata.bind": endpoint,
            "sdkmessageid@odata.bind": f"/sdkmessages({found['_sdkmessageid_value']})",
            "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({found['sdkmessagefilterid']})",
        }
        return self.wire("POST", "/api/data/v9.2/sdkmessageprocessingsteps", json={**given, **members})

    def registered(self, message, table="account", **members):
        made = self.step(message, table, **members)
        assert made.status_code == 204, made.text
        return id_of(made.headers["OData-EntityId"])


@pytest.fixture
def registry(wire, receiver):
    return Registry(wire, receiver)


@pytest.fixture
def account(registry):
    return registry.account


def attributes(content, name="Target"):
    """What the first row in a context has, by column."""
    value = next(one["value"] for one in content["InputParameters"] if one["key"] == name)
    first = value["Entities"][0] if name == "Targets" else value
    return {one["key"]: one["value"] for one in first["Attributes"]}


def id_of(link):
    return link.rpartition("(")[2].removesuffix(")")


# -- what is posted -------------------------------------------------------------------------------------


def test_a_new_row_is_posted_with_what_it_has(emulator, registry, account, receiver):
    registry.registered("Create")
    link = account(revenue=5.25, numberofemployees=3)
    assert emulator.webhooks.drain()
    content, posted = receiver.one(), receiver.posts[0]
    assert posted.headers["x-key"] == "abc"
    assert posted.headers["x-ms-dynamics-entity-name"] == "account"
    assert posted.headers["x-ms-dynamics-request-name"] == "Create"
    assert posted.headers["x-ms-dynamics-organization"] == emulator.url.removeprefix("https://")
    assert posted.headers["x-ms-correlation-request-id"] == content["CorrelationId"]
    assert "x-ms-dynamics-msg-size-exceeded" not in posted.headers
    assert (content["MessageName"], content["PrimaryEntityName"]) == ("Create", "account")
    assert content["PrimaryEntityId"] == id_of(link)
    assert content["OutputParameters"] == [{"key": "id", "value": id_of(link)}]
    row = attributes(content)
    assert (row["name"], row["numberofemployees"]) == ("Litware", 3)
    assert row["revenue"] == {
        "__type": "Money:http://schemas.microsoft.com/xrm/2011/Contracts",
        "Value": 5.25,
    }
    assert row["statecode"]["Value"] == 0
    assert row["ownerid"]["LogicalName"] == "systemuser"


def test_the_context_of_an_update_has_the_members_of_microsofts_example(
    emulator, registry, account, receiver
):
    step = registry.registered("Update", filteringattributes="name,revenue")
    link = account()
    registry.wire("PATCH", link, json={"name": "Litware, Inc."})
    assert emulator.webhooks.drain()
    content = receiver.one()
    assert sorted(content) == list(content) == EXAMPLE
    assert list(content["ParentContext"]) != []
    assert set(content["ParentContext"]) == set(EXAMPLE)
    changed = attributes(content)
    assert list(changed)[:2] == ["name", "modifiedon"]
    assert re.fullmatch(r"/Date\(\d{13}\)/", changed["modifiedon"])
    assert changed["modifiedonbehalfby"] is None
    assert attributes(content["ParentContext"]).keys() == {"name", "accountid"}
    assert content["OwningExtension"]["Id"] == step
    assert content["PostEntityImages"][0]["key"] == "AsynchronousStepPrimaryName"
    assert (content["Mode"], content["Stage"], content["ParentContext"]["Stage"]) == (1, 40, 30)
    assert re.fullmatch(r"/Date\(\d{13}[+-]\d{4}\)/", content["OperationCreatedOn"])
    assert b"\\/Date(" in receiver.posts[0].body


EXAMPLE = [
    "BusinessUnitId",
    "CorrelationId",
    "Depth",
    "InitiatingUserId",
    "InputParameters",
    "IsExecutingOffline",
    "IsInTransaction",
    "IsOfflinePlayback",
    "IsolationMode",
    "MessageName",
    "Mode",
    "OperationCreatedOn",
    "OperationId",
    "OrganizationId",
    "OrganizationName",
    "OutputParameters",
    "OwningExtension",
    "ParentContext",
    "PostEntityImages",
    "PreEntityImages",
    "PrimaryEntityId",
    "PrimaryEntityName",
    "RequestId",
    "SecondaryEntityName",
    "SharedVariables",
    "Stage",
    "UserId",
]


def test_an_update_of_other_columns_than_the_step_is_filtered_by_is_not_posted(
    emulator, registry, account, receiver
):
    registry.registered("Update", filteringattributes="revenue")
    registry.wire("PATCH", account(), json={"name": "other"})
    assert emulator.webhooks.drain()
    assert receiver.posts == []


def test_a_deleted_row_is_posted_by_its_id(emulator, registry, account, receiver):
    registry.registered("Delete")
    link = account()
    registry.wire("DELETE", link)
    assert emulator.webhooks.drain()
    target = receiver.one()["InputParameters"][0]["value"]
    assert (target["LogicalName"], target["Id"]) == ("account", id_of(link))


def test_an_update_of_the_state_beside_other_columns_runs_steps_twice(emulator, registry, account, receiver):
    registry.registered("Update")
    registry.wire("PATCH", account(), json={"name": "Closed", "statecode": 1})
    assert emulator.webhooks.drain()
    first, second = (one.content for one in receiver.posts)
    assert first["CorrelationId"] == second["CorrelationId"]
    assert first["OperationId"] != second["OperationId"]
    assert {"name", "statecode"} == {
        key for one in (first, second) for key in attributes(one["ParentContext"])
    } - {"accountid"}


def test_steps_of_single_and_of_bulk_messages_run_in_one_pipeline(emulator, registry, account, receiver):
    registry.registered("Create")
    registry.registered("CreateMultiple")
    targets = [{"@odata.type": "Microsoft.Dynamics.CRM.account", "name": f"n{n}"} for n in range(3)]
    made = registry.wire(
        "POST", "/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": targets}
    )
    assert emulator.webhooks.drain()
    contents = [one.content for one in receiver.posts]
    singles = [one for one in contents if one["MessageName"] == "Create"]
    (bulk,) = [one for one in contents if one["MessageName"] == "CreateMultiple"]
    assert {one["PrimaryEntityId"] for one in singles} == set(made.json()["Ids"])
    assert len(bulk["InputParameters"][0]["value"]["Entities"]) == 3
    assert bulk["PrimaryEntityId"] == "00000000-0000-0000-0000-000000000000"
    receiver.posts.clear()
    account()
    assert emulator.webhooks.drain()
    assert sorted(one.content["MessageName"] for one in receiver.posts) == ["Create", "CreateMultiple"]


def test_one_bulk_update_is_one_context_and_an_upsert_comes_as_what_it_did(
    emulator, registry, account, receiver
):
    registry.registered("UpdateMultiple")
    registry.registered("CreateMultiple", endpoint=None)
    ids = [id_of(account()), id_of(account())]
    assert emulator.webhooks.drain()
    receiver.posts.clear()
    kind = {"@odata.type": "Microsoft.Dynamics.CRM.account"}
    path = "/api/data/v9.2/accounts/Microsoft.Dynamics.CRM."
    rows = [{**kind, "accountid": one, "name": "changed"} for one in ids]
    assert registry.wire("POST", f"{path}UpdateMultiple", json={"Targets": rows}).status_code == 204
    assert emulator.webhooks.drain()
    assert len(receiver.one()["InputParameters"][0]["value"]["Entities"]) == 2
    receiver.posts.clear()
    rows = [{**kind, "accountid": ids[0], "name": "again"}, {**kind, "name": "new"}]
    assert registry.wire("POST", f"{path}UpsertMultiple", json={"Targets": rows}).status_code == 204
    assert emulator.webhooks.drain()
    assert sorted(one.content["MessageName"] for one in receiver.posts) == [
        "CreateMultiple",
        "UpdateMultiple",
    ]


def test_rows_that_are_deleted_with_another_are_posted_too(emulator, registry, wire, account, receiver):
    registry.registered("Delete", "opportunity")
    link = account()
    body = {"name": "Trucks", "customerid_account@odata.bind": link}
    made = wire("POST", "/api/data/v9.2/opportunities", json=body)
    assert made.status_code == 204, made.text
    assert wire("DELETE", link).status_code == 204
    assert emulator.webhooks.drain()
    assert receiver.one()["PrimaryEntityName"] == "opportunity"


def test_nothing_is_posted_of_what_was_undone(emulator, registry, wire, receiver):
    registry.registered("Create")
    good = {"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "good"}
    rows = [good, {**good, "statuscode": 99}]
    answer = wire(
        "POST", "/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": rows}
    )
    assert answer.status_code == 400
    assert emulator.webhooks.drain()
    assert receiver.posts == []
    assert wire.get("/asyncoperations").json()["value"] == []


def test_a_context_of_more_than_256_kb_is_shortened(emulator, registry, receiver):
    registry.registered("UpdateMultiple")
    target = {"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "x" * 160}
    rows = [{**target, "accountid": row["accountid"]} for row in emulator.rows("account")]
    path = "/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.UpdateMultiple"
    assert registry.wire("POST", path, json={"Targets": rows}).status_code == 204
    assert emulator.webhooks.drain()
    assert list(receiver.one()) == EXAMPLE
    receiver.posts.clear()
    made = [{**target, "name": f"n{n}" + "x" * 150} for n in range(200)]
    create = "/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple"
    registry.registered("CreateMultiple")
    assert registry.wire("POST", create, json={"Targets": made}).status_code == 200
    assert emulator.webhooks.drain()
    content, posted = receiver.one(), receiver.posts[0]
    assert posted.headers["x-ms-dynamics-msg-size-exceeded"] == "true"
    gone = {"ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages"}
    assert set(content) == set(EXAMPLE) - gone
    assert len(posted.body) < 256 * 1024


@pytest.mark.parametrize(
    ("kind", "value", "path"),
    [
        (4, "s3cret/x", "/events?code=s3cret%2Fx"),
        (6, '<settings><setting name="a" value="1 2"/></settings>', "/events?a=1%202"),
    ],
    ids=["webhook key", "query string"],
)
def test_the_key_can_come_in_the_query(registry, receiver, kind, value, path):
    emulator = registry.wire.emulator
    account = registry.account
    endpoint = registry.endpoint(authtype=kind, authvalue=value).headers["OData-EntityId"]
    registry.registered("Create", endpoint=endpoint)
    account()
    assert emulator.webhooks.drain()
    assert receiver.posts[0].path == path
    assert emulator.webhooks.posts[0].url == receiver.url


# -- what becomes of it ---------------------------------------------------------------------------------


def job(wire, step):
    found = wire.get(f"/asyncoperations?$filter=_owningextensionid_value eq {step}").json()["value"]
    assert len(found) == 1
    return found[0]


def test_a_taken_context_is_a_job_that_succeeded(emulator, registry, wire, account, receiver):
    step = registry.registered("Create")
    account()
    assert emulator.webhooks.drain()
    row = job(wire, step)
    assert (row["statecode"], row["statuscode"], row["operationtype"]) == (3, 30, 1)
    assert (row["messagename"], row["primaryentitytype"]) == ("Create", "account")
    assert row["asyncoperationid"] == receiver.one()["OperationId"]
    assert row["correlationid"] == receiver.one()["CorrelationId"]


def test_the_job_goes_when_the_step_says_so_and_it_succeeded(emulator, registry, wire, account, receiver):
    step = registry.registered("Create", asyncautodelete=True)
    account()
    assert emulator.webhooks.drain()
    assert wire.get("/asyncoperations").json()["value"] == []
    receiver.status = lambda _: 400
    account()
    assert emulator.webhooks.drain()
    assert job(wire, step)["statuscode"] == 31


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (302, 1), (500, 1), (502, 2), (503, 2), (504, 2)])
def test_a_refused_context_is_attempted_once_more_for_network_troubles_only(
    registry, account, receiver, status, attempts
):
    wire = registry.wire
    emulator = registry.wire.emulator
    receiver.status = lambda _: status
    step = registry.registered("Create")
    account()
    assert emulator.webhooks.drain()
    row = job(wire, step)
    assert len(receiver.posts) == attempts
    assert (row["statuscode"], row["errorcode"]) == (31, -2147155455)
    assert "non-success httpStatus code" in row["message"]


def test_the_second_attempt_may_succeed(emulator, registry, wire, account, receiver):
    receiver.status = lambda number: 503 if number == 1 else 204
    step = registry.registered("Create")
    account()
    assert emulator.webhooks.drain()
    assert job(wire, step)["statuscode"] == 30
    assert [one.status for one in emulator.webhooks.posts] == [503, 204]


def test_an_answer_that_does_not_come_in_time_is_a_failure(emulator, registry, wire, account, receiver):
    receiver.wait = threading.Event()
    emulator.webhooks.timeout = 0.1
    step = registry.registered("Create")
    account()
    assert emulator.webhooks.drain()
    assert job(wire, step)["errorcode"] == -2147155454


def test_nobody_there_is_a_failure(emulator, registry, wire, account):
    endpoint = registry.endpoint(url="http://127.0.0.1:1/none").headers["OData-EntityId"]
    step = registry.registered("Create", endpoint=endpoint)
    account()
    assert emulator.webhooks.drain()
    assert job(wire, step)["errorcode"] == -2147155451


def test_an_endpoint_over_tls_must_be_vouched_for(emulator, wire, tmp_path):
    files = certificates(tmp_path)
    with receiving(files) as receiver:
        registry = Registry(wire, receiver)
        step = registry.registered("Create")
        registry.account()
        assert emulator.webhooks.drain()
        assert (job(wire, step)["errorcode"], receiver.posts) == (-2147155451, [])
        emulator.webhooks.ca_bundle = str(files.ca)
        registry.account()
        assert emulator.webhooks.drain()
        assert receiver.one()["MessageName"] == "Create"


@pytest.mark.parametrize(("kind", "code"), [(5, -2147155453), (6, -2147155452)])
def test_a_key_that_cannot_be_read_is_found_when_it_is_posted(emulator, registry, account, kind, code):
    wire = registry.wire
    endpoint = registry.endpoint(authtype=kind, authvalue="x-key: abc").headers["OData-EntityId"]
    step = registry.registered("Create", endpoint=endpoint)
    account()
    assert emulator.webhooks.drain()
    assert job(wire, step)["errorcode"] == code


def test_a_job_can_be_cancelled_before_it_is_posted(emulator, registry, wire, account, receiver):
    emulator.webhooks.held = True
    step = registry.registered("Create")
    account()
    waiting = job(wire, step)
    path = f"/api/data/v9.2/asyncoperations({waiting['asyncoperationid']})"
    assert wire("PATCH", path, json={"statecode": 3, "statuscode": 32}).status_code == 204
    emulator.webhooks.held = False
    assert emulator.webhooks.drain()
    assert receiver.posts == []
    assert job(wire, step)["statuscode"] == 32


def test_contexts_can_be_repeated_as_a_lost_answer_does_it(emulator, registry, account, receiver):
    emulator.webhooks.repeats = 2
    registry.registered("Create")
    account()
    assert emulator.webhooks.drain()
    assert len({one.body for one in receiver.posts}) == 1
    assert len(receiver.posts) == 3


def test_a_reset_takes_registrations_and_waiting_contexts_away(emulator, registry, account, receiver):
    registry.registered("Create")
    emulator.webhooks.held = True
    account()
    emulator.reset()
    assert (emulator.webhooks.held, emulator.webhooks.pending) == (False, 0)
    account()
    assert emulator.webhooks.drain()
    assert receiver.posts == []


def test_a_post_that_a_reset_overtakes_is_not_told_of_afterwards(emulator, registry, account, receiver):
    arrived, receiver.wait = threading.Event(), threading.Event()

    def answer(_: int) -> int:
        arrived.set()
        return 200

    receiver.status = answer
    registry.registered("Create")
    account()
    assert arrived.wait(10)
    emulator.reset()
    receiver.wait.set()
    assert emulator.webhooks.drain()
    assert list(emulator.webhooks.posts) == []


# -- synchronous steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [10, 20, 40])
@pytest.mark.parametrize("message", SINGLE)
def test_a_failing_synchronous_step_undoes_the_change(registry, account, receiver, message, stage):
    wire = registry.wire
    emulator = registry.wire.emulator
    link = account(name="before")
    registry.registered(message, mode=0, stage=stage)
    receiver.status = lambda _: 500
    before = len(emulator.rows("account"))
    calls = {
        "Create": ("POST", "/api/data/v9.2/accounts", {"name": "new"}),
        "Update": ("PATCH", link, {"name": "after"}),
        "Delete": ("DELETE", link, None),
    }
    method, path, body = calls[message]
    answer = wire(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80050201")
    assert len(emulator.rows("account")) == before
    assert wire("GET", link).json()["name"] == "before"


def test_a_synchronous_step_is_posted_before_the_answer_comes(registry, account, receiver):
    registry.registered("Create", mode=0)
    account()
    content = receiver.one()
    assert (content["Mode"], content["IsInTransaction"]) == (0, True)
    assert content["OperationId"] == "00000000-0000-0000-0000-000000000000"
    assert content["RequestId"] is not None


def test_before_the_main_operation_there_is_only_what_was_asked_for(registry, account, receiver):
    registry.registered("Create", mode=0, stage=20)
    account()
    assert attributes(receiver.one()).keys() == {"name"}


def test_a_disabled_step_does_not_run(registry, wire, account, receiver):
    step = registry.registered("Create", mode=0)
    path = f"/api/data/v9.2/sdkmessageprocessingsteps({step})"
    assert wire("PATCH", path, json={"statecode": 1, "statuscode": 2}).status_code == 204
    account()
    assert receiver.posts == []
    assert wire("PATCH", path, json={"statecode": 0, "statuscode": 1}).status_code == 204
    account()
    assert len(receiver.posts) == 1


# -- registering ----------------------------------------------------------------------------------------


def test_the_key_is_never_shown(emulator, registry, wire):
    link = registry.endpoint().headers["OData-EntityId"]
    for path in (link, f"{link}?$select=authvalue,name", "/api/data/v9.2/serviceendpoints"):
        answer = wire("GET", path)
        assert answer.status_code == 200, answer.text
        assert "abc" not in answer.text
    assert wire("GET", link).json()["isauthvalueset"] is True
    assert "abc" not in str(emulator.rows("serviceendpoint"))


def test_a_registration_is_found_as_microsoft_documents_it(registry, wire, receiver):
    link = registry.endpoint().headers["OData-EntityId"]
    step = registry.registered("Update", endpoint=link, filteringattributes="name")
    found = wire.get("/serviceendpoints?$filter=contract eq 8&$select=serviceendpointid,name,authtype,url")
    (row,) = found.json()["value"]
    assert (row["name"], row["authtype"], row["url"]) == ("events", 5, receiver.url)
    steps = f"{link}/serviceendpoint_sdkmessageprocessingstep?$select=name,mode,stage,filteringattributes"
    (row,) = wire("GET", steps).json()["value"]
    assert (row["mode"], row["stage"], row["filteringattributes"]) == (1, 40, "name")
    expanded = (
        "eventhandler_serviceendpoint($select=name),sdkmessagefilterid($select=primaryobjecttypecode),"
        "sdkmessageid($select=name)"
    )
    one = wire.get(f"/sdkmessageprocessingsteps({step})?$select=name&$expand={expanded}").json()
    assert one["eventhandler_serviceendpoint"]["name"] == "events"
    assert one["sdkmessagefilterid"]["primaryobjecttypecode"] == "account"
    assert one["sdkmessageid"]["name"] == "Update"


def test_the_steps_of_an_endpoint_go_with_it(emulator, registry, wire):
    link = registry.endpoint().headers["OData-EntityId"]
    registry.registered("Create", endpoint=link)
    assert wire("DELETE", link).status_code == 204
    assert emulator.rows("sdkmessageprocessingstep") == []


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"contract": 2}, 501, "0x80060888"),
        ({"contract": None}, 501, "0x80060888"),
        ({"authtype": 1}, 400, "0x80050209"),
        ({"authtype": 2}, 501, "0x80060888"),
        ({"url": "nowhere"}, 400, "0x80040203"),
        ({"url": "http://127.0.0.1:x/"}, 400, "0x80040203"),
        ({"url": "https://airflow.example/events"}, 501, "0x80060888"),
        ({"name": None}, 400, "0x80040200"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(registry, members, status, code):
    answer = registry.endpoint(**members)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_other_machines_are_posted_to_when_it_is_allowed_at_the_ports_the_service_knows(emulator, registry):
    emulator.webhooks.anywhere = True
    assert registry.endpoint(url="https://airflow.example/events").status_code == 204
    refused = registry.endpoint(url="https://airflow.example:8443/events")
    assert (refused.status_code, "only port 80" in refused.text) == (400, True)


@pytest.mark.parametrize(
    ("message", "table", "members", "refusal"),
    [
        ("Create", "account", {"stage": 20}, (400, "0x80040203")),
        ("Create", "account", {"stage": 30}, (400, "0x80044184")),
        ("Create", "asyncoperation", {}, (400, "0x80044187")),
        ("Create", "serviceendpoint", {}, (400, "0x80044187")),
        ("Retrieve", "account", {}, (501, "0x80060888")),
        ("Update", "account", {"filteringattributes": "name,nothing"}, (501, "0x80060888")),
        ("UpdateMultiple", "account", {"mode": 0, "stage": 20}, (501, "0x80060888")),
        ("Create", "account", {"supporteddeployment": 1}, (501, "0x80060888")),
        ("Create", "account", {"sdkmessageid@odata.bind": None}, (400, "0x80040203")),
        ("Create", "account", {"eventhandler_serviceendpoint@odata.bind": None}, (400, "0x80040203")),
    ],
)
def test_a_step_that_cannot_be_is_refused(registry, message, table, members, refusal):
    answer = registry.step(message, table, **members)
    assert (answer.status_code, answer.json()["error"]["code"]) == refusal, answer.text


def test_the_filter_of_another_message_is_refused(registry):
    other = registry.filter("account", "Delete")["sdkmessagefilterid"]
    answer = registry.step("Create", **{"sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({other})"})
    assert answer.json()["error"]["code"] == "0x80040203"


def test_a_step_without_a_filter_runs_for_every_table(emulator, registry, wire, account, receiver):
    registry.registered("Create", **{"sdkmessagefilterid@odata.bind": None})
    account()
    wire("POST", "/api/data/v9.2/contacts", json={"lastname": "Reed"})
    assert emulator.webhooks.drain()
    assert {one.content["PrimaryEntityName"] for one in receiver.posts} == {"account", "contact"}


# -- from another process -------------------------------------------------------------------------------


def control(emulator, **members):
    url = f"{emulator.url}/_emulator/webhooks"
    method = "POST" if members else "GET"
    return requests.request(method, url, json=members or None, verify=emulator.ca_bundle, timeout=20)


def test_posting_is_controlled_and_told_from_elsewhere(emulator, registry, account):
    told = control(emulator, delay=0.01, timeout=5).json()
    assert (told["delay"], told["timeout"], told["posts"]) == (0.01, 5.0, [])
    registry.registered("Create")
    account()
    assert emulator.webhooks.drain()
    told = control(emulator).json()
    assert (told["pending"], told["posts"][0]["status"]) == (0, 200)
    assert control(emulator, speed=1).status_code == 400


def test_a_thousand_changes_are_a_thousand_posts(emulator, registry, wire, receiver):
    registry.registered("Create")
    rows = [{"@odata.type": "Microsoft.Dynamics.CRM.account", "name": f"n{n}"} for n in range(1000)]
    path = "/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple"
    ids = wire("POST", path, json={"Targets": rows}).json()["Ids"]
    assert emulator.webhooks.drain(60)
    assert sorted(one.content["PrimaryEntityId"] for one in receiver.posts) == sorted(ids)


BYPASS = "MSCRM.BypassBusinessLogicExecution"


@pytest.mark.parametrize(
    ("mode", "header", "posts"),
    [
        (0, {BYPASS: "CustomSync"}, 0),
        (0, {BYPASS: "CustomAsync"}, 1),
        (1, {BYPASS: "CustomSync"}, 1),
        (1, {BYPASS: "CustomSync,CustomAsync"}, 0),
        (0, {"MSCRM.BypassCustomPluginExecution": "true"}, 0),
        (1, {"MSCRM.BypassCustomPluginExecution": "true"}, 1),
    ],
)
def test_a_request_may_pass_by_steps(registry, receiver, mode, header, posts):
    wire, emulator = registry.wire, registry.wire.emulator
    registry.registered("Create", mode=mode)
    assert wire("POST", "/api/data/v9.2/accounts", json={"name": "x"}, headers=header).status_code == 204
    assert emulator.webhooks.drain()
    assert len(receiver.posts) == posts


def test_a_request_may_pass_by_one_step(emulator, registry, wire, receiver):
    step = registry.registered("Create")
    registry.registered("Create", name="another")
    header = {"MSCRM.BypassBusinessLogicExecutionStepIds": step}
    assert wire("POST", "/api/data/v9.2/accounts", json={"name": "x"}, headers=header).status_code == 204
    assert emulator.webhooks.drain()
    assert receiver.one()["OwningExtension"]["Id"] != step


@pytest.mark.parametrize(("fast", "posts"), [(False, 2), (True, 0)])
def test_a_bulk_deletion_runs_steps_for_each_row_unless_it_is_a_fast_one(registry, receiver, fast, posts):
    wire, emulator = registry.wire, registry.wire.emulator
    registry.registered("Delete", "lead")
    for row in emulator.rows("lead")[2:]:
        assert wire("DELETE", f"/api/data/v9.2/leads({row['leadid']})").status_code == 204
    assert emulator.webhooks.drain()
    receiver.posts.clear()
    emulator.jobs.waiting = emulator.jobs.running = 0
    body = {
        "QuerySet": [{"EntityName": "lead", "ColumnSet": {"AllColumns": True}}],
        "JobName": "Clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2025-06-01T00:00:00Z",
        "Options": {"CanRecoverDeletedRecords": False, "RunJobForSandbox": fast},
    }
    assert wire("POST", "/api/data/v9.2/BulkDelete", json=body).status_code == 200
    assert emulator.rows("lead") == []
    assert emulator.webhooks.drain()
    assert len(receiver.posts) == posts
