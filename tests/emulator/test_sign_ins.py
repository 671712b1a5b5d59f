"""The knobs of the sign-in services, in process and over the wire; secrets stay out of every record."""

from __future__ import annotations

import json
import logging
import time
from email.utils import parsedate_to_datetime

import pytest


@pytest.fixture
def control(wire):
    return lambda **wanted: wire("POST", "/_emulator/sign_ins", json=wanted)


def refresh(emulator, wire, token, **changes):
    wire.token = None
    form = {
        "grant_type": "refresh_token",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "refresh_token": token,
        **changes,
    }
    return wire("POST", f"/{emulator.tenant_id}/oauth2/v2.0/token", data=form)


def test_the_state_can_be_read_and_set_out_of_band(emulator, wire, control):
    before = wire("GET", "/_emulator/sign_ins").json()
    assert before["rotation"] == "reusable"
    after = control(rotation="family", consent_given=False, application_user=False, skew=5, members=[]).json()
    assert after == {
        "rotation": "family",
        "consent_given": False,
        "application_user": False,
        "members": [],
        "skew": 5.0,
        "privileges_taken": [],
        "redirect_uris": before["redirect_uris"],
    }
    emulator.reset()
    assert wire("GET", "/_emulator/sign_ins").json() == before


def test_redirect_uris_are_replaced_and_outlive_a_reset(emulator, control):
    before = sorted(emulator.redirect_uris)
    control(redirect_uris=["https://airflow.example/here"])
    emulator.reset()
    assert emulator.redirect_uris == {"https://airflow.example/here"}
    control(redirect_uris=before)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        pytest.param({"revoke": True}, 50173, id="everyone's"),
        pytest.param({"revoke": "alex.reed@contoso.example"}, 50173, id="one person's"),
        pytest.param({"expire": True}, 700082, id="by time"),
    ],
)
def test_refresh_tokens_are_ended_out_of_band(emulator, wire, control, wanted, code):
    token = emulator.refresh_token()
    control(**wanted)
    assert refresh(emulator, wire, token).json()["error_codes"] == [code]


@pytest.mark.parametrize(
    ("wanted", "whose"),
    [
        pytest.param("prvreadaccount", None, id="everyone's"),
        pytest.param(
            {"privilege": "prvReadAccount", "user": "sam.cole@contoso.example"},
            "sam.cole@contoso.example",
            id="one person's",
        ),
    ],
)
def test_a_privilege_is_taken_and_returned_out_of_band(emulator, wire, control, wanted, whose):
    state = control(take_privilege=wanted).json()
    assert state["privileges_taken"] == [{"privilege": "prvReadAccount", "user": whose}]
    assert wire.get("/accounts?$top=1").status_code == (200 if whose else 403)
    wire.token = emulator.access_token(user=emulator.other_user_name)
    answer = wire.get("/accounts?$top=1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "0x80040220")
    assert "is missing prvReadAccount privilege" in answer.json()["error"]["message"]
    assert control(return_privileges=True).json()["privileges_taken"] == []
    assert wire.get("/accounts?$top=1").status_code == 200


def test_a_privilege_taken_counts_in_a_batch_and_comes_back_with_a_reset(emulator, wire):
    emulator.sign_ins.take_privilege("prvReadAccount")
    body = "--b\r\nContent-Type: application/http\r\n\r\nGET /api/data/v9.2/accounts?$top=1 HTTP/1.1\r\n\r\n\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    assert "0x80040220" in wire("POST", "/api/data/v9.2/$batch", data=body, headers=headers).text
    emulator.reset()
    assert wire.get("/accounts?$top=1").status_code == 200


@pytest.mark.parametrize("skew", [0, 3600, -3600])
def test_the_clock_shows_in_every_answer_s_date(emulator, wire, skew):
    emulator.sign_ins.skew(skew)
    wire.token = emulator.access_token()
    for path in ("/api/data/v9.2/WhoAmI", f"/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"):
        dates = wire("GET", path).raw.headers.getlist("Date")
        assert len(dates) == 1
        assert parsedate_to_datetime(dates[0]).timestamp() == pytest.approx(time.time() + skew, abs=30)


def test_a_device_flow_is_approved_out_of_band(emulator, wire, control):
    form = {"client_id": emulator.public_client_id, "scope": f"{emulator.url}/user_impersonation"}
    flow = wire("POST", f"/{emulator.tenant_id}/oauth2/v2.0/devicecode", data=form).json()
    control(approve_device={"user_code": flow["user_code"], "user": emulator.other_user_name})
    asked = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": emulator.public_client_id,
        "device_code": flow["device_code"],
    }
    body = wire("POST", f"/{emulator.tenant_id}/oauth2/v2.0/token", data=asked).json()
    assert "access_token" in body
    assert "refresh_token" not in body  # offline_access was not asked for


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"rotation": "sometimes"}, id="an unknown rotation"),
        pytest.param({"nonsense": 1}, id="an unknown knob"),
        pytest.param({"revoke": "nobody@contoso.example"}, id="an unknown person"),
        pytest.param({"decline_device": "NONSENSE"}, id="an unknown device"),
        pytest.param({"take_privilege": "prvFlyAccount"}, id="an unknown privilege"),
        pytest.param({"take_privilege": {"user": "sam.cole@contoso.example"}}, id="no privilege at all"),
    ],
)
def test_a_wrong_wish_is_answered_in_words(control, wanted):
    answer = control(**wanted)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_person_s_request_runs_as_that_person(emulator, wire):
    wire.token = emulator.access_token(user=emulator.other_user_name)
    own = wire.who_am_i().json()["UserId"]
    users = {row["systemuserid"]: row["domainname"] for row in emulator.rows("systemuser")}
    assert users[own] == emulator.other_user_name
    made = wire("POST", "/api/data/v9.2/accounts", json={"name": "Sam's"})
    assert made.status_code == 204
    (row,) = [one for one in emulator.rows("account") if one["name"] == "Sam's"]
    assert (row["_ownerid_value"], row["_createdby_value"]) == (own, own)


def test_a_batch_runs_as_that_person_too(emulator, wire):
    wire.token = emulator.access_token(user=emulator.other_user_name)
    own = wire.who_am_i().json()["UserId"]
    body = (
        "--b\r\nContent-Type: application/http\r\n\r\nGET /api/data/v9.2/WhoAmI HTTP/1.1\r\n\r\n\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    assert own in wire("POST", "/api/data/v9.2/$batch", data=body, headers=headers).text


@pytest.mark.parametrize("who", ["outsider", "former member"])
def test_who_is_no_member_gets_403_whatever_is_asked(emulator, wire, who):
    name = emulator.outsider_name if who == "outsider" else emulator.user_name
    emulator.sign_ins.members = [emulator.other_user_name]
    wire.token = emulator.access_token(user=name)
    for answer in (wire.who_am_i(), wire.get("/accounts?$top=1")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "0x80072560")


def test_a_member_without_a_row_is_none(emulator, wire):
    emulator.sign_ins.members = [emulator.outsider_name]
    wire.token = emulator.access_token(user=emulator.outsider_name)
    assert wire.who_am_i().json()["error"]["code"] == "0x80072560"


SECRET = "planted-secret-7f3a"


@pytest.mark.parametrize("broken", [False, True], ids=["answered", "refused"])
def test_no_secret_of_a_sign_in_is_recorded_or_logged(emulator, wire, caplog, broken):
    with caplog.at_level(logging.DEBUG):
        wire.token = None
        address = f"/{emulator.tenant_id}/oauth2/v2.0/token"
        form = {"grant_type": "password", "client_secret": SECRET, "password": SECRET, "scope": SECRET}
        if broken:
            form |= {"grant_type": SECRET, "claims": SECRET, "client_assertion": SECRET}
        wire("POST", address, data=form, headers={"Cookie": f"session={SECRET}"})
        wire("GET", f"{address}?code={SECRET}&client_secret={SECRET}")
        wire("GET", f"/{emulator.tenant_id}/oauth2/v2.0/authorize?x=1&code={SECRET}")
    ours = [one.getMessage() for one in caplog.records if "dynamics" in one.name]
    recorded = json.dumps([one.as_dict() for one in emulator.requests])
    assert len(emulator.requests) == 3
    assert SECRET not in recorded + "".join(ours)


MODES = [
    ("client_secret", "entra"),
    ("certificate", "entra"),
    ("refresh_token", "entra"),
    ("managed_identity", "entra"),
    ("workload_identity", "entra"),
    ("username_password", "entra"),
    ("client_secret", "adfs"),
    ("certificate", "adfs"),
    ("refresh_token", "adfs"),
    ("username_password", "adfs"),
]


def defined(emulator, *arguments, **options):
    found = emulator.airflow_connection("crm", *arguments, **options)
    return json.loads(found["AIRFLOW_CONN_CRM"]), found


@pytest.mark.parametrize(
    ("auth_type", "authority_type"), MODES, ids=[f"{mode} at {place}" for mode, place in MODES]
)
def test_there_is_a_connection_for_every_way_to_sign_in(emulator, auth_type, authority_type):
    connection, _ = defined(emulator, auth_type, authority_type)
    extra = connection["extra"]
    assert connection["host"] == emulator.url
    assert extra.get("auth_type", "client_secret") == auth_type
    assert extra.get("authority_type", "entra") == authority_type
    assert ("resource" in extra) == (authority_type == "adfs")


def test_a_managed_identity_s_connection_brings_the_machine_s_environment(emulator):
    connection, variables = defined(emulator, "managed_identity")
    assert variables["AZURE_POD_IDENTITY_AUTHORITY_HOST"] == emulator.url
    assert "password" not in connection


def test_a_public_connection_has_no_secret(emulator):
    connection, _ = defined(emulator, "refresh_token", public=True)
    assert connection["login"] == emulator.public_client_id
    assert "password" not in connection


def test_a_connection_s_fields_can_be_changed(emulator):
    connection, _ = defined(emulator, password="other", api_version="v9.1")
    assert (connection["password"], connection["extra"]["api_version"]) == ("other", "v9.1")


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(("nonsense",), id="an unknown mode"),
        pytest.param(("managed_identity", "adfs"), id="managed identity on premises"),
        pytest.param(("client_secret", "okta"), id="an unknown authority"),
    ],
)
def test_a_connection_that_does_not_exist_is_an_error(emulator, wanted):
    with pytest.raises(ValueError, match=r"there is no way to sign in|authority_type must be"):
        emulator.airflow_connection("crm", *wanted)
