"""What every operator that writes something small is told: which row, and how the write is to be carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators.base import DynamicsOperator, names, true

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import WriteOptions
    from airflow_provider_dynamics.dataverse.rows.rows import RowKey

__all__ = ["OPTIONS", "WritingOperator", "row_key"]

OPTIONS = (
    "caller_object_id",
    "detect_duplicates",
    "bypass_business_logic",
    "bypass_steps",
    "bypass_flows",
    "solution",
    "tag",
)


class WritingOperator(DynamicsOperator):
    """Takes the options of a write; they are off unless given.

    :param caller_object_id: the Entra object id of the user to act for; default: the connection's
    :param detect_duplicates: refuse what a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that new components are added to
    :param tag: a text that plug-ins find among their shared variables
    """

    def __init__(
        self,
        *,
        caller_object_id: str | None = None,
        detect_duplicates: bool | str = False,
        bypass_business_logic: str | None = None,
        bypass_steps: Sequence[str] | str = (),
        bypass_flows: bool | str = False,
        solution: str | None = None,
        tag: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.caller_object_id = caller_object_id
        self.detect_duplicates = detect_duplicates
        self.bypass_business_logic = bypass_business_logic
        self.bypass_steps = bypass_steps
        self.bypass_flows = bypass_flows
        self.solution = solution
        self.tag = tag

    def options(self) -> WriteOptions:
        """Return the options.

        :raises AirflowFailException: one of them is none
        """
        from airflow_provider_dynamics.dataverse import WriteOptions

        try:
            return WriteOptions(
                caller_object_id=self.caller_object_id or None,
                detect_duplicates=true("detect_duplicates", self.detect_duplicates),
                bypass_business_logic=self.bypass_business_logic or None,  # type: ignore[arg-type]  # checked there
                bypass_steps=names(self.bypass_steps),
                bypass_flows=true("bypass_flows", self.bypass_flows),
                solution=self.solution or None,
                tag=self.tag or None,
            )
        except ValueError as error:
            raise AirflowFailException(f"{error}.") from error


def row_key(row_id: Any, key: Any, *, named: tuple[str, str] = ("row_id", "key")) -> RowKey:
    """Return how a row is named: by its id, or by a dict of an alternate key's columns.

    :param named: what the two arguments are called
    :raises AirflowFailException: both are given, or neither is
    """
    if bool(row_id) == bool(key):
        raise AirflowFailException(
            f"{'Give only one of' if row_id else 'Give'} {named[0]} {'and' if row_id else 'or'} {named[1]}: the row's id, "
            "or a dict of an alternate key's columns and their values."
        )
    if row_id:
        return str(row_id)
    if not isinstance(key, Mapping):
        raise AirflowFailException(f'{named[1]} is {key!r}: give a dict such as {{"accountnumber": "A1"}}.')
    return key
