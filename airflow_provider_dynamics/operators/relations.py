"""Ties between rows that exist, and two rows made one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink
from airflow_provider_dynamics.operators.base import true
from airflow_provider_dynamics.operators.writing import OPTIONS, WritingOperator, row_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse.rows.rows import RowKey

__all__ = ["DynamicsAssociateOperator", "DynamicsDisassociateOperator", "DynamicsMergeRowsOperator"]

_OTHER = ("other_row_id", "other_key")


class _Tie(WritingOperator):
    """What tying and untying are told."""

    template_fields: Sequence[str] = (
        *(*WritingOperator.template_fields, "table", "row_id", "key", "navigation"),
        *("other_row_id", "other_key", "other_table"),
        *OPTIONS,
    )
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str,
        navigation: str,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        other_row_id: str | None = None,
        other_key: Mapping[str, Any] | None = None,
        other_table: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.navigation = navigation
        self.row_id = row_id
        self.key = key
        self.other_row_id = other_row_id
        self.other_key = other_key
        self.other_table = other_table

    def _row(self) -> RowKey:
        self.note_table(self.table)
        self.linked_row = self.row_id or None
        return row_key(self.row_id, self.key)


class DynamicsAssociateOperator(_Tie):
    """Tie a row to another one; return whether they were not tied before, as far as Dynamics tells.

    Doing it again changes nothing, so a retry is safe.

    :param table: the table's logical name, such as ``account``
    :param navigation: the navigation property, such as ``contact_customer_accounts``, or a lookup column
    :param row_id: the row's id
    :param key: instead, a dict of an alternate key's columns and their values
    :param other_row_id: the other row's id
    :param other_key: instead, a dict of an alternate key's columns of the other table
    :param other_table: the other row's table, for a lookup that may point to several
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: has no effect here
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: has no effect here
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    def execute(self, context: Context) -> bool:
        """Tie the rows.

        :raises AirflowFailException: there is no such row or navigation property, or the service refuses
        """
        row = self._row()
        other = row_key(self.other_row_id, self.other_key, named=_OTHER)
        with self.client() as client:
            new = client.associate(
                *(self.table, row, self.navigation, other),
                other_table=self.other_table or None,
                options=self.options(),
            )
        if not new:
            self.log.info("The rows are tied already.")
        return new


class DynamicsDisassociateOperator(_Tie):
    """Untie a row from another one; the rows themselves stay.

    :param table: the table's logical name, such as ``account``
    :param navigation: the navigation property, such as ``contact_customer_accounts``, or a lookup column
    :param row_id: the row's id
    :param key: instead, a dict of an alternate key's columns and their values
    :param other_row_id: the other row's id; a lookup, which holds one row, does not need it
    :param other_key: instead, a dict of an alternate key's columns of the other table
    :param other_table: the other row's table, for a lookup that may point to several
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: has no effect here
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: has no effect here
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    def execute(self, context: Context) -> None:
        """Untie the rows.

        :raises AirflowFailException: there is no such row or navigation property, or the service refuses
        """
        row, other = self._row(), None
        if self.other_row_id or self.other_key:
            other = row_key(self.other_row_id, self.other_key, named=_OTHER)
        with self.client() as client:
            client.disassociate(
                *(self.table, row, self.navigation, other),
                other_table=self.other_table or None,
                options=self.options(),
            )


class DynamicsMergeRowsOperator(WritingOperator):
    """Merge two rows that are the same in life; return whether it was done now, False where it had been before.

    The merged row is deactivated and what hangs on it moves to the kept one. Works for ``account``, ``contact``,
    ``lead`` and ``incident``. A retry looks first whether the merged row has been merged already.

    :param table: the table's logical name, such as ``account``
    :param row_id: the id of the row that is kept
    :param key: instead, a dict of an alternate key's columns and their values
    :param other_row_id: the id of the row that is merged into it
    :param other_key: instead, a dict of an alternate key's columns and their values
    :param content: columns that the kept row takes over from the merged one, and their values
    :param check_parents: refuse rows whose parents differ
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: has no effect here
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: has no effect here
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *(
            *WritingOperator.template_fields,
            "table",
            "row_id",
            "key",
            "other_row_id",
            "other_key",
            "content",
            "check_parents",
        ),
        *OPTIONS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"content": "json"}
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        other_row_id: str | None = None,
        other_key: Mapping[str, Any] | None = None,
        content: Mapping[str, Any] | None = None,
        check_parents: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.row_id = row_id
        self.key = key
        self.other_row_id = other_row_id
        self.other_key = other_key
        self.content = content
        self.check_parents = check_parents

    def execute(self, context: Context) -> bool:
        """Merge the rows.

        :raises AirflowFailException: there is no such row, rows of the table cannot be merged, or the service refuses
        """
        kept = row_key(self.row_id, self.key)
        merged = row_key(self.other_row_id, self.other_key, named=_OTHER)
        self.note_table(self.table)
        self.linked_row = self.row_id or None
        with self.client() as client:
            done = client.merge(
                *(self.table, kept, merged, dict(self.content or {})),
                check_parents=true("check_parents", self.check_parents),
                options=self.options(),
            )
        if not done:
            self.log.info("The rows had been merged before; nothing was sent.")
        return done
