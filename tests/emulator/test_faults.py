"""Fault switches: what each does on the wire, when it strikes, and how the real limits count."""

from __future__ import annotations

import base64
import json
import re
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy

import pytest
import requests

from airflow_provider_dynamics.emulator.limits.budgets import Limits
from airflow_provider_dynamics.emulator.limits.faults import KINDS, Faults, switch

WHO = "/api/data/v9.2/WhoAmI"


def statuses(wire, times):
    return [wire.who_am_i().status_code for _ in range(times)]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        pytest.param({"count": 2}, [503, 503, 200, 200], id="the next two"),
        pytest.param({"every": 2}, [200, 503, 200, 503], id="every second"),
        pytest.param({"skip": 1, "count": 1}, [200, 503, 200, 200], id="the second only"),
        pytest.param({"every": 3, "count": 1}, [200, 200, 503, 200], id="the third only"),
        pytest.param({"method": "POST"}, [200, 200, 200, 200], id="another method"),
        pytest.param({"path": "accounts"}, [200, 200, 200, 200], id="another path"),
        pytest.param({"path": "WhoAmI$"}, [503, 503, 503, 503], id="this path"),
    ],
)
def test_a_switch_strikes_in_its_scope_and_no_further(emulator, wire, scope, expected):
    emulator.fault("status", **scope)
    assert statuses(wire, 4) == expected


def test_switches_stay_until_they_are_cleared(emulator, wire):
    emulator.fault("status")
    emulator.fault("short_page")
    during = statuses(wire, 2)
    emulator.clear_faults()

    assert (during, statuses(wire, 2)) == ([503, 503], [200, 200])
    assert emulator.service.faults.page_size_limit is None


def test_a_path_is_matched_decoded_and_with_its_query(emulator, wire):
    emulator.fault("status", path=r"\$select=name&\$top=1", status=504)
    assert wire.get("/accounts?%24select=name&%24top=1").status_code == 504


@pytest.mark.parametrize(
    ("limit", "code", "words"),
    [
        pytest.param(
            "requests", "0x80072322", "Number of requests exceeded the limit of 6000", id="requests"
        ),
        pytest.param("time", "0x80072321", "Combined execution time of incoming requests", id="time"),
        pytest.param("concurrency", "0x80072326", "Number of concurrent requests exceeded", id="concurrency"),
    ],
)
def test_throttling_of_each_kind_has_its_code_and_retry_after(emulator, wire, limit, code, words):
    emulator.fault("throttle", limit=limit, retry_after=7)
    response = wire.who_am_i()
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "7"
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"].startswith(words)


def test_retry_after_may_be_a_date(emulator, wire):
    emulator.fault("throttle", retry_after=30, as_date=True)
    response = wire.who_am_i()
    wait = parsedate_to_datetime(response.headers["Retry-After"]) - parsedate_to_datetime(
        response.headers["Date"]
    )
    assert 29 <= wait.total_seconds() <= 32


def test_retry_after_may_be_missing(emulator, wire):
    emulator.fault("throttle", no_retry_after=True)
    assert "Retry-After" not in wire.who_am_i().headers


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_answers_html(emulator, wire, status):
    emulator.fault("status", status=status, retry_after=2)
    response = wire.who_am_i()
    assert (response.status_code, response.headers["Retry-After"]) == (status, "2")
    assert response.headers["Content-Type"].startswith("text/html")


def test_a_proxy_s_page_comes_with_status_200(emulator, wire):
    emulator.fault("html")
    response = wire.who_am_i()
    assert response.status_code == 200
    assert response.text.startswith("<!DOCTYPE html>")


def test_any_dataverse_error_can_be_asked_for(emulator, wire):
    emulator.fault("error", status=403, code="0x80040220", message="Principal user is missing prvReadAccount")
    response = wire.who_am_i()
    assert response.status_code == 403
    assert response.json() == {
        "error": {"code": "0x80040220", "message": "Principal user is missing prvReadAccount"}
    }


def test_a_missing_application_user_is_refused_although_the_token_is_good(emulator, wire):
    emulator.fault("not_a_member")
    response = wire.who_am_i()
    assert (response.status_code, response.json()["error"]["code"]) == (403, "0x80072560")


def test_an_expired_token_gets_401_without_json(emulator, wire):
    emulator.fault("expired_token", count=1)
    response = wire.who_am_i()
    assert (response.status_code, response.content) == (401, b"")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert wire.who_am_i().status_code == 200


def test_a_claims_challenge_ends_with_a_token_asked_for_with_claims(emulator, wire):
    emulator.fault("claims")
    response = wire.who_am_i()
    assert response.status_code == 401
    encoded = response.headers["WWW-Authenticate"].partition('claims="')[2].partition('"')[0]
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "scope": f"{emulator.url}/.default",
        "claims": base64.b64decode(encoded).decode(),
    }
    wire.token = None
    wire.token = wire("POST", f"/{emulator.tenant_id}/oauth2/v2.0/token", data=form).json()["access_token"]
    assert wire.who_am_i().status_code == 200


@pytest.mark.parametrize(
    ("when", "created"),
    [pytest.param("before", 0, id="before the work"), pytest.param("after", 1, id="after the commit")],
)
def test_a_reset_connection_leaves_the_work_undone_or_done(emulator, wire, when, created):
    before = len(emulator.rows("account"))
    emulator.fault("reset", when=when, method="POST", count=1)
    with pytest.raises(requests.ConnectionError):
        wire("POST", "/api/data/v9.2/accounts", json={"name": "Lost answer"})
    assert len(emulator.rows("account")) == before + created


def test_a_truncated_body_breaks_its_promise_of_length(emulator, wire):
    emulator.fault("truncate", count=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        wire.who_am_i()
    assert wire.who_am_i().status_code == 200


def test_a_cut_body_is_whole_to_http_and_broken_to_json(emulator, wire):
    emulator.fault("truncate", count=1, length="cut")
    response = wire.who_am_i()
    assert response.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


def test_a_slow_answer_is_late_and_right(emulator, wire):
    emulator.fault("slow", seconds=0.2, count=1)
    response = wire.who_am_i()
    assert response.elapsed.total_seconds() >= 0.2
    assert response.status_code == 200


def test_a_slow_switch_goes_together_with_an_answering_one(emulator, wire):
    emulator.fault("slow", seconds=0.1)
    emulator.fault("status", status=502)
    response = wire.who_am_i()
    assert response.elapsed.total_seconds() >= 0.1
    assert response.status_code == 502


def test_a_short_page_still_leads_to_every_row(emulator, wire):
    emulator.fault("short_page", rows=2)
    everything = len(emulator.rows("account"))
    page = wire.get("/accounts?$select=name").json()
    assert len(page["value"]) == 2
    seen = len(page["value"])
    while "@odata.nextLink" in page:
        page = wire("GET", page["@odata.nextLink"]).json()
        seen += len(page["value"])
    assert seen == everything


def test_an_expired_delta_token_is_refused_with_its_code(emulator, wire):
    prefer = {"Prefer": "odata.track-changes"}
    link = wire.get("/accounts?$select=name", headers=prefer).json()["@odata.deltaLink"]
    assert wire("GET", link).status_code == 200
    emulator.fault("expired_delta")
    response = wire("GET", link)
    assert response.json()["error"]["code"] == "0x80044352"
    assert response.status_code >= 400


def test_record_counts_may_be_of_yesterday(emulator, wire):
    def counted():
        answer = wire.get("/RetrieveTotalRecordCount(EntityNames=['account','contact'])").json()
        counts = answer["EntityRecordCountCollection"]
        assert counts["Keys"] == ["account", "contact"]
        return counts["Values"]

    now = [len(emulator.rows(table)) for table in ("account", "contact")]
    emulator.fault("old_counts")
    wire("POST", "/api/data/v9.2/accounts", json={"name": "New"})
    assert counted() == now
    emulator.fault("slow", seconds=0)
    assert counted() == now, "another switch makes them no newer"
    emulator.reset()
    wire("POST", "/api/data/v9.2/accounts", json={"name": "New"})
    assert counted() == [now[0] + 1, now[1]]


def test_a_poison_row_is_refused_and_its_neighbours_are_not(emulator, wire):
    emulator.fault("poison", table="account", column="name", value="Poison")
    bad = wire("POST", "/api/data/v9.2/accounts", json={"name": "Poison"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "0x80040265")
    assert wire("POST", "/api/data/v9.2/accounts", json={"name": "Wholesome"}).status_code == 204


def token(emulator, wire):
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "scope": f"{emulator.url}/.default",
    }
    return wire("POST", f"/{emulator.tenant_id}/oauth2/v2.0/token", data=form)


@pytest.mark.parametrize(
    ("members", "status", "error"),
    [
        pytest.param({"error": "invalid_client"}, 401, "invalid_client", id="invalid_client"),
        pytest.param({"error": "invalid_grant"}, 400, "invalid_grant", id="invalid_grant"),
        pytest.param(
            {"error": "temporarily_unavailable", "code": 90033, "status": 503},
            503,
            "temporarily_unavailable",
            id="a transient error",
        ),
    ],
)
def test_the_token_endpoint_answers_the_error_asked_for(emulator, wire, members, status, error):
    emulator.fault("token_error", count=1, **members)
    response = token(emulator, wire)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert token(emulator, wire).status_code == 200


def test_the_token_endpoint_may_be_down_with_html(emulator, wire):
    emulator.fault("token_status", status=503, retry_after=3, count=1)
    response = token(emulator, wire)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "3")
    assert response.text.startswith("<!DOCTYPE html>")


def test_the_token_endpoint_may_answer_200_with_html(emulator, wire):
    emulator.fault("token_html", count=1)
    response = token(emulator, wire)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_the_token_endpoint_may_reset_the_connection(emulator, wire):
    emulator.fault("token_reset", count=1)
    with pytest.raises(requests.ConnectionError):
        token(emulator, wire)


def test_the_token_endpoint_may_be_slow(emulator, wire):
    emulator.fault("token_slow", seconds=0.2, count=1)
    assert token(emulator, wire).elapsed.total_seconds() >= 0.2


def test_data_faults_leave_the_token_endpoint_alone(emulator, wire):
    emulator.fault("status")
    assert token(emulator, wire).status_code == 200


def test_reset_switches_everything_off(emulator, wire):
    emulator.fault("status")
    emulator.fault("short_page", rows=1)
    emulator.reset()
    assert wire.who_am_i().status_code == 200
    assert len(wire.get("/accounts?$select=name").json()["value"]) > 1


def test_switches_are_set_listed_and_cleared_over_http(wire):
    one = {"kind": "status", "status": 502, "count": 1}
    listed = wire("POST", "/_emulator/faults", json=[one, {"kind": "slow", "seconds": 0}]).json()
    assert [switch["kind"] for switch in listed] == ["status", "slow"]
    assert wire.who_am_i().status_code == 502
    assert wire("GET", "/_emulator/faults").json()[0]["hits"] == 1
    wire("DELETE", "/_emulator/faults")
    assert wire("GET", "/_emulator/faults").json() == []


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param({"kind": "meteor"}, "unknown fault kind 'meteor'", id="an unknown kind"),
        pytest.param({"kind": "status", "colour": 1}, "does not take colour", id="an unknown member"),
        pytest.param({"kind": "throttle", "limit": "mood"}, "must be one of requests", id="an unknown limit"),
        pytest.param({"kind": "poison"}, "needs table, column", id="a poison row without its value"),
        pytest.param(
            {"kind": "limits", "requests": "many"}, "requests is a number", id="a text for a number"
        ),
        pytest.param({"kind": "limits", "window": 0}, "window is a number", id="a window of no time"),
        pytest.param({"kind": "limits", "servers": 17}, "from 1 to 16", id="too many servers"),
        pytest.param({"kind": "slow", "seconds": -1}, "seconds is a number", id="a time below 0"),
        pytest.param({"kind": "html", "path": "["}, "regular expression", id="a path that is no expression"),
    ],
)
def test_a_wrong_switch_is_refused_with_what_would_be_right(wire, members, words):
    with pytest.raises(ValueError, match=words):
        switch(members)
    response = wire("POST", "/_emulator/faults", json=members)
    assert response.status_code == 400
    assert words in response.json()["error"]


def test_every_kind_can_be_set_and_is_documented():
    from airflow_provider_dynamics.emulator.limits import faults as module

    needed = {"poison": {"table": "account", "column": "name", "value": "x"}}
    for kind in KINDS:
        assert json.dumps(switch({"kind": kind, **needed.get(kind, {})}).as_dict())
        assert re.search(rf"^{kind} ", module.__doc__, re.MULTILINE)


LIMITS = {"requests": 3, "execution_seconds": 10.0, "concurrency": 2, "window": 300.0, "servers": 2}


class Counter:
    """Limits with a clock that stands still until told otherwise."""

    def __init__(self):
        self.moment = 1000.0
        self.limits = Limits(lambda: self.moment)

    def request(self, user="u", server=0, seconds=0.0):
        refusal = self.limits.begin(user, server, LIMITS)
        if refusal is None:
            self.limits.end(user, server, seconds)
        return refusal


def test_the_request_limit_frees_itself_when_the_window_has_passed():
    counter = Counter()
    assert [counter.request() for _ in range(3)] == [None] * 3
    counter.moment += 100
    refusal = counter.request()
    assert (refusal.code, refusal.retry_after) == ("0x80072322", 200)
    counter.moment += 201
    assert counter.request() is None


def test_going_on_while_throttled_makes_the_wait_longer():
    counter = Counter()
    for _ in range(3):
        counter.request()
        counter.moment += 50
    first = counter.request().retry_after
    for _ in range(3):
        last = counter.request().retry_after
    assert last > first


def test_limits_are_per_user_and_per_server():
    counter = Counter()
    for _ in range(3):
        counter.request()
    assert counter.request(user="another") is None
    assert counter.request(server=1) is None
    assert counter.request() is not None


def test_the_execution_time_limit_adds_up_seconds():
    counter = Counter()
    counter.request(seconds=6)
    counter.moment += 60
    counter.request(seconds=6)
    refusal = counter.request()
    assert (refusal.code, refusal.retry_after) == ("0x80072321", 240)


def test_the_concurrency_limit_counts_requests_that_run():
    counter = Counter()
    for _ in range(2):
        assert counter.limits.begin("u", 0, LIMITS) is None
    refusal = counter.limits.begin("u", 0, LIMITS)
    assert refusal
    assert refusal.code == "0x80072326"


def test_what_remains_is_told_in_the_headers(emulator, wire):
    emulator.fault("limits", requests=10, servers=1)
    first, second = (wire.who_am_i().headers for _ in range(2))
    assert first["x-ms-ratelimit-burst-remaining-xrm-requests"] == "9"
    assert second["x-ms-ratelimit-burst-remaining-xrm-requests"] == "8"


def test_two_servers_behind_no_cookie_give_twice_the_budget(emulator, wire):
    emulator.fault("limits", requests=2, servers=2)
    wire.session.cookies.set_policy(Blocked())
    assert statuses(wire, 5) == [200, 200, 200, 200, 429]


def test_the_affinity_cookie_ties_a_client_to_one_server(emulator, wire):
    emulator.fault("limits", requests=2, servers=2)
    assert statuses(wire, 3) == [200, 200, 429]


class Blocked(DefaultCookiePolicy):
    """Keeps no cookie, as Microsoft advises for parallel load."""

    def set_ok(self, cookie, request):
        return False


def test_faults_without_a_clock_of_their_own_count_real_time():
    faults = Faults()
    assert faults.limits.begin("u", 0, None) is None
    assert faults.limits.remaining("u", 0, None)[0] == 5999
