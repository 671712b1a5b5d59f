"""Operators that ask Dynamics something small, and what every Dynamics task has in common.

Anything that moves many rows is in ``transfers``: the operators here hand their result on through XCom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.retry import airflow_errors

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client

__all__ = ["DynamicsOperator", "DynamicsQueryOperator", "names", "odata_text", "whole_number"]


def odata_text(value: Any) -> Any:
    """Return a date or a time as the OData literal that means it; a time without a zone is UTC. Others stay.

    https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html#sec_PrimitiveLiterals
    """
    if isinstance(value, datetime):
        moment = value.astimezone(timezone.utc) if value.tzinfo else value
        fraction = f"{moment.microsecond:06}".rstrip("0")
        return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    return value


class DynamicsOperator(BaseOperator):
    """What operators, sensors and transfers share: the connection, the client's life, rendering OData text.

    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = ("dynamics_conn_id",)
    odata_fields: ClassVar[frozenset[str]] = frozenset({"filter", "expand", "order_by"})
    ui_color = "#dbe5f6"

    _client: Client | None = None

    def __init__(self, *, dynamics_conn_id: str = "dynamics_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dynamics_conn_id = dynamics_conn_id

    @cached_property
    def hook(self) -> DynamicsHook:
        return DynamicsHook(self.dynamics_conn_id)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Open a client for one block, with our errors raised as Airflow's and ``on_kill`` able to end its waits."""
        with airflow_errors(), self.hook.get_conn() as client:
            self._client = client
            try:
                yield client
            finally:
                self._client = None

    def on_kill(self) -> None:
        """End every wait of the running request at once; Airflow calls this when the task is stopped."""
        if self._client is not None:
            self._client.cancel()

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        """Render as Airflow does, but a date inside OData text becomes a literal instead of Python's spelling.

        Airflow's own place to change rendering: mapped tasks are rendered through it too.
        """
        fields = list(template_fields)
        odata = [name for name in fields if parent is self and name in self.odata_fields]
        others = [name for name in fields if name not in odata]
        super()._do_render_template_fields(parent, others, context, jinja_env, seen_oids)
        if odata:
            literal = jinja_env.overlay(finalize=odata_text)
            super()._do_render_template_fields(parent, odata, context, literal, seen_oids)


class DynamicsQueryOperator(DynamicsOperator):
    """Return a few rows of a table as XCom, each a dict by the names Dynamics uses.

    More than ``max_rows`` is an error, never a silent cut: XCom lives in Airflow's database. It also keeps
    decimals to about 15 digits only; a file has them all. Everything but ``max_rows`` is templated; a date
    rendered into ``filter`` becomes an OData literal.

    :param table: the table's logical name, such as ``account``
    :param select: logical names of the columns to return; empty for all
    :param filter: OData ``$filter`` text
    :param expand: OData ``$expand`` text
    :param order_by: OData ``$orderby`` text
    :param top: at most so many rows
    :param annotations: also return formatted values and lookup targets, as ``column@...`` keys
    :param max_rows: fail if there are more rows than this
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        "dynamics_conn_id",
        "table",
        "select",
        "filter",
        "expand",
        "order_by",
        "top",
    )

    def __init__(
        self,
        *,
        table: str,
        select: Sequence[str] = (),
        filter: str | None = None,
        expand: str | None = None,
        order_by: str | None = None,
        top: int | str | None = None,
        annotations: bool = False,
        max_rows: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.select = select
        self.filter = filter
        self.expand = expand
        self.order_by = order_by
        self.top = top
        self.annotations = annotations
        self.max_rows = max_rows

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Run the query.

        :raises AirflowFailException: there are more than ``max_rows`` rows, or the service refuses for good
        """
        from airflow_provider_dynamics.dataverse.query import Query

        query = Query(
            self.table,
            select=names(self.select),
            filter=self.filter,
            expand=self.expand,
            order_by=self.order_by,
            top=whole_number("top", self.top),
            annotations=self.annotations,
            page_size=None if self.top else min(self.max_rows + 1, 5000),
        )
        with self.client() as client:
            rows: list[dict[str, Any]] = []
            for row in client.rows(query):
                if len(rows) == self.max_rows:
                    raise AirflowFailException(
                        f"The query on {self.table} has more than {self.max_rows} rows, too many for XCom. Narrow "
                        "filter or set top, raise max_rows if they are small, or write them to a file with "
                        "DynamicsToObjectStorageOperator."
                    )
                rows.append(row)
        self.log.info(
            "Read %d rows of %s; %d requests, %.1f s throttled.",
            *(len(rows), self.table, client.requests_sent, client.throttled_seconds),
        )
        return rows


def whole_number(name: str, value: Any) -> int | None:
    """Return an argument that may have come out of a template as text; None and "" mean it is not set.

    :raises AirflowFailException: it is not a whole number from 1 up
    """
    if value is None or value == "":
        return None
    if not str(value).strip().isdecimal() or int(value) < 1:
        raise AirflowFailException(f"{name} is {value!r}: give a whole number from 1 up.")
    return int(value)


def names(value: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return column names given as a list, or as text with commas, which a template may leave."""
    listed = value.split(",") if isinstance(value, str) else value or ()
    return tuple(name.strip() for name in listed if name.strip())
