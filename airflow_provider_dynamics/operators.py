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
from airflow_provider_dynamics.retry import (
    DEFAULT_RETRY_POLICY,
    DynamicsRetryableError,
    Reason,
    airflow_errors,
)

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from airflow_provider_dynamics.connection.health import Health
    from airflow_provider_dynamics.dataverse import Client

__all__ = [
    "DynamicsOperator",
    "DynamicsQueryOperator",
    "DynamicsRefreshTokenOperator",
    "names",
    "odata_text",
    "whole_number",
]

_OLD = 60.0  # days since the last renewal, of the 90 that Entra gives, from which somebody should know


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
    """What operators, sensors and transfers share: the connection, the client's life, failing, rendering OData text.

    :param dynamics_conn_id: the connection of type ``dynamics``
    :param retry_policy: when to try again, on Airflow 3.3; None for Airflow's own ``retries`` alone
    """

    template_fields: Sequence[str] = ("dynamics_conn_id",)
    odata_fields: ClassVar[frozenset[str]] = frozenset({"filter", "expand", "order_by"})
    ui_color = "#dbe5f6"

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
            self._client = client
            try:
                yield client
            finally:
                self._client = None

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
