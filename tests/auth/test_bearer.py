"""The token on requests: to one host, renewed once when refused."""

from __future__ import annotations

import base64
import io

import pytest
import requests

from airflow_provider_dynamics.auth import AccessToken, AuthenticationError, BearerAuth, Network, StaticToken

ENVIRONMENT = "https://contoso.crm4.dynamics.com"
URL = f"{ENVIRONMENT}/api/data/v9.2/accounts"


class Tokens:
    """A credential that gives token-1, and the next number for each one that was refused."""

    def __init__(self):
        self.given = 1
        self.claims = []

    def get_token(self, environment, *, network, rejected=None, claims=None):
        if rejected is not None:
            self.given += 1
            self.claims.append(claims)
        return AccessToken(f"token-{self.given}", 1e12)


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def session(tokens, seen):
    with requests.Session() as session:
        session.auth = BearerAuth(tokens, ENVIRONMENT, Network(), on_token=seen.append)
        yield session


def sent(requests_mock):
    return [request.headers.get("Authorization") for request in requests_mock.request_history]


def test_a_request_to_the_environment_carries_the_token(session, requests_mock):
    requests_mock.get(URL)
    session.get(URL)
    assert sent(requests_mock) == ["Bearer token-1"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api",
        "http://contoso.crm4.dynamics.com/api",
        "https://contoso.crm4.dynamics.com:8443/api",
        "https://contoso.crm4.dynamics.com.evil.example/api",
        "https://contoso.crm4.dynamics.com@evil.example/api",
    ],
)
def test_a_request_to_anything_else_carries_none(session, requests_mock, seen, url):
    requests_mock.get(url)
    session.get(url)
    assert "token-1" not in str(sent(requests_mock))
    assert not seen


@pytest.mark.parametrize(
    "environment", [r"https://evil.example\.contoso.com", "https://contoso.com@evil.example"]
)
def test_an_environment_that_programs_read_differently_gets_none(tokens, seen, environment):
    """What connects takes the first one for evil.example."""
    request = requests.PreparedRequest()
    request.prepare(method="GET", url=ENVIRONMENT)
    request.url = f"{environment}/api"

    BearerAuth(tokens, environment, Network(), on_token=seen.append)(request)

    assert "Authorization" not in request.headers
    assert not seen


def test_the_default_port_and_letter_case_are_the_same_host(session, requests_mock):
    requests_mock.get(requests_mock_any := "https://contoso.crm4.dynamics.com:443/api")
    session.get(requests_mock_any)
    assert sent(requests_mock) == ["Bearer token-1"]


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_a_refused_request_is_repeated_once_with_a_new_token(session, requests_mock, method):
    requests_mock.register_uri(method, URL, [{"status_code": 401}, {"status_code": 204}])
    response = session.request(method, URL, data=b"body")
    assert response.status_code == 204
    assert sent(requests_mock) == ["Bearer token-1", "Bearer token-2"]
    assert [request.body for request in requests_mock.request_history] == [b"body", b"body"]
    assert [past.status_code for past in response.history] == [401]


def test_a_request_refused_twice_is_not_repeated_again(session, requests_mock):
    requests_mock.get(URL, status_code=401)
    assert session.get(URL).status_code == 401
    assert len(sent(requests_mock)) == 2


def test_each_request_may_be_repeated_once(session, requests_mock):
    requests_mock.get(
        URL, [{"status_code": 401}, {"status_code": 200}, {"status_code": 401}, {"status_code": 200}]
    )
    assert session.get(URL).status_code == 200
    assert session.get(URL).status_code == 200
    assert sent(requests_mock) == ["Bearer token-1", "Bearer token-2", "Bearer token-2", "Bearer token-3"]


def test_a_token_that_cannot_be_renewed_is_not_sent_again(requests_mock):
    requests_mock.get(URL, status_code=401)
    assert (
        requests.get(
            URL, auth=BearerAuth(StaticToken("given"), ENVIRONMENT, Network()), timeout=1
        ).status_code
        == 401
    )
    assert sent(requests_mock) == ["Bearer given"]


def test_a_401_of_another_host_renews_nothing(session, tokens, requests_mock):
    requests_mock.get("https://evil.example/", status_code=401)
    session.get("https://evil.example/")
    assert tokens.given == 1


def test_a_redirect_to_another_host_does_not_take_the_token_along(session, requests_mock):
    requests_mock.get(URL, status_code=302, headers={"Location": "https://evil.example/"})
    requests_mock.get("https://evil.example/", status_code=401)
    session.get(URL)
    assert sent(requests_mock) == ["Bearer token-1", None]


def test_a_body_that_is_a_file_is_sent_again_from_its_start(session, requests_mock):
    bodies = []

    def answer(request, context):
        bodies.append(request.body.read())
        context.status_code = 401 if len(bodies) == 1 else 204

    requests_mock.put(URL, text=answer)
    assert session.put(URL, data=io.BytesIO(b"file")).status_code == 204
    assert bodies == [b"file", b"file"]


def test_a_body_that_cannot_be_read_twice_is_not_sent_again(session, requests_mock):
    requests_mock.put(URL, status_code=401)
    assert session.put(URL, data=(part for part in [b"a", b"b"])).status_code == 401
    assert len(sent(requests_mock)) == 1


def test_every_new_token_is_told_before_it_is_used_and_once(session, seen, requests_mock):
    told = []

    def answer(_, context):
        told.append(list(seen))
        context.status_code = 401 if len(told) == 2 else 200

    requests_mock.get(URL, text=answer)
    session.get(URL)
    session.get(URL)
    assert told == [["token-1"], ["token-1"], ["token-1", "token-2"]]


def test_a_failed_renewal_is_raised_in_place_of_the_401(requests_mock):
    class Refused(Tokens):
        def get_token(self, environment, *, network, rejected=None, claims=None):
            if rejected:
                raise AuthenticationError("The client secret has expired")
            return super().get_token(environment, network=network)

    requests_mock.get(URL, status_code=401)
    with pytest.raises(AuthenticationError, match="has expired"):
        requests.get(URL, auth=BearerAuth(Refused(), ENVIRONMENT, Network()), timeout=1)


CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1800000000"}}}'


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        pytest.param(
            f'Bearer error="insufficient_claims", claims="{base64.b64encode(CLAIMS.encode()).decode()}"',
            CLAIMS,
            id="base64",
        ),
        pytest.param(
            'Bearer error="insufficient_claims", claims="'
            f'{base64.urlsafe_b64encode(CLAIMS.encode()).decode().rstrip("=")}"',
            CLAIMS,
            id="base64 for URLs without padding",
        ),
        pytest.param('Bearer error="insufficient_claims", claims="A"', None, id="not base64"),
        pytest.param(
            "Bearer authorization_uri=https://login.microsoftonline.com/t/oauth2/authorize",
            None,
            id="no claims",
        ),
    ],
)
def test_a_claims_challenge_reaches_the_credential(session, tokens, requests_mock, header, claims):
    requests_mock.get(
        URL, [{"status_code": 401, "headers": {"WWW-Authenticate": header}}, {"status_code": 200}]
    )
    session.get(URL)
    assert tokens.claims == [claims]
