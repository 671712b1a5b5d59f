"""The messages that move files in blocks: InitializeFileBlocksUpload and its companions, and DeleteFile.

https://learn.microsoft.com/power-apps/developer/data-platform/file-column-data#use-dataverse-messages-to-upload-a-file
"""

from __future__ import annotations

import base64
from typing import Any

from airflow_provider_dynamics.emulator.files.columns import CHUNK, Files
from airflow_provider_dynamics.emulator.files.contents import Content, not_in_chunks, refuse_blocked
from airflow_provider_dynamics.emulator.files.uploads import Upload
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations import Invocation, Operation, Parameter
from airflow_provider_dynamics.emulator.operations.model import ANY_ROW, need
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table

_LONGEST_BLOCK_ID = 64  # bytes before encoding
_TOKEN = need("FileContinuationToken", "Edm.String")
_COLUMN = (need("Target", ANY_ROW), need("FileAttributeName", "Edm.String"))


class FileMessages:
    """Runs the messages; ``operations`` lists them."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def operations(self) -> tuple[Operation, ...]:
        """The messages as operations."""
        return (
            Operation(
                "InitializeFileBlocksUpload",
                (*_COLUMN, need("FileName", "Edm.String")),
                (_TOKEN,),
                run=self._begin_upload,
            ),
            Operation(
                "UploadBlock",
                (need("BlockId", "Edm.String"), need("BlockData", "Edm.Binary"), _TOKEN),
                run=self._block,
            ),
            Operation(
                "CommitFileBlocksUpload",
                (
                    need("FileName", "Edm.String"),
                    need("MimeType", "Edm.String"),
                    need("BlockList", "Collection(Edm.String)"),
                    _TOKEN,
                ),
                (need("FileId", "Edm.Guid"), need("FileSizeInBytes", "Edm.Int64")),
                run=self._commit,
            ),
            Operation(
                "InitializeFileBlocksDownload",
                _COLUMN,
                (
                    need("FileSizeInBytes", "Edm.Int64"),
                    Parameter("FileName", "Edm.String"),
                    _TOKEN,
                    need("IsChunkingSupported", "Edm.Boolean"),
                ),
                run=self._begin_download,
            ),
            Operation(
                "DownloadBlock",
                (need("Offset", "Edm.Int64"), need("BlockLength", "Edm.Int64"), _TOKEN),
                (Parameter("Data", "Edm.Binary"),),
                run=self._piece,
            ),
            Operation("DeleteFile", (need("FileId", "Edm.Guid"),), run=self._delete),
        )

    def _begin_upload(self, invocation: Invocation) -> dict[str, Any]:
        table, row_id, column = _target(invocation)
        invocation.rooms.privileges.need(invocation.call, table, "Write")
        name = invocation.parameters["FileName"]
        refuse_blocked(name)
        upload = Upload(table.name, row_id, column.name, name)
        return {"FileContinuationToken": self._files.uploads.open(upload)}

    def _block(self, invocation: Invocation) -> None:
        given = invocation.parameters
        upload = self._files.uploads.of(given["FileContinuationToken"])
        block_id, data = given["BlockId"], base64.b64decode(given["BlockData"])
        if len(_decoded(block_id)) > _LONGEST_BLOCK_ID:
            raise _invalid(f"BlockId is longer than {_LONGEST_BLOCK_ID} bytes.")
        if any(len(known) != len(block_id) for known in upload.blocks):
            raise _invalid("The BlockIds of one file must have the same length.")
        if len(data) > CHUNK:
            raise _invalid(f"BlockData has {len(data)} bytes, more than {CHUNK}.")
        upload.blocks[block_id] = data

    def _commit(self, invocation: Invocation) -> dict[str, Any]:
        given = invocation.parameters
        upload = self._files.uploads.of(given["FileContinuationToken"])
        if not all(one in upload.blocks for one in given["BlockList"]):
            raise _invalid("BlockList names a block that was not uploaded.")
        data = b"".join(upload.blocks[one] for one in given["BlockList"])
        content = Content("", given["FileName"], given["MimeType"], data)
        table = TABLES[upload.table]
        column = table.binaries[upload.column]
        file_id = self._files.contents.put(invocation.call, table, upload.row_id, column, content)
        self._files.uploads.close(given["FileContinuationToken"])
        return {"FileId": file_id, "FileSizeInBytes": len(data)}

    def _begin_download(self, invocation: Invocation) -> dict[str, Any]:
        table, row_id, column = _target(invocation)
        invocation.rooms.privileges.need(invocation.call, table, "Read")
        held = self._files.contents.held(table, row_id, column)
        opened = Upload(table.name, row_id, column.name, held.name, parts={0: held.data})
        return {
            "FileSizeInBytes": len(held.data),
            "FileName": held.name,
            "FileContinuationToken": self._files.uploads.open(opened),
            "IsChunkingSupported": not self._files.contents.in_database,
        }

    def _piece(self, invocation: Invocation) -> dict[str, Any]:
        given = invocation.parameters
        data = self._files.uploads.of(given["FileContinuationToken"]).parts.get(0, b"")
        start, length = given["Offset"], given["BlockLength"]
        if self._files.contents.in_database and (start, length) != (0, len(data)):
            raise not_in_chunks()
        if not 0 <= start <= len(data) or length < 0:
            raise _invalid(
                f"Offset {start} and BlockLength {length} are not in the file ({len(data)} bytes)."
            )
        return {"Data": base64.b64encode(data[start : start + length]).decode()}

    def _delete(self, invocation: Invocation) -> None:
        call, privileges = invocation.call, invocation.rooms.privileges
        file_id = invocation.parameters["FileId"].lower()
        self._files.contents.delete(call, file_id, lambda table: privileges.need(call, table, "Write"))


def _target(invocation: Invocation) -> tuple[Table, str, Column]:
    target, name = invocation.row("Target"), invocation.parameters["FileAttributeName"]
    column = target.table.binaries.get(name)
    if column is None:
        raise _invalid(f"'{name}' is no file or image column of {target.table.name}.")
    return target.table, target.existing(invocation.rooms), column


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise _invalid("BlockId is not valid Base64.") from error


def _invalid(reason: str) -> Fault:
    # Microsoft does not say which error this is.
    return Fault(400, "0x80040203", reason)
