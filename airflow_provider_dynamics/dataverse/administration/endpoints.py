"""What a webhook is made of in Dataverse, as values: a service endpoint says where to and with which key, steps say at which changes.

https://learn.microsoft.com/power-apps/developer/data-platform/register-web-hook
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

from airflow_provider_dynamics.auth.network import is_loopback
from airflow_provider_dynamics.dataverse import errors

__all__ = [
    "KEY_HEADER",
    "LONGEST_NAME",
    "MESSAGES",
    "Mode",
    "Registration",
    "Step",
    "Webhook",
    "authvalue",
    "check_name",
    "check_url",
]

KEY_HEADER = "x-airflow-webhook-key"
"""The header in which the platform sends the key: of what it can send, the one thing that no log of URLs keeps."""

MESSAGES = ("Create", "Update", "Delete")
"""What happens to rows. Steps on them run for each row of a CreateMultiple or UpdateMultiple, too.

https://learn.microsoft.com/power-apps/developer/data-platform/write-plugin-multiple-operation
"""

Mode = Literal["asynchronous", "synchronous"]

_PORTS = {"https": 443, "http": 80}

LONGEST_NAME = 256
"""Characters of the name of an endpoint or a step."""


@dataclass(frozen=True, slots=True)
class Step:
    """At which message of which table something is posted: Create, Update and Delete mostly.

    `columns` lets an Update post only where one of them was sent. Asynchronous steps run after the change, in a
    system job of their own; a synchronous one holds the change up, and undoes it where the post is refused.
    """

    table: str
    message: str
    columns: frozenset[str] = frozenset()
    mode: Mode = "asynchronous"
    enabled: bool = True
    row_id: str = field(default="", compare=False)

    @property
    def of(self) -> tuple[str, str]:
        return self.table, self.message.lower()

    def __str__(self) -> str:
        return f"{self.message} of {self.table}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A service endpoint that posts to a URL, and its steps; its key nobody can read."""

    row_id: str
    name: str
    url: str
    steps: tuple[Step, ...] = ()
    key_is_set: bool = True


@dataclass(frozen=True, slots=True)
class Registration:
    """What was done to a webhook and its steps, each step as "Create of account"."""

    name: str
    endpoint: Literal["created", "updated", "removed", "kept", "absent"]
    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


def check_url(url: str, environment: str) -> str:
    """Return the URL, as something an environment can post to; raises BadRequest.

    Dataverse posts to the ports 443 and 80 only (and over http anybody could read the key), and to no machine that it cannot see.
    https://learn.microsoft.com/power-apps/developer/data-platform/register-web-hook
    """
    remedy = (
        "Give the address under which Airflow is seen from outside, such as https://airflow.contoso.com/…"
    )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in _PORTS or parts.query or parts.fragment or parts.username:
        raise errors.BadRequest("The webhook's URL is none that posts can go to", remedy=remedy)
    if is_loopback(host):
        if not is_loopback(urlsplit(environment).hostname):
            raise errors.BadRequest(
                f"{environment} cannot post to {host}: that is this machine", remedy=remedy
            )
        return url
    if parts.scheme != "https":
        raise errors.BadRequest(
            "Without https everyone on the way could read the webhook's key", remedy=remedy
        )
    if port not in {None, _PORTS[parts.scheme]}:
        raise errors.BadRequest(
            f"Dataverse posts to port {_PORTS[parts.scheme]} only, not to {port}",
            remedy="Put a reverse proxy in front of Airflow that answers there.",
        )
    return url


def check_name(name: str) -> str:
    """Return a webhook's name; raises BadRequest for one that Dataverse cannot keep."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise errors.BadRequest(
            f"A webhook's name has 1 to {LONGEST_NAME} characters", remedy="Give it another name."
        )
    return name


def authvalue(key: str) -> str:
    """Return a header as a service endpoint keeps it."""
    return f"<settings><setting name={quoteattr(KEY_HEADER)} value={quoteattr(key)} /></settings>"
