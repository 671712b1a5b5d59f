"""Where Airflow's door for events is: below its own address, one for each connection, and for each other environment of one."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from airflow_provider_dynamics.connection.fields import SettingsError

__all__ = ["CONN_ID", "webhook_name", "webhook_url"]

PATH = "dynamics/events"

CONN_ID = re.compile(r"(?!\.{1,2}$)[\w#!()\-.:]{1,250}")
"""The ids of connections that can have a door: Airflow's own characters, but for slashes, and no step up a path."""


def webhook_url(base_url: str, conn_id: str, environment: str | None = None) -> str:
    """Return the URL to which Dataverse posts for a connection; raises SettingsError where there is none.

    :param base_url: Airflow's ``[api] base_url``
    :param environment: the URL of another environment than the connection's
    """
    base = base_url.strip().rstrip("/")
    if not base:
        raise SettingsError(
            "Airflow does not know its own address: set [api] base_url, or give the webhook's url, under which Dynamics "
            f"reaches /{PATH}/{conn_id}."
        )
    if not CONN_ID.fullmatch(conn_id):
        raise SettingsError(
            f"Nothing can be posted to connection '{conn_id}': use one whose id has neither slashes nor backslashes."
        )
    url = f"{base}/{PATH}/{quote(conn_id, safe='')}"
    if not environment:
        return url
    parts = urlsplit(environment if "://" in environment else f"https://{environment}")
    return f"{url}/{parts.netloc.lower()}{parts.path.rstrip('/')}"


def webhook_name(url: str) -> str:
    """Return what the webhook that posts to a URL is called in Dynamics, so that no two Airflows take each other's."""
    return f"Airflow {url.split('://', 1)[-1]}"
