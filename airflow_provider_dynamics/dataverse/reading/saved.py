"""Views: found by id or by name, and read as the FetchXML they hold, which pages as every other document does.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-and-execute-predefined-queries
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.table import did_you_mean
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import decoded, walk
from airflow_provider_dynamics.dataverse.queries.query import FetchXml, SavedQuery
from airflow_provider_dynamics.dataverse.throttle import Stop

__all__ = ["document"]

_ID = re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")


def document(transport: Sender, source: SavedQuery, tables: Tables, *, stop: Stop | None = None) -> FetchXml:
    """Return the FetchXML a view holds now; raises UnknownView, and BadRequest for a view of another table or without one."""
    kind = "userquery" if source.personal else "savedquery"
    entity_set = "userqueries" if source.personal else "savedqueries"
    tables.entity_set(source.table)  # a table that is unknown is said as that
    view = source.view.strip()
    wanted = f"{kind}id,name,returnedtypecode,fetchxml"
    found = (
        _by_id(transport, f"{entity_set}({odata.guid(view)})?$select={wanted}", source, stop)
        if _ID.fullmatch(view)
        else _by_name(_Views(transport, entity_set, stop or Stop()), wanted, source, f"{kind}id")
    )
    text = found.get("fetchxml")
    if not text:
        raise errors.BadRequest(
            f"The view {source.view!r} of {source.table} holds no FetchXML", remedy="Choose another view."
        )
    return FetchXml(text, page_size=source.page_size, labels=source.labels)


def _by_id(transport: Sender, target: str, source: SavedQuery, stop: Stop | None) -> Any:
    request = Request("GET", target)
    try:
        found = decoded(transport.send(request, stop), request)
    except errors.RowNotFound as error:
        raise errors.UnknownView(
            f"There is no {_kind(source)} {source.view}",
            asked=error.asked,
            status=error.status,
            code=error.code,
            request_id=error.request_id,
        ) from error
    if found.get("returnedtypecode") != source.table:
        raise errors.BadRequest(
            f"The view {found.get('name')!r} is one of {found.get('returnedtypecode')}, not of {source.table}",
            remedy="Give the view's own table, or a view of this one.",
        )
    return found


def _by_name(views: _Views, wanted: str, source: SavedQuery, key: str) -> Any:
    where = f"returnedtypecode eq {odata.literal(source.table)}"
    same = f"{where} and name eq {odata.literal(source.view.strip())}"
    found = views.all({"$select": wanted, "$filter": same})
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(sorted(str(one[key]) for one in found))
        raise errors.BadRequest(
            f"{source.table} has {len(found)} views called {source.view!r}",
            remedy=f"Give the id of one: {ids}.",
        )
    known = [str(one["name"]) for one in views.all({"$select": "name", "$filter": where})]
    near = did_you_mean(source.view, known)
    raise errors.UnknownView(
        f"{source.table} has no {_kind(source)} {source.view!r}",
        remedy=near or errors.UnknownView.default_remedy,
    )


@dataclass(frozen=True)
class _Views:
    transport: Sender
    entity_set: str
    stop: Stop

    def all(self, options: dict[str, str | None]) -> list[odata.Row]:
        request = Request("GET", f"{self.entity_set}{odata.options(options)}")
        pages = walk(self.transport, request, stop=self.stop, ahead=False)
        return [row for page in pages for row in page.rows]


def _kind(source: SavedQuery) -> str:
    return "view saved by this user" if source.personal else "system view"
