"""Changes are followed from one link to the next, deletions apart from rows."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse import Deleted, errors

ENVIRONMENT = "https://contoso.crm.dynamics.com"
ROOT = f"{ENVIRONMENT}/api/data/v9.2/"
LINK = f"{ROOT}accounts?$select=name&$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44"
GONE = {
    "@odata.context": f"{ROOT}$metadata#accounts/$deletedEntity",
    "id": "60c4e274-0d87-e711-80e5-00155db19e6d",
    "reason": "deleted",
}


@pytest.fixture
def online(requests_mock, client, definition):
    requests_mock.get(ROOT + "EntityDefinitions(LogicalName='account')", json=definition)
    return client


def test_the_first_time_gives_everything_and_a_link(online, requests_mock):
    first = {"value": [{"name": "a"}], "@odata.nextLink": ROOT + "accounts?$skiptoken=2"}
    last = {"@odata.deltaLink": LINK, "value": [{"name": "b"}]}
    requests_mock.get(ROOT + "accounts", [{"json": first}, {"json": last}])
    pages = list(online.changes("account", select=["name", "primarycontactid"], page_size=1))
    assert [[row["name"] for row in page.rows] for page in pages] == [["a"], ["b"]]
    assert [page.delta_link for page in pages] == [None, LINK]
    asked = [r for r in requests_mock.request_history if r.path.endswith("/accounts")]
    assert asked[0].query.startswith("$select=name,_primarycontactid_value")
    assert {r.headers["Prefer"] for r in asked} == {"odata.track-changes,odata.maxpagesize=1"}


def test_later_the_link_is_used_as_it_is_and_needs_no_metadata(client, requests_mock):
    requests_mock.get(
        ROOT + "accounts", json={"value": [{"name": "a"}, GONE], "@odata.deltaLink": LINK + "2"}
    )
    [page] = client.changes("account", since=LINK)
    assert page.rows == [{"name": "a"}]
    assert page.deleted == [Deleted("60c4e274-0d87-e711-80e5-00155db19e6d", "deleted")]
    assert page.delta_link == LINK + "2"
    assert requests_mock.last_request.url.endswith("$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44")


def test_columns_named_like_a_deletions_members_are_just_columns(client, requests_mock):
    row = {"id": "1", "reason": "deleted", "name": "see accounts/$deletedEntity"}
    requests_mock.get(ROOT + "accounts", json={"value": [row], "@odata.deltaLink": LINK})
    [page] = client.changes("account", since=LINK)
    assert page.rows == [row]
    assert page.deleted == []


def test_an_old_link_is_its_own_error(client, requests_mock):
    fault = {
        "error": {"code": "0x80044352", "message": "Version stamp associated with the client has expired."}
    }
    requests_mock.get(ROOT + "accounts", status_code=400, json=fault)
    with pytest.raises(errors.DeltaLinkExpired, match="in full again"):
        list(client.changes("account", since=LINK))


def test_a_table_that_keeps_no_changes_says_how_to_switch_it_on(requests_mock, client, definition):
    requests_mock.get(
        ROOT + "EntityDefinitions(LogicalName='account')", json={**definition, "ChangeTrackingEnabled": False}
    )
    with pytest.raises(errors.ChangeTrackingOff, match=r"account does not keep.*'Track changes'"):
        list(client.changes("account"))
    assert requests_mock.call_count == 1


def test_the_service_saying_so_is_the_same_error(online, requests_mock):
    fault = {"error": {"code": "0x80072491", "message": "Change tracking is not enabled."}}
    requests_mock.get(ROOT + "accounts", status_code=400, json=fault)
    with pytest.raises(errors.ChangeTrackingOff, match="'Track changes'"):
        list(online.changes("account"))


def test_an_end_without_a_link_is_an_error(online, requests_mock):
    requests_mock.get(ROOT + "accounts", json={"value": [{"name": "a"}]})
    with pytest.raises(errors.BadResponse, match="without a delta link"):
        list(online.changes("account"))


def test_a_link_of_another_environment_is_refused(client, requests_mock):
    with pytest.raises(errors.ForeignLink, match="fabrikam"):
        list(client.changes("account", since=LINK.replace("contoso", "fabrikam")))
    assert requests_mock.call_count == 0


def test_a_column_the_table_lacks_is_noticed_before_anything_is_read(online, requests_mock):
    with pytest.raises(errors.UnknownColumn):
        list(online.changes("account", select=["nme"]))
    assert requests_mock.call_count == 1


def test_a_page_with_deletions_keeps_its_bytes_and_its_rows_are_made_when_they_are_asked_for(
    client, requests_mock
):
    requests_mock.get(ROOT + "accounts", json={"value": [{"name": "a"}, GONE], "@odata.deltaLink": LINK})
    [page] = client.changes("account", since=LINK)
    assert page.deleted == [Deleted(GONE["id"], GONE["reason"])]
    assert b"deletedEntity" in page.body
    assert page.rows == [{"name": "a"}]


def test_a_page_of_changes_that_holds_no_rows_is_refused(client, requests_mock):
    requests_mock.get(ROOT + "accounts", json={"value": ["/$deletedEntity"], "@odata.deltaLink": LINK})
    with pytest.raises(errors.BadResponse):
        list(client.changes("account", since=LINK))
