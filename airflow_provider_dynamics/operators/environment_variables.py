"""What a solution is told about its environment, as tasks: an environment variable's value, a reference's connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.operators.base import DynamicsOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["DynamicsSetConnectionReferenceOperator", "DynamicsSetEnvironmentVariableOperator"]


class DynamicsSetEnvironmentVariableOperator(DynamicsOperator):
    """Give an environment variable of a solution its value in this environment.

    Returns ``{"variable", "status"}``; the status is ``changed`` or ``unchanged``. The value is never logged.

    :param variable: the variable's schema name, such as ``new_ApiUrl``
    :param value: its value; None takes it away, so that the default of the solution counts
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*DynamicsOperator.template_fields, "variable", "value")

    def __init__(self, *, variable: str, value: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.variable = variable
        self.value = value

    def execute(self, context: Context) -> dict[str, Any]:
        """Set the value.

        :raises AirflowFailException: there is no such variable, or the value is none of its type
        """
        from airflow_provider_dynamics.dataverse.environment_variables import set_environment_variable

        with self.client() as client:
            changed = set_environment_variable(client, self.variable, self.value)
        status = "changed" if changed else "unchanged"
        self.log.info("The environment variable %s: %s.", self.variable, status)
        return {"variable": self.variable, "status": status}


class DynamicsSetConnectionReferenceOperator(DynamicsOperator):
    """Let a connection reference of a solution use a connection of this environment.

    Flows that use the reference are not switched on by that. Returns ``{"reference", "status"}``; the status is
    ``changed`` or ``unchanged``.

    :param reference: the reference's logical name, such as ``new_sharedsql_1a2b3``
    :param connection_id: the connection's id, as its address in Power Apps shows it; whoever signs in here must be
        allowed to use it
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*DynamicsOperator.template_fields, "reference", "connection_id")

    def __init__(self, *, reference: str, connection_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reference = reference
        self.connection_id = connection_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Set the connection.

        :raises AirflowFailException: there is no such reference, or the connection may not be used
        """
        from airflow_provider_dynamics.dataverse.environment_variables import set_connection_reference

        with self.client() as client:
            changed = set_connection_reference(client, self.reference, self.connection_id)
        status = "changed" if changed else "unchanged"
        self.log.info("The connection reference %s: %s.", self.reference, status)
        return {"reference": self.reference, "status": status}
