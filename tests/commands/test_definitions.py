"""What Airflow's command line is told: small enough for every command to import, and leading to functions that exist."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import pytest

from airflow_provider_dynamics.cli import get_dynamics_cli_commands
from airflow_provider_dynamics.provider_info import get_provider_info

ROOT = Path(__file__).parent.parent.parent

IMPORT = """
import json, sys
import airflow.cli.cli_config
before = set(sys.modules)
import airflow_provider_dynamics.cli
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_airflow_is_told_where_the_commands_are():
    module, _, name = get_provider_info()["cli"][0].rpartition(".")
    assert getattr(import_module(module), name) is get_dynamics_cli_commands


def test_the_definitions_bring_nothing_along():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=ROOT
    )
    brought = set(json.loads(done.stdout.splitlines()[-1]))
    assert brought - {"airflow_provider_dynamics"} == {"airflow_provider_dynamics.cli"}


@pytest.fixture
def parse():
    """Read a command's arguments: `parse("doctor", "crm")`."""
    (group,) = get_dynamics_cli_commands()
    commands = {command.name: command for command in group.subcommands}
    assert group.name == "dynamics"

    def of(name, *arguments):
        parser = ArgumentParser()
        first, _, second = name.partition(" ")
        command = commands[first]
        if second:
            (command,) = (one for one in command.subcommands if one.name == second)
        for argument in command.args:
            argument.add_to_parser(parser)
        return vars(parser.parse_args(arguments))

    return of


def test_the_usual_connection_need_not_be_named(parse):
    assert parse("login")["conn_id"] == parse("doctor")["conn_id"] == "dynamics_default"


def test_arguments_are_read(parse):
    assert parse("login", "crm", "--browser", "--port", "8400") == {
        "conn_id": "crm",
        "browser": True,
        "port": 8400,
        "verbose": False,
    }
    assert parse("doctor", "--table", "account", "--table", "lead")["table"] == ["account", "lead"]
    assert parse("errors", "-2147015328", "--json") == {"code": "-2147015328", "json": True}
    assert parse(
        "webhook register", "crm", "--table", "account", "--column", "name", "--message", "Update"
    ) == {
        "conn_id": "crm",
        "table": ["account"],
        "message": ["Update"],
        "column": ["name"],
        "environment": None,
        "url": None,
        "json": False,
        "verbose": False,
    }
    assert parse("webhook remove")["table"] is None


@pytest.mark.parametrize(
    "name",
    [
        "login.login",
        "doctor.doctor",
        "environments.environments",
        "errors.explain_error",
        "webhooks.list_webhooks",
        "webhooks.register",
        "webhooks.remove",
    ],
)
def test_every_command_leads_to_a_function(name):
    module, function = name.split(".")
    assert callable(getattr(import_module(f"airflow_provider_dynamics.commands.{module}"), function))
