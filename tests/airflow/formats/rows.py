"""One table of every type, one row of it, and the ways it goes to a file and back."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol.pages import Page
from airflow_provider_dynamics.formats import file_fields, writer
from airflow_provider_dynamics.transfers.loads.converting import Converting
from airflow_provider_dynamics.transfers.loads.sources import open_source

UTC = datetime.timezone.utc


def wall(*parts: int) -> datetime.datetime:
    """Return a time on the wall, which no zone belongs to."""
    return datetime.datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


ACCOUNT = Table(
    logical_name="account",
    entity_set="accounts",
    primary_id="accountid",
    primary_name="name",
    columns={
        column.name: column
        for column in (
            Column("accountid", "Uniqueidentifier", "accountid"),
            Column("name", "String", "name"),
            Column("description", "Memo", "description"),
            Column("revenue", "Money", "revenue", precision=2),
            Column("exchangerate", "Decimal", "exchangerate", precision=10),
            Column("address1_latitude", "Double", "address1_latitude", precision=5),
            Column("numberofemployees", "Integer", "numberofemployees"),
            Column("versionnumber", "BigInt", "versionnumber"),
            Column("creditonhold", "Boolean", "creditonhold"),
            Column("industrycode", "Picklist", "industrycode"),
            Column("statecode", "State", "statecode"),
            Column("statuscode", "Status", "statuscode"),
            Column("new_interests", "MultiSelectPicklist", "new_interests"),
            Column("createdon", "DateTime", "createdon", date_behavior="UserLocal"),
            Column("new_opensat", "DateTime", "new_opensat", date_behavior="TimeZoneIndependent"),
            Column("new_founded", "DateTime", "new_founded", date_behavior="DateOnly"),
            Column("primarycontactid", "Lookup", "_primarycontactid_value"),
            Column("ownerid", "Owner", "_ownerid_value"),
            Column("merged", "ManagedProperty", "merged"),
            Column("secret", "String", "secret", valid_for_read=False),
        )
    },
)
EVERY = tuple(name for name, c in ACCOUNT.columns.items() if c.valid_for_read and c.type != "ManagedProperty")
FORMATS = ("parquet", "ndjson", "csv")
ROW = {
    "@odata.etag": 'W/"1"',
    "accountid": "0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b001",
    "name": 'Žluťoučký "kůň", s.r.o.\n漢字 🦆',
    "description": None,
    "revenue": Decimal("12345678901234.5678"),
    "exchangerate": Decimal("0.1000000001"),
    "address1_latitude": Decimal("50.08804"),
    "numberofemployees": 2_147_483_647,
    "versionnumber": 9_007_199_254_740_993,
    "creditonhold": False,
    "industrycode": None,
    "statecode": 0,
    "statuscode": 1,
    "new_interests": "1,9",
    "createdon": "2024-02-29T23:59:59Z",
    "new_opensat": "2024-07-01T08:30:00Z",
    "new_founded": "1753-01-01",
    "_primarycontactid_value": "0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b002",
    "_ownerid_value": None,
}
SENDABLE = {
    name.removeprefix("_").removesuffix("_value"): value
    for name, value in ROW.items()
    if not name.startswith("@") and name != "_ownerid_value"
}
"""What a load makes of the row: the same under logical names, without the owner, which is never emptied."""


def page_of(*rows: dict[str, Any]) -> Page:
    """Return a page as the client gives it, with the bytes it came as."""
    answer = {"@odata.context": "https://x/$metadata#accounts", "value": rows, "@odata.nextLink": "https://x"}
    return Page(list(rows), body=msgspec.json.Encoder(decimal_format="number").encode(answer))


def rows_of(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return list(rows)


BOTH_WAYS = pytest.mark.parametrize(
    "page",
    [pytest.param(page_of, id="from a page's bytes"), pytest.param(rows_of, id="from rows")],
)


def write(path: Any, *pages: Any, select: tuple[str, ...] = EVERY, **options: Any) -> Any:
    with writer(path, None, file_fields(ACCOUNT, select), **options) as file:
        for page in pages:
            file.write(page)
    return path


@dataclass(frozen=True)
class FileRow:
    """What a load makes of one row of a file, before it is sent."""

    number: int
    row: Any
    error: str | None = None
    column: str | None = None


def read(
    path: Any, *, table: Table = ACCOUNT, columns: dict[str, str | None] | None = None, by_label: bool = False
) -> list[FileRow]:
    """Read a file as a load does; a row that is refused is shown as its file has it."""
    source = open_source(path, table=table.logical_name, allow_empty=True)
    targets = [(columns or {}).get(name, name) for name in source.columns]
    sent = [name for name in targets if name is not None]
    convert = Converting(table, sent, columns=columns, choices_by_label=by_label)
    found = []
    for batch in source.batches():
        convert(batch)
        found += [
            FileRow(row.number, row.values)
            if row.reject is None
            else FileRow(row.number, row.reject.line()["data"], row.reject.message, row.reject.column)
            for row in batch
        ]
    return found
