"""The answers that do not come from the data side: 401, 403, 429, a gateway's HTML page, errors on demand.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
"""

from __future__ import annotations

import base64
import http
import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from airflow_provider_dynamics.emulator.deployment import Deployment
from airflow_provider_dynamics.emulator.entra.tokens import CHALLENGE
from airflow_provider_dynamics.emulator.limits.budgets import Refusal
from airflow_provider_dynamics.emulator.limits.budgets import throttled as worded
from airflow_provider_dynamics.emulator.limits.faults import Switch
from airflow_provider_dynamics.emulator.limits.query_throttling import answer_of
from airflow_provider_dynamics.emulator.messages import Request, Response

_NEXT_LINK = re.compile(rb'"@odata\.nextLink":"(?:[^"\\]|\\.)*"\}$')
NOT_A_MEMBER = "The user is not a member of the organization."


def error(status: int, code: str, message: str, retry_after: str | None = None) -> Response:
    """Return Dataverse's error envelope."""
    headers = [("Content-Type", "application/json; odata.metadata=minimal"), ("OData-Version", "4.0")]
    if retry_after is not None:
        headers.append(("Retry-After", retry_after))
    return Response(
        status, tuple(headers), json.dumps({"error": {"code": code, "message": message}}).encode()
    )


def not_emulated(path: str) -> Response:
    """Return 501 for a path that is neither the Web API's nor the sign-in service's."""
    return error(501, "0x80060888", f"not emulated: {path}")


def no_place(path: str, below: str, deployment: Deployment) -> Response | None:
    """Return what another's organization in the path gets, and a version of the Web API that the server lacks.

    That it is 501 is Microsoft's word, the sentence is ours. In the cloud it is the emulator that lacks a version.
    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#identify-status-codes
    """
    if not below:
        return error(404, "0x8006088a", f"Resource not found for the segment '{path}'.")
    version = deployment.lacks(below)
    if version is None:
        return None
    known = ", ".join(f"v{one}" for one in deployment.versions)
    if not deployment.on_premises:
        return error(501, "0x80060888", f"not emulated: the Web API v{version}; {known} are served")
    return error(
        501, "0x80060888", f"The Web API v{version} is not implemented by this server; it has {known}."
    )


def throttled(refusal: Refusal, *, as_date: bool = False, silent: bool = False) -> Response:
    """Return 429 with Retry-After in seconds, as an HTTP-date, or without it."""
    wait = str(math.ceil(refusal.retry_after))
    if as_date:
        # Rounded up: a date has whole seconds, and coming back early would be refused again.
        wait = formatdate(math.ceil(time.time() + refusal.retry_after), usegmt=True)
    return error(429, refusal.code, refusal.message, None if silent else wait)


def unauthorized(origin: str, tenant_id: str, *, expired: bool = False) -> Response:
    """Return 401 as Dataverse sends it: where to sign in, in a header, and no JSON."""
    challenge = f"Bearer authorization_uri={origin}/{tenant_id}/oauth2/authorize, resource_id={origin}/"
    if expired:
        challenge += ', error="invalid_token", error_description="The token expired."'
    return Response(401, (("WWW-Authenticate", challenge), ("OData-Version", "4.0")), b"")


def claims_challenge(origin: str, client_id: str) -> Response:
    """Return 401 asking for a token with more claims (continuous access evaluation).

    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    claims = base64.b64encode(json.dumps(CHALLENGE, separators=(",", ":")).encode()).decode()
    challenge = (
        f'Bearer realm="", authorization_uri="{origin}/common/oauth2/authorize", client_id="{client_id}", '
        f'error="insufficient_claims", claims="{claims}"'
    )
    return Response(401, (("WWW-Authenticate", challenge),), b"")


def gateway(status: int, retry_after: Any) -> Response:
    """Return what a gateway or proxy answers in the service's place: HTML."""
    phrase = http.HTTPStatus(status).phrase if status != 200 else "Sign in to continue"
    page = f"<!DOCTYPE html>\r\n<html><head><title>{phrase}</title></head><body><h1>{phrase}</h1></body></html>\r\n"
    headers = [("Content-Type", "text/html; charset=utf-8")]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return Response(status, tuple(headers), page.encode())


def repeated(request: Request, response: Response) -> Response:
    """Return a page whose next link, where it has one, is the link it came from."""
    link = json.dumps(f"{request.origin}{request.path}?{request.query}").encode()
    body = _NEXT_LINK.sub(lambda _: b'"@odata.nextLink":' + link + b"}", response.body)
    return Response(response.status, response.headers, body)


def _too_much(hit: Mapping[str, Switch], request: Request) -> Response:
    """Return the database's time-out, or the sandbox's refusal of a message.

    https://learn.microsoft.com/troubleshoot/power-platform/dataverse/dataverse-plug-ins-errors
    """
    if "time_out" in hit:
        return error(hit["time_out"].settings["status"], "0x80044151", "SQL timeout expired.")
    text = f"Message size exceeded when sending context to Sandbox. Message size: {len(request.body) / 2**20:.2f} Mb"
    return error(500, "0x80040216", text)


def switched(hit: Mapping[str, Switch], request: Request) -> Response | None:
    """Return the answer of the switch that stands in for the work, if one does."""
    if "query_throttling" in hit:
        settings = hit["query_throttling"].settings
        refused = answer_of(settings, request)
        return error(settings["status"], *refused) if refused else None
    if "throttle" in hit:
        settings = hit["throttle"].settings
        refusal = worded(settings["limit"], retry_after=settings["retry_after"])
        return throttled(refusal, as_date=settings["as_date"], silent=settings["no_retry_after"])
    if "not_a_member" in hit:
        return error(403, "0x80072560", NOT_A_MEMBER)
    if "time_out" in hit or "too_large" in hit:
        return _too_much(hit, request)
    if "error" in hit:
        settings = hit["error"].settings
        wait = settings["retry_after"]
        return error(
            settings["status"], settings["code"], settings["message"], None if wait is None else str(wait)
        )
    return None
