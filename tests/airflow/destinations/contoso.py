"""A company in a small internet: its sign-in services and environments, an attacker's host, and each way of signing in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.world import Answer, Asked, World

LOGIN = "login.microsoftonline.com"
HOST = "contoso.crm4.dynamics.com"
OTHER_HOST = "fabrikam.crm4.dynamics.com"
EVIL = "evil.example"
ADFS = "adfs.contoso.com"
IDP = "idp.contoso.com"
ON_PREMISES = "crm.contoso.com"
HOSTS = (LOGIN, HOST, OTHER_HOST, EVIL, ADFS, IDP, ON_PREMISES, f"{LOGIN}.{EVIL}", f"{HOST}.{EVIL}")
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"

CLIENT_SECRET = "pl4nted~client-secret/Value+that=must.stay"
REFRESH_TOKEN = "1.AXoA-pl4nted-refresh-token-of-ann"
ROTATED_TOKEN = "2.BYpB-r0tated~what-ann-has-after-each-renewal"
PASSWORD = "pl4nted-pa%sword of ann & nobody else"
ASSERTION = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJwbDRudGVkIn0.pl4nted-federated-token"

_BASES = {LOGIN: f"/{TENANT}", ADFS: "/adfs", IDP: "/tenant"}


@dataclass
class Contoso:
    """What the company's servers say. A test sets the attack: an answer of the sign-in service, or of an environment."""

    world: World
    discovery: dict[str, str] = field(default_factory=dict)
    sign_in: Callable[[Asked], Answer | None] = lambda _: None
    data: Callable[[Asked], Answer | None] = lambda _: None
    issued: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.world.asked.clear()
        self.world.servers.clear()
        self.world.servers.update(dict.fromkeys(_BASES, self._sign_in))
        self.world.servers.update(dict.fromkeys((HOST, OTHER_HOST, ON_PREMISES), self._environment))

    def _sign_in(self, asked: Asked) -> Answer:
        if (said := self.sign_in(asked)) is not None:
            return said
        if asked.path.endswith("/openid-configuration"):
            return Answer(200, {**_discovery(f"https://{asked.host}{_BASES[asked.host]}"), **self.discovery})
        if "/userrealm/" in asked.path:
            return Answer(200, {"account_type": "Managed", "cloud_instance_name": "microsoftonline.com"})
        return self._token(asked)

    def _token(self, asked: Asked) -> Answer:
        token = f"planted.{secrets.token_urlsafe(48)}"
        self.issued[token] = asked.form.get("resource") or asked.form["scope"]
        body = {"token_type": "Bearer", "expires_in": 3600, "access_token": token}
        person = asked.form["grant_type"] in {"refresh_token", "password"}
        return Answer(200, {**body, "refresh_token": ROTATED_TOKEN} if person else body)

    def _environment(self, asked: Asked) -> Answer:
        if (said := self.data(asked)) is not None:
            return said
        if "Authorization" not in asked.headers:
            return unauthorized(f"https://{LOGIN}/{TENANT}/oauth2/authorize", asked.host)
        if "/WhoAmI" in asked.path:
            return Answer(200, {"UserId": "99999999-0000-0000-0000-000000000001"})
        return Answer(404, {"error": {"code": "0x80060888", "message": "Not found."}})


def unauthorized(authorization_uri: str, host: str) -> Answer:
    """Return an environment's answer to a request without a token."""
    challenge = f"Bearer authorization_uri={authorization_uri}, resource_id=https://{host}/"
    return Answer(401, None, {"WWW-Authenticate": challenge})


def _discovery(base: str) -> dict[str, str]:
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
    }


@dataclass(frozen=True)
class Mode:
    """A way of signing in: the connection's fields, what of it goes to the sign-in service, and what goes nowhere."""

    fields: Mapping[str, Any]
    sent: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def holds(self, text: str) -> bool:
        return any(secret in text for secret in (*self.sent, *self.kept))


def _certificate() -> tuple[str, str]:
    """Return a new private key and a certificate for it, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "airflow")])
    now, day = datetime.now(timezone.utc), timedelta(days=1)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - day, now + 30 * day
    ).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private.decode(), certificate.public_bytes(pem).decode()


_KEY, _PUBLIC = _certificate()

MODES = {
    "client secret": Mode({"password": CLIENT_SECRET}, sent=(CLIENT_SECRET,)),
    "certificate": Mode(
        {"auth_type": "certificate", "private_key": _KEY, "certificate": _PUBLIC}, kept=(_KEY,)
    ),
    "workload identity": Mode({"auth_type": "workload_identity"}, sent=(ASSERTION,)),
    "signed-in user": Mode(
        {"auth_type": "refresh_token", "refresh_token": REFRESH_TOKEN, "password": CLIENT_SECRET},
        sent=(CLIENT_SECRET, REFRESH_TOKEN),
        kept=(ROTATED_TOKEN,),
    ),
    "user name and password": Mode(
        {"auth_type": "username_password", "username": "ann@contoso.com", "user_password": PASSWORD},
        sent=(PASSWORD,),
    ),
}
