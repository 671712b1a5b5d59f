"""A request and its answer as values, and what sends one: all that most of this package needs of the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Request", "Response", "Sender"]


@dataclass(frozen=True)
class Request:
    """What to send. `target` is relative to the Web API's root, already percent-encoded, or a whole link of the service.

    `repeatable` marks a write that leaves the same state when carried out twice; reads always are. `optional`
    marks a read that one can do without: what the service has no time for is not asked for again, and what it
    fails at only twice.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = False
    optional: bool = False

    @property
    def reads(self) -> bool:
        return self.method == "GET"

    @property
    def asked(self) -> str:
        """The request in an error's or a log's words: no query values, no key values."""
        path, _, query = self.target.partition("?")
        path = re.sub(r"^https?://[^/]+(/.*?)?/api/data/v[\d.]+/", "", path)
        path = re.sub(r"'(?:[^']|'')*'|%27.*?%27", "'…'", path)
        names = "&".join(option.partition("=")[0] for option in query.split("&")) if query else ""
        return f"{self.method} {path}{f'?{names}' if names else ''}"


@dataclass(frozen=True)
class Response:
    """A successful answer; `repeated` where an earlier attempt at the same write may have been carried out too."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    repeated: bool = False


class Sender(Protocol):
    """What the rest of this package needs of a transport."""

    def send(self, request: Request, stop: Stop | None = None) -> Response: ...
