"""A few rows of a table, a FetchXML document or a view, handed on through XCom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, names, whole_number

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, Condition, Expand, Source

__all__ = ["DynamicsQueryOperator", "source_of"]


class DynamicsQueryOperator(DynamicsOperator):
    """Return a few rows as XCom, each a dict by the names Dynamics uses: of a table, a FetchXML document or a view.

    More than ``max_rows`` is an error, never a silent cut: XCom lives in Airflow's database. It also keeps
    decimals to about 15 digits only; a file has them all. Everything but ``labels``, ``annotations`` and
    ``max_rows`` is templated: a date rendered into OData text becomes a literal, a value rendered into FetchXML is
    escaped.

    :param table: the table's logical name, such as ``account``
    :param select: logical names of the columns to return; empty for all
    :param filter: OData ``$filter`` text, or a condition made with ``column(…)``
    :param expand: OData ``$expand`` text, or a list of ``Expand``: related rows
    :param order_by: OData ``$orderby`` text
    :param top: at most so many rows
    :param apply: OData ``$apply`` text: aggregates and groups
    :param fetch_xml: a FetchXML document, or the path of a template that ends in ``.xml``; it names its table itself
    :param saved_query: name or id of a system view of ``table``
    :param user_query: name or id of a view that a user has saved
    :param labels: name the columns as files do (``primarycontactid``, ``primarycontactid.fullname``), and add the labels
        of choices (``statecodename``), the names (``primarycontactidname``) and tables (``customeridtype``) of lookups
    :param annotations: also return formatted values and lookup targets, as ``column@...`` keys; not for FetchXML and views
    :param max_rows: fail if there are more rows than this
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        "table",
        "select",
        "filter",
        "expand",
        "order_by",
        "top",
        "apply",
        "fetch_xml",
        "saved_query",
        "user_query",
    )
    template_ext: Sequence[str] = (".xml",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"fetch_xml": "xml"}
    operator_extra_links = (DynamicsTableLink(), DynamicsRowLink())

    def __init__(
        self,
        *,
        table: str | None = None,
        select: Sequence[str] = (),
        filter: str | Condition | None = None,
        expand: str | Sequence[Expand] | None = None,
        order_by: str | None = None,
        top: int | str | None = None,
        apply: str | None = None,
        fetch_xml: str | None = None,
        saved_query: str | None = None,
        user_query: str | None = None,
        labels: bool = False,
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
        self.apply = apply
        self.fetch_xml = fetch_xml
        self.saved_query = saved_query
        self.user_query = user_query
        self.labels = labels
        self.annotations = annotations
        self.max_rows = max_rows

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Run the query.

        :raises AirflowFailException: the arguments contradict each other, there are more than ``max_rows`` rows, or the
            service refuses for good
        """
        with self.client() as client:
            source = self._source()
            self.note_table(source.table)
            rows = self._rows(client, source)
            self.note_table(source.table, rows)
            if self.labels:
                rows = self._with_labels(client, source, rows)
            self.log.info(
                "Read %d rows of %s; %d requests, %.1f s throttled.",
                *(len(rows), source.table, client.requests_sent, client.throttled_seconds),
            )
        return rows

    def _source(self) -> Source:
        from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE

        return source_of(
            self.table,
            select=self.select,
            filter=self.filter,
            expand=self.expand,
            order_by=self.order_by,
            top=self.top,
            apply=self.apply,
            annotations=self.annotations,
            fetch_xml=self.fetch_xml,
            saved_query=self.saved_query,
            user_query=self.user_query,
            labels=self.labels,
            page_size=None if self.top else min(self.max_rows + 1, LARGEST_PAGE),
        )

    def _rows(self, client: Client, source: Source) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for row in client.rows(source):
            if len(rows) == self.max_rows:
                raise AirflowFailException(
                    f"The query on {source.table} has more than {self.max_rows} rows, too many for XCom. Narrow "
                    "it or set top, raise max_rows if they are small, or write them to a file with "
                    "DynamicsToObjectStorageOperator."
                )
            rows.append(row)
        return rows

    @staticmethod
    def _with_labels(client: Client, source: Source, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from airflow_provider_dynamics.dataverse.reading.results import named

        columns = client.columns(source)
        return [named(row, columns) for row in rows]


_OF_A_QUERY = ("select", "filter", "expand", "order_by", "top", "apply", "annotations")


def source_of(
    table: str | None,
    *,
    fetch_xml: str | None = None,
    saved_query: str | None = None,
    user_query: str | None = None,
    page_size: int | str | None = None,
    labels: bool = False,
    **query: Any,
) -> Source:
    """Return what an operator's arguments ask for; ``query`` are arguments of `Query`.

    :raises AirflowFailException: they do not go together, or one of them cannot be
    """
    from airflow_provider_dynamics.dataverse.queries.query import FetchXml, Query, SavedQuery

    asked = {name: value for name, value in query.items() if _is_given(value)}
    given = {"fetch_xml": fetch_xml, "saved_query": saved_query, "user_query": user_query}
    _check_together(table, [name for name, value in given.items() if value], asked)
    size = whole_number("page_size", page_size)
    if fetch_xml and fetch_xml.strip("\ufeff \t\r\n")[:1] not in {"", "<"}:
        raise AirflowFailException(
            f"fetch_xml is {fetch_xml[:100]!r}, which is no FetchXML document. A template file must end in .xml, and stand in "
            "the DAG's folder or its template_searchpath."
        )
    try:
        if fetch_xml:
            return FetchXml(fetch_xml, page_size=size, labels=labels)
        if saved_query or user_query:
            view = str(saved_query or user_query)
            return SavedQuery(str(table), view, personal=not saved_query, page_size=size, labels=labels)
        asked["select"], asked["top"] = names(asked.get("select")), whole_number("top", asked.get("top"))
        return Query(str(table), page_size=size, labels=labels, **asked)
    except (ValueError, TypeError) as error:
        raise AirflowFailException(f"{error}.") from error


def _is_given(value: Any) -> bool:
    """Say whether an argument says something; a condition is neither true nor false."""
    return value is not None and value is not False and not (hasattr(value, "__len__") and len(value) == 0)


def _check_together(table: str | None, others: Sequence[str], query: Iterable[str]) -> None:
    if len(others) > 1:
        raise AirflowFailException(f"{' and '.join(others)} were both given: keep one of them.")
    lost = [name for name in _OF_A_QUERY if name in query]
    if others and lost:
        raise AirflowFailException(
            f"{others[0]} says itself what is read, so {' and '.join(lost)} would be lost: leave "
            f"{'it' if len(lost) == 1 else 'them'} out, or {others[0]}."
        )
    if others == ["fetch_xml"] and table:
        raise AirflowFailException("fetch_xml names its table itself: leave table out.")
    if others != ["fetch_xml"] and not table:
        raise AirflowFailException(
            "There is nothing to read: name a table, or give fetch_xml, or a table and saved_query or user_query."
        )
