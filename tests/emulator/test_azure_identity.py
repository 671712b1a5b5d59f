"""Microsoft's other library, azure-identity, which puts MSAL behind its own pipeline."""

from __future__ import annotations

import base64

import pytest

identity = pytest.importorskip("azure.identity", reason="azure-identity is not installed")
core = pytest.importorskip("azure.core.exceptions")
transports = pytest.importorskip("azure.core.pipeline.transport")


@pytest.fixture
def options(emulator):
    """What every credential takes to reach the emulator instead of the cloud."""
    transport = transports.RequestsTransport(connection_verify=emulator.ca_bundle, use_env_settings=False)
    yield {
        "authority": emulator.url,
        "disable_instance_discovery": True,
        "transport": transport,
        "retry_total": 0,
    }
    transport.close()


def works(emulator, wire, credential):
    with credential:
        wire.token = credential.get_token(f"{emulator.url}/.default").token
    return wire.who_am_i().status_code == 200


def test_a_secret(emulator, wire, options):
    credential = identity.ClientSecretCredential(
        emulator.tenant_id, emulator.client_id, emulator.client_secret, **options
    )
    assert works(emulator, wire, credential)


@pytest.mark.parametrize("chain", [False, True], ids=["by thumbprint", "with the chain"])
def test_a_certificate(emulator, wire, options, chain):
    material = base64.b64decode(emulator.pfx("open sesame"))
    credential = identity.CertificateCredential(
        emulator.tenant_id,
        emulator.client_id,
        certificate_data=material,
        password="open sesame",
        send_certificate_chain=chain,
        **options,
    )
    assert works(emulator, wire, credential)


def test_another_issuer_s_token(emulator, wire, options):
    credential = identity.ClientAssertionCredential(
        emulator.tenant_id, emulator.client_id, emulator.federated_token, **options
    )
    assert works(emulator, wire, credential)


def test_a_refusal_is_told_in_entra_s_words(emulator, options):
    credential = identity.ClientSecretCredential(emulator.tenant_id, emulator.client_id, "wrong", **options)
    with (
        credential,
        pytest.raises(core.ClientAuthenticationError, match="AADSTS7000215: Invalid client secret"),
    ):
        credential.get_token(f"{emulator.url}/.default")


@pytest.mark.parametrize("kind", ["imds", "app_service"])
def test_a_managed_identity(emulator, wire, options, monkeypatch, kind):
    for name, value in emulator.managed_identity_environment(kind).items():
        monkeypatch.setenv(name, value)
    credential = identity.ManagedIdentityCredential(
        client_id=emulator.managed_identity_client_id, transport=options["transport"], retry_total=0
    )
    assert works(emulator, wire, credential)
