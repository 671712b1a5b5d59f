"""Two shapes of the same rows: nested under the Web API's names as they arrive, flat under the file's as they are kept.

Arrow is told the first when it parses a page, and its columns are rearranged into the second without looking at
a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.formats.fields import Field

DECIMAL_DIGITS = 38


def arrow_type(pa: Any, field: Field) -> Any:
    """Return the Arrow type of a field in a file."""
    types: Mapping[str, Callable[[], Any]] = {
        "int32": pa.int32,
        "int64": pa.int64,
        "float64": pa.float64,
        "bool": pa.bool_,
        "decimal": lambda: pa.decimal128(DECIMAL_DIGITS, field.scale),
        "instant": lambda: pa.timestamp("us", "UTC"),
        "timestamp": lambda: pa.timestamp("us"),
        "date": pa.date32,
        "string": pa.string,
        "list": lambda: pa.list_(pa.struct([(one.name, arrow_type(pa, one)) for one in field.inner])),
    }
    return types[field.kind]()


def wire_type(pa: Any, fields: Sequence[Field]) -> Any:
    """Return the Arrow type of a row as it arrives, with the members that lead to `fields` and no others."""
    tree: dict[str, Any] = {}
    for field in fields:
        branch = tree
        for name in field.wire_path[:-1]:
            branch = branch.setdefault(name, {})
        branch.setdefault(field.wire_path[-1], _wire_leaf(pa, field))
    return _struct(pa, tree)


def columns_of(pa: Any, rows: Any, fields: Sequence[Field]) -> list[Any]:
    """Return one array for each field out of an array of rows of `wire_type`."""
    known: dict[tuple[str, ...], dict[str, Any]] = {(): _members(rows)}
    return [_kept(pa, _at(known, field.wire_path), field) for field in fields]


def _at(known: dict[tuple[str, ...], dict[str, Any]], path: tuple[str, ...]) -> Any:
    """Return the array at a path; `known` are the members of the structs that were taken apart so far."""
    within = path[:-1]
    if within not in known:
        known[within] = _members(_at(known, within))
    return known[within][path[-1]]


def _wire_leaf(pa: Any, field: Field) -> Any:
    if field.kind == "list":
        return pa.list_(wire_type(pa, field.inner))
    # Arrow's JSON reader knows no ISO date: a date is read as text and cast
    return pa.string() if field.kind == "date" else arrow_type(pa, field)


def _struct(pa: Any, tree: Mapping[str, Any]) -> Any:
    return pa.struct(
        [(name, _struct(pa, part) if isinstance(part, dict) else part) for name, part in tree.items()]
    )


def _members(rows: Any) -> dict[str, Any]:
    """Return the members of an array of structs; where a struct is null, they are null too."""
    names = [rows.type.field(place).name for place in range(rows.type.num_fields)]
    return dict(zip(names, rows.flatten(), strict=True))


def _kept(pa: Any, array: Any, field: Field) -> Any:
    if field.kind == "list":
        return _kept_list(pa, array, field)
    kept = arrow_type(pa, field)
    return array if array.type == kept else array.cast(kept)


def _kept_list(pa: Any, lists: Any, field: Field) -> Any:
    """Return lists of rows with the file's columns: the same offsets over other values."""
    kept = arrow_type(pa, field)
    rows = pa.StructArray.from_arrays(columns_of(pa, lists.values, field.inner), fields=list(kept.value_type))
    return pa.ListArray.from_arrays(lists.offsets, rows, type=kept, mask=lists.is_null())
