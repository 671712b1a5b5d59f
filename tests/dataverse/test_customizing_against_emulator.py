"""Tables, columns, keys and choices made on a service that checks them as Dataverse does, and can be used at once."""

from __future__ import annotations

import time

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, RetryPolicy, WriteOptions, errors
from airflow_provider_dynamics.dataverse.administration.definitions import (
    NewChoice,
    NewColumn,
    NewKey,
    NewTable,
)
from airflow_provider_dynamics.dataverse.administration.job import key_job

ORDER = NewTable(
    "new_Order",
    "Order",
    "Orders",
    NewColumn("new_Name", "String", "Name", max_length=80),
    description="What somebody has ordered",
    ownership="user",
    change_tracking=True,
)
COLUMNS = [
    NewColumn("new_Number", "String", "Number", max_length=20, required="required"),
    NewColumn("new_Note", "Memo", max_length=500),
    NewColumn("new_Pieces", "Integer", minimum=0, maximum=1000),
    NewColumn("new_Seen", "BigInt"),
    NewColumn("new_Weight", "Decimal", minimum=0, maximum=99.5, precision=3),
    NewColumn("new_Length", "Double", precision=1),
    NewColumn("new_Total", "Money", precision=2),
    NewColumn("new_Total2", "Money"),
    NewColumn("new_Due", "DateTime", behavior="DateOnly"),
    NewColumn("new_Sent", "DateTime", behavior="UserLocal"),
    NewColumn("new_Urgent", "Boolean", default=True, options={0: "Later", 1: "Now"}),
    NewColumn("new_State", "Picklist", options={1: "Open", 2: "Closed"}),
    NewColumn("new_Topics", "MultiSelectPicklist", options={1: "Red", 2: "Blue"}),
    NewColumn("new_Account", "Lookup", "Account", targets="account"),
    NewColumn("new_Contract", "File", max_size_kb=1024),
    NewColumn("new_Picture", "Image"),
]


@pytest.fixture
def connect(emulator, clock):
    def made(*, allowed=True, **options):
        clock.time = time.time()
        credential = ClientSecret(
            *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
            authority=Authority(url=emulator.url),
        )
        return Client(
            emulator.url,
            credential,
            ca_bundle=emulator.ca_bundle,
            clock=clock,
            allow_metadata_changes=allowed,
            **options,
        )

    return made


@pytest.fixture
def client(connect):
    with connect() as made:
        yield made


def changing(emulator):
    return [
        f"{one.method} {one.path.split('/v9.2/')[-1]}"
        for one in emulator.requests
        if one.method != "GET" and "/v9.2/" in one.path
    ]


def test_a_table_is_made_once_and_can_be_used_at_once(client, emulator):
    assert client.schema.create_table(ORDER) == "created"
    assert client.schema.create_table(ORDER) == "unchanged"

    row_id = client.create("new_order", {"new_name": "First"})

    assert [row["new_name"] for row in emulator.rows("new_order")] == ["First"]
    assert client.get("new_order", row_id)["new_name"] == "First"
    assert client.table("new_order").change_tracking
    assert changing(emulator).count("POST EntityDefinitions") == 1


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: f"{column.type} {column.name}")
def test_a_column_of_each_type_is_made_once(client, column):
    client.schema.create_table(ORDER)

    assert client.schema.create_column("new_order", column) == "created"
    assert client.schema.create_column("new_order", column) == "unchanged"

    found = client.table("new_order").column(column.logical_name)
    assert found.type == column.type


def test_all_columns_hold_what_they_are_made_for(client):
    client.schema.create_table(ORDER)
    for column in COLUMNS:
        client.schema.create_column("new_order", column)
    account = client.create("account", {"name": "A"})

    row_id = client.create(
        "new_order",
        {
            "new_name": "Whole",
            "new_number": "1",
            "new_pieces": 3,
            "new_due": "2026-01-31",
            "new_state": 2,
            "new_topics": "1,2",
            "new_account": account,
        },
    )

    row = client.get("new_order", row_id)
    assert (row["new_urgent"], row["new_due"], row["new_state"]) == (True, "2026-01-31", 2)
    assert row["_new_account_value"] == account


@pytest.mark.parametrize(
    ("column", "said"),
    [
        pytest.param(NewColumn("new_Number", "Memo"), "type is 'String', not 'Memo'", id="type"),
        pytest.param(
            NewColumn("new_Number", "String", max_length=40), "max_length is 20, not 40", id="length"
        ),
        pytest.param(
            NewColumn("new_Number", "String", "Nummer"), "display_name is 'Number', not 'Nummer'", id="label"
        ),
        pytest.param(
            NewColumn("new_Number", "String", required="none"),
            "required is 'ApplicationRequired', not 'None'",
            id="required",
        ),
        pytest.param(
            NewColumn("new_State", "Picklist", options={1: "Opened", 3: "Lost"}),
            "option 1 is called 'Open', not 'Opened'; option 3 ('Lost') is not there",
            id="options",
        ),
        pytest.param(
            NewColumn("new_Weight", "Decimal", maximum=99.5, precision=2),
            "precision is 3, not 2",
            id="places",
        ),
        pytest.param(
            NewColumn("new_Account", "Lookup", targets="contact"),
            "targets is account, not contact",
            id="lookup",
        ),
        pytest.param(
            NewColumn("new_Due", "DateTime", behavior="UserLocal"), "behavior is 'DateOnly'", id="behaviour"
        ),
        pytest.param(
            NewColumn("new_Urgent", "Boolean", default=False), "default is True, not False", id="default"
        ),
    ],
)
def test_a_column_that_is_there_and_different_is_named_with_the_difference(client, emulator, column, said):
    client.schema.create_table(ORDER)
    made = next(one for one in COLUMNS if one.name == column.name)
    client.schema.create_column("new_order", made)
    before = changing(emulator)

    with pytest.raises(errors.Different) as raised:
        client.schema.create_column("new_order", column)

    assert f"The column new_order.{column.logical_name} is there, but {said}" in str(raised.value)
    assert not raised.value.retryable
    assert changing(emulator) == before


def test_a_table_that_is_there_and_different_is_named_with_the_difference(client):
    client.schema.create_table(ORDER)
    other = NewTable("new_Order", "Auftrag", "Orders", ORDER.primary, ownership="organization", notes=True)

    with pytest.raises(errors.Different) as raised:
        client.schema.create_table(other)

    told = str(raised.value)
    assert "display_name is 'Order', not 'Auftrag'" in told
    assert "ownership is 'UserOwned', not 'OrganizationOwned'" in told
    assert "notes is False, not True" in told


def test_a_key_is_usable_when_its_index_is_built(client, emulator):
    client.schema.create_table(ORDER)
    client.schema.create_column("new_order", COLUMNS[0])
    key = NewKey("new_Number", ("new_number",), "Number")

    assert client.schema.create_key("new_order", key) == "created"
    assert client.schema.create_key("new_order", key) == "unchanged"
    emulator.jobs.advance(60)
    job = client.jobs.get(key_job("new_order", "new_number"), "key")

    assert (job.state, job.status, str(job)) == (
        "completed",
        "succeeded",
        "index of the key new_number of new_order",
    )
    assert client.upsert("new_order", {"new_number": "7"}, {"new_name": "Seven"}).created


def test_a_key_over_equal_rows_fails_and_can_be_begun_anew(client, emulator):
    client.schema.create_table(ORDER)
    client.schema.create_column("new_order", COLUMNS[0])
    twins = [client.create("new_order", {"new_name": str(n), "new_number": "1"}) for n in range(2)]
    key = NewKey("new_Number", ("new_number",))
    client.schema.create_key("new_order", key)
    emulator.jobs.advance(60)
    job = client.jobs.get(key_job("new_order", "new_number"), "key")
    with pytest.raises(errors.JobFailed, match="index of the key new_number of new_order failed: "):
        job.check()

    client.update("new_order", twins[0], {"new_number": "2"})
    assert client.schema.create_key("new_order", key) == "changed"
    emulator.jobs.advance(60)

    found = client.schema.key("new_order", "NEW_number")
    assert found is not None
    assert (found.status, found.columns) == ("Active", ("new_number",))


def test_a_key_over_other_columns_is_a_difference(client):
    client.schema.create_table(ORDER)
    for column in COLUMNS[:3]:
        client.schema.create_column("new_order", column)
    client.schema.create_key("new_order", NewKey("new_Number", ("new_number",)))

    with pytest.raises(errors.Different, match="columns are new_number, not new_number, new_pieces"):
        client.schema.create_key("new_order", NewKey("new_Number", ("new_number", "new_pieces")))


def test_a_key_that_is_gone_is_a_job_that_is_gone(client):
    with pytest.raises(errors.JobGone, match="no key new_gone"):
        client.jobs.get(key_job("account", "new_gone"), "key")


def test_a_choice_is_shared_by_columns_and_grows(client):
    colors = NewChoice("new_colors", {1: "Red", 2: "Blue"}, "Colours")
    assert client.schema.create_choice(colors) == "created"
    client.schema.create_table(ORDER)
    paint = NewColumn("new_Paint", "Picklist", choice="new_colors")
    assert client.schema.create_column("new_order", paint) == "created"
    assert client.schema.create_column("new_order", paint) == "unchanged"

    assert client.schema.add_options({2: "Blue", 3: "Green"}, choice="new_colors") == "changed"
    client.solutions.publish(["new_order"], ["new_colors"])
    assert client.schema.add_options({3: "Green"}, choice="new_colors") == "unchanged"
    assert client.schema.create_choice(colors) == "unchanged"

    client.create("new_order", {"new_name": "Green", "new_paint": 3})
    with pytest.raises(errors.Different, match="option 3 is called 'Green', not 'Grün'"):
        client.schema.add_options({3: "Grün"}, choice="new_colors")
    with pytest.raises(errors.Different, match="shares those of the choice new_colors"):
        client.schema.add_options({4: "Black"}, table="new_order", column="new_paint")


def test_options_of_a_column_grow_too(client):
    client.schema.create_table(ORDER)
    client.schema.create_column("new_order", COLUMNS[11])

    assert client.schema.add_options({3: "Lost"}, table="new_order", column="new_state") == "changed"
    client.solutions.publish(tables=["new_order"])

    assert client.schema.add_options({3: "Lost"}, table="new_order", column="new_state") == "unchanged"
    assert client.create("new_order", {"new_name": "Lost", "new_state": 3})
    for place in ({"table": "new_order", "column": "new_name"}, {"table": "new_order", "column": "new_gone"}):
        with pytest.raises(errors.UnknownColumn, match="no choice column"):
            client.schema.add_options({3: "Lost"}, **place)


def test_change_tracking_is_switched_on_and_labels_changed(client, emulator):
    client.schema.create_table(NewTable("new_Plain", "Plain", "Plains", ORDER.primary))
    assert not client.table("new_plain").change_tracking

    made = client.schema.update_table("new_plain", change_tracking=True, display_name="Simple")
    client.solutions.publish(tables=["new_plain"])

    assert made == "changed"
    assert client.schema.update_table("new_plain", change_tracking=True, display_name="Simple") == "unchanged"
    assert client.table("new_plain").change_tracking
    [sent] = [one for one in emulator.requests if one.method == "PUT"]
    assert sent.headers["mscrm.mergelabels"] == "true"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda schema: schema.create_column("new_gone", COLUMNS[0]), id="column"),
        pytest.param(lambda schema: schema.create_key("new_gone", NewKey("new_K", ("a",))), id="key"),
        pytest.param(lambda schema: schema.update_table("new_gone", change_tracking=True), id="table"),
        pytest.param(lambda schema: schema.update_table("new gone", change_tracking=True), id="no name"),
    ],
)
def test_a_table_that_is_not_there_is_named(client, change):
    with pytest.raises(errors.UnknownTable, match=r"new_gone|new gone"):
        change(client.schema)


def test_a_choice_that_is_not_there_is_named(client):
    client.schema.create_table(ORDER)

    with pytest.raises(errors.NotFound, match="no global choice 'new_gone'"):
        client.schema.create_column("new_order", NewColumn("new_Paint", "Picklist", choice="new_gone"))
    with pytest.raises(errors.NotFound, match="no global choice 'new_gone'"):
        client.schema.add_options({1: "x"}, choice="new_gone")


def test_new_components_are_put_into_the_solution_that_is_named(client, emulator):
    maker = {
        "uniquename": "contosox",
        "friendlyname": "Contoso",
        "customizationprefix": "new",
        "customizationoptionvalueprefix": 12345,
    }
    client.create(
        "solution",
        {
            "uniquename": "contoso",
            "friendlyname": "Contoso",
            "version": "1.0.0.0",
            "publisherid": client.create("publisher", maker),
        },
    )
    inside = WriteOptions(solution="contoso")

    client.schema.create_choice(NewChoice("new_sizes", {1: "S"}), options=inside)
    client.schema.add_options({2: "M"}, choice="new_sizes", options=inside)

    home = client.solutions.get("contoso")
    assert home is not None
    kinds = [
        row["componenttype"]
        for row in emulator.rows("solutioncomponent")
        if row["_solutionid_value"] == home.id
    ]
    assert kinds == [9]


def test_a_lost_answer_is_looked_up_and_made_once(client, emulator):
    client.schema.language  # noqa: B018  # which the answer to be lost is not to be
    emulator.fault("reset", path="/EntityDefinitions$", when="after", count=1)

    assert client.schema.create_table(ORDER) == "created"
    assert changing(emulator).count("POST EntityDefinitions") == 1


def test_something_else_under_way_is_waited_for(client, emulator, clock):
    emulator.jobs.held = True
    client.solutions.start_publish()
    slept = clock.sleep

    def sleep(seconds, stop):
        emulator.jobs.held = False
        emulator.jobs.advance(60)
        slept(seconds, stop)

    clock.sleep = sleep

    assert client.schema.create_table(ORDER) == "created"
    assert clock.slept


def test_something_else_under_way_is_a_passing_error_to_who_does_not_wait(connect, emulator):
    emulator.jobs.held = True
    with connect(retry=RetryPolicy.never()) as hasty:
        hasty.solutions.start_publish()
        with pytest.raises(errors.CustomizationRunning, match="one such operation at a time") as raised:
            hasty.schema.create_table(ORDER)

    assert raised.value.retryable


def test_nothing_is_sent_unless_the_connection_allows_it(connect, emulator):
    with connect(allowed=False) as guarded:
        for change in (
            lambda: guarded.schema.create_table(ORDER),
            lambda: guarded.schema.create_column("account", COLUMNS[0]),
            lambda: guarded.schema.create_key("account", NewKey("new_K", ("name",))),
            lambda: guarded.schema.create_choice(NewChoice("new_c", {1: "x"})),
            lambda: guarded.schema.add_options({1: "x"}, choice="new_c"),
            lambda: guarded.schema.update_table("account", change_tracking=True),
            lambda: guarded.action("InsertOptionValue", {"Value": 1}),
            lambda: guarded.jobs.start("ImportSolutionAsync", {}),
        ):
            with pytest.raises(errors.MetadataChangesOff, match="This connection may not change definitions"):
                change()

    assert not [one for one in emulator.requests if "/api/data/" in one.path]


def test_a_user_without_the_privilege_is_told_which(client, emulator):
    emulator.sign_ins.take_privilege("prvCreateEntity")

    with pytest.raises(errors.Forbidden, match="prvCreateEntity"):
        client.schema.create_table(ORDER)
