"""What a solution is told about the environment it runs in: values of environment variables, connections of its references.

Both are rows; what makes them special is where they are looked for, and what a value may be.
https://learn.microsoft.com/power-apps/maker/data-platform/environmentvariables
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.labels import CRM
from airflow_provider_dynamics.dataverse.administration.solution_files import Manifest
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.queries.query import Query

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.client import Client

__all__ = ["component_parameters", "set_connection_reference", "set_environment_variable"]

DEFINITION, VALUE, REFERENCE = (
    *("environmentvariabledefinition", "environmentvariablevalue", "connectionreference"),
)
_NUMBER, _YES_NO, _JSON = 100000001, 100000002, 100000003
"""https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/environmentvariabledefinition#type-choicesoptions"""


def set_environment_variable(client: Client, name: str, value: Any) -> bool:
    """Give an environment variable its value here, or with None take it away so that the default counts; say whether that changed anything.

    Raises RowNotFound for a variable that is not there, BadRequest for a value that is none of its type.
    """
    found = next(iter(_definitions(client, [name]).values()), None)  # the service takes either case
    if found is None:
        raise errors.RowNotFound(
            f"This environment has no environment variable {name!r}",
            remedy="Give its schema name, such as new_ApiUrl; it comes with the solution that defines it.",
        )
    text = None if value is None else _text(name, found.get("type"), value)
    held = _values(client, [found[f"{DEFINITION}id"]])
    row = next(iter(held), None)
    if text is None:
        for one in held:
            client.delete(VALUE, one[f"{VALUE}id"])
        return bool(held)
    if row is None:
        client.create(VALUE, {f"{DEFINITION}id": found[f"{DEFINITION}id"], "value": text})
        return True
    if row.get("value") == text:
        return False
    client.update(VALUE, row[f"{VALUE}id"], {"value": text})
    return True


def set_connection_reference(client: Client, name: str, connection_id: str) -> bool:
    """Let a connection reference use a connection; say whether that changed anything. Raises RowNotFound.

    https://learn.microsoft.com/power-apps/maker/data-platform/create-connection-reference
    """
    query = Query(
        REFERENCE,
        select=[f"{REFERENCE}id", "connectionid"],
        filter=f"connectionreferencelogicalname eq {odata.literal(name)}",
    )
    row = next(client.rows(query), None)
    if row is None:
        raise errors.RowNotFound(
            f"This environment has no connection reference {name!r}",
            remedy="Give its logical name, such as new_sharedsql_1a2b3; it comes with the solution that uses it.",
        )
    if row.get("connectionid") == connection_id:
        return False
    client.update(REFERENCE, row[f"{REFERENCE}id"], {"connectionid": connection_id})
    return True


def component_parameters(
    client: Client,
    manifest: Manifest,
    variables: Mapping[str, Any],
    connections: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return what an import is told about variables and connections, as rows that replace those of the solution.

    A variable whose value is None is left as it is. Raises BadRequest for a name that the solution does not have: it
    would be passed over in silence.
    https://learn.microsoft.com/power-platform/alm/solution-async#solution-import
    """
    _check_known("connection reference", connections, manifest.connections, manifest.name)
    there = _definitions(client, list(variables)) if variables else {}
    _check_known("environment variable", variables, {*manifest.variables, *there}, manifest.name)
    ids = {one[f"{DEFINITION}id"]: name for name, one in there.items()}
    held = {ids[one[f"_{DEFINITION}id_value"]]: one[f"{VALUE}id"] for one in _values(client, list(ids))}
    made: list[dict[str, Any]] = []
    for name, value in variables.items():
        if value is None:
            continue
        kind = there.get(name, {}).get("type") or manifest.variables.get(name)
        row = {"@odata.type": f"{CRM}.{VALUE}", "schemaname": name, "value": _text(name, kind, value)}
        made.append({**row, **({f"{VALUE}id": held[name]} if name in held else {})})
    for name, connection_id in connections.items():
        connector, shown = manifest.connections[name]
        made.append(
            {
                "@odata.type": f"{CRM}.{REFERENCE}",
                "connectionreferencelogicalname": name,
                "connectionreferencedisplayname": shown or name,
                "connectorid": connector,
                "connectionid": connection_id,
            }
        )
    return made


def _definitions(client: Client, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return the definitions that are there, by their schema names."""
    query = Query(
        DEFINITION,
        select=[f"{DEFINITION}id", "schemaname", "type"],
        filter=" or ".join(f"schemaname eq {odata.literal(name)}" for name in names),
    )
    return {row["schemaname"]: row for row in client.rows(query)}


def _values(client: Client, definitions: list[str]) -> list[dict[str, Any]]:
    if not definitions:
        return []
    query = Query(
        VALUE,
        select=[f"{VALUE}id", f"{DEFINITION}id", "value"],
        filter=" or ".join(f"_{DEFINITION}id_value eq {one}" for one in definitions),
    )
    return list(client.rows(query))


def _check_known(what: str, given: Mapping[str, Any], known: Any, solution: str) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise errors.BadRequest(
            f"The solution {solution} has no {what} {' and '.join(map(repr, unknown))}",
            remedy=f"It has {', '.join(sorted(known)) or 'none'}.",
        )


def _text(name: str, kind: Any, value: Any) -> str:
    """Return a value as the variable's type wants it; raises BadRequest without repeating the value, which may be a secret."""
    if kind == _YES_NO:
        words = {"true": "yes", "yes": "yes", "1": "yes", "false": "no", "no": "no", "0": "no"}
        if (found := words.get(str(value).strip().lower())) is None:
            raise _no_value(name, "yes or no")
        return found
    if kind == _JSON:
        try:
            return json.dumps(json.loads(value)) if isinstance(value, str) else json.dumps(value)
        except (ValueError, TypeError):
            raise _no_value(name, "JSON") from None
    if kind == _NUMBER:
        try:
            Decimal(str(value).strip())
        except InvalidOperation:
            raise _no_value(name, "a number") from None
        return str(value).strip()
    return str(value)


def _no_value(name: str, wanted: str) -> errors.BadRequest:
    return errors.BadRequest(f"The value for the environment variable {name} is not {wanted}")
