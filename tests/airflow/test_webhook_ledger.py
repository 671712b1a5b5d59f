"""Posts become events in Airflow's own database: each once, none lost, whatever else is being written there."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_dynamics.assets import changed_rows, table_asset
from airflow_provider_dynamics.dataverse.administration.endpoints import KEY_HEADER
from airflow_provider_dynamics.webhooks import database
from airflow_provider_dynamics.webhooks.app import build_app
from airflow_provider_dynamics.webhooks.ledger import KEPT, Entry, Ledger, NotRecorded, seen_posts
from airflow_provider_dynamics.webhooks.places import Place
from airflow_provider_dynamics.webhooks.posts import Post, read_post
from airflow_provider_dynamics.webhooks.waking import Told, Waker
from tests.airflow.conftest import _serialise
from tests.postgres_server import CannotStart, postgres_server
from tests.webhooks.bodies import body

KEY = "the-key-that-nobody-may-see"
NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def environment(airflow_db: None) -> str:  # noqa: ARG001 - it only has to be there
    """Return an environment of its own, with one table that a DAG is scheduled on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own affairs
        from airflow.providers.standard.operators.empty import EmptyOperator
        from airflow.sdk import DAG

        name = uuid.uuid4().hex[:8]
        with DAG(
            f"consumer_{name}",
            schedule=[table_asset("contact", f"{name}.crm.dynamics.com")],
            is_paused_upon_creation=False,
        ) as dag:
            EmptyOperator(task_id="nothing")
        _serialise(dag)
    return f"https://{name}.crm.dynamics.com"


@contextmanager
def session() -> Iterator[Any]:
    from airflow.utils.session import create_session

    with create_session(scoped=False) as found:
        yield found


def ledger(**changed: Any) -> Ledger[Told]:
    """Return what one API server writes with."""
    options: dict[str, Any] = {"told": list, "now": lambda: NOW, "sleep": time.sleep}
    return Ledger(session, database.assets, database.register, **{**options, **changed})


def entry(environment: str, post: Post | None = None, table: str = "contact") -> Entry:
    uri = table_asset(table, environment).uri
    return Entry(post or read_post(body(PrimaryEntityName=table)), uri, environment)


def payloads(environment: str) -> list[dict[str, Any]]:
    """Return what has been told of the environment's table."""
    from airflow.models.asset import AssetEvent, AssetModel
    from sqlalchemy import select

    uri = table_asset("contact", environment).uri
    with session() as found:
        told = found.scalars(
            select(AssetEvent)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetModel.uri == uri)
        ).all()
        return [one.extra["payload"] for one in told]


def named(environment: str) -> list[str]:
    return [one["row_id"] for payload in payloads(environment) for one in payload["changes"]]


def queued(environment: str) -> int:
    """Return how many DAGs wait for a run because of the environment's table."""
    from airflow.models.asset import AssetDagRunQueue, AssetModel
    from sqlalchemy import func, select

    uri = table_asset("contact", environment).uri
    with session() as found:
        return int(
            found.scalar(
                select(func.count())
                .select_from(AssetDagRunQueue)
                .join(AssetModel, AssetModel.id == AssetDagRunQueue.asset_id)
                .where(AssetModel.uri == uri)
            )
            or 0
        )


def test_a_post_becomes_an_event_that_wakes_the_tables_dags(environment: str):
    one = entry(environment)

    assert ledger().record([one]) == ["told"]

    (payload,) = payloads(environment)
    assert payload == {
        "status": "success",
        "table": "contact",
        "environment": environment,
        "source": "webhook",
        "mode": "delta",
        "changes": [{"row_id": one.post.changes[0]["row_id"], "operation": "upsert"}],
        "count": 1,
        "complete": True,
        "from": None,
        "to": None,
    }
    assert queued(environment) == 1


def test_a_task_reads_the_event_as_it_reads_a_watchers(environment: str):
    ledger().record([entry(environment)])

    class Event:
        timestamp = NOW
        extra = {"payload": payloads(environment)[0]}  # noqa: RUF012 - it is only read

    rows = changed_rows({"the asset": [Event()]})

    assert (rows.changed, rows.deleted, rows.complete) == (
        ("6d81597f-0f9f-e711-8122-000d3aa2331c",),
        (),
        True,
    )


def test_the_same_post_again_is_told_once_also_by_another_api_server(environment: str):
    one = entry(environment)

    assert ledger().record([one, one]) == ["told", "duplicate"]
    assert ledger().record([one]) == ["duplicate"]
    assert len(payloads(environment)) == 1


def test_the_same_change_in_two_environments_is_two_events(environment: str):
    post = read_post(body())
    here, there = entry(environment, post), entry("https://fabrikam.crm.dynamics.com", post)

    assert here.key != there.key


def test_what_no_dag_uses_is_not_remembered_so_a_dag_that_comes_hears_of_it(environment: str):
    lead = entry(environment, table="lead")

    assert ledger().record([lead, entry(environment)]) == ["nobody", "told"]
    assert ledger().record([lead]) == ["nobody"]


def test_posts_that_come_together_share_an_event_of_at_most_a_hundred_rows(environment: str):
    entries = [entry(environment, read_post(body(PrimaryEntityId=str(uuid.uuid4())))) for _ in range(250)]

    assert ledger().record(entries) == ["told"] * 250

    assert sorted(payload["count"] for payload in payloads(environment)) == [50, 100, 100]
    assert sorted(named(environment)) == sorted(one.post.changes[0]["row_id"] for one in entries)


def test_a_deletion_that_overtakes_the_change_before_it_is_still_told_last(environment: str):
    deleted, updated = (
        entry(environment, read_post(body(MessageName=message))) for message in ("Delete", "Update")
    )

    ledger().record([deleted, updated])

    (payload,) = payloads(environment)
    assert [one["operation"] for one in payload["changes"]] == ["upsert", "delete"]


def test_a_post_that_names_no_rows_wakes_somebody_who_then_reads_everything(environment: str):
    nameless = read_post(body(MessageName="UpdateMultiple", PrimaryEntityId=None, InputParameters=None))

    ledger().record([entry(environment, nameless)])

    (payload,) = payloads(environment)
    assert (payload["mode"], payload["complete"], payload["changes"]) == ("full", False, [])


def test_where_the_event_cannot_be_made_the_post_is_not_remembered_either(environment: str):
    def broken(*_: Any) -> None:
        raise RuntimeError("the asset manager is broken")

    one = entry(environment)
    with pytest.raises(RuntimeError):
        Ledger(session, database.assets, broken, told=list, now=lambda: NOW, sleep=time.sleep).record([one])

    assert ledger().record([one]) == ["told"]


def test_a_database_that_is_busy_is_waited_for(environment: str):
    """SQLite has one writer: what another holds for half a second delays an answer, and loses nothing."""
    from sqlalchemy import text

    waited: list[float] = []
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with session() as found:
            found.execute(text("UPDATE asset SET name = name WHERE 1 = 0"))
            found.execute(text("DELETE FROM variable WHERE 1 = 0"))
            held.set()
            free.wait(10)

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        free.set()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    threading.Timer(0.5, free.set).start()

    assert ledger(sleep=sleep).record([entry(environment)]) == ["told"]
    holder.join()


def test_a_database_that_stays_away_is_an_error_without_a_statements_values(environment: str):
    from sqlalchemy.exc import OperationalError

    one = entry(environment)
    waited: list[float] = []

    def away() -> Any:
        raise OperationalError(f"a statement with {one.key}", {}, Exception("connection refused"))

    with pytest.raises(NotRecorded, match="connection refused") as refused:
        Ledger(
            away, database.assets, database.register, told=list, now=lambda: NOW, sleep=waited.append
        ).record([one])

    assert one.key not in str(refused.value)
    assert sum(waited) < 30  # the platform waits for a minute


def test_posts_that_are_long_over_are_forgotten(environment: str):
    old, young = (entry(environment) for _ in range(2))
    ledger(now=lambda: NOW - KEPT - timedelta(hours=1)).record([old])
    ledger(now=lambda: NOW).record([young])

    from sqlalchemy import select

    with session() as found:
        kept = set(found.scalars(select(seen_posts.c.post_key)))
    assert young.key in kept
    assert old.key not in kept


def test_a_burst_of_a_thousand_posts_to_several_api_servers_loses_none_and_tells_none_twice(environment: str):
    """Four servers, each post to two of them, as a proxy that tries again would: every row is told once."""
    bodies = [body(PrimaryEntityId=str(uuid.uuid4())) for _ in range(1_000)]
    servers = 4
    outcomes: list[list[str]] = [[] for _ in range(servers)]

    async def send(number: int) -> None:
        place = Place(environment, (KEY,))
        app = build_app(lambda *_: place, ledger().record)
        headers = {KEY_HEADER: KEY, "content-type": "application/json"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://airflow.test"
        ) as client:

            async def post(content: bytes) -> str:
                answer = await client.post("/events/sales", content=content, headers=headers)
                return answer.text.strip() if answer.status_code == 200 else str(answer.status_code)

            mine = [one for index, one in enumerate(bodies) if index % 2 == number % 2]
            outcomes[number] += await asyncio.gather(*map(post, mine))

    began = time.monotonic()
    threads = [
        threading.Thread(target=lambda number=number: asyncio.run(send(number))) for number in range(servers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    print(f"1,000 posts, each twice: {time.monotonic() - began:.1f} s, {len(payloads(environment))} events")  # noqa: T201

    told = [outcome for several in outcomes for outcome in several]
    assert sorted(set(told)) == ["duplicate", "told"]
    assert told.count("told") == 1_000
    sent = [read_post(one).changes[0]["row_id"] for one in bodies]
    assert sorted(named(environment)) == sorted(sent)


def told_of(environment: str, *times: int) -> tuple[Waker, list[Told]]:
    """Return what looks after events, and events of some seconds past noon, which it looks after."""
    from airflow.models.asset import AssetEvent

    waker = Waker(session, database.look, database.register, now=lambda: NOW)
    made: list[Told] = []
    for second in times:
        ledger(told=made.extend).record([entry(environment)])
        moment = NOW + timedelta(seconds=second)
        made[-1] = replace(made[-1], at=moment)
        with session() as found:
            found.get_one(AssetEvent, made[-1].event_id).timestamp = moment
    waker.told(made)
    return waker, made


def ran(environment: str, second: int, *taken: Told) -> None:
    """Do as the scheduler does: a run takes events, and the queue is emptied."""
    from airflow.models.asset import AssetDagRunQueue, AssetEvent
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import delete

    moment = NOW + timedelta(seconds=second)
    with session() as found:
        found.execute(delete(AssetDagRunQueue).where(AssetDagRunQueue.target_dag_id == dag_of(environment)))
        run = DagRun(
            dag_id=dag_of(environment),
            run_id=f"asset_triggered__{uuid.uuid4().hex}",
            run_type=DagRunType.ASSET_TRIGGERED,
            run_after=moment,
            triggered_by=DagRunTriggeredByType.ASSET,
            state=DagRunState.SUCCESS,
        )
        found.add(run)
        run.consumed_asset_events.extend(found.get_one(AssetEvent, one.event_id) for one in taken)


def dag_of(environment: str) -> str:
    return f"consumer_{environment.removeprefix('https://').partition('.')[0]}"


def test_events_that_wait_for_their_run_are_left_alone(environment: str):
    waker, _ = told_of(environment, 1, 2)

    assert waker.check()
    assert len(payloads(environment)) == 2


def test_events_that_a_run_has_taken_are_done_with(environment: str):
    waker, made = told_of(environment, 1, 2)
    ran(environment, 2, *made)

    assert not waker.check()
    assert len(payloads(environment)) == 2


def test_an_event_that_came_while_the_queue_was_being_emptied_gets_a_run_after_all(environment: str):
    """The run takes what there was when its DAG was queued, and Airflow forgets who came after."""
    waker, (first, _) = told_of(environment, 1, 2)
    ran(environment, 1, first)
    assert queued(environment) == 0

    assert waker.check()

    assert queued(environment) == 1
    assert [payload["count"] for payload in payloads(environment)] == [1, 1, 0]
    assert len(set(named(environment))) == 1  # both were of one row, and nothing was told twice
    assert waker.check()
    assert len(payloads(environment)) == 3  # one is enough


def test_an_event_that_no_later_run_will_take_is_told_again(environment: str):
    """It was written down a moment after a run that began later had looked."""
    waker, (first, second) = told_of(environment, 1, 2)
    ran(environment, 2, second)

    assert waker.check()

    assert [payload["count"] for payload in payloads(environment)] == [1, 1, 1]
    assert queued(environment) == 1
    ran(environment, 3, first)
    waker.check()


def test_a_dag_that_airflow_never_queues_is_not_woken_for_ever(environment: str):
    """As one of another team, whose events are none of its business."""
    waker, (first, _) = told_of(environment, 1, 2)
    waker._register = lambda *arguments: replace(database.register(*arguments), at=NOW + timedelta(minutes=1))
    for _ in range(20):
        ran(environment, 1, first)
        if not waker.check():
            break

    assert not waker._told
    assert len(payloads(environment)) == 2 + 5


def test_a_dag_that_waits_for_partitions_is_not_woken(environment: str):
    from airflow.models.dag import DagModel

    waker, (first, _) = told_of(environment, 1, 2)
    ran(environment, 1, first)
    with session() as found:
        found.get_one(DagModel, dag_of(environment)).timetable_partitioned = True

    assert not waker.check()
    assert len(payloads(environment)) == 2


def test_a_dag_that_is_paused_is_not_woken(environment: str):
    from airflow.models.dag import DagModel

    waker, (first, _) = told_of(environment, 1, 2)
    ran(environment, 1, first)
    with session() as found:
        found.get_one(DagModel, dag_of(environment)).is_paused = True

    assert not waker.check()
    assert len(payloads(environment)) == 2


def test_nobody_is_woken_for_ever(environment: str):
    waker, _ = told_of(environment, 1)
    waker._now = lambda: NOW + timedelta(hours=2)

    assert not waker.check()


def test_the_table_is_where_airflows_own_tables_are():
    code = "from airflow_provider_dynamics.webhooks.ledger import seen_posts; print(seen_posts.fullname)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_SCHEMA": "orchestration"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split()[-1] == "orchestration.dynamics_webhook_post"


def test_the_database_is_the_one_that_was_asked_for(environment: str):
    with session() as found:
        dialect = found.get_bind().dialect.name

    assert environment
    assert dialect == os.environ.get("DYNAMICS_TESTS_DATABASE", "sqlite").partition("+")[0]


def test_all_of_this_holds_on_postgresql_too():
    """Where several really write at a time: SQLite has them wait for each other."""
    try:
        with postgres_server() as server:
            database = f"postgresql+psycopg2://{server.user}:{server.password}@{server.host}:{server.port}/{server.database}"
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__),
                    *("-k", "not postgresql and not busy"),
                ],
                env={**os.environ, "DYNAMICS_TESTS_DATABASE": database},
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
                cwd=Path(__file__).parents[2],
            )
    except CannotStart as error:
        pytest.skip(str(error))

    assert done.returncode == 0, done.stdout[-3_000:]
