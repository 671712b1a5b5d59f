"""Every exchange Microsoft's documentation prints, replayed through the emulator.

The exchanges are data in `tests/cases`, what they need is in `documented`; here are the replay, what is
asserted of an answer, and the list of what is not emulated yet.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.emulator.documented import (
    BACKGROUND,
    CASES,
    CONTEXT_NOT_ASSERTED,
    DEFINED,
    FAULTS,
    FILES,
    FIRST,
    FROM_RESPONSE,
    HEADER_VALUES_ASSERTED,
    HEADERS_NOT_ASSERTED,
    HEADERS_WRONG,
    INSTANCE,
    LEFT_OUT,
    LISTED,
    MADE_BY_SERVICE,
    MAY_BE_ADDED,
    ON_PREMISES,
    ORIGIN_IN_DOC,
    OWN_IDS,
    PRINTED_WRONG,
    RENAMED,
    REQUESTS,
    ROWS,
    STATUS,
    WRITERS,
)

# What the emulator cannot do yet, and why. Strict: a case that starts to pass must leave the list.
EXPECTED_TO_FAIL: dict[str, str] = {}
MOST_EXPECTED_TO_FAIL = 0  # may only be lowered


@pytest.fixture(scope="module")
def empty_emulator():
    with Emulator(seed=None) as emulator:
        yield emulator


@pytest.fixture
def empty_wire(empty_emulator, wire_to):
    empty_emulator.reset()
    return wire_to(empty_emulator)


class Replay:
    """One case against one emulator."""

    def __init__(self, case, wire):
        self.case = case
        self.id = case["id"]
        self.wire = wire

    def here(self, text):
        """Return documented text with this emulator's address and tables in it."""
        for theirs, ours in RENAMED.get(self.id, {}).items():
            text = text.replace(theirs, ours)
        return ORIGIN_IN_DOC.sub(self.wire.emulator.url, text)

    def prepare(self):
        """Write the rows that are there before the request."""
        headers = {}
        for path, body in DEFINED.get(self.id, ()):
            made = self.wire("POST", f"/api/data/v9.2/{path}", json=body)
            assert made.status_code == 204, made.text
        if self.id in WRITERS:
            self.write(*WRITERS[self.id])
            headers["MSCRMCallerID"] = WRITERS[self.id][1]["systemuserid"]
        if self.id in FROM_RESPONSE:
            for row in self.case["response"]["body"]["value"]:
                self.write(FROM_RESPONSE[self.id], plain(row))
        for entity_set, row in ROWS.get(self.id, []):
            self.write(entity_set, row, headers)
        if self.id in FILES:
            self.upload(*FILES[self.id])
        if self.id in FAULTS:
            self.wire.emulator.fault(**FAULTS[self.id])

    def write(self, entity_set, row, headers=None):
        """Make a row; its state is set afterwards, as the service wants it."""
        state = {name: row[name] for name in ("statecode", "statuscode") if name in row}
        row = {name: value for name, value in row.items() if name not in state}
        root = "/api/data/v9.0" if self.id in ON_PREMISES else "/api/data/v9.2"
        made = self.wire("POST", f"{root}/{entity_set}", json=row, headers=headers or {})
        assert made.status_code == 204, made.text
        if state:
            changed = self.wire("PATCH", made.headers["OData-EntityId"], json=state, headers=headers or {})
            assert changed.status_code == 204, changed.text

    def upload(self, column, name, size):
        """Put a file into a column of the first account."""
        headers = {"Content-Type": "application/octet-stream", "x-ms-file-name": name}
        place = f"/api/data/v9.2/accounts({FIRST})/{column}"
        made = self.wire("PATCH", place, headers=headers, data=b"x" * size)
        assert made.status_code == 204, made.text

    def upload_of_too_much(self, headers):
        """Begin an upload in chunks, and go on with one of a file that is a byte too large."""
        path = REQUESTS[self.id]["path"]
        begun = self.wire("PATCH", path, headers={"x-ms-transfer-mode": "chunked"})
        headers["Content-Range"] = f"bytes 0-3/{102_400 * 1024 + 1}"
        return begun.headers["Location"]

    def operation(self):
        """Call a custom API in the background, and return its id."""
        emulator = self.wire.emulator
        emulator.custom_api("contoso_Slow", {"Output": 1}, result={"Output": "Edm.Int32"})
        emulator.jobs.held = "cancel" in self.id
        begun = self.wire("POST", "/api/data/v9.2/contoso_Slow", json={}, headers={"Prefer": "respond-async"})
        assert begun.status_code == 202, begun.text
        emulator.jobs.advance(60)
        return begun.headers["x-ms-dyn-backgroundoperationid"]

    def send(self):
        printed = {**(self.case["request"] or {"method": "GET", "headers": {}}), **REQUESTS.get(self.id, {})}
        path = self.here(re.sub("^https://[^/]+", "", printed["path"]))
        headers = {
            name: ", ".join(value) if isinstance(value, list) else value
            for name, value in printed["headers"].items()
            if name.lower() not in ("content-length", "host", "authorization")
        }
        if self.id == "conditional-get-304":
            headers["If-None-Match"] = self.wire("GET", path).json()["@odata.etag"]
        if self.id == "file-too-large-error":
            path = self.upload_of_too_much(headers)
        if self.id in BACKGROUND:
            path = path.replace(BACKGROUND[self.id], self.operation())
        if self.id == "delta-count-request":
            path = f"{path.partition('?')[0]}?{self.delta_token()}"
        return self.wire(printed["method"], path, headers=headers, data=self.body(printed, headers))

    def delta_token(self):
        """Get a token of our own: the documented one belongs to another environment and another year."""
        page = self.wire.get("/accounts?$select=name", headers={"Prefer": "odata.track-changes"}).json()
        return page["@odata.deltaLink"].partition("&")[2]

    def body(self, printed, headers):
        text = printed.get("body_text") or printed.get("body")
        if text is None:
            return None
        if text.startswith("--"):
            text = text.replace("\n", "\r\n")
            boundary = text[2 : text.index("\r\n")]
            headers.setdefault("Content-Type", f"multipart/mixed; boundary={boundary}")
        return self.here(text).encode()

    def assert_headers(self, printed, response):
        sent = [(name.lower(), value) for name, value in response.raw.headers.items()]
        for name, expected in printed.items():
            got = [value for sent_name, value in sent if sent_name == name.lower()]
            if name.lower() in HEADERS_NOT_ASSERTED | HEADERS_WRONG.get(self.id, set()):
                continue
            assert got, f"no header {name}"
            if name.lower() in HEADER_VALUES_ASSERTED:
                assert all(self.here(value) in ", ".join(got) for value in listed(expected)), (name, got)
            elif isinstance(expected, list):
                assert len(got) >= len(expected), name

    def assert_body(self, expected, response):
        if expected is None:
            assert response.content == b""
        elif self.id in SPECIAL:
            SPECIAL[self.id](expected, response)
        elif isinstance(expected, str):
            assert outline(response.text) == outline(expected)
        else:
            self.assert_json(expected, response.json())

    def assert_json(self, expected, got):
        text = json.dumps(expected).replace(*PRINTED_WRONG.get(self.id, ("", "")))
        here = json.loads(self.here(text))
        if self.id in CONTEXT_NOT_ASSERTED:
            here["@odata.context"] = got["@odata.context"]
        got = without(got, LEFT_OUT.get(self.id, set()))
        assert_same(here, got, OWN_IDS.get(self.id, set()))


def plain(row):
    """Return the writable part of a documented row."""
    kept = {name: value for name, value in row.items() if "@" not in name and value is not None}
    if "fullname" in kept:
        kept["firstname"], _, kept["lastname"] = kept.pop("fullname").partition(" ")
    return kept


def without(got, left_out):
    """Take out of an answer what the page does not show of it."""
    if isinstance(got, list):
        return [without(one, left_out) for one in got]
    if not isinstance(got, dict):
        return got
    return {name: without(value, left_out) for name, value in got.items() if name not in left_out}


def listed(value):
    return value if isinstance(value, list) else [value]


def assert_same(expected, got, own, where="body"):
    """Members, their order where it matters, and every value but those the service makes up."""
    if isinstance(expected, dict):
        assert set(expected) - set(got) <= {"@odata.etag"}, f"{where}: missing"
        assert set(got) - set(expected) <= MAY_BE_ADDED, f"{where}: added"
        assert_annotations_come_first(list(got), where)
        for name in expected.keys() & got.keys():
            assert_same_member(name, expected[name], got[name], own, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), where
        for number, (left, right) in enumerate(zip(expected, got, strict=True)):
            assert_same(left, right, own, f"{where}[{number}]")
    else:
        assert got == expected, where


def assert_same_member(name, expected, got, own, where):
    if name.endswith(("@odata.nextLink", "@odata.deltaLink")):
        assert without_token(got) == without_token(expected), where
    elif (name, expected) == ("code", ""):  # older pages show no code; the service has one
        assert got, where
    elif name in MADE_BY_SERVICE or name in own:
        assert type(got) is type(expected), where
        assert not isinstance(got, dict) or set(expected) - set(got) <= {"@odata.etag"}, where
    else:
        assert_same(expected, got, own, where)


def assert_annotations_come_first(names, where):
    for name in names:
        annotated = name.partition("@")[0]
        if annotated in names and not name.endswith("@odata.nextLink"):
            assert names.index(name) <= names.index(annotated), f"{where}: {name} after its member"


def without_token(link):
    return re.split(r"\$(?:skiptoken|deltatoken)=", unquote(link))[0]


def outline(text):
    """Return a set for each part of a multipart answer: its status line and headers, without made-up ids."""
    parts = re.split(r"^--(?:batch|changeset)response_\S+\s*$", text, flags=re.MULTILINE)
    return [set(filter(None, map(outline_of_line, part.splitlines()))) for part in parts]


def outline_of_line(line):
    if re.match(r"(Location|OData-EntityId|REQ_ID)\s*:", line):
        return line.partition(":")[0]
    return line.strip() if re.match(r"HTTP/1.1|Content-|OData-Version", line) else None


def assert_message(expected, response):
    assert response.json()["error"]["message"] == expected


def assert_service_document(_, response):
    body = response.json()
    assert body["@odata.context"].endswith("/api/data/v9.2/$metadata")
    assert {"name": "accounts", "kind": "EntitySet", "url": "accounts"} in body["value"]


def assert_who_am_i(expected, response):
    """The page prints the headers that came below the fold as part of the body."""
    head, _, body = expected.partition("\n\n")
    sent = {name.lower() for name in response.headers}
    for line in head.splitlines():
        assert line.partition(":")[0].lower() in sent
    assert re.fullmatch(r"[\d,]+\.\d\d", response.headers["x-ms-ratelimit-time-remaining-xrm-requests"])
    assert set(json.loads(body)) == set(response.json())


def assert_count(expected, response):
    assert response.content == b"\xef\xbb\xbf" + str(expected).strip("\ufeff").encode()


def assert_one_definition(expected, response):
    """The page shows an array; the service answers a request by key with one object."""
    body, (printed,) = response.json(), expected["value"]
    columns = "DisplayName,IsKnowledgeManagementEnabled,EntitySetName"
    assert body["@odata.context"].endswith(f"#EntityDefinitions({columns})/$entity")
    assert set(body) - {"@odata.context"} == set(printed)
    assert body["EntitySetName"] == printed["EntitySetName"]
    assert_label(body["DisplayName"], "Account")


def assert_label(label, text):
    assert set(label) == {"LocalizedLabels", "UserLocalizedLabel"}
    members = {"Label", "LanguageCode", "IsManaged", "MetadataId", "HasChanged"}
    assert set(label["UserLocalizedLabel"]) == members
    assert label["UserLocalizedLabel"]["Label"] == text


def assert_picklist(_, response):
    body = response.json()
    assert body["LogicalName"] == "preferredappointmentdaycode"
    assert {"@odata.context", "MetadataId", "OptionSet", "OptionSet@odata.context"} <= set(body)
    option = body["OptionSet"]["Options"][0]
    assert option["Value"] == 0
    assert_label(option["Label"], "Sunday")
    assert {"Value", "Label", "Description", "Color", "IsManaged", "MetadataId", "HasChanged"} <= set(option)


def assert_file(_, response):
    """The page leaves the content out."""
    assert len(response.content) == FILES["file-download-single"][2]
    assert response.headers["x-ms-file-size"] == str(len(response.content))


def assert_operation(_, response):
    """The page shows a template: the members of a successful operation, with an output of its own."""
    assert response.json() == {
        "backgroundOperationStateCode": 3,
        "backgroundOperationStatusCode": 30,
        "Output": 1,
    }


def assert_plugin_error(expected, response):
    """The page's own JSON lacks a comma."""
    printed = json.loads(re.sub(r'"\n(\s*"@Microsoft)', r'",\n\1', expected))
    assert response.json() == printed


def assert_nulls_are_left_out(expected, response):
    """The page's own JSON has a comma too many, and its context leaves a column out."""
    printed = json.loads(re.sub(r",(\s*})", r"\1", expected))
    rows = [without(row, {"@odata.etag"}) for row in response.json()["value"]]
    assert rows == [without(row, {"@odata.etag"}) for row in printed["value"]]


SPECIAL = {
    "file-download-single": assert_file,
    "background-operation-poll-status-monitor": assert_operation,
    "error-plugin-with-annotations-400": assert_plugin_error,
    "fetchxml-null-properties-omitted": assert_nulls_are_left_out,
    "batch-content-id-before-declared-400": assert_message,
    "service-document": assert_service_document,
    "whoami-full-response-headers": assert_who_am_i,
    "query-count-segment": assert_count,
    "retrieve-collection-count-with-bom": assert_count,
    "meta-entitydefinition-select": assert_one_definition,
    "meta-attribute-picklist-optionset": assert_picklist,
}


def marked(case_id):
    reason = EXPECTED_TO_FAIL.get(case_id)
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(case_id, id=case_id, marks=marks)


@pytest.fixture
def place_of(empty_wire, wire_to):
    """Say where a case belongs: to the environment, to the discovery service, or to a server of one's own."""

    def place(case_id):
        emulator = empty_wire.emulator
        if case_id in ON_PREMISES:
            name = ON_PREMISES[case_id]
            return wire_to(emulator.add_environment(name, seed=None, on_premises=True, in_path=True))
        return wire_to(Directory(emulator)) if case_id in LISTED else empty_wire

    return place


class Directory:
    """The discovery service as somebody asks it who is shown one environment."""

    def __init__(self, emulator):
        self.emulator, self.url, self.ca_bundle = emulator, emulator.discovery_url, emulator.ca_bundle
        emulator.list_instance(**INSTANCE, users=[emulator.outsider_name])

    def access_token(self):
        return self.emulator.access_token(user=self.emulator.outsider_name, resource=self.url)


@pytest.mark.parametrize("case_id", [marked(case_id) for case_id in CASES])
def test_the_emulator_answers_as_documented(case_id, place_of):
    replay = Replay(CASES[case_id], place_of(case_id))
    replay.prepare()
    response = replay.send()
    documented = CASES[case_id]["response"]
    if documented is None:
        assert 200 <= response.status_code < 300, response.text
        return
    status = documented["status"] or STATUS.get(case_id, 200)
    assert response.status_code == status, response.text
    replay.assert_headers(documented["headers"], response)
    replay.assert_body(documented.get("body"), response)


def test_every_expected_failure_is_a_case_and_the_list_only_shrinks():
    assert set(EXPECTED_TO_FAIL) <= set(CASES)
    assert len(EXPECTED_TO_FAIL) <= MOST_EXPECTED_TO_FAIL


def test_every_set_up_belongs_to_a_case():
    used: list[dict[str, Any]] = [
        DEFINED,
        ROWS,
        RENAMED,
        FROM_RESPONSE,
        WRITERS,
        REQUESTS,
        STATUS,
        PRINTED_WRONG,
        OWN_IDS,
        LEFT_OUT,
        FAULTS,
        FILES,
        BACKGROUND,
        HEADERS_WRONG,
        ON_PREMISES,
        SPECIAL,
    ]
    assert set().union(*used, CONTEXT_NOT_ASSERTED, LISTED) <= set(CASES)


def test_every_case_names_its_page():
    assert len(CASES) == 86
    assert all(case["doc"].endswith(".md") for case in CASES.values())
