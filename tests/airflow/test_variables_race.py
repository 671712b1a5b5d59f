"""Eight processes with one refresh token, kept in Airflow's own Variables, which know no lock: nothing may be lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.auth.racing import TokenServer

PROCESSES, REFRESHES = 8, 5


@pytest.mark.usefixtures("airflow_db")
def test_no_sign_in_fails_and_the_newest_token_for_one_use_is_kept():
    with TokenServer("one_use") as server:
        seed = server.tokens.issue()
        arguments = ["airflow", server.url, seed, "", str(PROCESSES), str(REFRESHES)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.auth.racing", *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout.splitlines()[-1])

        assert result["failed"] == []
        assert result["kept"] == f"seed-{PROCESSES * REFRESHES}" == server.tokens.newest["seed"]
