"""Airflow's own scheduler, triggerer, dag processor and API server, started as process groups and stopped by id.

What only the real stack shows (deferral, retries, REST) is tested on it, and the demo runs on it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import requests

if TYPE_CHECKING:
    from typing_extensions import Self

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
HEALTHY = {"metadatabase", "scheduler", "triggerer", "dag_processor"}
FINAL_STATES = {"success", "failed"}


class StackError(Exception):
    """The stack did not do what was asked in time; the text names the step and the logs."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class AirflowStack:
    """`home` holds database, logs and settings; `dags` is the folder the dag processor reads."""

    home: Path
    dags: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    components: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: COMPONENTS)
    say: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""
        self._before: Any = signal.SIG_DFL
        self.home.mkdir(parents=True, exist_ok=True)
        self._variables = self._settings()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def fernet_key(self) -> str:
        return self._variables["AIRFLOW__CORE__FERNET_KEY"]

    def _settings(self) -> dict[str, str]:
        # one secret for all components: each checks what the others signed
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            **self.environment,
        }

    def __enter__(self) -> Self:
        # a polite kill of whoever holds the stack must not leave the four components behind
        self._before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        signal.signal(signal.SIGTERM, self._before)

    def start(self) -> None:
        self.say("preparing Airflow's database")
        self.command("db", "migrate")
        self.say("starting scheduler, triggerer, dag processor and API server")
        for name in self.components:
            self.begin(name)
        self.wait(self._healthy, "Airflow to be healthy", seconds=180)

    def begin(self, name: str) -> None:
        """Start one component, for the first time or again; its log goes on where it ended."""
        port = ("--port", str(self.port)) if name == "api-server" else ()
        with self.log_of(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self.components[name], *port],
                env=self._variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a component and all that it started at once, as when its machine is switched off."""
        process = self._processes.pop(name)
        family = [process.pid, *(one.pid for one in psutil.Process(process.pid).children(recursive=True))]
        for number in family:  # a task has a process group of its own
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        process.wait(10)

    def log_of(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def command(self, *arguments: str) -> str:
        """Run one `airflow` command to its end and return what it printed.

        :raises StackError: it failed; the text has its last lines.
        """
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        with self.log_of("commands").open("a") as log:
            log.write(done.stdout + done.stderr)
        if done.returncode:
            raise StackError(f"airflow {' '.join(arguments)} failed: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def stop(self) -> None:
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait(10)
            _signal(process, signal.SIGKILL)  # workers that outlived their parent's group leader
        self._processes.clear()

    def _healthy(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise StackError(f"{name} ended with {process.returncode}; its log is {self.log_of(name)}")
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all((health.get(part) or {}).get("status") == "healthy" for part in HEALTHY)

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 120, every: float = 0.5) -> Any:
        """Ask `condition`, `every` so many seconds, until it answers something true; return that."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer := condition():
                return answer
            time.sleep(every)
        raise StackError(f"waited {seconds:.0f} s for {what}; the logs are in {self.home}")

    def call(self, method: str, path: str, json_body: Any = None, **parameters: str) -> Any:
        """One call of Airflow's REST API as the administrator."""
        if not self._token:
            answer = requests.get(f"{self.url}/auth/token", timeout=30)
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        answer = requests.request(
            method,
            f"{self.url}/api/v2{path}",
            json=json_body,
            params=parameters,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=60,
        )
        if answer.status_code >= 400:
            raise StackError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

    def run_dag(self, dag_id: str, conf: Mapping[str, Any] | None = None, seconds: float = 180) -> DagRun:
        """Trigger a DAG once it is known, wait for the end of the run and return it."""
        return self.finished(dag_id, self.trigger(dag_id, conf), seconds)

    def unpause(self, dag_id: str) -> None:
        self.wait(lambda: self._knows(dag_id), f"the dag processor to read {dag_id}")
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def finished(self, dag_id: str, run_id: str, seconds: float = 180) -> DagRun:
        """Wait for the end of a run and return it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}"
        state = self.wait(
            lambda: (s := self.call("GET", path)["state"]) in FINAL_STATES and s,
            f"run {run_id} of {dag_id} to end",
            seconds,
        )
        return DagRun(self, dag_id, run_id, state)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        self.unpause(dag_id)
        answer = self.call(
            "POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})}
        )
        return str(answer["dag_run_id"])

    def _knows(self, dag_id: str) -> bool:
        errors = self.call("GET", "/importErrors")["import_errors"]
        if errors:
            raise StackError(
                f"a DAG file does not parse: {errors[0]['filename']}: {errors[0]['stack_trace'][-1500:]}"
            )
        return any(dag["dag_id"] == dag_id for dag in self.call("GET", "/dags", limit="100")["dags"])


@dataclass(frozen=True)
class DagRun:
    """A finished run, seen through the REST API."""

    stack: AirflowStack
    dag_id: str
    run_id: str
    state: str

    @property
    def path(self) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances"

    def tasks(self) -> dict[str, dict[str, Any]]:
        return {task["task_id"]: task for task in self.stack.call("GET", self.path)["task_instances"]}

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        value = self.stack.call("GET", f"{self.path}/{task_id}/xcomEntries/{key}", deserialize="true")[
            "value"
        ]
        return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value

    def log(self, task_id: str, attempt: int = 1) -> str:
        """The task's log as text, with what its trigger logged."""
        return json.dumps(self._entries(task_id, attempt), ensure_ascii=False)

    def last_error(self, task_id: str, attempt: int = 1) -> str:
        """The last entry of level ERROR in the task's log, with its exception, as text; empty if there is none."""
        errors = [entry for entry in self._entries(task_id, attempt) if entry.get("level") == "error"]
        return json.dumps(errors[-1], ensure_ascii=False) if errors else ""

    def _entries(self, task_id: str, attempt: int) -> list[dict[str, Any]]:
        answer = self.stack.call("GET", f"{self.path}/{task_id}/logs/{attempt}", full_content="true")
        return [entry for entry in answer["content"] if isinstance(entry, dict)]


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
