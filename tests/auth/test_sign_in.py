"""Every way of signing in at every kind of service: what is sent where, what comes of it, and what is refused unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest

from airflow_provider_dynamics.auth import (
    AuthenticationError,
    Authority,
    ClientCertificate,
    ClientSecret,
    ManagedIdentity,
    Network,
    RefreshToken,
    UsernamePassword,
    WorkloadIdentity,
)
from airflow_provider_dynamics.auth.authority import sign_in_app, sign_in_refresh
from airflow_provider_dynamics.auth.credentials import Registered
from airflow_provider_dynamics.auth.events import SignInEvent
from airflow_provider_dynamics.auth.proofs import Secret
from airflow_provider_dynamics.auth.store import NoStore
from airflow_provider_dynamics.auth.tokens import TokenCache
from tests.auth.keys import NOW, pair, rsa_key
from tests.auth.services import (
    ANN,
    CLIENT,
    ENVIRONMENT,
    SECRET,
    TENANT,
    FakeService,
    issued,
    issued_to_ann,
    refusal,
    unsigned,
)

ASSERTION = unsigned({"sub": "system:serviceaccount:airflow:worker"})
CP1 = {"access_token": {"xms_cc": {"values": ["CP1"]}}}
CREDENTIALS: dict[str, Callable[..., Registered]] = {
    "client secret": lambda **options: ClientSecret(TENANT, CLIENT, SECRET, **options),
    "certificate": lambda **options: ClientCertificate(TENANT, CLIENT, pair().pfx_text(), **options),
    "workload identity": lambda **options: WorkloadIdentity(TENANT, CLIENT, lambda: ASSERTION, **options),
    "managed identity": ManagedIdentity,
    "refresh token, Web app": lambda **options: RefreshToken(TENANT, CLIENT, "refresh-1", SECRET, **options),
    "refresh token, public client": lambda **options: RefreshToken(TENANT, CLIENT, "refresh-1", **options),
    "password, Web app": lambda **options: UsernamePassword(
        TENANT, CLIENT, ANN, "p4ssw0rd", SECRET, **options
    ),
    "password, public client": lambda **options: UsernamePassword(TENANT, CLIENT, ANN, "p4ssw0rd", **options),
}
GRANTS = {
    "client secret": {"grant_type": "client_credentials", "client_secret": SECRET},
    "certificate": {"grant_type": "client_credentials"},
    "workload identity": {"grant_type": "client_credentials", "client_assertion": ASSERTION},
    "refresh token, Web app": {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "client_secret": SECRET,
    },
    "refresh token, public client": {"grant_type": "refresh_token", "refresh_token": "refresh-1"},
    "password, Web app": {"grant_type": "password", "username": ANN, "client_secret": SECRET},
    "password, public client": {"grant_type": "password", "username": ANN, "password": "p4ssw0rd"},
}
ABSENT = {
    ("managed identity", "adfs"),
    ("managed identity", "oidc"),
    ("workload identity", "adfs"),
    ("password, Web app", "oidc"),
    ("password, public client", "oidc"),
}
KINDS = ("entra", "adfs", "oidc")


@pytest.fixture
def cache(clock):
    clock.seconds = NOW.timestamp()
    return TokenCache(now=clock.now)


def credential(mode, service, cache, **changes):
    return CREDENTIALS[mode](authority=service.authority, store=NoStore(), cache=cache, **changes)


def get(credential, **options):
    return credential.get_token(ENVIRONMENT, network=Network(), **options).secret


def kept(store, credential) -> Any:
    return store.load(credential.key(ENVIRONMENT))


def failure(credential, **options):
    with pytest.raises(AuthenticationError) as caught:
        get(credential, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert not any(hidden in text for hidden in (SECRET, "p4ssw0rd", "refresh-1", ASSERTION))
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", GRANTS)
def test_a_way_to_sign_in_works_wherever_it_exists(requests_mock, cache, mode, kind):
    service = FakeService(requests_mock, kind)
    if (mode, kind) in ABSENT:
        error = failure(credential(mode, service, cache))
        assert "There is no " in str(error)
        assert not error.retryable
        assert not requests_mock.request_history
        return
    assert get(credential(mode, service, cache)) == "access-1"
    (sent,) = service.asked
    assert GRANTS[mode].items() <= sent.items()
    assert sent["client_id"] == CLIENT
    assert ("client_assertion" in sent) is (mode in {"certificate", "workload identity"})


@pytest.mark.parametrize("kind", ["adfs", "oidc"])
def test_a_managed_identity_exists_at_entra_only(requests_mock, cache, kind):
    error = failure(credential("managed identity", FakeService(requests_mock, kind), cache))
    assert "There is no managed identity sign-in at" in str(error)
    assert not requests_mock.request_history


@pytest.mark.parametrize(
    ("mode", "scopes"),
    [
        ("client secret", {f"{ENVIRONMENT}/.default"}),
        ("certificate", {f"{ENVIRONMENT}/.default"}),
        ("workload identity", {f"{ENVIRONMENT}/.default"}),
        ("refresh token, Web app", {f"{ENVIRONMENT}/.default", "openid", "profile", "offline_access"}),
        ("refresh token, public client", {f"{ENVIRONMENT}/user_impersonation", "openid", "profile", "offline_access"}),
        ("password, Web app", {f"{ENVIRONMENT}/.default", "openid", "profile", "offline_access"}),
        ("password, public client", {f"{ENVIRONMENT}/user_impersonation", "openid", "profile", "offline_access"}),
    ],
)  # fmt: skip
def test_the_scope_follows_from_who_signs_in(requests_mock, cache, mode, scopes):
    service = FakeService(requests_mock)
    get(credential(mode, service, cache))
    assert set(service.asked[0]["scope"].split()) == scopes
    assert "resource" not in service.asked[0]


def test_a_scope_of_its_own_goes_before_and_may_name_what_msal_adds_itself(requests_mock, cache):
    service = FakeService(requests_mock)
    get(credential("refresh token, Web app", service, cache, scope="api://x/read offline_access"))
    assert set(service.asked[0]["scope"].split()) == {"api://x/read", "openid", "profile", "offline_access"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [(None, f"{ENVIRONMENT}/"), ("https://auth.contoso.com/", "https://auth.contoso.com/")],
    ids=["the environment by default", "a relying party by name"],
)
@pytest.mark.parametrize("mode", ["client secret", "refresh token, Web app", "password, public client"])
def test_an_ad_fs_is_told_the_resource_and_no_scope_of_ours(requests_mock, cache, mode, given, sent):
    service = FakeService(requests_mock, "adfs", given)
    get(credential(mode, service, cache))
    (asked,) = service.asked
    assert asked["resource"] == sent
    assert ENVIRONMENT not in asked.get("scope", "")


def test_an_organizations_path_is_no_part_of_the_resource(requests_mock, cache):
    service = FakeService(requests_mock, "adfs")
    credential("client secret", service, cache).get_token(
        "https://crm.contoso.com:444/Contoso", network=Network()
    )
    assert service.asked[0]["resource"] == "https://crm.contoso.com:444/"


def test_a_resource_of_rfc_8707_is_sent_where_one_is_named(requests_mock, cache):
    service = FakeService(requests_mock, "oidc", ENVIRONMENT)
    get(credential("client secret", service, cache))
    assert service.asked[0]["resource"] == ENVIRONMENT


@pytest.mark.parametrize("mode", GRANTS)
def test_a_claims_challenge_is_answered(requests_mock, cache, mode):
    service = FakeService(requests_mock)
    service.answers(issued(), issued("access-2"))
    mine = credential(mode, service, cache)
    first = mine.get_token(ENVIRONMENT, network=Network())
    claims = {"access_token": {"nbf": {"essential": True, "value": "1604106651"}}}
    second = mine.get_token(ENVIRONMENT, network=Network(), rejected=first, claims=json.dumps(claims))
    assert (first.secret, second.secret) == ("access-1", "access-2")
    declared, asked = (json.loads(sent["claims"]) for sent in service.asked)
    assert declared == CP1
    assert asked == {"access_token": {**claims["access_token"], **CP1["access_token"]}}


@pytest.mark.parametrize("claims", ["not json", "[]", '"text"'])
@pytest.mark.parametrize("mode", ["client secret", "refresh token, Web app"])
def test_a_challenge_that_is_none_brings_a_new_token_all_the_same(requests_mock, cache, mode, claims):
    service = FakeService(requests_mock)
    assert get(credential(mode, service, cache), claims=claims) == "access-1"
    assert json.loads(service.asked[0]["claims"]) == CP1


@pytest.mark.parametrize("kind", ["adfs", "oidc"])
def test_only_entra_is_told_what_we_are_capable_of(requests_mock, cache, kind):
    service = FakeService(requests_mock, kind)
    get(credential("refresh token, Web app", service, cache))
    get(credential("client secret", service, cache))
    assert not any("claims" in sent for sent in service.asked)


@pytest.mark.parametrize(
    ("kind", "algorithm", "thumbprint"), [("entra", "PS256", "x5t#S256"), ("oidc", "PS256", "x5t#S256"), ("adfs", "RS256", "x5t")]
)  # fmt: skip
def test_a_certificate_signs_what_its_service_can_check(requests_mock, cache, kind, algorithm, thumbprint):
    service = FakeService(requests_mock, kind)
    get(credential("certificate", service, cache))
    assertion = service.asked[0]["client_assertion"]
    header = jwt.get_unverified_header(assertion)
    assert header["alg"] == algorithm
    assert thumbprint in header
    claims = jwt.decode(assertion, rsa_key().public_key(), algorithms=[algorithm], audience=service.token_url)
    assert claims["iss"] == claims["sub"] == CLIENT


def test_the_whole_chain_is_sent_where_it_is_asked_for(requests_mock, cache):
    service = FakeService(requests_mock)
    text = pair(signed_by="Contoso CA").pfx_text()
    get(ClientCertificate(TENANT, CLIENT, text, send_x5c=True, cache=cache))
    assert len(jwt.get_unverified_header(service.asked[0]["client_assertion"])["x5c"]) == 2


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        pytest.param(
            ClientCertificate(TENANT, CLIENT, pair(ends=NOW - timedelta(days=1)).pfx_text()),
            "expired on 2027-01-14. What to do: create a new certificate",
            id="an expired certificate",
        ),
        pytest.param(
            ClientCertificate(TENANT, CLIENT, pair().key_pem("pass")),
            "Private key is encrypted and Private key passphrase is empty. What to do: fill in Private key passphrase.",
            id="an encrypted key",
        ),
        pytest.param(
            WorkloadIdentity(TENANT, CLIENT, "/no/such/token"),
            "Federated token file '/no/such/token' cannot be read",
            id="no federated token",
        ),
        pytest.param(
            ClientSecret("common", CLIENT, SECRET),
            "Tenant ID 'common' stands for many tenants, and an app signs in to exactly one.",
            id="many tenants",
        ),
        pytest.param(
            UsernamePassword("consumers", CLIENT, ANN, "p4ssw0rd"),
            "personal accounts",
            id="personal accounts",
        ),
        pytest.param(ClientSecret(TENANT, "", SECRET), "Client ID is missing", id="no client"),
    ],
)
def test_what_cannot_work_is_refused_before_anybody_is_asked(requests_mock, cache, mine, words):
    error = failure(replace(mine, cache=cache, store=NoStore()))
    assert words in str(error)
    assert (error.kind, error.retryable) == ("permanent", False)
    assert not requests_mock.request_history


def test_a_federated_token_is_presented_as_it_is_at_each_sign_in(
    requests_mock, cache, clock, tmp_path, monkeypatch
):
    path = tmp_path / "token"
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(path))
    service = FakeService(requests_mock)
    mine = WorkloadIdentity(TENANT, CLIENT, cache=cache)
    tokens = [unsigned({"n": number}) for number in (1, 2)]
    for token in tokens:
        path.write_text(token)
        get(mine)
        clock.move(3600)
    assert [sent["client_assertion"] for sent in service.asked] == tokens


def test_a_successor_is_kept_told_and_used_next(requests_mock, cache, clock):
    service = FakeService(requests_mock)
    service.answers(issued_to_ann("access-1", "refresh-2"), issued_to_ann("access-2", "refresh-3"))
    store = NoStore()
    told: list[str] = []
    mine = RefreshToken(TENANT, CLIENT, "refresh-1", store=store, cache=cache, on_token=told.append, user=ANN)
    assert get(mine) == "access-1"
    record = kept(store, mine)
    assert (record.refresh_token, record.user) == ("refresh-2", ANN)
    clock.move(3600)
    assert get(mine) == "access-2"
    assert [sent["refresh_token"] for sent in service.asked] == ["refresh-1", "refresh-2"]
    assert "refresh-3" in told


def test_a_refresh_token_without_a_successor_goes_on(requests_mock, cache, clock):
    """AD FS sends none; MSAL alone would then hold nothing at all."""
    service = FakeService(requests_mock, "adfs")
    service.answers(issued_to_ann(successor=None))
    mine = credential("refresh token, Web app", service, cache)
    for _ in range(2):
        get(mine)
        clock.move(3600)
    assert [sent["refresh_token"] for sent in service.asked] == ["refresh-1", "refresh-1"]


def test_a_dead_grant_is_not_asked_for_again(requests_mock, cache):
    service = FakeService(requests_mock)
    service.answers(
        refusal("invalid_grant", "AADSTS700082: The refresh token has expired.", error_codes=[700082])
    )
    store = NoStore()
    for _ in range(3):
        mine = RefreshToken(TENANT, CLIENT, "refresh-1", store=store, cache=TokenCache(now=cache.now))
        assert failure(mine).code == "AADSTS700082"
    assert len(service.asked) == 1


def test_a_wrong_password_is_not_tried_again(requests_mock, cache):
    """Each try brings the account nearer to being locked."""
    service = FakeService(requests_mock)
    service.answers(
        refusal("invalid_grant", "AADSTS50126: Invalid username or password.", error_codes=[50126])
    )
    store = NoStore()
    for _ in range(3):
        mine = UsernamePassword(TENANT, CLIENT, ANN, "p4ssw0rd", store=store, cache=TokenCache(now=cache.now))
        assert failure(mine).code == "AADSTS50126"
    assert len(service.asked) == 1


def test_why_an_app_is_refused_is_kept_until_it_signs_in_again(requests_mock, cache):
    service = FakeService(requests_mock)
    service.answers(refusal("invalid_client", "AADSTS7000222: expired", 401, error_codes=[7000222]), issued())
    store = NoStore()
    mine = ClientSecret(TENANT, CLIENT, SECRET, store=store, cache=cache)
    failure(mine)
    assert kept(store, mine).failure.code == "AADSTS7000222"
    get(mine)
    assert kept(store, mine).failure is None


def test_each_sign_in_is_told_to_whoever_counts(requests_mock, cache):
    service = FakeService(requests_mock)
    service.answers(issued_to_ann(), refusal("invalid_client", "no", 401))
    events: list[SignInEvent] = []
    for mode in ("refresh token, public client", "client secret"):
        mine = credential(mode, service, cache, on_event=events.append)
        try:
            get(mine)
        except AuthenticationError:
            continue
    assert [(event.mode, event.authority, event.outcome, event.rotated) for event in events] == [
        ("refresh token", "entra", "success", True),
        ("client secret", "entra", "permanent", False),
    ]


def test_the_answer_says_who_signed_in_and_where(requests_mock):
    service = FakeService(requests_mock)
    service.answers(issued_to_ann())
    signed = sign_in_refresh(service.sign_in(mode="refresh token"), "refresh-1")
    assert (signed.user, signed.tenant_id, signed.refresh_token) == (ANN, TENANT, "refresh-2")
    assert "refresh-2" not in repr(signed)
    assert "access-1" not in repr(signed)


@pytest.mark.parametrize("odd", [{"expires_in": "soon"}, {"expires_in": []}, {"refresh_in": "NaN"}], ids=repr)
def test_a_successor_counts_whatever_the_token_beside_it_says_of_its_life(requests_mock, odd):
    service = FakeService(requests_mock)
    service.answers({"json": {**issued(refresh_token="refresh-2")["json"], **odd}})
    signed = sign_in_refresh(service.sign_in(mode="refresh token"), "refresh-1", now=lambda: 1000.0)
    assert signed.refresh_token == "refresh-2"
    assert signed.token.expires_at == pytest.approx(4600, abs=1)
    assert signed.token.refresh_at is None


def test_a_service_that_repeats_what_it_was_sent_shows_nothing(requests_mock):
    service = FakeService(requests_mock, "oidc")
    text = f"The secret {SECRET} does not fit the token refresh-1."
    service.answers(refusal("invalid_client", text, status=401))
    with pytest.raises(AuthenticationError, match=r"The secret \*\*\* does not fit") as caught:
        sign_in_refresh(service.sign_in(mode="refresh token", proof=Secret(SECRET)), "refresh-1")
    error = caught.value
    assert not [
        shown for shown in (SECRET, "refresh-1") for told in (str(error), error.message) if shown in told
    ]


@pytest.mark.parametrize("id_token", ["x", "a.b.c", 7, unsigned({"sub": None})], ids=repr)
def test_a_successor_counts_whatever_stands_beside_it(requests_mock, id_token):
    """The token that was spent on it does not come back."""
    service = FakeService(requests_mock)
    service.answers(issued(id_token=id_token, refresh_token="refresh-2"))
    signed = sign_in_refresh(service.sign_in(mode="refresh token"), "refresh-1")
    assert (signed.refresh_token, signed.user) == ("refresh-2", "")


@pytest.mark.parametrize("name", ["preferred_username", "upn", "unique_name"])
def test_a_person_goes_by_the_name_the_service_uses(requests_mock, name):
    service = FakeService(requests_mock, "adfs")
    claims: dict[str, Any] = {"preferred_username": None, name: "CONTOSO\\ann"}
    service.answers(issued_to_ann(**claims))
    assert sign_in_refresh(service.sign_in(mode="refresh token"), "refresh-1").user == "CONTOSO\\ann"


def test_an_app_has_no_name(requests_mock):
    service = FakeService(requests_mock)
    signed = sign_in_app(service.sign_in(proof=Secret(SECRET), mode="client secret"))
    assert (signed.user, signed.refresh_token) == ("", None)


def test_a_federated_user_is_not_signed_in_elsewhere(requests_mock, cache):
    """MSAL alone would send the password to the address that the user's realm names."""
    service = FakeService(requests_mock)
    requests_mock.get(
        f"https://login.microsoftonline.com/common/userrealm/{ANN}",
        json={
            "account_type": "Federated",
            "federation_active_auth_url": "https://sts.contoso.com/trust/13",
        },
    )
    error = failure(credential("password, public client", service, cache))
    assert "signs in at the company's own federation service" in str(error)
    assert not service.asked
    assert {request.hostname for request in requests_mock.request_history} == {"login.microsoftonline.com"}


def test_a_service_that_knows_no_realms_is_asked_for_the_token(requests_mock, cache):
    service = FakeService(requests_mock)
    requests_mock.get(f"https://login.microsoftonline.com/common/userrealm/{ANN}", status_code=404)
    assert get(credential("password, public client", service, cache)) == "access-1"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(issued(expires_in="soon"), id="a life that is no number"),
        pytest.param(issued(expires_in=None), id="no life"),
        pytest.param(issued(id_token="x"), id="an ID token that is none"),
        pytest.param(issued(id_token=7), id="an ID token that is a number"),
        pytest.param(issued(id_token="a.e30.c", client_info="%%%"), id="client info that is damaged"),
        pytest.param(issued(token_type=None, scope=4), id="a scope that is a number"),
        pytest.param({"json": {"access_token": None}}, id="a token that is null"),
        pytest.param({"json": {"access_token": ["x"]}}, id="a token that is a list"),
        pytest.param(
            {"json": {"error": {"code": "odd"}}, "status_code": 400}, id="an error that is an object"
        ),
        pytest.param({"json": {}, "status_code": 400}, id="a refusal without a word"),
        pytest.param({"text": "", "status_code": 403}, id="a refusal without a body"),
        pytest.param({"json": {"refresh_in": "x", **issued()["json"]}}, id="a renewal that is no number"),
    ],
)
@pytest.mark.parametrize(
    ("mode", "kind"),
    [(mode, kind) for mode in GRANTS for kind in KINDS if (mode, kind) not in ABSENT],
)
def test_no_answer_surfaces_as_a_bare_error(requests_mock, cache, answer, mode, kind):
    service = FakeService(requests_mock, kind)
    service.answers(answer)
    try:
        token = credential(mode, service, cache).get_token(ENVIRONMENT, network=Network())
    except AuthenticationError as error:
        assert "What to do: " in str(error)  # noqa: PT017 - both ends are fine
    else:
        assert token.secret == "access-1"


def test_another_authority_is_another_identity(requests_mock, cache):
    service = FakeService(requests_mock)
    requests_mock.get("https://login.contoso.com/x/v2.0/.well-known/openid-configuration", status_code=404)
    mine = ClientSecret(TENANT, CLIENT, SECRET, cache=cache)
    get(mine)
    other = replace(mine, authority=Authority(url="https://login.contoso.com"), tenant_id="x")
    assert "has no configuration for" in str(failure(other))
    assert mine.identity != other.identity
    assert len(service.asked) == 1
