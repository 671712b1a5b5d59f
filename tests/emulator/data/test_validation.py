"""Values that do not fit are refused with the same code on every way a row can be written, and nothing stays behind."""

from __future__ import annotations

import pytest

GONE = "00000000-0000-0000-0000-00000000dead"
TYPE = "Microsoft.Dynamics.CRM.account"
WRONG = [
    pytest.param({"name": "x" * 161}, "0x80044331", id="too long"),
    pytest.param({"numberofemployees": -1}, "0x8004432f", id="a number below its range"),
    pytest.param({"numberofemployees": 1_000_000_001}, "0x8004432f", id="a number above its range"),
    pytest.param({"numberofemployees": 2**31}, "0x80048d19", id="more than 32 bits"),
    pytest.param({"address1_latitude": 91}, "0x80044330", id="a floating number out of range"),
    pytest.param({"revenue": 1e15}, "0x80044330", id="money out of range"),
    pytest.param({"industrycode": 99}, "0x8004431a", id="an unknown option"),
    pytest.param({"contoso_services": "100000000,7"}, "0x8004431a", id="an unknown option among several"),
    pytest.param({"numberofemployees": "many"}, "0x80048d19", id="text for a number"),
    pytest.param({"creditonhold": "yes"}, "0x80048d19", id="text for yes or no"),
    pytest.param({"name": 5}, "0x80048d19", id="a number for text"),
    pytest.param({"revenue": "5.0"}, "0x80048d19", id="text for money"),
    pytest.param({"lastonholdtime": "31.12.2024"}, "0x80048d19", id="another way to write a date"),
    pytest.param({"contoso_foundedon": "1752-12-31"}, "0x80040203", id="a date before 1753"),
    pytest.param({"nonsense": 1}, "0x80048d19", id="no such column"),
    pytest.param({"primarycontactid": GONE}, "0x80048d19", id="a lookup as a value"),
    pytest.param(
        {"primarycontactid@odata.bind": f"/accounts({GONE})"}, "0x80048d19", id="a row of another table"
    ),
    pytest.param(
        {"primarycontactid@odata.bind": f"/contacts({GONE})"}, "0x80040217", id="a row that is gone"
    ),
    pytest.param(
        {"PrimaryContactId@odata.bind": f"/contacts({GONE})"}, "0x80048d19", id="another case of letters"
    ),
    pytest.param({"statuscode": 2}, "0x80048408", id="a status of another state"),
]


def multiple(service, message, *rows):
    targets = [{"@odata.type": TYPE, **row} for row in rows]
    return service("POST", f"accounts/Microsoft.Dynamics.CRM.{message}", {"Targets": targets})


def post(service, _, wrong):
    return service("POST", "accounts", {"name": "New", **wrong})


def patch(service, row_id, wrong):
    return service("PATCH", f"accounts({row_id})", {"name": "Changed", **wrong}, **{"If-Match": "*"})


def upsert_by_key(service, _, wrong):
    return service("PATCH", "accounts(accountnumber='NEW')", {"name": "New", **wrong})


def create_multiple(service, _, wrong):
    return multiple(service, "CreateMultiple", {"name": "New"}, {"name": "New", **wrong}, {"name": "New"})


def update_multiple(service, row_id, wrong):
    return multiple(service, "UpdateMultiple", {"accountid": row_id, "name": "Changed", **wrong})


def upsert_multiple(service, row_id, wrong):
    existing = {"@odata.id": f"accounts({row_id})", "name": "Changed"}
    return multiple(
        service, "UpsertMultiple", existing, {"@odata.id": f"accounts({GONE})", "name": "New", **wrong}
    )


def nested(service, _, wrong):
    body = {"lastname": "Parent", "account_primary_contact": [{"name": "New", **wrong}]}
    return service("POST", "contacts", body)


@pytest.mark.parametrize(
    "write", [post, patch, upsert_by_key, create_multiple, update_multiple, upsert_multiple, nested]
)
@pytest.mark.parametrize(("wrong", "code"), WRONG)
def test_a_wrong_value_is_refused_and_nothing_is_written(empty, write, wrong, code):
    row_id = empty.make("accounts", name="Old")
    answer = write(empty, row_id, wrong)
    assert answer.error == code
    assert [row["name"] for row in empty.api.rows("account")] == ["Old"]
    assert empty.api.rows("contact") == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("name", "x" * 161, "0x80044331"), ("industrycode", 99, "0x8004431a"), ("name", 5, "0x80048d19")],
)
def test_a_single_property_is_checked_like_a_row(empty, name, value, code):
    row_id = empty.make("accounts", name="Old")
    assert empty("PUT", f"accounts({row_id})/{name}", {"value": value}).error == code


def test_columns_that_may_not_be_written_are_left_alone(empty):
    row_id = empty.make("accounts", name="A", merged=True, versionnumber=5)
    empty("PATCH", f"accounts({row_id})", {"createdon": "2001-01-01T00:00:00Z", "aging30": 5})
    row = empty.get(f"accounts({row_id})").json
    assert (row["merged"], row["aging30"], row["createdon"]) == (False, None, "2025-06-15T12:00:00Z")


@pytest.mark.parametrize("missing", ["currencyname", "isocurrencycode", "currencysymbol"])
def test_what_the_system_requires_cannot_be_left_out_or_emptied(empty, missing):
    row = {"currencyname": "Pound", "isocurrencycode": "GBP", "currencysymbol": "£", "currencyprecision": 2}
    without = {name: value for name, value in row.items() if name != missing}
    assert empty("POST", "transactioncurrencies", without).error == "0x80040200"
    row_id = empty.make("transactioncurrencies", **row, exchangerate=1)
    assert empty("PATCH", f"transactioncurrencies({row_id})", {missing: None}).error == "0x80040200"


def test_what_only_applications_require_may_be_left_out(empty):
    assert empty("POST", "accounts", {}).status == 204


class TestStates:
    def test_a_new_row_is_in_its_first_state_whatever_it_says(self, empty):
        made = empty("POST", "accounts", {"name": "A", "statecode": 1})
        row = empty.get(f"accounts({made.entity_id})").json
        assert (row["statecode"], row["statuscode"]) == (0, 1)

    def test_a_new_row_may_have_another_status_of_its_first_state(self, empty):
        made = empty("POST", "opportunities", self.opportunity(empty) | {"statuscode": 2})
        assert empty.get(f"opportunities({made.entity_id})").json["statuscode"] == 2

    def test_a_status_of_another_state_is_refused_by_name(self, empty):
        answer = empty("POST", "accounts", {"name": "A", "statecode": 1, "statuscode": 2})
        assert answer.message.startswith(
            "2 is not a valid status code for state code AccountState.Active on account with Id "
        )

    def test_a_state_brings_its_first_status_and_a_status_brings_no_state(self, empty):
        row_id = empty.make("accounts", name="A")
        assert empty("PATCH", f"accounts({row_id})", {"statecode": 1}).status == 204
        assert empty.get(f"accounts({row_id})").json["statuscode"] == 2
        assert empty("PATCH", f"accounts({row_id})", {"statuscode": 1}).error == "0x80048408"

    @pytest.mark.parametrize(("state", "word"), [(1, "won"), (2, "lost")])
    def test_opportunities_are_closed_by_messages(self, empty, state, word):
        row_id = empty.make("opportunities", **self.opportunity(empty))
        answer = empty("PATCH", f"opportunities({row_id})", {"statecode": state})
        assert answer.error == "0x80100005"
        assert f"set the state of opportunity to {word}." in answer.message

    def test_cases_are_resolved_by_a_message_and_canceled_without(self, empty):
        account = empty.make("accounts", name="A")
        customer = {"customerid_account@odata.bind": f"/accounts({account})"}
        row_id = empty.make("incidents", title="T", **customer)
        answer = empty("PATCH", f"incidents({row_id})", {"statecode": 1, "statuscode": 5})
        assert "use the CloseIncidentRequest message instead" in answer.message
        assert empty("PATCH", f"incidents({row_id})", {"statecode": 2, "statuscode": 6}).status == 204

    def opportunity(self, service):
        account = service.make("accounts", name="A")
        return {"name": "O", "customerid_account@odata.bind": f"/accounts({account})"}

    def test_the_metadata_says_that_a_state_is_not_for_new_rows(self, sample):
        path = "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='statecode')"
        told = sample.get(f"{path}?$select=IsValidForCreate,IsValidForUpdate").json
        assert (told["IsValidForCreate"], told["IsValidForUpdate"]) == (False, True)


class TestOwners:
    def test_a_row_belongs_to_its_maker_or_to_whom_it_names(self, empty):
        user = empty.get("WhoAmI").json["UserId"]
        team = empty.get("teams?$select=teamid").rows[0]["teamid"]
        mine = empty.make("accounts", name="A")
        theirs = empty.make("accounts", name="B", **{"ownerid@odata.bind": f"/teams({team})"})
        assert empty.get(f"accounts({mine})").json["_owninguser_value"] == user
        row = empty.get(f"accounts({theirs})").json
        assert (row["_owningteam_value"], row["_owninguser_value"]) == (team, None)

    def test_a_row_is_never_without_an_owner(self, empty):
        row_id = empty.make("accounts", name="A")
        assert empty("PATCH", f"accounts({row_id})", {"ownerid@odata.bind": None}).error == "0x80040203"

    def test_giving_a_row_away_takes_a_privilege(self, empty):
        row_id, team = empty.make("accounts", name="A"), empty.get("teams?$select=teamid").rows[0]["teamid"]
        empty.api.faults.privileges_taken.add((None, "prvAssignAccount"))
        away = {"ownerid@odata.bind": f"/teams({team})"}
        assert empty("PATCH", f"accounts({row_id})", away).error == "0x80040220"
        assert multiple(empty, "UpdateMultiple", {"accountid": row_id, **away}).error == "0x80040220"
        assert empty("PATCH", f"accounts({row_id})", {"name": "B"}).status == 204

    def test_an_owner_that_is_not_there_is_refused(self, empty):
        row = {"name": "A", "ownerid@odata.bind": f"/systemusers({GONE})"}
        assert empty("POST", "accounts", row).error == "0x80040217"


class TestGivenIds:
    def test_a_row_keeps_the_id_it_is_given_and_there_is_one_of_it(self, empty):
        row = {"accountid": GONE, "name": "A"}
        assert empty("POST", "accounts", row).entity_id == GONE
        again = empty("POST", "accounts", row)
        assert (again.status, again.error) == (412, "0x80040237")

    def test_one_id_twice_in_a_chunk_refuses_the_chunk(self, empty):
        row = {"accountid": GONE, "name": "A"}
        assert multiple(empty, "CreateMultiple", {"name": "B"}, row, row).error == "0x80040237"
        assert empty.api.rows("account") == []

    def test_a_chunk_answers_with_the_ids_it_was_given(self, empty):
        answer = multiple(empty, "CreateMultiple", {"accountid": GONE.upper(), "name": "A"}, {"name": "B"})
        assert answer.json["Ids"][0] == GONE
        assert len(answer.json["Ids"]) == 2

    def test_an_id_that_was_deleted_may_come_back(self, empty):
        row = {"accountid": GONE, "name": "A"}
        empty("POST", "accounts", row)
        empty("DELETE", f"accounts({GONE})")
        assert empty("POST", "accounts", row).status == 204
