"""The complex and enumeration types that parameters and results of operations are made of.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/web-api-complex-enum-types
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_dynamics.emulator.operations.model import PRINCIPAL, Parameter, need

ENUMS: Mapping[str, Mapping[str, int]] = {
    "AccessRights": {
        "None": 0,
        "ReadAccess": 1,
        "WriteAccess": 2,
        "AppendAccess": 4,
        "AppendToAccess": 16,
        "CreateAccess": 32,
        "DeleteAccess": 65536,
        "ShareAccess": 262144,
        "AssignAccess": 524288,
    },
    "ConditionOperator": {
        "Equal": 0,
        "NotEqual": 1,
        "GreaterThan": 2,
        "LessThan": 3,
        "GreaterEqual": 4,
        "LessEqual": 5,
        "Like": 6,
        "NotLike": 7,
        "In": 8,
        "NotIn": 9,
        "Between": 10,
        "NotBetween": 11,
        "Null": 12,
        "NotNull": 13,
        "On": 25,
        "OnOrBefore": 26,
        "OnOrAfter": 27,
    },
    "EndpointAccessType": {"Default": 0, "Internet": 1, "Intranet": 2},
    "EndpointType": {"OrganizationService": 0, "OrganizationDataService": 1, "WebApplication": 2},
    "LogicalOperator": {"And": 0, "Or": 1},
    "OrderType": {"Ascending": 0, "Descending": 1},
    "OrganizationState": {"Enabled": 0, "Disabled": 1},
    "PrivilegeDepth": {"Basic": 0, "Local": 1, "Deep": 2, "Global": 3, "RecordFilter": 4},
    "SolutionValidationResultType": {"Error": 0, "Warning": 1, "Information": 2},
    "StageSolutionStatus": {"Passed": 0, "Failed": 1},
    "TargetFieldType": {"All": 0, "ValidForCreate": 1, "ValidForUpdate": 2, "ValidForRead": 3},
}
FLAGS = frozenset({"AccessRights"})  # several members may be given at once
COMPLEX: Mapping[str, tuple[Parameter, ...]] = {
    "PrincipalAccess": (need("AccessMask", "mscrm.AccessRights"), Parameter("Principal", PRINCIPAL)),
    "RolePrivilege": (
        need("Depth", "mscrm.PrivilegeDepth"),
        need("PrivilegeId", "Edm.Guid"),
        need("BusinessUnitId", "Edm.Guid"),
        Parameter("PrivilegeName", "Edm.String"),
        need("RecordFilterId", "Edm.Guid"),
        Parameter("RecordFilterUniqueName", "Edm.String"),
    ),
    "EntityRecordCountCollection": (
        need("Count", "Edm.Int32"),
        need("IsReadOnly", "Edm.Boolean"),
        Parameter("Keys", "Collection(Edm.String)"),
        Parameter("Values", "Collection(Edm.Int64)"),
    ),
    "EndpointCollection": (
        need("Count", "Edm.Int32"),
        need("IsReadOnly", "Edm.Boolean"),
        Parameter("Keys", "Collection(mscrm.EndpointType)"),
        Parameter("Values", "Collection(Edm.String)"),
    ),
    "OrganizationDetail": (
        need("OrganizationId", "Edm.Guid"),
        Parameter("FriendlyName", "Edm.String"),
        Parameter("OrganizationVersion", "Edm.String"),
        Parameter("EnvironmentId", "Edm.String"),
        Parameter("DatacenterId", "Edm.Guid"),
        Parameter("Geo", "Edm.String"),
        Parameter("TenantId", "Edm.String"),
        Parameter("UrlName", "Edm.String"),
        Parameter("UniqueName", "Edm.String"),
        need("State", "mscrm.OrganizationState"),
        Parameter("Endpoints", "mscrm.EndpointCollection"),
    ),
    "BulkDeleteOptions": (
        Parameter("CanRecoverDeletedRecords", "Edm.Boolean"),
        Parameter("RunJobForSandbox", "Edm.Boolean"),
    ),
    "ColumnSet": (need("AllColumns", "Edm.Boolean"), Parameter("Columns", "Collection(Edm.String)")),
    "ConditionExpression": (
        Parameter("EntityName", "Edm.String"),
        Parameter("AttributeName", "Edm.String"),
        need("Operator", "mscrm.ConditionOperator"),
        Parameter("Values", "Collection(mscrm.Object)"),
        need("CompareColumns", "Edm.Boolean"),
    ),
    "FilterExpression": (
        need("FilterOperator", "mscrm.LogicalOperator"),
        Parameter("FilterHint", "Edm.String"),
        Parameter("Conditions", "Collection(mscrm.ConditionExpression)"),
        Parameter("Filters", "Collection(mscrm.FilterExpression)"),
    ),
    "ComplexEntityMetadata": (
        Parameter("SchemaName", "Edm.String"),
        Parameter("DisplayName", "mscrm.Label"),
        Parameter("DisplayCollectionName", "mscrm.Label"),
        Parameter("Description", "mscrm.Label"),
    ),
    "ComplexLookupAttributeMetadata": (
        Parameter("SchemaName", "Edm.String"),
        Parameter("DisplayName", "mscrm.Label"),
        Parameter("Description", "mscrm.Label"),
    ),
    "ComplexOneToManyRelationshipMetadata": (
        Parameter("SchemaName", "Edm.String"),
        Parameter("ReferencedEntity", "Edm.String"),
        Parameter("ReferencingEntity", "Edm.String"),
    ),
    # Refused when they are given: what they are made of is not known here.
    "ExportComponentsParams": (),
    "LayerDesiredOrder": (),
    "Label": (
        Parameter("LocalizedLabels", "Collection(mscrm.LocalizedLabel)"),
        Parameter("UserLocalizedLabel", "mscrm.LocalizedLabel"),
    ),
    "LocalizedLabel": (
        Parameter("Label", "Edm.String"),
        Parameter("LanguageCode", "Edm.Int32"),
        Parameter("IsManaged", "Edm.Boolean"),
        Parameter("MetadataId", "Edm.Guid"),
        Parameter("HasChanged", "Edm.Boolean"),
    ),
    "MissingDependency": tuple(
        Parameter(f"{which}{name}", "Edm.Guid" if name == "ComponentId" else "Edm.String")
        for which, names in (
            (
                "Required",
                (
                    "ComponentSchemaName",
                    "ComponentDisplayName",
                    "ComponentParentSchemaName",
                    "ComponentParentDisplayName",
                    "ComponentId",
                    "SolutionName",
                    "ComponentType",
                ),
            ),
            (
                "Dependent",
                (
                    "ComponentSchemaName",
                    "ComponentDisplayName",
                    "ComponentParentSchemaName",
                    "ComponentParentDisplayName",
                    "ComponentType",
                    "ComponentId",
                ),
            ),
        )
        for name in names
    ),
    "ObjectAttributeCollection": (
        need("Count", "Edm.Int32"),
        need("IsReadOnly", "Edm.Boolean"),
        Parameter("Keys", "Collection(Edm.String)"),
        Parameter("Values", "Collection(Edm.String)"),
    ),
    "SolutionComponentDetails": (
        Parameter("ComponentTypeName", "Edm.String"),
        Parameter("Attributes", "mscrm.ObjectAttributeCollection"),
    ),
    "SolutionDetails": (
        Parameter("SolutionUniqueName", "Edm.String"),
        Parameter("SolutionFriendlyName", "Edm.String"),
        Parameter("SolutionVersion", "Edm.String"),
        need("IsManaged", "Edm.Boolean"),
    ),
    "SolutionParameters": (Parameter("StageSolutionUploadId", "Edm.Guid"),),
    "SolutionValidationResult": (
        need("SolutionValidationResultType", "mscrm.SolutionValidationResultType"),
        Parameter("Message", "Edm.String"),
        need("ErrorCode", "Edm.Int32"),
        Parameter("AdditionalInfo", "Edm.String"),
    ),
    "StageSolutionResults": (
        need("StageSolutionUploadId", "Edm.Guid"),
        need("StageSolutionStatus", "mscrm.StageSolutionStatus"),
        Parameter("SolutionDetails", "mscrm.SolutionDetails"),
        Parameter("SolutionComponentsDetails", "Collection(mscrm.SolutionComponentDetails)"),
        Parameter("MissingDependencies", "Collection(mscrm.MissingDependency)"),
        Parameter("SolutionValidationResults", "Collection(mscrm.SolutionValidationResult)"),
    ),
    "Object": (Parameter("Type", "Edm.String"), Parameter("Value", "Edm.String")),
    "OrderExpression": (Parameter("AttributeName", "Edm.String"), need("OrderType", "mscrm.OrderType")),
    "QueryExpression": (
        need("Distinct", "Edm.Boolean"),
        Parameter("EntityName", "Edm.String"),
        Parameter("ColumnSet", "mscrm.ColumnSet"),
        Parameter("Criteria", "mscrm.FilterExpression"),
        Parameter("DataSource", "Edm.String"),
        Parameter("Orders", "Collection(mscrm.OrderExpression)"),
    ),
}
# Types that are passed on as they come: what they are made of is checked by who uses them.
OPEN = frozenset(
    {
        "ComplexEntityMetadata",
        "ComplexLookupAttributeMetadata",
        "ComplexOneToManyRelationshipMetadata",
        "expando",
        "ExportComponentsParams",
        "LayerDesiredOrder",
        "Object",
        "QueryExpression",
        "QueryBase",
        "FetchExpression",
    }
)
