"""What the page does: list, sign in, test, sign out; and who may, asked before anything is done and when somebody comes back.

Nothing is remembered between two requests, so any API server may answer any of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_dynamics.auth.store import Record
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.sign_in import pages
from airflow_provider_dynamics.sign_in.access import Access, Person
from airflow_provider_dynamics.sign_in.cards import Card, anchor, card, for_nobody
from airflow_provider_dynamics.sign_in.pages import Site
from airflow_provider_dynamics.sign_in.refusals import Forbidden, Unseen, refusal
from airflow_provider_dynamics.sign_in.state import AGAIN, STATE_LIFE, Notice, Refused, Seal
from airflow_provider_dynamics.stored import StoredConnection

if TYPE_CHECKING:
    from starlette.responses import Response

    from airflow_provider_dynamics.auth.authority import Signed
    from airflow_provider_dynamics.auth.code_flow import CodeFlow
    from airflow_provider_dynamics.dataverse.administration.discovery import Instance

__all__ = ["Desk", "Outside", "Visit"]

log = logging.getLogger(__name__)

SIGN_IN_COOKIE = "dynamics_sign_in"
NOTICE_COOKIE = "dynamics_notice"
_LONGEST_ID = 250  # characters; what Airflow lets a connection's id have
_LONGEST_NOTICE = 1900  # characters: it travels in a cookie, which may have 4,096 bytes


class Shelf(Protocol):
    """Where connections are kept: the module `stored`."""

    def stored_connections(self) -> list[StoredConnection]: ...

    def stored_connection(self, conn_id: str) -> StoredConnection: ...

    def check_writable(self, conn_id: str) -> None: ...

    def keep_sign_in(self, conn_id: str, *, refresh_token: str, user: str, tenant_id: str = "") -> str: ...

    def choose_environment(self, conn_id: str, environment: str) -> None: ...

    def forget_sign_in(self, conn_id: str) -> list[str]: ...

    def record_event(self, event: str, person: str, conn_id: str, **details: str) -> None: ...


@dataclass(frozen=True)
class Outside:
    """What the page has around it; a test puts other things there.

    :param environments: returns those that whoever is signed in to a connection may enter
    :param no_test: returns why connections may not be tested here, empty where they may
    :param mask: is told each token before it is kept
    """

    access: Access
    shelf: Shelf
    seal: Seal
    start_code_flow: Callable[..., CodeFlow]
    finish_code_flow: Callable[..., Signed]
    record: Callable[[Settings], Record | None]
    test: Callable[[StoredConnection], tuple[bool, str]]
    environments: Callable[[StoredConnection], list[Instance]]
    no_test: Callable[[], str] = lambda: ""
    mask: Callable[[str], None] = lambda _: None
    base_url: Callable[[], str] = lambda: ""
    now: Callable[[], float] = time.time


@dataclass(frozen=True)
class Visit:
    """One request of somebody who is signed in to Airflow; `asked` are the form's fields, or the query's."""

    person: Person
    site: Site
    asked: Mapping[str, str] = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)

    @property
    def conn_id(self) -> str:
        """The connection's id; what no connection can be called is nothing, and is not repeated."""
        asked = self.asked.get("connection", "")
        return asked if len(asked) <= _LONGEST_ID and asked.isprintable() else ""


class Desk:
    """Answers the page's requests."""

    def __init__(self, outside: Outside) -> None:
        self._out = outside

    def show(self, visit: Visit) -> Response:
        """List the connections that somebody may see."""
        visible, editable = (
            allowed(visit.person) for allowed in (self._out.access.visible, self._out.access.editable)
        )
        cards = [
            self._card(one, may_edit=one.conn_id in editable)
            for one in self._out.shelf.stored_connections()
            if one.conn_id in visible
        ]
        return self._telling("list", visit, cards=cards)

    def begin(self, visit: Visit) -> Response:
        """Send somebody to the sign-in service."""
        connection, settings = self._ready(visit.conn_id)
        state, nonce = self._out.seal.begin(connection.conn_id, visit.person.id)
        hint = connection.extra.get("username") or None
        flow = self._out.start_code_flow(
            settings.sign_in(), visit.site.redirect_uri, login_hint=hint, state=state
        )
        host = _host(flow.url)
        # a page in between: browsers would hold a redirect to our own form's rule that it stays here
        response = self._page("leaving", visit, url=flow.url, host=host)
        cookie = self._out.seal.lock(nonce, {"flow": flow.kept, "begun_with": _essence(settings)})
        _set_cookie(response, visit.site, SIGN_IN_COOKIE, cookie, STATE_LIFE)
        return response

    def come_back(self, visit: Visit) -> Response:
        """Take somebody's answer from the sign-in service and keep what it leads to."""
        pending = self._out.seal.pending(visit.asked.get("state", ""), visit.person.id)
        kept = self._out.seal.unlock(visit.cookies.get(SIGN_IN_COOKIE), pending.nonce)
        try:
            self._check_may_edit(visit.person, pending.conn_id)
            said = Notice(pending.conn_id, *self._finish(visit, pending.conn_id, kept))
            response = self._said(visit, said, choosing=not self._chosen(pending.conn_id))
        except Exception as error:  # noqa: BLE001 - whatever it is, the cookie has been used
            response = refusal(visit.site, error)
        response.delete_cookie(SIGN_IN_COOKIE, path=visit.site.path)
        return response

    def list_environments(self, visit: Visit) -> Response:
        """Show somebody the environments that whoever signed in may enter, to choose one."""
        self._check_may_edit(visit.person, visit.conn_id)
        connection, environments = self._listed(visit.conn_id)
        return self._telling(
            "environments",
            visit,
            conn_id=connection.conn_id,
            user=connection.extra.get("username") or "",
            own=self._own(connection),
            environments=environments,
        )

    def choose_environment(self, visit: Visit) -> Response:
        """Write the environment that somebody has chosen into the connection; only one of the list is taken."""
        connection, environments = self._listed(visit.conn_id)
        asked = visit.asked.get("environment", "")
        chosen = next((one for one in environments if one.url == asked and one.enabled), None)
        if chosen is None:
            raise Refused("Choose one of the environments on the list that are not disabled.")
        connection.moved_to(chosen.url).settings(
            signing_in=True
        )  # what a connection may not have is not written
        self._out.shelf.choose_environment(connection.conn_id, chosen.url)
        self._out.shelf.record_event(
            "dynamics_choose_environment", visit.person.name, connection.conn_id, environment=chosen.url
        )
        kind, text = self._tried(connection.conn_id, f"The environment is now {chosen.name} ({chosen.url}).")
        return self._said(visit, Notice(connection.conn_id, kind, text))

    def test(self, visit: Visit) -> Response:
        """Try a connection, as Airflow's own button does, and say what came of it."""
        if reason := self._out.no_test():
            raise Forbidden(reason)
        connection = self._out.shelf.stored_connection(visit.conn_id)
        worked, text = self._out.test(connection)
        return self._said(visit, Notice(connection.conn_id, "ok" if worked else "error", text))

    def ask_to_sign_out(self, visit: Visit) -> Response:
        """Ask whether somebody means it."""
        self._check_may_edit(visit.person, visit.conn_id)
        connection = self._out.shelf.stored_connection(visit.conn_id)
        user = connection.extra.get("username") or ""
        return self._page("sign_out", visit, conn_id=connection.conn_id, user=user)

    def sign_out(self, visit: Visit) -> Response:
        """Forget somebody's sign-in."""
        sharing = self._out.shelf.forget_sign_in(visit.conn_id)
        self._out.shelf.record_event("dynamics_sign_out", visit.person.name, visit.conn_id)
        text = "Signed out: the refresh token and its renewed copies are deleted here."
        if sharing:
            text = self._half_signed_out(visit, sharing)
        return self._said(visit, Notice(visit.conn_id, "warning" if sharing else "ok", text))

    def check_form(self, visit: Visit) -> None:
        """Raise unless the form was made by this page for this person, who may change the connection."""
        self._out.seal.check_form(visit.asked.get("csrf", ""), visit.person.id)
        self._check_may_edit(visit.person, visit.conn_id)

    def check_may_list(self, person: Person) -> None:
        if not self._out.access.may_list(person):
            raise Unseen("You may not see connections. Ask an Airflow administrator for a role that may.")

    def _card(self, connection: StoredConnection, *, may_edit: bool) -> Card:
        now, no_test = self._out.now(), self._out.no_test()
        try:
            return card(connection, self._out.record, now, may_edit=may_edit, no_test=no_test)
        except Exception as error:  # noqa: BLE001 - one connection must not hide the others
            log.error("Connection %s cannot be shown (%s)", connection.conn_id, type(error).__name__)  # noqa: TRY400 - may hold a secret
            text = f"The state of this connection could not be worked out ({type(error).__name__})."
            return Card(connection.conn_id, "error", "Unknown", trouble=text)

    def _half_signed_out(self, visit: Visit, sharing: list[str]) -> str:
        visible = self._out.access.visible(visit.person)
        named = ", ".join(f"'{one}'" for one in sharing if one in visible) or "another connection"
        return (
            "Signed out: the refresh token is deleted from this connection. Its renewed copy in the credential store stays, "
            f"because {named} signs in as the same person with the same app. To delete it, sign out there too."
        )

    def _finish(self, visit: Visit, conn_id: str, kept: Mapping[str, Any]) -> tuple[str, str]:
        """Redeem the code, keep the refresh token; return what to say about it."""
        connection, settings = self._ready(conn_id)
        if kept.get("begun_with") != _essence(settings):
            raise Refused(
                f"Connection '{conn_id}' was changed while you were signing in, so nothing was kept. {AGAIN}"
            )
        signed = self._out.finish_code_flow(settings.sign_in(), kept["flow"], visit.asked, now=self._out.now)
        refresh_token = signed.refresh_token or ""  # it is there, or the flow has said so
        self._out.mask(refresh_token)
        left = self._out.shelf.keep_sign_in(
            conn_id, refresh_token=refresh_token, user=signed.user, tenant_id=signed.tenant_id
        )
        self._out.shelf.record_event("dynamics_sign_in", visit.person.name, conn_id, user=signed.user)
        kind, text = self._welcome(conn_id, signed.user, connection.extra.get("username") or "")
        return ("warning", f"{text} {left}") if left else (kind, text)

    def _welcome(self, conn_id: str, user: str, before: str) -> tuple[str, str]:
        text = f"Signed in as {user or 'a user whose name the service does not tell'}."
        if before and user and before.lower() != user.lower():
            text += f" Before, it was {before}."
        return self._tried(conn_id, text)

    def _tried(self, conn_id: str, text: str) -> tuple[str, str]:
        """Test a connection where that is allowed and can be done, and say what came of it behind a text."""
        if self._out.no_test() or not self._chosen(conn_id):
            return "ok", text
        worked, said = self._out.test(self._out.shelf.stored_connection(conn_id))
        return "ok" if worked else "warning", f"{text} {said}"

    def _listed(self, conn_id: str) -> tuple[StoredConnection, list[Instance]]:
        """Return a connection and the environments to choose from; raises what stands in the way, in a sentence."""
        connection, _ = self._ready(conn_id)
        if not connection.extra.get("refresh_token"):
            raise Refused(
                f"Nobody is signed in to connection '{conn_id}', so nobody can be asked. Sign in first."
            )
        return connection, self._out.environments(connection)

    def _own(self, connection: StoredConnection) -> str:
        settings = connection.settings(choosing=True)
        return settings.environment if settings.chosen else ""

    def _chosen(self, conn_id: str) -> bool:
        """Say whether a connection knows its environment."""
        connection = self._out.shelf.stored_connection(conn_id)
        try:
            return connection.settings(signing_in=True).chosen
        except SettingsError:
            return True  # something else is wrong with it

    def _ready(self, conn_id: str) -> tuple[StoredConnection, Settings]:
        """Return a connection that somebody can sign in to; raises what stands in the way, in a sentence."""
        self._out.shelf.check_writable(conn_id)
        connection = self._out.shelf.stored_connection(conn_id)
        settings = connection.settings(signing_in=True)
        if reason := for_nobody(settings, conn_id):
            raise Refused(reason)
        return connection, settings

    def _check_may_edit(self, person: Person, conn_id: str) -> None:
        if not self._out.access.may_edit(person, conn_id):
            raise Forbidden(
                f"There is no connection '{conn_id}' that you may change. Ask an Airflow administrator for a role that may edit it."
            )

    def _page(self, template: str, visit: Visit, **values: Any) -> Response:
        token = self._out.seal.form_token(visit.person.id)
        return pages.page(template, visit.site, csrf=token, **values)

    def _said(self, visit: Visit, notice: Notice, *, choosing: bool = False) -> Response:
        """Go to the list, which says it; while `choosing`, to the list of environments."""
        short = Notice(notice.conn_id, notice.kind, notice.text[:_LONGEST_NOTICE])
        listed = f"{visit.site.to()}#{anchor(notice.conn_id)}"
        response = pages.go(visit.site.to("environments", connection=notice.conn_id) if choosing else listed)
        cookie = self._out.seal.notice(short, visit.person.id)
        _set_cookie(response, visit.site, NOTICE_COOKIE, cookie, 60)
        return response

    def _telling(self, template: str, visit: Visit, **values: Any) -> Response:
        """Return a page that says, once, what the one before it has left to say."""
        cookie = visit.cookies.get(NOTICE_COOKIE)
        notice = self._out.seal.read_notice(cookie, visit.person.id)
        response = self._page(template, visit, notice=notice, **values)
        if cookie is not None:
            response.delete_cookie(NOTICE_COOKIE, path=visit.site.path)
        return response


def _essence(settings: Settings) -> list[str]:
    """Return what a sign-in is begun with: a code must go to nobody else, and a token into nothing else."""
    return [settings.authority.url, settings.tenant_id or "", settings.client_id, settings.environment]


def _host(url: str) -> str:
    """Return where a sign-in service's page is; raises Refused for an address that a browser must not be sent to."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise Refused(
            "The sign-in service's page has no https address, so nobody is sent there. Check Authority."
        )
    return parts.netloc


def _set_cookie(response: Response, site: Site, name: str, value: str, seconds: float) -> None:
    response.set_cookie(
        name, value, max_age=int(seconds), path=site.path, secure=site.secure, httponly=True, samesite="lax"
    )
