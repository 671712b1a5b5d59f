"""Findings as lines for people and as a document for programs."""

from __future__ import annotations

import json

import pytest

from airflow_provider_dynamics.auth import AuthenticationError
from airflow_provider_dynamics.commands.findings import Finding, as_json, as_text, failed, summary, verdict

OK = Finding("settings", "ok", "All is well.")
WARNING = Finding("clock", "warn", "The clock is late.", "Set it")
FAILURE = Finding("token", "fail", "It was refused.", "Sign in again")
SKIPPED = Finding("claims", "skipped", "There is no token.")


@pytest.mark.parametrize(
    ("findings", "worst"),
    [
        pytest.param([OK, SKIPPED], "ok", id="what is skipped is no fault"),
        pytest.param([OK, WARNING], "warn", id="a warning"),
        pytest.param([WARNING, FAILURE, OK], "fail", id="a failure outweighs a warning"),
        pytest.param([], "ok", id="nothing"),
    ],
)
def test_the_worst_finding_is_the_verdict(findings, worst):
    assert verdict(findings) == worst


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        pytest.param([OK, OK], "The connection works: 2 checks passed.", id="good"),
        pytest.param([OK, WARNING], "The connection works, with 1 warning.", id="a warning"),
        pytest.param([FAILURE, SKIPPED], "1 check failed, 0 warnings.", id="a failure"),
    ],
)
def test_the_last_line_counts(findings, words):
    assert summary(findings) == words


def test_a_line_has_the_status_the_check_and_the_text():
    assert as_text(OK).split(None, 2) == ["ok", "settings", "All is well."]


def test_the_cure_stands_under_what_is_wrong():
    first, second = as_text(WARNING).splitlines()
    assert second.strip() == "What to do: Set it"
    assert second.index("What") == first.index("The clock")


def test_a_cure_that_the_text_has_already_is_not_repeated():
    finding = Finding("token", "fail", "Refused. What to do: Sign in again.", "Sign in again.")
    assert as_text(finding).count("Sign in again") == 1


def test_a_piped_line_stays_whole_and_a_terminals_is_wrapped():
    long = Finding("token", "fail", "word " * 100)
    assert len(as_text(long).splitlines()) == 1
    lines = as_text(long, width=80).splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 80


def test_an_address_is_not_broken_by_wrapping():
    link = "https://login.microsoftonline.com/" + "x" * 100
    assert link in as_text(Finding("token", "fail", f"Open {link} now"), width=60)


def test_colours_are_only_there_when_asked_for():
    assert "\x1b" not in as_text(FAILURE)
    assert "\x1b[31;1mfail" in as_text(FAILURE, coloured=True)


def test_an_error_brings_its_own_words_and_cure():
    error = AuthenticationError("Sign-in failed. What to do: wait.", remedy="wait")
    assert failed("token", error) == Finding("token", "fail", "Sign-in failed. What to do: wait.", "wait")


def test_the_document_says_everything():
    document = json.loads(json.dumps(as_json("crm", [OK, FAILURE], {"python": "3.12"})))
    assert document == {
        "connection": "crm",
        "status": "fail",
        "checks": [
            {"check": "settings", "status": "ok", "text": "All is well.", "remedy": ""},
            {"check": "token", "status": "fail", "text": "It was refused.", "remedy": "Sign in again"},
        ],
        "versions": {"python": "3.12"},
    }
