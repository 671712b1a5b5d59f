"""Rollup columns and goals calculated now, and not when the service's own hourly job comes to them.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/calculaterollupfield
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.client import Client

__all__ = ["GOALS", "Recalculated", "recalculate"]

GOALS = "goal"
_AT_ONCE = 100  # calculations in one request: each may read many rows


@dataclass(frozen=True, slots=True)
class Recalculated:
    """What became of one row's column; `column` is "" for a goal."""

    row_id: str
    column: str
    error: DataverseError | None = None


def recalculate(
    client: Client, table: str, row_ids: Iterable[str], columns: Sequence[str] = ()
) -> Iterator[Recalculated]:
    """Calculate the rollup columns of rows, or goals as a whole, and yield what became of each.

    Doing it twice does no harm. Raises UnknownColumn before anything is asked, and what no row is to blame for.
    """
    entity_set = client.entity_set(table)
    names = [client.table(table).column(one).name for one in columns]
    wanted = iter(_calls(entity_set, row_ids, names))
    while part := list(islice(wanted, _AT_ONCE)):
        outcomes = client.batch([request for *_, request in part])
        for (row_id, name, _), outcome in zip(part, outcomes, strict=True):
            if outcome.error is not None and outcome.error.retryable:
                raise outcome.error
            yield Recalculated(row_id, name, outcome.error)


def _calls(
    entity_set: str, row_ids: Iterable[str], names: Sequence[str]
) -> Iterator[tuple[str, str, Request]]:
    for given in row_ids:
        row_id = odata.guid(given)
        if not names:
            target = f"{entity_set}({row_id})/Microsoft.Dynamics.CRM.Recalculate"
            yield row_id, "", Request("POST", target, body=b"{}", repeatable=True)
        for name in names:
            query = odata.options(
                {"@p1": f"{{'@odata.id':'{entity_set}({row_id})'}}", "@p2": odata.literal(name)}
            )
            yield row_id, name, Request("GET", f"CalculateRollupField(Target=@p1,FieldName=@p2){query}")
