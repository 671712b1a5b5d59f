"""What Airflow is told about our pages, and which of them a request reaches."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from airflow_provider_dynamics.plugin import DynamicsPlugin, Pages

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
        "import airflow_provider_dynamics.plugin\n"
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
    code = (
        "from airflow_provider_dynamics.plugin import DynamicsPlugin as p; print(p.external_views[0]['href'])"
    )

    assert in_a_new_process(code, AIRFLOW__API__BASE_URL=base_url) == href


def test_the_page_opens_outside_of_airflows_frame_where_signing_in_works():
    (view,) = DynamicsPlugin.external_views

    assert (view["category"], view["destination"]) == ("admin", "nav")
    assert "url_route" not in view


@pytest.mark.parametrize(
    ("root_path", "path", "page"),
    [
        ("/dynamics", "/dynamics/events/crm", "webhooks"),
        ("/team/airflow/dynamics", "/team/airflow/dynamics/events/crm/host", "webhooks"),
        ("", "/events/crm", "webhooks"),
        ("/dynamics", "/dynamics/", "sign-in"),
        ("/dynamics", "/dynamics/events", "sign-in"),
        ("/dynamics", "/dynamics/sign-in/events/", "sign-in"),
        ("/events", "/events/callback", "sign-in"),
    ],
)
def test_what_dataverse_posts_goes_to_its_door_and_everything_else_to_the_page(
    root_path: str, path: str, page: str
):
    asked: list[str] = []

    def named(name: str):
        async def app(*_: object) -> None:
            asked.append(name)

        return app

    pages = Pages(named("sign-in"), named("webhooks"))
    scope = {"type": "http", "root_path": root_path, "path": path}
    asyncio.run(pages(scope, None, None))  # type: ignore[arg-type]  # neither is asked for anything

    assert asked == [page]
