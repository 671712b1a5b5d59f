"""Every row exactly once, over any number of lanes, whatever happens on the way; and nothing left running."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from datetime import timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse import FetchXml, Query, Window, errors
from airflow_provider_dynamics.dataverse.lanes.lanes import LaneRead, check
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.throttle import Stop
from tests.dataverse.divided import START, TYPES, DividedTable, second

ALL = Query("account", select=["name", "createdon"], page_size=10)
YEAR = 365 * 86_400

pytestmark = pytest.mark.usefixtures("threads_ended")


def reading(table, source=ALL, **options):
    options = {"lanes": 4, "stop": Stop(), **options}
    return LaneRead(table, Tables(table), source, **options)


def filled(rows, *, over=YEAR, **options):
    """Return a table whose rows were created evenly over so many seconds."""
    table = DividedTable(**options)
    for number in range(rows):
        table.add(createdon=second(number * over // max(1, rows)), serial=number, name=f"Row {number}")
    return table


def ids(read):
    return Counter(row["accountid"] for item in read for row in item.page.rows)


def read_once(table, **options):
    with reading(table, **options) as read:
        return ids(read)


def test_every_row_comes_once_over_several_lanes():
    table = filled(500)
    with reading(table) as read:
        assert read.lanes == 4
        found = ids(read)
    assert found == Counter(list(table.rows))
    assert len([target for target in table.pages_asked() if "createdon ge" in _plain(target)]) > 40


def test_a_table_of_one_page_costs_one_request_unless_lanes_are_asked_for():
    table = filled(10)
    assert read_once(table, automatic=True) == Counter(list(table.rows))
    assert table.questions() == []
    assert len(table.pages_asked()) == 1


def test_a_table_of_two_pages_is_not_divided_and_its_first_page_not_read_again():
    table = filled(20)
    assert read_once(table, automatic=True) == Counter(list(table.rows))
    assert len(table.pages_asked()) == 2


def test_large_tables_are_divided_by_themselves():
    table = filled(300)
    with reading(table, automatic=True) as read:
        windows = {item.window for item in read}
        assert len(windows) > 4
        assert read.rows_expected == 300


def test_the_upper_bound_is_fixed_at_the_start_so_that_a_growing_table_ends():
    table = filled(200)
    before = Counter(list(table.rows))

    def grow(target):
        if "createdon ge" in _plain(target):
            for _ in range(5):
                table.add(createdon=second(2 * YEAR))

    table.between = grow
    assert read_once(table) == before


def test_rows_without_a_value_come_with_the_last_window():
    table = filled(100)
    for _ in range(7):
        table.add()
    assert read_once(table) == Counter(list(table.rows))


def test_a_column_that_is_mostly_empty_leaves_the_rest_to_a_window_of_its_own():
    table = filled(100)
    for _ in range(200):
        table.add(createdon=second(3))
    with reading(table, window_column="serial") as read:
        windows = Counter(item.window for item in read for _ in item.page.rows)
    alone = [window for window in windows if window.nulls]
    assert [window.nulls_alone for window in alone] == [True]
    assert windows[alone[0]] == 200
    assert windows.total() == 300


def test_an_import_within_one_second_is_read_by_one_lane_and_planning_ends():
    table = filled(100, cap=60)
    for _ in range(400):
        table.add(createdon=second(1_000_000))
    assert read_once(table) == Counter(list(table.rows))
    assert len(table.questions()) < 300


def test_rows_of_one_second_alone_are_divided_by_another_column_given_once_if_there_is_one():
    table = DividedTable()
    for number in range(300):
        table.add(createdon=second(5), importsequencenumber=number)
    with reading(table) as read:
        windows = {item.window.column for item in read}
    assert windows == {"importsequencenumber"}


def test_a_table_with_nothing_to_compare_has_one_lane():
    table = DividedTable(columns=[name for name in TYPES if name in {"accountid", "name"}])
    for _ in range(60):
        table.add()
    with reading(table, Query("account", select=["name"], page_size=10)) as read:
        assert read.lanes == 1
        assert ids(read) == Counter(list(table.rows))
    assert table.questions() == []


def test_what_cannot_be_counted_is_divided_evenly():
    table = filled(300)

    def refuse(target):
        if "$apply" in target or "RetrieveTotal" in target:
            raise errors.BadRequest("not here", status=400)

    table.between = refuse
    with reading(table) as read:
        windows = Counter(item.window for item in read for _ in item.page.rows)
    assert windows.total() == 300
    assert len(windows) > 4


def test_a_query_keeps_its_own_condition():
    table = filled(300)
    query = Query("account", select=["name"], filter="serial ge 100 or serial eq 3", page_size=10)
    with reading(table, query) as read:
        found = ids(read)
    assert found == Counter(
        row_id for row_id, row in table.rows.items() if row["serial"] in {3, *range(100, 300)}
    )


@pytest.mark.parametrize("counted", [None, 100], ids=["by hand", "one of several readers'"])
def test_a_window_restricts_the_reading_and_can_be_divided_too(counted):
    table = filled(400)
    window = Window("createdon", second(YEAR // 4), second(YEAR // 2), rows=counted)
    with reading(table, window=window) as read:
        found = [item.window for item in read for _ in item.page.rows]
    assert len(found) == 100
    assert len(set(found)) > 2
    assert all(window.start <= one.start < one.end <= window.end for one in found)


def test_a_counted_window_of_two_pages_is_read_without_a_question():
    table = filled(400)
    with reading(table, window=Window("createdon", second(0), second(YEAR // 20), rows=20)) as read:
        assert len(ids(read)) == 20
    assert table.questions() == []


def test_a_counted_window_whose_reading_broke_before_it_was_divided_is_divided_by_the_next():
    table = filled(400)
    window = Window("createdon", second(YEAR // 4), second(YEAR // 2), rows=100)

    def break_off(target):
        if "$apply" in target:
            raise errors.Unreachable("no answer", sent=True)

    table.between = break_off
    with reading(table, window=window) as read, pytest.raises(errors.Unreachable):
        next(read)
    table.between = lambda _: None
    with reading(table, window=window, position=read.position) as read:
        assert len({item.window for item in read}) > 2


@pytest.mark.parametrize(
    "source",
    [
        Query("account", order_by="name", page_size=10),
        Query("account", top=45, page_size=10),
    ],
    ids=["in an order", "the first rows"],
)
def test_what_has_an_order_is_read_by_one_lane(source):
    table = filled(60)
    with reading(table, source) as read:
        assert read.lanes == 1
        assert sum(len(item.page.rows) for item in read) == (source.top or 60)


def test_work_is_done_in_the_lanes_and_its_result_comes_with_the_page():
    table, threads = filled(300), set()

    def work(page):
        threads.add(threading.current_thread().name)
        return len(page.rows)

    with reading(table, work=work) as read:
        assert all(item.made == len(item.page.rows) for item in read)
    assert all(name.startswith("dynamics-lane") for name in threads)


@pytest.mark.parametrize(
    ("lanes", "where"), [(1, "work"), (1, "a page"), (4, "work"), (4, "a page"), (4, "a count")]
)
def test_what_goes_wrong_in_a_lane_ends_all_and_is_raised_to_the_reader(lanes, where):
    table = filled(400)
    boom = errors.Forbidden("no") if where == "a page" else RuntimeError("boom")
    calls = []

    def fail(mark):
        calls.append(mark)
        if len(calls) > 5:
            raise boom

    def between(target):
        if where == ("a count" if "$apply" in target else "a page"):
            fail(target)

    table.between = between
    work = fail if where == "work" else None
    with reading(table, lanes=lanes, work=work) as read, pytest.raises(type(boom)) as caught:
        ids(read)
    assert caught.value is boom


def test_cancelling_the_client_ends_the_wait_for_a_page():
    table, stop, held = filled(400), Stop(), threading.Event()

    def hang(target):
        if "createdon ge" in _plain(target) and "$apply" not in target:
            stop.set()
            held.wait(1)

    table.between = hang
    with reading(table, stop=stop) as read:
        with pytest.raises(errors.Interrupted):
            ids(read)
        held.set()


def test_a_reader_that_leaves_early_leaves_nothing_running():
    table = filled(400)
    with reading(table) as read:
        next(read)
    sent = len(table.asked)
    threading.Event().wait(0.1)
    assert len(table.asked) == sent


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_reading_that_was_closed_never_looks_as_if_it_had_come_to_its_end(lanes):
    with reading(filled(400), lanes=lanes) as read:
        next(read)
    with pytest.raises(errors.Interrupted):
        next(read)


@pytest.mark.parametrize("lanes", [1, 4])
def test_another_thread_can_close_a_reading_in_which_a_page_is_awaited(lanes):
    table, asked, held = filled(400), threading.Event(), threading.Event()

    def hang(_):
        if len(table.pages_asked()) > 6:
            asked.set()
            held.wait(1)

    def close():
        asked.wait(10)
        read.close()
        held.set()

    table.between = hang
    read, closing = reading(table, lanes=lanes), threading.Thread(target=close)
    closing.start()
    with pytest.raises(errors.Interrupted):
        ids(read)
    closing.join()


def test_a_reading_that_nobody_holds_any_more_ends():
    read = reading(filled(400))
    next(read)
    del read  # and the fixture collects it, and looks for its threads


WINDOWS = {
    "times between two seconds": ("createdon", START, START + timedelta(seconds=50, milliseconds=500), None),
    "a day and a time": ("createdon", "2020-01-01", "2020-01-01T00:01:15Z", None),
    "numbers finer than a step": ("amount", "0.000055", "0.002055", None),
    "an open side": ("amount", None, "0.002055", "0.9"),
}


@pytest.mark.parametrize("given", WINDOWS)
def test_a_window_whose_sides_lie_between_two_steps_holds_exactly_its_rows_and_its_neighbour_the_others(
    given,
):
    column, start, side, end = WINDOWS[given]
    table = DividedTable()
    for number in range(400):
        moment = START + timedelta(milliseconds=250 * number)
        table.add(createdon=f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z", amount=number / 100_000)
    first = read_once(table, window=Window(column, start, side))
    second_half = read_once(table, window=Window(column, side, end))
    assert max((first + second_half).values()) == 1
    assert len(first) > 100
    if start is None:
        assert len(first) + len(second_half) == 400
    assert {table.rows[row_id][column] for row_id in first}.isdisjoint(
        table.rows[row_id][column] for row_id in second_half
    )


@pytest.mark.parametrize("last", ["9999-12-31T23:59:59Z", "9999-12-31"])
def test_a_row_at_the_end_of_the_calendar_is_read_too(last):
    table = DividedTable()
    for number in range(60):
        table.add(createdon=second(number * 86_400)[: len(last)])
    table.add(createdon=last)
    assert read_once(table) == Counter(list(table.rows))


def test_lanes_do_not_read_ahead_of_a_reader_that_is_slow():
    table, made = filled(2_000), []
    with reading(table, lanes=3, work=lambda _: made.append(1)) as read:
        next(read)
        held = threading.Event()
        while len(made) < 7:
            held.wait(0.01)
        held.wait(0.2)
        assert len(made) <= 7  # the one in hand, and in each lane one waiting and one in work


def test_a_position_of_another_query_is_refused():
    table = filled(100)
    with reading(table) as read:
        next(read)
        position = read.position
    with pytest.raises(ValueError, match="does not belong"):
        reading(table, Query("account", select=["name"]), position=position)


CREATED = {
    "evenly": lambda chance: second(chance.randrange(3 * YEAR)),
    "within a minute": lambda chance: second(77 + chance.randrange(60)),
    "mostly at once": lambda chance: second(77 if chance.random() < 0.8 else chance.randrange(YEAR)),
    "sometimes": lambda chance: second(chance.randrange(YEAR)) if chance.random() < 0.6 else None,
}


@settings(max_examples=60)
@given(
    data=st.data(),
    rows=st.integers(0, 250),
    created=st.sampled_from(sorted(CREATED)),
    page=st.integers(2, 12),
    cap=st.sampled_from([5, 30, 50_000]),
    known=st.sampled_from([None, 0, 10_000_000]),
)
def test_rows_that_stay_are_read_exactly_once_however_often_reading_is_taken_up_again(  # noqa: PLR0917  # what is drawn
    data, rows, created, page, cap, known
):
    """Others come and go, counts are refused or of yesterday, and each try may have other lanes."""
    table, chance = DividedTable(cap=cap), random.Random(rows)
    table.known = known
    lasting = {table.add(createdon=CREATED[created](chance)) for _ in range(rows)}
    passing = [table.add(createdon=second(number)) for number in range(10)]

    def between(_):
        if len(table.asked) % 3 == 0:
            table.add(createdon=second(len(table.asked) * 1000))
            if passing:
                del table.rows[passing.pop()]

    table.between = between
    found: Counter[str] = Counter()
    position = None
    for pages in (*data.draw(st.lists(st.integers(0, 40), max_size=4)), 10**6):
        options = {"lanes": data.draw(st.integers(1, 5)), "automatic": data.draw(st.booleans())}
        query = Query("account", select=["name"], page_size=page)
        with reading(table, query, position=position, **options) as read:
            for item in islice(read, pages):
                found.update(row["accountid"] for row in item.page.rows)
            position = json.loads(json.dumps(read.position))
    assert {row_id: found[row_id] for row_id in lasting} == dict.fromkeys(lasting, 1)
    assert max(found.values(), default=1) == 1


def test_pages_that_wait_to_be_taken_are_not_counted_as_read():
    table = filled(600)
    with reading(table, lanes=2) as read:
        found = ids(islice(read, 3))
        threading.Event().wait(0.1)  # the lanes go on meanwhile
        position = read.position
    with reading(table, position=position) as read:
        assert found + ids(read) == Counter(list(table.rows))


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (Query("account", top=5), {"lanes": 4}, "top and lanes do not go together"),
        (Query("account", top=5), {"window_column": "serial"}, "top and window_column"),
        (FetchXml("<fetch/>"), {"window": Window("createdon", 1, 2)}, "does not go with FetchXml"),
        (Query("account", apply="aggregate($count as n)"), {"window_column": "x"}, "does not go with apply"),
        (ALL, {"lanes": 0}, "from 1 up"),
        (ALL, {"lanes": True}, "from 1 up"),
        (ALL, {"window": Window("a", 1, 2), "window_column": "b"}, "window_column cannot be b"),
    ],
)
def test_what_does_not_go_together_is_said(source, options, said):
    with pytest.raises(ValueError, match=said):
        check(source, **{"lanes": None, "window_column": None, "window": None, **options})


def test_a_window_column_must_be_comparable():
    with pytest.raises(ValueError, match="name cannot be a window column: it is of type String"):
        reading(filled(10), window_column="name")


def test_an_unknown_window_column_is_named_with_the_nearest():
    with pytest.raises(errors.UnknownColumn, match="serial"):
        reading(filled(10), window_column="serail")


def _plain(target):
    return target.replace("%20", " ")
