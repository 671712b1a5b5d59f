"""What every Dynamics task has in common: the connection, the client's life, failing, rendering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError, TaskDeferralTimeout

from airflow_provider_dynamics.compat import RetryPolicy, retry_arguments
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.links import Linked
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

    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.lineage import Moved

__all__ = [
    "DynamicsOperator",
    "crashed",
    "deferred",
    "names",
    "odata_text",
    "one_of",
    "true",
    "whole_number",
    "xml_text",
]


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
    :param environment: the URL of another environment than the connection's to work in, of the same cloud; for tasks
        that are mapped over environments
    :param retry_policy: when to try again, on Airflow 3.3; None for Airflow's own ``retries`` alone
    """

    template_fields: Sequence[str] = ("dynamics_conn_id", "environment")
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
        environment: str | None = None,
        retry_policy: RetryPolicy | None = DEFAULT_RETRY_POLICY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**retry_arguments(retry_policy), **kwargs)
        self.dynamics_conn_id = dynamics_conn_id
        self.environment = environment

    @cached_property
    def hook(self) -> DynamicsHook:
        return DynamicsHook(self.dynamics_conn_id, self.environment)

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
            raise crashed(error, next_kwargs) from error

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
        from airflow_provider_dynamics.dataverse.queries.query import mapped

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


def crashed(error: BaseException, next_kwargs: Mapping[str, Any] | None) -> DynamicsRetryableError:
    """Return what a task raises whose trigger died: Airflow's text, and the last line of the trigger's traceback."""
    lines = (next_kwargs or {}).get("traceback") or []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return DynamicsRetryableError(f"{error}: {last}" if last else str(error))


def whole_number(name: str, value: Any) -> int | None:
    """Return an argument that may have come out of a template as text; None and "" mean it is not set.

    :raises AirflowFailException: it is not a whole number from 1 up
    """
    if value is None or value == "":
        return None
    if not str(value).strip().isdecimal() or int(value) < 1:
        raise AirflowFailException(f"{name} is {value!r}: give a whole number from 1 up.")
    return int(value)


def deferred(deferrable: bool | None) -> bool:
    """Return whether a task waits in the triggerer; None leaves it to Airflow's ``[operators] default_deferrable``."""
    if deferrable is None:
        return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
    return deferrable


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse an argument that is not one of the words it may be.

    :raises AirflowFailException: then
    """
    if value not in allowed:
        raise AirflowFailException(f"{name} is {value!r}: use one of {', '.join(allowed)}.")


def true(name: str, value: Any) -> bool:
    """Return a truth that a template may have made text of; None and "" are False.

    :raises AirflowFailException: it is neither true nor false
    """
    known = {"true": True, "1": True, "false": False, "0": False, "none": False, "": False}
    text = "" if value is None else str(value).strip().lower()
    if text not in known:
        raise AirflowFailException(f"{name} is {value!r}: give True or False.")
    return known[text]


def names(value: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return column names given as a list, or as text with commas, which a template may leave."""
    listed = value.split(",") if isinstance(value, str) else value or ()
    return tuple(name.strip() for name in listed if name.strip())
