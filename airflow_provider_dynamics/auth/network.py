"""How the services are reached, as a value that a client and its credential share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

__all__ = ["Network"]


@dataclass(frozen=True)
class Network:
    """How a sign-in service is reached: a CA bundle's path, a proxy's URL, (connect, read) time-outs in seconds."""

    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)
    timeout: tuple[float, float] = (5, 120)

    @property
    def verify(self) -> str | bool:
        """What `requests` should check certificates against; the connection's bundle wins over the environment's."""
        return (
            self.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )
