"""What the tests of bulk writes share: rows, a way to begin, and a service that loses answers."""

from __future__ import annotations

import contextlib
import uuid
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.loading.bulk import BulkWrite, bulk
from airflow_provider_dynamics.dataverse.loading.tuning import Pace
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.throttle import Stop


def row_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def named(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


def numbered(count: int, **values: Any) -> list[dict[str, Any]]:
    """Rows with ids of the caller's."""
    return [{"accountid": row_id(n + 1), "name": str(n), **values} for n in range(count)]


def poison(name="bad", error=None):
    """Refuse the rows of this name."""
    refused = error or errors.BadRequest("refused", status=400, code="0x80040203")
    return lambda row: refused if row.get("name") == name else None


def write(world, clock, rows, operation="create", *, stop=None, width=None, **options) -> BulkWrite:
    """Begin one operation on the table account."""
    return bulk(
        *(world, Tables(world), "account", rows, operation),
        now=clock.now,
        stop=stop or Stop(),
        pace=Pace(hint=lambda: width),
        concurrency=width,
        **options,
    )


def lose_answers(world, method="POST", times=1, name=""):
    """Carry the first matching writes out, lose the answer, and send each again as the transport would."""
    real = world.send
    lost: list[Any] = []

    def send(request, stop=None):
        if request.method != method or name not in request.target or len(lost) >= times:
            return real(request, stop)
        lost.append(request)
        with contextlib.suppress(errors.DataverseError):
            real(request, stop)
        assert request.repeatable
        try:
            return real(request, stop)
        except errors.DataverseError as error:
            error.repeated = True
            raise

    world.send = send
