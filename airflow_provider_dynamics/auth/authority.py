"""Signs in at Entra through MSAL, once per call and with nothing kept: tokens are kept in `tokens`.

MSAL is given a door of our own to the network, which follows no redirect, sends secrets to one host only,
checks certificates against the bundle it was told, and words what is not an OAuth answer before MSAL can lose
it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ProxyError, SSLError, Timeout
from requests.utils import get_environ_proxies

from airflow_provider_dynamics.auth.causes import AuthenticationError, Subject, broken, refused
from airflow_provider_dynamics.auth.network import Network, retry_after
from airflow_provider_dynamics.auth.tokens import AccessToken

__all__ = ["Subject", "sign_in_app"]

_DEFAULT_LIFE = 3599  # seconds; what MSAL assumes where a service does not say
_NO_DETAIL = re.compile(r"^.*?(?:Max retries exceeded|object at 0x[0-9a-f]+>: )", re.DOTALL)


def sign_in_app(
    subject: Subject,
    client_credential: str | dict[str, Any],
    *,
    network: Network,
    now: Callable[[], float] = time.time,
    claims: str | None = None,
) -> AccessToken:
    """Return a new app-only token; `client_credential` is MSAL's: a secret, or the dict of a certificate or assertion.

    Raises AuthenticationError, worded and without the credential.
    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """
    import msal

    asked_at = now()
    with requests.Session() as session:
        door = _Door(session, subject, network, now)
        try:
            app = msal.ConfidentialClientApplication(
                subject.client_id,
                client_credential=client_credential,
                authority=f"https://{subject.authority_host}/{subject.tenant_id}",
                http_client=door,
                instance_discovery=False,  # its own failure would hide the sign-in's
                azure_region=False,  # Microsoft's own services only; an environment variable must not switch it on
            )
            result = app.acquire_token_for_client([subject.scope], claims_challenge=claims)
        except AuthenticationError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise _not_signed_in(subject, error, client_credential) from error
    return _token(subject, result, door, asked_at)


class _Door:
    """The `http_client` MSAL asks for: get and post, to the authority's host and nowhere else."""

    def __init__(
        self, session: requests.Session, subject: Subject, network: Network, now: Callable[[], float]
    ) -> None:
        self._session = session
        self._subject = subject
        self._network = network
        self._now = now
        self._session.trust_env = (
            False  # a .netrc or CA variable of the worker must not overrule the connection
        )
        self.status: int | None = None

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._ask("GET", url, **options)

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._ask("POST", url, **options)

    def close(self) -> None:
        """MSAL may close its client; the session is closed by whoever opened it."""

    def _ask(self, method: str, url: str, **options: Any) -> requests.Response:
        if not url.startswith(f"https://{self._subject.authority_host}/"):
            raise broken(self._subject, "other host", url.split("?", maxsplit=1)[0])
        proxy = self._network.proxy
        response = self._session.request(
            method,
            url,
            timeout=self._network.timeout,
            verify=self._network.verify,
            proxies={"http": proxy, "https": proxy} if proxy else get_environ_proxies(url),
            allow_redirects=False,
            **options,
        )
        self.status = response.status_code
        self._check(method, response)
        return response

    def _check(self, method: str, response: requests.Response) -> None:
        """Raise for every answer that MSAL would turn into something vaguer than it is."""
        status = response.status_code
        wait = retry_after(response.headers, now=self._now())
        if 300 <= status < 400:
            raise broken(self._subject, "redirect", f"HTTP {status}")
        answer = _json_object(response)
        if answer is not None and "error" in answer and (method == "GET" or status >= 500 or status == 429):
            raise refused(self._subject, answer, status=status, retry_after=wait)
        if status >= 500 or status in {408, 429}:
            raise broken(self._subject, "busy", f"HTTP {status}", retry_after=wait)
        if method == "GET" and status != 200:
            raise broken(self._subject, "discovery", f"HTTP {status}")
        if answer is None:
            kind = response.headers.get("Content-Type", "no content type").split(";")[0]
            raise broken(self._subject, "not json", f"HTTP {status}, {kind}", retryable=status < 300)


def _token(subject: Subject, result: Mapping[str, Any] | None, door: _Door, asked_at: float) -> AccessToken:
    if not result or "access_token" not in result:
        raise refused(subject, result or {}, status=door.status)
    refresh_on = result.get("refresh_on")
    return AccessToken(
        result["access_token"],
        expires_at=asked_at + float(result.get("expires_in", _DEFAULT_LIFE)),
        refresh_at=None if refresh_on is None else asked_at + float(refresh_on) - time.time(),
    )


def _not_signed_in(
    subject: Subject, error: Exception, credential: str | dict[str, Any]
) -> AuthenticationError:
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
    text = f"{type(error).__name__}: {error}"
    if isinstance(credential, str):
        text = text.replace(credential, "***")
    return broken(subject, "library", text)


def _reason(error: requests.RequestException) -> str:
    """Return what lies under requests' and urllib3's wrapping, without addresses of Python objects."""
    inner: Any = error.args[0] if error.args else error
    return _NO_DETAIL.sub("", str(getattr(inner, "reason", inner)))


def _json_object(response: requests.Response) -> dict[str, Any] | None:
    try:
        answer = json.loads(response.content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
