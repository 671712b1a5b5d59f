"""Tables, columns, keys and relationships as the JSON of the metadata endpoints.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/entitymetadata and its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_dynamics.emulator.schema import (
    TABLES,
    Column,
    Intersect,
    Key,
    Option,
    Table,
    Target,
    collections_of,
    many_to_many,
)
from airflow_provider_dynamics.emulator.schema.current import per_schema
from airflow_provider_dynamics.emulator.schema.model import OPTION_KINDS, Choice, stable_id

Shape = dict[str, Any]
NAMESPACE = "Microsoft.Dynamics.CRM"
ENGLISH = 1033

_TYPE_NAMES: Mapping[str, str] = {
    "String": "StringType",
    "Memo": "MemoType",
    "Integer": "IntegerType",
    "BigInt": "BigIntType",
    "Decimal": "DecimalType",
    "Double": "DoubleType",
    "Money": "MoneyType",
    "Boolean": "BooleanType",
    "DateTime": "DateTimeType",
    "Picklist": "PicklistType",
    "State": "StateType",
    "Status": "StatusType",
    "MultiSelectPicklist": "MultiSelectPicklistType",
    "Lookup": "LookupType",
    "Customer": "CustomerType",
    "Owner": "OwnerType",
    "Uniqueidentifier": "UniqueidentifierType",
    "EntityName": "EntityNameType",
    "File": "FileType",
    "Image": "ImageType",
}
# These have no type code of their own.
_VIRTUAL = frozenset({"MultiSelectPicklist", "File", "Image"})
# Customer and Owner columns are lookups of their own type code.
_METADATA_TYPES: Mapping[str, str] = {
    "Customer": "LookupAttributeMetadata",
    "Owner": "LookupAttributeMetadata",
    "Uniqueidentifier": "UniqueIdentifierAttributeMetadata",
}


def label(text: str | None) -> Shape:
    """A localized label in English, or one without text."""
    if text is None:
        return {"LocalizedLabels": [], "UserLocalizedLabel": None}
    one = {
        "Label": text,
        "LanguageCode": ENGLISH,
        "IsManaged": True,
        "MetadataId": stable_id("label", text),
        "HasChanged": None,
    }
    return {"LocalizedLabels": [one], "UserLocalizedLabel": dict(one)}


def _managed(value: object, name: str, *, can_change: bool = True) -> Shape:
    return {"Value": value, "CanBeChanged": can_change, "ManagedPropertyLogicalName": name}


@per_schema
def entity(name: str) -> Shape:
    """EntityMetadata without its collections."""
    table = TABLES[name]
    return {
        "ActivityTypeMask": 1 if table.is_activity else 0,
        "AutoRouteToOwnerQueue": False,
        "CanTriggerWorkflow": True,
        "EntityHelpUrlEnabled": False,
        "IsDocumentManagementEnabled": False,
        "IsActivity": table.is_activity,
        "IsActivityParty": False,
        "IsArchivalEnabled": False,
        "IsAvailableOffline": True,
        "IsChildEntity": False,
        "IsCustomEntity": table.custom,
        "IsEnabledForCharts": True,
        "IsBusinessProcessEnabled": False,
        "IsImportable": True,
        "IsIntersect": False,
        "IsKnowledgeManagementEnabled": False,
        "IsLogicalEntity": False,
        "IsManaged": not table.custom,
        "IsOptimisticConcurrencyEnabled": table.optimistic_concurrency,
        "IsPrivate": False,
        "IsValidForAdvancedFind": True,
        "ChangeTrackingEnabled": table.change_tracking,
        "DataProviderId": None,
        "DataSourceId": None,
        "EntitySetName": table.set_name,
        "CollectionSchemaName": table.plural.replace(" ", ""),
        "ExternalName": None,
        "LogicalCollectionName": table.set_name,
        "LogicalName": table.name,
        "MetadataId": table.metadata_id,
        "HasChanged": None,
        "HasActivities": table.name in {"account", "contact", "lead", "opportunity", "incident"},
        "HasNotes": table.ownership == "UserOwned",
        "IntroducedVersion": "5.0.0.0" if not table.custom else "1.0.0.0",
        "ObjectTypeCode": table.type_code,
        "OwnershipType": table.ownership,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryImageAttribute": next(
            (column.name for column in table.columns if column.primary_image), None
        ),
        "PrimaryNameAttribute": table.primary_name,
        "SchemaName": table.schema_name,
        "TableType": "Elastic" if table.elastic else "Standard",
        "Description": label(table.description),
        "DisplayName": label(table.label),
        "DisplayCollectionName": label(table.plural),
        "CanCreateAttributes": _managed(table.customizable, "cancreateattributes", can_change=False),
        "CanCreateForms": _managed(value=True, name="cancreateforms"),
        "CanCreateViews": _managed(value=True, name="cancreateviews"),
        "CanModifyAdditionalSettings": _managed(value=True, name="canmodifyadditionalsettings"),
        "CanEnableSyncToExternalSearchIndex": _managed(value=True, name="canenablesynctoexternalsearchindex"),
        "IsAuditEnabled": _managed(value=True, name="canmodifyauditsettings"),
        "IsConnectionsEnabled": _managed(value=True, name="canmodifyconnectionsettings"),
        "IsCustomizable": _managed(table.customizable, "iscustomizable", can_change=False),
        "IsDuplicateDetectionEnabled": _managed(value=False, name="canmodifyduplicatedetectionsettings"),
        "IsMappable": _managed(value=True, name="ismappable"),
        "IsRenameable": _managed(value=True, name="isrenameable"),
        "IsValidForQueue": _managed(value=False, name="canmodifyqueuesettings"),
        **table.shown,
    }


def metadata_type(column: Column) -> str:
    """The type a cast segment names, e.g. ``PicklistAttributeMetadata``."""
    return _METADATA_TYPES.get(column.kind, f"{column.kind}AttributeMetadata")


@per_schema
def attributes(name: str) -> tuple[Shape, ...]:
    """AttributeMetadata of every column, each with all members of its own type."""
    return tuple(_attribute(TABLES[name], column) for column in TABLES[name].columns)


def _attribute(table: Table, column: Column) -> Shape:
    primary = column.name == table.primary_id
    return {
        "@odata.type": f"#{NAMESPACE}.{metadata_type(column)}",
        "AttributeOf": column.part_of,
        "AttributeType": "Virtual" if column.kind in _VIRTUAL else column.kind,
        "AttributeTypeName": {"Value": _TYPE_NAMES[column.kind]},
        "ColumnNumber": table.columns.index(column) + 1,
        "DeprecatedVersion": None,
        "Description": label(column.description),
        "DisplayName": label(column.label),
        "EntityLogicalName": table.name,
        "ExternalName": None,
        "HasChanged": None,
        "IntroducedVersion": "1.0.0.0" if column.custom else "5.0.0.0",
        "IsCustomAttribute": column.custom,
        "IsFilterable": False,
        "IsLogical": False,
        "IsManaged": not column.custom,
        "IsPrimaryId": primary,
        "IsPrimaryName": column.name == table.primary_name,
        "IsRetrievable": False,
        "IsSearchable": False,
        "IsSecured": False,
        "IsValidForCreate": column.create and table.writable,
        "IsValidForForm": not primary,
        "IsValidForGrid": not primary,
        "IsValidForRead": column.read,
        "IsValidForUpdate": column.update and table.writable,
        "IsValidODataAttribute": True,
        "LogicalName": column.name,
        "MetadataId": table.column_metadata_id(column.name),
        "SchemaName": column.schema_name,
        "SourceType": column.source_type,
        "IsAuditEnabled": _managed(value=True, name="canmodifyauditsettings"),
        "IsCustomizable": _managed(value=True, name="iscustomizable"),
        "IsRenameable": _managed(value=True, name="isrenameable"),
        "IsValidForAdvancedFind": _managed(value=True, name="canmodifysearchsettings"),
        "RequiredLevel": _managed(column.required, "canmodifyrequirementlevelsettings"),
        **_special(column),
    }


def _special(column: Column) -> Shape:
    make = _SPECIAL.get("Lookup" if column.is_lookup else column.kind)
    return make(column) if make else {}


def _text(column: Column) -> Shape:
    length = {"MaxLength": column.max_length, "DatabaseLength": (column.max_length or 0) * 2}
    return {
        **length,
        "Format": column.format,
        "FormatName": {"Value": column.format},
        "ImeMode": "Auto",
        "IsLocalizable": False,
    }


def _limits(column: Column) -> Shape:
    return {"MinValue": column.minimum, "MaxValue": column.maximum}


def _date(column: Column) -> Shape:
    return {
        "DateTimeBehavior": {"Value": column.behavior},
        "Format": column.format,
        "ImeMode": "Inactive",
        "CanChangeDateTimeBehavior": _managed(value=False, name="canchangedatetimebehavior"),
        "MinSupportedValue": "1753-01-01T00:00:00Z",
        "MaxSupportedValue": "9999-12-30T23:59:59Z",
    }


def _choice(column: Column) -> Shape:
    return {"DefaultFormValue": column.default if column.default is not None else -1}


def _money(column: Column) -> Shape:
    return {
        "CalculationOf": column.base_of,
        "ImeMode": "Disabled",
        "IsBaseCurrency": column.base_of is not None,
        "MaxValue": column.maximum,
        "MinValue": column.minimum,
        "Precision": column.precision,
        "PrecisionSource": column.precision_source,
    }


def _image(column: Column) -> Shape:
    return {
        "IsPrimaryImage": column.primary_image,
        "CanStoreFullImage": column.full_image,
        "MaxSizeInKB": column.max_kilobytes,
        "MaxHeight": 144,
        "MaxWidth": 144,
    }


_SPECIAL: Mapping[str, Callable[[Column], Shape]] = {
    **dict.fromkeys(("String", "Memo"), _text),
    **dict.fromkeys(("Integer", "BigInt"), lambda column: {**_limits(column), "Format": "None"}),
    **dict.fromkeys(
        ("Decimal", "Double"),
        lambda column: {"Precision": column.precision, "ImeMode": "Auto", **_limits(column)},
    ),
    **dict.fromkeys(OPTION_KINDS, _choice),
    "File": lambda column: {"MaxSizeInKB": column.max_kilobytes},
    "Image": _image,
    "Money": _money,
    "DateTime": _date,
    "Boolean": lambda column: {"DefaultValue": bool(column.default)},
    "Lookup": lambda column: {"Targets": [target.table for target in column.targets], "Format": "None"},
}


def option_set(table: Table, column: Column) -> Shape | None:
    """The OptionSet of a choice or yes/no column; None for other kinds."""
    if column.kind == "Boolean":
        no, yes = (_option(value, text) for value, text in enumerate(column.labels))
        return {**_option_set_head(table, column, "Boolean"), "TrueOption": yes, "FalseOption": no}
    if column.kind not in OPTION_KINDS:
        return None
    kind = column.kind if column.kind in {"State", "Status"} else "Picklist"
    options = [_listed(column.kind, option) for option in column.options]
    return {**_option_set_head(table, column, kind), "ParentOptionSetName": None, "Options": options}


def global_choice(choice: Choice) -> Shape:
    """OptionSetMetadata of a global choice."""
    return {
        "@odata.type": f"#{NAMESPACE}.OptionSetMetadata",
        "MetadataId": choice.metadata_id,
        "HasChanged": None,
        "Description": label(choice.description),
        "DisplayName": label(choice.label),
        "IsCustomOptionSet": True,
        "IsGlobal": True,
        "IsManaged": False,
        "Name": choice.name,
        "ExternalTypeName": None,
        "OptionSetType": "Picklist",
        "IntroducedVersion": "1.0.0.0",
        "ParentOptionSetName": None,
        "IsCustomizable": _managed(value=True, name="iscustomizable"),
        "Options": [_option(option.value, option.label) for option in choice.options],
    }


def _listed(kind: str, option: Option) -> Shape:
    shape = _option(option.value, option.label)
    if kind == "State":
        special = {"DefaultStatus": option.status, "InvariantName": option.label}
    elif kind == "Status":
        special = {"State": option.state, "TransitionData": None}
    else:
        return shape
    return {"@odata.type": f"#{NAMESPACE}.{kind}OptionMetadata", **shape, **special}


def _option_set_head(table: Table, column: Column, kind: str) -> Shape:
    name = column.global_choice or f"{table.name}_{column.name}"
    return {
        "MetadataId": Choice(name, "").metadata_id if column.global_choice else stable_id("optionset", name),
        "HasChanged": None,
        "Description": label(None),
        "DisplayName": label(column.label),
        "IsCustomOptionSet": column.custom,
        "IsGlobal": column.global_choice is not None,
        "IsManaged": not column.custom,
        "Name": name,
        "ExternalTypeName": None,
        "OptionSetType": kind,
        "IntroducedVersion": "5.0.0.0",
        "IsCustomizable": _managed(value=True, name="iscustomizable"),
    }


def _option(value: int, text: str) -> Shape:
    return {
        "Value": value,
        "Color": None,
        "IsManaged": True,
        "ExternalValue": "",
        "ParentValues": [],
        "Tag": None,
        "IsHidden": False,
        "MetadataId": None,
        "HasChanged": None,
        "Label": label(text),
        "Description": label(None),
    }


def key(table: Table, one: Key) -> Shape:
    """EntityKeyMetadata."""
    return {
        "MetadataId": stable_id("key", table.name, one.name),
        "HasChanged": None,
        "DisplayName": label(one.label),
        "EntityLogicalName": table.name,
        "EntityKeyIndexStatus": one.status,
        "IsCustomizable": _managed(value=True, name="iscustomizable"),
        "IsManaged": False,
        "IsSecondaryKey": False,
        "IsSynchronous": False,
        "IsExportKey": False,
        "KeyAttributes": list(one.columns),
        "LogicalName": one.name,
        "SchemaName": one.name,
        "IntroducedVersion": "1.0.0.0",
        "AsyncJob": one.job_id and {"asyncoperationid": one.job_id},
    }


def relationship(table: Table, column: Column, target: Target) -> Shape:
    """OneToManyRelationshipMetadata, the same seen from either side."""
    referenced = TABLES[target.table]
    return {
        "MetadataId": stable_id("relationship", table.name, column.name, target.relationship, target.table),
        "HasChanged": None,
        "IsCustomRelationship": column.custom,
        "IsManaged": not column.custom,
        "IsValidForAdvancedFind": True,
        "SchemaName": target.relationship,
        "SecurityTypes": "None",
        "RelationshipType": "OneToManyRelationship",
        "ReferencedAttribute": referenced.primary_id,
        "ReferencedEntity": referenced.name,
        "ReferencedEntityNavigationPropertyName": target.collection,
        "ReferencingAttribute": column.name,
        "ReferencingEntity": table.name,
        "ReferencingEntityNavigationPropertyName": target.navigation,
        "IsHierarchical": False,
        "CascadeConfiguration": {
            "Assign": "NoCascade",
            "Delete": target.on_delete,
            "Merge": "NoCascade",
            "Reparent": "NoCascade",
            "Share": "NoCascade",
            "Unshare": "NoCascade",
        },
        "IsCustomizable": _managed(value=True, name="iscustomizable"),
    }


@per_schema
def many_to_one(name: str) -> tuple[Shape, ...]:
    """The lookups of a table, one for each target."""
    table = TABLES[name]
    return tuple(relationship(table, column, target) for column in table.lookups for target in column.targets)


@per_schema
def one_to_many(name: str) -> tuple[Shape, ...]:
    """The lookups of other tables that point to this one."""
    found = []
    for navigation in collections_of(name).values():
        other = TABLES[navigation.table or ""]
        target = next(
            target
            for target in navigation.column.targets
            if target.table == name and target.collection == navigation.name
        )
        found.append(relationship(other, navigation.column, target))
    return tuple(found)


@per_schema
def through_pairs(name: str) -> tuple[Shape, ...]:
    """The many-to-many relationships of a table, the same seen from either side."""
    return tuple(_pairs(one.through) for one in many_to_many(name).values() if one.through)


def _pairs(intersect: Intersect) -> Shape:
    """ManyToManyRelationshipMetadata."""
    shape: Shape = {
        "MetadataId": stable_id("relationship", intersect.name),
        "HasChanged": None,
        "IsCustomRelationship": intersect.custom,
        "IsManaged": not intersect.custom,
        "IsValidForAdvancedFind": True,
        "SchemaName": intersect.relationship,
        "SecurityTypes": "None",
        "RelationshipType": "ManyToManyRelationship",
        "IntersectEntityName": intersect.name,
        "IsCustomizable": _managed(value=False, name="iscustomizable"),
    }
    for number, name in enumerate(intersect.tables, 1):
        shape[f"Entity{number}LogicalName"] = name
        shape[f"Entity{number}IntersectAttribute"] = TABLES[name].primary_id
        shape[f"Entity{number}NavigationPropertyName"] = intersect.relationship
    return shape
