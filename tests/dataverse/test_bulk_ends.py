"""A chunk that ends half way, for what is no row's fault, loses none of the outcomes that were known by then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.throttle import Stop
from tests.dataverse.writing import named, numbered, poison, row_id, write


def rows_of(request):
    return json.loads(request.body)["Targets"]


def told(write_on):
    return [(one.index, type(one.error)) for one in write_on.late]


def in_batches(dataverse, **metadata):
    dataverse.messages = set()
    dataverse.definition["Attributes"][0].update(metadata)


GOOD = type(None)


def test_the_answers_of_a_batch_are_told_although_reading_back_fails(dataverse, clock):
    in_batches(dataverse)
    dataverse.rows = {row_id(2): {"accountid": row_id(2)}}

    def before(request):
        if request.method == "GET" and request.target.startswith("accounts"):
            raise errors.ServerError("boom", status=500)

    dataverse.before = before
    write_on = write(dataverse, clock, numbered(3), derived_ids=True, width=1)
    with pytest.raises(errors.ServerError):
        next(write_on)
    assert told(write_on) == [(0, GOOD), (1, errors.DuplicateKey), (2, GOOD)]


def test_the_answers_of_a_batch_are_told_although_what_is_sent_once_more_is_interrupted(dataverse, clock):
    in_batches(dataverse)
    tries = []

    def refuse(row):
        if row.get("name") != "bad":
            return None
        tries.append(row)
        return errors.Interrupted("stop") if len(tries) > 1 else errors.ServerError("boom", status=500)

    dataverse.refuse = refuse
    write_on = write(dataverse, clock, named("a", "bad", "c"), width=1)
    with pytest.raises(errors.Interrupted):
        next(write_on)
    assert told(write_on) == [(0, GOOD), (1, errors.Interrupted), (2, GOOD)]


def test_the_first_half_of_a_batch_is_told_although_the_second_fails(dataverse, clock):
    in_batches(dataverse)
    real, sizes = dataverse.send_together, []

    def send_together(requests, stop=None):
        sizes.append(len(requests))
        if len(sizes) == 1:
            raise errors.TooLarge("too large", status=413)
        if len(sizes) == 3:
            raise errors.Unreachable("gone")
        return real(requests, stop)

    dataverse.send_together = send_together
    write_on = write(dataverse, clock, numbered(8), chunk_size=8, width=1)
    with pytest.raises(errors.Unreachable):
        next(write_on)
    assert [kind for _, kind in told(write_on)] == [GOOD] * 4 + [errors.Unreachable] * 4


def test_rows_of_a_chunk_without_an_answer_are_told_when_it_is_interrupted(dataverse, clock):
    stop, real = Stop(), dataverse.send

    def send(request, given=None):
        answer = real(request, given)
        if "CRM." in request.target:
            stop.set()
            raise errors.Unreachable("No answer within 120 s", late=True)
        return answer

    dataverse.send = send
    write_on = write(dataverse, clock, numbered(4), stop=stop, width=1)
    with pytest.raises(errors.Interrupted):
        next(write_on)
    assert len(dataverse.rows) == 4
    assert told(write_on) == [(n, errors.Interrupted) for n in range(4)]


@pytest.mark.usefixtures("threads_ended")
def test_whatever_is_raised_the_rows_of_the_chunk_are_told(dataverse, clock):
    def before(request):
        if "CRM." in request.target:
            raise KeyError("odd")

    dataverse.before = before
    write_on = write(dataverse, clock, numbered(3), width=1)
    with pytest.raises(KeyError):
        next(write_on)
    assert [index for index, _ in told(write_on)] == [0, 1, 2]


def test_without_the_right_to_read_refusals_of_rows_stand_and_the_others_land(dataverse, clock, caplog):
    dataverse.rows = {row_id(2): {"accountid": row_id(2)}}

    def before(request):
        if request.method == "GET" and request.target.startswith("accounts"):
            raise errors.Forbidden("prvReadAccount", status=403)

    dataverse.before = before
    outcomes = list(write(dataverse, clock, numbered(5), derived_ids=True, width=1))
    assert [type(one.error) for one in outcomes] == [GOOD, errors.DuplicateKey, GOOD, GOOD, GOOD]
    assert caplog.text.count("cannot be told") == 1


def test_a_delete_that_was_throttled_tells_of_a_row_that_is_not_there(dataverse, clock):
    real = dataverse.send
    tries: list[Any] = []

    def send(request, stop=None):
        if request.method == "DELETE" and len(tries) < 2:
            tries.append(request)
            raise errors.Throttled("wait", status=429)
        return real(request, stop)

    dataverse.send = send
    outcomes = list(write(dataverse, clock, [row_id(1), row_id(2)], "delete", width=1))
    assert [type(one.error) for one in outcomes] == [errors.RowNotFound] * 2


def test_a_time_out_of_whoever_stands_before_the_service_makes_no_row_twice(dataverse, clock):
    """HTTP 408 does not say whether the rows, whose ids the service chooses, were written."""
    dataverse.definition["Attributes"][0]["IsValidForCreate"] = False
    real = dataverse.send

    def send(request, stop=None):
        answer = real(request, stop)
        if "CRM." in request.target:
            raise errors.ServerTimeout("Request Timeout", status=408)
        return answer

    dataverse.send = send
    write_on = write(dataverse, clock, named("a", "b", "c"), width=1)
    with pytest.raises(errors.ServerTimeout):
        next(write_on)
    assert len(dataverse.rows) == 3


def test_a_chunk_that_timed_out_is_not_tried_at_a_size_that_timed_out(dataverse, clock):
    sizes = []

    def before(request):
        if "CRM." in request.target:
            sizes.append(len(rows_of(request)))
            if sizes[-1] > 10:
                raise errors.ServerTimeout("SQL", status=500, code="0x80044151")

    dataverse.before = before
    outcomes = list(write(dataverse, clock, numbered(160), chunk_size=160, width=1))
    assert all(one.error is None for one in outcomes)
    assert [size for size in sizes if size > 10] == [160, 80, 40, 20]
    assert len(dataverse.rows) == 160


def test_one_giant_row_makes_its_chunk_smaller_and_no_other(dataverse, clock):
    rows = numbered(40)
    rows[3]["description"] = "x" * 17_000_000
    outcomes = list(write(dataverse, clock, rows, chunk_size=10, width=1))
    assert all(one.error is None for one in outcomes)
    sizes = [len(body) for body in dataverse.bodies("CreateMultiple")]
    assert sizes[-3:] == [10, 10, 10]


def test_a_message_that_is_given_up_leaves_no_batch_larger_than_those_of_bad_rows(dataverse, clock):
    real = dataverse.send

    def send(request, stop=None):
        if "CRM." in request.target:
            raise errors.NotFound("no such message", status=404)
        return real(request, stop)

    dataverse.send = send
    outcomes = list(write(dataverse, clock, numbered(250), width=1))
    assert [(one.index, one.error) for one in outcomes] == [(n, None) for n in range(250)]
    assert max(map(len, dataverse.batches)) <= 128


def test_a_row_that_a_plug_in_has_no_time_for_is_an_outcome(dataverse, clock):
    dataverse.refuse = poison(error=errors.ServerTimeout("plug-in", status=400, code="0x80081111"))
    outcomes = list(write(dataverse, clock, named("a", "bad", "c", "d"), width=1))
    assert [type(one.error) for one in outcomes] == [GOOD, errors.ServerTimeout, GOOD, GOOD]
