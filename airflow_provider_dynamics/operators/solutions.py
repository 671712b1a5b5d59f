"""Solutions as tasks: exported to a file, upgraded, uninstalled and published, each by a job of the service.

https://learn.microsoft.com/power-platform/alm/solution-api
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_dynamics.operators.base import names, true
from airflow_provider_dynamics.operators.job_waiting import JobWaiter

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Job, Started
    from airflow_provider_dynamics.formats.storage import Place

__all__ = [
    "DynamicsExportSolutionOperator",
    "DynamicsPublishOperator",
    "DynamicsUninstallSolutionOperator",
    "DynamicsUpgradeSolutionOperator",
    "ReachingOperator",
    "solution_place",
]


class ReachingOperator(JobWaiter):
    """What succeeds, too, where its job fails because another one has done the work: one that a try left behind as it died."""

    def execute(self, context: Context) -> dict[str, Any]:
        try:
            return super().execute(context)
        except AirflowFailException as error:
            return self._done_by_another(context, error)

    def execute_complete(self, context: Context, *given: Any, **told: Any) -> dict[str, Any]:
        try:
            return super().execute_complete(context, *given, **told)
        except AirflowFailException as error:
            return self._done_by_another(context, error)

    def _done_by_another(self, context: Context, error: AirflowFailException) -> dict[str, Any]:
        try:
            with self.client() as client:
                result = self.without_job(client, context)
        except (AirflowException, OSError):  # nobody can say
            result = None
        if result is None:
            raise error
        return result


class SolutionOperator(JobWaiter):
    """What works on one solution, known by its unique name. Beginning again does no harm: what is there is looked at first.

    :param solution_name: the solution's unique name, not the one it is shown by
    """

    starts_twice_safely = True

    def __init__(self, *, solution_name: str, poll_interval: float = 10.0, **kwargs: Any) -> None:
        super().__init__(poll_interval=poll_interval, **kwargs)
        self.solution_name = solution_name

    @abstractmethod
    def start(self, client: Client, context: Context) -> Started:
        """Start the job."""

    def arguments(self) -> Sequence[Any]:
        return (self.solution_name,)

    def _name(self) -> str:
        name = str(self.solution_name or "").strip()
        if not name:
            raise AirflowFailException("solution_name is not set: give the solution's unique name.")
        return name

    def _unchanged(self, **told: Any) -> dict[str, Any]:
        return {"job_id": None, "status": "unchanged", **told}


class DynamicsExportSolutionOperator(SolutionOperator):
    """Export a solution to a file: a zip, which gets its name when it is whole.

    Returns ``{"job_id", "name", "status", "solution", "version", "managed", "path", "bytes"}``.

    :param solution_name: the solution's unique name
    :param destination_path: the file, on any storage that Airflow's object storage knows
    :param destination_conn_id: the storage's connection
    :param managed: export it as managed, to be installed elsewhere; else as unmanaged, to be worked on
    :param if_exists: ``replace`` a file that is there, or ``fail``
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job
    :param cancel_on_kill: cancel the job when the task is stopped
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *JobWaiter.template_fields,
        *("solution_name", "destination_path", "destination_conn_id", "managed", "if_exists"),
    )

    def __init__(
        self,
        *,
        solution_name: str,
        destination_path: str | ObjectStoragePath,
        destination_conn_id: str | None = None,
        managed: bool | str = False,
        if_exists: str = "replace",
        **kwargs: Any,
    ) -> None:
        super().__init__(solution_name=solution_name, **kwargs)
        self.destination_path = destination_path
        self.destination_conn_id = destination_conn_id
        self.managed = managed
        self.if_exists = if_exists

    def arguments(self) -> Sequence[Any]:
        return (self.solution_name, str(self.managed))

    def without_job(self, client: Client, context: Context) -> None:
        from airflow_provider_dynamics.formats.storage import check_if_exists

        check_if_exists(self._target(), self.if_exists)

    def start(self, client: Client, context: Context) -> Started:
        from airflow_provider_dynamics.dataverse import Started

        name, managed = self._name(), true("managed", self.managed)
        found = client.solutions.get(name)
        if found is None:
            raise _not_installed(name, client.environment)
        started = client.solutions.start_export(name, managed=managed)
        told = {"solution": found.name, "version": found.version, "managed": managed}
        return Started(started.job_id, started.kind, {**started.answer, **told})

    def finished(self, client: Client, job: Job) -> dict[str, Any]:
        """Fetch what the job has made and write it."""
        from airflow_provider_dynamics.dataverse.administration.solution_files import manifest_of
        from airflow_provider_dynamics.formats.storage import replacing

        zipped = client.solutions.download(self._answer["ExportJobId"])
        found = manifest_of(zipped, "What the export has made")
        target = self._target()
        with replacing(target, self.if_exists) as file:
            file.write(zipped)
        self.log.info(
            "Exported %s %s to %s, %s bytes.", found.name, found.version, target.label, f"{len(zipped):,}"
        )
        told = {"solution": found.name, "version": found.version, "managed": found.managed}
        result = {"job_id": job.id, "name": job.name, "status": job.status, **told}
        return {**result, "path": target.label, "bytes": len(zipped)}

    def _target(self) -> Place:
        return solution_place("destination_path", self.destination_path, self.destination_conn_id)


class DynamicsUpgradeSolutionOperator(ReachingOperator, SolutionOperator):
    """Put the version that was imported with ``holding`` in place of the installed one, and delete what it no longer has.

    Components that the new version has no more are deleted, tables with their rows among them. Needs *Allow metadata
    changes* in the connection. Returns ``{"job_id", "name", "status", "solution", "version"}``; ``status`` is
    ``unchanged`` where ``version`` is installed and nothing is held.

    :param solution_name: the solution's unique name, without ``_Upgrade``
    :param version: the version that is to be installed in the end, which tells a second run that all is done
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job
    :param cancel_on_kill: cancel the job when the task is stopped; the service may not let an upgrade be cancelled
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*JobWaiter.template_fields, "solution_name", "version")

    def __init__(self, *, solution_name: str, version: str | None = None, **kwargs: Any) -> None:
        super().__init__(solution_name=solution_name, **kwargs)
        self.version = version

    def without_job(self, client: Client, context: Context) -> dict[str, Any] | None:
        from airflow_provider_dynamics.dataverse.administration.solutions import HOLDING

        client.solutions.check_allowed("upgrading a solution")
        name = self._name()
        held, installed = client.solutions.get(f"{name}{HOLDING}"), client.solutions.get(name)
        if held is not None:
            if self.version and held.version != self.version:
                raise AirflowFailException(
                    f"The version of {name} that waits to be upgraded to is {held.version}, not {self.version}: import that "
                    "one with holding=True first."
                )
            return None
        if installed is not None and (installed.version == self.version or self._again(context)):
            self.log.info("%s %s is installed, and nothing waits to replace it.", name, installed.version)
            return self._unchanged(solution=name, version=installed.version)
        there = f"; {installed.version} is installed" if installed else ""
        raise AirflowFailException(
            f"No version of {name} waits to be upgraded to{there}: import one with holding=True first."
        )

    def start(self, client: Client, context: Context) -> Started:
        return client.solutions.start_upgrade(self._name())

    def finished(self, client: Client, job: Job) -> dict[str, Any]:
        found = client.solutions.get(self._name())
        version = found.version if found else None
        self.log.info("%s is at version %s now.", self.solution_name, version)
        told = {"solution": self.solution_name, "version": version}
        return {"job_id": job.id, "name": job.name, "status": job.status, **told}

    def _again(self, context: Context) -> bool:
        """Say whether an earlier try may have done it, when nobody has named the version."""
        return not self.version and context["ti"].try_number > 1


class DynamicsUninstallSolutionOperator(ReachingOperator, SolutionOperator):
    """Uninstall a solution. A managed one takes its components with it: its tables, and all rows in them.

    Needs *Allow metadata changes* in the connection. What needs the solution's components, and so keeps it from going,
    is named. Returns ``{"job_id", "name", "status", "solution", "version"}``; ``status`` is ``unchanged`` where it is
    not installed.

    :param solution_name: the solution's unique name
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job
    :param cancel_on_kill: cancel the job when the task is stopped; the service may not let it be cancelled
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*JobWaiter.template_fields, "solution_name")

    def without_job(self, client: Client, context: Context) -> dict[str, Any] | None:
        client.solutions.check_allowed("uninstalling a solution")
        if client.solutions.get(self._name()) is not None:
            return None
        self.log.info("%s is not installed.", self.solution_name)
        return self._unchanged(solution=self.solution_name, version=None)

    def start(self, client: Client, context: Context) -> Started:
        from airflow_provider_dynamics.dataverse import Started

        found = client.solutions.get(self._name())
        started = client.solutions.start_uninstall(self._name())
        told = {"solution": self.solution_name, "version": found.version if found else None}
        return Started(started.job_id, started.kind, {**started.answer, **told})

    def left_by(self, client: Client, job: Job) -> str:
        from airflow_provider_dynamics.dataverse.errors import DataverseError

        try:
            blocking = client.solutions.blocking(self._name())
        except DataverseError as error:
            self.log.info("What needs the solution cannot be told: %s", error)
            return ""
        if not blocking:
            return ""
        more = f"; and {len(blocking) - 4} more" if len(blocking) > 4 else ""
        return f"What needs it has to go first: {'; '.join(blocking[:4])}{more}"


class DynamicsPublishOperator(JobWaiter):
    """Publish changes that are not published yet: all of them by a job, or those of some tables and choices at once.

    Returns ``{"job_id", "name", "status"}``, and without a job ``{"job_id": None, "status": "published", …}``.

    :param tables: logical names of the tables to publish; with no ``choices`` either, everything is published
    :param choices: names of the global choices to publish
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job
    :param cancel_on_kill: cancel the job when the task is stopped
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*JobWaiter.template_fields, "tables", "choices")
    starts_twice_safely = True

    def __init__(
        self,
        *,
        tables: Sequence[str] | str = (),
        choices: Sequence[str] | str = (),
        poll_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poll_interval=poll_interval, **kwargs)
        self.tables = tables
        self.choices = choices

    def arguments(self) -> Sequence[Any]:
        return ("everything",)

    def without_job(self, client: Client, context: Context) -> dict[str, Any] | None:
        tables, choices = names(self.tables), names(self.choices)
        if not tables and not choices:
            return None
        client.solutions.publish(tables, choices)
        self.log.info("Published %s.", ", ".join((*tables, *choices)))
        return {"job_id": None, "status": "published", "tables": list(tables), "choices": list(choices)}

    def start(self, client: Client, context: Context) -> Started:
        return client.solutions.start_publish()


def solution_place(argument: str, path: str | ObjectStoragePath, conn_id: str | None) -> Place:
    """Return where a solution's file is or is to be.

    :raises AirflowFailException: nobody has said where
    """
    from airflow_provider_dynamics.formats.storage import place

    if not str(path or "").strip():
        raise AirflowFailException(f"{argument} is not set: name the solution's file.")
    if isinstance(path, ObjectStoragePath) and not conn_id:
        return place(path)
    return place(ObjectStoragePath(str(path), conn_id=conn_id or None))


def _not_installed(name: str, environment: str) -> AirflowFailException:
    return AirflowFailException(
        f"{environment} has no solution {name}: give its unique name, not the one it is shown by."
    )
