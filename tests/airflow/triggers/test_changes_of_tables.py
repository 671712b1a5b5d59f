"""Watchers of the emulator's tables: filters, columns, back-fills, tables without change tracking, and what is wrong with them."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast

import pytest

from airflow_provider_dynamics.assets import changed_rows
from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.triggers import DynamicsChangesTrigger

pytestmark = pytest.mark.usefixtures("dynamics_conn")


class Ended(BaseException):
    """The test has seen enough."""


class Place:
    """An asset's state store in memory."""

    def __init__(self):
        self.values = {}

    async def aget(self, key, default=None):
        return self.values.get(key, default)

    async def aset(self, key, value):
        self.values[key] = json.loads(json.dumps(value))

    async def adelete(self, key):
        self.values.pop(key, None)


def watch(trigger, *steps, place=None):
    """Run a watcher; whenever it waits, one of the steps is done with a client. Return its events."""
    waiting, clock = iter(steps), [0.0]

    async def sleep(seconds):
        clock[0] += seconds
        if not seconds:  # there is more to read
            return
        step = next(waiting, None)
        if step is None:
            raise Ended
        with DynamicsHook().get_conn() as client:
            step(client)

    async def events():
        found = []
        try:
            async for event in trigger.run():
                found.append(json.loads(json.dumps(event.payload)))
        except Ended:
            pass
        return found

    trigger.sleep, trigger.now = sleep, lambda: clock[0]
    trigger.asset_state_store = place or Place()
    return asyncio.run(events())


def nothing(_):
    """Let a round pass."""


def created(table, rows):
    def step(client):
        assert all(outcome.error is None for outcome in client.bulk(table, rows, "create"))

    return step


def updated(table, row_id, **values):
    return lambda client: client.update(table, row_id, values)


def deleted(table, row_id):
    return lambda client: client.delete(table, row_id)


def named(events):
    return [
        ("-" if one["operation"] == "delete" else "") + one["row_id"]
        for event in events
        for one in event["changes"]
    ]


def ids(count):
    return [str(uuid.UUID(int=0xA0000 + n)) for n in range(count)]


def untracked(names, table="drill_untracked"):
    return [
        {f"{table}id": row_id, "drill_name": name}
        for row_id, name in zip(ids(len(names)), names, strict=True)
    ]


def requests_for(emulator, text):
    return [request for request in emulator.requests if text in f"{request.path}?{request.query}"]


# --- what changes ------------------------------------------------------------------------------------------------


def test_it_sees_rows_come_change_and_go(emulator):
    (row,) = ids(1)
    account = emulator.rows("account")[0]["accountid"]

    made, changed, gone, other = watch(
        DynamicsChangesTrigger(table="account"),
        created("account", [{"accountid": row, "name": "New GmbH"}]),
        updated("account", row, name="Changed GmbH"),
        deleted("account", row),
        deleted("account", account),
    )

    assert [named([event]) for event in (made, changed, gone)] == [[row], [row], [f"-{row}"]]
    assert f"-{account}" in named([other])
    assert account not in named([other])  # other rows pointed to it
    assert made["from"] != made["to"] == changed["from"]


def test_a_row_that_was_deleted_and_made_again_is_there(emulator):
    account = emulator.rows("account")[0]["accountid"]

    def replace(client):
        client.delete("account", account)
        client.create("account", {"accountid": account, "name": "Again GmbH"})

    (event,) = watch(DynamicsChangesTrigger(table="account"), replace)

    assert account in named([event])
    assert f"-{account}" not in named([event])


def test_an_event_has_no_value_of_a_row_unless_somebody_asks(emulator):
    account = emulator.rows("account")[0]["accountid"]

    (event,) = watch(
        DynamicsChangesTrigger(table="account"), updated("account", account, name="Secretive GmbH")
    )

    assert event["changes"] == [{"row_id": account, "operation": "upsert"}]
    assert "Secretive" not in json.dumps(event)


@pytest.mark.parametrize("filter", [None, "revenue gt 5"])
def test_the_columns_that_are_selected_come_along(emulator, filter):
    account = emulator.rows("account")[0]["accountid"]
    trigger = DynamicsChangesTrigger(
        table="account", select=["name", "revenue", "primarycontactid"], filter=filter
    )

    (event,) = watch(
        trigger, updated("account", account, name="Changed GmbH", revenue=12.5, primarycontactid=None)
    )

    assert event["changes"] == [
        {
            "row_id": account,
            "operation": "upsert",
            "row": {"name": "Changed GmbH", "revenue": 12.5, "_primarycontactid_value": None},
        }
    ]


def test_watchers_of_one_environment_share_a_client_and_its_token(emulator):
    opened, waiting = [], []
    triggers = [DynamicsChangesTrigger(table=table) for table in ("account", "contact", "lead")]

    async def one(trigger, everybody):
        plain = trigger._open_client

        async def open_client():
            opened.append(trigger)
            return await plain()

        async def sleep(_):
            waiting.append(trigger)
            if len(waiting) == len(triggers):
                everybody.set()
            await everybody.wait()
            raise Ended

        trigger._open_client, trigger.sleep, trigger.asset_state_store = open_client, sleep, Place()
        try:
            async for _ in trigger.run():
                pass
        except Ended:
            pass

    async def together():
        everybody = asyncio.Event()
        await asyncio.gather(*(one(trigger, everybody) for trigger in triggers))

    asyncio.run(together())

    assert len(opened) == 1
    assert len(requests_for(emulator, "oauth2/v2.0/token")) <= 1
    assert {"accounts", "contacts", "leads"} <= {
        request.path.rpartition("/")[2] for request in emulator.requests
    }


# --- with a filter -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filter", ["revenue gt 100", column("revenue") > 100], ids=["text", "condition"])
def test_changed_rows_that_do_not_match_the_filter_are_left_out_and_deleted_ones_never_are(filter):
    small, large, gone = ids(3)
    rows = [{"accountid": row_id, "name": "x", "revenue": 50} for row_id in (small, large, gone)]

    def change(client):
        client.update("account", large, {"revenue": 500})
        client.update("account", small, {"revenue": 60})
        client.delete("account", gone)

    events = watch(DynamicsChangesTrigger(table="account", filter=filter), created("account", rows), change)

    assert [sorted(named([event])) for event in events] == [sorted([large, f"-{gone}"])]


def test_many_changed_rows_are_asked_for_in_few_requests(emulator):
    rows = [{"accountid": row, "name": f"x{n}", "revenue": n} for n, row in enumerate(ids(1200))]

    events = watch(DynamicsChangesTrigger(table="account", filter="revenue lt 150"), created("account", rows))

    assert [event["count"] for event in events] == [100, 50]
    assert len(named(events)) == 150
    asked = [
        request
        for request in emulator.requests
        if "revenue%20lt" in request.query or "revenue lt" in request.query
    ]
    assert len(asked) <= 4  # one of them whether the filter is right


def test_where_nothing_matches_nothing_is_told():
    rows = [{"accountid": row, "name": "x"} for row in ids(3)]

    assert (
        watch(DynamicsChangesTrigger(table="account", filter="name eq 'y'"), created("account", rows)) == []
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"filter": "revenu gt 5"}, "revenu"),
        ({"filter": "revenue gt"}, "revenue"),
        ({"select": ["nam"]}, "nam"),
        ({"table": "acount"}, "acount"),
        ({"filter": f"name ne '{'x' * 45_000}'"}, "shorten the filter"),  # too long with the ids beside it
        ({"table": "drill_untracked", "means": "versions", "filter": "drill_nam eq 'x'"}, "drill_nam"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_with_a_watcher_is_found_at_the_first_look(emulator, arguments, says):
    (event,) = watch(DynamicsChangesTrigger(**{"table": "account", "on_error": "event", **arguments}))

    assert event["status"] == "error"
    assert says in event["message"]
    assert event["kind"] == "permanent"
    assert requests_for(emulator, "skiptoken") == []


# --- since when --------------------------------------------------------------------------------------------------


def test_a_back_fill_names_what_was_modified_since_and_then_what_changes():
    new, other = ids(2)
    soon = datetime.now(timezone.utc) - timedelta(minutes=5)
    with DynamicsHook().get_conn() as client:
        client.create("account", {"accountid": new, "name": "New GmbH"})

    events = watch(
        DynamicsChangesTrigger(table="account", start=soon),
        created("account", [{"accountid": other, "name": "x"}]),
    )

    assert [named([event]) for event in events] == [[new], [other]]
    assert events[0]["from"] == soon.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_back_fill_of_everything_names_each_row_in_batches_and_pages(emulator):
    accounts = sorted(row["accountid"] for row in emulator.rows("account"))
    trigger = DynamicsChangesTrigger(table="account", start="2000-01-01", batch_size=2, max_events=2)

    events = watch(trigger)

    assert sorted(named(events)) == accounts
    assert all(event["complete"] and event["count"] <= 2 for event in events)
    assert len(requests_for(emulator, "skiptoken")) >= len(accounts) // 4 - 1


def test_a_back_fill_may_be_filtered_and_bring_columns_along(emulator):
    wanted = {
        row["accountid"]: row["name"] for row in emulator.rows("account") if (row["revenue"] or 0) > 1000
    }
    trigger = DynamicsChangesTrigger(
        table="account", start="2000-01-01", filter="revenue gt 1000", select=["name"]
    )

    events = watch(trigger)

    assert {one["row_id"]: one["row"]["name"] for event in events for one in event["changes"]} == wanted
    assert wanted


def test_what_changes_while_the_ids_are_read_is_not_lost(emulator):
    """Whether the row's page was read already or not."""
    accounts = sorted(row["accountid"] for row in emulator.rows("account"))
    emulator.fault("short_page", rows=3)
    trigger, place = DynamicsChangesTrigger(table="account"), Place()
    plain_aset, pages = place.aset, []

    async def aset(key, value):
        await plain_aset(key, value)
        pages.append(value)
        if len(pages) == 2:
            with DynamicsHook().get_conn() as client:
                client.update("account", accounts[0], {"name": "Early GmbH"})
                client.update("account", accounts[-1], {"name": "Late GmbH"})

    place.aset = aset  # type: ignore[method-assign]  # a place that tells what it is given

    events = watch(trigger, nothing, place=place)

    assert {accounts[0], accounts[-1]} <= set(named(events))


def test_a_watcher_that_is_killed_in_its_pass_goes_on_with_the_next_page(emulator):
    emulator.fault("short_page", rows=3)
    rows = len(emulator.rows("account"))
    pages, place = -(-rows // 3), Place()

    async def a_page_or_two():
        trigger = DynamicsChangesTrigger(table="account")

        async def sleep(_):
            raise Ended

        trigger.sleep = sleep
        trigger.asset_state_store = cast("Any", place)
        try:
            async for _ in trigger.run():
                pass
        except Ended:
            pass

    for _ in range(pages):
        asyncio.run(a_page_or_two())  # killed after each page

    read = [r for r in emulator.requests if r.path.endswith("/accounts") and r.method == "GET"]
    assert len(read) == pages
    assert "link" in place.values[DynamicsChangesTrigger(table="account").place_key]


# --- tables that do not track changes ----------------------------------------------------------------------------


def test_a_table_without_change_tracking_says_how_to_switch_it_on_and_what_else_works():
    (event,) = watch(DynamicsChangesTrigger(table="drill_untracked", on_error="event"))

    assert "does not keep track of changes" in event["message"]
    assert "Track changes" in event["message"]
    assert 'means="versions"' in event["message"]
    assert "deleted rows are not seen" in event["message"]


@pytest.mark.parametrize("table", ["drill_untracked", "drill_unversioned"])
def test_by_versions_each_new_state_of_a_row_is_told_once(table):
    first, second = ids(2)

    events = watch(
        DynamicsChangesTrigger(table=table, means="versions", select=["drill_name"]),
        created(table, untracked(["a", "b"], table)),
        nothing,
        updated(table, second, drill_name="c") if table == "drill_untracked" else nothing,
        nothing,
        deleted(table, first),
        nothing,
    )

    told = [{one["row"]["drill_name"] for one in event["changes"]} for event in events]
    assert told == [{"a", "b"}, {"c"}][: len(told)]
    assert len(told) == (2 if table == "drill_untracked" else 1)
    assert all(event["from"] and event["to"] and event["mode"] == "delta" for event in events)


def test_by_versions_nothing_is_told_that_was_written_before():
    with DynamicsHook().get_conn() as client:
        created("drill_untracked", untracked(["a", "b"]))(client)

    assert watch(DynamicsChangesTrigger(table="drill_untracked", means="versions"), nothing, nothing) == []


def test_by_versions_a_restart_tells_nothing_again():
    place, row = Place(), untracked(["a"])
    trigger: dict[str, Any] = {"table": "drill_untracked", "means": "versions"}

    first = watch(
        DynamicsChangesTrigger(**trigger), created("drill_untracked", row), nothing, nothing, place=place
    )
    second = watch(DynamicsChangesTrigger(**trigger), nothing, place=place)

    assert (named(first), second) == (ids(1), [])


def test_by_versions_all_pages_of_a_look_are_read(emulator):
    emulator.fault("short_page", rows=2)

    events = watch(
        DynamicsChangesTrigger(table="drill_untracked", means="versions"),
        created("drill_untracked", untracked(list("abcde"))),
        nothing,
    )

    assert [named([event]) for event in events] == [ids(5)]


def test_by_versions_a_problem_between_two_pages_costs_nothing(emulator):
    emulator.fault("short_page", rows=2)
    broken = []

    def create_and_break(client):
        created("drill_untracked", untracked(list("abcde")))(client)
        broken.append(emulator.fault("status", status=503, path="skiptoken", skip=1, count=1))

    events = watch(
        DynamicsChangesTrigger(table="drill_untracked", means="versions"), create_and_break, nothing, nothing
    )

    assert broken[0].hits == 1
    assert sorted(named(events)) == ids(5)
    assert sum(event["count"] for event in events) == 5


def test_by_versions_the_filter_is_asked_with_the_changes():
    rows = untracked(["keep", "drop"])
    trigger = DynamicsChangesTrigger(table="drill_untracked", means="versions", filter="drill_name eq 'keep'")

    events = watch(trigger, created("drill_untracked", rows))

    assert named(events) == ids(1)


def test_by_versions_a_back_fill_names_what_was_written_since():
    with DynamicsHook().get_conn() as client:
        created("drill_untracked", untracked(["a", "b", "c"]))(client)
    trigger = DynamicsChangesTrigger(
        table="drill_untracked", means="versions", start="2000-01-01", batch_size=1, max_events=2
    )

    events = watch(trigger, nothing)

    assert sorted(named(events)) == ids(3)
    assert all(event["complete"] for event in events)


def test_by_versions_a_back_fill_whose_next_page_is_gone_begins_anew(emulator):
    with DynamicsHook().get_conn() as client:
        created("drill_untracked", untracked(["a", "b", "c"]))(client)
    gone = emulator.fault(
        "error", status=400, code="0x80040203", message="Invalid cookie", path="skiptoken", count=1
    )
    trigger = DynamicsChangesTrigger(
        table="drill_untracked", means="versions", start="2000-01-01", batch_size=1, max_events=2
    )

    events = watch(trigger, nothing)

    assert gone.hits == 1
    assert set(named(events)) == set(ids(3))


def test_by_versions_a_place_stays_small_where_much_is_written():
    place, rows = Place(), 1200
    trigger: dict[str, Any] = {"table": "drill_untracked", "means": "versions"}
    step = created("drill_untracked", untracked([f"row {n}" for n in range(rows)]))

    events = watch(DynamicsChangesTrigger(**trigger), step, nothing, place=place)
    watch(DynamicsChangesTrigger(**trigger), nothing, place=place)

    (kept,) = place.values.values()
    assert len(named(events)) == rows
    assert len(json.dumps(kept)) < 48 * 1024


@pytest.mark.parametrize("table", ["drill_undated", "drill_bare"])
def test_a_table_whose_changes_show_nowhere_is_refused(table):
    (event,) = watch(DynamicsChangesTrigger(table=table, means="versions", on_error="event"))

    assert "modifiedon" in event["message"]


def test_by_versions_a_place_that_cannot_be_gone_on_from_is_told_as_a_reason_to_read_everything(emulator):
    place = Place()
    trigger = DynamicsChangesTrigger(table="drill_untracked", means="versions")
    place.values[trigger.place_key] = {"environment": emulator.url, "link": "window:{}", "recent": {}}

    (event,) = watch(trigger, nothing, place=place)

    assert (event["mode"], event["complete"], event["changes"]) == ("full", False, [])
    assert changed_rows_of(event).complete is False


def changed_rows_of(payload):
    return changed_rows({"asset": [SimpleNamespace(timestamp=1, extra={"payload": payload})]})
