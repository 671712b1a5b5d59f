"""The watcher of a table by hand: what it fires, what it remembers, and that nothing ever makes it run hot."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.pages import Deleted
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.triggers import MAX_TRANSIENT_ERRORS, DynamicsChangesTrigger

ENVIRONMENT = "https://contoso.crm.dynamics.com"
LINK_KEY = "dynamics_default.account.delta_link"
ERROR_KEY = "dynamics_default.account.last_error"
EXPIRED_SECRET = AuthenticationError(
    "Signing in failed: AADSTS7000222 The client secret has expired.", code="AADSTS7000222"
)
FORBIDDEN = errors.Forbidden("not a member", status=403, code="0x80072560")
DOWN = AuthenticationError("The authority is away.", kind="transient")


class Place:
    """An asset's state store in memory; writes down when each key was set."""

    def __init__(self, **values):
        self.values = {{"link": LINK_KEY, "error": ERROR_KEY}[name]: value for name, value in values.items()}
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


class FakeClient:
    """Answers each look with the next of its answers: ids, ``-`` before a deleted one, or an error."""

    environment = ENVIRONMENT

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.opened = 0

    def table(self, name):
        return SimpleNamespace(primary_id=f"{name}id")

    def changes(self, table, select, since=None):
        self.asked.append(since)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        link = f"link-{len(self.asked)}"
        rows = [{"accountid": row} for row in answer if not row.startswith("-")]
        gone = [Deleted(row[1:], "deleted") for row in answer if row.startswith("-")]
        yield SimpleNamespace(rows=rows[:1], deleted=[], delta_link=None)
        yield SimpleNamespace(rows=rows[1:], deleted=gone, delta_link=link)

    def cancel(self):
        pass

    def close(self):
        pass


class Ended(BaseException):
    """The test has seen enough."""


def watch(trigger, client, place=None, rounds=None):
    """Run a watcher for as many rounds as the client has answers; return its events, its pauses and the stored state."""
    place = place or Place()
    pauses, stored = [], []

    async def sleep(seconds):
        pauses.append(seconds)
        stored.append(dict(place.values))
        if len(pauses) >= (rounds or total):
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

    total = len(client.answers)
    trigger.sleep, trigger._open_client = sleep, open_client
    trigger.asset_state_store = place
    return asyncio.run(events()), pauses, stored


def watcher(**arguments):
    return DynamicsChangesTrigger(table="account", **arguments)


# --- what it fires -----------------------------------------------------------------------------------------------


def test_the_first_look_marks_the_place_and_fires_nothing():
    client = FakeClient(["a", "b"])

    fired, pauses, stored = watch(watcher(poll_interval=30), client)

    assert (fired, pauses, client.asked) == ([], [30], [None])
    assert stored[-1][LINK_KEY] == {"environment": ENVIRONMENT, "link": "link-1"}


def test_changes_are_one_event_with_the_rows_ids():
    fired, _, _ = watch(watcher(), FakeClient([], ["a", "b", "-c"], []))

    assert fired == [
        {
            "status": "success",
            "table": "account",
            "mode": "delta",
            "changed": ["a", "b"],
            "deleted": ["c"],
            "changed_count": 2,
            "deleted_count": 1,
        }
    ]


def test_an_event_names_a_hundred_rows_and_counts_all():
    rows = [f"row{n}" for n in range(250)] + [f"-gone{n}" for n in range(150)]

    (event,), _, _ = watch(watcher(), FakeClient([], rows))

    assert (len(event["changed"]), len(event["deleted"])) == (100, 100)
    assert (event["changed_count"], event["deleted_count"]) == (250, 150)


def test_it_goes_on_from_the_place_it_has_reached():
    client = FakeClient([], ["a"], [], ["b"])

    watch(watcher(), client)

    assert client.asked == [None, "link-1", "link-2", "link-3"]


def test_the_place_moves_only_a_round_after_its_event():
    _, _, stored = watch(watcher(), FakeClient([], ["a"], []))

    assert [values[LINK_KEY]["link"] for values in stored] == ["link-1", "link-1", "link-3"]


def test_a_restart_right_after_an_event_fires_it_again_and_loses_nothing():
    place = Place()
    watch(watcher(), FakeClient([], ["a"]), place)

    client = FakeClient(["a", "b"])
    (again,), _, _ = watch(watcher(), client, place)

    assert client.asked == ["link-1"]
    assert again["changed"] == ["a", "b"]


def test_a_restarted_watcher_goes_on_without_marking_a_new_place():
    client = FakeClient(["a"])

    fired, _, _ = watch(watcher(), client, Place(link={"environment": ENVIRONMENT, "link": "kept"}))

    assert client.asked == ["kept"]
    assert len(fired) == 1


def test_a_connection_that_leads_to_another_environment_now_begins_anew():
    client = FakeClient(["a"])

    fired, _, _ = watch(watcher(), client, Place(link={"environment": "https://old", "link": "kept"}))

    assert (client.asked, fired) == ([None], [])


def test_a_place_that_is_too_old_is_told_as_a_reason_to_read_everything():
    client = FakeClient(errors.DeltaLinkExpired("too old"), ["a"], ["b"])

    fired, _, _ = watch(watcher(), client, Place(link={"environment": ENVIRONMENT, "link": "kept"}), rounds=2)

    assert client.asked == ["kept", None, "link-2"]
    assert [event["mode"] for event in fired] == ["full", "delta"]


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
    place = Place(link={"environment": ENVIRONMENT, "link": "kept"})
    place.broken = 2
    client = FakeClient(["a"])

    fired, _, _ = watch(watcher(), client, place, rounds=2)

    assert client.asked == ["kept"]
    assert [event["changed"] for event in fired] == [["a"]]


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


def test_a_word_that_is_neither_log_nor_event_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match="use 'log' or 'event'"):
        watcher(on_error="raise")


# --- as Airflow sees it ------------------------------------------------------------------------------------------


def test_a_watcher_is_rebuilt_from_what_it_serialises():
    path, arguments = watcher(poll_interval=5, on_error="event", dynamics_conn_id="c").serialize()

    assert path == "airflow_provider_dynamics.triggers.DynamicsChangesTrigger"
    assert json.loads(json.dumps(arguments)) == {
        "table": "account",
        "on_error": "event",
        "dynamics_conn_id": "c",
        "poll_interval": 5,
    }
    assert DynamicsChangesTrigger(**arguments).serialize() == (path, arguments)


def test_an_asset_can_be_watched_with_it():
    trigger = watcher()

    asset = Asset(name="accounts", uri="x-test://account", watchers=[AssetWatcher(name="w", trigger=trigger)])

    assert asset.watchers[0].trigger is trigger
    assert isinstance(trigger, BaseEventTrigger)
    assert trigger.supports_triggerer_queue is False


@pytest.mark.usefixtures("dynamics_conn")
def test_it_sees_what_happens_in_a_real_table(emulator):
    trigger, place = watcher(poll_interval=0), Place()
    account = emulator.rows("account")[0]["accountid"]
    steps = iter(
        [
            lambda client: client.update("account", account, {"name": "Changed GmbH"}),
            lambda client: client.delete("account", account),
        ]
    )

    async def change(_):
        step = next(steps, None)
        if step is None:
            raise Ended
        with DynamicsHook().get_conn() as client:
            step(client)

    async def events():
        found = []
        try:
            async for event in trigger.run():
                found.append(event.payload)
        except Ended:
            pass
        return found

    trigger.sleep, trigger.asset_state_store = change, place
    updated, deleted = asyncio.run(events())

    assert (updated["changed"], updated["deleted"]) == ([account], [])
    assert account in deleted["deleted"]
    assert account not in deleted["changed"]  # other rows pointed to it
    assert ERROR_KEY not in place.values
