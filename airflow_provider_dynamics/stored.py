"""Connections in Airflow's own database: what the sign-in page lists, and where it and the command line keep a sign-in.

Only the API server and the command line may reach that database; workers and triggers may not, and Airflow
stops them. https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from airflow.models.connection import Connection
    from airflow.secrets import BaseSecretsBackend

    from airflow_provider_dynamics.auth.store import Record
    from airflow_provider_dynamics.connection import Settings

__all__ = [
    "NotStored",
    "StoredConnection",
    "check_writable",
    "choose_environment",
    "forget_sign_in",
    "keep_sign_in",
    "record_event",
    "stored_connection",
    "stored_connections",
]

CONN_TYPE = "dynamics"
_PERSON = "refresh_token"
PATIENCE = 10.0  # seconds; a task renews a token within them
_T = TypeVar("_T")
_WHERE = {
    "EnvironmentVariablesBackend": "an environment variable",
    "LocalFilesystemBackend": "a file (LocalFilesystemBackend)",
}
_UNREADABLE = (
    "The connection cannot be read: it was encrypted with another Fernet key, or its extra is not JSON. Enter it anew under "
    "Admin > Connections."
)


class NotStored(Exception):
    """A connection cannot be written here; the text says why and where it can be."""


@dataclass(frozen=True)
class StoredConnection:
    """A row of Airflow's connections; `fields` are what `Settings.from_fields` takes, secrets among them.

    `trouble` says why the row could not be read; then `fields` are empty.
    """

    conn_id: str
    fields: Mapping[str, Any] = field(repr=False)
    trouble: str = ""

    @property
    def extra(self) -> Mapping[str, Any]:
        return self.fields.get("extra") or {}

    def moved_to(self, environment: str) -> StoredConnection:
        """Return what the row would be with another Environment URL."""
        at = {"host": environment, "port": None, "schema": None}
        return replace(self, fields={**self.fields, **at})

    def settings(
        self, *, signing_in: bool = False, choosing: bool = False, environment: str | None = None
    ) -> Settings:
        """Return what the row means; raises SettingsError.

        :param signing_in: a sign-in is about to bring a refresh token, so the one there counts for nothing
        :param choosing: its environment may still be missing, since somebody is about to choose one
        :param environment: the URL of another environment than the connection's
        """
        from airflow_provider_dynamics.connection import Settings, SettingsError

        if self.trouble:
            raise SettingsError(self.trouble)
        if not signing_in:
            return Settings.from_fields(**self.fields, choosing=choosing, environment=environment)
        extra = {name: value for name, value in self.extra.items() if name != "refresh_token"}
        return Settings.from_fields(**{**self.fields, "extra": extra}, signing_in=True)


def stored_connections() -> list[StoredConnection]:
    """Return all connections of our type that are in the database, by id."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    ours = select(Connection.conn_id).where(Connection.conn_type == CONN_TYPE).order_by(Connection.conn_id)
    with create_session(scoped=False) as session:
        found = session.scalars(ours).all()
    return [_listed(conn_id) for conn_id in found]


def stored_connection(conn_id: str) -> StoredConnection:
    """Return one connection of our type from the database; raises NotStored where it is not one."""
    return _with_row(conn_id, _read)


def check_writable(conn_id: str) -> None:
    """Raise NotStored unless what is written to a connection will be encrypted, and will be what tasks read."""
    from airflow.configuration import ensure_secrets_loaded
    from airflow.models.crypto import get_fernet

    if not get_fernet().is_encrypted:
        raise NotStored(
            "Airflow would keep the sign-in unencrypted, because [core] fernet_key is empty. Have whoever runs Airflow set a "
            "Fernet key on every component, then sign in."
        )
    team, missing = None, None
    try:
        team = _with_row(conn_id, _team)
    except NotStored as error:
        missing = error  # where it is instead says more
    for backend in ensure_secrets_loaded():
        if type(backend).__name__ != "MetastoreBackend" and _holds(backend, conn_id, team):
            raise NotStored(_shadowed(backend, conn_id))
    if missing:
        raise missing


def keep_sign_in(conn_id: str, *, refresh_token: str, user: str, tenant_id: str = "") -> str:
    """Write a person's sign-in into a connection, encrypted; raises NotStored where that cannot be.

    Whoever was signed in before, if it was somebody else, is forgotten by the credential store too. Returns a
    sentence where that did not work, else "".

    :param user: who signed in, as the sign-in service calls them; empty: the User name stays as it is
    :param tenant_id: the directory they signed in to; it only fills an empty Tenant ID
    """
    check_writable(conn_id)
    before = _readable(conn_id)

    def change(extra: dict[str, Any]) -> None:
        extra |= {"auth_type": _PERSON, "refresh_token": refresh_token}
        if user:
            extra["username"] = user
        if tenant_id and not extra.get("tenant_id"):
            extra["tenant_id"] = tenant_id

    _change_extra(conn_id, change)
    return _forget_former(before, stored_connection(conn_id))


def choose_environment(conn_id: str, environment: str, *, patience: float = PATIENCE) -> None:
    """Write an environment into a connection that a person is signed in to; raises NotStored, StoreError.

    The renewed token moves with it: what the credential store keeps is named after the environment, and a server may
    allow each refresh token a single use.

    :param environment: its URL
    :param patience: seconds to wait for a task that is just renewing the token
    """
    check_writable(conn_id)
    before = _readable(conn_id)
    key = _store_key(before)
    alone = key and not _sharing(key, conn_id)
    with _forgetting(key, patience, after=True) if alone else nullcontext() as record:

        def write(row: Connection) -> None:
            row.host, row.port, row.schema = environment, None, None
            row.extra = json.dumps(_extra(row) | _renewed(before, record))

        _with_row(conn_id, write)


def _renewed(connection: StoredConnection, record: Record | None) -> dict[str, str]:
    """Return the refresh token that descends from the connection's own, as its extra has it; {} where that is still in use."""
    from airflow_provider_dynamics.auth.store import fingerprint

    own = connection.extra.get("refresh_token")
    if not own or record is None or not record.refresh_token:
        return {}
    identity = connection.settings(choosing=True).credential().identity
    return {"refresh_token": record.refresh_token} if fingerprint(own, *identity) == record.seed else {}


def forget_sign_in(conn_id: str, *, patience: float = PATIENCE) -> list[str]:
    """Delete a connection's refresh token and its renewed copy; raises NotStored, or StoreError if the copy stays.

    Returns the ids of the connections for whose sake the copy is kept: the same person is signed in to them with the
    same app, so it is theirs too.

    :param patience: seconds to wait for a task that is just renewing the token
    """
    check_writable(conn_id)
    key = _store_key(_readable(conn_id))
    sharing = _sharing(key, conn_id)
    with nullcontext() if sharing or not key else _forgetting(key, patience):

        def change(extra: dict[str, Any]) -> None:
            extra["refresh_token"] = None

        _change_extra(conn_id, change)
    return sharing


def record_event(event: str, person: str, conn_id: str, **details: str) -> None:
    """Write who did what to a connection into Airflow's audit log (Browse > Audit Log).

    :param person: who is logged in to Airflow
    :param details: what else is worth knowing; never a secret
    """
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    extra = json.dumps({"connection_id": conn_id, **details})
    with create_session(scoped=False) as session:
        session.add(Log(event=event, owner=person, owner_display_name=person, extra=extra))


def _readable(conn_id: str) -> StoredConnection:
    connection = stored_connection(conn_id)
    if connection.trouble:
        raise NotStored(connection.trouble)
    return connection


def _store_key(connection: StoredConnection) -> str:
    """Return the name under which the credential store keeps a person's sign-in, "" where there can be none."""
    from airflow_provider_dynamics.connection import SettingsError

    try:
        settings = connection.settings(signing_in=True)
    except SettingsError:
        return ""  # nothing was ever renewed with such settings
    return settings.store_key if settings.auth_type == _PERSON else ""


def _sharing(key: str, conn_id: str) -> list[str]:
    """Return the other connections that somebody is signed in to under the same key."""
    return [
        one.conn_id
        for one in stored_connections()
        if key and one.conn_id != conn_id and one.extra.get("refresh_token") and _store_key(one) == key
    ]


@contextmanager
def _forgetting(key: str, patience: float = PATIENCE, *, after: bool = False) -> Iterator[Record | None]:
    """Delete a renewed token, and let nobody renew it meanwhile; raises StoreError.

    With `after` it is deleted when the block has ended well, which may write it down elsewhere.
    """
    from airflow_provider_dynamics.state import credential_store

    store = credential_store()
    with store.lock(key, patience):
        record = store.load(key) if after else None
        if not after:
            store.delete(key)
        yield record
        if after:
            store.delete(key)


def _forget_former(before: StoredConnection, after: StoredConnection) -> str:
    from airflow_provider_dynamics.auth.store import StoreError
    from airflow_provider_dynamics.connection import SettingsError

    key = _store_key(before)
    if key in {"", _store_key(after)} or _sharing(key, before.conn_id):
        return ""
    try:
        with _forgetting(key):
            return ""
    except (StoreError, SettingsError) as error:
        return f"The renewed token of the sign-in before could not be deleted: {error}"


def _change_extra(conn_id: str, change: Callable[[dict[str, Any]], None]) -> None:
    def write(row: Connection) -> None:
        extra = _extra(row)
        change(extra)
        row.extra = json.dumps(extra)

    _with_row(conn_id, write)


def _with_row(conn_id: str, do: Callable[[Connection], _T]) -> _T:
    """Let something be done with a connection's row, in a transaction of its own; raises NotStored."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from cryptography.fernet import InvalidToken
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        try:
            row = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        except InvalidToken:  # Airflow decrypts a password while it loads the row
            raise NotStored(_UNREADABLE) from None
        if row is None:
            raise NotStored(
                f"Connection '{conn_id}' is not in Airflow's database, and only there a sign-in can be kept. Create it under "
                "Admin > Connections; one in a secrets backend or an environment variable is changed where it lives."
            )
        if row.conn_type != CONN_TYPE:
            raise NotStored(
                f"Connection '{conn_id}' is of type '{row.conn_type}'. Choose one of type Microsoft Dynamics 365."
            )
        return do(row)


def _listed(conn_id: str) -> StoredConnection:
    """Read one of many: that one cannot be read must not hide the others."""
    try:
        return stored_connection(conn_id)
    except NotStored as error:
        return StoredConnection(conn_id, {}, str(error))


def _read(row: Connection) -> StoredConnection:
    from cryptography.fernet import InvalidToken

    from airflow_provider_dynamics.hooks import allowed_authorities

    try:
        fields = {name: getattr(row, name) for name in ("host", "login", "password", "port", "schema")}
        fields["extra"] = _extra(row)
    except (InvalidToken, ValueError, NotStored):
        return StoredConnection(row.conn_id, {}, _UNREADABLE)
    fields["allowed_authorities"] = allowed_authorities()
    return StoredConnection(row.conn_id, fields)


def _extra(row: Connection) -> dict[str, Any]:
    """Return a row's extra; raises NotStored where it is no object, ValueError where it is no JSON."""
    if not isinstance(json.loads(row.extra or "{}"), dict):
        raise NotStored(_UNREADABLE)
    return dict(row.extra_dejson)  # so read, its secrets are masked in this process's log from now on


def _team(row: Connection) -> str | None:
    from airflow.configuration import conf

    return row.team_name if conf.getboolean("core", "multi_team") else None


def _holds(backend: BaseSecretsBackend, conn_id: str, team: str | None) -> bool:
    asked = {"team_name": team} if team else {}  # a backend without teams need not know the word
    try:
        return backend.get_connection(conn_id, **asked) is not None
    except Exception as error:  # noqa: BLE001 - a backend is anybody's code, and its words may hold what it keeps
        raise NotStored(
            f"{type(backend).__name__}, the secrets backend that Airflow asks before its own database, failed when it was asked "
            f"for connection '{conn_id}' ({type(error).__name__}), so a sign-in may be kept where no task reads it. Try again "
            "when the backend answers."
        ) from None


def _shadowed(backend: BaseSecretsBackend, conn_id: str) -> str:
    name = type(backend).__name__
    return (
        f"Connection '{conn_id}' lives in {_WHERE.get(name, f'a secrets backend ({name})')}, which Airflow reads before its "
        "own database, so a sign-in kept here would never be used. Sign in with `airflow dynamics login` to a connection in "
        "the database, and remove this one from there."
    )
