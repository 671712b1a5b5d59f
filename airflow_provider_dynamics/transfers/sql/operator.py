"""The operator that keeps a table of a database equal to a table of Dynamics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, names, one_of, whole_number
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.transfers.transfer import Progress, effort, rows_about, seconds_throttled

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Condition
    from airflow_provider_dynamics.dataverse.lanes.lanes import LaneRead
    from airflow_provider_dynamics.dataverse.protocol.pages import Page
    from airflow_provider_dynamics.formats import Field
    from airflow_provider_dynamics.transfers.sql.database import Database
    from airflow_provider_dynamics.transfers.sql.following import Job, Reading, Run

__all__ = ["DynamicsToSqlOperator"]

MEANS: Mapping[str, Literal["auto", "delta", "window"]] = {
    "changes": "auto",
    "delta": "delta",
    "window": "window",
}
MODES = (*MEANS, "full")


class DynamicsToSqlOperator(DynamicsOperator):
    """Keep a table of a database equal to a table of Dynamics: make it, bring it up to date, delete what is gone.

    The first run makes the table from metadata and writes every row, later ones what changed. Rows, deletions and
    the place reached, a row of ``dynamics_cursors`` in the same database, are written in one transaction: a run
    that is killed leaves the table as it was, and one that is repeated, cleared or late goes on from where the
    table is. If the place is lost, every row is read, and rows that are gone from Dynamics are deleted.

    Returns ``{"rows": …, "upserts": …, "deleted": …, "sql_table": …, "mode": …, "reason": …, "columns_added": …,
    "columns_removed": …, "throttled_seconds": …}``: rows read, rows of the table that are new or changed, and rows
    deleted from it. ``mode`` is ``full``, ``delta``, ``window`` or ``reconcile``, and ``reason`` says why
    a place was given up, or is empty.

    :param table: the table's logical name, such as ``account``
    :param sql_conn_id: a connection of any database that Airflow's common.sql serves, such as ``postgres_default``
    :param select: logical names of the columns; empty for all. The row id is always there, and the table's key
    :param filter: OData ``$filter`` text or a condition; rows that it leaves out are deleted from the table. Change tracking
        takes none: where the table has it, set mode ``window`` or ``full``
    :param sql_table: the table's name in the database; default: the name it has in Dynamics
    :param schema: the schema it is in; default: the connection's own
    :param mode: ``changes``: follow them from run to run, by change tracking (``delta``) where the table has it, else by a
        window of version numbers (``window``); those two words insist on one; ``full``: read every row each time
    :param detect_deletes: where the table keeps no track of changes: whether to read all row ids, to find what is gone
    :param labels: also write the labels of choices and the names of lookups, in columns of their own
    :param on_schema_change: what to do when columns appear, vanish or change: ``evolve`` the table, ``fail``, or
        ``ignore`` new ones. A column that vanished stays in the table
    :param lanes: at most so many readers at a time, for mode ``full``; default: as many as the service recommends
    :param page_size: at most so many rows a request; default: as many as the service gives
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        "table",
        "select",
        "filter",
        "sql_conn_id",
        "sql_table",
        "schema",
        "mode",
        "on_schema_change",
        "lanes",
        "page_size",
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        table: str,
        sql_conn_id: str,
        select: Sequence[str] = (),
        filter: str | Condition | None = None,
        sql_table: str | None = None,
        schema: str | None = None,
        mode: str = "changes",
        detect_deletes: bool = True,
        labels: bool = False,
        on_schema_change: str = "evolve",
        lanes: int | str | None = None,
        page_size: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.select = select
        self.filter = filter
        self.sql_table = sql_table
        self.schema = schema
        self.mode = mode
        self.detect_deletes = detect_deletes
        self.labels = labels
        self.on_schema_change = on_schema_change
        self.lanes = lanes
        self.page_size = page_size

    def execute(self, context: Context) -> dict[str, Any]:
        """Bring the table up to date.

        :raises AirflowFailException: the table, a column, the connection or a right is wrong, or columns have changed and
            may not; the table is as it was
        :raises DynamicsRetryableError: Dynamics or the database has a passing problem; the table is as it was
        """
        from airflow_provider_dynamics.retry import airflow_errors
        from airflow_provider_dynamics.transfers.sql.database import Database

        self._check()
        with airflow_errors():
            database = Database(self.sql_conn_id)
            return database.attempt(lambda: self._run(database, str(context.get("run_id") or "")))

    def _check(self) -> None:
        from airflow_provider_dynamics.formats.drift import POLICIES

        one_of("mode", self.mode, MODES)
        one_of("on_schema_change", self.on_schema_change, POLICIES)
        if "." in self._sql_table:
            schema, _, name = self._sql_table.rpartition(".")
            raise AirflowFailException(
                f"sql_table is {self._sql_table!r}: give schema={schema!r} and sql_table={name!r}."
            )

    @property
    def _sql_table(self) -> str:
        return self.sql_table or self.table

    def _run(self, database: Database, run_id: str) -> dict[str, Any]:
        from airflow_provider_dynamics.lineage import read, sql_place
        from airflow_provider_dynamics.transfers.sql.following import follow

        with self.client() as client, database.connection() as connection:
            with Progress(self.log, f"Read %d rows of {self.table}", client) as progress:
                job = self._job(client, run_id, progress)
                ran = follow(connection, job)
            if ran is None:
                raise DynamicsRetryableError(
                    f"Other runs have written {job.target} each time this one had read it: let one run follow another "
                    "(max_active_runs=1). The table is as they left it."
                )
            self._tell(job, ran, client)
            schema = job.target.schema or connection.dialect.default_schema_name
            place = sql_place(connection.engine.url, schema, job.target.name)
            rows = ran.applied.upserts
            fields = _as_named(ran.layout.read, connection.dialect.max_identifier_length)
            self.moved = read(client.environment, self.table, fields, place, rows=rows)
            return self._summary(job, ran, client)

    def _job(self, client: Client, run_id: str, progress: Progress) -> Job:
        from airflow_provider_dynamics.transfers.sql.following import Job, Source
        from airflow_provider_dynamics.transfers.sql.target import Target

        table = client.table(self.table)
        source = Source(
            _without_scheme(client.environment),
            self.table,
            self._fields(client),
            lambda since: self._reading(client, since, progress),
        )
        target = Target(self._sql_table, self.schema or None, table.primary_id)

        def reached(rows: int, pages: int) -> None:
            progress.reached(rows, pages=pages)

        return Job(source, target, self.on_schema_change, run_id, reached, self.log.warning)

    def _fields(self, client: Client) -> tuple[Field, ...]:
        from airflow_provider_dynamics.dataverse.queries.query import Query
        from airflow_provider_dynamics.formats import result_fields

        query = Query(self.table, select=names(self.select), labels=self.labels)
        return result_fields(client.columns(query))

    def _reading(self, client: Client, since: str | None, progress: Progress) -> Reading:
        from airflow_provider_dynamics.dataverse.queries.query import Query

        select, page_size = names(self.select), whole_number("page_size", self.page_size)
        if self.mode != "full":
            feed = client.feed(
                self.table,
                select,
                since,
                mode=MEANS[self.mode],
                detect_deletes=self.detect_deletes,
                page_size=page_size,
                labels=self.labels,
                filter=self.filter,
            )
            progress.estimate = partial(rows_about, client, self.table) if feed.complete else None
            return feed
        query = Query(self.table, select=select, filter=self.filter, labels=self.labels, page_size=page_size)
        return _Whole(client, query, whole_number("lanes", self.lanes), progress)

    def _tell(self, job: Job, ran: Run, client: Client) -> None:
        if ran.reason:
            self.log.warning("Every row of %s was read: %s", self.table, ran.reason)
        self.log.info(
            "Read %d rows of %s (%s): %d new or changed and %d deleted in %s; %s.",
            *(ran.rows, self.table, ran.mode, ran.applied.upserts, ran.applied.deleted, job.target),
            effort(client),
        )

    def _summary(self, job: Job, ran: Run, client: Client) -> dict[str, Any]:
        return {
            "rows": ran.rows,
            "upserts": ran.applied.upserts,
            "deleted": ran.applied.deleted,
            "sql_table": str(job.target),
            "mode": ran.mode,
            "reason": ran.reason,
            "columns_added": [field.name for field in ran.layout.added],
            "columns_removed": list(ran.layout.removed),
            "throttled_seconds": seconds_throttled(client),
        }


def _as_named(fields: Sequence[Field], longest: int) -> list[Field]:
    """Return the columns under the names they have in the database."""
    from airflow_provider_dynamics.transfers.sql.columns import column_name

    return [replace(field, name=column_name(field.name, longest)) for field in fields]


@dataclass
class _Whole:
    """A plain read of every row, in the shape of a feed that does not say where to go on from."""

    client: Client
    query: Any
    lanes: int | None
    progress: Progress
    mode: str = "full"
    reason: str = ""
    complete: bool = True
    until: str | None = None

    def pages(self) -> Iterator[Page]:
        reading: LaneRead[Any] = self.client.lanes(self.query, lanes=self.lanes)
        with reading:
            self.progress.expected = reading.rows_expected
            for found in reading:
                yield found.page

    def present(self) -> None:
        return None

    def fetch(self, row_ids: Iterable[str]) -> Iterator[Page]:
        raise NotImplementedError("only a window has rows that it does not show")


def _without_scheme(environment: str) -> str:
    """Return what a table's rows are known to be from: the host, and on premises an organization's path behind it."""
    parts = urlsplit(environment.lower())
    return parts.netloc + parts.path.rstrip("/")
