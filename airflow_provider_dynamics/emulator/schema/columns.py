"""Short builders for columns, so that a table's module reads like Microsoft's reference page of that table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.emulator.schema.model import Column, Option, Target

READ_ONLY: dict[str, Any] = {"create": False, "update": False}
"""Of a column that only the service itself fills in."""

LONGEST_MEMO = 1_073_741_823
_INT32 = 2_147_483_647
_MONEY = 922_337_203_685_477.0


def ident(schema_name: str, label: str) -> Column:
    """The primary key."""
    return Column(
        schema_name.lower(), schema_name, "Uniqueidentifier", label, required="SystemRequired", update=False
    )


def guid(schema_name: str, label: str, **more: Any) -> Column:
    """A GUID that is no lookup."""
    return Column(schema_name.lower(), schema_name, "Uniqueidentifier", label, **more)


def text(schema_name: str, label: str, length: int, **more: Any) -> Column:
    """A line of text of at most ``length`` characters."""
    return Column(
        schema_name.lower(), schema_name, "String", label, max_length=length, **{"format": "Text", **more}
    )


def memo(schema_name: str, label: str, length: int = 2000, **more: Any) -> Column:
    """Several lines of text."""
    return Column(
        schema_name.lower(), schema_name, "Memo", label, max_length=length, **{"format": "TextArea", **more}
    )


def whole(
    schema_name: str, label: str, minimum: int = -_INT32 - 1, maximum: int = _INT32, **more: Any
) -> Column:
    """A 32-bit number."""
    return Column(
        schema_name.lower(), schema_name, "Integer", label, minimum=minimum, maximum=maximum, **more
    )


def decimal(schema_name: str, label: str, precision: int, **more: Any) -> Column:
    """An exact number."""
    limits: dict[str, Any] = {"minimum": -100_000_000_000.0, "maximum": 100_000_000_000.0}
    return Column(
        schema_name.lower(), schema_name, "Decimal", label, precision=precision, **{**limits, **more}
    )


def double(
    schema_name: str, label: str, precision: int, minimum: float, maximum: float, **more: Any
) -> Column:
    """A floating point number, rounded to ``precision`` digits when written."""
    return Column(
        schema_name.lower(),
        schema_name,
        "Double",
        label,
        precision=precision,
        minimum=minimum,
        maximum=maximum,
        **more,
    )


def money(
    schema_name: str, label: str, *, precision: int = 2, source: int = 2, **more: Any
) -> tuple[Column, Column]:
    """An amount and its ``_base`` companion; ``source`` 2 takes the currency's precision, 0 the column's own."""
    name = schema_name.lower()
    limits: dict[str, Any] = {
        "minimum": -_MONEY,
        "maximum": _MONEY,
        "precision": precision,
        "precision_source": source,
        "custom": more.get("custom", False),
    }
    amount = Column(name, schema_name, "Money", label, **{**limits, **more})
    base = Column(
        f"{name}_base",
        f"{schema_name}_Base",
        "Money",
        f"{label} (Base)",
        create=False,
        update=False,
        base_of=name,
        **limits,
    )
    return amount, base


def flag(
    schema_name: str,
    label: str,
    default: bool | None = False,
    labels: tuple[str, str] = ("No", "Yes"),
    **more: Any,
) -> Column:
    """Yes or no; ``labels`` are (false, true)."""
    return Column(schema_name.lower(), schema_name, "Boolean", label, default=default, labels=labels, **more)


def choice(
    schema_name: str, label: str, options: Mapping[int, str], default: int | None = None, **more: Any
) -> Column:
    """One of a list of numbers."""
    values = tuple(Option(value, name) for value, name in options.items())
    return Column(
        schema_name.lower(), schema_name, "Picklist", label, options=values, default=default, **more
    )


def choices(schema_name: str, label: str, options: Mapping[int, str], **more: Any) -> Column:
    """Several of a list of numbers."""
    values = tuple(Option(value, name) for value, name in options.items())
    return Column(schema_name.lower(), schema_name, "MultiSelectPicklist", label, options=values, **more)


def state(
    states: Sequence[tuple[int, str, Mapping[int, str]]], label: str = "Status"
) -> tuple[Column, Column]:
    """``statecode`` and ``statuscode`` from (state, label, {status: label}); a state's first status is its default."""
    codes = tuple(Option(value, name, status=next(iter(statuses))) for value, name, statuses in states)
    reasons = tuple(
        Option(value, name, state=code) for code, _, statuses in states for value, name in statuses.items()
    )
    return (
        Column(
            "statecode",
            "StateCode",
            "State",
            label,
            required="SystemRequired",
            create=False,  # a row is made in its first state, and changed afterwards
            options=codes,
            default=codes[0].value,
        ),
        Column(
            "statuscode", "StatusCode", "Status", "Status Reason", options=reasons, default=codes[0].status
        ),
    )


def moment(schema_name: str, label: str, behavior: str = "UserLocal", **more: Any) -> Column:
    """A date and time."""
    return Column(
        schema_name.lower(),
        schema_name,
        "DateTime",
        label,
        behavior=behavior,
        **{"format": "DateAndTime", **more},
    )


def day(schema_name: str, label: str, **more: Any) -> Column:
    """A calendar date without a time."""
    return Column(
        schema_name.lower(), schema_name, "DateTime", label, behavior="DateOnly", format="DateOnly", **more
    )


def lookup(schema_name: str, label: str, *targets: Target, kind: str = "Lookup", **more: Any) -> Column:
    """A reference to one row of one of the target tables."""
    return Column(schema_name.lower(), schema_name, kind, label, targets=targets, **more)


def file(schema_name: str, label: str, max_kilobytes: int = 32_768, **more: Any) -> tuple[Column, Column]:
    """A file, which is written through messages of its own, and its ``_Name`` companion."""
    name = schema_name.lower()
    return (
        Column(
            name,
            schema_name,
            "File",
            label,
            create=False,
            update=False,
            max_kilobytes=max_kilobytes,
            **more,
        ),
        text(f"{schema_name}_Name", "", 255, create=False, update=False, part_of=name, **more),
    )


def image(schema_name: str, label: str, max_kilobytes: int = 10_240, **more: Any) -> tuple[Column, ...]:
    """A picture and its three companions; it shows as a thumbnail in rows."""
    name = schema_name.lower()
    fixed: dict[str, Any] = {
        "create": False,
        "update": False,
        "part_of": name,
        "custom": more.get("custom", False),
    }
    return (
        Column(name, schema_name, "Image", label, max_kilobytes=max_kilobytes, **more),
        guid(f"{schema_name}Id", "", **fixed),
        Column(f"{name}_timestamp", f"{schema_name}_Timestamp", "BigInt", "", **fixed),
        text(f"{schema_name}_URL", "", 200, **{"format": "Url", **fixed}),
    )


def to(table: str, navigation: str, relationship: str, on_delete: str = "RemoveLink") -> Target:
    """One target of a lookup: its table, the navigation property, the relationship (also the way back)."""
    return Target(table, navigation, relationship, relationship, on_delete)
