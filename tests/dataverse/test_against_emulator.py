"""The whole surface over TLS, against a service that behaves as documented and fails as documented."""

from __future__ import annotations

import threading
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest

from airflow_provider_dynamics.auth import AuthenticationError, Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, Query, RetryPolicy, errors

MISSING = "00000000-0000-0000-0000-00000000dead"


@pytest.fixture
def connect(emulator, clock):
    """Return a function that makes a client of the emulator, on a clock that does not wait."""
    made = []

    def make(secret=None, **options):
        credential = ClientSecret(
            emulator.tenant_id,
            emulator.client_id,
            secret or emulator.client_secret,
            authority=Authority(url=emulator.url),
        )
        made.append(
            Client(emulator.url, credential, **{"ca_bundle": emulator.ca_bundle, "clock": clock, **options})
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(connect):
    return connect()


def rows_of(emulator, **wanted):
    return [
        row
        for row in emulator.rows("account")
        if all(row.get(name) == value for name, value in wanted.items())
    ]


def asked(emulator, method, part):
    return [found for found in emulator.requests if found.method == method and part in found.path]


# -- who, what


def test_who_am_i(client):
    assert set(client.who_am_i()) >= {"UserId", "BusinessUnitId", "OrganizationId"}


def test_the_ca_bundle_given_beats_the_environments(connect, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "missing.pem"))
    assert connect().who_am_i()["UserId"]


def test_without_its_certificate_the_server_is_not_trusted(emulator, clock):
    from airflow_provider_dynamics.auth import StaticToken

    token = StaticToken(emulator.access_token())
    with (
        Client(emulator.url, token, clock=clock) as client,
        pytest.raises(errors.Unreachable, match=r"certificate is not trusted: [a-z]"),
    ):
        client.who_am_i()
    assert clock.slept == []


@pytest.mark.parametrize(
    ("name", "entity_set", "primary_id"),
    [
        ("account", "accounts", "accountid"),
        ("contact", "contacts", "contactid"),
        ("lead", "leads", "leadid"),
        ("opportunity", "opportunities", "opportunityid"),
        ("incident", "incidents", "incidentid"),
        ("task", "tasks", "activityid"),
        ("systemuser", "systemusers", "systemuserid"),
        ("team", "teams", "teamid"),
        ("businessunit", "businessunits", "businessunitid"),
        ("contoso_shipment", "contoso_shipments", "contoso_shipmentid"),
    ],
)
def test_every_table_is_known_with_columns_that_can_be_read(client, name, entity_set, primary_id):
    table = client.table(name)
    assert (table.entity_set, table.primary_id) == (entity_set, primary_id)
    readable = [column.name for column in table.columns.values() if column.valid_for_read]
    found = next(iter(client.rows(Query(name, select=readable, top=1))))
    assert {table.columns[column].wire_name for column in readable} <= set(found)


def test_a_custom_table_is_known_in_every_detail(client):
    table = client.table("contoso_shipment")
    columns = table.columns
    assert columns["contoso_weight"].precision == 3
    assert columns["contoso_unitcost"].precision == 4
    assert columns["contoso_notes"].max_length == 10_000
    assert columns["contoso_shippedon"].date_behavior == "DateOnly"
    assert columns["contoso_deliveredat"].date_behavior == "UserLocal"
    assert columns["contoso_accountid"].navigation == {"account": "contoso_AccountId"}
    assert table.key(["contoso_position", "contoso_ordernumber"]).status == "Active"


def test_an_unknown_table_names_the_nearest(client):
    with pytest.raises(errors.UnknownTable, match="Did you mean 'account'"):
        client.table("acount")
    with pytest.raises(errors.UnknownTable, match="the logical name is 'opportunity'"):
        client.table("opportunities")


# -- reading


def test_pages_of_any_size_give_the_same_rows(client, emulator):
    expected = sorted(row["accountid"] for row in emulator.rows("account"))
    for page_size in (1, 7, None):
        found = [row["accountid"] for row in client.rows(Query("account", ["name"], page_size=page_size))]
        assert sorted(found) == expected
        assert len(found) == len(set(found))


def test_a_page_that_comes_short_does_not_end_the_reading(client, emulator):
    emulator.fault("short_page", rows=3)
    pages = list(client.pages(Query("account", ["name"], page_size=10)))
    assert len(pages[0].rows) == 3
    assert sum(len(page.rows) for page in pages) == len(emulator.rows("account"))


def test_an_order_with_equal_values_loses_no_row(client, emulator):
    query = Query("account", ["name"], order_by="statecode desc", page_size=4)
    assert len({row["accountid"] for row in client.rows(query)}) == len(emulator.rows("account"))


def test_filters_tops_counts_annotations_and_related_rows(client):
    query = Query(
        "account",
        ["name", "primarycontactid", "statecode"],
        filter="_primarycontactid_value ne null and statecode eq 0",
        expand="primarycontactid($select=fullname)",
        order_by="name",
        top=3,
        count=True,
        annotations=True,
    )
    [page] = client.pages(query)
    assert len(page.rows) == 3
    assert page.count is not None
    assert page.count > 3
    row = page.rows[0]
    assert row["statecode@OData.Community.Display.V1.FormattedValue"] == "Active"
    assert row["_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
    assert row["primarycontactid"]["fullname"]


def test_text_with_quotes_and_signs_is_found_again(client):
    name = "O'Brian & Söhne + 100% <x> #1?"
    row_id = client.create("account", {"name": name})
    query = Query("account", ["name"], filter=f"name eq '{name.replace(chr(39), chr(39) * 2)}'")
    assert [row["accountid"] for row in client.rows(query)] == [row_id]


def test_a_filter_the_service_does_not_understand_is_a_bad_request(client):
    with pytest.raises(errors.BadRequest) as caught:
        list(client.rows(Query("account", filter="name eq 'open")))
    assert caught.value.status == 400
    assert caught.value.request_id


# -- writing single rows


def test_a_row_lives_and_dies(client, emulator):
    row_id = client.create("account", {"name": "Neu", "revenue": Decimal("1234.50"), "numberofemployees": 5})
    found = client.get("account", row_id, ["name", "revenue", "numberofemployees"])
    assert (found["name"], found["revenue"], found["numberofemployees"]) == ("Neu", Decimal("1234.50"), 5)
    client.update("account", row_id, {"name": "Alt"})
    assert [row["name"] for row in rows_of(emulator, accountid=row_id)] == ["Alt"]
    client.delete("account", row_id)
    with pytest.raises(errors.RowNotFound):
        client.get("account", row_id)
    with pytest.raises(errors.RowNotFound):
        client.delete("account", row_id)


def test_an_update_never_creates(client, emulator):
    with pytest.raises(errors.RowNotFound):
        client.update("account", MISSING, {"name": "x"})
    assert rows_of(emulator, accountid=MISSING) == []


def test_an_update_of_a_version_that_has_gone_is_refused(client):
    row_id = client.create("account", {"name": "a"})
    etag = client.get("account", row_id, ["name"])["@odata.etag"]
    client.update("account", row_id, {"name": "b"}, if_match=etag)
    with pytest.raises(errors.ConcurrencyMismatch):
        client.update("account", row_id, {"name": "c"}, if_match=etag)


@pytest.mark.parametrize("number", ["N-1", "O'Brian", "ä ö (ü)=,;"])
def test_an_alternate_key_finds_upserts_and_deletes(client, emulator, number):
    key = {"accountnumber": number}
    first = client.upsert("account", key, {**key, "name": "a"})
    second = client.upsert("account", key, {**key, "name": "b"})
    assert (first.created, second.created) == (True, False)
    assert first.row_id == second.row_id
    assert client.get("account", key, ["name"])["name"] == "b"
    client.update("account", key, {"name": "c"})
    assert [row["name"] for row in rows_of(emulator, accountnumber=number)] == ["c"]
    client.delete("account", key)
    assert rows_of(emulator, accountnumber=number) == []


def test_a_key_no_url_can_hold_is_read_with_a_filter(client):
    row_id = client.create("account", {"name": "a", "accountnumber": "A/1 & co"})
    assert client.get("account", {"accountnumber": "A/1 & co"}, ["name"])["accountid"] == row_id


def test_a_key_of_two_columns(client):
    key = {"contoso_position": 7, "contoso_ordernumber": "O-1"}
    made = client.upsert("contoso_shipment", key, {"contoso_name": "x"})
    assert made.created
    found = client.get("contoso_shipment", key, ["contoso_name", "contoso_position"])
    assert (found["contoso_name"], found["contoso_position"]) == ("x", 7)


def test_lookups_and_dates_are_written_from_plain_values(client):
    account = client.create("account", {"name": "a"})
    shipment = client.create(
        "contoso_shipment",
        {
            "contoso_name": "x",
            "contoso_accountid": account,
            "contoso_shippedon": date(2024, 1, 31),
            "contoso_deliveredat": datetime(2024, 2, 1, 8, 30, tzinfo=timezone.utc),
            "contoso_weight": Decimal("1.125"),
        },
    )
    columns = ["contoso_accountid", "contoso_shippedon", "contoso_deliveredat", "contoso_weight"]
    found = client.get("contoso_shipment", shipment, columns)
    assert found["_contoso_accountid_value"] == account
    assert found["contoso_shippedon"] == "2024-01-31"
    assert found["contoso_deliveredat"] == "2024-02-01T08:30:00Z"
    assert found["contoso_weight"] == Decimal("1.125")
    client.update("contoso_shipment", shipment, {"contoso_accountid": None, "contoso_shippedon": None})
    found = client.get("contoso_shipment", shipment, columns)
    assert (found["_contoso_accountid_value"], found["contoso_shippedon"]) == (None, None)


def test_a_duplicate_is_its_own_error(client):
    client.create("account", {"name": "a", "accountnumber": "D1"})
    with pytest.raises(errors.DuplicateKey):
        client.create("account", {"name": "b", "accountnumber": "D1"})


# -- changes


def test_changes_tell_what_came_changed_and_went(client, emulator):
    before = list(client.changes("account", ["name"], page_size=15))
    assert sum(len(page.rows) for page in before) == len(emulator.rows("account"))
    assert [page.delta_link is None for page in before] == [True] * (len(before) - 1) + [False]
    old = before[0].rows[0]["accountid"]
    gone = before[0].rows[1]["accountid"]
    new = client.create("account", {"name": "new"})
    client.update("account", old, {"name": "changed"})
    client.delete("account", gone)
    after = list(client.changes("account", since=before[-1].delta_link, page_size=1))
    assert {row["accountid"]: row["name"] for page in after for row in page.rows} == {
        new: "new",
        old: "changed",
    }
    assert [(found.row_id, found.reason) for page in after for found in page.deleted] == [(gone, "deleted")]
    [nothing] = client.changes("account", since=after[-1].delta_link)
    assert (nothing.rows, nothing.deleted) == ([], [])


def test_an_expired_link_says_that_a_full_read_is_due(client, emulator):
    link = list(client.changes("account", ["name"]))[-1].delta_link
    emulator.fault("expired_delta")
    with pytest.raises(errors.DeltaLinkExpired, match="0x80044352"):
        list(client.changes("account", since=link))


# -- bulk


@pytest.mark.parametrize("table", ["account", "contoso_shipment"])
def test_many_rows_are_created_updated_upserted_and_deleted(client, emulator, table):
    name = "name" if table == "account" else "contoso_name"
    number = "accountnumber" if table == "account" else "contoso_number"
    rows = [{name: f"n{i}", number: f"Z{i}"} for i in range(250)]
    made = list(client.bulk(table, rows, "create", chunk_size=100))
    ids = [outcome.row_id for outcome in made]
    assert [outcome.error for outcome in made] == [None] * 250
    primary_id = client.table(table).primary_id
    update = [{primary_id: row_id, name: "u"} for row_id in ids]
    assert all(outcome.error is None for outcome in client.bulk(table, update, "update"))
    upsert = [{number: f"Z{i}", name: "s"} for i in range(200, 300)]
    assert all(outcome.error is None for outcome in client.bulk(table, upsert, "upsert", key=[number]))
    stored = {row[number]: row[name] for row in emulator.rows(table) if str(row[number]).startswith("Z")}
    assert stored == {f"Z{i}": "u" if i < 200 else "s" for i in range(300)}
    gone = list(client.bulk(table, [*ids, MISSING], "delete"))
    assert [type(outcome.error) for outcome in gone] == [type(None)] * 250 + [errors.RowNotFound]


def test_one_poisoned_row_does_not_cost_the_others(client, emulator):
    emulator.fault("poison", table="account", column="name", value="bad", code="0x80040265")
    rows = [{"accountnumber": f"P{i}", "name": "bad" if i == 137 else "good"} for i in range(300)]
    outcomes = list(client.bulk("account", rows, "upsert", key=["accountnumber"], chunk_size=100))
    assert [outcome.index for outcome in outcomes if outcome.error] == [137]
    assert isinstance(outcomes[137].error, errors.PluginRefused)
    assert outcomes[137].error.code == "0x80040265"
    assert len(rows_of(emulator, name="good")) == 299
    assert len(asked(emulator, "POST", "UpsertMultiple")) == 3


@pytest.mark.parametrize(
    "number", ["A/1", "x%2Fy", "50% & more", "a+b", "c:d?e", "back\\slash", "<tag>", "'q'"]
)
def test_keys_no_url_can_hold_are_upserted_in_chunks(client, emulator, number):
    rows = [{"accountnumber": number, "name": "n"}, {"accountnumber": "plain", "name": "n"}]
    outcomes = list(client.bulk("account", rows, "upsert", key=["accountnumber"]))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(rows_of(emulator, accountnumber=number)) == 1


def test_a_row_given_twice_ends_as_the_last_one_said(client, emulator):
    rows = [{"accountnumber": f"T{i % 10}", "name": str(i)} for i in range(50)]
    assert all(
        outcome.error is None for outcome in client.bulk("account", rows, "upsert", key=["accountnumber"])
    )
    for number in range(10):
        assert [row["name"] for row in rows_of(emulator, accountnumber=f"T{number}")] == [str(40 + number)]


# -- a bad day


def test_throttling_is_waited_out_to_the_second(client, emulator, clock):
    emulator.fault("throttle", retry_after=37, path="/accounts", count=2)
    expected = len(emulator.rows("account"))
    assert sum(1 for _ in client.rows(Query("account", ["name"]))) == expected
    assert clock.slept == [37, 37]
    assert client.throttled_seconds == 74


def test_throttling_until_a_date_is_waited_out(client, emulator, clock):
    emulator.fault("throttle", retry_after=20, as_date=True, path="WhoAmI", count=1)
    assert client.who_am_i()
    assert 18 <= sum(clock.slept) <= 23


def test_a_trigger_gets_throttling_back_at_once(connect, emulator, clock):
    emulator.fault("throttle", retry_after=37, path="WhoAmI")
    with pytest.raises(errors.Throttled, match="0x80072322") as caught:
        connect(retry=RetryPolicy.never()).who_am_i()
    assert (caught.value.retry_after, clock.slept) == (37, [])


BAD_DAYS = [
    pytest.param({"kind": "status", "status": 503}, id="503 in HTML"),
    pytest.param({"kind": "status", "status": 502}, id="502 in HTML"),
    pytest.param({"kind": "error", "status": 500, "code": "0x80044150"}, id="a SQL error"),
    pytest.param({"kind": "reset", "when": "before"}, id="a broken connection"),
    pytest.param({"kind": "reset", "when": "after"}, id="an answer that was lost"),
    pytest.param({"kind": "truncate"}, id="half a body"),
    pytest.param({"kind": "truncate", "length": "cut"}, id="half a body that claims to be whole"),
    pytest.param({"kind": "expired_token"}, id="a token that has expired"),
]


@pytest.mark.parametrize("fault", BAD_DAYS)
def test_reading_survives(client, emulator, fault):
    expected = sorted(row["accountid"] for row in emulator.rows("account"))
    emulator.fault(**fault, path="/accounts", skip=1, every=2)
    found = [row["accountid"] for row in client.rows(Query("account", ["name"], page_size=5))]
    assert sorted(found) == expected


@pytest.mark.parametrize("fault", BAD_DAYS)
def test_creating_survives_and_creates_once(client, emulator, fault):
    client.table("account")
    emulator.fault(**fault, path="/accounts", method="POST", count=1)
    row_id = client.create("account", {"name": "once"})
    assert [row["accountid"] for row in rows_of(emulator, name="once")] == [row_id]


@pytest.mark.parametrize("fault", BAD_DAYS)
@pytest.mark.parametrize("operation", ["create", "upsert"])
def test_loading_survives_and_writes_each_row_once(client, emulator, fault, operation):
    often = {"count": 1} if fault["kind"] == "expired_token" else {"every": 2}  # one renewal is all there is
    emulator.fault(**fault, path="Multiple$", method="POST", **often)
    rows = [{"accountnumber": f"B{i}", "name": "bulk"} for i in range(60)]
    key = ["accountnumber"] if operation == "upsert" else None
    outcomes = list(client.bulk("account", rows, operation, key=key, chunk_size=10, concurrency=2))
    assert [outcome.error for outcome in outcomes] == [None] * 60
    assert sorted(row["accountnumber"] for row in rows_of(emulator, name="bulk")) == sorted(
        f"B{i}" for i in range(60)
    )


@pytest.mark.parametrize("operation", ["update", "delete"])
def test_a_lost_answer_to_a_single_write_is_no_error(client, emulator, operation):
    row_id = client.create("account", {"name": "a"})
    emulator.fault("reset", when="after", path=row_id, count=1)
    if operation == "update":
        client.update("account", row_id, {"name": "b"})
        assert [row["name"] for row in rows_of(emulator, accountid=row_id)] == ["b"]
    else:
        client.delete("account", row_id)
        assert rows_of(emulator, accountid=row_id) == []


def test_a_chunk_too_large_for_the_service_is_halved(client, emulator):
    emulator.fault("status", status=413, path="Multiple$", count=2)
    rows = [{"name": "half"} for _ in range(40)]
    outcomes = list(client.bulk("account", rows, "create", chunk_size=40, concurrency=1))
    assert [outcome.error for outcome in outcomes] == [None] * 40
    assert len(rows_of(emulator, name="half")) == 40


def test_a_chunk_the_service_has_no_time_for_is_halved(client, emulator):
    emulator.fault("error", status=500, code="0x80044151", path="Multiple$", count=1)
    outcomes = list(client.bulk("account", [{"name": "slow"} for _ in range(10)], "create"))
    assert [outcome.error for outcome in outcomes] == [None] * 10
    assert len(rows_of(emulator, name="slow")) == 10


def test_a_web_page_in_place_of_data_is_said_to_be_that(client, emulator):
    emulator.fault("html", path="WhoAmI")
    with pytest.raises(errors.BadResponse, match="check proxies"):
        client.who_am_i()


def test_a_missing_application_user_says_what_to_add(client, emulator):
    emulator.fault("not_a_member")
    with pytest.raises(errors.Forbidden, match=r"0x80072560.*as an application user"):
        client.who_am_i()


def test_a_wrong_secret_is_an_authentication_error(connect, clock):
    with pytest.raises(AuthenticationError):
        connect(secret="wrong").who_am_i()
    assert clock.slept == []


def test_a_busy_sign_in_service_is_waited_for(connect, emulator, clock):
    emulator.fault("token_status", status=503, count=1)
    secret_of_another_identity = connect()
    secret_of_another_identity._transport._auth._credential.cache.clear()
    assert secret_of_another_identity.who_am_i()
    assert len(clock.slept) == 1


def test_cookies_are_not_sent_back(client, emulator):
    client.who_am_i()
    client.who_am_i()
    assert not any("cookie" in found.headers for found in emulator.requests)


def test_several_threads_share_one_client(client, emulator):
    outcome = []

    def read():
        outcome.append(sum(1 for _ in client.rows(Query("account", ["name"], page_size=9))))

    working = [threading.Thread(target=read) for _ in range(4)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join(60)
    assert outcome == [len(emulator.rows("account"))] * 4
