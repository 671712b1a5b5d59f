"""Asks Azure's machine-local endpoint for the token of the machine's own, or an assigned, identity.

Nothing secret is sent and nothing leaves the machine, so no proxy is ever used; what the endpoint answers with
an HTTP status, which MSAL does not look at, is put into words here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from airflow_provider_dynamics.auth.authority import Signed, SignIn, check_available
from airflow_provider_dynamics.auth.causes import AuthenticationError, Subject, broken
from airflow_provider_dynamics.auth.door import Gate, json_object, stopped, worded
from airflow_provider_dynamics.auth.network import Network, retry_after
from airflow_provider_dynamics.auth.tokens import AccessToken

__all__ = ["endpoint", "sign_in_managed"]

IMDS = "http://169.254.169.254"
ARC = "http://localhost:40342/metadata/identity/oauth2/token"
_ARC_AGENT = "/opt/azcmagent/bin/himds"
# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
_PASSING = frozenset({404, 408, 410, 429})
_UPDATING_WAIT = 10.0  # seconds; the endpoint is back within 70 when it says that it is being updated
_NEAR = 2.0  # seconds to connect: it is on this machine


def endpoint(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address MSAL will ask, by the variables that each of Azure's platforms sets.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
    """
    if "IDENTITY_ENDPOINT" in environ and ("IDENTITY_HEADER" in environ or "IMDS_ENDPOINT" in environ):
        return environ["IDENTITY_ENDPOINT"]
    if "MSI_ENDPOINT" in environ and "MSI_SECRET" in environ:
        return environ["MSI_ENDPOINT"]
    if os.path.exists(_ARC_AGENT):  # noqa: PTH110 - the test MSAL makes
        return ARC
    return environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", IMDS)


def sign_in_managed(s: SignIn, *, now: Callable[[], float] = time.time, claims: str | None = None) -> Signed:
    """Return the identity's token; `s.client_id` names an assigned identity, "" the machine's own. Raises AuthenticationError.

    https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/overview
    """
    import msal

    _check_place(s)
    asked_at = now()
    own, assigned = msal.SystemAssignedManagedIdentity, msal.UserAssignedManagedIdentity
    identity = assigned(client_id=s.client_id) if s.client_id else own()
    with requests.Session() as session:
        door = _LocalDoor(session, s, now)
        try:
            client = msal.ManagedIdentityClient(identity, http_client=door, client_capabilities=["CP1"])
            result = client.acquire_token_for_client(resource=_resource(s), claims_challenge=claims)
        except AuthenticationError:
            raise
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _nobody_there(s.subject, error) from error
        except OSError as error:
            if isinstance(error, requests.RequestException):
                raise worded(s.subject, error) from error
            raise _unreadable_key(s.subject, error) from None
        except Exception as error:  # noqa: BLE001 - MSAL raises whatever an odd answer makes of its parsing
            raise worded(s.subject, error) from None
    return _signed(s, result, asked_at)


class _LocalDoor:
    """The `http_client` MSAL asks for: get, from the endpoint and nowhere else, never through a proxy."""

    def __init__(self, session: requests.Session, s: SignIn, now: Callable[[], float]) -> None:
        near = Network(s.network.ca_bundle, timeout=(min(_NEAR, s.network.timeout[0]), s.network.timeout[1]))
        self._gate = Gate(session, s.subject, near, endpoint(), proxied=False)
        self._subject = s.subject
        self._now = now

    def get(self, url: str, **options: Any) -> requests.Response:
        response = self._gate.send("GET", url, **options)
        status = response.status_code
        if status in _PASSING or status >= 500:
            wait = retry_after(response.headers, now=self._now())
            raise stopped(
                self._subject,
                f"The machine's identity endpoint is busy (HTTP {status}).",
                "it is tried again; if it lasts, check the machine's identity in the Azure portal",
                retryable=True,
                retry_after=_UPDATING_WAIT if wait is None and status == 410 else wait,
            )
        if status != 401 and json_object(response) is None:
            raise broken(self._subject, "managed identity", f"HTTP {status}, no JSON")
        return response

    def post(self, url: str, **options: Any) -> requests.Response:
        raise broken(self._subject, "other host", url)

    def close(self) -> None:
        """MSAL may close its client; the session is closed by whoever opened it."""


def _check_place(s: SignIn) -> None:
    check_available(s)
    if "IDENTITY_SERVER_THUMBPRINT" in os.environ:
        raise stopped(
            s.subject,
            "Managed identity on Service Fabric is not supported.",
            "choose another Auth type, such as certificate",
        )


def _resource(s: SignIn) -> str:
    """Return what the token is for: a managed identity is asked for a resource, not for a scope."""
    return (s.scope or s.environment).removesuffix("/.default")


def _signed(s: SignIn, result: Mapping[str, Any] | None, asked_at: float) -> Signed:
    token = (result or {}).get("access_token")
    if not result or not isinstance(token, str) or not token:
        answer = result or {"error": "no token in the answer"}
        said = answer.get("error_description") or answer.get("error") or "no token"
        raise broken(s.subject, "managed identity", str(said))
    refresh_in = result.get("refresh_in")
    return Signed(
        AccessToken(
            token,
            expires_at=asked_at + float(result["expires_in"]),
            refresh_at=None if refresh_in is None else asked_at + float(refresh_in),
        )
    )


def _unreadable_key(subject: Subject, error: OSError) -> AuthenticationError:
    """Word the one file there is: Azure Arc proves by it who asks.

    https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication
    """
    return stopped(
        subject,
        f"Azure Arc's key '{error.filename or ''}' cannot be read by this process ({error.strerror}).",
        "add the account that runs Airflow to the group himds on this machine, then start Airflow anew",
    )


def _nobody_there(subject: Subject, error: Exception) -> AuthenticationError:
    return stopped(
        subject,
        f"The machine's identity endpoint at {endpoint()} did not answer ({type(error).__name__}).",
        "managed identity works on Azure's own machines, with an identity assigned; elsewhere choose another Auth type",
        retryable=True,
    )
