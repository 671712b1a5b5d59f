"""Importing a solution as a task: checked first, watched on its way, and its failures told in words.

https://learn.microsoft.com/power-platform/alm/solution-async
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators.base import true
from airflow_provider_dynamics.operators.solutions import ReachingOperator, solution_place

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Job, Started
    from airflow_provider_dynamics.dataverse.administration.solution_files import Manifest
    from airflow_provider_dynamics.dataverse.administration.solutions import Solution
    from airflow_provider_dynamics.triggers import DynamicsJobTrigger

__all__ = ["DynamicsImportSolutionOperator"]


class DynamicsImportSolutionOperator(ReachingOperator):
    """Import a solution from a file, after the service has checked it.

    What is missing in the environment, or wrong with the solution, ends the task with words that name it, before
    anything is changed. With ``holding`` the new version waits beside the installed one until
    ``DynamicsUpgradeSolutionOperator`` puts it in its place. The log tells how far the import has come. Importing
    needs *Allow metadata changes* in the connection.

    Returns ``{"job_id", "name", "status", "solution", "version", "managed", "holding", "import_job_id",
    "warnings"}``; ``status`` is ``unchanged`` where ``skip_installed`` found nothing to do, or this version is held already.

    :param source_path: the zip, on any storage that Airflow's object storage knows
    :param source_conn_id: the storage's connection
    :param holding: keep it beside the installed version, to upgrade to it later; the first version is imported as it is
    :param skip_installed: import nothing where this version is installed already
    :param stage: let the service check it first; False saves an upload
    :param overwrite_unmanaged: replace the environment's own changes of the solution's components
    :param publish_workflows: activate the solution's processes after the import
    :param environment_variables: values of environment variables, by schema name
    :param connection_references: ids of connections, by the logical names of the references that are to use them
    :param deferrable: wait in the triggerer; default: Airflow's ``[operators] default_deferrable``
    :param poll_interval: seconds between looks at the job
    :param cancel_on_kill: cancel the job when the task is stopped; the service may not let an import be cancelled
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *ReachingOperator.template_fields,
        *("source_path", "source_conn_id", "holding", "skip_installed", "stage", "overwrite_unmanaged"),
        *("publish_workflows", "environment_variables", "connection_references"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"connection_references": "json"}
    starts_twice_safely = (
        True  # the same file leads to the same solution, and what is held is looked at first
    )

    def __init__(
        self,
        *,
        source_path: str | ObjectStoragePath,
        source_conn_id: str | None = None,
        holding: bool | str = False,
        skip_installed: bool | str = False,
        stage: bool | str = True,
        overwrite_unmanaged: bool | str = False,
        publish_workflows: bool | str = True,
        environment_variables: Mapping[str, Any] | None = None,
        connection_references: Mapping[str, str] | None = None,
        poll_interval: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poll_interval=poll_interval, **kwargs)
        self.source_path = source_path
        self.source_conn_id = source_conn_id
        self.holding = holding
        self.skip_installed = skip_installed
        self.stage = stage
        self.overwrite_unmanaged = overwrite_unmanaged
        self.publish_workflows = publish_workflows
        self.environment_variables = environment_variables
        self.connection_references = connection_references
        self._told_progress: float | None = None

    def arguments(self) -> Sequence[Any]:
        told = (self.source_path, self.holding, self.overwrite_unmanaged, self.publish_workflows)
        return (*map(str, told), self.environment_variables, self.connection_references)

    def without_job(self, client: Client, context: Context) -> dict[str, Any] | None:
        client.solutions.check_allowed("importing a solution")
        skips, holding = true("skip_installed", self.skip_installed), true("holding", self.holding)
        if not skips and not holding:
            return None
        _, manifest = self._read()
        held = self._held(client, manifest) if holding else False
        if not held and not (skips and _is_there(client.solutions.get(manifest.name), manifest)):
            return None
        self.log.info("%s %s is there already.", manifest.name, manifest.version)
        return {"job_id": None, "status": "unchanged", **_described(manifest, holding=held)}

    def _held(self, client: Client, manifest: Manifest) -> bool:
        """Say whether this version waits already; the service lets no second one wait beside it."""
        from airflow_provider_dynamics.dataverse.administration.solutions import HOLDING

        found = client.solutions.get(f"{manifest.name}{HOLDING}")
        if found is not None and found.version != manifest.version:
            raise AirflowFailException(
                f"Version {found.version} of {manifest.name} waits already, so {manifest.version} cannot: upgrade to it, or "
                f"uninstall {found.name}, first."
            )
        return found is not None

    def start(self, client: Client, context: Context) -> Started:
        from airflow_provider_dynamics.dataverse import Started
        from airflow_provider_dynamics.dataverse.environment_variables import component_parameters

        file, manifest = self._read()
        parameters = component_parameters(
            client, manifest, self.environment_variables or {}, self.connection_references or {}
        )
        holding = self._holds(client, manifest)
        staged = None
        if true("stage", self.stage):
            staged = client.solutions.stage(file, f"{manifest.name} {manifest.version}")
            for warning in staged.warnings:
                self.log.warning("%s", warning)
        started = client.solutions.start_import(
            None if staged else file,
            staged=staged,
            holding=holding,
            overwrite=true("overwrite_unmanaged", self.overwrite_unmanaged),
            publish_workflows=true("publish_workflows", self.publish_workflows),
            parameters=parameters,
        )
        return Started(
            started.job_id, started.kind, {**started.answer, **_described(manifest, holding=holding)}
        )

    def finished(self, client: Client, job: Job) -> dict[str, Any]:
        told = {name: value for name, value in self._answer.items() if name != "ImportJobKey"}
        results = client.solutions.results(self._import_job_id) if self._import_job_id else None
        warnings = [str(one) for one in results.warnings] if results else []
        for warning in warnings:
            self.log.warning("%s", warning)
        self.log.info("Imported %s %s.", told.get("solution"), told.get("version"))
        result = {"job_id": job.id, "name": job.name, "status": job.status, **told}
        return {**result, "import_job_id": self._import_job_id or None, "warnings": warnings}

    def failed(self, client: Client, job: Job) -> None:
        """Raise what the import's log says, in words; the job's own message holds a document that nobody can read."""
        from airflow_provider_dynamics.dataverse.administration.import_results import refusal_in
        from airflow_provider_dynamics.dataverse.errors import DataverseError

        results = None
        try:
            results = client.solutions.results(self._import_job_id) if self._import_job_id else None
        except DataverseError as error:
            self.log.warning("The import's log cannot be read: %s", error)
        refusal = results.refusal(str(job)) if results and job.status == "failed" else None
        if refusal is None and job.status == "failed":
            refusal = refusal_in(job.message, f"The solution {self._solution()}", job.code)
        if refusal is not None:
            raise refusal
        super().failed(client, job)

    def watch(self, client: Client) -> None:
        from airflow_provider_dynamics.triggers.imports import worth_telling

        progress = client.solutions.progress(self._import_job_id) if self._import_job_id else None
        if progress is not None and worth_telling(progress, self._told_progress):
            self._told_progress = progress
            self.log.info("The import of %s: %.0f %%.", self._solution(), progress)

    def trigger(self, job: Job) -> DynamicsJobTrigger:
        from airflow_provider_dynamics.triggers import DynamicsImportTrigger

        return DynamicsImportTrigger(
            **self.trigger_arguments(job), import_job_id=self._import_job_id, solution=self._solution()
        )

    @property
    def _import_job_id(self) -> str:
        return str(self._answer.get("ImportJobKey") or "")

    def _solution(self) -> str:
        return f"{self._answer.get('solution', 'the solution')} {self._answer.get('version', '')}".strip()

    def _holds(self, client: Client, manifest: Manifest) -> bool:
        """Say whether it is to wait beside an installed version; the first one has none to wait beside."""
        if not true("holding", self.holding):
            return False
        if client.solutions.get(manifest.name) is not None:
            return True
        self.log.info("%s is not installed yet: it is imported as it is, and not held.", manifest.name)
        return False

    def _read(self) -> tuple[bytes, Manifest]:
        from airflow_provider_dynamics.dataverse.administration.solution_files import manifest_of

        source = solution_place("source_path", self.source_path, self.source_conn_id)
        try:
            with source.open("rb") as file:
                zipped = file.read()
        except (FileNotFoundError, IsADirectoryError) as error:
            raise AirflowFailException(f"There is no file {source.label}.") from error
        return zipped, manifest_of(zipped, source.label)


def _is_there(found: Solution | None, manifest: Manifest) -> bool:
    return found is not None and found.version == manifest.version


def _described(manifest: Manifest, *, holding: bool) -> dict[str, Any]:
    told = {"solution": manifest.name, "version": manifest.version, "managed": manifest.managed}
    return {**told, "holding": holding}
