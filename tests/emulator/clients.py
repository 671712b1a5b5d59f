"""Other people's clients against the emulator: MSAL's session, and `requests` as a browser."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
ACTION = re.compile(r'<form method="post" action="([^"]*)"')
ALERT = re.compile(r'role="alert"[^>]*>([^<]*)<')


class MsalSession(requests.Session):
    """What MSAL needs here: the emulator's CA with each request, no redirects, and the port MSAL drops in one place."""

    def __init__(self, emulator) -> None:
        super().__init__()
        self.trust_env = False
        self.emulator = emulator

    def request(self, method, url, **options):  # type: ignore[override]  # it only adds to the options
        options.update(verify=self.emulator.ca_bundle, allow_redirects=False, timeout=20)
        # MSAL asks for the user realm at the host without its port
        url = url.replace("https://127.0.0.1/common/userrealm/", f"{self.emulator.url}/common/userrealm/")
        return super().request(method, url, **options)


class Browser:
    """A person's browser: keeps the page it is on, and where it was sent."""

    def __init__(self, emulator) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.ca_bundle = emulator.ca_bundle
        self.page = requests.Response()

    def open(self, url):
        self.page = self.session.get(url, verify=self.ca_bundle, allow_redirects=False, timeout=20)
        return self

    def submit(self, **typed):
        """Post the page's form with what was typed."""
        text = self.page.text
        action = ACTION.search(text)
        assert action, text
        fields = self.hidden
        address = urljoin(self.page.url, unescape(action[1]))
        self.page = self.session.post(
            address, data={**fields, **typed}, verify=self.ca_bundle, allow_redirects=False, timeout=20
        )
        return self

    def sign_in(self, user_name, password):
        return self.submit(loginfmt=user_name, passwd=password)

    @property
    def hidden(self):
        """The hidden fields of the page's form."""
        return {unescape(name): unescape(value) for name, value in HIDDEN.findall(self.page.text)}

    @property
    def status(self):
        return self.page.status_code

    @property
    def text(self):
        return unescape(self.page.text)

    @property
    def alert(self):
        found = ALERT.search(self.page.text)
        return unescape(found[1]) if found else ""

    @property
    def sent_to(self):
        """Where the app gets its answer."""
        return self.page.headers["Location"]

    @property
    def answer(self):
        """The answer's parameters, from query or fragment."""
        parts = urlsplit(self.sent_to)
        return {name: values[0] for name, values in parse_qs(parts.query or parts.fragment).items()}
