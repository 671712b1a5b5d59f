"""Operators that ask Dynamics something small, and what every Dynamics task has in common.

Anything that moves many rows is in ``transfers``: the operators here hand their result on through XCom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError, TaskDeferralTimeout

from airflow_provider_dynamics.compat import RetryPolicy, retry_arguments
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.links import DynamicsRowLink, DynamicsTableLink, Linked
from airflow_provider_dynamics.retry import (
    DEFAULT_RETRY_POLICY,
    DynamicsRetryableError,
    Reason,
    airflow_errors,
)

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_dynamics.connection.health import Health
    from airflow_provider_dynamics.dataverse import Client, Condition, Expand, Source
    from airflow_provider_dynamics.lineage import Moved

__all__ = [
    "DynamicsOperator",
    "DynamicsQueryOperator",
    "DynamicsRefreshTokenOperator",
    "names",
    "odata_text",
    "source_of",
    "whole_number",
    "xml_text",
]

_OLD = 60.0  # days since the last renewal, of the 90 that Entra gives, from which somebody should know


def odata_text(value: Any) -> Any:
    """Return a date, a time or a truth as the OData literal that means it; a time without a zone is UTC. Others stay.

    https://docs.oasis-open.org/odata/odata/v4.01/odata-v4.01-part2-url-conventions.html#sec_PrimitiveLiterals
    """
    if isinstance(value, datetime):
        moment = value.astimezone(timezone.utc) if value.tzinfo else value
        fraction = f"{moment.microsecond:06}".rstrip("0")
        return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    return str(value).lower() if isinstance(value, bool) else value


def xml_text(value: Any) -> Any:
    """Return a value as it stands inside an XML document, dates as OData spells them; what is marked safe stays.

    https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/filter-rows
    """
    from xml.sax.saxutils import escape

    if value is None or hasattr(value, "__html__"):
        return value
    return escape(str(odata_text(value)), {'"': "&quot;", "'": "&apos;"})


class DynamicsOperator(Linked, BaseOperator):
    """What operators, sensors and transfers share: the connection, the client's life, failing, rendering OData text.

    :param dynamics_conn_id: the connection of type ``dynamics``
    :param retry_policy: when to try again, on Airflow 3.3; None for Airflow's own ``retries`` alone
    """

    template_fields: Sequence[str] = ("dynamics_conn_id",)
    odata_fields: ClassVar[frozenset[str]] = frozenset({"filter", "expand", "order_by", "apply"})
    xml_fields: ClassVar[frozenset[str]] = frozenset({"fetch_xml"})
    ui_color = "#dbe5f6"

    moved: Moved | None = None
    """What the task has moved, for lineage; set as soon as that is known."""

    _client: Client | None = None

    def __init__(
        self,
        *,
        dynamics_conn_id: str = "dynamics_default",
        retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**retry_arguments(retry_policy), **kwargs)
        self.dynamics_conn_id = dynamics_conn_id

    @cached_property
    def hook(self) -> DynamicsHook:
        return DynamicsHook(self.dynamics_conn_id)

    @contextmanager
    def client(self, **options: Any) -> Iterator[Client]:
        """Open a client for one block, with our errors raised as Airflow's and ``on_kill`` able to end its waits.

        :param options: what ``DynamicsHook.get_conn`` takes
        """
        with airflow_errors(), self.hook.get_conn(**options) as client:
            self._client, self.noted_environment = client, client.environment
            try:
                yield client
            finally:
                self._client = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage what was moved."""
        from airflow_provider_dynamics.lineage import told

        return told(self.moved)

    def on_kill(self) -> None:
        """End every wait of the running request at once; Airflow calls this when the task is stopped."""
        if self._client is not None:
            self._client.cancel()

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Return what a trigger of ours found, for a task that has deferred.

        :raises AirflowFailException: it cannot be found by trying again; no retries are spent
        :raises DynamicsRetryableError: it may pass
        """
        if event is None or event.get("status") not in {"success", "error"}:
            raise DynamicsRetryableError(f"The trigger of {self.task_id} fired without saying what happened.")
        if event["status"] == "error":
            raise Reason.from_event(event).as_exception()
        return {name: value for name, value in event.items() if name != "status"}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Say why when a trigger died of something nobody foresaw: Airflow's own text is only "Trigger failure"."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            raise
        except TaskDeferralError as error:
            lines = (next_kwargs or {}).get("traceback") or []
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            raise DynamicsRetryableError(f"{error}: {last}" if last else str(error)) from error

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        """Render as Airflow does, but what is rendered into a query is spelled as the query needs it.

        A date inside OData text becomes a literal, a value inside FetchXML is escaped, and the texts that a condition
        made with `column(…)` compares with are rendered one by one. Airflow's own place to change rendering: mapped
        tasks are rendered through it too.
        """
        spelled: dict[str, list[str]] = {"odata": [], "xml": [], "": []}
        for name in template_fields:
            own = parent is self
            kind = (
                "odata"
                if own and name in self.odata_fields
                else "xml"
                if own and name in self.xml_fields
                else ""
            )
            spelled[kind].append(name)
        environments = {
            "": jinja_env,
            "odata": jinja_env.overlay(finalize=odata_text),
            "xml": jinja_env.overlay(finalize=xml_text),
        }
        for kind, fields in spelled.items():
            left = self._beside_values(fields, context, environments[kind]) if kind == "odata" else fields
            if left:
                super()._do_render_template_fields(parent, left, context, environments[kind], seen_oids)

    def _beside_values(
        self, fields: Iterable[str], context: Context, jinja_env: jinja2.Environment
    ) -> list[str]:
        """Render the texts inside conditions and expands, which Airflow passes by, and return the other fields."""
        from airflow_provider_dynamics.dataverse.query import mapped

        def rendered(text: str) -> Any:
            return self.render_template(text, context, jinja_env)

        left = []
        for name in fields:
            value = getattr(self, name)
            made = mapped(value, rendered)
            if made is value:
                left.append(name)
            else:
                setattr(self, name, made)
        return left


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
        "dynamics_conn_id",
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
        from airflow_provider_dynamics.dataverse.sizes import LARGEST_PAGE

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
        from airflow_provider_dynamics.dataverse.results import named

        columns = client.columns(source)
        return [named(row, columns) for row in rows]


class DynamicsRefreshTokenOperator(DynamicsOperator):
    """Renew a signed-in person's refresh token now, so that it does not die of not being used.

    A DAG that runs at least every few weeks keeps its own sign-in alive; this is for connections that rest
    longer. Entra drops a refresh token after 90 days without use:
    https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime

    Returns ``{"dynamics_conn_id", "mode", "renewed", "user", "rotated_at", "days_since_rotation_before",
    "days_left"}``. A connection that has no refresh token is left alone and says ``"renewed": False``, so that
    one mapped task can serve all connections.

    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Sign in anew, which saves the new token in the credential store, and ask the environment who we are.

        :raises AirflowFailException: the sign-in is dead, or ``[dynamics] credential_store`` keeps nothing
        :raises DynamicsRetryableError: a service or the store has a passing problem, or the new token was not saved
        """
        with airflow_errors():
            before = self.hook.credential_health()
        if before.what == "refresh token":
            self._warn_of(before)
            return self._told(before, self._renewed(before), renewed=True)
        self.log.info("%s signs in with %s: nothing to renew.", self.dynamics_conn_id, before.mode)
        return self._told(before, before, renewed=False)

    def _told(self, before: Health, after: Health, *, renewed: bool) -> dict[str, Any]:
        now = after.to_json()
        return {
            "dynamics_conn_id": self.dynamics_conn_id,
            "renewed": renewed,
            "days_since_rotation_before": before.to_json()["days_since_rotation"],
            **{name: now[name] for name in ("mode", "user", "rotated_at", "days_left")},
        }

    def _renewed(self, before: Health) -> Health:
        """Renew the token and return what is stored of it then, which must be newer than before."""
        with airflow_errors():
            self._renew()
            after = self.hook.credential_health()
        if after.rotated_at is None or after.rotated_at == before.rotated_at:
            raise DynamicsRetryableError(
                f"{self.dynamics_conn_id} was signed in to, but its new refresh token was not saved; the log says why. Correct "
                "that, or the connection will have to be signed in again."
            )
        return after

    def _renew(self) -> None:
        from airflow_provider_dynamics.auth.store import NoStore
        from airflow_provider_dynamics.auth.tokens import TokenCache
        from airflow_provider_dynamics.state import credential_store

        if isinstance(credential_store(), NoStore):
            raise AirflowFailException(
                "[dynamics] credential_store is none, so a renewed refresh token would be lost and the connection's own would "
                "grow old all the same. Have whoever runs Airflow choose variable, file:// or redis://."
            )
        with self.client(cache=TokenCache()) as client:  # an empty cache, so that it signs in
            client.who_am_i()

    def _warn_of(self, before: Health) -> None:
        if (before.days_since_rotation or 0) > _OLD:
            self.log.warning(
                "The refresh token of %s had not been used for %.0f days; Entra drops it after 90. Run this more often.",
                *(self.dynamics_conn_id, before.days_since_rotation),
            )


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
    from airflow_provider_dynamics.dataverse.query import FetchXml, Query, SavedQuery

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
