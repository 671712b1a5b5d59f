"""Actions: what changes something and is called by its name, Microsoft's and an environment's own.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-actions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.calling.operations import Binding, Operations, result
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["action_request", "in_doubt", "run_action"]


def action_request(
    operations: Operations,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    bound_to: Binding = None,
    *,
    options: WriteOptions = NO_OPTIONS,
    checked: bool = True,
) -> Request:
    """Return the request that calls an action, with everything about it checked; raises UnknownOperation, BadRequest."""
    call = operations.call("action", name, parameters, bound_to, checked=checked)
    return Request("POST", options.addressed(call.path), options.headers(), call.body())


def run_action(
    transport: Sender,
    operations: Operations,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    bound_to: Binding = None,
    *,
    options: WriteOptions = NO_OPTIONS,
    repeatable: bool = False,
    checked: bool = True,
    stop: Stop | None = None,
) -> Any:
    """Carry an action out and return its result, None where it has none.

    Unless it is `repeatable`, it is not sent again once it may have been carried out: a lost answer is an error.
    """
    request = action_request(operations, name, parameters, bound_to, options=options, checked=checked)
    request = replace(request, repeatable=repeatable)
    return result(transport.send(request, stop), request, operations)


def in_doubt(error: DataverseError) -> bool:
    """Say whether a write may have been carried out although it ended in this error."""
    if isinstance(error, errors.Unreachable):
        return error.sent
    return isinstance(error, (errors.ServerError, errors.BadResponse))
