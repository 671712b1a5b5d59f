"""What the members of definitions must be, checked once, so that whoever reads them need not wonder.

A shape is a type (or several), a list of one shape, a mapping of members, or `Either` of two; null and members that no
shape names pass.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/metadataentitytypes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_dynamics.emulator.customizing.reading import Body
from airflow_provider_dynamics.emulator.messages import Fault


@dataclass(frozen=True)
class Either:
    """A plain value, or an object with it in ``Value`` as managed properties have it."""

    plain: Any

    @property
    def wrapped(self) -> Mapping[str, Any]:
        """The shape of the object."""
        return {"Value": self.plain}


_NUMBER = (int, float, Decimal)
_LOCALIZED = {"Label": str, "LanguageCode": int}
_LABEL = {"LocalizedLabels": [_LOCALIZED], "UserLocalizedLabel": _LOCALIZED}
_OPTION = {"Value": int, "Label": _LABEL, "Description": _LABEL}
_DESCRIBED = {
    "@odata.type": str,
    "SchemaName": str,
    "DisplayName": _LABEL,
    "Description": _LABEL,
}
CHOICE = {
    **_DESCRIBED,
    "Name": str,
    "IsGlobal": bool,
    "OptionSetType": str,
    "Options": [_OPTION],
    "TrueOption": _OPTION,
    "FalseOption": _OPTION,
}
COLUMN = {
    **_DESCRIBED,
    "RequiredLevel": Either(str),
    "FormatName": Either(str),
    "Format": str,
    "DateTimeBehavior": Either(str),
    "MaxLength": int,
    "MinValue": _NUMBER,
    "MaxValue": _NUMBER,
    "Precision": int,
    "PrecisionSource": int,
    "MaxSizeInKB": int,
    "DefaultValue": bool,
    "DefaultFormValue": int,
    "OptionSet": CHOICE,
    "GlobalOptionSet@odata.bind": str,
    "IsPrimaryName": bool,
    "CanStoreFullImage": bool,
    "IsPrimaryImage": bool,
}
TABLE = {
    **_DESCRIBED,
    "DisplayCollectionName": _LABEL,
    "EntitySetName": str,
    "OwnershipType": str,
    "TableType": str,
    "ChangeTrackingEnabled": bool,
    "EntityColor": str,
    "Attributes": [COLUMN],
    **dict.fromkeys(
        (
            "AutoRouteToOwnerQueue",
            "HasActivities",
            "HasNotes",
            "IsAvailableOffline",
            "IsDocumentManagementEnabled",
            "IsKnowledgeManagementEnabled",
            "IsQuickCreateEnabled",
        ),
        bool,
    ),
    **dict.fromkeys(
        (
            "IsAuditEnabled",
            "IsConnectionsEnabled",
            "IsDuplicateDetectionEnabled",
            "IsMailMergeEnabled",
            "IsValidForQueue",
        ),
        Either(bool),
    ),
}
KEY = {**_DESCRIBED, "KeyAttributes": [str]}
RELATIONSHIP = {
    **_DESCRIBED,
    **dict.fromkeys(
        (
            "ReferencedEntity",
            "ReferencingEntity",
            "ReferencedEntityNavigationPropertyName",
            "ReferencingEntityNavigationPropertyName",
            "Entity1LogicalName",
            "Entity2LogicalName",
            "Entity1NavigationPropertyName",
            "Entity2NavigationPropertyName",
            "IntersectEntityName",
        ),
        str,
    ),
    "CascadeConfiguration": {"Delete": str},
    "Lookup": COLUMN,
}


def shaped(body: Any, shape: Mapping[str, Any]) -> Body:
    """The body as it is; raises ``Fault`` (0x80048d19) when a member of it cannot be read as what it is."""
    _check(body, shape, "the body")
    read: Body = body
    return read


def _check(value: Any, shape: Any, name: str) -> None:
    if isinstance(shape, Either):
        _check(value, shape.wrapped if isinstance(value, dict) else shape.plain, name)
    elif isinstance(shape, Mapping):
        _expect(value, dict, name)
        for member in value.keys() & shape.keys():
            if value[member] is not None:
                _check(value[member], shape[member], member)
    elif isinstance(shape, list):
        _expect(value, list, name)
        for one in value:
            _check(one, shape[0], name)
    else:
        _expect(value, shape, name)


def _expect(value: Any, kind: Any, name: str) -> None:
    is_flag = isinstance(value, bool)
    if not isinstance(value, kind) or (is_flag and kind is not bool):
        raise Fault(
            400, "0x80048d19", f"Error identified in Payload: the value of {name} is of another type."
        )
