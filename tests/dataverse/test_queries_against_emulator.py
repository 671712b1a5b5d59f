"""Everything that can be asked, over TLS, of a service that answers as documented."""

from __future__ import annotations

import uuid
from datetime import date, timedelta
from decimal import Decimal

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import (
    Client,
    Expand,
    FetchXml,
    Query,
    Request,
    SavedQuery,
    all_of,
    any_of,
    column,
    errors,
)
from airflow_provider_dynamics.dataverse.reading.results import named

BY_NAME = """
<fetch>
  <entity name="account">
    <attribute name="name"/><attribute name="ownerid"/><attribute name="statecode"/>
    <order attribute="name"/>
    <link-entity name="contact" from="contactid" to="primarycontactid" alias="person" link-type="outer">
      <attribute name="fullname"/><attribute name="ownerid"/>
    </link-entity>
  </entity>
</fetch>"""
PER_STATE = """
<fetch aggregate="true">
  <entity name="account">
    <attribute name="accountid" alias="n" aggregate="count"/>
    <attribute name="revenue" alias="total" aggregate="sum"/>
    <attribute name="statecode" alias="state" groupby="true"/>
  </entity>
</fetch>"""


@pytest.fixture
def client(emulator, clock):
    secret = ClientSecret(
        emulator.tenant_id, emulator.client_id, emulator.client_secret, authority=Authority(url=emulator.url)
    )
    with Client(emulator.url, secret, ca_bundle=emulator.ca_bundle, clock=clock) as opened:
        yield opened


def ids(rows, name="accountid"):
    return sorted(row[name] for row in rows)


def found(client, condition, table="account"):
    return list(client.rows(Query(table, filter=condition)))


def expected(emulator, holds, table="account"):
    return ids((row for row in emulator.rows(table) if holds(row)), f"{table}id")


def asked(emulator, part):
    return [request for request in emulator.requests if part in f"{request.path}?{request.query}"]


# -- conditions


@pytest.mark.parametrize(
    "text",
    [
        "O'Brien & Söhne",
        "100% Natural_Foods [East]",
        'a"b',
        "ends with \\",
        "a;b,c(d)",
        "x/Microsoft.Dynamics.CRM.In(PropertyName='a')",
    ],
)
def test_any_text_is_found_as_itself_and_nothing_else(client, text):
    name, row_id = column("name"), client.create("account", {"name": text})
    client.create("account", {"name": text.replace("%", "x").replace("_", "x").replace("'", "")[1:]})
    for condition in (
        name == text,
        name.is_in([text, "no such company"]),
        name.startswith(text),
        name.endswith(text),
        name.contains(text),
    ):
        assert ids(found(client, condition)) == [row_id]


def test_conditions_find_what_they_say(client, emulator):
    revenue, name = column("revenue"), column("name")
    rich = expected(emulator, lambda row: Decimal(str(row.get("revenue") or 0)) > 100_000)
    assert rich
    assert ids(found(client, revenue > Decimal(100_000))) == rich
    assert ids(found(client, ~(revenue > Decimal(100_000)) & ~revenue.is_null())) == expected(
        emulator, lambda row: row.get("revenue") is not None and row["accountid"] not in rich
    )
    assert ids(found(client, (revenue > 100_000) & name.startswith("A"))) == expected(
        emulator, lambda row: row["accountid"] in rich and row["name"].startswith("A")
    )


def test_lookups_are_followed_by_their_logical_names(client, emulator):
    people = {row["contactid"]: row for row in emulator.rows("contact")}
    some = next(row for row in emulator.rows("account") if row.get("_primarycontactid_value"))
    person = people[some["_primarycontactid_value"]]
    assert some["accountid"] in ids(found(client, column("primarycontactid/fullname") == person["fullname"]))
    assert some["accountid"] in ids(
        found(client, column("primarycontactid") == uuid.UUID(person["contactid"]))
    )


def test_collections_are_asked_for_rows_that_meet_a_condition(client, emulator):
    parents = {
        row["_parentcustomerid_value"]
        for row in emulator.rows("contact")
        if row.get("_parentcustomerid_value")
    }
    with_people = expected(emulator, lambda row: row["accountid"] in parents)
    contacts = "contact_customer_accounts"
    assert ids(found(client, any_of(contacts))) == with_people
    assert ids(found(client, any_of(contacts, ~column("fullname").is_null()))) == with_people
    assert ids(found(client, any_of(contacts, any_of("Contact_Tasks")))) != []
    without = ids(found(client, all_of(contacts, column("fullname").is_null())))
    assert without == expected(emulator, lambda row: row["accountid"] not in parents)


def test_one_row_is_no_collection(client):
    with pytest.raises(errors.BadRequest, match="leads to one row, not to a collection"):
        found(client, any_of("primarycontactid", column("fullname") == "x"))


def test_days_are_days(client, emulator):
    today = date.today()  # noqa: DTZ011 - any day will do
    everything = expected(emulator, lambda _: True)
    assert ids(found(client, column("createdon") <= today + timedelta(days=2))) == everything
    assert ids(found(client, column("createdon").on_or_after("1900-01-01"))) == everything


def test_a_filter_too_long_for_an_address_goes_through_a_batch_and_so_do_its_next_links(client, emulator):
    many = [str(uuid.UUID(int=n)) for n in range(900)]
    condition = column("accountid").is_in(many) | ~column("name").is_null()
    rows = list(client.rows(Query("account", ["name"], filter=condition, page_size=15)))
    assert ids(rows) == expected(emulator, lambda _: True)
    assert len(asked(emulator, "$batch")) >= 3


# -- related rows


@pytest.mark.parametrize("page_size", [3, 50])
def test_nested_collections_come_whole_whatever_the_page_size_cuts(client, emulator, page_size):
    expand = [
        Expand("contact_customer_accounts", ["fullname"], expand=[Expand("Contact_Tasks", ["subject"])]),
        Expand("primarycontactid", ["fullname"]),
    ]
    rows = list(client.rows(Query("account", ["name"], expand=expand, page_size=page_size)))
    assert len(rows) == len(emulator.rows("account"))
    people = {row["accountid"]: ids(row["contact_customer_accounts"], "contactid") for row in rows}
    for account, members in people.items():
        assert members == expected(
            emulator, lambda row, a=account: row.get("_parentcustomerid_value") == a, "contact"
        )
    assert not any(key.endswith("nextLink") for row in rows for key in row)


def test_expands_take_conditions_orders_and_tops(client):
    expand = Expand(
        "contact_customer_accounts",
        ["fullname"],
        filter=column("fullname").contains("a"),
        order_by="fullname desc",
        top=2,
    )
    rows = list(client.rows(Query("account", ["name"], expand=[expand])))
    for row in rows:
        names = [person["fullname"] for person in row["contact_customer_accounts"]]
        assert names == sorted(names, key=str.casefold, reverse=True)
        assert len(names) <= 2
    assert any(row["contact_customer_accounts"] for row in rows)


def one_of(navigation, **options):
    return Query("account", ["name"], expand=[Expand(navigation, **options)])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            one_of("primarycontactid", top=1),
            "'primarycontactid' has a top or an order_by, and it leads to one row",
        ),
        (
            one_of("contact_customer_accounts", top=1, expand=[Expand("Contact_Tasks")]),
            "an expand inside of another one",
        ),
        (
            one_of("contact_customer_accounts", expand=[Expand("Contact_Tasks", order_by="subject")]),
            "'Contact_Tasks' has a top or an order_by",
        ),
        (Query("account", expand=[Expand("primarycontactid")] * 2), "names 'primarycontactid' twice"),
        (
            one_of("contact_customer_accounts", expand=[Expand(f"Contact_Tasks{n}") for n in range(15)]),
            "has 16 expands; Dataverse takes 15",
        ),
    ],
)
def test_an_expand_that_dataverse_would_not_take_is_refused_before_it_is_asked(
    client, emulator, query, words
):
    with pytest.raises(errors.BadRequest, match=words):
        list(client.rows(query))
    assert not asked(emulator, "$expand=contact_customer_accounts")


def test_one_row_brings_its_related_rows_as_a_query_does(client, emulator):
    accounts = {row["accountid"] for row in emulator.rows("account")}
    some = next(row for row in emulator.rows("contact") if row.get("_parentcustomerid_value") in accounts)
    expand = [
        Expand("primarycontactid", ["fullname"]),
        Expand("contact_customer_accounts", ["fullname"], filter=column("contactid") == some["contactid"]),
    ]
    row = client.get("account", some["_parentcustomerid_value"], ["name"], expand=expand)
    assert [person["fullname"] for person in row["contact_customer_accounts"]] == [some["fullname"]]
    assert not any(key.endswith("nextLink") for key in row)


def test_a_condition_is_spelled_for_what_takes_text_alone(client):
    assert client.filter_text("contact", column("parentcustomerid_account/name") == "x") == (
        "parentcustomerid_account/name eq 'x'"
    )
    assert (
        client.filter_text("account", column("primarycontactid").is_null())
        == "_primarycontactid_value eq null"
    )
    assert client.filter_text("account", "name eq 'x'") == "name eq 'x'"
    assert client.filter_text("account", "") is None


def test_a_feed_takes_a_condition(client, emulator):
    feed = client.feed("account", ["name"], mode="window", filter=column("name").startswith("A"))
    names = [row["name"] for page in feed.pages() for row in page.rows]
    assert sorted(names) == sorted(
        row["name"] for row in emulator.rows("account") if row["name"].casefold().startswith("a")
    )


# -- aggregates, counts


def test_groups_and_aggregates_agree_with_the_rows(client, emulator):
    query = Query(
        "account", apply="groupby((statecode),aggregate($count as n,revenue with sum as total))", labels=True
    )
    rows = [named(row, client.columns(query)) for row in client.rows(query)]
    accounts = emulator.rows("account")
    for row in rows:
        same = [account for account in accounts if account["statecode"] == row["statecode"]]
        assert row["n"] == len(same)
        assert row["total"] == sum(Decimal(str(account.get("revenue") or 0)) for account in same)
    assert {row["statecodename"] for row in rows} == {"Active", "Inactive"}


def test_a_filter_comes_before_apply(client, emulator):
    query = Query("account", filter=column("statecode") == 0, apply="aggregate($count as n)")
    assert [row["n"] for row in client.rows(query)] == [
        len(expected(emulator, lambda row: row["statecode"] == 0))
    ]


def test_rows_are_counted_quickly_and_exactly(client, emulator):
    assert client.record_counts(["account", "contact"]) == {
        "account": len(emulator.rows("account")),
        "contact": len(emulator.rows("contact")),
    }
    assert client.record_counts([]) == {}
    assert client.record_counts("account") == {"account": len(emulator.rows("account"))}
    assert client.count(Query("account", filter="statecode eq 0")) == len(
        expected(emulator, lambda row: row["statecode"] == 0)
    )
    assert client.count(Query("account", filter="name eq 'no such company'")) == 0


def test_counting_an_unknown_table_names_the_nearest(client):
    with pytest.raises(errors.UnknownTable, match=r"no table 'acount'.*Did you mean 'account'"):
        client.record_counts(["account", "acount"])


@pytest.mark.parametrize("query", [Query("account", top=3), Query("account", apply="aggregate($count as n)")])
def test_a_count_takes_a_table_and_a_filter(client, query):
    with pytest.raises(ValueError, match="table and filter"):
        client.count(query)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.count(Query("account")),
        lambda client: list(
            client.rows(Query("account", apply="groupby((statecode),aggregate($count as n))"))
        ),
        lambda client: list(client.rows(FetchXml(PER_STATE))),
    ],
)
def test_an_aggregate_over_the_limit_says_what_to_do_instead(client, emulator, ask):
    emulator.query_limits.aggregate = 10
    with pytest.raises(errors.AggregateLimit, match=r"divide them by a filter .* or export the rows"):
        ask(client)


# -- FetchXML and views


@pytest.mark.parametrize("page_size", [1, 7, None])
def test_a_documents_pages_give_every_row_once(client, emulator, page_size):
    pages = list(client.pages(FetchXml(BY_NAME, page_size=page_size)))
    rows = [row for page in pages for row in page.rows]
    assert ids(rows) == expected(emulator, lambda _: True)
    assert len(pages) == (-(-len(rows) // page_size) if page_size else 1)
    assert pages[-1].position is None


@pytest.mark.parametrize(
    "source",
    [
        FetchXml(BY_NAME, page_size=7),
        Query("account", ["name"], order_by="name", page_size=7),
        Query("account", ["name"], top=20, page_size=7),
        Query("account", ["name"], expand=[Expand("contact_customer_accounts", ["fullname"])], page_size=7),
        SavedQuery("account", "Active Accounts", page_size=7),
    ],
    ids=["FetchXML", "a query", "a query with top", "a query with related rows", "a view"],
)
def test_reading_goes_on_behind_any_page(client, source):
    pages = list(client.pages(source))
    assert len(pages) > 2
    for place, page in enumerate(pages[:-1], 1):
        rest = [row for later in client.pages(source, after=page.position) for row in later.rows]
        assert rest == [row for later in pages[place:] for row in later.rows]


@pytest.mark.parametrize("top", [None, 20])
@pytest.mark.parametrize(
    "other",
    [Query("contact", page_size=7), Query("contact", top=20, page_size=7), FetchXml(BY_NAME, page_size=7)],
)
def test_a_position_of_something_else_is_refused(client, other, top):
    position = next(iter(client.pages(other))).position
    with pytest.raises(errors.BadRequest, match="does not belong to this query"):
        next(client.pages(Query("account", top=top, page_size=7), after=position))


@pytest.mark.parametrize(
    "source",
    [
        Query("account", labels=True),
        Query(
            "account",
            ["name", "ownerid", "statecode", "primarycontactid"],
            labels=True,
            expand="primarycontactid($select=fullname,ownerid),contact_customer_accounts($select=fullname,statecode)",
        ),
        Query("contact", ["fullname", "parentcustomerid"], labels=True),
        Query(
            "account",
            apply="groupby((statecode,primarycontactid/fullname),aggregate(revenue with max as most))",
        ),
        FetchXml(BY_NAME, labels=True),
        FetchXml(PER_STATE, labels=True),
        SavedQuery("account", "Active Accounts", labels=True),
    ],
    ids=["a whole table", "related rows", "a customer", "groups", "FetchXML", "aggregates", "a view"],
)
def test_every_column_is_found_in_some_row_and_every_member_of_a_row_is_a_column(client, source):
    columns = client.columns(source)
    rows = list(client.rows(source))
    values = [named(row, columns) for row in rows]
    lookups = [c.name for c in columns if c.type in {"Lookup", "Owner", "Customer", "State"}]
    for name in lookups:
        if any(row[name] is not None for row in values) and f"{name}name" in values[0]:
            assert all((row[f"{name}name"] is None) == (row[name] is None) for row in values)
    known = {column.wire_path[0] for column in columns}
    plain = {key for row in rows for key in row if "@" not in key}
    implied = {
        "_transactioncurrencyid_value",
        "_parentcustomerid_value",
    }  # come with money, with related rows
    assert plain - known <= implied


def test_a_linked_table_without_an_alias_goes_by_its_name(client):
    source = FetchXml(BY_NAME.replace(' alias="person"', ""), labels=True)
    rows = [named(row, client.columns(source)) for row in client.rows(source)]
    assert any(row["contact.fullname"] for row in rows)
    assert all((row["contact.ownerid"] is None) == (row["contact.owneridname"] is None) for row in rows)


def test_late_materialize_and_hints_are_passed_on(client, emulator):
    document = BY_NAME.replace("<fetch>", '<fetch latematerialize="true" options="HashJoin">')
    assert len(list(client.rows(FetchXml(document)))) == len(emulator.rows("account"))
    [sent] = asked(emulator, "fetchXml")
    assert "latematerialize" in sent.query
    assert "HashJoin" in sent.query


def test_a_view_is_read_by_name_and_by_id_and_a_persons_own(client, emulator):
    active = expected(emulator, lambda row: row["statecode"] == 0)
    view = next(row for row in emulator.rows("savedquery") if row["name"] == "Active Accounts")
    assert ids(client.rows(SavedQuery("account", "Active Accounts"))) == active
    assert ids(client.rows(SavedQuery("account", view["savedqueryid"]))) == active
    assert list(client.rows(SavedQuery("account", "My big accounts", personal=True)))


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (Query("account", ["nme"]), errors.UnknownColumn, "Did you mean 'name'"),
        (
            Query("account", filter="nme eq 'x'"),
            errors.UnknownColumn,
            "Could not find a property named 'nme'.*Did you mean 'name'",
        ),
        (Query("account", order_by="revenu"), errors.UnknownColumn, "Did you mean 'revenue'"),
        (
            Query("contact", filter="parentcustomerid ne null"),
            errors.UnknownColumn,
            "called '_parentcustomerid_value' in a query's text",
        ),
        (
            Query("account", expand="contact_customer_acounts"),
            errors.UnknownColumn,
            "Did you mean 'contact_customer_accounts'",
        ),
        (
            Query("account", apply="groupby((stateode))"),
            errors.UnknownColumn,
            "Did you mean 'statecode'",
        ),
        (
            Query("account", expand="contact_customer_accounts($top=1;$expand=Contact_Tasks)"),
            errors.BadRequest,
            "only where no expand holds another one",
        ),
        (
            FetchXml(BY_NAME.replace('"statecode"', '"stateode"')),
            errors.UnknownColumn,
            "Did you mean 'statecode'",
        ),
        (
            FetchXml(BY_NAME.replace('entity name="account"', 'entity name="acount"')),
            errors.UnknownTable,
            "Did you mean 'account'",
        ),
        (
            FetchXml(BY_NAME.replace('entity name="contact"', 'entity name="contct"')),
            errors.UnknownTable,
            "Did you mean 'contact'",
        ),
        (SavedQuery("account", "Active Acounts"), errors.UnknownView, "Did you mean 'Active Accounts'"),
    ],
)
def test_a_wrong_name_is_said_with_the_nearest_right_one(client, source, kind, words):
    with pytest.raises(kind, match=words):
        list(client.rows(source))


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, _: client.count(Query("account", filter="nme eq 'x'")),
        lambda client, row_id: client.get("account", row_id, ["name"], expand="nme"),
    ],
)
def test_a_count_and_a_single_row_name_the_nearest_too(client, emulator, ask):
    with pytest.raises(errors.UnknownColumn, match=r"named 'nme'.*Did you mean 'name'"):
        ask(client, emulator.rows("account")[0]["accountid"])


def test_a_document_that_is_none_is_refused_before_anything_is_sent(client, emulator):
    with pytest.raises(errors.BadRequest, match="line 1"):
        list(client.rows(FetchXml("<fetch>")))
    assert emulator.requests == []


# -- batches


def test_a_batch_brings_each_requests_answer(client):
    outcomes = client.batch(
        [Request("GET", "accounts?$top=1"), Request("GET", "acounts"), Request("GET", "WhoAmI()")]
    )
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, errors.NotFound)
    assert b'"UserId"' in outcomes[2].response.body
