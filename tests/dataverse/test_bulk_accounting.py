"""Whatever goes wrong on the way, every row of the input has one outcome, and it is the truth."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.throttle import Stop
from tests.dataverse.conftest import FakeClock, FakeDataverse
from tests.dataverse.writing import named, numbered, poison, row_id, write

BAD = {
    "bad": errors.BadRequest("bad", status=400),
    "large": errors.TooLarge("large", status=413),
    "missing": errors.RowNotFound("missing", status=404),
    "odd": errors.Conflict("odd", status=409),
}
KINDS = st.sampled_from(["good", "good", "good", *BAD])
LATE = [
    errors.Unreachable("No answer within 120 s", late=True),
    errors.ServerTimeout("SQL", status=500, code="0x80044151"),
    errors.TooLarge("too large", status=413),
]


class Unsteady(FakeDataverse):
    """Loses answers after and before the rows are written, as often as `faults` says, and repeats as the transport would."""

    def __init__(self, faults: random.Random, share: float) -> None:
        super().__init__()
        self.faults, self.share = faults, share
        self._turn = threading.Lock()

    def send(self, request, stop=None):
        with self._turn:
            fault = self.faults.random() < self.share and request.method != "GET"
            late = self.faults.choice([None, *LATE])
        if not fault or not request.repeatable:
            return super().send(request, stop)
        if late is None:
            return self._twice(request, stop)
        if "CRM." not in request.target or len(json.loads(request.body)["Targets"]) < 3:
            return super().send(request, stop)
        if isinstance(late, errors.Unreachable):
            self._quietly(request, stop)
        raise late

    def _twice(self, request, stop):
        self._quietly(request, stop)
        try:
            return super().send(request, stop)
        except errors.DataverseError as error:
            error.repeated = True
            raise

    def _quietly(self, request, stop):
        with contextlib.suppress(errors.DataverseError):
            super().send(request, stop)


@settings(max_examples=150, deadline=None)
@given(
    kinds=st.lists(KINDS, max_size=60),
    chunk_size=st.integers(1, 20),
    width=st.integers(1, 5),
    operation=st.sampled_from(["create", "update", "upsert", "delete"]),
    chunks=st.booleans(),
    ids=st.sampled_from(["given", "derived", "made"]),
    before=st.integers(0, 10),
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.2, 0.6]),
)
def test_each_row_has_one_outcome_and_it_is_true(  # noqa: PLR0917  # what is drawn
    kinds, chunk_size, width, operation, chunks, ids, before, seed, share
):
    world = Unsteady(random.Random(seed), share)
    world.messages = world.messages if chunks else set()
    rows = [
        {"accountid": row_id(n + 1), "name": kind, "accountnumber": str(n)} for n, kind in enumerate(kinds)
    ]
    known = rows if operation in {"update", "delete"} else rows[:before]
    world.rows = {row["accountid"]: dict(row) for row in known if row["name"] == "good"}
    if operation in {"update", "delete"}:
        world.rows = {row["accountid"]: {"accountid": row["accountid"]} for row in rows}
    world.refuse = lambda row: BAD.get(row.get("name", ""))
    made_here = operation == "create" and ids == "made"
    sent = [{name: row[name] for name in ("name", "accountnumber")} for row in rows] if made_here else rows
    if made_here:
        world.rows = {}
    outcomes = list(
        write(
            *(world, FakeClock(), sent, operation),
            chunk_size=chunk_size,
            width=width,
            derived_ids=ids == "derived",
        )
    )
    assert [outcome.index for outcome in outcomes] == list(range(len(rows)))
    if operation == "delete":
        assert all(outcome.error is None for outcome in outcomes)
        assert world.rows == {}
        return
    assert [type(outcome.error) for outcome in outcomes] == [type(BAD.get(kind)) for kind in kinds]
    written = sorted(row["accountnumber"] for row in world.rows.values() if row.get("name") == "good")
    assert written == sorted(row["accountnumber"] for row in rows if row["name"] == "good")
    for outcome, row in zip(outcomes, rows, strict=True):
        if outcome.error is None and outcome.row_id is not None:
            assert world.rows[outcome.row_id]["accountnumber"] == row["accountnumber"]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 80),
    chunk_size=st.integers(1, 15),
    width=st.integers(1, 5),
    read=st.integers(0, 80),
    how=st.sampled_from(["close", "cancel", "fault"]),
    seed=st.integers(0, 10_000),
)
def test_a_write_that_ends_early_tells_of_each_row_that_was_sent(  # noqa: PLR0917  # what is drawn
    count, chunk_size, width, read, how, seed
):
    world, stop = FakeDataverse(), Stop()
    chance, turn = random.Random(seed), itertools.count()
    limit = chance.randrange(1 + count)

    def before(request):
        if how == "fault" and "CRM." in request.target and next(turn) * chunk_size >= limit:
            raise errors.ServerError("boom", status=500)

    world.before = before
    write_on = write(*(world, FakeClock(), numbered(count)), chunk_size=chunk_size, width=width, stop=stop)
    outcomes = list(_first(write_on, min(read, count), stop if how == "cancel" else None))
    write_on.close()
    told = [*outcomes, *write_on.late]
    places = [outcome.index for outcome in told]
    assert places == sorted(set(places))
    done = {outcome.row_id for outcome in told if outcome.error is None}
    assert done == set(world.rows)


def _first(outcomes, count, stop):
    """Yield so many outcomes, then cancel and go on, until an error ends it."""
    try:
        for _ in range(count):
            yield next(outcomes)
        if stop is not None:
            stop.set()
            while True:
                yield next(outcomes)
    except (StopIteration, errors.Interrupted, errors.ServerError):
        return


def test_what_was_on_its_way_is_told_and_logged(dataverse, clock, caplog):
    dataverse.refuse = poison()
    write_on = write(dataverse, clock, named("a", "b", "bad", "d"), chunk_size=2, width=2)
    assert next(write_on).index == 0
    write_on.close()
    assert [outcome.index for outcome in write_on.late][:1] == [1]
    assert [outcome.index for outcome in write_on.late] == list(range(1, 1 + len(write_on.late)))
    assert "on their way" in caplog.text


def test_a_write_that_came_to_its_end_tells_of_nothing_late(dataverse, clock, caplog):
    write_on = write(dataverse, clock, named("a", "b"))
    assert len(list(write_on)) == 2
    assert list(write_on.late) == []
    assert "on their way" not in caplog.text


def test_a_write_nobody_began_sends_nothing(dataverse, clock):
    write(dataverse, clock, named("a", "b")).close()
    assert dataverse.rows == {}


@pytest.mark.usefixtures("threads_ended")
def test_a_write_that_nobody_holds_any_more_ends(dataverse, clock):
    write_on = write(dataverse, clock, ({"name": str(n)} for n in range(10_000)), chunk_size=5, width=2)
    next(write_on)
    del write_on
    assert len(dataverse.rows) < 1_000


def test_what_is_known_of_a_chunk_that_fails_half_way_is_told(dataverse, clock):
    """Its first half has landed after a time-out of the whole when the service fails."""
    sizes = []

    def before(request):
        if "CRM." in request.target:
            sizes.append(len(json.loads(request.body)["Targets"]))
            if sizes == [4]:
                raise errors.TooLarge("too large", status=413)
            if sizes == [4, 2, 2]:
                raise errors.ServerError("boom", status=500)

    dataverse.before = before
    write_on = write(dataverse, clock, numbered(4), chunk_size=4)
    with pytest.raises(errors.ServerError):
        next(write_on)
    assert [(one.index, type(one.error)) for one in write_on.late] == [
        (0, type(None)),
        (1, type(None)),
        (2, errors.ServerError),
        (3, errors.ServerError),
    ]


def test_a_row_that_comes_again_waits_for_what_was_sent_of_it(dataverse, clock):
    again, began = threading.Event(), []

    def before(request):
        if "CRM." not in request.target:
            return
        began.append(request)
        if len(began) > 1:
            again.set()
        else:
            again.wait(0.3)  # the second chunk comes now if it comes too early

    def after(request):
        if "CRM." in request.target:
            began.append("done")

    dataverse.before, dataverse.after = before, after
    dataverse.rows = {row_id(n): {"accountid": row_id(n)} for n in range(1, 4)}
    rows = [*numbered(3), *numbered(3, description="later")]
    assert all(one.error is None for one in write(dataverse, clock, rows, "update", chunk_size=3, width=4))
    assert began[1] == "done"


@pytest.mark.usefixtures("threads_ended")
def test_an_answer_nobody_expected_is_raised_and_the_others_are_told(dataverse, clock, answer_of):
    dataverse.definition["Attributes"][0]["IsValidForCreate"] = False
    real = dataverse.send

    def send(request, stop=None):
        answer = real(request, stop)
        odd = "CRM." in request.target and b'"odd"' in request.body
        return answer_of({"Ids": []}) if odd else answer

    dataverse.send = send
    write_on = write(dataverse, clock, named("odd", "odd", "b", "b"), chunk_size=2, width=2)
    with pytest.raises(errors.BadResponse, match="0 ids for 2 new rows"):
        next(write_on)
    told = [(one.index, type(one.error)) for one in write_on.late]
    assert told[:2] == [(0, errors.BadResponse), (1, errors.BadResponse)]
    assert told[2:] in ([], [(2, type(None)), (3, type(None))])  # as far as they had begun
