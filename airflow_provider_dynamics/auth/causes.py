"""Why a sign-in failed and who must do what: an answer of the service in, one text with its remedy out.

Microsoft changes its codes and asks programs to react to OAuth's `error` instead, so whether to try again is
decided by `error`, HTTP status and suberror; a code finds the words, and may only add that a problem passes.
https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_dynamics.auth.codes import (
    ADFS,
    BREAKS,
    ELSEWHERE,
    ENTRA,
    ERRORS,
    SUBERRORS,
    Cause,
    Kind,
)
from airflow_provider_dynamics.auth.texts import fitted

__all__ = ["AuthenticationError", "Cause", "Explanation", "Kind", "Subject", "broken", "explain", "refused"]

_LONGEST_LINE = 300  # of the service's own text that are passed on
_LONGEST_FACT = 150  # of a value out of the connection

_LOGIN = "Admin > Microsoft Dynamics 365 > Sign in, or `airflow dynamics login CONN_ID`"


class AuthenticationError(Exception):
    """A sign-in failed; the text says for what, with which code, why, and what to do about it.

    `code` is the service's ("AADSTS7000222" or ""), `error` OAuth's, `message` the first line of what the
    service said, `retry_after` in seconds where the service named a wait. `kind` says who has to act,
    `retryable` whether the very same sign-in may succeed soon, `patience` for how many seconds that is worth
    trying (None: as long as the caller likes). `dead` marks a grant (refresh token, password) that is used up.
    The text never holds a secret or a token.
    """

    def __init__(
        self,
        text: str,
        *,
        code: str = "",
        error: str = "",
        message: str = "",
        remedy: str = "",
        kind: Kind | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        patience: float | None = None,
        dead: bool = False,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(fitted(text))
        self.code = code
        self.error = error
        self.message = message
        self.remedy = remedy
        self.kind: Kind = kind or ("transient" if retryable else "permanent")
        self.retryable = self.kind == "transient" if retryable is None else retryable
        self.retry_after = retry_after
        self.patience = patience
        self.dead = dead
        self.correlation_id = correlation_id


@dataclass(frozen=True)
class Subject:
    """Who signs in, how, and to what: the facts that turn a code into a sentence. `mode` is a way in plain words."""

    environment: str
    mode: str
    tenant_id: str
    client_id: str
    authority_host: str
    scope: str
    authority_kind: Literal["entra", "adfs", "oidc"] = "entra"

    def __str__(self) -> str:
        facts = [
            self.mode,
            f"tenant {self.tenant_id}" if self.tenant_id else "",
            f"client {self.client_id}" if self.client_id else "",
        ]
        return f"{_short(self.environment)} ({', '.join(_short(fact) for fact in facts if fact)})"


@dataclass(frozen=True)
class Explanation:
    """What a code means when nothing more than the code is known; `link` leads to Microsoft's own words, or is ""."""

    code: str
    kind: Kind
    cause: str
    remedy: str
    name: str = ""
    link: str = ""


def explain(code: str) -> Explanation | None:
    """Explain an AADSTS or MSIS code or an `error` of OAuth's, written in any case; a bare number is Entra's. None if unknown.

    https://learn.microsoft.com/entra/identity-platform/reference-error-codes
    """
    spelled = code.strip().strip("'\"").lower()
    found = re.fullmatch(r"(aadsts|msis)?\s*([0-9]{3,9})", spelled)
    if found is None:
        cause = ERRORS.get(spelled)
        return _explained(spelled, cause, _ANYBODY) if cause else None
    if found[1] == "msis":
        cause = ADFS.get(int(found[2]))
        return _explained(f"MSIS{found[2]}", cause, _ANYBODY_ADFS) if cause else None
    cause = ENTRA.get(int(found[2]))
    if cause is None:
        return None
    return _explained(f"AADSTS{found[2]}", cause, _ANYBODY, _page(_ANYBODY, found[2]))


def refused(
    subject: Subject,
    answer: Mapping[str, Any],
    *,
    status: int | None = None,
    retry_after: float | None = None,
) -> AuthenticationError:
    """Word an OAuth error answer (the JSON object of RFC 6749 §5.2, with Entra's additions)."""
    error, suberror = (_short(str(answer.get(name) or "")) for name in ("error", "suberror"))
    described = str(answer.get("error_description") or "")
    code = _code(answer, described)
    known = _known(code)
    cause = known or _of_error(subject, error, suberror)
    kind = _kind(cause, error, status, suberror)
    message = _first_line(described)
    return _worded(
        subject,
        cause,
        said=_passed_through(subject, "" if known else code, message)
        if known is None or known.quotes
        else "",
        code=code,
        error=error,
        message=message,
        kind=kind,
        dead=error == "invalid_grant"
        and kind != "transient"
        and not cause.spares
        and suberror not in _SPARING,
        retry_after=cause.wait if retry_after is None else retry_after,
        correlation_id=_short(str(answer.get("correlation_id") or "")) or None,
        timestamp=_short(str(answer.get("timestamp") or "")),
    )


def broken(
    subject: Subject,
    what: str,
    detail: str = "",
    *,
    retryable: bool | None = None,
    retry_after: float | None = None,
) -> AuthenticationError:
    """Word a sign-in that got no OAuth answer at all; `what` is a key of BREAKS, `detail` a harmless fact to add."""
    cause = BREAKS[what]
    kind = cause.kind
    if retryable is not None and retryable != (kind == "transient"):
        kind = "transient" if retryable else "permanent"
    return _worded(
        subject,
        cause,
        said=f" ({_first_line(detail)})" if detail else "",
        message=_first_line(detail),
        kind=kind,
        retry_after=retry_after,
    )


# --- what decides ----------------------------------------------------------------------------------------------

_PASSING_ERRORS = {"temporarily_unavailable", "server_error", "slow_down", "authorization_pending"}
_PASSING_STATUS = {408, 429}
_SPARING = {"consent_required", "basic_action", "additional_action", "message_only"}
_UNKNOWN = Cause("permanent", "The sign-in was refused.", "See what the service said")


def _known(code: str) -> Cause | None:
    if code.startswith("MSIS"):
        return ADFS.get(int(code[4:]))
    return ENTRA.get(int(code[6:])) if code else None


def _of_error(subject: Subject, error: str, suberror: str) -> Cause:
    elsewhere = ELSEWHERE.get(error) if subject.authority_kind != "entra" else None
    return elsewhere or SUBERRORS.get(suberror) or ERRORS.get(error) or _UNKNOWN


def _kind(cause: Cause, error: str, status: int | None, suberror: str) -> Kind:
    passing_status = status is not None and (status in _PASSING_STATUS or status >= 500)
    if passing_status or error in _PASSING_ERRORS or cause.kind == "transient":
        return "transient"
    if cause.kind == "needs-admin":  # a policy's refusal often comes with a suberror that is about its page
        return cause.kind
    return SUBERRORS[suberror].kind if suberror in SUBERRORS else cause.kind


# --- what is said ----------------------------------------------------------------------------------------------

_WAYS = {  # a word of Subject.mode -> the fields it signs in with, and how to make it good again
    "secret": ("Client secret", "check Client ID and Client secret"),
    "certificate": ("Certificate and Private key", "check Client ID, Certificate and Private key"),
    "workload": ("Federated token file", "check Client ID and Federated token file"),
    "managed": ("Managed identity client ID", "check Managed identity client ID"),
    "password": (
        "User name and User password",
        f"check User name and User password, or choose Auth type Signed-in user and sign in ({_LOGIN})",
    ),
}
_PERSON = ("Client secret", f"sign in again ({_LOGIN})")

_PLACES: Mapping[str, Mapping[str, str]] = {  # what things are called where the authority is of this kind
    "entra": {
        "app_page": "Entra admin center > App registrations > {client_id}",
        "secrets_page": "Entra admin center > App registrations > {client_id} > Certificates & secrets",
        "admin": "an Entra administrator",
        "place": "tenant {tenant}",
        "address": "Tenant ID, Cloud and Authority",
        "consent": "let an Entra administrator open https://{authority_host}/{link_tenant}/adminconsent?client_id={client_id}",
    },
    "adfs": {
        "app_page": "AD FS Management > Application Groups > {client_id}",
        "secrets_page": "AD FS Management > Application Groups > {client_id}",
        "admin": "an AD FS administrator",
        "place": "this AD FS",
        "address": "Authority",
        "consent": "let an AD FS administrator run Grant-AdfsApplicationPermission -ClientRoleIdentifier {client_id} "
        "-ServerRoleIdentifier with the AD FS resource, -ScopeNames openid",
    },
    "oidc": {
        "app_page": "the registration of {client_id} at {authority_host}",
        "secrets_page": "the registration of {client_id} at {authority_host}",
        "admin": "the administrator of {authority_host}",
        "place": "this authority",
        "address": "Authority",
        "consent": "let the administrator of {authority_host} admit client {client_id}",
    },
}
_UNATTENDED = "use an application user (Auth type Client secret or Certificate)"

_ANYBODY = Subject(
    "the environment", "", "TENANT_ID", "CLIENT_ID", "login.microsoftonline.com", "of the connection"
)
_ANYBODY_ADFS = Subject(
    "the environment", "", "", "CLIENT_ID", "the AD FS server", "of the connection", "adfs"
)


def _facts(subject: Subject) -> dict[str, str]:
    facts = {
        "tenant": _short(subject.tenant_id) or "(none is known)",
        "link_tenant": _short(subject.tenant_id) or "organizations",
        "client_id": _short(subject.client_id),
        "environment": _short(subject.environment),
        "authority_host": _short(subject.authority_host),
        "scope": _short(subject.scope),
    }
    mode = subject.mode.lower()
    proof, again = next((fields for word, fields in _WAYS.items() if word in mode), _PERSON)
    places = {name: text.format(**facts) for name, text in _PLACES[subject.authority_kind].items()}
    return {**facts, **places, "proof": proof, "again": again, "unattended": _UNATTENDED}


def _filled(cause: Cause, subject: Subject) -> tuple[str, str]:
    """Return a row's two texts with their facts; a remedy may begin with a fact and gets its capital here."""
    facts = _facts(subject)
    remedy = cause.remedy.format(**facts)
    return cause.cause.format(**facts), remedy[:1].upper() + remedy[1:]


def _explained(code: str, cause: Cause, subject: Subject, link: str = "") -> Explanation:
    said, remedy = _filled(cause, subject)
    return Explanation(code, cause.kind, said, f"{remedy}.", link=link)


def _worded(
    subject: Subject, cause: Cause, *, said: str, timestamp: str = "", **fields: Any
) -> AuthenticationError:
    because, remedy = _filled(cause, subject)
    named = fields.get("code") or fields.get("error") or ""
    text = f"Sign-in to {subject} failed: {named + ' ' if named else ''}{because}{said} What to do: {remedy}."
    if fields.get("correlation_id"):
        text += f" Correlation ID {fields['correlation_id']}{', ' + timestamp if timestamp else ''}."
    return AuthenticationError(text, remedy=remedy, patience=cause.patience, **fields)


def _passed_through(subject: Subject, unknown: str, message: str) -> str:
    said = f' The service said: "{message}"' if message else ""
    if unknown.startswith("AADSTS"):
        said += f" (about this code: {_page(subject, unknown[6:])})"
    return said + "." if said else ""


def _page(subject: Subject, number: str) -> str:
    return f"https://{_short(subject.authority_host)}/error?code={number}"


# --- what is read ----------------------------------------------------------------------------------------------

_CODE = re.compile(r"\b(AADSTS\d{4,9}|MSIS\d{4,6})\b")
_TAIL = re.compile(r"\s*(?:Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)
_TOKEN = re.compile(r"[\w\-+/=.~]{100,}")  # longer than any name: nobody needs it to understand the error


def _code(answer: Mapping[str, Any], described: str) -> str:
    listed = answer.get("error_codes")
    if isinstance(listed, list) and listed and isinstance(listed[0], int) and 0 < listed[0] < 10**9:
        return f"AADSTS{listed[0]}"
    found = _CODE.search(described)
    return found[1] if found else ""


def _first_line(text: str) -> str:
    lines = _TAIL.sub("", text).strip().splitlines()
    line = _TOKEN.sub("…", lines[0].strip()) if lines else ""
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def _short(fact: str) -> str:
    line = " ".join(fact.split())
    return line if len(line) <= _LONGEST_FACT else line[: _LONGEST_FACT - 1] + "…"
