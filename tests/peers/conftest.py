"""The certified provider, started once a session where Node.js is to be had."""

from __future__ import annotations

from collections.abc import Iterator
from subprocess import CalledProcessError, TimeoutExpired

import pytest

from tests.peers.openid import OpenIdProvider, installed, missing, running
from tests.peers.person import Person


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    if reason := missing():
        pytest.skip(reason)
    try:
        folder = installed()
    except (CalledProcessError, TimeoutExpired) as error:
        pytest.skip(f"npm could not install oidc-provider: {error}: {(error.stderr or b'').decode()[-300:]}")
    with running(folder, tmp_path_factory.mktemp("certificates")) as started:
        yield started


@pytest.fixture
def ann(provider: OpenIdProvider) -> Person:
    return Person("ann@contoso.com", provider)
