"""What each way of filling in a connection leads to: settings, or one sentence that says what to change."""

from __future__ import annotations

import json
import logging

import pytest
from airflow.models.connection import Connection as StoredConnection
from airflow.sdk import Connection

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.connection import Settings, SettingsError
from tests.airflow.filled_in import CLIENT, ENVIRONMENT, SECRET, TENANT, refusal, settings


def test_a_filled_in_form_becomes_settings_and_a_credential():
    found = settings()
    assert found.environment == ENVIRONMENT
    assert (found.api_version, found.request_timeout, found.max_concurrency) == ("v9.2", 120.0, None)
    assert found.credential() == ClientSecret(TENANT, CLIENT, SECRET)


def test_the_form_sends_null_for_what_is_not_filled_in():
    unset = dict.fromkeys(
        ["scope", "authority", "ca_bundle", "proxy", "request_timeout", "max_concurrency", "api_version"]
    )
    assert settings(**unset) == settings()
    assert settings(**dict.fromkeys(unset, "")) == settings()
    assert (
        settings(auth_type="client_secret", cloud="auto", authority_type="entra", send_x5c=False)
        == settings()
    )


def test_no_secret_shows_in_the_settings_text():
    text = repr(settings(proxy="http://u:p4ss@proxy:1"))
    assert SECRET not in text
    assert "p4ss" not in text


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("contoso.crm4.dynamics.com", id="bare"),
        pytest.param("https://contoso.crm4.dynamics.com", id="with https"),
        pytest.param("https://contoso.crm4.dynamics.com/", id="with a slash at the end"),
        pytest.param("https://Contoso.CRM4.Dynamics.com", id="in capitals"),
        pytest.param("  https://contoso.crm4.dynamics.com  ", id="with spaces around it"),
        pytest.param("https://contoso.crm4.dynamics.com:443", id="with the port https has anyway"),
    ],
)
def test_an_environment_may_be_written(host):
    assert settings(host=host).environment == ENVIRONMENT


@pytest.mark.parametrize(
    ("host", "port", "environment"),
    [
        ("https://127.0.0.1:8765", None, "https://127.0.0.1:8765"),
        ("127.0.0.1", 8765, "https://127.0.0.1:8765"),
        ("https://localhost", 8765, "https://localhost:8765"),
        ("https://[::1]:8765", None, "https://[::1]:8765"),
    ],
)
def test_an_environment_on_this_machine_keeps_its_port_and_signs_in_there(host, port, environment):
    found = settings(host=host, port=port)
    assert found.environment == environment
    assert found.authority == Authority(url=environment)


def test_plain_http_is_taken_for_this_machine_only():
    found = settings(host="http://localhost:5000", authority="https://127.0.0.1:8443")
    assert found.environment == "http://localhost:5000"
    assert "does not tell where to sign in" in refusal(host="http://localhost:5000")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        pytest.param(None, "Environment URL is missing: enter the base address", id="none"),
        pytest.param("   ", "Environment URL is missing", id="only spaces"),
        pytest.param(
            "https://contoso.crm4.dynamics.com/api/data/v9.2/",
            "must be the base address only: use https://contoso.crm4.dynamics.com (without '/api/data/v9.2').",
            id="a path",
        ),
        pytest.param(
            "https://contoso.crm4.dynamics.com/main.aspx?appid=1",
            "use https://contoso.crm4.dynamics.com (without '/main.aspx?appid=1')",
            id="a page's address",
        ),
        pytest.param(
            "http://contoso.crm4.dynamics.com",
            "must start with https, not http: use https://contoso.crm4.dynamics.com.",
            id="http",
        ),
        pytest.param("ftp://contoso.crm4.dynamics.com", "is not a web address", id="another protocol"),
        pytest.param("https://", "is not a web address", id="no host"),
        pytest.param("contoso crm", "is not a web address", id="words"),
        pytest.param("https://contoso.crm4.dynamics.com:x", "is not a web address", id="a port that is none"),
        pytest.param("https://contoso.crm4.dynamics.com:8443", "must not name a port", id="a port"),
        pytest.param(
            "crm4.dynamics.com",
            "of a region or a service, not of an environment. Put the environment's name before it: "
            "https://<environment>.crm4.dynamics.com",
            id="a region",
        ),
        pytest.param(
            "https://globaldisco.crm.dynamics.com", "of a region or a service", id="the discovery service"
        ),
        pytest.param(
            "https://admin.services.crm4.dynamics.com", "of a region or a service", id="the admin service"
        ),
        pytest.param(
            "https://contoso.operations.dynamics.com", "is Finance and Operations", id="another product"
        ),
        pytest.param("https://make.powerapps.com", "is the Power Apps maker portal", id="a portal"),
        pytest.param(
            "https://contoso.crm.dynamics.de",
            "for Dynamics 365 on-premises set Authority type to AD FS",
            id="no known cloud",
        ),
        pytest.param(
            f"https://id:{'x' * 8}@contoso.crm4.dynamics.com",
            "must not hold a user name or password",
            id="a password in it",
        ),
    ],
)
def test_a_wrong_environment_is_told(host, words):
    text = refusal(host=host)
    assert words in text
    assert "x" * 8 not in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(
            {"login": None},
            "Client ID is missing, needed for auth type client_secret. Enter Client ID: the Application",
            id="client",
        ),
        pytest.param({"password": ""}, "Client secret is missing", id="secret"),
        pytest.param({"login": "", "password": None}, "Client ID and Client secret are missing", id="both"),
    ],
)
def test_a_missing_field_is_named_by_its_label(fields, words):
    assert words in refusal(**fields)


@pytest.mark.parametrize(
    ("tenant", "words"),
    [
        ("common", "stands for many tenants"),
        ("Organizations", "stands for many tenants"),
        ("https://contoso.crm4.dynamics.com", "Tenant ID looks like an address"),
        ("contoso.crm4.dynamics.com", "Tenant ID looks like an address"),
        ("contoso corp", "characters that neither a GUID nor a domain has"),
    ],
)
def test_a_wrong_tenant_is_told(tenant, words):
    assert words in refusal(tenant_id=tenant)


@pytest.mark.parametrize("tenant", [TENANT, "contoso.onmicrosoft.com", "contoso.com"])
def test_a_tenant_is_a_guid_or_a_domain(tenant):
    assert settings(tenant_id=tenant).tenant_id == tenant


@pytest.mark.parametrize(
    ("host", "cloud", "authority_host"),
    [
        ("contoso.crm.dynamics.com", "public", "login.microsoftonline.com"),
        ("contoso.crm9.dynamics.com", "gcc", "login.microsoftonline.com"),
        ("contoso.crm.microsoftdynamics.us", "gcc_high", "login.microsoftonline.us"),
        ("contoso.crm.appsplatform.us", None, "login.microsoftonline.us"),
        ("contoso.crm.dynamics.cn", "auto", "login.partner.microsoftonline.cn"),
    ],
)
def test_a_sign_in_goes_to_the_clouds_own_authority(host, cloud, authority_host):
    assert settings(host=host, cloud=cloud).authority == Authority(url=f"https://{authority_host}")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param(
            {"cloud": "china"},
            "lies in cloud 'Public', but Cloud says 'China (21Vianet)'. Set Cloud to auto",
            id="cloud of another",
        ),
        pytest.param(
            {"authority": "https://login.microsoftonline.us"},
            "but Authority is login.microsoftonline.us, which belongs to 'US Government GCC High'",
            id="authority of another cloud",
        ),
        pytest.param(
            {"authority": "https://login.evil.example"},
            "list it in [dynamics] allowed_authorities",
            id="a foreign one",
        ),
        pytest.param(
            {"authority": "https://login.microsoftonline.com.evil.example"},
            "not allowed to receive",
            id="one that begins alike",
        ),
        pytest.param({"authority": "http://127.0.0.1:8080"}, "Authority must start with https", id="http"),
        pytest.param(
            {"authority": "https://login.microsoftonline.com/common"},
            "must be an address without a path",
            id="a path",
        ),
        pytest.param(
            {"authority": "https://u:p@login.microsoftonline.com"},
            "must not hold a user name",
            id="a password in it",
        ),
        pytest.param(
            {"cloud": "germany"},
            "Cloud 'germany' is not known. Choose one of auto, public",
            id="an unknown cloud",
        ),
    ],
)
def test_a_sign_in_elsewhere_is_refused(fields, words):
    assert words in refusal(**fields)


@pytest.mark.parametrize(
    ("authority", "allowed", "authority_host"),
    [
        pytest.param(
            "https://login.microsoftonline.com/", (), "login.microsoftonline.com", id="the cloud's own"
        ),
        pytest.param(
            f"https://login.microsoftonline.com/{TENANT}",
            (),
            "login.microsoftonline.com",
            id="with the tenant",
        ),
        pytest.param("https://127.0.0.1:8443", (), "127.0.0.1:8443", id="this machine"),
        pytest.param(
            "https://login.contoso.com", ("login.contoso.com",), "login.contoso.com", id="listed by host"
        ),
        pytest.param(
            "https://login.contoso.com:8443",
            ("https://login.contoso.com:8443/x",),
            "login.contoso.com:8443",
            id="listed by URL",
        ),
    ],
)
def test_an_authority_may_be(authority, allowed, authority_host):
    assert settings(authority=authority, allowed=allowed).authority.host == authority_host


def test_a_listed_host_is_allowed_on_its_listed_port_only():
    assert "not allowed" in refusal(
        authority="https://login.contoso.com:8443", allowed=("login.contoso.com",)
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("auth_type", "client_secert", "refresh_token, username_password; did you mean 'client_secret'?"),
        ("auth_type", "device_code", "Auth type 'device_code' is not known. Choose one of client_secret, certificate,"),
        ("api_version", "latest", "Web API version must look like v9.2, not 'latest'."),
        ("api_version", "v8.2", "Web API version must look like v9.2"),
        ("request_timeout", "soon", "Request timeout must be a number of seconds from 1 to 3600, not 'soon'."),
        ("request_timeout", 0, "from 1 to 3600"),
        ("request_timeout", True, "Request timeout must be a number"),
        ("max_concurrency", 53, "Max concurrency must be a whole number of requests from 1 to 52, not '53'."),
        ("max_concurrency", "2.5", "must be a whole number"),
        ("max_concurrency", "nan", "must be a whole number"),
        ("caller_object_id", "ann", "Caller object ID must be a GUID"),
        ("ca_bundle", "/no/such/file.pem", "CA bundle '/no/such/file.pem' cannot be read on this machine"),
        ("proxy", "proxy.contoso.com:8080", "Proxy must be a URL such as"),
        ("proxy", "http://u:p4ss@proxy:x", "Proxy must be a URL such as"),
        ("send_x5c", "maybe", "Send certificate chain must be true or false"),
        ("tenant_id", {"id": 1}, "Tenant ID must be text, not an object."),
        ("scope", ["a"], "Scope must be text, not a list."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_its_label(name, value, words):
    text = refusal(**{name: value})
    assert words in text
    assert "p4ss" not in text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"request_timeout": "30", "max_concurrency": "4", "api_version": "9.2"}, (30.0, 4, "v9.2")),
        ({"request_timeout": 30.5, "max_concurrency": 4.0, "api_version": "v9.1"}, (30.5, 4, "v9.1")),
    ],
    ids=["text as in a URI", "numbers as in JSON"],
)
def test_numbers_come_as(given, expected):
    found = settings(**given)
    assert (found.request_timeout, found.max_concurrency, found.api_version) == expected


def test_an_existing_ca_bundle_is_taken(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----")
    assert settings(ca_bundle=str(bundle)).ca_bundle == str(bundle)


@pytest.mark.parametrize(
    "certificate",
    [
        "-----BEGIN PRIVATE KEY-----\nMIIEv\n-----END PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----",
        "MII" + "Ab1" * 100,
    ],
    ids=["a PEM key", "an encrypted PEM key", "a PFX in base64"],
)
def test_key_material_where_everybody_can_see_it_is_refused_and_not_repeated(certificate):
    text = refusal(certificate=certificate)
    assert "Move it to Private key" in text
    assert certificate[:12] not in text.replace("private key", "")


def test_two_ways_to_sign_in_are_one_too_many():
    assert "are both filled in" in refusal(private_key="/keys/app.pem")
    assert "are both filled in" in refusal(certificate="/keys/app.crt", auth_type="certificate")


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        pytest.param(
            {"auth_type": "certificate", "login": None}, "Client ID and Private key are", id="certificate"
        ),
        pytest.param({"auth_type": "refresh_token"}, "Refresh token is", id="refresh token"),
        pytest.param(
            {"auth_type": "workload_identity", "login": None}, "Client ID is", id="workload identity"
        ),
        pytest.param(
            {"auth_type": "username_password", "username": "ann@contoso.com"},
            "User password is",
            id="password",
        ),
    ],
)
def test_each_way_to_sign_in_needs_its_fields(fields, missing):
    assert f"{missing} missing, needed for auth type {fields['auth_type']}" in refusal(
        password=None, **fields
    )


def test_an_unknown_field_is_told_in_the_log_and_does_no_harm(caplog):
    caplog.set_level(logging.WARNING)
    assert settings(tenat_id="x", other="y", empty=None) == settings()
    assert "'tenat_id' that means nothing here; did you mean 'tenant_id'?" in caplog.text
    assert "'other' that means nothing here" in caplog.text
    assert "'empty'" not in caplog.text


def test_a_secret_that_is_not_used_is_told_in_the_log_without_it(caplog):
    caplog.set_level(logging.WARNING)
    settings(refresh_token="0.AXoA-old")
    assert "Refresh token is filled in but not used by auth type client_secret" in caplog.text
    assert "0.AXoA" not in caplog.text


EXTRA = {"tenant_id": TENANT, "request_timeout": 30, "max_concurrency": 4, "scope": None}


def from_airflow(connection):
    return Settings.from_fields(
        host=connection.host,
        login=connection.login,
        password=connection.password,
        port=connection.port,
        schema=connection.schema,
        extra=connection.extra_dejson,
    )


def test_a_json_connection_is_read():
    text = json.dumps(
        {"conn_type": "dynamics", "host": ENVIRONMENT, "login": CLIENT, "password": SECRET, "extra": EXTRA}
    )
    found = from_airflow(Connection.from_json(text, conn_id="x"))
    assert found == settings(request_timeout=30, max_concurrency=4)


def test_a_stored_connection_survives_its_own_uri():
    stored = StoredConnection(
        conn_id="x",
        conn_type="dynamics",
        host=ENVIRONMENT,
        login=CLIENT,
        password=SECRET,
        extra=json.dumps(EXTRA),
    )
    found = from_airflow(Connection.from_uri(stored.get_uri(), conn_id="x"))
    assert found == settings(request_timeout=30, max_concurrency=4)


QUOTED = "~s3%2Fcr%40t%3A%2B%25"


@pytest.mark.parametrize(
    ("uri", "environment"),
    [
        (f"dynamics://{CLIENT}:{QUOTED}@contoso.crm4.dynamics.com/?tenant_id={TENANT}", ENVIRONMENT),
        (f"dynamics://{CLIENT}:{QUOTED}@contoso.crm4.dynamics.com?tenant_id={TENANT}", ENVIRONMENT),
        (f"dynamics://https://{CLIENT}:{QUOTED}@contoso.crm4.dynamics.com/?tenant_id={TENANT}", ENVIRONMENT),
        (f"dynamics://{CLIENT}:{QUOTED}@contoso.crm4.dynamics.com:443/https?tenant_id={TENANT}", ENVIRONMENT),
        (f"dynamics://{CLIENT}:{QUOTED}@127.0.0.1:8765/?tenant_id={TENANT}", "https://127.0.0.1:8765"),
        (
            f"dynamics://https://{CLIENT}:{QUOTED}@127.0.0.1:8765/?tenant_id={TENANT}",
            "https://127.0.0.1:8765",
        ),
        (
            f"dynamics://https://{CLIENT}:{QUOTED}@127.0.0.1%3A8765/?tenant_id={TENANT}",
            "https://127.0.0.1:8765",
        ),
    ],
    ids=[
        "bare",
        "without a slash",
        "with https",
        "https as its path",
        "port",
        "https and port",
        "as Airflow quotes a port",
    ],
)
def test_a_uri_connection_is_read(uri, environment):
    found = from_airflow(Connection.from_uri(uri, conn_id="x"))
    assert found.environment == environment
    assert found.client_secret == SECRET


def test_text_in_a_uri_is_read_as_numbers():
    uri = f"dynamics://{CLIENT}:{QUOTED}@contoso.crm4.dynamics.com/?tenant_id={TENANT}&request_timeout=30&max_concurrency=4"
    found = from_airflow(Connection.from_uri(uri, conn_id="x"))
    assert (found.request_timeout, found.max_concurrency) == (30.0, 4)


def test_a_path_in_a_uri_is_told_like_one_in_the_form():
    uri = f"dynamics://{CLIENT}:{QUOTED}@contoso.crm4.dynamics.com/api/data/v9.2?tenant_id={TENANT}"
    with pytest.raises(
        SettingsError, match=r"use https://contoso.crm4.dynamics.com \(without '/api/data/v9.2'\)"
    ):
        from_airflow(Connection.from_uri(uri, conn_id="x"))
