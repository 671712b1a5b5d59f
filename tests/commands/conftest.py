"""A browser for whoever signs in."""

from __future__ import annotations

import pytest

from tests.commands.browser import Browser


@pytest.fixture
def browser(emulator):
    with Browser(emulator.ca_bundle) as browser:
        yield browser
