"""Redirect URIs: registered exactly, but for the port of localhost.

https://learn.microsoft.com/entra/identity-platform/reply-url
"""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow_provider_dynamics.emulator.directory import Application

NATIVE = "http://localhost"


class Redirects:
    """Which addresses an app's answers may be sent to."""

    def __init__(self) -> None:
        self.web: set[str] = set()
        self.native: set[str] = {NATIVE}

    def allow(self, app: Application, uri: str) -> bool:
        """Whether an answer may be sent to this address."""
        registered = self.web if app.confidential else self.native
        return uri in registered or any(_same_but_port(uri, one) for one in registered)


def _same_but_port(uri: str, registered: str) -> bool:
    """Microsoft ignores the port of http://localhost, and of no other host."""
    try:
        left, right = urlsplit(uri), urlsplit(registered)
        _ = left.port, right.port
    except ValueError:
        return False
    return (
        (left.scheme, left.hostname) == (right.scheme, right.hostname) == ("http", "localhost")
        and (left.path or "/") == (right.path or "/")
        and left.query == right.query
        and not left.fragment
    )
