"""Solutions and what they are made of, publishers and import jobs.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/solution, …/publisher,
…/solutioncomponent and …/importjob
"""

from __future__ import annotations

from typing import Any

from airflow_provider_dynamics.emulator.schema.columns import (
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

_READ: dict[str, Any] = {"create": False, "update": False}
_LONG = 1_073_741_823
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
        flag("IsReadonly", "Is Read-Only Publisher", **_READ),
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
        flag("IsManaged", "Package Type", labels=("Unmanaged", "Managed"), **_READ),
        flag("IsVisible", "Is Visible Outside Platform", True, **_READ),
        flag("IsApiManaged", "Is Api Managed Solution", **_READ),
        moment("InstalledOn", "Installed On", **_READ),
        moment("UpdatedOn", "Updated On", **_READ),
        text("SolutionPackageVersion", "Solution Package Version", 256, **_READ),
        choice("SolutionType", "Solution Type", {0: "None", 1: "Snapshot", 2: "Internal"}, **_READ),
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
            **_READ,
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
        choice("ComponentType", "Object Type Code", COMPONENT_TYPES, **_READ),
        guid("ObjectId", "Regarding", **_READ),
        choice(
            "RootComponentBehavior",
            "Include Behavior",
            {0: "Include Subcomponents", 1: "Do not include subcomponents", 2: "Include As Shell Only"},
            **_READ,
        ),
        flag("IsMetadata", "Is this component metadata", labels=("Data", "Metadata"), **_READ),
        guid("RootSolutionComponentId", "Root Solution Component ID", **_READ),
        lookup(
            "SolutionId",
            "Solution",
            to("solution", "solutionid", "solution_solutioncomponent", "Cascade"),
            **_READ,
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
        text("Name", "Name", 256, **_READ),
        text("SolutionName", "Solution Name", 256, **_READ),
        guid("SolutionId", "Solution", **_READ),
        double("Progress", "Progress", 2, 0, 100, **_READ),
        memo("Data", "Data", _LONG, **_READ),
        moment("StartedOn", "Started On", **_READ),
        moment("CompletedOn", "Completed On", **_READ),
        text("ImportContext", "Import Context", 256, **_READ),
        text("OperationContext", "Operation Context", 256, **_READ),
        *audit("lk_importjobbase_createdby", "lk_importjobbase_modifiedby", "lk_importjobbase"),
    ),
    **_FIXED,
)
SOLUTIONS = (PUBLISHER, SOLUTION, SOLUTIONCOMPONENT, IMPORTJOB, *SETTINGS)
