"""What to do when a table's columns are no longer what they were: tell, keep to the old ones, or follow.

The rules of `on_schema_change`, in one place for files and databases; docs/types.md tells them to users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_provider_dynamics.formats.fields import Field, FormatError

POLICIES = ("evolve", "fail", "ignore")

_WIDER: Mapping[str, frozenset[str]] = {
    "int32": frozenset({"int64", "float64", "decimal"}),
    "int64": frozenset({"decimal"}),
    "date": frozenset({"timestamp"}),
}
"""Kinds that hold every value of another kind, and hold it exactly."""


@dataclass(frozen=True)
class Change:
    """A column whose type is another now."""

    name: str
    before: Field
    now: Field

    def __str__(self) -> str:
        return f"{self.name} (was {_type(self.before)}, is {_type(self.now)})"


@dataclass(frozen=True)
class Differences:
    """How columns differ from what they were; false where they do not. Their order makes no difference."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        told = (
            ("new", self.added),
            ("gone", self.removed),
            ("of another type", tuple(map(str, self.changed))),
        )
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in told if names)


def schema_differences(before: Sequence[Field], now: Sequence[Field]) -> Differences:
    """Return how columns differ: by name, kind, decimal places and, for lists, by what is inside them."""
    old, new = _by_name(before), _by_name(now)
    return Differences(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(
            Change(name, field, new[name])
            for name, field in old.items()
            if name in new and not _same(field, new[name])
        ),
    )


def settle(before: Sequence[Field], now: Sequence[Field], policy: str) -> tuple[Field, ...]:
    """Return the columns to write, given those written before and those there are now.

    :param policy: "fail": they must be the same. "ignore": the old ones are written, a column that is gone as
        nulls, and new ones are left out. "evolve": those there are now, old ones first; a type may become one
        that holds every value of both
    :raises FormatError: for "fail", where they differ; for the others, where a column's values no longer fit;
        for another word
    """
    if policy not in POLICIES:
        raise FormatError(f"on_schema_change is {policy!r}: use one of {', '.join(POLICIES)}")
    differences = schema_differences(before, now)
    if policy == "fail" and differences:
        raise FormatError(
            f"the columns are not what they were ({differences}), and on_schema_change is 'fail': "
            "correct select, or set it to 'evolve' or 'ignore'"
        )
    old, new = _by_name(before), _by_name(now)
    kept = [_settled(field, new.get(name), policy) for name, field in old.items()]
    if policy == "ignore":
        return tuple(kept)
    return (
        *(field for field in kept if field.name in new),
        *(field for field in now if field.name not in old),
    )


def _settled(before: Field, now: Field | None, policy: str) -> Field:
    if now is None:
        return before
    if before.kind == now.kind == "list":
        return replace(now, inner=settle(before.inner, now.inner, policy))
    kind, scale = _common(before, now)
    if policy == "ignore" and (kind, scale) != (before.kind, before.scale):
        raise FormatError(
            f"column {before.name} was {_type(before)} and is {_type(now)}, whose values the old type does not hold: "
            "set on_schema_change to 'evolve', or leave the column out of select"
        )
    return replace(now, kind=kind, scale=scale)


def _common(before: Field, now: Field) -> tuple[str, int]:
    """Return the narrower type that holds every value of both."""
    scale = max(before.scale, now.scale)
    if before.kind == now.kind:
        return before.kind, scale
    for narrow, wide in ((before, now), (now, before)):
        if wide.kind in _WIDER.get(narrow.kind, ()):
            return wide.kind, scale
    raise FormatError(
        f"column {before.name} was {_type(before)} and is {_type(now)}, and no type holds the values of both exactly: "
        "write to another place, or leave the column out of select"
    )


def _by_name(fields: Sequence[Field]) -> dict[str, Field]:
    return {field.name: field for field in fields}


def _same(before: Field, now: Field) -> bool:
    if (before.kind, before.scale) != (now.kind, now.scale):
        return False
    return not schema_differences(before.inner, now.inner)


def _type(field: Field) -> str:
    return f"decimal with {field.scale} places" if field.kind == "decimal" else field.kind
