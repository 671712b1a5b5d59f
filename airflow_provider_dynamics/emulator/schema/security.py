"""Security roles and who has them.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/role
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import ident, lookup, memo, text, to
from airflow_provider_dynamics.emulator.schema.common import audit
from airflow_provider_dynamics.emulator.schema.model import Intersect, Table

ROLE = Table(
    name="role",
    schema_name="Role",
    set_name="roles",
    label="Security Role",
    plural="Security Roles",
    primary_id="roleid",
    primary_name="name",
    type_code=1036,
    bulk=False,
    change_tracking=False,
    ownership="BusinessOwned",
    writable=False,
    columns=(
        ident("RoleId", "Role"),
        text("Name", "Name", 100, required="SystemRequired"),
        memo("Description", "Description"),
        lookup(
            "BusinessUnitId",
            "Business Unit",
            to("businessunit", "businessunitid", "business_unit_roles", "Restrict"),
            required="SystemRequired",
        ),
        lookup("ParentRoleId", "Parent Role", to("role", "parentroleid", "role_parent_role")),
        lookup(
            "ParentRootRoleId", "Parent Root Role", to("role", "parentrootroleid", "role_parent_root_role")
        ),
        *audit("lk_rolebase_createdby", "lk_rolebase_modifiedby", "lk_role"),
    ),
)

USER_ROLES = Intersect("systemuserroles", "systemuserroles_association", "systemuser", "role")
TEAM_MEMBERS = Intersect("teammembership", "teammembership_association", "systemuser", "team")
ACCOUNT_LEADS = Intersect("accountleads", "accountleads_association", "account", "lead")
CONTACT_LEADS = Intersect("contactleads", "contactleads_association", "contact", "lead")
