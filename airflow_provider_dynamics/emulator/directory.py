"""Who exists in the emulated tenant: applications, people, managed identities.

The sign-in services know them by their ids and passwords, and the environment has a user row for those who
are its members. Every secret here is public: it opens nothing but the emulator.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_dynamics.emulator.schema.model import stable_id

TENANT_ID = "5f1c3a6e-7d0b-4c52-9a64-2f8e0d1b7c33"
TENANT_DOMAIN = "emulator.onmicrosoft.com"
CLIENT_ID = "c0ffee00-4d2a-4e0b-8f53-6b1d9a7e5c21"
CLIENT_SECRET = "emulator~secret.not-a-real-one"  # noqa: S105 - public on purpose: it opens nothing but this emulator
PUBLIC_CLIENT_ID = "c0ffee01-93b7-4d1f-8a64-0e5f7b2c4d19"
SYSTEM_IDENTITY = "1de17171-0a3c-4b7e-9d52-8c6f1e2a3b40"
USER_IDENTITY = "1de17172-6f4d-4c8a-b913-5a7d0e9c2f81"
MANAGED_IDENTITIES = (SYSTEM_IDENTITY, USER_IDENTITY)

# a workload elsewhere whose tokens the Web app trusts in place of a secret
# https://learn.microsoft.com/entra/workload-id/workload-identity-federation
FEDERATED_ISSUER = "https://workloads.contoso.example/"
FEDERATED_SUBJECT = "system:serviceaccount:airflow:airflow-worker"
FEDERATED_AUDIENCE = "api://AzureADTokenExchange"


@dataclass(frozen=True)
class Application:
    """An app registration; a confidential one is of platform Web and proves who it is."""

    client_id: str
    name: str
    confidential: bool

    @property
    def object_id(self) -> str:
        """The object id of its service principal."""
        return stable_id("entra", self.client_id)


@dataclass(frozen=True)
class Person:
    """Someone with an account in the tenant."""

    user_name: str
    password: str = field(repr=False)
    given_name: str
    family_name: str
    is_member: bool = True  # has a user row in the environment
    is_admin: bool = False  # may consent for everyone
    needs_second_factor: bool = False

    @property
    def name(self) -> str:
        """The display name."""
        return f"{self.given_name} {self.family_name}"

    def describe(self) -> str:
        """Return what is special about this person, in words."""
        words = [
            "administrator" if self.is_admin else "",
            "" if self.is_member else "no user of the environment",
            "needs a second factor" if self.needs_second_factor else "",
        ]
        return ", ".join(word for word in words if word) or "user"

    @property
    def object_id(self) -> str:
        """The object id of the account, ``azureactivedirectoryobjectid`` in the environment."""
        return stable_id("entra", self.user_name)


APPLICATIONS = {
    one.client_id: one
    for one in (
        Application(CLIENT_ID, "Contoso Airflow", confidential=True),
        Application(PUBLIC_CLIENT_ID, "Contoso Airflow (desktop)", confidential=False),
    )
}
PEOPLE = {
    one.user_name: one
    for one in (
        Person("alex.reed@contoso.example", "Alex's pass-phrase 1%", "Alex", "Reed", is_admin=True),
        Person("sam.cole@contoso.example", "Sam's pass-phrase 2&", "Sam", "Cole"),
        Person("robin.hale@contoso.example", "Robin's pass-phrase 3=", "Robin", "Hale", is_member=False),
        Person(
            "morgan.blake@contoso.example",
            "Morgan's pass-phrase 4+",
            "Morgan",
            "Blake",
            needs_second_factor=True,
        ),
    )
}
USER, OTHER_USER, OUTSIDER, CAREFUL_USER = PEOPLE.values()


def person_named(user_name: str) -> Person | None:
    """Return the person with this user name, in any case of letters."""
    return PEOPLE.get(user_name.strip().lower())
