"""Which operations there are, and how one is called: method, parameters, answer.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-actions
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.address import Segment
from airflow_provider_dynamics.emulator.call import Call, no_content, reply
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Response
from airflow_provider_dynamics.emulator.operations import arguments
from airflow_provider_dynamics.emulator.operations.model import CUSTOM, Invocation, Operation, Rooms
from airflow_provider_dynamics.emulator.schema import Table

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_READING = frozenset({"GET", "HEAD"})


class Operations:
    """The operations of one environment. ``version`` rises with every change."""

    def __init__(self, rooms: Rooms, operations: Iterable[Operation]) -> None:
        self._rooms = rooms
        self._known: dict[str, list[Operation]] = {}
        self.later: Callable[[Call, str, Callable[[Call], Response]], Response] | None = None
        self.version = 0
        for one in operations:
            self.add(one)

    def add(self, operation: Operation) -> None:
        """Make an operation known; raises ValueError when the name is taken by one of another binding.

        Only operations that Dataverse brings may share a name, each bound to a table of its own. One that was only
        listed so far gives way to one that runs.
        """
        same = self._known.setdefault(operation.name, [])
        same[:] = [one for one in same if one.run is not None or not _alike(one, operation)]
        if any(CUSTOM in {one.kind, operation.kind} or _alike(one, operation) for one in same):
            raise ValueError(f"there is an operation {operation.name} already")
        same.append(operation)
        self.version += 1

    def forget_custom(self) -> None:
        """Custom APIs go, what Dataverse brings stays."""
        kept = {name: [one for one in same if one.kind != CUSTOM] for name, same in self._known.items()}
        self._known = {name: same for name, same in kept.items() if same}
        self.version += 1

    def all(self) -> Sequence[Operation]:
        """Every operation, by name."""
        return [one for name in sorted(self._known) for one in self._known[name]]

    def unbound(self, name: str) -> Operation | None:
        """The operation that is called by its plain name."""
        return next((one for one in self._known.get(name, ()) if one.bound_to is None), None)

    def bound(self, table: Table, name: str, *, collection: bool) -> Operation | None:
        """The operation bound to rows of a table, or to its set."""
        return next(
            (one for one in self._known.get(name, ()) if one.fits(table, collection=collection)), None
        )

    def answer(
        self,
        call: Call,
        operation: Operation,
        segment: Segment,
        table: Table | None = None,
        row_id: str | None = None,
    ) -> Response:
        """Call one operation; everything it writes is committed together or not at all."""
        if operation.is_function != (call.method in _READING) or call.method not in {*_READING, "POST"}:
            raise Fault(
                405,
                "0x80060888",
                f"The requested resource does not support http method '{call.method}'.",
            )
        if operation.run is None:
            raise NotEmulated(f"the function or action {operation.name}")
        if call.prefer.respond_async and operation.kind == CUSTOM and self.later is not None:
            return self.later(
                call, operation.name, lambda then: self._run(then, operation, segment, table, row_id)
            )
        return self._run(call, operation, segment, table, row_id)

    def _run(
        self, call: Call, operation: Operation, segment: Segment, table: Table | None, row_id: str | None
    ) -> Response:
        if operation.run is None:
            raise NotEmulated(f"the function or action {operation.name}")
        with self._rooms.store.lock if operation.is_function else self._rooms.store.transaction():
            if operation.privilege:
                self._rooms.privileges.need_named(call, operation.privilege)
            if operation.is_function:
                read = arguments.of_function(call, operation, segment, self._rooms)
            else:
                read = arguments.of_action(call, operation, self._rooms)
            found = operation.run(Invocation(call, self._rooms, read, table, row_id))
            return _answer(call, operation, found)


def _alike(left: Operation, right: Operation) -> bool:
    return (left.bound_to, left.collection) == (right.bound_to, right.collection)


def _answer(call: Call, operation: Operation, found: Any) -> Response:
    if isinstance(found, Response):
        return found
    if operation.return_type is None or found is None:
        return no_content()
    try:
        return reply(200, _ENCODER.encode(_body(call, operation, found)))
    except (TypeError, ValueError) as error:
        raise Fault(400, "0x80040265", f"An error occurred in {operation.name}: {error}"[:1000]) from error


def _body(call: Call, operation: Operation, found: Any) -> Mapping[str, Any]:
    if isinstance(found, list) and operation.returns:
        inner = operation.returns.replace("mscrm.", "Microsoft.Dynamics.CRM.")
        return {"@odata.context": call.context(inner), "value": found}
    if not isinstance(found, Mapping):
        raise TypeError(f"an operation returns a mapping of its result's members, not {type(found).__name__}")
    if "@odata.context" in found:
        return found
    context = call.context(f"Microsoft.Dynamics.CRM.{operation.name}Response")
    return {"@odata.context": context, **found}
