"""Tables, columns, keys and choices as somebody wants them: checked values, which become the service's own documents.

A DAG may give them as dicts, so each can be read from one, and a wrong word is named with the nearest right one.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-column-definitions-using-web-api
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, TypeVar

from airflow_provider_dynamics.dataverse.administration.column_kinds import KINDS, ColumnKind
from airflow_provider_dynamics.dataverse.administration.labels import CRM, label, labelled

__all__ = ["NewChoice", "NewColumn", "NewKey", "NewTable", "options_of"]

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z0-9_]+")
_REQUIRED = {"none": "None", "recommended": "Recommended", "required": "ApplicationRequired"}
_OWNERSHIP = {"user": "UserOwned", "organization": "OrganizationOwned"}


@dataclass(frozen=True)
class NewColumn:
    """A column to be: `name` with its prefix ("new_Amount"), `type` as metadata calls it ("Money", "Picklist", "Lookup").

    What is None is left to the service, and not compared with a column that is there. `required` is "none",
    "recommended" or "required". `options` of a choice are {value: label}, or `choice` names a global one;
    `targets` names the table of a lookup, and `on_delete` ("RemoveLink", "Restrict", "Cascade") what becomes of
    its rows when theirs is deleted. `minimum`, `maximum` and `precision` are a number's, `max_length` a text's,
    `behavior` a time's ("UserLocal", "DateOnly", "TimeZoneIndependent"), `max_size_kb` a file's, `default` a yes
    or no's. Raises ValueError for what cannot be.
    """

    name: str
    type: str
    display_name: str | None = None
    description: str | None = None
    required: str | None = None
    max_length: int | None = None
    format: str | None = None
    minimum: float | Decimal | None = None
    maximum: float | Decimal | None = None
    precision: int | None = None
    behavior: str | None = None
    options: Mapping[int, str] | None = None
    choice: str | None = None
    default: bool | None = None
    targets: str | None = None
    on_delete: str | None = None
    max_size_kb: int | None = None

    def __post_init__(self) -> None:
        _check_name("column", self.name)
        if self.type not in KINDS:
            raise ValueError(f"The column {self.name} is of type {self.type!r}: {_one_of(self.type, KINDS)}")
        if self.required is not None and self.required not in _REQUIRED:
            raise ValueError(
                f"required of {self.name} is {self.required!r}: {_one_of(self.required, _REQUIRED)}"
            )
        object.__setattr__(self, "options", None if self.options is None else options_of(self.options))
        allowed = {"name", "type", "display_name", "description", "required", *self.kind.members}
        if wrong := sorted(name for name in given(self) if name not in allowed):
            raise ValueError(f"{', '.join(wrong)} of {self.name}: not for a column of type {self.type}")
        for why, bad in (
            (
                "give options or choice, one of them",
                self.kind.chooses and bool(self.options) == bool(self.choice),
            ),
            ("name the table it leads to in targets", self.type == "Lookup" and not self.targets),
        ):
            if bad:
                raise ValueError(f"The column {self.name} is of type {self.type}: {why}")

    @classmethod
    def of(cls, value: NewColumn | Mapping[str, Any]) -> NewColumn:
        """Return a column given as a dict; raises ValueError for a word that is none."""
        return value if isinstance(value, NewColumn) else _read(cls, value, "column")

    @property
    def kind(self) -> ColumnKind:
        return KINDS[self.type]

    @property
    def logical_name(self) -> str:
        return self.name.lower()

    def body(self, language: int, *, primary: bool = False) -> dict[str, Any]:
        """Return the document that creates it; a lookup's goes into a relationship."""
        kind = self.kind
        made: dict[str, Any] = {
            "@odata.type": f"{CRM}.{kind.metadata}",
            "AttributeType": kind.attribute_type,
            "AttributeTypeName": {"Value": kind.type_name},
            "SchemaName": self.name,
            "DisplayName": label(self.display_name or self.name, language),
            "RequiredLevel": {
                "Value": _REQUIRED[self.required or "none"],
                "CanBeChanged": True,
                "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
            },
            **kind.document(self, language),
        }
        if self.description is not None:
            made["Description"] = label(self.description, language)
        if primary:
            made["IsPrimaryName"] = True
        return made

    def required_level(self) -> str | None:
        """Return the wire's word for `required`, None where nothing is said."""
        return None if self.required is None else _REQUIRED[self.required]


@dataclass(frozen=True)
class NewKey:
    """An alternate key to be, over the logical names of some columns. Raises ValueError for what cannot be."""

    name: str
    columns: tuple[str, ...]
    display_name: str | None = None

    def __post_init__(self) -> None:
        _check_name("key", self.name)
        object.__setattr__(self, "columns", tuple(one.strip().lower() for one in self.columns))
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ValueError(f"The key {self.name} needs columns, each once")

    @property
    def logical_name(self) -> str:
        return self.name.lower()

    def body(self, language: int) -> dict[str, Any]:
        return {
            "SchemaName": self.name,
            "DisplayName": label(self.display_name or self.name, language),
            "KeyAttributes": list(self.columns),
        }


@dataclass(frozen=True)
class NewChoice:
    """A global choice to be, with options {value: label}. Raises ValueError for what cannot be."""

    name: str
    options: Mapping[int, str]
    display_name: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        _check_name("choice", self.name)
        object.__setattr__(self, "options", options_of(self.options))
        if not self.options:
            raise ValueError(f"The choice {self.name} needs options, such as {{1: 'Open', 2: 'Closed'}}")

    def body(self, language: int) -> dict[str, Any]:
        made = {
            "@odata.type": f"{CRM}.OptionSetMetadata",
            "Name": self.name,
            "OptionSetType": "Picklist",
            "IsGlobal": True,
            "DisplayName": label(self.display_name or self.name, language),
            "Options": labelled(self.options, language),
        }
        if self.description is not None:
            made["Description"] = label(self.description, language)
        return made


@dataclass(frozen=True)
class NewTable:
    """A table to be: `name` with its prefix ("new_Order"), its labels, and its primary column, a text.

    `ownership` is "user" or "organization", and cannot be changed later. What is None is left to the service,
    and not compared with a table that is there. Raises ValueError for what cannot be.
    """

    name: str
    display_name: str
    plural_name: str
    primary: NewColumn
    description: str | None = None
    ownership: str | None = None
    change_tracking: bool | None = None
    notes: bool | None = None
    activities: bool | None = None

    def __post_init__(self) -> None:
        _check_name("table", self.name)
        object.__setattr__(self, "primary", NewColumn.of(self.primary))
        if self.primary.type != "String":
            raise ValueError(
                f"The primary column of {self.name} is of type {self.primary.type}: it must be a String"
            )
        if self.ownership is not None and self.ownership not in _OWNERSHIP:
            raise ValueError(f"ownership is {self.ownership!r}: {_one_of(self.ownership, _OWNERSHIP)}")

    @property
    def logical_name(self) -> str:
        return self.name.lower()

    def owned(self) -> str | None:
        """Return the wire's word for `ownership`, None where nothing is said."""
        return None if self.ownership is None else _OWNERSHIP[self.ownership]

    def body(self, language: int) -> dict[str, Any]:
        made: dict[str, Any] = {
            "@odata.type": f"{CRM}.EntityMetadata",
            "SchemaName": self.name,
            "DisplayName": label(self.display_name, language),
            "DisplayCollectionName": label(self.plural_name, language),
            "OwnershipType": self.owned() or "UserOwned",
            "IsActivity": False,
            "HasActivities": bool(self.activities),
            "HasNotes": bool(self.notes),
            "Attributes": [self.primary.body(language, primary=True)],
        }
        if self.description is not None:
            made["Description"] = label(self.description, language)
        if self.change_tracking is not None:
            made["ChangeTrackingEnabled"] = self.change_tracking
        return made


def given(value: Any) -> dict[str, Any]:
    """Return the members of a definition that are not left to the service."""
    return {one.name: found for one in fields(value) if (found := getattr(value, one.name)) is not None}


def options_of(value: Mapping[Any, Any]) -> dict[int, str]:
    """Return {value: label} with numbers for keys, which JSON and templates make text of; raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"options is {value!r}: give a dict such as {{1: 'Open', 2: 'Closed'}}")  # noqa: TRY004 - one error for all
    try:
        return {int(str(number)): str(text) for number, text in value.items()}
    except ValueError:
        raise ValueError(
            f"The values of options are whole numbers, not {', '.join(map(repr, value))}"
        ) from None


def _read(kind: type[T], value: Mapping[str, Any], what: str) -> T:
    if not isinstance(value, Mapping):
        raise ValueError(f"A {what} is given as {value!r}: give a dict with its name and type")  # noqa: TRY004 - as above
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]  # each is a dataclass
    for name in value:
        if name not in known:
            raise ValueError(f"A {what} has no {name!r}: {_one_of(str(name), known)}")
    if missing := [name for name in ("name", "type") if name in known and not value.get(name)]:
        raise ValueError(f"A {what} lacks its {' and '.join(missing)}: {dict(value)!r:.200}")
    return kind(**value)


def _check_name(what: str, name: str) -> None:
    """Refuse a name without its publisher's prefix, as the service would after a while.

    https://learn.microsoft.com/power-platform/alm/solution-concepts-alm#solution-publisher
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a {what}'s name: it begins with the prefix of a solution's publisher, as in new_Amount"
        )


def _one_of(word: str, allowed: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word.lower(), [one.lower() for one in allowed], n=1)
    found = next((one for one in allowed if near and one.lower() == near[0]), None)
    return f"did you mean {found!r}?" if found else f"use one of {', '.join(sorted(allowed))}"
