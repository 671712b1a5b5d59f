"""What Airflow is told about the page."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from airflow_provider_dynamics.sign_in.plugin import DynamicsPlugin

HEAVY = ("fastapi", "starlette", "sqlalchemy", "jinja2", "cryptography", "msal", "requests")


def in_a_new_process(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip().splitlines()[-1]


def test_importing_the_plugin_brings_in_nothing_heavy_since_every_task_does_it():
    code = (
        "import sys, airflow.sdk.configuration, airflow.sdk.plugins_manager\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_dynamics.sign_in.plugin\n"
        f"print([name for name in {HEAVY} if name in set(sys.modules) - before])"
    )

    assert in_a_new_process(code) == "[]"


@pytest.mark.parametrize(
    ("base_url", "href"),
    [
        pytest.param("https://airflow.test", "/dynamics/", id="at the root"),
        pytest.param("https://airflow.test/team/airflow/", "/team/airflow/dynamics/", id="below a base path"),
    ],
)
def test_the_menu_leads_to_the_page_wherever_airflow_is_served(base_url: str, href: str):
    code = "from airflow_provider_dynamics.sign_in.plugin import DynamicsPlugin as p; print(p.external_views[0]['href'])"

    assert in_a_new_process(code, AIRFLOW__API__BASE_URL=base_url) == href


def test_the_page_opens_outside_of_airflows_frame_where_signing_in_works():
    (view,) = DynamicsPlugin.external_views

    assert (view["category"], view["destination"]) == ("admin", "nav")
    assert "url_route" not in view
