"""Signing in from the command line, with a sign-in service and a clock made of values."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlencode

import pytest
import requests

from airflow_provider_dynamics.auth import AccessToken, AuthenticationError
from airflow_provider_dynamics.auth.authorities import Authority
from airflow_provider_dynamics.auth.authority import Signed, SignIn
from airflow_provider_dynamics.auth.code_flow import CodeFlow, DeviceFlow
from airflow_provider_dynamics.commands.login import (
    Declined,
    Flows,
    Person,
    by_browser,
    by_device_code,
    check_way,
    farewell,
)
from airflow_provider_dynamics.connection import Settings

SIGNED = Signed(
    AccessToken("at", expires_at=9e9), refresh_token="rt-1", user="ann@contoso.com", tenant_id="t"
)
SIGN_IN = SignIn("https://contoso.crm.dynamics.com", Authority(), "t", "app", None, "refresh token")
AUTHORIZE = "https://login.example/authorize?state=s-1"


@dataclass
class Clock:
    """Time that passes by sleeping only."""

    time: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture
def person(clock, said):
    return Person(said.append, lambda _: False, clock.now, clock.sleep, patience=20)


def device(*answers, interval=5.0, lives=900.0):
    """Return a sign-in service whose polls are answered one by one; an exception among them is raised."""
    pending = list(answers)

    def start(_):
        return DeviceFlow("ABCD-EFGH", "https://login.example/device", "", 1_000.0 + lives, interval, {})

    def poll(_, flow, *, now):
        assert now() <= flow.expires_at
        answer = pending.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer == "slow down":
            flow.interval += 5
            return None
        return answer

    return Flows(start_device=start, poll_device=poll)


def test_the_code_and_the_address_are_shown(person, said):
    assert by_device_code(SIGN_IN, person, device(SIGNED)) is SIGNED
    text = "\n".join(said)
    assert "https://login.example/device" in text
    assert "ABCD-EFGH" in text


def test_the_services_interval_is_kept(person, clock):
    by_device_code(SIGN_IN, person, device(None, None, SIGNED, interval=7))
    assert clock.slept == [7, 7, 7]


def test_slow_down_is_obeyed(person, clock):
    by_device_code(SIGN_IN, person, device(None, "slow down", None, SIGNED))
    assert clock.slept == [5, 5, 10, 10]


def test_a_bad_minute_is_waited_out(person, clock):
    outage = AuthenticationError("unreachable", retryable=True)
    busy = AuthenticationError("busy", retryable=True, retry_after=30)
    assert by_device_code(SIGN_IN, person, device(outage, outage, busy, None, SIGNED)) is SIGNED
    assert clock.slept == [5, 10, 20, 30, 5]


def test_a_refusal_ends_it(person):
    refusal = AuthenticationError("declined")
    with pytest.raises(AuthenticationError, match="declined"):
        by_device_code(SIGN_IN, person, device(None, refusal))


def test_no_wait_goes_past_the_codes_end(person, clock):
    expired = AuthenticationError("expired")
    with pytest.raises(AuthenticationError, match="expired"):
        by_device_code(SIGN_IN, person, device(None, None, expired, lives=12))
    assert clock.slept == [5, 5, 2]


def browser_flows(finished):
    def start(_, redirect_uri):
        return CodeFlow(
            f"{AUTHORIZE}&{urlencode({'redirect_uri': redirect_uri})}", {"state": "s-1", "nonce": "n"}
        )

    def finish(_, kept, answer, *, now):
        assert now()
        finished.append((dict(kept), dict(answer)))
        return SIGNED

    return Flows(start_code=start, finish_code=finish)


def comes_back(seen, **answer):
    """Return a browser that is sent somewhere and comes back to the redirect URI with this answer."""

    def open_it(url):
        seen.append(url)
        back = unquote(url.partition("redirect_uri=")[2]).replace("localhost", "127.0.0.1")

        def visit():
            with requests.Session() as session:
                session.trust_env = False
                session.get(f"{back}/", params={"state": "s-1", **answer}, timeout=10)

        threading.Thread(target=visit, daemon=True).start()
        return True

    return open_it


def test_the_browsers_answer_finishes_the_sign_in(person, said):
    finished: list[tuple[dict[str, str], dict[str, str]]] = []
    seen: list[str] = []
    person = replace(person, open_browser=comes_back(seen, code="abc"))
    assert by_browser(SIGN_IN, person, browser_flows(finished)) is SIGNED
    assert finished == [({"state": "s-1", "nonce": "n"}, {"state": "s-1", "code": "abc"})]
    assert seen[0] in "\n".join(said)


def test_without_a_browser_the_address_is_printed_with_the_way_to_this_machine(person, said):
    person = replace(person, patience=0.01)
    with pytest.raises(Declined, match="Nobody came back"):
        by_browser(SIGN_IN, person, browser_flows([]))
    text = "\n".join(said)
    assert AUTHORIZE in text
    assert "ssh -L" in text


def test_no_other_address_than_https_is_opened(person, said):
    opened: list[str] = []
    person = replace(person, open_browser=opened.append)
    flows = Flows(start_code=lambda *_: CodeFlow("file:///etc/passwd", {"state": "s-1"}))
    with pytest.raises(Declined, match="no https address"):
        by_browser(SIGN_IN, person, flows)
    assert (opened, said) == ([], [])


def test_what_is_left_of_a_former_sign_in_is_told():
    assert "It could not be deleted." in farewell(
        "crm", connection(), SIGNED, 0.0, "It could not be deleted."
    )


def test_a_taken_port_is_told(person):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Declined, match=f"Port {port} cannot be used .* --port"):
            by_browser(SIGN_IN, person, browser_flows([]), port)


def connection(**extra):
    return Settings.from_fields(
        host=extra.pop("host", "https://contoso.crm.dynamics.com"),
        login="app",
        password=extra.pop("password", None),
        extra={"auth_type": "refresh_token", "tenant_id": "contoso.com", **extra},
        allowed_authorities=["adfs.contoso.com"],
        signing_in=True,
    )


ON_PREMISES = connection(
    host="https://org.contoso.com", authority_type="adfs", authority="https://adfs.contoso.com/adfs"
)


def test_a_number_that_is_no_port_is_told(person):
    with pytest.raises(Declined, match="Port 99999 cannot be used"):
        by_browser(SIGN_IN, person, browser_flows([]), 99999)


@pytest.mark.parametrize(
    ("settings", "way", "words"),
    [
        pytest.param(
            connection(password="s3cret"), {}, "has a Client secret. Use --browser", id="an app with a secret"
        ),
        pytest.param(
            ON_PREMISES,
            {},
            "at AD FS: .* Use --browser",
            id="AD FS",
        ),
        pytest.param(connection(), {"port": 8400}, "--port belongs to --browser", id="a port for a code"),
    ],
)
def test_a_way_that_does_not_exist_is_refused_by_name(settings, way, words):
    with pytest.raises(Declined, match=words):
        check_way(settings, browser=False, port=way.get("port"))
    check_way(settings, browser=True, port=way.get("port"))


def test_an_app_without_a_secret_may_use_a_code():
    check_way(connection(), browser=False, port=None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param(connection(), "holds until 2027-02-20; every use starts these 90 days anew", id="Entra"),
        pytest.param(ON_PREMISES, "after 8 hours", id="AD FS"),
        pytest.param(
            connection(authority_type="oidc", authority="https://127.0.0.1:8443/tenant"),
            "is for 127.0.0.1:8443 to say",
            id="another provider",
        ),
    ],
)
def test_the_last_words_say_who_where_and_how_long(settings, words):
    text = farewell("crm", settings, SIGNED, now=1795334400.0)  # 22 November 2026
    assert f"Signed in as ann@contoso.com for {settings.environment}; connection 'crm'" in text
    assert words in text
    assert "rt-1" not in text


def test_without_an_environment_they_say_how_to_choose_one():
    settings = Settings.from_fields(login="app", extra={"auth_type": "refresh_token"}, signing_in=True)

    text = farewell("crm", settings, SIGNED, now=1795334400.0)

    assert "Signed in as ann@contoso.com; connection 'crm' keeps it." in text
    assert "airflow dynamics environments crm" in text
    assert "globaldisco" not in text
