"""Ties between rows that exist: adding one to another's collection, pointing a lookup at one, and undoing both.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.rows.rows import RowKey
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["Associations"]


@dataclass(frozen=True)
class Associations:
    """Ties and unties rows. `root` is the Web API's address, which a reference to a row begins with."""

    transport: Sender
    tables: Tables
    root: str

    def associate(
        self,
        table: Table,
        key: RowKey,
        navigation: str,
        other: RowKey,
        *,
        other_table: str | None = None,
        options: WriteOptions = NO_OPTIONS,
        stop: Stop | None = None,
    ) -> bool:
        """Tie a row to another one; say whether they were not tied before, as far as the service tells.

        `navigation` is a navigation property or a lookup column; `other_table` says which of several tables a
        lookup is to point into. Doing it again changes nothing. Raises UnknownColumn, RowNotFound.
        """
        name, target, many = self._navigation(table, navigation, other_table)
        address = f"{table.entity_set}{table.predicate(key)}/{name}/$ref"
        request = Request(
            "POST" if many else "PUT",
            options.addressed(address),
            options.headers(),
            odata.encode({"@odata.id": self._reference(target, other)}),
            repeatable=True,
        )
        try:
            self.transport.send(request, stop)
        except errors.DuplicateKey as error:  # a pair of rows is a key of its own, where both sides have many
            return error.repeated  # perhaps the first attempt's own tie
        return True

    def disassociate(
        self,
        table: Table,
        key: RowKey,
        navigation: str,
        other: RowKey | None = None,
        *,
        other_table: str | None = None,
        options: WriteOptions = NO_OPTIONS,
        stop: Stop | None = None,
    ) -> None:
        """Untie a row from another one; of a lookup, which holds one row only, `other` is not needed.

        Raises UnknownColumn, RowNotFound, BadRequest for a collection without `other`.
        """
        name, target, many = self._navigation(table, navigation, other_table)
        address = f"{table.entity_set}{table.predicate(key)}/{name}/$ref"
        if many:
            if other is None:
                raise errors.BadRequest(
                    f"{name!r} of {table.logical_name} holds many rows",
                    remedy="Say which of them is to be taken out.",
                )
            address += odata.options({"$id": self._reference(target, other)})
        request = Request("DELETE", options.addressed(address), options.headers(), repeatable=True)
        try:
            self.transport.send(request, stop)
        except errors.NotFound as error:
            if not error.repeated:
                raise

    def _reference(self, target: str, other: RowKey) -> str:
        table = self.tables.outline(target)
        return f"{self.root}{table.entity_set}{table.predicate(other)}"

    def _navigation(self, table: Table, name: str, other_table: str | None) -> tuple[str, str, bool]:
        """Return a navigation property, the table it leads to, and whether to many rows; raises UnknownColumn, BadRequest."""
        column = table.find(name)
        choices = dict(column.navigation) if column else {}
        if other_table and other_table in choices:
            return choices[other_table], other_table, False
        if len(choices) == 1:
            [(target, found)] = choices.items()
            return found, other_table or target, False
        if choices and name not in choices.values():
            raise errors.BadRequest(
                f"The lookup {name!r} of {table.logical_name} may point to {', '.join(sorted(choices))}",
                remedy=f"Say other_table, or name one of {', '.join(sorted(choices.values()))}.",
            )
        target, many = self.tables.follow(table, name)
        return name, other_table or target, many
