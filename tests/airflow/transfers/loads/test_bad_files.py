"""What is wrong with a load's input, through Airflow: said in the first try, by name, and nothing else is spoilt by it."""

from __future__ import annotations

import re

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator
from tests.airflow.transfers.files import ONCE, failed_once, lines, run_one, write_csv, write_ndjson
from tests.airflow.transfers.loads.files import writes

pytestmark = pytest.mark.usefixtures("dynamics_conn")


@pytest.fixture
def load(run_dag, tmp_path):
    """Load rows, written as CSV, or what a path holds; refused rows go to a file."""

    def do(rows, rejects=tmp_path / "rejects.ndjson", **arguments):
        source = write_csv(tmp_path / "in.csv", rows) if isinstance(rows, list) else rows
        made = {"table": "account", "key": ["accountnumber"], "max_rejects": "100%", **ONCE, **arguments}
        return run_one(
            run_dag,
            lambda: ObjectStorageToDynamicsOperator(
                task_id="load",
                source_path=str(source),
                rejects_path=str(rejects),
                **made,
            ),
        )

    return do


@pytest.fixture
def refused(load, tmp_path):
    """Load rows, and return the one line of refused rows: all others are in."""

    def do(rows, **arguments):
        ran = load(rows, **arguments)
        assert ran.states == {"load": "success"}, ran.errors
        summary = ran.xcoms["load"]
        assert (summary["rows"], summary["written"], summary["rejected"]) == (len(rows), len(rows) - 1, 1)
        (line,) = lines(tmp_path / "rejects.ndjson")
        return line

    return do


@pytest.mark.parametrize(
    ("column", "bad", "said"),
    [
        pytest.param(
            "name", "x" * 161, "the text has 161 characters, and the column takes 160", id="too long"
        ),
        pytest.param("numberofemployees", "-1", "-1 is below 0, the least", id="out of range"),
        pytest.param("address1_latitude", "91", "91.0 is above 90, the most", id="a double out of range"),
        pytest.param(
            "revenue", "1.005", "has 3 decimal places, and the column keeps 2", id="money to be rounded"
        ),
        pytest.param("industrycode", "Acounting", "Did you mean 'Accounting'?", id="an unknown label"),
        pytest.param("donotemail", "perhaps", "'perhaps' is not true or false", id="neither yes nor no"),
        pytest.param("revenue", "a lot", "'a lot' is not a number", id="no number"),
        pytest.param("primarycontactid", "abc", "'abc' is not a row id", id="no id"),
        pytest.param("lastusedincampaign", "9999-12-31T23:00:00-05:00", "after 9999", id="no date in UTC"),
    ],
)
def test_a_value_its_column_cannot_hold_is_named_with_row_and_column(refused, column, bad, said):
    line = refused([{"accountnumber": f"B{n}", column: bad if n == 2 else ""} for n in range(1, 4)])

    assert (line["row"], line["column"], line["code"], line["retryable"]) == (2, column, None, False)
    assert line["message"].startswith(f"column {column}: ")
    assert said in line["message"]


def test_choices_are_taken_by_label(load, emulator):
    rows = [{"accountnumber": "C1", "industrycode": "accounting", "donotemail": "Do Not Allow"}]
    assert load(rows).states == {"load": "success"}

    (row,) = [row for row in emulator.rows("account") if row["accountnumber"] == "C1"]
    assert (row["industrycode"], row["donotemail"]) == (1, True)


def test_labels_are_not_taken_where_they_are_not_wanted(refused):
    rows = [{"accountnumber": f"C{n}", "industrycode": "Accounting" if n else "1"} for n in range(2)]
    line = refused(rows, choices_by_label=False)

    assert "labels are taken with choices_by_label" in line["message"]


def test_a_key_that_comes_twice_is_taken_once_and_the_first_is_named(refused, emulator):
    line = refused(
        [{"accountnumber": number, "name": f"Row {n}"} for n, number in enumerate(["D1", "D2", "d1 "], 1)]
    )

    assert (line["row"], line["column"]) == (3, "accountnumber")
    assert "the same accountnumber as row 1" in line["message"]
    assert [row["name"] for row in emulator.rows("account") if row["accountnumber"] == "D1"] == ["Row 1"]


def test_a_row_without_its_key_is_refused(refused):
    line = refused([{"accountnumber": "E1", "name": "a"}, {"accountnumber": "", "name": "b"}])

    assert "column accountnumber: a row is known by it, and it is empty here" in line["message"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("in.csv", b"", "in.csv is empty: it has not a byte", id="an empty file"),
        pytest.param("*.csv", None, "there is no file to load", id="a pattern that fits nothing"),
        pytest.param(
            "in.csv", b"accountnumber,nme\nA,B\n", "no column 'nme'.*'name'", id="an unknown column"
        ),
        pytest.param(
            "in.csv", b"accountnumber,createdon\nA,B\n", "'createdon'.*cannot be written", id="not writable"
        ),
        pytest.param("in.csv", b"name\nB\n", "no column for 'accountnumber'", id="a key that is not there"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_before_anything_is_written(  # noqa: PLR0917 - fixtures and cases
    load, emulator, tmp_path, name, content, said
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    text = failed_once(load(tmp_path / name))

    assert re.search(said, text)
    assert writes(emulator) == []


def test_a_key_that_is_none_is_answered_with_those_there_are(load, emulator):
    text = failed_once(load([{"name": "x"}], key=["name"]))

    assert "account has no alternate key on name" in text
    assert "accountnumber" in text
    assert writes(emulator) == []


def test_a_privilege_that_is_missing_ends_the_load_and_is_named(load, emulator, tmp_path):
    emulator.sign_ins.take_privilege("prvCreateAccount")
    text = failed_once(load([{"accountnumber": f"P{n}", "name": "x"} for n in range(3)], max_rejects=0))

    assert "prvCreateAccount" in text
    assert not (tmp_path / "rejects.ndjson").exists()


class Growing(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store where somebody appends to a file as soon as its rows are read, after its columns."""

    opened = 0

    def _open(self, path, mode="rb", **options):
        if mode == "rb":
            self.opened += 1
            if self.opened == 2:
                self.pipe_file(path, self.cat_file(path) + b"F99999,late\n")
        return super()._open(path, mode, **options)


def test_a_file_that_changes_while_it_is_read_is_refused(load):
    store = Growing()
    attach("memory", "growing", fs=store)
    store.store.clear()
    store.pipe_file("/inbox/in.csv", b"accountnumber,name\nF1,x\n")
    text = failed_once(load("memory://inbox/in.csv", source_conn_id="growing"))

    assert "in.csv changed while it was loaded (from 24 to 36 bytes)" in text
    assert "load it again when whoever writes it is done" in text


def test_a_folder_of_files_is_one_load(load, emulator, tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    write_csv(folder / "b.csv", [{"accountnumber": "G3", "name": "three"}])
    write_ndjson(folder / "a.ndjson", [{"accountnumber": "G1"}, {"accountnumber": "G2", "name": "two"}])
    (folder / "_SUCCESS").write_text("")
    ran = load(folder)

    assert ran.states == {"load": "success"}, ran.errors
    assert ran.xcoms["load"]["written"] == 3
    names = {row["accountnumber"]: row["name"] for row in emulator.rows("account")}
    assert (names["G2"], names["G3"]) == ("two", "three")


def test_refused_rows_of_a_load_can_be_its_next_input(load, tmp_path):
    rows = [{"number": f"H{n}", "staff": "many" if n == 2 else n} for n in range(1, 4)]
    columns = {"number": "accountnumber", "staff": "numberofemployees"}
    load(rows, columns=columns)
    rejects = tmp_path / "rejects.ndjson"
    corrected = tmp_path / "corrected.ndjson"
    corrected.write_text(rejects.read_text().replace('"many"', '"2"'))
    ran = load(corrected, columns=columns, file_format="rejects")

    assert ran.states == {"load": "success"}, ran.errors
    assert (ran.xcoms["load"]["written"], ran.xcoms["load"]["rejected"]) == (1, 0)
    assert not rejects.exists()


def test_rows_are_created_once_by_ids_made_from_them(load, emulator):
    rows = [{"name": f"Made {n}", "legacy": n} for n in range(3)]
    arguments = {"operation": "create", "key": None, "columns": {"legacy": None}, "row_id_from": ["legacy"]}
    first, second = load(rows, **arguments), load(rows, **arguments)

    assert (first.xcoms["load"]["written"], first.xcoms["load"]["unchanged"]) == (3, 0)
    assert (second.xcoms["load"]["written"], second.xcoms["load"]["unchanged"]) == (0, 3)
    assert sum(str(row["name"]).startswith("Made ") for row in emulator.rows("account")) == 3


def test_rows_are_found_again_by_the_ids_that_were_made_of_them(load, emulator):
    rows = [{"legacy": n, "name": f"Made {n}"} for n in range(3)]
    by_id = {"key": None, "columns": {"legacy": None}, "row_id_from": ["legacy"]}
    load(rows, **by_id)
    load([{"legacy": 1, "name": "Made anew"}], operation="update", **by_id)
    assert sorted(row["name"] for row in emulator.rows("account") if "Made" in str(row["name"])) == [
        "Made 0",
        "Made 2",
        "Made anew",
    ]

    ran = load([{"legacy": 0}, {"legacy": 1}, {"legacy": 9}], operation="delete", **by_id)
    summary = ran.xcoms["load"]
    assert (summary["written"], summary["unchanged"], summary["rejected"]) == (2, 1, 0)
    assert [row["name"] for row in emulator.rows("account") if "Made" in str(row["name"])] == ["Made 2"]


def test_a_quote_that_nobody_closes_does_not_make_one_value_of_all_rows(load, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text('accountnumber,description\nQ1,x\nQ2,"y\nQ3,z\n')

    assert "in.csv is not CSV from line 3 to line 4" in failed_once(load(source))


@pytest.mark.parametrize("name", ["inbox", "inbox/*.ndjson"])
def test_refused_rows_are_not_set_aside_among_the_files_that_are_loaded(load, emulator, tmp_path, name):
    (tmp_path / "inbox").mkdir()
    write_ndjson(tmp_path / "inbox" / "a.ndjson", [{"accountnumber": "R1"}])
    text = failed_once(load(tmp_path / name, rejects=tmp_path / "inbox" / "rejects.ndjson"))

    assert "is among the files of source_path" in text
    assert writes(emulator) == []


def test_a_row_that_is_written_but_for_a_part_is_not_created_again(load, emulator, tmp_path):
    bad = {"name": "Half written", "parentaccountid": "00000000-0000-0000-0000-00000000dead"}
    by_content = {"operation": "create", "key": None}
    load([bad], **by_content)
    again = tmp_path / "again.ndjson"
    again.write_text((tmp_path / "rejects.ndjson").read_text())
    assert lines(again)[0]["row_id"]
    ran = load(again, file_format="rejects", **by_content)

    assert ran.xcoms["load"]["rejected"] == 1
    assert [row["name"] for row in emulator.rows("account")].count("Half written") == 1


def test_a_line_that_was_no_row_is_not_created_as_an_empty_one(load, emulator, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("name,revenue\nx,1,2\n")
    by_content = {"operation": "create", "key": None}
    load(source, **by_content)
    again = tmp_path / "again.ndjson"
    again.write_text((tmp_path / "rejects.ndjson").read_text())
    ran = load(again, file_format="rejects", **by_content)

    assert (ran.xcoms["load"]["rows"], ran.xcoms["load"]["rejected"]) == (1, 1)
    assert writes(emulator) == []


def test_a_mapping_may_be_the_json_that_a_template_leaves(load):
    ran = load([{"number": "S1"}], columns='{"number": "accountnumber"}')
    assert ran.xcoms["load"]["written"] == 1

    text = failed_once(load([{"number": "S1"}], columns="{'number': 'accountnumber'}"))
    assert "columns became a text that is not JSON" in text
    assert "| tojson" in text


def test_a_key_whose_index_is_not_active_is_refused_before_anything_is_written(load, emulator):
    text = failed_once(load([{"drill_name": "x"}], table="drill_bare", key=["drill_name"]))

    assert "The alternate key drill_namekey of drill_bare is not ready: its index is Failed" in text
    assert writes(emulator) == []


def test_an_owner_may_be_in_several_tables_and_each_way_to_say_so_is_named_once(load):
    text = failed_once(load([{"accountnumber": "T1", "ownerid": "x"}]))

    assert text.count("'ownerid@odata.bind'") == 1
    assert "lookups" in text
