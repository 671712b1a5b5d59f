"""`make wheel-check`: the wheel builds, and installed alone in a fresh environment Airflow finds the provider in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
QUESTIONS = """
import json, sys
import airflow_provider_dynamics
from airflow.providers_manager import ProvidersManager
from airflow_provider_dynamics import hooks, operators, sensors, transfers, triggers
manager = ProvidersManager()
print(json.dumps({
    "version": manager.providers["airflow-provider-dynamics"].version,
    "connection": manager.hooks["dynamics"].hook_name,
    "from": airflow_provider_dynamics.__file__,
}))
"""


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"wheel-check: {' '.join(command[:6])} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def say(text: str) -> None:
    print(f"wheel-check: {text}", flush=True)  # noqa: T201 - a command's output


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        say("building the wheel")
        run(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            folder,
            str(ROOT),
            cwd=home,
        )
        (wheel,) = home.glob("*.whl")
        say(f"installing {wheel.name} alone in a fresh environment")
        venv.create(home / "venv", with_pip=True)
        python = str(home / "venv/bin/python")
        pins = str(ROOT / "requirements/dev.txt")
        run(
            python,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "-q",
            "-c",
            pins,
            str(wheel),
            cwd=home,
        )
        environment = {**os.environ, "AIRFLOW_HOME": str(home / "airflow")}
        environment.pop("PYTHONPATH", None)
        say("asking Airflow about it")
        answer = json.loads(run(python, "-c", QUESTIONS, cwd=home, env=environment).splitlines()[-1])
        if not answer["from"].startswith(folder):
            raise SystemExit(f"wheel-check: the package came from {answer['from']}, not from the wheel")
        say(f"OK {answer['connection']} {answer['version']}")


if __name__ == "__main__":
    main()
