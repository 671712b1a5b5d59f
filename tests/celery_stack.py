"""Airflow as a company runs it: CeleryExecutor, PostgreSQL, Redis and two worker processes, all on this machine.

It is the ordinary stack with two components more and other settings; Redis also keeps the renewed tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.auth.redis_server import serving
from tests.postgres_server import Postgres, postgres_server
from tests.stack import COMPONENTS, AirflowStack

WORKERS = ("worker-1", "worker-2")
TASKS_EACH = 2
IMPATIENT = {  # a worker is taken for dead after ten seconds without a heartbeat
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}


@contextmanager
def celery_stack(home: Path, dags: Path, environment: Mapping[str, str]) -> Iterator[CeleryStack]:
    """Run it all for one block.

    :raises CannotStart: PostgreSQL does not run here; where there is no Redis the test is skipped
    """
    with postgres_server() as database, serving() as broker:
        settings = {**_settings(database, broker.removesuffix("/0")), **environment}
        with CeleryStack(home, dags, settings, components=_components(home)) as stack:
            stack.revive()
            yield stack


class CeleryStack(AirflowStack):
    """The stack, and what only its workers tell."""

    @property
    def credential_store(self) -> str:
        """The Redis database that keeps renewed tokens."""
        return self.environment["AIRFLOW__DYNAMICS__CREDENTIAL_STORE"]

    def set_pool(self, name: str, slots: int) -> None:
        """Give a pool that exists so many slots."""
        self.call("PATCH", f"/pools/{name}", {"pool": name, "slots": slots, "include_deferred": False})

    def redis_version(self) -> str:
        """Return which server it is: Debian's Redis, or Valkey from PyPI."""
        with redis.Redis.from_url(self.credential_store) as server:
            about = server.info("server")
        return f"{about.get('server_name', 'redis')} {about.get('valkey_version') or about['redis_version']}"

    def revive(self) -> None:
        """Start the workers that were killed, and wait until all take tasks."""
        for name in WORKERS:
            if name not in self._processes:
                self.log_of(name).unlink(missing_ok=True)
                self.begin(name)
        self.wait(self.all_ready, "the workers to be ready", 180)

    def all_ready(self) -> bool:
        return all(self.ready(name) for name in WORKERS)

    def ready(self, worker: str) -> bool:
        """Say whether a worker takes tasks; Celery says so in its log."""
        return f"{worker}@" in (log := self.log_of(worker).read_text()) and " ready." in log

    def started_by(self, worker: str, dag_id: str) -> int:
        """Return how many tasks of a DAG a worker has begun."""
        lines = self.log_of(worker).read_text().splitlines()
        return sum("Executing workload in Celery" in line and f"dag_id='{dag_id}'" in line for line in lines)


def _components(home: Path) -> dict[str, tuple[str, ...]]:
    return {**COMPONENTS, **{name: _worker(home, name) for name in WORKERS}}


def _worker(home: Path, name: str) -> tuple[str, ...]:
    known_as = ("--celery-hostname", f"{name}@%h", "--pid", str(home / f"{name}.pid"))
    quiet = ("--skip-serve-logs", "--without-gossip", "--without-mingle")
    return ("celery", "worker", "--concurrency", str(TASKS_EACH), *known_as, *quiet)


def _settings(database: Postgres, server: str) -> dict[str, str]:
    place = f"{database.user}:{database.password}@{database.host}:{database.port}/{database.database}"
    return {
        "AIRFLOW__CELERY__BROKER_URL": f"{server}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{place}",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{place}",
        "AIRFLOW__DYNAMICS__CREDENTIAL_STORE": f"{server}/1",
        **IMPATIENT,
    }
