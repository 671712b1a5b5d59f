"""Authorization codes and device codes: short-lived proofs that a person has signed in at the page.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_dynamics.emulator.directory import Person
from airflow_provider_dynamics.emulator.entra import jwt
from airflow_provider_dynamics.emulator.entra.errors import EntraError, invalid_grant

CODE_LIFETIME = 600.0
DEVICE_LIFETIME = 900
INTERVAL = 5
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass
class Code:
    """What an authorization code stands for."""

    person: Person
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    nonce: str | None
    challenge: str | None
    method: str
    made_at: float
    resource: str | None = None  # AD FS's relying party
    is_redeemed: bool = False


@dataclass
class DeviceCode:
    """What a device code stands for; ``person`` once somebody has signed in for it."""

    device_code: str
    user_code: str
    client_id: str
    scopes: tuple[str, ...]
    made_at: float
    person: Person | None = None
    is_declined: bool = False
    is_redeemed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided on it yet."""
        return self.person is None and not self.is_declined


class Codes:
    """The codes that were handed out."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._codes: dict[str, Code] = {}
        self._devices: dict[str, DeviceCode] = {}

    def new_code(
        self,
        person: Person,
        request: Mapping[str, str],
        scopes: tuple[str, ...],
        resource: str | None = None,
    ) -> str:
        """Return a code for what an authorization request asked."""
        text = f"1.{secrets.token_urlsafe(64)}"
        self._codes[text] = Code(
            person,
            request["client_id"].lower(),
            request["redirect_uri"],
            scopes,
            request.get("nonce"),
            request.get("code_challenge"),
            request.get("code_challenge_method", "plain"),
            self._now(),
            resource,
        )
        return text

    def redeem_code(self, form: Mapping[str, str], text: str) -> Code:
        """Use an authorization code. Raises ``EntraError`` when it does not hold."""
        code = self._codes.get(text)
        if code is None:
            raise invalid_grant(9002313, "Invalid request. Request is malformed or invalid.")
        if code.client_id != form.get("client_id", "").lower():
            raise invalid_grant(
                70000, "Provided grant is invalid or malformed: the code was issued to another client."
            )
        if code.is_redeemed:
            raise invalid_grant(
                54005,
                "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
                "refresh token.",
            )
        if self._now() - code.made_at > CODE_LIFETIME:
            raise invalid_grant(
                70008, "The provided authorization code or refresh token has expired due to inactivity."
            )
        _check_redirect(form, code)
        _check_verifier(form, code)
        code.is_redeemed = True
        return code

    def new_device(self, client_id: str, scopes: tuple[str, ...]) -> DeviceCode:
        """Start a device flow."""
        user_code = "".join(secrets.choice(_LETTERS) for _ in range(9))
        device = DeviceCode(secrets.token_urlsafe(96), user_code, client_id, scopes, self._now())
        self._devices[device.device_code] = device
        return device

    def device_named(self, user_code: str) -> DeviceCode | None:
        """Return the open device flow with the code a person typed; None when there is none."""
        wanted = user_code.strip().upper().replace("-", "")
        found = (one for one in self._devices.values() if one.user_code == wanted)
        return next((one for one in found if one.is_open and not self._is_late(one)), None)

    def redeem_device(self, form: Mapping[str, str], text: str) -> DeviceCode:
        """Ask for a device code's outcome. Raises ``EntraError`` until somebody has signed in."""
        device = self._devices.get(text)
        if device is None or device.client_id != form.get("client_id", "").lower() or device.is_redeemed:
            raise EntraError(
                400,
                "bad_verification_code",
                70020,
                "The provided value for the input parameter 'device_code' is not valid. Device codes supplied must be "
                "used only once.",
            )
        if device.is_declined:
            text = "The end user denied the authorization request."
            raise EntraError(400, "authorization_declined", 70018, text)
        if self._is_late(device):
            text = "Verification code expired. Have the user retry the sign-in."
            raise EntraError(400, "expired_token", 70019, text)
        if device.person is None:
            raise EntraError(
                400,
                "authorization_pending",
                70016,
                "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
            )
        device.is_redeemed = True
        return device

    def expire_devices(self) -> int:
        """Let every open device flow run out; returns how many there were."""
        found = [one for one in self._devices.values() if not one.is_redeemed]
        for one in found:
            one.made_at = self._now() - DEVICE_LIFETIME - 1
        return len(found)

    def _is_late(self, device: DeviceCode) -> bool:
        return device.person is None and self._now() - device.made_at > DEVICE_LIFETIME


def _check_redirect(form: Mapping[str, str], code: Code) -> None:
    given = form.get("redirect_uri", "")
    if given != code.redirect_uri:
        raise EntraError(
            400,
            "invalid_client",
            500112,
            f"The reply address '{given}' does not match the reply address '{code.redirect_uri}' provided when "
            "requesting Authorization code.",
        )


def _check_verifier(form: Mapping[str, str], code: Code) -> None:
    """PKCE, RFC 7636."""
    if code.challenge is None:
        return
    verifier = form.get("code_verifier")
    if not verifier:
        raise invalid_grant(
            501481, "The Code_Verifier is missing although the authorization request had a challenge."
        )
    digest = jwt.encode(hashlib.sha256(verifier.encode()).digest())
    wanted = digest if code.method == "S256" else verifier
    if not hmac.compare_digest(wanted.encode(), code.challenge.encode()):
        raise invalid_grant(
            501481,
            "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
        )
