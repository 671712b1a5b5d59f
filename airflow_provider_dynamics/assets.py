"""Dataverse tables as Airflow assets: `dataverse://<environment host>/<table logical name>`.

One spelling for one table, so that a DAG that writes it and a DAG scheduled on it mean the same asset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.sdk import AssetWatcher

__all__ = [
    "SCHEME",
    "ChangedRows",
    "changed_rows",
    "convert_to_openlineage",
    "create_asset",
    "sanitize_uri",
    "table_asset",
]

SCHEME = "dataverse"

# https://learn.microsoft.com/power-apps/developer/data-platform/entity-metadata: a letter, then letters, digits, underscores
_TABLE = re.compile(r"[a-z][a-z0-9_]*")
_HOST = re.compile(r"(?:[a-z0-9]([a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(?::\d+)?")


def table_asset(
    table: str,
    environment: str,
    watchers: Sequence[AssetWatcher] = (),
    *,
    name: str | None = None,
    group: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Return the asset of a table; raises ValueError for a name that is not a table's or an environment's.

    :param table: the table's logical name, such as ``account``
    :param environment: the environment's host name or URL, such as ``contoso.crm.dynamics.com``
    :param watchers: what watches the table for changes
    :param name: the asset's name; by default its URI
    :param group: the asset's group, as for any asset
    :param extra: further facts about the asset, as for any asset
    """
    host = environment.split("://", 1)[-1].rstrip("/")
    uri = sanitize_uri(urlsplit(f"{SCHEME}://{host}/{table}")).geturl()
    return Asset(name=name or uri, uri=uri, group=group or "asset", extra=extra, watchers=list(watchers))


@dataclass(frozen=True)
class ChangedRows:
    """What the events of a DAG's tables tell has changed, by watchers or by webhooks; its length is the number of changes.

    ``changed`` and ``deleted`` are row ids, each once and in one of them: what was told of it last. ``rows`` holds
    the columns that a watcher's ``select`` brought along, by row id. ``complete`` is False where the events name
    fewer rows than changed, or a watcher had lost its place: then only reading the changes shows all of them.
    """

    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    count: int = 0
    complete: bool = True
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return self.count > 0 or not self.complete


def changed_rows(triggering_asset_events: Mapping[Any, Sequence[Any]] | None) -> ChangedRows:
    """Return what the events tell that set off this DAG run; nothing for a run started by hand.

    They are those of ``DynamicsChangesTrigger`` and of webhooks.

    :param triggering_asset_events: the value of that name in the task's context
    :raises AirflowFailException: the newest event of an asset says that its watcher has a problem; the text is
        the problem's, with its remedy
    """
    payloads: list[Mapping[str, Any]] = []
    for asset, events in (triggering_asset_events or {}).items():
        if isinstance(asset, AssetAlias):  # the same events again
            continue
        told = list(_payloads(events))
        if told and told[-1].get("status") == "error":
            raise AirflowFailException(
                str(told[-1].get("message") or "A watcher has a problem and did not say which.")
            )
        payloads += [payload for payload in told if payload.get("status") == "success"]
    last = {one["row_id"]: one for payload in payloads for one in payload.get("changes", ())}
    deleted = tuple(row_id for row_id, one in last.items() if one["operation"] == "delete")
    return ChangedRows(
        changed=tuple(row_id for row_id, one in last.items() if one["operation"] != "delete"),
        deleted=deleted,
        count=sum(payload.get("count", 0) for payload in payloads),
        complete=all(payload.get("complete", False) for payload in payloads),
        rows={row_id: one["row"] for row_id, one in last.items() if "row" in one},
    )


def _payloads(events: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what watchers and webhooks have said, the oldest first; events of tasks say nothing."""
    for event in sorted(events, key=lambda event: event.timestamp):
        payload = (event.extra or {}).get("payload")
        if isinstance(payload, dict):
            yield payload


def create_asset(*, host: str, table: str, extra: dict[str, Any] | None = None) -> Asset:
    """Return the asset of a table that a hook has touched: Airflow's lineage asks for it."""
    return table_asset(table, host, extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return a table's URI in its one spelling, in lower case; raises ValueError for anything else."""
    host, table = uri.netloc.lower(), uri.path.strip("/").lower()
    if uri.query or uri.fragment or not _HOST.fullmatch(host) or not _TABLE.fullmatch(table):
        raise ValueError(
            f"'{SCHEME}://{uri.netloc.rpartition('@')[2]}{uri.path}' is not a Dataverse table. "
            f"Write {SCHEME}://<environment host>/<table logical name>, such as {SCHEME}://contoso.crm.dynamics.com/account."
        )
    return uri._replace(scheme=SCHEME, netloc=host, path=f"/{table}")


def convert_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001  # Airflow passes both
    """Return the asset as OpenLineage names it: the environment is the namespace, the table the name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=f"{SCHEME}://{uri.netloc}", name=uri.path.lstrip("/"))
