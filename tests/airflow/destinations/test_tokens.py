"""An access token goes to the environment it was made for, and to no other host, whatever an answer of it says.

Links, redirects and challenges come from the service; one that was taken over, or a proxy in front of it, could name any.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.dataverse import Client, DataverseError, Query, RetryPolicy
from airflow_provider_dynamics.hooks import DynamicsHook
from tests.airflow.destinations.contoso import (
    ADFS,
    CLIENT_SECRET,
    EVIL,
    HOST,
    LOGIN,
    MODES,
    ON_PREMISES,
    OTHER_HOST,
    TENANT,
    Contoso,
    unauthorized,
)
from tests.world import Answer, Asked

Connect = Callable[..., DynamicsHook]
DEFINITION = {
    "LogicalName": "account",
    "EntitySetName": "accounts",
    "PrimaryIdAttribute": "accountid",
    "PrimaryNameAttribute": "name",
    "ChangeTrackingEnabled": True,
    "TableType": "Standard",
    "Attributes": [
        {
            "LogicalName": name,
            "AttributeType": kind,
            "AttributeTypeName": {"Value": f"{kind}Type"},
            "AttributeOf": None,
            "IsValidForCreate": True,
            "IsValidForUpdate": True,
            "IsValidForRead": True,
        }
        for name, kind in (("accountid", "Uniqueidentifier"), ("name", "String"))
    ],
    "Keys": [],
    "ManyToOneRelationships": [],
}
ROWS = "/api/data/v9.2/accounts"
FOREIGN = {
    "another host": f"https://{EVIL}{ROWS}?page=2",
    "a host that begins like it": f"https://{HOST}.{EVIL}{ROWS}?page=2",
    "its name as a user": f"https://{HOST}@{EVIL}{ROWS}?page=2",
    "its name after a backslash": f"https://{EVIL}\\@{HOST}{ROWS}?page=2",
    "no scheme": f"//{EVIL}{ROWS}?page=2",
    "clear text": f"http://{HOST}{ROWS}?page=2",
    "another port": f"https://{HOST}:8443{ROWS}?page=2",
    "another environment": f"https://{OTHER_HOST}{ROWS}?page=2",
}
foreign_link = pytest.mark.parametrize("link", FOREIGN.values(), ids=FOREIGN)


def saying(answer: Answer) -> Callable[[Asked], Answer | None]:
    """Return an environment that has one table, and says `answer` whenever its rows are asked for."""

    def data(asked: Asked) -> Answer | None:
        if "EntityDefinitions(" in asked.path:
            return Answer(200, DEFINITION if "CRM." not in asked.path else {"value": []})
        return answer if asked.path.startswith(ROWS) else None

    return data


def went_nowhere_else(contoso: Contoso) -> bool:
    (token,) = contoso.issued
    in_the_clear = [a for a in contoso.world.at("proxy") if a.method != "CONNECT"]
    return (
        contoso.world.holders(token) == {HOST} and not in_the_clear and contoso.world.reached == {LOGIN, HOST}
    )


@pytest.fixture
def client(connect: Connect) -> Callable[[], Client]:
    return lambda: connect().get_conn(retry=RetryPolicy.never())


@foreign_link
def test_a_next_link_elsewhere_is_not_followed(
    contoso: Contoso, client: Callable[[], Client], link: str
) -> None:
    contoso.data = saying(Answer(200, {"value": [{"name": "one"}], "@odata.nextLink": link}))

    with client() as opened, pytest.raises(DataverseError):
        list(opened.rows(Query("account", select=["name"])))

    assert went_nowhere_else(contoso)


@foreign_link
def test_a_delta_link_elsewhere_is_not_followed(
    contoso: Contoso, client: Callable[[], Client], link: str
) -> None:
    contoso.data = saying(Answer(200, {"value": []}))

    with client() as opened:
        opened.who_am_i()
        with pytest.raises(DataverseError):
            list(opened.changes("account", ["name"], since=link))

    assert went_nowhere_else(contoso)


@pytest.mark.parametrize(
    "link", [FOREIGN["another host"], FOREIGN["clear text"], FOREIGN["another environment"]]
)
@pytest.mark.parametrize("status", [302, 307, 308])
def test_a_redirect_elsewhere_is_not_followed(
    contoso: Contoso, client: Callable[[], Client], link: str, status: int
) -> None:
    contoso.data = saying(Answer(status, None, {"Location": link}))

    with client() as opened, pytest.raises(DataverseError):
        opened.create("account", {"name": "new"})

    assert went_nowhere_else(contoso)


def test_a_new_rows_address_elsewhere_is_not_asked(contoso: Contoso, client: Callable[[], Client]) -> None:
    there = f"https://{EVIL}{ROWS}(99999999-0000-0000-0000-000000000002)"
    contoso.data = saying(Answer(204, None, {"OData-EntityId": there, "Location": there}))

    with client() as opened:
        opened.create("account", {"name": "new"})

    assert went_nowhere_else(contoso)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_challenge_that_names_another_authority_does_not_move_the_sign_in(
    contoso: Contoso, connect: Connect, mode: object
) -> None:
    claims = base64.b64encode(json.dumps({"access_token": {"nbf": {"value": "1"}}}).encode()).decode()
    challenge = (
        f'Bearer realm="", authorization_uri="https://{EVIL}/{TENANT}/oauth2/authorize", '
        f'error="insufficient_claims", claims="{claims}"'
    )
    contoso.data = lambda _: Answer(401, None, {"WWW-Authenticate": challenge})

    passed, _ = connect(mode).test_connection()

    assert not passed
    assert contoso.world.reached == {LOGIN, HOST}
    assert len(contoso.issued) == 2
    assert all(contoso.world.holders(token) == {HOST} for token in contoso.issued)


AUTHORIZATION_URIS = {
    "another host": f"https://{EVIL}/{TENANT}/oauth2/authorize",
    "a host that begins like the cloud's": f"https://{LOGIN}.{EVIL}/{TENANT}/oauth2/authorize",
    "the cloud's host as a user name": f"https://{LOGIN}@{EVIL}/{TENANT}/oauth2/authorize",
    "another cloud's host": f"https://login.partner.microsoftonline.cn/{TENANT}/oauth2/authorize",
    "clear text": f"http://{LOGIN}/{TENANT}/oauth2/authorize",
    "a way out of the tenant's place": f"https://{LOGIN}/..%2f{EVIL}/oauth2/authorize",
}


@pytest.mark.parametrize("uri", AUTHORIZATION_URIS.values(), ids=AUTHORIZATION_URIS)
def test_an_environment_cannot_choose_where_to_sign_in(contoso: Contoso, connect: Connect, uri: str) -> None:
    contoso.data = lambda _: unauthorized(uri, HOST)

    passed, _ = connect(tenant_id=None).test_connection()

    assert not passed
    assert contoso.world.reached <= {LOGIN, HOST}
    assert contoso.issued == {}
    assert contoso.world.holders(CLIENT_SECRET) == set()


def test_an_environment_names_its_tenant_at_its_clouds_own_sign_in(
    contoso: Contoso, connect: Connect
) -> None:
    passed, text = connect(tenant_id=None).test_connection()

    assert passed, text
    assert contoso.world.holders(CLIENT_SECRET) == {LOGIN}


def test_another_environment_gets_a_token_of_its_own(contoso: Contoso, connect: Connect) -> None:
    assert connect().test_connection()[0]

    passed, text = connect(host=OTHER_HOST).test_connection()

    assert passed, text
    first, second = contoso.issued
    assert (contoso.issued[first], contoso.issued[second]) == (
        f"https://{HOST}/.default",
        f"https://{OTHER_HOST}/.default",
    )
    assert (contoso.world.holders(first), contoso.world.holders(second)) == ({HOST}, {OTHER_HOST})
    assert contoso.world.holders(CLIENT_SECRET) == {LOGIN}


@pytest.mark.parametrize(
    "host", [EVIL, f"{HOST}.{EVIL}", f"https://{HOST}@{EVIL}", f"{EVIL}/{HOST}", f"http://{HOST}"]
)
def test_a_host_that_is_no_environment_gets_neither_secret_nor_token(
    contoso: Contoso, connect: Connect, host: str
) -> None:
    with pytest.raises(SettingsError):
        connect(host=host).get_conn()

    assert contoso.world.asked == []


HERE = {
    "a name of this machine": "http://localhost",
    "an address of this machine": "http://127.0.0.1:8765",
    "a name below localhost": "http://dynamics.localhost",
}


@pytest.mark.parametrize("host", HERE.values(), ids=HERE)
def test_what_is_sent_to_this_machine_in_clear_text_does_not_go_through_a_proxy(
    contoso: Contoso, connect: Connect, host: str
) -> None:
    scope = f"https://{HOST}/.default"  # a token that is worth something elsewhere

    passed, _ = connect(host=host, scope=scope, authority=f"https://{LOGIN}").test_connection()

    assert not passed
    assert not any(contoso.world.holders(token) for token in contoso.issued)
    assert not any(asked.method != "CONNECT" for asked in contoso.world.at("proxy"))


UNRELATED = {
    "any host": EVIL,
    "a host that begins like it": f"{ON_PREMISES}.{EVIL}",
    "a host that ends like it": f"evil{ON_PREMISES.removeprefix('crm')}.{EVIL}",
    "its domain as a user": f"https://{ON_PREMISES}@{EVIL}",
    "clear text": f"http://{ON_PREMISES}",
}


@pytest.mark.parametrize("host", UNRELATED.values(), ids=UNRELATED)
def test_an_on_premises_token_does_not_go_to_a_host_that_is_not_of_the_same_domain(
    contoso: Contoso, connect: Connect, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("AIRFLOW__DYNAMICS__ALLOWED_AUTHORITIES", ADFS)
    fields = {"authority": f"https://{ADFS}/adfs", "authority_type": "adfs", "tenant_id": None}

    with pytest.raises(SettingsError):
        connect(host=host, resource=f"https://{ON_PREMISES}/", **fields).get_conn()

    assert contoso.world.asked == []
