"""The page's HTML and the headers it goes out with: no script but our own, no frame, no cache, no referrer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment
    from starlette.requests import Request

__all__ = ["Site", "asset", "go", "page"]

ASSETS: Mapping[str, str] = {"style.css": "text/css", "theme.js": "text/javascript"}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Site:
    """Where the page is, as people reach it: `address` is its URL without a slash at its end."""

    address: str

    @classmethod
    def of(cls, request: Request, base_url: str) -> Site:
        """Return the address below Airflow's [api] base_url; without that, the one the browser used."""
        if base_url:
            return cls(f"{base_url.rstrip('/')}/dynamics")
        return cls(f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}")

    @property
    def path(self) -> str:
        """The path all its links and cookies are under."""
        return urlsplit(self.address).path

    @property
    def airflow(self) -> str:
        """Airflow's own path, with a slash at its end."""
        return self.path.removesuffix("dynamics")

    @property
    def login(self) -> str:
        """Where people log in to Airflow and come back here from; 3.2's auth manager only does that by this way."""
        return f"{self.airflow}api/v2/auth/login?next={quote(f'{self.address}/', safe='')}"

    @property
    def redirect_uri(self) -> str:
        """Where sign-in services send people back to; it has to be registered there."""
        return f"{self.address}/callback"

    @property
    def secure(self) -> bool:
        return self.address.startswith("https://")

    @property
    def unfit(self) -> str:
        """Why no sign-in service will send anybody back here; empty where one will.

        https://learn.microsoft.com/entra/identity-platform/reply-url#localhost-exceptions
        """
        if self.secure or urlsplit(self.address).hostname in {"localhost", "127.0.0.1"}:
            return ""
        return (
            f"Microsoft Entra ID sends people back to https addresses only, and this Airflow is reached by {self.address}. Have "
            "whoever runs Airflow serve it over https and say so in [api] base_url; until then sign in with `airflow dynamics login`."
        )

    def to(self, place: str = "", **query: str) -> str:
        """Return the path of one of the page's own places."""
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return f"{self.path}/{place}{'?' if asked else ''}{asked}"


def page(template: str, site: Site, status: int = 200, **values: Any) -> Response:
    """Return a page made of a template."""
    html = _templates().get_template(f"{template}.html").render(site=site, **values)
    return HTMLResponse(html, status, headers=_HEADERS)


def go(path: str) -> Response:
    """Send the browser on, with GET."""
    return RedirectResponse(path, 303, headers=_HEADERS)


def asset(name: str) -> Response:
    """Return the style sheet or the script; they are the same for everybody and hold nothing of anybody."""
    if name not in ASSETS:
        return Response(status_code=404)
    headers = {**_HEADERS, "Cache-Control": "public, max-age=3600"}
    content = files(__package__).joinpath("static", name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers=headers)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(str(__package__), "templates")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
