"""Single rows go out as documented, and their fate is told truly."""

from __future__ import annotations

import json
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from airflow_provider_dynamics.dataverse import Upserted, errors

ID = "d6f193fc-ce85-e611-80d8-00155d2a68de"
CONTACT = "c59648c3-68f7-e511-80d3-00155db53318"
OSLO = timezone(timedelta(hours=2))


@pytest.fixture
def lose(dataverse):
    """Return a function that loses the answer of the next request that matches, as a broken connection would; the transport repeats."""

    def prepare(method):
        real = dataverse.send

        def send(request, stop=None):
            if request.method != method:
                return real(request, stop)
            dataverse.send = real
            real(request, stop)
            assert request.repeatable, "the transport would not repeat this"
            try:
                return real(request, stop)
            except errors.DataverseError as error:
                error.repeated = True
                raise

        dataverse.send = send

    return prepare


def body_of(request):
    return json.loads(request.body)


# -- read


def test_a_row_is_read_by_id(rows, account, dataverse):
    dataverse.rows[ID] = {"accountid": ID, "name": "A"}
    found = rows.get(account, ID, ["name", "primarycontactid"], expand="primarycontactid", annotations=True)
    assert found["name"] == "A"
    request = dataverse.requests[-1]
    assert request.target == f"accounts({ID})?$select=name,_primarycontactid_value&$expand=primarycontactid"
    assert request.headers == {"Prefer": 'odata.include-annotations="*"'}


def test_a_row_is_read_by_alternate_key(rows, account, dataverse):
    dataverse.rows[ID] = {"accountid": ID, "accountnumber": "A'1"}
    assert rows.get(account, {"accountnumber": "A'1"}, expand=None, annotations=False)["accountid"] == ID


def test_a_row_that_is_not_there_is_not_found(rows, account):
    with pytest.raises(errors.RowNotFound):
        rows.get(account, ID, expand=None, annotations=False)


@pytest.mark.parametrize(
    ("found", "error"),
    [
        pytest.param([{"name": "A"}], None, id="one row"),
        pytest.param([], errors.RowNotFound, id="no row"),
        pytest.param([{"name": "A"}, {"name": "B"}], errors.Conflict, id="two rows"),
    ],
)
def test_a_key_no_url_can_hold_is_looked_for_with_a_filter(  # noqa: PLR0917  # fixtures and cases
    rows, account, dataverse, answer_of, found, error
):
    asked = []

    def send(request, _=None):
        asked.append(request.target)
        return answer_of({"value": found})

    dataverse.send = send
    if error:
        with pytest.raises(error):
            rows.get(account, {"accountnumber": "A/1"}, expand=None, annotations=False)
    else:
        assert (
            rows.get(account, {"accountnumber": "A/1"}, ["name"], expand=None, annotations=False) == found[0]
        )
        assert asked == ["accounts?$select=name&$filter=accountnumber%20eq%20'A/1'&$top=2"]


# -- create


def test_a_created_row_gets_an_id_from_here(rows, account, dataverse):
    row_id = rows.create(account, {"name": "A"})
    assert dataverse.rows[row_id] == {"accountid": row_id, "name": "A"}
    assert dataverse.requests[-1].repeatable


def test_ids_made_here_follow_each_other_as_sql_server_sorts_them(rows, account, clock):
    ids = []
    for _ in range(50):
        ids.append(uuid.UUID(rows.create(account, {"name": "A"})))
        clock.time += 0.01
    by_last_group = sorted(ids, key=lambda made: made.bytes[10:])
    assert by_last_group == ids
    assert len(set(ids)) == 50


def test_an_id_the_caller_chose_is_kept(rows, account):
    assert rows.create(account, {"accountid": ID.upper(), "name": "A"}) == ID


def test_a_create_whose_answer_was_lost_is_done_once(rows, account, dataverse, lose):
    lose("POST")
    row_id = rows.create(account, {"name": "A"})
    assert list(dataverse.rows) == [row_id]


def test_a_row_that_existed_before_is_a_duplicate(rows, account, dataverse):
    dataverse.rows[ID] = {"accountid": ID}
    with pytest.raises(errors.DuplicateKey):
        rows.create(account, {"accountid": ID, "name": "A"})


def test_a_repeated_create_that_meets_another_row_with_its_key_is_a_duplicate(rows, account, dataverse):
    dataverse.rows[ID] = {"accountid": ID, "accountnumber": "A1"}

    def twice(request, stop=None):
        try:
            return dataverse.__class__.send(dataverse, request, stop)
        except errors.DuplicateKey as error:
            error.repeated = True
            raise

    dataverse.send = twice
    with pytest.raises(errors.DuplicateKey):
        rows.create(account, {"accountnumber": "A1"})


def test_where_ids_cannot_be_chosen_a_create_is_not_repeatable(rows, tables, dataverse):
    dataverse.definition["Attributes"][0]["IsValidForCreate"] = False
    row_id = rows.create(tables.outline("account"), {"name": "A"})
    assert row_id in dataverse.rows
    request = dataverse.requests[-1]
    assert not request.repeatable
    assert body_of(request) == {"name": "A"}


# -- update, upsert, delete


def test_an_update_never_creates(rows, account, dataverse):
    with pytest.raises(errors.RowNotFound):
        rows.update(account, ID, {"name": "A"})
    assert dataverse.requests[-1].headers == {"If-Match": "*"}
    assert dataverse.rows == {}


def test_an_update_sends_what_it_is_given_less_the_key(rows, account, dataverse):
    dataverse.rows[ID] = {"accountid": ID, "accountnumber": "A1"}
    rows.update(account, {"accountnumber": "A1"}, {"accountnumber": "A1", "name": "B"})
    assert body_of(dataverse.requests[-1]) == {"name": "B"}
    assert dataverse.requests[-1].repeatable


def test_an_update_of_one_version_is_not_repeated(rows, account, dataverse):
    dataverse.rows[ID] = {"accountid": ID}
    rows.update(account, ID, {"name": "B"}, if_match='W/"468026"')
    assert dataverse.requests[-1].headers == {"If-Match": 'W/"468026"'}
    assert not dataverse.requests[-1].repeatable


def test_an_upsert_tells_created_from_updated(rows, account, dataverse):
    first = rows.upsert(account, {"accountnumber": "A1"}, {"accountnumber": "A1", "name": "A"})
    second = rows.upsert(account, {"accountnumber": "A1"}, {"name": "B"})
    assert (first.created, second.created) == (True, False)
    assert first.row_id == second.row_id
    request = dataverse.requests[-2]
    assert request.target == "accounts(accountnumber='A1')?$select=accountid"
    assert request.headers == {"Prefer": "return=representation"}
    assert body_of(request) == {"name": "A"}


def test_an_upsert_without_an_answers_body_says_what_it_knows(rows, account, dataverse):
    from airflow_provider_dynamics.dataverse.protocol.exchange import Response

    header = {"OData-EntityId": f"https://contoso/api/data/v9.2/accounts({ID})"}
    dataverse.send = lambda *_: Response(204, header, b"")
    assert rows.upsert(account, ID, {"name": "A"}) == Upserted(ID, None)


def test_an_upsert_whose_answer_was_lost_does_not_claim_to_know(rows, account, dataverse):
    from airflow_provider_dynamics.dataverse.protocol.exchange import Response

    dataverse.send = lambda *_: Response(200, {}, b'{"accountid": "%s"}' % ID.encode(), True)
    assert rows.upsert(account, ID, {"name": "A"}) == Upserted(ID, None)


@pytest.mark.parametrize("write", ["update", "upsert"])
def test_a_key_no_url_can_hold_cannot_be_written_to(rows, account, dataverse, write):
    asked = len(dataverse.requests)
    with pytest.raises(errors.BadRequest, match=r"holds '/'.*by its id"):
        getattr(rows, write)(account, {"accountnumber": "A/1"}, {"name": "A"})
    assert len(dataverse.requests) == asked


def test_a_delete_deletes(rows, account, dataverse):
    dataverse.rows[ID] = {"accountid": ID}
    rows.delete(account, ID)
    assert dataverse.rows == {}


def test_a_delete_of_nothing_is_not_found(rows, account):
    with pytest.raises(errors.RowNotFound):
        rows.delete(account, ID)


def test_a_delete_whose_answer_was_lost_is_done(rows, account, dataverse, lose):
    dataverse.rows[ID] = {"accountid": ID}
    lose("DELETE")
    rows.delete(account, ID)
    assert dataverse.rows == {}


# -- what a row's values become


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param(
            {"primarycontactid": CONTACT.upper()},
            {"primarycontactid@odata.bind": f"/contacts({CONTACT})"},
            id="a lookup's id",
        ),
        pytest.param(
            {"_primarycontactid_value": CONTACT},
            {"primarycontactid@odata.bind": f"/contacts({CONTACT})"},
            id="a lookup under its wire name",
        ),
        pytest.param(
            {"new_region": CONTACT},
            {"new_Region@odata.bind": f"/new_regions({CONTACT})"},
            id="a navigation name with capitals",
        ),
        pytest.param(
            {"new_region@odata.bind": "/new_regions(1)"},
            {"new_Region@odata.bind": "/new_regions(1)"},
            id="a bind in the wrong case",
        ),
        pytest.param(
            {"new_ParentId_contact@odata.bind": f"/contacts({CONTACT})"},
            {"new_ParentId_contact@odata.bind": f"/contacts({CONTACT})"},
            id="a bind as it should be",
        ),
        pytest.param(
            {"primarycontactid": "/contacts(emailaddress1='a@b.c')"},
            {"primarycontactid@odata.bind": "/contacts(emailaddress1='a@b.c')"},
            id="a lookup by alternate key",
        ),
        pytest.param({"primarycontactid": None}, {"primarycontactid": None}, id="a lookup cleared"),
        pytest.param({"new_parentid": None}, {"new_ParentId_account": None}, id="one of several cleared"),
        pytest.param({"revenue": Decimal("1.10")}, {"revenue": 1.1}, id="money"),
        pytest.param(
            {"createdon": datetime(2024, 1, 31, 8, tzinfo=OSLO)}, {"createdon": "2024-01-31T06:00:00Z"}, id="a time"
        ),
        pytest.param({"new_start": datetime(2024, 1, 31, 8)}, {"new_start": "2024-01-31"}, id="a time where a day is meant"),  # noqa: DTZ001
        pytest.param({"new_start": date(2024, 1, 31)}, {"new_start": "2024-01-31"}, id="a day"),
        pytest.param({"unknown": 1, "name@x": 2}, {"unknown": 1, "name@x": 2}, id="what is not ours to judge"),
    ],
)  # fmt: skip
def test_values_take_the_form_of_their_column(rows, account, dataverse, given, sent):
    dataverse.rows[ID] = {"accountid": ID}
    rows.update(account, ID, given)
    assert body_of(dataverse.requests[-1]) == sent


def test_an_empty_lookup_is_left_out_of_a_create(rows, account):
    assert rows.payload(account, {"name": "A", "primarycontactid": None}, creates=True) == {"name": "A"}


def test_decimals_keep_their_digits_in_the_body(rows, account, dataverse):
    rows.create(account, {"revenue": Decimal("5000000.0000")})
    assert b'"revenue":5000000.0000' in dataverse.requests[-1].body


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        pytest.param(
            {"new_parentid": CONTACT}, "'new_ParentId_account@odata.bind' or 'new_Par", id="several tables"
        ),
        pytest.param({"ownerid": CONTACT}, "'ownerid@odata.bind'", id="an owner"),
        pytest.param({"primarycontactid": "Jane"}, "GUID", id="a name for an id"),
    ],
)
def test_a_lookup_that_cannot_be_bound_says_how_to_write_it(rows, account, row, advice):
    with pytest.raises(errors.BadRequest, match=advice):
        rows.update(account, ID, row)
