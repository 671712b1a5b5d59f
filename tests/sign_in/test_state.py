"""What travels through the browser: worth something only whole, in time, and to whom it was given."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from airflow_provider_dynamics.sign_in.state import Notice, Refused, Seal

FERNET = Fernet(Fernet.generate_key())


@pytest.fixture
def seal() -> Seal:
    return Seal("key", lambda: FERNET, lambda: 1_000.0)


def other(key: str = "key", at: float = 1_000.0) -> Seal:
    return Seal(key, lambda: FERNET, lambda: at)


def test_two_sign_ins_never_share_a_nonce(seal: Seal):
    assert seal.begin("a", "ann")[1] != seal.begin("a", "ann")[1]


def test_a_state_is_read_by_every_server_with_the_same_key(seal: Seal):
    state, nonce = seal.begin("a/b c", "ann")

    pending = other().pending(state, "ann")

    assert (pending.conn_id, pending.nonce, pending.issued) == ("a/b c", nonce, 1_000.0)


@pytest.mark.parametrize(
    ("reader", "person", "words"),
    [
        pytest.param(other("another key"), "ann", "does not belong", id="another key"),
        pytest.param(other(at=1_601.0), "ann", "10 minutes", id="too late"),
        pytest.param(other(), "bob", "somebody else", id="another person"),
    ],
)
def test_a_state_is_refused(seal: Seal, reader: Seal, person: str, words: str):
    state, _ = seal.begin("a", "ann")

    with pytest.raises(Refused, match=words):
        reader.pending(state, person)


def test_what_is_kept_cannot_be_read_and_comes_back_whole(seal: Seal):
    kept = {"code_verifier": "verifier", "scope": ["a", "b"]}

    cookie = seal.lock("nonce", kept)

    assert "verifier" not in cookie
    assert other().unlock(cookie, "nonce") == kept


@pytest.mark.parametrize(
    ("cookie", "nonce"),
    [
        pytest.param(None, "nonce", id="no cookie"),
        pytest.param("junk", "nonce", id="not a cookie of ours"),
        pytest.param(
            FERNET.encrypt(b'"a connection\'s secret"').decode(), "nonce", id="something else encrypted"
        ),
        pytest.param(
            FERNET.encrypt(b'{"what": "sign-in", "nonce": "nonce", "kept": {}}').decode(),
            "",
            id="an empty nonce",
        ),
        pytest.param(
            FERNET.encrypt(b'{"what": "another", "nonce": "nonce", "kept": {}}').decode(),
            "nonce",
            id="encrypted for another purpose",
        ),
    ],
)
def test_a_cookie_is_refused(seal: Seal, cookie: str | None, nonce: str):
    with pytest.raises(Refused, match="press Sign in again"):
        seal.unlock(cookie, nonce)


def test_a_sign_in_as_long_as_they_get_fits_into_a_cookie(seal: Seal):
    state, nonce = seal.begin("connection" * 25, "person" * 20)
    kept = {
        "state": state,
        "redirect_uri": "https://airflow.contoso.com/a/rather/long/base/path/dynamics/callback",
        "scope": ["https://contoso.crm4.dynamics.com/.default", "offline_access", "openid", "profile"],
        "code_verifier": "v" * 43,
        "nonce": "n" * 20,
        "claims_challenge": None,
        "tenant_id": "contoso.onmicrosoft.com",
    }

    begun_with = [
        "https://login.microsoftonline.com",
        "t" * 36,
        "c" * 36,
        "https://contoso.crm4.dynamics.com",
    ]

    assert len(seal.lock(nonce, {"flow": kept, "begun_with": begun_with})) < 3_900


def test_a_notice_that_this_page_did_not_write_is_not_shown(seal: Seal):
    notice = Notice("a", "ok", "text")

    assert seal.read_notice(seal.notice(notice, "ann"), "ann") == notice
    assert seal.read_notice(seal.notice(notice, "ann"), "bob") is None
    assert seal.read_notice(other("another key").notice(notice, "ann"), "ann") is None
    assert seal.read_notice(None, "ann") is None
