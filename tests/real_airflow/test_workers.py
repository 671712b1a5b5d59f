"""The example DAGs on CeleryExecutor with PostgreSQL, Redis and two worker processes, as a company would run them.

The person's refresh tokens have one use each, and using one twice ends the sign-in: only a store that all workers share
makes that work. One pool holds all of them together to what the service takes at a time.
"""

from __future__ import annotations

import csv
import logging
import os
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from airflow_provider_dynamics.emulator import Emulator
from tests.celery_stack import TASKS_EACH, WORKERS, CeleryStack, celery_stack
from tests.postgres_server import CannotStart
from tests.secrecy import leaks
from tests.stack import DagRun

REQUIRED = os.environ.get("DYNAMICS_REQUIRE_WORKERS") == "1"  # CI: nothing of this may be missing there

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        find_spec("celery") is None and not REQUIRED,
        reason="apache-airflow-providers-celery is not installed; it needs Python 3.11",
    ),
]
log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
CONTACTS = 60_000
PARTITIONS = 4  # the example's
EACH = 2  # requests at a time of one task: the connection's Max concurrency
AT_ONCE = 4  # requests at a time that the service takes


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with Emulator(seed="sample", rows={"contact": CONTACTS}) as running:
        yield running


@pytest.fixture(scope="module")
def company(service: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryStack]:
    home, dags = tmp_path_factory.mktemp("celery"), tmp_path_factory.mktemp("dags")
    _write_policy(home)
    _copy_examples(dags)
    person = service.airflow_connection("dynamics_default", "refresh_token", max_concurrency=EACH)
    try:
        with celery_stack(home, dags, person) as stack:
            stack.command("pools", "set", "dynamics", str(PARTITIONS), "for whatever talks to Dynamics")
            log.info("the broker, and the credential store, is %s", stack.redis_version())
            yield stack
        issued = {f"refresh token {n}": token for n, token in enumerate(service._entra.refresh._tokens)}
        assert leaks(home, {"client secret": service.client_secret, **issued}, stack.fernet_key) == []
    except CannotStart as reason:
        if REQUIRED:
            raise
        pytest.skip(str(reason))


@pytest.fixture
def workers(company: CeleryStack) -> CeleryStack:
    """Two workers, also after a test that has killed one."""
    company.revive()
    return company


def _write_policy(home: Path) -> None:
    """Put the policy of docs/scaling.md where Airflow looks for it."""
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    [policy] = re.findall(r"```python\n(# airflow_local_settings\.py.*?)```", page, re.DOTALL)
    (home / "config").mkdir()
    (home / "config" / "airflow_local_settings.py").write_text(policy)


def _copy_examples(dags: Path) -> None:
    shutil.copy(ROOT / "example_dags" / "etl_round_trip.py", dags)
    extract = (ROOT / "example_dags" / "extract_over_workers.py").read_text(encoding="utf-8")
    assert "timedelta(minutes=1)" in extract  # a test does not wait a minute for the retry of a killed task
    (dags / "extract_over_workers.py").write_text(
        extract.replace("timedelta(minutes=1)", "timedelta(seconds=1)")
    )


@pytest.fixture
def dynamics(service: Emulator) -> Emulator:
    """The emulator as it was at first; a refresh token that is used twice ends the sign-in it came from."""
    service.reset()
    service.sign_ins.rotation = "family"
    return service


def sign_ins(dynamics: Emulator) -> list[int]:
    """Return the status of each answer that the token endpoint gave."""
    return [request.status for request in dynamics.requests if request.path.endswith("/oauth2/v2.0/token")]


def readable_in_the_store(workers: CeleryStack, dynamics: Emulator) -> list[str]:
    """Return the refresh tokens that whoever reads the store could use, of the one sign-in that it keeps."""
    with redis.Redis.from_url(workers.credential_store) as store:
        [key] = store.keys("*token*")
        kept = store.hget(key, "record")
    return [token for token in dynamics._entra.refresh._tokens if token.encode() in kept]


def refusals(dynamics: Emulator) -> int:
    return sum(request.status == 429 for request in dynamics.requests)


def tries(run: DagRun) -> list[int]:
    instances = run.stack.call("GET", run.path, limit="100")["task_instances"]
    return sorted(task["try_number"] for task in instances)


def contacts(folder: Path) -> list[str]:
    files = (folder / "contacts").glob("*/part-*.parquet")
    return sorted(row for file in files for row in pq.read_table(file)["contactid"].to_pylist())


def deliver(inbox: Path, rows: int) -> None:
    """The ERP's file: accounts, the last of which Dynamics will refuse."""
    inbox.mkdir(parents=True, exist_ok=True)
    with (inbox / "accounts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "title", "turnover"])
        writer.writerows([f"ERP-{index}", f"Customer {index}", f"{index}.50"] for index in range(1, rows))
        writer.writerow([f"ERP-{rows}", "x" * 500, "1.00"])


def test_the_round_trip_runs_twice_on_several_workers_while_the_service_throttles(
    workers: CeleryStack, dynamics: Emulator, tmp_path: Path
) -> None:
    deliver(tmp_path / "inbox", 20)
    dynamics.fault("limits", servers=1, requests=10, window=2)

    first = workers.run_dag("etl_round_trip", {"lake": tmp_path.as_uri()})
    second = workers.run_dag("etl_round_trip", {"lake": tmp_path.as_uri()})

    assert (first.state, second.state) == ("success", "success")
    assert tries(first) == tries(second) == [1, 1, 1, 1]
    assert refusals(dynamics) > 0
    assert (first.xcom("load_accounts")["written"], first.xcom("load_accounts")["rejected"]) == (19, 1)
    assert [run.xcom("account_changes")["mode"] for run in (first, second)] == ["full", "delta"]
    assert second.xcom("account_changes")["upserts"] == 19
    assert second.xcom("export_accounts")["rows"] == len(dynamics.rows("account"))
    assert sign_ins(dynamics) == [200] * 6  # three tasks a run, each in a process of its own
    assert readable_in_the_store(workers, dynamics) == []


def nobody_reads_until_all_have_begun(workers: CeleryStack, dynamics: Emulator, tasks: int) -> None:
    """Keep the tasks that the pool lets run together from ending one after the other, however slow this machine is."""
    dynamics.fault("status", status=503, retry_after=3, path=r"/contacts\?.*fullname")
    workers.wait(lambda: len(sign_ins(dynamics)) > tasks, "the tasks to begin", every=0.1)
    dynamics.request_seconds = 0.8
    dynamics.clear_faults()
    dynamics.fault("short_page", rows=1500)


@pytest.mark.parametrize(
    ("slots", "refused"),
    [
        pytest.param(AT_ONCE // EACH, False, id="a pool keeps all workers together below the limit"),
        pytest.param(PARTITIONS, True, id="without its bound the service refuses some and no task fails"),
    ],
)
def test_a_partitioned_extract_over_two_workers(
    workers: CeleryStack, dynamics: Emulator, tmp_path: Path, slots: int, *, refused: bool
) -> None:
    workers.set_pool("dynamics", slots)
    before = [workers.started_by(name, "extract_over_workers") for name in WORKERS]

    run_id = workers.trigger("extract_over_workers", {"lake": tmp_path.as_uri()})
    nobody_reads_until_all_have_begun(workers, dynamics, slots)
    dynamics.fault("limits", servers=1, requests=100_000, concurrency=AT_ONCE)
    run = workers.finished("extract_over_workers", run_id)

    assert run.state == "success"
    assert tries(run) == [1] * (PARTITIONS + 2)
    assert contacts(tmp_path) == sorted(row["contactid"] for row in dynamics.rows("contact"))
    assert run.xcom("rows_in_all") == len(dynamics.rows("contact"))
    assert (refusals(dynamics) > 0) is refused
    assert EACH < dynamics.most_at_once <= AT_ONCE
    assert sign_ins(dynamics) == [200] * (PARTITIONS + 1)
    after = [workers.started_by(name, "extract_over_workers") for name in WORKERS]
    assert all(now > then for now, then in zip(after, before, strict=True))


def test_a_worker_that_is_killed_in_the_middle_costs_a_retry_and_no_row(
    workers: CeleryStack, dynamics: Emulator, tmp_path: Path
) -> None:
    workers.set_pool("dynamics", PARTITIONS)
    dynamics.fault("short_page", rows=1000)
    dynamics.latency = 0.5
    victim = WORKERS[1]
    before = workers.started_by(victim, "extract_over_workers")

    run_id = workers.trigger("extract_over_workers", {"lake": tmp_path.as_uri()})
    workers.wait(lambda: len(sign_ins(dynamics)) == PARTITIONS + 1, "every partition's task to sign in")
    workers.wait(lambda: pages(dynamics) >= 2 * PARTITIONS, "the partitions to be read", every=0.05)
    assert workers.started_by(victim, "extract_over_workers") > before
    workers.kill(victim)
    dynamics.latency = 0
    run = workers.finished("extract_over_workers", run_id)

    assert run.state == "success"
    assert max(tries(run)) == 2
    assert tries(run).count(2) <= TASKS_EACH
    assert contacts(tmp_path) == sorted(row["contactid"] for row in dynamics.rows("contact"))
    assert run.xcom("rows_in_all") == len(dynamics.rows("contact"))
    assert set(sign_ins(dynamics)) == {200}


def pages(dynamics: Emulator) -> int:
    return sum(request.path.endswith("/contacts") for request in dynamics.requests)
