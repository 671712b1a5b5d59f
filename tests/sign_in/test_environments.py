"""Choosing an environment on the page: from a sign-in without one to a connection that has it."""

from __future__ import annotations

import re
from html import unescape

import pytest

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.discovery import Instance
from airflow_provider_dynamics.stored import StoredConnection
from tests.sign_in.outside import Place, connection

SALES = Instance(
    "https://sales.crm4.dynamics.com",
    "Sales",
    region="EMEA",
    version="9.2.24",
    admin=True,
    trial_ends="2027-02-01",
)
CLOSED = Instance("https://closed.crm4.dynamics.com", "Closed", enabled=False)
BACK = "Back to the list"


def without_environment(conn_id="bare", **extra):
    fields = {**connection(conn_id, **extra).fields, "host": None}
    return StoredConnection(conn_id, fields)


@pytest.fixture
def bare(place: Place):
    """Return a deployment with a connection, `bare`, whose Environment URL is empty."""
    place.shelf.rows["bare"] = without_environment()
    place.people.connections.add("bare")
    place.instances = [CLOSED, SALES]
    return place


def card(page: str, conn_id: str) -> str:
    """Return one connection's part of the list."""
    parts = re.findall(r'<li class="card.*?</li>', page, re.DOTALL)
    [found] = [str(part) for part in parts if f"<h2>{conn_id}</h2>" in part]
    return found


class TestSigningInWithoutAnEnvironment:
    def test_the_card_offers_to_sign_in(self, bare: Place):
        shown = card(bare.browser().get("").text, "bare")

        assert "Nobody is signed in" in shown
        assert "globaldisco" not in shown

    def test_the_service_that_lists_environments_is_signed_in_to(self, bare: Place):
        bare.browser().leave("bare")

        [started] = bare.service.started
        assert started["environment"] == "https://globaldisco.crm.dynamics.com"

    def test_of_another_cloud_it_is_that_clouds(self, bare: Place):
        bare.shelf.rows["bare"] = without_environment(cloud="gcc_high")

        bare.browser().leave("bare")

        assert bare.service.started[0]["environment"] == "https://globaldisco.crm.microsoftdynamics.us"

    def test_without_a_tenant_any_organizations_person_may_sign_in(self, bare: Place):
        bare.shelf.rows["bare"] = without_environment(tenant_id=None)

        bare.browser().leave("bare")

        assert bare.service.started[0]["tenant_id"] == "organizations"

    def test_it_leads_to_the_choice_and_nothing_is_tested_before(self, bare: Place):
        browser = bare.browser()

        answer = browser.come_back(browser.leave("bare"))
        shown = browser.get("environments", connection="bare").text

        assert answer.headers["Location"] == "/dynamics/environments?connection=bare"
        assert "Signed in as ann@contoso.com." in shown
        assert "Choose an environment for bare" in shown
        assert bare.tested == []

    def test_with_an_environment_it_leads_to_the_list_as_ever(self, bare: Place):
        browser = bare.browser()

        answer = browser.come_back(browser.leave("sales"))

        assert answer.headers["Location"].startswith("/dynamics/#")

    def test_the_card_says_that_a_choice_is_due(self, bare: Place):
        bare.shelf.rows["bare"] = without_environment(refresh_token="seed")

        shown = card(bare.browser().get("").text, "bare")

        assert "No environment is chosen" in shown
        assert 'href="/dynamics/environments?connection=bare"' in shown
        assert "Choose an environment first." in shown


class TestTheChoice:
    @pytest.fixture
    def signed_in(self, bare: Place):
        bare.shelf.rows["bare"] = without_environment(refresh_token="seed", username="ann@contoso.com")
        return bare

    def choose(self, place: Place, environment: str, conn_id: str = "bare", person: str = "ann"):
        browser = place.browser(person)
        csrf = place.browser("ann").token() if person != "ann" else browser.token()
        return browser, browser.post("environments", csrf=csrf, connection=conn_id, environment=environment)

    def test_every_environment_is_shown_with_what_is_known_of_it(self, signed_in: Place):
        shown = signed_in.browser().get("environments", connection="bare").text

        for text in ("Sales", SALES.url, "EMEA", "version 9.2.24", "administrator", "2027-02-01"):
            assert text in shown
        assert "ann@contoso.com" in shown

    def test_a_disabled_one_cannot_be_chosen(self, signed_in: Place):
        shown = signed_in.browser().get("environments", connection="bare").text
        assert re.search(rf'value="{CLOSED.url}" required disabled', shown)

        _, answer = self.choose(signed_in, CLOSED.url)

        assert answer.status_code == 400
        assert signed_in.shelf.chosen == []

    def test_it_becomes_the_connections_environment_and_is_tested(self, signed_in: Place):
        browser, answer = self.choose(signed_in, SALES.url)

        assert signed_in.shelf.chosen == [("bare", SALES.url)]
        assert answer.headers["Location"].startswith("/dynamics/#")
        shown = card(browser.get("").text, "bare")
        assert f"The environment is now Sales ({SALES.url}). Connected to" in shown
        assert signed_in.tested == ["bare"]

    def test_it_is_written_into_the_audit_log(self, signed_in: Place):
        self.choose(signed_in, SALES.url)

        assert signed_in.shelf.events == [
            ("dynamics_choose_environment", "ann", "bare", {"environment": SALES.url})
        ]

    def test_the_one_in_use_is_marked_and_may_be_changed(self, signed_in: Place):
        signed_in.instances = [Instance("https://contoso.crm4.dynamics.com", "Contoso"), SALES]

        shown = signed_in.browser().get("environments", connection="sales").text
        _, answer = self.choose(signed_in, SALES.url, "sales")

        assert re.search(r'value="https://contoso.crm4.dynamics.com" required checked', shown)
        assert "in use" in shown
        assert answer.status_code == 303
        assert signed_in.shelf.chosen == [("sales", SALES.url)]

    @pytest.mark.parametrize("environment", ["https://evil.crm4.dynamics.com", "", "https://evil.test"])
    def test_what_is_not_on_the_list_is_not_taken(self, signed_in: Place, environment):
        _, answer = self.choose(signed_in, environment)

        assert answer.status_code == 400
        assert "Choose one of the environments on the list" in answer.text
        assert signed_in.shelf.chosen == []

    @pytest.mark.parametrize(
        ("environment", "words"),
        [
            ("https://contoso.crm.dynamics.cn", "lies in cloud"),
            ("https://evil.test", "is not an address of a Dynamics 365 cloud"),
            ("https://sales.crm4.dynamics.com:8443", "must not name a port"),
        ],
    )
    def test_nor_is_what_no_connection_may_have_though_the_service_lists_it(
        self, signed_in: Place, environment, words
    ):
        signed_in.shelf.rows["bare"] = without_environment(refresh_token="seed", cloud="public")
        signed_in.instances = [Instance(environment, "Sales")]

        _, answer = self.choose(signed_in, environment)

        assert answer.status_code == 409
        assert words in unescape(answer.text)
        assert signed_in.shelf.chosen == []

    def test_what_the_service_calls_them_is_text_and_nothing_else(self, signed_in: Place):
        odd = "<script>alert(1)</script>"
        signed_in.instances = [
            Instance(
                f'https://x.crm.dynamics.com/"><{odd}',
                odd,
                region=odd,
                version=odd,
                purpose=odd,
                trial_ends=odd,
            )
        ]

        shown = signed_in.browser().get("environments", connection="bare").text

        assert "<script>alert" not in shown
        assert shown.count("&lt;script&gt;alert(1)") == 7

    def test_a_person_without_any_is_told_what_may_be_the_reason(self, signed_in: Place):
        signed_in.instances = []

        shown = signed_in.browser().get("environments", connection="bare").text

        assert "may enter no environment" in shown
        assert BACK in shown

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (AuthenticationError("AADSTS65001 No consent. What to do: consent."), "AADSTS65001"),
            (errors.Forbidden("Not for you", asked="GET Instances", status=403), "Not for you"),
        ],
        ids=["the sign-in", "the service"],
    )
    def test_where_they_cannot_be_listed_it_says_why(self, signed_in: Place, error, words):
        signed_in.instances = error

        answer = signed_in.browser().get("environments", connection="bare")

        assert answer.status_code == 502
        assert words in answer.text
        assert BACK in answer.text

    def test_nobody_is_asked_before_somebody_signed_in(self, bare: Place):
        answer = bare.browser().get("environments", connection="bare")

        assert answer.status_code == 400
        assert "Sign in first." in answer.text

    @pytest.mark.parametrize("person", ["vera", "otto"])
    def test_who_may_not_change_the_connection_may_not_list_nor_choose(self, signed_in: Place, person):
        shown = signed_in.browser(person).get("environments", connection="bare")
        _, answer = self.choose(signed_in, SALES.url, person=person)

        assert (shown.status_code, answer.status_code) == (403, 403 if person == "otto" else 400)
        assert SALES.url not in shown.text
        assert signed_in.shelf.chosen == []

    def test_a_form_of_somebody_elses_is_not_taken(self, signed_in: Place):
        browser = signed_in.browser("bob")
        answer = browser.post(
            "environments", csrf=signed_in.browser("ann").token(), connection="bare", environment=SALES.url
        )

        assert answer.status_code == 400
        assert signed_in.shelf.chosen == []

    @pytest.mark.parametrize("auth_type", ["client_secret", "username_password"])
    def test_who_signs_in_by_itself_is_told_to_enter_one(self, signed_in: Place, auth_type):
        login = {"user_password": "password-that-nobody-may-see", "username": "ann"}
        signed_in.shelf.rows["bare"] = without_environment(auth_type=auth_type, **login)

        shown = card(signed_in.browser().get("").text, "bare")

        assert "Environment URL is missing: enter the base address" in shown
        assert "hoose" not in shown

    def test_an_app_has_no_list(self, signed_in: Place):
        shown = card(signed_in.browser().get("").text, "app")
        answer = signed_in.browser().get("environments", connection="app")

        assert "Choose environment" not in shown
        assert answer.status_code == 400
