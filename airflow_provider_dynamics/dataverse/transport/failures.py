"""Turns what `requests` and urllib3 raise into one worded error: their own texts repeat the whole URL, query values included."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from http.client import IncompleteRead
from typing import NamedTuple

import requests
import urllib3.exceptions as lower

from airflow_provider_dynamics.dataverse.errors import BadResponse, DataverseError, Unreachable

__all__ = ["worded"]

_CHECK_TLS = (
    "If a company proxy or an own certificate authority is in between, name its certificates as CA bundle. One that misses "
    "something, which Python minds since 3.13, has to be issued anew."
)
_CHECK_HOST = "Check the environment URL, DNS and the firewall."
_CHECK_PROXY = "Check the connection's proxy, or HTTPS_PROXY and NO_PROXY in the environment."
_ASK_LESS = "Ask for less at once or raise request_timeout in the connection."


class _Case(NamedTuple):
    kinds: tuple[type[BaseException], ...]
    text: str
    remedy: str = ""
    sent: bool = False  # may the request have reached the service?
    retryable: bool = True
    late: bool = False


_DAMAGED = (lower.DecodeError, lower.InvalidChunkLength, IncompleteRead)

_CASES = (  # the first that is among an exception's causes
    _Case(
        (ssl.SSLCertVerificationError,),
        "The server's certificate is not trusted",
        _CHECK_TLS,
        retryable=False,
    ),
    _Case((requests.exceptions.ProxyError, lower.ProxyError), "The proxy cannot be used", _CHECK_PROXY),
    _Case((lower.NameResolutionError, socket.gaierror), "The host name cannot be resolved", _CHECK_HOST),
    _Case((lower.NewConnectionError,), "No connection could be made", _CHECK_HOST),
    _Case(
        (requests.ConnectTimeout, lower.ConnectTimeoutError),
        "No connection within {connect:g} s",
        _CHECK_HOST,
    ),
    _Case(
        (requests.ReadTimeout, lower.ReadTimeoutError),
        "No answer within {read:g} s",
        _ASK_LESS,
        sent=True,
        late=True,
    ),
    _Case(
        (lower.HTTPError, ssl.SSLError, ConnectionError, requests.ConnectionError),
        "The connection broke before the answer was complete",
        sent=True,
    ),
)


def worded(failure: Exception, *, asked: str, timeout: tuple[float, float]) -> DataverseError:
    """Return Unreachable (BadResponse for a body that did not come whole) for an exception of the network's."""
    causes = list(_causes(failure))
    if any(isinstance(cause, _DAMAGED) for cause in causes):
        return BadResponse("The answer arrived damaged or cut off", asked=asked)
    for case in _CASES:
        if any(isinstance(cause, case.kinds) for cause in causes):
            text = case.text.format(connect=timeout[0], read=timeout[1])
            return Unreachable(
                text + _why(causes),
                sent=case.sent,
                late=case.late,
                asked=asked,
                remedy=case.remedy,
                retryable=case.retryable,
            )
    text = f"The request could not be sent ({type(failure).__name__})"
    if "CA certificate" in str(failure):
        text = "The CA bundle cannot be read"
    remedy = "Check the connection's environment URL and CA bundle."
    return Unreachable(text, sent=False, asked=asked, remedy=remedy, retryable=False)


def _why(causes: Iterable[BaseException]) -> str:
    """Return what OpenSSL has against a certificate: "has expired" asks for something else than an unknown issuer."""
    said = (str(getattr(cause, "verify_message", "")) for cause in causes)
    reason = next((reason for reason in said if reason), "")
    return f": {reason}" if reason else ""


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """Yield the exception and all it was made from: urllib3 hides the cause in `args` and `reason`."""
    pending: list[object] = [failure]
    seen: set[int] = set()
    while pending:
        found = pending.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        pending += [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
