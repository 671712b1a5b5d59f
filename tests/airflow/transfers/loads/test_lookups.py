"""Lookups by another table's key, against the emulator: found, missing, ambiguous, created exactly once."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.transfers.loads.coming import Coming
from airflow_provider_dynamics.transfers.loads.finder import Finder
from airflow_provider_dynamics.transfers.loads.lookup_keys import (
    Lookup,
    TargetKey,
    check_lookups,
    read_lookups,
)
from airflow_provider_dynamics.transfers.loads.lookups import Lookups
from airflow_provider_dynamics.transfers.loads.row import LoadRow

EMAIL = {"primarycontactid": "contact.emailaddress1"}
CUSTOMER = {"parentcustomerid": ["account.accountnumber", "contact.emailaddress1"]}


@pytest.fixture
def make_client(emulator):
    made = []

    def make():
        credential = ClientSecret(
            emulator.tenant_id,
            emulator.client_id,
            emulator.client_secret,
            authority=Authority(url=emulator.url),
        )
        made.append(Client(emulator.url, credential, ca_bundle=emulator.ca_bundle))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client):
    return make_client()


def rows_of(*values):
    return [LoadRow(number, "in.csv", dict(one), dict(one)) for number, one in enumerate(values, 1)]


def stage(client, table, given, names, on_missing="reject", **options):
    whole = client.table(table)
    lookups = check_lookups(client, whole, given, names, on_missing)
    return Lookups(client, whole, lookups, on_missing=on_missing, **options)


def resolved(client, table, given, *values, on_missing="reject", **options):
    """Return the values of rows after their lookups, or the reason they are refused for."""
    names = list({name: None for one in values for name in one})
    rows = rows_of(*values)
    stage(client, table, given, names, on_missing, **options)(rows)
    return [row.reject.message if row.reject else row.values for row in rows]


def coming(client, *numbers):
    """Return what a plan knows of accounts that it would make."""
    known = Coming([TargetKey("account", ("accountnumber",))])
    for row in rows_of(*({"accountnumber": number} for number in numbers)):
        known.note(client.table("account"), row)
    return known


def finds(emulator, table="contact"):
    return [found for found in emulator.requests if found.method == "GET" and f"/{table}s" in found.path]


def contact(client, **values):
    return client.create("contact", {"lastname": "Any", **values})


def test_a_value_becomes_the_id_of_the_row_that_has_it(client):
    anna, bert = contact(client, emailaddress1="Anna@x.test"), contact(client, emailaddress1="bert@x.test")

    found = resolved(
        client,
        "account",
        EMAIL,
        {"name": "A", "primarycontactid": "anna@X.test "},
        {"name": "B", "primarycontactid": "bert@x.test"},
        {"name": "C", "primarycontactid": ""},
        {"name": "D", "primarycontactid": None},
        {"name": "E"},
    )

    assert found == [
        {"name": "A", "primarycontactid": anna},
        {"name": "B", "primarycontactid": bert},
        {"name": "C", "primarycontactid": None},
        {"name": "D", "primarycontactid": None},
        {"name": "E"},
    ]


def test_a_batch_is_looked_up_in_one_request_and_remembered(client, emulator):
    made = [contact(client, emailaddress1=f"p{n}@x.test") for n in range(5)]
    work = stage(client, "account", EMAIL, ["primarycontactid"])
    before = len(finds(emulator))

    for _ in range(3):
        rows = rows_of(*({"primarycontactid": f"p{n % 5}@x.test"} for n in range(100)))
        work(rows)
        assert [row.values["primarycontactid"] for row in rows] == made * 20

    assert len(finds(emulator)) - before == 1


def test_no_more_is_remembered_than_allowed(client, emulator):
    [key] = read_lookups(EMAIL)[0].keys
    for n in range(6):
        contact(client, emailaddress1=f"p{n}@x.test")
    finder = Finder(client, key, remembered=3)
    finder.find([(f"p{n}@x.test",) for n in range(6)])
    before = len(finds(emulator))

    assert all(found.count == 1 for found in finder.find([(f"p{n}@x.test",) for n in range(3, 6)]).values())
    assert len(finds(emulator)) == before
    finder.find([("p0@x.test",)])
    assert len(finds(emulator)) == before + 1


def test_a_row_that_is_not_there_refuses_what_points_to_it(client):
    [said] = resolved(client, "account", EMAIL, {"primarycontactid": "nobody@x.test"})
    assert (
        said == "The lookup primarycontactid: there is no row of contact with emailaddress1 'nobody@x.test'."
    )


def test_a_value_of_several_rows_is_refused_with_their_number(client):
    for _ in range(3):
        contact(client, lastname="Meier-Test")
    [said] = resolved(
        client, "account", {"primarycontactid": "contact.lastname"}, {"primarycontactid": "meier-test"}
    )
    assert said == (
        "The lookup primarycontactid: there are 3 rows of contact with lastname 'meier-test', and it can point to one only."
    )


def test_a_refusal_names_row_table_and_column(client):
    rows = rows_of({"name": "A", "primarycontactid": "nobody@x.test"})
    stage(client, "account", EMAIL, ["name", "primarycontactid"])(rows)
    reject = rows[0].reject
    assert (reject.row, reject.file, reject.table, reject.column) == (
        1,
        "in.csv",
        "account",
        "primarycontactid",
    )
    assert reject.data == {"name": "A", "primarycontactid": "nobody@x.test"}


def test_rows_that_are_refused_already_are_left_alone(client, emulator):
    rows = rows_of({"primarycontactid": "x@x.test"}, {"primarycontactid": "x@x.test"})
    rows[0].reject, rows[1].unchanged = object(), True
    before = len(emulator.requests)
    work = stage(client, "account", EMAIL, ["primarycontactid"])
    before = len(emulator.requests)
    work(rows)
    assert rows[0].values == rows[1].values == {"primarycontactid": "x@x.test"}
    assert len(emulator.requests) == before


def test_a_key_of_several_columns_is_taken_from_the_parts_of_the_lookup(client):
    wanted = contact(client, firstname="Ada", lastname="Lovelace-Test")
    contact(client, firstname="Eve", lastname="Lovelace-Test")
    found = resolved(
        client,
        "account",
        {"primarycontactid": "contact.firstname+lastname"},
        {"primarycontactid.firstname": "ADA", "primarycontactid.lastname": "Lovelace-Test"},
        {"primarycontactid.firstname": None, "primarycontactid.lastname": ""},
        {"primarycontactid.firstname": "Bob", "primarycontactid.lastname": None},
    )
    assert found == [
        {"primarycontactid": wanted},
        {"primarycontactid": None},
        "The lookup primarycontactid: there is no row of contact with firstname 'Bob', lastname empty.",
    ]


def test_a_lookup_to_several_tables_is_bound_to_the_one_that_has_the_row(client):
    person = contact(client, emailaddress1="c@x.test")
    company = client.create("account", {"name": "C", "accountnumber": "C-1"})
    found = resolved(
        client,
        "contact",
        CUSTOMER,
        {"parentcustomerid": "c-1"},
        {"parentcustomerid": "c@x.test"},
        {"parentcustomerid": "x"},
    )
    assert found == [
        {"parentcustomerid_account@odata.bind": f"/accounts({company})"},
        {"parentcustomerid_contact@odata.bind": f"/contacts({person})"},
        (
            "The lookup parentcustomerid: there is no row of account with accountnumber 'x' or of contact with "
            "emailaddress1 'x'."
        ),
    ]


def test_rows_of_two_tables_are_ambiguous_unless_a_column_names_the_table(client):
    person = contact(client, emailaddress1="same")
    client.create("account", {"name": "C", "accountnumber": "same"})
    both = {"parentcustomerid": "same", "parentcustomerid.table": None}
    named = {"parentcustomerid": "same", "parentcustomerid.table": "Contact"}
    wrong = {"parentcustomerid": "same", "parentcustomerid.table": "lead"}
    found = resolved(client, "contact", CUSTOMER, both, named, wrong)
    assert "there are 2 rows of account with accountnumber 'same' or of contact" in found[0]
    assert found[1] == {"parentcustomerid_contact@odata.bind": f"/contacts({person})"}
    assert found[2] == (
        "The lookup parentcustomerid: parentcustomerid.table is 'lead'; it must be one of account, contact."
    )


def test_owners_are_found_among_users_and_teams(client, emulator):
    user = next(one for one in emulator.rows("systemuser") if one.get("domainname"))
    [found] = resolved(
        client,
        "account",
        {"ownerid": ["systemuser.domainname", "team.name"]},
        {"ownerid": user["domainname"]},
    )
    assert found == {"ownerid@odata.bind": f"/systemusers({user['systemuserid']})"}


def test_a_bare_table_means_its_row_id(client):
    person = contact(client)
    given = {"parentcustomerid": ["account", "contact"]}
    gone = str(uuid.uuid4())
    found = resolved(
        client, "contact", given, {"parentcustomerid": person.upper()}, {"parentcustomerid": gone}
    )
    assert found[0] == {"parentcustomerid_contact@odata.bind": f"/contacts({person})"}
    assert "no row of account with id" in found[1]


def test_a_lookup_of_the_key_stays_under_its_column(client):
    company = client.create("account", {"name": "C", "accountnumber": "C-1"})
    [found] = resolved(client, "contact", CUSTOMER, {"parentcustomerid": "C-1"}, key=["parentcustomerid"])
    assert found == {"parentcustomerid": company}


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}])
def test_several_values_in_one_field_are_refused(client, value):
    [said] = resolved(client, "account", EMAIL, {"primarycontactid": value})
    assert said == "The lookup primarycontactid: primarycontactid holds several values."


def test_missing_rows_may_be_left_out(client):
    work = stage(client, "account", EMAIL, ["primarycontactid"], "null")
    rows = rows_of({"primarycontactid": "nobody@x.test"}, {"primarycontactid": "no@x.test"})
    work(rows)
    assert [row.values for row in rows] == [{"primarycontactid": None}] * 2
    assert work.left_out == 2


# -- creating what is missing


def test_a_missing_row_is_created_once_for_all_that_point_to_it(client, emulator):
    work = stage(client, "account", EMAIL, ["primarycontactid"], "create")
    rows = rows_of(
        *({"primarycontactid": text} for text in ["new@x.test", "NEW@x.test ", "new@X.test", "other@x.test"])
    )

    work(rows)

    made = {
        row["emailaddress1"]: row["contactid"]
        for row in emulator.rows("contact")
        if "@x.test" in str(row["emailaddress1"])
    }
    assert len(made) == 2
    assert {row.values["primarycontactid"] for row in rows[:3]} == {made["new@x.test"]}
    assert work.created == {"contact": 2}


def test_whoever_creates_a_row_at_the_same_time_gets_the_same_one(make_client, emulator):
    at_once = threading.Barrier(4, timeout=30)
    texts = [f"p{n}@x.test" for n in range(20)]

    def load(client):
        work = stage(client, "account", EMAIL, ["primarycontactid"], "create")
        rows = rows_of(*({"primarycontactid": text} for text in texts))
        at_once.wait()
        work(rows)
        return [row.reject.message if row.reject else row.values["primarycontactid"] for row in rows]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(load, [make_client() for _ in range(4)])

    made = {row["emailaddress1"]: row["contactid"] for row in emulator.rows("contact")}
    assert [made[text] for text in texts] == first
    assert all(other == first for other in others)
    assert sum("@x.test" in str(row["emailaddress1"]) for row in emulator.rows("contact")) == len(texts)


def test_threads_of_one_load_create_a_row_once(client, emulator):
    work = stage(client, "account", {"primarycontactid": "contact.lastname"}, ["primarycontactid"], "create")
    batches = [rows_of(*({"primarycontactid": f"Nobody {n % 7}"} for n in range(50))) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, batches))
    assert sum(str(row["lastname"]).startswith("Nobody") for row in emulator.rows("contact")) == 7
    assert work.created == {"contact": 7}


def test_a_row_that_was_created_and_changed_since_is_not_taken_for_another(client, emulator):
    [first] = resolved(client, "account", EMAIL, {"primarycontactid": "typo@x.test"}, on_missing="create")
    client.update("contact", first["primarycontactid"], {"emailaddress1": "right@x.test"})
    [said] = resolved(client, "account", EMAIL, {"primarycontactid": "typo@x.test"}, on_missing="create")
    assert "none could be created: the row that was once created for it has another value now" in said
    assert sum("@x.test" in str(row["emailaddress1"]) for row in emulator.rows("contact")) == 1


def test_a_row_that_cannot_be_created_refuses_what_points_to_it_with_the_reason(client):
    given = {"primarycontactid": "contact.numberofchildren"}
    found = resolved(client, "account", given, {"primarycontactid": "many"}, on_missing="create")
    assert found == [
        (
            "The lookup primarycontactid: there is no row of contact with numberofchildren 'many', and none could be created: "
            "'many' is not a number."
        )
    ]


def test_values_are_created_in_the_type_of_their_column(client, emulator):
    given = {"primarycontactid": "contact.numberofchildren+lastname"}
    [found] = resolved(
        client,
        "account",
        given,
        {"primarycontactid.numberofchildren": "93", "primarycontactid.lastname": "Of many"},
        on_missing="create",
    )
    row = next(one for one in emulator.rows("contact") if one["contactid"] == found["primarycontactid"])
    assert (row["numberofchildren"], row["lastname"]) == (93, "Of many")


def test_numbers_are_looked_up_by_their_value(client):
    person = contact(client, numberofchildren=97)
    given = {"primarycontactid": "contact.numberofchildren"}
    found = resolved(
        client, "account", given, *({"primarycontactid": text} for text in ("097", "97.0", 97, 97.0))
    )
    assert found == [{"primarycontactid": person}] * 4


def test_nothing_is_created_where_it_is_not_said_of_which_table(client, emulator):
    before = len(emulator.rows("account")), len(emulator.rows("contact"))
    here = client.create("account", {"name": "C", "accountnumber": "here"})
    found = resolved(
        client,
        "contact",
        CUSTOMER,
        {"parentcustomerid": "new", "parentcustomerid.table": ""},
        {"parentcustomerid": "here", "parentcustomerid.table": None},
        on_missing="create",
    )
    assert found[0].endswith("and none could be created: nothing says of which of the tables it would be.")
    assert found[1] == {"parentcustomerid_account@odata.bind": f"/accounts({here})"}
    assert (len(emulator.rows("account")), len(emulator.rows("contact"))) == (before[0] + 1, before[1])


def test_a_row_may_have_a_column_for_each_table(client):
    company = client.create("account", {"name": "C", "accountnumber": "C-1"})
    number, mail = "parentcustomerid.accountnumber", "parentcustomerid.emailaddress1"
    found = resolved(
        client,
        "contact",
        CUSTOMER,
        {number: "C-1", mail: ""},
        {number: None, mail: None},
        {number: "C-1", mail: None, "parentcustomerid.table": "contact"},
    )
    assert found == [
        {"parentcustomerid_account@odata.bind": f"/accounts({company})"},
        {"parentcustomerid": None},
        "The lookup parentcustomerid: parentcustomerid.table is 'contact', and nothing says which row of it.",
    ]


def test_a_dry_run_knows_rows_that_are_there_from_those_that_would_be(client):
    company = client.create("account", {"name": "C", "accountnumber": "C-1"})
    rows = {"parentcustomerid": "C-1"}, {"parentcustomerid": "new"}
    found = resolved(client, "contact", CUSTOMER, *rows, writes=False, coming=coming(client, "new", "C-1"))
    assert found[0] == {"parentcustomerid_account@odata.bind": f"/accounts({company})"}
    assert list(found[1]) == ["parentcustomerid_account@odata.bind"]


def test_a_row_is_created_under_one_id_however_its_value_is_spelled(client):
    given = {"primarycontactid": "contact.numberofchildren+lastname"}
    names = "primarycontactid.numberofchildren", "primarycontactid.lastname"

    def planned(*values):
        return resolved(
            client, "account", given, dict(zip(names, values, strict=True)), on_missing="create", writes=False
        )

    spelled = [planned(*values) for values in [("93", "Any One"), (93.0, "ANY ONE  "), ("93.00", "any one")]]
    assert spelled[0] == spelled[1] == spelled[2] != planned("94", "Any One")


def test_nothing_is_created_while_nothing_may_be_written(client, emulator):
    before = len(emulator.rows("contact"))
    found = resolved(
        client, "account", EMAIL, {"primarycontactid": "new@x.test"}, on_missing="create", writes=False
    )
    assert uuid.UUID(found[0]["primarycontactid"])
    assert len(emulator.rows("contact")) == before


def test_a_dry_run_takes_rows_of_its_own_tables_as_written(client):
    given = {"parentaccountid": "account.accountnumber"}
    assert isinstance(resolved(client, "account", given, {"parentaccountid": "N"}, writes=False)[0], str)
    rows = {"parentaccountid": "n "}, {"parentaccountid": "other"}
    found = resolved(client, "account", given, *rows, writes=False, coming=coming(client, "N"))
    assert uuid.UUID(found[0]["parentaccountid"])
    assert isinstance(found[1], str)


# -- arguments that do not fit


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ("contact.emailaddress1", (TargetKey("contact", ("emailaddress1",)),)),
        (" contact.firstname + lastname ", (TargetKey("contact", ("firstname", "lastname")),)),
        (["account.name", "contact"], (TargetKey("account", ("name",)), TargetKey("contact"))),
        ({"contact": ["firstname", "lastname"], "account": "name"}, (
            TargetKey("contact", ("firstname", "lastname")), TargetKey("account", ("name",)),
        )),
    ],
)  # fmt: skip
def test_lookups_are_written_in_several_ways(value, keys):
    assert read_lookups({"x": value}) == (Lookup("x", keys),)


@pytest.mark.parametrize("value", ["", [], None, [""], 5, [["contact"]]])
def test_other_ways_are_refused(value):
    with pytest.raises(AirflowFailException, match=r"lookups has .* for 'x'"):
        read_lookups({"x": value})


@pytest.mark.parametrize(
    ("given", "names", "on_missing", "said"),
    [
        (
            {"primarycontact": "contact.fullname"},
            ["primarycontact"],
            "reject",
            "no lookup of table account. Did you mean",
        ),
        ({"name": "contact.fullname"}, ["name"], "reject", "'name', which is no lookup of table account"),
        ({"primarycontactid": "lead.fullname"}, ["primarycontactid"], "reject", "but it points to contact"),
        (
            {"primarycontactid": "contact.mail"},
            ["primarycontactid"],
            "reject",
            "The table contact has no column 'mail'",
        ),
        (EMAIL, ["name"], "reject", "no column of the file goes to 'primarycontactid'"),
        (
            {"primarycontactid": "contact.firstname+lastname"},
            ["primarycontactid", "primarycontactid.firstname"],
            "reject",
            "goes to 'primarycontactid.firstname' and 'primarycontactid.lastname'",
        ),
        (
            {"primarycontactid": ["contact.lastname", "contact.emailaddress1"]},
            ["primarycontactid"],
            "reject",
            "table twice",
        ),
        ({"primarycontactid": "contact"}, ["primarycontactid"], "create", "nothing but an id"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(client, given, names, on_missing, said):
    with pytest.raises(AirflowFailException) as caught:
        check_lookups(client, client.table("account"), given, names, on_missing)
    assert said in str(caught.value)
    assert str(caught.value).endswith("Nothing was written.")


def test_what_is_created_must_have_one_table(client):
    with pytest.raises(
        AirflowFailException, match=r"map a column with the table's name to 'parentcustomerid\.table'"
    ):
        check_lookups(client, client.table("contact"), CUSTOMER, ["parentcustomerid"], "create")
    names = ["parentcustomerid", "parentcustomerid.table"]
    assert check_lookups(client, client.table("contact"), CUSTOMER, names, "create")
