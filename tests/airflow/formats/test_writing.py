"""What a file says about a table's rows: types from metadata, values exact."""

from __future__ import annotations

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowOptionalProviderFeatureException

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol.pages import Deleted, Page
from airflow_provider_dynamics.formats import (
    Field,
    FormatError,
    arrow_schema,
    file_fields,
    frame,
    settle,
    writer,
)
from airflow_provider_dynamics.formats.arrow import need
from tests.airflow.formats.rows import (
    ACCOUNT,
    BOTH_WAYS,
    EVERY,
    FORMATS,
    ROW,
    SENDABLE,
    UTC,
    page_of,
    read,
    wall,
    write,
)

ROOT = Path(__file__).parents[3]
FIRST_ID, SECOND_ID = "0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b001", "0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b002"


def test_every_column_type_has_its_arrow_type():
    assert arrow_schema(file_fields(ACCOUNT, EVERY)) == pa.schema(
        {
            "accountid": pa.string(),
            "name": pa.string(),
            "description": pa.string(),
            "revenue": pa.decimal128(38, 4),
            "exchangerate": pa.decimal128(38, 10),
            "address1_latitude": pa.float64(),
            "numberofemployees": pa.int32(),
            "versionnumber": pa.int64(),
            "creditonhold": pa.bool_(),
            "industrycode": pa.int32(),
            "statecode": pa.int32(),
            "statuscode": pa.int32(),
            "new_interests": pa.string(),
            "createdon": pa.timestamp("us", "UTC"),
            "new_opensat": pa.timestamp("us"),
            "new_founded": pa.date32(),
            "primarycontactid": pa.string(),
            "ownerid": pa.string(),
        }
    )


def test_money_keeps_ten_decimal_places_where_the_column_has_them():
    migrated = Table("x", "xs", "xid", None, {"xid": Column("xid", "Money", "xid", precision=10)})
    assert arrow_schema(file_fields(migrated)).field("xid").type == pa.decimal128(38, 10)


def test_the_row_id_comes_first_where_select_leaves_it_out():
    assert [f.name for f in file_fields(ACCOUNT, ["name"])] == ["accountid", "name"]


def test_select_keeps_its_order_and_takes_both_spellings_of_a_lookup_once():
    fields = file_fields(ACCOUNT, ["_ownerid_value", "name", "ownerid", "accountid"])
    assert [f.name for f in fields] == ["ownerid", "name", "accountid"]


def test_without_a_select_the_file_has_every_column_a_plain_read_returns():
    assert [f.name for f in file_fields(ACCOUNT)] == list(EVERY)


def test_a_column_the_table_lacks_is_named():
    with pytest.raises(FormatError, match="account has no column 'nmae'"):
        file_fields(ACCOUNT, ["nmae"])


# --- writing ---


@BOTH_WAYS
def test_parquet_holds_the_values_exactly(tmp_path, page):
    write(tmp_path / "a.parquet", page(ROW))
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert row == SENDABLE | {
        "ownerid": None,
        "revenue": Decimal("12345678901234.5678"),
        "address1_latitude": 50.08804,
        "createdon": datetime.datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
        "new_opensat": wall(2024, 7, 1, 8, 30),
        "new_founded": datetime.date(1753, 1, 1),
    }


@BOTH_WAYS
@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_reads_back_as_it_was(tmp_path, page, suffix):
    write(tmp_path / f"a.{suffix}", page(ROW), page(ROW, ROW))
    rows = read(tmp_path / f"a.{suffix}")
    assert [row.number for row in rows] == [1, 2, 3]
    assert [row.row for row in rows] == [SENDABLE | {"address1_latitude": 50.08804}] * 3


@BOTH_WAYS
def test_a_column_of_nulls_keeps_its_type(tmp_path, page):
    nulls = dict.fromkeys(ROW) | {"accountid": "a"}
    write(tmp_path / "a.parquet", page(nulls))
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema == arrow_schema(file_fields(ACCOUNT, EVERY))
    assert table.column("revenue").null_count == 1


@BOTH_WAYS
def test_a_value_the_row_lacks_is_null(tmp_path, page):
    write(tmp_path / "a.parquet", page({"accountid": "a"}), select=("name", "statecode"))
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [
        {"accountid": "a", "name": None, "statecode": None}
    ]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("pages", [(), (page_of(),)], ids=["no page", "one empty page"])
def test_an_empty_result_is_a_valid_empty_file(tmp_path, suffix, pages):
    path = write(tmp_path / f"a.{suffix}", *pages)
    assert read(path) == []
    if suffix == "parquet":
        assert pq.read_schema(path) == arrow_schema(file_fields(ACCOUNT, EVERY))
    if suffix == "csv":
        assert path.read_text() == ",".join(EVERY) + "\n"


@BOTH_WAYS
def test_more_digits_than_the_type_holds_are_refused_not_rounded(tmp_path, page):
    with pytest.raises(FormatError, match=r"revenue, row 2 .*1\.00001 has 5 decimal places.*NDJSON or CSV"):
        write(tmp_path / "a.parquet", page(ROW, ROW | {"revenue": Decimal("1.00001")}))


@BOTH_WAYS
@pytest.mark.parametrize("number", ["1" + "0" * 34, "1E+400"])
def test_more_digits_before_the_point_than_the_type_holds_are_refused_by_name(tmp_path, page, number):
    with pytest.raises(FormatError, match=r"revenue, row 2 .* digits before the decimal point, .* holds 34"):
        write(tmp_path / "a.parquet", page(ROW, ROW | {"revenue": Decimal(number)}))


@BOTH_WAYS
def test_zeros_past_the_scale_lose_nothing(tmp_path, page):
    many = Decimal("1234567890123456789012345678901234.500000000")
    write(tmp_path / "a.parquet", page(ROW | {"revenue": many}, ROW | {"revenue": 7}))
    assert pq.read_table(tmp_path / "a.parquet").column("revenue").to_pylist() == [many, Decimal(7)]


@BOTH_WAYS
def test_unusual_but_legal_values_are_taken(tmp_path, page):
    odd = ROW | {
        "name": ["a", {"b": Decimal("1.10")}],
        "createdon": "2024-01-31T10:00:00.1234567Z",
        "new_opensat": "2024-01-31T10:00Z",
        "new_founded": "2024-01-31T00:00:00Z",
        "statecode": Decimal("1.0"),
    }
    write(tmp_path / "a.parquet", page(odd))
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert row["name"] == '["a",{"b":1.10}]'
    assert row["createdon"] == datetime.datetime(2024, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)
    assert row["new_opensat"] == wall(2024, 1, 31, 10)
    assert row["new_founded"] == datetime.date(2024, 1, 31)
    assert row["statecode"] == 1


def test_bytes_that_are_no_utf8_never_reach_a_file(tmp_path):
    page = Page(
        [{"accountid": "a", "name": "from its rows"}], body=b'{"value":[{"accountid":"a","name":"\xff"}]}'
    )
    write(tmp_path / "a.parquet", page, select=("name",))
    assert pq.read_table(tmp_path / "a.parquet").column("name").to_pylist() == ["from its rows"]


def test_pages_are_gathered_into_large_row_groups(tmp_path):
    rows = [{"accountid": str(i)} for i in range(5_000)]
    write(tmp_path / "a.parquet", *[page_of(*rows)] * 21, select=("accountid",))
    groups = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [50_000, 50_000, 5_000]


def test_a_time_on_the_wall_that_became_a_day_is_written_as_a_time(tmp_path):
    fields = settle([Field("at", "timestamp")], [Field("at", "date")], "evolve")
    for suffix in ("parquet", "ndjson", "csv"):
        with writer(tmp_path / f"a.{suffix}", None, fields) as file:
            file.write(page_of({"at": "2024-07-01"}))
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [{"at": wall(2024, 7, 1)}]
    assert (tmp_path / "a.ndjson").read_text() == '{"at":"2024-07-01T00:00:00"}\n'
    assert (tmp_path / "a.csv").read_text() == "at\n2024-07-01T00:00:00\n"


def test_csv_says_null_truth_time_and_digits_as_documented(tmp_path):
    select = ("name", "creditonhold", "createdon", "new_opensat", "new_founded", "revenue", "exchangerate")
    row = ROW | {"name": "a,b", "revenue": None, "exchangerate": Decimal("1E-10")}
    write(tmp_path / "a.csv", page_of(row), select=select)
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "accountid,name,creditonhold,createdon,new_opensat,new_founded,revenue,exchangerate",
        f'{ROW["accountid"]},"a,b",false,2024-02-29T23:59:59Z,2024-07-01T08:30:00,1753-01-01,,0.0000000001',
    ]


def test_ndjson_has_every_column_under_its_logical_name_and_exact_numbers(tmp_path):
    write(
        tmp_path / "a.ndjson", page_of(ROW), select=("ownerid", "primarycontactid", "revenue", "new_opensat")
    )
    assert (tmp_path / "a.ndjson").read_text() == (
        f'{{"accountid":"{ROW["accountid"]}","ownerid":null,"primarycontactid":"{ROW["_primarycontactid_value"]}",'
        '"revenue":12345678901234.5678,"new_opensat":"2024-07-01T08:30:00"}\n'
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_change_file_says_what_happened_to_each_row(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with writer(path, None, file_fields(ACCOUNT, ["name"]), extra={"operation": "string"}) as file:
        file.write(page_of({"accountid": FIRST_ID, "name": "one"}), {"operation": "upsert"})
        file.write([{"accountid": SECOND_ID}], {"operation": "delete"})
    assert file.rows == 2
    assert [row.row for row in read(path)] == [
        {"accountid": FIRST_ID, "name": "one", "operation": "upsert"},
        {"accountid": SECOND_ID, "name": None, "operation": "delete"},
    ]


def page_with_deletions() -> Page:
    """Return a page of changes as the client gives it: one row between two deletions."""
    gone = {"@odata.context": "https://x/$metadata#accounts/$deletedEntity", "id": "2", "reason": "deleted"}
    changed = {"@odata.context": "https://x/$metadata#accounts/$entity", "accountid": "1", "name": "one"}
    mixed = page_of(gone, changed, gone)
    return mixed.holding([changed], [Deleted("2", "deleted")] * 2, body=mixed.body)


@pytest.mark.parametrize("suffix", FORMATS)
def test_deletions_among_the_rows_of_a_page_are_no_rows(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", page_with_deletions(), select=("name",))
    assert [row.row for row in read(path)] == [{"accountid": "1", "name": "one"}]


def test_a_page_with_deletions_takes_the_fast_way():
    page = page_with_deletions()
    page._rows = pytest.fail  # what the fast way never asks for
    assert frame([page], file_fields(ACCOUNT, ["name"]), "arrow").num_rows == 1


def test_an_extra_column_cannot_hide_one_of_the_table(tmp_path):
    with (
        pytest.raises(FormatError, match="has a column 'name' already: rename"),
        writer(tmp_path / "a.csv", None, file_fields(ACCOUNT, ["name"]), extra={"name": "string"}),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_missing_is_named_with_its_extra():
    with pytest.raises(
        AirflowOptionalProviderFeatureException,
        match=r"Parquet needs no_such_arrow: pip install 'airflow-provider-dynamics\[parquet\]'",
    ):
        need("no_such_arrow", "parquet", "Parquet")


WITHOUT_ARROW = """
import sys
sys.modules["pyarrow"] = None  # as if it were not installed
from airflow_provider_dynamics.formats import raw_file, writer
from tests.airflow.formats.rows import ACCOUNT, ROW, read, write
for name in ("a.csv", "a.ndjson"):
    write(sys.argv[1] + name, [ROW])
    assert read(sys.argv[1] + name)[0].row["accountid"] == ROW["accountid"]
"""


def test_text_files_need_no_arrow(tmp_path):
    arguments = [sys.executable, "-c", WITHOUT_ARROW, f"{tmp_path}/"]
    subprocess.run(arguments, check=True, cwd=ROOT)
