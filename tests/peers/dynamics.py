"""The npm client `dynamics-web-api`, unmodified, in a Node.js process that trusts the emulator's authority.

https://github.com/AleksandrRogov/DynamicsWebApi
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_dynamics.emulator import Emulator
from tests.peers.node import program

if TYPE_CHECKING:
    from typing_extensions import Self


class Refused(Exception):
    """What the client threw: the service's message, its code, and the HTTP status."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error["message"]))
        self.code = error.get("code")
        self.status = error.get("status")


def call(name: str, *arguments: Any) -> dict[str, Any]:
    """Describe one call of the client's methods."""
    return {"call": name, "arguments": arguments}


class DynamicsWebApi:
    """The running client; a context manager."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self._folder = folder
        self._emulator = emulator

    def __enter__(self) -> Self:
        self._log = (self._folder / "dynamics.log").open("w+")
        self._process = subprocess.Popen(
            [program("node"), "dynamics.mjs"],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": self._emulator.ca_bundle},
        )
        self._say({"serverUrl": self._emulator.url, "token": self._emulator.access_token()})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process, self._log:
            self._stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def ask(self, name: str, *arguments: Any) -> Any:
        """Call one method and return its answer; raises Refused."""
        return self._asked(call(name, *arguments))

    def batch(self, *calls: dict[str, Any], **options: Any) -> Any:
        """Send several calls as one $batch and return their answers; raises Refused."""
        return self._asked({"batch": calls, "options": options})

    def _asked(self, what: dict[str, Any]) -> Any:
        self._say(what)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the client ended: {Path(self._log.name).read_text()[-1000:]}"
        said = json.loads(line)
        if "error" in said:
            raise Refused(said["error"])
        return said.get("answer")

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _say(self, what: dict[str, Any]) -> None:
        self._stdin.write(json.dumps(what) + "\n")
        self._stdin.flush()
