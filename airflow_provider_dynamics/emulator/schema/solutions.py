"""Solutions and what they are made of, publishers and import jobs.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/solution, …/publisher,
…/solutioncomponent and …/importjob
"""

from __future__ import annotations

from typing import Any

from airflow_provider_dynamics.emulator.schema.columns import (
    LONGEST_MEMO,
    READ_ONLY,
    choice,
    double,
    flag,
    guid,
    ident,
    lookup,
    memo,
    moment,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import audit
from airflow_provider_dynamics.emulator.schema.model import Table
from airflow_provider_dynamics.emulator.schema.settings import REFERENCE_CODE, SETTINGS

COMPONENT_TYPES = {
    1: "Entity",
    2: "Attribute",
    9: "Option Set",
    10: "Entity Relationship",
    14: "Entity Key",
    20: "Role",
    29: "Workflow",
    60: "System Form",
    61: "Web Resource",
    62: "Site Map",
    91: "Plugin Assembly",
    92: "SDK Message Processing Step",
    95: "Service Endpoint",
    300: "Canvas App",
    380: "Environment Variable Definition",
    381: "Environment Variable Value",
    REFERENCE_CODE: "Connection Reference",
}
_FIXED: dict[str, Any] = {"bulk": False, "change_tracking": False, "ownership": "OrganizationOwned"}

PUBLISHER = Table(
    name="publisher",
    schema_name="Publisher",
    set_name="publishers",
    label="Publisher",
    plural="Publishers",
    primary_id="publisherid",
    primary_name="friendlyname",
    type_code=7101,
    columns=(
        ident("PublisherId", "Publisher Identifier"),
        text("UniqueName", "Name", 256, required="SystemRequired", update=False),
        text("FriendlyName", "Display Name", 256, required="SystemRequired"),
        text("CustomizationPrefix", "Prefix", 8, required="SystemRequired"),
        whole("CustomizationOptionValuePrefix", "Option Value Prefix", 10_000, 99_999),
        text("Description", "Description", 2000),
        text("EMailAddress", "Email", 100),
        text("SupportingWebsiteUrl", "Website", 200),
        flag("IsReadonly", "Is Read-Only Publisher", **READ_ONLY),
        *audit("lk_publisher_createdby", "lk_publisher_modifiedby", "lk_publisherbase"),
    ),
    **_FIXED,
)

SOLUTION = Table(
    name="solution",
    schema_name="Solution",
    set_name="solutions",
    label="Solution",
    plural="Solutions",
    primary_id="solutionid",
    primary_name="friendlyname",
    type_code=7100,
    columns=(
        ident("SolutionId", "Solution Identifier"),
        text("UniqueName", "Name", 65, required="SystemRequired", update=False),
        text("FriendlyName", "Display Name", 256, required="SystemRequired"),
        text("Version", "Version", 256, required="SystemRequired"),
        text("Description", "Description", 2000),
        flag("IsManaged", "Package Type", labels=("Unmanaged", "Managed"), **READ_ONLY),
        flag("IsVisible", "Is Visible Outside Platform", True, **READ_ONLY),
        flag("IsApiManaged", "Is Api Managed Solution", **READ_ONLY),
        moment("InstalledOn", "Installed On", **READ_ONLY),
        moment("UpdatedOn", "Updated On", **READ_ONLY),
        text("SolutionPackageVersion", "Solution Package Version", 256, **READ_ONLY),
        choice("SolutionType", "Solution Type", {0: "None", 1: "Snapshot", 2: "Internal"}, **READ_ONLY),
        lookup(
            "PublisherId",
            "Publisher",
            to("publisher", "publisherid", "publisher_solution", "Restrict"),
            required="SystemRequired",
        ),
        lookup(
            "ParentSolutionId",
            "Parent Solution",
            to("solution", "parentsolutionid", "solution_parent_solution"),
            **READ_ONLY,
        ),
        *audit("lk_solution_createdby", "lk_solution_modifiedby", "lk_solutionbase"),
    ),
    **_FIXED,
)

SOLUTIONCOMPONENT = Table(
    name="solutioncomponent",
    schema_name="SolutionComponent",
    set_name="solutioncomponents",
    label="Solution Component",
    plural="Solution Components",
    primary_id="solutioncomponentid",
    primary_name="solutioncomponentid",
    type_code=7103,
    creatable=False,
    columns=(
        ident("SolutionComponentId", "Solution Component Identifier"),
        choice("ComponentType", "Object Type Code", COMPONENT_TYPES, **READ_ONLY),
        guid("ObjectId", "Regarding", **READ_ONLY),
        choice(
            "RootComponentBehavior",
            "Include Behavior",
            {0: "Include Subcomponents", 1: "Do not include subcomponents", 2: "Include As Shell Only"},
            **READ_ONLY,
        ),
        flag("IsMetadata", "Is this component metadata", labels=("Data", "Metadata"), **READ_ONLY),
        guid("RootSolutionComponentId", "Root Solution Component ID", **READ_ONLY),
        lookup(
            "SolutionId",
            "Solution",
            to("solution", "solutionid", "solution_solutioncomponent", "Cascade"),
            **READ_ONLY,
        ),
        *audit(
            "lk_solutioncomponentbase_createdby",
            "lk_solutioncomponentbase_modifiedby",
            "lk_solutioncomponent",
        ),
    ),
    **_FIXED,
)

IMPORTJOB = Table(
    name="importjob",
    schema_name="ImportJob",
    set_name="importjobs",
    label="Import Job",
    plural="Import Jobs",
    primary_id="importjobid",
    primary_name="name",
    type_code=9107,
    creatable=False,
    columns=(
        ident("ImportJobId", "Import Job"),
        text("Name", "Name", 256, **READ_ONLY),
        text("SolutionName", "Solution Name", 256, **READ_ONLY),
        guid("SolutionId", "Solution", **READ_ONLY),
        double("Progress", "Progress", 2, 0, 100, **READ_ONLY),
        memo("Data", "Data", LONGEST_MEMO, **READ_ONLY),
        moment("StartedOn", "Started On", **READ_ONLY),
        moment("CompletedOn", "Completed On", **READ_ONLY),
        text("ImportContext", "Import Context", 256, **READ_ONLY),
        text("OperationContext", "Operation Context", 256, **READ_ONLY),
        *audit("lk_importjobbase_createdby", "lk_importjobbase_modifiedby", "lk_importjobbase"),
    ),
    **_FIXED,
)
SOLUTIONS = (PUBLISHER, SOLUTION, SOLUTIONCOMPONENT, IMPORTJOB, *SETTINGS)
