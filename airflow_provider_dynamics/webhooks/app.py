"""The door as an ASGI application, with Airflow around it: its connections, its assets and its database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import Route

from airflow_provider_dynamics.webhooks.door import ANSWERED_WITHIN, Door
from airflow_provider_dynamics.webhooks.gathering import Gathering
from airflow_provider_dynamics.webhooks.ledger import Entry, Ledger, Outcome
from airflow_provider_dynamics.webhooks.places import Place, Places
from airflow_provider_dynamics.webhooks.telling import Teller
from airflow_provider_dynamics.webhooks.waking import Aftercare, Waker

__all__ = ["airflows_app", "build_app", "place_of"]

log = logging.getLogger(__name__)

_THREADS = 4  # that look up keys and read bodies; as many look for strangers, and one more writes


def build_app(
    read: Callable[[str, str], Place],
    record: Callable[[Sequence[Entry]], Sequence[Outcome]],
    check: Callable[[], bool] = lambda: False,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    within: float = ANSWERED_WITHIN,
) -> Starlette:
    """Return the door as an ASGI application, to be mounted at /dynamics.

    :param read: returns the place of a connection, in an environment of its own where one is named
    :param record: writes posts down
    :param check: looks after what was told, and says whether to go on; it and ``record`` are called on one thread
    :param within: seconds in which a post with the right key is answered
    """
    from airflow_provider_dynamics.assets import table_asset

    writer = ThreadPoolExecutor(1, "dynamics-events")
    gathering, aftercare = Gathering(record, writer), Aftercare(check, writer, sleep)

    async def recorded(entry: Entry) -> Outcome:
        outcome = await gathering.done(entry)
        if outcome == "told":
            aftercare.begin()
        return outcome

    door = Door(
        places=Places(read, now),
        executor=ThreadPoolExecutor(_THREADS, "dynamics-door"),
        strangers=ThreadPoolExecutor(_THREADS, "dynamics-strangers"),
        record=recorded,
        asset_uri=lambda table, environment: table_asset(table, urlsplit(environment).netloc).uri,
        teller=Teller(log, now),
        now=now,
        sleep=sleep,
        within=within,
    )
    routes = [
        Route(path, door.__call__, methods=["POST"])
        for path in ("/events/{conn_id}", "/events/{conn_id}/{environment:path}")
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


def airflows_app() -> Starlette:
    """Return the door with Airflow around it."""
    from airflow_provider_dynamics.webhooks import database

    waker = Waker(database.session, database.look, database.register, now=_now)
    ledger = Ledger(
        *(database.session, database.assets, database.register),
        told=waker.told,
        now=_now,
        sleep=time.sleep,
    )
    return build_app(place_of, ledger.record, waker.check)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def place_of(conn_id: str, environment: str) -> Place:
    """Return what a connection's door leads to; never raises.

    :param environment: the address, without its scheme, of another environment than the connection's; may be empty
    """
    from airflow_provider_dynamics.connection import SettingsError

    try:
        settings, team = _settings(conn_id, f"https://{environment}" if environment else None)
        keys = settings.webhook_keys
    except LookupError:
        return Place(trouble="there is no such connection")
    except SettingsError as error:
        return Place(trouble=str(error).rstrip("."))
    except Exception as error:  # noqa: BLE001 - a backend is anybody's code, and its words may hold what it keeps
        return Place(trouble=f"the connection could not be read ({type(error).__name__})")
    trouble = "" if keys else "the connection has no Webhook secret"
    on_premises = settings.authority.kind == "adfs"
    return Place(settings.environment, keys, team, on_premises, trouble)


def _settings(conn_id: str, environment: str | None) -> tuple[Any, str | None]:
    """Return a connection's settings and its team, from wherever Airflow has it; raises LookupError, SettingsError."""
    from airflow.configuration import conf
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_provider_dynamics.connection import Settings
    from airflow_provider_dynamics.hooks import DynamicsHook, fields_of

    team = None
    if conf.getboolean("core", "multi_team", fallback=False):
        team = Connection.get_conn_id_to_team_name_mapping([conn_id]).get(conn_id)
    try:
        found = (
            Connection.get_connection_from_secrets(conn_id, team)
            if team
            else Connection.get_connection_from_secrets(conn_id)
        )
    except AirflowNotFoundException:
        raise LookupError from None
    if found.conn_type != DynamicsHook.conn_type:
        raise LookupError
    return Settings.from_fields(**fields_of(found, found.extra_dejson), environment=environment), team
