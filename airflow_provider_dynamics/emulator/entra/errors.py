"""Entra's refusals: OAuth error, AADSTS number, text, and the shape they are sent in.

https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from airflow_provider_dynamics.emulator.limits.faults import Switch
from airflow_provider_dynamics.emulator.messages import Request, Response

JSON_TYPE = "application/json; charset=utf-8"
POLICY = "9d5c2b7e-1f3a-4e6d-8b0c-4a7f2e1d3c56"  # the Conditional Access policy that stands in the way


class EntraError(Exception):
    """An error of the sign-in service: OAuth error, AADSTS number and text, and what else the body holds."""

    def __init__(
        self,
        status: int,
        error: str,
        code: int,
        text: str,
        retry_after: Any = None,
        *,
        suberror: str | None = None,
        claims: str | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.error = error
        self.code = code
        self.text = text
        self.retry_after = retry_after
        self.suberror = suberror
        self.claims = claims


class NotEmulated(Exception):
    """Something Entra can do and the emulator does not: 501, said plainly."""


def invalid_grant(code: int, text: str, suberror: str | None = None) -> EntraError:
    """The grant (a token, a code, a password) is no good."""
    return EntraError(400, "invalid_grant", code, text, suberror=suberror)


def invalid_client(code: int, text: str) -> EntraError:
    """The app did not prove who it is."""
    return EntraError(401, "invalid_client", code, text)


def invalid_request(code: int, text: str) -> EntraError:
    """The request itself is wrong."""
    return EntraError(400, "invalid_request", code, text)


def malformed() -> EntraError:
    """What Entra says of a token it cannot even read."""
    return invalid_grant(9002313, "Invalid request. Request is malformed or invalid.")


def consent_missing(client_id: str, name: str) -> EntraError:
    """Nobody has consented to what the app asks for."""
    return invalid_grant(
        65001,
        f"The user or administrator has not consented to use the application with ID '{client_id}' named '{name}'. "
        "Send an interactive authorization request for this user and resource.",
        "consent_required",
    )


def second_factor_needed(resource: str) -> EntraError:
    """A policy asks for multifactor authentication, which no program can give."""
    error = invalid_grant(
        50076,
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must "
        f"use multi-factor authentication to access '{resource}'.",
        "basic_action",
    )
    error.claims = policy_claims()
    return error


def policy_claims() -> str:
    """The claims a client is to send with an interactive request, so that the policy is met there."""
    return json.dumps(
        {"access_token": {"capolids": {"essential": True, "values": [POLICY]}}}, separators=(",", ":")
    )


def error_response(error: EntraError, request: Request) -> Response:
    """Entra's error body; the correlation id is the caller's own when it sent one."""
    trace = str(uuid.uuid4())
    correlation = request.headers.get("client-request-id") or str(uuid.uuid4())
    moment = timestamp()
    content: dict[str, Any] = {
        "error": error.error,
        "error_description": described(error, trace, correlation, moment),
        "error_codes": [error.code],
        "timestamp": moment,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"{request.origin}/error?code={error.code}",
    }
    content |= {"suberror": error.suberror} if error.suberror else {}
    content |= {"claims": error.claims} if error.claims else {}
    wait = () if error.retry_after is None else (("Retry-After", str(error.retry_after)),)
    return json_response(error.status, content, wait)


def described(error: EntraError, trace: str, correlation: str, moment: str) -> str:
    """Return the sentence of ``error_description``."""
    return f"AADSTS{error.code}: {error.text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {moment}"


def timestamp() -> str:
    """Return now, as Entra writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def json_response(status: int, content: Any, more: tuple[tuple[str, str], ...] = ()) -> Response:
    """Answer JSON that nobody may keep."""
    headers = (
        ("Content-Type", JSON_TYPE),
        ("Cache-Control", "no-store, no-cache"),
        ("Pragma", "no-cache"),
        ("x-ms-request-id", str(uuid.uuid4())),
        *more,
    )
    return Response(status, headers, json.dumps(content).encode())


def not_emulated(what: str) -> Response:
    """501 for what is not known here."""
    return json_response(501, {"error": "not_emulated", "error_description": f"not emulated: {what}"})


def switched_error(hit: Mapping[str, Switch], client_id: str) -> EntraError | None:
    """Return the error of the switch that hit this token request, if one did."""
    if "token_error" in hit:
        return _any_error(hit["token_error"].settings)
    made = {kind: make for kind, make in _SWITCHED.items() if kind in hit}
    for kind, (status, error, code, text, suberror, with_claims) in made.items():
        settings = hit[kind].settings
        return EntraError(
            status,
            settings.get("error") or error,
            code,
            text.format(client_id=client_id),
            suberror=suberror,
            claims=policy_claims() if with_claims else None,
        )
    return None


# kind: status, error, code, text, suberror, whether claims are sent with it
_SWITCHED: Mapping[str, tuple[int, str, int, str, str | None, bool]] = {
    "consent_required": (
        400,
        "invalid_grant",
        65001,
        (
            "The user or administrator has not consented to use the application with ID '{client_id}' named 'Contoso "
            "Airflow'. Send an interactive authorization request for this user and resource."
        ),
        "consent_required",
        False,
    ),
    "conditional_access": (
        400,
        "invalid_grant",
        53003,
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
        "message_only",
        True,
    ),
    "mfa_required": (
        400,
        "invalid_grant",
        50076,
        (
            "Due to a configuration change made by your administrator, or because you moved to a new location, you must "
            "use multi-factor authentication to access '00000007-0000-0000-c000-000000000000'."
        ),
        "basic_action",
        True,
    ),
    "password_expired": (
        400,
        "invalid_grant",
        50055,
        "The password is expired.",
        "user_password_expired",
        False,
    ),
    "sign_in_frequency": (
        400,
        "invalid_grant",
        70043,
        "The refresh token has expired or is invalid due to sign-in frequency checks by Conditional Access.",
        "bad_token",
        False,
    ),
    "app_disabled": (
        400,
        "unauthorized_client",
        7000112,
        "Application '{client_id}'(Contoso Airflow) is disabled.",
        None,
        False,
    ),
    "slow_down": (400, "slow_down", 70016, "The device polls faster than its interval allows.", None, False),
}


def _any_error(settings: Mapping[str, Any]) -> EntraError:
    error = settings["error"]
    codes = {
        "invalid_client": (7000215, "Invalid client secret provided."),
        "invalid_grant": (70008, "The provided authorization code or refresh token has expired."),
        "temporarily_unavailable": (90033, "A transient error has occurred. Please try again."),
    }
    code, text = codes.get(error, (90036, "An unexpected, non-retryable error stemming from the directory."))
    return EntraError(
        settings["status"] or (401 if error == "invalid_client" else 400),
        error,
        settings["code"] or code,
        settings["message"] or text,
        settings["retry_after"],
        suberror=settings["suberror"],
    )
