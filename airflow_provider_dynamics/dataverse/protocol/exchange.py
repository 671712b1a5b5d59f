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
    fails at only twice. `content_id` names a request of a change set, whose later ones may call the row it
    makes `$<content_id>`: in their target, in a lookup's `@odata.bind`, in `@odata.id`. `binary` says that the
    answer is a file's bytes and not JSON.
    `divisible` marks a write of many rows, whose sender sends fewer at a time when no answer comes in time.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = False
    optional: bool = False
    content_id: str | None = None
    binary: bool = False
    divisible: bool = False

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
    """A successful answer; `repeated` where an earlier attempt at the same write may have been carried out too.

    `seconds` is how long it took from the last attempt's first byte, 0 where nobody knows.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    repeated: bool = False
    seconds: float = 0.0


class Sender(Protocol):
    """What the rest of this package needs of a transport."""

    def send(self, request: Request, stop: Stop | None = None) -> Response: ...
