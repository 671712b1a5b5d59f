"""A deployment with four connections."""

from __future__ import annotations

import pytest

from tests.sign_in.outside import Place, Shelf, connection


@pytest.fixture
def place() -> Place:
    return Place(
        Shelf(
            connection("sales", refresh_token="seed-that-nobody-may-see", username="ann@contoso.com"),
            connection("new"),
            connection("app", auth_type="client_secret"),
            connection("wrong", auth_type="client_secrets"),
        )
    )
