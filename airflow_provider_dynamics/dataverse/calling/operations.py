"""Calls of the service's actions and functions, checked against its `$metadata` before they are sent.

What an action did cannot be taken back, and a lost answer does not tell whether it was done: so names, binding
and values are settled on this side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.calling import csdl
from airflow_provider_dynamics.dataverse.calling.csdl import Kind, Operation, Schema
from airflow_provider_dynamics.dataverse.calling.parameters import Values
from airflow_provider_dynamics.dataverse.calling.signatures import bare, chosen
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response, Sender
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.rows.rows import RowKey
from airflow_provider_dynamics.dataverse.transport.metadata_gate import MetadataGate

__all__ = ["Binding", "Call", "Operations", "result", "table_of"]

Binding = str | tuple[str, RowKey] | None
"""What an operation is called on: (table, row id or key) a row, "account" a table, None neither."""

_NOISE = ("@odata.context", "@odata.etag", "@odata.id", "@odata.editLink", "@odata.readLink")


class Call:
    """A call that has been checked: the operation, None where it was not, and its parameters."""

    def __init__(self, path: str, operation: Operation | None, values: Values | None, given: Row) -> None:
        self.path = path
        self.operation = operation
        self._values = values
        self._given = given

    def body(self) -> bytes:
        """Return an action's parameters; raises BadRequest for a value of the wrong type."""
        if self._values is None or self.operation is None:
            return odata.encode(self._given)
        return odata.encode(self._values.body(self.operation, self._given))

    def address(self) -> str:
        """Return a function's address with its parameters; raises BadRequest for a value of the wrong type."""
        if self._values is None or self.operation is None:
            values = {f"@p{place}": odata.literal(one) for place, one in enumerate(self._given.values(), 1)}
            inside = ",".join(f"{name}=@p{place}" for place, name in enumerate(self._given, 1))
        else:
            inside, values = self._values.query(self.operation, self._given)
        return f"{self.path}({inside}){odata.options(values)}"


class Operations:
    """The actions and functions of one environment; its description is read when first asked for. Safe to use from several threads."""

    def __init__(
        self,
        transport: Sender,
        tables: Tables,
        wire: Callable[[str, Row], Row],
        gate: MetadataGate | None = None,
    ) -> None:
        self._transport = transport
        self._tables = tables
        self._wire = wire
        self._gate = gate or MetadataGate()
        self._schema: Schema | None = None
        self._lock = threading.Lock()

    @property
    def schema(self) -> Schema:
        """What `$metadata` says, asked for once; raises BadResponse for a document that cannot be read."""
        with self._lock:
            if self._schema is None:
                request = Request("GET", "$metadata", {"Accept": "application/xml"})
                self._schema = csdl.read(self._transport.send(request).body)
            return self._schema

    def call(
        self, kind: Kind, name: str, parameters: Mapping[str, Any] | None, bound_to: Binding, *, checked: bool
    ) -> Call:
        """Return a call ready to be sent; raises UnknownOperation, UnknownTable, BadRequest for what the service does not offer.

        Raises MetadataChangesOff for an action that changes definitions, where that is not allowed.
        """
        if kind == "action":
            self._gate.check_action(bare(name))
        given = dict(parameters or {})
        operation, values = None, None
        if checked:
            binding = _binding(bound_to)
            operation = chosen(self.schema, kind, bare(name), binding, given)
            values = Values(self.schema, self._tables, self._wire)
        return Call(self._path(bare(name), bound_to), operation, values, given)

    def _path(self, name: str, bound_to: Binding) -> str:
        if bound_to is None:
            return name
        if isinstance(bound_to, str):
            return f"{self._tables.entity_set(bound_to)}/{csdl.NAMESPACE}.{name}"
        table = self._tables.outline(bound_to[0])
        return f"{table.entity_set}{table.predicate(bound_to[1])}/{csdl.NAMESPACE}.{name}"

    def more(self, found: Row) -> list[Any]:
        """Return the rest of a result that comes in pages."""
        rows: list[Any] = []
        while link := found.get("@odata.nextLink"):
            request = Request("GET", link)
            found = decoded(self._transport.send(request), request)
            rows += found["value"]
        return rows


def result(response: Response, request: Request, operations: Operations) -> Any:
    """Return what came back: None for nothing, a list or a single value, else a dict, without the protocol's own members."""
    if not response.body:
        return None
    found = decoded(response, request)
    alone = "value" in found and all(name == "value" or name.startswith("@odata.") for name in found)
    if not alone:
        return _plain(found)
    value = found["value"]
    return _plain([*value, *operations.more(found)] if isinstance(value, list) else value)


def table_of(bound_to: Binding) -> str | None:
    """Return the table an operation is called on, None for one that stands alone; raises BadRequest."""
    if bound_to is None or isinstance(bound_to, str):
        return bound_to
    if isinstance(bound_to, (tuple, list)) and len(bound_to) == 2 and isinstance(bound_to[0], str):
        return bound_to[0]
    raise errors.BadRequest(
        f"bound_to is {bound_to!r}",
        remedy='Give ("account", row id or key) for a row, "account" for the table, None for neither.',
    )


def _binding(bound_to: Binding) -> str | None:
    table = table_of(bound_to)
    return f"Collection({table})" if isinstance(bound_to, str) else table


def _plain(value: Any) -> Any:
    """Return a result without what only the protocol needs; the type of a row of several possible tables stays."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _plain(one)
        for name, one in value.items()
        if name not in _NOISE
        and not (name.endswith("@odata.type") and name != "@odata.type")
        and not name.endswith(("@odata.associationLink", "@odata.navigationLink"))
    }
