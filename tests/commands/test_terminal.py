"""Where the commands write."""

from __future__ import annotations

import io
import json
import os

import pytest

from airflow_provider_dynamics.commands.findings import Finding, as_text
from airflow_provider_dynamics.commands.terminal import Terminal


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal_variables(monkeypatch):
    """Make the environment that of an ordinary terminal."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return monkeypatch


def test_a_terminal_has_colours_and_columns(terminal_variables):
    terminal_variables.setenv("COLUMNS", "93")
    terminal = Terminal(Screen())
    assert terminal.coloured
    assert terminal.width == 93


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_whoever_wants_no_colours_gets_none(terminal_variables, name, value):
    terminal_variables.setenv(name, value)
    assert not Terminal(Screen()).coloured


def test_a_pipe_gets_plain_whole_lines(terminal_variables):
    del terminal_variables
    terminal = Terminal(io.StringIO())
    assert not terminal.coloured
    assert terminal.width is None


def test_brackets_are_written_as_they_are():
    stream = io.StringIO()
    Terminal(stream).say("[dynamics] allowed_authorities")
    assert stream.getvalue() == "[dynamics] allowed_authorities\n"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("\x1b]0;title\x07", id="a title"),
        pytest.param("\x1b[2J", id="an empty screen"),
        pytest.param("\r", id="the line's beginning"),
        pytest.param("\x9b31m", id="a colour in one byte"),
        pytest.param("\u202e", id="text from right to left"),
    ],
)
def test_a_services_words_command_no_terminal(command):
    stream = io.StringIO()
    Terminal(stream).say(f"before{command}after\tand\nmore")
    Terminal(stream).say(
        as_text(Finding("token", "fail", f"it{command}", f"do{command}"), coloured=True), styled=True
    )
    assert command[0] not in stream.getvalue().replace("\x1b[31;1m", "").replace("\x1b[0m", "")
    assert "after\tand\nmore" in stream.getvalue()

    stream = io.StringIO()
    Terminal(stream).say_json({"text": command})
    assert command[0] not in stream.getvalue()
    assert json.loads(stream.getvalue()) == {"text": command}


def test_letters_that_the_terminal_has_not_are_replaced():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="")
    Terminal(stream).say("Waiting …")
    assert raw.getvalue() == b"Waiting ?\n"


def test_json_is_one_document_with_its_letters():
    stream = io.StringIO()
    Terminal(stream).say_json({"text": "Zoë …"})
    assert "Zoë …" in stream.getvalue()
    assert json.loads(stream.getvalue()) == {"text": "Zoë …"}


def test_a_reader_who_has_had_enough_ends_the_command():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, pytest.raises(SystemExit):
        Terminal(stream).say("one line")
