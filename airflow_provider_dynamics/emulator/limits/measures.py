"""How much a request asks for: the rows it writes and the bytes it has, as far as limits go by them."""

from __future__ import annotations

import re

from airflow_provider_dynamics.emulator.messages import Request

_MULTIPLE = re.compile(r"Multiple/?$")
_BATCH = re.compile(r"/(?:\$|%24)batch$")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def rows_of(request: Request) -> int:
    """The rows a request writes: those of a bulk message, the requests of a batch, 1 for other writes.

    Rows within the rows of a bulk message count, too.
    """
    if request.method in _READING:
        return 0
    if _MULTIPLE.search(request.path):
        return request.body.count(b'"@odata.type"')
    if _BATCH.search(request.path):
        return request.body.count(b"Content-Transfer-Encoding")
    return 1
