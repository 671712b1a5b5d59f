"""Writes that would not do what was meant: refused, with what to do, before anything is sent."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, WriteOptions, errors

NEW = "00000000-0000-4000-8000-0000000000a1"
CLOSED = {"name": "A", "statecode": 1, "statuscode": 2}


@pytest.fixture
def client(emulator, clock):
    credential = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as made:
        yield made


@pytest.fixture
def accounts(emulator):
    """Return the ids of accounts."""
    return [row["accountid"] for row in emulator.rows("account")]


@pytest.fixture
def contacts(emulator):
    return [row["contactid"] for row in emulator.rows("contact")]


def written(emulator):
    return [found.path for found in emulator.requests if found.method != "GET" and "/api/" in found.path]


@pytest.mark.parametrize(
    ("given", "more", "words"),
    [
        (("creat", "account", {"name": "A"}), {}, "no operation.*create, update"),
        (("delete", "account", NEW), {}, "row is a str.*row_id_or_key"),
        (("create", "account", {"name": "A"}, NEW), {}, "not named by an id"),
        (("create", "account", {"name": "A"}), {"if_match": 'W/"1"'}, "does not go with create"),
        (("upsert", "account", {"name": "A"}, NEW), {"if_match": 'W/"1"'}, "does not go with upsert"),
        (("update", "account", {"name": "A"}, NEW), {"if_match": "4711"}, "no etag.*@odata.etag"),
        (("delete", "account", None, NEW), {"if_match": 'W/"1"\r\nX: y'}, "no etag"),
        (("create", "account", CLOSED), {}, "cannot be given its statecode.*change set"),
        (("update", "account", {"name": "A"}), {}, "not a row id"),
    ],
)
def test_a_request_that_cannot_do_what_it_says_is_none(client, given, more, words):
    with pytest.raises(errors.BadRequest, match=words):
        client.request(*given, **more)


def test_a_state_inside_a_row_is_refused_for_dataverse_would_leave_it_out(client, emulator):
    row = {"name": "A", "contact_customer_accounts": [{"lastname": "B", "statecode": 1}]}
    with pytest.raises(errors.BadRequest, match="contact cannot be given its statecode"):
        client.create("account", row)
    assert written(emulator) == []


@pytest.mark.parametrize("state", [None, 0])
def test_a_state_that_new_rows_have_anyway_is_no_harm(client, state):
    assert (
        client.batch([client.request("create", "account", {"name": "A", "statecode": state})])[0].error
        is None
    )


@pytest.mark.parametrize("bound_to", [(), ("account",), (1, 2), 7, {"account": NEW}])
def test_what_an_action_is_called_on_is_a_table_or_a_row(client, bound_to):
    with pytest.raises(errors.BadRequest, match="bound_to is"):
        client.action("WinOpportunity", {}, bound_to=bound_to)


@pytest.mark.parametrize(
    ("close", "words"),
    [
        ({"subjec": "Won"}, "OpportunityClose.*no column 'subjec'. Did you mean 'subject'"),
        ({"subject": "Won", "opportunityid": {"nam": "New"}}, "opportunity has no column 'nam'"),
    ],
)
def test_the_columns_of_a_row_that_is_a_parameter_are_checked(client, emulator, close, words):
    with pytest.raises(errors.BadRequest, match=words):
        client.action("WinOpportunity", {"Status": 3, "OpportunityClose": close})
    assert written(emulator) == []


def test_a_lookup_takes_what_an_earlier_request_makes(client, emulator):
    both = [
        client.request("create", "contact", {"lastname": "First"}, content_id="who"),
        client.request("create", "account", {"name": "With contact", "primarycontactid": "$who"}),
    ]
    assert [outcome.error for outcome in client.batch(both, changeset=True)] == [None, None]
    [account] = [row for row in emulator.rows("account") if row["name"] == "With contact"]
    [contact] = [row for row in emulator.rows("contact") if row["lastname"] == "First"]
    assert account["_primarycontactid_value"] == contact["contactid"]


@pytest.mark.parametrize(
    "value", ["O'Neil", "ü 解", "a b", "x#y", "a,b)(", "a=b", "$1", "''", '"', "é\u0301", "{0}"]
)
def test_keys_of_any_letters_name_their_row(client, contacts, value):
    key = {"accountnumber": value}
    made = client.upsert("account", key, {"name": "Odd"}).row_id
    client.update("account", key, {"telephone1": "1"})
    client.set_property("account", key, "fax", "2")
    client.associate("account", key, "primarycontactid", contacts[0])
    assert client.batch([client.request("update", "account", {"description": "3"}, key)])[0].error is None
    row = client.get(
        "account", key, ["accountnumber", "telephone1", "fax", "description", "primarycontactid"]
    )
    assert (row["accountnumber"], row["telephone1"], row["fax"], row["description"]) == (value, "1", "2", "3")
    lead = client.create("lead", {"lastname": "New", "subject": "Belts"})
    assert client.associate("lead", lead, "accountleads_association", key) is True
    client.disassociate("lead", lead, "accountleads_association", key)
    assert client.associate("lead", lead, "accountleads_association", made) is True
    client.delete("account", key)
    with pytest.raises(errors.RowNotFound):
        client.get("account", made)


# -- options


def test_options_go_with_their_request_and_with_no_other(client, emulator, accounts):
    user = next(row for row in emulator.rows("systemuser") if row.get("azureactivedirectoryobjectid"))
    other = WriteOptions(
        caller_object_id=user["azureactivedirectoryobjectid"],
        bypass_flows=True,
        detect_duplicates=True,
        tag="ü & 1",
    )
    row, plain = accounts[0], {"telephone1": "1"}
    lead = client.create("lead", {"lastname": "New", "subject": "Belts"})
    before = len(list(emulator.requests))
    client.create("account", {"name": "Odd one"}, options=other)
    client.update("account", row, plain, options=other)
    client.upsert("account", row, plain, options=other)
    client.set_property("account", row, "fax", "1", options=other)
    client.clear_property("account", row, "fax", options=other)
    client.associate("lead", lead, "accountleads_association", row, options=other)
    client.disassociate("lead", lead, "accountleads_association", row, options=other)
    client.merge("account", row, accounts[1], options=other)
    client.delete("account", accounts[1], options=other)
    client.create("account", {"name": "Closed one", "statecode": 1, "statuscode": 2}, options=other)
    done = [found for found in list(emulator.requests)[before:] if found.method != "GET"]
    assert len(done) == 10
    for found in done:
        assert found.headers["callerobjectid"] == other.caller_object_id, found.path
        if "$batch" in found.path:
            continue
        assert found.headers["mscrm.suppresscallbackregistrationexpanderjob"] == "true"
        assert found.headers["mscrm.suppressduplicatedetection"] == "false"
        assert "tag=%C3%BC%20%26%201" in found.query, found.path
    client.update("account", row, plain)
    last = list(emulator.requests)[-1]
    assert "callerobjectid" not in last.headers
    assert "tag" not in last.query


def test_a_user_whom_only_some_of_a_batch_act_for_is_not_named_for_all_of_it(client, emulator, accounts):
    user = next(row for row in emulator.rows("systemuser") if row.get("azureactivedirectoryobjectid"))
    other = WriteOptions(caller_object_id=user["azureactivedirectoryobjectid"])
    client.batch(
        [
            client.request("update", "account", {"fax": "1"}, accounts[0], options=other),
            client.request("update", "account", {"fax": "1"}, accounts[1]),
        ]
    )
    assert "callerobjectid" not in list(emulator.requests)[-1].headers
    changed = {row["accountid"]: row["_modifiedby_value"] for row in emulator.rows("account")}
    assert changed[accounts[0]] == user["systemuserid"] != changed[accounts[1]]


def test_a_user_who_is_not_known_is_named_as_the_one_to_act_for(client, accounts):
    with pytest.raises(errors.Forbidden, match=f"caller_object_id {NEW} names nobody") as caught:
        client.update("account", accounts[0], {"fax": "1"}, options=WriteOptions(caller_object_id=NEW))
    assert "application user" not in str(caught.value)


def test_the_owner_of_a_row_may_be_a_user_or_a_team_and_the_advice_says_so(client):
    with pytest.raises(errors.BadRequest) as caught:
        client.create("account", {"name": "A", "ownerid": NEW})
    assert str(caught.value).count("'ownerid@odata.bind'") == 1
    assert "/systemusers(<row id>)" in str(caught.value)


def test_a_parameter_that_may_be_a_secret_is_not_shown(client, emulator):
    emulator.custom_api(
        "contoso_Open", lambda _: None, parameters={"Password": "Edm.Int32", "Size": "Edm.Int32"}
    )
    with pytest.raises(errors.BadRequest, match="'Password' is a str; it takes") as caught:
        client.action("contoso_Open", {"Password": "hunter2", "Size": 1})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(errors.BadRequest, match="'Size' is a str, 'big'"):
        client.action("contoso_Open", {"Password": 1, "Size": "big"})


def test_an_unknown_parameter_is_answered_in_whole_sentences(client):
    with pytest.raises(
        errors.BadRequest, match=r"no parameter 'Targ'\. Did you mean 'Target'\? Its parameters:"
    ):
        client.function("RetrievePrincipalAccess", {"Targ": ("account", NEW)}, bound_to=("systemuser", NEW))
