"""Switches that make the emulator fail the way the real services fail.

A switch is set with ``Emulator.fault(kind, ...)`` or ``POST /_emulator/faults`` with ``{"kind": ..., ...}``
(or a list of such objects); ``GET`` lists what is set, ``DELETE`` and every reset clear it.

Every switch takes these members, all optional:

=========  ============================================================================================
path       regular expression searched in the decoded path and query, "/api/data/v9.2/accounts?$select=name"
method     "GET", "POST", ...; any when left out
skip       let that many matching requests pass first (default 0)
every      then hit every Nth matching request (default 1: each)
count      hit that often, then switch off (default: until reset)
=========  ============================================================================================

Kinds for requests under /api/data (their own members, with defaults):

================  =========================================================================================
throttle          429. limit="requests" | "time" | "concurrency" (0x80072322, 0x80072321, 0x80072326);
                  retry_after=1 (seconds); as_date=false (true: Retry-After is an HTTP-date);
                  no_retry_after=false (true: the header is left out)
limits            the real service protection limits per user and server, at any size: requests=6000,
                  execution_seconds=1200, concurrency=52, window=300, servers=2. Going on while throttled counts too
status            status=503 (502, 504, 413, ...) with a gateway's HTML page; retry_after (none)
error             any Dataverse error: status=400, code="0x80040216", message, retry_after (none)
not_a_member      403 0x80072560: the token is good, the application user is missing
expired_token     401 with WWW-Authenticate: the token counts as expired
claims            401 with a claims challenge, until a token comes that was asked for with ``claims``
reset             the connection is reset; when="before" (nothing done) | "after" (the work is committed) | "midway"
                  (half of the requests of a $batch are done; of anything else nothing)
time_out          a request that writes more than rows=1000 ends after seconds=0.0 with 0x80044151, status=500, and
                  nothing is written: the database gave up
too_large         a body of more than bytes=1000000 is refused; who="gateway" (413 with its page) | "sandbox" (0x80040216
                  with the size in the message, as when plug-ins are registered)
truncate          the body breaks off at keep=0.5 of its length; length="full" (the connection ends before the
                  promised Content-Length) | "cut" (a proxy promised the short length)
html              200 with a proxy's HTML page in place of the answer
slow              the answer comes after seconds=1.0, which count as execution time
query_throttling  queries of many rows are throttled (0x80048544; 0x80048644, 0x80048744 or 0x80048745 by the
                  antipatterns in them). how="fail" | "delay" (by seconds=1.0) | "timeout" (0x80048573, 0x80048574,
                  0x80044151); patterns (found in the query; a list of Microsoft's identifiers says others); status=400
repeated_page     a page's next link leads to the page itself, so that its rows come again (a last page has no link)
short_page        pages hold at most rows=1 although more was asked for (path, method, skip, every, count: not used)
old_counts        RetrieveTotalRecordCount tells how many rows there were when the switch was set: the real one's
                  snapshot is up to 24 hours old (path, method, skip, every, count: not used)
expired_delta     delta tokens are answered 0x80044352 (path, method, skip, every, count: not used)
files_in_database files cannot be fetched in parts (0x80090017): IsChunkingSupported is false, as on premises (path,
                  method, skip, every, count: not used)
poison            a row whose column has value is refused when written: table, column, value, status=400,
                  code="0x80040265", message (path, method, skip, every, count: not used)
plugin            a plug-in lets a row not pass: table, message ("Create", "Update", "Delete"), column and value, each of
                  them any when left out; how="refuse" (0x80040265 with text) | "crash" (0x8004418d) | "timeout"
                  (0x80081111); probability=1.0 with seed=0; step, the id of its registration; operation_status,
                  sub_error_code and trace, told where annotations are asked for. Requests that bypass custom
                  synchronous logic, or this step, pass (path, method, skip, every, count: not used)
================  =========================================================================================

Kinds for the token endpoints (Entra's, AD FS's, the managed-identity endpoints). With a ``path`` they act on every
request of the sign-in services that it matches, "openid-configuration" or "devicecode" for example; without one on
token requests only. Each of the second table answers with the AADSTS error it is named for, at Entra only:

===================  ======================================================================================
token_error          any error: error="invalid_client" | "invalid_grant" | "temporarily_unavailable" | ...;
                     code=7000215, message, status=401 (400 for others than invalid_client), retry_after (none),
                     suberror (none)
token_status         status=503 with an HTML page, or JSON at the managed-identity endpoints; retry_after (none)
token_html           200 with an HTML page
token_slow           the answer comes after seconds=1.0
token_reset          the connection is reset
token_lifetime       tokens are issued for seconds=3600; refresh_in (seconds until they should be refreshed; half
                     the time of tokens that last more than two hours) (path, method, skip, every, count: not used)
===================  ======================================================================================

===================  ======================================================================================
secret_expired       AADSTS7000222: the client secret has expired
certificate_expired  AADSTS700027: the certificate that signed the assertion has expired
consent_required     AADSTS65001, suberror consent_required: nobody has consented. error="invalid_grant"
conditional_access   AADSTS53003, suberror message_only, with claims: a policy blocks the token. error="invalid_grant"
mfa_required         AADSTS50076, suberror basic_action, with claims: a second factor is needed. error="invalid_grant"
password_expired     AADSTS50055, suberror user_password_expired. error="invalid_grant"
sign_in_frequency    AADSTS70043, suberror bad_token: a policy asks to sign in again. error="invalid_grant"
app_disabled         AADSTS7000112: the application is disabled. error="unauthorized_client"
claims_needed        AADSTS50158, interaction_required, with claims: until a request carries ``claims``
slow_down            the device flow's slow_down (RFC 8628)
===================  ======================================================================================

What is a state rather than an error (revoked or expired refresh tokens, rotation, consent, the clock, who is a user of
the environment, a privilege that is missing) is turned at ``Emulator.sign_ins``: `airflow_provider_dynamics.emulator.sign_ins`.

https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.emulator.limits.budgets import DEFAULTS, MOST_SERVERS, Limits
from airflow_provider_dynamics.emulator.limits.query_throttling import ANTIPATTERNS, is_query

_ABOVE_ZERO = frozenset({"limits", "short_page"})  # where 0 makes no sense
COMMON = frozenset({"kind", "path", "method", "skip", "every", "count"})

DATA_KINDS: dict[str, dict[str, Any]] = {
    "throttle": {"limit": "requests", "retry_after": 1, "as_date": False, "no_retry_after": False},
    "limits": dict(DEFAULTS),
    "status": {"status": 503, "retry_after": None},
    "error": {
        "status": 400,
        "code": "0x80040216",
        "message": "An unexpected error occurred.",
        "retry_after": None,
    },
    "not_a_member": {},
    "expired_token": {},
    "claims": {},
    "reset": {"when": "before"},
    "truncate": {"keep": 0.5, "length": "full"},
    "html": {},
    "slow": {"seconds": 1.0},
    "query_throttling": {"how": "fail", "seconds": 1.0, "patterns": None, "status": 400},
    "repeated_page": {},
    "time_out": {"rows": 1000, "seconds": 0.0, "status": 500},
    "too_large": {"bytes": 1_000_000, "who": "gateway"},
}
TOKEN_KINDS: dict[str, dict[str, Any]] = {
    "token_error": {
        "error": "invalid_client",
        "code": None,
        "message": None,
        "status": None,
        "retry_after": None,
        "suberror": None,
    },
    "token_status": {"status": 503, "retry_after": None},
    "token_html": {},
    "token_slow": {"seconds": 1.0},
    "token_reset": {},
    "secret_expired": {},
    "certificate_expired": {},
    "consent_required": {"error": None},
    "conditional_access": {"error": None},
    "mfa_required": {"error": None},
    "password_expired": {"error": None},
    "sign_in_frequency": {"error": None},
    "app_disabled": {"error": None},
    "claims_needed": {},
    "slow_down": {},
}
STATE_KINDS: dict[str, dict[str, Any]] = {
    "short_page": {"rows": 1},
    "old_counts": {},
    "expired_delta": {},
    "files_in_database": {},
    "poison": {
        "table": None,
        "column": None,
        "value": None,
        "status": 400,
        "code": "0x80040265",
        "message": "The row was refused by a plug-in (emulator's poison row).",
    },
    "plugin": {
        "table": None,
        "message": None,
        "column": None,
        "value": None,
        "how": "refuse",
        "text": "The row was refused by a plug-in.",
        "probability": 1.0,
        "seed": 0,
        "step": None,
        "operation_status": "0",
        "sub_error_code": "-2146233088",
        "trace": "",
    },
    "token_lifetime": {"seconds": 3600, "refresh_in": None},
}
KINDS = DATA_KINDS | TOKEN_KINDS | STATE_KINDS

# Switches that may be on together with another one that answers the request.
PASSING = frozenset({"slow", "token_slow", "limits"})
# Switches that go by how much a request asks for.
MEASURED = frozenset({"time_out", "too_large"})

CHOICES = {
    ("throttle", "limit"): ("requests", "time", "concurrency"),
    ("reset", "when"): ("before", "after", "midway"),
    ("too_large", "who"): ("gateway", "sandbox"),
    ("truncate", "length"): ("full", "cut"),
    ("plugin", "how"): ("refuse", "crash", "timeout"),
    ("query_throttling", "how"): ("fail", "delay", "timeout"),
}


@dataclass
class Switch:
    """One fault that is set; ``seen`` counts matching requests, ``hits`` those it struck."""

    kind: str
    settings: Mapping[str, Any]
    path: re.Pattern[str] | None = None
    method: str | None = None
    skip: int = 0
    every: int = 1
    count: int | None = None
    seen: int = 0
    hits: int = 0

    def strikes(self, method: str, target: str, size: tuple[int, int] = (0, 0)) -> bool:
        """Count the request when it matches, and say whether this one is hit. ``size`` is its rows and bytes."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.kind == "query_throttling" and not is_query(method, target):
            return False
        if self.kind in MEASURED and not self._is_too_much(*size):
            return False
        if (self.method and self.method != method) or (self.path and not self.path.search(target)):
            return False
        self.seen += 1
        hit = self.seen > self.skip and (self.seen - self.skip) % self.every == 0
        self.hits += hit
        return hit

    def _is_too_much(self, rows: int, size: int) -> bool:
        limit: int = self.settings["rows" if self.kind == "time_out" else "bytes"]
        return (rows if self.kind == "time_out" else size) > limit

    def as_dict(self) -> dict[str, Any]:
        """Return the switch as it was set, with what it has done so far."""
        scope = {
            "path": self.path.pattern if self.path else None,
            "method": self.method,
            "skip": self.skip,
            "every": self.every,
            "count": self.count,
        }
        return {"kind": self.kind, **self.settings, **scope, "seen": self.seen, "hits": self.hits}


def switch(description: Mapping[str, Any]) -> Switch:
    """Build a switch from its members; ValueError names what is wrong and what is allowed."""
    kind = description.get("kind")
    if kind not in KINDS:
        raise ValueError(f"unknown fault kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    settings = _settings(kind, description)
    return Switch(
        kind,
        settings,
        path=_pattern(description.get("path")),
        method=description.get("method"),
        skip=int(description.get("skip") or 0),
        every=max(1, int(description.get("every") or 1)),
        count=description.get("count"),
    )


def _settings(kind: str, description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a switch's own members with their defaults; ValueError on those that do not fit."""
    defaults = KINDS[kind]
    unknown = set(description) - COMMON - set(defaults)
    if unknown:
        raise ValueError(
            f"fault {kind!r} does not take {', '.join(sorted(unknown))}; "
            f"it takes {', '.join(sorted(COMMON - {'kind'} | set(defaults)))}"
        )
    settings = {**defaults, **{name: description[name] for name in defaults if name in description}}
    _check_choices(kind, settings)
    _check_numbers(kind, settings)
    return settings


def _check_choices(kind: str, settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        allowed = CHOICES.get((kind, name))
        if allowed and value not in allowed:
            raise ValueError(f"fault {kind!r}: {name} must be one of {', '.join(allowed)}, not {value!r}")
    if kind == "poison" and not (settings["table"] and settings["column"]):
        raise ValueError("fault 'poison' needs table, column and value")
    unlisted = set(settings.get("patterns") or ()) - set(ANTIPATTERNS)
    if unlisted:
        raise ValueError(
            f"no such antipattern: {', '.join(sorted(unlisted))}; there are {', '.join(ANTIPATTERNS)}"
        )


def _check_numbers(kind: str, settings: Mapping[str, Any]) -> None:
    """A setting whose default is a number wants one; where 0 makes no sense, above it."""
    for name, default in KINDS[kind].items():
        value = settings[name]
        if type(default) not in (int, float) or (name == "code" and isinstance(value, str)):
            continue
        if type(value) not in (int, float) or value < 0 or (kind in _ABOVE_ZERO and not value):
            raise ValueError(f"fault {kind!r}: {name} is a number, not {value!r}")
    if kind == "limits" and settings["servers"] not in range(1, MOST_SERVERS + 1):
        raise ValueError(f"fault 'limits': servers is a whole number from 1 to {MOST_SERVERS}")


def _pattern(path: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(path) if path else None
    except re.error as error:
        raise ValueError(f"path is a regular expression, not {path!r}: {error}") from error


class Faults:
    """The switches that are set; thread-safe."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.limits = Limits(now)
        self.version = 0  # rises with every change, so that those who copy state know when to copy again
        self._lock = threading.Lock()
        self._switches: list[Switch] = []

    def set(self, description: Mapping[str, Any]) -> Switch:
        """Set one switch; ValueError when its members do not fit its kind."""
        new = switch(description)
        with self._lock:
            self._switches.append(new)
            self.version += 1
        return new

    def clear(self) -> None:
        """Switch everything off and forget what was counted."""
        with self._lock:
            self._switches.clear()
            self.version += 1
        self.limits.clear()

    def all(self) -> list[Switch]:
        """Return the switches as they are now."""
        with self._lock:
            return list(self._switches)

    def state(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the settings of every switch of a kind that is a state, not a counter of requests."""
        return [one.settings for one in self.all() if one.kind == kind]

    def strike(
        self,
        kinds: Mapping[str, Any],
        method: str,
        target: str,
        *,
        named_only: bool = False,
        size: Callable[[], tuple[int, int]] | None = None,
    ) -> dict[str, Switch]:
        """Return the switches that hit this request, by kind: passing ones, and at most one that answers it.

        ``named_only`` leaves out switches without a path of their own; ``size`` tells the rows and bytes of the request.
        """
        hit: dict[str, Switch] = {}
        if not self._switches:
            return hit
        with self._lock:
            measured = size() if size and any(one.kind in MEASURED for one in self._switches) else (0, 0)
            for one in self._switches:
                taken = one.kind not in PASSING and any(kind not in PASSING for kind in hit)
                wanted = one.kind in kinds and one.kind not in hit and not (named_only and one.path is None)
                if wanted and not taken and one.strikes(method, target, measured):
                    hit[one.kind] = one
        return hit
