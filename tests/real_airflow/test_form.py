"""The connection form as a person sees it: a real browser on Airflow's real UI."""

from __future__ import annotations

import json

import pytest

from tests.browsing import ARGUMENTS, CHROMIUM, keep, needs_chromium
from tests.stack import AirflowStack

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.stack, needs_chromium]


@pytest.fixture
def page(stack: AirflowStack, tmp_path):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1200, "height": 2000}, base_url=stack.url)
        page.set_default_timeout(20_000)
        yield page
        page.screenshot(path=tmp_path / "form.png")
        browser.close()


def open_form(page, connection_id):
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    page.locator('input[name="connection_id"]').fill(connection_id)
    page.get_by_role("dialog").get_by_role("combobox").first.click()
    page.keyboard.type("Microsoft Dynamics")
    page.keyboard.press("Enter")
    page.get_by_text("Environment URL").first.wait_for()


def test_a_connection_filled_in_by_hand_is_saved_with_its_fields(page, stack: AirflowStack):
    open_form(page, "by_hand")
    dialog = page.get_by_role("dialog")

    for label in ("Environment URL", "Client ID", "Client secret"):
        assert dialog.get_by_text(label).count()
    for section in ("Authentication", "Certificate", "Network", "Advanced"):
        assert dialog.get_by_role("button", name=section).count() or dialog.get_by_text(section).count()
    page.locator('input[name="host"]').fill("https://contoso.crm.dynamics.com")
    page.locator('input[name="login"]').fill("00000000-0000-0000-0000-00000000c11e")
    keep(dialog, "connection_form")
    dialog.get_by_role("button", name="Authentication").click()
    page.locator('input[name="element_tenant_id"]').fill("contoso.onmicrosoft.com")
    keep(dialog, "connection_authentication")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="hidden")

    saved = stack.call("GET", "/connections/by_hand")
    extra = json.loads(saved["extra"])
    assert (saved["conn_type"], saved["host"]) == ("dynamics", "https://contoso.crm.dynamics.com")
    assert (extra["tenant_id"], extra["auth_type"]) == ("contoso.onmicrosoft.com", "client_secret")
