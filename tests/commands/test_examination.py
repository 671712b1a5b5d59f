"""The order of the doctor's checks, and what is skipped when one of them fails."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import pytest

from airflow_provider_dynamics.auth import AccessToken, AuthenticationError
from airflow_provider_dynamics.auth.store import StoreError
from airflow_provider_dynamics.commands.examination import CHECKS, Tools, examine
from airflow_provider_dynamics.commands.probes import Answer
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.dataverse.errors import Forbidden, UnknownTable, Unreachable

URL = "https://contoso.crm.dynamics.com"
NOW = 1_795_334_400.0
TENANT = "11111111-2222-3333-4444-555555555555"
DESCRIBED = json.dumps(
    {
        "issuer": "https://login.microsoftonline.com/t/v2.0",
        "token_endpoint": "https://login.microsoftonline.com/t/token",
    }
).encode()


def settings(**extra):
    fields = {"tenant_id": TENANT, **extra}
    managed = extra.get("auth_type") == "managed_identity"
    return Settings.from_fields(
        host=URL, login=None if managed else "app", password=None if managed else "s3cret", extra=fields
    )


class World:
    """Services that work, until a test says otherwise."""

    def __init__(self):
        self.asked = []
        self.broken = {}
        self.roles = [{"name": "Sales"}]
        self.tracked = {"account": True, "contact": False}
        self.signed_in = 0

    def tools(self):
        return Tools(
            tenant=lambda found: self.answer("tenant", found.tenant_id),
            sign_in=self.sign_in,
            client=lambda _: cast("Client", self),
            record=lambda _: self.answer("store", None),
            ask=self.ask,
            now=lambda: NOW,
        )

    def answer(self, what, value):
        if what in self.broken:
            raise self.broken[what]
        return value

    def ask(self, url, _):
        self.asked.append(url)
        sign_in = "microsoftonline" in url
        self.answer("authority" if sign_in else "environment", None)
        return Answer(url, 200 if sign_in else 401, {}, DESCRIBED, (), 0.1, NOW)

    def sign_in(self, _):
        self.signed_in += 1
        return self.answer("token", AccessToken("opaque-secret-token", expires_at=NOW + 3600))

    # the client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def who_am_i(self):
        return self.answer("user", {"UserId": "u-1"})

    def get(self, table, row_id, select=(), expand=None):
        if expand:
            return self.answer("roles", {"systemuserroles_association": self.roles})
        return self.answer("name", {"fullname": "# ETL"})

    def privileges(self, user_id):
        return self.answer("privileges", frozenset({"prvReadAccount"}))

    def table(self, name):
        if name not in self.tracked:
            raise UnknownTable(f"This environment has no table {name!r}")
        return type("Table", (), {"primary_id": f"{name}id", "change_tracking": self.tracked[name]})

    def rows(self, query):
        return iter(self.answer(query.table, [{}]))


@pytest.fixture
def world():
    return World()


def findings(world, tables=(), **extra):
    return list(examine(lambda: (settings(**extra), ()), world.tools(), tables))


def by_check(found):
    return {finding.check: finding.status for finding in found}


def test_every_check_is_made_in_order(world):
    found = findings(world)
    assert [finding.check for finding in found] == [*CHECKS, "tables"]
    assert {finding.status for finding in found[:4]} <= {"ok", "skipped"}
    assert by_check(found)["privileges"] == "ok"
    assert [finding.status for finding in found[-2:]] == ["ok", "warn"]


def test_findings_come_one_by_one_while_the_checks_are_made(world):
    run = examine(lambda: (settings(), ()), world.tools())
    next(run)
    assert world.asked == []
    next(run)
    assert len(world.asked) == 1


def test_wrong_fields_end_it(world):
    def read():
        raise SettingsError("Client ID is missing.")

    first, *others = examine(read, world.tools())
    assert (first.check, first.status, first.text) == ("settings", "fail", "Client ID is missing.")
    assert [finding.check for finding in others] == list(CHECKS[1:])
    assert {finding.status for finding in others} == {"skipped"}
    assert world.asked == []


@pytest.mark.parametrize(
    ("broken", "failing", "skipped"),
    [
        pytest.param(
            {"environment": Unreachable("The host name cannot be resolved")},
            "environment",
            {"user", "privileges", "tables"},
            id="no environment",
        ),
        pytest.param(
            {"authority": Unreachable("No connection could be made")},
            "authority",
            {"token", "claims", "user", "privileges", "tables"},
            id="no sign-in service",
        ),
        pytest.param(
            {"tenant": AuthenticationError("no tenant")},
            "authority",
            {"token", "claims", "user", "privileges", "tables"},
            id="no tenant",
        ),
        pytest.param(
            {"token": AuthenticationError("AADSTS7000215", remedy="Paste the Value")},
            "token",
            {"claims", "user", "privileges", "tables"},
            id="no token",
        ),
        pytest.param(
            {"user": Forbidden("not a member", code="0x80072560")},
            "user",
            {"privileges", "tables"},
            id="nobody there",
        ),
    ],
)
def test_what_depends_on_a_failure_is_skipped(world, broken, failing, skipped):
    world.broken = broken
    statuses = by_check(findings(world))
    assert statuses[failing] == "fail"
    assert {check for check, status in statuses.items() if status == "skipped"} - {
        "clock",
        "claims",
    } == skipped - {"claims"}


def test_no_secret_leaves_without_a_sign_in_service(world):
    world.broken = {"authority": Unreachable("No connection could be made")}
    findings(world)
    assert world.signed_in == 0


def test_a_token_never_shows(world):
    assert "opaque-secret-token" not in repr(findings(world))


def test_a_store_that_cannot_be_read_is_told(world):
    world.broken = {"store": StoreError("Redis is away.")}
    found = next(finding for finding in findings(world) if finding.check == "credential")
    assert (found.status, found.text) == ("fail", "Redis is away.")
    assert "credential_store" in found.remedy
    assert "airflow db migrate" in found.remedy


def test_a_managed_identity_has_no_authority_to_ask(world):
    statuses = by_check(findings(world, auth_type="managed_identity"))
    assert statuses["authority"] == "skipped"
    assert statuses["token"] == "ok"
    assert not any("microsoftonline" in url for url in world.asked)


def test_what_the_user_may_not_read_about_itself_is_no_failure(world):
    hidden = Forbidden("prvReadUser is missing")
    world.broken = {"name": hidden, "roles": hidden, "privileges": hidden}
    statuses = by_check(findings(world))
    assert statuses["user"] == "ok"
    assert statuses["privileges"] == "skipped"


def test_named_tables_must_be_there_and_readable(world):
    world.broken = {"contact": Forbidden("prvReadContact is missing", remedy="Give a role")}
    found = findings(world, tables=("contact", "nothing"))[-2:]
    assert [finding.status for finding in found] == ["fail", "fail"]
    assert "prvReadContact" in found[0].text


def test_the_usual_tables_may_be_absent_or_hidden(world):
    world.tracked = {"contact": True}
    world.broken = {"contact": Forbidden("prvReadContact is missing")}
    assert [finding.status for finding in findings(world)[-2:]] == ["skipped", "warn"]


def test_tools_can_be_exchanged_one_by_one(world):
    late = replace(world.tools(), now=lambda: NOW + 3000)
    found = next(finding for finding in examine(lambda: (settings(), ()), late) if finding.check == "token")
    assert "10 min" in found.text
