"""The documentation as a site: `make docs` builds it into .site, and fails on a link or a name that leads nowhere.

https://www.sphinx-doc.org/en/master/usage/configuration.html
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
LAZY = ("operators", "sensors", "transfers", "triggers")

project = "airflow-provider-dynamics"
author = "the authors of airflow-provider-dynamics"
html_title = "Microsoft Dynamics 365 for Airflow"
html_theme = "furo"
html_show_copyright = False
html_show_sourcelink = False
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "colon_fence"]
default_role = "code"
nitpicky = False
add_module_names = False
autodoc_class_signature = "mixed"
maximum_signature_line_length = 90
autodoc_default_options = {
    "members": True,
    "exclude-members": "__init__, __new__",
    "member-order": "bysource",
}
autodoc_inherit_docstrings = False
autodoc_typehints = "none"
exclude_patterns = ["_build"]


class Examples(Directive):  # type: ignore[misc]  # docutils ships no types
    """Every file of example_dags/: its question, what it says of itself, and its code."""

    def run(self) -> list[nodes.Node]:
        """Return the sections, in the order of the files' names."""
        here = nodes.section()
        text = "\n".join(map(_example, sorted((ROOT / "example_dags").glob("*.py"))))
        self.state.nested_parse(StringList(text.splitlines(), "example_dags"), 0, here, match_titles=1)
        return list(here.children)


def _example(file: Path) -> str:
    said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return (
        f"## {file.stem.replace('_', ' ').capitalize()}\n\n{said}\n\n"
        f"```{{literalinclude}} ../example_dags/{file.name}\n:language: python\n"
        f":caption: example_dags/{file.name}\n```\n"
    )


def lead_to_pages(_app: Any, _docname: str, source: list[str]) -> None:
    """Turn links to the repository's other files into links to the pages that show them."""
    link = r"\]\(\.\./example_dags/(\w+)\.py\)"
    source[0] = re.sub(link, lambda found: f"](examples.md#{found[1].replace('_', '-')})", source[0])
    source[0] = source[0].replace("](../CHANGELOG.md)", "](changelog.md)")
    source[0] = re.sub(r"\]\(\.\./README\.md(#[\w-]+)?\)", "](index.md)", source[0])


def import_lazy_names() -> None:
    """Put the names of lazy packages where autodoc looks for them."""
    for name in LAZY:
        module = importlib.import_module(f"airflow_provider_dynamics.{name}")
        for one in module.__all__:
            setattr(module, one, getattr(module, one))


def setup(app: Any) -> None:
    """Add what is special here."""
    app.add_directive("examples", Examples)
    app.connect("source-read", lead_to_pages)
    app.connect("builder-inited", lambda _: import_lazy_names())
