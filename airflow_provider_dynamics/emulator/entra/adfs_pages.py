"""AD FS's sign-in page: forms authentication, posted back to the very address it was asked for.

https://learn.microsoft.com/windows-server/identity/ad-fs/overview/ad-fs-openid-connect-oauth-flows-scenarios
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from airflow_provider_dynamics.emulator.directory import Application, Person, person_named
from airflow_provider_dynamics.emulator.entra import html
from airflow_provider_dynamics.emulator.entra.adfs_errors import AdFsError, invalid
from airflow_provider_dynamics.emulator.entra.checks import read_form
from airflow_provider_dynamics.emulator.entra.clients import Clients
from airflow_provider_dynamics.emulator.entra.codes import Codes
from airflow_provider_dynamics.emulator.entra.errors import EntraError, NotEmulated
from airflow_provider_dynamics.emulator.entra.redirects import Redirects
from airflow_provider_dynamics.emulator.entra.resources import Known, Resources
from airflow_provider_dynamics.emulator.messages import Request, Response


class AdFsPages:
    """Shows the page, and sends the answer back to the app."""

    def __init__(
        self, clients: Clients, codes: Codes, redirects: Redirects, resources: Resources | None = None
    ) -> None:
        self._resources = resources or Resources()
        self._clients = clients
        self._codes = codes
        self._redirects = redirects

    def answer(self, request: Request) -> Response:
        """Answer a request for the authorize address."""
        asked = dict(parse_qsl(request.query, keep_blank_values=True))
        problem = self._untrusted(asked)
        if problem:
            return html.page("An error occurred", f"<p>{escape(problem)}</p>", 400)
        if asked.get("response_type") != "code":
            raise NotEmulated(f"response_type={asked.get('response_type')} of AD FS")
        try:
            resource = resource_of(asked, self._resources.at(request.origin))
        except AdFsError as error:
            return _redirect(asked, {"error": error.error, "error_description": error.text})
        if request.method != "POST":
            return _page(request, asked.get("login_hint", ""), "")
        form = read_form(request)
        person = person_named(form.get("UserName", ""))
        given = form.get("Password", "").encode()
        if person is None or not hmac.compare_digest(given, person.password.encode()):
            wrong = "Incorrect user ID or password. Type the correct user ID and password, and try again."
            return _page(request, form.get("UserName", ""), wrong)
        code = self._codes.new_code(person, asked, tuple(asked.get("scope", "").split()), resource=resource)
        return _redirect(asked, {"code": code})

    def walk(self, url: str, person: Person) -> str:
        """Sign in as a person would; returns where the browser is sent. ValueError when it is not."""
        parts = urlsplit(url)
        body = urlencode({"UserName": person.user_name, "Password": person.password}).encode()
        origin = f"{parts.scheme}://{parts.netloc}"
        answer = self.answer(Request("POST", parts.path, parts.query, {}, body, origin))
        if answer.status != 302:
            raise ValueError(f"the sign-in ended on a page: {answer.body.decode()}")
        return dict(answer.headers)["Location"]

    def _untrusted(self, asked: Mapping[str, str]) -> str:
        """Return what is wrong with a request whose answer may not be sent anywhere."""
        try:
            app: Application = self._clients.known(asked.get("client_id", ""), "adfs")
        except EntraError:
            return (
                "MSIS9223: Received invalid OAuth authorization request. The received 'client_id' is invalid as no "
                f"registered client was found with this client identifier. Received client_id: '{asked.get('client_id', '')}'."
            )
        uri = asked.get("redirect_uri", "")
        if self._redirects.allow(app, uri):
            return ""
        return (
            "MSIS9224: Received invalid OAuth authorization request. The received 'redirect_uri' parameter is not a valid "
            f"registered redirect URI for the client identifier: '{app.client_id}'. Received redirect_uri: '{uri}'."
        )


def resource_of(asked: Mapping[str, str], known: Known) -> str:
    """Return the relying party a request names: in ``resource``, or (AD FS 2019) before the last slash of a scope.

    Raises ``AdFsError`` when it names none or an unknown one.
    """
    embedded = (one.rpartition("/")[0] for one in asked.get("scope", "").split() if "://" in one)
    resource = asked.get("resource") or next(embedded, None)
    if not resource:
        raise invalid("no resource")
    if not (resource.endswith("/") and known(resource)):
        raise invalid("resource")
    return resource


def _redirect(asked: Mapping[str, str], answer: Mapping[str, str]) -> Response:
    content = {**answer, **({"state": asked["state"]} if "state" in asked else {})}
    uri, mode = asked["redirect_uri"], asked.get("response_mode", "query")
    if mode == "form_post":
        return html.posted(uri, content)
    separator = "#" if mode == "fragment" else "&" if "?" in uri else "?"
    return Response(302, (("Location", f"{uri}{separator}{urlencode(content)}"),), b"")


def _page(request: Request, user_name: str, problem: str) -> Response:
    alert = f'<p role="alert" id="errorText">{escape(problem)}</p>' if problem else ""
    inside = (
        '<label for="userNameInput">User account</label>'
        f'<input id="userNameInput" name="UserName" value="{escape(user_name)}" placeholder="someone@example.com">'
        '<label for="passwordInput">Password</label><input id="passwordInput" name="Password" type="password">'
        '<input type="hidden" name="AuthMethod" value="FormsAuthentication">'
        '<button type="submit" id="submitButton">Sign in</button>'
    )
    action = f"{request.path}?{request.query}"
    return html.page("Sign in with your organizational account", alert + html.form(action, {}, inside))
