"""A door in memory."""

from __future__ import annotations

import pytest

from tests.webhooks.world import World


@pytest.fixture
def world() -> World:
    return World()
