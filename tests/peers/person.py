"""A person at the provider's own pages: whatever they hold is read, filled in and sent, as a browser does.

No page is known in advance, so a redirect or a form that should not be there ends the sign-in.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import requests

from tests.peers.openid import OpenIdProvider

__all__ = ["Person"]


class Person:
    """Somebody with a browser: fills in the provider's own pages, one form after the other."""

    def __init__(self, name: str, provider: OpenIdProvider) -> None:
        self.name = name
        self._provider = provider

    def sign_in(self, url: str) -> dict[str, str]:
        """Open an authorization address, sign in and consent; return the parameters the app's redirect URI is called with."""
        with self._browser() as browser:
            return self._redirected(browser, browser.get(url))

    def decline(self, url: str) -> dict[str, str]:
        """Open an authorization address, and leave by the page's own [ Cancel ]."""
        with self._browser() as browser:
            page = self._follow(browser, browser.get(url))
            assert isinstance(page, requests.Response)
            cancel = _Page.of(page).links["[ Cancel ]"]
            return self._redirected(browser, browser.get(urljoin(page.url, cancel)))

    def enter_code(self, verification_uri: str, user_code: str) -> str:
        """Enter a device's code, confirm it, sign in and consent; return the last page's heading."""
        with self._browser() as browser:
            page = self._follow(browser, browser.get(verification_uri))
            for _ in range(8):
                assert isinstance(page, requests.Response)
                form = _Page.of(page)
                if not form.action:
                    return form.heading
                page = self._submit(browser, page, form, user_code=user_code)
            raise AssertionError(f"no end of forms; the last was {form.heading!r}")

    def _browser(self) -> requests.Session:
        browser = requests.Session()
        browser.trust_env = False
        browser.verify = self._provider.ca_bundle
        browser.request = _unfollowed(browser.request)  # type: ignore[method-assign]  # a browser of ours, not requests'
        return browser

    def _redirected(self, browser: requests.Session, answer: requests.Response) -> dict[str, str]:
        page = self._follow(browser, answer)
        for _ in range(8):
            if isinstance(page, dict):
                return page
            page = self._submit(browser, page, _Page.of(page))
        raise AssertionError("no end of forms")

    def _submit(
        self, browser: requests.Session, page: requests.Response, form: _Page, user_code: str = ""
    ) -> requests.Response | dict[str, str]:
        assert page.status_code == 200, page.text[-500:]
        filled = dict(form.fields)
        filled |= {"login": self.name, "password": "any"} if "login" in filled else {}
        filled |= {"user_code": user_code} if "user_code" in filled and not filled["user_code"] else {}
        return self._follow(browser, browser.post(urljoin(page.url, form.action), data=filled))

    def _follow(
        self, browser: requests.Session, answer: requests.Response
    ) -> requests.Response | dict[str, str]:
        while "Location" in answer.headers:
            url = urljoin(answer.url, answer.headers["Location"])
            if url.startswith(self._provider.redirect_uri):
                return dict(parse_qsl(urlsplit(url).query))
            answer = browser.get(url)
        return answer


class _Page(HTMLParser):
    """The one form of a page: where it goes and what it holds; its links by their text; its heading."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.heading = ""
        self._open = ""
        self._href = ""

    @classmethod
    def of(cls, answer: requests.Response) -> _Page:
        page = cls()
        page.feed(answer.text)
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._open = tag
        if tag == "form":
            self.action = values.get("action", "")
        elif tag == "input" and "name" in values:
            self.fields[values["name"]] = values.get("value", "")
        elif tag == "a":
            self._href = values.get("href", "")

    def handle_data(self, data: str) -> None:
        if self._open == "a":
            self.links[data.strip()] = self._href
        elif self._open == "h1":
            self.heading = data.strip()
        self._open = "" if data.strip() else self._open


def _unfollowed(request: Any) -> Any:
    def ask(method: str, url: str, **options: Any) -> Any:
        return request(method, url, **{**options, "allow_redirects": False, "timeout": 20})

    return ask
