"""The order of the doctor's checks, and which of them cannot be made once an earlier one has failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from airflow_provider_dynamics.auth import AccessToken, AuthenticationError, Network
from airflow_provider_dynamics.auth.store import Record, StoreError
from airflow_provider_dynamics.commands import checks
from airflow_provider_dynamics.commands.checks import Caller
from airflow_provider_dynamics.commands.claims import claims, claims_of
from airflow_provider_dynamics.commands.findings import Finding, failed
from airflow_provider_dynamics.commands.probes import Answer, ask
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.connection.health import credential_health
from airflow_provider_dynamics.dataverse import Client, Query
from airflow_provider_dynamics.dataverse.errors import DataverseError, UnknownTable

__all__ = ["CHECKS", "Tools", "examine"]

CHECKS = (
    "settings",
    "environment",
    "authority",
    "clock",
    "token",
    "credential",
    "claims",
    "user",
    "privileges",
    "tables",
)

_USUAL_TABLES = ("account", "contact")
_STORE = (
    "See that [dynamics] credential_store names a store that this machine reaches. Without one it is Airflow's own "
    "database, which `airflow db migrate` makes"
)


@dataclass(frozen=True)
class Tools:
    """What an examination uses of the world: the sign-in, the environment, the store, the network, the time."""

    tenant: Callable[[Settings], str | None]
    sign_in: Callable[[Settings], AccessToken]
    client: Callable[[Settings], Client]
    record: Callable[[Settings], Record | None]
    ask: Callable[[str, Network], Answer] = ask
    now: Callable[[], float] = time.time


def examine(
    read: Callable[[], tuple[Settings, Sequence[str]]], tools: Tools, tables: Sequence[str] = ()
) -> Iterator[Finding]:
    """Yield each check's finding as it is made.

    `read` returns the settings with what was odd about them. `tables` must be readable; where none is named, the usual ones are looked at, and their absence is no
    failure.
    """
    try:
        settings, odd = read()
    except SettingsError as error:
        yield Finding("settings", "fail", str(error))
        for check in CHECKS[1:]:
            yield Finding(check, "skipped", "The connection's fields come first.")
        return
    yield checks.settings(settings, odd)
    yield from _Examination(settings, tools, tuple(tables)).findings()


class _Examination:
    """One run through the checks; it keeps what later checks need of earlier ones."""

    def __init__(self, settings: Settings, tools: Tools, tables: tuple[str, ...]) -> None:
        self._settings = settings
        self._tools = tools
        self._tables = tables
        self._answers: list[Answer] = []
        self._token: AccessToken | None = None
        self._reached = self._has_authority = False

    def findings(self) -> Iterator[Finding]:
        yield self._environment()
        yield self._authority()
        yield checks.clock(self._answers, self._settings.auth_type)
        yield self._sign_in()
        yield self._credential()  # afterwards: a sign-in renews a refresh token
        yield self._claims()
        yield from self._inside()

    def _environment(self) -> Finding:
        settings = self._settings
        url = f"{settings.environment}/api/data/{settings.api_version}/WhoAmI"
        try:
            answer = self._tools.ask(url, settings.network)
        except DataverseError as error:
            return failed("environment", error)
        self._answers.append(answer)
        found = checks.environment(answer, settings)
        self._reached = found.status != "fail"
        return found

    def _authority(self) -> Finding:
        settings = self._settings
        if settings.auth_type == "managed_identity":
            self._has_authority = True
            return Finding(
                "authority", "skipped", "A managed identity gets its tokens from the machine itself."
            )
        try:
            tenant_id = self._tools.tenant(settings)
            answer = self._tools.ask(checks.configuration_url(settings, tenant_id), settings.network)
        except (AuthenticationError, DataverseError) as error:
            return failed("authority", error)
        self._answers.insert(0, answer)  # whose clock decides about a signed assertion
        found = checks.authority(answer, settings)
        self._has_authority = found.status != "fail"
        return found

    def _credential(self) -> Finding:
        try:
            record = self._tools.record(self._settings)
        except StoreError as error:
            return Finding("credential", "fail", str(error), _STORE)
        return checks.credential(credential_health(self._settings, record, self._tools.now()))

    def _sign_in(self) -> Finding:
        if not self._has_authority:
            return Finding("token", "skipped", "The sign-in service comes first.")
        try:
            self._token = self._tools.sign_in(self._settings)
        except AuthenticationError as error:
            return failed("token", error)
        except StoreError as error:
            return Finding("token", "fail", str(error))
        left = max(0.0, self._token.expires_at - self._tools.now()) / 60
        return Finding("token", "ok", f"Signed in: the access token is valid for {left:.0f} min.")

    def _claims(self) -> Finding:
        if self._token is None:
            return Finding("claims", "skipped", "There is no token.")
        return claims(claims_of(self._token.secret), self._settings)

    def _inside(self) -> Iterator[Finding]:
        missing = "There is no token." if self._token is None else "The environment comes first."
        if self._token is None or not self._reached:
            yield from (Finding(check, "skipped", missing) for check in CHECKS[-3:])
            return
        with self._tools.client(self._settings) as client:
            try:
                caller = _caller(client)
            except (DataverseError, AuthenticationError) as error:
                yield failed("user", error)
                yield from (
                    Finding(check, "skipped", "The environment does not let the connection in.")
                    for check in CHECKS[-2:]
                )
                return
            yield checks.user(caller, self._settings)
            yield checks.privileges(caller)
            for name in self._tables or _USUAL_TABLES:
                yield self._table(client, caller, name)

    def _table(self, client: Client, caller: Caller, name: str) -> Finding:
        needed = bool(self._tables)
        try:
            table = client.table(name)
            next(client.rows(Query(name, select=[table.primary_id], top=1)), None)
        except UnknownTable as error:
            if not needed:
                return Finding(
                    "tables", "skipped", f"This environment has no table {name}; name others with --table."
                )
            return failed("tables", error)
        except (DataverseError, AuthenticationError) as error:
            return failed("tables", error, status="fail" if needed else "warn")
        return checks.table(name, caller, change_tracking=table.change_tracking)


def _caller(client: Client) -> Caller:
    """Return who we are; more than the id takes privileges that not everybody has."""
    user_id = str(client.who_am_i()["UserId"])
    caller = Caller(user_id)
    with suppress(DataverseError):
        row = client.get("systemuser", user_id, select=["fullname"])
        caller = replace(caller, name=str(row.get("fullname") or ""))
    with suppress(DataverseError):
        expand = "systemuserroles_association($select=name)"
        row = client.get("systemuser", user_id, select=["systemuserid"], expand=expand)
        roles = {str(role.get("name")) for role in row.get("systemuserroles_association") or ()}
        caller = replace(caller, roles=tuple(sorted(roles)))
    with suppress(DataverseError):
        caller = replace(caller, privileges=client.privileges(user_id))
    return caller
