"""Views: the ones of an application (savedquery) and the ones people keep for themselves (userquery).

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/savedquery and …/userquery
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import flag, ident, memo, state, text, whole
from airflow_provider_dynamics.emulator.schema.common import audit, owner
from airflow_provider_dynamics.emulator.schema.model import Column, Table

_XML = 1_073_741_823


def _query(schema_name: str, label: str) -> tuple[Column, ...]:
    return (
        ident(schema_name, label),
        text("Name", "Name", 200, required="SystemRequired"),
        memo("Description", "Description"),
        Column(
            "returnedtypecode",
            "ReturnedTypeCode",
            "EntityName",
            "Returned Type Code",
            required="SystemRequired",
        ),
        memo("FetchXml", "Fetch XML", _XML),
        memo("LayoutXml", "Layout XML", _XML),
        whole("QueryType", "Query Type", 0, 1_000_000_000, required="SystemRequired", default=0),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
    )


SAVEDQUERY = Table(
    name="savedquery",
    schema_name="SavedQuery",
    set_name="savedqueries",
    label="View",
    plural="Views",
    primary_id="savedqueryid",
    primary_name="name",
    type_code=1039,
    bulk=False,
    change_tracking=False,
    ownership="OrganizationOwned",
    columns=(
        *_query("SavedQueryId", "View"),
        flag("IsDefault", "Default View"),
        flag("IsQuickFindQuery", "Is Quick Find Query"),
        *audit("lk_savedquerybase_createdby", "lk_savedquerybase_modifiedby", "lk_savedquery"),
    ),
)

USERQUERY = Table(
    name="userquery",
    schema_name="UserQuery",
    set_name="userqueries",
    label="Saved View",
    plural="Saved Views",
    primary_id="userqueryid",
    primary_name="name",
    type_code=4230,
    bulk=False,
    change_tracking=False,
    columns=(
        *_query("UserQueryId", "User Query"),
        *owner("user_userquery", "userquery_owninguser", "userquery_owningteam", "business_unit_userquery"),
        *audit("lk_userquery_createdby", "lk_userquery_modifiedby", "lk_userquery"),
    ),
)
