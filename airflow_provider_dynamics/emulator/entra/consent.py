"""Who has consented to what: an administrator for everyone, or a person for one application.

https://learn.microsoft.com/entra/identity-platform/permissions-consent-overview
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.directory import Application, Person


class Consents:
    """Consent to the environment's delegated permission; an administrator has given it at the start."""

    def __init__(self) -> None:
        self.for_everyone = True
        self._given: set[tuple[str, str]] = set()

    def has(self, person: Person, app: Application) -> bool:
        """Whether the app may act for this person."""
        return self.for_everyone or (person.user_name, app.client_id) in self._given

    def give(self, person: Person, app: Application) -> None:
        """A person consents for himself."""
        self._given.add((person.user_name, app.client_id))

    def withdraw(self) -> None:
        """Nobody has consented to anything any more."""
        self.for_everyone = False
        self._given.clear()
