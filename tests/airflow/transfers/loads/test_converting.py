"""A row's values become what its table wants; one that cannot is refused, with the row and the column."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_dynamics.dataverse.metadata.columns import Column, Option
from airflow_provider_dynamics.transfers.loads.converting import Converting
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Reject
from airflow_provider_dynamics.transfers.loads.sources import open_source
from tests.airflow.transfers.loads.tables import ACCOUNT

ALL = tuple(ACCOUNT.columns)


def converted(raws, sent=ALL, **how):
    batch = [LoadRow(number, "a.csv", raw, {}) for number, raw in enumerate(raws, 1)]
    Converting(ACCOUNT, sent, **how)(batch)
    return batch


def test_values_are_sent_under_the_names_of_the_table():
    (row,) = converted(
        [{"No": "A1", "Umsatz": "1.50", "Branche": "mining", "Post": "Forbid", "note": "x"}],
        columns={
            "No": "accountnumber",
            "Umsatz": "revenue",
            "Branche": "industrycode",
            "Post": "donotemail",
            "note": None,
        },
    )

    assert row.values == {
        "accountnumber": "A1",
        "revenue": Decimal("1.50"),
        "industrycode": 2,
        "donotemail": True,
    }


@pytest.mark.parametrize(
    ("raw", "column", "said"),
    [
        pytest.param({"name": "x" * 161}, "name", "column name: the text has 161 characters", id="too long"),
        pytest.param(
            {"numberofemployees": 1001}, "numberofemployees", "1001 is above 1000", id="out of range"
        ),
        pytest.param(
            {"revenue": "0.005"}, "revenue", "has 3 decimal places", id="money that would be rounded"
        ),
        pytest.param(
            {"industrycode": "Minning"}, "industrycode", "Did you mean 'Mining'?", id="an unknown label"
        ),
        pytest.param({"opened": "tomorrow"}, "opened", "is not a date", id="no date"),
    ],
)
def test_a_wrong_value_refuses_its_row_and_names_the_column(raw, column, said):
    good, bad, also_good = converted([{next(iter(raw)): None}, raw, {}])

    assert (good.reject, also_good.reject) == (None, None)
    assert bad.reject is not None
    assert (bad.reject.row, bad.reject.file, bad.reject.table) == (2, "a.csv", "account")
    assert (bad.reject.column, bad.reject.code, bad.reject.retryable) == (column, None, False)
    assert said in bad.reject.message
    assert bad.reject.data == raw


def test_a_wrong_value_as_long_as_a_book_is_not_told_whole():
    (row,) = converted([{"numberofemployees": "many " * 100_000}])

    assert row.reject is not None
    assert len(row.reject.message) <= 500
    assert "is not a number" in row.reject.message


def test_of_two_wrong_values_the_first_is_named():
    (row,) = converted([{"opened": "tomorrow", "numberofemployees": "many"}])

    assert row.reject is not None
    assert row.reject.column == "opened"


def test_rows_with_other_columns_send_only_those_they_have():
    first, second, third = converted([{"name": "a"}, {"name": "b", "revenue": 1}, {"name": None}])

    assert first.values == {"name": "a"}
    assert second.values == {"name": "b", "revenue": Decimal(1)}
    assert third.values == {"name": None}


def test_rows_that_are_refused_already_are_left_alone():
    bad = LoadRow(1, None, {}, {}, Reject(1, None, "account", "not JSON"))
    Converting(ACCOUNT, ALL)([bad])

    assert bad.values == {}


def test_what_is_looked_up_goes_on_as_the_file_has_it():
    (row,) = converted(
        [{"primarycontactid": "ann@example.com", "primarycontactid.table": "contact"}],
        sent=(*ALL, "primarycontactid.table"),
        lookups={"primarycontactid", "primarycontactid.table"},
    )

    assert row.values == {"primarycontactid": "ann@example.com", "primarycontactid.table": "contact"}


def test_parquet_rows_are_converted_together_and_remember_what_they_were(tmp_path):
    table = pa.table(
        {
            "accountnumber": ["A1", "A2", "A3"],
            "revenue": pa.array([Decimal("1.00"), Decimal("1.001"), None], pa.decimal128(10, 3)),
            "extra": [1, 2, 3],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"), table="account")
    (batch,) = source.batches()
    Converting(ACCOUNT, ("accountnumber", "revenue"))(batch)

    assert [row.values.get("accountnumber") for row in batch] == ["A1", "A2", "A3"]
    assert [row.reject is None for row in batch] == [True, False, True]
    assert batch[0].values == {"accountnumber": "A1", "revenue": Decimal("1.00")}
    assert batch[1].reject is not None
    assert batch[1].reject.line()["data"] == {
        "accountnumber": "A2",
        "revenue": Decimal("1.001"),
        "extra": 2,
    }


def test_a_part_of_a_parquet_batch_is_converted_as_the_whole_is(tmp_path):
    pq.write_table(pa.table({"name": ["a", "b", "c"]}), tmp_path / "a.parquet")
    (batch,) = open_source(str(tmp_path / "a.parquet"), table="account").batches()
    batch[1].unchanged = True
    Converting(ACCOUNT, ("name",))(batch)

    assert [row.values for row in batch] == [{"name": "a"}, {}, {"name": "c"}]


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_state_or_owner_leaves_what_every_row_has_as_it_is(empty):
    more = {
        "statecode": Column("statecode", "State", "statecode", options=(Option(0, ("Active",)),)),
        "ownerid": Column("ownerid", "Owner", "_ownerid_value", navigation={"owner": "ownerid"}),
    }
    table = replace(ACCOUNT, columns={**ACCOUNT.columns, **more})
    raws = [
        {"name": "A", "statecode": empty, "ownerid": empty},
        {"name": "B", "statecode": "0", "ownerid": "x"},
    ]
    batch = [LoadRow(number, "a.csv", raw, {}) for number, raw in enumerate(raws, 1)]

    Converting(table, ("name", "statecode", "ownerid"), lookups=["ownerid"])(batch)

    assert [row.values for row in batch] == [{"name": "A"}, {"name": "B", "statecode": 0, "ownerid": "x"}]
