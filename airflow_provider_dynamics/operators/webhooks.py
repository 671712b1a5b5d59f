"""The task that has Dynamics post its changes to Airflow, so that a DAG runs seconds after a row has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast, get_args

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.operators.base import DynamicsOperator, names, one_of
from airflow_provider_dynamics.retry import airflow_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse.administration.endpoints import Mode, Registration, Step

__all__ = ["DynamicsRegisterWebhookOperator"]

_STATES = ("present", "absent")


class DynamicsRegisterWebhookOperator(DynamicsOperator):
    """Have Dynamics post a table's changes to this Airflow, where they become events of the table's asset; or no longer.

    Makes the service endpoint and one step for each table and message, and makes them so again where somebody has
    changed them: doing it twice changes nothing. What it sends as proof is the first key of the connection's
    Webhook secret, so running it again is how a changed key gets to Dynamics. Steps of tables that are not named
    stay as they are. Returns ``{"name", "url", "endpoint", "created", "updated", "removed", "unchanged"}``.

    The user needs a role that may register steps, such as System Customizer.

    :param tables: the tables' logical names, such as ``["account", "contact"]``; may be left out to remove all
    :param messages: what to be told of; ``Create``, ``Update`` and ``Delete`` unless said otherwise
    :param columns: for tables that have many updates: post one only where one of these columns was sent, as
        ``{"account": ["name", "telephone1"]}``
    :param state: ``present``, or ``absent`` to take the steps away, and the endpoint that has none left
    :param mode: ``asynchronous``, or ``synchronous``: then Dynamics waits for Airflow, and where Airflow does not answer,
        undoes the change
    :param url: where to post to; by default this connection's door below ``[api] base_url``
    :param webhook_name: what the endpoint is called in Dynamics; by default after the url
    :param dynamics_conn_id: the connection of type ``dynamics``; its Webhook secret must hold a key
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        *("tables", "messages", "columns", "state", "mode", "url", "webhook_name"),
    )

    def __init__(
        self,
        *,
        tables: Sequence[str] | str = (),
        messages: Sequence[str] | str = ("Create", "Update", "Delete"),
        columns: Mapping[str, Sequence[str] | str] | None = None,
        state: str = "present",
        mode: str = "asynchronous",
        url: str | None = None,
        webhook_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tables = tables
        self.messages = messages
        self.columns = columns
        self.state = state
        self.mode = mode
        self.url = url
        self.webhook_name = webhook_name

    def execute(self, context: Context) -> dict[str, Any]:
        """Register or remove.

        :raises AirflowFailException: the connection has no Webhook secret, an argument is wrong, or Dynamics refuses it for good
        :raises DynamicsRetryableError: Dynamics has a passing problem
        """
        one_of("state", self.state, _STATES)
        url = self._url()
        name = self.webhook_name or _named(url)
        done = self._remove(name) if self.state == "absent" else self._register(name, url)
        said = {what: value for what, value in asdict(done).items() if value}
        self.log.info("Webhook %s", ", ".join(f"{what}: {value}" for what, value in said.items()))
        return {
            "url": url,
            **{
                what: list(value) if isinstance(value, tuple) else value
                for what, value in asdict(done).items()
            },
        }

    def _register(self, name: str, url: str) -> Registration:
        steps = self._steps()
        with airflow_errors():
            keys = self.hook.settings.webhook_keys
        if not keys:
            raise AirflowFailException(
                f"Connection {self.dynamics_conn_id} has no Webhook secret, with which Dynamics proves itself. Make one with "
                "`openssl rand -hex 32`, and enter it in the connection."
            )
        with self.client() as client:
            return client.webhooks.register(name, url, keys[0], steps)

    def _remove(self, name: str) -> Registration:
        with self.client() as client:
            return client.webhooks.remove(name, names(self.tables))

    def _steps(self) -> list[Step]:
        from airflow_provider_dynamics.dataverse.administration.endpoints import Mode, Step

        one_of("mode", self.mode, get_args(Mode))
        tables, messages, columns = names(self.tables), names(self.messages), dict(self.columns or {})
        if not tables or not messages:
            raise AirflowFailException("Name at least one table, and one message.")
        if strangers := sorted(set(columns) - set(tables)):
            raise AirflowFailException(
                f"columns names {', '.join(strangers)}, which is not among the tables."
            )
        mode = cast("Mode", self.mode)
        return [
            Step(table, message, _narrowed(message, columns.get(table, ())), mode)
            for table in tables
            for message in messages
        ]

    def _url(self) -> str:
        from airflow.sdk.configuration import conf

        from airflow_provider_dynamics.connection.webhook_address import webhook_url

        if self.url:
            return self.url
        with airflow_errors():
            base = conf.get("api", "base_url", fallback="") or ""
            return webhook_url(base, self.dynamics_conn_id, self.environment)


def _narrowed(message: str, columns: Sequence[str] | str) -> frozenset[str]:
    """Return the columns that narrow a message: only an update has any."""
    return frozenset(names(columns)) if message.lower() == "update" else frozenset()


def _named(url: str) -> str:
    from airflow_provider_dynamics.connection.webhook_address import webhook_name

    return webhook_name(url)
