"""What the tasks that load have in common: their arguments, the life of one try, the summary and its check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import one_of, true, whole_number
from airflow_provider_dynamics.operators.writing import OPTIONS, WritingOperator
from airflow_provider_dynamics.transfers.transfer import seconds_throttled, storage_path

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.transfers.loads.adding import Added
    from airflow_provider_dynamics.transfers.loads.journal import Journal
    from airflow_provider_dynamics.transfers.loads.passes import Pass
    from airflow_provider_dynamics.transfers.loads.preparing import Prepared
    from airflow_provider_dynamics.transfers.loads.rejects import Limit, Rejects
    from airflow_provider_dynamics.transfers.loads.run import LoadRun, Sending
    from airflow_provider_dynamics.transfers.loads.settling import Tally

__all__ = ["LoadOperator", "run_name"]

COUNTS = ("rows", "written", "unchanged", "rejected")


class LoadOperator(WritingOperator):
    """What every load is told, whatever its rows come from.

    :param on_row_error: ``collect`` refused rows, or ``fail`` at the first
    :param rejects_path: NDJSON of refused rows; default: they are only counted
    :param rejects_conn_id: the connection of that storage, and of ``plan_path`` and ``undo_path``; default: the source's
    :param max_rejects: refused rows that are accepted, a count or a share such as ``"1%"``; with more the task fails
    :param dry_run: compare with Dynamics and say what would be written, without writing
    :param plan_path: NDJSON of what a dry run found, a line for each row that is not unchanged
    :param skip_unchanged: compare with Dynamics and write only what differs
    :param undo_path: a folder for the rows as they were, which ``DynamicsUndoOperator`` restores
    :param chunk_size: at most so many rows a request; default: automatic
    :param concurrency: at most so many requests at a time; default: automatic
    :param checkpoint_seconds: how often to note how far the load is, for a retry to go on from; None for never
    :param caller_object_id: the Entra object id of the user to write for; default: the connection's
    :param detect_duplicates: refuse rows that a duplicate detection rule matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: ``sync``, ``async`` or ``all``
    :param bypass_steps: ids of registered plug-in steps to leave out
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that new components are added to
    :param tag: a text that plug-ins find among their shared variables
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    load_fields: ClassVar[tuple[str, ...]] = (
        *WritingOperator.template_fields,
        "on_row_error",
        "rejects_path",
        "rejects_conn_id",
        "max_rejects",
        "dry_run",
        "plan_path",
        "skip_unchanged",
        "undo_path",
        *OPTIONS,
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        on_row_error: str = "collect",
        rejects_path: str | ObjectStoragePath | None = None,
        rejects_conn_id: str | None = None,
        max_rejects: int | str = 0,
        dry_run: bool = False,
        plan_path: str | ObjectStoragePath | None = None,
        skip_unchanged: bool = False,
        undo_path: str | ObjectStoragePath | None = None,
        chunk_size: int | None = None,
        concurrency: int | None = None,
        checkpoint_seconds: float | None = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_row_error = on_row_error
        self.rejects_path = rejects_path
        self.rejects_conn_id = rejects_conn_id
        self.max_rejects = max_rejects
        self.dry_run = dry_run  # type: ignore[assignment,method-assign]  # nobody calls Airflow's method of this name
        self.plan_path = plan_path
        self.skip_unchanged = skip_unchanged
        self.undo_path = undo_path
        self.chunk_size = chunk_size
        self.concurrency = concurrency
        self.checkpoint_seconds = checkpoint_seconds

    def check(self) -> tuple[Limit, Sending]:
        """Return the limit of refused rows and the way rows are sent.

        :raises AirflowFailException: an argument is none of what it may be; nothing has been asked for then
        """
        from airflow_provider_dynamics.transfers.loads.rejects import Limit
        from airflow_provider_dynamics.transfers.loads.run import Sending

        one_of("on_row_error", self.on_row_error, ("collect", "fail"))
        if self.plan_path and not true("dry_run", self.dry_run):
            raise AirflowFailException("plan_path needs dry_run=True: only a dry run plans.")
        return Limit.read(self.max_rejects), Sending(
            options=self.options(),
            chunk_size=whole_number("chunk_size", self.chunk_size),
            concurrency=whole_number("concurrency", self.concurrency),
            fail_at_once=self.on_row_error == "fail",
            dry_run=true("dry_run", self.dry_run),
        )

    def load(
        self,
        context: Context,
        client: Client,
        passes: Sequence[tuple[Prepared, Pass]],
        checked: tuple[Limit, Sending],
        path: str,
    ) -> dict[str, Any]:
        """Carry out the passes of what is prepared, and return the summary; `path` names all of it.

        :raises AirflowFailException: a row was refused and ``on_row_error`` is ``fail``, or more rows were refused than
            ``max_rejects``
        """
        from airflow_provider_dynamics.transfers.loads.rejects import Rejects
        from airflow_provider_dynamics.transfers.loads.run import LoadRun

        limit, sending = checked
        rejects = Rejects(self._place_of_rejects(path))
        with self._added(context, client, passes, sending) as added:
            writes, options = not sending.dry_run, sending.options
            steps = [
                prepared.step(
                    one,
                    added.stages(prepared, one, number),
                    writes=writes,
                    options=options,
                    coming=added.plan.coming if added.plan else None,
                )
                for number, (prepared, one) in enumerate(passes)
            ]
            journal = self._journal(context, client, passes, sending)
            first_try = context["ti"].try_number <= 1
            run = LoadRun(client, steps, rejects, journal, sending, first_try=first_try)
            added.note_deletions(passes)
            run.run()
        summary = self._summary(client, run, rejects, path, added)
        if not sending.dry_run:
            self.note_moves(run.tallies)
        if existed := sum(tally.existed for tally in run.tallies.values()):
            self.log.warning(
                "%s rows to create were there already, from an earlier try, request or load: they stay as they are and count "
                "as unchanged. operation='upsert' would bring them up to date.",
                f"{existed:,}",
            )
        self._judge(summary, limit, rejects)
        return summary

    def _place_of_rejects(self, source: str) -> ObjectStoragePath | None:
        if not self.rejects_path:
            return None
        from airflow_provider_dynamics.transfers.loads.sources import apart

        path = storage_path(self.rejects_path, self._conn_id())
        if not hasattr(self, "rows"):  # which stand nowhere
            apart(source, str(path))
        return path

    def _conn_id(self) -> str | None:
        """Return the connection of what is written beside the rows."""
        return self.rejects_conn_id or getattr(self, "source_conn_id", None) or None

    @contextmanager
    def _added(
        self,
        context: Context,
        client: Client,
        passes: Sequence[tuple[Prepared, Pass]],
        sending: Sending,
    ) -> Iterator[Added]:
        from airflow_provider_dynamics.transfers.loads.adding import Added
        from airflow_provider_dynamics.transfers.loads.coming import Coming
        from airflow_provider_dynamics.transfers.loads.plan import Plan
        from airflow_provider_dynamics.transfers.loads.undo import UndoFolder

        skip = true("skip_unchanged", self.skip_unchanged)
        if sending.dry_run:
            path = storage_path(self.plan_path, self._conn_id()) if self.plan_path else None
            keys = {key for prepared, _ in passes for lookup in prepared.lookups for key in lookup.keys}
            with Plan(path, Coming(keys)) as plan:
                yield Added(client, plan, skip_unchanged=skip)
            return
        undo = None
        if self.undo_path:
            folder = storage_path(self.undo_path, self._conn_id())
            undo = UndoFolder(folder, client.environment, run_name(context))
        yield Added(client, None, skip, undo, undo.attempt() if undo else 1)

    def _journal(
        self, context: Context, client: Client, passes: Sequence[tuple[Prepared, Pass]], sending: Sending
    ) -> Journal:
        from airflow_provider_dynamics.state.progress import Checkpoints, checkpoints
        from airflow_provider_dynamics.transfers.loads.journal import Journal, fingerprint_of

        fingerprint = fingerprint_of(
            client.environment,
            [(prepared.described(), one.number) for prepared, one in passes],
            [str(self.rejects_path), str(self.undo_path), bool(self.skip_unchanged), repr(sending.options)],
        )
        every = seconds(self.checkpoint_seconds)
        if every is None or sending.dry_run:
            return Journal(Checkpoints(None), fingerprint)
        return Journal(checkpoints(context), fingerprint, every=every)

    def note_moves(self, tallies: Mapping[str, Tally]) -> None:
        """Keep what was written, by load, for lineage."""

    def _summary(
        self, client: Client, run: LoadRun, rejects: Rejects, path: str, added: Added
    ) -> dict[str, Any]:
        tallies = run.tallies.values()
        counts = {name: sum(getattr(tally, name) for tally in tallies) for name in COUNTS}
        mode: dict[str, Any] = {"mode": "load"}
        if added.plan is not None:
            mode = {"mode": "plan", "plan_path": added.plan.written_to, **added.plan.counts}
        return {
            **mode,
            **counts,
            "path": path,
            "rejects_path": rejects.written_to,
            "resumed_rows": run.resumed_rows,
            "requests": client.requests_sent,
            "throttled_seconds": seconds_throttled(client),
        }

    def _judge(self, summary: Mapping[str, Any], limit: Limit, rejects: Rejects) -> None:
        """Say what came of it, and fail if too many rows were refused."""
        done = ("Planned", "to write") if summary["mode"] == "plan" else ("Loaded", "written")
        rows, *others = (f"{summary[name]:,}" for name in COUNTS)
        self.log.info(
            "%s %s rows: %s %s, %s unchanged, %s refused.", done[0], rows, others[0], done[1], *others[1:]
        )
        if not limit.allows(summary["rejected"], summary["rows"]):
            raise AirflowFailException(_too_many(summary, limit, rejects))


def run_name(context: Context) -> str:
    """Return what tells a task's run from every other, in words: it stays the same when the task is tried again."""
    task = context["ti"]
    index = "" if task.map_index in {None, -1} else f"[{task.map_index}]"
    return f"{task.dag_id}.{task.task_id}{index} {task.run_id}"


def seconds(value: float | str | None) -> float | None:
    """Return checkpoint_seconds as a number.

    :raises AirflowFailException: it is none
    """
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise AirflowFailException(
            f"checkpoint_seconds is {value!r}: give a number of seconds, or None."
        ) from error


def _too_many(summary: Mapping[str, Any], limit: Limit, rejects: Rejects) -> str:
    where = (
        f"All refused rows and their reasons are in {rejects.written_to}: correct them and load that file with "
        "file_format='rejects'."
        if rejects.written_to
        else "Set rejects_path to get all refused rows and their reasons as a file."
    )
    rest = "nothing was written" if summary["mode"] == "plan" else "the other rows are in Dynamics"
    return (
        f"{summary['rejected']:,} of {summary['rows']:,} rows of {summary['path']} were refused, more than max_rejects "
        f"({limit}) accepts; {rest}. First reasons: {rejects.first()}. {where}"
    )
