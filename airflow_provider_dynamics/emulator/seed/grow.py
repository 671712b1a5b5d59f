"""Many rows of one table in little time: values go round in circles of different length, only keys are made one by one.

The finished JSON of a row is glued from fragments that go round in the same circles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import msgspec

from airflow_provider_dynamics.emulator.render import renderer
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.schema.model import EXACT_KINDS, WHOLE_KINDS
from airflow_provider_dynamics.emulator.seed import words
from airflow_provider_dynamics.emulator.seed.identities import ROOT_UNIT, SERVICE_USER, US_DOLLAR
from airflow_provider_dynamics.emulator.seed.moments import WAYS
from airflow_provider_dynamics.emulator.storage import storage_names
from airflow_provider_dynamics.emulator.store import Store

_ONE = 10**10
_FIXED: dict[str, Any] = {
    "ownerid": SERVICE_USER,
    "ownerid__type": "systemuser",
    "owninguser": SERVICE_USER,
    "owningbusinessunit": ROOT_UNIT,
    "createdby": SERVICE_USER,
    "modifiedby": SERVICE_USER,
    "transactioncurrencyid": US_DOLLAR,
    "exchangerate": _ONE,
}
_EMPTY = frozenset(
    {"overriddencreatedon", "importsequencenumber", "utcconversiontimezonecode", "yominame", "fax"}
)
_TEXTS = {
    "address1_city": tuple(city[0] for city in words.CITIES),
    "address1_country": tuple(city[3] for city in words.CITIES),
    "address1_postalcode": tuple(city[2] for city in words.CITIES),
    "address1_line1": words.STREETS,
    "firstname": words.FIRST_NAMES,
    "jobtitle": words.JOB_TITLES,
    "telephone1": ("555-0100", "555-0101", None, "555-0103"),
    "description": ("Imported.", None, None, 'Größere Bestellung, siehe "Notiz".', None),
}


def grow(store: Store, table: Table, extra: int, first: int, created: str = "evenly") -> None:
    """Add ``extra`` rows to a table; ``first`` numbers them, so that their keys are new.

    ``created`` is one of `moments.WAYS`.
    """
    names = storage_names(table)[:-1]
    numbers = range(first, first + extra)
    unique = _unique(table, numbers, store) | _created(table, extra, created)
    pools = {name: _pool(table, name) for name in names if name not in unique}
    _keep_consistent(table, pools)
    columns = [unique[name] if name in unique else cycle(pools[name]) for name in names]
    rows = zip(*columns, _documents(table, unique, pools), strict=False)
    store.insert(table, islice(rows, extra))


def _unique(table: Table, numbers: range, store: Store) -> dict[str, list[Any]]:
    """Columns whose value is another one in every row."""
    first = store.version + 1
    for _ in numbers:
        store.next_version()
    found: dict[str, list[Any]] = {
        table.primary_id: [_row_id(table, number) for number in numbers],
        "versionnumber": list(range(first, first + len(numbers))),
    }
    name = table.by_name[table.primary_name]
    if name.create:
        found[name.name] = [f"{table.label} {number:07d}" for number in numbers]
    elif table.has("lastname"):
        found["lastname"] = [f"{table.label} {number:07d}" for number in numbers]
        firsts = cycle(_TEXTS["firstname"])
        found["firstname"] = list(islice(firsts, len(numbers)))
        found[name.name] = [f"{a} {b}" for a, b in zip(found["firstname"], found["lastname"], strict=True)]
    if table.has("drill_sequence"):
        found["drill_sequence"] = [None if number % 10 == 9 else number for number in numbers]
    for key in table.keys:
        for column in (table.by_name[column] for column in key.columns):
            found[column.name] = [_key_value(column, number) for number in numbers]
    return found


def _created(table: Table, count: int, way: str) -> dict[str, list[Any]]:
    """When the rows were created, and last modified: never since."""
    moments = WAYS[way](count)
    return {name: moments for name in ("createdon", "modifiedon") if table.has(name)}


def _row_id(table: Table, number: int) -> str:
    # Sequential, as SQL Server makes and sorts them: the first byte counts fastest.
    return f"{number.to_bytes(4, 'little').hex()}-{table.type_code % 65536:04x}-ef11-9f88-000d3af00000"


def _key_value(column: Column, number: int) -> Any:
    if column.kind in WHOLE_KINDS:
        return number % 9999 + 1
    return f"row{number}@bulk.example" if column.format == "Email" else f"N{number:09d}"


def _pool(table: Table, name: str) -> Sequence[Any]:
    """The circle of stored values of a column; lengths differ so that rows do."""
    if name in _FIXED:
        return (_FIXED[name],)
    column = table.by_name.get(name)
    if column is None or column.is_lookup or name in _EMPTY or column.kind == "Uniqueidentifier":
        return (None,)
    if name in _TEXTS:
        return _TEXTS[name]
    return _by_kind(column)


def _by_kind(column: Column) -> Sequence[Any]:
    if column.kind in EXACT_KINDS:
        return tuple(value and value * 10**column.scale for value in (1000, 250, None, 98765, 0))
    if column.kind == "DateTime":
        return _DAYS if column.is_date_only else tuple(day and f"{day}T13:37:00Z" for day in _DAYS)
    make = _BY_KIND.get(column.kind)
    return make(column) if make else (None,)


def _some_choices(column: Column) -> Sequence[Any]:
    first, second = (option.value for option in column.options[:2])
    return (str(first), None, f"{first},{second}")


def _numbers(column: Column) -> Sequence[Any]:
    low, high = int(column.minimum or 0), int(column.maximum or 0)
    return tuple(max(low, min(value, high)) for value in (1, 12, 100, 7))


_DAYS = ("1899-12-31", None, "2024-02-29", "2020-01-01", "1985-10-26")
_BY_KIND: Mapping[str, Callable[[Column], Sequence[Any]]] = {
    **dict.fromkeys(("State", "Status"), lambda column: (column.default,)),
    "Picklist": lambda column: (*(option.value for option in column.options[:4]), None),
    "MultiSelectPicklist": _some_choices,
    "Boolean": lambda _: (0, 0, 1),
    "Integer": _numbers,
    "Double": lambda _: (1.5, None, 12.25),
}


def _keep_consistent(table: Table, pools: dict[str, Sequence[Any]]) -> None:
    for column in table.columns:
        if column.base_of is not None:
            pools[column.name] = pools[column.base_of]
    if "address1_composite" in pools:
        pools["address1_composite"] = (None,)
        for name in list(pools):
            if name.startswith("address1_"):
                pools[name] = (None,)


def _documents(
    table: Table, unique: dict[str, list[Any]], pools: dict[str, Sequence[Any]]
) -> Iterator[bytes]:
    """The JSON of each row, glued together."""
    fragments: list[Iterable[bytes]] = [
        (b'{"@odata.etag":"W/\\"%d\\""' % version for version in unique["versionnumber"])
    ]
    for column in table.whole:
        values = unique.get(column.name)
        made = _fragments(column, pools[column.name] if values is None else values)
        fragments.append(cycle(list(made)) if values is None else made)
    if table.is_principal:
        fragments.append(b',"ownerid":"%s"' % row_id.encode() for row_id in unique[table.primary_id])
    return (b"".join(parts) + b"}" for parts in zip(*fragments, strict=False))


def _fragments(column: Column, values: Iterable[Any]) -> Iterator[bytes]:
    render = renderer(column)
    head = b"," + msgspec.json.encode(column.wire) + b":"
    encode = msgspec.json.encode
    return (head + encode(value if render is None else render(value)) for value in values)


def grown_tables() -> Iterable[str]:
    """Tables that can be grown: those people write to."""
    return (
        name
        for name, table in TABLES.items()
        if table.writable and table.creatable and not table.elastic and table.ownership == "UserOwned"
    )
