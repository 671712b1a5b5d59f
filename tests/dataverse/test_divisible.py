"""What the transport tells a sender of many rows: no answer in time, how long answers take, what each row's status was."""

from __future__ import annotations

import json

import pytest
import requests

from airflow_provider_dynamics.auth import BearerAuth, Network, StaticToken
from airflow_provider_dynamics.dataverse import RetryPolicy, errors
from airflow_provider_dynamics.dataverse.protocol.answers import from_response
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.transport import Transport

ENVIRONMENT = "https://contoso.crm.dynamics.com"
CHUNK = Request(
    "POST", "accounts/Microsoft.Dynamics.CRM.CreateMultiple", body=b"{}", repeatable=True, divisible=True
)
ADDRESS = f"{ENVIRONMENT}/api/data/v9.2/{CHUNK.target}"
PER_ROW = "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"


@pytest.fixture
def transport(clock):
    auth = BearerAuth(StaticToken("the-token"), ENVIRONMENT, Network())
    made = Transport(ENVIRONMENT, auth, retry=RetryPolicy(random=lambda: 0.0), clock=clock)
    yield made
    made.close()


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"exc": requests.ReadTimeout("late")}, id="no answer"),
        pytest.param({"status_code": 504, "text": "<html>Gateway Timeout</html>"}, id="a gateway's"),
        pytest.param(
            {"status_code": 500, "json": {"error": {"code": "0x80044151", "message": "SQL"}}}, id="SQL's"
        ),
    ],
)
def test_many_rows_without_an_answer_in_time_are_not_sent_again_as_they_are(
    transport, requests_mock, trouble
):
    requests_mock.post(ADDRESS, **trouble)
    with pytest.raises(errors.DataverseError) as caught:
        transport.send(CHUNK)
    assert caught.value.late
    assert requests_mock.call_count == 1


def test_a_broken_connection_is_not_late_and_the_rows_are_sent_again(transport, requests_mock):
    requests_mock.post(ADDRESS, [{"exc": requests.ConnectionError("reset")}, {"json": {"Ids": []}}])
    assert transport.send(CHUNK).repeated


def test_an_answer_says_how_long_it_took_and_the_quickest_is_remembered(transport, requests_mock):
    requests_mock.post(ADDRESS, json={"Ids": []})
    times = [transport.send(CHUNK).seconds for _ in range(3)]
    assert all(seconds > 0 for seconds in times)
    assert transport.quickest == min(times)


def test_a_refusal_is_no_measure_of_the_way(transport, requests_mock):
    requests_mock.post(ADDRESS, status_code=400, json={"error": {"code": "", "message": "no"}})
    with pytest.raises(errors.BadRequest):
        transport.send(CHUNK)
    assert transport.quickest == float("inf")


@pytest.mark.parametrize(
    ("trouble", "perhaps_done"),
    [
        pytest.param({"exc": requests.ConnectionError("reset")}, True, id="a lost answer"),
        pytest.param({"status_code": 429, "headers": {"Retry-After": "5"}}, False, id="throttled"),
    ],
)
def test_a_cancelled_wait_says_whether_the_rows_may_have_been_written(
    transport, requests_mock, clock, trouble, perhaps_done
):
    stop, real = Stop(), clock.sleep

    def sleep(seconds, given):
        stop.set()
        real(seconds, given)

    clock.sleep = sleep
    requests_mock.post(ADDRESS, **trouble)
    with pytest.raises(errors.Interrupted) as caught:
        transport.send(CHUNK, stop)
    assert caught.value.repeated is perhaps_done


def refusal(told):
    body = {"error": {"code": "0x80048d03", "message": "some failed", PER_ROW: told}}
    return from_response("POST x", 400, {}, json.dumps(body).encode(), now=0)


@pytest.mark.parametrize("form", [json.dumps, list], ids=["as text", "as it is"])
def test_an_elastic_tables_refusal_tells_of_each_row(form):
    rows = [
        {"RequestIndex": 0, "Id": "a", "StatusCode": 201},
        {"RequestIndex": 1, "Id": "", "StatusCode": 400},
    ]
    assert refusal(form(rows)).statuses == {0: 201, 1: 400}


@pytest.mark.parametrize("told", ["not JSON", "[{}]", "7", None, [1]])
def test_what_cannot_be_read_of_it_is_nothing(told):
    assert refusal(told).statuses == {}
