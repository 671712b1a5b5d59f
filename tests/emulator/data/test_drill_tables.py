"""The tables that lack what readers like to rely on, and delta tokens that grow too old."""

from __future__ import annotations

import pytest

from tests.emulator.data.conftest import Service

TRACK = "odata.track-changes"
TABLES = {
    "drill_untracked": {"createdon", "modifiedon", "versionnumber"},
    "drill_unversioned": {"createdon", "modifiedon"},
    "drill_undated": {"versionnumber"},
    "drill_numbered": {"versionnumber", "drill_sequence"},
    "drill_bare": set(),
}
LACKABLE = {"createdon", "modifiedon", "versionnumber", "drill_sequence"}


@pytest.fixture(scope="module")
def drills():
    return Service("empty", dict.fromkeys(TABLES, 30))


@pytest.mark.parametrize(("table", "columns"), TABLES.items())
def test_a_table_has_what_its_name_leaves_it_in_rows_and_in_metadata(drills, table, columns):
    rows = drills.get(f"{table}s").rows
    listed = drills.get(f"EntityDefinitions(LogicalName='{table}')/Attributes?$select=LogicalName").rows
    assert len(rows) == 30
    assert set(rows[0]) & LACKABLE == columns
    assert {column["LogicalName"] for column in listed} & LACKABLE == columns


@pytest.mark.parametrize(("table", "columns"), TABLES.items())
def test_what_a_table_lacks_cannot_be_asked_for(drills, table, columns):
    for name in LACKABLE:
        expected = 200 if name in columns else 400
        for option in (f"$select={name}", f"$filter={name} ne null", f"$orderby={name}"):
            assert drills.get(f"{table}s?{option}").status == expected


@pytest.mark.parametrize("table", TABLES)
def test_none_of_them_tracks_changes(drills, table):
    definition = drills.get(f"EntityDefinitions(LogicalName='{table}')?$select=ChangeTrackingEnabled").json
    assert definition["ChangeTrackingEnabled"] is False
    answer = drills.get(f"{table}s", prefer=TRACK)
    assert (answer.status, answer.error) == (400, "0x80072491")


@pytest.mark.parametrize("table", TABLES)
def test_rows_come_change_and_go_as_in_any_table(table):
    service = Service("empty")
    row_id = service.make(f"{table}s", drill_name="A")
    before = service.get(f"{table}s({row_id})").json
    service.wait(seconds=5)
    service("PATCH", f"{table}s({row_id})", {"drill_name": "B"})
    after = service.get(f"{table}s({row_id})").json
    changed = {name for name in after if before[name] != after[name]}
    assert changed == {"@odata.etag", "drill_name"} | (TABLES[table] & {"modifiedon", "versionnumber"})
    assert service("DELETE", f"{table}s({row_id})").status == 204
    assert service.get(f"{table}s").rows == []


def test_a_numbered_row_has_a_number_of_its_own_or_none(drills):
    numbers = [row["drill_sequence"] for row in drills.get("drill_numbereds").rows]
    assert numbers.count(None) == 3
    assert len(set(numbers)) == 28


def test_a_key_without_its_index_finds_no_row_and_keeps_none_apart():
    service = Service("empty")
    (key,) = service.get("EntityDefinitions(LogicalName='drill_bare')/Keys").rows
    ids = {service.make("drill_bares", drill_name="A") for _ in range(2)}

    assert (key["KeyAttributes"], key["EntityKeyIndexStatus"]) == (["drill_name"], "Failed")
    assert len(ids) == 2
    assert service.get("drill_bares(drill_name='A')").status == 400


def start(service, entity_set):
    return service.get(f"{entity_set}?$select=name", prefer=TRACK).json["@odata.deltaLink"]


def test_one_table_s_tokens_may_expire_alone():
    service = Service("empty")
    accounts, opportunities = start(service, "accounts"), start(service, "opportunities")
    service.api.expire_delta_tokens("account")
    assert service.get(accounts).error == "0x80044352"
    assert service.get(opportunities).status == 200
    assert service.get(start(service, "accounts")).status == 200


def test_tokens_of_a_table_that_there_is_not_cannot_expire():
    with pytest.raises(KeyError):
        Service("empty").api.expire_delta_tokens("acount")


def test_changes_are_not_lost_between_a_full_read_and_an_expiry():
    service = Service("empty")
    service.api.expire_delta_tokens()
    link = start(service, "accounts")
    service.make("accounts", name="later")
    assert [row["name"] for row in service.get(link).rows] == ["later"]
