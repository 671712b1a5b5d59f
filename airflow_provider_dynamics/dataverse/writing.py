"""What a client writes row by row: the methods of `Client` whose work is done in the rooms of rows, ties and operations."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.dataverse.calling import merge as merging
from airflow_provider_dynamics.dataverse.calling.actions import run_action
from airflow_provider_dynamics.dataverse.calling.functions import run_function
from airflow_provider_dynamics.dataverse.calling.operations import Binding, Operations, table_of
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.dataverse.rows import settled
from airflow_provider_dynamics.dataverse.rows.associations import Associations
from airflow_provider_dynamics.dataverse.rows.payloads import Blank
from airflow_provider_dynamics.dataverse.rows.rows import RowKey, Rows, Upserted
from airflow_provider_dynamics.dataverse.rows.writable import check_writable
from airflow_provider_dynamics.dataverse.transport import batch
from airflow_provider_dynamics.dataverse.transport.batch import BatchOutcome
from airflow_provider_dynamics.dataverse.transport.change_sets import ChangeSet
from airflow_provider_dynamics.dataverse.transport.row_requests import RowOperation, RowRequest
from airflow_provider_dynamics.dataverse.transport.transport import Transport

__all__ = ["Writing"]

log = logging.getLogger(__name__)


class Writing(ABC):
    """The writing half of a client, which makes what it works with."""

    _transport: Transport
    _tables: Tables
    _rows: Rows
    _associations: Associations
    _operations: Operations

    @abstractmethod
    def _use(self, what: str, table: str) -> None:
        """Note that a table is read or written."""

    def batch(
        self,
        requests: Sequence[Request | ChangeSet],
        *,
        changeset: bool = False,
        continue_on_error: bool | None = None,
    ) -> list[BatchOutcome]:
        """Send up to 1,000 requests in one, and return what came of each in their order; raises for the batch as a whole only.

        A request's `target` is relative to the Web API's root and percent-encoded: "accounts?$top=3"; those that
        write single rows are made by `request`. Those of a ChangeSet, or all with `changeset`, are one transaction:
        when one is refused, each has the error that undid them all. Requests that stand alone go on after an
        error; beside a change set `continue_on_error` must say whether, and where it is False the first error is
        raised: what stands before it is done. Raises ValueError where that is not said, BadRequest for a change
        set that reads or refers to what it does not hold.

        When the answer is lost the batch is sent again if that is without harm, and what is refused only because
        the first attempt had done it counts as done.
        """
        given, goes_on = batch.checked(requests, changeset=changeset, continue_on_error=continue_on_error)
        _warn_of_elastic(given)
        outcomes = self._transport.send_together(given, continue_on_error=goes_on)
        return settled.put_right(self._transport, given, outcomes)

    def is_written(self, table: str, row: Row, *, derived: bool = False, blank: Blank = "null") -> bool:
        """Say whether there is a row with the id that this row brings, and with its values.

        With `derived` its id is made from what it stands for, so that a row of this id is this row whatever it holds.
        """
        self._use("read", table)
        return self._rows.is_written(self._tables.outline(table), row, derived=derived, blank=blank)

    def check_row(self, table: str, row: Mapping[str, Any] | Iterable[str], *, creates: bool) -> str | None:
        """Say by UnknownColumn or BadRequest that a row has a column that is none or cannot be written; nothing is sent.

        Return the name of the column that holds the id of a new row; None where the id cannot be chosen.
        """
        outline = self._tables.outline(table)
        check_writable(self._tables, outline, row, creates=creates)
        column = outline.columns.get(outline.primary_id)
        return outline.primary_id if column and column.valid_for_create else None

    def request(
        self,
        operation: RowOperation,
        table: str,
        row: Row | None = None,
        row_id_or_key: RowKey | None = None,
        *,
        if_match: str | None = None,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
        content_id: str | None = None,
    ) -> Request:
        """Return the request of an operation on one row, for `batch`; nothing is sent.

        A create needs no `row_id_or_key`, nor does another operation whose row has its id. Later requests of
        the same change set call the row `$<content_id>`. Raises UnknownTable, UnknownColumn, BadRequest.
        """
        self._use("write", table)
        return self._rows.request(
            *(operation, self._tables.outline(table), row, row_id_or_key),
            if_match=if_match,
            options=options,
            blank=blank,
            content_id=content_id,
        )

    def create(
        self, table: str, row: Row, *, options: WriteOptions = NO_OPTIONS, blank: Blank = "null"
    ) -> str:
        """Create a row and return its id; raises DuplicateKey.

        A navigation property may hold rows, which are created with it. A state that a new row cannot have is
        set right after, in the same transaction. `blank` "skip" leaves out what is None or "".
        """
        self._use("write", table)
        return self._rows.create(self._tables.outline(table), row, options=options, blank=blank)

    def update(
        self,
        table: str,
        row_id_or_key: RowKey,
        row: Row,
        *,
        if_match: str | None = None,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
    ) -> None:
        """Change columns of a row that exists, with `if_match` only while its etag is this one; raises RowNotFound, ConcurrencyMismatch.

        Owner and state may be among them. `blank` "skip" leaves out what is None or "" instead of clearing it.
        """
        self._use("write", table)
        self._rows.update(
            self._tables.outline(table), row_id_or_key, row, if_match=if_match, options=options, blank=blank
        )

    def upsert(
        self,
        table: str,
        row_id_or_key: RowKey,
        row: Row,
        *,
        options: WriteOptions = NO_OPTIONS,
        blank: Blank = "null",
    ) -> Upserted:
        """Change a row, or create it where there is none."""
        self._use("write", table)
        return self._rows.upsert(
            self._tables.outline(table), row_id_or_key, row, options=options, blank=blank
        )

    def delete(
        self,
        table: str,
        row_id_or_key: RowKey,
        *,
        if_match: str | None = None,
        options: WriteOptions = NO_OPTIONS,
    ) -> None:
        """Delete a row, with `if_match` only while its etag is this one; raises RowNotFound, ConcurrencyMismatch."""
        self._use("write", table)
        self._rows.delete(self._tables.outline(table), row_id_or_key, if_match=if_match, options=options)

    def set_property(
        self,
        table: str,
        row_id_or_key: RowKey,
        column: str,
        value: Any,
        *,
        options: WriteOptions = NO_OPTIONS,
    ) -> None:
        """Write one column of a row that exists; raises RowNotFound, UnknownColumn, BadRequest for a lookup."""
        self._use("write", table)
        self._rows.set_property(self._tables.outline(table), row_id_or_key, column, value, options=options)

    def clear_property(
        self, table: str, row_id_or_key: RowKey, column: str, *, options: WriteOptions = NO_OPTIONS
    ) -> None:
        """Empty one column of a row that exists; raises as `set_property` does."""
        self.set_property(table, row_id_or_key, column, None, options=options)

    def associate(
        self,
        table: str,
        row_id_or_key: RowKey,
        navigation: str,
        other: RowKey,
        *,
        other_table: str | None = None,
        options: WriteOptions = NO_OPTIONS,
    ) -> bool:
        """Tie a row to another one; say whether they were not tied before, as far as the service tells.

        `navigation` is a navigation property of the table, or a lookup column; `other_table` says into which of
        several tables a lookup is to point. Doing it again changes nothing. Raises UnknownColumn, RowNotFound.
        """
        self._use("write", table)
        return self._associations.associate(
            *(self._tables.outline(table), row_id_or_key, navigation, other),
            other_table=other_table,
            options=options,
        )

    def disassociate(
        self,
        table: str,
        row_id_or_key: RowKey,
        navigation: str,
        other: RowKey | None = None,
        *,
        other_table: str | None = None,
        options: WriteOptions = NO_OPTIONS,
    ) -> None:
        """Untie a row from another one; a lookup, which holds one row, needs no `other`. Raises as `associate` does."""
        self._use("write", table)
        self._associations.disassociate(
            *(self._tables.outline(table), row_id_or_key, navigation, other),
            other_table=other_table,
            options=options,
        )

    def merge(
        self,
        table: str,
        kept: RowKey,
        merged: RowKey,
        content: Row | None = None,
        *,
        check_parents: bool = False,
        options: WriteOptions = NO_OPTIONS,
    ) -> bool:
        """Merge the row `merged` into `kept`; say False, and send nothing, where that has been done before.

        `content` are columns of the merged row that the kept one takes over; `check_parents` refuses rows whose
        parents differ. Raises BadRequest for tables other than account, contact, lead and incident, RowNotFound.
        """
        self._use("write", table)
        return merging.merge(
            *(self._transport, self._rows, self._operations, self._tables.outline(table), kept, merged),
            content=content,
            check_parents=check_parents,
            options=options,
        )

    def action(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        bound_to: Binding = None,
        options: WriteOptions = NO_OPTIONS,
        repeatable: bool = False,
        checked: bool = True,
    ) -> Any:
        """Carry out an action, Microsoft's or the environment's own, and return its result, None where it has none.

        `bound_to` is ("account", row id or key) for a row, "account" for the table. A parameter that is a row
        takes a dict, or ("account", row id or key) for one that exists. Name, binding and parameters are checked
        against the environment's `$metadata` before anything is sent, unless `checked` is off, as a private
        custom API needs it. A lost answer is an error unless the action is said to be `repeatable`: it may have been
        carried out. Raises UnknownOperation, UnknownTable, BadRequest.
        """
        if (table := table_of(bound_to)) is not None:
            self._use("write", table)
        return run_action(
            *(self._transport, self._operations, name, parameters, bound_to),
            options=options,
            repeatable=repeatable,
            checked=checked,
        )

    def function(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        bound_to: Binding = None,
        options: WriteOptions = NO_OPTIONS,
        checked: bool = True,
    ) -> Any:
        """Ask a function and return its result: a dict, a list, a single value; arguments are as for `action`."""
        if (table := table_of(bound_to)) is not None:
            self._use("read", table)
        return run_function(
            *(self._transport, self._operations, name, parameters, bound_to), options=options, checked=checked
        )


def _warn_of_elastic(items: Sequence[Request | ChangeSet]) -> None:
    """Say that a change set is no transaction where it writes to an elastic table: the service does not say so.

    https://learn.microsoft.com/power-apps/developer/data-platform/use-elastic-tables
    """
    members = [one for item in items if isinstance(item, ChangeSet) for one in item.requests]
    tables = {
        one.table.logical_name
        for one in members
        if isinstance(one, RowRequest) and one.table and one.table.elastic
    }
    if tables:
        log.warning(
            "A change set writes to %s, elastic and without transactions: what comes before a refused request stays written.",
            " and ".join(sorted(tables)),
        )
