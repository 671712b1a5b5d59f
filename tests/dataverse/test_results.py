"""What a source's rows consist of, known before any of them is read."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse import Expand, FetchXml, Query, errors
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.reading.fetch_columns import of_fetch_xml
from airflow_provider_dynamics.dataverse.reading.results import LABEL, TARGET, named, of_query
from tests.dataverse.conftest import alternate_key, attribute, ok, relationship

CONTACT = {
    "LogicalName": "contact",
    "EntitySetName": "contacts",
    "PrimaryIdAttribute": "contactid",
    "Attributes": [
        attribute("contactid", "Uniqueidentifier"),
        attribute("fullname", "String"),
        attribute("creditlimit", "Money"),
        attribute("parentcustomerid", "Customer"),
        attribute("preferredcontactmethodcode", "Picklist"),
        attribute("parties", "PartyList"),
        attribute("objecttypecode", "EntityName"),
    ],
    "Keys": [alternate_key("k", ["fullname"], "Active")],
    "ManyToOneRelationships": [
        relationship("parentcustomerid", "account", "parentcustomerid_account"),
        relationship("parentcustomerid", "contact", "parentcustomerid_contact"),
    ],
}
COLLECTIONS = {
    "account": {
        "OneToManyRelationships": [
            {
                "ReferencedEntityNavigationPropertyName": "contact_customer_accounts",
                "ReferencingEntity": "contact",
            }
        ],
        "ManyToManyRelationships": [
            {
                "Entity1LogicalName": "contact",
                "Entity1NavigationPropertyName": "new_members",
                "Entity2LogicalName": "account",
                "Entity2NavigationPropertyName": "new_members",
            }
        ],
    }
}


class Metadata:
    """Answers for account and contact."""

    def __init__(self, dataverse):
        self.dataverse = dataverse
        self.asked = []

    def send(self, request, stop=None):
        self.asked.append(request.target)
        if "OneToManyRelationships" in request.target:
            return ok(COLLECTIONS.get(request.target.split("'")[1], {}))
        if "LookupAttributeMetadata" in request.target:
            return ok({"value": [{"LogicalName": "new_region", "Targets": ["new_region", "contact"]}]})
        if "'contact'" in request.target and "Metadata" not in request.target:
            return ok(CONTACT)
        return self.dataverse.send(request, stop)


@pytest.fixture
def known(dataverse):
    return Tables(Metadata(dataverse))


def shown(columns):
    return [(column.name, "/".join(column.wire_path), column.type) for column in columns]


def test_a_querys_columns_are_those_selected_with_the_row_id_first(known):
    columns = of_query(Query("account", ["name", "_primarycontactid_value", "name"]), known)
    assert shown(columns) == [
        ("accountid", "accountid", "Uniqueidentifier"),
        ("name", "name", "String"),
        ("primarycontactid", "_primarycontactid_value", "Lookup"),
    ]
    assert columns[1].column == known.whole("account").column("name")


def test_the_row_id_stays_where_it_was_put(known):
    columns = of_query(Query("account", ["name", "accountid"]), known)
    assert [column.name for column in columns] == ["name", "accountid"]


def test_without_a_selection_every_column_that_a_plain_read_returns_is_there(known):
    assert [column.name for column in of_query(Query("contact"), known)] == [
        "contactid",
        "fullname",
        "creditlimit",
        "parentcustomerid",
        "preferredcontactmethodcode",
        "objecttypecode",
    ]


def test_labels_follow_their_columns_under_the_names_of_the_sql_endpoint(known):
    columns = of_query(
        Query("account", ["statecode", "primarycontactid", "new_parentid", "new_topics"], labels=True), known
    )
    assert shown(columns)[1:] == [
        ("statecode", "statecode", "State"),
        ("statecodename", f"statecode{LABEL}", "String"),
        ("primarycontactid", "_primarycontactid_value", "Lookup"),
        ("primarycontactidname", f"_primarycontactid_value{LABEL}", "String"),
        ("new_parentid", "_new_parentid_value", "Customer"),
        ("new_parentidname", f"_new_parentid_value{LABEL}", "String"),
        ("new_parentidtype", f"_new_parentid_value{TARGET}", "String"),
        ("new_topics", "new_topics", "MultiSelectPicklist"),
        ("new_topicsname", f"new_topics{LABEL}", "String"),
    ]


def test_a_lookup_of_several_tables_says_which_it_leads_to(known):
    columns = of_query(Query("account", ["new_region", "primarycontactid"], labels=True), known)
    assert [column.name for column in columns[1:]] == [
        "new_region",
        "new_regionname",
        "new_regiontype",
        "primarycontactid",
        "primarycontactidname",
    ]


def test_a_label_makes_way_for_a_column_of_the_table_that_is_called_so(known, dataverse):
    dataverse.definition["Attributes"].append(attribute("statecodename", "String"))
    dataverse.definition["Attributes"] = [
        found for found in dataverse.definition["Attributes"] if found["AttributeOf"] != "statecode"
    ]
    columns = of_query(Query("account", ["statecode", "statecodename"], labels=True), known)
    assert [column.name for column in columns[1:]] == ["statecode", "statecodename_label", "statecodename"]


@pytest.mark.parametrize(
    "expand",
    [
        (
            "primarycontactid($select=fullname,parentcustomerid;$expand=parentcustomerid_account($select=revenue)),"
            "contact_customer_accounts($select=creditlimit;$filter=contains(fullname,'a,b;(c')),"
            "new_members($select=fullname),ownerid/$ref"
        ),
        [
            Expand(
                "primarycontactid",
                ["fullname", "parentcustomerid"],
                expand=[Expand("parentcustomerid_account", ["revenue"])],
            ),
            Expand("contact_customer_accounts", ["creditlimit"]),
            Expand("new_members", ["fullname"]),
            Expand("ownerid/$ref"),
        ],
    ],
    ids=["as text", "as values"],
)
def test_related_rows_bring_their_columns_and_collections_a_column_of_rows(known, expand):
    columns = of_query(Query("account", ["name"], expand=expand), known)
    assert shown(columns)[2:] == [
        ("primarycontactid.fullname", "primarycontactid/fullname", "String"),
        ("primarycontactid.parentcustomerid", "primarycontactid/_parentcustomerid_value", "Customer"),
        (
            "primarycontactid.parentcustomerid_account.revenue",
            "primarycontactid/parentcustomerid_account/revenue",
            "Money",
        ),
        ("contact_customer_accounts", "contact_customer_accounts", "Collection"),
        ("new_members", "new_members", "Collection"),
        ("ownerid.@odata.id", "ownerid/@odata.id", "String"),
    ]
    assert shown(columns[5].inner) == [("creditlimit", "creditlimit", "Money")]


@pytest.mark.parametrize(
    "expand", ["primarycontactid($select=fullname", "a b", "x($top=many)", "x(select=y)"]
)
def test_an_expand_that_cannot_be_read_is_refused(known, expand):
    with pytest.raises(errors.BadRequest, match="expand cannot be read at"):
        of_query(Query("account", expand=expand), known)


def test_an_unknown_navigation_property_names_the_nearest(known):
    with pytest.raises(errors.UnknownColumn, match="Did you mean 'contact_customer_accounts'"):
        of_query(Query("account", expand="contact_customer_account"), known)


def test_values_are_taken_from_rows_by_the_columns(known):
    query = Query(
        "account",
        ["name"],
        expand="primarycontactid($select=fullname),contact_customer_accounts",
        labels=True,
    )
    row = {
        "@odata.etag": "x",
        "accountid": "1",
        "primarycontactid": None,
        "contact_customer_accounts": [{"contactid": "2", "fullname": "Ada", "@odata.etag": "y"}],
    }
    found = named(row, of_query(query, known))
    assert (found["accountid"], found["name"], found["primarycontactid.fullname"]) == ("1", None, None)
    assert found["contact_customer_accounts"][0]["fullname"] == "Ada"
    assert "@odata.etag" not in found["contact_customer_accounts"][0]


def test_aggregates_and_groups_have_the_types_of_what_they_are_made_of(known):
    apply = (
        "filter(statecode eq 0)/groupby((statecode,primarycontactid/preferredcontactmethodcode),aggregate($count as n,"
        "revenue with sum as total,revenue with average as mean,numberofemployees with sum as heads,"
        "createdon with max as latest,name with countdistinct as names))"
    )
    columns = of_query(Query("account", apply=apply, labels=True), known)
    assert shown(columns) == [
        ("statecode", "statecode", "State"),
        ("statecodename", f"statecode{LABEL}", "String"),
        ("contact_preferredcontactmethodcode", "contact_preferredcontactmethodcode", "Picklist"),
        (
            "contact_preferredcontactmethodcodename",
            f"contact_preferredcontactmethodcode{LABEL}",
            "String",
        ),
        ("n", "n", "BigInt"),
        ("total", "total", "Money"),
        ("mean", "mean", "Decimal"),
        ("heads", "heads", "BigInt"),
        ("latest", "latest", "DateTime"),
        ("names", "names", "BigInt"),
    ]


@pytest.mark.parametrize(
    ("apply", "words"),
    [
        ("filter(statecode eq 0)", "neither groupby"),
        ("groupby((statecode)", "cannot be read"),
        ("aggregate(revenue with sum)", "gives no name to 'revenue with sum'"),
        ("groupby((stateode))", "Did you mean 'statecode'"),
    ],
)
def test_an_apply_that_cannot_be_read_is_refused(known, apply, words):
    with pytest.raises(errors.DataverseError, match=words):
        of_query(Query("account", apply=apply), known)


def fetched(known, inside, fetch="", labels=False):
    document = f"<fetch {fetch}><entity name='account'>{inside}</entity></fetch>"
    return of_fetch_xml(FetchXml(document, labels=labels), known)


def test_a_documents_columns_have_the_names_the_web_api_gives_them(known):
    columns = fetched(
        known,
        """<attribute name='name'/><attribute name='primarycontactid'/><attribute name='ownerid' alias='who'/>
        <link-entity name='contact' from='contactid' to='primarycontactid' alias='c'>
          <attribute name='fullname'/><attribute name='parentcustomerid'/><attribute name='creditlimit' alias='limit'/>
          <link-entity name='account' from='accountid' to='parentcustomerid'><attribute name='revenue'/></link-entity>
        </link-entity>
        <link-entity name='contact' from='contactid' to='ownerid'><attribute name='fullname'/></link-entity>
        <link-entity name='contact' from='contactid' to='ownerid'><attribute name='fullname'/></link-entity>
        <link-entity name='contact' from='parentcustomerid' to='accountid' link-type='any'>
          <attribute name='fullname'/>
        </link-entity>""",
    )
    assert shown(columns) == [
        ("accountid", "accountid", "Uniqueidentifier"),
        ("name", "name", "String"),
        ("primarycontactid", "_primarycontactid_value", "Lookup"),
        ("who", "who", "Owner"),
        ("c.fullname", "c.fullname", "String"),
        ("c.parentcustomerid", "c.parentcustomerid", "Customer"),
        ("limit", "limit", "Money"),
        ("account1.revenue", "account1.revenue", "Money"),
        ("contact.fullname", "contact.fullname", "String"),
        ("contact1.fullname", "contact1.fullname", "String"),
    ]


@pytest.mark.parametrize("inside", ["", "<all-attributes/>"])
def test_a_document_without_attributes_has_all_of_the_tables(known, inside):
    assert [c.name for c in fetched(known, inside)] == [c.name for c in of_query(Query("account"), known)]


def test_a_distinct_document_has_no_row_id_but_its_own_columns(known):
    assert [c.name for c in fetched(known, "<attribute name='name'/>", "distinct='true'")] == ["name"]


def test_an_aggregating_documents_columns_are_its_aliases(known):
    columns = fetched(
        known,
        """<attribute name='accountid' alias='n' aggregate='count'/>
        <attribute name='numberofemployees' alias='heads' aggregate='sum'/>
        <attribute name='revenue' alias='mean' aggregate='avg'/>
        <attribute name='createdon' alias='month' groupby='true' dategrouping='month'/>
        <attribute name='statecode' alias='state' groupby='true'/>
        <attribute name='accountid' alias='below' rowaggregate='CountChildren'/>""",
        "aggregate='true'",
        labels=True,
    )
    assert shown(columns) == [
        ("n", "n", "BigInt"),
        ("heads", "heads", "BigInt"),
        ("mean", "mean", "Decimal"),
        ("month", "month", "Integer"),
        ("state", "state", "State"),
        ("statename", f"state{LABEL}", "String"),
        ("below", "below", "BigInt"),
    ]


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("<attribute name='nme'/>", "Did you mean 'name'"),
        ("<attribute/>", "An <attribute> of account has no name"),
        ("<link-entity from='a' to='b'/>", "A <link-entity> has no name"),
    ],
)
def test_a_name_that_is_wrong_or_missing_in_a_document_is_said(known, inside, words):
    with pytest.raises(errors.DataverseError, match=words):
        fetched(known, inside)


def test_no_row_is_read_for_any_of_it(dataverse):
    metadata = Metadata(dataverse)
    of_query(Query("account", ["name"], expand="primarycontactid", labels=True), Tables(metadata))
    assert all(target.startswith("EntityDefinitions") for target in metadata.asked)
