"""The views a new environment has, and one that a person keeps.

Two ids are Microsoft's own, which its documentation uses; the others are made up and the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.seed.identities import ROOT_UNIT, SERVICE_USER
from airflow_provider_dynamics.emulator.seed.platform import put_rows
from airflow_provider_dynamics.emulator.store import Store

_FOUNDED = "2023-01-09T08:00:00Z"
# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-and-execute-predefined-queries
_KNOWN_IDS: Mapping[str, str] = {
    "account/Active Accounts": "00000000-0000-0000-00aa-000010001002",
    "opportunity/Open Opportunities": "00000000-0000-0000-00aa-000010003001",
}
_COLUMNS: Mapping[str, Sequence[str]] = {
    "account": ("name", "telephone1", "address1_city", "primarycontactid", "accountid"),
    "contact": ("fullname", "emailaddress1", "parentcustomerid", "telephone1", "contactid"),
    "lead": ("fullname", "createdon", "statuscode", "leadid"),
    "opportunity": ("name", "estimatedvalue", "estimatedclosedate", "customerid", "opportunityid"),
    "incident": ("title", "ticketnumber", "prioritycode", "customerid", "createdon", "incidentid"),
    "task": ("subject", "regardingobjectid", "prioritycode", "scheduledend", "activityid"),
    "contoso_shipment": ("contoso_name", "contoso_number", "createdon", "contoso_shipmentid"),
}
_FIRST_STATE: Mapping[str, str] = {"lead": "Open", "opportunity": "Open", "task": "Open"}


def _fetch(table: Table, conditions: Sequence[str]) -> str:
    columns = "".join(f'<attribute name="{name}" />' for name in _COLUMNS[table.name] if table.has(name))
    order = f'<order attribute="{table.primary_name}" descending="false" />'
    where = f'<filter type="and">{"".join(conditions)}</filter>' if conditions else ""
    entity = f'<entity name="{table.name}">{columns}{order}{where}</entity>'
    return f'<fetch version="1.0" output-format="xml-platform" mapping="logical">{entity}</fetch>'


def _layout(table: Table) -> str:
    cells = "".join(f'<cell name="{name}" width="150" />' for name in _COLUMNS[table.name] if table.has(name))
    row = f'<row name="result" id="{table.primary_id}">{cells}</row>'
    return (
        f'<grid name="resultset" object="{table.type_code}" jump="{table.primary_name}" select="1" icon="1" '
        f'preview="1">{row}</grid>'
    )


def _condition(attribute: str, operator: str, value: object = None) -> str:
    given = "" if value is None else f" value={quoteattr(str(value))}"
    return f'<condition attribute="{attribute}" operator="{operator}"{given} />'


def _saved(table: Table) -> Iterator[dict[str, Any]]:
    open_, closed = _FIRST_STATE.get(table.name, "Active"), _condition("statecode", "eq", 1)
    first = _condition("statecode", "eq", 0)
    views = {
        f"{open_} {table.plural}": [first],
        f"My {open_} {table.plural}": [_condition("ownerid", "eq-userid"), first],
        f"Inactive {table.plural}": [closed],
        f"All {table.plural}": [],
    }
    for name, conditions in views.items():
        yield {
            "savedqueryid": _KNOWN_IDS.get(f"{table.name}/{name}")
            or stable_id("savedquery", table.name, name),
            "isdefault": int(name == f"My {open_} {table.plural}"),
            "isquickfindquery": 0,
            **_common(table, name, conditions),
        }


def _common(table: Table, name: str, conditions: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "returnedtypecode": table.name,
        "fetchxml": _fetch(table, conditions),
        "layoutxml": _layout(table),
        "querytype": 0,
        "statecode": 0,
        "statuscode": 1,
        "createdby": SERVICE_USER,
        "modifiedby": SERVICE_USER,
        "createdon": _FOUNDED,
        "modifiedon": _FOUNDED,
    }


def fill_views(store: Store) -> None:
    """The views of the application, and a person's own of big accounts."""
    put_rows(store, "savedquery", (view for name in _COLUMNS for view in _saved(TABLES[name])))
    big = {
        "userqueryid": stable_id("userquery", "account", "My big accounts"),
        **_common(TABLES["account"], "My big accounts", [_condition("numberofemployees", "ge", 1000)]),
        "ownerid": SERVICE_USER,
        "ownerid__type": "systemuser",
        "owninguser": SERVICE_USER,
        "owningbusinessunit": ROOT_UNIT,
    }
    put_rows(store, "userquery", [big])
