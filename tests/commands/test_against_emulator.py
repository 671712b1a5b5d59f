"""A person signs in and a connection is examined, with the emulator as both services."""

from __future__ import annotations

import json
import re
import time

import pytest

from airflow_provider_dynamics.auth import AuthenticationError
from airflow_provider_dynamics.auth.tokens import SHARED
from airflow_provider_dynamics.commands import doctor
from airflow_provider_dynamics.commands.examination import examine
from airflow_provider_dynamics.commands.login import Flows, Person, by_browser, by_device_code
from airflow_provider_dynamics.commands.probes import ask
from airflow_provider_dynamics.connection import Settings
from airflow_provider_dynamics.dataverse.errors import Unreachable


@pytest.fixture
def settings(emulator):
    """Return the settings of a connection to the emulator: `settings(auth_type, …)`, as for `airflow_connection`."""
    SHARED.clear()

    def of(auth_type="client_secret", authority_type="entra", *, signing_in=False, **options):
        variables = emulator.airflow_connection("crm", auth_type, authority_type, **options)
        fields = json.loads(variables["AIRFLOW_CONN_CRM"])
        fields.pop("conn_type")
        return Settings.from_fields(**fields, signing_in=signing_in)

    return of


@pytest.fixture
def said():
    return []


def enter(browser, emulator, said, *, answer="Continue"):
    """Do on another device what the texts say: open the page, enter the code, sign in."""
    page = next(text for text in said if "enter the code" in text).split()[1]
    code = said[said.index(next(text for text in said if "enter the code" in text)) + 1].strip()
    browser.open(page)
    browser.submit("Next", otc=code)
    browser.submit("Sign in", loginfmt=emulator.user_name, passwd=emulator.user_password)
    browser.submit(answer)


@pytest.fixture
def person(said):
    """A person who does something while the command waits: `person(what)`."""

    def who(do, open_browser=lambda _: False):
        return Person(said.append, open_browser, time.time, lambda _: do(), patience=20)

    return who


def test_a_code_signs_a_person_in(emulator, settings, browser, person, said):
    sign_in = settings("refresh_token", public=True).sign_in()
    signed = by_device_code(sign_in, person(lambda: enter(browser, emulator, said)), Flows())
    assert signed.user == emulator.user_name
    assert signed.tenant_id == emulator.tenant_id
    assert signed.refresh_token
    assert signed.refresh_token not in "".join(said)


def test_a_declined_code_is_told(emulator, settings, browser, person, said):
    sign_in = settings("refresh_token", public=True).sign_in()
    with pytest.raises(AuthenticationError, match="What to do") as caught:
        by_device_code(sign_in, person(lambda: enter(browser, emulator, said, answer="Cancel")), Flows())
    assert not caught.value.retryable


def test_an_expired_code_is_told(emulator, settings, person):
    sign_in = settings("refresh_token", public=True).sign_in()

    def too_late():
        emulator.sign_ins.expire_devices()

    with pytest.raises(AuthenticationError, match="What to do"):
        by_device_code(sign_in, person(too_late), Flows())


@pytest.fixture
def goes(emulator, browser):
    """Send the browser to the sign-in page, as `open_browser` does, and back from there: `goes(accept=…)`."""
    emulator.redirect_uris.add("http://localhost")

    def with_answer(*, accept=True):
        def go(url):
            browser.visit_later(emulator.sign_in(url, accept=accept))
            return True

        return go

    yield with_answer
    emulator.redirect_uris.discard("http://localhost")


@pytest.mark.parametrize(
    ("authority_type", "public"),
    [
        pytest.param("entra", True, id="an app without a secret"),
        pytest.param("entra", False, id="a Web app"),
        pytest.param("adfs", True, id="AD FS"),
    ],
)
def test_a_browser_signs_a_person_in(settings, person, goes, authority_type, public):
    sign_in = settings("refresh_token", authority_type, public=public).sign_in()
    signed = by_browser(sign_in, person(lambda: None, goes()), Flows())
    assert "@" in signed.user
    assert signed.refresh_token


def test_a_declined_consent_is_told(emulator, settings, person, goes):
    emulator.sign_ins.consent_given = False
    sign_in = settings("refresh_token", public=True).sign_in()
    with pytest.raises(AuthenticationError, match="What to do"):
        by_browser(sign_in, person(lambda: None, goes(accept=False)), Flows())


# --- the doctor ---------------------------------------------------------------------------------------------------


@pytest.fixture
def examined(settings, monkeypatch):
    """Examine a connection to the emulator; what was found, by check."""
    monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "none")  # there is no database here

    def run(*args, tables=(), **options):
        found = examine(lambda: (settings(*args, **options), ()), doctor.REAL, tables)
        return {finding.check: finding for finding in found}

    return run


@pytest.mark.parametrize(
    ("auth_type", "authority_type", "public"),
    [
        pytest.param("client_secret", "entra", False, id="client secret"),
        pytest.param("certificate", "entra", False, id="certificate"),
        pytest.param("workload_identity", "entra", False, id="workload identity"),
        pytest.param("refresh_token", "entra", True, id="signed-in user of an app without a secret"),
        pytest.param("refresh_token", "entra", False, id="signed-in user of a Web app"),
        pytest.param("username_password", "entra", True, id="user name and password"),
        pytest.param("client_secret", "adfs", False, id="client secret at AD FS"),
        pytest.param("refresh_token", "adfs", True, id="signed-in user at AD FS"),
    ],
)
def test_every_way_of_signing_in_is_found_well(examined, auth_type, authority_type, public):
    found = examined(auth_type, authority_type, public=public)
    wrong = [finding for finding in found.values() if finding.status not in {"ok", "skipped"}]
    assert [finding.check for finding in wrong] == (["settings"] if auth_type == "username_password" else [])
    assert found["user"].status == found["tables"].status == "ok"


def test_a_wrong_secret_is_the_tokens_failure(examined, emulator):
    found = examined(password="wrong-secret")
    assert found["token"].status == "fail"
    assert "AADSTS7000215" in found["token"].text
    assert found["user"].status == "skipped"
    assert "wrong-secret" not in repr(found)
    assert emulator.client_secret not in repr(found)


def test_a_missing_application_user_is_the_users_failure(examined, emulator):
    emulator.fault("not_a_member")
    found = examined()
    assert found["token"].status == "ok"
    assert found["user"].status == "fail"
    assert "0x80072560" in found["user"].text
    assert "application user" in found["user"].text


def test_an_unknown_tenant_is_the_authoritys_failure(examined):
    found = examined(tenant_id="99999999-8888-7777-6666-555555555555", authority=None)
    assert found["authority"].status == "fail"
    assert "AADSTS90002" in found["authority"].text
    assert found["token"].status == "skipped"


def test_a_certificate_authority_nobody_knows_is_the_environments_failure(examined):
    found = examined(ca_bundle=None)
    assert found["environment"].status == found["authority"].status == "fail"
    assert "CA bundle" in found["environment"].text
    assert found["token"].status == "skipped"


def test_a_probe_follows_no_redirect_and_sends_nothing_along(emulator, settings):
    answer = ask(f"{emulator.url}/api/data/v9.2/WhoAmI", settings().network)
    assert answer.status == 401
    assert answer.addresses == ("127.0.0.1",)
    assert "authorization" not in {name.lower() for name in emulator.requests[-1].headers}


def test_a_probe_of_nothing_is_worded(settings):
    with pytest.raises(Unreachable, match="No connection could be made"):
        ask("https://127.0.0.1:1/", settings().network)


def test_an_assertion_of_a_wrong_clock_is_told(examined, emulator):
    emulator.sign_ins.skew(3600)
    found = examined("certificate")
    assert found["token"].status == "fail"
    assert "AADSTS700024" in found["token"].text
    assert "clock" in found["token"].text


@pytest.mark.parametrize(
    ("seconds", "auth_type", "expected"),
    [
        pytest.param(10, "certificate", ("ok", 0), id="a little behind"),
        pytest.param(200, "client_secret", ("warn", 200), id="minutes behind"),
        pytest.param(-200, "client_secret", ("warn", -200), id="minutes ahead"),
        pytest.param(3600, "client_secret", ("warn", 3600), id="an hour behind, signing nothing"),
        pytest.param(3600, "certificate", ("fail", 3600), id="an hour behind, signing itself"),
    ],
)
def test_the_services_clock_is_compared(examined, emulator, seconds, auth_type, expected):
    emulator.sign_ins.skew(seconds)
    found = examined(auth_type)["clock"]
    told = re.search(r"clock is (\d+) s (behind|ahead of) 127\.0\.0\.1", found.text)
    behind = int(told[1]) * (1 if told[2] == "behind" else -1) if told else 0
    assert found.status == expected[0]
    assert behind == pytest.approx(expected[1], abs=20)


@pytest.mark.parametrize("broken", ["openid-configuration", None], ids=["no sign-in service", "both"])
def test_the_environments_clock_serves_where_the_other_is_not_seen(examined, emulator, broken):
    emulator.sign_ins.skew(1000)
    if broken:
        emulator.fault("token_reset", path=broken)
    found = examined()
    assert found["authority"].status == ("fail" if broken else "ok")
    assert found["clock"].status == "warn"


# --- roles and privileges -----------------------------------------------------------------------------------------


def test_the_roles_and_privileges_of_an_application_are_told(examined):
    found = examined()
    assert found["privileges"].status == "ok"
    assert re.fullmatch(
        r"Security roles: System Administrator, \d{2,} privileges\.", found["privileges"].text
    )
    assert "contact can be read, created, changed, deleted" in found["tables"].text


def test_a_smaller_role_shows_in_the_tables_that_were_named(examined, emulator):
    token = emulator.refresh_token(user=emulator.other_user_name)
    found = examined("refresh_token", tables=("incident",), refresh_token=token)
    assert "Sam Cole" in found["user"].text
    assert "Security roles: Salesperson, " in found["privileges"].text
    assert "incident can be read, not created, changed, deleted" in found["tables"].text
    found = examined("refresh_token", tables=("contoso_shipment",), refresh_token=token)
    assert (found["tables"].status, "prvReadcontoso_Shipment" in found["tables"].text) == ("fail", True)


@pytest.mark.parametrize(
    ("tables", "status"), [((), "warn"), (("contact",), "fail")], ids=["usual tables", "a named table"]
)
def test_a_missing_privilege_is_named(examined, emulator, tables, status):
    emulator.sign_ins.take_privilege("prvReadContact")
    found = examined(tables=tables)
    assert found["user"].status == found["privileges"].status == "ok"
    assert found["tables"].status == status
    assert "0x80040220" in found["tables"].text
    assert "prvReadContact" in found["tables"].text
    assert "security role" in found["tables"].text + found["tables"].remedy


def test_what_the_connection_may_not_read_about_itself_is_no_failure(examined, emulator):
    emulator.sign_ins.take_privilege("prvReadUser")
    found = examined()
    assert found["user"].status == "ok"
    assert found["privileges"].status == "skipped"
    assert found["tables"].status == "ok"


def test_roles_that_may_not_be_read_leave_the_privileges(examined, emulator):
    emulator.sign_ins.take_privilege("prvReadRole")
    found = examined()["privileges"]
    assert re.fullmatch(r"No security role of its own is seen, \d{2,} privileges\.", found.text)
