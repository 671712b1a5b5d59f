"""`airflow dynamics login`: a person signs in, and the connection keeps it.

Whether the sign-in can be kept is settled before anybody is asked to sign in.
"""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow.utils.cli import action_cli, suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_dynamics import stored
from airflow_provider_dynamics.auth import AuthenticationError, code_flow
from airflow_provider_dynamics.auth.authorities import DEVICE_CODE, unavailable
from airflow_provider_dynamics.commands.form import auth_type_label
from airflow_provider_dynamics.commands.loopback import Loopback
from airflow_provider_dynamics.commands.terminal import AFTER_CTRL_C, Terminal
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.connection.health import ADFS_DAYS, ENTRA_DAYS
from airflow_provider_dynamics.stored import NotStored

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.authority import Signed, SignIn
    from airflow_provider_dynamics.auth.code_flow import CodeFlow, DeviceFlow

__all__ = ["Declined", "Flows", "Person", "by_browser", "by_device_code", "check_way", "farewell", "login"]

PATIENCE = 600.0  # seconds that a person has for signing in with the browser
_WAITING = "Waiting for the sign-in (Ctrl-C stops) …"


class Declined(Exception):
    """A sign-in that did not come to its end on this side; the text says why."""


@dataclass(frozen=True)
class Flows:
    """The sign-in service's side of a person's sign-in."""

    start_device: Callable[..., DeviceFlow] = code_flow.start_device_flow
    poll_device: Callable[..., Signed | None] = code_flow.poll_device_flow
    start_code: Callable[..., CodeFlow] = code_flow.start_code_flow
    finish_code: Callable[..., Signed] = code_flow.finish_code_flow


@dataclass(frozen=True)
class Person:
    """Who signs in: reached by `say`, waited for by `sleep`, with a browser that opens an address if there is one."""

    say: Callable[[str], None]
    open_browser: Callable[[str], bool]
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    patience: float = PATIENCE


@action_cli  # type: ignore[untyped-decorator]  # Airflow's own
@suppress_logs_and_warning
@providers_configuration_loaded
def login(args: Namespace) -> None:
    """Sign a person in and write the sign-in into the connection; exit with 1 where that fails."""
    terminal = Terminal()
    person = Person(terminal.say, _open_browser)
    try:
        settings = _prepared(args, person)
        sign_in, flows = settings.sign_in(), Flows()
        if args.browser:
            signed = by_browser(sign_in, person, flows, args.port or 0)
        else:
            signed = by_device_code(sign_in, person, flows)
        left = stored.keep_sign_in(
            args.conn_id,
            refresh_token=signed.refresh_token or "",
            user=signed.user,
            tenant_id=signed.tenant_id,
        )
    except (SettingsError, NotStored, AuthenticationError, Declined) as error:
        terminal.say(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        terminal.say("\nStopped; the connection is as it was.")
        raise SystemExit(AFTER_CTRL_C) from None
    terminal.say(farewell(args.conn_id, settings, signed, person.now(), left))


def by_device_code(sign_in: SignIn, person: Person, flows: Flows) -> Signed:
    """Show a code, and wait until somebody has entered it; raises AuthenticationError.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
    """
    flow = flows.start_device(sign_in)
    person.say(f"\nOpen {flow.verification_uri} in any browser, on any machine, and enter the code\n")
    person.say(f"    {flow.user_code}\n")
    person.say(_WAITING)
    pause = 0.0
    while True:
        person.sleep(max(0.0, min(max(pause, flow.interval), flow.expires_at - person.now())))
        try:
            signed, pause = flows.poll_device(sign_in, flow, now=person.now), 0.0
        except AuthenticationError as error:
            if not error.retryable:
                raise
            # a network's bad minute must not cost the person another sign-in
            signed, pause = None, error.retry_after or 2 * max(pause, flow.interval)
        if signed is not None:
            return signed


def by_browser(sign_in: SignIn, person: Person, flows: Flows, port: int = 0) -> Signed:
    """Send a browser to the sign-in service and wait for it to come back to this machine; raises AuthenticationError or Declined.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
    """
    with _listening(port) as loopback:
        flow = flows.start_code(sign_in, loopback.redirect_uri)
        loopback.expect(str(flow.kept["state"]))
        _send(person, flow.url, loopback)
        try:
            answer = loopback.wait(person.patience)
        except TimeoutError:
            raise Declined(
                f"Nobody came back within {person.patience / 60:.0f} minutes. If the sign-in service complained about the "
                "redirect URI, add http://localhost to the app registration (Authentication), then run the command again."
            ) from None
    return flows.finish_code(sign_in, flow.kept, answer, now=person.now)


def _listening(port: int) -> Loopback:
    try:
        return Loopback(port)
    except (OSError, OverflowError) as error:
        raise Declined(f"Port {port} cannot be used ({error}). Choose another with --port.") from None


def _send(person: Person, url: str, loopback: Loopback) -> None:
    """Open the sign-in page, or say how to; raises Declined for an address that a browser must not open."""
    if not url.startswith("https://"):
        raise Declined(
            "The sign-in service's page has no https address, so it is not opened. Check Authority."
        )
    opened = person.open_browser(url)
    says = (
        "A browser has been opened. If it does not show the sign-in, open" if opened else "Open this address"
    )
    person.say(f"\n{says}:\n\n    {url}\n")
    if not opened:
        person.say(
            f"The browser must reach this machine at {loopback.redirect_uri}. From another machine, forward the port "
            f"first: ssh -L {loopback.port}:localhost:{loopback.port} <this machine>\n"
        )
    person.say(_WAITING)


def farewell(conn_id: str, settings: Settings, signed: Signed, now: float, left: str = "") -> str:
    """Return the last words: who signed in, where to, how long that holds, and what is `left` of the sign-in before."""
    who = signed.user or "somebody the sign-in service did not name"
    where = f" for {settings.environment}" if settings.chosen else ""
    kept = f"\nSigned in as {who}{where}; connection '{conn_id}' keeps it."
    last = f"To see what it may do: airflow dynamics doctor {conn_id}"
    if not settings.chosen:
        last = (
            f"It has no Environment URL yet. To see which there are: airflow dynamics environments {conn_id}. Enter one under Admin "
            "> Connections, or choose it under Admin > Microsoft Dynamics 365."
        )
    return "\n".join(filter(None, [kept, _life(settings, now), left, last]))


def check_way(settings: Settings, *, browser: bool, port: int | None) -> None:
    """Raise Declined for a way of signing in that does not exist for this connection."""
    if browser:
        return
    if port is not None:
        raise Declined("--port belongs to --browser: a sign-in by code opens no port on this machine.")
    missing = unavailable(DEVICE_CODE, settings.authority.kind)
    if missing:
        raise Declined(f"{missing} Use --browser.")
    if settings.client_secret:
        raise Declined(
            "A sign-in by code is for apps without a secret (public clients), and this connection has a Client secret. "
            "Use --browser, or empty Client secret if the app is a public client."
        )


def _prepared(args: Namespace, person: Person) -> Settings:
    """Return what the connection says, once it is certain that the sign-in can be kept and made; raises."""
    stored.check_writable(args.conn_id)
    connection = stored.stored_connection(args.conn_id)
    before = connection.extra.get("auth_type") or ""
    settings = replace(
        connection, fields={**connection.fields, "extra": {**connection.extra, "auth_type": "refresh_token"}}
    ).settings(signing_in=True)
    check_way(settings, browser=args.browser, port=args.port)
    if before not in {"", "refresh_token"}:
        person.say(
            f"Connection '{args.conn_id}' has Auth type {auth_type_label(before)}; this sign-in replaces that by {auth_type_label('refresh_token')}."
        )
    return settings


def _life(settings: Settings, now: float) -> str:
    """Say how long the sign-in holds while nothing uses it."""
    if settings.authority.kind == "entra":
        until = datetime.fromtimestamp(now, timezone.utc) + timedelta(days=ENTRA_DAYS)
        return f"Unused, it holds until {until:%Y-%m-%d}; every use starts these {ENTRA_DAYS:.0f} days anew."
    if settings.authority.kind == "adfs":
        return f"AD FS ends it with the single sign-on session: after {ADFS_DAYS * 24:.0f} hours, unless set otherwise there."
    return f"How long it holds is for {settings.authority.host} to say."


def _open_browser(url: str) -> bool:
    """Open the address where there is a browser with a window; one inside this terminal would only be in the way."""
    windowed = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    if sys.platform == "linux" and not windowed:
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
