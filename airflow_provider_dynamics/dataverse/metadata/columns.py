"""A column as metadata describes it, and what a choice can be: values that everything else about tables is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["Column", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of a column: its number, and its labels, the one in the user's language first."""

    value: int
    labels: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What the user calls it, "" if it has no label."""
        return self.labels[0] if self.labels else ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `type` is Dataverse's AttributeType ("String", "Money", "Lookup", "MultiSelectPicklist", …).

    `wire_name` is what rows call it (`_primarycontactid_value` for a lookup). `navigation` gives, for each
    table a lookup may point to, the name to bind it by. `precision`, `max_length`, `date_behavior`, `minimum`
    and `maximum` are None where they do not apply or were not asked for. `options` are what a choice or a yes
    and no can be, and `places` the decimal places that the service keeps of a number: both only in a table
    that was read for writing. `table` is the logical name of the table it belongs to.
    """

    name: str
    type: str
    wire_name: str
    valid_for_create: bool = True
    valid_for_update: bool = True
    valid_for_read: bool = True
    precision: int | None = None
    max_length: int | None = None
    date_behavior: str | None = None
    targets: tuple[str, ...] = ()
    navigation: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    precision_source: int | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    places: int | None = None
    options: tuple[Option, ...] = ()
