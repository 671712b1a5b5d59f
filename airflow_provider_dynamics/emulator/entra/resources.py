"""What tokens are issued for: the environment that stands behind the sign-in services, and others that were added.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow (the resource of a scope)
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_dynamics.emulator.entra.tokens import same_place

Known = Callable[[str], bool]


class Resources:
    """Addresses beside the one a request came to, for each of which tokens may be asked."""

    def __init__(self) -> None:
        self._added: tuple[str, ...] = ()

    def add(self, address: str) -> None:
        """Know one more, given without a slash at its end."""
        self._added = (*self._added, address)

    def remove(self, address: str) -> None:
        """Know it no longer."""
        self._added = tuple(one for one in self._added if one != address)

    def at(self, origin: str) -> Known:
        """Say which resources are known where a request came to this origin."""
        return lambda resource: any(same_place(resource, one) for one in (origin, *self._added))
