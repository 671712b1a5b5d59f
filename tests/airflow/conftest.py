"""Runs DAGs in this process with dag.test(): one metadata database a session, made when first asked for.

https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/debug.html
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import warnings
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

# tests/conftest.py has made the home; what else Airflow reads once, before anything imports it
HOME = Path(os.environ["AIRFLOW_HOME"])
DAGS = HOME / "no-dags"
DAGS.mkdir(exist_ok=True)
os.environ.update(
    {
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-" * 5,
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": os.environ.get(
            "DYNAMICS_TESTS_DATABASE", f"sqlite:///{HOME}/airflow.db"
        ),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
    }
)


@pytest.fixture(scope="session")
def airflow_db():
    """Make the metadata database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own affairs
        from airflow.utils.db import initdb

        initdb()
        mend_dag_test()


def mend_dag_test():
    """Mend dag.test(): it is slow on 3.2, and its triggers cannot talk to Airflow."""
    from airflow.sdk.execution_time import supervisor

    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        # Airflow 3.2 builds its API anew for every task, which takes two seconds
        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)

    if not hasattr(supervisor.InProcessSupervisorComms, "asend"):

        async def asend(self, msg):
            return self.send(msg)

        # dag.test() runs triggers without the asynchronous half of Airflow's channel
        supervisor.InProcessSupervisorComms.asend = asend  # type: ignore[attr-defined]  # that is the point


@dataclass
class Ran:
    """What a DAG run came to, by task."""

    run_id: str
    states: dict[str, str] = field(default_factory=dict)
    xcoms: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    links: dict[str, dict[str, Any]] = field(default_factory=dict)


@pytest.fixture
def run_dag(airflow_db):  # noqa: ARG001 - it only has to be there
    """Run a DAG through Airflow: ``run_dag(dag, at=...)``; the same ``at`` again clears and repeats that run.

    Tasks with retries need ``retry_delay=timedelta(0)``, or dag.test() sits out the delay.
    """

    def run(dag, at=None, conf=None, mark_success_pattern=None) -> Ran:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Airflow's own affairs, but not ours
            warnings.filterwarnings("error", module="airflow_provider_dynamics")
            return _run(dag, at or datetime.now(timezone.utc), conf, mark_success_pattern)

    return run


@pytest.fixture
def dynamics_conn(emulator, monkeypatch):
    """Return the id of a connection to the emulator."""
    for name, value in emulator.airflow_connection("dynamics_default").items():
        monkeypatch.setenv(name, value)
    return "dynamics_default"


@pytest.fixture
def administrator(emulator, monkeypatch):
    """Let the default connection change definitions; return what opens a client with it."""
    from airflow_provider_dynamics.hooks import DynamicsHook

    for name, value in emulator.airflow_connection("dynamics_default").items():
        connection = json.loads(value)
        connection["extra"] = {**connection.get("extra", {}), "allow_metadata_changes": True}
        monkeypatch.setenv(name, json.dumps(connection))
    return DynamicsHook().get_conn


def _run(dag, at, conf, mark_success_pattern=None) -> Ran:
    from airflow.listeners import hookimpl
    from airflow.sdk.listener import get_listener_manager
    from airflow.sdk.serde import deserialize

    class Errors:
        """Keeps the last error of each task; Airflow 3.2 does not give it to callbacks here."""

        def __init__(self):
            self.by_task: dict[str, BaseException] = {}

        @hookimpl
        def on_task_instance_failed(self, task_instance, error):
            self.by_task[task_instance.task_id] = error

    _serialise(dag)
    errors = Errors()
    get_listener_manager().add_listener(errors)
    try:
        finished = dag.test(
            run_after=at, logical_date=at, run_conf=conf, mark_success_pattern=mark_success_pattern
        )
    finally:
        get_listener_manager().pm.unregister(errors)
    ran = Ran(finished.run_id, errors=errors.by_task)
    for ti in finished.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        ran.states[name] = str(ti.state)
        ran.tries[name] = ti.try_number
        with contextlib.suppress(Exception):  # a task that failed has none
            ran.xcoms[name] = deserialize(ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index))
        for link in dag.get_task(ti.task_id).operator_extra_links:
            url = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=link.xcom_key)
            ran.links.setdefault(name, {})[type(link).__name__] = deserialize(url)
    return ran


def _serialise(dag):
    """Write the DAG where dag.test() looks for it: since 3.3 a DAG must be known before it can run."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.2
        from airflow.models.dagbag import DagBag, sync_bag_to_db  # type: ignore[no-redef]

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(str(DAGS), collect_dags=False)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
