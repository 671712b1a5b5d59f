"""The way from a connection to a client: everything that Airflow's tasks, triggers and forms ask for goes through it.

The hook keeps nothing: the connection is read whenever it is used, so a corrected one works at once.
"""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook

from airflow_provider_dynamics.compat import aread_extra, mask_secret
from airflow_provider_dynamics.metrics import count_sign_in, gauge_days_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Connection

    from airflow_provider_dynamics.connection import Settings
    from airflow_provider_dynamics.connection.health import Health
    from airflow_provider_dynamics.dataverse import Client, Source
    from airflow_provider_dynamics.dataverse.administration.discovery import Instance

__all__ = ["DynamicsHook", "allowed_authorities", "fields_of", "sign_in_options", "tried"]

_LONGEST = 1900  # characters; Airflow keeps 2,000 of a connection test's result


class DynamicsHook(BaseHook):
    """Reads a connection of type ``dynamics`` and opens clients with it.

    :param dynamics_conn_id: the connection's id
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    conn_name_attr = "dynamics_conn_id"
    default_conn_name = "dynamics_default"
    conn_type = "dynamics"
    hook_name = "Microsoft Dynamics 365"

    def __init__(self, dynamics_conn_id: str = default_conn_name, environment: str | None = None) -> None:
        super().__init__()
        self.dynamics_conn_id = dynamics_conn_id
        self.environment = environment

    @property
    def settings(self) -> Settings:
        """What the connection says now; raises SettingsError."""
        connection = self.get_connection(self.dynamics_conn_id)
        return self._settings(connection, connection.extra_dejson)

    @property
    def settings_for_choosing(self) -> Settings:
        """What the connection says now, whose environment may still be missing; raises SettingsError."""
        connection = self.get_connection(self.dynamics_conn_id)
        return self._settings(connection, connection.extra_dejson, choosing=True)

    async def aget_settings(self) -> Settings:
        """Do the same as `settings` inside an event loop."""
        connection = await self.aget_connection(self.dynamics_conn_id)
        return self._settings(connection, await aread_extra(connection))

    def get_conn(self, **options: Any) -> Client:
        """Open a client, to be used as a context manager; its access tokens are masked in logs.

        The tables it reads and writes are noted in Airflow's lineage of hooks.

        :param options: what else `Settings.client` takes, such as `retry`
        """
        from airflow_provider_dynamics.lineage import used

        client = self.settings.client(**{**sign_in_options(), **options})
        client.on_use = partial(used, self, client.environment)
        return client

    def get_rows(self, query: Source) -> list[dict[str, Any]]:
        """Return all rows of a query, a FetchXML document or a view, in memory: for look-ups, not for exports."""
        with self.get_conn() as client:
            return list(client.rows(query))

    def get_first(self, query: Source) -> dict[str, Any] | None:
        """Return the first row of a query, a FetchXML document or a view, None if there is none."""
        from airflow_provider_dynamics.dataverse.queries.query import first_row

        with self.get_conn() as client:
            return next(client.rows(first_row(query)), None)

    def get_df(self, query: Source, df_type: Literal["pandas", "polars", "arrow"] = "pandas") -> Any:
        """Return all rows of a query, a FetchXML document or a saved query as a data frame, typed by metadata.

        :param df_type: "pandas" (Arrow-backed), "polars" or "arrow"
        """
        from airflow_provider_dynamics.formats import frame, result_fields

        with self.get_conn() as client:
            return frame(client.pages(query), result_fields(client.columns(query)), df_type)

    def environments(self) -> list[Instance]:
        """Return the environments of the connection's cloud that the person who is signed in to it may enter.

        Their `url` is what ``environment`` takes: a task of this may be what others are mapped over.
        """
        return self.settings_for_choosing.environments(**sign_in_options())

    def credential_health(self) -> Health:
        """Say how long the connection's credential still lasts, as far as that is known, and as a metric too.

        Nobody is asked but the connection and the credential store. Raises SettingsError and StoreError.
        """
        from airflow_provider_dynamics.connection.health import credential_health
        from airflow_provider_dynamics.state import credential_store

        settings = self.settings
        health = credential_health(settings, credential_store().load(settings.store_key), time.time())
        if health.days_left is not None:
            gauge_days_left(self.dynamics_conn_id, health.mode, health.days_left)
        return health

    def test_connection(self) -> tuple[bool, str]:
        """Sign in, ask Dataverse who we are, and say so; Airflow's Test button shows the text."""
        from airflow_provider_dynamics.connection import Settings

        def settings() -> Settings:
            connection = self.get_connection(self.dynamics_conn_id)
            fields = fields_of(connection, connection.extra_dejson)
            return Settings.from_fields(**fields, environment=self.environment)

        return tried(settings)

    def _settings(self, connection: Connection, extra: dict[str, Any], *, choosing: bool = False) -> Settings:
        from airflow_provider_dynamics.connection import Settings, SettingsError

        try:
            fields = fields_of(connection, extra)
            return Settings.from_fields(**fields, environment=self.environment, choosing=choosing)
        except SettingsError as error:
            raise SettingsError(f"Connection '{self.dynamics_conn_id}': {error}") from None


def tried(read: Callable[[], Settings]) -> tuple[bool, str]:
    """Sign in with what `read` returns, and say in a sentence what came of it, also where `read` raises SettingsError.

    It signs in whatever tokens this process has, and tries nothing twice: somebody waits for the answer, and Airflow
    gives it a minute.
    """
    from airflow_provider_dynamics.auth.causes import AuthenticationError
    from airflow_provider_dynamics.auth.texts import fitted
    from airflow_provider_dynamics.auth.tokens import TokenCache
    from airflow_provider_dynamics.connection import SettingsError
    from airflow_provider_dynamics.dataverse import RetryPolicy
    from airflow_provider_dynamics.dataverse.errors import DataverseError

    try:
        settings = read()
        with settings.client(**sign_in_options(), retry=RetryPolicy.never(), cache=TokenCache()) as client:
            return True, f"Connected to {client.environment} as {_user(client, settings)}."
    except (SettingsError, AuthenticationError, DataverseError) as error:
        return False, fitted(_without_markup(str(error)), _LONGEST)


def sign_in_options() -> dict[str, Any]:
    """Return what each sign-in of Airflow's is given: the deployment's store, its tokens masked, its outcome counted."""
    from airflow_provider_dynamics.state import credential_store

    return {"store": credential_store(), "on_token": mask_secret, "on_event": count_sign_in}


def allowed_authorities() -> list[str]:
    """Return the sign-in hosts that this deployment trusts besides the clouds' own: `[dynamics] allowed_authorities`."""
    from airflow.sdk.configuration import conf

    listed = conf.get("dynamics", "allowed_authorities", fallback="") or ""
    return listed.replace(",", " ").split()


def fields_of(connection: Connection, extra: dict[str, Any]) -> dict[str, Any]:
    """Return what `Settings.from_fields` takes of a connection and its extra."""
    return {
        "host": connection.host,
        "login": connection.login,
        "password": connection.password,
        "port": connection.port,
        "schema": connection.schema,
        "extra": extra,
        "allowed_authorities": allowed_authorities(),
    }


def _without_markup(text: str) -> str:
    """Return a text that every place shows whole: `airflow connections test` takes [words] in brackets for markup and drops them."""
    return re.sub(r"\[([a-z#/@][^\[\]]*)\]", r"(\1)", text)


def _user(client: Client, settings: Settings) -> str:
    """Return how the environment calls us; reading one's own name takes a privilege that not everybody has."""
    from airflow_provider_dynamics.dataverse.errors import DataverseError

    in_person = settings.caller_object_id or settings.auth_type in {"refresh_token", "username_password"}
    kind = "user" if in_person else "application user"
    user_id = client.who_am_i()["UserId"]
    try:
        name = client.get("systemuser", user_id, select=["fullname"])["fullname"]
    except DataverseError:
        return f"{kind} {user_id}"
    return f"{kind} '{name}' ({user_id})"
