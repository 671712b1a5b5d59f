"""`python docs/error_catalogue.py` writes errors.md from the tables that the provider itself answers from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from airflow_provider_dynamics.auth import causes
from airflow_provider_dynamics.auth.codes import ADFS, ENTRA, ERRORS
from airflow_provider_dynamics.dataverse.protocol import codes

PAGE = Path(__file__).parent / "errors.md"

_OPENING = """\
# Errors and their cures

<!-- written by docs/error_catalogue.py -->

What a code means and who has to do what, as the provider says it in a task's log; there the sentences name your tenant, app
and environment. The same from the command line, for these codes and for the 3,400 that Microsoft only names:

```sh
airflow dynamics errors AADSTS7000222
```

Each problem belongs to one of four classes:

| class | who acts | what the task does |
|---|---|---|
| transient | nobody | is tried again, after exactly the time the service asks for |
| permanent | whoever edits the connection or the DAG | fails at once, whatever `retries` says |
| needs-admin | an administrator of the tenant or the environment | fails at once |
| needs-interaction | the person who signed in | fails at once, until that person signs in again |

A plug-in of your own organization may refuse with any text; it is passed on as it is.
"""


def catalogue() -> str:
    """Return the whole page."""
    sections = [
        ("Dataverse", "0x8…: what the environment answers.", (codes.explain(code) for code in codes.BY_CODE)),
        ("Microsoft Entra ID", "Codes of the sign-in.", (causes.explain(f"AADSTS{one}") for one in ENTRA)),
        ("AD FS", "Codes of a sign-in on premises.", (causes.explain(f"MSIS{one}") for one in ADFS)),
        ("OAuth", "Where the service names no code of its own.", (causes.explain(one) for one in ERRORS)),
    ]
    return "\n".join([_OPENING, *(_section(*one) for one in sections)])


def _section(title: str, said: str, explained: Iterable[causes.Explanation | None]) -> str:
    rows = "\n".join(_row(one) for one in sorted(filter(None, explained), key=_place))
    return (
        f"## {title}\n\n{said}\n\n| code | class | what is wrong | what to do |\n|---|---|---|---|\n{rows}\n"
    )


def _place(found: causes.Explanation) -> tuple[int, str]:
    return len(found.code), found.code


def _row(found: causes.Explanation) -> str:
    name = f" {found.name}" if found.name else ""
    cells = (f"`{found.code}`{name}", found.kind, found.cause, found.remedy)
    return "| " + " | ".join(_cell(one) for one in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(catalogue(), encoding="utf-8")
