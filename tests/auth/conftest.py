"""A clock that tests move by hand, and Entra's answers as requests-mock plays them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from requests_mock import Mocker

from airflow_provider_dynamics.auth import ClientSecret, Network
from airflow_provider_dynamics.auth.tokens import TokenCache
from tests.auth import redis_server


@dataclass
class FakeClock:
    """A moment that stands still until it is moved."""

    seconds: float = 1_800_000_000.0

    def now(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class FakeEntra:
    """Answers discovery, and each token request with the next answer; the last one stays."""

    mocker: Mocker
    clock: FakeClock

    environment: ClassVar[str] = "https://contoso.crm4.dynamics.com"
    tenant: ClassVar[str] = "11111111-2222-3333-4444-555555555555"
    client: ClassVar[str] = "66666666-7777-8888-9999-000000000000"
    secret: ClassVar[str] = "s3cr~t/Value+that=must.never.show"
    correlation: ClassVar[str] = "0d1a5c28-3487-4767-a690-9cc680689523"
    authority: ClassVar[str] = f"https://login.microsoftonline.com/{tenant}"
    discovery_url: ClassVar[str] = f"{authority}/v2.0/.well-known/openid-configuration"
    token_url: ClassVar[str] = f"{authority}/oauth2/v2.0/token"

    def discovery(self, **answer: Any) -> None:
        self.mocker.get(self.discovery_url, **answer)

    def serve(self, token_url: str = token_url) -> None:
        self.discovery(
            json={
                "issuer": f"{self.authority}/v2.0",
                "authorization_endpoint": f"{self.authority}/oauth2/v2.0/authorize",
                "token_endpoint": token_url,
            }
        )

    def tokens(self, *answers: dict[str, Any]) -> None:
        self.mocker.post(self.token_url, list(answers))

    @property
    def asked(self) -> list[Any]:
        """The token requests so far."""
        return [request for request in self.mocker.request_history if request.method == "POST"]

    def issued(self, value: str = "token-1", expires_in: int = 3600, **more: Any) -> dict[str, Any]:
        return {
            "json": {"token_type": "Bearer", "expires_in": expires_in, "access_token": value, **more},
            "status_code": 200,
        }

    def refusal(
        self, number: int, error: str, text: str = "Something is wrong.", status: int = 401, **more: Any
    ) -> dict[str, Any]:
        return {"json": self.error_body(number, error, text, **more), "status_code": status}

    def error_body(
        self, number: int, error: str, text: str = "Something is wrong.", **more: Any
    ) -> dict[str, Any]:
        return {
            "error": error,
            "error_description": (
                f"AADSTS{number}: {text} Trace ID: 1f6a92a9 Correlation ID: {self.correlation} "
                "Timestamp: 2026-06-09 09:07:41Z"
            ),
            "error_codes": [number],
            "timestamp": "2026-06-09 09:07:41Z",
            "correlation_id": self.correlation,
            **more,
        }

    def credential(self, **changes: Any) -> ClientSecret:
        fields = {"tenant_id": self.tenant, "client_id": self.client, "client_secret": self.secret}
        return ClientSecret(**{**fields, "cache": TokenCache(now=self.clock.now), **changes})

    def sign_in(self, network: Network | None = None) -> str:
        return self.credential().get_token(self.environment, network=network or Network()).secret


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Run a Redis server for the session; skips where none is installed."""
    with redis_server.serving() as url:
        yield url


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def entra(requests_mock: Mocker, clock: FakeClock) -> FakeEntra:
    fake = FakeEntra(requests_mock, clock)
    fake.serve()
    fake.tokens(fake.issued())
    return fake
