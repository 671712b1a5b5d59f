"""FetchXML: columns, aliases, joins, tests of related rows, orders, and what is refused.

The queries are those of Microsoft's pages below
https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/overview.
"""

from __future__ import annotations

import pytest

from tests.emulator.data.fetching import ATTRIBUTE_NAME, CRM, EVERYTHING, FORMATTED, ask, rows

NAME, FULL_NAME = "<attribute name='name'/>", "<attribute name='fullname'/>"


@pytest.fixture(scope="module")
def firms(module_service):
    """Three accounts, three contacts; Ann leads Alpha and Beta, Bob is one of Alpha's, Cid of nobody's."""
    service = module_service
    ann = service.make("contacts", firstname="Ann", lastname="A", annualincome=10)
    cid = service.make("contacts", firstname="Cid", lastname="C", statecode=1)
    lead = {"primarycontactid@odata.bind": f"/contacts({ann})"}
    alpha = service.make("accounts", name="Alpha", revenue=5, fax="1", industrycode=2, **lead)
    beta = service.make("accounts", name="Beta", industrycode=16, accountnumber="7", **lead)
    gamma = service.make("accounts", name="Gamma", industrycode=1)
    parent = {"parentcustomerid_account@odata.bind": f"/accounts({alpha})"}
    bob = service.make("contacts", firstname="Bob", lastname="B", **parent)
    service("PATCH", f"accounts({gamma})", {"parentaccountid@odata.bind": f"/accounts({beta})"})
    service.ids = {"ann": ann, "bob": bob, "cid": cid, "alpha": alpha, "beta": beta, "gamma": gamma}
    return service


def account(inside, **fetch):
    return entity("account", inside, **fetch)


def entity(name, inside, **fetch):
    given = "".join(f" {key}='{value}'" for key, value in fetch.items())
    return f"<fetch{given}><entity name='{name}'>{inside}</entity></fetch>"


def link(name, start, end, inside="", **more):
    given = "".join(f" {key.replace('_', '-')}='{value}'" for key, value in more.items())
    return f"<link-entity name='{name}' from='{start}' to='{end}'{given}>{inside}</link-entity>"


def condition(attribute, operator, value=None, **more):
    more = {"value": value, **more} if value is not None else more
    given = "".join(f" {key}='{text}'" for key, text in more.items())
    return f"<condition attribute='{attribute}' operator='{operator}'{given}/>"


def only(*conditions, kind="and"):
    return f"<filter type='{kind}'>{''.join(conditions)}</filter>"


PRIMARY = ("contact", "contactid", "primarycontactid")
LED = ("account", "primarycontactid", "contactid")
PARENT = ("account", "accountid", "parentcustomerid")


# -- columns ---------------------------------------------------------------------------------------------


def test_null_columns_are_absent_and_the_key_is_always_there(firms):
    answer = ask(firms, account(f"{NAME}<attribute name='accountnumber'/><order attribute='name'/>"))
    assert [list(row) for row in answer.rows] == [
        ["@odata.etag", "name", "accountid"],
        ["@odata.etag", "name", "accountnumber", "accountid"],
        ["@odata.etag", "name", "accountid"],
    ]
    assert answer.json["@odata.context"].endswith("#accounts(name,accountnumber,accountid)")


def test_without_attributes_and_with_all_attributes_every_column_comes(firms):
    some = ask(firms, account(only(condition("name", "eq", "alpha")))).rows
    assert some == ask(firms, account("<all-attributes/>" + only(condition("name", "eq", "alpha")))).rows
    assert {"name", "statecode", "_primarycontactid_value", "createdon", "versionnumber"} <= set(some[0])
    assert None not in some[0].values()


def test_money_brings_its_currency(firms):
    xml = account("<attribute name='revenue'/>" + only(condition("name", "eq", "Alpha")))
    answer = ask(firms, xml)
    assert b'"revenue":5.0000,"_transactioncurrencyid_value":' in answer.content
    listed = "revenue,_transactioncurrencyid_value,transactioncurrencyid,accountid,transactioncurrencyid()"
    assert answer.json["@odata.context"].endswith(f"#accounts({listed})")


def test_values_are_annotated_on_request(firms):
    xml = account("<attribute name='industrycode'/><attribute name='primarycontactid'/>", top=1)
    (row,) = rows(firms, xml, **EVERYTHING)
    assert row == {
        f"industrycode@{FORMATTED}": "Agriculture and Non-petrol Natural Resource Extraction",
        "industrycode": 2,
        f"_primarycontactid_value@{FORMATTED}": "Ann A",
        f"_primarycontactid_value@{CRM}.associatednavigationproperty": "primarycontactid",
        f"_primarycontactid_value@{CRM}.lookuplogicalname": "contact",
        "_primarycontactid_value": firms.ids["ann"],
        "accountid": firms.ids["alpha"],
    }


def test_the_context_names_lookups_behind_the_columns_and_in_brackets(firms):
    xml = account("<attribute name='createdby'/><attribute name='name'/>", top=1)
    context = ask(firms, xml).json["@odata.context"]
    assert context.endswith("#accounts(_createdby_value,name,accountid,createdby,createdby())")
    xml = account("<attribute name='createdby' alias='who'/><attribute name='name' alias='what'/>", top=1)
    assert ask(firms, xml).json["@odata.context"].endswith("#accounts(accountid,createdby,name,createdby())")


def test_aliased_columns_are_annotated_with_their_name(firms):
    xml = account("<attribute name='name' alias='title'/><attribute name='ownerid' alias='who'/>", top=1)
    (row,) = rows(firms, xml, **EVERYTHING)
    owner = row.pop("who")
    assert row == {
        "accountid": firms.ids["alpha"],
        f"title@{ATTRIBUTE_NAME}": "name",
        "title": "Alpha",
        f"who@{ATTRIBUTE_NAME}": "ownerid",
        f"who@{FORMATTED}": "System Administrator",
        f"who@{CRM}.lookuplogicalname": "systemuser",
    }
    assert owner


def test_distinct_rows_have_no_key(firms):
    xml = entity("contact", "<attribute name='statecode'/><order attribute='statecode'/>", distinct="true")
    assert ask(firms, xml, "contacts").rows == [{"statecode": 0}, {"statecode": 1}]


def test_the_rows_directly_below_are_counted(firms):
    xml = account(f"{NAME}<attribute name='accountid' alias='Below' rowaggregate='CountChildren'/>")
    found = rows(firms, xml, **EVERYTHING)
    assert [(row["name"], row["Below"]) for row in found] == [("Alpha", 0), ("Beta", 1), ("Gamma", 0)]
    assert found[1][f"Below@{FORMATTED}"] == "1"


def test_rows_are_counted_on_request(firms):
    for xml, more in (
        (account(NAME, returntotalrecordcount="true", count=1), ""),
        (account(NAME, count=1), "&$count=true"),
    ):
        answer = ask(firms, xml, more=more, **EVERYTHING).json
        assert answer["@odata.count"] == 3
        assert answer[f"@{CRM}.totalrecordcount"] == 3
        assert answer[f"@{CRM}.totalrecordcountlimitexceeded"] is False
    assert ask(firms, account(NAME), **EVERYTHING).json[f"@{CRM}.totalrecordcount"] == -1


# -- linked tables ---------------------------------------------------------------------------------------


def names(found, column="name"):
    return [row[column] for row in found]


def test_an_inner_join_returns_rows_that_match_in_both(firms):
    xml = account(NAME + link(*PRIMARY, FULL_NAME, alias="contact"))
    assert [(row["name"], row["contact.fullname"]) for row in rows(firms, xml)] == [
        ("Alpha", "Ann A"),
        ("Beta", "Ann A"),
    ]


def test_an_outer_join_returns_rows_without_a_match_too(firms):
    xml = account(
        NAME + "<order attribute='name'/>" + link(*PRIMARY, FULL_NAME, alias="c", link_type="outer")
    )
    assert [row.get("c.fullname") for row in rows(firms, xml)] == ["Ann A", "Ann A", None]


def test_a_join_to_many_repeats_the_row(firms):
    xml = entity("contact", FULL_NAME + link(*LED, NAME))
    assert [(row["fullname"], row["account1.name"]) for row in rows(firms, xml, "contacts")] == [
        ("Ann A", "Alpha"),
        ("Ann A", "Beta"),
    ]


def test_without_an_alias_a_joined_table_goes_by_its_own_name(firms):
    xml = account(NAME + link(*PRIMARY, FULL_NAME), top=1)
    assert rows(firms, xml)[0]["contact.fullname"] == "Ann A"


def test_columns_of_a_joined_table_may_have_aliases(firms):
    xml = account(NAME + link(*PRIMARY, "<attribute name='fullname' alias='boss'/>"), top=1)
    assert rows(firms, xml, **EVERYTHING)[0][f"boss@{ATTRIBUTE_NAME}"] == "fullname"


def test_lookups_of_a_joined_table_say_which_table_they_point_to(firms):
    own = "<attribute name='parentcustomerid'/>"
    xml = account(NAME + link("contact", "parentcustomerid", "accountid", own, alias="c"))
    (row,) = rows(firms, xml, **EVERYTHING)
    assert row["c.parentcustomerid"] == firms.ids["alpha"]
    assert row[f"c.parentcustomerid@{CRM}.lookuplogicalname"] == "account"
    assert row[f"c.parentcustomerid@{FORMATTED}"] == "Alpha"
    assert f"c.parentcustomerid@{CRM}.associatednavigationproperty" not in row


def test_amounts_of_a_joined_table_are_formatted_in_their_currency(firms):
    xml = account(NAME + link(*PRIMARY, "<attribute name='annualincome'/>", alias="c"), top=1)
    assert rows(firms, xml, **EVERYTHING)[0][f"c.annualincome@{FORMATTED}"] == "$10.00"


def test_joins_may_be_nested(firms):
    inner = link(*LED, "<attribute name='name' alias='other'/>", alias="led")
    xml = account(NAME + link(*PRIMARY, inner, alias="c") + only(condition("name", "eq", "Alpha")))
    assert sorted(names(rows(firms, xml), "other")) == ["Alpha", "Beta"]


def test_columns_that_are_no_relationship_may_be_joined(firms):
    xml = account(NAME + link("account", "name", "name", "<attribute name='fax'/>", alias="same"))
    assert [row.get("same.fax") for row in rows(firms, xml)] == ["1", None, None]


def test_a_many_to_many_relationship_is_joined_through_its_intersect_table(firms):
    team = link("team", "teamid", "teamid", NAME, alias="team")
    xml = entity(
        "systemuser", FULL_NAME + link("teammembership", "systemuserid", "systemuserid", team), top=2
    )
    assert names(rows(firms, xml, "systemusers"), "team.name") == ["Contoso", "Contoso"]


def test_a_filter_of_an_outer_join_is_part_of_the_join(firms):
    fax = only(condition("fax", "eq", "none"))
    xml = account(NAME + link("account", "accountid", "accountid", fax, alias="a", link_type="outer"))
    assert len(rows(firms, xml)) == 3


def test_a_condition_with_entityname_is_applied_after_the_join(firms):
    xml = entity(
        "contact",
        FULL_NAME
        + only(condition("fax", "null", entityname="a"))
        + link(*PARENT, link_type="outer", alias="a")
        + "<order attribute='fullname'/>",
    )
    assert names(rows(firms, xml, "contacts"), "fullname") == ["Ann A", "Cid C"]


def test_rows_not_in_a_set_are_found_by_an_outer_join(firms):
    joined = link("contact", "parentcustomerid", "accountid", link_type="outer", alias="contact")
    xml = account(NAME + joined + only(condition("parentcustomerid", "null", entityname="contact")))
    assert names(rows(firms, xml)) == ["Beta", "Gamma"]


def test_entityname_may_be_the_name_of_a_table_without_an_alias(firms):
    xml = account(NAME + only(condition("fullname", "eq", "ann a", entityname="contact")) + link(*PRIMARY))
    assert names(rows(firms, xml)) == ["Alpha", "Beta"]


def test_columns_of_two_tables_are_compared(firms):
    xml = account(
        NAME
        + only(condition("name", "ne", valueof="p.name"))
        + link("account", "accountid", "parentaccountid", NAME, alias="p")
    )
    assert [(row["name"], row["p.name"]) for row in rows(firms, xml)] == [("Gamma", "Beta")]


# -- tests of related rows -------------------------------------------------------------------------------

ALPHAS = only(condition("name", "eq", "Alpha"))
GAMMAS = only(condition("name", "eq", "Gamma"))


@pytest.mark.parametrize(
    ("parts", "kind", "expected"),
    [
        (link(*LED, ALPHAS, link_type="any"), "and", ["Ann A"]),
        (link(*LED, GAMMAS, link_type="any"), "and", []),
        (link(*LED, ALPHAS, link_type="any") + condition("statecode", "eq", 1), "or", ["Ann A", "Cid C"]),
        (link(*LED, ALPHAS, link_type="not any"), "and", ["Bob B", "Cid C"]),
        (link(*LED, ALPHAS, link_type="not all"), "and", ["Ann A"]),
        (link(*LED, ALPHAS, link_type="all"), "and", []),
        (link(*LED, GAMMAS, link_type="all"), "and", ["Ann A"]),
        (link(*LED, link_type="any"), "and", ["Ann A"]),
        (
            link(*LED, link("account", "parentaccountid", "accountid", GAMMAS), link_type="any"),
            "and",
            ["Ann A"],
        ),
        (
            link(
                *LED,
                only(link(*PRIMARY, only(condition("fullname", "eq", "Bob B")), link_type="any")),
                link_type="any",
            ),
            "and",
            [],
        ),
    ],
)
def test_related_rows_are_tested_inside_a_filter(firms, parts, kind, expected):
    xml = entity("contact", FULL_NAME + only(parts, kind=kind) + "<order attribute='fullname'/>")
    assert names(rows(firms, xml, "contacts"), "fullname") == expected


@pytest.mark.parametrize("kind", ["exists", "in"])
def test_exists_and_in_return_a_row_once(firms, kind):
    xml = entity("contact", FULL_NAME + link(*LED, only(condition("statecode", "eq", 0)), link_type=kind))
    assert names(rows(firms, xml, "contacts"), "fullname") == ["Ann A"]


def test_the_first_match_gives_its_columns_under_their_schema_names(firms):
    columns = "<attribute name='accountid'/><attribute name='name'/>"
    xml = entity("contact", FULL_NAME + link(*LED, columns, link_type="matchfirstrowusingcrossapply"))
    (row,) = rows(firms, xml, "contacts")
    assert set(row) == {"fullname", "contactid", "AccountId", "Name"}
    assert row["Name"] in {"Alpha", "Beta"}


# -- order -----------------------------------------------------------------------------------------------


def ordered(service, order, inside="", **fetch):
    return names(rows(service, account(NAME + inside + order, **fetch)))


def test_choices_sort_by_label_unless_raw_order_is_asked_for(firms):
    order = "<order attribute='industrycode'/>"
    assert ordered(firms, order) == ["Gamma", "Alpha", "Beta"]  # Accounting, Agriculture, Financial
    assert ordered(firms, order, useraworderby="true") == ["Gamma", "Alpha", "Beta"]
    task = "<attribute name='subject'/><order attribute='prioritycode'/>"
    for subject, priority in (("low", 0), ("normal", 1), ("high", 2)):
        firms.make("tasks", subject=subject, prioritycode=priority)
    assert names(rows(firms, entity("task", task), "tasks"), "subject") == ["high", "low", "normal"]
    raw = entity("task", task, useraworderby="true")
    assert names(rows(firms, raw, "tasks"), "subject") == ["low", "normal", "high"]


def test_lookups_sort_by_the_name_they_point_to(empty):
    for number, (first, name) in enumerate((("Zoe", "One"), ("Ann", "Two"), ("Mia", "Three")), 1):
        row_id = f"00000000-0000-0000-0000-00000000000{number}"
        empty.make("contacts", contactid=row_id, firstname=first, lastname="X")
        empty.make("accounts", name=name, **{"primarycontactid@odata.bind": f"/contacts({row_id})"})
    assert ordered(empty, "<order attribute='primarycontactid'/>") == ["Two", "Three", "One"]
    descending = "<order attribute='primarycontactid' descending='true'/>"
    assert ordered(empty, descending) == ["One", "Three", "Two"]


def test_orders_of_linked_tables_come_last_unless_the_root_names_them(firms):
    own = "<order attribute='fullname'/>"
    joined = link("contact", "statecode", "statecode", own, alias="c")
    xml = account(NAME + joined + "<order attribute='name' descending='true'/>")
    assert names(rows(firms, xml))[:2] == ["Gamma", "Gamma"]
    first = "<order entityname='c' attribute='fullname'/><order attribute='name'/>"
    xml = account(NAME + link("contact", "statecode", "statecode", alias="c") + first)
    assert names(rows(firms, xml))[:4] == ["Alpha", "Beta", "Gamma", "Alpha"]


def test_nothing_sorts_before_everything(firms):
    order = "<order attribute='accountnumber'/><order attribute='name'/>"
    assert ordered(firms, order) == ["Alpha", "Gamma", "Beta"]


# -- what is refused -------------------------------------------------------------------------------------

MANY_LINKS = "".join(link(*PRIMARY, alias=f"c{n}") for n in range(16))
MANY_CONDITIONS = only(*(condition("name", "eq", n) for n in range(501)))


@pytest.mark.parametrize(
    ("xml", "code"),
    [
        ("<fetch><entity name='account'>", "0x80040303"),
        ("<query/>", "0x80040303"),
        ("<fetch/>", "0x80040303"),
        ("<fetch><entity name='account'/><entity name='account'/></fetch>", "0x80040303"),
        ("<fetch><entity/></fetch>", "0x80040303"),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><fetch><entity name='account'/></fetch>", "0x80040303"),
        (account("<column name='name'/>"), "0x80040303"),
        (account("<filter type='xor'/>"), "0x80040303"),
        (account(NAME, distinct="maybe"), "0x80040303"),
        (account(NAME, count="-1"), "0x8004110c"),
        (entity("acount", NAME), "0x80041102"),
        (account(link("acount", "a", "b")), "0x80041102"),
        (account("<attribute name='nope'/>"), "0x80041103"),
        (account("<order attribute='nope'/>"), "0x80041103"),
        (account(only(condition("nope", "null"))), "0x80041103"),
        (account(link("contact", "nope", "primarycontactid")), "0x80041103"),
        (account(link(*PRIMARY, alias="a b")), "0x80041109"),
        (account(only(condition("name", "null", entityname="z"))), "0x8004110a"),
        (account("<order alias='name'/>"), "0x80041132"),
        (account("<attribute name='name' alias='a'/><attribute name='fax' alias='a'/>"), "0x80041130"),
        (account(only(condition("name", "eq", valueof="revenue"))), "0x80041106"),
        (account(only(condition("name", "eq"))), "0x80041108"),
        (account(only(condition("accountid", "eq", "nonsense"))), "0x80040203"),
        (account(only(condition("numberofemployees", "eq", "many"))), "0x80040203"),
        (account(NAME, top=5, page=1), "0x80040203"),
        (account(NAME, top=5, returntotalrecordcount="true"), "0x80040203"),
        (account(NAME, top=5001), "0x80040203"),
        (account(MANY_LINKS), "0x8004430d"),
        (account(MANY_CONDITIONS), "0x8004430c"),
        (entity("contact", FULL_NAME), "0x80060888"),
    ],
)
def test_what_is_wrong_is_refused_with_its_code(firms, xml, code):
    answer = ask(firms, xml)
    assert (answer.status, answer.error) == (400, code), answer.content


def test_a_missing_column_and_table_are_named(firms):
    assert ask(firms, account("<attribute name='nope'/>")).message == (
        "'account' entity doesn't contain attribute with Name = 'nope' and NameMapping = 'Logical'."
    )
    assert "The entity with a name = 'acount'" in ask(firms, entity("acount", NAME)).message


@pytest.mark.parametrize(
    "xml",
    [
        account(NAME, datasource="retained"),
        account(NAME, mapping="internal"),
        account("<attribute name='primarycontactidname'/>"),
        account(link(*PRIMARY, link_type="natural")),
        account(link(*PRIMARY, link_type="any")),
        account(only(link(*PRIMARY, link_type="inner"))),
        account("<link-entity name='contact'/>"),
        account(link(*PRIMARY, link("account", "accountid", "parentcustomerid"), link_type="outer")),
        account(link(*PRIMARY) + link("contact", "contactid", "primarycontactid")),
        account(link("contact", "contactid", "name")),
        account(link(*PRIMARY, FULL_NAME, link_type="exists")),
        account("<order attribute='contoso_services'/>"),
        account("<filter isquickfindfields='1'/>"),
        account(NAME + "<order attribute='fax'/>", distinct="true"),
    ],
)
def test_what_microsoft_does_not_settle_is_not_emulated(firms, xml):
    answer = ask(firms, xml)
    assert (answer.status, answer.message[:14]) == (501, "not emulated: "), answer.content


@pytest.mark.parametrize("more", ["&$select=name", "&$filter=name eq 'A'", "&$top=1", "&$orderby=name"])
def test_other_options_beside_a_document_are_not_emulated(firms, more):
    assert ask(firms, account(NAME), more=more).status == 501


def test_a_page_size_beside_a_document_is_not_emulated(firms):
    assert ask(firms, account(NAME), prefer="odata.maxpagesize=2").status == 501


def test_hints_for_the_database_change_nothing(firms):
    hints = {"latematerialize": "true", "no-lock": "true", "options": "HashJoin", "mapping": "logical"}
    assert rows(firms, account(NAME, **hints)) == rows(firms, account(NAME))
    hinted = account(NAME + "<filter hint='union' type='or'>" + condition("name", "not-null") + "</filter>")
    assert rows(firms, hinted) == rows(firms, account(NAME))


def test_a_linked_table_needs_its_privilege(firms):
    firms.api.faults.privileges_taken.add((None, "prvReadContact"))
    try:
        joined = ask(firms, account(NAME + link(*PRIMARY)))
        tested = ask(firms, account(NAME + only(link(*PRIMARY, link_type="any"))))
        alone = ask(firms, account(NAME))
    finally:
        firms.api.faults.clear()
    assert [answer.status for answer in (joined, tested, alone)] == [403, 403, 200]
    assert "prvReadContact" in joined.message


def test_fetchxml_on_related_rows_is_documented_for_views_only(firms):
    path = f"contacts({firms.ids['ann']})/account_primary_contact"
    assert ask(firms, account(NAME), path).status == 501
