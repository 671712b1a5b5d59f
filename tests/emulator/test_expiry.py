"""Delta tokens over the wire: too old by the services' clock, by the organization's setting, by control."""

from __future__ import annotations

DAY = 86_400
TRACK = {"Prefer": "odata.track-changes"}
EXPIRED = "0x80044352"


def delta_link(wire):
    return wire.get("/accounts?$select=name", headers=TRACK).json()["@odata.deltaLink"]


def code(answer):
    return answer.json()["error"]["code"]


def test_a_token_is_too_old_after_a_week_of_the_services_clock(emulator, wire):
    link = delta_link(wire)
    emulator.sign_ins.skew(6 * DAY)
    wire.token = emulator.access_token()
    assert wire("GET", link).status_code == 200
    emulator.sign_ins.skew(7 * DAY + 60)
    wire.token = emulator.access_token()
    assert code(wire("GET", link)) == EXPIRED


def test_rows_are_dated_by_the_services_clock(emulator, wire):
    emulator.sign_ins.skew(400 * DAY)
    wire.token = emulator.access_token()
    made = wire("POST", "/api/data/v9.2/accounts", json={"name": "Of next year"})
    row = wire("GET", made.headers["OData-EntityId"]).json()
    date = wire.get("/WhoAmI").headers["Date"]
    assert row["createdon"][:4] in date


def test_the_control_api_lets_tokens_expire_one_table_or_all(emulator, wire):
    link = delta_link(wire)
    wire("POST", "/_emulator/expire_delta_tokens", json={"table": "contact"})
    assert wire("GET", link).status_code == 200
    wire("POST", "/_emulator/expire_delta_tokens", json={})
    assert code(wire("GET", link)) == EXPIRED
    link = delta_link(wire)
    emulator.expire_delta_tokens()
    assert code(wire("GET", link)) == EXPIRED
    assert wire("POST", "/_emulator/expire_delta_tokens", json={"table": "acount"}).status_code == 400


def test_the_organization_s_setting_is_obeyed(emulator, wire):
    link = delta_link(wire)
    organization = wire.who_am_i().json()["OrganizationId"]
    days = {"expirechangetrackingindays": 1}
    wire("PATCH", f"/api/data/v9.2/organizations({organization})", json=days)
    emulator.sign_ins.skew(DAY + 60)
    wire.token = emulator.access_token()
    assert code(wire("GET", link)) == EXPIRED
