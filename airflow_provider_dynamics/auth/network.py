"""How the services are reached, and what an address and a `Retry-After` mean: shared by the client and its credential."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

__all__ = ["NO_PORT", "Network", "Origin", "is_loopback", "origin", "retry_after"]

Origin = tuple[str, str | None, int | None]

NO_PORT = -1
"""The port of an address that no token goes to: two readers may see two hosts in it."""

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Network:
    """How a service is reached: a CA bundle's path, a proxy's URL, (connect, read) time-outs in seconds."""

    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)
    timeout: tuple[float, float] = (5, 120)

    @property
    def verify(self) -> str | bool:
        """What `requests` should check certificates against; the connection's bundle wins over the environment's."""
        return (
            self.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )

    def proxies(self, url: str) -> dict[str, str]:
        """Return the proxies to use for an address as `requests` takes them: the connection's, the environment's, or none.

        Nothing for this machine itself leaves it: it may be in clear text.
        """
        from requests.utils import get_environ_proxies  # not while a DAG is parsed

        host = urlsplit(url).hostname
        if is_loopback(host):
            return {"no_proxy": host or ""}
        return {"http": self.proxy, "https": self.proxy} if self.proxy else get_environ_proxies(url)


def origin(url: str) -> Origin:
    r"""Return scheme, host and port of a URL, the port spelled out: where a token may go is decided by comparing these.

    A port that is no number makes an origin with `NO_PORT`, which equals no environment's, and so do a user name and a
    backslash: two readers of ``https://one\@other/`` see two hosts.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    try:
        port = parts.port
    except ValueError:
        port = NO_PORT
    if "@" in parts.netloc or "\\" in parts.netloc:
        port = NO_PORT
    return scheme, parts.hostname, port or _DEFAULT_PORTS.get(scheme)


def is_loopback(host: str | None) -> bool:
    """Say whether a host name is this machine's own: plain http leads nowhere else, and secrets may always go there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds `Retry-After` asks for, given in seconds or as a date, or None where it says nothing usable.

    A date is compared with the service's own clock where it sent one.
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = (headers.get("Retry-After") or "").strip()
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    until = _epoch(text)
    if until is None:
        return None
    server_now = _epoch(headers.get("Date") or "")
    return max(0.0, until - (now if server_now is None else server_now))


def _epoch(http_date: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(http_date)
    except (TypeError, ValueError, IndexError):
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()
