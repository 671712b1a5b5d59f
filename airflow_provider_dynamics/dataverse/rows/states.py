"""State and status of rows that are new: what only a row that exists can take goes behind it, in one transaction.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/entitytypes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.rows import settled
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchSender
from airflow_provider_dynamics.dataverse.transport.change_sets import ChangeSet

__all__ = ["in_order", "parted"]


def parted(table: Table, row: Mapping[str, Any]) -> tuple[Row, Row]:
    """Return what a new row takes, and its state and status where only a row that exists takes them."""
    body = dict(row)
    state = next((column for column in table.columns.values() if column.type == "State"), None)
    if state is None or state.valid_for_create or body.get(state.name) in {None, ""}:
        return body, {}
    kinds = {name: column.type for name in body if (column := table.columns.get(name))}
    later = {name: body[name] for name, kind in kinds.items() if kind in {"State", "Status"}}
    return {name: value for name, value in body.items() if name not in later}, later


def in_order(
    transport: BatchSender, table: Table, first: Request, then: Request, stop: Stop | None
) -> Response:
    """Send two writes as one transaction and return the first one's answer; raises what undid them.

    Elastic tables have no transactions: there the second one is sent when the first one has been answered.
    """
    if table.elastic:
        answer = transport.send(first, stop)
        transport.send(then, stop)
        return answer
    change_set = ChangeSet([first, then])
    outcomes = settled.put_right(transport, [change_set], transport.send_together([change_set], stop), stop)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    response = outcomes[0].response
    if response is None:
        raise errors.BadResponse("The answer to a change set is not whole", asked=first.asked)
    return response
