"""Rows that are more than a table's own columns: labels, targets, expanded rows, collections, aggregates."""

from __future__ import annotations

import datetime
import json
import threading
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.reading.results import LABEL, TARGET, ResultColumn
from airflow_provider_dynamics.formats import (
    Field,
    FormatError,
    arrow_schema,
    fields_from_json,
    fields_to_json,
    frame,
    result_fields,
    writer,
)
from tests.airflow.formats.rows import ACCOUNT, BOTH_WAYS, UTC, page_of, rows_of, wall

OF = ACCOUNT.columns


def own(name: str) -> ResultColumn:
    column = OF[name]
    return ResultColumn(name, (column.wire_name,), column.type, column)


TASK_COLUMNS = (
    own("name"),
    own("revenue"),
    own("new_founded"),
    own("new_opensat"),
    ResultColumn("ownerid.fullname", ("ownerid", "fullname"), "String"),
)
COLUMNS = (
    own("accountid"),
    own("primarycontactid"),
    ResultColumn("primarycontactidname", ("_primarycontactid_value" + LABEL,), "String"),
    ResultColumn("primarycontactidtype", ("_primarycontactid_value" + TARGET,), "String"),
    own("statecode"),
    ResultColumn("statecodename", ("statecode" + LABEL,), "String"),
    ResultColumn("primarycontactid.fullname", ("primarycontactid", "fullname"), "String"),
    ResultColumn(
        "primarycontactid.birthdate", ("primarycontactid", "birthdate"), "DateTime", OF["new_founded"]
    ),
    ResultColumn(
        "primarycontactid.ownerid.limit", ("primarycontactid", "ownerid", "limit"), "Money", OF["revenue"]
    ),
    ResultColumn("Account_Tasks", ("Account_Tasks",), "Collection", inner=TASK_COLUMNS),
)
FIELDS = result_fields(COLUMNS)
TASK = {
    "@odata.etag": 'W/"7"',
    "name": "call",
    "revenue": Decimal("0.10"),
    "new_founded": "2024-02-29",
    "new_opensat": "2024-07-01T08:30:00Z",
    "ownerid": {"fullname": "Ann"},
}
FULL = {
    "@odata.etag": 'W/"1"',
    "accountid": "a",
    "_primarycontactid_value": "c",
    "_primarycontactid_value" + LABEL: "Bo",
    "_primarycontactid_value" + TARGET: "contact",
    "statecode": 0,
    "statecode" + LABEL: "Active",
    "primarycontactid": {
        "fullname": "Bo",
        "birthdate": "1980-05-17",
        "ownerid": {"limit": Decimal("12345678901234.5678")},
        "contactid": "c",
    },
    "Account_Tasks": [TASK, {"name": None}],
    "Account_Tasks@odata.nextLink": "https://x",
}
BARE: dict[str, Any] = {
    "accountid": "b",
    "_primarycontactid_value": None,
    "statecode": 1,
    "primarycontactid": None,
    "Account_Tasks": [],
}
MISSING = {"accountid": "c", "primarycontactid": {"fullname": "Cy", "ownerid": None}}
FULL_KEPT = {
    "accountid": "a",
    "primarycontactid": "c",
    "primarycontactidname": "Bo",
    "primarycontactidtype": "contact",
    "statecode": 0,
    "statecodename": "Active",
    "primarycontactid.fullname": "Bo",
    "primarycontactid.birthdate": datetime.date(1980, 5, 17),
    "primarycontactid.ownerid.limit": Decimal("12345678901234.5678"),
    "Account_Tasks": [
        {
            "name": "call",
            "revenue": Decimal("0.1000"),
            "new_founded": datetime.date(2024, 2, 29),
            "new_opensat": wall(2024, 7, 1, 8, 30),
            "ownerid.fullname": "Ann",
        },
        dict.fromkeys(("name", "revenue", "new_founded", "new_opensat", "ownerid.fullname")),
    ],
}
NOTHING = dict.fromkeys(FULL_KEPT)


def test_the_types_come_from_metadata_whatever_a_column_is_called():
    task = pa.struct(
        {
            "name": pa.string(),
            "revenue": pa.decimal128(38, 4),
            "new_founded": pa.date32(),
            "new_opensat": pa.timestamp("us"),
            "ownerid.fullname": pa.string(),
        }
    )
    assert arrow_schema(FIELDS) == pa.schema(
        {
            "accountid": pa.string(),
            "primarycontactid": pa.string(),
            "primarycontactidname": pa.string(),
            "primarycontactidtype": pa.string(),
            "statecode": pa.int32(),
            "statecodename": pa.string(),
            "primarycontactid.fullname": pa.string(),
            "primarycontactid.birthdate": pa.date32(),
            "primarycontactid.ownerid.limit": pa.decimal128(38, 4),
            "Account_Tasks": pa.list_(task),
        }
    )


@BOTH_WAYS
def test_labels_expanded_rows_and_collections_are_columns(tmp_path, page):
    with writer(tmp_path / "a.parquet", None, FIELDS) as file:
        file.write(page(FULL, BARE, MISSING))
        file.write(page(FULL))
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema == arrow_schema(FIELDS)
    assert table.to_pylist() == [
        FULL_KEPT,
        NOTHING | {"accountid": "b", "statecode": 1, "Account_Tasks": []},
        NOTHING | {"accountid": "c", "primarycontactid.fullname": "Cy"},
        FULL_KEPT,
    ]


PERSON = st.fixed_dictionaries(
    {},
    optional={
        "fullname": st.none() | st.text("aé漢", max_size=3),
        "birthdate": st.none() | st.just("1980-05-17"),
        "ownerid": st.none() | st.fixed_dictionaries({}, optional={"limit": st.none() | st.integers(-9, 9)}),
    },
)
TASKS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.none() | st.text("ab", max_size=2),
            "new_opensat": st.none() | st.just("2024-07-01T08:30:00Z"),
            "ownerid": st.none() | st.fixed_dictionaries({"fullname": st.text("ab", max_size=2)}),
            "unasked": st.integers(),
        },
    ),
    max_size=3,
)
NESTED = st.fixed_dictionaries(
    {"accountid": st.text("abc", min_size=1)},
    optional={
        "_primarycontactid_value": st.none() | st.just("c"),
        "statecode" + LABEL: st.none() | st.just("Active"),
        "primarycontactid": st.none() | PERSON,
        "Account_Tasks": st.none() | TASKS,
    },
)


@given(rows=st.lists(NESTED, max_size=6))
def test_the_fast_way_and_the_slow_one_make_the_same_columns(rows):
    fast, slow = (frame([make(*rows)], FIELDS, "arrow") for make in (page_of, rows_of))
    assert fast.equals(slow)
    fast.validate(full=True)


def test_labels_and_nested_rows_take_the_fast_way():
    def refuse() -> list[dict[str, object]]:
        pytest.fail("the rows were made into Python objects")

    page = page_of(FULL, BARE)
    page._rows = refuse  # what the fast way never asks for
    assert frame([page], FIELDS, "arrow").to_pylist()[0] == FULL_KEPT


@BOTH_WAYS
def test_a_page_without_any_of_it_has_the_columns_all_the_same(page):
    table = frame([page({"accountid": "a"}), page()], FIELDS, "arrow")
    assert table.schema == arrow_schema(FIELDS)
    assert table.to_pylist() == [NOTHING | {"accountid": "a"}]


@BOTH_WAYS
def test_ndjson_and_csv_hold_the_rows_of_a_collection_as_json(tmp_path, page):
    for suffix in ("ndjson", "csv"):
        with writer(tmp_path / f"a.{suffix}", None, FIELDS) as file:
            file.write(page(FULL, BARE))
    tasks = (
        '[{"name":"call","revenue":0.10,"new_founded":"2024-02-29","new_opensat":"2024-07-01T08:30:00","ownerid.fullname":"Ann"},'
        '{"name":null,"revenue":null,"new_founded":null,"new_opensat":null,"ownerid.fullname":null}]'
    )
    full = (
        '{"accountid":"a","primarycontactid":"c","primarycontactidname":"Bo","primarycontactidtype":"contact","statecode":0,'
        '"statecodename":"Active","primarycontactid.fullname":"Bo","primarycontactid.birthdate":"1980-05-17",'
        f'"primarycontactid.ownerid.limit":12345678901234.5678,"Account_Tasks":{tasks}}}'
    )
    bare = json.dumps(
        NOTHING | {"accountid": "b", "statecode": 1, "Account_Tasks": []}, separators=(",", ":")
    )
    assert (tmp_path / "a.ndjson").read_text().splitlines() == [full, bare]
    quoted = tasks.replace('"', '""')
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == [
        f'a,c,Bo,contact,0,Active,Bo,1980-05-17,12345678901234.5678,"{quoted}"',
        "b,,,,1,,,,,[]",
    ]


def test_a_wrong_value_inside_a_collection_is_named():
    with pytest.raises(FormatError, match=r"Account_Tasks, row 2 .*0\.00001 has 5 decimal places"):
        frame([page_of(BARE, BARE | {"Account_Tasks": [{"revenue": Decimal("0.00001")}]})], FIELDS, "arrow")
    with pytest.raises(FormatError, match=r"Account_Tasks, row 1 .*'later' is not a list of rows"):
        frame([rows_of(BARE | {"Account_Tasks": "later"})], FIELDS, "arrow")


@BOTH_WAYS
def test_aggregates_have_the_types_of_what_they_count_and_add(page):
    fields = result_fields(
        [
            ResultColumn("n", ("n",), "BigInt"),
            ResultColumn("total", ("total",), "Money", OF["revenue"]),
            ResultColumn("average", ("average",), "Decimal"),
            ResultColumn("latest", ("latest",), "DateTime", OF["createdon"]),
            ResultColumn("statecode", ("statecode",), "State", OF["statecode"]),
            ResultColumn("contact.fullname", ("contact.fullname",), "String"),
        ]
    )
    row = {
        "n": 3_000_000_000,
        "total": Decimal("99999999999999999999.9999"),
        "average": Decimal("0.3333333333"),
        "latest": "2024-01-31T10:00:00Z",
        "statecode": 0,
        "contact.fullname": "Bo",
    }
    assert frame([page(row)], fields, "arrow").to_pylist() == [
        row | {"latest": datetime.datetime(2024, 1, 31, 10, tzinfo=UTC)}
    ]


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(FormatError, match="a column 'n' already"):
        result_fields([ResultColumn("n", ("n",), "BigInt"), ResultColumn("n", ("m",), "BigInt")])


def test_fields_survive_as_json():
    assert fields_from_json(json.loads(json.dumps(fields_to_json(FIELDS)))) == FIELDS


@pytest.mark.parametrize("written", [[{"name": "a"}], ["a"], None, [{"kind": 1}]])
def test_what_is_no_list_of_fields_is_refused(written):
    with pytest.raises(ValueError, match="columns of an earlier run cannot be read"):
        fields_from_json(written)


@pytest.mark.parametrize("suffix", ["parquet", "ndjson", "csv"])
def test_pages_prepared_in_many_threads_are_appended_as_one_file(tmp_path, suffix):
    fields, made = [Field("accountid"), Field("n", "int32")], {}

    def prepare(file, number):
        made[number] = file.prepare(page_of(*({"accountid": str(i), "n": number} for i in range(500))))

    with writer(tmp_path / f"a.{suffix}", None, fields) as file:
        threads = [threading.Thread(target=prepare, args=(file, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert file.rows == 0
        for number in range(8):
            file.append(made[number])
        assert file.rows == 4000
    text = (tmp_path / f"a.{suffix}").read_bytes()
    if suffix == "parquet":
        assert pq.read_table(tmp_path / "a.parquet").column("n").to_pylist() == sorted(list(range(8)) * 500)
    else:
        assert len(text.splitlines()) == 4000 + (suffix == "csv")
