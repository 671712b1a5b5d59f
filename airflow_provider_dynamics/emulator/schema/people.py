"""Users, teams and business units.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/systemuser, …/team, …/businessunit
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    flag,
    guid,
    ident,
    lookup,
    memo,
    text,
    to,
)
from airflow_provider_dynamics.emulator.schema.common import audit, currency
from airflow_provider_dynamics.emulator.schema.model import Column, Table

_MODES = {
    0: "Read-Write",
    1: "Administrative",
    2: "Read",
    3: "Support User",
    4: "Non-interactive",
    5: "Delegated Admin",
}


def _business_unit(relationship: str) -> Column:
    return lookup(
        "BusinessUnitId",
        "Business Unit",
        to("businessunit", "businessunitid", relationship, "Restrict"),
        required="SystemRequired",
    )


SYSTEMUSER = Table(
    name="systemuser",
    schema_name="SystemUser",
    set_name="systemusers",
    label="User",
    plural="Users",
    primary_id="systemuserid",
    primary_name="fullname",
    type_code=8,
    is_principal=True,
    ownership="BusinessOwned",
    columns=(
        ident("SystemUserId", "User"),
        text("FirstName", "First Name", 256),
        text("LastName", "Last Name", 256),
        text("FullName", "Full Name", 200, create=False, update=False),
        text("DomainName", "User Name", 1024, required="SystemRequired"),
        text("InternalEMailAddress", "Primary Email", 100, format="Email"),
        text("Title", "Title", 128),
        text("JobTitle", "Job Title", 100),
        text("MobilePhone", "Mobile Phone", 64),
        text("Address1_Telephone1", "Main Phone", 64),
        guid("AzureActiveDirectoryObjectId", "Microsoft Entra ID Object ID"),
        guid("ApplicationId", "Application ID"),
        flag("IsDisabled", "Status", labels=("Enabled", "Disabled")),
        choice("AccessMode", "Access Mode", _MODES, 0),
        text("EmployeeId", "Employee", 100),
        lookup("ParentSystemUserId", "Manager", to("systemuser", "parentsystemuserid", "user_parent_user")),
        _business_unit("business_unit_system_users"),
        *currency("TransactionCurrency_SystemUser"),
        *audit("lk_systemuserbase_createdby", "lk_systemuserbase_modifiedby", "lk_systemuser"),
    ),
)

TEAM = Table(
    name="team",
    schema_name="Team",
    set_name="teams",
    label="Team",
    plural="Teams",
    primary_id="teamid",
    primary_name="name",
    type_code=9,
    is_principal=True,
    bulk=False,
    ownership="BusinessOwned",
    columns=(
        ident("TeamId", "Team"),
        text("Name", "Team Name", 160, required="SystemRequired"),
        memo("Description", "Description"),
        text("EMailAddress", "Email", 100, format="Email"),
        choice("TeamType", "Team Type", {0: "Owner", 1: "Access", 2: "Security Group", 3: "Office Group"}, 0),
        flag("IsDefault", "Is Default", create=False, update=False),
        lookup(
            "AdministratorId",
            "Administrator",
            to("systemuser", "administratorid", "lk_teambase_administratorid"),
        ),
        _business_unit("business_unit_teams"),
        *currency("TransactionCurrency_Team"),
        *audit("lk_teambase_createdby", "lk_teambase_modifiedby", "lk_team"),
    ),
)

BUSINESSUNIT = Table(
    name="businessunit",
    schema_name="BusinessUnit",
    set_name="businessunits",
    label="Business Unit",
    plural="Business Units",
    primary_id="businessunitid",
    primary_name="name",
    type_code=10,
    bulk=False,
    ownership="BusinessOwned",
    columns=(
        ident("BusinessUnitId", "Business Unit"),
        text("Name", "Name", 160, required="ApplicationRequired"),
        memo("Description", "Description"),
        text("DivisionName", "Division", 100),
        text("CostCenter", "Cost Center", 100),
        text("EMailAddress", "Email", 100, format="Email"),
        text("WebSiteUrl", "Website", 200, format="Url"),
        flag("IsDisabled", "Is Disabled", labels=("Enabled", "Disabled")),
        lookup(
            "ParentBusinessUnitId",
            "Parent Business",
            to("businessunit", "parentbusinessunitid", "business_unit_parent_business_unit", "Restrict"),
        ),
        *currency("TransactionCurrency_BusinessUnit"),
        *audit("lk_businessunitbase_createdby", "lk_businessunitbase_modifiedby", "lk_businessunit"),
    ),
)
