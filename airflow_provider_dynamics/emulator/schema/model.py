"""What a table is made of: columns, choices, lookups and keys, as values.

The tables themselves are data in the modules beside this one; names, types and limits are Microsoft's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

_NAMESPACE = uuid.UUID("5d0a1c9e-7d1b-5f0e-9a7e-d1c2b3a49586")

TEXT_KINDS = frozenset({"String", "Memo", "EntityName", "MultiSelectPicklist"})
WHOLE_KINDS = frozenset({"Integer", "BigInt", "Picklist", "State", "Status"})
EXACT_KINDS = frozenset({"Decimal", "Money"})
LOOKUP_KINDS = frozenset({"Lookup", "Customer", "Owner"})
GUID_KINDS = frozenset({"Uniqueidentifier", "File"}) | LOOKUP_KINDS
BINARY_KINDS = frozenset({"File", "Image"})
# Tables of the platform's own that makers may add columns to.
_CUSTOMIZABLE = frozenset(
    {
        "account",
        "businessunit",
        "contact",
        "email",
        "incident",
        "lead",
        "opportunity",
        "queue",
        "queueitem",
        "systemuser",
        "task",
        "team",
        "transactioncurrency",
    }
)
OPTION_KINDS = frozenset({"Picklist", "State", "Status", "MultiSelectPicklist"})


def stable_id(*parts: str) -> str:
    """A GUID that is the same in every run."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a choice. ``state`` is set on status values, ``status`` (its default) on states."""

    value: int
    label: str
    state: int | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A global choice: options that several columns share."""

    name: str
    label: str
    options: tuple[Option, ...] = ()
    description: str | None = None

    @property
    def metadata_id(self) -> str:
        """Its MetadataId."""
        return _KNOWN_METADATA_IDS.get(self.name) or stable_id("choice", self.name)


@dataclass(frozen=True, slots=True)
class Target:
    """One table a lookup may point to, and the two navigation properties that come with it."""

    table: str
    navigation: str
    relationship: str
    collection: str
    on_delete: str = "RemoveLink"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    ``kind`` is Dataverse's AttributeTypeCode name ("String", "Money", "Customer" …, "MultiSelectPicklist" for
    choices, "File", "Image"). ``behavior`` is set on dates, ``precision`` in digits after the point, ``base_of`` on
    the ``_base`` companion of a money column, ``part_of`` on the companions of files and images. Files and images
    have ``max_kilobytes``; ``source_type`` 2 is a rollup; images may be the table's primary one, and keep the whole picture or the thumbnail alone.
    """

    name: str
    schema_name: str
    kind: str
    label: str
    required: str = "None"
    create: bool = True
    update: bool = True
    read: bool = True
    max_length: int | None = None
    precision: int | None = None
    precision_source: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    behavior: str | None = None
    format: str | None = None
    options: tuple[Option, ...] = ()
    global_choice: str | None = None
    targets: tuple[Target, ...] = ()
    default: object = None
    labels: tuple[str, str] = ("No", "Yes")
    base_of: str | None = None
    custom: bool = False
    max_kilobytes: int | None = None
    primary_image: bool = False
    full_image: bool = False
    part_of: str | None = None
    description: str | None = None
    source_type: int = 0

    @property
    def wire(self) -> str:
        """The name in a row: ``_x_value`` for a lookup."""
        return f"_{self.name}_value" if self.is_lookup else self.name

    @property
    def is_lookup(self) -> bool:
        return self.kind in LOOKUP_KINDS

    @property
    def is_polymorphic(self) -> bool:
        return len({target.table for target in self.targets}) > 1

    @property
    def type_column(self) -> str:
        """The storage column that says which table a polymorphic lookup points to."""
        return f"{self.name}__type"

    @property
    def scale(self) -> int:
        """Digits kept after the point by an exact number; money always has four in store."""
        return 4 if self.kind == "Money" else self.precision or 0

    @property
    def is_binary(self) -> bool:
        return self.kind in BINARY_KINDS

    @property
    def only_when_asked(self) -> bool:
        """Pictures are not among "all columns", nor is what cannot be read: pictures come when they are selected."""
        return self.kind == "Image" or not self.read

    @property
    def is_date_only(self) -> bool:
        return self.behavior == "DateOnly"

    @property
    def edm(self) -> str:
        """The OData type."""
        if self.kind == "DateTime":
            return "Edm.Date" if self.is_date_only else "Edm.DateTimeOffset"
        return _EDM[self.kind]


_EDM: Mapping[str, str] = {
    **dict.fromkeys(TEXT_KINDS, "Edm.String"),
    **dict.fromkeys(WHOLE_KINDS, "Edm.Int32"),
    **dict.fromkeys(EXACT_KINDS, "Edm.Decimal"),
    **dict.fromkeys(GUID_KINDS, "Edm.Guid"),
    "BigInt": "Edm.Int64",
    "Double": "Edm.Double",
    "Boolean": "Edm.Boolean",
    "Image": "Edm.Binary",
}


@dataclass(frozen=True, slots=True)
class Key:
    """An alternate key: logical column names in order. Only one whose index is active finds rows and keeps them apart."""

    name: str
    label: str
    columns: tuple[str, ...]
    status: str = "Active"
    job_id: str | None = None

    @property
    def active(self) -> bool:
        return self.status == "Active"


@dataclass(frozen=True, slots=True)
class Intersect:
    """The pairs of a many-to-many relationship; its navigation property has the same name on both tables."""

    name: str
    relationship: str
    first: str
    second: str
    custom: bool = False

    @property
    def tables(self) -> tuple[str, str]:
        return self.first, self.second

    def other(self, table: str) -> str:
        """The table at the other end."""
        return self.second if table == self.first else self.first


@dataclass(frozen=True, slots=True)
class Navigation:
    """A navigation property as seen from one table.

    Single-valued: ``column`` is on this table and ``table`` the one pointed to (None where the property may
    reach several, as ``ownerid`` does). Collection-valued: ``column`` is on ``table``, its primary key where
    rows of ``through`` stand between the two.
    """

    name: str
    column: Column
    table: str | None
    is_collection: bool = False
    through: Intersect | None = None


@dataclass(frozen=True)
class Table:
    """One table: identity, columns in the order rows show them, keys and switches.

    ``shown`` are members of its definition that were set and mean nothing to rows.
    """

    name: str
    schema_name: str
    set_name: str
    label: str
    plural: str
    primary_id: str
    primary_name: str
    type_code: int
    columns: tuple[Column, ...]
    keys: tuple[Key, ...] = ()
    change_tracking: bool = True
    optimistic_concurrency: bool = True
    bulk: bool = True
    ownership: str = "UserOwned"
    is_activity: bool = False
    is_principal: bool = False
    custom: bool = False
    writable: bool = True
    creatable: bool = True
    elastic: bool = False
    description: str | None = None
    shown: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def identity(self) -> str:
        """The storage column that is different in every row: elastic tables may repeat their primary key."""
        return "_identity" if self.elastic else self.primary_id

    @property
    def customizable(self) -> bool:
        """Whether columns, keys and relationships may be added."""
        return self.custom or self.name in _CUSTOMIZABLE

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """Columns by logical name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def by_wire(self) -> Mapping[str, Column]:
        """Columns by the name rows use (``_x_value`` for lookups)."""
        return {column.wire: column for column in self.columns}

    @cached_property
    def whole(self) -> tuple[Column, ...]:
        """The columns that come when none are selected."""
        return tuple(column for column in self.columns if not column.only_when_asked)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Columns a row cannot be without and that the service does not fill in by itself, as it does for users."""
        return tuple(
            column.name
            for column in self.columns
            if column.required == "SystemRequired"
            and not self.is_principal
            and column.create
            and column.default is None
            and not column.is_lookup
            and column.name != self.primary_id
        )

    @cached_property
    def binaries(self) -> Mapping[str, Column]:
        """File and image columns by logical name."""
        return {column.name: column for column in self.columns if column.is_binary}

    @cached_property
    def images(self) -> frozenset[str]:
        """Logical names of image columns."""
        return frozenset(column.name for column in self.columns if column.kind == "Image")

    @cached_property
    def lookups(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.is_lookup)

    @cached_property
    def navigations(self) -> Mapping[str, Navigation]:
        """Single-valued navigation properties by their case-sensitive name."""
        found: dict[str, Navigation] = {}
        for column in self.lookups:
            for target in column.targets:
                seen = found.get(target.navigation)
                table = target.table if seen is None else None
                found[target.navigation] = Navigation(target.navigation, column, table)
        return found

    @cached_property
    def metadata_id(self) -> str:
        return _KNOWN_METADATA_IDS.get(self.name) or stable_id("entity", self.name)

    def has(self, name: str) -> bool:
        """Whether the table has a column of that logical name."""
        return name in self.by_name

    def column_metadata_id(self, column: str) -> str:
        """The MetadataId of one of its columns."""
        return _KNOWN_METADATA_IDS.get(f"{self.name}.{column}") or stable_id("attribute", self.name, column)


# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
_KNOWN_METADATA_IDS: Mapping[str, str] = {
    "account": "70816501-edb9-4740-a16c-6a5efbc05d84",
    "account.preferredappointmentdaycode": "5967e7cc-afbb-4c10-bf7e-e7ef430c52be",
    "sample_colors": "1d733907-4d05-ee11-8f6e-000d3a993550",  # …/create-update-optionsets
    "sample_bankaccount.sample_colors": "25733907-4d05-ee11-8f6e-000d3a993550",
}
