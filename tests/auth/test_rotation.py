"""What becomes of a refresh token: which one is used, when its successor is saved, and what a failure leaves behind."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.rotation import Memory, Rotation
from airflow_provider_dynamics.auth.store import NoStore, Record, StoreError, fingerprint
from tests.auth.refreshing import RefreshServer, dead

KEY = "dynamics_token.contoso"
IDENTITY = ("https://login.microsoftonline.com", "tenant", "client")
MINUTE = 60.0


class Store(NoStore):
    """Keeps records in memory; `broken` is raised by the operations named in `fails`, `events` says what happened."""

    def __init__(self):
        super().__init__()
        self.events = []
        self.fails = set()
        self.broken = StoreError("The store is away.", retryable=True)
        self.saved = lambda: None

    def load(self, key):
        self._happens("load")
        return super().load(key)

    def save(self, key, record, *, expected):
        self._happens("save")
        done = super().save(key, record, expected=expected)
        self.saved()
        return done

    @contextmanager
    def lock(self, key, timeout):
        self._happens("lock")
        with super().lock(key, timeout):
            yield
        self.events.append("unlock")

    def _happens(self, what):
        self.events.append(what)
        if what in self.fails:
            raise self.broken


class World:
    """One service, one store, and processes that share nothing else."""

    def __init__(self, clock, rotation="one_use"):
        self.clock = clock
        self.server = RefreshServer(rotation)
        self.seed = self.server.issue()
        self.store = Store()
        self.seen = []
        self.while_asleep = lambda: None
        self.here = self.process()

    def process(self, store=None, identity=IDENTITY):
        """Start another process."""
        return Rotation(
            store or self.store,
            KEY,
            identity=identity,
            now=self.clock.now,
            sleep=self._sleep,
            on_token=self.seen.append,
            memory=Memory(),
        )

    def sign_in(self, process=None, seed=None):
        return (process or self.here).redeem(seed or self.seed, self.server.redeem)

    @property
    def stored(self):
        return NoStore.load(self.store, KEY)

    def _sleep(self, seconds):
        self.clock.move(seconds)
        self.while_asleep()


@pytest.fixture
def world(clock):
    return World(clock)


# --- which token, and where its successor goes -------------------------------------------------------------------


def test_the_first_sign_in_uses_the_connections_own_token_and_saves_the_next(world):
    signed = world.sign_in()
    assert world.server.asked == ["seed-0"]
    assert signed.user == "anne@contoso.com"
    now = world.clock.now()
    assert world.stored == Record(
        1, "seed-1", fingerprint("seed-0", *IDENTITY), "anne@contoso.com", now, issued_at=now
    )


def test_the_next_process_goes_on_with_the_saved_token(world):
    world.sign_in()
    world.sign_in(world.process())
    assert world.server.asked == ["seed-0", "seed-1"]
    assert world.stored.refresh_token == "seed-2"


def test_the_next_token_is_saved_under_the_lock_and_before_anything_is_handed_out(world):
    world.sign_in()
    assert world.store.events == ["lock", "load", "save", "unlock"]


def test_a_newly_pasted_token_goes_before_the_stored_one(world):
    world.sign_in()
    world.seed = world.server.issue("pasted")
    world.sign_in()
    assert world.server.asked == ["seed-0", "pasted-0"]
    assert world.stored.refresh_token == "pasted-1"


def test_a_token_of_another_tenant_or_authority_is_not_used(world):
    world.sign_in()
    world.server.rotation = "reusable"
    world.server.valid.add("seed-0")
    world.sign_in(world.process(identity=(*IDENTITY[:1], "another tenant", "client")))
    assert world.server.asked[-1] == "seed-0"


def test_a_service_that_sends_no_new_token_goes_on_with_the_old_one(clock):
    world = World(clock, rotation="none")
    world.sign_in()
    clock.move(3600)
    world.sign_in(world.process())
    assert world.server.asked == ["seed-0", "seed-0"]
    assert world.stored.rotated_at == clock.now()
    assert world.stored.issued_at == clock.now() - 3600
    assert world.stored.user == "anne@contoso.com"


def test_a_service_that_stops_sending_new_tokens_goes_on_with_the_last(world):
    world.sign_in()
    world.server.rotation = "none"
    world.sign_in()
    world.sign_in()
    assert world.stored.refresh_token == "seed-1"


def test_every_refresh_token_is_told_before_it_is_used(world):
    world.sign_in()
    assert {"seed-0", "seed-1"} <= set(world.seen)


class TimedOut(BaseException):
    """What Airflow raises in a task that has taken too long."""


@pytest.fixture
def time_out():
    """Return what interrupts the main thread."""

    def interrupt(*_):
        raise TimedOut

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_a_task_that_is_ended_while_it_signs_in_does_not_lose_the_next_token(world, time_out):
    interrupted, saved = threading.Event(), threading.Event()

    def redeem(token):
        signed = world.server.redeem(token)
        time_out()
        interrupted.wait(20)
        return signed

    world.store.saved = saved.set
    with pytest.raises(TimedOut):
        world.here.redeem(world.seed, redeem)
    interrupted.set()
    assert saved.wait(20)
    assert world.stored.refresh_token == "seed-1"


def test_a_listener_that_fails_does_not_lose_the_next_token(clock, caplog):
    world = World(clock)
    for seen in ("seed-0", "seed-1"):

        def fail(token, seen=seen):
            if token == seen:
                raise RuntimeError("the log is away")

        process = Rotation(world.store, KEY, identity=IDENTITY, now=clock.now, on_token=fail, memory=Memory())
        world.sign_in(process)
    assert world.stored.refresh_token == "seed-2"
    assert "could not be told" in caplog.text
    assert "seed-" not in caplog.text


def test_without_a_store_the_process_itself_remembers(clock):
    world = World(clock)
    here = world.process(NoStore())
    for _ in range(3):
        world.sign_in(here)
    assert world.server.asked == ["seed-0", "seed-1", "seed-2"]


# --- somebody else was faster ------------------------------------------------------------------------------------


def test_a_token_that_another_process_has_used_up_is_looked_for_again(world):
    slow = world.process()

    def after_the_other(token):
        if token == "seed-0":
            world.sign_in(world.process(store=unlocked(world)))
        return world.server.redeem(token)

    slow.redeem(world.seed, after_the_other)
    assert world.server.asked == ["seed-0", "seed-0", "seed-1"]
    assert world.stored.refresh_token == "seed-2"


def test_a_token_that_another_process_is_about_to_save_is_waited_for(world):
    ahead = world.server.redeem("seed-0")
    sleeps = iter(range(10))

    def save():
        if next(sleeps) == 2:
            record = Record(1, ahead.refresh_token, fingerprint("seed-0", *IDENTITY))
            assert NoStore.save(world.store, KEY, record, expected=0)

    world.while_asleep = save
    world.sign_in()
    assert world.server.asked == ["seed-0", "seed-0", "seed-1"]


def test_nobody_waits_for_more_than_a_few_seconds(world):
    world.server.revoke()
    before = world.clock.now()
    with pytest.raises(AuthenticationError):
        world.sign_in()
    assert 1 < world.clock.now() - before < 4
    assert world.server.asked == ["seed-0"]


def unlocked(world):
    """Return the same store for a process that does not heed the lock."""

    class Unlocked(NoStore):
        def load(self, key):
            return NoStore.load(world.store, key)

        def save(self, key, record, *, expected):
            return NoStore.save(world.store, key, record, expected=expected)

    return Unlocked()


def test_what_others_wrote_meanwhile_is_replaced_by_the_newer_token(world):
    def marked_meanwhile(token):
        signed = world.server.redeem(token)
        assert NoStore.save(world.store, KEY, Record(1, user="somebody's mark"), expected=0)
        return signed

    world.here.redeem(world.seed, marked_meanwhile)
    assert (world.stored.generation, world.stored.refresh_token) == (2, "seed-1")


def test_where_two_have_renewed_the_same_token_the_first_to_save_wins(clock):
    world = World(clock, rotation="reusable")

    def after_the_other(token):
        signed = world.server.redeem(token)
        if len(world.server.asked) == 1:
            clock.move(1)
            world.sign_in(world.process(store=unlocked(world)))
        return signed

    world.here.redeem(world.seed, after_the_other)
    assert (world.stored.generation, world.stored.refresh_token) == (1, "seed-2")
    world.sign_in()
    assert world.server.asked[-1] == "seed-2"


# --- the store fails ---------------------------------------------------------------------------------------------


def test_a_token_that_cannot_be_saved_at_once_is_saved_a_little_later(world):
    world.store.fails = {"save"}
    world.while_asleep = world.store.fails.clear
    world.sign_in()
    assert world.stored.refresh_token == "seed-1"


def test_a_token_that_cannot_be_saved_is_kept_in_the_process_and_that_is_said_aloud(world, caplog):
    world.store.fails = {"save"}
    assert world.sign_in().token.secret == "access by seed-0"
    assert "could not be saved" in caplog.text
    assert "The store is away." in caplog.text
    assert "seed-1" not in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    world.sign_in()
    world.store.fails = set()
    world.sign_in()
    assert world.server.asked == ["seed-0", "seed-1", "seed-2"]
    assert world.stored.refresh_token == "seed-3"


def test_a_process_with_an_unsaved_token_goes_on_while_the_store_is_away(world):
    world.store.fails = {"save"}
    world.sign_in()
    world.store.fails = {"lock", "load", "save"}
    world.sign_in()
    assert world.server.asked == ["seed-0", "seed-1"]


def test_a_token_that_was_saved_although_the_answer_was_lost_does_not_hide_its_successor(world):
    class Unanswered(Store):
        def save(self, key, record, *, expected):
            super().save(key, record, expected=expected)
            raise StoreError("The answer was lost.")

    here = world.process(store := Unanswered())
    world.sign_in(here)
    assert getattr(NoStore.load(store, KEY), "refresh_token", None) == "seed-1"
    store.fails = {"load", "save"}
    world.sign_in(here)
    store.fails = set()
    world.sign_in(here)
    assert world.server.asked == ["seed-0", "seed-1", "seed-2"]


def test_an_unsaved_token_gives_way_to_what_another_process_saved_since(world):
    world.server.rotation = "reusable"
    world.store.fails = {"save"}
    world.sign_in()
    world.store.fails = set()
    world.sign_in(world.process())
    world.sign_in()
    assert world.server.asked == ["seed-0", "seed-0", "seed-2"]


def test_a_problem_of_the_store_that_will_not_pass_is_not_tried_again(world, caplog):
    world.store.fails, world.store.broken = {"save"}, StoreError("It is read-only.")
    world.sign_in()
    assert world.store.events.count("save") == 1
    assert "It is read-only." in caplog.text


@pytest.mark.parametrize("operation", ["lock", "load"])
@pytest.mark.parametrize("passing", [True, False])
def test_nothing_is_signed_in_without_knowing_what_is_stored(world, operation, passing):
    world.store.fails, world.store.broken = {operation}, StoreError("The store is away.", retryable=passing)
    with pytest.raises(AuthenticationError, match="The store is away") as caught:
        world.sign_in()
    assert caught.value.retryable is passing
    assert caught.value.kind == ("transient" if passing else "permanent")
    assert world.server.asked == []


# --- signed in anew while a task runs ----------------------------------------------------------------------------


@pytest.fixture
def signed_in_anew(world):
    """Return the world, an old process, and the token that was pasted, and used by a new process, while the old one ran."""
    old = world.process()
    world.sign_in(old)
    pasted = world.server.issue("pasted")
    world.sign_in(world.process(), pasted)
    return world, old, pasted


def test_a_task_that_started_before_a_new_sign_in_does_not_overwrite_it(signed_in_anew, caplog):
    world, old, pasted = signed_in_anew
    world.server.valid.add("seed-0")  # the service lets it live on
    world.sign_in(old)
    assert world.server.asked[-1] == "seed-0"
    assert world.stored.refresh_token == "pasted-1"
    assert "A newer sign-in has replaced" in caplog.text
    world.sign_in(old)
    world.sign_in(world.process(), pasted)
    assert world.stored.refresh_token == "pasted-2"


@pytest.mark.parametrize("rotation", ["one_use", "none"])
def test_a_task_whose_token_died_goes_on_with_the_new_sign_in(signed_in_anew, rotation):
    world, old, pasted = signed_in_anew
    world.server.revoke("seed")
    world.server.rotation = rotation
    world.sign_in(old)
    assert world.server.asked[-2:] == ["seed-0", "pasted-1"]
    assert world.stored.refresh_token == world.server.newest["pasted"]
    world.sign_in(world.process(), pasted)
    assert world.server.asked[-1] == ("pasted-1" if rotation == "none" else "pasted-2")


def test_the_seeds_that_were_replaced_are_not_remembered_for_ever(world):
    for name in "abcdefgh":
        world.sign_in(seed=world.server.issue(name))
    assert len(world.stored.former) == 5
    assert fingerprint("g-0", *IDENTITY) in world.stored.former


# --- a dead token ------------------------------------------------------------------------------------------------


@pytest.fixture
def revoked(world):
    """Return the world after its token has been refused, and the error that said so."""
    world.sign_in()
    world.server.revoke()
    with pytest.raises(AuthenticationError) as caught:
        world.sign_in()
    world.server.asked.clear()
    world.error = caught.value
    return world


def test_a_dead_token_is_tried_once_and_the_others_hear_the_same(revoked):
    for _ in range(3):
        with pytest.raises(AuthenticationError) as caught:
            revoked.sign_in(revoked.process())
        again, first = caught.value, revoked.error
        assert str(again) == str(first)
        assert {**vars(again)} == {**vars(first)}
    assert revoked.server.asked == []


def test_a_mark_does_not_cost_the_stored_token(revoked):
    assert revoked.stored.refresh_token == "seed-1"
    assert revoked.stored.failure.text == str(revoked.error)


def test_a_new_sign_in_is_tried_at_once(revoked):
    revoked.sign_in(seed=revoked.server.issue("pasted"))
    assert revoked.stored.failure is None


def test_one_process_tries_a_dead_token_again_every_ten_minutes(revoked):
    revoked.clock.move(11 * MINUTE)
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            revoked.sign_in(revoked.process())
    assert revoked.server.asked == ["seed-1"]
    revoked.clock.move(11 * MINUTE)
    with pytest.raises(AuthenticationError):
        revoked.sign_in(revoked.process())
    assert revoked.server.asked == ["seed-1", "seed-1"]


def test_the_time_of_a_try_is_saved_before_it(revoked):
    revoked.clock.move(11 * MINUTE)

    def during(token):
        with pytest.raises(AuthenticationError):
            revoked.sign_in(revoked.process(store=unlocked(revoked)))
        return revoked.server.redeem(token)

    with pytest.raises(AuthenticationError):
        revoked.here.redeem(revoked.seed, during)
    assert revoked.server.asked == ["seed-1"]


def test_two_processes_do_not_try_at_the_same_time(revoked):
    revoked.clock.move(11 * MINUTE)
    seen = revoked.stored
    assert NoStore.save(
        revoked.store, KEY, replace(seen, generation=seen.generation + 1), expected=seen.generation
    )

    class Late(Store):
        def load(self, key):
            return seen

        def save(self, key, record, *, expected):
            return NoStore.save(revoked.store, key, record, expected=expected)

    with pytest.raises(AuthenticationError):
        revoked.sign_in(revoked.process(store=Late()))
    assert revoked.server.asked == []


def test_a_token_that_is_revived_is_found_by_the_next_try(revoked):
    revoked.server.valid.add("seed-1")
    revoked.clock.move(11 * MINUTE)
    revoked.sign_in()
    assert revoked.stored.failure is None
    revoked.sign_in(revoked.process())


def test_a_mark_of_a_machine_whose_clock_is_ahead_counts_too(revoked):
    revoked.clock.move(-2 * MINUTE)
    asked = len(revoked.server.asked)
    with pytest.raises(AuthenticationError):
        revoked.sign_in(revoked.process())
    assert len(revoked.server.asked) == asked


def test_a_mark_from_the_future_does_not_hold_for_ever(revoked):
    revoked.clock.move(-60 * MINUTE)
    with pytest.raises(AuthenticationError):
        revoked.sign_in()
    assert revoked.server.asked == ["seed-1"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(AuthenticationError("Entra is busy", kind="transient"), id="a passing problem"),
        pytest.param(
            AuthenticationError("A policy stopped it", error="invalid_grant", kind="needs-admin"),
            id="Conditional Access",
        ),
    ],
)
def test_what_is_not_a_dead_token_does_not_stop_the_next_try(world, error):
    world.server.failure = error
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            world.sign_in()
    assert len(world.server.asked) == 2


def test_a_lasting_failure_is_noted_for_people_and_a_success_takes_it_back(world):
    world.server.failure = AuthenticationError("The client secret has expired", code="AADSTS7000222")
    with pytest.raises(AuthenticationError):
        world.sign_in()
    assert (world.stored.failure.code, world.stored.failure.dead) == ("AADSTS7000222", "")
    world.server.failure = None
    world.sign_in()
    assert world.stored.failure is None


# --- passwords and apps ------------------------------------------------------------------------------------------


class Password:
    """Counts tries; right says whether the password is."""

    def __init__(self, server):
        self.server, self.right, self.tries = server, False, 0

    def __call__(self):
        self.tries += 1
        if not self.right:
            raise dead("AADSTS50126")
        return self.server._signed("password", None)


def test_a_wrong_password_is_tried_once_until_another_is_entered(world):
    sign_in = Password(world.server)
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="AADSTS50126"):
            world.process().guard("wrong", sign_in)
    assert sign_in.tries == 1
    sign_in.right = True
    world.process().guard("right", sign_in)
    assert world.stored.failure is None


def test_a_right_password_leaves_nothing_behind(world):
    sign_in = Password(world.server)
    sign_in.right = True
    world.here.guard("right", sign_in)
    assert world.stored is None


def test_no_password_is_stored(world):
    with pytest.raises(AuthenticationError):
        world.here.guard("p4ssword", Password(world.server))
    assert "p4ssword" not in world.stored.to_json()


def test_an_apps_failure_is_noted_once_and_taken_back(world):
    error = AuthenticationError("The client secret has expired", code="AADSTS7000222")
    for _ in range(3):
        world.here.note(error)
    assert world.stored.generation == 1
    world.here.worked()
    assert world.here.read().failure is None


def test_another_failure_of_an_app_is_noted_at_once(world):
    world.here.note(AuthenticationError("Certificate 1A expired", message="Certificate 1A expired"))
    world.here.note(AuthenticationError("Private key is encrypted", message="Private key is encrypted"))
    assert world.stored.failure.text == "Private key is encrypted"


class Stuck(Store):
    """Answers when it is let go."""

    def __init__(self):
        super().__init__()
        self.go, self.answered = threading.Event(), threading.Event()

    def load(self, key):
        self.go.wait(20)
        found = super().load(key)
        self.answered.set()
        return found


def test_an_apps_sign_in_does_not_wait_for_a_slow_store(world):
    store = Stuck()
    world.process(store).worked(patience=0.01)
    assert not store.answered.is_set()
    store.go.set()
    assert store.answered.wait(20)


class OfOneThread(Store):
    """Is asked by whoever uses it, and by nobody else."""

    of_one_thread = True

    def __init__(self):
        super().__init__()
        self.askers = []

    def load(self, key):
        self.askers.append(threading.current_thread())
        return super().load(key)


def test_a_store_of_one_thread_is_asked_on_the_thread_that_signs_in(world):
    store = OfOneThread()
    world.process(store).worked(patience=0.0)
    assert store.askers == [threading.current_thread()]


@pytest.mark.parametrize("broken", [StoreError("away"), RuntimeError("a store's own bug")], ids=repr)
def test_whatever_a_store_raises_an_app_signs_in_and_hears_the_services_own_error(world, broken):
    world.store.broken, world.store.fails = broken, {"load"}
    world.here.worked()
    world.here.note(AuthenticationError("The client secret has expired"))


def test_a_passing_failure_is_not_noted(world):
    world.here.note(AuthenticationError("Entra is busy", kind="transient"))
    assert world.stored is None


@pytest.mark.parametrize("operation", ["load", "save"])
def test_a_store_that_fails_does_not_fail_an_apps_sign_in(world, operation):
    world.here.note(AuthenticationError("The client secret has expired"))
    world.store.fails = {operation}
    world.here.note(AuthenticationError("Another reason", code="AADSTS7000215"))
    world.here.worked()


@pytest.mark.parametrize("operation", ["save"])
def test_a_mark_that_cannot_be_saved_leaves_the_services_own_error(world, operation):
    world.server.revoke()
    world.store.fails = {operation}
    with pytest.raises(AuthenticationError, match="AADSTS700082"):
        world.sign_in()
