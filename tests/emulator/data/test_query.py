"""Reading collections and rows: options, annotations, paging, expands, errors."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

FORMATTED = "OData.Community.Display.V1.FormattedValue"


def names(answer, column="name"):
    return [row[column] for row in answer.rows]


def test_selected_columns_come_with_etag_and_primary_key(sample):
    answer = sample.get("accounts?$select=name,industrycode&$top=2")
    assert answer.json["@odata.context"].endswith("/api/data/v9.2/$metadata#accounts(name,industrycode)")
    assert list(answer.rows[0]) == ["@odata.etag", "name", "industrycode", "accountid"]
    assert re.fullmatch(r'W/"\d+"', answer.rows[0]["@odata.etag"])


def test_without_select_every_column_is_there_and_nulls_are_null(sample):
    row = sample.get("accounts?$top=1").rows[0]
    assert len(row) > 80
    assert row["yominame"] is None
    assert "_primarycontactid_value" in row


def test_a_money_column_brings_its_currency(sample):
    assert "_transactioncurrencyid_value" in sample.get("accounts?$select=revenue&$top=1").rows[0]


def test_users_and_teams_bring_ownerid(sample):
    for entity_set, key in (("systemusers", "systemuserid"), ("teams", "teamid")):
        row = sample.get(f"{entity_set}?$select={key}&$top=1").rows[0]
        assert row["ownerid"] == row[key]


def test_money_keeps_four_decimals_exactly(empty):
    empty.make("accounts", name="A", revenue=Decimal("922337203685476.51"))
    assert b'"revenue":922337203685476.5100,' in empty.get("accounts?$select=revenue").content


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "accounts?$select=nope",
            "Could not find a property named 'nope' on type 'Microsoft.Dynamics.CRM.account'.",
        ),
        (
            "accounts?$filter=nope eq 1",
            "Could not find a property named 'nope' on type 'Microsoft.Dynamics.CRM.account'.",
        ),
        ("accounts?$expand=PrimaryContactId", "Could not find a property named 'PrimaryContactId'"),
        ("accounts?$skip=5", "The query parameter $skip is not supported."),
        ("accounts?$Select=name", "The query parameter $Select is not supported."),
    ],
    ids=[
        "an unknown column",
        "a filter on one",
        "a navigation name in the wrong case",
        "$skip",
        "a wrong case",
    ],
)
def test_bad_options_are_refused_by_odata(sample, path, message):
    answer = sample.get(path)
    assert (answer.status, answer.error) == (400, "0x80060888")
    assert message in answer.message


def test_an_unknown_entity_set_is_named(sample):
    answer = sample.get("acounts")
    assert (answer.status, answer.error) == (404, "0x8006088a")
    assert answer.message == "Resource not found for the segment 'acounts'."


@pytest.mark.parametrize(
    "path",
    [
        "accounts?fetchxml=%3Cfetch/%3E",
        "accounts?savedquery=1",
        "accounts?userquery=1",
        "accounts?sql=SELECT name FROM account",
        "RetrieveMetadataChanges",
    ],
)
def test_what_is_left_out_is_said_plainly(sample, path):
    answer = sample.get(path)
    assert answer.status == 501
    assert answer.message.startswith("not emulated: ")


# -- paging ----------------------------------------------------------------------------------------------


def test_pages_of_a_size_cover_every_row_once(sample):
    pages = list(sample.pages("contacts?$select=fullname", prefer="odata.maxpagesize=10"))
    ids = [row["contactid"] for page in pages for row in page["value"]]
    assert len(ids) == len(set(ids)) == 95
    assert [len(page["value"]) for page in pages] == [10] * 9 + [5]
    assert "@odata.nextLink" not in pages[-1]


@pytest.mark.parametrize(
    "order", ["industrycode", "industrycode desc", "address1_city desc,creditonhold", "revenue"]
)
def test_rows_that_tie_are_neither_repeated_nor_lost(sample, order):
    pages = sample.pages(f"accounts?$select=name&$orderby={order}", prefer="odata.maxpagesize=3")
    ids = [row["accountid"] for page in pages for row in page["value"]]
    assert len(ids) == len(set(ids)) == 40


def test_paging_keeps_the_order_of_a_related_column(sample):
    path = "accounts?$select=name&$expand=primarycontactid($select=fullname)&$orderby=primarycontactid/fullname desc"
    pages = sample.pages(path, prefer="odata.maxpagesize=7")
    found = [row["primarycontactid"] for page in pages for row in page["value"]]
    full_names = [contact["fullname"].lower() if contact else "" for contact in found]
    ascii_names = [name for name in full_names if name.isascii()]
    assert ascii_names == sorted(ascii_names, reverse=True)


@pytest.mark.parametrize(
    ("table", "lookup"), [("account", "primarycontactid"), ("contact", "parentcustomerid")]
)
def test_lookups_sort_by_the_name_of_what_they_point_to(sample, table, lookup):
    # https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/order-rows
    name = f"_{lookup}_value"
    found = sample.pages(
        f"{table}s?$select={name}&$orderby={name} desc",
        prefer='odata.maxpagesize=7,odata.include-annotations="*"',
    )
    rows = [row for page in found for row in page["value"]]
    names = [row.get(f"{name}@OData.Community.Display.V1.FormattedValue", "").lower() for row in rows]
    assert len({row[f"{table}id"] for row in rows}) == len(rows) == len(sample.api.rows(table))
    assert [text for text in names if text.isascii()] == sorted(filter(str.isascii, names), reverse=True)


def test_a_next_link_is_absolute_and_carries_a_cookie_but_no_page_size(sample):
    link = sample.get("accounts?$select=name", prefer="odata.maxpagesize=2").json["@odata.nextLink"]
    assert link.startswith(
        "https://127.0.0.1:8765/api/data/v9.2/accounts?$select=name&$skiptoken=%3Ccookie%20pagenumber=%222%22"
    )
    assert "pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%253caccountid%2520last%253d" in link
    assert link.endswith("%22%20istracking=%22False%22%20/%3E")
    assert "maxpagesize" not in link


def test_a_page_size_makes_top_void(sample):
    answer = sample.get("accounts?$top=1", prefer="odata.maxpagesize=3")
    assert len(answer.rows) == 3
    assert "@odata.nextLink" in answer.json
    assert answer.headers["Preference-Applied"] == "odata.maxpagesize=3"


def test_top_alone_gives_no_link(sample):
    answer = sample.get("accounts?$top=3")
    assert len(answer.rows) == 3
    assert "@odata.nextLink" not in answer.json


def test_a_made_up_skip_token_is_refused(sample):
    assert sample.get("accounts?$skiptoken=abc").error == "0x80060888"


def test_the_default_page_is_five_thousand_rows(grown):
    pages = [len(page["value"]) for page in grown.pages("contoso_shipments?$select=contoso_number")]
    assert pages == [5000, 1200]


def test_counts_stop_at_five_thousand(grown):
    answer = grown.get("contoso_shipments?$top=1&$count=true", prefer='odata.include-annotations="*"')
    assert answer.json["@odata.count"] == 5000
    assert answer.json["@Microsoft.Dynamics.CRM.totalrecordcount"] == 5000
    assert answer.json["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is True
    assert grown.get("contoso_shipments/$count").content == b"\xef\xbb\xbf5000"


# -- annotations -----------------------------------------------------------------------------------------


def test_annotations_stand_before_their_column(empty):
    contact = empty.make("contacts", lastname="Größe")
    empty.make(
        "accounts",
        name="A",
        revenue=1234.5,
        creditonhold=True,
        contoso_services="100000002,100000000",
        contoso_foundedon="1899-12-31",
        **{"primarycontactid@odata.bind": f"/contacts({contact})"},
    )
    row = empty.get("accounts", prefer='odata.include-annotations="*"').rows[0]
    assert row[f"revenue@{FORMATTED}"] == "$1,234.50"
    assert row[f"creditonhold@{FORMATTED}"] == "Yes"
    assert row[f"statecode@{FORMATTED}"] == "Active"
    assert row[f"contoso_services@{FORMATTED}"] == "Installation; Training"
    assert row[f"contoso_foundedon@{FORMATTED}"] == "12/31/1899"
    assert row[f"createdon@{FORMATTED}"] == "6/15/2025 12:00 PM"
    assert row[f"_primarycontactid_value@{FORMATTED}"] == "Größe"
    assert row["_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
    assert (
        row["_primarycontactid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"]
        == "primarycontactid"
    )
    assert f"name@{FORMATTED}" not in row
    members = list(row)
    assert members.index(f"revenue@{FORMATTED}") == members.index("revenue") - 1


def test_only_the_annotations_asked_for_are_sent(sample):
    prefer = 'odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'
    row = sample.get("accounts?$select=_ownerid_value&$top=1", prefer=prefer).rows[0]
    assert list(row) == [
        "@odata.etag",
        "_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname",
        "_ownerid_value",
        "accountid",
    ]


def test_the_total_is_minus_one_when_nobody_counted(sample):
    answer = sample.get("accounts?$top=1", prefer='odata.include-annotations="Microsoft.Dynamics.CRM.*"').json
    assert answer["@Microsoft.Dynamics.CRM.totalrecordcount"] == -1


# -- expand ----------------------------------------------------------------------------------------------


@pytest.fixture
def family(empty):
    """An account with two tasks and two contacts, one of them primary."""
    account = empty.make("accounts", name="Litware")
    about = {"regardingobjectid_account_task@odata.bind": f"/accounts({account})"}
    for number in (1, 2):
        empty.make("tasks", subject=f"Task {number}", **about)
        parent = {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
        contact = empty.make("contacts", firstname="Contact", lastname=str(number), **parent)
    empty("PATCH", f"accounts({account})", {"primarycontactid@odata.bind": f"/contacts({contact})"})
    empty.account = account
    return empty


def test_a_single_level_expand_carries_whole_collections_and_plain_links(family):
    path = "accounts?$select=name&$expand=primarycontactid($select=fullname),Account_Tasks($select=subject)"
    row = family.get(path, prefer="odata.maxpagesize=1").rows[0]
    assert row["primarycontactid"]["fullname"] == "Contact 2"
    assert [task["subject"] for task in row["Account_Tasks"]] == ["Task 1", "Task 2"]
    assert row["Account_Tasks"][0]["_regardingobjectid_value"] == family.account
    assert row["Account_Tasks@odata.nextLink"].endswith(
        f"/accounts({family.account})/Account_Tasks?$select=subject"
    )


def test_a_nested_expand_pages_the_inner_collection(family):
    path = (
        "accounts?$select=name&$expand=Account_Tasks($select=subject),"
        "contact_customer_accounts($select=fullname;$expand=owninguser($select=fullname))"
    )
    row = family.get(path, prefer="odata.maxpagesize=1").rows[0]
    assert len(row["Account_Tasks"]) == 1
    assert "@odata.etag" not in row["Account_Tasks"][0]
    assert row["contact_customer_accounts"][0]["owninguser"]["fullname"] == "System Administrator"
    rest = family.get(row["Account_Tasks@odata.nextLink"], prefer="odata.maxpagesize=1")
    assert [task["subject"] for task in rest.rows] == ["Task 2"]


NESTED = (
    "accounts?$select=name&$expand=Account_Tasks($select=subject;$filter=contains(subject,'Task')),"
    "contact_customer_accounts($select=fullname;$expand=Contact_Tasks($select=subject))"
)


def inner_pages(family, path, prefer):
    """Subjects of the tasks of the one account, page by page, following the inner links."""
    row = family.get(path, prefer=prefer).rows[0]
    yield [task["subject"] for task in row["Account_Tasks"]]
    link = row.get("Account_Tasks@odata.nextLink")
    while link:
        page = family.get(link, prefer=prefer).json
        yield [task["subject"] for task in page["value"]]
        link = page.get("@odata.nextLink")


@pytest.mark.parametrize(
    ("size", "pages"),
    [
        (1, [["Task 1"], ["Task 2"]]),
        (2, [["Task 1", "Task 2"], []]),
        (3, [["Task 1", "Task 2"]]),
    ],
    ids=["less than there are", "as many as there are", "more than there are"],
)
def test_inner_pages_follow_the_page_size_and_a_full_one_has_a_link(family, size, pages):
    assert list(inner_pages(family, NESTED, f"odata.maxpagesize={size}")) == pages


def test_without_a_page_size_nested_collections_are_whole_and_have_no_link(family):
    row = family.get(NESTED).rows[0]
    assert len(row["Account_Tasks"]) == len(row["contact_customer_accounts"]) == 2
    assert not [name for name in row if name.endswith("nextLink")]


def test_an_inner_link_keeps_the_options_and_has_a_cookie_of_its_own(family):
    row = family.get(NESTED, prefer="odata.maxpagesize=1").rows[0]
    link = row["Account_Tasks@odata.nextLink"]
    assert f"/accounts({family.account})/Account_Tasks?$select=subject&$filter=contains(subject" in link
    assert "$skiptoken=%3Ccookie%20pagenumber=%222%22" in link
    assert "countOfRecords%253d%25221%2522" in link
    assert (
        "$expand=Contact_Tasks($select=subject)&$skiptoken="
        in row["contact_customer_accounts@odata.nextLink"]
    )


def test_collections_of_collections_are_cut_too(family):
    contact = family.get("contacts?$select=contactid&$filter=lastname eq '1'").rows[0]["contactid"]
    for number in range(3):
        about = {"regardingobjectid_contact_task@odata.bind": f"/contacts({contact})"}
        family.make("tasks", subject=f"Inner {number}", **about)
    row = family.get(NESTED, prefer="odata.maxpagesize=2").rows[0]
    first = next(row for row in row["contact_customer_accounts"] if row["contactid"] == contact)
    assert len(first["Contact_Tasks"]) == 2
    rest = family.get(first["Contact_Tasks@odata.nextLink"], prefer="odata.maxpagesize=2")
    assert len(rest.rows) == 1


def test_a_plain_link_of_a_single_level_reads_the_same_rows_again(family):
    row = family.get("accounts?$select=name&$expand=Account_Tasks($select=subject)").rows[0]
    again = family.get(row["Account_Tasks@odata.nextLink"]).rows
    assert [task["activityid"] for task in again] == [task["activityid"] for task in row["Account_Tasks"]]


@pytest.mark.parametrize(
    "path",
    [
        "systemusers?$expand=systemuserroles_association,createdby",
        "systemusers?$expand=systemuserroles_association($expand=createdby)",
        "teams?$expand=teammembership_association($select=fullname),createdby($expand=createdby)",
        "accounts?$expand=Account_Tasks($filter=subject eq @p1)&@p1='Task 1'",
    ],
    ids=["beside another", "nested", "beside a nested one", "an alias"],
)
def test_what_the_page_calls_unsupported_without_an_answer_is_not_guessed(sample, path):
    answer = sample.get(path)
    assert answer.status == 501
    assert "not emulated" in answer.message


def test_many_to_many_may_stand_beside_many_to_many(sample):
    path = "systemusers?$select=fullname&$expand=systemuserroles_association($select=name),teammembership_association"
    assert any(row["systemuserroles_association"] for row in sample.get(path).rows)


def test_options_inside_a_collection_expand_are_obeyed(family):
    inside = "$select=subject;$filter=contains(subject,'Task');$orderby=subject desc;$top=1"
    row = family.get(f"accounts?$expand=Account_Tasks({inside})").rows[0]
    assert [task["subject"] for task in row["Account_Tasks"]] == ["Task 2"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("_ownerid_value", 200),
        ("createdby_task/fullname desc", 200),
        ("createdby_task/_businessunitid_value", 501),
    ],
)
def test_related_rows_may_be_sorted_by_what_they_point_to(family, order, expected):
    answer = family.get(f"accounts?$expand=Account_Tasks($select=subject;$orderby={order})")
    assert answer.status == expected


def test_a_long_way_to_what_rows_are_sorted_by_is_gone(sample):
    path = "contacts?$select=fullname&$orderby=parentcustomerid_account/primarycontactid/jobtitle"
    ids = [
        row["contactid"] for page in sample.pages(path, prefer="odata.maxpagesize=9") for row in page["value"]
    ]
    assert len(ids) == len(set(ids)) == len(sample.api.rows("contact"))


def test_a_reference_expand_is_a_link(family):
    row = family.get("accounts?$select=name&$expand=primarycontactid/$ref").rows[0]
    link = f"https://127.0.0.1:8765/api/data/v9.2/contacts({row['_primarycontactid_value']})"
    assert row["primarycontactid"] == {"@odata.id": link}


def test_a_polymorphic_lookup_fills_only_the_property_of_its_table(family):
    row = family.get("tasks?$expand=regardingobjectid_account_task,regardingobjectid_contact_task").rows[0]
    assert row["regardingobjectid_account_task"]["name"] == "Litware"
    assert row["regardingobjectid_contact_task"] is None


def test_the_owner_can_be_expanded_though_it_may_be_user_or_team(family):
    row = family.get("accounts?$select=name&$expand=ownerid($select=fullname)").rows[0]
    assert row["ownerid"]["fullname"] == "System Administrator"


@pytest.mark.parametrize(
    ("expand", "message"),
    [
        ("Account_Tasks/$ref", "Expand with $ref is only supported on lookup type navigation property."),
        (
            "Account_Tasks($top=1),contact_customer_accounts($expand=owninguser)",
            "Only $select and $filter clause",
        ),
        ("primarycontactid($orderby=fullname)", "Only $select and $filter clause"),
        (",".join(["createdby"] * 16), "exceeds the maximum"),
    ],
    ids=["$ref of a collection", "$top beside a nested expand", "$orderby on a lookup", "more than 15"],
)
def test_expands_the_service_refuses(sample, expand, message):
    answer = sample.get(f"accounts?$expand={expand}")
    assert (answer.status, answer.error) == (400, "0x80060888")
    assert message in answer.message


# -- one row ---------------------------------------------------------------------------------------------


def test_a_row_by_id_has_its_etag_as_a_header(family):
    answer = family.get(f"accounts({family.account})?$select=name&$expand=primarycontactid($select=fullname)")
    assert answer.headers["ETag"] == answer.json["@odata.etag"]
    assert answer.json["@odata.context"].endswith(
        "$metadata#accounts(name,primarycontactid(fullname))/$entity"
    )
    assert answer.json["primarycontactid"]["@odata.etag"]


@pytest.mark.parametrize("key", ["{0}", "accountid={0}", "accountnumber='ACC''1'"])
def test_a_row_by_each_kind_of_key(empty, key):
    row_id = empty.make("accounts", name="A", accountnumber="ACC'1")
    assert empty.get(f"accounts({key.format(row_id)})").json["accountid"] == row_id


def test_a_row_by_a_composite_key_of_text_and_number(empty):
    row_id = empty.make("contoso_shipments", contoso_name="S", contoso_ordernumber="SO-1", contoso_position=2)
    path = "contoso_shipments(contoso_position=2,contoso_ordernumber='SO-1')"
    assert empty.get(path).json["contoso_shipmentid"] == row_id


def test_a_missing_row_is_404_with_the_table_first(empty):
    gone = "11111111-1111-1111-1111-111111111111"
    answer = empty.get(f"accounts({gone})")
    assert (answer.status, answer.error) == (404, "0x80040217")
    assert answer.message == f"account With Id = {gone} Does Not Exist"


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("accountnumber='none'", 404, "0x80060891"),
        ("name='x'", 400, "0x80060888"),
        ("nonsense", 400, "0x80060888"),
        ("accountnumber='a/b'", 400, "0x80060888"),
    ],
    ids=["no such row", "no key of the table", "no key at all", "a slash in the value"],
)
def test_wrong_keys(empty, key, status, code):
    answer = empty.get(f"accounts({key})")
    assert (answer.status, answer.error) == (status, code)


def test_users_take_no_named_primary_key(sample):
    user = sample.get("WhoAmI").json["UserId"]
    assert sample.get(f"systemusers(systemuserid={user})").status == 400
    assert sample.get(f"systemusers({user})").status == 200


def test_single_properties_and_their_bare_value(family):
    place = f"accounts({family.account})"
    answer = family.get(f"{place}/name")
    assert answer.json == {
        "@odata.context": f"https://127.0.0.1:8765/api/data/v9.2/$metadata#{place}/name",
        "value": "Litware",
    }
    assert family.get(f"{place}/name/$value").content == b"Litware"
    assert family.get(f"{place}/revenue").status == 204


def test_navigation_leads_to_rows_collections_counts_and_references(family):
    place = f"accounts({family.account})"
    assert family.get(f"{place}/primarycontactid").json["fullname"] == "Contact 2"
    assert family.get(f"{place}/parentaccountid").status == 204
    tasks = family.get(f"{place}/Account_Tasks?$select=subject")
    assert tasks.json["@odata.context"].endswith("$metadata#tasks(subject)")
    assert names(tasks, "subject") == ["Task 1", "Task 2"]
    assert family.get(f"{place}/Account_Tasks/$count").content == b"\xef\xbb\xbf2"
    references = family.get(f"{place}/Account_Tasks/$ref")
    assert references.json["@odata.context"].endswith("#Collection($ref)")
    assert set(references.rows[0]) == {"@odata.id"}
    assert (
        family.get(f"{place}/primarycontactid/$ref").json["@odata.id"].startswith("https://127.0.0.1:8765/")
    )
    assert family.get(f"{place}/nonsense").error == "0x8006088a"


def test_an_unchanged_row_is_304_unless_annotations_or_expands_are_asked_for(family):
    place = f"accounts({family.account})"
    etag = family.get(place).headers["ETag"]
    assert family.get(place, if_none_match=etag).status == 304
    assert family.get(place, if_none_match=etag, prefer='odata.include-annotations="*"').status == 200
    assert family.get(f"{place}?$expand=createdby", if_none_match=etag).status == 200
    assert family.get(place, if_none_match="null").status == 200


def test_a_short_page_still_has_a_link(empty):
    for number in range(3):
        empty.make("accounts", name=str(number))
    empty.api.faults.page_size_limit = 2
    pages = list(empty.pages("accounts?$select=name", prefer="odata.maxpagesize=50"))
    assert [len(page["value"]) for page in pages] == [2, 1]


def test_rows_without_an_order_come_in_sql_servers_order_of_guids(empty):
    # From https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/join-tables
    ids = ["c206f534-dbcc-ed11-b597-000d3a993550", "e9a8c72c-dbcc-ed11-b597-000d3a993550"]
    for row_id in ids:
        empty.make("tasks", activityid=row_id, subject="x")
    assert names(empty.get("tasks"), "activityid") == ids[::-1]
