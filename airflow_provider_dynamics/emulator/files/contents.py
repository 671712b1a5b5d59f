"""What file and image columns hold, and what the service keeps beside it: names, types and sizes.

https://learn.microsoft.com/power-apps/developer/data-platform/file-column-data
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.render import RowRenderer
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.storage import FILES, JSON_COLUMN, SQL, storage_names
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.switches import DataFaults
from airflow_provider_dynamics.emulator.writing.images import Pictures
from airflow_provider_dynamics.emulator.writing.writer import Writer

OCTETS = "application/octet-stream"
_ATTACHMENTS = TABLES["fileattachment"]
# Some of those that a new environment blocks (organization.blockedattachments).
_BLOCKED = frozenset(
    {
        "asp",
        "bat",
        "cmd",
        "com",
        "cpl",
        "dll",
        "exe",
        "hta",
        "jar",
        "js",
        "lnk",
        "msi",
        "reg",
        "scr",
        "vbs",
        "wsf",
    }
)


@dataclass(frozen=True)
class Content:
    """What a file or image column of one row holds."""

    file_id: str
    name: str
    mime_type: str
    data: bytes


class FileContents:
    """Keeps, shows and removes the contents of file and image columns."""

    def __init__(self, store: Store, writer: Writer, faults: DataFaults) -> None:
        self._store = store
        self._faults = faults
        self._writer = writer
        self._pictures = Pictures(store)
        self._renderer = RowRenderer(_ATTACHMENTS)

    @property
    def in_database(self) -> bool:
        """Whether files lie where they can only be fetched whole."""
        return self._faults.files_in_database or self._faults.on_premises

    def held(self, table: Table, row_id: str, column: Column) -> Content:
        """The whole content of a column; raises 404 in the service's words when there is none."""
        found = self.found(table, row_id, column, full=True)
        if found is None:
            raise no_file(table, row_id, column)
        return found

    def put(self, call: Call, table: Table, row_id: str, column: Column, content: Content) -> str:
        """Make this the content of a column, in the caller's transaction. Returns the file's id."""
        refuse_blocked(content.name)
        row = self._writer.existing(table, row_id)
        if column.kind == "Image":
            values = self._pictures.put(table, column, row_id, content.data, call.now)
            self._writer.change(call, table, row, values)
            return str(values[f"{column.name}id"])
        if len(content.data) > (column.max_kilobytes or 0) * 1024:
            raise too_big()
        self._drop(row_id, column)
        file_id = str(uuid.uuid4())
        kept = (file_id, table.name, row_id, column.name, content.data)
        self._store.run(sa.insert(FILES).values(dict(zip(FILES.c.keys(), kept, strict=True))))
        self._attach(
            call, table, (row_id, column), Content(file_id, content.name, content.mime_type, content.data)
        )
        self._writer.change(call, table, row, {column.name: file_id, f"{column.name}_name": content.name})
        return file_id

    def delete(self, call: Call, file_id: str, need: Callable[[Table], None]) -> None:
        """Empty the column that holds this file; raises 404 when none does, and ``need`` refuses who may not."""
        found = self._store.one(
            sa.select(FILES.c.table_name, FILES.c.row_id, FILES.c.column_name).where(
                FILES.c.file_id == file_id
            )
        )
        if found is None:
            raise Fault(404, "0x80040217", f"fileattachment With Id = {file_id} Does Not Exist")
        table = TABLES[found[0]]
        need(table)
        self.clear(call, table, found[1], table.binaries[found[2]])

    def clear(self, call: Call, table: Table, row_id: str, column: Column) -> None:
        """Empty a column."""
        row = self._writer.existing(table, row_id)
        if column.kind == "Image":
            values = self._pictures.put(table, column, row_id, None, call.now)
        else:
            self._drop(row_id, column)
            values = {column.name: None, f"{column.name}_name": None}
        self._writer.change(call, table, row, values)

    def _drop(self, row_id: str, column: Column) -> None:
        sql = SQL[_ATTACHMENTS.name]
        self._store.run(sa.delete(FILES).where(FILES.c.row_id == row_id, FILES.c.column_name == column.name))
        self._store.run(
            sa.delete(sql).where(sql.c.objectid == row_id, sql.c.regardingfieldname == column.name)
        )

    def _attach(self, call: Call, table: Table, place: tuple[str, Column], content: Content) -> None:
        row: dict[str, Any] = {
            **dict.fromkeys(storage_names(_ATTACHMENTS)),
            "fileattachmentid": content.file_id,
            "filename": content.name,
            "mimetype": content.mime_type,
            "filesizeinbytes": len(content.data),
            "regardingfieldname": place[1].name,
            "createdon": utc_text(call.now),
            "objectid": place[0],
            "objectid__type": table.name,
            "versionnumber": self._store.next_version(),
        }
        row[JSON_COLUMN] = self._renderer.json(row)
        self._store.insert(_ATTACHMENTS, [tuple(row[name] for name in storage_names(_ATTACHMENTS))])

    def found(self, table: Table, row_id: str, column: Column, *, full: bool) -> Content | None:
        """What a column holds, a picture whole (``full``) or as its thumbnail; None when nothing."""
        row = self._writer.existing(table, row_id)
        if column.kind == "Image" and not full:
            thumbnail = row[column.name]
            if thumbnail is None:
                return None
            data = base64.b64decode(thumbnail)
            return Content(row[f"{column.name}id"], f"{column.name}.png", "image/png", data)
        found = self._store.one(
            sa.select(FILES.c.file_id, FILES.c.content).where(
                FILES.c.row_id == row_id, FILES.c.column_name == column.name
            )
        )
        if found is None:
            return None
        name, kind = self._told(row, column, found[0])
        return Content(found[0], name, kind, found[1])

    def _told(self, row: Mapping[str, Any], column: Column, file_id: str) -> tuple[str, str]:
        """Name and MIME type; pictures keep neither."""
        if column.kind == "Image":
            return f"{column.name}.png", "image/png"
        attachment = self._store.row(_ATTACHMENTS, file_id) or {}
        return str(row[f"{column.name}_name"]), str(attachment.get("mimetype") or OCTETS)


def refuse_blocked(name: str) -> None:
    """0x80043e09 when the environment does not take files with this ending."""
    if name.rpartition(".")[2].lower() in _BLOCKED:
        raise Fault(
            400,
            "0x80043e09",
            "The attachment is either not a valid type or is too large. It cannot be uploaded or downloaded.",
        )


def not_in_chunks() -> Fault:
    """0x80090017: the file lives in the database."""
    return Fault(
        400,
        "0x80090017",
        "Downloading in multiple chunks is not supported for the files stored in the database.",
    )


def too_big() -> Fault:
    """0x80044a02: more than the column takes."""
    return Fault(400, "0x80044a02", "Attachment file size is too big.")


def no_file(table: Table, row_id: str, column: Column) -> Fault:
    """404: the column is empty."""
    if column.kind == "Image":
        return Fault(
            404,
            "0x80040217",
            f"No FileAttachment records found for imagedescriptorId: {uuid.UUID(int=0)} for image attribute: "
            f"{column.name} of {table.name} record with id {row_id}.",
        )
    return Fault(
        404, "0x80040217", f"No file attachment found for attribute: {column.name} EntityId: {row_id}."
    )
