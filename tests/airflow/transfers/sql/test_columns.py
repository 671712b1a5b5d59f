"""The one table of SQL types: as docs/sql.md tells it, and what a value becomes on its way."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite

from airflow_provider_dynamics.formats import Field
from airflow_provider_dynamics.transfers.sql.columns import column_name, copy_text, driver_value, sql_type
from airflow_provider_dynamics.transfers.sql.database import Database

DOCUMENT = Path(__file__).parents[4] / "docs" / "sql.md"
FIELDS = {
    "text, memo": Field("x"),
    "row ids": Field("x", type_name="Customer"),
    "whole number": Field("x", "int32", type_name="Picklist"),
    "big integer": Field("x", "int64", type_name="BigInt"),
    "decimal": Field("x", "decimal", 7, "Decimal"),
    "money": Field("x", "decimal", 4, "Money"),
    "floating point": Field("x", "float64", type_name="Double"),
    "yes/no": Field("x", "bool", type_name="Boolean"),
    "date and time, user local": Field("x", "instant", type_name="DateTime"),
    "date and time, no zone": Field("x", "timestamp", type_name="DateTime"),
    "date only": Field("x", "date", type_name="DateTime"),
}
DIALECTS: tuple[sa.Dialect, ...] = (postgresql.dialect(), sqlite.dialect())


def documented(start):
    row = re.search(rf"^\| {re.escape(start)}.*$", DOCUMENT.read_text(), re.MULTILINE)
    assert row, f"docs/sql.md says nothing of {start}"
    cells = [cell.strip() for cell in row[0].strip("|").split("|")][1:3]
    return [re.findall("`([^`]*)`", cell)[0].replace("its precision", "7") for cell in cells]


def spelled(field, dialect):
    kind = sql_type(field).compile(dialect=dialect).lower()
    return kind.removesuffix(" without time zone")


@pytest.mark.parametrize("start", FIELDS)
def test_the_types_are_those_that_the_documentation_names(start):
    said = [kind.lower() for kind in documented(start)]

    assert [spelled(FIELDS[start], dialect) for dialect in DIALECTS] == said


@pytest.mark.parametrize("field", FIELDS.values(), ids=list(FIELDS))
def test_other_databases_have_a_type_for_everything(field):
    for dialect in (mysql.dialect(), mssql.dialect()):
        assert sql_type(field).compile(dialect=dialect)


@pytest.mark.parametrize(
    ("start", "value", "for_copy", "for_sqlite"),
    [
        ("text, memo", "a\tb\\", "a\\tb\\\\", "a\tb\\"),
        ("text, memo", [1, 2], "[1,2]", "[1,2]"),
        ("row ids", "{8A5C2B1D-0000-4000-8000-000000000001}", *["8a5c2b1d-0000-4000-8000-000000000001"] * 2),
        ("whole number", 7, "7", 7),
        ("decimal", Decimal("1E+3"), "1000", "1000"),
        ("decimal", 5, "5", "5"),
        ("money", Decimal("922337203685477.5807"), *["922337203685477.5807"] * 2),
        ("floating point", Decimal("47.5"), "47.5", 47.5),
        ("yes/no", True, "t", True),
        (
            "date and time, user local",
            "2026-01-31T10:00:00Z",
            "2026-01-31T10:00:00Z",
            "2026-01-31 10:00:00.000000",
        ),
        (
            "date and time, user local",
            "2026-01-31T10:00:00.123+02:00",
            "2026-01-31T10:00:00.123000+02:00",
            "2026-01-31 08:00:00.123000",
        ),
        (
            "date and time, no zone",
            "2026-03-29T02:30:00Z",
            "2026-03-29T02:30:00",
            "2026-03-29 02:30:00.000000",
        ),
        ("date only", "1753-01-01", "1753-01-01", "1753-01-01"),
    ],
)
def test_a_value_is_taken_as_it_is(start, value, for_copy, for_sqlite):
    convert = driver_value(FIELDS[start], "sqlite")

    assert copy_text(FIELDS[start])(value) == for_copy
    assert (convert(value) if convert else value) == for_sqlite


@pytest.mark.parametrize(
    ("start", "value"),
    [
        ("money", Decimal("1.23456")),
        ("row ids", "not an id"),
        ("date only", "2026-01-31T10:00:00Z"),
        ("yes/no", "perhaps"),
    ],
)
def test_a_value_that_would_be_changed_is_refused(start, value):
    for convert in (copy_text(FIELDS[start]), driver_value(FIELDS[start], "sqlite")):
        assert convert
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, it is not told
            convert(value)


def test_a_name_that_fits_is_left_alone_and_a_long_one_is_cut_at_whole_letters():
    assert column_name("revenue", 63) == "revenue"
    assert len(column_name("é" * 60, 63).encode()) <= 63
    assert column_name("x" * 70 + "a", 63) != column_name("x" * 70 + "b", 63)


class Unreachable(Database):
    """A database whose hook has no driver."""

    def _hook(self):
        return type("Hook", (), {"conn_type": "mysql", "get_sqlalchemy_engine": staticmethod(_no_driver)})


def _no_driver(_options):
    raise ModuleNotFoundError("No module named 'MySQLdb'")


def test_a_missing_driver_is_told():
    with pytest.raises(AirflowFailException, match=r"No module named 'MySQLdb'. Install its driver"):
        Unreachable("warehouse").engine  # noqa: B018 - asking for it is the test
