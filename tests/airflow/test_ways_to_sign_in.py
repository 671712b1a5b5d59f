"""What each way of signing in makes of a connection's fields: its credential, or one sentence that says what to change."""

from __future__ import annotations

import base64
import json
import logging
from datetime import date

import pytest
from airflow.sdk import Connection

from airflow_provider_dynamics.auth import (
    Authority,
    ClientCertificate,
    ClientSecret,
    ManagedIdentity,
    RefreshToken,
    UsernamePassword,
    WorkloadIdentity,
)
from airflow_provider_dynamics.auth.proofs import Secret
from airflow_provider_dynamics.auth.store import NoStore
from airflow_provider_dynamics.auth.tokens import TokenCache
from airflow_provider_dynamics.connection import Settings
from airflow_provider_dynamics.connection.settings import _discourage
from airflow_provider_dynamics.dataverse.errors import Unauthorized
from tests.airflow.filled_in import CLIENT, ENVIRONMENT, SECRET, TENANT, refusal, settings

CERTIFICATE = {"auth_type": "certificate", "private_key": "/keys/app.pem", "password": None}
PERSON = {"auth_type": "refresh_token", "refresh_token": "1.AXoA-seed"}
PASSWORD = {"auth_type": "username_password", "username": "ann@contoso.com", "user_password": "p4ssw0rd"}
ADFS = {
    "host": "https://crm.contoso.com",
    "authority_type": "adfs",
    "authority": "https://adfs.contoso.com/adfs",
    "allowed": ("adfs.contoso.com",),
}


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        pytest.param(
            {
                **CERTIFICATE,
                "private_key_passphrase": "open",
                "certificate": "/keys/app.crt",
                "send_x5c": True,
            },
            ClientCertificate(TENANT, CLIENT, "/keys/app.pem", "open", "/keys/app.crt", True),
            id="certificate",
        ),
        pytest.param(
            PERSON, RefreshToken(TENANT, CLIENT, "1.AXoA-seed", SECRET), id="signed-in user, Web app"
        ),
        pytest.param(
            {**PERSON, "password": None, "username": "ann"},
            RefreshToken(TENANT, CLIENT, "1.AXoA-seed", user="ann"),
            id="signed-in user, public client",
        ),
        pytest.param(
            {"auth_type": "managed_identity", "login": None, "password": None},
            ManagedIdentity(),
            id="the machine's own identity",
        ),
        pytest.param(
            {
                "auth_type": "managed_identity",
                "managed_identity_client_id": CLIENT,
                "login": "",
                "password": "",
            },
            ManagedIdentity(CLIENT),
            id="an assigned identity",
        ),
        pytest.param(
            {"auth_type": "workload_identity", "assertion_file": "/var/token", "password": None},
            WorkloadIdentity(TENANT, CLIENT, "/var/token"),
            id="workload identity",
        ),
        pytest.param(
            {**PASSWORD, "password": None},
            UsernamePassword(TENANT, CLIENT, "ann@contoso.com", "p4ssw0rd"),
            id="user name and password",
        ),
        pytest.param(
            {"scope": "https://other.example/.default"},
            ClientSecret(TENANT, CLIENT, SECRET, scope="https://other.example/.default"),
            id="a scope of its own",
        ),
        pytest.param(
            ADFS,
            ClientSecret(None, CLIENT, SECRET, authority=Authority("adfs", "https://adfs.contoso.com/adfs")),
            id="AD FS, which has no tenants",
        ),
    ],
)
def test_each_way_to_sign_in_has_its_credential(fields, credential):
    assert settings(**fields).credential() == credential


def test_the_environment_may_be_left_to_name_its_tenant():
    assert settings(tenant_id=None).credential() == ClientSecret(None, CLIENT, SECRET)


def test_store_and_listeners_are_handed_to_the_credential():
    store = NoStore()
    credential = settings(**PERSON).credential(store, on_token=print, on_event=repr)
    assert (credential.store, credential.on_token, credential.on_event) == (store, print, repr)


@pytest.mark.parametrize("fields", [{}, PERSON, {**PASSWORD, "tenant_id": None}, ADFS], ids=repr)
def test_the_stores_key_is_the_credentials_own(fields):
    found = settings(**fields)
    assert found.store_key == found.credential().key(found.environment)
    assert "token" in found.store_key


def test_people_who_share_an_app_have_keys_of_their_own():
    keys = {settings(**PERSON, username=name).store_key for name in ("ann@contoso.com", "bob@contoso.com")}
    assert len(keys) == 2


def test_a_sign_in_can_begin_without_a_refresh_token():
    found = settings(auth_type="refresh_token", signing_in=True)
    assert found.refresh_token is None
    begun = found.sign_in()
    assert (begun.environment, begun.tenant_id, begun.proof) == (ENVIRONMENT, TENANT, Secret(SECRET))
    assert begun.scopes == [f"{ENVIRONMENT}/.default"]
    assert "Refresh token is missing" in refusal(auth_type="refresh_token")


def test_a_public_client_is_signed_in_to_by_its_permission():
    found = settings(auth_type="refresh_token", password=None, signing_in=True)
    assert found.sign_in().scopes == [f"{ENVIRONMENT}/user_impersonation"]


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        pytest.param("contoso.crm4.dynamics.com", "login.microsoftonline.com", id="public"),
        pytest.param("contoso.crm9.dynamics.com", "login.microsoftonline.com", id="GCC"),
        pytest.param("contoso.crm.microsoftdynamics.us", "login.microsoftonline.us", id="GCC High"),
        pytest.param("contoso.crm.appsplatform.us", "login.microsoftonline.us", id="DoD"),
        pytest.param("contoso.crm.dynamics.cn", "login.partner.microsoftonline.cn", id="China"),
    ],
)
@pytest.mark.parametrize(
    ("fields", "permission"),
    [
        pytest.param({}, ".default", id="an app"),
        pytest.param(CERTIFICATE, ".default", id="an app with a certificate"),
        pytest.param(PERSON, ".default", id="a person, Web app"),
        pytest.param({**PERSON, "password": None}, "user_impersonation", id="a person, public client"),
        pytest.param({**PASSWORD, "password": None}, "user_impersonation", id="a password, public client"),
    ],
)
def test_each_cloud_has_its_authority_and_each_way_its_scope(host, authority, fields, permission):
    begun = settings(**fields, host=host).sign_in()
    assert begun.authority == Authority(url=f"https://{authority}")
    assert begun.scopes == [f"https://{host}/{permission}"]


def test_a_secrets_end_is_a_date():
    assert settings(credential_end_date="2027-01-31").credential_end_date == date(2027, 1, 31)
    assert settings(credential_end_date="2027-01-31T10:00:00Z").credential_end_date == date(2027, 1, 31)
    assert "Client secret's end date must be a date such as 2027-01-31, not 'soon'." in refusal(
        credential_end_date="soon"
    )


def test_a_password_is_advised_against_once(caplog):
    _discourage.cache_clear()
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        settings(**PASSWORD, password=None).credential()
    assert caplog.text.count("Microsoft advises against it") == 1
    assert "p4ssw0rd" not in caplog.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(
            {**ADFS, "auth_type": "managed_identity", "login": None},
            "There is no managed identity sign-in at AD FS: Azure hands out tokens of Microsoft Entra ID only.",
            id="managed identity at AD FS",
        ),
        pytest.param(
            {**ADFS, "host": ENVIRONMENT, "authority_type": "oidc", "auth_type": "managed_identity"},
            "There is no managed identity sign-in at a generic OpenID provider",
            id="managed identity at another provider",
        ),
        pytest.param(
            {**ADFS, "auth_type": "workload_identity"},
            "There is no workload identity sign-in at AD FS",
            id="workload identity at AD FS",
        ),
        pytest.param(
            {**ADFS, **PASSWORD, "host": ENVIRONMENT, "authority_type": "oidc"},
            "There is no user name and password sign-in at a generic OpenID provider",
            id="a password at another provider",
        ),
        pytest.param(
            {"auth_type": "managed_identity"},
            "Move an assigned identity's client ID to Managed identity client ID, or empty Client ID",
            id="an assigned identity in the wrong field",
        ),
        pytest.param(
            {"managed_identity_client_id": CLIENT},
            "Managed identity client ID is filled in, but Auth type is client_secret",
            id="an assigned identity and a secret",
        ),
        pytest.param(
            {"resource": "https://auth.contoso.com/"},
            "AD FS resource is filled in, but Authority type is entra",
            id="a resource at Entra",
        ),
        pytest.param(
            {**ADFS, "cloud": "china"},
            "Cloud is filled in, but Authority type is adfs",
            id="a cloud at AD FS",
        ),
        pytest.param(
            {**ADFS, "host": ENVIRONMENT},
            "Environment URL lies in Microsoft's cloud, which signs in at Microsoft Entra ID: set Authority type to entra.",
            id="AD FS for the cloud",
        ),
        pytest.param(
            {**CERTIFICATE, "tenant_id": "common"},
            "Tenant ID 'common' stands for many tenants, and an app signs in to exactly one.",
            id="many tenants and a certificate",
        ),
        pytest.param(
            {"auth_type": "workload_identity", "tenant_id": "organizations", "password": None},
            "stands for many tenants",
            id="many tenants and workload identity",
        ),
        pytest.param(
            {**PASSWORD, "tenant_id": "common"},
            "stands for many tenants, which a password is not taken for",
            id="any tenant and a password",
        ),
        pytest.param(
            {**PERSON, "tenant_id": "consumers"},
            "stands for personal accounts, which have no Dynamics 365",
            id="personal accounts",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_sentence(fields, words):
    assert words in refusal(**fields)


@pytest.mark.parametrize("tenant", ["common", "organizations"])
def test_a_person_says_which_of_many_tenants(tenant):
    assert settings(**PERSON, tenant_id=tenant).tenant_id == tenant


def jwt(header, claims):
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "sig"])


ID_TOKEN = jwt({"alg": "RS256", "typ": "JWT"}, {"aud": CLIENT, "preferred_username": "ann@contoso.com"})
ACCESS_TOKEN = jwt({"alg": "RS256", "typ": "JWT"}, {"aud": ENVIRONMENT, "scp": "user_impersonation"})
KEYCLOAK = jwt({"alg": "HS512"}, {"typ": "Refresh", "aud": "https://login.contoso.com"})


@pytest.mark.parametrize(
    ("token", "words"),
    [
        pytest.param('"1.AXoA-seed"', "has quotes or a comma around it", id="quotes"),
        pytest.param("1.AXoA-seed',", "has quotes or a comma around it", id="the end of a JSON value"),
        pytest.param("1.AXoA\n-seed", "has a line break or a space in it", id="a line break"),
        pytest.param(r"1.AXoA\n-seed", "has a line break or a space in it", id="a line break written out"),
        pytest.param("1.AXoA -seed", "paste it again, whole and in one line", id="a space"),
        pytest.param('{"refresh_token":"1.AXoA"}', "holds the whole answer", id="the whole answer"),
        pytest.param(ID_TOKEN, "Refresh token holds an ID token, with which nobody can", id="an ID token"),
        pytest.param(ACCESS_TOKEN, "Refresh token holds an access token", id="an access token"),
    ],
)
def test_what_is_no_refresh_token_is_told_and_not_repeated(token, words):
    text = refusal(auth_type="refresh_token", refresh_token=token)
    assert words in text
    assert text.count("\n") == 0
    assert "AXoA" not in text
    assert token not in text


@pytest.mark.parametrize(
    "token", ["1.AXoA-seed\n", "0.ARoA6.AgABAAEA-_x.y"], ids=["a last line break", "dots"]
)
def test_a_refresh_token_may_look_like(token):
    assert settings(auth_type="refresh_token", refresh_token=token).refresh_token == token.strip()


def test_a_generic_providers_refresh_token_may_be_a_jwt():
    provider = {
        "authority_type": "oidc",
        "authority": "https://login.contoso.com/tenant",
        "allowed": ("login.contoso.com",),
    }
    found = settings(**provider, auth_type="refresh_token", refresh_token=KEYCLOAK)
    assert found.refresh_token == KEYCLOAK
    assert found.authority == Authority("oidc", "https://login.contoso.com/tenant")
    assert "holds an ID token" in refusal(**provider, auth_type="refresh_token", refresh_token=ID_TOKEN)


@pytest.mark.parametrize(
    ("fields", "authority", "environment"),
    [
        pytest.param(
            {}, "https://adfs.contoso.com/adfs", "https://crm.contoso.com", id="in the domain of its AD FS"
        ),
        pytest.param(
            {"host": "https://crm.contoso.com:444/Contoso/"},
            "https://adfs.contoso.com/adfs",
            "https://crm.contoso.com:444/Contoso",
            id="with a port and an organization",
        ),
        pytest.param(
            {"authority": "https://ADFS.contoso.com/"},
            "https://adfs.contoso.com/adfs",
            "https://crm.contoso.com",
            id="an AD FS by its host alone",
        ),
        pytest.param(
            {"host": "https://crm.fabrikam.com", "allowed": ("adfs.contoso.com", "crm.fabrikam.com")},
            "https://adfs.contoso.com/adfs",
            "https://crm.fabrikam.com",
            id="in another domain that is listed",
        ),
        pytest.param(
            {"host": "https://127.0.0.1:8765", "authority": "https://127.0.0.1:8765/adfs", "allowed": ()},
            "https://127.0.0.1:8765/adfs",
            "https://127.0.0.1:8765",
            id="on this machine",
        ),
    ],
)
def test_an_environment_on_premises_is(fields, authority, environment):
    found = settings(**{**ADFS, **fields}, resource="https://auth.contoso.com/")
    assert found.authority == Authority("adfs", authority, "https://auth.contoso.com/")
    assert (found.environment, found.tenant_id) == (environment, None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(
            {"authority": None}, "Authority is missing, needed for Authority type adfs", id="no authority"
        ),
        pytest.param({"allowed": ()}, "list it in [dynamics] allowed_authorities", id="an unlisted AD FS"),
        pytest.param(
            {"authority": "https://evil.example/adfs"}, "evil.example is not allowed", id="a foreign AD FS"
        ),
        pytest.param(
            {"authority": "https://adfs.contoso.com/adfs/oauth2/token"},
            "Authority of an AD FS ends in /adfs: use https://adfs.contoso.com/adfs.",
            id="an endpoint",
        ),
        pytest.param(
            {"host": "https://crm.evil.example"},
            "crm.evil.example is not in the domain of Authority adfs.contoso.com, whose tokens it would receive",
            id="a foreign environment",
        ),
        pytest.param(
            {"host": "https://crm.evilcontoso.com"}, "is not in the domain", id="a domain that ends alike"
        ),
        pytest.param(
            {
                "host": "https://evil.co.uk",
                "authority": "https://contoso.co.uk/adfs",
                "allowed": ("contoso.co.uk",),
            },
            "is not in the domain",
            id="a registry's domain",
        ),
        pytest.param(
            {"host": ENVIRONMENT, "authority_type": "oidc", "authority": "https://adfs.contoso.com"},
            "Authority must be the provider's issuer, with a path",
            id="an issuer without a path",
        ),
    ],
)
def test_a_sign_in_service_elsewhere_is_refused(fields, words):
    assert words in refusal(**{**ADFS, **fields})


def test_no_secret_of_any_kind_shows_in_the_settings_text():
    found = settings(
        **{**CERTIFICATE, "private_key": "-----BEGIN K3Y-----"},
        private_key_passphrase="p4ssphrase",
        user_password="p4ssw0rd",
        refresh_token="1.AXoA-seed",
    )
    assert not any(secret in repr(found) for secret in ("K3Y", "p4ss", "AXoA"))


WAYS = [
    ("client_secret", "entra", False),
    ("client_secret", "adfs", False),
    ("certificate", "entra", False),
    ("certificate", "adfs", False),
    ("workload_identity", "entra", False),
    ("managed_identity", "entra", False),
    ("refresh_token", "entra", False),
    ("refresh_token", "entra", True),
    ("refresh_token", "adfs", False),
    ("refresh_token", "adfs", True),
    ("username_password", "entra", False),
    ("username_password", "entra", True),
    ("username_password", "adfs", False),
    ("username_password", "adfs", True),
]


IDS = [f"{way} at {at}, {'public' if public else 'confidential'}" for way, at, public in WAYS]
CHALLENGED = [way for way in WAYS if way[1] == "entra" and way[0] != "managed_identity"]


@pytest.fixture
def stored(emulator, monkeypatch):
    """Return the settings of a stored connection to the emulator."""

    def read(auth_type, authority_type, *, public):
        variables = emulator.airflow_connection("crm", auth_type, authority_type, public=public)
        found = Connection.from_json(variables.pop("AIRFLOW_CONN_CRM"), conn_id="crm")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Settings.from_fields(
            host=found.host,
            login=found.login,
            password=found.password,
            port=found.port,
            schema=found.schema,
            extra=found.extra_dejson,
        )

    return read


@pytest.mark.parametrize(("auth_type", "authority_type", "public"), WAYS, ids=IDS)
def test_a_stored_connection_of_each_kind_opens_its_environment(stored, auth_type, authority_type, public):
    with stored(auth_type, authority_type, public=public).client(store=NoStore()) as client:
        assert client.who_am_i()["UserId"]


@pytest.mark.parametrize(("auth_type", "authority_type", "public"), WAYS, ids=IDS)
def test_each_way_replaces_a_token_that_is_refused(emulator, stored, auth_type, authority_type, public):
    emulator.fault("expired_token", count=1)
    with stored(auth_type, authority_type, public=public).client(
        store=NoStore(), cache=TokenCache()
    ) as client:
        assert client.who_am_i()["UserId"]
    assert [request.status for request in emulator.requests if "/api/data" in request.path] == [401, 200]


@pytest.mark.parametrize(
    ("auth_type", "authority_type", "public"), CHALLENGED, ids=[IDS[WAYS.index(way)] for way in CHALLENGED]
)
def test_each_way_answers_a_claims_challenge(emulator, stored, auth_type, authority_type, public):
    """https://learn.microsoft.com/entra/identity-platform/claims-challenge; only Entra has them."""
    emulator.fault("claims")
    with stored(auth_type, authority_type, public=public).client(
        store=NoStore(), cache=TokenCache()
    ) as client:
        assert client.who_am_i()["UserId"]
    assert [request.status for request in emulator.requests if "/api/data" in request.path] == [401, 200]


def test_a_managed_identity_is_never_challenged_and_if_it_were_would_ask_once(emulator, stored):
    """https://learn.microsoft.com/entra/identity/conditional-access/concept-continuous-access-evaluation-workload."""
    emulator.fault("claims")
    with (
        stored("managed_identity", "entra", public=False).client(
            store=NoStore(), cache=TokenCache()
        ) as client,
        pytest.raises(Unauthorized, match="does not accept the token"),
    ):
        client.who_am_i()
    assert [request.status for request in emulator.requests if "/api/data" in request.path] == [401, 401]


def test_a_connection_without_a_tenant_opens_its_environment(emulator):
    found = Settings.from_fields(
        host=emulator.url,
        login=emulator.client_id,
        password=emulator.client_secret,
        extra={"ca_bundle": emulator.ca_bundle},
    )
    with found.client() as client:
        assert client.who_am_i()["UserId"]
