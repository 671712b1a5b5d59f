"""Out of a load again: its pre-images are written back, the last ones first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators.base import one_of
from airflow_provider_dynamics.operators.writing import OPTIONS, WritingOperator
from airflow_provider_dynamics.transfers.transfer import effort, seconds_throttled, storage_path

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["DynamicsUndoOperator"]

CHANGED = ("reject", "overwrite")


class DynamicsUndoOperator(WritingOperator):
    """Put back what a load has changed, from the pre-images it stored under its ``undo_path``.

    Rows that it changed get their former values in the columns it changed, rows that it created are deleted, rows that
    it deleted are created again with their id. Undoing may be repeated: what is as it was already counts as unchanged.
    Returns ``{"rows", "restored", "deleted", "recreated", "unchanged", "rejected", "path", "rejects_path",
    "throttled_seconds"}``.

    Not put back: who created and changed a row and when, rows that Dynamics deleted along with another, files.

    :param undo_path: the folder that the load was given as ``undo_path``
    :param undo_conn_id: the connection of that storage, where it needs one
    :param if_changed: of a row that somebody has changed since the load: ``reject`` leaves it, ``overwrite`` restores it
    :param rejects_path: NDJSON of rows that could not be put back, with the reason
    :param rejects_conn_id: the connection of that storage; default: ``undo_conn_id``
    :param max_rejects: such rows that are accepted, a count or a share such as ``"1%"``; with more the task fails
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *WritingOperator.template_fields,
        "undo_path",
        "undo_conn_id",
        "if_changed",
        "rejects_path",
        "rejects_conn_id",
        "max_rejects",
        *OPTIONS,
    )

    def __init__(
        self,
        *,
        undo_path: str | ObjectStoragePath,
        undo_conn_id: str | None = None,
        if_changed: str = "reject",
        rejects_path: str | ObjectStoragePath | None = None,
        rejects_conn_id: str | None = None,
        max_rejects: int | str = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.undo_path = undo_path
        self.undo_conn_id = undo_conn_id
        self.if_changed = if_changed
        self.rejects_path = rejects_path
        self.rejects_conn_id = rejects_conn_id
        self.max_rejects = max_rejects

    def execute(self, context: Context) -> dict[str, Any]:
        """Undo the load.

        :raises AirflowFailException: there is nothing to undo, it was done in another environment, or more rows than ``max_rejects`` could not be put back
        """
        from airflow_provider_dynamics.transfers.loads.rejects import Limit, Rejects
        from airflow_provider_dynamics.transfers.loads.restoring import Restoring
        from airflow_provider_dynamics.transfers.loads.undo import UndoFolder

        one_of("if_changed", self.if_changed, CHANGED)
        limit, options = Limit.read(self.max_rejects), self.options()
        path = storage_path(self.undo_path, self.undo_conn_id)
        rejects = Rejects(self._rejects_file())
        with self.client() as client:
            undoing = Restoring(client, rejects, options, overwrite=self.if_changed == "overwrite")
            try:
                undoing.run(UndoFolder(path, client.environment).passes())
            except BaseException:
                rejects.abandon()
                raise
            rejects.finish()
        summary = {
            **undoing.summary(),
            "path": str(path),
            "rejects_path": rejects.written_to,
            "throttled_seconds": seconds_throttled(client),
        }
        self.log.info("%s; %s.", undoing.sentence(), effort(client))
        if not limit.allows(rejects.count, summary["rows"]):
            raise AirflowFailException(
                f"{rejects.count:,} of {summary['rows']:,} rows could not be put back, more than max_rejects ({limit}) accepts. "
                f"First reasons: {rejects.first()}."
            )
        return summary

    def _rejects_file(self) -> ObjectStoragePath | None:
        if not self.rejects_path:
            return None
        return storage_path(self.rejects_path, self.rejects_conn_id or self.undo_conn_id)
