"""What the page says about one connection, worked out before any HTML: its state, its facts, its buttons.

A connection that cannot be understood is shown with the sentence that says why; it never hides the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_dynamics.auth.store import Record, StoreError
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.connection.health import Health, credential_health
from airflow_provider_dynamics.provider_info import get_provider_info

if TYPE_CHECKING:
    from airflow_provider_dynamics.stored import StoredConnection

__all__ = ["Button", "Card", "Fact", "Lasting", "anchor", "card", "for_nobody"]

SOON = 14.0  # days before the end from which the page warns
_FORM = get_provider_info()["connection-types"][0]["conn-fields"]["auth_type"]["schema"]
_MODES: dict[str, str] = _FORM["values_display"]
_PERSON = "refresh_token"
_UNTOLD = "Its fields are not valid. Whoever may change the connection is told here what is wrong with them."
_MAY_NOT = "You may see this connection, but not change it."


@dataclass(frozen=True)
class Fact:
    """A line of a card; `exact` is what a pointer shows, `moment` the time for machines."""

    label: str
    value: str
    exact: str = ""
    moment: str = ""


@dataclass(frozen=True)
class Lasting:
    """How much of a credential's life is left, in days."""

    label: str
    left: float
    whole: float
    text: str
    exact: str

    @property
    def level(self) -> str:
        """The colour of what is left."""
        return "ended" if self.left <= 0 else "ending" if self.left < min(SOON, self.whole / 3) else "lasting"


@dataclass(frozen=True)
class Button:
    """An action; `reason` says why it cannot be done, and is empty where it can."""

    label: str
    reason: str = ""


@dataclass(frozen=True)
class Card:
    """Everything the page shows of a connection; `badge` is one of ok, warning, error, neutral."""

    conn_id: str
    badge: str
    state: str
    environment: str = ""
    facts: tuple[Fact, ...] = ()
    lasting: Lasting | None = None
    trouble: str = ""
    note: str = ""
    sign_in: Button | None = None
    choose: Button | None = None
    test: Button | None = None
    sign_out: Button | None = None

    @property
    def anchor(self) -> str:
        return anchor(self.conn_id)

    @property
    def reasons(self) -> list[str]:
        """Why some of the buttons are off, each said once."""
        buttons = (self.sign_in, self.choose, self.test, self.sign_out)
        return list(dict.fromkeys(button.reason for button in buttons if button and button.reason))


def anchor(conn_id: str) -> str:
    """Return what a connection is called in the page's own links: an id may hold any character."""
    return f"c-{hashlib.sha256(conn_id.encode()).hexdigest()[:10]}"


def for_nobody(settings: Settings, conn_id: str) -> str:
    """Return why there is nobody to sign in to a connection, empty where there is."""
    if settings.auth_type == _PERSON:
        return ""
    mode = _MODES.get(settings.auth_type, settings.auth_type)
    if settings.auth_type == "username_password":
        return (
            f"Connection '{conn_id}' signs in with a password of its own. To sign in with a browser instead, which also works "
            f"with a second factor, set its Auth type to {_MODES[_PERSON]}."
        )
    return (
        f"Connection '{conn_id}' signs in by itself ({mode}), so there is nobody to sign in. For a person's sign-in set its "
        f"Auth type to {_MODES[_PERSON]}."
    )


def card(
    connection: StoredConnection,
    record: Callable[[Settings], Record | None],
    now: float,
    *,
    may_edit: bool,
    no_test: str = "",
) -> Card:
    """Return a connection's card.

    :param record: what the credential store has of it; raises StoreError
    :param now: in epoch seconds
    :param no_test: why connections cannot be tested here
    """
    signed_in, may_not = bool(connection.extra.get("refresh_token")), "" if may_edit else _MAY_NOT
    try:
        asked = connection.extra.get("auth_type") == _PERSON
        settings = connection.settings(signing_in=not signed_in, choosing=asked)
        found, note = _recorded(record, settings)
        health = credential_health(settings, found, now)
    except SettingsError as error:
        return _not_valid(connection, str(error), may_not)
    badge, state = _state(settings, health, signed_in=signed_in)
    return Card(
        connection.conn_id,
        badge,
        state,
        settings.environment if settings.chosen else "",
        facts=_facts(settings, health, signed_in=signed_in),
        lasting=_lasting(health),
        trouble=health.failure.text if health.failure else "",
        note=note,
        **_buttons(settings, may_not, no_test, signed_in=signed_in),
    )


def _not_valid(connection: StoredConnection, trouble: str, may_not: str) -> Card:
    """Return a card that can only be signed in to, and that only where a sign-in would mend it.

    What is wrong may repeat what is in a field, so only those are told who may read it there.
    """
    try:
        person = connection.settings(signing_in=True).auth_type == _PERSON
    except SettingsError:
        person = False
    button = Button("Sign in again", may_not) if person else None
    return Card(
        connection.conn_id, "error", "Not valid", trouble=_UNTOLD if may_not else trouble, sign_in=button
    )


def _recorded(record: Callable[[Settings], Record | None], settings: Settings) -> tuple[Record | None, str]:
    try:
        return record(settings), ""
    except (StoreError, SettingsError) as error:
        return None, f"What became of earlier sign-ins is unknown: {error}"


def _state(settings: Settings, health: Health, *, signed_in: bool) -> tuple[str, str]:
    person = settings.auth_type == _PERSON
    if person and not signed_in:
        return "warning", "Nobody is signed in"
    if health.dead:
        return "error", "Sign-in needed" if person else "Refused"
    if health.failure or not settings.chosen:
        return "warning", "Last sign-in failed" if health.failure else "No environment is chosen"
    if health.days_left is not None and health.days_left <= 0:
        return "error", "Expired"
    if health.days_left is not None and _ends_soon(health):
        return "warning", "Ends soon"
    return ("ok", "Signed in") if person else ("neutral", "Signs in by itself")


def _ends_soon(health: Health) -> bool:
    lasting = _lasting(health)
    return lasting is not None and lasting.level != "lasting"


def _facts(settings: Settings, health: Health, *, signed_in: bool) -> tuple[Fact, ...]:
    facts = [Fact("Auth type", _MODES.get(settings.auth_type, settings.auth_type))]
    if settings.auth_type == _PERSON and not signed_in:
        return tuple(facts)
    if health.user:
        facts.append(Fact("User", health.user))
    if settings.auth_type == _PERSON:
        facts.append(_renewed(health))
    return tuple(facts)


def _renewed(health: Health) -> Fact:
    if health.rotated_at is None or health.days_since_rotation is None:
        return Fact("Token renewed", "not yet", "The token has not been used by this Airflow")
    return Fact(
        "Token renewed",
        _ago(health.days_since_rotation),
        _exact(health.rotated_at),
        health.rotated_at.isoformat(timespec="seconds"),
    )


def _lasting(health: Health) -> Lasting | None:
    if health.days_left is None or health.expires_at is None:
        return None
    start = health.rotated_at
    whole = (health.expires_at - start).total_seconds() / 86_400 if start else 90.0
    ends = f"{health.what.capitalize()} {'ends' if health.days_left > 0 else 'ended'}"
    text = f"in {_span(health.days_left)}" if health.days_left > 0 else _ago(-health.days_left)
    by_default = ", by its service's default" if health.assumed else ""
    return Lasting(ends, max(0.0, health.days_left), whole, text, f"{_exact(health.expires_at)}{by_default}")


def _buttons(settings: Settings, may_not: str, no_test: str, *, signed_in: bool) -> dict[str, Button | None]:
    person = settings.auth_type == _PERSON
    missing = "" if signed_in or not person else "Sign in first."
    if not (missing or settings.chosen):
        missing = "Choose an environment first."
    choosing = person and signed_in and settings.directory
    return {
        "sign_in": Button("Sign in again" if signed_in else "Sign in", may_not) if person else None,
        "choose": Button("Choose environment", may_not) if choosing else None,
        "test": Button("Test", may_not or no_test or missing),
        "sign_out": Button("Sign out", may_not) if person and signed_in else None,
    }


def _ago(days: float) -> str:
    return "just now" if days * 24 * 60 < 2 else f"{_span(days)} ago"


def _span(days: float) -> str:
    hours = days * 24
    if hours < 1:
        return f"{max(1, round(hours * 60))} min"
    if hours < 48:
        return f"{hours:.0f} hour{'' if round(hours) == 1 else 's'}"
    return f"{round(days)} days"


def _exact(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
