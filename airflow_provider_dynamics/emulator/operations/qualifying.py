"""QualifyLead and InitializeFrom: new rows that begin with what another one says.

https://learn.microsoft.com/dynamics365/sales/developer/lead-entity and
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-entity-web-api
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.closing import status_of
from airflow_provider_dynamics.emulator.operations.model import (
    ANY_ROW,
    Invocation,
    Operation,
    Parameter,
    RowArgument,
    need,
)
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.storage import JSON_COLUMN

# Which columns a new row takes over: from table, to table -> {column here: column there}, as the mappings of the
# relationships between them say.
_ADDRESS = (
    "address1_line1",
    "address1_line2",
    "address1_city",
    "address1_stateorprovince",
    "address1_postalcode",
    "address1_country",
)
_SAME_ADDRESS = {name: name for name in _ADDRESS}
_PERSON = {
    name: name for name in ("firstname", "lastname", "jobtitle", "emailaddress1", "mobilephone", "telephone1")
}
MAPPED: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("lead", "account"): {
        "companyname": "name",
        "telephone1": "telephone1",
        "websiteurl": "websiteurl",
        "industrycode": "industrycode",
        "numberofemployees": "numberofemployees",
        "description": "description",
        **_SAME_ADDRESS,
    },
    ("lead", "contact"): {**_PERSON, "description": "description", **_SAME_ADDRESS},
    ("lead", "opportunity"): {
        "subject": "name",
        "description": "description",
        "budgetstatus": "budgetstatus",
        "budgetamount": "budgetamount",
        "purchasetimeframe": "purchasetimeframe",
        "estimatedclosedate": "estimatedclosedate",
        "decisionmaker": "decisionmaker",
    },
    ("account", "account"): _SAME_ADDRESS,
    ("account", "contact"): {"telephone1": "telephone1", **_SAME_ADDRESS},
    ("account", "opportunity"): {},
    ("contact", "opportunity"): {},
}
_LINKS: Mapping[tuple[str, str], str] = {
    ("lead", "opportunity"): "originatingleadid",
    ("account", "account"): "parentaccountid",
    ("account", "contact"): "parentcustomerid_account",
    ("account", "opportunity"): "customerid_account",
    ("contact", "opportunity"): "customerid_contact",
}
_OPEN, _QUALIFIED = 0, 1
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def _shown(invocation: Invocation, row: RowArgument) -> dict[str, Any]:
    stored = invocation.rooms.store.row(row.table, row.existing(invocation.rooms)) or {}
    shown: dict[str, Any] = _DECODER.decode(stored[JSON_COLUMN])
    return shown


def _template(shown: Mapping[str, Any], source: Table, target: Table) -> dict[str, Any]:
    """What a new row of ``target`` takes over: links first, then columns that have a value."""
    found: dict[str, Any] = {}
    link = _LINKS.get((source.name, target.name))
    if link:
        found[f"{link}@odata.bind"] = f"{source.set_name}({shown[source.primary_id]})"
    currency = shown.get("_transactioncurrencyid_value")
    if currency and target.has("transactioncurrencyid"):
        found["transactioncurrencyid@odata.bind"] = f"transactioncurrencies({currency})"
    for name, there in MAPPED[source.name, target.name].items():
        if shown.get(name) is not None and target.has(there):
            found[there] = shown[name]
    return found


def _initialize(invocation: Invocation) -> dict[str, Any]:
    row, name = invocation.row("EntityMoniker"), invocation.parameters["TargetEntityName"]
    target = TABLES.get(name)
    if target is None:
        raise Fault(
            400, "0x80041102", f"The entity with a name = '{name}' was not found in the MetadataCache."
        )
    if (row.table.name, target.name) not in MAPPED:
        raise Fault(400, "0x80040203", f"No mapping exists between {row.table.name} and {target.name}.")
    invocation.rooms.privileges.need(invocation.call, row.table, "Read")
    template = _template(_shown(invocation, row), row.table, target)
    return {
        "@odata.context": invocation.call.context(f"{target.set_name}/$entity"),
        "@odata.type": f"#Microsoft.Dynamics.CRM.{target.name}",
        **{
            name: msgspec.Raw(str(value).encode()) if isinstance(value, Decimal) else value
            for name, value in template.items()
        },
    }


def _qualify(invocation: Invocation) -> list[dict[str, Any]]:
    table, row_id = invocation.bound()
    rooms, given = invocation.rooms, invocation.parameters
    rooms.privileges.need(invocation.call, table, "Write")
    stored = rooms.store.row(table, row_id) or {}
    if stored["statecode"] != _OPEN:
        raise Fault(400, "0x80040519", "The lead is already closed.")
    made = [name for name in ("account", "contact", "opportunity") if given[f"Create{name.capitalize()}"]]
    shown = _shown(invocation, RowArgument(table, row_id, {}))
    ids = _new_rows(invocation, table, shown, made)
    status = given["Status"]
    values: dict[str, Any] = {"statecode": _QUALIFIED}
    if status >= 0:
        values["statuscode"] = status_of(table, status)
    if "opportunity" in ids:
        values["qualifyingopportunityid"] = ids["opportunity"]
    rooms.writer.change(invocation.call, table, rooms.store.row(table, row_id) or {}, values)
    return [
        {"@odata.type": f"#Microsoft.Dynamics.CRM.{name}", TABLES[name].primary_id: made_id}
        for name, made_id in ids.items()
    ]


def _new_rows(
    invocation: Invocation, table: Table, shown: Mapping[str, Any], names: Sequence[str]
) -> dict[str, str]:
    ids: dict[str, str] = {}
    for name in names:
        invocation.rooms.privileges.need(invocation.call, TABLES[name], "Create")
        body = _template(shown, table, TABLES[name])
        body |= _between(invocation, name, ids)
        ids[name] = invocation.rooms.writer.create(invocation.call, TABLES[name], body)
    return ids


def _between(invocation: Invocation, name: str, ids: Mapping[str, str]) -> dict[str, str]:
    """How the new rows belong together: the contact to the account, the opportunity to either."""
    if name == "contact" and "account" in ids:
        return {"parentcustomerid_account@odata.bind": f"accounts({ids['account']})"}
    if name != "opportunity":
        return {}
    given = invocation.parameters.get("OpportunityCustomerId")
    if given is not None:
        member = f"customerid_{given.table.name}@odata.bind"
        return {member: f"{given.table.set_name}({given.existing(invocation.rooms)})"}
    for customer in ("account", "contact"):
        if customer in ids:
            return {f"customerid_{customer}@odata.bind": f"{TABLES[customer].set_name}({ids[customer]})"}
    return {}


QUALIFYING = (
    Operation(
        "QualifyLead",
        (
            need("CreateAccount", "Edm.Boolean"),
            need("CreateContact", "Edm.Boolean"),
            need("CreateOpportunity", "Edm.Boolean"),
            Parameter("OpportunityCurrencyId", "mscrm.transactioncurrency"),
            Parameter("OpportunityCustomerId", ANY_ROW),
            need("Status", "Edm.Int32"),
            Parameter("ProcessInstanceId", ANY_ROW),
        ),
        returns=f"Collection({ANY_ROW})",
        bound_to="lead",
        run=_qualify,
    ),
    Operation(
        "InitializeFrom",
        (
            need("EntityMoniker", ANY_ROW),
            need("TargetEntityName", "Edm.String"),
            need("TargetFieldType", "mscrm.TargetFieldType"),
        ),
        returns=ANY_ROW,
        is_function=True,
        run=_initialize,
    ),
)
