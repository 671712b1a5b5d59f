"""The way from a connection to a client: everything that Airflow's tasks, triggers and forms ask for goes through it.

The hook keeps nothing: the connection is read whenever it is used, so a corrected one works at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook

from airflow_provider_dynamics.compat import aread_extra, mask_secret

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_dynamics.connection import Settings
    from airflow_provider_dynamics.dataverse import Client, Query

__all__ = ["DynamicsHook"]

_LONGEST = 1900  # characters; Airflow keeps 2,000 of a connection test's result


class DynamicsHook(BaseHook):
    """Reads a connection of type ``dynamics`` and opens clients with it.

    :param dynamics_conn_id: the connection's id
    """

    conn_name_attr = "dynamics_conn_id"
    default_conn_name = "dynamics_default"
    conn_type = "dynamics"
    hook_name = "Microsoft Dynamics 365"

    def __init__(self, dynamics_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.dynamics_conn_id = dynamics_conn_id

    @property
    def settings(self) -> Settings:
        """What the connection says now; raises SettingsError."""
        connection = self.get_connection(self.dynamics_conn_id)
        return self._settings(connection, connection.extra_dejson)

    async def aget_settings(self) -> Settings:
        """Do the same as `settings` inside an event loop."""
        connection = await self.aget_connection(self.dynamics_conn_id)
        return self._settings(connection, await aread_extra(connection))

    def get_conn(self, **options: Any) -> Client:
        """Open a client, to be used as a context manager; its access tokens are masked in logs.

        :param options: what else `Settings.client` takes, such as `retry`
        """
        return self.settings.client(**{"on_token": mask_secret, **options})

    def get_rows(self, query: Query) -> list[dict[str, Any]]:
        """Return all rows of a query, in memory: for look-ups, not for exports."""
        with self.get_conn() as client:
            return list(client.rows(query))

    def get_first(self, query: Query) -> dict[str, Any] | None:
        """Return a query's first row, None if there is none."""
        with self.get_conn() as client:
            return next(client.rows(replace(query, top=1, page_size=None)), None)

    def get_df(self, query: Query, df_type: Literal["pandas", "polars", "arrow"] = "pandas") -> Any:
        """Return all rows of a query as a data frame with the table's own types.

        :param df_type: "pandas" (Arrow-backed), "polars" or "arrow"
        """
        from airflow_provider_dynamics.formats import frame

        with self.get_conn() as client:
            return frame(client.pages(query), client.table(query.table), query.select, df_type)

    def test_connection(self) -> tuple[bool, str]:
        """Sign in, ask Dataverse who we are, and say so; Airflow's Test button shows the text.

        Nothing is tried twice: somebody waits for the answer, and Airflow gives it a minute.
        """
        from airflow_provider_dynamics.auth.causes import AuthenticationError
        from airflow_provider_dynamics.connection import Settings, SettingsError
        from airflow_provider_dynamics.dataverse import RetryPolicy
        from airflow_provider_dynamics.dataverse.errors import DataverseError

        try:
            connection = self.get_connection(self.dynamics_conn_id)
            settings = Settings.from_fields(**_fields(connection, connection.extra_dejson))
            with settings.client(on_token=mask_secret, retry=RetryPolicy.never()) as client:
                return True, f"Connected to {client.environment} as {_user(client, settings)}."
        except (SettingsError, AuthenticationError, DataverseError) as error:
            return False, str(error)[:_LONGEST]

    def _settings(self, connection: Connection, extra: dict[str, Any]) -> Settings:
        from airflow_provider_dynamics.connection import Settings, SettingsError

        try:
            return Settings.from_fields(**_fields(connection, extra))
        except SettingsError as error:
            raise SettingsError(f"Connection '{self.dynamics_conn_id}': {error}") from None


def _fields(connection: Connection, extra: dict[str, Any]) -> dict[str, Any]:
    from airflow.sdk.configuration import conf

    listed = conf.get("dynamics", "allowed_authorities", fallback="") or ""
    return {
        "host": connection.host,
        "login": connection.login,
        "password": connection.password,
        "port": connection.port,
        "schema": connection.schema,
        "extra": extra,
        "allowed_authorities": listed.replace(",", " ").split(),
    }


def _user(client: Client, settings: Settings) -> str:
    """Return how the environment calls us; reading one's own name takes a privilege that not everybody has."""
    from airflow_provider_dynamics.dataverse.errors import DataverseError

    kind = "user" if settings.caller_object_id else "application user"
    user_id = client.who_am_i()["UserId"]
    try:
        name = client.get("systemuser", user_id, select=["fullname"])["fullname"]
    except DataverseError:
        return f"{kind} {user_id}"
    return f"{kind} '{name}' ({user_id})"
