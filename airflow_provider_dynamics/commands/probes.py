"""Looks at a service from here without any secret: its addresses, and one unauthenticated answer.

Nothing is sent along and no redirect is followed, so any address may be looked at.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies

from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.dataverse.transport import failures

__all__ = ["Answer", "ask"]

_LONGEST_SILENCE = 30.0  # seconds; somebody waits for the result
_LONGEST_BODY = 100_000  # bytes; a configuration has a few thousand


@dataclass(frozen=True)
class Answer:
    """What came back: `addresses` is empty behind a proxy, `took` is seconds, `at` the local epoch second of its arrival."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    addresses: tuple[str, ...]
    took: float
    at: float

    @property
    def host(self) -> str:
        """The host that was asked, with its port where one is named."""
        return urlsplit(self.url).netloc


def ask(url: str, network: Network, *, now: Callable[[], float] = time.time) -> Answer:
    """Ask for a URL, once; raises DataverseError in plain words where no answer comes."""
    proxies = (
        {"http": network.proxy, "https": network.proxy} if network.proxy else dict(get_environ_proxies(url))
    )
    connect, read = network.timeout
    timeout = (connect, min(read, _LONGEST_SILENCE))
    began = time.perf_counter()
    try:
        addresses = () if proxies else _addresses(url)
        with requests.Session() as session:
            session.trust_env = False  # a .netrc must not add a password
            with session.get(
                url,
                headers={"Accept": "application/json"},
                timeout=timeout,
                verify=network.verify,
                proxies=proxies,
                allow_redirects=False,
                stream=True,
            ) as reply:
                body = reply.raw.read(_LONGEST_BODY, decode_content=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as failure:
        raise failures.worded(failure, asked=f"GET {url.partition('?')[0]}", timeout=timeout) from failure
    took = time.perf_counter() - began
    return Answer(url, reply.status_code, reply.headers, body, addresses, took, now())


def _addresses(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
