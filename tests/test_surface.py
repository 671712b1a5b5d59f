"""What the package promises to the outside: names, cheap imports, and a README that speaks of what exists."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AIRFLOW_FACING = ("operators", "sensors", "triggers", "transfers", "hooks", "assets", "retry")
PUBLIC_ENDINGS = ("Operator", "Sensor", "Trigger", "Hook", "Policy")
HEAVY = {"msal", "requests", "pyarrow", "pandas", "polars", "sqlalchemy.orm", "cryptography", "starlette"}
FOR_SIGN_INS = {"airflow_provider_dynamics.auth.codes", "airflow_provider_dynamics.dataverse.codes"}

PARSE = f"""
import json, sys
import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
before = set(sys.modules)
for name in {AIRFLOW_FACING!r}:
    __import__("airflow_provider_dynamics." + name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_parsing_a_dag_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PARSE], capture_output=True, text=True, check=True, cwd=ROOT)
    brought = set(json.loads(done.stdout.splitlines()[-1]))

    assert any(name.startswith("airflow_provider_dynamics.transfers") for name in brought)
    assert not (HEAVY | FOR_SIGN_INS) & brought


@pytest.mark.parametrize("package", ["dataverse", "auth"])
def test_every_public_name_can_be_had(package):
    module = importlib.import_module(f"airflow_provider_dynamics.{package}")

    assert sorted(module.__all__) == list(module.__all__)
    assert all(getattr(module, name) is not None for name in module.__all__)


def test_asking_for_a_name_that_is_not_there_says_so():
    with pytest.raises(ImportError, match="NoSuchName"):
        exec("from airflow_provider_dynamics.dataverse import NoSuchName")  # noqa: S102 - the import is the test


@pytest.mark.parametrize("module", AIRFLOW_FACING)
def test_all_names_what_a_module_defines(module):
    place = ROOT / "airflow_provider_dynamics" / module
    files = list(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    defined = {
        node.name
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    public = set(importlib.import_module(f"airflow_provider_dynamics.{module}").__all__)

    assert {
        name for name in defined if name.startswith("Dynamics") and name.endswith(PUBLIC_ENDINGS)
    } <= public


def test_the_readme_speaks_only_of_names_that_exist():
    readme = (ROOT / "README.md").read_text()
    names = {name for name in re.findall(r"`(\w*Dynamics\w*|table_asset)`", readme) if name != "Dynamics"}
    found = {
        name
        for module in AIRFLOW_FACING
        for name in importlib.import_module(f"airflow_provider_dynamics.{module}").__all__
    }

    assert names <= found
    assert {"DynamicsToObjectStorageOperator", "DynamicsRowSensor"} <= names


@pytest.mark.parametrize(
    "link", sorted(set(re.findall(r"\]\(([\w./]+)\)", (ROOT / "README.md").read_text())))
)
def test_every_file_the_readme_links_is_there(link):
    assert (ROOT / link).exists()


TABLE = (ROOT / "docs/authentication.md").read_text()


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", TABLE))))
def test_every_test_the_table_of_ways_to_sign_in_names_is_there(named):
    file, _, test = named.partition("::")

    assert f"def {test}(" in (ROOT / file).read_text()


def test_every_cell_of_the_table_of_ways_to_sign_in_names_its_test():
    rows = [row.split("|")[2:5] for row in TABLE.splitlines() if re.search(r"\| (✓|refused) [A-Z]", row)]
    letters = re.findall(r"^- ([A-Z]): `tests/", TABLE, re.MULTILINE)

    assert len(rows) == 8
    for cell in (cell for row in rows for cell in row):
        (letter,) = re.findall(r"(?:✓|refused) ([A-Z])\b", cell)
        assert letter in letters
