"""What a bulk delete shall delete, as the service wants it described, and what has become of it.

https://learn.microsoft.com/power-apps/developer/data-platform/delete-data-bulk
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Sender
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.queries.fetch_document import Document
from airflow_provider_dynamics.dataverse.queries.query import FetchXml, Query, SavedQuery
from airflow_provider_dynamics.dataverse.reading import saved
from airflow_provider_dynamics.dataverse.reading.fetch_conditions import document
from airflow_provider_dynamics.dataverse.throttle import Stop

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Deletions", "Doomed", "query_set"]

Doomed = Query | FetchXml | SavedQuery | str
"""Rows to delete; text is a FetchXML document."""

_NAMED = 20  # rows that could not be deleted, in a summary
_PATTERNS = {"like", "begins-with", "ends-with"}
_OF_A_READING = ("top", "order_by", "expand", "apply")


@dataclass(frozen=True, slots=True)
class Deletions:
    """How many rows a bulk delete has deleted and how many it could not; of some of those, why."""

    deleted: int
    failed: int
    failures: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, transport: Sender, job_id: str, stop: Stop) -> Deletions:
        query = {
            "$select": "bulkdeleteoperationid,successcount,failurecount",
            "$filter": f"_asyncoperationid_value eq {job_id}",
        }
        found = _rows(transport, "bulkdeleteoperations", query, stop)
        if not found:
            raise errors.JobGone(
                f"The record of the bulk delete {job_id} is not there (any more), so nobody can say what it has deleted"
            )
        deleted = sum(one.get("successcount") or 0 for one in found)
        failed = sum(one.get("failurecount") or 0 for one in found)
        failures = _failures(transport, found[0]["bulkdeleteoperationid"], stop) if failed else ()
        return cls(deleted, failed, failures)


def query_set(
    transport: Sender,
    tables: Tables,
    queries: Doomed | Sequence[Doomed],
    *,
    whole_tables: bool,
    stop: Stop,
) -> list[dict[str, Any]]:
    """Return queries as the service's own kind of query; it translates them from FetchXML itself.

    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/fetchxmltoqueryexpression
    """
    given = [queries] if isinstance(queries, (str, Query, FetchXml, SavedQuery)) else list(queries)
    if not given:
        raise ValueError("There is no query, and so nothing to delete")
    texts = [_text(transport, tables, one, whole_tables=whole_tables, stop=stop) for one in given]
    return [_translated(transport, text, stop) for text in texts]


def _text(transport: Sender, tables: Tables, query: Doomed, *, whole_tables: bool, stop: Stop) -> str:
    if isinstance(query, Query):
        return _of_query(query, tables, whole_tables=whole_tables)
    if isinstance(query, SavedQuery):
        query = saved.document(transport, query, tables, stop=stop)
    text = query.document if isinstance(query, FetchXml) else query
    found = Document.parsed(text)
    if found.aggregates or found.top is not None or found.distinct:
        raise errors.BadFetchXml(
            "A bulk delete takes rows as they are: no aggregate, no top, no distinct",
            remedy="Let the document's filter say which rows are to go.",
        )
    if not whole_tables and not _narrowed(found.entity):
        raise ValueError(_whole(found.table))
    return text


def _narrowed(entity: Element) -> bool:
    """Say whether a document leaves any row out: what an outer link asks of its own rows does not."""
    tests = [one for part in entity.findall("filter") for one in part.iter()]
    if any(
        one.tag == "link-entity" or (one.tag == "condition" and not _meets_any_text(one)) for one in tests
    ):
        return True
    return any(link.get("link-type", "inner").lower() != "outer" for link in entity.findall("link-entity"))


def _meets_any_text(condition: Element) -> bool:
    """Say whether it is a pattern without text, such as a template's variable leaves that was empty."""
    return condition.get("operator") in _PATTERNS and not (condition.get("value") or "").strip("% ")


def _of_query(query: Query, tables: Tables, *, whole_tables: bool) -> str:
    if lost := [name for name in _OF_A_READING if getattr(query, name)]:
        raise ValueError(f"A bulk delete takes all rows of a query: leave {' and '.join(lost)} out")
    if query.filter is None or query.filter == "":
        if not whole_tables:
            raise ValueError(_whole(query.table))
        return document(tables.outline(query.table), None, tables)
    if isinstance(query.filter, str):
        raise TypeError(
            "A bulk delete does not take a filter as OData's text: make it with column(…), or give FetchXML or a view"
        )
    text = document(tables.outline(query.table), query.filter, tables)
    if not whole_tables and not _narrowed(Document.parsed(text).entity):
        raise ValueError(_whole(query.table))
    return text


def _whole(table: str) -> str:
    return f"This would delete every row of {table}: give a condition, or set whole_tables if that is what you want"


def _translated(transport: Sender, text: str, stop: Stop) -> dict[str, Any]:
    target = f"FetchXmlToQueryExpression(FetchXml=@p1){odata.options({'@p1': odata.literal(text)})}"
    request = Request("GET", target)
    found = decoded(transport.send(request, stop), request)["Query"]
    return {"@odata.type": "Microsoft.Dynamics.CRM.QueryExpression", **found}


def _failures(transport: Sender, operation_id: str, stop: Stop) -> tuple[Mapping[str, Any], ...]:
    query = {
        "$select": "errordescription,errornumber,_regardingobjectid_value",
        "$filter": f"_bulkdeleteoperationid_value eq {operation_id}",
        "$top": str(_NAMED),
    }
    return tuple(
        {"row_id": one.get("_regardingobjectid_value"), "message": one.get("errordescription") or ""}
        for one in _rows(transport, "bulkdeletefailures", query, stop)
    )


def _rows(transport: Sender, entity_set: str, query: Mapping[str, str], stop: Stop) -> list[odata.Row]:
    request = Request("GET", f"{entity_set}{odata.options(dict(query))}")
    found: list[odata.Row] = decoded(transport.send(request, stop), request)["value"]
    return found
