"""A browser without windows: it opens a page, fills in its form, presses a button, and follows where that leads."""

from __future__ import annotations

import threading
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


class Browser:
    """One person's visit; `page` is the text on the screen, `url` its address."""

    def __init__(self, ca_bundle):
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_bundle
        self.url = ""
        self.page = ""
        self._visit = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._visit:
            self._visit.join(20)
        self._session.close()

    def open(self, url):
        self._show(self._session.get(url, timeout=20))

    def visit_later(self, url):
        """Open a page without waiting for it: whoever sent the browser there is not listening yet."""
        self._visit = threading.Thread(target=self.open, args=(url,), daemon=True)
        self._visit.start()

    def submit(self, button="", **values):
        """Press the button whose words these are (or the first one), with values filled in."""
        form = _Form(self.page)
        fields = {**form.fields, **form.button(button), **values}
        self._show(
            self._session.request(form.method, urljoin(self.url, form.action), data=fields, timeout=20)
        )

    def _show(self, reply):
        self.url, self.page = reply.url, reply.text


class _Form(HTMLParser):
    """The first form of a page."""

    def __init__(self, page):
        super().__init__()
        self.action, self.method = "", "get"
        self.fields: dict[str, str] = {}
        self._buttons: list[tuple[dict[str, str], list[str]]] = []
        self._inside = False
        self.feed(page)
        assert self.fields or self._buttons, f"there is no form on this page: {page[:500]}"

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag == "form" and not self._buttons:
            self.action, self.method = named.get("action") or "", named.get("method", "get")
        elif tag == "input" and named.get("name"):
            self.fields[named["name"]] = named.get("value") or ""
        elif tag == "button":
            self._buttons.append((named, []))
            self._inside = True

    def handle_endtag(self, tag):
        if tag == "button":
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self._buttons[-1][1].append(data)

    def button(self, words):
        for named, text in self._buttons:
            if words in "".join(text):
                return {named["name"]: named.get("value", "")} if named.get("name") else {}
        raise AssertionError(f"no button says {words!r}; there are {[text for _, text in self._buttons]}")
