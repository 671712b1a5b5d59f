"""$batch: how the multipart text is read, and what happens to the rows."""

from __future__ import annotations

import contextlib
import json
import re

import pytest

from airflow_provider_dynamics.emulator.messages import Fault, Request, Response
from airflow_provider_dynamics.emulator.wire.batch import Batch, ChangeSet, read

ORIGIN = "https://127.0.0.1:8765"
API = "/api/data/v9.2"


def http_part(request_line, body="", content_id=None, headers=()):
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id:
        lines.append(f"Content-ID: {content_id}")
    lines += ["", f"{request_line} HTTP/1.1", *headers]
    if body:
        lines.append("Content-Type: application/json; type=entry")
    return "\r\n".join([*lines, "", json.dumps(body) if body else ""])


def multipart(boundary, parts):
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"


def change_set(*parts, boundary="changeset_1"):
    return f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n" + multipart(boundary, parts)


def request(*parts, prefer="", body=None, content_type='multipart/mixed; boundary="batch_1"'):
    text = multipart("batch_1", parts) if body is None else body
    headers = {"content-type": content_type, "prefer": prefer}
    return Request("POST", f"{API}/$batch", "", headers, text.encode(), ORIGIN)


def create(name="A", table="accounts", **options):
    return http_part(f"POST {API}/{table}", {"name": name}, **options)


class Desk:
    """Stands in for the Web API: writes down what it is asked, refuses rows named Bad."""

    def __init__(self):
        self.asked = []
        self.rolled_back = 0

    def handle(self, request):
        self.asked.append(request)
        if b'"Bad"' in request.body:
            return Response(
                400, (("Content-Type", "application/json"),), b'{"error":{"code":"0x1","message":"no"}}'
            )
        if request.method == "GET":
            kind = "application/json; odata.metadata=minimal"
            return Response(200, (("Content-Type", kind), ("OData-Version", "4.0")), b'{"value":[]}')
        url = f"{ORIGIN}{request.path}(00000000-0000-0000-0000-{len(self.asked):012})"
        return Response(204, (("OData-EntityId", url),), b"")

    @contextlib.contextmanager
    def transaction(self):
        try:
            yield
        except BaseException:
            self.rolled_back += 1
            raise

    def run(self, *parts, **options):
        return Batch(request(*parts, **options), self.handle, self.transaction).answer()


def answers(response):
    """The status of each part, in order; a change set is a list."""
    text = response.body.decode()
    assert text.count("\n") == text.count("\r\n")
    boundary = dict(response.headers)["Content-Type"].partition("boundary=")[2]
    found = []
    for block in text.split(f"--{boundary}")[1:-1]:
        codes = [int(code) for code in re.findall(r"^HTTP/1.1 (\d+)", block, re.MULTILINE)]
        found.append(codes if "changesetresponse_" in block else codes[0])
    return found


def test_parts_run_in_order_and_answer_in_order():
    desk = Desk()
    response = desk.run(create("A"), http_part(f"GET {API}/accounts?$select=name"), create("B"))
    assert response.status == 200
    assert answers(response) == [204, 200, 204]
    assert [(one.method, one.path, one.query) for one in desk.asked] == [
        ("POST", f"{API}/accounts", ""),
        ("GET", f"{API}/accounts", "$select=name"),
        ("POST", f"{API}/accounts", ""),
    ]


def test_a_part_is_handed_over_with_its_own_headers_and_body():
    desk = Desk()
    desk.run(create("A", headers=["Prefer: return=representation", "If-None-Match: *"]))
    (asked,) = desk.asked
    assert json.loads(asked.body) == {"name": "A"}
    assert asked.headers["prefer"] == "return=representation"
    assert asked.headers["if-none-match"] == "*"
    assert asked.headers["content-type"] == "application/json; type=entry"


def test_json_parts_say_that_they_are_streamed():
    text = Desk().run(http_part(f"GET {API}/accounts")).body.decode()
    assert "Content-Type: application/json; odata.metadata=minimal; odata.streaming=true\r\n" in text


def test_an_error_ends_the_batch_with_400_and_its_part_alone():
    desk = Desk()
    response = desk.run(create("A"), create("Bad"), create("C"))
    assert (response.status, answers(response)) == (400, [400])
    assert len(desk.asked) == 2
    assert b"REQ_ID: " in response.body


def test_with_continue_on_error_the_rest_is_done_and_the_answer_is_200():
    response = Desk().run(create("A"), create("Bad"), create("C"), prefer="odata.continue-on-error")
    assert (response.status, answers(response)) == (200, [204, 400, 204])


def test_a_change_set_answers_each_part_with_its_content_id():
    desk = Desk()
    response = desk.run(change_set(create("A", content_id="1"), create("B", content_id="2")))
    assert answers(response) == [[204, 204]]
    assert re.findall(rb"Content-ID: (\d)", response.body) == [b"1", b"2"]
    assert desk.rolled_back == 0


def test_a_failing_change_set_is_rolled_back_and_answers_with_one_error():
    desk = Desk()
    failing = change_set(
        create("A", content_id="1"), create("Bad", content_id="2"), create("C", content_id="3")
    )
    response = desk.run(failing, create("D"), prefer="odata.continue-on-error")
    assert (response.status, answers(response)) == (200, [400, 204])
    assert desk.rolled_back == 1


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"POST {ORIGIN}{API}/accounts", id="the whole URL"),
        pytest.param(f"POST {API}/accounts", id="the path"),
    ],
)
def test_the_url_of_a_part_may_be_whole_or_a_path(line):
    desk = Desk()
    desk.run(http_part(line, {"name": "A"}))
    assert desk.asked[0].path == f"{API}/accounts"


def test_spaces_in_a_url_are_taken_as_printed_in_the_documentation():
    desk = Desk()
    desk.run(http_part(f"GET {API}/accounts?$filter=name eq 'A  B'"))
    assert desk.asked[0].query == "$filter=name%20eq%20'A%20%20B'"


@pytest.mark.parametrize(
    "value",
    [pytest.param("$1", id="plain"), pytest.param("/$1", id="with a slash")],
)
def test_a_bind_may_name_an_earlier_part(value):
    desk = Desk()
    follow = http_part(f"POST {API}/contacts", {"parentcustomerid_account@odata.bind": value}, content_id="2")
    desk.run(change_set(create("A", content_id="1"), follow))
    made = f"{ORIGIN}{API}/accounts(00000000-0000-0000-0000-000000000001)"
    assert json.loads(desk.asked[1].body) == {"parentcustomerid_account@odata.bind": made}


def test_an_odata_id_may_name_an_earlier_part():
    desk = Desk()
    follow = http_part(f"POST {API}/accounts(1)/x/$ref", {"@odata.id": "$1"}, content_id="2")
    desk.run(change_set(create("A", content_id="1"), follow))
    assert json.loads(desk.asked[1].body)["@odata.id"].endswith(
        "/accounts(00000000-0000-0000-0000-000000000001)"
    )


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param("$1", "", id="the row"),
        pytest.param("/$1", "", id="the row, with a slash"),
        pytest.param("$1/primarycontactid/$ref", "/primarycontactid/$ref", id="something below it"),
    ],
)
def test_a_url_may_start_with_an_earlier_part(target, path):
    desk = Desk()
    follow = http_part(f"PUT {target}", {"name": "B"}, content_id="2")
    desk.run(change_set(create("A", content_id="1"), follow))
    assert desk.asked[1].path == f"{API}/accounts(00000000-0000-0000-0000-000000000001){path}"


def test_text_that_looks_like_a_reference_stays_text_elsewhere():
    desk = Desk()
    desk.run(create("$1"))
    assert json.loads(desk.asked[0].body) == {"name": "$1"}


def test_line_ends_may_be_lf_alone():
    desk = Desk()
    body = multipart("batch_1", [change_set(create("A", content_id="1")), create("B")]).replace("\r\n", "\n")
    response = Batch(request(body=body), desk.handle, desk.transaction).answer()
    assert answers(response) == [[204], 204]
    assert [json.loads(one.body)["name"] for one in desk.asked] == ["A", "B"]


def test_a_preamble_before_the_first_boundary_is_not_a_part():
    body = "This is a batch.\r\n" + multipart("batch_1", [create("A")])
    assert len(read(request(body=body))) == 1


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        pytest.param(
            [change_set(http_part(f"GET {API}/accounts", content_id="1"))], "GET", id="GET in a change set"
        ),
        pytest.param([change_set(create("A"))], "Content-ID header not present", id="no Content-ID"),
        pytest.param([http_part(f"POST {API}/$batch", {"a": 1})], "another batch", id="a batch in a batch"),
        pytest.param([create(str(n)) for n in range(1001)], "up to 1000", id="more than a thousand"),
        pytest.param(["Content-Type: text/plain\r\n\r\nhello"], "text/plain", id="a part that is no request"),
        pytest.param([http_part("nonsense")], "request line", id="a request line that is none"),
        pytest.param(
            [
                change_set(
                    http_part(f"POST {API}/x", {"y@odata.bind": "$2"}, content_id="1"),
                    create("A", content_id="2"),
                )
            ],
            "Content-ID Reference: '$2' does not exist in the batch context.",
            id="a reference to a later part",
        ),
    ],
)
def test_a_batch_against_the_rules_is_refused_as_a_whole(parts, words):
    desk = Desk()
    response = desk.run(*parts, prefer="odata.continue-on-error")
    assert response.status == 400
    error = json.loads(response.body)["error"]
    assert words in error["message"]
    assert error["code"] == "0x80060888"


def test_a_thousand_requests_are_allowed():
    assert Desk().run(*[create(str(n)) for n in range(1000)]).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/json", id="another type"),
        pytest.param("multipart/mixed", id="no boundary"),
        pytest.param("", id="none"),
    ],
)
def test_a_batch_needs_its_content_type(content_type):
    with pytest.raises(Fault, match="multipart/mixed with a boundary"):
        read(request(create("A"), content_type=content_type))


def test_a_batch_that_breaks_off_is_refused():
    whole = multipart("batch_1", [create("A"), create("B")])
    with pytest.raises(Fault, match="closing boundary"):
        read(request(body=whole[:-20]))


def test_a_relative_url_is_not_emulated():
    response = Desk().run(http_part("GET accounts"))
    assert response.status == 501
    assert b"not emulated: " in response.body


def test_a_change_set_is_read_as_one_operation():
    (operation,) = read(request(change_set(create("A", content_id="1"), create("B", content_id="2"))))
    assert isinstance(operation, ChangeSet)
    assert [part.content_id for part in operation.parts] == ["1", "2"]


# Over the wire, with real rows.


def send(wire, *parts, prefer=""):
    headers = {"Content-Type": "multipart/mixed; boundary=batch_1", "Prefer": prefer}
    return wire("POST", f"{API}/$batch", data=multipart("batch_1", parts).encode(), headers=headers)


def names(emulator, table="account"):
    return [row["name"] for row in emulator.rows(table)]


def test_operations_before_an_error_stay_committed(emulator, wire):
    response = send(wire, create("Kept"), http_part(f"POST {API}/accounts", {"nonsense": 1}), create("Never"))
    assert response.status_code == 400
    assert "Kept" in names(emulator)
    assert "Never" not in names(emulator)


def test_a_change_set_that_fails_leaves_no_row(emulator, wire):
    bad = http_part(f"POST {API}/accounts", {"nonsense": 1}, content_id="2")
    response = send(wire, change_set(create("Undone", content_id="1"), bad))
    assert response.status_code == 400
    assert "Undone" not in names(emulator)


def test_a_change_set_links_the_rows_it_makes(emulator, wire):
    contact = http_part(
        f"POST {API}/contacts",
        {"lastname": "Linked", "parentcustomerid_account@odata.bind": "$1"},
        content_id="2",
    )
    response = send(wire, change_set(create("Parent", content_id="1"), contact))
    assert response.status_code == 200
    parent = next(row for row in emulator.rows("account") if row["name"] == "Parent")
    child = next(row for row in emulator.rows("contact") if row["lastname"] == "Linked")
    assert child["_parentcustomerid_value"] == parent["accountid"]


def test_a_reference_works_to_a_row_returned_as_representation(emulator, wire):
    made = create("Parent", content_id="1", headers=["Prefer: return=representation"])
    renamed = http_part("PATCH $1", {"name": "Renamed"}, content_id="2")
    assert send(wire, change_set(made, renamed)).status_code == 200
    assert "Renamed" in names(emulator)


def test_a_get_in_a_batch_may_be_longer_than_a_url(wire):
    names = ",".join(f'"Company number {number}"' for number in range(1600))
    function = f"Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=[{names}])"
    assert len(function) > 32_768
    response = send(wire, http_part(f"GET {API}/accounts?$select=name&$filter={function}"))
    assert response.status_code == 200
    assert "HTTP/1.1 200 OK" in response.text


def test_a_get_in_a_batch_may_not_be_longer_than_64_kilobytes(wire):
    url = f"{API}/accounts?$select=name&$filter=name eq '{'x' * 65_536}'"
    response = send(wire, http_part(f"GET {url}"))
    assert response.status_code == 501
    assert "more than 65,536 characters" in response.text


def test_a_batch_is_utf_8(wire):
    headers = {"Content-Type": "multipart/mixed; boundary=batch_1"}
    part = http_part(f"GET {API}/accounts?$filter=name eq 'M\u00fcller'")
    response = wire(
        "POST", f"{API}/$batch", data=multipart("batch_1", [part]).encode("latin-1"), headers=headers
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "0x80060888")


def test_a_batch_takes_post_only(wire):
    assert wire.get("/$batch").status_code == 405


def test_a_content_id_stands_for_one_request_of_a_change_set():
    twice = change_set(create(content_id="1"), create(content_id="1"))
    with pytest.raises(Fault, match="'1' was found more than once"):
        read(request(twice))
    other = change_set(create(content_id="1"), boundary="changeset_2")
    assert len(read(request(change_set(create(content_id="1")), other))) == 2


def test_references_in_a_body_leave_its_numbers_alone():
    desk = Desk()
    body = '{"revenue":12345678901234567.2500,"primarycontactid@odata.bind":"$1"}'
    first = http_part(f"PATCH {API}/contacts(1)", {"lastname": "C"}, content_id="1")
    second = http_part(f"POST {API}/accounts", content_id="2") + body
    Batch(request(change_set(first, second)), desk.handle, desk.transaction).answer()
    assert b"12345678901234567.2500" in desk.asked[1].body
    assert b"contacts(1)" in desk.asked[1].body
