"""The way to a sign-in service: to one origin, without redirects, and every odd answer put into words.

MSAL is given this in place of a session of its own, and whatever else asks a service before there is a token
goes through it too.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ProxyError, SSLError, Timeout

from airflow_provider_dynamics.auth.causes import AuthenticationError, Subject, broken, refused
from airflow_provider_dynamics.auth.network import Network, origin, retry_after

__all__ = ["Door", "Gate", "stopped", "veiled", "worded"]

LONGEST_SILENCE = 30.0  # seconds; somebody who waits for a token waits for nothing else
_REALM = "/common/userrealm/"
_NO_DETAIL = re.compile(r"^.*?(?:Max retries exceeded|object at 0x[0-9a-f]+>: )", re.DOTALL)
_SHORTEST_SECRET = 4  # characters; less cannot be told from ordinary text


class Gate:
    """Requests to one origin: certificates and proxy as the connection says, no redirect, no cookie, no .netrc."""

    def __init__(
        self,
        session: requests.Session,
        subject: Subject,
        network: Network,
        address: str,
        *,
        proxied: bool = True,
    ) -> None:
        self._session = session
        self._session.trust_env = (
            False  # a .netrc or CA variable of the worker must not overrule the connection
        )
        self._subject = subject
        self._network = network
        self._origin = origin(address)
        self._proxied = proxied

    def send(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send one request; raises AuthenticationError for another origin and for a redirect, requests' errors otherwise."""
        if origin(url) != self._origin:
            raise broken(self._subject, "other host", url.split("?", maxsplit=1)[0])
        connect, read = self._network.timeout
        response = self._session.request(
            method,
            url,
            timeout=(connect, min(read, LONGEST_SILENCE)),
            verify=self._network.verify,  # with each request: a session's own gives way to REQUESTS_CA_BUNDLE
            proxies=self._network.proxies(url) if self._proxied else {},
            allow_redirects=False,
            **options,
        )
        if 300 <= response.status_code < 400:
            raise broken(self._subject, "redirect", f"HTTP {response.status_code}")
        return response


class Door:
    """The `http_client` MSAL asks for: get and post, to the authority and nowhere else.

    `answer` is the last JSON object the service sent: MSAL leaves out some of what stands in it.
    """

    def __init__(
        self, gate: Gate, subject: Subject, address: str, now: Callable[[], float] = time.time
    ) -> None:
        self._gate = gate
        self._subject = subject
        self._host = urlsplit(address)
        self._now = now
        self.status: int | None = None
        self.answer: dict[str, Any] = {}

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._ask("GET", url, **options)

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._ask("POST", url, **options)

    def close(self) -> None:
        """MSAL may close its client; the session is closed by whoever opened it."""

    def _ask(self, method: str, url: str, **options: Any) -> requests.Response:
        response = self._gate.send(method, self._with_port(url), **options)
        self.status = response.status_code
        if method == "GET" and _REALM in url:
            self._check_realm(response)
        else:
            self._check(method, response)
        return response

    def _with_port(self, url: str) -> str:
        """Return the address with the authority's port, which MSAL drops when it asks where a user belongs."""
        portless = f"https://{self._host.hostname}{_REALM}"
        if not url.startswith(portless):
            return url
        return f"https://{self._host.netloc}{_REALM}{url.removeprefix(portless)}"

    def _check(self, method: str, response: requests.Response) -> None:
        """Raise for every answer that MSAL would turn into something vaguer than it is."""
        status = response.status_code
        wait = retry_after(response.headers, now=self._now())
        answer = json_object(response)
        if answer is not None and "error" in answer and (method == "GET" or status >= 500 or status == 429):
            raise refused(self._subject, answer, status=status, retry_after=wait)
        if status >= 500 or status in {408, 429}:
            raise broken(self._subject, "busy", f"HTTP {status}", retry_after=wait)
        if method == "GET" and status != 200:
            raise broken(self._subject, "discovery", f"HTTP {status}")
        if answer is None:
            kind = response.headers.get("Content-Type", "no content type").split(";")[0]
            raise broken(self._subject, "not json", f"HTTP {status}, {kind}", retryable=status < 300)
        self.answer = answer

    def _check_realm(self, response: requests.Response) -> None:
        """Raise where a password would have to go to the company's own federation service."""
        if response.status_code == 404:
            return
        self._check("GET", response)
        if str(self.answer.get("account_type")).lower() == "federated":
            raise stopped(
                self._subject,
                "The user signs in at the company's own federation service, to which no password is sent from here.",
                "choose Auth type Signed-in user, or an application user",
            )


def json_object(response: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object of a body, or None."""
    try:
        answer = json.loads(response.content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def stopped(
    subject: Subject,
    cause: str,
    remedy: str,
    *,
    retryable: bool = False,
    retry_after: float | None = None,
) -> AuthenticationError:
    """Word a sign-in that is stopped on this side."""
    return AuthenticationError(
        f"Sign-in to {subject} failed: {cause} What to do: {remedy}.",
        message=cause,
        remedy=remedy,
        kind="transient" if retryable else "permanent",
        retryable=retryable,
        retry_after=retry_after,
    )


def worded(subject: Subject, error: Exception, hidden: Iterable[str] = ()) -> AuthenticationError:
    """Word whatever requests or MSAL raised; `hidden` are secrets that its text may not repeat."""
    if isinstance(error, SSLError):
        return broken(subject, "certificate", _reason(error))
    if isinstance(error, ProxyError):
        return broken(subject, "proxy", _reason(error), retryable="407" not in str(error))
    if isinstance(error, Timeout):
        return broken(subject, "timeout")
    if isinstance(error, NoConnection):
        return broken(subject, "unreachable", _reason(error))
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return broken(subject, "ca bundle", str(error))
    return broken(subject, "library", veiled(f"{type(error).__name__}: {error}", hidden))


def veiled(text: str, hidden: Iterable[str]) -> str:
    """Return a text with stars in place of secrets."""
    for secret in hidden:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def _reason(error: requests.RequestException) -> str:
    """Return what lies under requests' and urllib3's wrapping, without addresses of Python objects."""
    inner: Any = error.args[0] if error.args else error
    return _NO_DETAIL.sub("", str(getattr(inner, "reason", inner)))
