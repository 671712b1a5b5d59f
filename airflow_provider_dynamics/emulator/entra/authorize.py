"""The pages a person sees: sign in, second factor, consent, device code, admin consent, and the error page.

Nothing is remembered between two sign-ins: there is no session and no cookie, so ``prompt=select_account`` and
``prompt=login`` look as every sign-in does.
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from html import unescape
from urllib.parse import parse_qsl, urlencode, urlsplit

from airflow_provider_dynamics.emulator.directory import TENANT_ID, Application, Person
from airflow_provider_dynamics.emulator.entra import html, scopes
from airflow_provider_dynamics.emulator.entra.answers import answered, refused
from airflow_provider_dynamics.emulator.entra.checks import NO_TENANT, known_person, known_tenant, read_form
from airflow_provider_dynamics.emulator.entra.clients import Clients
from airflow_provider_dynamics.emulator.entra.codes import Codes
from airflow_provider_dynamics.emulator.entra.consent import Consents
from airflow_provider_dynamics.emulator.entra.errors import EntraError, NotEmulated, described, timestamp
from airflow_provider_dynamics.emulator.entra.flows import Flow, Flows
from airflow_provider_dynamics.emulator.entra.redirects import Redirects
from airflow_provider_dynamics.emulator.entra.resources import Resources
from airflow_provider_dynamics.emulator.messages import Request, Response

AUTHORIZE = "oauth2/v2.0/authorize"
DEVICE = "oauth2/deviceauth"
ADMIN = ("adminconsent", "v2.0/adminconsent")
PROMPTS = ("login", "none", "consent", "select_account", "")
_HIDDEN = re.compile(r'name="ctx" value="([^"]*)"')


class Pages:
    """Leads a person through the pages; what a flow has reached is kept here, under its ``ctx``."""

    def __init__(
        self,
        clients: Clients,
        codes: Codes,
        consents: Consents,
        redirects: Redirects,
        resources: Resources | None = None,
    ) -> None:
        self._resources = resources or Resources()
        self._clients = clients
        self._codes = codes
        self._consents = consents
        self._redirects = redirects
        self._flows = Flows()

    def answer(self, request: Request, tenant: str, rest: str) -> Response | None:
        """Answer with a page; None when there is none at this path."""
        try:
            return self._answer(request, tenant, rest)
        except EntraError as error:
            return error_page(error)

    def _answer(self, request: Request, tenant: str, rest: str) -> Response | None:
        if tenant not in NO_TENANT:
            known_tenant(tenant)
        if tenant == "consumers":
            raise NotEmulated("personal Microsoft accounts")
        if rest in (AUTHORIZE, *ADMIN):
            asked = dict(parse_qsl(request.query, keep_blank_values=True)) or read_form(request)
            begin = self._begin if rest == AUTHORIZE else self._begin_admin
            return begin(request, tenant, asked)
        if rest == DEVICE:
            return self._device(request, tenant)
        if request.method != "POST":
            return None
        form = read_form(request)
        steps = {"login": self._sign_in, "mfa": self._second_factor, "consent": self._decide}
        if rest not in steps:
            return None
        flow = self._flows.named(form.get("ctx", ""))
        if flow is None:
            raise EntraError(
                400, "invalid_request", 50089, "Authentication failed due to flow token expired."
            )
        return steps[rest](request, flow, form)

    # -- beginnings ---------------------------------------------------------------------------------

    def _begin(self, request: Request, tenant: str, asked: Mapping[str, str]) -> Response:
        """Check an authorization request: what is wrong before the redirect URI is known good is never redirected."""
        app = self._app(asked, tenant)
        if "redirect_uri" not in asked:
            raise NotEmulated("an authorization request without a redirect_uri")
        if not self._redirects.allow(app, asked["redirect_uri"]):
            raise _wrong_redirect(asked["redirect_uri"], app)
        flow = Flow("code", tenant, app, dict(asked))
        try:
            _check_authorization(asked)
            scopes.delegated(asked["scope"], self._resources.at(request.origin), tenant)
        except EntraError as error:
            return refused(flow, error)
        return self._next(request, flow)

    def _begin_admin(self, request: Request, tenant: str, asked: Mapping[str, str]) -> Response:
        app = self._app(asked, tenant)
        uri = asked.get("redirect_uri")
        if uri and not self._redirects.allow(app, uri):
            raise _wrong_redirect(uri, app)
        return self._next(request, Flow("admin", tenant, app, dict(asked)))

    def _device(self, request: Request, tenant: str) -> Response:
        here = f"/{tenant}/{DEVICE}"
        if request.method != "POST":
            return html.device(here, "")
        device = self._codes.device_named(read_form(request).get("otc", ""))
        if device is None:
            return html.device(here, "That code didn't work. Check the code and try again.")
        app = self._clients.known(device.client_id, tenant)
        return self._next(request, Flow("device", tenant, app, {}, device=device))

    def _app(self, asked: Mapping[str, str], tenant: str) -> Application:
        if not asked.get("client_id"):
            raise EntraError(
                400,
                "invalid_request",
                900144,
                "The request body must contain the following parameter: 'client_id'.",
            )
        return self._clients.known(asked["client_id"], tenant)

    # -- steps --------------------------------------------------------------------------------------

    def _sign_in(self, request: Request, flow: Flow, form: Mapping[str, str]) -> Response:
        name = form.get("loginfmt", "")
        try:
            flow.person = known_person(name, form.get("passwd", ""))
        except EntraError as error:
            known = (
                "Your account or password is incorrect. If you don't remember your password, reset it now."
            )
            unknown = "This username may be incorrect. Make sure you typed it correctly. Otherwise, contact your admin."
            return self._page_of(flow, "login", name, unknown if error.code == 50034 else known)
        return self._next(request, flow)

    def _second_factor(self, request: Request, flow: Flow, form: Mapping[str, str]) -> Response:
        flow.has_second_factor = form.get("approve") == "yes"
        return self._next(request, flow)

    def _decide(self, request: Request, flow: Flow, form: Mapping[str, str]) -> Response:
        """Take the answer to the consent page, or to the device page's question."""
        if flow.person is None:
            return self._next(request, flow)
        if form.get("answer") != "accept":
            return self._declined(flow)
        flow.is_accepted = True
        if flow.kind == "admin":
            self._consents.for_everyone = True
        else:
            self._consents.give(flow.person, flow.app)
        return self._next(request, flow)

    def _next(self, request: Request, flow: Flow) -> Response:
        """Show the next page, or end the flow."""
        person = flow.person
        if person is None:
            return self._page_of(flow, "login", flow.asked.get("login_hint", ""))
        if person.needs_second_factor and not flow.has_second_factor:
            return html.second_factor(f"/{flow.tenant}/mfa", self._flows.hidden(flow), person.user_name)
        if flow.kind == "admin" and not person.is_admin:
            return html.done(
                "Need admin approval",
                f"{flow.app.name} needs permission to access resources in your organization that only an admin can "
                "grant. AADSTS90094: Admin consent is required for the permissions requested by this application.",
            )
        if not flow.is_accepted and self._must_ask(flow, person):
            return self._ask(flow, person)
        self._flows.forget(flow)
        return self._finish(flow, person)

    def _must_ask(self, flow: Flow, person: Person) -> bool:
        wanted = flow.kind in ("admin", "device") or flow.asked.get("prompt") == "consent"
        return wanted or not self._consents.has(person, flow.app)

    def _ask(self, flow: Flow, person: Person) -> Response:
        here, hidden = f"/{flow.tenant}/consent", self._flows.hidden(flow)
        if flow.kind == "device" and self._consents.has(person, flow.app):
            return html.confirm(here, hidden, flow.app.name)
        return html.consent(here, hidden, person.user_name, flow.app.name, for_everyone=flow.kind == "admin")

    def _page_of(self, flow: Flow, step: str, user_name: str, problem: str = "") -> Response:
        return html.sign_in(f"/{flow.tenant}/{step}", self._flows.hidden(flow), user_name, problem)

    # -- ends ---------------------------------------------------------------------------------------

    def _finish(self, flow: Flow, person: Person) -> Response:
        if flow.device is not None:
            flow.device.person = person
            text = f"You have signed in to {flow.app.name} on your device. You may now close this window."
            return html.done(flow.app.name, text)
        if flow.kind == "admin":
            return self._admin_answer(flow, {"tenant": TENANT_ID})
        code = self._codes.new_code(person, flow.asked, tuple(flow.asked["scope"].split()))
        return answered(flow, {"code": code, "session_state": str(uuid.uuid4())})

    def _declined(self, flow: Flow) -> Response:
        self._flows.forget(flow)
        if flow.device is not None:
            flow.device.is_declined = True
            return html.done(flow.app.name, "The sign-in was declined. You may now close this window.")
        error = EntraError(400, "access_denied", 65004, "User declined to consent to access the app.")
        if flow.kind == "admin":
            text = described(error, str(uuid.uuid4()), str(uuid.uuid4()), timestamp())
            return self._admin_answer(flow, {"error": "consent_required", "error_description": text})
        return refused(flow, error)

    def _admin_answer(self, flow: Flow, answer: Mapping[str, str]) -> Response:
        uri = flow.asked.get("redirect_uri")
        if not uri:
            return html.done(flow.app.name, "; ".join(f"{name}: {value}" for name, value in answer.items()))
        content: dict[str, str] = {"admin_consent": "True", **answer}
        content |= {name: value for name, value in flow.asked.items() if name in ("scope", "state")}
        query = urlencode(content)
        return Response(302, (("Location", f"{uri}{'&' if '?' in uri else '?'}{query}"),), b"")

    # -- without a browser --------------------------------------------------------------------------

    def walk(self, url: str, person: Person, *, accept: bool) -> str:
        """Follow an authorize address as a person would; returns where the browser is sent. ValueError otherwise."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        tenant, _, rest = parts.path.lstrip("/").partition("/")
        answer = self.answer(Request("GET", parts.path, parts.query, {}, b"", origin), tenant, rest)
        typed = {"loginfmt": person.user_name, "passwd": person.password, "approve": "yes"}
        typed["answer"] = "accept" if accept else "cancel"
        for step in ("login", "mfa", "consent"):
            page = answer.body.decode() if answer and answer.status == 200 else ""
            if found := _HIDDEN.search(page) if f'/{step}"' in page else None:
                body = urlencode({**typed, "ctx": unescape(found[1])}).encode()
                answer = self.answer(Request("POST", f"/{tenant}/{step}", "", {}, body, origin), tenant, step)
        if answer is None or answer.status != 302:
            raise ValueError(f"the sign-in ended on a page: {answer.body.decode() if answer else rest}")
        return dict(answer.headers)["Location"]


def error_page(error: EntraError) -> Response:
    """Say what is wrong to the person: an answer to the app would go to an address that cannot be trusted."""
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    text = described(error, trace, correlation, timestamp())
    return html.page(
        "Sorry, but we're having trouble signing you in.", f"<p>{_escaped(text)}</p>", error.status
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _wrong_redirect(uri: str, app: Application) -> EntraError:
    return EntraError(
        400,
        "invalid_request",
        50011,
        f"The redirect URI '{uri}' specified in the request does not match the redirect URIs configured for the "
        f"application '{app.client_id}'. Make sure the redirect URI sent in the request matches one added to your "
        "application in the Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about how "
        "to troubleshoot this.",
    )


def _check_authorization(asked: Mapping[str, str]) -> None:
    if asked.get("response_type") != "code":
        raise NotEmulated(f"response_type={asked.get('response_type')}")
    if not asked.get("scope"):
        text = "The request body must contain the following parameter: 'scope'."
        raise EntraError(400, "invalid_request", 900144, text)
    if asked.get("response_mode", "query") not in ("query", "fragment", "form_post"):
        raise NotEmulated(f"response_mode={asked['response_mode']}")
    if asked.get("code_challenge_method", "plain") not in ("plain", "S256"):
        text = f"The code_challenge_method '{asked['code_challenge_method']}' is not supported."
        raise EntraError(400, "invalid_request", 501491, text)
    prompt = asked.get("prompt", "")
    if prompt not in PROMPTS:
        raise EntraError(400, "invalid_request", 90023, "Unsupported 'prompt' value.")
    if prompt == "none":
        text = (
            "Session information is not sufficient for single-sign-on. A silent sign-in request was sent but "
            "no user is signed in."
        )
        raise EntraError(400, "login_required", 50058, text)
