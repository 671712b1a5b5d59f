"""The pages in a real browser: forms, buttons, redirects, and an answer that the browser posts."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from tests.browsing import ARGUMENTS, CHROMIUM, needs_chromium

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


@pytest.fixture
def callback(emulator):
    """Some page of the emulator itself, so that the browser stays on this machine."""
    address = f"{emulator.url}/common/oauth2/deviceauth"
    emulator.redirect_uris.add(address)
    yield address
    emulator.redirect_uris.discard(address)


def authorize(emulator, callback, **changes):
    members = {
        "client_id": emulator.client_id,
        "response_type": "code",
        "redirect_uri": callback,
        "scope": f"{emulator.url}/.default openid offline_access",
        "state": "s",
        "login_hint": emulator.user_name,
        **changes,
    }
    return f"{emulator.url}/{emulator.tenant_id}/oauth2/v2.0/authorize?{urlencode(members)}"


def sign_in(page, password):
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_and_consents(emulator, page, callback):
    page.goto(authorize(emulator, callback, prompt="consent"))
    sign_in(page, "wrong")
    assert "password is incorrect" in page.get_by_role("alert").inner_text()
    sign_in(page, emulator.user_password)
    page.get_by_role("button", name="Accept").click()
    page.wait_for_url(re.compile(re.escape(callback) + r"\?code=.+&state=s"))


def test_a_person_declines(emulator, page, callback):
    page.goto(authorize(emulator, callback, prompt="consent"))
    sign_in(page, emulator.user_password)
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(re.compile(r"error=access_denied"))


def test_the_browser_posts_the_answer_when_it_is_asked_to(emulator, page, callback):
    page.goto(authorize(emulator, callback, response_mode="form_post"))
    sign_in(page, emulator.user_password)
    page.wait_for_url(callback)
    posted = [one for one in emulator.requests if callback.endswith(one.path)]
    assert [one.method for one in posted] == ["POST"]


def test_a_wrong_redirect_uri_stays_on_the_error_page(emulator, page, callback):
    page.goto(authorize(emulator, callback + "/other"))
    assert "AADSTS50011" in page.locator("main").inner_text()


def test_a_device_is_signed_in(emulator, page, native_app):
    flow = native_app().initiate_device_flow([f"{emulator.url}/user_impersonation"])
    page.goto(flow["verification_uri"])
    page.locator('input[name="otc"]').fill(flow["user_code"])
    page.get_by_role("button", name="Next").click()
    page.locator('input[name="loginfmt"]').fill(emulator.user_name)
    sign_in(page, emulator.user_password)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("You have signed in").wait_for()


def test_a_person_signs_in_on_premises(emulator, page, callback):
    members = {
        "client_id": emulator.client_id,
        "response_type": "code",
        "redirect_uri": callback,
        "resource": emulator.adfs_resource,
        "state": "s",
    }
    page.goto(f"{emulator.adfs_authority}/oauth2/authorize/?{urlencode(members)}")
    page.get_by_label("User account").fill(emulator.user_name)
    sign_in(page, emulator.user_password)
    page.wait_for_url(re.compile(re.escape(callback) + r"\?code=.+&state=s"))
