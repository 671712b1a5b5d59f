"""A triggerer full of triggers: one client for all of them, and none that disturbs the others."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.triggers import DynamicsTrigger
from airflow_provider_dynamics.triggers.sharing import CLIENT_LIFE, LEAST_LIFE, THREADS, _clients

THROTTLED = errors.Throttled("Number of requests exceeded", status=429, code="0x80072322", retry_after=17.0)
FORBIDDEN = errors.Forbidden("missing prvReadAccount", status=403, code="0x80040220")
OTHER = "https://other.crm.dynamics.com"


class FakeClient:
    environment = "https://contoso.crm.dynamics.com"

    def __init__(self):
        self.looks = 0
        self.cancelled = self.closed = False

    def cancel(self):
        self.cancelled = True

    def close(self):
        self.closed = True


class World:
    """Opens clients and tells the time; what a look answers is the test's."""

    def __init__(self):
        self.clients: list[FakeClient] = []
        self.seconds = 0.0
        self.slept: list[float] = []
        self.problem: Exception | None = None

    async def open(self):
        await asyncio.sleep(0)
        if self.problem is not None:
            raise self.problem
        self.clients.append(FakeClient())
        return self.clients[-1]

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.seconds += seconds

    def trigger(self, **arguments) -> Any:
        made: Any = Looking(**arguments)
        made._open_client, made.sleep = self.open, self.sleep
        made.now, made.random = lambda: self.seconds, lambda: 0.5
        return made


class Looking(DynamicsTrigger):
    def __init__(
        self, *, dynamics_conn_id: str = "crm", environment: str | None = None, poll_interval: float = 60
    ) -> None:
        super().__init__(
            dynamics_conn_id=dynamics_conn_id, environment=environment, poll_interval=poll_interval
        )

    def look(self, client):
        return {}


@pytest.fixture
def world():
    return World()


def looked(client):
    client.looks += 1
    return client


def raising(error):
    def look(client):
        client.looks += 1
        raise error

    return look


def test_a_thousand_triggers_of_a_connection_share_one_client(world):
    async def main():
        triggers = [world.trigger() for _ in range(1000)]
        await asyncio.gather(*(trigger.ask(looked) for trigger in triggers))
        await asyncio.gather(*(trigger.cleanup() for trigger in triggers))

    asyncio.run(main())

    [client] = world.clients
    assert (client.looks, client.closed) == (1000, True)


def test_connections_and_environments_have_clients_of_their_own(world):
    async def main():
        asked = [{}, {"environment": OTHER}, {"dynamics_conn_id": "erp"}, {"environment": OTHER}]
        triggers = [world.trigger(**arguments) for arguments in asked]
        found = [await trigger.ask(looked) for trigger in triggers]
        await asyncio.gather(*(trigger.cleanup() for trigger in triggers))
        return [world.clients.index(client) for client in found]

    assert asyncio.run(main()) == [0, 1, 2, 1]
    assert all(client.closed for client in world.clients)


def test_the_end_of_one_trigger_is_nothing_to_the_others(world):
    async def main():
        first, second = world.trigger(), world.trigger()
        await asyncio.gather(first.ask(looked), second.ask(looked))
        await first.cleanup()
        await first.cleanup()
        before = world.clients[0].cancelled, world.clients[0].closed
        await second.ask(looked)
        await second.cleanup()
        return before

    assert asyncio.run(main()) == (False, False)
    assert [(client.looks, client.closed) for client in world.clients] == [(3, True)]


def test_a_trigger_that_is_cancelled_in_the_middle_of_a_look_disturbs_nobody(world):
    began, go_on = threading.Event(), threading.Event()

    def slow(client):
        began.set()
        go_on.wait(30)
        return client

    async def main():
        first, second = world.trigger(), world.trigger()
        await second.ask(looked)
        task = asyncio.ensure_future(first.ask(slow))
        await asyncio.to_thread(began.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await first.cleanup()
        alive = not world.clients[0].cancelled
        go_on.set()
        await second.ask(looked)
        await second.cleanup()
        return alive

    assert asyncio.run(main())
    assert len(world.clients) == 1


def test_whoever_opens_the_client_may_be_cancelled_meanwhile(world):
    async def main():
        first, second = world.trigger(), world.trigger()
        opening = asyncio.ensure_future(first.ask(looked))
        waiting = asyncio.ensure_future(second.ask(looked))
        await asyncio.sleep(0)
        opening.cancel()
        await first.cleanup()
        await waiting
        await second.cleanup()

    asyncio.run(main())

    assert [(client.looks, client.closed) for client in world.clients] == [(1, True)]


def test_a_client_that_nobody_waits_for_any_more_is_closed(world):
    async def main():
        trigger = world.trigger()
        opening = asyncio.ensure_future(trigger.ask(looked))
        await asyncio.sleep(0)
        opening.cancel()
        await trigger.cleanup()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if world.clients and world.clients[0].closed:
                break

    asyncio.run(main())

    assert world.clients[0].closed


def test_a_client_is_replaced_while_it_is_used_and_closed_when_its_last_question_is_answered(world):
    began, go_on = threading.Event(), threading.Event()

    def slow(client):
        began.set()
        go_on.wait(30)
        return client.closed

    async def main():
        first, second = world.trigger(), world.trigger()
        asking = asyncio.ensure_future(first.ask(slow))
        await asyncio.to_thread(began.wait, 30)
        world.seconds += CLIENT_LIFE
        await second.ask(looked)
        kept = not world.clients[0].closed
        go_on.set()
        closed_under_it = await asking
        after = world.clients[0].closed, world.clients[1].closed
        await asyncio.gather(first.cleanup(), second.cleanup())
        return kept, closed_under_it, after

    assert asyncio.run(main()) == (True, False, (True, False))
    assert len(world.clients) == 2


def test_a_connection_that_cannot_be_used_is_read_once_for_all_and_each_hears_of_it(world):
    world.problem = ValueError("no such connection")

    async def main():
        triggers = [world.trigger() for _ in range(100)]
        found = await asyncio.gather(*(trigger.ask(looked) for trigger in triggers), return_exceptions=True)
        depths = set()
        for error in found:
            trace, depth = error.__traceback__, 0
            while trace is not None:
                trace, depth = trace.tb_next, depth + 1
            depths.add(depth)
        world.problem = None
        await triggers[0].ask(looked)
        await asyncio.gather(*(trigger.cleanup() for trigger in triggers))
        return {str(error) for error in found}, max(depths)

    told, depth = asyncio.run(main())

    assert told == {"no such connection"}
    assert depth < 20
    assert len(world.clients) == 1


def test_a_failure_that_nobody_waited_for_any_more_is_not_kept_for_the_next(world):
    world.problem = ValueError("no such connection")

    async def main():
        first, next_one = world.trigger(), world.trigger()
        opening = asyncio.ensure_future(first.ask(looked))
        await asyncio.sleep(0)
        opening.cancel()
        await first.cleanup()
        await asyncio.sleep(0.01)
        world.problem = None
        await next_one.ask(looked)
        await next_one.cleanup()

    asyncio.run(main())

    assert [(client.looks, client.closed) for client in world.clients] == [(1, True)]


def test_a_problem_has_the_connection_read_anew_but_not_for_each_of_a_thousand(world):
    async def main():
        triggers = [world.trigger() for _ in range(200)]
        await asyncio.gather(*(trigger.ask(looked) for trigger in triggers))
        world.seconds += LEAST_LIFE
        await asyncio.gather(
            *(trigger.ask(raising(FORBIDDEN)) for trigger in triggers), return_exceptions=True
        )
        await triggers[0].ask(looked)
        await asyncio.gather(*(trigger.cleanup() for trigger in triggers))

    asyncio.run(main())

    assert len(world.clients) == 2
    assert all(client.closed for client in world.clients)


def test_when_the_service_asks_one_to_wait_none_of_them_asks_until_then(world):
    async def main():
        refused, other = world.trigger(), world.trigger()
        with pytest.raises(errors.Throttled):
            await refused.ask(raising(THROTTLED))
        world.seconds += 5.0
        await other.ask(looked)
        await other.cleanup()
        return world.slept, await refused.cleanup()

    assert asyncio.run(main())[0] == [12 + 15]


def test_whoever_has_waited_as_asked_does_not_wait_twice(world):
    async def main():
        trigger = world.trigger()
        with pytest.raises(errors.Throttled):
            await trigger.ask(raising(THROTTLED))
        await trigger.ask(looked)
        await trigger.cleanup()

    asyncio.run(main())

    assert world.slept == []


def test_questions_take_no_more_threads_than_there_are(world):
    most, running, lock = [0], [0], threading.Lock()
    full = threading.Barrier(THREADS)

    def look(_client):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        full.wait(30)  # nobody goes on before all threads are taken
        with lock:
            running[0] -= 1

    async def main():
        triggers = [world.trigger() for _ in range(THREADS * 4)]
        await asyncio.gather(*(trigger.ask(look) for trigger in triggers))
        await asyncio.gather(*(trigger.cleanup() for trigger in triggers))

    asyncio.run(main())

    assert most == [THREADS]


def test_stopping_a_task_leaves_the_shared_client_alone(world):
    async def main():
        stopped, other = world.trigger(), world.trigger()
        await asyncio.gather(stopped.ask(looked), other.ask(looked))
        if hasattr(stopped, "on_kill"):  # Airflow 3.3
            await stopped.on_kill()
        await stopped.cleanup()
        alive = not world.clients[0].cancelled
        await other.cleanup()
        return alive

    assert asyncio.run(main())


def test_event_loops_that_have_ended_leave_nothing_behind(world):
    async def main():
        trigger = world.trigger()
        await trigger.ask(looked)
        await trigger.cleanup()

    before = len(_clients)
    for _ in range(3):
        asyncio.run(main())
        gc.collect()

    assert len(_clients) <= before
