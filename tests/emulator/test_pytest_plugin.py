"""The fixture other people's tests get, and what the package costs those who do not use it."""

from __future__ import annotations

import os
import subprocess
import sys

PLUGIN = "airflow_provider_dynamics.emulator.pytest_plugin"
HEAVY = "('uvicorn', 'sqlalchemy', 'cryptography', 'starlette', 'requests', 'msal', 'odata_query')"


# what else is installed has no part in this, and takes its time to load
ALONE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def python(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=ALONE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_fixture_gives_a_fresh_emulator_to_each_test(tmp_path):
    (tmp_path / "test_theirs.py").write_text(
        """
import requests

def write(emulator):
    headers = {"Authorization": f"Bearer {emulator.access_token()}"}
    url = f"{emulator.url}/api/data/v9.2/accounts"
    return requests.post(url, json={"name": "Theirs"}, headers=headers, verify=emulator.ca_bundle, timeout=20)

def test_first(dynamics_emulator):
    assert write(dynamics_emulator).status_code == 204
    assert "Theirs" in [row["name"] for row in dynamics_emulator.rows("account")]

def test_second(dynamics_emulator):
    assert "Theirs" not in [row["name"] for row in dynamics_emulator.rows("account")]
    assert dynamics_emulator.requests == []
"""
    )
    plugins = ["-p", PLUGIN, "-p", "no:cacheprovider"]
    result = python("-m", "pytest", "-q", "-W", "error", *plugins, "test_theirs.py", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


def test_the_options_fixture_changes_what_is_started(tmp_path):
    (tmp_path / "test_theirs.py").write_text(
        """
import pytest

@pytest.fixture(scope="session")
def dynamics_emulator_options():
    return {"seed": None, "rows": {"account": 3}}

def test_rows(dynamics_emulator):
    assert len(dynamics_emulator.rows("account")) == 3
"""
    )
    plugins = ["-p", PLUGIN, "-p", "no:cacheprovider"]
    result = python("-m", "pytest", "-q", "-W", "error", *plugins, "test_theirs.py", cwd=tmp_path)
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_loading_the_plugin_loads_no_library_of_the_emulator():
    code = f"import sys, {PLUGIN}; sys.exit(', '.join(set(sys.modules) & set({HEAVY})) or 0)"
    result = python("-c", code)
    assert result.returncode == 0, result.stderr


def test_without_the_extra_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['uvicorn'] = None\nfrom airflow_provider_dynamics.emulator import Emulator"
    )
    result = python("-c", code)
    assert 'pip install "airflow-provider-dynamics[emulator]"' in result.stderr
    assert "uvicorn" in result.stderr.splitlines()[-1]
