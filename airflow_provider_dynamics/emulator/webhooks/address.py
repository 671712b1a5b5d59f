"""Where a webhook is posted to, and with which proof: a service endpoint's URL and its authentication.

https://learn.microsoft.com/power-apps/developer/data-platform/register-web-hook#authentication-options
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit, urlunsplit

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated

WEBHOOK = 8
KEY, HEADERS, QUERY = 4, 5, 6  # authtype
_PORTS = {"http": 80, "https": 443}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_HEADERS = Fault(
    400,
    "0x80050203",
    "The webhook call failed because of invalid http headers in authValue. Check if the authValue format, header "
    "names and values are valid for your Service Endpoint entity.",
)
_BAD_QUERY = Fault(
    400,
    "0x80050204",
    "The webhook call failed because of invalid http query params in authValue. Check if the authValue format, query "
    "parameter names and values are valid for your Service Endpoint entity.",
)


@dataclass(frozen=True)
class Address:
    """Where to post to; ``headers`` and the query of ``parts`` carry the key."""

    parts: SplitResult
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def target(self) -> str:
        """Path and query, as a request line has them."""
        return urlunsplit(("", "", self.parts.path or "/", self.parts.query, ""))

    @property
    def shown(self) -> str:
        """The URL without its query, which may be secret."""
        return urlunsplit((self.parts.scheme, self.parts.netloc, self.parts.path, "", ""))


def check_place(url: str | None, *, anywhere: bool) -> SplitResult:
    """The parts of an endpoint's URL; ``Fault`` when it is none, or none that may be posted to from here.

    "Registered WebHooks support only port 80 for HTTP and port 443 for HTTPS": that holds for other machines; on this
    one any port will do, since tests cannot have those.
    """
    parts = urlsplit(url or "")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in _PORTS or not parts.hostname or port == -1:
        raise Fault(400, "0x80040203", "The url of a webhook must be an absolute http or https address.")
    if _is_this_machine(parts.hostname):
        return parts
    if not anywhere:
        raise NotEmulated(
            f"posting webhooks to {parts.hostname}, which is another machine; webhooks.anywhere = true allows it"
        )
    if port not in (None, _PORTS[parts.scheme]):
        raise Fault(
            400, "0x80040203", "Registered WebHooks support only port 80 for HTTP and port 443 for HTTPS."
        )
    return parts


def address_of(endpoint: Mapping[str, Any], *, anywhere: bool) -> Address:
    """Where a stored service endpoint wants to be posted to; ``Fault`` when its authentication cannot be read."""
    parts = check_place(endpoint["url"], anywhere=anywhere)
    kind, value = endpoint["authtype"], endpoint["authvalue"] or ""
    if kind == HEADERS:
        return Address(parts, _headers(value))
    if kind == QUERY:
        return Address(_with_query(parts, urlencode(_settings(value, _BAD_QUERY), quote_via=quote)))
    if kind == KEY and value:
        return Address(_with_query(parts, f"code={quote(value, safe='')}"))
    return Address(parts)


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _with_query(parts: SplitResult, more: str) -> SplitResult:
    return parts._replace(query="&".join(filter(None, (parts.query, more))))


def _headers(value: str) -> dict[str, str]:
    found = _settings(value, _BAD_HEADERS)
    for name, text in found.items():
        if not _HEADER.fullmatch(name) or not text.isascii() or not text.isprintable():
            raise _BAD_HEADERS
    return found


def _settings(value: str, fault: Fault) -> dict[str, str]:
    """``<settings><setting name="…" value="…" /></settings>``, as the Plug-in Registration tool writes it."""
    if not value:
        return {}
    try:
        root = fromstring(value, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise fault from error
    found = [(one.get("name"), one.get("value")) for one in root]
    if root.tag != "settings" or any(name is None or text is None for name, text in found):
        raise fault
    return {str(name): str(text) for name, text in found}
