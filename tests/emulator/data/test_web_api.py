"""The door: functions, transactions, reset and seeds, several threads at once, speed's foundations."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_dynamics.emulator.messages import NotEmulated, Request
from airflow_provider_dynamics.emulator.web_api import WebApi
from tests.emulator.data.conftest import ORIGIN


def test_who_am_i_names_user_unit_and_organization(sample):
    answer = sample.get("WhoAmI()").json
    assert answer["@odata.context"].endswith("$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse")
    user = sample.get(f"systemusers({answer['UserId']})").json
    assert user["_businessunitid_value"] == answer["BusinessUnitId"]
    assert sample.get(f"organizations({answer['OrganizationId']})").json["name"] == "contoso"


def test_the_organization_describes_itself(sample):
    detail = sample.get(
        "RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')"
    )
    assert detail.json["Detail"]["UniqueName"] == "contoso"
    assert len(detail.json["Detail"]["Endpoints"]["Keys"]) == detail.json["Detail"]["Endpoints"]["Count"]


def test_rows_are_counted_in_parallel_arrays(sample):
    expected = {"Count": 2, "IsReadOnly": False, "Keys": ["account", "contact"], "Values": [40, 95]}
    inline = sample.get("RetrieveTotalRecordCount(EntityNames=['account','contact'])").json
    assert inline["EntityRecordCountCollection"] == expected
    aliased = sample.get('RetrieveTotalRecordCount(EntityNames=@p1)?@p1=["account","contact"]').json
    assert aliased["EntityRecordCountCollection"] == expected
    assert sample.get("RetrieveTotalRecordCount(EntityNames=['nope'])").error == "0x80041102"


def test_bound_functions_and_unknown_ones_are_not_emulated(sample):
    user = sample.get("WhoAmI").json["UserId"]
    assert sample.get(f"systemusers({user})/Microsoft.Dynamics.CRM.RetrieveTeamPrivileges()").status == 501
    assert sample.get("GetAllTimeZonesWithDisplayName(LocaleId=1033)").status == 501


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/data/v9.0/WhoAmI", 200),
        ("/api/data/v9.1/WhoAmI", 200),
        ("/api/data/v9.2/WhoAmI", 200),
        ("/contoso/api/data/v9.2/WhoAmI", 200),
        ("/api/data/v8.2/WhoAmI", 404),
    ],
)
def test_versions_and_the_path_prefix_of_on_premises(sample, path, status):
    request = Request("GET", path, "", {}, b"", "https://h")
    response = sample.api.handle(request)
    assert response.status == status
    if status == 200:
        assert f"https://h{path.removesuffix('/WhoAmI')}/$metadata#".encode() in response.body


def test_requests_of_one_transaction_stand_or_fall_together(empty):
    def half_done():
        with empty.api.transaction():
            empty.make("accounts", name="A")
            assert empty("POST", "accounts", {"nope": 1}).status == 400
            raise NotEmulated("the rest")

    with pytest.raises(NotEmulated):
        half_done()
    assert empty.get("accounts").rows == []
    with empty.api.transaction():
        empty.make("accounts", name="A")
        empty.make("accounts", name="B")
    assert len(empty.get("accounts").rows) == 2


def test_another_thread_waits_for_a_transaction(empty):
    started, seen = threading.Event(), []

    def read():
        started.set()
        seen.append(len(empty.get("accounts").rows))

    with empty.api.transaction():
        empty.make("accounts", name="A")
        reader = threading.Thread(target=read)
        reader.start()
        started.wait()
        empty.make("accounts", name="B")
    reader.join()
    assert seen == [2]


def test_threads_write_without_losing_or_mixing_rows(empty):
    def write(number):
        row_id = empty.make("accounts", name=f"A{number}", accountnumber=f"N{number}")
        empty("PATCH", f"accounts({row_id})", {"numberofemployees": number})
        return empty.get(f"accounts({row_id})").json["numberofemployees"] == number

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(80)))
    versions = [row["versionnumber"] for row in empty.get("accounts").rows]
    assert len(set(versions)) == 80


def test_upserts_of_one_key_by_many_threads_make_one_row(empty):
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: (
                    empty(
                        "PATCH",
                        "accounts(accountnumber='N')",
                        {"numberofemployees": number},
                        prefer="return=representation",
                    ).status
                ),
                range(40),
            )
        )
    assert sorted(answers) == [200] * 39 + [201]


def test_reset_brings_back_the_seed(empty):
    empty.make("accounts", name="A")
    empty.api.reset()
    assert empty.get("accounts").rows == []
    assert empty.get("WhoAmI").status == 200
    empty.api.seed("sample")
    assert len(empty.api.rows("account")) == 40
    empty.make("accounts", name="A")
    empty.api.reset()
    assert len(empty.api.rows("account")) == 40


def test_unknown_seeds_and_tables_are_refused(empty):
    with pytest.raises(ValueError, match="There is no seed 'nope'; there are: sample, empty"):
        empty.api.seed("nope")
    with pytest.raises(ValueError, match="Rows cannot be made for 'systemuser'"):
        empty.api.seed("empty", {"systemuser": 5})


def test_the_sample_is_the_same_in_every_run(sample):
    again = WebApi("sample", now=lambda: sample.now)
    for table in ("account", "contact", "lead", "opportunity", "incident", "task", "contoso_shipment"):
        assert again.rows(table) == sample.api.rows(table)


def test_the_sample_holds_what_breaks_naive_code(sample):
    accounts, contacts = sample.api.rows("account"), sample.api.rows("contact")
    assert any("ü" in row["name"] for row in accounts)
    assert any('"' in row["name"] and "'" in row["name"] for row in accounts)
    assert any("🚀" in row["name"] for row in accounts)
    assert max(len(row["description"] or "") for row in accounts) == 2000
    assert min(row["marketcap"] or 0 for row in accounts) < 0
    assert min(row["contoso_foundedon"] for row in accounts) == "1753-01-01"
    assert min(row["birthdate"] for row in contacts if row["birthdate"]) < "1900"
    assert all(row["yominame"] is None for row in accounts)
    assert any(row["_parentcustomerid_value"] is None for row in contacts)
    shipments = sample.api.rows("contoso_shipment")
    assert {row["contoso_unitcost"] for row in shipments} == {0.0049, 19.9999, -3.5, 1234.5678}


@pytest.mark.parametrize(
    "table", ["account", "contact", "lead", "opportunity", "incident", "task", "contoso_shipment"]
)
def test_grown_rows_are_as_good_as_written_ones(empty, table):
    empty.api.seed("empty", {table: 30})
    rows = empty.api.rows(table)
    assert len(rows) == 30
    definition = empty.get(f"EntityDefinitions(LogicalName='{table}')").json
    place = f"{definition['EntitySetName']}({rows[7][definition['PrimaryIdAttribute']]})"
    assert empty("PATCH", place, {}).status == 204
    after = empty.get(place).json
    assert {name for name in rows[7] if rows[7][name] != after[name]} <= {
        "@odata.etag",
        "versionnumber",
        "modifiedon",
        "_modifiedby_value",
    }


def test_a_reset_brings_back_rows_relations_and_versions_exactly(empty):
    empty.api.seed("sample", {"account": 40})
    before = {table: empty.api.rows(table) for table in ("account", "contact", "systemuser")}
    doomed = before["account"][0]["accountid"]
    empty("DELETE", f"accounts({doomed})")
    empty.make("accounts", name="New")
    empty.api.reset()
    assert {table: empty.api.rows(table) for table in before} == before
    first = empty.get(f"accounts({empty.make('accounts', name='New')})").json["versionnumber"]
    empty.api.reset()
    assert empty.get(f"accounts({empty.make('accounts', name='New')})").json["versionnumber"] == first
    empty.api.seed("empty")
    empty.api.reset()
    assert empty.api.rows("account") == []


def test_a_reset_of_more_rows_than_are_kept_twice_fills_the_tables_anew():
    api = WebApi("sample", {"account": 40}, most_kept=0)
    before = api.rows("account")
    api.handle(Request("DELETE", f"/api/data/v9.2/accounts({before[0]['accountid']})", "", {}, b"", ORIGIN))
    assert len(api.rows("account")) == 39
    api.reset()
    assert [row["accountid"] for row in api.rows("account")] == [row["accountid"] for row in before]


def test_growing_counts_the_rows_that_are_there(empty):
    empty.api.seed("sample", {"account": 100})
    rows = empty.api.rows("account")
    assert len(rows) == len({row["accountnumber"] for row in rows}) == 100


def test_the_finished_json_of_a_row_says_the_same_as_its_columns(sample):
    from airflow_provider_dynamics.emulator.schema import TABLES

    for table in TABLES.values():
        select = ",".join(column.wire for column in table.whole)
        finished = sample.get(f"{table.set_name}").rows
        composed = sample.get(f"{table.set_name}?$select={select}").rows
        assert finished == composed
