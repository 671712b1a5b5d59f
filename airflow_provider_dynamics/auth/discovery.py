"""Finds out which tenant an environment belongs to, from the 401 that it answers to a stranger.

Only the tenant is believed, and only where the environment names the very cloud the sign-in goes to anyway: an
environment must not choose who gets a secret.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import requests

from airflow_provider_dynamics.auth.authorities import MANY_TENANTS, Authority
from airflow_provider_dynamics.auth.causes import AuthenticationError, Subject, broken
from airflow_provider_dynamics.auth.door import Gate, stopped, worded
from airflow_provider_dynamics.auth.network import Network

__all__ = ["find_tenant"]

_ADDRESS = re.compile(r'\bauthorization_uri="?(https://[^",\s]+)', re.IGNORECASE)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{2,252}")
# Names of one and the same service: https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
_ALIASES = (
    {"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
    {"login.microsoftonline.us", "login-us.microsoftonline.com", "login.usgovcloudapi.net"},
    {"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"},
)


def find_tenant(
    environment: str, authority: Authority, network: Network, *, subject: Subject | None = None
) -> str:
    """Return the tenant that owns an environment; raises AuthenticationError where it does not say, or names another cloud."""
    asked = Subject(environment, "search for its tenant", "", "", urlsplit(environment).netloc, "")
    subject = subject or asked
    response = _as_a_stranger(asked, network)
    found = _ADDRESS.search(response.headers.get("WWW-Authenticate", ""))
    if response.status_code != 401 or found is None:
        raise broken(subject, "tenant unknown", f"HTTP {response.status_code}")
    named = urlsplit(found[1])
    if named.netloc.lower() not in _names(authority.host):
        raise stopped(
            subject,
            f"The environment signs in at {named.netloc}, not at {authority.host}.",
            "correct Cloud, Authority or the Environment URL, or enter the Tenant ID",
        )
    tenant = named.path.strip("/").split("/")[0]
    if tenant.lower() in MANY_TENANTS or not _TENANT.fullmatch(tenant):
        raise broken(subject, "tenant unknown")
    return tenant


def _as_a_stranger(asked: Subject, network: Network) -> requests.Response:
    """Ask the environment for something without a token; raises AuthenticationError where it has no time to answer."""
    url = asked.environment
    with requests.Session() as session:
        try:
            response = Gate(session, asked, network, url).send(
                "GET", f"{url}/api/data/v9.2/", headers={"Accept": "application/json"}
            )
        except AuthenticationError:
            raise
        except Exception as error:
            raise worded(asked, error) from error
    if response.status_code >= 500 or response.status_code in {408, 429}:
        raise broken(asked, "busy", f"HTTP {response.status_code}")
    return response


def _names(host: str) -> set[str]:
    return next((names for names in _ALIASES if host in names), {host})
