"""Whatever ends a try, the next one goes on where it stopped, and the file holds each row once."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.errors import BadRequest, Interrupted, Throttled
from airflow_provider_dynamics.dataverse.queries.query import FetchXml, Query
from airflow_provider_dynamics.formats import Field
from airflow_provider_dynamics.state.progress import Checkpoint, Checkpoints
from airflow_provider_dynamics.transfers.extract import Extract
from airflow_provider_dynamics.transfers.transfer import Progress
from tests.airflow.transfers.reading import (
    FIELDS,
    FakeReader,
    FakeStore,
    expected_ids,
    extract,
    ids_in,
    pages_of,
)

SIZES = (4, 4, 2, 0, 5)


class Killed(BaseException):
    """Stands for SIGKILL: whoever sees it does nothing more."""


class DiesAtOnce(Extract):
    def _failed(self, error):
        if not isinstance(error, Killed):
            super()._failed(error)
            return
        left = {file: file.read_bytes() for file in Path(self.target.path).parent.glob(".*.part")}
        self._segments.abandon()  # only to close the file
        for file, content in left.items():
            file.write_bytes(content)


def dying(*arguments, **options):
    made = extract(*arguments, **options)
    made.__class__ = DiesAtOnce
    return made


@pytest.fixture
def store():
    return FakeStore()


def failed(client, path, store, **options):
    with pytest.raises(type(client.error)):
        dying(client, path, store, **options).run()


@pytest.mark.parametrize("suffix", ["parquet", "ndjson", "csv"])
@pytest.mark.parametrize(
    "error", [Throttled("busy"), Interrupted("stopped"), OSError("away"), Killed()], ids=repr
)
def test_the_next_try_goes_on_behind_the_last_page(tmp_path, store, suffix, error):
    path, pages = tmp_path / f"a.{suffix}", pages_of(SIZES)
    failed(FakeReader(pages, 2, error), path, store)
    assert not path.exists()
    again = FakeReader(pages)

    done = extract(again, path, store).run()

    assert again.positions == [{"page": 2}]
    assert (done.rows, done.resumed_rows, done.pages) == (15, 8, 3)
    assert ids_in(path) == expected_ids(SIZES)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert store.values == {}


def test_an_ordinary_failure_keeps_also_what_came_since_the_last_checkpoint(tmp_path, store):
    pages = pages_of(SIZES)
    failed(FakeReader(pages, 3, Throttled("busy")), tmp_path / "a.csv", store, checkpoint_seconds=None)

    done = extract(FakeReader(pages), tmp_path / "a.csv", store, checkpoint_seconds=None).run()

    assert (done.rows, done.resumed_rows) == (15, 10)


def test_a_killed_try_loses_what_came_since_the_last_checkpoint_and_no_more(tmp_path, store):
    pages, seconds = pages_of([1] * 10), iter(range(1000))
    failed(
        FakeReader(pages, 8, Killed()),
        tmp_path / "a.csv",
        store,
        checkpoint_seconds=3,
        now=lambda: next(seconds),
    )
    again = FakeReader(pages)

    done = extract(again, tmp_path / "a.csv", store).run()

    assert 1 <= done.resumed_rows < 8
    assert again.positions == [{"page": done.resumed_rows}]
    assert ids_in(tmp_path / "a.csv") == expected_ids([10])


@pytest.mark.parametrize(
    "error", [BadRequest("no such thing"), AirflowFailException("no")], ids=lambda error: type(error).__name__
)
def test_what_no_retry_can_mend_leaves_nothing_behind(tmp_path, store, error):
    failed(FakeReader(pages_of(SIZES), 2, error), tmp_path / "a.csv", store)

    assert list(tmp_path.iterdir()) == []
    assert store.values == {}


def test_without_a_store_a_failed_try_leaves_nothing_behind(tmp_path):
    failed(FakeReader(pages_of(SIZES), 2, Throttled("busy")), tmp_path / "a.csv", None)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        {"source": Query("account", select=["name"], filter="statecode eq 0")},
        {"fields": (*FIELDS, Field("new_column"))},
        {"window_column": "modifiedon"},
    ],
    ids=["another filter", "a new column", "other windows"],
)
def test_a_try_that_reads_something_else_starts_over_and_sweeps_up(tmp_path, store, other):
    pages = pages_of(SIZES)
    failed(FakeReader(pages, 2, Killed()), tmp_path / "a.csv", store)
    again = FakeReader(pages)

    done = extract(again, tmp_path / "a.csv", store, **other).run()

    assert again.positions == [None]
    assert (done.rows, done.resumed_rows) == (15, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_a_segment_that_somebody_removed_means_starting_over(tmp_path, store):
    pages = pages_of(SIZES)
    failed(FakeReader(pages, 2, Throttled("busy")), tmp_path / "a.csv", store)
    next(tmp_path.glob(".a.csv*")).unlink()

    done = extract(FakeReader(pages), tmp_path / "a.csv", store).run()

    assert (done.rows, done.resumed_rows) == (15, 0)
    assert ids_in(tmp_path / "a.csv") == expected_ids(SIZES)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_what_was_read_two_days_ago_is_read_again(tmp_path, store):
    pages = pages_of(SIZES)
    failed(FakeReader(pages, 2, Throttled("busy")), tmp_path / "a.csv", store, clock=lambda: 1000.0)
    later = Checkpoints(store, now=lambda: 1000.0 + 2 * 86400)

    done = extract(FakeReader(pages), tmp_path / "a.csv", store, checkpoints=later).run()

    assert (done.rows, done.resumed_rows) == (15, 0)


def test_a_failure_while_the_file_is_put_in_its_place_reads_nothing_again(tmp_path, store):
    pages = pages_of(SIZES)
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "a.csv" / "in the way").touch()
    with pytest.raises(OSError, match=r"a\.csv"):
        extract(FakeReader(pages), tmp_path / "a.csv", store).run()
    shutil.rmtree(tmp_path / "a.csv")
    again = FakeReader(pages, 0, AssertionError("asked again"))
    again.broken_at = None

    done = extract(again, tmp_path / "a.csv", store).run()

    assert again.positions == [{"page": len(SIZES)}]
    assert (done.rows, done.resumed_rows) == (15, 15)
    assert ids_in(tmp_path / "a.csv") == expected_ids(SIZES)


class Unwritable(FakeReader):
    """Its third page cannot be written: the disk is full, say."""

    def lanes(self, source, *, position, work, **options):
        def made(page):
            prepared = work(page)
            return replace(prepared, content=None) if page is self.pages[2] else prepared

        return super().lanes(source, position=position, work=made, **options)


def test_what_could_not_be_written_is_read_again_and_with_it_what_its_segment_held(tmp_path, store):
    pages, seconds = pages_of((4, 4, 2, 5)), iter([0, 5, 5, 6, 7])
    with pytest.raises(TypeError):
        extract(
            Unwritable(pages), tmp_path / "a.ndjson", store, checkpoint_seconds=4, now=lambda: next(seconds)
        ).run()
    again = FakeReader(pages)

    done = extract(again, tmp_path / "a.ndjson", store).run()

    assert again.positions == [{"page": 1}]
    assert (done.rows, done.resumed_rows) == (15, 4)
    assert ids_in(tmp_path / "a.ndjson") == expected_ids([15])


class Forgetful(FakeReader):
    """A service that no longer knows its own next links, or a client that no longer takes its own places."""

    def lanes(self, source, *, position, work, **options):
        read = super().lanes(source, position=position, work=work, **options)
        if position is not None and isinstance(self.error, ValueError):
            raise self.error
        if position is not None:
            read._broken_at, read._error = position["page"], self.error
        return read


@pytest.mark.parametrize("error", [BadRequest("malformed paging cookie"), ValueError("not a place")], ids=str)
def test_a_place_that_is_not_accepted_any_more_means_starting_over_and_not_failing(
    tmp_path, store, caplog, error
):
    pages = pages_of(SIZES)
    failed(FakeReader(pages, 2, Throttled("busy")), tmp_path / "a.csv", store)
    again = Forgetful(pages, None, error)

    done = extract(again, tmp_path / "a.csv", store).run()

    assert again.positions == [{"page": 2}, None]
    assert (done.rows, done.resumed_rows) == (15, 0)
    assert ids_in(tmp_path / "a.csv") == expected_ids(SIZES)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]
    assert str(error) in caplog.text


class Broken(FakeStore):
    def get(self, key, default=None):
        raise RuntimeError("the API server is away")

    def set(self, key, value, *, retention=None):
        raise RuntimeError("the API server is away")

    delete = get


def test_a_state_store_that_is_away_costs_the_head_start_and_not_the_export(tmp_path, caplog):
    done = extract(FakeReader(pages_of(SIZES)), tmp_path / "a.csv", Broken()).run()

    assert done.rows == 15
    assert ids_in(tmp_path / "a.csv") == expected_ids(SIZES)
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {},
        {"version": 2},
        {"version": 1, "for": "x", "files": [[1]]},
        {"version": 1, "for": "x", "files": [], "position": "here", "at": 0},
    ],
    ids=str,
)
def test_a_record_that_is_none_means_starting_over(tmp_path, store, value):
    store.set("dynamics_progress", value)

    assert extract(FakeReader(pages_of(SIZES)), tmp_path / "a.csv", store).run().resumed_rows == 0


def test_a_checkpoint_survives_json():
    kept = Checkpoint("print", (("a", 1, 2),), {"page": 3}, 4.5)

    assert Checkpoint.from_json(kept.to_json()) == kept


def survives(one_try):
    try:
        one_try.run()
    except (Throttled, OSError, Killed):
        return False
    return True


@given(
    sizes=st.lists(st.integers(0, 4), max_size=8),
    ends=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from([Throttled("x"), OSError("x"), Killed()])), max_size=5
    ),
    every=st.sampled_from([None, 0.0, 2.0]),
    suffix=st.sampled_from(["parquet", "ndjson", "csv"]),
)
def test_after_any_failures_and_kills_the_file_holds_each_row_once(sizes, ends, every, suffix):
    pages, store = pages_of(sizes), FakeStore()
    with tempfile.TemporaryDirectory() as folder:
        path, seconds = Path(folder, f"a.{suffix}"), iter(range(10_000))
        options = {"checkpoint_seconds": every, "now": lambda: next(seconds)}
        for place, error in ends:
            if survives(dying(FakeReader(pages, place, error), path, store, **options)):
                break
            assert not path.exists()
        else:
            extract(FakeReader(pages), path, store, **options).run()

        assert ids_in(path) == expected_ids(sizes)
        assert [entry.name for entry in Path(folder).iterdir()] == [path.name]
        assert store.values == {}


class Watched(Progress):
    """Tells what it was told to expect."""

    expectations: list[int | None]

    def reached(self, rows, *, pages=0, expected=None):
        self.expectations.append(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(Query("account"), [None, None, 15, None, None], id="a table"),
        pytest.param(Query("account", filter="statecode eq 0"), [None] * 5, id="a part of it"),
        pytest.param(FetchXml("<fetch><entity name='account'/></fetch>"), [None] * 5, id="FetchXML"),
    ],
)
def test_a_long_reading_in_one_lane_takes_its_estimate_from_the_last_count(tmp_path, store, source, expected):
    told: list[int | None] = []

    def watched(*arguments, **options):
        made = Watched(*arguments, **options)
        made.expectations = told
        return made

    extract(FakeReader(pages_of(SIZES)), tmp_path / "a.csv", store, source=source, progress=watched).run()

    assert told == expected


class Log:
    def __init__(self):
        self.said = []

    def info(self, text, *parts):
        self.said.append(text % parts)


class FakeClient:
    throttled_seconds = 1.25


def test_progress_says_rows_speed_pages_waits_and_the_rest_every_five_seconds():
    times, log = iter([0.0, 2.0, 6.0, 9.0, 12.0]), Log()
    progress = Progress(
        log, "Read %d rows of account", client=FakeClient(), expected=60_000, now=lambda: next(times)
    )

    for rows, pages in ((1000, 1), (3000, 2), (4000, 3), (60_500, 9)):
        progress.reached(rows, pages=pages)

    assert log.said == [
        (
            "Read 3,000 rows of account so far, 500 rows/s, 2 pages, 1.2 s throttled, about 1 min 54 s to go for "
            "about 60,000 rows."
        ),
        "Read 60,500 rows of account so far, 5,042 rows/s, 9 pages, 1.2 s throttled.",
    ]


def test_speed_is_of_this_try_and_not_of_what_an_earlier_one_read():
    times, log = iter([0.0, 10.0]), Log()

    Progress(log, "Read %d rows", already=5000, now=lambda: next(times)).reached(5100, pages=1)

    assert log.said == ["Read 5,100 rows so far, 10 rows/s, 1 page."]


def test_how_many_rows_there_may_be_is_asked_once_and_only_when_it_is_to_be_said():
    times, log, asked = iter([0.0, 1.0, 10.0, 20.0]), Log(), []

    def about():
        asked.append("the service")
        return 4000

    progress = Progress(log, "Read %d rows", now=lambda: next(times), estimate=about)

    progress.reached(100)
    before = list(asked)
    progress.reached(1000)
    progress.reached(2000)

    assert before == []
    assert asked == ["the service"]
    assert log.said[0] == "Read 1,000 rows so far, 100 rows/s, about 30 s to go for about 4,000 rows."


def test_progress_is_said_while_nothing_arrives():
    import threading

    told = threading.Event()

    class Telling(Log):
        def info(self, text, *parts):
            super().info(text, *parts)
            told.set()

    log = Telling()
    with Progress(log, "Read %d rows", every=0.01):
        assert told.wait(10)

    assert log.said[0].startswith("Read 0 rows so far, 0 rows/s")
