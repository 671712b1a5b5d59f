"""Every row gets exactly one outcome, in its place, whatever happens to its chunk."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.throttle import Stop
from tests.dataverse.writing import named, poison, row_id, write


@pytest.fixture
def load(dataverse, clock):
    """Return a function that runs one operation to its end and returns the outcomes."""

    def run(given_rows, operation="create", **options):
        return list(start(given_rows, operation, **options))

    def start(given_rows, operation="create", *, stop=None, **options):
        return write(
            dataverse, clock, given_rows, operation, stop=stop, **{"chunk_size": 4, "width": 3, **options}
        )

    return SimpleNamespace(run=run, start=start)


def test_rows_are_created_in_chunks(load, dataverse):
    outcomes = load.run(named(*"abcdefghij"))
    assert [outcome.index for outcome in outcomes] == list(range(10))
    assert [dataverse.rows[outcome.row_id]["name"] for outcome in outcomes] == list("abcdefghij")
    assert all(outcome.created and outcome.error is None for outcome in outcomes)
    assert sorted(len(body) for body in dataverse.bodies("CreateMultiple")) == [2, 4, 4]
    assert len({row["accountid"] for body in dataverse.bodies("CreateMultiple") for row in body}) == 10


def test_every_target_says_its_type(load, dataverse):
    load.run(named("a", "b"))
    [body] = dataverse.bodies("CreateMultiple")
    assert {row["@odata.type"] for row in body} == {"Microsoft.Dynamics.CRM.account"}


def test_ids_come_from_the_answer_where_they_cannot_be_chosen(load, dataverse):
    dataverse.definition["Attributes"][0]["IsValidForCreate"] = False
    outcomes = load.run(named("a", "b"))
    assert [dataverse.rows[outcome.row_id]["name"] for outcome in outcomes] == ["a", "b"]
    assert not dataverse.sent("POST", "CreateMultiple")[0].repeatable


def test_rows_of_different_columns_each_get_what_they_need(load, dataverse):
    rows = [
        {"name": "a"},
        {"name": "b", "primarycontactid": row_id(7)},
        {"name": "c"},
        {"accountid": row_id(3), "name": "d"},
        {"name": "e", "primarycontactid": None},
    ]
    outcomes = load.run([*rows, *rows[:3]], chunk_size=100)
    [body] = dataverse.bodies("CreateMultiple")
    assert [row.get("primarycontactid@odata.bind") for row in body] == [
        None,
        f"/contacts({row_id(7)})",
        *[None] * 4,
        f"/contacts({row_id(7)})",
        None,
    ]
    assert not any("primarycontactid" in row for row in body)
    assert [outcome.row_id for outcome in outcomes] == [row["accountid"] for row in body]
    assert len({row["accountid"] for row in body}) == 8
    assert outcomes[3].row_id == row_id(3)


def test_updates_name_rows_by_id(load, dataverse):
    dataverse.rows = {row_id(n): {"accountid": row_id(n)} for n in range(3)}
    outcomes = load.run([{"accountid": row_id(n).upper(), "name": str(n)} for n in range(3)], "update")
    assert [dataverse.rows[row_id(n)]["name"] for n in range(3)] == ["0", "1", "2"]
    assert [(outcome.row_id, outcome.created) for outcome in outcomes] == [
        (row_id(n), False) for n in range(3)
    ]
    assert len(dataverse.sent("POST", "UpdateMultiple")) == 1


def test_upserts_by_key_name_rows_by_reference_and_leave_the_key_out(load, dataverse):
    rows = [{"accountnumber": "A 1", "name": "a"}, {"accountnumber": "A'2", "name": "b"}]
    outcomes = load.run(rows, "upsert", key=["accountnumber"])
    [body] = dataverse.bodies("UpsertMultiple")
    assert body[0] == {
        "@odata.type": "Microsoft.Dynamics.CRM.account",
        "@odata.id": "accounts(accountnumber='A%201')",
        "name": "a",
    }
    assert {row["accountnumber"]: row["name"] for row in dataverse.rows.values()} == {"A 1": "a", "A'2": "b"}
    assert [(outcome.row_id, outcome.created, outcome.error) for outcome in outcomes] == [
        (None, None, None)
    ] * 2


def test_upserts_by_id_carry_the_id(load, dataverse):
    [outcome, _] = load.run(
        [{"accountid": row_id(1), "name": "a"}, {"accountid": row_id(2), "name": "b"}], "upsert"
    )
    [body] = dataverse.bodies("UpsertMultiple")
    assert body[0] == {"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": row_id(1), "name": "a"}
    assert outcome.row_id == row_id(1)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.BadRequest("refused"), id="bad data"),
        pytest.param(errors.PluginRefused("refused"), id="a plug-in"),
        pytest.param(errors.DuplicateKey("refused"), id="a duplicate"),
        pytest.param(errors.RowNotFound("refused"), id="a row it points to is missing"),
    ],
)
def test_a_refused_chunk_is_sent_row_by_row(load, dataverse, error):
    dataverse.refuse = poison(error=error)
    outcomes = load.run(named("a", "bad", "c", "d", "e"))
    assert [outcome.error for outcome in outcomes] == [None, error, None, None, None]
    assert sorted(row["name"] for row in dataverse.rows.values()) == ["a", "c", "d", "e"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.ServerError("boom", status=500), id="a fault of the service"),
        pytest.param(errors.Throttled("slow", status=429), id="throttling beyond the policy"),
        pytest.param(errors.Unreachable("gone"), id="a lost network"),
    ],
)
@pytest.mark.usefixtures("threads_ended")
def test_what_is_no_rows_fault_is_raised_after_the_outcomes_before_it(load, dataverse, error):
    dataverse.refuse = poison(error=error)
    outcomes = load.start(named("a", "b", "bad", "d", "e"), chunk_size=2, width=1)
    assert [next(outcomes).index, next(outcomes).index] == [0, 1]
    with pytest.raises(type(error)):
        next(outcomes)
    assert "PATCH" not in {request.method for request in dataverse.requests}


@pytest.mark.parametrize("operation", ["create", "update", "upsert"])
def test_a_table_without_the_messages_goes_row_by_row(load, dataverse, operation):
    dataverse.messages = set()
    dataverse.rows = {row_id(0): {"accountid": row_id(0)}} if operation == "update" else {}
    outcomes = load.run([{"accountid": row_id(0), "name": "a"}], operation)
    assert (outcomes[0].error, outcomes[0].row_id) == (None, row_id(0))
    assert dataverse.sent("POST", "Multiple") == []
    assert dataverse.rows[row_id(0)]["name"] == "a"


def test_row_by_row_an_upsert_tells_created_from_updated(load, dataverse):
    dataverse.messages = set()
    dataverse.rows = {row_id(0): {"accountid": row_id(0)}}
    outcomes = load.run([{"accountid": row_id(n), "name": "a"} for n in range(2)], "upsert")
    assert [outcome.created for outcome in outcomes] == [False, True]


def test_an_update_by_alternate_key_names_rows_that_are_not_there(load, dataverse):
    dataverse.rows = {row_id(0): {"accountid": row_id(0), "accountnumber": "A1"}}
    [found, missing] = load.run(
        [{"accountnumber": "A1", "name": "a"}, {"accountnumber": "A2"}], "update", key=["accountnumber"]
    )
    assert found.error is None
    assert isinstance(missing.error, errors.RowNotFound)
    assert len(dataverse.rows) == 1


@pytest.mark.parametrize("by", ["id", "row", "key"])
def test_deletes_go_row_by_row(load, dataverse, by):
    dataverse.rows = {row_id(n): {"accountid": row_id(n), "accountnumber": f"A{n}"} for n in range(2)}
    given_rows = {
        "id": [row_id(0), row_id(5), row_id(1)],
        "row": [{"accountid": row_id(n)} for n in (0, 5, 1)],
        "key": [{"accountnumber": f"A{n}"} for n in (0, 5, 1)],
    }[by]
    outcomes = load.run(given_rows, "delete", key=["accountnumber"] if by == "key" else None)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), errors.RowNotFound, type(None)]
    assert dataverse.rows == {}


@pytest.mark.parametrize(
    "error", [errors.ServerTimeout("slow"), errors.TooLarge("large")], ids=["time", "size"]
)
def test_a_chunk_that_is_too_much_is_halved_and_stays_so(load, dataverse, error):
    def before(request):
        if "CRM." in request.target and len(json.loads(request.body)["Targets"]) > 2:
            raise error

    dataverse.before = before
    outcomes = load.run(named(*"abcdefghijklmnop"), chunk_size=8, width=1)
    assert [outcome.error for outcome in outcomes] == [None] * 16
    assert [dataverse.rows[outcome.row_id]["name"] for outcome in outcomes] == list("abcdefghijklmnop")
    assert all(len(body) <= 2 for body in dataverse.bodies("CreateMultiple"))


def test_a_single_row_the_service_has_no_time_for_is_not_its_fault(load, dataverse):
    dataverse.refuse = poison(error=errors.ServerTimeout("slow"))
    with pytest.raises(errors.ServerTimeout):
        load.run(named("a", "bad"))


def test_a_single_row_that_is_too_large_is_an_outcome(load, dataverse):
    dataverse.refuse = poison(error=errors.TooLarge("large"))
    [good, bad] = load.run(named("a", "bad"))
    assert good.error is None
    assert isinstance(bad.error, errors.TooLarge)


@pytest.mark.parametrize("operation", ["update", "upsert"])
def test_a_row_given_twice_is_written_twice_in_order(load, dataverse, operation):
    dataverse.rows = {row_id(n): {"accountid": row_id(n)} for n in range(3)}
    order = [0, 1, 0, 0, 2, 1]
    given_rows = [{"accountid": row_id(n), "name": str(place)} for place, n in enumerate(order)]
    outcomes = load.run(given_rows, operation, width=4)
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert [dataverse.rows[row_id(n)]["name"] for n in range(3)] == ["3", "5", "4"]
    for body in dataverse.bodies("Multiple"):
        assert len({row["accountid"] for row in body}) == len(body)


def test_keys_that_differ_only_in_case_are_one_row(load, dataverse):
    given_rows = [{"accountnumber": "a1", "name": "x"}, {"accountnumber": "A1 ", "name": "y"}]
    load.run(given_rows, "upsert", key=["accountnumber"])
    assert dataverse.bodies("UpsertMultiple") == []  # chunks of one go as single rows
    assert len(dataverse.sent("PATCH")) == 2


@pytest.mark.parametrize(
    ("row", "operation", "words"),
    [
        pytest.param({"name": "a"}, "update", "has no accountid", id="no id"),
        pytest.param({"accountid": "7", "name": "a"}, "upsert", "not a row id", id="an id that is none"),
        pytest.param({"new_parentid": row_id(1)}, "create", "several tables", id="a lookup to guess"),
        pytest.param("a text", "create", "dict of columns", id="no row at all"),
        pytest.param({"name": object()}, "create", "JSON", id="a value that cannot be sent"),
        pytest.param({None: ["more"]}, "create", "name is text", id="a value without a column"),
    ],
)
def test_a_row_that_cannot_be_sent_is_an_outcome_among_others(load, dataverse, row, operation, words):
    good = {"accountid": row_id(9), "accountnumber": "A9", "name": "good"}
    dataverse.rows = {row_id(9): {"accountid": row_id(9)}} if operation == "update" else {}
    [before, bad, after] = load.run([good, row, good], operation)
    assert before.error is None
    assert words in str(bad.error)
    assert bad.index == 1
    assert after.index == 2


@pytest.mark.parametrize("row", [{"accountnumber": ["A"]}, {"accountnumber": "A", None: ["more"]}])
@pytest.mark.parametrize("operation", ["update", "upsert"])
def test_a_row_by_key_that_cannot_be_sent_is_an_outcome_among_others(load, row, operation):
    good = {"accountnumber": "A9", "name": "good"}
    [first, bad] = load.run([good, row], operation, key=["accountnumber"])
    assert not isinstance(first.error, errors.BadRequest)
    assert isinstance(bad.error, errors.BadRequest)


def test_a_row_without_its_key_is_an_outcome_among_others(load):
    rows = [{"accountnumber": "A1"}, {"accountnumber": "", "name": "b"}, {"name": "c"}]
    outcomes = load.run(rows, "upsert", key=["accountnumber"])
    assert outcomes[0].error is None
    assert all("'accountnumber' is empty" in str(outcome.error) for outcome in outcomes[1:])


def test_a_key_no_url_can_hold_still_goes_into_a_chunk(load, dataverse):
    rows = [{"accountnumber": "A/1", "name": "a"}, {"accountnumber": "B&2", "name": "b"}]
    outcomes = load.run(rows, "upsert", key=["accountnumber"])
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert {row["accountnumber"] for row in dataverse.rows.values()} == {"A/1", "B&2"}


def test_a_key_the_table_lacks_is_noticed_before_anything_is_written(load, dataverse):
    with pytest.raises(errors.UnknownKey):
        load.run(named("a"), "upsert", key=["name"])
    with pytest.raises(errors.UnknownColumn):
        load.run(named("a"), "upsert", key=["nam"])
    assert dataverse.sent("POST") == dataverse.sent("PATCH") == []


def lost_answers(dataverse, method="POST"):
    """Lose the answer of the first matching write, and send it again as the transport would."""
    real = dataverse.send
    lost: list[Any] = []

    def send(request, stop=None):
        if request.method != method or lost:
            return real(request, stop)
        lost.append(request)
        real(request, stop)
        assert request.repeatable
        try:
            return real(request, stop)
        except errors.DataverseError as error:
            error.repeated = True
            raise

    dataverse.send = send


def test_a_chunk_whose_answer_was_lost_is_written_once(load, dataverse):
    lost_answers(dataverse)
    outcomes = load.run(named("a", "b", "c"))
    assert sorted(row["name"] for row in dataverse.rows.values()) == ["a", "b", "c"]
    assert [(outcome.error, outcome.created) for outcome in outcomes] == [(None, True)] * 3
    assert len(dataverse.sent("POST")) == 2


def test_with_the_callers_ids_a_lost_answer_is_cleared_up_row_by_row(load, dataverse):
    lost_answers(dataverse)
    outcomes = load.run([{"accountid": row_id(n), "name": "a"} for n in range(3)])
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert len(dataverse.rows) == 3


def test_an_elastic_table_may_have_kept_part_of_a_refused_chunk(load, dataverse):
    dataverse.definition["TableType"] = "Elastic"
    dataverse.refuse = poison()
    kept = []

    def before(request):
        first = json.loads(request.body)["Targets"][0] if "CRM.CreateMultiple" in request.target else {}
        if first.get("name") == "a":
            dataverse.rows[first["accountid"]] = {"accountid": first["accountid"], "name": first["name"]}
            kept.append(first["accountid"])

    dataverse.before = before
    outcomes = load.run(named("a", "bad", "c"))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert sorted(row["name"] for row in dataverse.rows.values()) == ["a", "c"]
    assert outcomes[0].row_id == kept[0]


def test_outcomes_come_in_order_however_chunks_finish(load, dataverse):
    first_may_finish = threading.Event()
    finished = []

    def before(request):
        if "CRM." not in request.target:
            return
        name = json.loads(request.body)["Targets"][0]["name"]
        if name == "0":
            assert first_may_finish.wait(10)
        finished.append(name)
        if len(finished) == 2:
            first_may_finish.set()

    dataverse.before = before
    outcomes = load.run([{"name": str(number)} for number in range(12)], chunk_size=2, width=3)
    assert [outcome.index for outcome in outcomes] == list(range(12))
    assert finished.index("0") >= 2


def test_no_more_requests_are_under_way_than_allowed(load, dataverse):
    now, most, lock = [0], [0], threading.Lock()

    def before(request):
        if "CRM." in request.target:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])

    def after(request):
        if "CRM." in request.target:
            with lock:
                now[0] -= 1

    dataverse.before, dataverse.after = before, after
    load.run([{"name": str(number)} for number in range(60)], chunk_size=2, width=3)
    assert most[0] <= 3


def test_rows_are_drawn_as_they_are_needed(load):
    drawn = []

    def source():
        for number in range(1000):
            drawn.append(number)
            yield {"name": str(number)}

    outcomes = load.start(source(), chunk_size=5, width=2)
    next(outcomes)
    assert len(drawn) <= 30
    outcomes.close()


@pytest.mark.usefixtures("threads_ended")
def test_leaving_early_stops_what_is_left(load, dataverse):
    outcomes = load.start(({"name": str(number)} for number in range(1000)), chunk_size=5, width=2)
    next(outcomes)
    outcomes.close()
    assert len(dataverse.rows) < 100


@pytest.mark.usefixtures("threads_ended")
def test_cancelling_ends_it_with_interrupted(load):
    stop = Stop()
    outcomes = load.start(({"name": str(number)} for number in range(1000)), chunk_size=5, width=2, stop=stop)
    next(outcomes)
    stop.set()
    with pytest.raises(errors.Interrupted):
        list(outcomes)


@pytest.mark.usefixtures("threads_ended")
def test_an_error_of_the_source_is_the_callers(load):
    def source():
        yield {"name": "a"}
        raise RuntimeError("the file is broken")

    with pytest.raises(RuntimeError, match="file is broken"):
        load.run(source())


def test_no_rows_are_no_requests(load, dataverse):
    assert load.run([]) == []
    assert dataverse.sent("POST") == []
