"""A `requests` session fit for bearer tokens and opaque links: no cookies, no redirects, request targets sent as they are.

Dataverse's next and delta links must come back byte for byte, but requests re-quotes URLs and urllib3 turns
`%2f` into `%2F`; so the target is handed past both of them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

__all__ = ["new_session", "sendable"]

_sending = threading.local()


def new_session(connections: int) -> requests.Session:
    """Return a session that keeps up to `connections` connections open.

    Cookies are dropped because the affinity cookie would tie every request to one server, and limits are
    counted per server.
    https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests#server-affinity
    """
    session = _Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(pool_connections=4, pool_maxsize=connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Never follow: the next request would carry the token."""
        return None


class _Verbatim(HTTPConnection):
    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, getattr(_sending, "target", None) or url, *args, **kwargs)


class _VerbatimTLS(_Verbatim, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Verbatim


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _VerbatimTLS


_POOLS = {"http": _Pool, "https": _PoolTLS}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        proxied_in_clear = not self.request_url(request, kwargs.get("proxies") or {}).startswith("/")
        with _target(None if proxied_in_clear else sendable(request.path_url)):
            return super().send(request, *args, **kwargs)


@contextmanager
def _target(value: str | None) -> Iterator[None]:
    """Tell this thread's connection which target to put on the request line."""
    _sending.target = value
    try:
        yield
    finally:
        _sending.target = None


def sendable(target: str) -> str:
    """Escape only what HTTP cannot carry at all (spaces, control characters, anything beyond ASCII)."""
    return re.sub(r"[^\x21-\x7e]", lambda found: quote(found[0]), target)
