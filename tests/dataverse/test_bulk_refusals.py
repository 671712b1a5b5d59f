"""A refused chunk costs few requests, and names exactly the rows that it was refused for."""

from __future__ import annotations

import contextlib
import json

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol.options import WriteOptions
from tests.dataverse.writing import lose_answers, named, numbered, poison, row_id, write


@pytest.fixture
def load(dataverse, clock):
    """Return a function that runs one operation to its end and returns the outcomes."""

    def run(rows, operation="create", **options):
        return list(write(dataverse, clock, rows, operation, **{"width": 3, **options}))

    return run


def requests_sent(dataverse):
    """Return how many requests for rows went out, a batch being one."""
    inside = sum(len(batch) for batch in dataverse.batches)
    return len(dataverse.sent("POST")) + len(dataverse.sent("PATCH")) - inside + len(dataverse.batches)


@pytest.mark.parametrize(("rows", "every"), [(3_000, 3_000), (30_000, 100)])
def test_bad_rows_are_named_and_cost_few_requests(load, dataverse, rows, every):
    given = [{"name": "bad" if number % every == 7 else "good"} for number in range(rows)]
    load(named(*["good"] * rows), chunk_size=1000)
    usual = requests_sent(dataverse)
    dataverse.rows.clear()
    dataverse.requests.clear()
    dataverse.refuse = poison()
    outcomes = load(given, chunk_size=1000)
    bad = [outcome.index for outcome in outcomes if outcome.error]
    assert bad == [number for number, row in enumerate(given) if row["name"] == "bad"]
    assert len(dataverse.rows) == rows - len(bad)
    assert requests_sent(dataverse) <= usual + 12 * len(bad)


def test_a_half_that_must_hold_the_bad_row_is_not_tried_whole(load, dataverse):
    dataverse.refuse = poison()
    load([*named(*["good"] * 900), {"name": "bad"}], chunk_size=1000)
    sizes = [len(body) for body in dataverse.bodies("CreateMultiple")]
    assert len(sizes) < 12
    assert len(sizes) == len([size for size in sizes if size > 128]) + 1


def test_a_half_beside_a_bad_row_is_sent_whole(load, dataverse):
    dataverse.refuse = poison()
    load([{"name": "bad"}, *named(*["good"] * 899)], chunk_size=1000)
    assert len(dataverse.batches) == 1
    assert [len(body) for body in dataverse.bodies("CreateMultiple")].count(125) == 2


@pytest.mark.parametrize("operation", ["create", "update", "upsert", "delete"])
def test_a_table_without_the_messages_is_written_in_batches(load, dataverse, operation):
    dataverse.messages = set()
    rows = numbered(60)
    dataverse.rows = {row["accountid"]: {"accountid": row["accountid"]} for row in rows}
    if operation == "create":
        dataverse.rows.clear()
    outcomes = load(rows, operation)
    assert [outcome.error for outcome in outcomes] == [None] * 60
    assert sum(len(batch) for batch in dataverse.batches) == 60
    assert {name for row in dataverse.rows.values() for name in [row.get("name")]} == (
        set() if operation == "delete" else {str(number) for number in range(60)}
    )


def test_a_batch_stays_under_the_ceiling(load, dataverse):
    dataverse.messages = set()
    load(named(*["a"] * 20), chunk_size=4)
    assert [len(batch) for batch in dataverse.batches] == [4] * 5


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.NotFound("no such action", status=404), id="unknown"),
        pytest.param(errors.BadRequest("not implemented", status=501), id="not implemented"),
        pytest.param(errors.BadRequest("not supported", code="0x80040800"), id="not for this table"),
    ],
)
def test_a_message_that_is_not_there_after_all_is_given_up(load, dataverse, error):
    def before(request):
        if "CRM." in request.target:
            raise error

    dataverse.before = before
    outcomes = load(named(*"abcdefghij"), chunk_size=2, width=1)
    assert [outcome.error for outcome in outcomes] == [None] * 10
    assert len(dataverse.batches) == 5


def test_a_message_that_refuses_what_rows_alone_are_not_refused_is_given_up(load, dataverse):
    tried = []

    def before(request):
        if "CRM." in request.target:
            tried.append(request)
            raise errors.BadRequest("odd", status=400)

    dataverse.before = before
    outcomes = load(named(*["a"] * 40), chunk_size=4, width=1)
    assert [outcome.error for outcome in outcomes] == [None] * 40
    assert len(tried) <= 4


def test_a_missing_privilege_is_raised_when_nothing_could_be_written(load, dataverse):
    dataverse.refuse = lambda _: errors.Forbidden("no", status=403)
    with pytest.raises(errors.Forbidden):
        load(named(*"abcdef"), chunk_size=3)
    assert len(dataverse.requests) < 40


def test_a_missing_privilege_is_raised_where_rows_go_in_batches(load, dataverse):
    dataverse.messages = set()
    dataverse.refuse = lambda _: errors.Forbidden("no", status=403)
    with pytest.raises(errors.Forbidden):
        load(named(*"abcdef"), chunk_size=3)


@pytest.mark.parametrize("place", [0, 1, 2, 5])
def test_a_row_that_may_not_be_written_is_an_outcome_when_others_may(load, dataverse, place):
    dataverse.refuse = poison(error=errors.Forbidden("not yours", status=403))
    names = ["good"] * 6
    names[place] = "bad"
    outcomes = load(named(*names), chunk_size=6)
    assert [outcome.index for outcome in outcomes if outcome.error] == [place]


def test_rows_of_derived_ids_that_are_there_already_are_success(load, dataverse):
    rows = numbered(9)
    load(rows[:4])
    dataverse.requests.clear()
    outcomes = load(rows, derived_ids=True)
    assert [outcome.existed for outcome in outcomes] == [True] * 4 + [False] * 5
    assert [outcome.error for outcome in outcomes] == [None] * 9
    assert [outcome.row_id for outcome in outcomes] == [row["accountid"] for row in rows]
    assert len(dataverse.rows) == 9
    assert requests_sent(dataverse) == 2  # the chunk, and the rows that are not there
    assert len([one for one in dataverse.sent("GET", "accounts") if "filter" in one.target]) == 1


def test_rows_of_derived_ids_that_are_all_there_are_not_sent_again(load, dataverse):
    rows = numbered(5)
    load(rows)
    dataverse.requests.clear()
    outcomes = load(rows, derived_ids=True)
    assert all(outcome.existed for outcome in outcomes)
    assert requests_sent(dataverse) == 1


def test_rows_of_derived_ids_that_break_another_key_are_refused(load):
    load([{"accountid": row_id(99), "accountnumber": "A1"}])
    outcomes = load(numbered(3, accountnumber="A1")[:1] + numbered(3)[1:], derived_ids=True)
    assert [type(outcome.error) for outcome in outcomes] == [errors.DuplicateKey, type(None), type(None)]


def test_a_row_of_derived_id_alone_that_is_there_is_success(load):
    load(numbered(1))
    [outcome] = load(numbered(1), derived_ids=True)
    assert (outcome.existed, outcome.error) == (True, None)


def test_the_same_derived_id_twice_is_one_row(load, dataverse):
    outcomes = load([*numbered(2), *numbered(1)], derived_ids=True)
    assert [outcome.existed for outcome in outcomes] == [False, False, True]
    assert len(dataverse.rows) == 2


def test_a_row_with_the_callers_id_that_is_equal_existed_and_one_that_differs_is_refused(load, dataverse):
    load(numbered(3))
    changed = [{**row, "name": "other"} if number == 1 else row for number, row in enumerate(numbered(3))]
    outcomes = load(changed)
    assert [outcome.existed for outcome in outcomes] == [True, False, True]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), errors.DuplicateKey, type(None)]
    assert dataverse.rows[row_id(2)]["name"] == "1"


def test_a_chunk_whose_answer_was_lost_is_read_back_and_not_sent_again(load, dataverse):
    lose_answers(dataverse)
    outcomes = load(named("a", "b", "c"))
    assert [(outcome.error, outcome.existed) for outcome in outcomes] == [(None, True)] * 3
    assert len(dataverse.rows) == 3
    assert len(dataverse.sent("POST")) == 2


def test_a_batch_whose_answer_was_lost_is_read_back(load, dataverse):
    dataverse.messages = set()
    lose_answers(dataverse, times=3)
    outcomes = load(named("a", "b", "c"))
    assert [(outcome.error, outcome.existed) for outcome in outcomes] == [(None, True)] * 3
    assert len(dataverse.rows) == 3


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.Unreachable("No answer within 120 s", late=True), id="of ours"),
        pytest.param(errors.ServerTimeout("SQL", status=500, code="0x80044151"), id="of the service's"),
        pytest.param(errors.ServerError("gateway", status=504), id="of a gateway"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_after_a_time_out_fewer_rows_are_sent_and_none_twice(load, dataverse, error, done):
    real = dataverse.send

    def send(request, stop=None):
        many = "CRM.CreateMultiple" in request.target and len(json.loads(request.body)["Targets"]) > 2
        if many and done:
            with contextlib.suppress(errors.DataverseError):
                real(request, stop)
        if many:
            raise error
        return real(request, stop)

    dataverse.send = send
    outcomes = load(named(*"abcdefgh"), chunk_size=8, width=1)
    assert [outcome.error for outcome in outcomes] == [None] * 8
    assert sorted(row["name"] for row in dataverse.rows.values()) == list("abcdefgh")


def test_creates_whose_ids_are_the_services_are_not_sent_again_when_no_answer_came(load, dataverse):
    dataverse.definition["Attributes"][0]["IsValidForCreate"] = False
    error = errors.Unreachable("No answer within 120 s", late=True)
    dataverse.refuse = lambda _: error
    with pytest.raises(errors.Unreachable):
        load(named("a", "b"))
    assert len(dataverse.sent("POST")) == 1


def test_keys_no_url_can_hold_are_found_by_a_filter_where_rows_go_one_by_one(load, dataverse):
    dataverse.rows = {row_id(1): {"accountid": row_id(1), "accountnumber": "A/1"}}
    rows = [{"accountnumber": "A/1", "name": "a"}, {"accountnumber": "B/2", "name": "b"}]
    [found, missing] = load(rows, "update", key=["accountnumber"])
    assert (found.error, dataverse.rows[row_id(1)]["name"]) == (None, "a")
    assert isinstance(missing.error, errors.RowNotFound)


def test_a_key_no_url_can_hold_is_upserted_without_the_message(load, dataverse):
    dataverse.messages = set()
    dataverse.rows = {row_id(1): {"accountid": row_id(1), "accountnumber": "A/1"}}
    rows = [{"accountnumber": "A/1", "name": "a"}, {"accountnumber": "B/2", "name": "b"}]
    outcomes = load(rows, "upsert", key=["accountnumber"])
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert {row["accountnumber"]: row["name"] for row in dataverse.rows.values()} == {"A/1": "a", "B/2": "b"}


def test_a_bad_row_is_isolated_although_no_url_can_hold_its_key(load, dataverse):
    dataverse.refuse = poison()
    rows = [{"accountnumber": f"A/{number}", "name": "bad" if number == 1 else "good"} for number in range(3)]
    outcomes = load(rows, "upsert", key=["accountnumber"])
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]


def test_options_go_with_every_request(load, dataverse):
    options = WriteOptions(bypass_flows=True, tag="nightly load", caller_object_id=row_id(5))
    dataverse.refuse = poison()
    load(named("a", "bad"), options=options)
    written = dataverse.sent("POST")
    assert len(written) == 3
    for request in written:
        assert request.headers["MSCRM.SuppressCallbackRegistrationExpanderJob"] == "true"
        assert request.headers["CallerObjectId"] == row_id(5)
        assert request.target.endswith("?tag=nightly%20load")


@pytest.mark.parametrize(
    ("blank", "sent"), [("null", {"name": "a", "description": None}), ("skip", {"name": "a"})]
)
def test_blanks_clear_columns_or_are_left_out(load, dataverse, blank, sent):
    dataverse.rows = {row_id(n): {"accountid": row_id(n)} for n in (1, 2)}
    rows = [{"accountid": row_id(n), "name": "a", "description": None} for n in (1, 2)]
    load(rows, "update", blank=blank)
    [body] = dataverse.bodies("UpdateMultiple")
    assert body == [
        {"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": row_id(n), **sent} for n in (1, 2)
    ]


def elastic(dataverse, statuses):
    dataverse.definition["TableType"] = "Elastic"
    dataverse.definition["Attributes"].append(
        {**dataverse.definition["Attributes"][1], "LogicalName": "partitionid"}
    )
    sent = []

    def before(request):
        if "CRM." in request.target:
            sent.append(request)
            targets = json.loads(request.body)["Targets"]
            for place, target in enumerate(targets):
                if statuses.get(place, 201) < 300:
                    dataverse.rows[target["accountid"]] = target
            error = errors.BadRequest("some failed", status=400)
            error.statuses = {place: statuses.get(place, 201) for place in range(len(targets))}
            raise error

    dataverse.before = before
    return sent


def test_an_elastic_table_tells_of_each_row(load, dataverse):
    sent = elastic(dataverse, {1: 400})
    dataverse.refuse = poison()
    outcomes = load(named("a", "bad", "c"))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, errors.BadRequest)
    assert len(sent) == 1
    assert sent[0].headers["Prefer"] == 'odata.include-annotations="*"'
    assert [request.method for request in dataverse.requests][-1] == "POST"


def test_an_elastic_table_deletes_in_chunks_with_the_partition(load, dataverse):
    sent = elastic(dataverse, {})
    outcomes = load(
        [{"accountid": row_id(n), "partitionid": "p", "name": "unused"} for n in (1, 2)], "delete"
    )
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert json.loads(sent[0].body)["Targets"][0] == {
        "@odata.type": "Microsoft.Dynamics.CRM.account",
        "accountid": row_id(1),
        "partitionid": "p",
    }


def test_a_row_the_service_fails_at_among_others_is_an_outcome(load, dataverse):
    dataverse.messages = set()
    dataverse.refuse = poison(error=errors.ServerError("boom", status=500))
    outcomes = load(named("a", "bad", "c"))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), errors.ServerError, type(None)]


def no_answer_to_batches(dataverse, larger_than=2):
    """Carry batches out, and give no answer to those of more rows in time."""
    real = dataverse.send_together

    def send_together(requests, stop=None):
        outcomes = real(requests, stop)
        if len(requests) > larger_than:
            raise errors.Unreachable("No answer within 120 s", late=True)
        return outcomes

    dataverse.send_together = send_together


def test_a_batch_without_an_answer_in_time_is_sent_in_parts_and_no_row_is_written_twice(load, dataverse):
    dataverse.messages = set()
    no_answer_to_batches(dataverse)
    outcomes = load(named(*"abcdefgh"), chunk_size=8, width=1)
    assert [(outcome.error, outcome.existed) for outcome in outcomes] == [(None, True)] * 8
    assert sorted(row["name"] for row in dataverse.rows.values()) == list("abcdefgh")


def test_a_batch_of_creates_whose_ids_are_the_services_is_not_sent_again(load, dataverse):
    dataverse.messages = set()
    dataverse.definition["Attributes"][0]["IsValidForCreate"] = False
    no_answer_to_batches(dataverse)
    with pytest.raises(errors.Unreachable):
        load(named("a", "b", "c"))
    assert len(dataverse.rows) == 3


@pytest.mark.parametrize(("chosen_here", "attempts"), [(True, 2), (False, 1)])
def test_a_row_of_a_batch_the_service_fails_at_is_sent_again_where_that_is_safe(
    load, dataverse, chosen_here, attempts
):
    dataverse.messages = set()
    dataverse.definition["Attributes"][0]["IsValidForCreate"] = chosen_here
    tried = []

    def refuse(row):
        if row.get("name") != "bad":
            return None
        tried.append(row)
        return errors.ServerError("boom", status=500)

    dataverse.refuse = refuse
    outcomes = load(named("a", "bad", "c"))
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert len(tried) == attempts
