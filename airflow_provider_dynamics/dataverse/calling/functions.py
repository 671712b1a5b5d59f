"""Functions: questions that are asked by a name, such as WhoAmI; they change nothing and may be asked again.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-functions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_dynamics.dataverse.calling.operations import Binding, Operations, result
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["run_function"]


def run_function(
    transport: Sender,
    operations: Operations,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    bound_to: Binding = None,
    *,
    options: WriteOptions = NO_OPTIONS,
    checked: bool = True,
    stop: Stop | None = None,
) -> Any:
    """Ask a function and return its result, all pages of it; raises UnknownOperation, BadRequest."""
    call = operations.call("function", name, parameters, bound_to, checked=checked)
    request = Request("GET", options.addressed(call.address()), options.headers())
    return result(transport.send(request, stop), request, operations)
