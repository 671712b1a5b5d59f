"""What the package promises to the outside: names, cheap imports, and a README that speaks of what exists."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AIRFLOW_FACING = ("operators", "sensors", "triggers", "transfers", "hooks", "assets", "retry")
ALSO_PARSED = (
    "links",
    "lineage",
    "state",
    "metrics",
    "dataverse.queries.query",
    "dataverse.queries.conditions",
)
PUBLIC_ENDINGS = ("Operator", "Sensor", "Trigger", "Hook", "Policy")
HEAVY = {
    "msal",
    "requests",
    "pyarrow",
    "pandas",
    "polars",
    "numpy",
    "sqlalchemy",
    "cryptography",
    "starlette",
}
HEAVY |= {"defusedxml", "msgspec", "airflow.providers.common.sql", "airflow.providers.openlineage"}
FOR_SIGN_INS = {"airflow_provider_dynamics.auth.codes", "airflow_provider_dynamics.dataverse.protocol.codes"}

PARSE = f"""
import json, sys
import airflow.sdk
from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
before = set(sys.modules)
for name in {AIRFLOW_FACING + ALSO_PARSED!r}:
    __import__("airflow_provider_dynamics." + name)
from airflow_provider_dynamics.dataverse import Expand, FetchXml, Query, SavedQuery, all_of, any_of, column
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


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def prose(page):
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page):
    """Return the headings of a page as GitHub links to them."""
    titles = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one)
        for one in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    ]
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_something(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_the_readme_leads_to_every_page_and_every_example():
    readme = (ROOT / "README.md").read_text()
    there = {*(ROOT / "docs").glob("*.md"), *(ROOT / "example_dags").glob("*.py")}
    there.remove(ROOT / "docs" / "changelog.md")  # shows CHANGELOG.md on the site

    assert [
        str(file.relative_to(ROOT)) for file in there if f"]({file.relative_to(ROOT)})" not in readme
    ] == []


FEATURES = (ROOT / "README.md").read_text().partition("\n## What you can do\n")[2].partition("\n\nEvery ")[0]
CLAIMS = FEATURES.strip().splitlines()[2:]  # below the heads of the columns


@pytest.mark.parametrize("claim", CLAIMS or ["no table"], ids=lambda row: row.strip("| ").split(" | ")[0])
def test_every_claim_of_the_readme_names_its_test(claim):
    _, _, _, _, proof, _ = claim.split("|")
    links = re.findall(r"\[test\]\(([^)]*)\)", proof)

    assert links
    for file, _, test in (link.partition(" ") for link in links):
        assert (ROOT / file).name.startswith("test_")
        assert (f"def {test.strip(chr(34))}(" if test else "def test_") in (ROOT / file).read_text()


def own_arguments(kind):
    own = vars(kind).get("__init__")
    return set(inspect.signature(own).parameters) - {"self", "kwargs"} if own else set()


@pytest.mark.parametrize(
    ("module", "ending"), [(module, ending) for module in AIRFLOW_FACING for ending in PUBLIC_ENDINGS]
)
def test_every_argument_of_a_public_class_is_explained(module, ending):
    there = importlib.import_module(f"airflow_provider_dynamics.{module}")
    for name in (one for one in there.__all__ if one.endswith(ending)):
        kind = getattr(there, name)
        if not inspect.isclass(kind):
            continue
        explained = set(re.findall(r":param (\w+):", kind.__doc__ or ""))
        taken = set().union(*(own_arguments(one) for one in kind.__mro__ if one is not object))
        assert own_arguments(kind) <= explained, name
        assert explained <= taken | {"deferrable"}, name


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
