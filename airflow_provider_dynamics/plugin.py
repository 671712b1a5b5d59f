"""What Airflow is told about our pages: the sign-in page in the menu, and the door to which Dataverse posts events.

Airflow imports this in every process, each task's too, so each page is imported at its first request.
https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/plugins.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk.configuration import conf
from airflow.sdk.plugins_manager import AirflowPlugin

__all__ = ["DynamicsPlugin", "Pages"]

PREFIX = "/dynamics"
_EVENTS = "/events/"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Lazy:
    """An ASGI application that is built when it is first asked."""

    def __init__(self, build: Callable[[], App]) -> None:
        self._build = build
        self._app: App | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = self._build()
        await self._app(scope, receive, send)


class Pages:
    """Sends what Dataverse posts to the webhooks' door and everything else to the sign-in page."""

    def __init__(self, sign_in: App, webhooks: App) -> None:
        self._sign_in, self._webhooks = sign_in, webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._webhooks if _path_below(scope).startswith(_EVENTS) else self._sign_in
        await app(scope, receive, send)


def _path_below(scope: Scope) -> str:
    """Return the path below where Airflow mounts us: ASGI's path has the mount's own in front."""
    path, root = str(scope.get("path", "")), str(scope.get("root_path", ""))
    return path[len(root) :] if path.startswith(f"{root}/") else path


def _sign_in() -> App:
    from airflow_provider_dynamics.sign_in.app import airflows_app

    return airflows_app()


def _webhooks() -> App:
    from airflow_provider_dynamics.webhooks.app import airflows_app

    return airflows_app()


def _href() -> str:
    """Return the page's path below whatever Airflow is served under."""
    base = conf.get("api", "base_url", fallback="") or ""
    return f"{urlsplit(base).path.rstrip('/')}{PREFIX}/"


class DynamicsPlugin(AirflowPlugin):
    """Puts the page under Admin > Microsoft Dynamics 365, and the door below it.

    There is no `url_route`: Airflow would show the page in a frame, and no sign-in service lets itself be framed.
    """

    name = "dynamics"
    fastapi_apps = [  # noqa: RUF012 - Airflow's own shape
        {"name": "dynamics", "app": Pages(Lazy(_sign_in), Lazy(_webhooks)), "url_prefix": PREFIX}
    ]
    external_views = [  # noqa: RUF012 - Airflow's own shape
        {
            "name": "Microsoft Dynamics 365",
            "href": _href(),
            "destination": "nav",
            "category": "admin",
        }
    ]
