"""One HTTP POST to a webhook, and what the service makes of the answer.

https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks#troubleshoot-webhook-registrations and
https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.webhooks.address import Address

# The codes and sentences are Microsoft's; that they come with 400 is a guess, the pages leave the status out.
_NO_SUCCESS = Fault(
    400,
    "0x80050201",
    "The webhook call failed because the http request received non-success httpStatus code. Please check your webhook "
    "request handler.",
)
_TIMED_OUT = Fault(
    400,
    "0x80050202",
    "The webhook call failed because the Http request timed out at client side. Please check your webhook request "
    "handler.",
)
_FAILED = Fault(
    400,
    "0x80050205",
    "The webhook call failed during http post. Please check the exception for more details.",
)


@dataclass(frozen=True)
class Answered:
    """How one post went; status 0 where there was no answer."""

    status: int
    at: float
    seconds: float
    fault: Fault | None = None


def send(
    address: Address, body: bytes, headers: Mapping[str, str], timeout: float, bundles: tuple[str, ...] = ()
) -> Answered:
    """Post once; only the status of the answer counts."""
    at, start = time.time(), time.monotonic()
    status, fault = 0, None
    try:
        status = _status(address, body, headers, timeout, bundles)
    except TimeoutError:
        fault = _TIMED_OUT
    except (OSError, http.client.HTTPException):
        fault = _FAILED
    if status and not 200 <= status < 300:
        fault = _NO_SUCCESS
    return Answered(status, at, time.monotonic() - start, fault)


def _status(
    address: Address, body: bytes, headers: Mapping[str, str], timeout: float, bundles: tuple[str, ...]
) -> int:
    host, port = address.parts.hostname or "", address.parts.port
    if address.parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=timeout, context=_trusting(bundles)
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("POST", address.target, body, {**headers, **address.headers})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@lru_cache(maxsize=8)
def _trusting(bundles: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for bundle in bundles:
        context.load_verify_locations(bundle)
    return context
