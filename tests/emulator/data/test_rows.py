"""Writing single rows: create, PATCH as update and upsert, conditions, binds, references, what is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_dynamics.emulator.web_api import Poison

GONE = "11111111-1111-1111-1111-111111111111"


def test_a_create_answers_with_the_new_rows_address(empty):
    answer = empty("POST", "accounts", {"name": "A"})
    assert answer.status == 204
    assert answer.content == b""
    link = answer.headers["OData-EntityId"]
    assert link == answer.headers["Location"]
    assert empty.get(link).json["name"] == "A"


def test_a_create_may_ask_for_the_row_instead_of_its_address(empty):
    body = {"name": "A", "address1_latitude": Decimal("47.639583"), "revenue": 5000000}
    answer = empty(
        "POST", "accounts?$select=name,address1_latitude,revenue", body, prefer="return=representation"
    )
    assert answer.status == 201
    assert "OData-EntityId" not in answer.headers
    assert answer.headers["Preference-Applied"] == "return=representation"
    assert answer.json["address1_latitude"] == 47.63958
    assert b'"revenue":5000000.0000' in answer.content


def test_the_service_fills_in_what_nobody_sent(empty):
    row = empty.get(f"accounts({empty.make('accounts', name='A')})").json
    user = empty.get("WhoAmI").json
    assert row["createdon"] == row["modifiedon"] == "2025-06-15T12:00:00Z"
    assert row["_ownerid_value"] == row["_owninguser_value"] == row["_createdby_value"] == user["UserId"]
    assert row["_owningbusinessunit_value"] == user["BusinessUnitId"]
    assert (row["statecode"], row["statuscode"], row["creditonhold"]) == (0, 1, False)
    assert row["preferredcontactmethodcode"] == 1
    assert row["_transactioncurrencyid_value"] is None


def test_base_amounts_follow_the_currency(empty):
    euro = next(row for row in empty.get("transactioncurrencies").rows if row["isocurrencycode"] == "EUR")
    bind = {"transactioncurrencyid@odata.bind": f"/transactioncurrencies({euro['transactioncurrencyid']})"}
    place = f"accounts({empty.make('accounts', name='A', revenue=92, **bind)})"
    assert empty.get(place).json["revenue_base"] == 100
    empty("PATCH", place, {"revenue": 46})
    row = empty.get(place).json
    assert (row["revenue_base"], row["exchangerate"]) == (50, 0.92)


def test_amounts_are_rounded_to_the_currency_or_the_column_without_an_error(empty):
    account = empty.make("accounts", name="A", revenue=Decimal("1.005"))
    assert empty.get(f"accounts({account})").json["revenue"] == 1.01
    shipment = empty.make(
        "contoso_shipments",
        contoso_name="S",
        contoso_unitcost=Decimal("-3.00005"),
        contoso_weight=Decimal("0.12349"),
    )
    row = empty.get(f"contoso_shipments({shipment})").json
    assert (row["contoso_unitcost"], row["contoso_weight"]) == (-3.0001, 0.123)


def test_names_and_addresses_are_put_together(empty):
    contact = empty.make("contacts", firstname="Jörg", lastname="Größe", address1_city="Köln")
    place = f"contacts({contact})"
    assert empty.get(place).json["fullname"] == "Jörg Größe"
    empty("PATCH", place, {"firstname": None, "address1_country": "Deutschland"})
    row = empty.get(place).json
    assert (row["fullname"], row["address1_composite"]) == ("Größe", "Köln\r\nDeutschland")


def test_an_empty_text_is_stored_as_null_and_choices_sorted(empty):
    row_id = empty.make("accounts", name="A", description="", contoso_services="100000002, 100000000")
    row = empty.get(f"accounts({row_id})").json
    assert row["description"] is None
    assert row["contoso_services"] == "100000000,100000002"


def test_dates_are_kept_in_utc_and_calendar_days_as_they_are(empty):
    row_id = empty.make(
        "accounts",
        name="A",
        contoso_foundedon="1893-02-28",
        contoso_nextdelivery="2025-01-01T01:30:00+02:00",
        lastonholdtime="2025-01-01",
    )
    row = empty.get(f"accounts({row_id})").json
    assert row["contoso_foundedon"] == "1893-02-28"
    assert row["contoso_nextdelivery"] == "2024-12-31T23:30:00Z"
    assert row["lastonholdtime"] == "2025-01-01T00:00:00Z"


def test_columns_that_may_not_be_set_are_left_out_without_a_word(empty):
    row_id = empty.make("accounts", name="A", createdon="2001-01-01T00:00:00Z", versionnumber=1)
    assert empty.get(f"accounts({row_id})").json["createdon"] == "2025-06-15T12:00:00Z"


def test_a_migrated_row_may_bring_its_creation_date(empty):
    row_id = empty.make("accounts", name="A", overriddencreatedon="2001-01-01T00:00:00Z")
    assert empty.get(f"accounts({row_id})").json["createdon"] == "2001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            {"nope": 1},
            "0x80048d19",
            "The property 'nope' does not exist on type 'Microsoft.Dynamics.CRM.account'.",
        ),
        ({"Name": "x"}, "0x80048d19", "The property 'Name' does not exist"),
        ({"_primarycontactid_value": GONE}, "0x80048d19", "Use Navigation properties instead"),
        ({"name": 5}, "0x80048d19", "Cannot convert the literal '5' to the expected type 'Edm.String'."),
        ({"numberofemployees": "5"}, "0x80048d19", "to the expected type 'Edm.Int32'."),
        ({"numberofemployees": Decimal("5.5")}, "0x80048d19", "to the expected type 'Edm.Int32'."),
        ({"numberofemployees": True}, "0x80048d19", "'true' to the expected type 'Edm.Int32'."),
        (
            {"numberofemployees": -1},
            "0x8004432f",
            "The value of 'numberofemployees' on record of type 'account'",
        ),
        ({"revenue": "5"}, "0x80048d19", "IEEE754Compatible"),
        ({"revenue": 10**16}, "0x80044330", "outside the valid range"),
        ({"creditonhold": 1}, "0x80048d19", "to the expected type 'Edm.Boolean'."),
        ({"accountcategorycode": 99}, "0x8004431a", "Accepted Values: 1,2"),
        ({"contoso_services": "1,2"}, "0x8004431a", "outside the valid range"),
        ({"contoso_services": [1]}, "0x80048d19", "to the expected type 'Edm.String'."),
        ({"contoso_foundedon": "2024-02-30"}, "0x80048d19", "to the expected type 'Edm.Date'."),
        ({"contoso_foundedon": "1752-12-31"}, "0x80040203", "01/01/1753"),
        ({"lastonholdtime": "yesterday"}, "0x80048d19", "to the expected type 'Edm.DateTimeOffset'."),
        ({"accountid": "x"}, "0x80048d19", "to the expected type 'Edm.Guid'."),
        (
            {"name": "x" * 161},
            "0x80044331",
            (
                "A validation error occurred.  The length of the 'name' attribute of the 'account' entity exceeded "
                "the maximum allowed length of '160'."
            ),
        ),
        ({"name": "🚀" * 81}, "0x80044331", "maximum allowed length of '160'"),
        (
            {"statecode": 0, "statuscode": 2},
            "0x80048408",
            "2 is not a valid status code for state code AccountState.Active on account with Id",
        ),
        (
            {"PrimaryContactId@odata.bind": f"/contacts({GONE})"},
            "0x80048d19",
            "undeclared property 'PrimaryContactId'",
        ),
        ({"primarycontactid@odata.bind": f"/accounts({GONE})"}, "0x80048d19", "may refer to"),
        ({"primarycontactid": "x"}, "0x80048d19", "'StartObject' node was expected"),
        ({"primarycontactid@odata.bind": "nonsense"}, "0x80060888", "Invalid resource reference"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_and_nothing_written(empty, body, code, message):
    answer = empty("POST", "accounts", {"description": "A", **body})
    assert (answer.status, answer.error) == (400, code)
    assert message in answer.message
    assert empty.get("accounts").rows == []


def test_a_body_that_is_no_object_is_refused(empty):
    assert empty("POST", "accounts", [1]).error == "0x80048d19"


def test_cases_and_opportunities_need_a_customer(empty):
    assert "parent contact or account" in empty("POST", "incidents", {"title": "T"}).message
    assert empty("POST", "opportunities", {"name": "O"}).status == 400


# -- keys and conditions ---------------------------------------------------------------------------------


def test_a_primary_key_given_twice_is_a_duplicate(empty):
    row_id = empty.make("accounts", name="A")
    answer = empty("POST", "accounts", {"accountid": row_id, "name": "B"})
    assert (answer.status, answer.error) == (412, "0x80040237")
    assert answer.message == "A record with matching key values already exists."


def test_an_alternate_key_given_twice_names_the_key(empty):
    empty.make("accounts", name="A", accountnumber="N1")
    answer = empty("POST", "accounts", {"name": "B", "accountnumber": "n1"})
    assert (answer.status, answer.error) == (412, "0x80060892")
    assert "Account Number" in answer.message
    other = empty.make("accounts", name="C", accountnumber="N2")
    assert empty("PATCH", f"accounts({other})", {"accountnumber": "N1"}).error == "0x80060892"


def test_rows_without_a_key_value_are_never_duplicates(empty):
    empty.make("accounts", name="A")
    empty.make("accounts", name="B")


def test_an_update_changes_only_what_it_names_and_raises_the_version(empty):
    place = f"accounts({empty.make('accounts', name='A', telephone1='1')})"
    before = empty.get(place)
    empty.wait(hours=1)
    assert empty("PATCH", place, {"telephone1": "2"}).status == 204
    row = empty.get(place).json
    assert (row["name"], row["telephone1"]) == ("A", "2")
    assert row["versionnumber"] > before.json["versionnumber"]
    assert (row["createdon"], row["modifiedon"]) == ("2025-06-15T12:00:00Z", "2025-06-15T13:00:00Z")


def test_patch_creates_a_missing_row_with_the_id_of_its_address(empty):
    answer = empty("PATCH", f"accounts({GONE})", {"name": "A"})
    assert answer.status == 204
    assert answer.entity_id == GONE
    assert empty.get(f"accounts({GONE})").json["name"] == "A"


@pytest.mark.parametrize(
    ("headers", "exists", "status", "code"),
    [
        ({"if_match": "*"}, False, 404, "0x80040217"),
        ({"if_none_match": "*"}, True, 412, "0x80040237"),
        ({"if_match": 'W/"1"'}, True, 412, "0x80060882"),
    ],
    ids=["only update, but missing", "only create, but there", "a stale etag"],
)
def test_conditions_forbid(empty, headers, exists, status, code):
    if exists:
        empty.make("accounts", accountid=GONE, name="A")
    answer = empty("PATCH", f"accounts({GONE})", {"name": "B"}, **headers)
    assert (answer.status, answer.error) == (status, code)


def test_conditions_that_hold_change_nothing(empty):
    place = f"accounts({empty.make('accounts', name='A')})"
    assert empty("PATCH", place, {"name": "B"}, if_match=empty.get(place).headers["ETag"]).status == 204
    assert empty("PATCH", place, {"name": "C"}, if_match="*").status == 204
    assert empty("PATCH", place, {"name": "D"}, if_none_match="null").status == 204


def test_an_upsert_echoes_the_alternate_key_and_tells_created_from_updated_only_by_status(empty):
    place = "accounts(accountnumber='N1')"
    made = empty("PATCH", place, {"name": "A"})
    assert made.status == 204
    assert made.headers["OData-EntityId"].endswith("/api/data/v9.2/accounts(accountnumber='N1')")
    assert empty.get(place).json["accountnumber"] == "N1"
    again = empty("PATCH", place, {"name": "B"}, prefer="return=representation")
    assert (again.status, again.json["name"]) == (200, "B")
    new = empty("PATCH", "accounts(accountnumber='N2')", {"name": "C"}, prefer="return=representation")
    assert (new.status, new.json["accountnumber"]) == (201, "N2")


def test_on_upsert_the_bodys_key_wins_when_creating_and_is_ignored_when_updating(empty):
    empty("PATCH", "accounts(accountnumber='URL')", {"name": "A", "accountnumber": "BODY"})
    assert empty.get("accounts(accountnumber='BODY')").status == 200
    assert empty.get("accounts(accountnumber='URL')").error == "0x80060891"
    empty("PATCH", "accounts(accountnumber='BODY')", {"name": "B", "accountnumber": "OTHER"})
    assert empty.get("accounts(accountnumber='BODY')").json["name"] == "B"


def test_deleting_by_id_and_key(empty):
    place = f"accounts({empty.make('accounts', name='A')})"
    assert empty("DELETE", place, if_match='W/"1"').error == "0x80060882"
    assert empty("DELETE", place).status == 204
    assert empty("DELETE", place).error == "0x80040217"
    empty.make("accounts", name="A", accountnumber="N1")
    assert empty("DELETE", "accounts(accountnumber='N1')").status == 204
    assert empty("DELETE", "accounts(accountnumber='N1')").error == "0x80060891"


def test_a_single_property_is_put_and_deleted(empty):
    place = f"accounts({empty.make('accounts', name='A')})"
    assert empty("PUT", f"{place}/name", {"value": "B"}).status == 204
    assert empty.get(f"{place}/name").json["value"] == "B"
    assert empty("DELETE", f"{place}/name").status == 204
    assert empty.get(place).json["name"] is None
    assert empty("PUT", f"{place}/_ownerid_value", {"value": GONE}).status == 404


# -- around ----------------------------------------------------------------------------------------------


def test_impersonation_writes_in_another_users_name(empty):
    unit = empty.get("WhoAmI").json["BusinessUnitId"]
    bind = {"businessunitid@odata.bind": f"/businessunits({unit})"}
    user = empty.make("systemusers", domainname="x", lastname="X", azureactivedirectoryobjectid=GONE, **bind)
    made = empty("POST", "accounts", {"name": "A"}, callerobjectid=GONE)
    row = empty.get(f"accounts({made.entity_id})").json
    assert row["_createdby_value"] == row["_ownerid_value"] == user
    assert row["_createdonbehalfby_value"] == empty.get("WhoAmI").json["UserId"]
    assert empty("POST", "accounts", {"name": "A"}, mscrmcallerid=unit).error == "0x80072560"


def test_duplicates_are_detected_only_when_asked(empty):
    empty.make("accounts", name="Sample Account")
    empty.make("accounts", name="Sample Account")
    answer = empty(
        "POST", "accounts", {"name": "sample account"}, **{"MSCRM.SuppressDuplicateDetection": "false"}
    )
    assert (answer.status, answer.error) == (412, "0x80040333")


def test_a_poisoned_row_is_refused_with_a_plug_ins_words(empty):
    empty.api.faults.poison.append(Poison("account", "name", "bad", message="Credit check failed."))
    answer = empty("POST", "accounts", {"name": "bad"}, prefer='odata.include-annotations="*"')
    assert (answer.status, answer.error, answer.message) == (400, "0x80040265", "Credit check failed.")
    assert answer.json["error"]["@Microsoft.PowerApps.CDS.InnerError.Message"] == "Credit check failed."
    place = f"accounts({empty.make('accounts', name='good')})"
    assert empty("PATCH", place, {"name": "bad"}).error == "0x80040265"


def test_messages_of_the_platform_cannot_be_written(empty):
    assert empty("POST", "sdkmessages", {"name": "x"}).status == 501


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "accounts"), ("DELETE", "accounts"), ("POST", "WhoAmI")]
)
def test_methods_that_do_not_belong_are_405(empty, method, path):
    assert empty(method, path, {}).status == 405


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"revenue":1e400}', "0x80044330"),
        (b'{"name":"\xff"}', "0x80048d19"),
        (b'{"name":1', "0x80048d19"),
        (b"", "0x80048d19"),
        (b'{"numberofemployees":99999999999999999999999}', "0x80048d19"),
        (b'{"contoso_nextdelivery":"0001-01-01T00:00:00+14:00"}', "0x80048d19"),
    ],
    ids=["beyond floats", "no UTF-8", "cut off", "nothing", "beyond integers", "before the calendar"],
)
def test_extreme_bodies_never_break_the_service(empty, content, code):
    answer = empty.send("POST", "accounts", content)
    assert (answer.status, answer.error) == (400, code)
