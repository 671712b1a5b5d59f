"""Change tracking: first read, delta links, deletions, refusals, expiry."""

from __future__ import annotations

import re

import pytest

TRACK = "odata.track-changes"
LINK = re.compile(
    r"https://127\.0\.0\.1:8765/api/data/v9\.2/accounts\?\$select=name&\$deltatoken=\d+%21\d\d%2f\d\d%2f\d{4}%20\d\d%3a\d\d%3a\d\d"
)


def start(service, **more):
    return service.get("accounts?$select=name", prefer=TRACK, **more).json["@odata.deltaLink"]


def read(service, link):
    """All rows, all deletions and the next link."""
    pages = list(service.pages(link))
    entries = [entry for page in pages for entry in page["value"]]
    rows = [entry["name"] for entry in entries if "name" in entry]
    gone = [entry["id"] for entry in entries if "reason" in entry]
    return rows, gone, pages[-1]["@odata.deltaLink"]


def test_the_first_read_brings_all_rows_and_a_link(empty):
    empty.make("accounts", name="A")
    answer = empty.get("accounts?$select=name", prefer=TRACK)
    assert answer.headers["Preference-Applied"] == TRACK
    assert [row["name"] for row in answer.rows] == ["A"]
    assert LINK.fullmatch(answer.json["@odata.deltaLink"])
    assert answer.json["@odata.context"].endswith("$metadata#accounts(name)")


def test_the_link_is_only_on_the_last_page_and_counts_from_the_first(empty):
    for number in range(5):
        empty.make("accounts", name=str(number))
    first = empty.get("accounts?$select=name", prefer=f"{TRACK},odata.maxpagesize=2").json
    assert "@odata.deltaLink" not in first
    late = empty.make("accounts", name="late")
    pages = list(empty.pages(first["@odata.nextLink"], prefer=f"{TRACK},odata.maxpagesize=2"))
    assert ["@odata.deltaLink" in page for page in pages] == [False] * (len(pages) - 1) + [True]
    rows, gone, _ = read(empty, pages[-1]["@odata.deltaLink"])
    assert (rows, gone) == (["late"], [])
    assert late


def test_a_delta_brings_latest_rows_then_deletions(empty):
    kept, dropped = empty.make("accounts", name="A"), empty.make("accounts", name="B")
    link = start(empty)
    empty("PATCH", f"accounts({kept})", {"name": "A1"})
    empty("PATCH", f"accounts({kept})", {"name": "A2"})
    empty("DELETE", f"accounts({dropped})")
    empty.make("accounts", name="C")
    answer = empty.get(link)
    assert answer.json["@odata.context"].endswith("$metadata#accounts(name)/$delta")
    assert [row.get("name") for row in answer.rows] == ["A2", "C", None]
    assert answer.rows[-1] == {
        "@odata.context": "https://127.0.0.1:8765/api/data/v9.2/$metadata#accounts/$deletedEntity",
        "id": dropped,
        "reason": "deleted",
    }
    assert read(empty, answer.json["@odata.deltaLink"])[:2] == ([], [])


def test_a_row_that_came_and_went_is_still_a_deletion(empty):
    link = start(empty)
    row_id = empty.make("accounts", name="A")
    empty("DELETE", f"accounts({row_id})")
    assert read(empty, link)[:2] == ([], [row_id])


def test_a_row_that_went_and_came_back_is_no_deletion(empty):
    row_id = empty.make("accounts", name="A")
    link = start(empty)
    empty("DELETE", f"accounts({row_id})")
    empty.make("accounts", accountid=row_id, name="B")
    assert read(empty, link)[:2] == (["B"], [])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_pages_of_a_delta_lose_nothing(empty, size):
    doomed = [empty.make("accounts", name=f"D{number}") for number in range(4)]
    link = start(empty)
    for number in range(4):
        empty.make("accounts", name=f"N{number}")
    for row_id in doomed:
        empty("DELETE", f"accounts({row_id})")
    pages = list(empty.pages(link, prefer=f"odata.maxpagesize={size}"))
    entries = [entry.get("name") or entry["id"] for page in pages for entry in page["value"]]
    assert entries == ["N0", "N1", "N2", "N3", *doomed]
    assert [("@odata.deltaLink" in page) for page in pages][-1]
    assert max(len(page["value"]) for page in pages) <= size


def test_changes_are_counted(empty):
    row_id = empty.make("accounts", name="A")
    token = start(empty).partition("$deltatoken=")[2]
    empty("DELETE", f"accounts({row_id})")
    empty.make("accounts", name="B")
    assert empty.get(f"accounts/$count?$deltatoken={token}").content == b"\xef\xbb\xbf2"


@pytest.mark.parametrize(
    "option", ["$filter=name eq 'A'", "$orderby=name", "$top=1", "$expand=createdby", "$count=true"]
)
def test_only_select_may_stand_beside_it(empty, option):
    answer = empty.get(f"accounts?{option}", prefer=TRACK)
    assert answer.status == 400
    name = option.partition("=")[0]
    assert answer.message == f'The "{name}" query parameter isn\'t supported when Change Tracking is enabled.'


def test_a_table_without_it_says_so(empty):
    assert empty.get("transactioncurrencies", prefer=TRACK).error == "0x80072491"


def test_a_token_expires_by_age_and_by_the_organizations_setting(empty):
    link = start(empty)
    empty.wait(days=6)
    assert empty.get(link).status == 200
    empty.wait(days=2)
    answer = empty.get(link)
    assert (answer.status, answer.error) == (400, "0x80044352")
    assert answer.message == (
        "Version stamp associated with the client has expired. Please perform a full sync."
    )
    organization = empty.get("WhoAmI").json["OrganizationId"]
    empty("PATCH", f"organizations({organization})", {"expirechangetrackingindays": 30})
    assert empty.get(link).status == 200


def test_tokens_can_be_made_to_expire(empty):
    link = start(empty)
    empty.api.faults.expired_delta = True
    assert empty.get(link).error == "0x80044352"
    empty.api.faults.expired_delta = False
    assert empty.get(link).status == 200
    empty.api.expire_delta_tokens()
    assert empty.get(link).error == "0x80044352"
    assert empty.get(start(empty)).status == 200


def test_a_token_of_before_a_reset_is_not_good_for_long(empty):
    for number in range(3):
        empty.make("accounts", name=str(number))
    link = start(empty)
    empty.api.reset()
    assert empty.get(link).error == "0x80044352"


def test_a_token_that_is_none_is_refused(empty):
    assert empty.get("accounts?$deltatoken=abc").error == "0x80060888"


def test_whole_rows_are_tracked_too(empty):
    empty.make("accounts", name="A")
    assert len(empty.get("accounts", prefer=TRACK).rows[0]) > 80
