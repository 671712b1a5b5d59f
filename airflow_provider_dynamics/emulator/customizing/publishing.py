"""Publishing: changes of what was there are seen from then on.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/publishxml and …/publishallxml
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from airflow_provider_dynamics.emulator.customizing.options import choice_named, table_named
from airflow_provider_dynamics.emulator.customizing.workshop import Workshop
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, need

_PUBLISH_ALL = 204
_KNOWN = frozenset({"entities", "optionsets"})


class Publishing:
    """Publishes all, or what is named."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def operations(self) -> Sequence[Operation]:
        """The three actions."""
        return (
            Operation("PublishXml", (need("ParameterXml", "Edm.String"),), run=self._some),
            Operation("PublishAllXml", run=self._all),
            Operation("PublishAllXmlAsync", result=(need("AsyncOperationId", "Edm.Guid"),), run=self._later),
        )

    def _start(self, invocation: Invocation, operation: str) -> None:
        self._workshop.start(invocation.call, "prvPublishCustomization", operation)

    def _all(self, invocation: Invocation) -> None:
        self._start(invocation, "PublishAll")
        self._workshop.publish()

    def _some(self, invocation: Invocation) -> None:
        self._start(invocation, "Publish")
        root = _parsed(invocation.parameters["ParameterXml"])
        working = self._workshop.working
        tables = [table_named(working, text).name for text in _texts(root, "entities/entity")]
        choices = [choice_named(working, text).name for text in _texts(root, "optionsets/optionset")]
        self._workshop.publish(tables, choices)

    def _later(self, invocation: Invocation) -> dict[str, str]:
        self._start(invocation, "PublishAll")
        values = {"name": "Publish all", "operationtype": _PUBLISH_ALL, "messagename": "PublishAllXmlAsync"}
        job = self._workshop.jobs.start(invocation.call, values, self._step)
        self._workshop.runs(job.job_id, "PublishAll")
        return {"AsyncOperationId": job.job_id}

    def _step(self, share: float) -> None:
        if share >= 1.0:
            self._workshop.publish()


def _parsed(text: str) -> Element:
    try:
        root: Element = fromstring(text)
    except (ParseError, DefusedXmlException) as error:
        raise Fault(400, "0x80040203", f"The parameter XML cannot be read: {error}") from error
    if root.tag != "importexportxml":
        raise Fault(400, "0x80040203", "The parameter XML must have an importexportxml element.")
    unknown = {one.tag for one in root if len(one)} - _KNOWN
    if unknown:
        raise NotEmulated(f"publishing {', '.join(sorted(unknown))}")
    return root


def _texts(root: Element, path: str) -> list[str]:
    return [(one.text or "").strip().strip("{}") for one in root.findall(path)]
