"""Why a sign-in was refused and who must do what: Entra's codes, OAuth's errors and broken connections in plain words.

Microsoft changes its codes and asks programs to react to OAuth's `error` instead, so whether to try again is
decided by `error`, HTTP status and suberror; the table below only finds the words.
https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["AuthenticationError", "Cause", "Kind", "Subject", "broken", "refused"]

Kind = Literal["transient", "permanent", "needs-interaction", "needs-admin"]

_LONGEST = 300  # characters of the service's own text that are passed on


class AuthenticationError(Exception):
    """A sign-in failed; the text says for what, with which code, why, and what to do about it.

    `code` is the service's ("AADSTS7000222" or ""), `error` OAuth's, `message` the first line of what the
    service said, `retry_after` in seconds where the service named a wait. The text never holds a secret or a
    token.
    """

    def __init__(
        self,
        text: str,
        *,
        code: str = "",
        error: str = "",
        message: str = "",
        remedy: str = "",
        kind: Kind = "permanent",
        retryable: bool = False,
        retry_after: float | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.error = error
        self.message = message
        self.remedy = remedy
        self.kind: Kind = kind
        self.retryable = retryable
        self.retry_after = retry_after
        self.correlation_id = correlation_id


@dataclass(frozen=True)
class Subject:
    """Who signs in, how, and to what: the facts that turn a code into a sentence."""

    environment: str
    mode: str
    tenant_id: str
    client_id: str
    authority_host: str
    scope: str

    def __str__(self) -> str:
        return f"{self.environment} ({self.mode}, tenant {self.tenant_id}, client {self.client_id})"


@dataclass(frozen=True)
class Cause:
    """One row of the table; both texts may name {tenant} {client_id} {environment} {authority_host} {scope}."""

    kind: Kind
    cause: str
    remedy: str


_SECRETS_PAGE = "Entra admin center > App registrations > {client_id} > Certificates & secrets"
_TENANT_PAGE = "Entra admin center > Overview"
_CONSENT = "https://{authority_host}/{tenant}/adminconsent?client_id={client_id}"
_WAIT = "It is tried again; if it lasts for more than an hour, check Azure's status page and open a support ticket"

_BUSY = Cause("transient", "The sign-in service has a passing problem.", _WAIT)
_WRONG_TENANT_FORM = Cause(
    "permanent",
    "The Tenant ID is not one tenant: an app signs in to exactly one.",
    f"Set Tenant ID to the directory's GUID or one of its domains ({_TENANT_PAGE})",
)
_WRONG_CLOUD = Cause(
    "permanent",
    "Tenant and sign-in address belong to different national clouds.",
    "Set Cloud to the one that hosts tenant {tenant}, and register the app there",
)
_WRONG_APP = Cause(
    "permanent",
    "Tenant {tenant} knows no app {client_id}: one of the two is wrong, or the app was never admitted to this tenant.",
    f"Compare Client ID and Tenant ID with the app registration; for another tenant's app let an administrator open {_CONSENT}",
)
_DISABLED_APP = Cause(
    "needs-admin",
    "App {client_id} is switched off in tenant {tenant}.",
    "Ask an Entra administrator to enable it: Enterprise applications > {client_id} > Properties > Enabled for users to sign in",
)
_WRONG_SCOPE = Cause(
    "permanent",
    "The scope '{scope}' is not one that {environment} offers.",
    "Leave Scope empty, so that {environment}/.default is asked for, and check the Environment URL",
)
_WRONG_ENVIRONMENT = Cause(
    "permanent",
    "Tenant {tenant} has no environment {environment}.",
    "Check the Environment URL for typing errors, and that Tenant ID is the tenant that owns this environment",
)
_BLOCKED = Cause(
    "needs-admin",
    "A Conditional Access policy of tenant {tenant} stopped the sign-in.",
    "Give an Entra administrator the correlation ID: the sign-in logs name the policy; "
    "have this worker's address or app {client_id} excluded from it",
)
_GENERAL_CLIENT = Cause(
    "permanent",
    "The app could not prove who it is.",
    f"Check Client ID and Client secret against {_SECRETS_PAGE}",
)

CODES: Mapping[int, Cause] = {
    7000215: Cause(
        "permanent",
        "The client secret is wrong; often it is the secret's ID that was pasted.",
        f"Paste the secret's Value into Client secret ({_SECRETS_PAGE}); the page shows it once, so create a new one if it is lost",
    ),
    7000222: Cause(
        "permanent",
        "The client secret has expired.",
        f"Create a new secret ({_SECRETS_PAGE}) and put its Value into the connection's Client secret",
    ),
    70002: _GENERAL_CLIENT,
    7000218: Cause(
        "permanent",
        "The sign-in carried no client secret.",
        "Fill in Client secret in the connection",
    ),
    700025: Cause(
        "permanent",
        "App {client_id} is registered as a public client, which has no secret.",
        "Use an app registration of platform Web, with a client secret",
    ),
    700016: _WRONG_APP,
    700011: _WRONG_APP,
    7000229: _WRONG_APP,
    70001: _DISABLED_APP,
    7000112: _DISABLED_APP,
    90002: Cause(
        "permanent",
        "There is no tenant '{tenant}' at {authority_host}: a typing error, or another national cloud's tenant.",
        f"Check Tenant ID ({_TENANT_PAGE}), and that Cloud and Environment URL belong together",
    ),
    900023: Cause(
        "permanent",
        "'{tenant}' is neither a tenant's GUID nor a domain name.",
        f"Copy the Tenant ID from {_TENANT_PAGE}, or use a domain such as contoso.onmicrosoft.com",
    ),
    50059: _WRONG_TENANT_FORM,
    50128: _WRONG_TENANT_FORM,
    50194: _WRONG_TENANT_FORM,
    9001023: _WRONG_TENANT_FORM,
    90038: _WRONG_CLOUD,
    900382: _WRONG_CLOUD,
    50049: Cause(
        "permanent",
        "{authority_host} is not a sign-in address that Entra knows.",
        "Leave Authority empty and set Cloud",
    ),
    500011: _WRONG_ENVIRONMENT,
    50001: _WRONG_ENVIRONMENT,
    650052: Cause(
        "needs-admin",
        "Tenant {tenant} has no subscription to Dynamics 365, or it is switched off.",
        "Ask an administrator whether Dataverse is set up in this tenant",
    ),
    70011: _WRONG_SCOPE,
    28002: _WRONG_SCOPE,
    28000: _WRONG_SCOPE,
    700022: _WRONG_SCOPE,
    1002012: _WRONG_SCOPE,
    901002: Cause(
        "permanent",
        "Entra does not take a resource here; that field is for AD FS.",
        "Leave AD FS resource empty",
    ),
    900144: Cause(
        "permanent",
        "The sign-in lacked a value that Entra needs.",
        "Check that Client ID, Tenant ID and Client secret are all filled in",
    ),
    501051: Cause(
        "needs-admin",
        "App {client_id} is not assigned to the application it asks for.",
        "Ask an Entra administrator to assign it, or to turn off 'Assignment required' there",
    ),
    53003: _BLOCKED,
    530032: _BLOCKED,
    500021: Cause(
        "needs-admin",
        "The network's tenant restrictions do not let this worker sign in to tenant {tenant}.",
        "Ask the network's administrator to allow the tenant on the proxy (Restrict-Access-To-Tenants)",
    ),
    50000: _BUSY,
    50033: _BUSY,
    90006: _BUSY,
    90012: _BUSY,
    90024: _BUSY,
    90033: _BUSY,
    90090: _BUSY,
    90055: Cause(
        "transient",
        "Tenant {tenant} asks for more tokens than Entra allows at once.",
        "It is tried again; if it keeps happening, run fewer tasks at the same time, since each process signs in once",
    ),
    50196: Cause(
        "transient",
        "The same sign-in was repeated too often in a short time.",
        "Wait a few minutes; run fewer tasks at the same time",
    ),
}

ERRORS: Mapping[str, Cause] = {
    "invalid_client": _GENERAL_CLIENT,
    "unauthorized_client": _WRONG_APP,
    "invalid_request": Cause(
        "permanent",
        "The sign-in service could not make sense of the request.",
        "Check Client ID, Tenant ID and the Environment URL",
    ),
    "invalid_scope": _WRONG_SCOPE,
    "invalid_resource": _WRONG_ENVIRONMENT,
    "invalid_target": _WRONG_ENVIRONMENT,
    "invalid_tenant": _WRONG_TENANT_FORM,
    "unsupported_grant_type": Cause(
        "permanent",
        "The sign-in service does not offer this way of signing in.",
        "Choose another Auth type",
    ),
    "invalid_grant": Cause(
        "needs-interaction",
        "What the connection signs in with is not valid any more.",
        "Authorize the connection again",
    ),
    "interaction_required": Cause(
        "needs-interaction",
        "A person must take part in this sign-in.",
        "Use an application user (client secret), which signs in without one",
    ),
    "consent_required": Cause(
        "needs-admin",
        "Nobody has admitted app {client_id} to tenant {tenant}.",
        f"Let an Entra administrator open {_CONSENT}",
    ),
    "access_denied": Cause(
        "needs-admin",
        "A policy of tenant {tenant} does not allow this sign-in.",
        "Ask an Entra administrator to look the correlation ID up in the sign-in logs",
    ),
    "temporarily_unavailable": _BUSY,
    "server_error": _BUSY,
}

# What stops a sign-in before any service has answered in OAuth's words.
BREAKS: Mapping[str, Cause] = {
    "unreachable": Cause(
        "transient",
        "{authority_host} could not be reached.",
        "Allow this worker to connect to https://{authority_host}, or fill in Proxy in the connection",
    ),
    "timeout": Cause(
        "transient",
        "{authority_host} did not answer in time.",
        "It is tried again; if it lasts, check the worker's network or proxy, or raise Request timeout",
    ),
    "certificate": Cause(
        "permanent",
        "The certificate that {authority_host} shows is not trusted here.",
        "Where a company proxy or a private authority signs certificates, put its file into CA bundle",
    ),
    "ca bundle": Cause(
        "permanent",
        "The CA bundle cannot be read on this worker.",
        "Correct CA bundle, or put the file on every worker and triggerer",
    ),
    "proxy": Cause(
        "transient",
        "The proxy did not let the sign-in through.",
        "Check Proxy in the connection (or HTTPS_PROXY of the worker), its user name and password included",
    ),
    "redirect": Cause(
        "permanent",
        "{authority_host} answered with a redirect, which is not followed, since the client secret would go along.",
        "Check Cloud and Authority; a proxy with a log-in page answers like this too",
    ),
    "other host": Cause(
        "permanent",
        "{authority_host} wants the sign-in sent to another host, which is not done.",
        "Set Cloud to the one that hosts tenant {tenant}",
    ),
    "busy": _BUSY,
    "not json": Cause(
        "permanent",
        "What answered in place of {authority_host} is not a sign-in service.",
        "Check the worker's proxy or firewall, which may answer with a page of its own, then Cloud and Authority",
    ),
    "discovery": Cause(
        "permanent",
        "{authority_host} has no configuration for tenant '{tenant}'.",
        f"Check Tenant ID ({_TENANT_PAGE}) and Cloud",
    ),
    "library": Cause(
        "permanent",
        "MSAL could not sign in.",
        "Check Tenant ID, Cloud and Authority",
    ),
}

_RETRYABLE_ERRORS = {"temporarily_unavailable", "server_error", "slow_down"}
_RETRYABLE_STATUS = {408, 429}
_NEEDS_A_PERSON = {"basic_action", "additional_action", "message_only", "user_password_expired"}
_CODE = re.compile(r"\bAADSTS(\d{4,8})\b")
_TAIL = re.compile(r"\s*(?:Trace ID|Correlation ID|Timestamp):.*", re.DOTALL)


def refused(
    subject: Subject,
    answer: Mapping[str, Any],
    *,
    status: int | None = None,
    retry_after: float | None = None,
) -> AuthenticationError:
    """Word an OAuth error answer (the JSON object of RFC 6749 §5.2, with Entra's additions)."""
    error = str(answer.get("error") or "")
    described = str(answer.get("error_description") or "")
    number = _number(answer, described)
    known = CODES.get(number) if number is not None else None
    cause = (
        known
        or ERRORS.get(error)
        or Cause("permanent", "The sign-in was refused.", "See what the service said")
    )
    message = _first_line(described)
    code = f"AADSTS{number}" if number is not None else ""
    return _worded(
        subject,
        cause,
        said="" if known else _passed_through(subject, number, message),
        code=code,
        error=error,
        message=message,
        kind=_kind(cause, str(answer.get("suberror") or "")),
        retryable=_retryable(error, status),
        retry_after=retry_after,
        correlation_id=str(answer.get("correlation_id") or "") or None,
        timestamp=str(answer.get("timestamp") or ""),
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
    return _worded(
        subject,
        cause,
        said=f" ({_first_line(detail)})" if detail else "",
        message=_first_line(detail),
        kind=cause.kind,
        retryable=cause.kind == "transient" if retryable is None else retryable,
        retry_after=retry_after,
    )


def _worded(
    subject: Subject, cause: Cause, *, said: str, timestamp: str = "", **fields: Any
) -> AuthenticationError:
    facts = {
        "tenant": subject.tenant_id,
        "client_id": subject.client_id,
        "environment": subject.environment,
        "authority_host": subject.authority_host,
        "scope": subject.scope,
    }
    remedy = cause.remedy.format(**facts)
    named = fields.get("code") or fields.get("error") or ""
    text = f"Sign-in to {subject} failed: {named + ' ' if named else ''}{cause.cause.format(**facts)}{said}"
    text += f" What to do: {remedy}."
    if fields.get("correlation_id"):
        text += f" Correlation ID {fields['correlation_id']}{', ' + timestamp if timestamp else ''}."
    return AuthenticationError(text, remedy=remedy, **fields)


def _passed_through(subject: Subject, number: int | None, message: str) -> str:
    said = f' The service said: "{message}"' if message else ""
    if number is not None:
        said += f" (about this code: https://{subject.authority_host}/error?code={number})"
    return said + "." if said else ""


def _number(answer: Mapping[str, Any], described: str) -> int | None:
    listed = answer.get("error_codes")
    if isinstance(listed, list) and listed and isinstance(listed[0], int):
        return listed[0]
    found = _CODE.search(described)
    return int(found[1]) if found else None


def _first_line(text: str) -> str:
    lines = _TAIL.sub("", text).strip().splitlines()
    line = lines[0].strip() if lines else ""
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _kind(cause: Cause, suberror: str) -> Kind:
    if suberror == "consent_required":
        return "needs-admin"
    return "needs-interaction" if suberror in _NEEDS_A_PERSON else cause.kind


def _retryable(error: str, status: int | None) -> bool:
    return error in _RETRYABLE_ERRORS or (
        status is not None and (status in _RETRYABLE_STATUS or status >= 500)
    )
