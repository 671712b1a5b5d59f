"""Codes explained, however they are written."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from airflow_provider_dynamics.auth.causes import Explanation
from airflow_provider_dynamics.commands.errors import Unknown, explain_error, look_up, spelled


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param("AADSTS7000222", "AADSTS7000222", id="as Entra writes it"),
        pytest.param("aadsts7000222:", "AADSTS7000222", id="out of a log line"),
        pytest.param(" 7000222 ", "AADSTS7000222", id="a bare number"),
        pytest.param("MSIS9605", "MSIS9605", id="AD FS"),
        pytest.param("msis9605", "MSIS9605", id="AD FS in small letters"),
        pytest.param("0x80072560", "0x80072560", id="as Dataverse writes it"),
        pytest.param("0X80072560", "0x80072560", id="in capitals"),
        pytest.param("80072560", "0x80072560", id="without 0x"),
        pytest.param("8004A104", "0x8004a104", id="without 0x and with letters"),
        pytest.param("-2147015328", "0x80072560", id="the SDKs' negative number"),
        pytest.param("invalid_grant", "invalid_grant", id="an error of OAuth's"),
        pytest.param("(401) AADSTS50011: The redirect URI", "AADSTS50011", id="within a sentence"),
        pytest.param("code 0X80072560, again", "0x80072560", id="Dataverse's within a sentence"),
    ],
)
def test_a_code_is_understood_however_it_is_written(written, meant):
    assert spelled(written) == meant


@pytest.mark.parametrize("code", ["7000222", "MSIS9605", "0x80072560", "-2147015328", "invalid_grant"])
def test_known_codes_have_a_cause_and_a_cure(code):
    found = look_up(code)
    assert isinstance(found, Explanation)
    assert found.cause.endswith(".")
    assert found.remedy
    assert "{" not in found.cause + found.remedy


def test_the_missing_application_user_is_explained():
    found = look_up("0x80072560")
    assert isinstance(found, Explanation)
    assert "application user" in found.cause + found.remedy


@pytest.mark.parametrize(
    ("code", "link"),
    [
        pytest.param("AADSTS9999999", "https://login.microsoftonline.com/error?code=9999999", id="Entra's"),
        pytest.param("0x8fffffff", "web-service-error-codes", id="Dataverse's"),
        pytest.param("MSIS1", "ad-fs", id="of AD FS"),
    ],
)
def test_an_unknown_code_leads_to_microsofts_page(code, link):
    found = look_up(code)
    assert isinstance(found, Unknown)
    assert link in found.link
    assert code in found.text


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("", id="nothing"),
        pytest.param("٧٠٠٠٢٢٢", id="other digits than Microsoft's"),
        pytest.param("AADSTS" + "9" * 500, id="too many digits"),
        pytest.param("0x" + "z" * 500, id="no hexadecimal number"),
        pytest.param("MSIS\x1b[2J", id="a terminal's command"),
        pytest.param("-1", id="a small negative number"),
        pytest.param("' OR 1=1 --", id="something else altogether"),
    ],
)
def test_what_is_no_code_leads_nowhere(written):
    found = look_up(written)
    assert isinstance(found, Unknown)
    assert (found.link, len(found.code) <= 60, len(found.text) < 300) == ("", True, True)


def test_what_is_no_code_is_told_how_codes_look():
    found = look_up("hello" * 50)
    assert isinstance(found, Unknown)
    assert "AADSTS7000222" in found.text
    assert len(found.text) < 300


@pytest.fixture
def run(capsys):
    """Run the command: its exit code and what it printed."""

    def command(code, *, as_json=False):
        try:
            explain_error(Namespace(code=code, json=as_json))
        except SystemExit as end:
            return end.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return command


def test_the_command_prints_cause_cure_and_link(run):
    code, text = run("7000222")
    assert code == 0
    assert text.startswith("AADSTS7000222")
    assert "The client secret has expired." in text
    assert "Client secret" in text
    assert "permanent" in text
    assert "https://login.microsoftonline.com/error?code=7000222" in text


def test_the_command_fails_for_an_unknown_code(run):
    code, text = run("AADSTS9999999")
    assert code == 1
    assert "https://login.microsoftonline.com/error?code=9999999" in text


@pytest.mark.parametrize(("code", "known"), [("7000222", True), ("AADSTS9999999", False)])
def test_json_says_the_same(run, code, known):
    exit_code, text = run(code, as_json=True)
    document = json.loads(text)
    assert document["known"] is known
    assert exit_code == (0 if known else 1)
    assert document["link"].startswith("https://")
