"""The permission to change an environment's definitions: off unless the connection says otherwise.

Whoever may run a DAG may load rows; tables, keys and solutions are another matter. Every request passes here, those
inside batches too, so that no way of sending one leads around it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from airflow_provider_dynamics.dataverse.errors import MetadataChangesOff
from airflow_provider_dynamics.dataverse.protocol.exchange import Request

__all__ = ["MetadataGate"]

_ACTIONS = frozenset(
    {
        "AddSolutionComponent",
        "CloneAsPatch",
        "CloneAsSolution",
        "ConvertDateAndTimeBehavior",
        "CopySystemForm",
        "CreateCustomerRelationships",
        "CreatePolymorphicLookupAttribute",
        "DeleteAndPromote",
        "DeleteAndPromoteAsync",
        "DeleteOptionValue",
        "ImportFieldTranslation",
        "ImportSolution",
        "ImportSolutionAsync",
        "ImportTranslation",
        "ImportTranslationAsync",
        "InsertOptionValue",
        "InsertStatusValue",
        "OrderOption",
        "ReactivateEntityKey",
        "RemoveSolutionComponent",
        "SetLocLabels",
        "StageAndUpgrade",
        "StageAndUpgradeAsync",
        "UninstallSolutionAsync",
        "UpdateOptionValue",
        "UpdateStateValue",
    }
)
"""https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/actions"""
_KNOWN = {name.casefold(): name for name in _ACTIONS}
_DEFINITIONS = {"entitydefinitions", "relationshipdefinitions", "globaloptionsetdefinitions"}


class MetadataGate:
    """Says no to changes of definitions before anything is sent, unless they are allowed."""

    def __init__(self, *, allowed: bool = False) -> None:
        self._allowed = allowed

    def check(self, what: str) -> None:
        """Let a change by that is allowed; raises MetadataChangesOff naming it."""
        if not self._allowed:
            raise MetadataChangesOff(f"This connection may not change definitions, and {what} does")

    def check_action(self, name: str) -> None:
        """Do the same for an action that is called by its name, where it is one of those that change definitions."""
        if (known := _KNOWN.get(name.casefold())) is not None:
            self.check(f"the action {known}")

    def check_request(self, request: Request) -> None:
        """Do the same for a request, by what it is sent to; deleting the row of a solution uninstalls it."""
        if self._allowed or request.reads:
            return
        path = _named(request.target)
        self.check_action(path[-1])
        if not _DEFINITIONS.isdisjoint(path):
            self.check(request.asked)
        many = path[-2:] == ["solutions", "deletemultiple"]
        if many or (request.method == "DELETE" and path[-1] == "solutions"):
            self.check("deleting a solution")


def _named(target: str) -> list[str]:
    """Return what a request's path names, in small letters, without keys and namespaces."""
    path = re.sub(r"'(?:[^']|'')*'", "", unquote(target.partition("?")[0]))
    parts = re.sub(r"\([^)]*\)", "", path).casefold().strip("/").split("/")
    return [part.rpartition(".")[2] for part in parts]
