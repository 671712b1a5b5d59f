"""What is not ours and judges us: installed once, the provider started once a session, where Node.js is to be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError, TimeoutExpired

import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.peers.dynamics import DynamicsWebApi
from tests.peers.node import installed, missing
from tests.peers.openid import OpenIdProvider, running
from tests.peers.person import Person


@pytest.fixture(scope="session")
def packages() -> Path:
    """Return the folder with the packages that are not ours."""
    if reason := missing():
        pytest.skip(reason)
    try:
        return installed()
    except (CalledProcessError, TimeoutExpired) as error:
        pytest.skip(f"npm could not install the packages: {error}: {(error.stderr or b'').decode()[-300:]}")


@pytest.fixture(scope="session")
def provider(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    with running(packages, tmp_path_factory.mktemp("certificates")) as started:
        yield started


@pytest.fixture
def ann(provider: OpenIdProvider) -> Person:
    return Person("ann@contoso.com", provider)


@pytest.fixture(scope="session")
def dynamics_web_api(packages: Path, emulator_server: Emulator) -> Iterator[DynamicsWebApi]:
    """The npm client `dynamics-web-api`, in a process of its own, against the emulator."""
    with DynamicsWebApi(packages, emulator_server) as client:
        yield client
