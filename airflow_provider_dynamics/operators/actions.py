"""Actions and functions of Dynamics and of the environment's own custom APIs, called by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink
from airflow_provider_dynamics.operators.base import true
from airflow_provider_dynamics.operators.writing import OPTIONS, WritingOperator, row_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse.calling.operations import Binding

__all__ = ["DynamicsActionOperator", "DynamicsFunctionOperator", "bound_to"]


class DynamicsActionOperator(WritingOperator):
    """Carry out an action or a custom API and return its result; None where it has none.

    The name, what it is called on and its parameters are checked against the environment's ``$metadata`` before
    anything is sent. What an action does twice it has done twice, so unless it is said to be ``repeatable`` it is
    sent once: when no answer tells whether it was carried out, the task fails and is not retried.

    :param action: its name, such as ``WinOpportunity``
    :param parameters: its parameters; one that is a row takes a dict, or ``["account", row_id]`` for one that exists
    :param table: the table it is called on, where it is bound to one
    :param row_id: the id of the row it is called on, where it is bound to rows
    :param key: instead, a dict of an alternate key's columns and their values
    :param repeatable: doing it twice does no harm: lost answers and retries repeat it
    :param checked: False for what ``$metadata`` does not list: private custom APIs
    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: refuse rows that a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that new components are added to
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *(
            *WritingOperator.template_fields,
            "action",
            "parameters",
            "table",
            "row_id",
            "key",
            "repeatable",
            "checked",
        ),
        *OPTIONS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        action: str,
        parameters: Mapping[str, Any] | None = None,
        table: str | None = None,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        repeatable: bool | str = False,
        checked: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.action = action
        self.parameters = parameters
        self.table = table
        self.row_id = row_id
        self.key = key
        self.repeatable = repeatable
        self.checked = checked

    def execute(self, context: Context) -> Any:
        """Carry the action out.

        :raises AirflowFailException: the environment does not offer it so, the service refuses, or the action is not
            ``repeatable`` and may have been carried out although no answer says so
        """
        from airflow_provider_dynamics.dataverse.calling.actions import in_doubt
        from airflow_provider_dynamics.dataverse.errors import DataverseError

        on, repeatable = bound_to(self.table, self.row_id, self.key), true("repeatable", self.repeatable)
        self._note()
        if not repeatable:
            self.log.warning(
                "A second %s would be done a second time: it is sent once, and not again when its answer is lost. Clearing "
                "this task does it again, and so does a retry after its worker has died: with retries=0 there is none.",
                self.action,
            )
        with self.client() as client:
            try:
                return client.action(
                    *(self.action, self.parameters or {}),
                    bound_to=on,
                    options=self.options(),
                    repeatable=repeatable,
                    checked=true("checked", self.checked),
                )
            except DataverseError as error:
                if repeatable or not in_doubt(error):
                    raise
                raise AirflowFailException(
                    f"{error} The action may have been carried out all the same: look whether it was, and clear the task "
                    "if it was not. With repeatable=True it is tried again by itself."
                ) from error

    def _note(self) -> None:
        if self.table:
            self.note_table(self.table)
            self.linked_row = self.row_id or None


class DynamicsFunctionOperator(WritingOperator):
    """Ask a function and return its result as XCom: a dict, a list or a single value.

    The name, what it is called on and its parameters are checked against the environment's ``$metadata`` first.

    :param function: its name, such as ``WhoAmI``
    :param parameters: its parameters; one that is a row takes ``["account", row_id]``
    :param table: the table it is called on, where it is bound to one
    :param row_id: the id of the row it is called on, where it is bound to rows
    :param key: instead, a dict of an alternate key's columns and their values
    :param checked: False for what ``$metadata`` does not list: private custom APIs
    :param caller_object_id: the Entra object id of the user to ask as; default: the connection's
    :param detect_duplicates: has no effect here
    :param bypass_business_logic: leave out custom plug-ins: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: has no effect here
    :param solution: has no effect here
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *(*WritingOperator.template_fields, "function", "parameters", "table", "row_id", "key", "checked"),
        *OPTIONS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        function: str,
        parameters: Mapping[str, Any] | None = None,
        table: str | None = None,
        row_id: str | None = None,
        key: Mapping[str, Any] | None = None,
        checked: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.parameters = parameters
        self.table = table
        self.row_id = row_id
        self.key = key
        self.checked = checked

    def execute(self, context: Context) -> Any:
        """Ask the function.

        :raises AirflowFailException: the environment does not offer it so, or the service refuses
        """
        on = bound_to(self.table, self.row_id, self.key)
        if self.table:
            self.note_table(self.table)
            self.linked_row = self.row_id or None
        with self.client() as client:
            return client.function(
                *(self.function, self.parameters or {}),
                bound_to=on,
                options=self.options(),
                checked=true("checked", self.checked),
            )


def bound_to(table: str | None, row_id: Any, key: Any) -> Binding:
    """Return what an operation is called on.

    :raises AirflowFailException: a row is named without its table
    """
    if not row_id and not key:
        return table or None
    if not table:
        raise AirflowFailException("row_id and key name a row of a table: give table, too.")
    return table, row_key(row_id, key)
