"""Puts the access token on requests, in this one place and for one host only.

It is a `requests` authentication, so the token is asked for at the moment of sending: a long export never
sends one that has meanwhile expired.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from requests import PreparedRequest, Response
from requests.auth import AuthBase
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

from airflow_provider_dynamics.auth.credentials import Credential
from airflow_provider_dynamics.auth.network import NO_PORT, Network, origin
from airflow_provider_dynamics.auth.tokens import AccessToken

__all__ = ["BearerAuth"]

_CLAIMS = re.compile(r'\bclaims="([A-Za-z0-9+/=_-]+)"')


class BearerAuth(AuthBase):
    """Signs requests to `environment` with the credential's token, and repeats one that was refused with 401, once.

    A 401 comes before the service has done anything, so any method may be repeated. `on_token` is told every
    new token before its first use: Airflow's side has it masked in logs.
    """

    def __init__(
        self,
        credential: Credential,
        environment: str,
        network: Network,
        on_token: Callable[[str], None] | None = None,
    ) -> None:
        self._credential = credential
        self._environment = environment
        self._origin = origin(environment)
        self._network = network
        self._on_token = on_token
        self._told: str | None = None

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Add the header when the request goes to the environment's own scheme, host and port; raises AuthenticationError."""
        here = origin(r.url or "")
        if here != self._origin or here[2] == NO_PORT:
            return r
        token = self._token()
        r.headers["Authorization"] = f"Bearer {token.secret}"
        r.register_hook("response", partial(self._after, token))  # type: ignore[no-untyped-call]  # bare in types-requests
        return r

    def _token(self, *, rejected: AccessToken | None = None, claims: str | None = None) -> AccessToken:
        token = self._credential.get_token(
            self._environment, network=self._network, rejected=rejected, claims=claims
        )
        if self._on_token is not None and token.secret != self._told:
            self._on_token(token.secret)
            self._told = token.secret
        return token

    def _after(self, used: AccessToken, response: Response, **sending: Any) -> Response:
        if response.status_code != 401 or origin(response.url) != self._origin:
            return response
        token = self._token(rejected=used, claims=_claims(response))
        if token.secret == used.secret or not _rewound(response.request):
            return response
        response.content  # noqa: B018  # read to its end, so that the connection can be used again
        response.close()
        again = response.request.copy()
        again.headers["Authorization"] = f"Bearer {token.secret}"
        replayed: Response = response.connection.send(again, **sending)
        replayed.history.append(response)
        replayed.request = again
        return replayed


def _claims(response: Response) -> str | None:
    """Return the JSON text of a claims challenge.

    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """
    challenge = response.headers.get("WWW-Authenticate", "")
    found = _CLAIMS.search(challenge)
    if found is None or "insufficient_claims" not in challenge:
        return None
    text = found[1].replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _rewound(request: PreparedRequest) -> bool:
    """Say whether the body can be sent a second time."""
    if request.body is None or isinstance(request.body, (bytes, str)):
        return True
    try:
        rewind_body(request)
    except UnrewindableBodyError:
        return False
    return True
