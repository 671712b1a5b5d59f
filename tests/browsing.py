"""Chromium for the tests that look at pages as people do, and the pictures of those pages that the documentation shows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
)


def keep(seen, name):
    """Keep a picture of a page, or a part of one, where `make pictures` has asked for it, in the folder it names."""
    if folder := os.environ.get("DYNAMICS_PICTURES"):
        seen.screenshot(path=Path(folder) / f"{name}.png")
