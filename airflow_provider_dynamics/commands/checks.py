"""What `airflow dynamics doctor` concludes from what it was shown: functions from values to findings, without any I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from airflow_provider_dynamics.auth.causes import refused
from airflow_provider_dynamics.commands.findings import Finding, failed
from airflow_provider_dynamics.commands.form import auth_type_label
from airflow_provider_dynamics.commands.probes import Answer
from airflow_provider_dynamics.connection import Settings
from airflow_provider_dynamics.connection.health import Health

__all__ = [
    "PERSONS",
    "Caller",
    "authority",
    "clock",
    "configuration_url",
    "credential",
    "environment",
    "is_guid",
    "listed",
    "privileges",
    "settings",
    "table",
    "user",
]

_TOLERATED = 60.0  # seconds of difference between two clocks that nobody notices
_HARMFUL = 300.0  # seconds from which signed assertions are refused as too early or too late
_SIGNS_ITSELF = {"certificate"}
PERSONS = {"refresh_token", "username_password"}
_MANY_ROLES = 8
_SOON = 14.0  # days
_SOON_ASSUMED = 1 / 24  # days; AD FS's eight hours would always be soon

_CHECK_AUTHORITY = "Check Cloud and Authority, and a proxy or firewall that may answer in its place"


@dataclass(frozen=True)
class Caller:
    """Who the environment says we are. `name` "", `roles` None and `privileges` None: they may not be read."""

    user_id: str
    name: str = ""
    roles: tuple[str, ...] | None = None
    privileges: frozenset[str] | None = None

    def may(self, verb: str, table: str) -> bool:
        """Say whether there is a privilege of a table's own; some tables share one under another name."""
        return f"prv{verb}{table}".lower() in {name.lower() for name in self.privileges or ()}


def settings(found: Settings, odd: Sequence[str] = ()) -> Finding:
    """Repeat what the fields come to, in the form's words, and what is odd about them."""
    facts = [
        f"Environment URL {found.environment}",
        f"Auth type {auth_type_label(found.auth_type)}",
        f"Tenant ID {found.tenant_id}" if found.tenant_id else "",
        f"Client ID {found.client_id}" if found.client_id else "",
        f"Authority {found.authority.url}" if found.auth_type != "managed_identity" else "",
    ]
    text = " ".join(
        [
            f"{', '.join(fact for fact in facts if fact)}.",
            *(one if one.endswith((".", "?")) else f"{one}." for one in odd),
        ]
    )
    if found.auth_type == "username_password":
        return Finding(
            "settings",
            "warn",
            f"{text} A password stops working with a second factor, and when it is changed.",
            "Use an application user (Auth type Client secret or Certificate), or sign in with `airflow dynamics login`",
        )
    return Finding("settings", "warn" if odd else "ok", text)


def environment(answer: Answer, settings: Settings) -> Finding:
    """Judge the environment's answer to a request without a token: a refusal is what should come."""
    where = f"{answer.host}{_at(answer)}"
    if answer.status in {200, 401, 403}:
        return _own_tenant(answer, settings) or Finding(
            "environment",
            "ok",
            f"{where} answers in {answer.took * 1000:.0f} ms, and its certificate is trusted.",
        )
    if 300 <= answer.status < 400:
        return Finding(
            "environment",
            "fail",
            f"{where} answers with a redirect (HTTP {answer.status}), which a Web API does not do.",
            "Check the Environment URL, and a proxy whose log-in page may answer in its place",
        )
    if answer.status >= 500 or answer.status == 429:
        return Finding(
            "environment",
            "warn",
            f"{where} is reached but has a problem: HTTP {answer.status}.",
            "Wait and repeat; if it lasts, look at the environment's state in the Power Platform admin center",
        )
    return Finding(
        "environment",
        "fail",
        f"{where} has no Web API {settings.api_version}: HTTP {answer.status}.",
        "Check the Environment URL and Web API version",
    )


def configuration_url(settings: Settings, tenant_id: str | None) -> str:
    """Return where the sign-in service describes itself.

    https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
    """
    base = settings.authority.url.rstrip("/")
    if settings.authority.kind == "entra":
        base = f"{base}/{tenant_id or 'organizations'}/v2.0"
    return f"{base}/.well-known/openid-configuration"


def authority(answer: Answer, settings: Settings) -> Finding:
    """Judge the sign-in service's description of itself."""
    where = f"{answer.host}{_at(answer)}"
    described = _object(answer.body)
    if answer.status >= 400 and "error" in described:
        return failed("authority", refused(settings.sign_in().subject, described, status=answer.status))
    if answer.status != 200 or not {"issuer", "token_endpoint"} <= described.keys():
        return Finding(
            "authority",
            "fail",
            f"{where} is not a sign-in service: its configuration is missing (HTTP {answer.status}).",
            _CHECK_AUTHORITY,
        )
    endpoint = urlsplit(str(described["token_endpoint"])).netloc
    if endpoint != answer.host:
        return Finding(
            "authority",
            "fail",
            f"{where} sends sign-ins on to {endpoint}, and secrets go to one host only.",
            _CHECK_AUTHORITY,
        )
    return Finding("authority", "ok", f"{where} signs in for {described['issuer']}.")


def clock(answers: Sequence[Answer], auth_type: str) -> Finding:
    """Compare this machine's clock with the one that a service put into its answer."""
    for answer in answers:
        there = _epoch(answer.headers.get("Date", ""))
        if there is not None:
            return _clock(answer.at - there, answer.host, auth_type)
    return Finding("clock", "skipped", "No service has told the time.")


def credential(health: Health) -> Finding:
    """Judge what is known of the credential's end; why a dead one was refused is the token's finding."""
    if health.dead:
        dead = (
            f"The {health.what or 'credential'} has been refused for good and is not tried by tasks any more."
        )
        return Finding("credential", "fail", dead, "Do what the token's check says")
    soon = health.ends_within(_SOON_ASSUMED if health.assumed else _SOON)
    over = health.days_left is not None and health.days_left < 0 and not health.assumed
    return Finding("credential", "fail" if over else "warn" if soon else "ok", health.sentence)


def user(caller: Caller, settings: Settings) -> Finding:
    """Say as whom the environment knows the connection."""
    kind = "user" if settings.caller_object_id or settings.auth_type in PERSONS else "application user"
    named = f"'{caller.name}' ({caller.user_id})" if caller.name else caller.user_id
    return Finding("user", "ok", f"Dataverse knows the connection as {kind} {named}.")


def privileges(caller: Caller) -> Finding:
    """Name the security roles and count what they and those of teams give."""
    if caller.roles is None and caller.privileges is None:
        return Finding(
            "privileges",
            "skipped",
            "The user's roles and privileges could not be read, which is no fault; the tables below show what counts.",
        )
    if not caller.roles and not caller.privileges:
        return Finding(
            "privileges",
            "warn",
            "The user has no security role of its own.",
            "Unless a team gives it one, assign a role that covers the tables (Power Platform admin center > Environments > "
            "Settings > Users + permissions > Application users > Edit security roles)",
        )
    roles = (
        f"Security roles: {listed(caller.roles)}" if caller.roles else "No security role of its own is seen"
    )
    held = f", {len(caller.privileges)} privileges" if caller.privileges is not None else ""
    return Finding("privileges", "ok", f"{roles}{held}.")


def table(name: str, caller: Caller, *, change_tracking: bool) -> Finding:
    """Judge a table that could be read."""
    rights = f"{name} can be read{_rights(name, caller)}"
    if change_tracking:
        return Finding("tables", "ok", f"{rights}; its changes are tracked.")
    return Finding(
        "tables",
        "warn",
        f"{rights}; its changes are not tracked, so reading only what has changed is not possible.",
        "If that is wanted, switch on Track changes (Power Apps > Tables > the table > Properties > Advanced options)",
    )


def _rights(name: str, caller: Caller) -> str:
    """Return what may be done with a table besides reading, where the privileges say so."""
    if not caller.may("Read", name):
        return ""  # not known, or this table's privileges go by another name
    done = {"Create": "created", "Write": "changed", "Delete": "deleted"}
    may = [word for verb, word in done.items() if caller.may(verb, name)]
    may_not = [word for word in done.values() if word not in may]
    return "".join([f", {', '.join(may)}" if may else "", f", not {', '.join(may_not)}" if may_not else ""])


def _own_tenant(answer: Answer, settings: Settings) -> Finding | None:
    """Return a finding where the environment itself names another tenant than the connection does.

    https://learn.microsoft.com/power-apps/developer/data-platform/authenticate-oauth
    """
    challenge = answer.headers.get("WWW-Authenticate", "")
    found = re.search(r'authorization_uri="?https://[^/\s"]+/([0-9a-fA-F-]{36})/', challenge)
    if not found or not is_guid(settings.tenant_id) or not is_guid(found[1]):
        return None
    if found[1].lower() == str(settings.tenant_id).lower():
        return None
    return Finding(
        "environment",
        "warn",
        f"{answer.host} belongs to tenant {found[1].lower()}, but Tenant ID is {settings.tenant_id}.",
        f"Unless the app is registered in both, set Tenant ID to {found[1].lower()}",
    )


def _clock(ahead: float, host: str, auth_type: str) -> Finding:
    if abs(ahead) <= _TOLERATED:
        return Finding("clock", "ok", f"This machine's clock agrees with {host}'s.")
    harmful = abs(ahead) > _HARMFUL and auth_type in _SIGNS_ITSELF
    return Finding(
        "clock",
        "fail" if harmful else "warn",
        f"This machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} {host}'s.",
        "Set the clock by a time server; what this machine signs is refused when it seems too old or not yet valid",
    )


def listed(names: Any) -> str:
    """Return names as text, the first of many."""
    every = [str(name) for name in names] if isinstance(names, (list, tuple)) else [str(names)]
    more = f" and {len(every) - _MANY_ROLES} more" if len(every) > _MANY_ROLES else ""
    return ", ".join(every[:_MANY_ROLES]) + more


def _at(answer: Answer) -> str:
    if not answer.addresses:
        return " (through a proxy)"
    shown = ", ".join(address for address in answer.addresses[:3] if address not in answer.host)
    return f" ({shown})" if shown else ""


def _epoch(http_date: str) -> float | None:
    try:
        parsed: datetime = parsedate_to_datetime(http_date)
    except (TypeError, ValueError, IndexError):
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_guid(text: str | None) -> bool:
    """Say whether a text is a GUID."""
    try:
        UUID(text or "")
    except ValueError:
        return False
    return True
