"""The keys of a connection's Webhook secret: what Dataverse's webhooks prove themselves with, two while one is being changed.

Dataverse sends a fixed header and signs nothing, so the key is all that tells its posts from anybody else's.
https://learn.microsoft.com/power-apps/developer/data-platform/register-web-hook#authentication-options
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256

from airflow_provider_dynamics.connection.fields import SettingsError

__all__ = ["LONGEST_KEY", "MOST_KEYS", "SHORTEST_KEY", "is_one_of", "webhook_keys"]

SHORTEST_KEY = 16  # characters; anybody may try keys
LONGEST_KEY = 256  # characters; Dataverse keeps 2,048 of the header's whole description
MOST_KEYS = 2

_KEY = re.compile(r"[\x21-\x7e]+")
_LABEL = "Webhook secret"
_MAKE = "Make one with `openssl rand -hex 32`."


def webhook_keys(secret: str | None) -> tuple[str, ...]:
    """Return the keys that a Webhook secret holds, the one to send out first; none where the field is empty.

    Two keys are separated by a space, a line's end or a comma.

    :raises SettingsError: a key cannot stand in a header, is too short or too long, or there are more than two
    """
    keys = tuple(dict.fromkeys((secret or "").replace(",", " ").split()))
    if len(keys) > MOST_KEYS:
        raise SettingsError(
            f"{_LABEL} holds {len(keys)} keys: enter one, or the new and then the old one while you change it."
        )
    for key in keys:
        if not _KEY.fullmatch(key):
            raise SettingsError(f"{_LABEL} holds characters that no HTTP header can: use ASCII. {_MAKE}")
        if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise SettingsError(
                f"{_LABEL} holds a key of {len(key)} characters: use {SHORTEST_KEY} to {LONGEST_KEY}. {_MAKE}"
            )
    return keys


def is_one_of(given: str, keys: Iterable[str]) -> bool:
    """Say whether a key is one of those, in a time that tells neither which one nor how much of it was right.

    There being none takes as long as there being two.
    """
    asked = sha256(given.encode("utf-8", "surrogateescape")).digest()
    known = [sha256(key.encode()).digest() for key in keys]
    blanks = [bytes(len(asked))] * max(0, MOST_KEYS - len(known))
    found = [hmac.compare_digest(asked, one) for one in [*known, *blanks]]
    return any(found[: len(known)])
