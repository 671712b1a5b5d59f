"""Sign-ins and days left as Airflow's own metrics, for StatsD or OpenTelemetry as the deployment chose.

A metric names a connection, a way of signing in and an outcome, never a person, a token or a secret; and what
goes wrong in counting never harms the work that is counted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.compat import stats

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.events import SignInEvent
    from airflow_provider_dynamics.compat import Stats

__all__ = ["count_sign_in", "gauge_days_left"]

log = logging.getLogger(__name__)


def count_sign_in(event: SignInEvent) -> None:
    """Count a sign-in and a renewed refresh token: ``dynamics.sign_in``, ``….sign_in_duration``, ``….token_rotated``."""
    where = {"mode": event.mode.replace(" ", "_"), "authority": event.authority}
    tags = {**where, "outcome": event.outcome}

    def emit(to: Stats) -> None:
        to.incr("dynamics.sign_in", tags=tags)
        to.timing("dynamics.sign_in_duration", timedelta(seconds=event.seconds), tags=tags)
        if event.rotated and event.mode == "refresh token":
            to.incr("dynamics.token_rotated", tags=where)

    _safely(emit)


def gauge_days_left(conn_id: str, mode: str, days: float) -> None:
    """Say how long a connection's credential still lasts, in days: ``dynamics.credential_days_left``.

    Plain StatsD has no tags and would show the last connection only, so the name is given once more with it.
    """
    tags: dict[str, Any] = {"conn_id": conn_id, "mode": mode.replace(" ", "_")}
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", conn_id)

    def emit(to: Stats) -> None:
        to.gauge("dynamics.credential_days_left", days, tags=tags)
        to.gauge(f"dynamics.credential_days_left.{plain}", days)

    _safely(emit)


def _safely(emit: Callable[[Stats], None]) -> None:
    try:
        emit(stats())
    except Exception:  # whatever a backend raises, a task does not fail over its metrics
        log.debug("A metric could not be sent", exc_info=True)
