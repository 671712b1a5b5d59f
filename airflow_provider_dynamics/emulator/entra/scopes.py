"""What a ``scope`` asks for: which resource, and which of OpenID's extras.

https://learn.microsoft.com/entra/identity-platform/scopes-oidc
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_dynamics.emulator.entra.errors import EntraError, NotEmulated
from airflow_provider_dynamics.emulator.entra.resources import Known

OPENID = frozenset({"openid", "profile", "email", "offline_access"})
DEFAULT = "/.default"
DELEGATED = "/user_impersonation"


@dataclass(frozen=True)
class Asked:
    """A delegated scope taken apart."""

    resource: str
    permissions: tuple[str, ...]
    extras: frozenset[str]

    @property
    def granted(self) -> str:
        """The ``scope`` of the answer."""
        default = (f"{self.resource}{DEFAULT}",) if any(DEFAULT in one for one in self.permissions) else ()
        return " ".join((f"{self.resource}{DELEGATED}", *default))


def app_resource(scope: str, known: Known, tenant: str) -> str:
    """Return the audience an app's scope asks for. Raises ``EntraError`` when it is no such scope."""
    if " " in scope.strip() and all(part.endswith(DEFAULT) for part in scope.split()):
        raise _bad_scope(70011, scope, "static scope limit exceeded.")
    if not scope.endswith(DEFAULT):
        raise EntraError(
            400,
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            "/.default suffixed to the resource identifier (application ID URI).",
        )
    resource = scope[: -len(DEFAULT)]
    _check_resource(resource, known, tenant)
    return resource


def delegated(scope: str, known: Known, tenant: str) -> Asked:
    """Read what a person's app asks for. Raises ``EntraError`` when it names no permission of the environment."""
    parts = scope.split()
    extras = frozenset(parts) & OPENID
    permissions = tuple(part for part in parts if part not in OPENID)
    if not permissions:
        raise NotEmulated("a token for Microsoft Graph, which is what a scope without a resource asks for")
    resources = {_resource_of(part) for part in permissions}
    if len(resources) > 1:
        raise EntraError(
            400,
            "invalid_request",
            28000,
            f"Provided value for the input parameter scope is not valid because it contains more than one resource. "
            f"Scope {scope} is not valid.",
        )
    resource = resources.pop()
    _check_resource(resource, known, tenant)
    if len(permissions) > 1 and any(part.endswith(DEFAULT) for part in permissions):
        raise _bad_scope(70011, scope, ".default scope can't be combined with resource-specific scopes.")
    return Asked(resource, permissions, extras)


def _resource_of(part: str) -> str:
    for ending in (DEFAULT, DELEGATED):
        if part.endswith(ending):
            return part[: -len(ending)]
    if "/" not in part:
        raise NotEmulated(f"the permission {part!r} of Microsoft Graph")
    raise EntraError(
        400,
        "invalid_grant",
        65005,
        f"The application 'Contoso Airflow' asked for scope '{part.rpartition('/')[2]}' that doesn't exist on the "
        f"resource '{part.rpartition('/')[0]}'. Contact the app vendor.",
    )


def _check_resource(resource: str, known: Known, tenant: str) -> None:
    if known(resource):
        return
    raise EntraError(
        400,
        "invalid_resource",
        500011,
        f"The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant.",
    )


def _bad_scope(code: int, scope: str, why: str) -> EntraError:
    return EntraError(
        400,
        "invalid_scope",
        code,
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        f"'scope' is not valid. The scope {scope} is not valid. {why}",
    )
