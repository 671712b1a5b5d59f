"""Values and columns at the edges of what databases take."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.formats import Field, FormatError
from airflow_provider_dynamics.transfers.sql.database import Database
from tests.airflow.transfers.sql.dynamics import FIELDS, Dynamics, ask, held, row_id, run

KINDS = (
    FIELDS[0],
    Field("whole", "int32", type_name="Integer"),
    Field("big", "int64", type_name="BigInt"),
    Field("float", "float64", type_name="Double"),
    Field("exact", "decimal", 10, "Decimal"),
    Field("truth", "bool", type_name="Boolean"),
    Field("moment", "instant", type_name="DateTime"),
    Field("local", "timestamp", type_name="DateTime"),
    Field("day", "date", type_name="DateTime"),
    Field("owner", type_name="Owner"),
    Field("text"),
)
EXTREMES: tuple[dict[str, Any], ...] = (
    {"whole": -(2**31), "big": 2**63 - 1, "float": 1.7976931348623157e308, "exact": "1E+5", "truth": False},
    {"whole": 2**31 - 1, "big": -(2**63), "float": 5e-324, "exact": "-0.0000000001", "truth": True},
    {"moment": "1753-01-01T00:00:00Z", "local": "9999-12-31T23:59:59Z", "day": "1753-01-01"},
    {"moment": "9999-12-31T23:59:59Z", "local": "1753-01-01T00:00:00Z", "day": "9999-12-31"},
    {"owner": "8A5C2B1D-0000-4000-8000-00000000000F", "text": "x" * 1_048_576},
    {"text": ""},
    {"float": -0.0, "text": "\\N\t\\t\x7f\x01  "},
    {"exact": "12345678901234567890123456.0123456789"},
)


def test_the_extremes_of_every_type_are_kept_and_known_again(warehouse):
    dynamics = Dynamics()
    for number, values in enumerate(EXTREMES):
        dynamics.put(number, **values)
    run(warehouse, dynamics, fields=KINDS)
    with warehouse.connection() as connection, connection.begin():
        connection.execute(sa.text("UPDATE dynamics_cursors SET link = NULL"))
    again = run(warehouse, dynamics, fields=KINDS)

    assert (again.rows, again.applied.upserts) == (len(EXTREMES), 0), "as they are in the table"
    big = {str(row[0]): row[1:] for row in ask(warehouse, "SELECT accountid, big, whole, text FROM account")}
    assert big[row_id(0)][:2] == (2**63 - 1, -(2**31))
    assert len(big[row_id(4)][2]) == 1_048_576
    assert (big[row_id(5)][2], big[row_id(6)][2]) == ("", "\\N\t\\t\x7f\x01  ")
    exact = dict(map(tuple, ask(warehouse, "SELECT accountid, CAST(exact AS TEXT) FROM account")))
    exact = {str(key): value for key, value in exact.items()}
    assert exact[row_id(7)] == "12345678901234567890123456.0123456789"
    assert exact[row_id(1)] == "-0.0000000001"


def test_four_hundred_columns_with_long_names_come_through(warehouse):
    dynamics = Dynamics()
    fields = (FIELDS[0], *(Field(f"contoso_ünïcode_{'x' * 60}_{number}") for number in range(400)))
    dynamics.put(1, **{field.name: f"value of {field.name[-5:]}" for field in fields[1:]})
    run(warehouse, dynamics, fields=fields)
    dynamics.put(1, **{fields[400].name: "other"})
    ran = run(warehouse, dynamics, fields=fields)

    row = tuple(ask(warehouse, "SELECT * FROM account")[0])
    assert ran.applied.upserts == 1
    assert row[1:] == (*(f"value of {field.name[-5:]}" for field in fields[1:400]), "other")


def test_a_text_that_postgresql_does_not_keep_is_told_with_its_row_and_column(postgres, dynamics):
    dynamics.put(3, name="secret\0")
    with pytest.raises(FormatError, match=rf"column name, row 4 of those read \({row_id(3)}\)") as caught:
        run(Database(postgres), dynamics)

    assert "NUL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_nul_character_is_kept_where_the_database_keeps_it(sqlite, dynamics):
    dynamics.put(3, name="a\0b")
    run(Database(sqlite), dynamics)

    assert held(Database(sqlite)) == dynamics.table


def test_a_database_in_another_encoding_is_told_without_the_text(
    postgres, postgres_process, monkeypatch, dynamics
):
    name = f"latin_{uuid.uuid4().hex[:8]}"
    with Database(postgres).engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0"))
    for variable, uri in postgres_process.connection("latin", name).items():
        monkeypatch.setenv(variable, uri)
    run(Database("latin"), dynamics)
    dynamics.put(1, name="secret €")
    with pytest.raises((FormatError, AirflowFailException)) as caught:
        run(Database("latin"), dynamics)

    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
