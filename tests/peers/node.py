"""Node.js packages that are not ours, installed once from the lock file; where that cannot be, tests are skipped."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "peers"
PINNED = ("package.json", "package-lock.json")
INSTALL_SECONDS = 180
OLDEST = 20


def missing() -> str:
    """Return why Node.js packages cannot run here, or an empty text."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            return f"{name} is not installed"
    version = subprocess.run(
        [program("node"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    if int(version.lstrip("v").split(".", maxsplit=1)[0]) < OLDEST:
        return f"node {version.strip()} is older than {OLDEST}"
    return ""


def installed(cache: Path = CACHE) -> Path:
    """Install what the lock file pins, unless that is done, and return the folder; raises CalledProcessError."""
    wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in PINNED)).hexdigest()
    folder = cache / wanted[:16]
    done = folder / "installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in PINNED:
            shutil.copy(HERE / name, folder)
        subprocess.run(
            [program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=INSTALL_SECONDS,
        )
        done.touch()
    for script in HERE.glob("*.mjs"):  # Node looks for packages beside the file that asks for them
        shutil.copy(script, folder)
    return folder


def program(name: str) -> str:
    """Return a program's path."""
    return shutil.which(name) or name
