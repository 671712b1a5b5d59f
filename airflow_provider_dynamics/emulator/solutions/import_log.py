"""The log of an import: the XML an import job keeps as its data, and the same as a table for people.

https://learn.microsoft.com/power-apps/developer/data-platform/work-solutions#retrieving-import-job-data
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    ENTITY,
    KEY,
    OPTION_SET,
    RELATIONSHIP,
)
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.solutions.applying import Part
from airflow_provider_dynamics.emulator.solutions.manifest import add_missing
from airflow_provider_dynamics.emulator.solutions.package import Missing, Package
from airflow_provider_dynamics.emulator.solutions.xml import add, flag, labels, written

_EPOCH = 62_135_596_800  # seconds from the year 1 to 1970
_SECTIONS = (
    ("entities", "entity", {ENTITY}),
    ("attributes", "attribute", {ATTRIBUTE}),
    ("entityRelationships", "entityRelationship", {RELATIONSHIP}),
    ("entityKeys", "entityKey", {KEY}),
    ("optionSets", "optionSet", {OPTION_SET}),
)
_COLUMNS = (
    "Date Time",
    "Item Type",
    "Id",
    "Name",
    "LocalizedName",
    "OriginalName",
    "Description",
    "Status",
    "ErrorCode",
    "Error Text",
)


@dataclass(frozen=True)
class Course:
    """How an import went: from when to when, how far, and what stopped it."""

    package: Package
    parts: Sequence[Part]
    start: datetime
    stop: datetime | None = None
    progress: float = 0.0
    fault: Fault | None = None
    missing: tuple[Missing, ...] = ()


def ticks(when: datetime) -> int:
    """A moment in hundreds of nanoseconds since the year 1, as .NET counts."""
    return int((when.timestamp() + _EPOCH) * 10_000_000)


def data_of(course: Course) -> str:
    """The XML of an import job's ``data``."""
    root = Element("importexportxml", {"start": str(ticks(course.start))})
    if course.stop is not None:
        root.set("stop", str(ticks(course.stop)))
    root.set("progress", f"{course.progress:g}")
    root.set("processed", "true" if course.stop is not None else "false")
    _manifest(add(root, "solutionManifests"), course)
    done = course.stop is not None and course.fault is None
    for many, one, kinds in _SECTIONS:
        holder = add(root, many)
        for part in course.parts if done else ():
            if part.member.kind in kinds:
                entry = add(
                    holder, one, id=part.name, LocalizedName=part.label, Description="", processed="true"
                )
                _result(entry, course, None)
    return written(root)


def _manifest(parent: Element, course: Course) -> None:
    package = course.package
    one = add(
        parent,
        "solutionManifest",
        languagecode="1033",
        id=package.name,
        LocalizedName=package.label,
        processed="true" if course.stop is not None else "false",
    )
    add(one, "UniqueName", package.name)
    labels(one, "LocalizedNames", "LocalizedName", package.label)
    labels(one, "Descriptions", "Description", package.description)
    add(one, "Version", package.version)
    add(one, "Managed", flag(package.managed))
    publisher = add(one, "Publisher")
    add(publisher, "UniqueName", package.publisher.name)
    labels(publisher, "LocalizedNames", "LocalizedName", package.publisher.label)
    add(one, "results")
    if course.missing:
        add_missing(one, course.missing)
    if course.stop is not None:
        _result(one, course, course.fault)


def _result(parent: Element, course: Course, fault: Fault | None) -> None:
    when = course.stop or course.start
    add(
        parent,
        "result",
        result="failure" if fault else "success",
        errorcode=f"0x{fault.code[2:].upper()}" if fault else "0",
        errortext=fault.message if fault else "",
        datetime=when.strftime("%H:%M:%S.%f")[:-4],
        datetimeticks=str(ticks(when)),
    )


def formatted(course: Course) -> str:
    """The same as a spreadsheet, as ``RetrieveFormattedImportJobResults`` returns it."""
    root = Element("Workbook", {"xmlns": "urn:schemas-microsoft-com:office:spreadsheet"})
    table = add(add(root, "Worksheet", Name="Components"), "Table")
    _row(table, _COLUMNS)
    package, fault = course.package, course.fault
    when = (course.stop or course.start).strftime("%H:%M:%S.%f")[:-4]
    status = "Failure" if fault else "Success"
    told = (fault.code, fault.message) if fault else ("", "")
    _row(table, (when, "Solution", package.name, package.name, package.label, "", "", status, *told))
    names = {kind: one for _, one, kinds in _SECTIONS for kind in kinds}
    for part in () if fault else course.parts:
        _row(
            table,
            (when, names[part.member.kind], part.name, part.name, part.label, "", "", "Success", "", ""),
        )
    return written(root)


def _row(table: Element, values: Sequence[str]) -> None:
    row = add(table, "Row")
    for value in values:
        add(add(row, "Cell"), "Data", value)
