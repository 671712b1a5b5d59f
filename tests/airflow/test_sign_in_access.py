"""The page's questions to Airflow's real auth manager: these imports are no promise of Airflow's, so each version is asked."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from airflow_provider_dynamics.sign_in.access import AirflowAccess, NotSignedIn


@pytest.fixture(scope="module")
def manager(airflow_db):  # noqa: ARG001 - it only has to be there
    """Return the auth manager that Airflow brings, as the API server sets it up."""
    from airflow.api_fastapi.app import create_auth_manager, purge_cached_app

    yield create_auth_manager()
    purge_cached_app()


def request(token: str = "") -> Request:
    headers = [(b"cookie", f"_token={token}".encode())] if token else []
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


@pytest.fixture
def add(manager):  # noqa: ARG001 - its database is what is written to
    """Put connections into the database: ``add(conn_id, team=None)``; they are gone after the test."""
    from airflow.models.connection import Connection
    from airflow.models.team import Team
    from airflow.utils.session import create_session

    def put(conn_id: str, team: str | None = None) -> str:
        with create_session(scoped=False) as session:
            if team:
                session.add(Team(name=team))
                session.flush()
            session.add(Connection(conn_id=conn_id, conn_type="dynamics", team_name=team))
        return conn_id

    yield put
    with create_session(scoped=False) as session:
        session.query(Connection).delete()
        session.query(Team).delete()


def person(manager, role: str, teams: list[str] | None = None):
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = manager.generate_jwt(SimpleAuthManagerUser(username=f"the {role}", role=role, teams=teams))
    return asyncio.run(AirflowAccess().person(request(token)))


def test_the_session_cookie_says_who_is_asking(manager):
    asking = person(manager, "admin")

    assert (asking.id, asking.name) == ("the admin", "the admin")


@pytest.mark.usefixtures("manager")
@pytest.mark.parametrize(
    "token", [pytest.param("", id="no cookie"), pytest.param("junk", id="not Airflow's")]
)
def test_without_a_session_nobody_is(token: str):
    with pytest.raises(NotSignedIn):
        asyncio.run(AirflowAccess().person(request(token)))


@pytest.mark.parametrize(("role", "may"), [("admin", True), ("op", True), ("user", False), ("viewer", False)])
def test_roles_are_airflows(manager, add, role: str, may: bool):
    asking, access, conn_id = person(manager, role), AirflowAccess(), add("some_connection")

    assert access.may_list(asking) is may
    assert access.may_edit(asking, conn_id) is may


def test_nobody_may_change_what_is_not_there_so_that_it_is_like_what_may_not_be_seen(manager):
    assert not AirflowAccess().may_edit(person(manager, "admin"), "absent")


def test_a_teams_connection_is_its_members_own(manager, add, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    add("sales", team="a"), add("shared")
    access = AirflowAccess()
    member, other = (person(manager, "op", teams) for teams in (["a"], ["b"]))

    for allowed in (access.visible, access.editable):
        assert {"sales", "shared"} <= allowed(member)
        assert {"sales", "shared"} & allowed(other) == {"shared"}
    assert [access.may_edit(one, "sales") for one in (member, other)] == [True, False]
    assert [access.may_edit(one, "shared") for one in (member, other)] == [True, True]


def test_ids_come_from_the_database(manager, add):
    add("of_this_test")
    access = AirflowAccess()

    assert "of_this_test" in access.visible(person(manager, "op"))
    assert "of_this_test" in access.editable(person(manager, "op"))
    assert access.visible(person(manager, "viewer")) == set()
