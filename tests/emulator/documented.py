"""What the documented exchanges need to be replayed: rows that are there, corrections of printed slips, exceptions.

Every table here is keyed by the id of a case in `tests/cases`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

from airflow_provider_dynamics.emulator.seed.identities import US_DOLLAR
from airflow_provider_dynamics.emulator.seed.solutions import DEFAULT_PUBLISHER
from tests.emulator import definitions

FOLDER = Path(__file__).parents[1] / "cases"
CASES = {
    case["id"]: case for file in sorted(FOLDER.glob("*.json")) for case in json.loads(file.read_text("utf-8"))
}
ORIGIN_IN_DOC = re.compile(r"\[organi[sz]ation ur[il]\]", re.IGNORECASE)

FIRST = "00000000-0000-0000-0000-000000000001"
SECOND = "00000000-0000-0000-0000-000000000002"
LITWARE = "78914942-34cb-ed11-b596-0022481d68cd"
ADVENTURE = "7a914942-34cb-ed11-b596-0022481d68cd"
ADMINISTRATOR = "4026be43-6b69-e111-8f65-78e7d1620f5e"
TEAM = "39e0dbe4-131b-e111-ba7e-78e7d1620f5e"
SUSANNA = "70bf4d48-34cb-ed11-b596-0022481d68cd"


def account(row_id=FIRST, name="Adventure Works (sample)", **columns):
    return "accounts", {"accountid": row_id, "name": name, **columns}


def contact(row_id, full_name, **columns):
    first, _, last = full_name.partition(" ")
    return "contacts", {"contactid": row_id, "firstname": first, "lastname": last, **columns}


def task(row_id, subject, **columns):
    return "tasks", {"activityid": row_id, "subject": subject, **columns}


def user(row_id, full_name, **columns):
    first, _, last = full_name.partition(" ")
    name = {"firstname": first, "lastname": last, "domainname": f"{row_id}@contoso.example"}
    return "systemusers", {"systemuserid": row_id, **name, **columns}


def shipment(head, number):
    return "contoso_shipments", {
        "contoso_shipmentid": f"{head}4c3f92-312b-ee11-bdf4-000d3a993550",
        "contoso_name": f"sample record 000000{number}",
        "contoso_number": f"000000{number}",
    }


def about_account(row_id=FIRST):
    return {"regardingobjectid_account_task@odata.bind": f"/accounts({row_id})"}


SUSANNA_AT_LITWARE = [
    account(LITWARE, "Litware, Inc. (sample)"),
    contact(
        SUSANNA,
        "Susanna Stubberod (sample)",
        **{"parentcustomerid_account@odata.bind": f"/accounts({LITWARE})"},
    ),
]


def sales_contact(row_id, full_name, job_title, **columns):
    dollars = {"transactioncurrencyid@odata.bind": f"/transactioncurrencies({US_DOLLAR})"}
    return contact(row_id, f"{full_name} (sample)", jobtitle=job_title, **dollars, **columns)


# The contacts of Microsoft's page about paging, of which the two samples show three each.
PAGED_CONTACTS = [
    sales_contact(
        "49b0be2e-d01c-ed11-b83e-000d3a572421", "Yvonne McKay", "Coffee Master", annualincome=45000
    ),
    sales_contact("86bf4d48-34cb-ed11-b596-0022481d68cd", "Thomas Andersen", "Purchasing Manager"),
    sales_contact(SUSANNA, "Susanna Stubberod", "Purchasing Manager"),
    sales_contact("84bf4d48-34cb-ed11-b596-0022481d68cd", "Susan Burk", "Owner"),
    sales_contact("76bf4d48-34cb-ed11-b596-0022481d68cd", "Sidney Higa", "Owner"),
    sales_contact("78bf4d48-34cb-ed11-b596-0022481d68cd", "Scott Konersmann", "Purchasing Manager"),
    sales_contact("7abf4d48-34cb-ed11-b596-0022481d68cd", "Robert Lyon", "Owner"),
]
EXAMPLE_ACCOUNT = "8f390c24-9c72-e511-80d4-00155d2a68d1"


def numbered_account(number, **columns):
    return account(f"{FIRST[:-2]}{number:02}", f"Account {number}", **columns)


# Eight active accounts of 53,750 and an inactive one of 10,000, as the page about aggregates counts them.
AGGREGATED_ACCOUNTS = [
    *(numbered_account(n, revenue=53750) for n in range(8)),
    numbered_account(8, revenue=10000, statuscode=2, statecode=1),
]

# Rows that are there before the request, in the order they are written.
ROWS = {
    "duplicate-on-create-500-older-doc": [
        ("leads", {"subject": "Trucks", "lastname": "Orton", "emailaddress1": "monteorton@example.com"})
    ],
    "disassociate-collection-id-query": [
        account(SECOND),
        (
            "opportunities",
            {"opportunityid": FIRST, "name": "Deal", "customerid_account@odata.bind": f"/accounts({SECOND})"},
        ),
    ],
    "disassociate-patch-nav-null-request": [account(FIRST)],
    "batch-no-changeset-3-creates-1-get": [account(FIRST)],
    "batch-error-stops-400": [account(FIRST)],
    "batch-continue-on-error-200": [account(FIRST)],
    "updatemultiple": [shipment("8f", 1), shipment("90", 2), shipment("91", 3)],
    "upsertmultiple-alternate-key": [shipment("8f", 1), shipment("90", 2)],
    "delta-count-request": [account(FIRST)],
    "conditional-get-304": [account(FIRST)],
    "conditional-delete-if-match-412": [account(FIRST)],
    "update-basic-204": [account(FIRST)],
    "update-put-single-property": [account(FIRST)],
    "delete-record": [account(FIRST)],
    "function-initializefrom": [
        (
            "transactioncurrencies",
            {
                "transactioncurrencyid": "732e87e1-1d96-e711-80e4-00155db75426",
                "currencyname": "Their Dollar",
                "isocurrencycode": "THD",
                "currencysymbol": "$",
                "currencyprecision": 2,
                "exchangerate": 1,
            },
        ),
        account(
            "c65127ed-2097-e711-80eb-00155db75426",
            address1_line1="123 Maple St.",
            address1_city="Seattle",
            address1_country="United States of America",
            **{
                "transactioncurrencyid@odata.bind": "/transactioncurrencies(732e87e1-1d96-e711-80e4-00155db75426)"
            },
        ),
    ],
    "function-odata-id-reference-request": [
        user("af9b3cf6-f654-4cd9-97a6-cf9526662797", "Some User"),
        contact("9f3162f6-804a-e611-80d1-00155d4333fa", "Some Contact"),
    ],
    "action-unbound-winopportunity": [
        account(FIRST),
        (
            "opportunities",
            {
                "opportunityid": "b3828ac8-917a-e511-80d2-00155d2a68d2",
                "name": "Deal",
                "customerid_account@odata.bind": f"/accounts({FIRST})",
            },
        ),
    ],
    "action-bound-addtoqueue": [
        ("queues", {"queueid": "56ae8258-4878-e511-80d4-00155d2a68d1", "name": "Letters"}),
        task("59ae8258-4878-e511-80d4-00155d2a68d1", "A letter"),
    ],
    "action-merge": [
        account("bb8055c0-aea6-ea11-a812-000d3a55d474", "Account 1"),
        account("c38055c0-aea6-ea11-a812-000d3a55d474", "Account 2"),
    ],
    "error-duplicate-detected-412": [account(FIRST, "Sample Account")],
    "file-column-retrieve": [account(FIRST, "Contoso Ltd.")],
    "file-chunked-start": [account(FIRST)],
    "file-download-single": [account(FIRST)],
    "file-too-large-error": [account(FIRST)],
    "query-parameter-alias-request": [
        account(FIRST, revenue=5),
        account(SECOND, "B", revenue=1),
        account(LITWARE, "C"),
    ],
    "query-lookup-annotations": [
        user(ADMINISTRATOR, "System Administrator"),
        ("teams", {"teamid": TEAM, "name": "Owners"}),
        account("1adef0b8-54d3-ed11-a7c7-000d3a993550", **{"ownerid@odata.bind": f"/teams({TEAM})"}),
        account(
            LITWARE, "Litware, Inc. (sample)", **{"ownerid@odata.bind": f"/systemusers({ADMINISTRATOR})"}
        ),
    ],
    "impersonation-createdonbehalfby": [account(FIRST, "Sample Account created using impersonation")],
    "query-expand-single-and-collection": [
        contact(SUSANNA, "Susanna Stubberod (sample)"),
        account(
            LITWARE, "Litware, Inc. (sample)", **{"primarycontactid@odata.bind": f"/contacts({SUSANNA})"}
        ),
        account(ADVENTURE),
        task("f68393c1-34cb-ed11-b597-000d3a993550", "Task 1 for Litware", **about_account(LITWARE)),
    ],
    "query-expand-ref": [
        contact(SUSANNA, "Susanna Stubberod (sample)"),
        contact("72bf4d48-34cb-ed11-b596-0022481d68cd", "Nancy Anderson (sample)"),
        account(
            LITWARE, "Litware, Inc. (sample)", **{"primarycontactid@odata.bind": f"/contacts({SUSANNA})"}
        ),
        account(
            ADVENTURE,
            **{"primarycontactid@odata.bind": "/contacts(72bf4d48-34cb-ed11-b596-0022481d68cd)"},
        ),
        account("7c914942-34cb-ed11-b596-0022481d68cd", "Third"),
    ],
    "query-expand-nested-single-valued": [
        *SUSANNA_AT_LITWARE,
        *(
            task(
                f"{head}-dbcc-ed11-b597-{tail}",
                subject,
                **{"regardingobjectid_contact_task@odata.bind": f"/contacts({SUSANNA})"},
            )
            for head, tail, subject in [
                ("e9a8c72c", "000d3a993550", "Task 1 for Susanna Stubberod"),
                ("c206f534", "000d3a993550", "Task 2 for Susanna Stubberod"),
                ("f0000000", "ffffffffffff", "Task 3 for Susanna Stubberod"),
            ]
        ),
    ],
    "query-expand-nested-collections-inner-paging": [
        *SUSANNA_AT_LITWARE,
        account(ADVENTURE),
        task("be9f6557-e2cc-ed11-b597-000d3a993550", "Task 1 for Litware", **about_account(LITWARE)),
        task("c0000000-e2cc-ed11-b597-ffffffffffff", "Task 2 for Litware", **about_account(LITWARE)),
    ],
    "query-filter-two-level-path-with-expand": [
        contact(SUSANNA, "Susanna Stubberod (sample)"),
        account(
            LITWARE, "Litware, Inc. (sample)", **{"primarycontactid@odata.bind": f"/contacts({SUSANNA})"}
        ),
    ],
    "query-filter-between-function-request": [
        account(FIRST, numberofemployees=50),
        account(SECOND, numberofemployees=1),
    ],
    "query-count-segment": [account(f"{FIRST[:-2]}{n:02}", f"Account {n}") for n in range(10)],
    "query-count-with-totalrecordcount-annotations": [
        *(account(f"{n}00eaf89-f083-e511-80d3-ffffffffffff", f"Other {n} (sample)") for n in range(7, 10)),
        *(account(f"{c}00eaf89-f083-e511-80d3-ffffffffffff", f"Other {c} (sample)") for c in "abcd"),
    ],
    "paging-first-page": [contact("d5026a4d-d01c-ed11-b83e-ffffffffffff", "Third Contact")],
    "retrieve-alternate-key-lookup-request": [
        contact(FIRST, "Nancy Anderson (sample)"),
        account(FIRST, **{"primarycontactid@odata.bind": f"/contacts({FIRST})"}),
    ],
    "retrieve-single-property": [account(FIRST)],
    "retrieve-collection-count-with-bom": [
        account(FIRST),
        *(task(f"{n}0000000-0000-0000-0000-000000000001", f"Task {n}", **about_account()) for n in (1, 2)),
    ],
    "retrieve-expand-single": [
        contact("c59648c3-68f7-e511-80d3-00155db53318", "Nancy Anderson (sample)"),
        account(FIRST, **{"primarycontactid@odata.bind": "/contacts(c59648c3-68f7-e511-80d3-00155db53318)"}),
    ],
    "query-function-lastxhours-request": [account(FIRST)],
    "query-filter-lambda-any-request": [account(FIRST)],
    "upsert-update-alternate-key": [
        (
            "contoso_shipments",
            {"contoso_ordernumber": "2", "contoso_position": 2, "contoso_name": "2:2"},
        ),
    ],
    "upsert-update-return-representation-200": [
        (
            "contoso_shipments",
            {
                "contoso_shipmentid": "ef0d112e-d70e-ed11-82e5-00224822577b",
                "contoso_ordernumber": "3",
                "contoso_position": 3,
                "contoso_name": "3:3",
            },
        ),
    ],
    "fetchxml-page-1": PAGED_CONTACTS,
    "fetchxml-page-2-with-cookie": PAGED_CONTACTS,
    "fetchxml-null-properties-omitted": [
        account("89390c24-9c72-e511-80d4-00155d2a68d1", "Fourth Coffee (sample)", accountnumber="1234"),
        account("8b390c24-9c72-e511-80d4-00155d2a68d1", "Litware, Inc. (sample)"),
        account("8d390c24-9c72-e511-80d4-00155d2a68d1", "Adventure Works (sample)"),
        account(EXAMPLE_ACCOUNT, "Fabrikam, Inc. (sample)"),
    ],
    "choices-fetchxml-not-contain-values": [
        contact(FIRST, "Somebody Else", sample_outdooractivities="1,2"),
    ],
    "user-query-request": [
        (
            "userqueries",
            {
                "userqueryid": "121c6fd8-1975-e511-80d4-00155d2a68d1",
                "name": "My accounts",
                "returnedtypecode": "account",
                "querytype": 0,
                "fetchxml": "<fetch><entity name='account'><attribute name='name'/></entity></fetch>",
            },
        ),
    ],
    "saved-query-on-related-collection-request": [
        account(EXAMPLE_ACCOUNT),
        (
            "opportunities",
            {
                "name": "Deal",
                "customerid_account@odata.bind": f"/accounts({EXAMPLE_ACCOUNT})",
                "parentaccountid@odata.bind": f"/accounts({EXAMPLE_ACCOUNT})",
            },
        ),
    ],
    "apply-groupby-count": AGGREGATED_ACCOUNTS,
    "apply-aggregate-sum": AGGREGATED_ACCOUNTS,
    "apply-groupby-average": AGGREGATED_ACCOUNTS,
    "apply-filter-groupby": [
        *(
            row
            for number, name in enumerate(("Rene Valdes", "Robert Lyon", "Scott Konersmann"), 1)
            for row in (
                contact(f"{FIRST[:-1]}{number}", f"{name} (sample)"),
                numbered_account(
                    number,
                    address1_stateorprovince="WA",
                    **{"primarycontactid@odata.bind": f"/contacts({FIRST[:-1]}{number})"},
                ),
            )
        ),
        numbered_account(9, address1_stateorprovince="CA"),
    ],
    "apply-groupby-three-columns-nulls-omitted": [
        numbered_account(1),
        numbered_account(2, accountcategorycode=1),
        numbered_account(3, accountcategorycode=2),
        numbered_account(4),
        numbered_account(5, statuscode=2, statecode=1),
    ],
}
# Files that are uploaded to a column before the request: column, name, size.
FILES = {
    "file-column-retrieve": ("sample_filecolumn", "25mb.pdf", 25),
    "file-download-single": ("sample_filecolumn", "4094kb.txt", 4_191_273),
}
# A custom API that is running in the background before the request, and how the page writes its id.
BACKGROUND = {
    "background-operation-poll-status-monitor": "{backgroundoperationid}",
    "background-operation-cancel-patch": "<backgroundoperationid value>",
}
# Switches that are set before the request.
FAULTS = {
    "error-plugin-with-annotations-400": {
        "kind": "plugin",
        "table": "account",
        "message": "Create",
        "text": "Example Error Message.",
        "operation_status": "1",
        "sub_error_code": "12345",
        "trace": "\r\n[MyNamespace: MyNamespace.MyClass ]\r\n[52e2dbb9-85d3-ea11-a812-000d3a122b89: "
        "MyNamespace.MyClass : Create of account] \r\n\r\n Entering MyClass plug-in.\r\nStackTrace:\r\n"
        "   at MyNamespace.MyClass.Execute(IServiceProvider serviceProvider)\r\n\r\n",
    },
}
# The samples' own custom tables are played by the emulator's.
SAMPLE_TABLE = {
    "sample_exampleid": "contoso_shipmentid",
    "sample_keyattribute": "contoso_number",
    "sample_name": "contoso_name",
    "sample_example": "contoso_shipment",
}
EXAMPLE_TABLE = {
    "example_key1=2": "contoso_ordernumber='2'",
    "example_key1=3": "contoso_ordernumber='3'",
    "example_key2": "contoso_position",
    "example_name": "contoso_name",
    "example_record": "contoso_shipment",
}
# What is made by changing metadata before the request: path and definition.
_SOLUTION = (
    "solutions",
    {
        "uniquename": "examplesolution",
        "friendlyname": "Example",
        "version": "1.0.0.0",
        "publisherid@odata.bind": f"/publishers({DEFAULT_PUBLISHER})",
    },
)
_BANK_ACCOUNT = ("EntityDefinitions", definitions.table())
_CHOICE = (
    "EntityDefinitions(LogicalName='sample_bankaccount')/Attributes",
    definitions.column(
        "Picklist",
        "sample_Choice",
        OptionSet=definitions.options((727000000, "Bravo"), (727000004, "Charlie")),
    ),
)
_COLORS = {
    **definitions.options((727000000, "Red"), (727000001, "Yellow")),
    "Name": "sample_colors",
    "DisplayName": definitions.label("Colors"),
}
DEFINED = {
    "optionset-insert-option": [_SOLUTION, _BANK_ACCOUNT, _CHOICE],
    "optionset-delete-option": [_BANK_ACCOUNT, _CHOICE],
    "column-create-picklist-global": [_SOLUTION, _BANK_ACCOUNT, ("GlobalOptionSetDefinitions", _COLORS)],
}

RENAMED = {
    "action-bound-addtoqueue": {"CRM.letter": "CRM.task"},
    "updatemultiple": SAMPLE_TABLE,
    "upsertmultiple-alternate-key": SAMPLE_TABLE,
    "bulk-availability-sdkmessagefilters": SAMPLE_TABLE,
    "upsert-update-alternate-key": EXAMPLE_TABLE,
    "upsert-update-return-representation-200": EXAMPLE_TABLE,
}
# Rows taken from the documented response itself.
FROM_RESPONSE = {
    "delta-initial": "accounts",
    "paging-first-page": "contacts",
    "choices-fetchxml-not-contain-values": "contacts",
    "query-count-with-totalrecordcount-annotations": "accounts",
}
# Users who write the rows; where none is named, the emulator's application user does.
WRITERS = {
    "query-expand-nested-single-valued": user(ADMINISTRATOR, "System Administrator"),
    "query-expand-nested-collections-inner-paging": user(ADMINISTRATOR, "System Administrator"),
    "query-filter-two-level-path-with-expand": user(ADMINISTRATOR, "System Administrator"),
    "impersonation-createdonbehalfby": user(
        "75df116d-d9da-e711-a94b-000d3a34ed47",
        "Impersonated User",
        azureactivedirectoryobjectid="e39c5d16-675b-48d1-8e67-667427e9c084",
    ),
}
# Cases of the discovery service, and of an organization on a server of one's own.
LISTED = {"gds-instances-select", "gds-by-unique-name-request"}
INSTANCE = {
    "friendly_name": "Your Organization",
    "url": "https://yourorganization.api.crm.dynamics.com",
    "UniqueName": "unq6bcbf6bf1f2a4ab999012605b314d",
}
ON_PREMISES = {"duplicate-on-create-500-older-doc": "org1"}
# Requests for cases that have none, and corrections of printed mistakes (the case's note says which).
REQUESTS: dict[str, dict[str, object]] = {
    "gds-by-unique-name-request": {
        "path": "/api/discovery/v2.0/Instances(UniqueName='unq6bcbf6bf1f2a4ab999012605b314d')"
        "?$select=ApiUrl,FriendlyName,Id,UniqueName"
    },
    "duplicate-on-create-500-older-doc": {"path": "/api/data/v9.0/leads"},
    "choices-fetchxml-not-contain-values": {
        "path": unquote(CASES["choices-fetchxml-not-contain-values"]["request"]["path"])
    },
    "error-expand-ref-on-collection": {
        "path": "/api/data/v9.2/accounts?$select=name&$expand=Account_Tasks/$ref"
    },
    "error-top-orderby-in-nested-expand": {
        "path": "/api/data/v9.2/accounts?$select=name&$expand=Account_Tasks($select=subject;$top=1),"
        "contact_customer_accounts($select=fullname;$orderby=fullname;$expand=owninguser($select=fullname))"
    },
    "query-count-with-totalrecordcount-annotations": {
        "path": "/api/data/v9.2/accounts?$select=name&$filter=contains(name,'sample')&$count=true"
    },
    "query-filter-lambda-nested-request": {
        "path": "/api/data/v9.2/accounts?$select=name&$filter=(contact_customer_accounts/any(c:c/jobtitle eq 'jobtitle' "
        "and c/opportunity_customer_contacts/any(o:o/description ne 'N/A'))) and endswith(name,'Inc.')"
    },
    "query-expand-ref": {"headers": {"Prefer": "odata.maxpagesize=2"}},
    "file-column-retrieve": {
        "path": f"/api/data/v9.2/accounts({FIRST})?$select=name,sample_filecolumn,sample_filecolumn_name"
    },
    "file-chunked-start": {
        "path": f"/api/data/v9.2/accounts({FIRST})/sample_filecolumn?x-ms-file-name=25mb.pdf"
    },
    "file-download-single": {"path": f"/api/data/v9.2/accounts({FIRST})/sample_filecolumn/$value"},
    "file-too-large-error": {
        "method": "PATCH",
        "path": f"/api/data/v9.2/accounts({FIRST})/sample_filecolumn?x-ms-file-name=big.pdf",
        "body": "abcd",
    },
    "impersonation-createdonbehalfby": {
        "path": f"/api/data/v9.0/accounts({FIRST})?$select=name&$expand="
        + ",".join(
            f"{who}($select=fullname,azureactivedirectoryobjectid)"
            for who in ("createdby", "createdonbehalfby", "owninguser")
        )
    },
}
# Statuses the page leaves out.
STATUS = {
    "error-expand-ref-on-collection": 400,
    "error-top-orderby-in-nested-expand": 400,
    "file-too-large-error": 400,
}
# Slips of the page in what is asserted otherwise: as printed, as it must be.
PRINTED_WRONG = {
    "fetchxml-page-2-with-cookie": (r"<cookie pagenumber=\"2\"", r"<cookie pagenumber=\"3\""),
    "query-expand-ref": ("$select=name%0A", "$select=name"),
    "query-expand-nested-collections-inner-paging": ("subject,description", "subject"),
    "impersonation-createdonbehalfby": ("00000000-0000-0000-000000000003", FIRST),
}
# Members an answer has though the page does not show them: the request asks for each of them.
LEFT_OUT = {
    "fetchxml-page-1": {"@odata.count"},
    "apply-groupby-three-columns-nulls-omitted": {
        f"{column}@OData.Community.Display.V1.FormattedValue"
        for column in ("statecode", "statuscode", "accountcategorycode")
    },
}
# Older pages leave the selected columns out of the context, or name an expanded property twice.
CONTEXT_NOT_ASSERTED = {"create-return-representation-201", "retrieve-expand-single"}
# The page shortens the name of the entity set here.
HEADERS_WRONG = {"elastic-create-session-token": {"odata-entityid"}}
HEADERS_NOT_ASSERTED = {"content-length", "date", "strict-transport-security"}
HEADER_VALUES_ASSERTED = {
    "odata-version",
    "odata-entityid",
    "content-type",
    "preference-applied",
    "vary",
    "cache-control",
    "allow",
    "expires",
}
MADE_BY_SERVICE = {
    "@odata.etag",
    "MetadataId",
    "sdkmessagefilterid",
    "createdon",
    "_transactioncurrencyid_value",
    "@Microsoft.Dynamics.CRM.totalrecordcount",
    "@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded",
}
MAY_BE_ADDED = {"@odata.etag", "@Microsoft.Dynamics.CRM.globalmetadataversion"}
# What differs from one environment to the next, by the case in which it is printed.
OWN_IDS = {
    "file-column-retrieve": {"accountid", "sample_filecolumn"},
    "action-bound-addtoqueue": {"QueueItemId"},
    "create-return-representation-201": {"accountid"},
    "impersonation-createdonbehalfby": {"createdonbehalfby"},
}
