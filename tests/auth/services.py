"""The three kinds of sign-in service as requests-mock plays them: their addresses, and the next answers of each."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from requests_mock import Mocker

from airflow_provider_dynamics.auth import Authority
from airflow_provider_dynamics.auth.authorities import AuthorityKind
from airflow_provider_dynamics.auth.authority import SignIn

ENVIRONMENT = "https://contoso.crm4.dynamics.com"
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
SECRET = "s3cr~t/Value+that=must.never.show"
ANN = "ann@contoso.com"
URLS: dict[AuthorityKind, str] = {
    "entra": "https://login.microsoftonline.com",
    "adfs": "https://adfs.contoso.com/adfs",
    "oidc": "https://login.contoso.com:8443/realm",
}


def unsigned(claims: dict[str, Any], **header: Any) -> str:
    """Return a JWT that says `claims` and is signed by nobody."""
    parts = ({"alg": "RS256", "typ": "JWT", **header}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, "c2ln"])


def issued(value: str = "access-1", **more: Any) -> dict[str, Any]:
    """Return an app's successful answer."""
    return {"json": {"token_type": "Bearer", "expires_in": 3600, "access_token": value, **more}}


def issued_to_ann(
    value: str = "access-1", successor: str | None = "refresh-2", **claims: Any
) -> dict[str, Any]:
    """Return a person's successful answer; a claim of None is left out of the ID token."""
    said = {
        "iss": "https://sts",
        "sub": "ann",
        "aud": CLIENT,
        "iat": 1_800_000_000,
        "exp": 4_000_000_000,
        "preferred_username": ANN,
        "tid": TENANT,
        **claims,
    }
    id_token = unsigned({name: value for name, value in said.items() if value is not None})
    more = {} if successor is None else {"refresh_token": successor}
    return issued(value, id_token=id_token, **more)


def refusal(error: str, text: str = "", status: int = 400, **more: Any) -> dict[str, Any]:
    """Return an OAuth error."""
    return {"json": {"error": error, "error_description": text, **more}, "status_code": status}


@dataclass
class FakeService:
    """One kind of service, with an app in it."""

    mocker: Mocker
    kind: AuthorityKind = "entra"
    resource: str | None = None
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = URLS[self.kind]
        base = f"{self.url}/{TENANT}/oauth2/v2.0" if self.kind == "entra" else f"{self.url}/oauth2"
        self.base = base
        self.token_url = f"{base}/token"
        start = f"{self.url}/{TENANT}/v2.0" if self.kind == "entra" else self.url
        self.start = start
        self.configure()
        self.mocker.get(
            f"https://{urlsplit(self.url).netloc}/common/userrealm/{ANN}", json={"account_type": "Managed"}
        )
        self.answers(issued())

    @property
    def authority(self) -> Authority:
        return Authority(self.kind, self.url, self.resource)

    def configure(self, **changes: str) -> None:
        """Publish the service's addresses."""
        addresses = {
            "issuer": self.start,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": self.token_url,
            "device_authorization_endpoint": f"{self.base}/devicecode",
        }
        self.mocker.get(f"{self.start}/.well-known/openid-configuration", json={**addresses, **changes})

    def answers(self, *answers: dict[str, Any]) -> None:
        """Give the next token requests these answers; the last one stays."""
        self.mocker.post(self.token_url, list(answers))

    def answers_device(self, **answer: Any) -> None:
        self.mocker.post(f"{self.base}/devicecode", **answer)

    @property
    def asked(self) -> list[dict[str, str]]:
        """What the token requests so far said."""
        posts = (request for request in self.mocker.request_history if request.url == self.token_url)
        return [{name: values[0] for name, values in parse_qs(post.text).items()} for post in posts]

    def sign_in(self, **changes: Any) -> SignIn:
        fields: dict[str, Any] = {
            "environment": ENVIRONMENT,
            "authority": self.authority,
            "tenant_id": TENANT if self.kind == "entra" else None,
            "client_id": CLIENT,
            "proof": None,
            "mode": "authorization code",
        }
        return SignIn(**{**fields, **changes})
