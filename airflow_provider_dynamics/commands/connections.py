"""How a command reads a connection: from wherever Airflow finds it, its database included."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_dynamics import stored
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.hooks import DynamicsHook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_dynamics.connection import Settings
    from airflow_provider_dynamics.stored import StoredConnection

__all__ = ["find"]

_MANY = 10  # ids that a sentence names


def find(conn_id: str, *, choosing: bool = False, environment: str | None = None) -> Callable[[], Settings]:
    """Return what reads the connection's settings; raises SettingsError where there is none, or one of another type.

    :param choosing: its environment may be missing, since one is to be chosen
    :param environment: the URL of another environment than the connection's
    """
    # Airflow's own commands say it like this that they may use the database
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    hook = DynamicsHook(conn_id, environment)
    try:
        connection = hook.get_connection(conn_id)
    except AirflowNotFoundException:
        kept = _stored(conn_id)
        return lambda: kept.settings(choosing=choosing, environment=environment)
    if connection.conn_type != hook.conn_type:
        raise SettingsError(
            f"Connection '{conn_id}' is of type {connection.conn_type}, not of type {hook.hook_name}."
        )
    return lambda: hook.settings_for_choosing if choosing else hook.settings


def _stored(conn_id: str) -> StoredConnection:
    """Return a connection from the database, in which Airflow finds none of a team and none that it cannot read."""
    try:
        ours = stored.stored_connections()
    except SQLAlchemyError as error:
        raise SettingsError(
            f"Neither a secrets backend nor an environment variable holds connection '{conn_id}', and Airflow's database "
            f"cannot be read ({type(error).__name__}). Check [database] sql_alchemy_conn, and run `airflow db migrate`."
        ) from None
    found = next((one for one in ours if one.conn_id == conn_id), None)
    if found is None:
        raise SettingsError(_missing(conn_id, [one.conn_id for one in ours]))
    return found


def _missing(conn_id: str, others: Sequence[str]) -> str:
    ids = ", ".join(others[:_MANY]) + (" and more" if len(others) > _MANY else "")
    named = (
        f"name another one of this type ({ids})"
        if others
        else "name another one (`airflow connections list`)"
    )
    return f"There is no connection '{conn_id}'. Create it first (Admin > Connections), or {named}."
