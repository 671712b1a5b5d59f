"""What can be turned at the sign-in services from outside: revoke, expire, rotate, withdraw, skew, remove, take.

``Emulator.sign_ins`` in process, ``POST /_emulator/sign_ins`` with a JSON object from elsewhere; ``GET`` tells the
state. Everything but the redirect URIs is put back by a reset; sign-ins and refresh tokens stay good. Members of
the object, all optional:

===================  ======================================================================================
rotation             what becomes of a used refresh token: "reusable" (Entra's rule: a new one comes, the old
                     one stays good), "one_use" (the old one is dead), "family" (using an old one revokes all
                     that came of the same sign-in), "none" (no new one comes)
consent_given        true: an administrator has consented for everyone; false: nobody has consented
application_user     false: the environment has no user row for the applications (403 0x80072560)
members              a list of user names that are members of the environment: others get 403 0x80072560
skew                 seconds the services' clock is ahead of this machine's: of tokens, and in the header Date
redirect_uris        a list that replaces the Web app's registered redirect URIs
revoke               revoke refresh tokens: a user name, or true for everyone's
expire               true: every refresh token was unused for more than 90 days (AD FS: past its 8 hours)
expire_devices       true: every open device flow has run out
approve_device       sign in for a device flow: {"user_code": ..., "user": ...}
decline_device       decline a device flow: its user code
take_privilege       take a privilege from whoever has it by a role: its name, or {"privilege": ..., "user": ...};
                     what needs it gets 403 0x80040220 (``privileges_taken`` of the state lists them)
return_privileges    true: give back what was taken
===================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_dynamics.emulator.directory import PEOPLE, USER, Person, person_named
from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.entra.refresh import ROTATIONS
from airflow_provider_dynamics.emulator.messages import Principal
from airflow_provider_dynamics.emulator.privileges import privilege_named
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.switches import DataFaults

ACTIONS = (
    "revoke",
    "expire",
    "expire_devices",
    "approve_device",
    "decline_device",
    "return_privileges",
    "take_privilege",
)
STATES = ("rotation", "consent_given", "application_user", "members", "skew", "redirect_uris")


class SignIns:
    """The control panel of the sign-in services, and of what the environment lets users do."""

    def __init__(self, entra: Entra, faults: DataFaults | None = None, *, shared: bool = False) -> None:
        self._entra = entra
        self._shared = shared  # the sign-in services are another environment's: a reset leaves them alone
        self._taken = (faults or DataFaults()).privileges_taken
        self._members: frozenset[str] = frozenset()
        self.application_user = True
        self.reset()

    def reset(self) -> None:
        """Back to the start; tokens and redirect URIs stay."""
        if not self._shared:
            self._reset_services()
        self.application_user = True
        self.return_privileges()
        self._members = frozenset(one.user_name for one in PEOPLE.values() if one.is_member)

    def _reset_services(self) -> None:
        self.rotation = ROTATIONS[0]
        self._entra.consents.withdraw()
        self._entra.consents.for_everyone = True
        self._entra.skew = 0.0

    @property
    def rotation(self) -> str:
        """What becomes of a used refresh token."""
        return self._entra.refresh.rotation

    @rotation.setter
    def rotation(self, value: str) -> None:
        if value not in ROTATIONS:
            raise ValueError(f"rotation must be one of {', '.join(ROTATIONS)}, not {value!r}")
        self._entra.refresh.rotation = value

    @property
    def consent_given(self) -> bool:
        """Whether an administrator has consented for everyone."""
        return self._entra.consents.for_everyone

    @consent_given.setter
    def consent_given(self, value: bool) -> None:
        if value:
            self._entra.consents.for_everyone = True
        else:
            self._entra.consents.withdraw()

    @property
    def members(self) -> frozenset[str]:
        """User names of the people who are users of the environment."""
        return self._members

    @members.setter
    def members(self, names: Iterable[str]) -> None:
        self._members = frozenset(_person(name).user_name for name in names)

    @property
    def redirect_uris(self) -> set[str]:
        """The Web app's registered redirect URIs."""
        return self._entra.redirects.web

    def skew(self, seconds: float) -> None:
        """Set the services' clock ahead of this machine's (behind it, when negative): in tokens and the header Date."""
        self._entra.skew = float(seconds)

    def revoke(self, user: str | None = None) -> int:
        """Revoke one person's refresh tokens, or everyone's; returns how many."""
        name = None if user is None else _person(user).user_name
        return self._entra.refresh.revoke(name) + self._entra.on_premises.tokens.revoke(name)

    def expire_refresh_tokens(self) -> int:
        """Let every refresh token be unused for too long; returns how many."""
        return self._entra.refresh.expire() + self._entra.on_premises.tokens.expire()

    def expire_devices(self) -> int:
        """Let every open device flow run out; returns how many."""
        return self._entra.codes.expire_devices()

    def approve_device(self, user_code: str, user: str | None = None) -> None:
        """Sign in for a device flow, as a person does at its page. ValueError when no such flow is open."""
        device = self._entra.codes.device_named(user_code)
        if device is None:
            raise ValueError(f"no device flow is open for the code {user_code!r}")
        device.person = _person(user) if user else USER

    def decline_device(self, user_code: str) -> None:
        """Decline a device flow. ValueError when no such flow is open."""
        device = self._entra.codes.device_named(user_code)
        if device is None:
            raise ValueError(f"no device flow is open for the code {user_code!r}")
        device.is_declined = True

    def take_privilege(self, privilege: str, user: str | None = None) -> None:
        """Take a privilege ("prvReadAccount") from one person, or from everyone, applications included.

        ValueError when there is no such privilege or person.
        """
        name = privilege_named(privilege)
        self._taken.add((stable_id("systemuser", _person(user).user_name) if user else None, name))

    def return_privileges(self) -> None:
        """Give back what was taken."""
        self._taken.clear()

    def admits(self, principal: Principal) -> bool:
        """Whether the environment knows whom a token speaks for."""
        if principal.user_name is not None:
            return principal.user_name in self._members
        return self.application_user

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a control request asks; returns the state afterwards. ValueError names what is wrong."""
        unknown = set(wanted) - set(ACTIONS) - set(STATES)
        if unknown:
            known = ", ".join((*STATES, *ACTIONS))
            raise ValueError(f"sign_ins does not take {', '.join(sorted(unknown))}; it takes {known}")
        for name in STATES:
            if name in wanted:
                self._set(name, wanted[name])
        for name in ACTIONS:
            if wanted.get(name):
                self._do(name, wanted[name])
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """Return the state."""
        return {
            "rotation": self.rotation,
            "consent_given": self.consent_given,
            "application_user": self.application_user,
            "members": sorted(self._members),
            "skew": self._entra.skew,
            "privileges_taken": self._privileges_taken(),
            "redirect_uris": sorted(self.redirect_uris),
        }

    def _privileges_taken(self) -> list[dict[str, str | None]]:
        names = {stable_id("systemuser", name): name for name in PEOPLE}
        taken = [
            {"privilege": privilege, "user": user_id and names[user_id]} for user_id, privilege in self._taken
        ]
        return sorted(taken, key=lambda one: (one["privilege"], one["user"] or ""))

    def _set(self, name: str, value: Any) -> None:
        if name == "skew":
            self.skew(value)
        elif name == "redirect_uris":
            self.redirect_uris.clear()
            self.redirect_uris.update(value)
        else:
            setattr(self, name, value)

    def _do(self, name: str, value: Any) -> None:
        if name == "revoke":
            self.revoke(None if value is True else value)
        elif name == "expire":
            self.expire_refresh_tokens()
        elif name == "expire_devices":
            self.expire_devices()
        elif name == "approve_device":
            self.approve_device(value["user_code"], value.get("user"))
        elif name == "return_privileges":
            self.return_privileges()
        elif name == "take_privilege":
            self.take_privilege(**({"privilege": value} if isinstance(value, str) else value))
        else:
            self.decline_device(value)


def _person(name: str) -> Person:
    person = person_named(name)
    if person is None:
        raise ValueError(f"there is nobody named {name!r}; there are: {', '.join(PEOPLE)}")
    return person
