"""Updates by an alternate key go in chunks: the ids of their rows are found just before they are sent."""

from __future__ import annotations

import json

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.loading.resolving import Resolver
from airflow_provider_dynamics.dataverse.loading.targets import Target
from airflow_provider_dynamics.dataverse.protocol.options import WriteOptions
from airflow_provider_dynamics.dataverse.throttle import Stop
from tests.dataverse.writing import poison, row_id, write

KEY = ["accountnumber"]


@pytest.fixture
def update(dataverse, clock):
    def run(rows, **options):
        return list(write(dataverse, clock, rows, "update", key=KEY, **{"width": 2, **options}))

    return run


def stored(dataverse, count):
    dataverse.rows = {
        row_id(n): {"accountid": row_id(n), "accountnumber": f"A{n}", "name": "old"} for n in range(count)
    }


def changed(count, name="new"):
    return [{"accountnumber": f"A{n}", "name": name} for n in range(count)]


def test_two_requests_are_enough_for_a_chunk(update, dataverse):
    stored(dataverse, 200)
    outcomes = update(changed(200))
    assert all(one.error is None for one in outcomes)
    assert [one.row_id for one in outcomes] == [row_id(n) for n in range(200)]
    assert {row["name"] for row in dataverse.rows.values()} == {"new"}
    assert (len(dataverse.sent("GET", "accounts?")), len(dataverse.bodies("UpdateMultiple"))) == (1, 1)
    assert dataverse.batches == []


def test_targets_name_their_row_by_id_and_leave_the_key_out(update, dataverse):
    stored(dataverse, 2)
    update(changed(2))
    assert dataverse.bodies("UpdateMultiple")[0][1] == {
        "@odata.type": "Microsoft.Dynamics.CRM.account",
        "accountid": row_id(1),
        "name": "new",
    }


def test_a_key_of_no_row_is_that_rows_outcome(update, dataverse):
    stored(dataverse, 5)
    outcomes = update([*changed(5), {"accountnumber": "none", "name": "x"}, {"accountnumber": "A/9"}])
    assert [type(one.error) for one in outcomes] == [type(None)] * 5 + [errors.RowNotFound] * 2
    assert len(dataverse.rows) == 5


def test_one_bad_row_stands_alone(update, dataverse):
    stored(dataverse, 200)
    rows = changed(200)
    rows[17]["name"] = "bad"
    dataverse.refuse = poison()
    assert [one.index for one in update(rows) if one.error] == [17]
    assert sum(row["name"] == "new" for row in dataverse.rows.values()) == 199


def test_a_row_that_goes_between_is_not_found(update, dataverse):
    stored(dataverse, 3)

    def before(request):
        if "UpdateMultiple" in request.target:
            dataverse.rows.pop(row_id(1), None)

    dataverse.before = before
    assert [type(one.error) for one in update(changed(3))] == [type(None), errors.RowNotFound, type(None)]


def test_a_row_that_comes_twice_has_its_last_values(update, dataverse):
    stored(dataverse, 3)
    outcomes = update([*changed(3), {"accountnumber": "A1", "name": "last"}])
    assert all(one.error is None for one in outcomes)
    assert dataverse.rows[row_id(1)]["name"] == "last"


def test_keys_that_only_an_accent_tells_apart_are_not_sent_together(update, dataverse):
    """Whether they are one row is the environment's collation's to say, and the last one counts."""
    dataverse.rows = {
        row_id(n): {"accountid": row_id(n), "accountnumber": number} for n, number in enumerate(["é", "e"])
    }
    update([{"accountnumber": "é", "name": "a"}, {"accountnumber": "e", "name": "b"}])
    assert [len(body) for body in dataverse.bodies("UpdateMultiple")] == [1, 1] or not dataverse.bodies(
        "UpdateMultiple"
    )
    assert [row["name"] for row in dataverse.rows.values()] == ["a", "b"]


def test_without_the_right_to_read_rows_go_by_their_keys(update, dataverse):
    stored(dataverse, 30)

    def before(request):
        if request.method == "GET" and request.target.startswith("accounts"):
            raise errors.Forbidden("prvReadAccount", status=403)

    dataverse.before = before
    assert all(one.error is None for one in update(changed(30), width=1))
    assert {row["name"] for row in dataverse.rows.values()} == {"new"}
    assert dataverse.bodies("UpdateMultiple") == []


def test_where_the_filter_is_refused_the_service_finds_rows_by_their_keys(update, dataverse):
    stored(dataverse, 30)

    def before(request):
        if request.method == "GET" and request.target.startswith("accounts"):
            raise errors.BadRequest("too many conditions", status=400)

    dataverse.before = before
    assert all(one.error is None for one in update(changed(30), width=1))
    assert {row["name"] for row in dataverse.rows.values()} == {"new"}


def test_of_targets_of_one_row_only_the_first_goes_into_the_chunk(dataverse, tables, account):
    stored(dataverse, 1)
    resolver = Resolver(dataverse, tables, account, [account.column("accountnumber")], Stop())
    targets = [Target(number, {}, key={"accountnumber": "A0"}) for number in range(2)]
    ready, left = resolver.resolved(targets)
    assert [target.index for target in ready] == [0]
    assert left == targets[1:]


def test_a_key_that_cannot_be_read_is_left_to_the_service(update, dataverse):
    dataverse.definition["Attributes"][2]["IsValidForRead"] = False
    stored(dataverse, 3)
    assert all(one.error is None for one in update(changed(3)))
    assert dataverse.bodies("UpdateMultiple") == []


def test_options_go_with_the_chunk(update, dataverse):
    stored(dataverse, 3)
    update(changed(3), options=WriteOptions(bypass_flows=True, tag="load"))
    [sent] = dataverse.sent("POST", "UpdateMultiple")
    assert "tag=load" in sent.target
    assert sent.headers["MSCRM.SuppressCallbackRegistrationExpanderJob"] == "true"
    assert json.loads(sent.body)["Targets"]
