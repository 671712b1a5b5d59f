"""Who was given access to single rows: written by GrantAccess and its kin, to be read only.

https://learn.microsoft.com/power-apps/developer/data-platform/security-sharing-assigning
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import guid, ident, moment, whole
from airflow_provider_dynamics.emulator.schema.common import VERSION
from airflow_provider_dynamics.emulator.schema.model import Column, Table

PRINCIPALOBJECTACCESS = Table(
    name="principalobjectaccess",
    schema_name="PrincipalObjectAccess",
    set_name="principalobjectaccessset",
    label="Principal Object Access",
    plural="Principal Object Access",
    primary_id="principalobjectaccessid",
    primary_name="principalobjectaccessid",
    type_code=11,
    bulk=False,
    change_tracking=False,
    ownership="None",
    writable=False,
    columns=(
        ident("PrincipalObjectAccessId", "Principal Object Access"),
        guid("ObjectId", "Object"),
        Column("objecttypecode", "ObjectTypeCode", "EntityName", "Object Type Code"),
        guid("PrincipalId", "Principal"),
        Column("principaltypecode", "PrincipalTypeCode", "EntityName", "Principal Type Code"),
        whole("AccessRightsMask", "Access Rights Mask"),
        moment("ChangedOn", "Changed On"),
        VERSION,
    ),
)
