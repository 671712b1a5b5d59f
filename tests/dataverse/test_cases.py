"""The exchanges Microsoft's documentation prints: the client asks in those words and understands those answers.

The exchanges are data in `tests/cases`. What the client has no words for yet is listed with its reason, and
the list only shrinks.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import canonicalize, tostring

import pytest
from defusedxml.ElementTree import fromstring

from airflow_provider_dynamics.dataverse import Expand, FetchXml, Query, Request, Upserted, column, errors
from airflow_provider_dynamics.dataverse.protocol.answers import from_response
from airflow_provider_dynamics.dataverse.reading.fetch_xml import Place, cookie_of
from airflow_provider_dynamics.dataverse.transport.batch import parts

ENVIRONMENT = "https://yourorg.api.crm.dynamics.com"
CASES = {
    case["id"]: case
    for path in sorted((Path(__file__).parent.parent / "cases").glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
}
FIRST = "00000000-0000-0000-0000-000000000001"
SAMPLE = {
    "name": "Updated Sample Account ",
    "creditonhold": True,
    "address1_latitude": 47.639583,
    "description": "This is the updated description of the sample account",
    "revenue": 6000000,
    "accountcategorycode": 2,
}

UNSUPPORTED = {
    "elastic-create-session-token": "session tokens of elastic tables are not kept",
    "delta-count-request": "the number of changes alone cannot be asked for",
    "delta-enabled-tables-request": "tables are looked up one by one",
    "conditional-get-304": "reading on condition has no use in a pipeline",
    "create-return-representation-201": "a create returns the id, not the row",
    "gds-by-unique-name-request": "environments are listed, not looked up",
    "fetchxml-null-properties-omitted": "the page prints JSON that is none",
    "user-query-request": "a view is read as the FetchXML it holds, which pages by its cookie",
    "saved-query-on-related-collection-request": "a view is read as the FetchXML it holds",
    "file-column-retrieve": "the page's id is a placeholder",
    "query-function-lastxhours-request": "parameter aliases are not sent; a filter holds its values",
    "impersonation-createdonbehalfby": "the page's id is not a GUID",
    "meta-entitydefinition-select": "a table is asked for with everything the client needs",
    "meta-filter-enum-request": "tables are looked up one by one",
    "meta-expand-attributes-request": "a table is asked for with everything the client needs",
    "meta-picklist-cast-request": "labels of choices come as annotations",
    "meta-required-level-filter-request": "required columns are the service's to check",
    "meta-attribute-picklist-optionset": "labels of choices come as annotations",
    "optionset-insert-option": "metadata is read, not changed",
    "optionset-delete-option": "metadata is read, not changed",
    "column-create-picklist-global": "metadata is read, not changed",
    "meta-relationships-cast-request": "relationships are read with their table",
    "service-document": "tables are looked up one by one",
    "query-parameter-alias-request": "parameter aliases are not sent; a filter holds its values",
    "query-count-with-totalrecordcount-annotations": "the page misprints the request",
    "query-count-segment": "a count comes with a page",
    "retrieve-single-property": "columns are read with the row",
    "retrieve-collection-count-with-bom": "a count comes with a page",
    "upsert-update-alternate-key": "an upsert always asks which of the two it was",
}
MOST_UNSUPPORTED = 29  # may only be lowered


BY_NAME = FetchXml(
    """<fetch>
      <entity name='contact'>
        <attribute name='fullname'/><attribute name='jobtitle'/><attribute name='annualincome'/>
        <order descending='true' attribute='fullname'/>
      </entity>
    </fetch>""",
    page_size=3,
)
ACTIVITIES = """
    <fetch distinct='false' no-lock='false' mapping='logical'><entity name='contact'>
      <attribute name='fullname' /><attribute name='sample_outdooractivities' />
      <filter type='and'>
        <condition attribute='sample_outdooractivities' operator='not-contain-values'><value>2</value></condition>
      </filter>
    </entity></fetch>"""


COOKIE = cookie_of(
    CASES["fetchxml-page-1"]["response"]["body"]["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"]
)


def only(pages):
    [page] = pages
    return page.rows


def first(pages):
    return next(iter(pages)).rows


def applied(apply):
    return lambda c: only(c.pages(Query("account", apply=apply, annotations=True)))


# What reads as documented: the case's id -> what to call.
READS = {
    "paging-first-page": lambda c: next(c.pages(Query("contact", ["fullname"], page_size=2))).rows,
    "delta-initial": lambda c: only(c.changes("account", ["name", "accountnumber", "telephone1", "fax"])),
    "query-lookup-annotations": lambda c: only(
        c.pages(Query("account", ["name", "ownerid"], top=2, annotations=True))
    ),
    "query-expand-single-and-collection": lambda c: first(
        c.pages(
            Query(
                "account",
                ["name"],
                expand=[Expand("primarycontactid", ["fullname"]), Expand("Account_Tasks", ["subject"])],
                page_size=1,
            )
        )
    ),
    "query-expand-ref": lambda c: (
        next(c.pages(Query("account", ["name"], expand="primarycontactid/$ref"))).rows
    ),
    "query-expand-nested-single-valued": lambda c: (
        next(
            c.pages(
                Query(
                    "task",
                    ["subject"],
                    expand="regardingobjectid_contact_task($select=fullname;$expand=parentcustomerid_account"
                    "($select=name;$expand=createdby($select=fullname)))",
                    page_size=2,
                )
            )
        ).rows
    ),
    "query-filter-two-level-path-with-expand": lambda c: only(
        c.pages(
            Query(
                "account",
                ["name", "primarycontactid"],
                filter=column("primarycontactid/createdby/fullname") == "System Administrator",
                expand="primarycontactid($select=fullname,_createdby_value;$expand=createdby($select=fullname))",
                top=1,
                annotations=True,
            )
        )
    ),
    "query-filter-between-function-request": lambda c: only(
        c.pages(
            Query(
                "account",
                ["name", "numberofemployees"],
                filter=column("numberofemployees").between(5, 2000),
            )
        )
    ),
    "query-filter-lambda-any-request": lambda c: only(
        c.pages(Query("account", ["name"], filter="Account_Emails/any(e:contains(e/subject,'sometext'))"))
    ),
    "query-filter-lambda-nested-request": lambda c: only(
        c.pages(
            Query(
                "account",
                ["name"],
                filter="(contact_customer_accounts/any(c:c/jobtitle eq 'jobtitle' andc/opportunity_customer_contacts/"
                "any(o:o/description ne 'N/A'))) andendswith(name,'Inc.')",  # as the page prints it
            )
        )
    ),
    "apply-groupby-count": applied("groupby((statuscode),aggregate($count as count))"),
    "apply-aggregate-sum": applied("aggregate(revenue with sum as total)"),
    "apply-groupby-average": applied("groupby((statuscode),aggregate(revenue with average as averagevalue))"),
    "apply-filter-groupby": lambda c: only(
        c.pages(
            Query(
                "account",
                filter=column("address1_stateorprovince") == "WA",
                apply="groupby((primarycontactid/fullname))",
            )
        )
    ),
    "apply-groupby-three-columns-nulls-omitted": applied(
        "groupby((statecode,statuscode,accountcategorycode))"
    ),
    "fetchxml-page-2-with-cookie": lambda c: first(c.pages(BY_NAME, after=Place(2, COOKIE).position)),
    "choices-fetchxml-not-contain-values": lambda c: only(c.pages(FetchXml(ACTIVITIES, labels=True))),
    "retrieve-expand-single": lambda c: [
        c.get("account", FIRST, ["name"], expand="primarycontactid($select=contactid,fullname)")
    ],
    "retrieve-alternate-key-lookup-request": lambda c: [c.get("account", {"primarycontactid": FIRST})],
}

# What writes as documented, and what the client makes of the answer.
WRITES = {
    "disassociate-patch-nav-null-request": (
        lambda c: c.update("account", FIRST, {"parentaccountid": None, "primarycontactid": None}),
        None,
    ),
    "updatemultiple": (
        lambda c: [
            outcome.error for outcome in c.bulk("sample_example", targets("updatemultiple"), "update")
        ],
        [None] * 3,
    ),
    "upsertmultiple-alternate-key": (
        lambda c: [
            outcome.error
            for outcome in c.bulk(
                "sample_example",
                [
                    {"sample_keyattribute": f"000000{n}", "sample_name": f"sample record 000000{n}"}
                    for n in (1, 2, 3, 4)
                ],
                "upsert",
                key=["sample_keyattribute"],
            )
        ],
        [None] * 4,
    ),
    "update-basic-204": (lambda c: c.update("account", FIRST, SAMPLE), None),
    "conditional-patch-if-match-star-404": (lambda c: c.update("account", FIRST, SAMPLE), errors.NotFound),
    "delete-record": (lambda c: c.delete("account", FIRST), None),
    "upsert-update-return-representation-200": (
        lambda c: c.upsert(
            "example_record", {"example_key1": 3, "example_key2": 3}, {"example_name": "3:3 Updated"}
        ),
        Upserted("ef0d112e-d70e-ed11-82e5-00224822577b", created=False),
    ),
}

# Errors, whatever was asked.
ERRORS = {
    "error-plugin-with-annotations-400": (errors.PluginRefused, "Example Error Message."),
    "error-duplicate-detected-412": (errors.Conflict, "already exists."),
    "duplicate-on-create-500-older-doc": (errors.Conflict, "already exists."),
    "error-expand-ref-on-collection": (errors.BadRequest, "Expand with $ref"),
    "error-top-orderby-in-nested-expand": (errors.BadRequest, "Only $select and $filter"),
    "file-too-large-error": (errors.TooLarge, "Attachment file size"),
}
ALONE = {
    "whoami-full-response-headers",
    "bulk-availability-sdkmessagefilters",
    "fetchxml-page-1",
    "query-expand-nested-collections-inner-paging",
    "batch-no-changeset-3-creates-1-get",
    "batch-error-stops-400",
    "batch-continue-on-error-200",
    "file-chunked-start",
    "file-download-single",
    "background-operation-poll-status-monitor",
    "background-operation-cancel-patch",
    # in test_discovery.py
    "gds-instances-select",
    # in test_documented_operations.py
    "disassociate-collection-id-query",
    "update-put-single-property",
    "conditional-delete-if-match-412",
    "header-bypass-business-logic-request",
    "header-suppress-flows-request",
    "header-bypass-step-ids-request",
    "action-unbound-winopportunity",
    "action-bound-addtoqueue",
    "action-merge",
    "function-inline-params-request",
    "function-odata-id-reference-request",
    "function-initializefrom",
    "batch-content-id-before-declared-400",
}

LOOKUPS = {
    "account": {"ownerid": "systemuser", "primarycontactid": "contact", "parentaccountid": "account"},
    "contact": {"createdby": "systemuser"},
}
COLLECTIONS = {"account": {"Account_Tasks": "task"}}
COLUMNS = {
    "account": (
        "accountid name accountnumber telephone1 fax numberofemployees:Integer address1_stateorprovince "
        "statuscode:Status revenue:Money sample_filecolumn:File"
    ),
    "contact": "contactid fullname jobtitle annualincome:Money sample_outdooractivities",
    "systemuser": "systemuserid fullname",
    "task": "activityid subject",
    "sample_example": "sample_exampleid sample_name sample_keyattribute",
    "example_record": "example_recordid example_name example_key1:Integer example_key2:Integer",
}
KEYS = {
    "account": ["primarycontactid"],
    "sample_example": ["sample_keyattribute"],
    "example_record": ["example_key1", "example_key2"],
}


def targets(case):
    return [
        {k: v for k, v in row.items() if "@" not in k} for row in CASES[case]["request"]["body"]["Targets"]
    ]


def definition(table):
    """Return metadata with just the columns the cases name."""
    columns = [column.partition(":") for column in COLUMNS[table].split()]
    lookups = LOOKUPS.get(table, {})
    attributes = [
        {"LogicalName": n, "AttributeType": k or "String", "IsValidForRead": True} for n, _, k in columns
    ]
    attributes += [{"LogicalName": name, "AttributeType": "Lookup"} for name in lookups]
    key = {"LogicalName": "key", "KeyAttributes": KEYS.get(table, []), "EntityKeyIndexStatus": "Active"}
    return {
        "LogicalName": table,
        "EntitySetName": f"{table}s",
        "PrimaryIdAttribute": columns[0][0],
        "ChangeTrackingEnabled": True,
        "Attributes": attributes,
        "Keys": [key] if table in KEYS else [],
        "ManyToOneRelationships": [
            {
                "ReferencingAttribute": name,
                "ReferencedEntity": target,
                "ReferencingEntityNavigationPropertyName": name,
            }
            for name, target in lookups.items()
        ],
        "OneToManyRelationships": [
            {"ReferencedEntityNavigationPropertyName": name, "ReferencingEntity": target}
            for name, target in COLLECTIONS.get(table, {}).items()
        ],
    }


def body_of(case):
    """Return the documented answer's bytes, with this test's environment in its links."""
    response = case["response"] or {}
    text = response.get("body_text") or ""
    if not text and response.get("body") is not None:
        text = response["body"] if isinstance(response["body"], str) else json.dumps(response["body"])
    return re.sub(r"\[Organization UR[IL]\]", ENVIRONMENT, text, flags=re.IGNORECASE)


@pytest.fixture
def replay(make_client, requests_mock):
    """Return a function that answers everything with a case's answer and returns what was asked beside metadata."""

    def prepare(case):
        request = case["request"]
        version = request["path"].partition("/api/data/")[2].partition("/")[0]
        root = f"{ENVIRONMENT}/api/data/{version}/"
        status = (case["response"] or {}).get("status") or (200 if request["method"] == "GET" else 204)
        text = body_of(case) or ('{"value": []}' if request["method"] == "GET" else "")
        requests_mock.register_uri(
            request["method"], re.compile(re.escape(root)), text=text, status_code=status
        )
        for table in COLUMNS:
            requests_mock.get(f"{root}EntityDefinitions(LogicalName='{table}')", json=definition(table))
        requests_mock.get(f"{root}sdkmessagefilters", json={"value": [{"sdkmessagefilterid": "1"}]})
        return make_client(ENVIRONMENT, api_version=version)

    return prepare


def asked(requests_mock):
    found = [
        request
        for request in requests_mock.request_history
        if "entitydefinitions" not in request.path and "sdkmessagefilters" not in request.path
    ]
    return found[0]


def same_address(sent, documented):
    """Compare address and query options, whatever their order and escaping."""

    def parts(text):
        address = urlsplit(text)
        path = unquote(address.path).removesuffix("()")
        options = [option for option in address.query.split("&") if option and not option.startswith("tag=")]
        return path, sorted(same_xml(unquote(option)) for option in options)

    return parts(sent) == parts(documented)


def same_xml(option):
    """Return a FetchXML document so that two that mean the same are equal; other options as they are."""
    if not option.startswith("fetchXml="):
        return option
    text = option.removeprefix("fetchXml=")
    root = fromstring(unquote(text) if text.startswith("%3C") else text)  # one page encodes it twice
    root.attrib.setdefault("count", "5000")
    root.attrib.setdefault("page", "1")
    return canonicalize(tostring(root), strip_text=True)


def without_links(rows):
    """Return rows as the client hands them out: its collections are whole and need no links."""
    return [{k: v for k, v in row.items() if not k.endswith("@odata.nextLink")} for row in rows]


def wishes(prefer):
    """Return a Prefer header's parts; which annotations are wanted does not matter, the client wants all."""
    return sorted(re.sub(r'="[^"]*"', "", part) for part in re.findall(r'[^,"]+(?:"[^"]*")?', prefer or ""))


def check_request(request, documented):
    assert request.method == documented["method"]
    assert same_address(request.url, documented["path"])
    assert wishes(request.headers.get("Prefer")) == wishes(documented["headers"].get("Prefer"))
    if "If-Match" in documented["headers"]:
        assert request.headers["If-Match"] == documented["headers"]["If-Match"]
    if documented["body"] is not None:
        assert request.json() == documented["body"]


def test_every_case_is_accounted_for_once():
    assert sorted(CASES) == sorted([*UNSUPPORTED, *READS, *WRITES, *ERRORS, *ALONE])
    assert len(UNSUPPORTED) <= MOST_UNSUPPORTED


@pytest.mark.parametrize("name", READS)
def test_what_is_read_is_asked_for_and_understood_as_documented(name, replay, requests_mock):
    case = CASES[name]
    rows: Any = READS[name](replay(case))
    check_request(asked(requests_mock), case["request"])
    if case["response"]:
        body = json.loads(body_of(case))
        expected = body.get("value", [body])
        assert json.loads(json.dumps(rows, default=float)) == without_links(expected)


@pytest.mark.parametrize("name", WRITES)
def test_what_is_written_is_sent_and_understood_as_documented(name, replay, requests_mock):
    case, (write, outcome) = CASES[name], WRITES[name]
    client = replay(case)
    if isinstance(outcome, type):
        with pytest.raises(outcome):
            write(client)
    else:
        assert write(client) == outcome
    check_request(asked(requests_mock), case["request"])


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_understood_as_documented(name):
    case, (kind, words) = CASES[name], ERRORS[name]
    response = case["response"]
    error = from_response("x", response["status"] or 400, response["headers"], body_of(case).encode(), now=0)
    assert type(error) is kind
    assert words in error.message


def test_the_next_link_of_the_documented_page_is_taken_whole(replay):
    case = CASES["paging-first-page"]
    page = next(replay(case).pages(Query("contact", ["fullname"], page_size=2)))
    assert page.next_link == json.loads(body_of(case))["@odata.nextLink"]


def test_the_delta_link_of_the_documented_page_is_taken_whole(replay):
    case = CASES["delta-initial"]
    [page] = replay(case).changes("account", ["name"])
    assert page.delta_link == json.loads(body_of(case))["@odata.deltaLink"]


def test_which_messages_a_table_has_is_asked_as_documented(replay, requests_mock):
    case = CASES["bulk-availability-sdkmessagefilters"]
    client = replay(case)
    table = client._tables.outline("sample_example")
    assert client._tables.accepts(table.logical_name, "CreateMultiple")
    sent = requests_mock.last_request
    assert same_address(sent.url, case["request"]["path"])


def test_who_am_i_is_asked_and_understood_as_captured(make_client, requests_mock):
    case = CASES["whoami-full-response-headers"]
    printed = case["response"]["body"]  # the page prints some headers and the body as one text
    headers = dict(line.split(": ", 1) for line in printed.split("\n\n")[0].splitlines())
    headers = {
        **headers,
        "x-ms-service-request-id": ", ".join(case["response"]["headers"]["x-ms-service-request-id"]),
    }
    del headers["Content-Length"]
    requests_mock.get(f"{ENVIRONMENT}/api/data/v9.2/WhoAmI()", text=printed.split("\n\n")[1], headers=headers)
    client = make_client(ENVIRONMENT)
    assert client.who_am_i()["UserId"] == "22cc22cc-dd33-ee44-ff55-66aa66aa66aa"
    assert same_address(
        requests_mock.last_request.url, case["request"]["path"].replace("https://yourorg", "https://x")
    )
    assert client._transport.parallelism_hint == 48


def test_the_cookie_of_the_documented_first_page_leads_to_the_documented_second_one(replay, requests_mock):
    first_case, second = CASES["fetchxml-page-1"], CASES["fetchxml-page-2-with-cookie"]
    client = replay(first_case)
    reading = client.pages(BY_NAME)
    page = next(reading)
    reading.close()

    sent = asked(requests_mock).url
    assert same_address(sent, first_case["request"]["path"].removesuffix("&$count=true"))
    assert json.loads(json.dumps(page.rows, default=float)) == json.loads(body_of(first_case))["value"]
    again = [found for found in requests_mock.request_history if "paging-cookie" in unquote(found.url)]
    assert same_address(again[0].url, second["request"]["path"])


def test_the_documented_inner_pages_are_followed_to_their_end(replay, requests_mock):
    case = CASES["query-expand-nested-collections-inner-paging"]
    body = json.loads(body_of(case))
    client = replay(case)
    more = re.compile(re.escape(f"{ENVIRONMENT}/api/data/v9.2/accounts(") + r"[^)]+\)/")
    requests_mock.get(more, json={"value": [{"activityid": FIRST}]})
    query = Query(
        "account",
        ["name", "accountid"],
        expand="Account_Tasks($select=subject),contact_customer_accounts($select=fullname;"
        "$expand=owninguser($select=fullname))",
        page_size=1,
    )

    reading = client.pages(query)
    [row] = next(reading).rows
    reading.close()

    check_request(asked(requests_mock), case["request"])
    [expected] = without_links(body["value"])
    for name in ("Account_Tasks", "contact_customer_accounts"):
        expected[name] = [*expected[name], {"activityid": FIRST}]
    assert row == expected
    inner = [found for found in requests_mock.request_history if more.match(found.url)]
    assert [found.url for found in inner] == [
        body["value"][0]["Account_Tasks@odata.nextLink"],
        body["value"][0]["contact_customer_accounts@odata.nextLink"],
    ]
    assert {found.headers["Prefer"] for found in inner} == {"odata.maxpagesize=1"}


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("batch-no-changeset-3-creates-1-get", [204, 204, 204, 200]),
        ("batch-error-stops-400", [400]),
        ("batch-continue-on-error-200", [400, 204, 204]),
    ],
)
def test_the_answers_of_a_documented_batch_are_taken_apart(name, statuses):
    response = CASES[name]["response"]
    assert [part.status for part in parts("", response["body"].encode())] == statuses


def test_a_batch_is_written_as_documented(make_client, requests_mock):
    case = CASES["batch-no-changeset-3-creates-1-get"]
    answer = case["response"]["body"]
    kind = f"multipart/mixed; boundary={answer.partition(chr(10))[0].removeprefix('--')}"
    requests_mock.post(f"{ENVIRONMENT}/api/data/v9.2/$batch", text=answer, headers={"Content-Type": kind})
    subject = '{{\n  "subject": "Task {} in batch",\n  "regardingobjectid_account_task@odata.bind": "accounts({})"\n}}'
    requests = [Request("POST", "tasks", body=subject.format(n, FIRST).encode()) for n in (1, 2, 3)]
    requests.append(Request("GET", f"accounts({FIRST})/Account_Tasks?$select=subject"))

    outcomes = make_client(ENVIRONMENT).batch(requests)

    assert [outcome.response.status for outcome in outcomes] == [204, 204, 204, 200]
    assert len(json.loads(outcomes[3].response.body)["value"]) == 3
    sent = requests_mock.last_request
    boundary = sent.headers["Content-Type"].split('"')[1]
    documented = case["request"]["body"].replace("batch_80dd1615-2a10-428a-bb6f-0e559792721f", boundary)
    assert essentials(sent.body.decode()) == essentials(documented)


def essentials(text):
    """Return a batch's lines but for the headers that each of its requests repeats, and empty ones."""
    repeated = ("Accept:", "OData-", "If-None-Match:")
    return [line for line in text.splitlines() if line.strip() and not line.startswith(repeated)]


def filled_in(text):
    """Return a page's text with a GUID for each placeholder."""
    return re.sub(
        r"<[a-z]+id( value)?>|\{backgroundoperationid\}",
        FIRST,
        text.replace("[Organization Uri]", ENVIRONMENT),
    )


def test_a_file_in_chunks_is_begun_as_documented(make_client, requests_mock):
    case = CASES["file-chunked-start"]
    headers = {name: filled_in(value) for name, value in case["response"]["headers"].items()}
    headers["Location"] = re.sub("<.*>", "token", headers["Location"])
    root = f"{ENVIRONMENT}/api/data/v9.2"
    requests_mock.get(f"{root}/EntityDefinitions(LogicalName='account')", json=definition("account"))
    requests_mock.get(re.compile("FileAttributeMetadata"), json={"MaxSizeInKB": 102400})
    requests_mock.get(f"{root}/accounts({FIRST})", json={"sample_filecolumn": None})
    sent = requests_mock.patch(
        f"{root}/accounts({FIRST})/sample_filecolumn",
        [{"headers": headers}, {"status_code": 206}, {"status_code": 204}],
    )

    make_client(ENVIRONMENT).files.upload(
        "account", FIRST, "sample_filecolumn", b"x" * 5_000_000, name="25mb.pdf"
    )

    begun, first, second = sent.request_history
    assert same_address(begun.url, filled_in(case["request"]["path"]))
    assert begun.headers["x-ms-transfer-mode"] == "chunked"
    assert [one.url for one in (first, second)] == [headers["Location"]] * 2
    assert first.headers["Content-Range"] == "bytes 0-4194303/5000000"
    assert second.headers["Content-Range"] == "bytes 4194304-4999999/5000000"
    assert {one.headers["Content-Type"] for one in (first, second)} == {"application/octet-stream"}


def test_a_file_in_one_answer_is_understood_as_documented(make_client, requests_mock):
    case = CASES["file-download-single"]
    root = f"{ENVIRONMENT}/api/data/v9.2"
    requests_mock.get(f"{root}/EntityDefinitions(LogicalName='account')", json=definition("account"))
    address = filled_in(case["request"]["path"])
    headers = case["response"]["headers"]
    content = bytes(int(headers["x-ms-file-size"]))
    sent = requests_mock.get(ENVIRONMENT + address, content=content, headers=headers)

    found = make_client(ENVIRONMENT).files.download("account", FIRST, "sample_filecolumn")

    assert (found.name, found.content_type, found.data) == ("4094kb.txt", "text/plain", content)
    assert same_address(sent.last_request.url, address)


def test_a_background_operation_is_asked_about_as_documented(make_client, requests_mock):
    case = CASES["background-operation-poll-status-monitor"]
    told = {"backgroundOperationStateCode": 3, "backgroundOperationStatusCode": 30, "outputParam1": 7}
    members = set(re.findall(r"(\w+): \{", case["response"]["body"]))
    sent = requests_mock.get(ENVIRONMENT + filled_in(case["request"]["path"]), json=told)

    job = make_client(ENVIRONMENT).jobs.get(FIRST, "background")

    assert sent.call_count == 1
    assert set(told) < members
    assert (job.state, job.status, dict(job.outputs)) == ("completed", "succeeded", {"outputParam1": 7})


def test_a_background_operation_is_cancelled_as_documented(make_client, requests_mock):
    case = CASES["background-operation-cancel-patch"]
    monitor = re.compile(f"{ENVIRONMENT}/api/backgroundoperation/{FIRST}")
    states = [(0, 0), (3, 32)]
    answers = [
        {"json": {"backgroundOperationStateCode": state, "backgroundOperationStatusCode": status}}
        for state, status in states
    ]
    requests_mock.get(monitor, answers)
    sent = requests_mock.patch(ENVIRONMENT + filled_in(case["request"]["path"]), status_code=204)

    job = make_client(ENVIRONMENT).jobs.cancel(FIRST, "background")

    check_request(sent.last_request, {**case["request"], "path": filled_in(case["request"]["path"])})
    assert job.status == "canceled"
