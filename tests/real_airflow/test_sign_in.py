"""Signing in from Airflow's UI as people do it: a real browser, Airflow's API server below a base path, and the authorize page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_dynamics.emulator import Emulator
from tests.browsing import ARGUMENTS, CHROMIUM, keep, needs_chromium
from tests.stack import AirflowStack

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
PASSWORDS = {"admin": "the admin's password", "viewer": "the viewer's password"}

pytestmark = [pytest.mark.stack, needs_chromium]


class ApiServer(AirflowStack):
    """Airflow's API server alone, below a base path, with people who log in."""

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/airflow"

    def start(self) -> None:
        (self.home / "passwords.json").write_text(json.dumps(PASSWORDS))
        self.command("db", "migrate")
        with self.log_of("api-server").open("wb") as log:
            self._processes["api-server"] = subprocess.Popen(
                [sys.executable, "-m", "airflow", "api-server", "--port", str(self.port)],
                env=self._variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.wait(self._answers, "the API server to answer", seconds=120)
        body = {"username": "admin", "password": PASSWORDS["admin"]}
        answer = requests.post(f"{self.url}/auth/token", json=body, timeout=30)
        self._token = answer.json()["access_token"]

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).ok
        except requests.RequestException:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    home = tmp_path_factory.mktemp("api-server")
    environment = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
    }
    with ApiServer(home, home / "dags", environment) as running:
        yield running


@pytest.fixture
def connection(server: ApiServer, emulator: Emulator) -> Iterator[str]:
    """Return the id of a connection that nobody has signed in to, in Airflow's database."""
    conn_id = "sales"
    (text,) = emulator.airflow_connection(conn_id, "refresh_token").values()
    fields = json.loads(text)
    del fields["extra"]["refresh_token"]
    emulator.redirect_uris.add(f"{server.url}/dynamics/callback")
    server.call(
        "POST",
        "/connections",
        {"connection_id": conn_id, **fields, "extra": json.dumps(fields["extra"])},
    )
    yield conn_id
    server.call("DELETE", f"/connections/{conn_id}")
    emulator.redirect_uris.clear()


@pytest.fixture
def browser(tmp_path):
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = chromium.new_context(
            viewport={"width": 1200, "height": 900}, ignore_https_errors=True, color_scheme="dark"
        )
        context.set_default_timeout(20_000)
        yield context
        for number, page in enumerate(context.pages):
            page.screenshot(path=tmp_path / f"page-{number}.png")
        chromium.close()


def open_list(browser, server: ApiServer, person: str = "admin"):
    """Open the page as somebody who is not logged in, and log in."""
    page = browser.new_page()
    page.goto(f"{server.url}/dynamics/")
    page.locator('input[name="username"]').fill(person)
    page.locator('input[name="password"]').fill(PASSWORDS[person])
    page.locator('button[type="submit"]').click()
    page.wait_for_url(f"{server.url}/dynamics/")
    return page


def sign_in(page, emulator: Emulator) -> None:
    """Press Sign in, and give user name and password to the authorize page."""
    page.get_by_role("button", name="Sign in").click()
    page.locator('input[name="loginfmt"]').fill(emulator.user_name)
    page.locator('input[name="passwd"]').fill(emulator.user_password)
    page.get_by_role("button", name="Sign in").click()


def callbacks(page, server: ApiServer) -> list[str]:
    """Return the addresses at which the authorize page sends this page's browser back, as they come."""
    seen: list[str] = []
    prefix = f"{server.url}/dynamics/callback"

    def note(request) -> None:
        if request.url.startswith(prefix):
            seen.append(request.url)

    page.on("request", note)
    return seen


def test_the_menu_leads_to_the_page(browser, server: ApiServer, connection: str):
    page = open_list(browser, server)
    page.goto(f"{server.url}/")
    page.get_by_text("Admin", exact=True).first.click()

    with browser.expect_page() as opened:
        page.get_by_text("Microsoft Dynamics 365").click()

    opened.value.wait_for_url(f"{server.url}/dynamics/")
    assert opened.value.get_by_role("heading", name=connection).count() == 1


def test_an_admin_signs_in_and_the_connection_works_everywhere(
    browser, server: ApiServer, emulator: Emulator, connection: str
):
    page = open_list(browser, server)
    answers = callbacks(page, server)
    assert page.get_by_text("Nobody is signed in").count() == 1

    sign_in(page, emulator)
    page.get_by_text(f"Signed in as {emulator.user_name}. Connected to {emulator.url}").wait_for()

    assert page.get_by_text("in 90 days").count() == 1
    keep(page.locator("main"), "sign_in_page")
    assert not [cookie for cookie in browser.cookies() if cookie["name"].startswith("dynamics")]
    assert "Connection success" in server.command("connections", "test", connection)
    stored = json.loads(server.call("GET", f"/connections/{connection}")["extra"])
    assert (stored["auth_type"], stored["username"]) == ("refresh_token", emulator.user_name)

    page.goto(answers[0])
    page.get_by_text("This sign-in was used before").wait_for()

    (code,) = parse_qs(urlsplit(answers[0]).query)["code"]
    assert code not in server.log_of("api-server").read_text()
    assert code not in page.content()


def test_somebody_who_signed_in_without_an_environment_picks_one_and_may_change_it(
    browser, server: ApiServer, emulator: Emulator, connection: str
):
    other = emulator.add_environment("fabrikam", friendly_name="Fabrikam Sales", seed=None)
    emulator.list_instance("Adatum (closed)", "https://adatum.crm4.dynamics.com", State=1, Region="EMEA")
    server.call(
        "PATCH",
        f"/connections/{connection}",
        {"connection_id": connection, "conn_type": "dynamics", "host": None},
    )
    page = open_list(browser, server)

    sign_in(page, emulator)
    page.get_by_role("heading", name=f"Choose an environment for {connection}").wait_for()
    assert f"Signed in as {emulator.user_name}." in page.get_by_role("status").inner_text()
    assert page.get_by_role("radio", name="Adatum").is_disabled()
    page.get_by_role("radio", name="Fabrikam Sales").check()
    page.get_by_role("button", name="Use this environment").click()

    page.get_by_text(
        f"The environment is now Fabrikam Sales ({other.url}). Connected to {other.url}"
    ).wait_for()
    assert server.call("GET", f"/connections/{connection}")["host"] == other.url
    assert "Connection success" in server.command("connections", "test", connection)

    page.get_by_role("link", name="Choose environment").click()
    page.get_by_role("heading", name=f"Choose an environment for {connection}").wait_for()
    assert page.get_by_role("radio", name="Fabrikam Sales").is_checked()
    keep(page.locator("main"), "choose_environment")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("heading", name=connection).wait_for()


def test_signing_out_is_asked_for_and_forgets(
    browser, server: ApiServer, emulator: Emulator, connection: str
):
    page = open_list(browser, server)
    sign_in(page, emulator)
    page.get_by_role("link", name="Sign out").click()

    page.get_by_role("button", name="Sign out").click()

    page.get_by_text("Signed out: the refresh token").wait_for()
    page.get_by_text("Nobody is signed in").wait_for()
    assert json.loads(server.call("GET", f"/connections/{connection}")["extra"])["refresh_token"] is None


def test_a_declined_consent_is_told_with_a_way_back(
    browser, server: ApiServer, emulator: Emulator, connection: str
):
    emulator.sign_ins.consent_given = False
    page = open_list(browser, server)

    sign_in(page, emulator)
    page.get_by_role("button", name="Cancel").click()

    page.get_by_role("heading", name="The sign-in did not work").wait_for()
    assert "AADSTS65004" in page.get_by_role("alert").inner_text()
    page.get_by_role("link", name="Back to the list").click()
    page.get_by_role("heading", name=connection).wait_for()
    page.get_by_text("Nobody is signed in").wait_for()


@pytest.mark.usefixtures("connection")
def test_an_unregistered_address_is_told_by_the_service_and_can_be_read_from_the_page(
    browser, server: ApiServer, emulator: Emulator
):
    emulator.redirect_uris.clear()
    page = open_list(browser, server)
    page.locator("summary").click()
    shown = page.locator(".uri").inner_text()

    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("AADSTS50011").wait_for()

    assert f"'{shown}'" in page.locator("main").inner_text()


@pytest.mark.usefixtures("connection")
def test_a_viewer_is_refused(browser, server: ApiServer):
    page = open_list(browser, server, "viewer")

    assert "You may not see connections" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("button").count() == 0


def test_whose_airflow_session_ends_meanwhile_is_told_and_nothing_is_kept(
    browser, server: ApiServer, emulator: Emulator, connection: str
):
    page = open_list(browser, server)
    page.get_by_role("button", name="Sign in").click()
    page.locator('input[name="loginfmt"]').fill(emulator.user_name)
    browser.clear_cookies(name="_token")

    page.locator('input[name="passwd"]').fill(emulator.user_password)
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("heading", name="Your Airflow session has ended").wait_for()
    assert "code=" not in page.content()
    assert not json.loads(server.call("GET", f"/connections/{connection}")["extra"]).get("refresh_token")
    page.get_by_role("link", name="Log in to Airflow").click()
    page.locator('input[name="username"]').wait_for()
