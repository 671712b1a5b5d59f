"""The documentation tells the truth: its snippets fit the code, and what it names is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import runpy
import textwrap
from pathlib import Path

import pytest

from airflow_provider_dynamics.cli import get_dynamics_cli_commands

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = "airflow_provider_dynamics"
SHORT = ("operators", "sensors", "transfers", "triggers", "assets", "hooks", "retry", "dataverse", "auth")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


SNIPPETS = [
    pytest.param(code, id=f"{page.name} {number}")
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"), 1)
]


def classes():
    """Return our public classes and functions by name: a page need not repeat each import."""
    return {
        name: getattr(module, name)
        for module in (importlib.import_module(f"{PACKAGE}.{one}") for one in SHORT)
        for name in module.__all__
    }


def accepted(called):
    """Return the keywords a class takes, those of its bases included."""
    makers = [vars(kind).get("__init__") for kind in called.__mro__] if inspect.isclass(called) else [called]
    names = {name for one in makers if callable(one) for name in inspect.signature(one).parameters}
    return names | set(getattr(called, "__dataclass_fields__", ()))


@pytest.mark.parametrize("code", SNIPPETS)
def test_every_snippet_is_python_whose_imports_and_arguments_exist(code):
    tree = ast.parse(textwrap.dedent(code))
    known = classes()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            module = importlib.import_module(str(node.module))
            assert all(getattr(module, one.name) is not None for one in node.names)
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr == "partial":
            called = called.value
        if isinstance(called, ast.Name) and called.id in known:
            given = {one.arg for one in node.keywords if one.arg}
            assert given <= accepted(known[called.id]), called.id


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_a_page_tells_to_type_is_there(page):
    told = page.read_text(encoding="utf-8")
    (group,) = get_dynamics_cli_commands()
    commands = {one.name for one in group.subcommands}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"airflow dynamics ([a-z]+)", told)) <= commands
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", told, re.MULTILINE)) <= targets


def test_the_page_of_errors_is_what_the_provider_answers():
    written = runpy.run_path(str(ROOT / "docs" / "error_catalogue.py"))["catalogue"]()

    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == written, (
        "run `python docs/error_catalogue.py`"
    )


PROOFS = sorted(
    {
        one
        for page in PAGES
        for one in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", page.read_text(encoding="utf-8"))
    }
)


@pytest.mark.parametrize("named", PROOFS)
def test_every_test_a_page_names_is_there(named):
    file, _, test = named.partition("::")

    assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8") if test else (ROOT / file).exists()
