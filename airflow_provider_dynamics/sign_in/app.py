"""The page as an ASGI application: lets a request in, finds out who it is, and words whatever goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from airflow_provider_dynamics.sign_in import pages
from airflow_provider_dynamics.sign_in.access import AirflowAccess, NotSignedIn
from airflow_provider_dynamics.sign_in.desk import Desk, Outside, Visit
from airflow_provider_dynamics.sign_in.pages import Site
from airflow_provider_dynamics.sign_in.refusals import NoForm, refusal
from airflow_provider_dynamics.sign_in.state import Seal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from airflow_provider_dynamics.dataverse.administration.discovery import Instance

__all__ = ["airflows_app", "build_app"]

_LONGEST_FORM = 8_192  # bytes
_MOST_FIELDS = 20


class Door:
    """Lets a request in: finds out who it is, reads the form, and words whatever goes wrong."""

    def __init__(self, outside: Outside) -> None:
        self._out = outside
        self._desk = Desk(outside)

    def __call__(self, answer: Callable[[Desk, Visit], Response]) -> Callable[[Request], Any]:
        """Return the endpoint at which the desk answers so."""

        async def endpoint(request: Request) -> Response:
            site, query = Site.of(request, self._out.base_url()), dict(request.query_params)
            # Airflow logs each request's query, and what a sign-in service answers is none of the log's business
            request.scope["query_string"] = b""
            try:
                visit = await self._visit(request, site, query)
                return await run_in_threadpool(self._answer, answer, visit, request.method)
            except NotSignedIn:
                return _to_login(site, query)
            except Exception as error:  # noqa: BLE001 - each gets a page, and none its trace
                return refusal(site, error)

        return endpoint

    async def _visit(self, request: Request, site: Site, query: Mapping[str, str]) -> Visit:
        person = await self._out.access.person(request)
        if request.method != "POST":
            return Visit(person, site, query, request.cookies)
        return Visit(person, site, await _form(request), request.cookies)

    def _answer(self, answer: Callable[[Desk, Visit], Response], visit: Visit, method: str) -> Response:
        self._desk.check_may_list(visit.person)
        if method == "POST":
            self._desk.check_form(visit)
        return answer(self._desk, visit)


async def _form(request: Request) -> dict[str, str]:
    """Read a form of this page's, which is a few hundred bytes; raises NoForm for anything else."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise NoForm("This page takes its own forms only. Go back to the list and press the button there.")
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LONGEST_FORM:
                raise NoForm(
                    "The form is longer than any of this page's. Go back to the list and press the button there."
                )
        return dict(parse_qsl(body.decode("ascii", "replace"), max_num_fields=_MOST_FIELDS))
    except (ClientDisconnect, ValueError):
        raise NoForm(
            "The form did not arrive whole. Go back to the list and press the button there."
        ) from None


def _to_login(site: Site, query: Mapping[str, str]) -> Response:
    """Send somebody to Airflow's login and then to the list; a sign-in service's answer is not passed around."""
    if "state" not in query:
        return pages.go(site.login)
    title = "Your Airflow session has ended"
    return pages.page("refusal", site, 401, title=title, text=_ENDED, login=site.login)


_ENDED = "Your session in Airflow ended while you were signing in, so nothing was kept. Log in to Airflow, then press Sign in again."


def build_app(outside: Outside) -> Starlette:
    """Return the page as an ASGI application, to be mounted at /dynamics."""
    door = Door(outside)

    def static(request: Request) -> Response:
        return pages.asset(request.path_params["name"])

    app = Starlette(
        routes=[
            _route("GET", "/", door(Desk.show)),
            _route("POST", "/sign-in", door(Desk.begin)),
            _route("GET", "/callback", door(Desk.come_back)),
            _route("GET", "/environments", door(Desk.list_environments)),
            _route("POST", "/environments", door(Desk.choose_environment)),
            _route("POST", "/test", door(Desk.test)),
            _route("GET", "/sign-out", door(Desk.ask_to_sign_out)),
            _route("POST", "/sign-out", door(Desk.sign_out)),
            Route("/static/{name}", static, methods=["GET"]),
        ]
    )
    app.router.redirect_slashes = False  # it would send a callback's code on, and into the log
    return app


def _route(method: str, path: str, endpoint: Callable[[Request], Any]) -> Route:
    """Return a route for one method; Starlette lets HEAD in with GET, and a callback's GET does something."""
    route = Route(path, endpoint, methods=[method])
    route.methods = {method}
    return route


def airflows_app() -> Starlette:
    """Return the page with Airflow around it."""
    from airflow.configuration import conf
    from airflow.models.crypto import get_fernet

    from airflow_provider_dynamics import stored
    from airflow_provider_dynamics.auth.code_flow import finish_code_flow, start_code_flow
    from airflow_provider_dynamics.compat import mask_secret
    from airflow_provider_dynamics.state import credential_store

    def no_test() -> str:
        allowed = conf.get("core", "test_connection", fallback="Disabled").strip().lower() == "enabled"
        return (
            ""
            if allowed
            else "Testing connections is switched off in Airflow's configuration ([core] test_connection)."
        )

    def test(connection: stored.StoredConnection) -> tuple[bool, str]:
        from airflow_provider_dynamics.hooks import tried

        return tried(connection.settings)  # not by its id: that finds no team's connection

    def environments(connection: stored.StoredConnection) -> list[Instance]:
        from airflow_provider_dynamics.dataverse import RetryPolicy
        from airflow_provider_dynamics.hooks import sign_in_options

        return connection.settings(choosing=True).environments(**sign_in_options(), retry=RetryPolicy.never())

    return build_app(
        Outside(
            access=AirflowAccess(),
            shelf=stored,
            seal=Seal(conf.get_mandatory_value("api", "secret_key"), get_fernet, time.time),
            start_code_flow=start_code_flow,
            finish_code_flow=finish_code_flow,
            record=lambda settings: credential_store().load(settings.store_key),
            test=test,
            environments=environments,
            no_test=no_test,
            mask=mask_secret,
            base_url=lambda: conf.get("api", "base_url", fallback="") or "",
        )
    )
