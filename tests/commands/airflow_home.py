"""Airflow's own command line, as an administrator has it: a home of its own, a database, a Fernet key."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys

from cryptography.fernet import Fernet

LONGEST = 120  # seconds a command may take on a busy machine


class AirflowHome:
    """Runs `airflow` commands; each is a process of its own."""

    def __init__(self, folder):
        self.folder = folder
        self._key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        self._variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__FERNET_KEY": self._key,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
            "COLUMNS": "500",
        }

    def start(self, *arguments, **variables):
        """Start a command that minds Ctrl-C; its output comes line by line from `stdout`."""
        # tests that run in the background may have been told to ignore it, and a child inherits that
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", *arguments],
                env={**self._variables, "PYTHONUNBUFFERED": "1", **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def run(self, *arguments, **variables):
        """Run a command to its end; return its exit code and what it printed."""
        process = self.start(*arguments, **variables)
        try:
            out, err = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
        return process.returncode, out, err

    def make(self, connections):
        """Make the database, with connections by id."""
        code, out, err = self.run("db", "migrate")
        assert code == 0, out + err
        file = self.folder / "connections.json"
        file.write_text(json.dumps(connections))
        code, out, err = self.run("connections", "import", str(file))
        assert code == 0, out + err

    def kept(self, conn_id):
        """Return a connection's extra, which stands in the database encrypted."""
        with sqlite3.connect(self.folder / "airflow.db") as database:
            kept, encrypted = database.execute(
                "select extra, is_extra_encrypted from connection where conn_id = ?", [conn_id]
            ).fetchone()
        database.close()
        assert encrypted
        return json.loads(Fernet(self._key).decrypt(kept.encode()))
