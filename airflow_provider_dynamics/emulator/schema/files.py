"""Where the files of file columns are told: their names, types and sizes beside the rows they belong to.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/fileattachment
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import ident, lookup, moment, text, to
from airflow_provider_dynamics.emulator.schema.common import VERSION
from airflow_provider_dynamics.emulator.schema.model import Column, Table

FILEATTACHMENT = Table(
    name="fileattachment",
    schema_name="FileAttachment",
    set_name="fileattachments",
    label="File Attachment",
    plural="FileAttachments",
    primary_id="fileattachmentid",
    primary_name="filename",
    type_code=55,
    bulk=False,
    change_tracking=False,
    ownership="None",
    writable=False,
    columns=(
        ident("FileAttachmentId", "File Attachment"),
        text("FileName", "File Name", 255, create=False, update=False),
        text("MimeType", "MIME Type", 256, create=False, update=False),
        Column(
            "filesizeinbytes",
            "FileSizeInBytes",
            "BigInt",
            "File Size (Bytes)",
            create=False,
            update=False,
        ),
        text("RegardingFieldName", "Regarding attribute name", 255, create=False, update=False),
        moment("CreatedOn", "Created On", create=False, update=False),
        lookup(
            "ObjectId",
            "Regarding",
            to("account", "objectid_account", "account_FileAttachments", "Cascade"),
            create=False,
            update=False,
        ),
        VERSION,
    ),
)
