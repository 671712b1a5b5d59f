"""Alternate keys as a task, which ends when the key can be used.

https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.operators.base import names
from airflow_provider_dynamics.operators.customizing import said_plainly, solution_options
from airflow_provider_dynamics.operators.job_waiting import JobWaiter

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Job, Started
    from airflow_provider_dynamics.dataverse.administration.definitions import NewKey

__all__ = ["DynamicsCreateKeyOperator"]


class DynamicsCreateKeyOperator(JobWaiter):
    """Create an alternate key and wait until its index is built: before that nobody can use it.

    A key whose index has failed is begun anew. Rows that have the same values in its columns let it fail again, and are
    then named by the service. Returns ``{"job_id", "name", "status", "table", "key", "columns"}``; the status is
    ``unchanged`` where it is there and ready.

    :param table: the table's logical name
    :param key: the key's name with its prefix, such as ``new_Number``
    :param columns: logical names of its columns
    :param display_name: what it is called
    :param solution: the unique name of a solution that it is added to
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the index
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *JobWaiter.template_fields,
        *("table", "key", "columns", "display_name", "solution"),
    )
    starts_twice_safely = True

    def __init__(
        self,
        *,
        table: str,
        key: str,
        columns: Sequence[str] | str,
        display_name: str | None = None,
        solution: str | None = None,
        poll_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poll_interval=poll_interval, cancel_on_kill=False, **kwargs)
        self.table = table
        self.key = key
        self.columns = columns
        self.display_name = display_name
        self.solution = solution

    def arguments(self) -> Sequence[Any]:
        return (self.table, self.key, names(self.columns))

    def without_job(self, client: Client, context: Context) -> dict[str, Any] | None:
        with said_plainly():
            wanted = self._wanted()
        self.note_table(self.table)
        client.schema.create_key(self.table, wanted, options=solution_options(self.solution))
        found = client.schema.key(self.table, wanted.logical_name)
        if found is None or found.status != "Active":
            return None
        self.log.info("The key %s of %s is ready.", found.name, self.table)
        return {"job_id": None, "status": "unchanged", **self._described(wanted)}

    def start(self, client: Client, context: Context) -> Started:
        from airflow_provider_dynamics.dataverse import Started
        from airflow_provider_dynamics.dataverse.administration.job import key_job

        wanted = self._wanted()
        return Started(key_job(self.table, wanted.logical_name), "key", self._described(wanted))

    def finished(self, client: Client, job: Job) -> dict[str, Any]:
        return {"job_id": None, "name": job.name, "status": "created", **self._answer}

    def _wanted(self) -> NewKey:
        from airflow_provider_dynamics.dataverse.administration.definitions import NewKey

        return NewKey(self.key, names(self.columns), self.display_name)

    def _described(self, wanted: NewKey) -> dict[str, Any]:
        return {"table": self.table, "key": wanted.logical_name, "columns": list(wanted.columns)}
