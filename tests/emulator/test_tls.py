"""Certificates: made once, kept while good, made again when they are not."""

from __future__ import annotations

import datetime
import ipaddress
import stat

import pytest
from cryptography import x509

from airflow_provider_dynamics.emulator.wire.tls import LIFETIME, certificates

NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc)


def read(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_server_certificate_is_signed_by_the_authority_and_names_this_machine(tmp_path):
    files = certificates(tmp_path, NOW)
    server = read(files.server)
    server.verify_directly_issued_by(read(files.ca))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_the_private_key_of_the_authority_is_not_kept(tmp_path):
    files = certificates(tmp_path, NOW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "server-key.pem", "server.pem"]
    assert b"PRIVATE" not in files.ca.read_bytes()


def test_only_the_owner_may_read_the_server_key(tmp_path):
    assert stat.S_IMODE(certificates(tmp_path, NOW).server_key.stat().st_mode) == 0o600


def test_good_certificates_are_used_again(tmp_path):
    first = certificates(tmp_path, NOW).ca.read_bytes()
    assert certificates(tmp_path, NOW + datetime.timedelta(days=30)).ca.read_bytes() == first


def test_certificates_about_to_expire_are_made_anew(tmp_path):
    first = certificates(tmp_path, NOW).ca.read_bytes()
    assert certificates(tmp_path, NOW + LIFETIME).ca.read_bytes() != first


@pytest.mark.parametrize("damaged", ["ca.pem", "server.pem", "server-key.pem"])
def test_a_damaged_file_makes_all_of_them_anew(tmp_path, damaged):
    first = certificates(tmp_path, NOW).ca.read_bytes()
    (tmp_path / damaged).write_text("not a certificate")
    files = certificates(tmp_path, NOW)
    assert files.ca.read_bytes() != first
    read(files.server).verify_directly_issued_by(read(files.ca))
