"""`make test-matrix`: the tests on every Airflow, Python and set of dependencies that the README promises, as far as they are here.

One row of the table is one environment of its own below .venv-matrix, with its logs beside it. Pythons are looked
for by name and among pyenv's; with uv installed, it finds or fetches them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".venv-matrix"
_SUMMARY = re.compile(r"^=+ (.* in \d[\d.]*s.*?) =+$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """One environment: a Python, and the file of the versions that go into it."""

    name: str
    python: str
    requirements: str
    promise: str


CELLS = (
    Cell("newest-3.10", "3.10", "dev.txt", "newest Airflow and dependencies, oldest Python"),
    Cell("newest-3.13", "3.13", "dev.txt", "newest Airflow and dependencies, newest Python"),
    Cell("oldest-3.13", "3.13", "oldest.txt", "oldest Airflow, newest Python"),
    Cell("lowest-3.10", "3.10", "lowest.txt", "oldest Airflow, lowest dependencies, oldest Python"),
    Cell("next-3.11", "3.11", "next.txt", "Airflow's newest pre-release"),
)


def interpreter(version: str) -> str | None:
    """Return a Python of this version, None where there is none."""
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return found  # pyenv's are there by name even where they do not run
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    if pyenv:
        return str(pyenv[-1])
    if uv := shutil.which("uv"):
        done = subprocess.run([uv, "python", "find", version], capture_output=True, text=True, check=False)
        return done.stdout.strip() or None
    return None


def prepared(cell: Cell, python: str) -> Path:
    """Make the cell's environment, unless it is there as it should be; return its Python."""
    place = HOME / cell.name
    ready, wanted = place / "ready", (ROOT / "requirements" / cell.requirements).read_text()
    executable = place / "bin" / "python"
    if ready.exists() and ready.read_text() == wanted:
        return executable
    shutil.rmtree(place, ignore_errors=True)
    pip = [str(executable), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    commands = (
        [python, "-m", "venv", str(place)],
        [*pip, "-r", f"requirements/{cell.requirements}"],
        [*pip, "--no-deps", "--no-build-isolation", "-e", "."],
    )
    with (HOME / f"{cell.name}-install.log").open("wb") as log:
        for command in commands:
            subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=True)
    ready.write_text(wanted)
    return executable


def tried(cell: Cell, arguments: list[str]) -> tuple[str, str]:
    """Run the tests in one cell; return how it ended and pytest's last line."""
    python = interpreter(cell.python)
    if python is None:
        return "not here", f"Python {cell.python} was not found"
    try:
        executable = prepared(cell, python)
    except subprocess.CalledProcessError as error:
        return "FAILED", f"exit code {error.returncode}, see {HOME.name}/{cell.name}-install.log"
    log = HOME / f"{cell.name}.log"
    command = [str(executable), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    with log.open("wb") as output:
        code = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False)
    summaries = _SUMMARY.findall(log.read_text(errors="replace"))  # what its threads say may come behind it
    return ("passed" if code.returncode == 0 else "FAILED"), (summaries or ["no summary"])[-1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-matrix", description=__doc__)
    parser.add_argument("--only", action="append", choices=[cell.name for cell in CELLS], help="a row")
    options, arguments = parser.parse_known_args()
    HOME.mkdir(exist_ok=True)
    worst = 0
    for cell in CELLS:
        if options.only and cell.name not in options.only:
            continue
        began = time.monotonic()
        ended, last = tried(cell, arguments)
        worst |= ended == "FAILED"
        print(  # noqa: T201 - a command's output
            f"{cell.name:12} {cell.promise:52} {ended:8} {time.monotonic() - began:6.0f} s  {last}",
            flush=True,
        )
    return worst


if __name__ == "__main__":
    sys.exit(main())
