"""What Airflow is told about the page: its address and its place in the menu.

Airflow imports this in every process, each task's too, so the page itself is imported at its first request.
https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/plugins.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk.configuration import conf
from airflow.sdk.plugins_manager import AirflowPlugin

__all__ = ["DynamicsPlugin"]

PREFIX = "/dynamics"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class LazyPage:
    """The page's ASGI application, built when first asked for."""

    def __init__(self) -> None:
        self._app: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            from airflow_provider_dynamics.sign_in.app import airflows_app

            self._app = airflows_app()
        await self._app(scope, receive, send)


def _href() -> str:
    """Return the page's path below whatever Airflow is served under."""
    base = conf.get("api", "base_url", fallback="") or ""
    return f"{urlsplit(base).path.rstrip('/')}{PREFIX}/"


class DynamicsPlugin(AirflowPlugin):
    """Puts the page under Admin > Microsoft Dynamics 365.

    There is no `url_route`: Airflow would show the page in a frame, and no sign-in service lets itself be framed.
    """

    name = "dynamics"
    fastapi_apps = [{"name": "dynamics", "app": LazyPage(), "url_prefix": PREFIX}]  # noqa: RUF012 - Airflow's own shape
    external_views = [  # noqa: RUF012 - Airflow's own shape
        {
            "name": "Microsoft Dynamics 365",
            "href": _href(),
            "destination": "nav",
            "category": "admin",
        }
    ]
