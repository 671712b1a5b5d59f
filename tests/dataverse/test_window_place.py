"""Where a window starts: behind what was seen, and before what may have been under way."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse.following.window_place import WindowPlace, time_of

NOON = time_of("2026-01-01T12:00:00Z").timestamp()


def place(**facts):
    return WindowPlace(**{"of": "x", "column": "versionnumber", "high": 100, "began": NOON, **facts})


def test_a_place_survives_as_text():
    made = place(modified="2026-01-01T11:00:00Z", seen=120, marks=((1.5, 20),))
    assert WindowPlace.parse(str(made)) == made


@pytest.mark.parametrize(
    "text",
    ["", "window:", "window:{}", 'window:{"marks":[]}', "https://x/accounts?$deltatoken=1", "window:[1]"],
)
def test_other_text_is_no_place(text):
    assert WindowPlace.parse(text) is None


def test_rows_above_the_highest_number_are_read_and_those_modified_shortly_before():
    made = place(modified="2026-01-01T11:59:30Z")
    assert made.condition(600) == "versionnumber gt 100 or modifiedon ge 2026-01-01T11:49:30Z"


def test_a_modification_in_the_future_does_not_move_the_window_there():
    made = place(modified="2031-01-01T00:00:00Z")
    assert made.condition(60) == "versionnumber gt 100 or modifiedon ge 2026-01-01T11:59:00Z"


def test_without_modification_times_only_numbers_that_are_old_enough_count():
    first = place()
    assert first.condition(600) is None
    second = place(high=200, began=NOON + 300).after(first, 600)
    assert second.condition(600) is None
    third = place(high=300, began=NOON + 900).after(second, 600)
    assert third.condition(600) == "versionnumber gt 200"


def test_marks_stay_few_however_often_it_is_read():
    made = place()
    for minute in range(1, 500):
        made = place(high=100 + minute, began=NOON + 10 * minute).after(made, 600)
        assert len(made.marks) <= 13
    low = int(made.condition(600).rpartition(" ")[2])
    assert 530 <= low <= 539, "never above what was settled, and not far below"


def test_modification_times_alone():
    made = place(column="modifiedon", high="2026-01-01T11:00:00Z", modified="2026-01-01T11:00:00Z")
    assert made.condition(600) == "modifiedon ge 2026-01-01T10:50:00Z"


def test_an_empty_table_is_read_whole_the_next_time():
    assert place(high=None).condition(600) is None
