"""What is sent, what is sent again, and what never is."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
import requests

from airflow_provider_dynamics.auth import AuthenticationError, BearerAuth, Network, StaticToken
from airflow_provider_dynamics.dataverse import RetryPolicy, errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.transport.transport import Transport

ENVIRONMENT = "https://contoso.crm.dynamics.com"
ROOT = f"{ENVIRONMENT}/api/data/v9.2/"
READ = Request("GET", "accounts")
PLAIN_POST = Request("POST", "accounts", body=b"{}")
REPEATABLE = Request("PATCH", "accounts(1)", body=b"{}", repeatable=True)
OK: dict[str, Any] = {"json": {"value": []}}
DEAD = {"exc": requests.ConnectionError("Connection aborted")}


def bearer(credential=None):
    return BearerAuth(credential or StaticToken("the-token"), ENVIRONMENT, Network())


@pytest.fixture
def make_transport(clock):
    made = []

    def make(**options):
        options = {"retry": RetryPolicy(random=lambda: 0.0), "clock": clock, **options}
        auth = options.pop("auth", None) or bearer()
        ways = {name: options.pop(name) for name in ("ca_bundle", "proxy", "timeout") if name in options}
        made.append(Transport(ENVIRONMENT, auth, network=Network(**ways), **options))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


@pytest.fixture
def transport(make_transport):
    return make_transport()


def test_the_wait_for_a_costly_query_counts_as_throttled_and_holds_nobody_else(
    transport, requests_mock, clock
):
    refusal = {
        "status_code": 429,
        "headers": {"Retry-After": "7"},
        "json": {"error": {"code": "0x80048544", "message": "conflicts with query throttling"}},
    }
    requests_mock.get(ROOT + "accounts", [refusal, OK])
    transport.send(READ)
    assert clock.slept == [7.0]
    assert transport.governor.closed_for == 7.0
    transport.send(READ)
    assert clock.slept == [7.0]


def test_an_answer_one_can_do_without_is_soon_given_up(transport, requests_mock):
    requests_mock.get(ROOT + "accounts", status_code=500, json={"error": {"code": "", "message": "boom"}})
    with pytest.raises(errors.ServerError):
        transport.send(Request("GET", "accounts", optional=True))
    assert requests_mock.call_count == 3


def test_every_request_carries_the_documented_headers(transport, requests_mock):
    requests_mock.get(ROOT + "accounts", **OK)
    transport.send(READ)
    sent = requests_mock.last_request.headers
    assert sent["Accept"] == "application/json"
    assert (sent["OData-Version"], sent["OData-MaxVersion"]) == ("4.0", "4.0")
    assert sent["If-None-Match"] == "null"
    assert sent["Accept-Encoding"] == "gzip"
    assert sent["User-Agent"].startswith("airflow-provider-dynamics/")
    assert sent["Authorization"] == "Bearer the-token"
    assert "CallerObjectId" not in sent
    assert "Content-Type" not in sent


def test_writes_say_what_they_carry_and_nothing_about_caching(transport, requests_mock):
    requests_mock.post(ROOT + "accounts", status_code=204)
    transport.send(PLAIN_POST)
    sent = requests_mock.last_request.headers
    assert sent["Content-Type"] == "application/json; charset=utf-8"
    assert "If-None-Match" not in sent


def test_the_user_to_act_for_is_named_in_every_request(make_transport, requests_mock):
    requests_mock.get(ROOT + "accounts", **OK)
    make_transport(caller_object_id="e39c5d16").send(READ)
    assert requests_mock.last_request.headers["CallerObjectId"] == "e39c5d16"


def test_time_outs_and_the_ca_bundle_go_with_each_request(make_transport, requests_mock):
    requests_mock.get(ROOT + "accounts", **OK)
    make_transport(ca_bundle="company.pem", timeout=(3, 44)).send(READ)
    assert requests_mock.last_request.timeout == (3, 44)
    assert requests_mock.last_request.verify == "company.pem"


def test_the_connections_ca_bundle_beats_the_environments(make_transport, requests_mock, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "environment.pem")
    requests_mock.get(ROOT + "accounts", **OK)
    make_transport(ca_bundle="company.pem").send(READ)
    assert requests_mock.last_request.verify == "company.pem"
    make_transport().send(READ)
    assert requests_mock.last_request.verify == "environment.pem"


def test_proxies_come_from_the_environment_unless_the_connection_names_one(
    make_transport, requests_mock, monkeypatch
):
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:3128")
    monkeypatch.setenv("NO_PROXY", "")
    requests_mock.get(ROOT + "accounts", **OK)
    make_transport(ca_bundle="company.pem").send(READ)
    assert requests_mock.last_request.proxies["https"] == "http://environment:3128"
    make_transport(proxy="http://company:8080").send(READ)
    assert requests_mock.last_request.proxies["https"] == "http://company:8080"


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        pytest.param([{"status_code": 429, "headers": {"Retry-After": "17"}}], [17.0], id="seconds"),
        pytest.param(
            [{"status_code": 429, "headers": {"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"}}],
            [30.0],
            id="a date",
        ),
        pytest.param([{"status_code": 429}, {"status_code": 429}], [1.0, 2.0], id="nothing said: back off"),
    ],
)
@pytest.mark.parametrize(
    "request_", [READ, PLAIN_POST, REPEATABLE], ids=["a read", "a plain POST", "an upsert"]
)
def test_throttling_is_waited_out_whatever_was_asked(  # noqa: PLR0917  # fixtures and cases
    transport, requests_mock, clock, answers, waits, request_
):
    mocked = requests_mock.request(request_.method, ROOT + request_.target, [*answers, OK])
    transport.send(request_)
    assert clock.slept == waits
    assert mocked.call_count == len(answers) + 1
    assert transport.governor.closed_for == sum(waits)


def test_a_wait_that_is_too_long_is_an_error_at_once(transport, requests_mock, clock):
    requests_mock.get(ROOT + "accounts", status_code=429, headers={"Retry-After": "3600"})
    with pytest.raises(errors.Throttled) as caught:
        transport.send(READ)
    assert caught.value.retry_after == 3600
    assert clock.slept == []


def test_a_policy_of_never_hands_throttling_back_at_once(make_transport, requests_mock, clock):
    mocked = requests_mock.get(ROOT + "accounts", status_code=429, headers={"Retry-After": "17"})
    with pytest.raises(errors.Throttled) as caught:
        make_transport(retry=RetryPolicy.never()).send(READ)
    assert (caught.value.retry_after, clock.slept, mocked.call_count) == (17, [], 1)


def test_one_threads_throttling_holds_the_others_too(transport, requests_mock, clock):
    requests_mock.get(ROOT + "accounts", [{"status_code": 429, "headers": {"Retry-After": "9"}}, OK])
    requests_mock.get(ROOT + "contacts", **OK)
    transport.governor.close(5)
    transport.send(Request("GET", "contacts"))
    assert clock.slept == [5]


TROUBLE = [
    pytest.param(DEAD, id="a broken connection"),
    pytest.param({"exc": requests.ReadTimeout("slow")}, id="no answer in time"),
    pytest.param({"status_code": 500, "text": "boom"}, id="500"),
    pytest.param({"status_code": 502, "text": "<html>Bad Gateway"}, id="502 in HTML"),
    pytest.param({"status_code": 503, "text": "<html><title>Busy</title>"}, id="503 in HTML"),
    pytest.param({"status_code": 504}, id="504"),
    pytest.param({"text": '{"value": [{"name": "cut o'}, id="half an answer"),
]


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("request_", [READ, REPEATABLE], ids=["a read", "an upsert"])
def test_what_may_be_repeated_is_repeated(transport, requests_mock, trouble, request_):
    mocked = requests_mock.request(request_.method, ROOT + request_.target, [trouble, trouble, OK])
    response = transport.send(request_)
    assert mocked.call_count == 3
    assert response.repeated is (request_ is REPEATABLE)


@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_plain_post_is_never_sent_twice(transport, requests_mock, trouble):
    mocked = requests_mock.post(ROOT + "accounts", [trouble, OK])
    with pytest.raises((errors.Unreachable, errors.ServerError, errors.BadResponse)):
        transport.send(PLAIN_POST)
    assert mocked.call_count == 1


def test_a_post_that_never_left_is_sent_again(transport, requests_mock):
    mocked = requests_mock.post(
        ROOT + "accounts", [{"exc": requests.ConnectTimeout("x")}, {"status_code": 204}]
    )
    assert transport.send(PLAIN_POST).repeated is False
    assert mocked.call_count == 2


def test_a_host_that_cannot_be_reached_is_given_up_soon(transport, requests_mock):
    mocked = requests_mock.get(ROOT + "accounts", exc=requests.ConnectTimeout("x"))
    with pytest.raises(errors.Unreachable, match="No connection within 5 s"):
        transport.send(READ)
    assert mocked.call_count == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 412, 413, 501])
def test_what_will_be_refused_again_is_not_repeated(transport, requests_mock, status):
    mocked = requests_mock.get(ROOT + "accounts", status_code=status)
    with pytest.raises(errors.DataverseError):
        transport.send(READ)
    assert mocked.call_count == 1


def test_a_write_the_service_had_no_time_for_is_not_repeated_as_it_is(transport, requests_mock):
    fault = {"error": {"code": "0x80044151", "message": "SQL timeout expired."}}
    mocked = requests_mock.patch(ROOT + "accounts(1)", status_code=500, json=fault)
    with pytest.raises(errors.ServerTimeout):
        transport.send(REPEATABLE)
    assert mocked.call_count == 1


def test_a_web_page_with_status_200_is_not_asked_for_again(transport, requests_mock):
    page = {"text": "<html>Sign in</html>", "headers": {"Content-Type": "text/html"}}
    mocked = requests_mock.get(ROOT + "accounts", **page)
    with pytest.raises(errors.BadResponse, match="not a whole JSON document"):
        transport.send(READ)
    assert mocked.call_count == 1


def test_an_error_says_that_an_earlier_attempt_may_have_done_it(transport, requests_mock):
    requests_mock.patch(ROOT + "accounts(1)", [DEAD, {"status_code": 404}])
    with pytest.raises(errors.NotFound) as caught:
        transport.send(REPEATABLE)
    assert caught.value.repeated


def test_an_error_after_mere_throttling_does_not_say_so(transport, requests_mock):
    requests_mock.patch(ROOT + "accounts(1)", [{"status_code": 429}, {"status_code": 404}])
    with pytest.raises(errors.NotFound) as caught:
        transport.send(REPEATABLE)
    assert not caught.value.repeated


class Tokens:
    """Hands out the next token each time, and notes when."""

    def __init__(self, clock, *tokens):
        self.clock, self.tokens, self.asked_at = clock, list(tokens), []

    def get_token(self, environment, *, network, rejected=None, claims=None):
        from airflow_provider_dynamics.auth import AccessToken

        self.asked_at.append(self.clock.now())
        found = self.tokens.pop(0)
        if isinstance(found, Exception):
            raise found
        return AccessToken(found, expires_at=float("inf"))


def test_the_token_is_taken_after_the_wait_not_before(make_transport, requests_mock, clock):
    tokens = Tokens(clock, "old", "new")
    began = clock.now()
    requests_mock.get(ROOT + "accounts", [{"status_code": 429, "headers": {"Retry-After": "300"}}, OK])
    make_transport(auth=bearer(tokens)).send(READ)
    assert tokens.asked_at == [began, began + 300]
    assert requests_mock.last_request.headers["Authorization"] == "Bearer new"


def test_a_busy_sign_in_service_is_waited_for_even_by_a_plain_post(make_transport, requests_mock, clock):
    busy = AuthenticationError("busy", retryable=True, retry_after=4.0)
    mocked = requests_mock.post(ROOT + "accounts", status_code=204)
    make_transport(auth=bearer(Tokens(clock, busy, "token"))).send(PLAIN_POST)
    assert (clock.slept, mocked.call_count) == ([4.0], 1)


def away(**facts):
    return AuthenticationError("the authority is away", kind="transient", **facts)


class AwayUntil:
    """Signs in from a moment on."""

    def __init__(self, clock, moment, **facts):
        self.clock = clock
        self.moment = moment
        self.facts = facts
        self.asked = 0

    def get_token(self, environment, *, network, rejected=None, claims=None):
        from airflow_provider_dynamics.auth import AccessToken

        self.asked += 1
        if self.clock.now() < self.moment:
            raise away(**self.facts)
        return AccessToken("token", expires_at=float("inf"))


@pytest.mark.parametrize("request_", [READ, PLAIN_POST], ids=["a read", "a plain post"])
def test_ninety_seconds_without_a_sign_in_service_cost_no_error(
    make_transport, requests_mock, clock, request_
):
    mocked = requests_mock.register_uri(request_.method, ROOT + "accounts", status_code=204)
    make_transport(auth=bearer(AwayUntil(clock, clock.now() + 90))).send(request_)
    assert mocked.call_count == 1
    assert max(clock.slept) <= 15


def test_a_sign_in_service_that_stays_away_is_given_up_after_two_minutes(make_transport, clock):
    credential = AwayUntil(clock, clock.now() + 3600)
    with pytest.raises(AuthenticationError, match="away"):
        make_transport(auth=bearer(credential)).send(READ)
    assert 105 <= sum(clock.slept) <= 120


def test_the_sign_ins_time_starts_with_its_own_trouble(make_transport, requests_mock, clock):
    began = clock.now()
    tokens = Tokens(clock, "token", away(retry_after=100.0), "token", away(retry_after=100.0), "token")
    throttled = {"status_code": 429, "headers": {"Retry-After": "600"}}
    requests_mock.get(ROOT + "accounts", [throttled, throttled, OK])
    make_transport(auth=bearer(tokens)).send(READ)
    assert clock.now() - began == 600 + 100 + 600 + 100


def test_a_web_page_in_place_of_the_authority_costs_seconds_not_minutes(make_transport, clock):
    credential = AwayUntil(clock, clock.now() + 3600, patience=15.0)
    with pytest.raises(AuthenticationError):
        make_transport(auth=bearer(credential)).send(READ)
    assert sum(clock.slept) <= 15
    assert 2 <= credential.asked <= 5


def test_whoever_waits_by_himself_gets_the_sign_ins_error_at_once(make_transport, clock):
    credential = AwayUntil(clock, clock.now() + 3600)
    with pytest.raises(AuthenticationError):
        make_transport(auth=bearer(credential), retry=RetryPolicy.never()).send(READ)
    assert (credential.asked, clock.slept) == (1, [])


def test_waiting_for_a_sign_in_ends_when_it_is_cancelled(make_transport):
    from airflow_provider_dynamics.dataverse import Clock

    clock = Clock()
    transport = make_transport(
        auth=bearer(AwayUntil(clock, clock.now() + 3600, retry_after=100.0)), clock=clock
    )
    outcome = []

    def work():
        with pytest.raises(errors.Interrupted):
            transport.send(READ)
        outcome.append("ended")

    working = threading.Thread(target=work)
    working.start()
    while working.is_alive() and not transport.requests_sent:
        working.join(0.01)
    transport.stop.set()
    working.join(5)
    assert outcome == ["ended"]


def test_a_missing_application_user_is_named_with_the_place_to_add_it(make_transport, requests_mock):
    requests_mock.get(
        ROOT + "accounts",
        status_code=403,
        json={"error": {"code": "0x80072560", "message": "The user is not a member of the organization."}},
    )
    with pytest.raises(errors.Forbidden) as raised:
        make_transport(client_id="66666666-7777").send(READ)
    assert raised.value.kind == "needs-admin"
    assert "Add app 66666666-7777 as an application user of this environment" in str(raised.value)
    assert (
        "Environments > contoso.crm.dynamics.com > Settings > Users + permissions > Application users > New app user"
        in str(raised.value)
    )


def test_a_sign_in_that_cannot_work_is_raised_as_it_is(make_transport, clock):
    wrong = AuthenticationError("wrong secret")
    with pytest.raises(AuthenticationError, match="wrong secret"):
        make_transport(auth=bearer(Tokens(clock, wrong))).send(READ)
    assert clock.slept == []


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/data/v9.2/accounts?$skiptoken=1",
        "http://contoso.crm.dynamics.com/api/data/v9.2/accounts",
        "https://contoso.crm.dynamics.com:8443/api/data/v9.2/accounts",
        "https://contoso.crm.dynamics.com@evil.example/accounts",
        "https://contoso.crm.dynamics.com.evil.example/accounts",
        "HTTPS://evil.example/accounts",
        "https://contoso.crm.dynamics.com:no-port/accounts",
    ],
)
def test_a_link_to_anywhere_else_is_refused(transport, requests_mock, link):
    with pytest.raises(errors.ForeignLink):
        transport.send(Request("GET", link))
    assert requests_mock.call_count == 0


def test_the_same_origin_may_be_spelled_differently(transport, requests_mock):
    requests_mock.get("https://contoso.crm.dynamics.com:443/api/data/v9.2/accounts", **OK)
    transport.send(Request("GET", "HTTPS://Contoso.crm.dynamics.com:443/api/data/v9.2/accounts"))
    assert requests_mock.call_count == 1


def test_a_redirect_is_not_followed(transport, requests_mock):
    elsewhere = requests_mock.get("https://evil.example/", **OK)
    requests_mock.get(ROOT + "accounts", status_code=302, headers={"Location": "https://evil.example/"})
    with pytest.raises(errors.BadResponse, match="redirect"):
        transport.send(READ)
    assert elsewhere.call_count == 0


def test_an_address_dataverse_would_not_take_is_not_sent(transport, requests_mock):
    with pytest.raises(errors.BadRequest, match="65,536"):
        transport.send(Request("GET", "accounts?$filter=" + "x" * 65536))
    with pytest.raises(errors.BadRequest, match="32,768"):
        transport.send(Request("PATCH", "accounts(name='" + "x" * 32768 + "')", body=b"{}"))
    assert requests_mock.call_count == 0


def test_a_cancelled_wait_ends_and_nothing_more_is_sent(make_transport, requests_mock):
    from airflow_provider_dynamics.dataverse import Clock

    transport = make_transport(clock=Clock())
    asked = threading.Event()

    def throttle(_, context):
        asked.set()
        context.status_code = 429
        context.headers["Retry-After"] = "500"
        return ""

    mocked = requests_mock.get(ROOT + "accounts", text=throttle)
    outcome = []

    def work():
        try:
            transport.send(READ)
        except errors.DataverseError as error:
            outcome.append(type(error))

    working = threading.Thread(target=work)
    working.start()
    assert asked.wait(5)
    transport.stop.set()
    working.join(5)
    assert outcome == [errors.Interrupted]
    with pytest.raises(errors.Interrupted):
        transport.send(READ)
    assert mocked.call_count == 1


def test_the_log_names_no_values(transport, requests_mock, caplog):
    caplog.set_level(logging.DEBUG, "airflow_provider_dynamics")
    requests_mock.get(ROOT + "accounts(name='Jane%20Doe')", headers={"REQ_ID": "1ee13aa7"}, **OK)
    transport.send(Request("GET", "accounts(name='Jane%20Doe')?$select=name&$filter=salary%20gt%205"))
    [record] = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.getMessage().startswith("GET accounts(name='…')?$select&$filter: 200 in ")
    assert record.getMessage().endswith("ms, request id 1ee13aa7")


@pytest.mark.parametrize(("seconds", "warnings"), [(10, 0), (11, 1)])
def test_a_long_wait_is_one_warning(transport, requests_mock, caplog, seconds, warnings):
    caplog.set_level(logging.WARNING, "airflow_provider_dynamics")
    requests_mock.get(ROOT + "accounts", [{"status_code": 429, "headers": {"Retry-After": str(seconds)}}, OK])
    transport.send(READ)
    assert len(caplog.records) == warnings
    assert all("Waiting 11 s" in record.getMessage() for record in caplog.records)


def test_the_recommended_parallelism_is_remembered(transport, requests_mock):
    requests_mock.get(ROOT + "accounts", headers={"x-ms-dop-hint": "48"}, **OK)
    transport.send(READ)
    assert transport.parallelism_hint == 48


def test_no_error_text_repeats_the_query(transport, requests_mock):
    requests_mock.get(
        ROOT + "accounts", exc=requests.ConnectionError("Max retries exceeded with url: /secret")
    )
    with pytest.raises(errors.Unreachable) as caught:
        transport.send(Request("GET", "accounts?$filter=name%20eq%20'secret'"))
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("GET accounts?$filter: The connection broke")
