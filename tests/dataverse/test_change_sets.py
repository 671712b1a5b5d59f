"""Change sets: what is written into a batch, what is refused before, what a refusal means for each request."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_dynamics.dataverse import ChangeSet, Request, errors
from airflow_provider_dynamics.dataverse.transport.change_sets import is_reference
from tests.dataverse.conftest import ENVIRONMENT

ROOT = f"{ENVIRONMENT}/api/data/v9.2/"
REFUSED = json.dumps({"error": {"code": "0x80044331", "message": "Too long."}})


def part(status, body="", content_id=None):
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [f"Content-ID: {content_id}"] if content_id else []
    return "\r\n".join([*lines, "", f"HTTP/1.1 {status} Words", "OData-Version: 4.0", "", body])


def multipart(kind, *found):
    return "".join(f"--{kind}\r\n{one}\r\n" for one in found) + f"--{kind}--\r\n"


def change_set(*found):
    return f"Content-Type: multipart/mixed; boundary=changesetresponse_1\r\n\r\n{multipart('changesetresponse_1', *found)}"


@pytest.fixture
def service(requests_mock):
    """Return a function that answers the next batch with these parts."""

    def answered(*found, status=200):
        return requests_mock.post(
            ROOT + "$batch",
            text=multipart("batchresponse_1", *found),
            status_code=status,
            headers={"Content-Type": "multipart/mixed; boundary=batchresponse_1"},
        )

    return answered


def post(target="accounts", body=b"{}", **more):
    return Request("POST", target, body=body, **more)


def test_a_change_set_is_one_part_of_the_batch_with_numbered_requests_in_it(client, service):
    mocked = service(change_set(part(204, content_id="1"), part(204, content_id="2")))

    outcomes = client.batch([post(), Request("DELETE", "contacts(1)")], changeset=True)

    assert [outcome.response.status for outcome in outcomes] == [204, 204]
    text = mocked.last_request.text
    [boundary] = re.findall(r"boundary=(changeset_\S+)", text)
    assert text.count(f"--{boundary}\r\n") == 2
    assert text.index(f"--{boundary}--") < text.index("--batch_", 10)
    assert re.findall(r"Content-ID: (\w+)", text) == ["1", "2"]


def test_later_requests_name_earlier_rows_in_address_and_body(client, service):
    mocked = service(change_set(*[part(204)] * 4))
    client.batch(
        [
            post(content_id="made"),
            post("contacts", b'{"parentcustomerid_account@odata.bind":"$made"}'),
            Request("PUT", "$made/primarycontactid/$ref", body=b'{"@odata.id": "$1"}'),
            Request("PATCH", "$made", body=b"{}"),
        ],
        changeset=True,
    )
    text = mocked.last_request.text
    assert "PUT $made/primarycontactid/$ref HTTP/1.1" in text
    assert "PATCH $made HTTP/1.1" in text
    assert re.findall(r"Content-ID: (\w+)", text) == ["made", "1", "2", "3"]


def test_a_refused_change_set_is_one_error_for_all_its_requests(client, service):
    service(part(204), part(400, REFUSED), part(200, '{"a": 1}'))
    requests = [post("contacts"), ChangeSet([post(), post("tasks")]), Request("GET", "accounts")]

    outcomes = client.batch(requests, continue_on_error=True)

    assert [outcome.error and outcome.error.code for outcome in outcomes] == [
        *(None, "0x80044331", "0x80044331", None)
    ]
    assert [outcome.request.target for outcome in outcomes] == ["contacts", "accounts", "tasks", "accounts"]


def test_beside_a_change_set_it_has_to_be_said_whether_to_go_on(client):
    with pytest.raises(ValueError, match="say continue_on_error"):
        client.batch([ChangeSet([post()]), post()])


def test_a_batch_that_stops_raises_the_error_that_stopped_it(client, service):
    mocked = service(part(400, REFUSED), status=400)
    with pytest.raises(errors.BadRequest, match="Too long") as caught:
        client.batch([post(), post()], continue_on_error=False)
    assert caught.value.code == "0x80044331"
    assert "Prefer" not in mocked.last_request.headers


def test_a_batch_refused_as_a_whole_keeps_its_own_error(client, requests_mock):
    requests_mock.post(ROOT + "$batch", text="not for you", status_code=403)
    with pytest.raises(errors.Forbidden):
        client.batch([post()], changeset=True)


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([Request("GET", "accounts")], "takes writes only"),
        ([post(content_id="a"), post(content_id="a")], "comes twice"),
        ([post(content_id="a b")], "is none"),
        ([post(body=b'{"x@odata.bind": "$2"}'), post()], "no earlier request"),
        ([Request("PATCH", "$later", body=b"{}"), post(content_id="later")], "no earlier request"),
        ([], "holds no request"),
    ],
)
def test_a_change_set_that_would_be_refused_is_not_sent(client, requests, words):
    with pytest.raises(errors.BadRequest, match=words):
        client.batch(requests, changeset=True)


def test_a_reference_outside_of_a_change_set_is_refused(client):
    with pytest.raises(errors.BadRequest, match="outside of a change set"):
        client.batch([post(content_id="1"), Request("PATCH", "$1", body=b"{}")])


def test_a_change_set_inside_a_change_set_is_refused(client):
    with pytest.raises(ValueError, match="one change set"):
        client.batch([ChangeSet([post()])], changeset=True)


def test_the_requests_of_change_sets_count_towards_the_limit(client):
    with pytest.raises(errors.BadRequest, match="not 1,001"):
        client.batch([post()] * 1001, changeset=True)


def test_an_answer_with_too_few_parts_is_none(client, service):
    service(change_set(part(204), part(204)))
    with pytest.raises(errors.BadResponse, match="holds 2 answers where 3"):
        client.batch([post()] * 3, changeset=True)


@pytest.mark.parametrize(
    ("requests", "times"),
    [
        ([Request("PATCH", "accounts(1)", body=b"{}", repeatable=True)], 2),
        ([post(repeatable=True)], 1),
        ([Request("DELETE", "accounts(1)", repeatable=True)], 1),
    ],
    ids=[
        "changes may be repeated",
        "what is created would be found there",
        "what is deleted would be missing",
    ],
)
def test_a_change_set_is_sent_again_only_where_it_finds_nothing_done(client, requests_mock, requests, times):
    done = multipart("b", change_set(part(204)))
    mocked = requests_mock.post(
        ROOT + "$batch",
        [
            {"status_code": 503, "text": "busy"},
            {"text": done, "headers": {"Content-Type": "multipart/mixed; boundary=b"}},
        ],
    )
    if times == 1:
        with pytest.raises(errors.ServerError):
            client.batch(requests, changeset=True)
    else:
        client.batch(requests, changeset=True)
    assert mocked.call_count == times


@pytest.mark.parametrize(
    ("value", "is_one"),
    [("$1", True), ("$made", True), ("$", False), ("1", False), (1, False), ("$a b", False)],
)
def test_what_a_reference_is(value, is_one):
    assert is_reference(value) is is_one
