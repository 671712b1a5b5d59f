"""Single rows: one that is looked up, created, changed or deleted, each so that a retry does no harm."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, names, one_of
from airflow_provider_dynamics.operators.writing import OPTIONS, WritingOperator, row_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Expand
    from airflow_provider_dynamics.dataverse.rows.payloads import Blank

__all__ = [
    "DynamicsCreateRowOperator",
    "DynamicsDeleteRowOperator",
    "DynamicsGetRowOperator",
    "DynamicsUpdateRowOperator",
]

_OF_TASKS = uuid.UUID("f5b0c1de-6d3c-5c0e-9a51-1c8f4b7d2e90")
"""Ours for all time: another one would make other ids of the same tasks' rows."""


class DynamicsGetRowOperator(DynamicsOperator):
    """Return one row as XCom, a dict by the names Dynamics uses; None where there is none and that is allowed.

    :param table: the table's logical name, such as ``account``
    :param row_id: the row's id
    :param key: instead, a dict of an alternate key's columns and their values
    :param select: logical names of the columns to return; empty for all
    :param expand: OData ``$expand`` text, or a list of ``Expand``: related rows
    :param annotations: also return formatted values and lookup targets, as ``column@...`` keys
    :param if_missing: ``fail``, ``skip`` the task, or return ``none``
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        "table",
        "row_id",
        "key",
        "select",
        "expand",
        "if_missing",
    )
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        select: Sequence[str] | str = (),
        expand: str | Sequence[Expand] | None = None,
        annotations: bool = False,
        if_missing: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.row_id = row_id
        self.key = key
        self.select = select
        self.expand = expand
        self.annotations = annotations
        self.if_missing = if_missing

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Read the row.

        :raises AirflowFailException: there is no such row and ``if_missing`` is ``fail``, or the service refuses
        :raises AirflowSkipException: there is no such row and ``if_missing`` is ``skip``
        """
        from airflow_provider_dynamics.dataverse.errors import RowNotFound

        one_of("if_missing", self.if_missing, ("fail", "skip", "none"))
        name = row_key(self.row_id, self.key)
        self.note_table(self.table)
        with self.client() as client:
            try:
                found = client.get(
                    *(self.table, name, names(self.select)),
                    expand=self.expand or None,
                    annotations=self.annotations,
                )
            except RowNotFound as error:
                if self.if_missing == "fail":
                    raise
                self._missing(str(error))
                return None
            self.note_table(self.table, [found])
        return {column: value for column, value in found.items() if column != "@odata.context"}

    def _missing(self, told: str) -> None:
        if self.if_missing == "skip":
            raise AirflowSkipException(told)
        self.log.info("%s", told)


class DynamicsCreateRowOperator(WritingOperator):
    """Create one row and return its id.

    The id is made from the DAG, the task and its run unless ``row`` brings one, so a retried or cleared task finds
    the row that it has made and makes no second one; where ``row`` brings its id, the row that has it is taken for
    this task's if it has these values. For the few tables whose ids cannot be chosen the task
    says in its log that a retry may make a second row. A navigation property in ``row`` may hold rows, which are created with it.

    :param table: the table's logical name, such as ``account``
    :param row: columns and their values; a lookup takes a row id or a reference such as ``/contacts(…)``
    :param blank: None and "" in ``row`` empty the column (``null``) or are left out (``skip``)
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: refuse a row that a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that a new component is added to
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (*WritingOperator.template_fields, "table", "row", "blank", *OPTIONS)
    template_fields_renderers: ClassVar[dict[str, str]] = {"row": "json"}
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(self, *, table: str, row: Mapping[str, Any], blank: str = "null", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.row = row
        self.blank = blank

    def execute(self, context: Context) -> str:
        """Create the row.

        :raises AirflowFailException: the service refuses the row
        """
        from airflow_provider_dynamics.dataverse.errors import Conflict

        blank, options, row = blank_of(self.blank), self.options(), a_row(self.row)
        self.note_table(self.table)
        with self.client() as client:
            primary_id = self._primary_id(client, row)
            given = row.get(primary_id) if primary_id else None
            if primary_id and not given:
                row = {**row, primary_id: self._id_of_run(context)}
            try:
                row_id = client.create(self.table, row, options=options, blank=blank)
            except Conflict:
                if not primary_id or not client.is_written(self.table, row, derived=not given, blank=blank):
                    raise
                row_id = str(row[primary_id])
                self.log.info(
                    "The row %s of %s is there already: an earlier try has made it.", row_id, self.table
                )
        self.linked_row = row_id
        return row_id

    def _primary_id(self, client: Client, row: Mapping[str, Any]) -> str | None:
        """Return the name of the column of the row's id; None where the table alone chooses ids, which is said."""
        primary_id = client.check_row(self.table, row, creates=True)
        if primary_id is None:
            self.log.warning(
                "Ids of %s cannot be chosen, so a retry after a lost answer would create a second row.",
                self.table,
            )
        return primary_id

    def _id_of_run(self, context: Context) -> str:
        task = context["ti"]
        name = "\n".join((self.table, task.dag_id, task.task_id, str(task.map_index), task.run_id))
        return str(uuid.uuid5(_OF_TASKS, name))


class DynamicsUpdateRowOperator(WritingOperator):
    """Change columns of one row that exists, owner and state among them; a missing row is an error, never created.

    :param table: the table's logical name, such as ``account``
    :param row: columns and their new values
    :param row_id: the row's id
    :param key: instead, a dict of an alternate key's columns and their values
    :param if_match: write only while the row's ``@odata.etag`` is this one
    :param blank: None and "" in ``row`` empty the column (``null``) or are left out (``skip``)
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: refuse a change that a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that a changed component is added to
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *(*WritingOperator.template_fields, "table", "row", "row_id", "key", "if_match", "blank"),
        *OPTIONS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"row": "json"}
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str,
        row: Mapping[str, Any],
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        if_match: str | None = None,
        blank: str = "null",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.row = row
        self.row_id = row_id
        self.key = key
        self.if_match = if_match
        self.blank = blank

    def execute(self, context: Context) -> None:
        """Change the row.

        :raises AirflowFailException: there is no such row, it has changed (``if_match``), or the service refuses
        """
        name, blank, row = row_key(self.row_id, self.key), blank_of(self.blank), a_row(self.row)
        if self.if_match:
            self.log.warning(
                "With if_match a retry after a lost answer fails: this task's own change cannot be told from another's."
            )
        self.note_table(self.table)
        self.linked_row = self.row_id or None
        with self.client() as client:
            client.check_row(self.table, row, creates=False)
            client.update(
                *(self.table, name, row), if_match=self.if_match or None, options=self.options(), blank=blank
            )


class DynamicsDeleteRowOperator(WritingOperator):
    """Delete one row and return whether it was there.

    :param table: the table's logical name, such as ``account``
    :param row_id: the row's id
    :param key: instead, a dict of an alternate key's columns and their values
    :param if_match: delete only while the row's ``@odata.etag`` is this one
    :param if_missing: ``ignore`` a row that is not there, as it is when an earlier try has deleted it, or ``fail``
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
        *(*WritingOperator.template_fields, "table", "row_id", "key", "if_match", "if_missing"),
        *OPTIONS,
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        table: str,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        if_match: str | None = None,
        if_missing: str = "ignore",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.row_id = row_id
        self.key = key
        self.if_match = if_match
        self.if_missing = if_missing

    def execute(self, context: Context) -> bool:
        """Delete the row.

        :raises AirflowFailException: it is not there and ``if_missing`` is ``fail``, it has changed (``if_match``), or
            the service refuses
        """
        from airflow_provider_dynamics.dataverse.errors import RowNotFound

        one_of("if_missing", self.if_missing, ("ignore", "fail"))
        name = row_key(self.row_id, self.key)
        self.note_table(self.table)
        with self.client() as client:
            try:
                client.delete(self.table, name, if_match=self.if_match or None, options=self.options())
            except RowNotFound as error:
                if self.if_missing == "fail":
                    raise
                self.log.info("There is nothing to delete. %s", error)
                return False
        return True


def blank_of(value: str) -> Blank:
    """Return what is done with blank values.

    :raises AirflowFailException: it is neither ``null`` nor ``skip``
    """
    one_of("blank", value, ("null", "skip"))
    return value  # type: ignore[return-value]  # just seen


def a_row(value: Any) -> dict[str, Any]:
    """Return the columns to write.

    :raises AirflowFailException: they are no dict, or none at all
    """
    if not isinstance(value, Mapping) or not value:
        raise AirflowFailException(
            f"row is a {type(value).__name__}: give a dict of columns and their values; for one that another task "
            "returns, set render_template_as_native_obj on the DAG or pass its output."
            if not isinstance(value, Mapping)
            else "row is empty: give at least one column."
        )
    return dict(value)
