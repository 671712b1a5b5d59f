"""Refused rows are set aside whole, in one file, whichever try refused them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.transfers.loads.rejects import Rejects
from airflow_provider_dynamics.transfers.loads.row import Reject
from tests.airflow.transfers.files import lines
from tests.airflow.transfers.loads.tables import row


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rejects.ndjson"


def rejects(path):
    return Rejects(ObjectStoragePath(str(path)))


def reject(number, **facts):
    return Reject(number, "a.csv", "account", "no", data={"n": number}, **facts)


def left_open(folder):
    """Leave what a killed worker leaves."""
    (folder / ".rejects.ndjson.rejects.0123abcd.00003.part").write_text('{"row": 3')


def test_a_refused_row_is_told_with_everything_there_is_to_know(path):
    error = errors.BadRequest("Bad name", code="0x80040265", request_id="7f6e", status=400)
    refused = row(7, {"name": "x", "revenue": Decimal("1.10")})
    kept = rejects(path)
    kept.add(Reject.by_service(refused, error, table="account"))
    kept.add(Reject.of(refused, "column name: too long", table="account", column="name"))
    kept.finish()

    known = {"row": 7, "file": "a.csv", "table": "account", "retryable": False, "row_id": None}
    assert lines(path) == [
        {
            **known,
            "message": "Bad name",
            "code": "0x80040265",
            "request_id": "7f6e",
            "column": None,
            "data": {"name": "x", "revenue": 1.1},
        },
        {
            **known,
            "message": "column name: too long",
            "code": None,
            "request_id": None,
            "column": "name",
            "data": {"name": "x", "revenue": 1.1},
        },
    ]
    assert "1.10" in path.read_text()
    assert kept.written_to == str(path)
    assert kept.first() == "row 7: 0x80040265: Bad name; row 7: column name: too long"


def test_a_row_that_may_be_taken_another_time_says_so(path):
    kept = rejects(path)
    kept.add(Reject.by_service(row(1, {}), errors.ServerTimeout("busy"), table="account"))
    kept.finish()

    assert lines(path)[0]["retryable"] is True


def test_what_is_refused_of_a_row_that_is_written_says_that_it_is_written():
    made = Reject.by_service(row(1, {}), errors.BadRequest("no such row"), table="account", written=True)

    assert made.message == "The row is written, and what had to wait is refused: no such row"


def test_the_file_appears_when_it_is_complete_and_nothing_else_stays(path, tmp_path):
    kept = rejects(path)
    kept.add(reject(1))
    assert not path.exists()
    kept.finish()

    assert [entry.name for entry in tmp_path.iterdir()] == ["rejects.ndjson"]


def test_a_load_that_ends_for_good_leaves_nothing_behind(path, tmp_path):
    kept = rejects(path)
    kept.add(reject(1))
    kept.complete()
    kept.add(reject(2))
    kept.abandon()

    assert list(tmp_path.iterdir()) == []


def test_rejects_of_an_earlier_load_do_not_stay_beside_a_good_one(path):
    path.write_text("{}\n")
    kept = rejects(path)
    kept.finish()

    assert kept.written_to is None
    assert not path.exists()


def test_a_later_try_joins_what_earlier_ones_have_set_aside(path, tmp_path):
    first = rejects(path)
    first.add(reject(1))
    first.complete()
    first.add(reject(2))
    segments = first.complete()
    left_open(tmp_path)

    second = rejects(path)
    assert second.resume(json.loads(json.dumps(segments)))
    assert second.count == 2
    second.add(reject(4))
    second.finish()

    assert [line["row"] for line in lines(path)] == [1, 2, 4]
    assert second.count == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["rejects.ndjson"]


def test_a_later_try_that_refuses_nothing_more_puts_the_file_in_place(path):
    first = rejects(path)
    first.add(reject(1))
    segments = first.complete()

    second = rejects(path)
    assert second.resume(segments)
    second.finish()

    assert [line["row"] for line in lines(path)] == [1]


def test_segments_that_are_not_there_any_more_are_not_gone_on_from(path, tmp_path):
    first = rejects(path)
    first.add(reject(1))
    segments = first.complete()
    for left in tmp_path.iterdir():
        left.unlink()

    second = rejects(path)
    assert not second.resume(segments)
    second.add(reject(5))
    second.finish()

    assert [line["row"] for line in lines(path)] == [5]


def test_a_good_try_sweeps_up_behind_a_killed_one(path, tmp_path):
    left_open(tmp_path)
    rejects(path).finish()

    assert list(tmp_path.iterdir()) == []


def test_a_load_without_refused_rows_makes_no_folder_for_them(tmp_path):
    rejects(tmp_path / "sub" / "rejects.ndjson").finish()

    assert list(tmp_path.iterdir()) == []


def test_without_a_path_they_are_counted_and_the_first_are_named():
    kept = Rejects()
    for number in range(1, 6):
        kept.add(reject(number))
    kept.finish()

    assert (kept.count, kept.written_to) == (5, None)
    assert kept.complete() == ()
    assert kept.first() == "row 1: no; row 2: no; row 3: no"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(float("inf"), "inf", id="infinity, which is no null"),
        pytest.param(Decimal("-Infinity"), "-Infinity", id="a decimal one"),
        pytest.param(float("nan"), None, id="NaN, which is nothing"),
        pytest.param(b"\xff", {"base64": "/w=="}, id="bytes, which are no text"),
        pytest.param("a\udcff", "a\udcff", id="half a character"),
        pytest.param("\\ud83d", "\\ud83d", id="text that only looks like it"),
    ],
)
def test_a_wrong_value_does_not_become_a_right_one_on_its_way_through_the_file(path, value, kept):
    kept_rows = rejects(path)
    kept_rows.add(Reject.of(row(1, {"name": value}), "no", table="account"))
    kept_rows.finish()

    assert lines(path)[0]["data"] == {"name": kept}


def test_a_line_that_was_no_row_has_no_data(path):
    kept = rejects(path)
    kept.add(Reject(1, "a.csv", "account", "3 values"))
    kept.finish()

    assert lines(path)[0]["data"] is None


def test_a_folder_is_no_place_for_the_file(tmp_path):
    with pytest.raises(AirflowFailException, match="is a folder: add the file's name"):
        rejects(tmp_path)
