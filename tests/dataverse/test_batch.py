"""`$batch`: several requests in one, and one whose address is too long for a line of HTTP."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_dynamics.dataverse import Request, errors
from airflow_provider_dynamics.dataverse.transport.batch import parts
from tests.dataverse.conftest import ENVIRONMENT

ROOT = f"{ENVIRONMENT}/api/data/v9.2/"
LONG = "accounts?$filter=" + "x" * 40_000


def part(status, body="", **headers):
    lines = [f"HTTP/1.1 {status} Some Words", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(
        ["Content-Type: application/http", "Content-Transfer-Encoding: binary", "", *lines, "", body]
    )


def refused(code, message):
    return json.dumps({"error": {"code": code, "message": message}})


def answer(*found):
    text = "".join(f"--batchresponse_1\r\n{one}\r\n" for one in found)
    return f"{text}--batchresponse_1--\r\n"


@pytest.fixture
def batches(requests_mock):
    """Return a function that answers batches with these parts, a list for each batch."""

    def answered(*replies):
        return requests_mock.post(
            ROOT + "$batch",
            [
                {
                    "text": answer(*reply) if isinstance(reply, list) else reply,
                    "headers": {"Content-Type": "multipart/mixed; boundary=batchresponse_1"},
                }
                for reply in replies
            ],
        )

    return answered


def test_each_request_gets_its_answer_and_one_that_fails_does_not_end_the_others(client, batches):
    mocked = batches(
        [part(200, '{"a": 1}'), part(400, refused("0x80040203", "Bad."), REQ_ID="r1"), part(204)]
    )
    requests = [Request("GET", "accounts?$top=1"), Request("GET", "b"), Request("DELETE", "accounts(1)")]

    first, second, third = client.batch(requests)

    assert [one.request for one in (first, second, third)] == requests
    assert (first.response.body, first.error) == (b'{"a": 1}', None)
    assert isinstance(second.error, errors.BadRequest)
    assert "GET b: Bad (HTTP 400, 0x80040203, request id r1)" in str(second.error)
    assert (third.response.status, third.response.body) == (204, b"")
    assert mocked.last_request.headers["Prefer"] == "odata.continue-on-error"


def test_each_request_carries_its_own_headers(client, batches):
    mocked = batches([part(200, "{}"), part(204)])
    client.batch(
        [
            Request("GET", "accounts", {"Prefer": "odata.maxpagesize=3"}),
            Request("POST", "accounts", body=b'{"name": "A"}'),
        ]
    )
    first, second = re.split(r"--batch_[\w-]+\r\n", mocked.last_request.text)[1:3]
    assert "GET /api/data/v9.2/accounts HTTP/1.1\r\nAccept: application/json\r\n" in first
    assert "\r\nPrefer: odata.maxpagesize=3\r\n" in first
    assert "\r\nIf-None-Match: null\r\n" in first
    assert "Authorization" not in first
    assert '\r\nContent-Type: application/json; type=entry\r\n\r\n{"name": "A"}\r\n' in second
    assert "If-None-Match" not in second


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_holds_1_to_1000_requests(client, requests_mock, count):
    with pytest.raises(errors.BadRequest, match=f"1 to 1,000 requests, not {count:,}"):
        client.batch([Request("GET", "accounts")] * count)
    assert requests_mock.call_count == 0


def test_an_answer_with_too_few_parts_is_not_taken_for_a_whole_one(client, batches):
    batches([part(200, "{}")])
    with pytest.raises(errors.BadResponse, match="batch of 2 holds 1"):
        client.batch([Request("GET", "accounts"), Request("GET", "contacts")])


def test_a_batch_that_writes_is_not_repeated_when_its_fate_is_unknown(client, requests_mock):
    mocked = requests_mock.post(ROOT + "$batch", status_code=503)
    with pytest.raises(errors.ServerError):
        client.batch([Request("GET", "accounts"), Request("POST", "accounts", body=b"{}")])
    assert mocked.call_count == 1


def test_a_batch_that_only_reads_is_repeated(client, requests_mock):
    kind = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}
    requests_mock.post(
        ROOT + "$batch", [{"status_code": 503}, {"text": answer(part(200, "{}")), "headers": kind}]
    )
    assert client.batch([Request("GET", "accounts")])[0].response.body == b"{}"


def test_an_address_too_long_for_a_line_goes_inside_a_batch(client, batches, requests_mock):
    mocked = batches([part(200, '{"value": []}', **{"Content-Type": "application/json"})])
    response = client._transport.send(Request("GET", LONG, {"Prefer": "odata.maxpagesize=3"}))
    assert (response.status, response.body) == (200, b'{"value": []}')
    assert response.headers["content-type"] == "application/json"
    assert f"GET /api/data/v9.2/{LONG} HTTP/1.1\r\n" in mocked.last_request.text
    assert "Prefer: odata.maxpagesize=3" in mocked.last_request.text
    assert requests_mock.call_count == 1


def test_a_next_link_too_long_for_a_line_goes_inside_a_batch_as_it_is(client, batches):
    mocked = batches([part(200, '{"value": []}')])
    link = f"{ROOT}{LONG}&$skiptoken=%3ccookie%2f"
    client._transport.send(Request("GET", link))
    assert f"GET /api/data/v9.2/{LONG}&$skiptoken=%3ccookie%2f HTTP/1.1\r\n" in mocked.last_request.text


def test_inside_a_batch_a_read_is_throttled_and_repeated_as_outside(client, batches, clock):
    mocked = batches(
        [part(429, refused("0x80072322", "Too many."), **{"Retry-After": "17"})], [part(200, '{"value": []}')]
    )
    assert client._transport.send(Request("GET", LONG)).status == 200
    assert mocked.call_count == 2
    assert sum(clock.slept) >= 17


def test_an_error_inside_a_batch_speaks_of_the_request_and_not_of_the_batch(client, batches):
    batches([part(404, refused("0x80040217", "No such row."), **{"x-ms-service-request-id": "r2"})])
    with pytest.raises(errors.RowNotFound, match=r"GET accounts\?\$filter: No such row .*request id r2"):
        client._transport.send(Request("GET", LONG))


@pytest.mark.parametrize("text", ["", "no parts", "--b\r\n", "--batchresponse_1--\r\n"])
def test_what_is_no_multipart_text_is_said(text):
    with pytest.raises(errors.BadResponse):
        parts("multipart/mixed; boundary=batchresponse_1", text.encode())


def test_a_part_without_a_status_is_said():
    with pytest.raises(errors.BadResponse, match="has no status"):
        parts(
            "multipart/mixed; boundary=batchresponse_1",
            answer("Content-Type: application/http\r\n\r\nhello").encode(),
        )


def test_the_answers_of_a_change_set_come_one_by_one():
    inner = "".join(f"--c1\r\n{part(204, **{'Content-ID': n})}\r\n" for n in ("1", "2")) + "--c1--\r\n"
    text = answer(f"Content-Type: multipart/mixed; boundary=c1\r\n\r\n{inner}", part(200, "{}"))
    found = parts("multipart/mixed; boundary=batchresponse_1", text.encode())
    assert [one.status for one in found] == [204, 204, 200]
    assert found[1].headers["content-id"] == "2"


def test_a_body_keeps_its_line_ends():
    body = '{"a": "x",\r\n\r\n"b": 1}'
    [found] = parts("multipart/mixed; boundary=batchresponse_1", answer(part(200, body)).encode())
    assert found.body == body.encode()
