"""docs/types.md says what the code does, in every cell of its table."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pytest
from sqlalchemy.dialects import postgresql, sqlite

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.reading.results import NOT_READ, ResultColumn
from airflow_provider_dynamics.formats import Field, arrow_schema, frame, result_fields, writer
from airflow_provider_dynamics.formats.fields import KINDS
from airflow_provider_dynamics.transfers.sql.columns import sql_type
from tests.airflow.formats.rows import page_of

PAGE = (Path(__file__).parents[3] / "docs" / "types.md").read_text(encoding="utf-8")
# https://learn.microsoft.com/dotnet/api/microsoft.xrm.sdk.metadata.attributetypecode, and the virtual ones
EVERY_TYPE = {
    *("BigInt", "Boolean", "CalendarRules", "Customer", "DateTime", "Decimal", "Double", "EntityName"),
    *("File", "Image", "Integer", "Lookup", "ManagedProperty", "Memo", "Money", "MultiSelectPicklist"),
    *("Owner", "PartyList", "Picklist", "State", "Status", "String", "Uniqueidentifier", "Virtual"),
}
INNER = (ResultColumn("n", ("n",), "Integer"),)


class Told(NamedTuple):
    """One line of the page's table, backticks taken off."""

    type: str
    json: str
    arrow: str
    pandas: str
    polars: str
    ndjson: str
    csv: str
    postgresql: str
    sqlite: str

    @property
    def field(self) -> Field:
        name, _, behavior = self.type.partition(":")
        column = Column("x", name, "x", precision=2, date_behavior=behavior or None)
        inner = INNER if name == "Collection" else ()
        return result_fields([ResultColumn("x", ("x",), name, column, inner)])[0]

    @property
    def row(self) -> dict[str, object]:
        return {"x": msgspec.json.Decoder(float_hook=Decimal).decode(self.json)}


def lines() -> list[Told]:
    table = PAGE.split("|---|---|---|---|---|---|---|---|---|\n")[1].split("\n\n")[0]
    told = []
    for line in table.splitlines():
        first, *others = (cell.strip() for cell in line.strip("|").split(" | "))
        told.append(Told(re.findall(r"`([^`]+)`", first)[-1], *(cell.strip("`") for cell in others)))
    return told


each = pytest.mark.parametrize("told", lines(), ids=lambda told: told.type)


@each
@pytest.mark.parametrize("df_type", ["arrow", "pandas", "polars"])
def test_a_frame_has_the_type_that_the_page_tells(told, df_type):
    pytest.importorskip(df_type.replace("arrow", "pyarrow"), reason=f"{df_type} is not installed")
    rows = frame([page_of(told.row), page_of({"x": None})], [told.field], df_type)
    kind = rows.schema.field("x").type if df_type == "arrow" else rows["x"].dtype
    assert str(kind) == getattr(told, df_type)


@each
def test_a_file_says_the_value_as_the_page_tells(tmp_path, told):
    for suffix in ("ndjson", "csv"):
        with writer(tmp_path / f"a.{suffix}", None, [told.field]) as file:
            file.write(page_of(told.row))
    assert (tmp_path / "a.ndjson").read_text() == f'{{"x":{told.ndjson}}}\n'
    if told.csv.startswith("a field"):
        assert list(csv.reader(io.StringIO((tmp_path / "a.csv").read_text())))[1] == [told.row["x"]]
    else:
        assert (tmp_path / "a.csv").read_text() == f"x\n{told.csv}\n"


@each
def test_a_database_has_the_type_that_the_page_tells(told):
    assert sql_type(told.field).compile(dialect=postgresql.dialect()) == told.postgresql
    assert sql_type(told.field).compile(dialect=sqlite.dialect()) == told.sqlite


@each
def test_a_column_without_a_value_has_the_type_all_the_same(told):
    rows = frame([page_of({"x": None}), page_of({})], [told.field], "arrow")
    assert rows.schema == arrow_schema([told.field]) == pa.schema([("x", rows.schema.field("x").type)])
    assert str(rows.schema.field("x").type) == told.arrow
    assert rows.column("x").to_pylist() == [None, None]


def test_the_page_leaves_no_type_out():
    told = {line.type.partition(":")[0] for line in lines()}
    assert told == (EVERY_TYPE - NOT_READ) | {"Collection"}
    assert set(KINDS) <= told
    assert all(f"`{name}`" in PAGE for name in NOT_READ)


def test_the_three_behaviours_of_dates_are_told():
    assert {line.type.partition(":")[2] for line in lines() if line.type.startswith("DateTime")} == {
        *("UserLocal", "TimeZoneIndependent", "DateOnly")
    }
