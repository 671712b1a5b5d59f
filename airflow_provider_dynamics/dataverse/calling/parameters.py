"""The values of an operation's parameters, checked against their types: as JSON for an action, as text for a function's URL.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-actions#specify-entity-parameter-type
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.calling.csdl import NAMESPACE, Operation, Schema, element_of
from airflow_provider_dynamics.dataverse.metadata.table import did_you_mean
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.rows.writable import check_names

__all__ = ["Values"]

_WHOLE = {"Edm.Byte": (0, 2**8), "Edm.Int16": (-(2**15), 2**15), "Edm.Int32": (-(2**31), 2**31)}
_WHOLE |= {"Edm.Int64": (-(2**63), 2**63), "Edm.SByte": (-(2**7), 2**7)}
_FRACTIONS = {"Edm.Decimal", "Edm.Double", "Edm.Single"}
_WORDS = {
    "Edm.Boolean": "true or false",
    "Edm.String": "a text",
    "Edm.Guid": "an id such as 00000000-0000-0000-0000-000000000001",
    "Edm.DateTimeOffset": "a time such as 2024-01-31T08:00:00Z",
    "Edm.Date": "a date such as 2024-01-31",
    "Edm.Binary": "bytes, or text in base64",
}
_SECRET = re.compile(r"passw|secret|token|credential|api_?key", re.IGNORECASE)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Values:
    """Turns values into what goes over the wire. `wire` makes a row's payload: lookups bound, times with their zone."""

    schema: Schema
    tables: Tables
    wire: Callable[[str, Row], Row]

    def body(self, operation: Operation, given: Mapping[str, Any]) -> Row:
        """Return an action's parameters as JSON; raises BadRequest that names the parameter and what it wants."""
        types = {parameter.name: parameter for parameter in operation.parameters}
        made: Row = {}
        for name, value in given.items():
            if value is None and not types[name].nullable:
                raise self._wrong(operation.name, name, value, types[name].type)
            made[name] = self._json(f"{operation.name}: {name}", value, types[name].type)
        return made

    def query(self, operation: Operation, given: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return what stands in a function's brackets, and the values it refers to; raises BadRequest.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/use-web-api-functions
        """
        body = self.body(operation, given)
        types = {parameter.name: parameter.type for parameter in operation.parameters}
        names = list(body)
        inside = ",".join(f"{name}=@p{place}" for place, name in enumerate(names, 1))
        values = {f"@p{place}": self._text(body[name], types[name]) for place, name in enumerate(names, 1)}
        return inside, values

    def reference(self, value: Any) -> tuple[str, Any] | None:
        """Return the table and the row id or key of a value such as ("account", row_id); None for another value."""
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence) or len(value) != 2:
            return None
        table, key = value
        named = isinstance(table, str) and isinstance(key, (str, uuid.UUID, Mapping))
        return (table, key) if named else None

    def _json(self, where: str, value: Any, kind: str) -> Any:
        element = element_of(kind)
        if value is None:
            return None
        if element is not None:
            if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
                raise self._wrong(*_split(where), value, kind)
            return [self._json(f"{where}[{place}]", one, element) for place, one in enumerate(value)]
        if kind.startswith("Edm."):
            return self._primitive(where, value, kind)
        if kind in self.schema.options:
            return self._option(where, value, kind)
        if kind in self.schema.bases:
            return self._row(where, value, kind)
        return self._complex(where, value, kind)

    def _primitive(self, where: str, value: Any, kind: str) -> Any:
        try:
            return _primitive(value, kind)
        except (errors.BadRequest, ValueError, TypeError, InvalidOperation, binascii.Error) as error:
            raise self._wrong(*_split(where), value, kind) from error

    def _option(self, where: str, value: Any, kind: str) -> Any:
        """Return an enumeration's value: a name of it, several of a set with commas, or the number."""
        known = {name.lower(): name for name in self.schema.options[kind]}
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        given = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
        for part in given:
            if str(part).lower() not in known:
                raise errors.BadRequest(
                    f"{where} is {part!r}, which is none of {kind}'s values",
                    remedy=did_you_mean(str(part), known.values())
                    or f"Use one of {', '.join(known.values())}.",
                )
        return ",".join(known[part.lower()] for part in given)

    def _row(self, where: str, value: Any, kind: str) -> Row:
        """Return a row, or a reference to one, with the type that says of which table it is."""
        reference = self.reference(value)
        if reference is not None:
            return self._referred(where, *reference, kind)
        if not isinstance(value, Mapping):
            raise self._wrong(*_split(where), value, kind)
        row = dict(value)
        table = str(row.pop("@odata.type", kind)).removeprefix("#").removeprefix(f"{NAMESPACE}.")
        self._check_type(where, table, kind)
        if "@odata.id" in row and len(row) == 1:
            return {"@odata.type": f"{NAMESPACE}.{table}", **row}
        if table not in self.schema.keys and self.schema.key_of(table) is None:
            raise errors.BadRequest(
                f"{where} takes rows of several tables, and this one does not say of which it is",
                remedy="Give it as (table, row id), or add '@odata.type' with the table's name to the row.",
            )
        self._check_names(where, table, row)
        return {"@odata.type": f"{NAMESPACE}.{table}", **self.wire(table, row)}

    def _check_names(self, where: str, table: str, row: Row) -> None:
        try:
            outline = self.tables.outline(table)
        except errors.UnknownTable:  # a type that has no definition of its own
            return
        try:
            check_names(self.tables, outline, row)
        except errors.UnknownColumn as error:
            raise errors.BadRequest(f"{where}: {error.message}", remedy=error.remedy) from error

    def _referred(self, where: str, table: str, key: Any, kind: str) -> Row:
        self._check_type(where, table, kind)
        made: Row = {"@odata.type": f"{NAMESPACE}.{table}"}
        if isinstance(key, Mapping):
            outline = self.tables.outline(table)
            return {**made, "@odata.id": f"{outline.entity_set}{outline.predicate(key, in_path=False)}"}
        own = self.schema.key_of(table) or self.tables.outline(table).primary_id
        return {**made, own: odata.guid(key)}

    def _check_type(self, where: str, table: str, kind: str) -> None:
        if not self.schema.is_a(table, kind):
            known = [name for name in self.schema.bases if self.schema.is_a(name, kind)]
            raise errors.BadRequest(
                f"{where} takes {kind}, not {table!r}",
                remedy=did_you_mean(table, known) or "Use a table's logical name, such as 'account'.",
            )

    def _complex(self, where: str, value: Any, kind: str) -> Any:
        members = self.schema.members.get(kind)
        if not isinstance(value, Mapping):
            raise self._wrong(*_split(where), value, kind)
        if members is None:  # a type that the document does not describe: the service will judge
            return dict(value)
        for name in value:
            if name not in members and "@" not in name:
                raise errors.BadRequest(
                    f"{where} ({kind}) has no member {name!r}",
                    remedy=did_you_mean(name, members) or f"Its members: {', '.join(members)}.",
                )
        return {
            name: self._json(f"{where}.{name}", one, members[name]) if name in members else one
            for name, one in value.items()
        }

    def _wrong(self, operation: str, name: str, value: Any, kind: str) -> errors.BadRequest:
        wanted = _WORDS.get(kind) or ("a whole number in its range" if kind in _WHOLE else "")
        wanted = wanted or ("a number" if kind in _FRACTIONS else self._wanted(kind))
        told = "null" if value is None else f"a {type(value).__name__}"
        if value is not None and not _SECRET.search(name):
            told = f"{told}, {_short(value)}"
        return errors.BadRequest(
            f"{operation}: the parameter {name!r} is {told}; it takes {kind}", remedy=f"Give {wanted}."
        )

    def _wanted(self, kind: str) -> str:
        if element_of(kind) is not None:
            return "a list"
        if kind in self.schema.bases:
            return "a row as a dict, or one that exists as (table, row id)"
        return "a dict of its members"

    def _text(self, value: Any, kind: str) -> str:
        """Return a value as a function's URL has it; rows are named by their address."""
        if kind in self.schema.bases and isinstance(value, Mapping):
            return f"{{'@odata.id':'{self._address(value)}'}}"
        if value is None or not isinstance(value, (Mapping, list)):
            return self._literal(value, kind)
        return json.dumps(value, default=str, separators=(",", ":"))

    def _literal(self, value: Any, kind: str) -> str:
        if value is None:
            return "null"
        if kind in self.schema.options:
            return f"{NAMESPACE}.{kind}'{value}'"
        if kind in {"Edm.Guid", "Edm.DateTimeOffset", "Edm.Date"}:
            return str(value)
        return odata.literal(value)

    def _address(self, row: Mapping[str, Any]) -> str:
        if "@odata.id" in row:
            return str(row["@odata.id"])
        table = self.tables.outline(str(row["@odata.type"]).removeprefix(f"{NAMESPACE}."))
        key = row.get(self.schema.key_of(table.logical_name) or "") or row.get(table.primary_id)
        if key is None:
            raise errors.BadRequest(
                f"A function takes rows of {table.logical_name} that exist, by their id",
                remedy=f"Give the parameter as ({table.logical_name!r}, row id).",
            )
        return f"{table.entity_set}({odata.guid(key)})"


def _primitive(value: Any, kind: str) -> Any:  # noqa: PLR0911 - one answer for each type
    """Return a value of a primitive type; text that a template left is read. Raises ValueError and its like."""
    if kind == "Edm.Boolean":
        return _truth(value)
    if kind in _WHOLE:
        return _whole(value, *_WHOLE[kind])
    if kind in _FRACTIONS:
        return _fraction(value)
    if kind == "Edm.Guid":
        return odata.guid(value)
    if kind in {"Edm.DateTimeOffset", "Edm.Date"}:
        return _time(value, kind)
    if kind == "Edm.Binary":
        return base64.b64encode(
            base64.b64decode(value, validate=True) if isinstance(value, str) else value
        ).decode()
    if kind == "Edm.String" and not isinstance(value, str):
        raise ValueError(kind)
    return value


def _truth(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    return value if isinstance(value, bool) else _raise(value)


def _whole(value: Any, low: int, end: int) -> int:
    number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else _raise(value)
    return number if low <= number < end else _raise(value)


def _fraction(value: Any) -> Any:
    if isinstance(value, bool):
        _raise(value)
    number = Decimal(value.strip()) if isinstance(value, str) else value
    return number if Decimal(number).is_finite() else _raise(value)


def _time(value: Any, kind: str) -> str:
    if kind == "Edm.Date":
        if isinstance(value, datetime):
            return value.date().isoformat()
        return value.isoformat() if isinstance(value, date) else _matching(_DAY, value)
    if isinstance(value, datetime):
        return odata.instant(value)
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    return _matching(_MOMENT, value)


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else _raise(value)


def _raise(value: Any) -> Any:
    raise ValueError(value)


def _split(where: str) -> tuple[str, str]:
    operation, _, name = where.partition(": ")
    return operation, name


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
