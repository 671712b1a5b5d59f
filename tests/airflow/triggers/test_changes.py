"""The watcher of a table by hand: what it fires, what it remembers, and that nothing ever makes it run hot."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.dataverse import column, errors
from airflow_provider_dynamics.dataverse.protocol.pages import Deleted
from airflow_provider_dynamics.triggers import MAX_TRANSIENT_ERRORS, DynamicsChangesTrigger
from airflow_provider_dynamics.triggers.changes import SETTLED_AFTER
from airflow_provider_dynamics.triggers.watching import IDS_AT_ONCE, MAX_ASKED

ENVIRONMENT = "https://contoso.crm.dynamics.com"
EXPIRED_SECRET = AuthenticationError(
    "Signing in failed: AADSTS7000222 The client secret has expired.", code="AADSTS7000222"
)
FORBIDDEN = errors.Forbidden("not a member", status=403, code="0x80072560")
DOWN = AuthenticationError("The authority is away.", kind="transient")


def watcher(**arguments):
    return DynamicsChangesTrigger(table="account", **arguments)


PLACE_KEY = watcher().place_key
ERROR_KEY = watcher().error_key
KEPT = {"environment": ENVIRONMENT, "link": "kept"}


class Place:
    """An asset's state store in memory; the first so many calls fail where it is `broken`."""

    def __init__(self, **values):
        self.values = {
            {"place": PLACE_KEY, "error": ERROR_KEY}[name]: value for name, value in values.items()
        }
        self.broken = 0

    async def aget(self, key, default=None):
        self._check()
        return self.values.get(key, default)

    async def aset(self, key, value):
        self._check()
        self.values[key] = json.loads(json.dumps(value))

    async def adelete(self, key):
        self._check()
        self.values.pop(key, None)

    def _check(self):
        if self.broken:
            self.broken -= 1
            raise RuntimeError("API server is away")


class FakeTable:
    primary_id = "accountid"
    change_tracking = True

    def wire_names(self, names):
        return list(names)

    def column(self, name):
        return name


class FakeClient:
    """Answers each question for changes with the next of its pages: ids, ``-`` before a deleted one, or an error.

    A page that ends with ``…`` has another one behind it.
    """

    environment = ENVIRONMENT

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.queries = []
        self.opened = 0

    def table(self, name):
        return FakeTable()

    def record_counts(self, tables):
        return {"account": 12_345}

    def changes(self, table, select, since, page_size):
        self.asked.append(since)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        more = answer[-1:] == ["…"]
        rows = [{"accountid": row} for row in answer if row[0] not in "-…"]
        gone = [Deleted(row[1:], "deleted") for row in answer if row[0] == "-"]
        number = len(self.asked)
        links = {
            "next_link": f"next-{number}" if more else None,
            "delta_link": None if more else f"link-{number}",
        }
        yield SimpleNamespace(rows=rows, deleted=gone, **links)

    def rows(self, query):
        """Find nothing."""
        self.queries.append(query)
        return iter(())

    def cancel(self):
        pass

    def close(self):
        pass


class Ended(BaseException):
    """The test has seen enough."""


def watch(trigger, client, place=None, rounds=None):
    """Run a watcher until its client has no answers; return its events, its pauses and what was stored at each.

    Its clock goes on as long as it pauses, and a second with each round.
    """
    place = place or Place()
    pauses, stored, clock = [], [], [0.0]

    async def sleep(seconds):
        pauses.append(seconds)
        stored.append(dict(place.values))
        clock[0] += seconds + 1.0
        if len(pauses) == rounds or not client.answers:
            raise Ended

    async def open_client():
        client.opened += 1
        return client

    async def events():
        found = []
        try:
            async for event in trigger.run():
                found.append(event.payload)
        except Ended:
            pass
        return found

    trigger.sleep, trigger._open_client, trigger.now = sleep, open_client, lambda: clock[0]
    trigger.asset_state_store = place
    return asyncio.run(events()), pauses, stored


def named(event):
    """Return the ids of an event's changes, ``-`` before a deleted one."""
    return [("-" if one["operation"] == "delete" else "") + one["row_id"] for one in event["changes"]]


def links(stored):
    return [values[PLACE_KEY]["link"] for values in stored]


# --- what it fires -----------------------------------------------------------------------------------------------


def test_the_first_look_marks_the_place_and_fires_nothing():
    client = FakeClient(["a", "b"])

    fired, pauses, stored = watch(watcher(poll_interval=30), client)

    assert (fired, pauses, client.asked) == ([], [30], [None])
    assert stored[-1][PLACE_KEY] == {"environment": ENVIRONMENT, "link": "link-1"}


def test_changes_are_an_event_that_names_rows_operations_and_range_and_nothing_else():
    fired, _, _ = watch(watcher(), FakeClient([], ["a", "b", "-c"]))

    assert [{**event, "from": "", "to": ""} for event in fired] == [
        {
            "status": "success",
            "table": "account",
            "environment": ENVIRONMENT,
            "source": "poll",
            "mode": "delta",
            "changes": [
                {"row_id": "a", "operation": "upsert"},
                {"row_id": "b", "operation": "upsert"},
                {"row_id": "c", "operation": "delete"},
            ],
            "count": 3,
            "complete": True,
            "from": "",
            "to": "",
        }
    ]


def test_an_event_begins_where_the_one_before_has_ended_and_tells_no_address():
    first, second = watch(watcher(), FakeClient([], ["a"], ["b"]))[0]

    assert first["to"] == second["from"] != second["to"]
    assert "link" not in str([first["from"], first["to"]])


def test_many_changes_are_several_events():
    rows = [f"row{n}" for n in range(250)]

    fired, _, _ = watch(watcher(), FakeClient([], rows))

    assert [event["count"] for event in fired] == [100, 100, 50]
    assert [row for event in fired for row in named(event)] == rows
    assert all(event["complete"] for event in fired)


def test_more_changes_than_events_can_name_are_counted_in_the_last_one():
    rows = [f"row{n}" for n in range(30)]
    pages = [[*rows[:10], "…"], [*rows[10:], "…"], ["-x", "-y"]]

    fired, _, _ = watch(watcher(batch_size=5, max_events=2), FakeClient([], *pages))

    assert [(len(event["changes"]), event["count"], event["complete"]) for event in fired] == [
        (5, 5, True),
        (5, 27, False),
    ]


def test_all_pages_of_a_look_are_read_before_it_waits():
    client = FakeClient([], ["a", "…"], ["b", "…"], ["-c"])

    fired, pauses, _ = watch(watcher(poll_interval=30), client)

    assert [named(event) for event in fired] == [["a", "b", "-c"]]
    assert client.asked == [None, "link-1", "next-2", "next-3"]
    assert pauses == [30, 30]


def test_after_a_problem_between_two_pages_it_reads_on_where_it_was():
    client = FakeClient([], ["a", "…"], DOWN, ["b"])

    fired, _, _ = watch(watcher(), client)

    assert client.asked == [None, "link-1", "next-2", "next-2"]
    assert [named(event) for event in fired] == [["a", "b"]]


def test_when_more_rows_change_than_it_asks_for_with_the_filter_the_rest_is_counted():
    page = [f"row{n}" for n in range(5000)]
    client = FakeClient([], *[[*page, "…"]] * (MAX_ASKED // 5000), [*page[:7], "-gone"])

    fired, _, _ = watch(watcher(filter="statecode eq 0"), client)

    assert [(named(event), event["count"], event["complete"]) for event in fired] == [(["-gone"], 8, False)]
    assert len(client.queries) == 1 + MAX_ASKED // IDS_AT_ONCE


# --- what it remembers -------------------------------------------------------------------------------------------


def test_it_goes_on_from_the_place_it_has_reached():
    client = FakeClient([], ["a"], [], ["b"])

    watch(watcher(), client)

    assert client.asked == [None, "link-1", "link-2", "link-3"]


def test_the_place_moves_only_when_its_event_has_been_written_down():
    _, _, stored = watch(watcher(), FakeClient([], ["a"], [], []))

    assert links(stored) == ["link-1", "link-1", "link-2", "link-2"]


def test_a_watcher_in_a_hurry_does_not_move_the_place_sooner_either():
    pause = SETTLED_AFTER / 5  # and a second, which a round takes

    _, _, stored = watch(watcher(poll_interval=pause), FakeClient([], ["a"], ["b"], [], [], []))

    assert links(stored) == ["link-1"] * 5 + ["link-2"]


def test_where_nothing_happens_the_place_is_stored_now_and_then_only():
    _, _, stored = watch(watcher(poll_interval=60), FakeClient(*[[]] * 14))

    assert len(set(links(stored))) == 2


def test_a_restart_right_after_an_event_fires_it_again_and_loses_nothing():
    place = Place()
    watch(watcher(), FakeClient([], ["a"]), place)

    client = FakeClient(["a", "b"])
    (again,), _, _ = watch(watcher(), client, place)

    assert client.asked == ["link-1"]
    assert named(again) == ["a", "b"]


def test_a_restarted_watcher_goes_on_without_marking_a_new_place():
    client = FakeClient(["a"])

    fired, _, _ = watch(watcher(), client, Place(place=KEPT))

    assert client.asked == ["kept"]
    assert len(fired) == 1


def test_a_pass_over_the_ids_goes_on_page_by_page_without_a_pause_and_keeps_its_place():
    place = Place()
    first = FakeClient(["a", "…"], ["b", "…"])
    _, pauses, stored = watch(watcher(), first, place)

    second = FakeClient(["c"], ["d"])
    fired, _, _ = watch(watcher(), second, place)

    assert pauses == [0.0, 0.0]
    assert [values[PLACE_KEY]["pass"]["next"] for values in stored] == ["next-1", "next-2"]
    assert (first.asked, second.asked) == ([None, "next-1"], ["next-2", "link-1"])
    assert [named(event) for event in fired] == [["d"]]


def test_the_log_says_what_the_pass_costs_and_when_it_is_done(capsys):
    watch(watcher(), FakeClient(["a", "…"], ["b"]))

    log = capsys.readouterr().out
    assert "all its ids are read once (about 12,345 rows, so 3 requests)" in log
    assert "a restart goes on from there" in log
    assert "Read 1 of about 12,345 ids of account" in log
    assert "All ids of account are read, 2 of them in 2 requests" in log


@pytest.mark.parametrize(
    "error",
    [
        errors.DeltaLinkExpired("too old"),
        errors.BadRequest("The paging cookie is malformed."),
        errors.NotFound("no such page"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_pass_whose_next_page_is_gone_begins_anew(error):
    client = FakeClient(error, ["a", "…"], ["b"], ["c"])
    kept = {
        "environment": ENVIRONMENT,
        "pass": {"next": "old", "pages": 3, "rows": 9, "about": 1, "lost": False},
    }

    fired, _, _ = watch(watcher(), client, Place(place=kept))

    assert client.asked == ["old", None, "next-2", "link-3"]
    assert [named(event) for event in fired] == [["c"]]


def test_a_connection_that_leads_to_another_environment_now_begins_anew():
    client = FakeClient(["a"])

    fired, _, _ = watch(watcher(), client, Place(place={"environment": "https://old", "link": "kept"}))

    assert (client.asked, fired) == ([None], [])


@pytest.mark.parametrize(
    "error",
    [errors.DeltaLinkExpired("too old"), errors.BadRequest("The delta token is malformed.")],
    ids=lambda error: type(error).__name__,
)
def test_a_place_that_is_lost_is_told_when_there_is_a_new_one_as_a_reason_to_read_everything(error):
    client = FakeClient(error, ["a", "…"], ["b"], ["c"])

    fired, _, _ = watch(watcher(start="2020-01-01"), client, started(KEPT))

    assert client.asked == ["kept", None, "next-2", "link-3"]
    assert [(event["mode"], named(event), event["complete"]) for event in fired] == [
        ("full", [], False),
        ("delta", ["c"], True),
    ]


def started(kept):
    place = Place()
    place.values[watcher(start="2020-01-01").place_key] = kept
    return place


def test_a_link_that_is_refused_right_after_it_was_made_is_a_problem_and_no_reason_to_read_all_ids_for_ever():
    refused = errors.BadRequest("no")
    client = FakeClient(refused, ["a"], refused, refused)

    fired, pauses, _ = watch(watcher(on_error="event"), client, Place(place=KEPT))

    assert client.asked == ["kept", None, "link-2", "link-2"]
    assert [event["status"] for event in fired] == ["success", "error"]
    assert min(pauses[-2:]) >= 300


def test_links_that_expire_as_soon_as_they_are_made_are_no_reason_to_read_all_ids_without_a_pause():
    expired = errors.DeltaLinkExpired("too old")
    client = FakeClient(expired, ["a"], expired, expired, ["a"], [])

    fired, pauses, _ = watch(watcher(poll_interval=1), client, Place(place=KEPT))

    assert client.asked == ["kept", None, "link-2", "link-2", None, "link-5"]
    assert [event["mode"] for event in fired] == ["full", "full"]
    assert [pause >= 300 for pause in pauses[:3]] == [False, False, True]


def test_pages_that_lead_elsewhere_are_no_reason_to_begin_without_end():
    elsewhere = errors.ForeignLink("The service sent a link to elsewhere.example")
    client = FakeClient(["a", "…"], elsewhere, ["a", "…"], elsewhere)

    _, pauses, _ = watch(watcher(), client)

    assert client.asked == [None, "next-1", None, "next-3"]
    assert pauses[-1] >= 300


def test_a_next_page_that_is_gone_does_not_cost_the_place():
    gone = errors.NotFound("no such page")
    client = FakeClient([], ["a", "…"], gone, ["a", "…"], ["b"])

    fired, _, _ = watch(watcher(), client)

    assert client.asked == [None, "link-1", "next-2", "link-1", "next-4"]
    assert [(event["mode"], named(event)) for event in fired] == [("delta", ["a", "b"])]


def test_a_next_page_that_is_gone_twice_does():
    gone = errors.NotFound("no such page")
    client = FakeClient([], ["a", "…"], gone, ["a", "…"], gone, ["a"])

    fired, _, _ = watch(watcher(), client)

    assert client.asked == [None, "link-1", "next-2", "link-1", "next-4", None]
    assert [event["mode"] for event in fired] == ["full"]


def test_a_table_that_is_deleted_and_made_again_is_followed_again():
    class Remade(FakeClient):
        missing = 4

        def table(self, name):
            if self.asked and self.missing:
                self.missing -= 1
                raise errors.UnknownTable("no such table")
            return super().table(name)

    client = Remade([], errors.BadRequest("The delta token is malformed."), [], ["a"])

    fired, pauses, _ = watch(watcher(), client)

    assert client.missing == 0
    assert client.asked == [None, "link-1", None, "link-3"]
    assert [event["mode"] for event in fired] == ["full", "delta"]
    assert [pause >= 300 for pause in pauses[:4]] == [False, True, True, False]


@pytest.mark.parametrize(
    "arguments",
    [
        {"select": ["name"]},
        {"filter": "statecode eq 0"},
        {"start": "2026-01-01"},
        {"environment": "https://fabrikam.crm.dynamics.com"},
        {"dynamics_conn_id": "other"},
        {"means": "versions"},
    ],
    ids=str,
)
def test_watchers_that_see_different_things_have_places_of_their_own(arguments):
    assert watcher(**arguments).place_key != PLACE_KEY
    assert watcher(**arguments).error_key != ERROR_KEY


def test_the_name_of_a_place_is_short_enough_for_a_variable():
    trigger = DynamicsChangesTrigger(table="t" * 100, dynamics_conn_id="c" * 250)

    assert len(f"dynamics_watcher.{trigger.error_key}") <= 250


@pytest.mark.parametrize(
    "arguments", [{"poll_interval": 5}, {"batch_size": 5}, {"on_error": "event"}], ids=str
)
def test_a_watcher_that_is_tuned_keeps_its_place(arguments):
    assert watcher(**arguments).place_key == PLACE_KEY


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_a_sign_in_that_somebody_has_to_repair_is_tried_every_five_to_ten_minutes():
    client = FakeClient(*[EXPIRED_SECRET] * 30)

    fired, pauses, _ = watch(watcher(poll_interval=1), client)

    assert fired == []
    assert all(300 <= pause <= 600 for pause in pauses)
    assert len(set(pauses)) > 1


def test_a_passing_problem_is_waited_out_longer_each_time_up_to_some_minutes():
    _, pauses, _ = watch(watcher(poll_interval=0.01), FakeClient(*[DOWN] * 12))

    assert pauses[0] >= 5
    assert max(pauses) <= 375
    assert all(later >= earlier for earlier, later in pairwise(pauses[:6]))
    assert pauses[-1] >= 300


def test_a_retry_after_is_never_cut_short():
    throttled = errors.Throttled("busy", retry_after=500.0)

    _, pauses, _ = watch(watcher(poll_interval=5), FakeClient(throttled))

    assert pauses == [500.0]


def test_all_is_as_before_once_a_problem_has_passed():
    fired, pauses, stored = watch(watcher(poll_interval=7), FakeClient([], DOWN, DOWN, ["a"], DOWN))

    assert pauses[3] == 7
    assert pauses[4] < 10
    assert [ERROR_KEY in values for values in stored] == [False, True, True, False, True]
    assert len(fired) == 1


def test_the_last_problem_is_kept_in_the_assets_state_with_its_next_try():
    _, _, stored = watch(watcher(), FakeClient(EXPIRED_SECRET))

    noted = stored[-1][ERROR_KEY]
    assert (noted["text"], noted["kind"], noted["code"]) == (
        str(EXPIRED_SECRET),
        "permanent",
        "AADSTS7000222",
    )
    assert noted["at"] < noted["next_try"]


def test_a_problem_an_earlier_triggerer_has_noted_is_cleared_by_the_first_good_look():
    _, _, stored = watch(
        watcher(), FakeClient([]), Place(error={"text": "old", "told": ["x", "", "permanent"]})
    )

    assert ERROR_KEY not in stored[-1]


def test_after_a_problem_the_connection_is_read_anew():
    client = FakeClient([], EXPIRED_SECRET, [])

    watch(watcher(), client)

    assert client.opened == 2


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyError("x")], ids=repr)
def test_a_bug_does_not_make_it_run_hot_either(error):
    fired, pauses, stored = watch(watcher(poll_interval=1), FakeClient(*[error] * 3))

    assert fired == []
    assert min(pauses) >= 5
    assert type(error).__name__ in stored[-1][ERROR_KEY]["text"]


def test_a_state_store_that_is_away_costs_neither_the_place_nor_an_event():
    place = Place(place=KEPT)
    place.broken = 2
    client = FakeClient(["a"])

    fired, _, _ = watch(watcher(), client, place, rounds=2)

    assert client.asked == ["kept"]
    assert [named(event) for event in fired] == [["a"]]


def test_an_old_problem_that_cannot_be_cleared_costs_no_event():
    place, cleared = Place(place=KEPT, error={"text": "old", "told": None}), []

    async def adelete(key):
        cleared.append(key)
        if len(cleared) == 1:
            raise RuntimeError("API server is away")

    place.adelete = adelete  # type: ignore[method-assign]  # a place that fails once

    fired, _, _ = watch(watcher(), FakeClient(["a"], []), place)

    assert [named(event) for event in fired] == [["a"]]
    assert cleared == [ERROR_KEY] * 2


# --- telling the consumer ----------------------------------------------------------------------------------------


def test_a_distinct_problem_is_told_once():
    client = FakeClient([], EXPIRED_SECRET, EXPIRED_SECRET, FORBIDDEN, FORBIDDEN, [], EXPIRED_SECRET)

    fired, _, _ = watch(watcher(on_error="event"), client)

    assert [event["status"] for event in fired] == ["error"] * 3
    assert [event["code"] for event in fired] == ["AADSTS7000222", "0x80072560", "AADSTS7000222"]
    assert fired[0]["message"] == str(EXPIRED_SECRET)
    assert (fired[0]["kind"], fired[1]["kind"]) == ("permanent", "needs-admin")


def test_a_problem_that_was_told_is_not_told_again_after_a_restart():
    place = Place()
    watch(watcher(on_error="event"), FakeClient(EXPIRED_SECRET), place)

    fired, _, _ = watch(watcher(on_error="event"), FakeClient(EXPIRED_SECRET, FORBIDDEN), place)

    assert [event["code"] for event in fired] == ["0x80072560"]


def test_a_bad_minute_is_not_told():
    fired, _, _ = watch(watcher(on_error="event"), FakeClient(*[DOWN] * MAX_TRANSIENT_ERRORS, []))

    assert fired == []


def test_a_problem_that_should_have_passed_is_told_when_it_lasts():
    fired, _, _ = watch(watcher(on_error="event"), FakeClient(*[DOWN] * (MAX_TRANSIENT_ERRORS + 5)))

    assert [event["message"] for event in fired] == ["The authority is away."]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"on_error": "raise"}, "use 'log' or 'event'"),
        ({"means": "magic"}, "use 'tracking' or 'versions'"),
        ({"batch_size": 0}, "batch_size is 0: use a whole number from 1 to 1000"),
        ({"batch_size": 1001}, "batch_size is 1001"),
        ({"max_events": True}, "max_events is True"),
        ({"start": "yesterday"}, "start is 'yesterday': use 'now', or a date"),
        ({"select": "name"}, "select takes a list of columns"),
        ({"poll_interval": 0}, "poll_interval is 0: use seconds"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(arguments, says):
    with pytest.raises((ValueError, TypeError), match=says):
        watcher(**arguments)


def test_a_blank_filter_is_none():
    assert watcher(filter=" ").place_key == PLACE_KEY


@pytest.mark.parametrize(
    ("start", "is_kept_as"),
    [
        ("now", "now"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00Z"),
        (date(2026, 1, 31), "2026-01-31T00:00:00Z"),
        (datetime(2026, 1, 31, 10), "2026-01-31T10:00:00Z"),  # noqa: DTZ001 - what people write
    ],
    ids=str,
)
def test_a_start_is_kept_as_a_moment_in_utc(start, is_kept_as):
    assert watcher(start=start).start == is_kept_as


# --- as Airflow sees it ------------------------------------------------------------------------------------------


def test_a_watcher_is_rebuilt_from_what_it_serialises():
    path, arguments = watcher(
        select=["name"],
        filter=(column("revenue") > 5) & column("name").startswith("a"),
        start=datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
        poll_interval=5,
        on_error="event",
        dynamics_conn_id="c",
    ).serialize()

    assert path == "airflow_provider_dynamics.triggers.DynamicsChangesTrigger"
    assert json.loads(json.dumps(arguments)) == {
        "table": "account",
        "select": ["name"],
        "filter": "revenue gt 5 and startswith(name,'a')",
        "start": "2026-01-31T10:00:00Z",
        "batch_size": 100,
        "max_events": 20,
        "means": "tracking",
        "on_error": "event",
        "dynamics_conn_id": "c",
        "environment": None,
        "poll_interval": 5,
    }
    assert DynamicsChangesTrigger(**arguments).serialize() == (path, arguments)


def test_an_asset_can_be_watched_with_it():
    trigger = watcher()

    asset = Asset(name="accounts", uri="x-test://account", watchers=[AssetWatcher(name="w", trigger=trigger)])

    assert asset.watchers[0].trigger is trigger
    assert isinstance(trigger, BaseEventTrigger)
    assert getattr(trigger, "supports_triggerer_queue", False) is False  # Airflow 3.4 has no such attribute
