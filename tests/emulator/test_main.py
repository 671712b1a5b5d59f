"""`python -m airflow_provider_dynamics.emulator`: as its own process where it serves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from airflow_provider_dynamics.emulator.__main__ import main

READY = re.compile(
    r"^ready (?P<url>https://127\.0\.0\.1:\d+) ca=(?P<ca>\S+) tenant=(?P<tenant>[0-9a-f-]{36}) "
    r"client_id=(?P<client_id>[0-9a-f-]{36}) client_secret=(?P<client_secret>\S+)"
    r"(?: discovery=(?P<discovery>\S+))?$"
)


@pytest.fixture
def command(tmp_path):
    running = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "airflow_provider_dynamics.emulator", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run(capsys):
    """Run the command here: what ends before it serves needs no process of its own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def to_the_end(*arguments):
        try:
            status: object = main(arguments)
        except SystemExit as ended:
            status = ended.code
        return status, *capsys.readouterr()

    yield to_the_end
    for number, handler in handlers.items():
        signal.signal(number, handler)


def token(ready):
    form = {
        "grant_type": "client_credentials",
        "client_id": ready["client_id"],
        "client_secret": ready["client_secret"],
        "scope": f"{ready['url']}/.default",
    }
    url = f"{ready['url']}/{ready['tenant']}/oauth2/v2.0/token"
    return requests.post(url, data=form, verify=ready["ca"], timeout=20).json()["access_token"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_says_one_line_serves_and_stops_cleanly_on_a_signal(command, tmp_path, number):
    process = command("--port", "0", "--seed", "sample", "--rows", "account=60")
    ready = READY.match(process.stdout.readline())
    assert ready
    headers = {"Authorization": f"Bearer {token(ready)}"}
    url = f"{ready['url']}/api/data/v9.2/accounts/$count"
    count = requests.get(url, headers=headers, verify=ready["ca"], timeout=20)
    assert int(count.content.decode("utf-8-sig")) >= 60
    process.send_signal(number)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_latency_parallelism_and_dates_are_as_asked_for(command):
    grown = ("--seed", "none", "--rows", "account=40", "--created", "skewed")
    process = command("--port", "0", *grown, "--latency", "0.2", "--dop-hint", "8")
    ready = READY.match(process.stdout.readline())
    assert ready
    headers = {"Authorization": f"Bearer {token(ready)}"}
    url = f"{ready['url']}/api/data/v9.2/accounts?$select=createdon"
    answer = requests.get(url, headers=headers, verify=ready["ca"], timeout=20)
    assert answer.elapsed.total_seconds() >= 0.2
    assert answer.headers["x-ms-dop-hint"] == "8"
    days = [row["createdon"][:10] for row in answer.json()["value"]]
    assert max(map(days.count, days)) == 32


def test_more_environments_are_served_and_the_line_says_who_lists_them(command):
    process = command("--port", "0", "--seed", "none", "--environment", "fabrikam")
    ready = READY.match(process.stdout.readline())
    assert ready
    told = requests.get(f"{ready['url']}/_emulator/environments", verify=ready["ca"], timeout=20).json()
    assert told["discovery_url"] == ready["discovery"]
    other = f"{told['environments']['fabrikam']}/api/data/v9.2/WhoAmI"
    assert requests.get(other, verify=ready["ca"], timeout=20).status_code == 401
    process.terminate()
    assert process.communicate(timeout=20) == ("", "")


def test_certificates_stay_in_the_folder_that_is_named(command, tmp_path):
    folder = tmp_path / "certificates"
    process = command("--port", "0", "--seed", "none", "--cert-dir", str(folder))
    ready = READY.match(process.stdout.readline())
    assert ready
    assert ready["ca"] == str(folder / "ca.pem")
    process.terminate()
    process.communicate(timeout=20)
    assert (folder / "ca.pem").exists()


def test_a_port_in_use_is_one_sentence_and_exit_status_1(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, errors = run("--seed", "none", "--port", str(port))
    assert (status, out) == (1, "")
    assert errors.count("\n") == 1
    assert f"cannot listen on port {port}" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--rows", "account"], "is not TABLE=COUNT", id="rows without a count"),
        pytest.param(["--port", "0", "--seed", "nonsense"], "nonsense", id="an unknown seed"),
        pytest.param(["--port", "0", "--rows", "nonsense=3"], "nonsense", id="an unknown table"),
        pytest.param(["--port", "0", "--latency", "-1"], "latency is a number", id="a latency below 0"),
        pytest.param(["--port", "0", "--dop-hint", "0"], "dop_hint is a whole number", id="no parallelism"),
        pytest.param(["--port", "0", "--created", "weekly"], "evenly", id="an unknown spread"),
    ],
)
def test_a_wrong_argument_is_named(run, arguments, words):
    status, out, errors = run(*arguments)
    assert status != 0
    assert out == ""
    assert words in errors
    assert "Traceback" not in errors


def test_the_help_names_the_native_app_and_the_people(run):
    _, out, _ = run("--help")
    assert "c0ffee01-93b7-4d1f-8a64-0e5f7b2c4d19" in out
    assert "alex.reed@contoso.example" in out
    assert "no user of the environment" in out


def test_a_shell_can_read_the_connection_from_a_file_that_only_its_owner_reads(command, tmp_path):
    file = tmp_path / "dynamics.env"
    process = command("--port", "0", "--seed", "none", "--env", str(file))
    found = READY.match(process.stdout.readline().strip())
    assert found

    read = f'. {file} && printf %s "$AIRFLOW_CONN_DYNAMICS_DEFAULT"'
    said = subprocess.run(["/bin/sh", "-c", read], capture_output=True, text=True, check=True).stdout
    assert json.loads(said)["host"] == found["url"]
    assert file.stat().st_mode & 0o077 == 0
