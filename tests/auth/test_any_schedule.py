"""Whatever the order in which several processes read, redeem and save: the newest token is not lost.

Each process runs until its next message to the service or the store, then another may go on; Hypothesis chooses
who, and which messages to the store get lost.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.rotation import Memory, Rotation
from airflow_provider_dynamics.auth.store import NoStore, StoreError
from airflow_provider_dynamics.state.variable_store import VariableCredentialStore
from tests.auth.refreshing import RefreshServer

KEY = "dynamics_token.contoso"
BURSTS = (1, 1, 2, 4, 60)  # steps in a row: one process may give up while another is stuck


class Abandoned(BaseException):
    """Nobody looks at this process any more."""


class Process:
    """One thread that only runs while it is its turn."""

    def __init__(self, work):
        self.turn, self.paused = threading.Semaphore(0), threading.Semaphore(0)
        self.waits_for = None
        self.over = False
        self.abandoned = False
        self.memory = Memory()
        self.errors = []
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_ready(self):
        return self.waits_for is None or self.waits_for()

    def go_on(self):
        self.waits_for = None
        self.turn.release()
        assert self.paused.acquire(timeout=60)

    def pause(self):
        self.paused.release()
        self._wait()

    def abandon(self):
        """End it where it is."""
        self.abandoned = True
        self.turn.release()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _wait(self):
        assert self.turn.acquire(timeout=60)
        if self.abandoned:
            raise Abandoned

    def _run(self):
        try:
            self._wait()
            self._work(self)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.errors.append(error)
        self.over = True
        self.paused.release()


class World:
    """A service, a store's content, and processes of which one runs at a time."""

    def __init__(self, data, rotation, *, lossy):
        self.server = RefreshServer(rotation)
        self.seed = self.server.issue()
        self.running = None
        self.locked = False
        self.messages_to_lose = 12 if lossy else 0
        self.loses = "nothing"
        self.ticks = 0.0
        self._data = data

    def run(self, processes):
        """Run them to their ends; where Hypothesis gives an example up half-way, no thread of it may be left waiting."""
        try:
            self._run(processes)
        finally:
            self.running = None
            for one in processes:
                if not one.over:
                    one.abandon()

    def _run(self, processes):
        while active := [one for one in processes if not one.over]:
            ready = [one for one in active if one.is_ready]
            self.running = ready[self._data.draw(st.integers(0, len(ready) - 1)) if len(ready) > 1 else 0]
            for _ in range(self._data.draw(st.sampled_from(BURSTS)) if len(ready) > 1 else 1):
                if self.messages_to_lose:
                    self.loses = self._data.draw(st.sampled_from(["nothing", "request", "answer"]))
                self.running.go_on()
                if self.running.over or not self.running.is_ready:
                    break

    def step(self):
        """Let somebody else go first."""
        if self.running is not None:
            self.running.pause()

    @contextmanager
    def message(self):
        """Send something to the store; it or the answer to it may not arrive."""
        self.step()
        loses = self.loses if self.running is not None and self.messages_to_lose else "nothing"
        if loses != "nothing":
            self.messages_to_lose -= 1
        if loses == "request":
            raise StoreError("The message was lost.", retryable=True)
        yield
        if loses == "answer":
            raise StoreError("The answer was lost.", retryable=True)

    def redeem(self, token):
        self.step()
        try:
            return self.server.redeem(token)
        finally:
            self.step()

    def sleep(self, _):
        self.step()

    def now(self):
        self.ticks += 1e-3
        return self.ticks

    def process(self, store, times):
        def work(process):
            for _ in range(times):
                rotation = Rotation(store, KEY, now=self.now, sleep=self.sleep, memory=process.memory)
                try:
                    rotation.redeem(self.seed, self.redeem)
                except AuthenticationError as error:
                    process.errors.append(error)

        return Process(work)

    def sign_in_later(self, store, processes):
        """Sign in with what is stored, or with what a process has kept; return which token that took."""
        for memory in (Memory(), *(one.memory for one in processes)):
            rotation = Rotation(store, KEY, now=lambda: 1e6, sleep=lambda _: None, memory=memory)
            try:
                rotation.redeem(self.seed, self.server.redeem)
            except AuthenticationError:
                continue
            return self.server.asked[-1]
        return None


class LockingStore(NoStore):
    """What files and Redis do: a lock between processes, and one step from comparing to writing."""

    def __init__(self, world):
        super().__init__()
        self._world = world

    def load(self, key):
        with self._world.message():
            return super().load(key)

    def save(self, key, record, *, expected):
        with self._world.message():
            return super().save(key, record, expected=expected)

    @contextmanager
    def lock(self, key, timeout):
        with self._world.message():
            pass
        while self._world.locked:
            self._world.running.waits_for = lambda: not self._world.locked
            self._world.step()
        self._world.locked = True
        try:
            yield
        finally:
            self._world.locked = False


class Variables:
    """What Airflow's Variables do: each is read and written by itself."""

    def __init__(self, world):
        self._world, self._texts = world, {}

    def get(self, key):
        with self._world.message():
            return self._texts.get(key)

    def put(self, key, text, description):
        with self._world.message():
            self._texts[key] = text

    def delete(self, key):
        self._texts.pop(key, None)

    def in_clear(self):
        return False


def race(data, rotation, store_class, *, lossy=False):
    """Let two or three processes sign in once or twice each, in any order."""
    world = World(data, rotation, lossy=lossy)
    store = LockingStore(world) if store_class == "locking" else VariableCredentialStore(Variables(world))
    times = data.draw(st.lists(st.integers(1, 2), min_size=2, max_size=3), label="sign-ins of each process")
    processes = [world.process(store, count) for count in times]
    world.run(processes)
    unexpected = [e for one in processes for e in one.errors if not isinstance(e, AuthenticationError)]
    assert unexpected == []
    return world, store, processes


def failures(processes):
    return [error for one in processes for error in one.errors]


@pytest.mark.parametrize(
    ("rotation", "store"),
    [
        pytest.param("one_use", "locking", id="tokens for one use, with a lock"),
        pytest.param("family", "locking", id="tokens that are revoked together, with a lock"),
        pytest.param("reusable", "variable", id="tokens that live on, without a lock"),
        pytest.param("none", "variable", id="tokens that never change, without a lock"),
    ],
)
@settings(max_examples=60)
@given(data=st.data())
def test_no_sign_in_fails_and_none_fails_later(data, rotation, store):
    world, kept, processes = race(data, rotation, store)
    assert failures(processes) == []
    assert world.sign_in_later(kept, []) is not None


@settings(max_examples=100)
@given(data=st.data())
def test_without_a_lock_the_newest_token_for_one_use_is_still_stored(data):
    """A process may give up on one that is slow to save; it must not take its token away."""
    world, kept, _ = race(data, "one_use", "variable")
    newest = world.server.newest["seed"]
    assert world.sign_in_later(kept, []) == newest


@pytest.mark.parametrize(
    ("rotation", "store"), [("one_use", "locking"), ("family", "locking"), ("one_use", "variable")]
)
@settings(max_examples=60)
@given(data=st.data())
def test_what_a_failing_store_did_not_take_is_in_the_memory_of_the_process(data, rotation, store):
    world, kept, processes = race(data, rotation, store, lossy=True)
    records = [kept.load(KEY), *(one.memory.unsaved[KEY].record for one in processes if one.memory.unsaved)]
    known = {record.refresh_token for record in records if record} | {world.seed}
    assert world.server.newest["seed"] in known
