"""Changing what an environment is made of: tables, columns, keys and choices, each made once however often it is asked for.

What is there already and the same is left alone; what is there and different is an error that names the difference.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-entity-definitions-using-web-api
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration import differences
from airflow_provider_dynamics.dataverse.administration.definitions import (
    NewChoice,
    NewColumn,
    NewKey,
    NewTable,
)
from airflow_provider_dynamics.dataverse.administration.labels import CRM, label, label_of
from airflow_provider_dynamics.dataverse.calling.actions import in_doubt
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.throttle import Clock, Stop
from airflow_provider_dynamics.dataverse.transport.metadata_gate import MetadataGate

__all__ = ["KeyState", "Made", "Schema"]

log = logging.getLogger(__name__)

Made = Literal["created", "changed", "unchanged"]

_STRONG = {"Consistency": "Strong"}
"""Past the cache, which may say for half a minute that a table is not there.

https://learn.microsoft.com/power-apps/developer/data-platform/cache-schema-data
"""
_ENGLISH = 1033
_PAUSE = 5.0  # seconds before a definition that the service stumbled over is tried again
_ATTEMPTS = 3
_TABLE = (
    "LogicalName,SchemaName,EntitySetName,MetadataId,OwnershipType,PrimaryNameAttribute,ChangeTrackingEnabled,"
    "HasNotes,HasActivities,DisplayName,DisplayCollectionName,Description"
)
_COLUMN = "LogicalName,SchemaName,AttributeType,AttributeTypeName,RequiredLevel,DisplayName,Description"
_CASCADES = ("RemoveLink", "Restrict", "Cascade")


@dataclass(frozen=True, slots=True)
class KeyState:
    """An alternate key as it is now: its index is "Pending", "InProgress", "Active" or "Failed"."""

    name: str
    columns: tuple[str, ...]
    status: str


class Schema:
    """The definitions of one environment. Safe to use from several threads.

    Each method that changes something raises MetadataChangesOff, before anything is sent, unless the client was
    made with `allow_metadata_changes`, and Different for what is there and cannot be left as it is.
    """

    def __init__(
        self, transport: Sender, tables: Tables, gate: MetadataGate, *, clock: Clock, stop: Stop
    ) -> None:
        self._transport = transport
        self._tables = tables
        self._gate = gate
        self._clock = clock
        self._stop = stop
        self._language: int | None = None

    @property
    def language(self) -> int:
        """The LCID of the organization's own language, in which labels are written."""
        if self._language is None:
            try:
                found = self._read("organizations?$select=languagecode")["value"]
            except (errors.Forbidden, errors.NotFound):  # not allowed to look
                found = []
            self._language = next((one["languagecode"] for one in found if one.get("languagecode")), _ENGLISH)
        return self._language

    def create_table(self, wanted: NewTable, *, options: WriteOptions = NO_OPTIONS) -> Made:
        """Create a table with its primary column; raises Different."""
        self._gate.check(f"creating the table {wanted.name}")
        name = wanted.logical_name

        def there() -> bool:
            found = self._found(f"EntityDefinitions(LogicalName='{name}')?$select={_TABLE}")
            return _same(
                f"The table {name}", found, lambda one: differences.of_table(one, wanted, self.language)
            )

        request = self._post("EntityDefinitions", wanted.body(self.language), options)
        return self._made(there, lambda: request, name)

    def create_column(self, table: str, wanted: NewColumn, *, options: WriteOptions = NO_OPTIONS) -> Made:
        """Create a column, a lookup together with its relationship; raises Different and UnknownTable."""
        self._gate.check(f"creating the column {wanted.name}")
        path = f"{_definition(table)}/Attributes"

        def there() -> bool:
            found = self._column(path, wanted)
            return _same(
                f"The column {table}.{wanted.logical_name}",
                found,
                lambda one: differences.of_column(one, wanted, self.language),
            )

        return self._made(there, lambda: self._column_request(table, path, wanted, options), table)

    def create_key(self, table: str, wanted: NewKey, *, options: WriteOptions = NO_OPTIONS) -> Made:
        """Create an alternate key, whose index is built afterwards: see `key`. One that has failed is begun anew.

        https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity
        """
        self._gate.check(f"creating the key {wanted.name}")
        failed = (found := self._keys(table).get(wanted.logical_name)) and found.get(
            "EntityKeyIndexStatus"
        ) == "Failed"

        def there() -> bool:
            one = self._keys(table).get(wanted.logical_name)
            return _same(
                f"The key {wanted.logical_name} of {table}", one, lambda key: differences.of_key(key, wanted)
            )

        request = self._post(f"{_definition(table)}/Keys", wanted.body(self.language), options)
        made = self._made(there, lambda: request, table)
        if failed:
            self._reactivate(table, str((found or {})["LogicalName"]))
        return "changed" if failed else made

    def key(self, table: str, name: str) -> KeyState | None:
        """Return an alternate key as it is now, None where there is none of this name."""
        found = self._keys(table).get(name.lower())
        if found is None:
            return None
        return KeyState(found["LogicalName"], tuple(found["KeyAttributes"]), found["EntityKeyIndexStatus"])

    def create_choice(self, wanted: NewChoice, *, options: WriteOptions = NO_OPTIONS) -> Made:
        """Create a global choice; raises Different."""
        self._gate.check(f"creating the choice {wanted.name}")

        def there() -> bool:
            found = self._choice(wanted.name)
            return _same(
                f"The choice {wanted.name}",
                found,
                lambda one: differences.of_choice(one, wanted, self.language),
            )

        request = self._post("GlobalOptionSetDefinitions", wanted.body(self.language), options)
        return self._made(there, lambda: request, None)

    def add_options(
        self,
        added: Mapping[int, str],
        *,
        choice: str = "",
        table: str = "",
        column: str = "",
        options: WriteOptions = NO_OPTIONS,
    ) -> Made:
        """Add options to a global choice, or to a column's own; raises Different for one that is there by another label.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/insertoptionvalue
        """
        place = f"the choice {choice}" if choice else f"{table}.{column}"
        self._gate.check(f"adding options to {place}")
        if bool(choice) == bool(table and column):
            raise ValueError("give either choice, or table and column")
        there = self._options(choice, table, column)
        wrong = [one for one in differences.of_options(there, added, self.language) if " is called " in one]
        if wrong:
            raise errors.Different(f"Among the options of {place}, {' and '.join(wrong)}")
        known = {one["Value"] for one in there.get("Options") or ()}
        missing = {value: text for value, text in added.items() if value not in known}
        for value, text in missing.items():
            self._insert(value, text, (choice, table, column), options)
        self._tables.forget(table or None)
        return "changed" if missing else "unchanged"

    def update_table(
        self,
        table: str,
        *,
        change_tracking: bool | None = None,
        display_name: str | None = None,
        plural_name: str | None = None,
        description: str | None = None,
        options: WriteOptions = NO_OPTIONS,
    ) -> Made:
        """Change a table's definition: its labels, and whether it tracks changes. What is None stays as it is.

        The service takes whole definitions only, so it is read, changed and written back, other languages' labels kept.
        """
        self._gate.check(f"changing the table {table}")
        target = _definition(table)
        found = self._found(target)
        if found is None:
            raise self._unknown(table)
        changed = dict(found)
        if change_tracking is not None:
            changed["ChangeTrackingEnabled"] = change_tracking
        for wire, text in {
            "DisplayName": display_name,
            "DisplayCollectionName": plural_name,
            "Description": description,
        }.items():
            if text is not None and label_of(found.get(wire), self.language) != text:
                changed[wire] = label(text, self.language)
        if changed == found:
            return "unchanged"
        body = {key: value for key, value in changed.items() if not key.startswith("@odata.context")}
        headers = {**options.headers(), "MSCRM.MergeLabels": "true"}
        request = Request("PUT", target, headers, odata.encode(body), repeatable=True)
        self._transport.send(request, self._stop)
        self._tables.forget(table)
        return "changed"

    def _made(self, there: Callable[[], bool], request: Callable[[], Request], table: str | None) -> Made:
        """Create what is not there; whether a request whose answer was lost was carried out is looked up."""
        if there():
            return "unchanged"
        attempt = 1
        while not self._sent(there, request, table, last=attempt == _ATTEMPTS):
            self._clock.sleep(_PAUSE * attempt, self._stop)
            attempt += 1
        self._tables.forget(table)
        return "created"

    def _sent(
        self, there: Callable[[], bool], request: Callable[[], Request], table: str | None, *, last: bool
    ) -> bool:
        """Send it and say whether it is made: by this request, or by somebody else's at the same moment."""
        made = request()
        try:
            self._transport.send(made, self._stop)
        except errors.Interrupted:
            raise
        except errors.DataverseError as error:
            if there():
                return True
            if isinstance(error, errors.NotFound) and table and made.target != "EntityDefinitions":
                raise self._unknown(table) from error
            if last or not in_doubt(error):
                raise
            log.warning("Trying again: %s", error)
            return False
        return True

    def _column(self, path: str, wanted: NewColumn) -> Mapping[str, Any] | None:
        """Return a column that is there, with what only columns of the wanted type have where it is one."""
        one = f"{path}(LogicalName='{wanted.logical_name}')"
        found = self._found(f"{one}?$select={_COLUMN}")
        if found is None or differences.type_of(found) != wanted.type:
            return found
        chooses = wanted.kind.chooses or wanted.type == "Boolean"
        expand = "?$expand=OptionSet,GlobalOptionSet" if chooses else ""
        if wanted.type == "Boolean":
            expand = "?$expand=OptionSet"
        return {**found, **(self._found(f"{one}/{CRM}.{wanted.kind.metadata}{expand}") or {})}

    def _column_request(self, table: str, path: str, wanted: NewColumn, options: WriteOptions) -> Request:
        body = wanted.body(self.language)
        if wanted.type == "Lookup":
            return self._post("RelationshipDefinitions", self._relationship(table, wanted, body), options)
        if wanted.choice is not None:
            found = self._choice(wanted.choice)
            if found is None:
                raise errors.NotFound(
                    f"This environment has no global choice {wanted.choice!r}",
                    remedy="Create the choice first.",
                )
            body["GlobalOptionSet@odata.bind"] = f"/GlobalOptionSetDefinitions({found['MetadataId']})"
        return self._post(path, body, options)

    def _relationship(self, table: str, wanted: NewColumn, lookup: Mapping[str, Any]) -> dict[str, Any]:
        """Return the relationship that a lookup is made with.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-entity-relationships-using-web-api
        """
        target = self._tables.outline(str(wanted.targets))
        on_delete = wanted.on_delete or _CASCADES[0]
        if on_delete not in _CASCADES:
            raise ValueError(f"on_delete is {on_delete!r}: use one of {', '.join(_CASCADES)}")
        prefix, _, rest = wanted.name.partition("_")
        return {
            "@odata.type": f"{CRM}.OneToManyRelationshipMetadata",
            "SchemaName": f"{prefix}_{target.logical_name}_{table}_{rest}"[:100],
            "ReferencedEntity": target.logical_name,
            "ReferencedAttribute": target.primary_id,
            "ReferencingEntity": table,
            "CascadeConfiguration": {
                **dict.fromkeys(("Assign", "Merge", "Reparent", "Share", "Unshare"), "NoCascade"),
                "Delete": on_delete,
            },
            "Lookup": dict(lookup),
        }

    def _choice(self, name: str) -> Mapping[str, Any] | None:
        return self._found(f"GlobalOptionSetDefinitions(Name='{name}')/{CRM}.OptionSetMetadata")

    def _options(self, choice: str, table: str, column: str) -> Mapping[str, Any]:
        """Return the options that are there; raises NotFound where there is nothing that could have some."""
        if choice:
            found = self._choice(choice)
            if found is None:
                raise errors.NotFound(
                    f"This environment has no global choice {choice!r}", remedy="Create the choice first."
                )
            return found
        target = f"{_definition(table)}/Attributes(LogicalName='{column}')"
        plain = self._found(f"{target}?$select={_COLUMN}")
        kind = "" if plain is None else differences.type_of(plain)
        if kind not in {"Picklist", "MultiSelectPicklist"}:
            raise errors.UnknownColumn(
                f"The table {table} has no choice column {column!r}",
                remedy="Options are added to choices; a yes and no has two for ever.",
            )
        found = self._found(f"{target}/{CRM}.{kind}AttributeMetadata?$expand=OptionSet,GlobalOptionSet") or {}
        shared = found.get("GlobalOptionSet")
        if shared:
            raise errors.Different(
                f"{table}.{column} has no options of its own: it shares those of the choice {shared.get('Name')}",
                remedy="Add the options to that choice.",
            )
        return found.get("OptionSet") or {}

    def _insert(self, value: int, text: str, at: tuple[str, str, str], options: WriteOptions) -> None:
        choice, table, column = at
        place = (
            {"OptionSetName": choice}
            if choice
            else {"EntityLogicalName": table, "AttributeLogicalName": column}
        )
        body: dict[str, Any] = {**place, "Value": value, "Label": label(text, self.language)}
        if options.solution:
            body["SolutionUniqueName"] = options.solution
        plain = replace(options, solution=None)
        try:
            self._transport.send(
                Request("POST", "InsertOptionValue", plain.headers(), odata.encode(body)), self._stop
            )
        except errors.DataverseError:
            there = self._options(*at).get("Options") or ()
            if all(one["Value"] != value for one in there):
                raise

    def _keys(self, table: str) -> dict[str, Mapping[str, Any]]:
        query = "?$select=LogicalName,SchemaName,KeyAttributes,EntityKeyIndexStatus"
        found = self._found(f"{_definition(table)}/Keys{query}")
        if found is None:
            raise self._unknown(table)
        return {one["LogicalName"].lower(): one for one in found["value"]}

    def _reactivate(self, table: str, key: str) -> None:
        body = {"EntityLogicalName": table, "EntityKeyLogicalName": key}
        request = Request("POST", "ReactivateEntityKey", {}, odata.encode(body), repeatable=True)
        self._transport.send(request, self._stop)

    def _unknown(self, table: str) -> errors.UnknownTable:
        return errors.UnknownTable(
            f"This environment has no table {table!r}", remedy=self._tables.similar(table)
        )

    def _found(self, target: str) -> dict[str, Any] | None:
        """Return what is there, None where there is nothing."""
        try:
            return self._read(target)
        except errors.NotFound:
            return None

    def _read(self, target: str) -> dict[str, Any]:
        request = Request("GET", target, _STRONG)
        found: dict[str, Any] = decoded(self._transport.send(request, self._stop), request)
        return found

    def _post(self, target: str, body: Mapping[str, Any], options: WriteOptions) -> Request:
        return Request("POST", target, options.headers(), odata.encode(body))


def _definition(table: str) -> str:
    """Return where a table's definition is; raises UnknownTable for what can be no name."""
    if not table.replace("_", "").isalnum() or not table.isascii():
        raise errors.UnknownTable(f"{table!r} is not a table's logical name", remedy="For example 'account'.")
    return f"EntityDefinitions(LogicalName='{table}')"


def _same(
    what: str, found: Mapping[str, Any] | None, compare: Callable[[Mapping[str, Any]], Iterable[str]]
) -> bool:
    """Say whether something is there and as it is wanted; raises Different where it is there and is not."""
    if found is None:
        return False
    if wrong := list(compare(found)):
        raise errors.Different(f"{what} is there, but {'; '.join(wrong)}")
    return True
