"""What a solution leaves to each environment: environment variables and connection references.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/environmentvariabledefinition,
…/environmentvariablevalue and …/connectionreference
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    READ_ONLY,
    choice,
    flag,
    ident,
    lookup,
    memo,
    state,
    text,
    to,
)
from airflow_provider_dynamics.emulator.schema.common import audit, owner
from airflow_provider_dynamics.emulator.schema.model import Column, Table

REFERENCE_CODE = 10_150  # every environment has its own
VARIABLE_TYPES = {
    100000000: "String",
    100000001: "Number",
    100000002: "Boolean",
    100000003: "JSON",
    100000004: "Data Source",
    100000005: "Secret",
}


def _common(name: str) -> tuple[Column, ...]:
    return (
        text("IntroducedVersion", "Introduced Version", 48, **READ_ONLY),
        flag("IsManaged", "Is Managed", labels=("Unmanaged", "Managed"), **READ_ONLY),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        *owner(f"owner_{name}", f"user_{name}", f"team_{name}", f"business_unit_{name}"),
        *audit(f"lk_{name}_createdby", f"lk_{name}_modifiedby", f"lk_{name}"),
    )


ENVIRONMENTVARIABLEDEFINITION = Table(
    name="environmentvariabledefinition",
    schema_name="EnvironmentVariableDefinition",
    set_name="environmentvariabledefinitions",
    label="Environment Variable Definition",
    plural="Environment Variable Definitions",
    primary_id="environmentvariabledefinitionid",
    primary_name="schemaname",
    type_code=380,
    bulk=False,
    change_tracking=False,
    columns=(
        ident("EnvironmentVariableDefinitionId", "Environment Variable Definition"),
        text("SchemaName", "Schema Name", 100, required="SystemRequired"),
        text("DisplayName", "Display Name", 100),
        memo("Description", "Description", 2000),
        choice("Type", "Type", VARIABLE_TYPES, 100000000),
        memo("DefaultValue", "Default Value", 1_048_576),
        memo("ValueSchema", "Value Schema", 2000),
        text("Hint", "Hint", 100),
        flag("IsRequired", "Is Required"),
        text("ApiId", "Api Id", 400),
        text("ParameterKey", "Parameter Key", 100),
        choice("SecretStore", "Secret Store", {0: "Azure Key Vault", 1: "Microsoft Dataverse"}, 0),
        *_common("environmentvariabledefinition"),
    ),
)

ENVIRONMENTVARIABLEVALUE = Table(
    name="environmentvariablevalue",
    schema_name="EnvironmentVariableValue",
    set_name="environmentvariablevalues",
    label="Environment Variable Value",
    plural="Environment Variable Values",
    primary_id="environmentvariablevalueid",
    primary_name="schemaname",
    type_code=381,
    bulk=False,
    change_tracking=False,
    columns=(
        ident("EnvironmentVariableValueId", "Environment Variable Value"),
        text("SchemaName", "Schema Name", 100),
        memo("Value", "Value", 1_048_576),
        lookup(
            "EnvironmentVariableDefinitionId",
            "Environment Variable Definition",
            to(
                "environmentvariabledefinition",
                "EnvironmentVariableDefinitionId",
                "environmentvariabledefinition_environmentvariablevalue",
                "Cascade",
            ),
            required="ApplicationRequired",
        ),
        *_common("environmentvariablevalue"),
    ),
)

CONNECTIONREFERENCE = Table(
    name="connectionreference",
    schema_name="connectionreference",
    set_name="connectionreferences",
    label="Connection Reference",
    plural="Connection References",
    primary_id="connectionreferenceid",
    primary_name="connectionreferencedisplayname",
    type_code=REFERENCE_CODE,
    bulk=False,
    change_tracking=False,
    columns=(
        ident("ConnectionReferenceId", "Connection Reference"),
        text(
            "ConnectionReferenceLogicalName",
            "Connection Reference Logical Name",
            100,
            required="SystemRequired",
        ),
        text("ConnectionReferenceDisplayName", "Connection Reference Display Name", 100),
        text("ConnectorId", "Connector Id", 500),
        text("ConnectionId", "Connection Id", 200),
        text("Description", "Description", 2000),
        *_common("connectionreference"),
    ),
)
SETTINGS = (CONNECTIONREFERENCE, ENVIRONMENTVARIABLEDEFINITION, ENVIRONMENTVARIABLEVALUE)
