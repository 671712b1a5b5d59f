"""`airflow dynamics …` as a person types it: Airflow's own command line, in processes of its own."""

from __future__ import annotations

import base64
import json
import signal
import socket

import pytest

from tests.commands.airflow_home import LONGEST, AirflowHome
from tests.commands.browser import Browser


def fields(emulator, *args, **options):
    return json.loads(emulator.airflow_connection("x", *args, **options)["AIRFLOW_CONN_X"])


@pytest.fixture(scope="session")
def airflow(emulator_server, tmp_path_factory):
    """Return Airflow with connections to the emulator in its database."""
    home = AirflowHome(tmp_path_factory.mktemp("airflow"))
    person = fields(emulator_server, "refresh_token", public=True)
    person["extra"]["refresh_token"] = None
    wrong = {**fields(emulator_server), "password": "wrong-secret"}
    wrong["extra"]["tennant"] = "contoso.com"
    home.make(
        {
            "crm": fields(emulator_server),
            "wrong": wrong,
            "by_code": person,
            "by_browser": person,
        }
    )
    return home


def lines_until(process, words):
    """Return what a command has printed up to the line with these words."""
    seen = []
    for line in process.stdout:
        seen.append(line.rstrip("\n"))
        if words in line:
            return seen
    raise AssertionError(f"{words!r} never came: {seen} {process.stderr.read()}")


def test_a_good_connection_passes_every_check(airflow, emulator):
    code, out, _ = airflow.run("dynamics", "doctor", "crm")
    assert code == 0, out
    assert out.splitlines()[-1].startswith("The connection works")
    assert "\x1b" not in out
    assert emulator.client_secret not in out


def test_a_wrong_secret_fails_with_the_sentence_that_airflows_own_test_shows(airflow):
    code, out, _ = airflow.run("dynamics", "doctor", "wrong", "--json")
    assert code == 1
    document = json.loads(out)
    assert document["status"] == "fail"
    assert "'tennant'" in document["checks"][0]["text"]
    token = next(check for check in document["checks"] if check["check"] == "token")
    assert "AADSTS7000215" in token["text"]
    assert "Client secret" in token["remedy"]
    assert "wrong-secret" not in out
    assert document["versions"]["apache-airflow"].startswith("3.")

    _, out, _ = airflow.run("connections", "test", "wrong")
    assert "Connection failed!" in out
    assert token["text"].partition(" Correlation ID")[0] in " ".join(out.split())


def test_errors_are_explained(airflow):
    code, out, _ = airflow.run("dynamics", "errors", "-2147015328")
    assert code == 0
    assert out.startswith("0x80072560")


def test_a_code_signs_a_person_in_for_good(airflow, emulator):
    with airflow.start("dynamics", "login", "by_code") as process:
        try:
            said = lines_until(process, "Waiting")
            shown = next(index for index, line in enumerate(said) if "enter the code" in line)
            with Browser(emulator.ca_bundle) as browser:
                browser.open(said[shown].split()[1])
                browser.submit("Next", otc=said[shown + 2].strip())
                browser.submit("Sign in", loginfmt=emulator.user_name, passwd=emulator.user_password)
                browser.submit("Continue")
            out, err = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
    assert process.returncode == 0, out + err
    assert f"Signed in as {emulator.user_name} for {emulator.url}; connection 'by_code' keeps it." in out
    extra = airflow.kept("by_code")
    assert extra["auth_type"] == "refresh_token"
    assert extra["username"] == emulator.user_name
    assert extra["refresh_token"]
    assert extra["refresh_token"] not in out + err
    code, out, _ = airflow.run("dynamics", "doctor", "by_code")
    assert code == 0, out
    assert emulator.user_name in out


def test_a_browser_signs_a_person_in_for_good(airflow, emulator):
    with airflow.start("dynamics", "login", "by_browser", "--browser", DISPLAY="", BROWSER="true") as process:
        try:
            said = lines_until(process, "Waiting")
            url = next(line.strip() for line in said if line.strip().startswith("https://"))
            with Browser(emulator.ca_bundle) as browser:
                browser.open(emulator.sign_in(url, emulator.other_user_name))
                assert "Back to the terminal" in browser.page
            out, err = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
    assert process.returncode == 0, out + err
    assert f"Signed in as {emulator.other_user_name}" in out
    assert airflow.kept("by_browser")["username"] == emulator.other_user_name


def test_without_an_id_it_names_the_connections_there_are(airflow):
    code, out, err = airflow.run("dynamics", "doctor")
    assert code == 1
    assert "no connection 'dynamics_default'" in out
    assert "(by_browser, by_code, crm, wrong)" in out
    assert "Traceback" not in out + err


def test_a_connection_in_the_environment_is_examined_like_any_other(airflow, emulator):
    code, out, _ = airflow.run("dynamics", "doctor", "elsewhere", **emulator.airflow_connection("elsewhere"))
    assert code == 0, out


def test_a_database_that_is_not_there_is_told(airflow, tmp_path):
    database = f"sqlite:///{tmp_path}/empty.db"
    code, out, err = airflow.run("dynamics", "doctor", "crm", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=database)
    assert code == 1
    assert "database cannot be read (OperationalError)" in out
    assert "Traceback" not in out + err


def test_ctrl_c_ends_an_examination_without_a_trace(airflow):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fields = {
            "conn_type": "dynamics",
            "host": f"https://127.0.0.1:{silent.getsockname()[1]}",
            "login": "app",
            "password": "secret",
            "extra": {"tenant_id": "contoso.com"},
        }
        variables = {"AIRFLOW_CONN_SILENT": json.dumps(fields)}
        with airflow.start("dynamics", "doctor", "silent", **variables) as process:
            try:
                lines_until(process, "settings")
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=LONGEST)
            finally:
                process.kill()
    assert process.returncode == 130
    assert "Traceback" not in out + err


def test_ctrl_c_leaves_the_connection_as_it_was(airflow, emulator):
    del emulator  # it only has to answer
    before = airflow.kept("crm")
    with airflow.start("dynamics", "login", "crm", "--browser") as process:
        try:
            lines_until(process, "Waiting")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "the connection is as it was" in out
    assert "Traceback" not in out + err
    assert airflow.kept("crm") == before


def refused(airflow, emulator, **variables):
    code, out, _ = airflow.run("dynamics", "login", "by_code", **variables)
    assert code == 1, out
    assert "enter the code" not in out
    assert not [request for request in emulator.requests if request.path.endswith("devicecode")]
    return out


def test_a_connection_in_the_environment_is_refused_before_anybody_signs_in(airflow, emulator):
    shadow = emulator.airflow_connection("by_code", "refresh_token", public=True)
    assert "an environment variable" in refused(airflow, emulator, **shadow)


def test_an_unencrypted_database_is_refused_before_anybody_signs_in(airflow, emulator):
    out = refused(airflow, emulator, AIRFLOW__CORE__FERNET_KEY="")
    assert "fernet_key is empty" in out


def test_a_connection_of_another_key_is_told(airflow):
    other = base64.urlsafe_b64encode(bytes(32)).decode()
    code, out, _ = airflow.run("dynamics", "doctor", "crm", AIRFLOW__CORE__FERNET_KEY=other)
    assert code == 1
    assert "another Fernet key" in out
