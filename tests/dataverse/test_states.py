"""States that a new row cannot have: set behind it, in the same transaction, and settled when the answer is lost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_dynamics.dataverse import BatchOutcome, ChangeSet, errors
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Response
from airflow_provider_dynamics.dataverse.rows.rows import Rows

ID = "00000000-0000-4000-8000-0000000000a1"
CLOSED = {"name": "A", "statecode": 1}


class Service:
    """Answers one table's definition, and batches by `answer`."""

    def __init__(self, definition, *, state_on_create=False, own_ids=True):
        self.definition = json.loads(json.dumps(definition))
        for one in self.definition["Attributes"]:
            if one["LogicalName"] == "statecode":
                one["IsValidForCreate"] = state_on_create
            if one["LogicalName"] == "accountid":
                one["IsValidForCreate"] = own_ids
        self.sent = []
        self.there = set()
        self.answer = lambda _: Response(
            204, {"OData-EntityId": f"https://x/api/data/v9.2/accounts({ID})"}, b""
        )

    def send(self, request, stop=None):
        if request.target.startswith("EntityDefinitions"):
            return Response(200, {}, json.dumps(self.definition).encode())
        self.sent.append(request)
        if request.method == "GET":
            if not self.there:
                raise errors.RowNotFound("none", status=404)
            return Response(200, {}, b"{}")
        return self.answer(request)

    def send_together(self, requests, stop=None):
        [change_set] = requests
        assert isinstance(change_set, ChangeSet)
        self.sent.append(change_set)
        return [BatchOutcome(one, self.answer(one)) for one in change_set.requests]


@pytest.fixture
def make(definition, clock):
    """Return a function that makes a service and the rows of its table."""

    def made(**more):
        service = Service(definition, **more)
        tables = Tables(service)
        return service, Rows(service, tables, clock), tables.outline("account")

    return made


def test_the_state_stands_behind_the_row_in_one_change_set(make):
    service, rows, table = make()
    row_id = rows.create(table, {**CLOSED, "accountid": ID})
    [change_set] = service.sent
    first, then = change_set.requests
    assert row_id == ID
    assert (first.method, json.loads(first.body)) == ("POST", {"name": "A", "accountid": ID})
    assert (then.method, then.target, json.loads(then.body)) == (
        *("PATCH", f"accounts({ID})"),
        {"statecode": 1},
    )
    assert then.headers["If-Match"] == "*"


def test_where_ids_cannot_be_chosen_the_row_is_named_by_its_content_id(make):
    service, rows, table = make(own_ids=False)
    assert rows.create(table, CLOSED) == ID
    first, then = service.sent[0].requests
    assert (first.content_id, then.target) == ("1", "$1")


@pytest.mark.parametrize(
    ("row", "more"),
    [
        ({"name": "A"}, {}),
        ({"name": "A", "statecode": None}, {}),
        (CLOSED, {"state_on_create": True}),
    ],
    ids=["no state", "no state either", "a table that takes it"],
)
def test_what_needs_no_second_write_is_sent_alone(make, row, more):
    service, rows, table = make(**more)
    rows.create(table, row)
    assert [request.method for request in service.sent] == ["POST"]


def test_an_upsert_that_may_create_sets_the_state_behind(make):
    service, rows, table = make()
    rows.upsert(table, ID, CLOSED)
    first, then = service.sent[0].requests
    assert json.loads(first.body) == {"name": "A"}
    assert (then.target, json.loads(then.body)) == (f"accounts({ID})", {"statecode": 1})


def test_an_update_changes_all_of_it_in_one_request(make):
    service, rows, table = make()
    rows.update(table, ID, CLOSED)
    assert [json.loads(request.body) for request in service.sent] == [CLOSED]


def test_a_refused_state_is_raised_for_neither_was_written(make):
    service, rows, table = make()

    def refused(_):
        raise errors.BadRequest("3 is not a valid status")

    service.answer = refused
    with pytest.raises(errors.BadRequest, match="not a valid status"):
        rows.create(table, CLOSED)


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("row", [CLOSED, {"name": "A"}], ids=["with its state", "alone"])
def test_a_create_that_ran_out_of_time_is_settled_by_looking_for_the_row(make, row, landed):
    service, rows, table = make()

    def lost(_):
        service.there = {ID} if landed else set()
        raise errors.ServerTimeout("took too long")

    service.answer = lost
    if landed:
        assert rows.create(table, row)
    else:
        with pytest.raises(errors.ServerTimeout):
            rows.create(table, row)


def test_where_there_are_no_transactions_the_state_is_set_when_the_row_is_there(make):
    service, rows, table = make()
    rows.create(replace(table, elastic=True), CLOSED)
    assert [(request.method, json.loads(request.body).get("statecode")) for request in service.sent] == [
        *(("POST", None), ("PATCH", 1))
    ]
