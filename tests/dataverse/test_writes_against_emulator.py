"""Everything that writes single rows, against a service that keeps to its own rules."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import ChangeSet, Client, Query, Request, WriteOptions, errors

NEW = "00000000-0000-4000-8000-0000000000a1"
MISSING = "00000000-0000-0000-0000-00000000dead"


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


def sent(emulator, method):
    return [found for found in emulator.requests if found.method == method and "/api/data" in found.path]


def named(client, text):
    return [
        row["name"] for row in client.rows(Query("account", ["name"], filter=f"startswith(name,'{text}')"))
    ]


# -- rows


def test_a_row_is_created_in_a_state_that_new_rows_cannot_have(client):
    row_id = client.create("account", {"name": "Old", "statecode": 1, "statuscode": 2})
    row = client.get("account", row_id, ["name", "statecode", "statuscode"])
    assert (row["name"], row["statecode"], row["statuscode"]) == ("Old", 1, 2)


def test_columns_owner_and_state_are_changed_in_one_update(client, emulator, accounts):
    user = emulator.rows("systemuser")[0]["systemuserid"]
    client.update(
        "account",
        accounts[0],
        {"name": "Moved", "ownerid@odata.bind": f"/systemusers({user})", "statecode": 1, "statuscode": 2},
    )
    row = client.get("account", accounts[0], ["name", "ownerid", "statecode"])
    assert (row["name"], row["_ownerid_value"], row["statecode"]) == ("Moved", user, 1)


def test_an_upsert_sets_the_state_of_a_new_row_and_of_one_that_exists(client):
    given = {"name": "U", "statecode": 1, "statuscode": 2}
    assert client.upsert("account", NEW, given).created is True
    assert client.get("account", NEW, ["statecode"])["statecode"] == 1
    assert client.upsert("account", NEW, {"statecode": 0, "statuscode": 1}).created is False
    assert client.get("account", NEW, ["statecode"])["statecode"] == 0


def test_rows_inside_a_row_are_created_with_it(client):
    row_id = client.create(
        "account",
        {
            "name": "Deep",
            "primarycontactid": {"lastname": "First"},
            "contact_customer_accounts": [{"lastname": "Second"}, {"lastname": "Third"}],
        },
    )
    row = client.get(
        *("account", row_id, ["name"]),
        expand="primarycontactid($select=lastname),contact_customer_accounts($select=lastname)",
    )
    assert row["primarycontactid"]["lastname"] == "First"
    assert {one["lastname"] for one in row["contact_customer_accounts"]} >= {"Second", "Third"}


def test_a_blank_clears_a_column_or_is_left_out(client, accounts):
    client.update("account", accounts[0], {"telephone1": "1", "fax": "2"})
    client.update("account", accounts[0], {"telephone1": None, "fax": ""}, blank="skip")
    assert client.get("account", accounts[0], ["telephone1", "fax"])["fax"] == "2"
    client.update("account", accounts[0], {"telephone1": None})
    assert client.get("account", accounts[0], ["telephone1"])["telephone1"] is None


def test_a_row_is_deleted_only_while_it_is_as_it_was_read(client, accounts):
    etag = client.get("account", accounts[0], ["name"])["@odata.etag"]
    client.update("account", accounts[0], {"name": "Changed"})
    with pytest.raises(errors.ConcurrencyMismatch):
        client.delete("account", accounts[0], if_match=etag)
    client.delete("account", accounts[0], if_match=client.get("account", accounts[0])["@odata.etag"])


def test_one_column_is_written_and_cleared(client, accounts):
    client.set_property("account", accounts[0], "telephone1", "0123")
    assert client.get("account", accounts[0], ["telephone1"])["telephone1"] == "0123"
    client.clear_property("account", accounts[0], "telephone1")
    assert client.get("account", accounts[0], ["telephone1"])["telephone1"] is None


@pytest.mark.parametrize(
    ("column", "kind", "words"),
    [
        ("primarycontactid", errors.BadRequest, "is a lookup"),
        ("createdon", errors.BadRequest, "cannot be changed"),
        ("telefone1", errors.UnknownColumn, "telephone1"),
    ],
)
def test_a_column_that_cannot_be_written_alone_is_refused_before_anything_is_sent(  # noqa: PLR0917 - a table
    client, emulator, accounts, column, kind, words
):
    with pytest.raises(kind, match=words):
        client.set_property("account", accounts[0], column, "x")
    assert not sent(emulator, "PUT")


def test_a_column_of_a_row_that_is_not_there_is_not_written(client):
    with pytest.raises(errors.RowNotFound):
        client.set_property("account", MISSING, "name", "x")


def test_options_reach_the_service_as_documented(client, emulator, accounts):
    steps = ["45e0c603-0d0b-466e-a286-d7fc1cda8361", "d5370603-e4b9-4b92-b765-5966492a4fd7"]
    options = WriteOptions(
        bypass_business_logic="all", bypass_steps=steps, bypass_flows=True, solution="mine", tag="load 1"
    )
    client.update("account", accounts[0], {"name": "Quiet"}, options=options)
    [request] = sent(emulator, "PATCH")
    assert request.headers["mscrm.bypassbusinesslogicexecution"] == "CustomSync,CustomAsync"
    assert request.headers["mscrm.bypassbusinesslogicexecutionstepids"] == ",".join(steps)
    assert request.headers["mscrm.suppresscallbackregistrationexpanderjob"] == "true"
    assert request.headers["mscrm.solutionuniquename"] == "mine"
    assert "tag=load%201" in request.query


# -- ties


def test_a_lookup_is_tied_and_untied(client, accounts, contacts):
    assert client.associate("account", accounts[0], "primarycontactid", contacts[0])
    row = client.get("account", accounts[0], ["primarycontactid"])
    assert row["_primarycontactid_value"] == contacts[0]
    client.disassociate("account", accounts[0], "primarycontactid")
    assert client.get("account", accounts[0], ["primarycontactid"])["_primarycontactid_value"] is None


def test_a_row_is_put_into_a_collection_and_taken_out(client, accounts, contacts):
    def parent():
        return client.get("contact", contacts[0], ["parentcustomerid"])["_parentcustomerid_value"]

    client.associate("account", accounts[1], "contact_customer_accounts", contacts[0])
    assert parent() == accounts[1]
    client.disassociate("account", accounts[1], "contact_customer_accounts", contacts[0])
    assert parent() is None


def test_a_lookup_into_several_tables_is_tied_when_the_table_is_said(client, accounts, contacts):
    with pytest.raises(errors.BadRequest, match="account, contact"):
        client.associate("contact", contacts[0], "parentcustomerid", accounts[0])
    client.associate("contact", contacts[0], "parentcustomerid", accounts[0], other_table="account")
    assert client.get("contact", contacts[0])["_parentcustomerid_value"] == accounts[0]


def test_what_is_tied_twice_is_tied_once(client, emulator, accounts, contacts):
    assert client.associate("account", accounts[0], "contact_customer_accounts", contacts[0])
    client.associate("account", accounts[0], "contact_customer_accounts", contacts[0])
    found = [row for row in emulator.rows("contact") if row["contactid"] == contacts[0]]
    assert found[0]["_parentcustomerid_value"] == accounts[0]


def test_a_tie_by_a_wrong_name_names_the_nearest(client, accounts, contacts):
    with pytest.raises(errors.UnknownColumn, match="contact_customer_accounts"):
        client.associate("account", accounts[0], "contact_customer_account", contacts[0])


def test_a_collection_is_untied_only_from_a_row(client, accounts):
    with pytest.raises(errors.BadRequest, match="holds many rows"):
        client.disassociate("account", accounts[0], "contact_customer_accounts")


# -- merge


def test_two_rows_are_merged_once(client, emulator, accounts):
    assert client.merge("account", accounts[0], accounts[1], {"telephone1": "555"})
    assert client.get("account", accounts[0], ["telephone1"])["telephone1"] == "555"
    assert client.get("account", accounts[1], ["statecode"])["statecode"] == 1
    before = len(sent(emulator, "POST"))
    assert client.merge("account", accounts[0], accounts[1]) is False
    assert len(sent(emulator, "POST")) == before


@pytest.mark.parametrize(("table", "words"), [("task", "cannot be merged"), ("account", "with itself")])
def test_what_cannot_be_merged_is_refused(client, accounts, table, words):
    with pytest.raises(errors.BadRequest, match=words):
        client.merge(table, accounts[0], accounts[0])


# -- actions and functions


def test_an_action_of_the_service_is_carried_out(client, emulator):
    opportunity = next(row for row in emulator.rows("opportunity") if row["statecode"] == 0)
    row_id = opportunity["opportunityid"]
    won = {"Status": 3, "OpportunityClose": {"subject": "Won", "opportunityid": row_id}}
    assert client.action("WinOpportunity", won) is None
    assert client.get("opportunity", row_id, ["statecode"])["statecode"] == 1


def test_a_function_bound_to_a_row_answers(client, emulator, accounts):
    user = emulator.rows("systemuser")[0]["systemuserid"]
    found = client.function(
        "RetrievePrincipalAccess", {"Target": ("account", accounts[0])}, bound_to=("systemuser", user)
    )
    assert "ReadAccess" in found["AccessRights"]


def test_a_mistyped_action_is_not_sent(client, emulator):
    with pytest.raises(errors.UnknownOperation, match="Did you mean 'WinOpportunity'"):
        client.action("WinOpportunityy", {})
    assert not sent(emulator, "POST")


# -- change sets


def test_rows_that_depend_on_each_other_are_made_in_one_transaction(client):
    outcomes = client.batch(
        [
            client.request("create", "account", {"name": "CS1"}, content_id="account"),
            Request("PUT", "$account/name", body=b'{"value": "CS2"}'),
            client.request(
                "create", "contact", {"lastname": "X", "parentcustomerid_account@odata.bind": "$account"}
            ),
        ],
        changeset=True,
    )
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert named(client, "CS") == ["CS2"]


def test_a_refused_change_set_leaves_nothing_behind_while_others_land(client):
    refused = ChangeSet(
        [
            client.request("create", "account", {"name": "Half"}),
            client.request("create", "account", {"name": "Half" * 100}),
        ]
    )
    alone = client.request("create", "account", {"name": "Whole"})

    first, second, third = client.batch([refused, alone], continue_on_error=True)

    assert first.error.code == second.error.code == "0x80044331"
    assert third.error is None
    assert (named(client, "Half"), named(client, "Whole")) == ([], ["Whole"])


def test_a_batch_that_stops_leaves_what_was_before(client):
    requests = [client.request("create", "account", {"name": name}) for name in ("S1", "S2" * 100, "S3")]
    with pytest.raises(errors.BadRequest):
        client.batch(requests, continue_on_error=False)
    assert named(client, "S1") == ["S1"]
    assert named(client, "S3") == []


def test_every_single_operation_can_stand_in_a_batch(client, accounts):
    outcomes = client.batch(
        [
            client.request("update", "account", {"name": "Batch 1"}, accounts[0]),
            client.request("upsert", "account", {"name": "Batch 2"}, NEW),
            client.request("update", "account", {"accountid": accounts[1], "name": "Batch 3"}),
            client.request("delete", "account", row_id_or_key=accounts[2]),
            client.request("update", "account", {"name": "Batch 4"}, MISSING),
        ]
    )
    assert [outcome.error is None for outcome in outcomes] == [True, True, True, True, False]
    assert sorted(named(client, "Batch ")) == ["Batch 1", "Batch 2", "Batch 3"]


# -- the environment's own logic


def test_a_custom_api_is_called_with_every_kind_of_parameter(client, emulator, accounts):
    given = {}

    def answer(parameters):
        given.update(parameters)
        return {"Total": 7, "Lines": ["a", "b"]}

    emulator.custom_api(
        "contoso_Ship",
        answer,
        parameters={
            "Weight": "Edm.Decimal",
            "When": "Edm.DateTimeOffset",
            "Names": "Collection(Edm.String)",
            "Receiver": "mscrm.contact",
        },
        optional=["When"],
        result={"Total": "Edm.Int32", "Lines": "Collection(Edm.String)"},
        bound_to="account",
    )
    contact = emulator.rows("contact")[0]["contactid"]
    found = client.action(
        "contoso_Ship",
        {"Weight": Decimal("1.50"), "Names": ["x"], "Receiver": ("contact", contact)},
        bound_to=("account", accounts[0]),
    )
    assert found == {"Total": 7, "Lines": ["a", "b"]}
    assert given["Receiver"]["contactid"] == contact


def test_a_custom_function_answers_a_single_value(client, emulator):
    emulator.custom_api(
        "contoso_Rate",
        lambda _: {"Rate": 1.5},
        parameters={"Currency": "Edm.String"},
        result={"Rate": "Edm.Double"},
        is_function=True,
    )
    assert float(client.function("contoso_Rate", {"Currency": "O'Euro & more"})["Rate"]) == 1.5


def test_a_custom_api_that_refuses_is_the_environments_own_logic(client, emulator):
    def refuse(_):
        raise RuntimeError("Not on Sundays")

    emulator.custom_api("contoso_Open", refuse)
    with pytest.raises(errors.PluginRefused, match="Not on Sundays"):
        client.action("contoso_Open")


def test_a_duplicate_is_refused_only_when_it_is_looked_for(client, emulator):
    name = emulator.rows("account")[0]["name"]
    with pytest.raises(errors.Conflict) as caught:
        client.create("account", {"name": name}, options=WriteOptions(detect_duplicates=True))
    assert caught.value.code == "0x80040333"
    assert client.create("account", {"name": name})


def test_a_plugin_is_passed_by_with_the_option_and_the_privilege(client, emulator, accounts):
    emulator.fault("plugin", table="account", message="Update", text="No changes today.")
    with pytest.raises(errors.PluginRefused, match="No changes today"):
        client.update("account", accounts[0], {"name": "A"})
    quiet = WriteOptions(bypass_business_logic="sync")
    client.update("account", accounts[0], {"name": "A"}, options=quiet)
    emulator.sign_ins.take_privilege("prvBypassCustomBusinessLogic")
    with pytest.raises(errors.Forbidden, match="prvBypassCustomBusinessLogic"):
        client.update("account", accounts[0], {"name": "A"}, options=quiet)


# -- answers that are lost


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_row_with_a_state_is_made_once_although_the_answer_is_lost(client, emulator, when):
    emulator.fault("reset", when=when, count=1, path=r"\$batch")
    client.create("account", {"name": "Lost", "statecode": 1, "statuscode": 2})
    assert [row["statecode"] for row in emulator.rows("account") if row["name"] == "Lost"] == [1]
    assert len([found for found in emulator.requests if found.path.endswith("$batch")]) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_tie_a_column_and_a_deletion_are_repeated_without_harm(client, emulator, accounts, contacts, when):
    def once():
        emulator.fault("reset", when=when, count=1, path="/accounts")

    once()
    client.associate("account", accounts[0], "contact_customer_accounts", contacts[0])
    once()
    client.set_property("account", accounts[0], "name", "Again")
    once()
    client.disassociate("account", accounts[0], "contact_customer_accounts", contacts[0])
    assert named(client, "Again") == ["Again"]
    once()
    client.delete("account", accounts[-1])
    assert accounts[-1] not in {row["accountid"] for row in emulator.rows("account")}


def test_an_action_whose_answer_is_lost_is_not_sent_again(client, emulator):
    calls = []
    emulator.custom_api("contoso_Pay", lambda _: calls.append(1))
    client.function("WhoAmI")  # which reads $metadata
    emulator.fault("reset", when="after", count=1, path="contoso_Pay")
    with pytest.raises(errors.Unreachable):
        client.action("contoso_Pay")
    assert len(calls) == 1
    emulator.fault("reset", when="after", count=1, path="contoso_Pay")
    client.action("contoso_Pay", repeatable=True)
    assert len(calls) == 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_set_of_changes_survives_a_lost_answer(client, emulator, accounts, when):
    emulator.fault("reset", when=when, count=1, path=r"\$batch")
    client.batch(
        [client.request("update", "account", {"name": f"Both {i}"}, accounts[i]) for i in (0, 1)],
        changeset=True,
    )
    assert len([found for found in emulator.requests if found.path.endswith("$batch")]) == 2
    assert sorted(named(client, "Both")) == ["Both 0", "Both 1"]


def test_a_tie_of_many_to_many_says_whether_it_is_new_and_is_undone(client, accounts):
    lead = client.create("lead", {"lastname": "New", "subject": "Belts"})
    tie = ("account", accounts[0], "accountleads_association", lead)
    assert client.associate(*tie) is True
    assert client.associate(*tie) is False
    client.disassociate(*tie)
    assert client.associate(*tie) is True
