"""Which of the service's operations a call means, and whether its parameters have the right names.

All of it is decided before anything is sent: an action that went out cannot be called back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.calling.csdl import NAMESPACE, Kind, Operation, Schema, element_of
from airflow_provider_dynamics.dataverse.metadata.table import did_you_mean

__all__ = ["bare", "chosen"]


def bare(name: str) -> str:
    """Return an operation's name without the service's namespace."""
    return name.removeprefix(f"{NAMESPACE}.")


def chosen(
    schema: Schema, kind: Kind, name: str, binding: str | None, parameters: Collection[str]
) -> Operation:
    """Return the operation that a call means.

    `binding` is a table's name for one of its rows, `Collection(table)` for the table, None for neither. Raises
    UnknownOperation for a name that nothing or something else has, BadRequest for a wrong binding, for a
    parameter that is unknown or missing.
    """
    named = schema.operations.get(name)
    if named is None:
        raise _unknown(schema, kind, name)
    alike = [operation for operation in named if operation.kind == kind]
    if not alike:
        other = named[0].kind
        raise errors.UnknownOperation(
            f"{name} is no {kind} but {_a(other)}", remedy=f"Call it as {_a(other)}."
        )
    fitting = [operation for operation in alike if _binds(schema, operation.binding, binding)]
    if not fitting:
        raise errors.BadRequest(
            f"{name} cannot be called {_on(binding)}",
            remedy=f"It {' or '.join(operation.called_on for operation in alike)}.",
        )
    operation = next((one for one in fitting if _complaint(one, parameters) is None), fitting[0])
    complaint = _complaint(operation, parameters)
    if complaint:
        raise errors.BadRequest(
            complaint, remedy=f"{_near(operation, parameters)} {_signature(operation)}".lstrip()
        )
    return operation


def _binds(schema: Schema, wanted: str | None, given: str | None) -> bool:
    if wanted is None or given is None:
        return wanted is given
    many, one = element_of(wanted), element_of(given)
    if (many is None) != (one is None):
        return False
    return schema.is_a(one or given, many or wanted)


def _complaint(operation: Operation, given: Iterable[str]) -> str | None:
    names = {parameter.name for parameter in operation.parameters}
    for name in given:
        if name not in names:
            return f"{operation.name} has no parameter {name!r}"
    missing = [one.name for one in operation.parameters if not one.nullable and one.name not in set(given)]
    if missing:
        return f"{operation.name} needs {' and '.join(repr(name) for name in missing)}"
    return None


def _near(operation: Operation, given: Iterable[str]) -> str:
    """Return the advice for the first unknown parameter."""
    names = [parameter.name for parameter in operation.parameters]
    return next((did_you_mean(name, names) for name in given if name not in names), "")


def _signature(operation: Operation) -> str:
    """Return the parameters as advice."""
    if not operation.parameters:
        return "It takes no parameters."
    listed = ", ".join(
        f"{one.name} ({one.type}{', may be left out' if one.nullable else ''})"
        for one in operation.parameters
    )
    return f"Its parameters: {listed}."


def _unknown(schema: Schema, kind: Kind, name: str) -> errors.UnknownOperation:
    near = did_you_mean(
        name, [one for one, found in schema.operations.items() if any(op.kind == kind for op in found)]
    )
    return errors.UnknownOperation(
        f"The environment's $metadata has no {kind} {name!r}",
        remedy=near or "A private custom API is not listed: call it with checked=False.",
    )


def _a(kind: Kind) -> str:
    return "an action" if kind == "action" else "a function"


def _on(binding: str | None) -> str:
    if binding is None:
        return "without bound_to"
    table = element_of(binding)
    return f"on the table {table}" if table else f"on a row of {binding}"
