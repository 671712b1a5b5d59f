"""How an app proves who it is: every shape of key and certificate, and one sentence for each that cannot be used."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from airflow_provider_dynamics.auth.proofs import Assertion, Certificate, ProofError, Secret
from tests.auth.keys import NOW, PASSPHRASE, elliptic_key, pair, rsa_key

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


def one_line(pem: str) -> str:
    return pem.replace("\n", "")


def written_out(pem: str) -> str:
    return pem.replace("\n", "\\n")


def spaced(pem: str) -> str:
    return pem.replace("\n", " ")


def in_base64(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()


def same(pem: str) -> str:
    return pem


def in_windows_lines(pem: str) -> str:
    return pem.replace("\n", "\r\n")


SHAPES = pytest.mark.parametrize(
    "shape",
    [same, one_line, written_out, spaced, in_windows_lines, in_base64],
    ids=lambda shape: shape.__name__,
)


def credential(certificate: Certificate, now=NOW):
    return certificate.for_msal(now.timestamp())


def complaint(proof, now=NOW) -> str:
    with pytest.raises(ProofError) as caught:
        proof.for_msal(now.timestamp())
    text = str(caught.value)
    assert "PRIVATE" not in text
    assert PASSPHRASE not in text
    assert "\n" not in text
    assert caught.value.__cause__ is None
    return text


def signs_for(found, mine) -> bool:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(found["private_key"].encode(), None)
    return bool(
        key.public_key() == mine.key.public_key() and mine.certificate_pem == found["public_certificate"]
    )


@SHAPES
def test_a_key_and_a_certificate_are_read_as(shape):
    mine = pair()
    found = credential(Certificate(shape(mine.key_pem()), certificate=shape(mine.certificate_pem)))
    assert signs_for(found, mine)
    assert "thumbprint" not in found


@SHAPES
@pytest.mark.parametrize("old", [False, True], ids=["PKCS 8", "OpenSSL's older form"])
def test_an_encrypted_key_is_opened_with_its_passphrase(shape, old):
    mine = pair()
    found = credential(
        Certificate(shape(mine.key_pem(PASSPHRASE, old=old)), PASSPHRASE, mine.certificate_pem)
    )
    assert signs_for(found, mine)


@SHAPES
def test_one_text_may_hold_both(shape):
    mine = pair()
    assert signs_for(credential(Certificate(shape(mine.certificate_pem + mine.key_pem()))), mine)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["without a passphrase", "with a passphrase"])
def test_a_pfx_in_base64_holds_both(passphrase):
    mine = pair()
    assert signs_for(credential(Certificate(mine.pfx_text(passphrase), passphrase)), mine)


def test_files_are_read_by_their_paths(tmp_path):
    mine = pair()
    for name, content in {
        "app.key": mine.key_pem().encode(),
        "app.der": mine.key_der(),
        "app.cer": base64.b64decode("".join(mine.certificate_pem.splitlines()[1:-1])),
        "app.pfx": mine.pfx(PASSPHRASE),
    }.items():
        (tmp_path / name).write_bytes(content)
    at = tmp_path.as_posix()
    assert signs_for(credential(Certificate(f"{at}/app.key", certificate=f"{at}/app.cer")), mine)
    assert signs_for(credential(Certificate(f"{at}/app.der", certificate=mine.certificate_pem)), mine)
    assert signs_for(credential(Certificate(f"{at}/app.pfx", PASSPHRASE)), mine)


def test_a_renewed_file_is_seen_at_the_next_sign_in(tmp_path):
    path = tmp_path / "app.pem"
    proof = Certificate(path.as_posix())
    for key in (rsa_key(), rsa_key("next")):
        mine = pair(key=key)
        path.write_text(mine.key_pem() + mine.certificate_pem)
        assert signs_for(credential(proof), mine)


def test_a_passphrase_nobody_asked_for_does_no_harm():
    mine = pair()
    assert signs_for(credential(Certificate(mine.key_pem(), PASSPHRASE, mine.certificate_pem)), mine)


@pytest.mark.parametrize("as_pfx", [True, False], ids=["in a PFX", "in PEM"])
def test_the_chain_is_sent_where_it_is_asked_for(as_pfx):
    mine = pair(signed_by="Contoso CA")
    everything = mine.chain_pem + mine.certificate_pem  # in an order of its own
    text, beside = (mine.pfx_text(), None) if as_pfx else (mine.key_pem(), everything)
    found = credential(Certificate(text, certificate=beside, send_x5c=True))
    assert found["public_certificate"] == mine.certificate_pem + mine.chain_pem
    assert found["thumbprint"] == Certificate(text, certificate=beside).thumbprint
    assert "thumbprint" not in credential(Certificate(text, certificate=beside))


def test_a_certificate_says_when_it_ends_and_what_the_portal_calls_it():
    proof = Certificate(pair().pfx_text())
    assert proof.not_after == NOW + timedelta(days=90)
    assert len(proof.thumbprint) == 40
    assert proof.thumbprint == proof.thumbprint.upper()


KEY = pair().key_pem()
CERTIFICATE = pair().certificate_pem


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        pytest.param(
            Certificate(pair().key_pem(PASSPHRASE), None, CERTIFICATE),
            "Private key is encrypted and Private key passphrase is empty. Fill in Private key passphrase.",
            id="an encrypted key without its passphrase",
        ),
        pytest.param(
            Certificate(pair().key_pem(PASSPHRASE, old=True), None, CERTIFICATE),
            "Private key is encrypted and Private key passphrase is empty.",
            id="an old encrypted key without its passphrase",
        ),
        pytest.param(
            Certificate(pair().key_pem(PASSPHRASE), "wrong", CERTIFICATE),
            "Private key passphrase does not open Private key.",
            id="an encrypted key and a wrong passphrase",
        ),
        pytest.param(
            Certificate(pair().key_pem(PASSPHRASE, old=True), "wrong", CERTIFICATE),
            "Private key passphrase does not open Private key.",
            id="an old encrypted key and a wrong passphrase",
        ),
        pytest.param(
            Certificate(pair().pfx_text(PASSPHRASE)),
            "Private key is encrypted and Private key passphrase is empty.",
            id="a PFX without its passphrase",
        ),
        pytest.param(
            Certificate(pair().pfx_text(PASSPHRASE), "wrong"),
            "Private key passphrase does not open Private key.",
            id="a PFX and a wrong passphrase",
        ),
        pytest.param(
            Certificate(KEY),
            "Certificate is missing: Private key holds a key but not the certificate that belongs to it.",
            id="a key alone",
        ),
        pytest.param(
            Certificate(CERTIFICATE),
            "Private key holds a certificate but no private key.",
            id="a certificate alone",
        ),
        pytest.param(
            Certificate(pair(key=rsa_key("other")).key_pem(), None, CERTIFICATE),
            "Private key and Certificate do not belong together",
            id="a key and the certificate of another",
        ),
        pytest.param(
            Certificate(pair(key=elliptic_key()).pfx_text()),
            "Private key is not an RSA key",
            id="an elliptic key",
        ),
        pytest.param(
            Certificate(KEY[: len(KEY) // 2] + "\n-----END PRIVATE KEY-----\n", None, CERTIFICATE),
            "Private key cannot be read: it is neither PEM nor a PFX in base64 nor a path.",
            id="half a key",
        ),
        pytest.param(
            Certificate(KEY.replace("-----END PRIVATE KEY-----", ""), None, CERTIFICATE),
            "Private key cannot be read",
            id="a key without its last line",
        ),
        pytest.param(Certificate("a password?", None, CERTIFICATE), "Private key cannot be read", id="words"),
        pytest.param(
            Certificate("QUJD" * 9, None, CERTIFICATE), "Private key cannot be read", id="any base64"
        ),
        pytest.param(
            Certificate(KEY, None, CERTIFICATE.replace("M", "N")),
            "Certificate cannot be read",
            id="a damaged certificate",
        ),
        pytest.param(
            Certificate("/no/such/app.pem"),
            "Private key names the file '/no/such/app.pem', which cannot be read on this machine.",
            id="a path that leads nowhere",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(proof, words):
    assert words in complaint(proof)


def test_a_certificate_that_has_expired_says_when():
    ended = pair(ends=NOW - timedelta(days=1))
    text = complaint(Certificate(ended.pfx_text()))
    assert " expired on 2027-01-14. Create a new certificate" in text


def test_a_certificate_that_has_not_begun_says_when():
    text = complaint(Certificate(pair(begins=NOW + timedelta(hours=1)).pfx_text()))
    assert (
        " is not valid before 2027-01-15 09:00 UTC. Wait until then, or correct this machine's clock." in text
    )


def test_no_key_shows_in_a_proofs_text():
    shown = repr([Secret("s3cret"), Certificate("K3Y", "p4ss"), Assertion(lambda: "t0ken"), pair()])
    assert not any(secret in shown for secret in ("s3cret", "K3Y", "p4ss", "t0ken"))


def test_a_federated_token_is_read_again_at_each_use(tmp_path):
    path = tmp_path / "token"
    proof = Assertion(path.as_posix())
    for token in (JWT, JWT.replace("c2ln", "bmV3")):
        path.write_text(f"{token}\n")
        assert proof.for_msal(0)["client_assertion"]() == token


def test_a_federated_token_may_come_from_a_function():
    tokens = iter([JWT, JWT.replace("c2ln", "bmV3")])
    proof = Assertion(lambda: next(tokens))
    assert proof.for_msal(0)["client_assertion"]() != proof.for_msal(0)["client_assertion"]()


def fails() -> str:
    raise RuntimeError(f"no token, only {JWT}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "cannot be read on this machine. Correct Federated token file", id="missing"),
        pytest.param("\n", "is empty. Check what writes the file", id="empty"),
        pytest.param(
            "not a token", "holds no token (a JWT). Correct Federated token file.", id="something else"
        ),
    ],
)
def test_a_federated_token_file_that_is_useless_is_told(tmp_path, content, words):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    text = complaint(Assertion(path.as_posix()))
    assert f"Federated token file '{path}'" in text
    assert words in text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param("", "the variable AZURE_FEDERATED_TOKEN_FILE is not set on this machine", id="nothing"),
        pytest.param(
            lambda: "", "The assertion function returned no text.", id="a function without a result"
        ),
        pytest.param(
            lambda: "x", "The assertion function's result holds no token", id="a function with another"
        ),
    ],
)
def test_an_assertion_that_is_none_is_told(source, words):
    assert words in complaint(Assertion(source))


def test_a_function_that_fails_is_told_without_what_it_said():
    with pytest.raises(ProofError, match="The assertion function failed with RuntimeError") as caught:
        Assertion(fails).for_msal(0)
    assert JWT not in str(caught.value)
