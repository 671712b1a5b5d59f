"""Sizes and numbers of requests find themselves, from what is recommended to what is best, and never beyond what is allowed."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.loading.tuning import (
    BATCH,
    CHUNK,
    ELASTIC,
    MOST_AT_ONCE,
    Pace,
    Size,
    Tuning,
)

ROW = 300  # bytes


def tuning(hint=16, way=0.5, at_once=None, size=CHUNK, **ceilings):
    pace = Pace(hint=lambda: hint, quickest=lambda: way, at_once=lambda: at_once)
    return Tuning(size, pace, **ceilings)


def simulated(tuned, rows, *, way, row_seconds, at_work=10_000):
    """Return the seconds a load takes and the most requests under way, where the service works on so many at a time."""
    now, free, most = 0.0, [0.0] * at_work, 0
    under_way: list[tuple[float, float, int]] = []
    while rows or under_way:
        while rows and len(under_way) < tuned.width:
            count = min(rows, tuned.rows)
            rows -= count
            begins = max(now, heapq.heappop(free))
            ends = begins + count * row_seconds
            heapq.heappush(free, ends)
            heapq.heappush(under_way, (ends + way, now, count))
        most = max(most, len(under_way))
        now, began, count = heapq.heappop(under_way)
        tuned.answered(count, now - began, count * ROW)
    return now, most


def test_it_begins_with_what_the_service_recommends():
    assert tuning(hint=7).width == 7


def test_it_begins_with_few_where_the_service_recommends_nothing():
    assert tuning(hint=None).width == 4


def test_where_the_way_is_long_fifty_thousand_rows_take_three_rounds():
    seconds, most = simulated(tuning(hint=16, way=0.5), 50_000, way=0.5, row_seconds=0.0)
    assert seconds == pytest.approx(1.5, abs=0.01)
    assert most <= MOST_AT_ONCE


def test_each_answer_lets_one_request_more_go():
    tuned = tuning(hint=16, way=0.5)
    tuned.answered(250, 0.5, 250 * ROW)
    assert tuned.width == 17


def test_where_the_service_works_long_no_more_is_sent_than_it_recommends():
    tuned = tuning(hint=8, way=0.05)
    simulated(tuned, 100_000, way=0.05, row_seconds=0.02)
    assert 8 <= tuned.width <= 9


def test_what_takes_the_service_long_becomes_smaller_before_it_takes_too_long():
    tuned = tuning(hint=8, way=0.05)
    simulated(tuned, 20_000, way=0.05, row_seconds=0.25)
    assert 20 <= tuned.rows <= 60


def test_chunks_grow_to_a_thousand_rows_and_not_beyond():
    tuned = tuning()
    simulated(tuned, 100_000, way=0.5, row_seconds=0.0)
    assert tuned.rows == 1000


def test_elastic_tables_have_chunks_of_a_hundred():
    tuned = tuning(size=ELASTIC)
    simulated(tuned, 10_000, way=0.5, row_seconds=0.0)
    assert tuned.rows == 100


def test_batches_begin_small_and_grow():
    tuned = tuning(size=BATCH)
    assert tuned.rows == 10
    simulated(tuned, 10_000, way=0.5, row_seconds=0.001)
    assert tuned.rows == 100


def test_long_rows_make_short_chunks():
    tuned = tuning()
    for _ in range(5):
        tuned.answered(tuned.rows, 0.5, tuned.rows * 100_000)
    assert tuned.rows <= 10


def test_a_time_out_halves_the_rows_and_lowers_the_number_once():
    tuned = tuning(hint=16)
    for _ in range(16):  # those that were under way together
        tuned.too_much(250, late=True)
    assert (tuned.rows, tuned.width) == (125, 12)
    simulated(tuned, 3_000, way=0.5, row_seconds=0.0)
    assert tuned.rows == 125
    assert tuned.width <= 12


def test_what_was_too_much_once_is_allowed_again_later():
    tuned = tuning(hint=16)
    for rows in (250, 125, 62, 31, 15, 7, 3, 1):  # some minutes of a database that nobody can work with
        tuned.too_much(rows, late=True)
    assert tuned.rows == 1
    simulated(tuned, 300_000, way=0.5, row_seconds=0.0)
    assert tuned.rows == 1000
    assert tuned.width >= 16


def test_what_stays_too_much_is_tried_more_and_more_seldom():
    tuned, refused = tuning(hint=16), 0
    for _ in range(5_000):
        if tuned.rows > 200:
            tuned.too_much(tuned.rows, late=True)
            refused += 1
        else:
            tuned.answered(tuned.rows, 0.5, tuned.rows * ROW)
    assert 2 <= refused <= 10
    assert tuned.width >= 4


def test_too_large_a_request_leaves_their_number_as_it_is():
    tuned = tuning(hint=16)
    tuned.too_much(250)
    assert (tuned.rows, tuned.width) == (125, 16)


def test_where_many_rows_are_refused_chunks_are_smaller():
    tuned = tuning()
    for _ in range(5):
        tuned.answered(tuned.rows, 0.5, tuned.rows * ROW)
    tuned.refused(bad=100, rows=1000)
    assert tuned.rows == 100
    rare = tuning()
    rare.refused(bad=1, rows=250)
    assert rare.rows == 250


def test_what_the_service_was_found_to_take_is_the_most():
    assert tuning(hint=16, at_once=5).width == 5


def test_other_requests_begin_anew_under_the_same_ceiling():
    tuned = tuning(chunk_size=40)
    assert tuned.rows == 40
    tuned.resize(BATCH)
    assert tuned.rows == 10
    simulated(tuned, 5_000, way=0.5, row_seconds=0.0)
    assert tuned.rows == 40


def test_a_size_under_a_ceiling_starts_under_it():
    assert Size(250, 1000).within(100) == Size(100, 100)
    assert Size(250, 1000).within(None) == Size(250, 1000)


@given(
    hint=st.none() | st.integers(1, 100),
    chunk_size=st.none() | st.integers(1, 2000),
    concurrency=st.none() | st.integers(1, 100),
    events=st.lists(
        st.tuples(
            st.sampled_from(["answered", "late", "large", "refused"]),
            st.floats(0, 300),
            st.integers(1, 10**8),
        )
    ),
)
def test_nothing_leads_beyond_a_ceiling_or_to_nothing(hint, chunk_size, concurrency, events):
    tuned = tuning(hint=hint, chunk_size=chunk_size, concurrency=concurrency)
    for what, seconds, size in events:
        assert 1 <= tuned.rows <= (chunk_size or 1000)
        assert 1 <= tuned.width <= min(concurrency or MOST_AT_ONCE, MOST_AT_ONCE)
        if what == "answered":
            tuned.answered(tuned.rows, seconds, size)
        elif what == "refused":
            tuned.refused(size % 5, tuned.rows)
        else:
            tuned.too_much(tuned.rows, late=what == "late")
