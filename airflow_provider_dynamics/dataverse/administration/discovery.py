"""Which environments a person may enter, as Microsoft's Global Discovery service lists them for each cloud.

It takes a person's token that is meant for itself, so an app by itself learns nothing from it.
https://learn.microsoft.com/power-apps/developer/data-platform/discovery-service
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_dynamics.auth.authorities import APP_MODES, MODES
from airflow_provider_dynamics.auth.bearer import BearerAuth
from airflow_provider_dynamics.auth.credentials import Credential
from airflow_provider_dynamics.auth.network import NO_PORT, Network, origin
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy
from airflow_provider_dynamics.dataverse.transport.transport import Transport

__all__ = ["Instance", "instances"]

log = logging.getLogger(__name__)

_COLUMNS = (
    "Id,FriendlyName,UniqueName,UrlName,Url,ApiUrl,EnvironmentId,TenantId,Region,Version,State,Purpose,"
    "IsUserSysAdmin,TrialExpirationDate"
)
_WITHOUT_A_PERSON = APP_MODES | {MODES["managed_identity"]}
_MOST_PAGES = 100
_LONGEST_NAME = 200  # characters; people read it in a line


@dataclass(frozen=True, slots=True)
class Instance:
    """An environment as the discovery service lists it; `url` is what a connection's Environment URL holds.

    `name` is what people call it, `id` the organization's id, `enabled` whether anybody may enter it, `trial_ends`
    an ISO date ("" for none), `admin` whether the person is a system administrator there.
    """

    url: str
    name: str
    unique_name: str = ""
    id: str = ""
    environment_id: str = ""
    tenant_id: str = ""
    region: str = ""
    version: str = ""
    purpose: str = ""
    enabled: bool = True
    admin: bool = False
    trial_ends: str = ""
    api_url: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def instances(
    directory: str,
    credential: Credential,
    *,
    network: Network,
    on_token: Callable[[str], None] | None = None,
    retry: RetryPolicy | None = None,
    clock: Clock | None = None,
) -> list[Instance]:
    """Return the environments that whoever the credential belongs to may enter, by name, disabled ones last.

    Environments in which the person's account is disabled, which leave them out by a security group, or which they only
    administer for somebody else are not listed.

    :param directory: the cloud's discovery service, such as "https://globaldisco.crm.dynamics.com"
    :raises BadRequest: the credential is an app's; nothing was sent
    :raises DataverseError: the service refuses, or does not answer
    :raises AuthenticationError: no token for it can be had
    """
    mode = getattr(credential, "mode", "")
    if mode in _WITHOUT_A_PERSON:
        raise errors.BadRequest(
            f"Environments are listed for persons, and this connection signs in as an app ({mode})",
            asked="GET Instances",
            remedy="Use a connection that a person is signed in to (Auth type Signed-in user), or give the environment's URL, "
            "which the Power Platform admin center shows.",
        )
    auth = BearerAuth(credential, directory, network, on_token)
    client_id = getattr(credential, "client_id", None) or ""
    transport = Transport(directory, auth, network=network, client_id=client_id, retry=retry, clock=clock)
    try:
        found = filter(None, map(_instance, _rows(transport, directory)))
        return sorted(found, key=lambda one: (not one.enabled, one.name.lower(), one.url))
    finally:
        transport.close()


def _rows(transport: Transport, directory: str) -> list[Mapping[str, Any]]:
    target = f"{directory}/api/discovery/v2.0/Instances{odata.options({'$select': _COLUMNS})}"
    rows: list[Mapping[str, Any]] = []
    for _ in range(_MOST_PAGES):
        request = Request("GET", target)
        answer = decoded(transport.send(request), request)
        rows += _listed(answer)
        target = str(answer.get("@odata.nextLink") or "")
        if not target:
            return rows
    raise errors.BadResponse("The list of environments does not come to an end", asked="GET Instances")


def _listed(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = answer.get("value")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise errors.BadResponse(
            "The answer is no list of environments", asked="GET Instances", retryable=False
        )
    return found


def _instance(row: Mapping[str, Any]) -> Instance | None:
    """Return an environment, None for one without an address: it must not hide the others."""

    def text(name: str) -> str:
        return " ".join(str(row.get(name) or "").split())

    url = text("Url") or text("ApiUrl")
    if not _is_address(url):
        log.warning(
            "The discovery service lists %r without an address.", text("FriendlyName")[:_LONGEST_NAME]
        )
        return None
    return Instance(
        url=url.rstrip("/"),
        name=(text("FriendlyName") or text("UrlName") or text("UniqueName"))[:_LONGEST_NAME],
        unique_name=text("UniqueName"),
        id=text("Id"),
        environment_id=text("EnvironmentId"),
        tenant_id=text("TenantId"),
        region=text("Region"),
        version=text("Version"),
        purpose=text("Purpose"),
        enabled=not row.get("State"),
        admin=bool(row.get("IsUserSysAdmin")),
        trial_ends=text("TrialExpirationDate")[:10],
        api_url=text("ApiUrl").rstrip("/"),
    )


def _is_address(url: str) -> bool:
    try:
        scheme, host, port = origin(url)
    except ValueError:
        return False
    return scheme == "https" and bool(host) and port != NO_PORT
