"""The socket: starts, stops, starts again, leaves nothing behind."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
import requests

from airflow_provider_dynamics.emulator import Emulator


def ask(emulator, session=requests):
    return session.get(f"{emulator.url}/_emulator/faults", verify=emulator.ca_bundle, timeout=20)


def port_of(emulator):
    return int(emulator.url.rpartition(":")[2])


def test_an_emulator_that_is_not_running_says_so():
    with pytest.raises(RuntimeError, match="not running"):
        _ = Emulator(seed=None).url


def test_stopping_frees_the_port_the_threads_and_the_certificates():
    before = set(threading.enumerate())
    with Emulator(seed=None) as emulator:
        port, ca = port_of(emulator), emulator.ca_bundle
        assert ask(emulator).status_code == 200
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert not Path(ca).exists()
    assert not set(threading.enumerate()) - before


def test_stopping_does_not_wait_for_an_idle_client():
    emulator = Emulator(seed=None).start()
    with requests.Session() as session:
        ask(emulator, session)
        stopper = threading.Thread(target=emulator.stop)
        stopper.start()
        stopper.join(5)
        assert not stopper.is_alive()


def test_stopping_ends_a_request_that_is_still_running(caplog):
    emulator = Emulator(seed=None).start()
    emulator.fault("slow", seconds=30)
    headers = {"Authorization": f"Bearer {emulator.access_token()}"}
    url, trusted = f"{emulator.url}/api/data/v9.2/WhoAmI", emulator.ca_bundle
    failures = []

    def ask_slowly():
        try:
            requests.get(url, headers=headers, verify=trusted, timeout=20)
        except requests.ConnectionError as error:
            failures.append(error)

    client = threading.Thread(target=ask_slowly)
    client.start()
    while not emulator._faults.all()[0].hits:
        client.join(0.01)
    emulator.stop()
    client.join(10)
    assert len(failures) == 1
    assert caplog.text == ""


def test_the_same_emulator_starts_again_on_the_same_port():
    with Emulator(seed=None) as first:
        port = port_of(first)
    again = Emulator(seed=None, port=port)
    for _ in range(2):
        with again:
            assert port_of(again) == port
            assert ask(again).status_code == 200


def test_a_port_in_use_is_an_error_of_start_and_leaves_nothing_running():
    with Emulator(seed=None) as emulator:
        second = Emulator(seed=None, port=port_of(emulator))
        with pytest.raises(OSError, match="in use"):
            second.start()
        with pytest.raises(RuntimeError, match="not running"):
            _ = second.url


def test_certificates_in_a_folder_of_ones_own_stay_there(tmp_path):
    with Emulator(seed=None, cert_dir=tmp_path) as emulator:
        first = emulator.ca_bundle
        content = (tmp_path / "ca.pem").read_bytes()
    with Emulator(seed=None, cert_dir=tmp_path) as emulator:
        assert emulator.ca_bundle == first == str(tmp_path / "ca.pem")
    assert (tmp_path / "ca.pem").read_bytes() == content


def test_a_client_that_does_not_trust_the_authority_is_not_let_down_quietly(emulator):
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", port_of(emulator)), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_strict_certificate_checks_pass(emulator):
    context = ssl.create_default_context(cafile=emulator.ca_bundle)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", port_of(emulator)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.version() in ("TLSv1.2", "TLSv1.3")


def test_one_connection_carries_many_requests(emulator, wire):
    wire.who_am_i()
    adapter = wire.session.get_adapter(emulator.url)
    for _ in range(5):
        wire.who_am_i()
    pool = adapter.poolmanager.connection_from_url(
        emulator.url,
        pool_kwargs=adapter.build_connection_pool_key_attributes(
            requests.Request("GET", emulator.url).prepare(), emulator.ca_bundle, None
        )[1],
    )
    assert pool.num_connections == 1


def test_many_threads_are_served_at_once(emulator):
    emulator.fault("slow", seconds=0.3)
    answers = []

    def one():
        headers = {"Authorization": f"Bearer {emulator.access_token()}"}
        url = f"{emulator.url}/api/data/v9.2/WhoAmI"
        answers.append(requests.get(url, headers=headers, verify=emulator.ca_bundle, timeout=20).elapsed)

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(answers) == 20
    assert max(answers).total_seconds() < 3
