"""Which national cloud an environment's host name belongs to, and where that cloud signs in.

Regions are told apart by a number in the host name (crm4, crm11, …); Microsoft adds numbers, so none is
listed here.
https://learn.microsoft.com/power-platform/admin/new-datacenter-regions
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["CLOUDS", "Cloud", "Place", "directory_of", "locate"]


@dataclass(frozen=True)
class Cloud:
    """A national cloud: its sign-in host, the pattern of its regions' host names, and who lists its environments."""

    name: str
    label: str
    authority_host: str
    region: str
    discovery_host: str


# https://learn.microsoft.com/power-apps/developer/data-platform/discovery-service names the hosts,
# https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud the sign-in addresses.
CLOUDS: dict[str, Cloud] = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            *("public", "Public", "login.microsoftonline.com"),
            *(r"crm\d*\.dynamics\.com", "globaldisco.crm.dynamics.com"),
        ),
        Cloud(
            *("gcc", "US Government GCC", "login.microsoftonline.com"),
            *(r"crm\d*\.dynamics\.com", "globaldisco.crm9.dynamics.com"),
        ),
        Cloud(
            *("gcc_high", "US Government GCC High", "login.microsoftonline.us"),
            *(r"crm\d*\.microsoftdynamics\.us", "globaldisco.crm.microsoftdynamics.us"),
        ),
        Cloud(
            *("dod", "US Government DoD", "login.microsoftonline.us"),
            *(r"crm\d*\.appsplatform\.us", "globaldisco.crm.appsplatform.us"),
        ),
        Cloud(
            *("china", "China (21Vianet)", "login.partner.microsoftonline.cn"),
            *(r"crm\d*\.dynamics\.cn", "globaldisco.crm.dynamics.cn"),
        ),
    )
}

_SERVICES = {"admin", "api", "disco", "dev", "globaldisco", "port", "services"}


@dataclass(frozen=True)
class Place:
    """What a host name says: its cloud, its region's host name, and whether an environment's name stands before it."""

    cloud: Cloud
    region_host: str
    is_environment: bool


def locate(host: str) -> Place | None:
    """Read a host name such as contoso.crm4.dynamics.com (or contoso.api.crm4.dynamics.com); None if no cloud has it."""
    for cloud in CLOUDS.values():
        found = re.fullmatch(rf"(?P<before>(?:[a-z0-9-]+\.)*)(?P<region>{cloud.region})", host.lower())
        if found:
            labels = found["before"].rstrip(".").split(".")
            named = labels[0] not in _SERVICES | {""} and labels[1:] in ([], ["api"])
            return Place(cloud, found["region"], is_environment=named)
    return None


def directory_of(host: str, cloud: Cloud) -> str:
    """Return the host that lists the environments beside this one: GCC's lie in the public cloud, in region 9."""
    place = locate(host)
    gcc = CLOUDS["gcc"]
    return gcc.discovery_host if place and place.region_host == "crm9.dynamics.com" else cloud.discovery_host
