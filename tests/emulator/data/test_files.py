"""File and image columns: every documented way in and out, what is refused, and what rows show of them."""

from __future__ import annotations

import base64
import struct
import zlib

import msgspec
import pytest

from airflow_provider_dynamics.emulator.writing.images import measure

OCTETS = {"content-type": "application/octet-stream"}
MIB = 2**20


@pytest.fixture
def account(empty):
    return empty.make("accounts", name="Contoso")


def picture(width, height):
    """Return a black PNG."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = zlib.compress((b"\x00" * (width * 3 + 1)) * height)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", lines) + part(b"IEND", b"")


def upload(service, account, content, name="notes.txt", column="sample_filecolumn"):
    path = f"accounts({account})/{column}"
    return service.send("PATCH", path, content, **OCTETS, **{"x-ms-file-name": name})


def download(service, account, column="sample_filecolumn", option="", **headers):
    return service.get(f"accounts({account})/{column}/$value{option}", **headers)


def open_chunked(service, account, name="big.bin", column="sample_filecolumn"):
    path = f"accounts({account})/{column}?x-ms-file-name={name}"
    return service.send("PATCH", path, b"", **{"x-ms-transfer-mode": "chunked"})


def chunk(service, location, content, start, total):
    span = f"bytes {start}-{start + len(content) - 1}/{total}"
    return service.send("PATCH", location, content, **OCTETS, **{"content-range": span})


def target(account):
    return {"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": account}


def begin(service, account, name="plan.pdf"):
    body = {"Target": target(account), "FileName": name, "FileAttributeName": "sample_filecolumn"}
    return service("POST", "InitializeFileBlocksUpload", body)


def block(service, token, block_id, data):
    body = {
        "BlockId": base64.b64encode(block_id).decode(),
        "BlockData": base64.b64encode(data).decode(),
        "FileContinuationToken": token,
    }
    return service("POST", "UploadBlock", body)


def commit(service, token, *block_ids):
    listed = [base64.b64encode(one).decode() for one in block_ids]
    body = {"FileName": "plan.pdf", "MimeType": "application/pdf", "BlockList": listed}
    return service("POST", "CommitFileBlocksUpload", {**body, "FileContinuationToken": token})


class TestOneRequest:
    def test_what_goes_up_comes_down_with_name_size_and_type(self, empty, account):
        assert upload(empty, account, b"one two three").status == 204
        answer = download(empty, account)
        assert (answer.status, answer.content) == (200, b"one two three")
        assert answer.headers["x-ms-file-name"] == "notes.txt"
        assert answer.headers["x-ms-file-size"] == "13"
        assert answer.headers["mimetype"] == "text/plain"
        assert answer.headers["Content-Type"] == "application/octet-stream"

    def test_the_row_shows_the_files_id_and_name_and_has_a_new_version(self, empty, account):
        before = empty.get(f"accounts({account})?$select=name").json
        upload(empty, account, b"x")
        row = empty.get(f"accounts({account})?$select=sample_filecolumn,sample_filecolumn_name").json
        assert len(row["sample_filecolumn"]) == 36
        assert row["sample_filecolumn_name"] == "notes.txt"
        assert row["@odata.etag"] != before["@odata.etag"]

    def test_the_rows_attachments_tell_of_the_file(self, empty, account):
        upload(empty, account, b"12345")
        expand = (
            "$expand=account_FileAttachments($select=filename,filesizeinbytes,mimetype,regardingfieldname)"
        )
        path = f"accounts({account})?$filter=sample_filecolumn ne null&$select=accountid&{expand}"
        (told,) = empty.get(path.replace("$filter=sample_filecolumn ne null&", "")).json[
            "account_FileAttachments"
        ]
        assert told["filename"] == "notes.txt"
        assert told["filesizeinbytes"] == 5
        assert told["regardingfieldname"] == "sample_filecolumn"

    def test_rows_can_be_asked_for_by_whether_they_have_a_file(self, empty, account):
        empty.make("accounts", name="Fabrikam")
        upload(empty, account, b"x")
        found = empty.get("accounts?$filter=sample_filecolumn ne null&$select=name").rows
        assert [row["accountid"] for row in found] == [account]

    def test_another_file_takes_the_place_of_the_first(self, empty, account):
        upload(empty, account, b"first")
        upload(empty, account, b"second", "other.bin")
        assert download(empty, account).content == b"second"
        assert len(empty.api.rows("fileattachment")) == 1

    def test_the_name_may_be_in_the_url_when_it_is_not_ascii(self, empty, account):
        path = f"accounts({account})/sample_filecolumn?x-ms-file-name=%C3%9Cbersicht.txt"
        assert empty.send("PATCH", path, b"x", **OCTETS).status == 204
        row = empty.get(f"accounts({account})?$select=sample_filecolumn_name").json
        assert row["sample_filecolumn_name"] == "Übersicht.txt"

    def test_more_than_the_column_takes_is_0x80044a02(self, empty, account):
        answer = upload(empty, account, b"x" * (102_400 * 1024 + 1))
        assert (answer.status, answer.error) == (400, "0x80044a02")
        assert download(empty, account).status == 404

    def test_programs_are_0x80043e09(self, empty, account):
        assert upload(empty, account, b"MZ", "setup.exe").error == "0x80043e09"

    def test_a_column_without_a_file_is_404(self, empty, account):
        answer = download(empty, account)
        assert (answer.status, answer.error) == (404, "0x80040217")
        assert (
            answer.message
            == f"No file attachment found for attribute: sample_filecolumn EntityId: {account}."
        )

    def test_a_row_that_is_not_there_is_404(self, empty):
        missing = "00000000-0000-0000-0000-00000000dead"
        assert upload(empty, missing, b"x").error == "0x80040217"
        assert download(empty, missing).error == "0x80040217"

    def test_a_file_cannot_be_written_with_the_row(self, empty, account):
        body = {"sample_filecolumn": "11111111-1111-1111-1111-111111111111"}
        empty("PATCH", f"accounts({account})", body)
        assert empty.get(f"accounts({account})?$select=sample_filecolumn").json["sample_filecolumn"] is None


class TestRanges:
    def test_a_range_is_206_with_the_chunk_size(self, empty, account):
        upload(empty, account, b"0123456789")
        answer = download(empty, account, range="bytes=2-5")
        assert (answer.status, answer.content) == (206, b"2345")
        assert answer.headers["x-ms-file-size"] == "10"
        assert answer.headers["x-ms-chunk-size"] == "4194304"

    def test_a_range_past_the_end_ends_with_the_file(self, empty, account):
        upload(empty, account, b"0123456789")
        assert download(empty, account, range="bytes=8-4194303").content == b"89"

    def test_a_range_beyond_the_end_is_416(self, empty, account):
        upload(empty, account, b"0123456789")
        assert download(empty, account, range="bytes=10-20").status == 416

    def test_a_range_of_the_property_itself_comes_as_base64_in_json(self, empty, account):
        upload(empty, account, b"0123456789")
        answer = empty.get(f"accounts({account})/sample_filecolumn?size=full", range="bytes=2-5")
        assert answer.status == 206
        assert base64.b64decode(answer.json["value"]) == b"2345"
        assert (answer.headers["x-ms-file-size"], answer.headers["x-ms-file-name"]) == ("10", "notes.txt")
        assert answer.headers["Content-Disposition"] == 'inline; filename="notes.txt"'

    def test_files_in_the_database_come_whole_only(self, empty, account):
        upload(empty, account, b"0123456789")
        empty.api.faults.files_in_database = True
        assert download(empty, account, range="bytes=0-3").error == "0x80090017"
        assert download(empty, account).content == b"0123456789"


class TestChunks:
    def test_parts_are_206_and_the_last_is_204(self, empty, account):
        begun = open_chunked(empty, account)
        location = begun.headers["Location"]
        assert (begun.status, begun.headers["x-ms-chunk-size"]) == (200, "4194304")
        assert chunk(empty, location, b"abc", 0, 5).status == 206
        assert download(empty, account).status == 404
        assert chunk(empty, location, b"de", 3, 5).status == 204
        assert download(empty, account).content == b"abcde"

    def test_a_part_that_is_sent_again_counts_once(self, empty, account):
        location = open_chunked(empty, account).headers["Location"]
        for _ in range(2):
            assert chunk(empty, location, b"abc", 0, 5).status == 206
        assert chunk(empty, location, b"de", 3, 5).status == 204
        assert download(empty, account).content == b"abcde"

    def test_a_missing_part_is_refused_at_the_end_and_can_be_sent_then(self, empty, account):
        location = open_chunked(empty, account).headers["Location"]
        assert chunk(empty, location, b"de", 3, 5).status == 400
        assert chunk(empty, location, b"abc", 0, 5).status == 206
        assert chunk(empty, location, b"de", 3, 5).status == 204

    def test_a_body_that_is_not_as_long_as_its_range_is_refused(self, empty, account):
        location = open_chunked(empty, account).headers["Location"]
        answer = empty.send("PATCH", location, b"abc", **OCTETS, **{"content-range": "bytes 0-9/10"})
        assert answer.status == 400

    def test_a_file_too_large_is_known_with_the_first_part(self, empty, account):
        location = open_chunked(empty, account).headers["Location"]
        assert chunk(empty, location, b"x", 0, 200 * MIB).error == "0x80044a02"

    def test_a_session_that_is_over_is_refused(self, empty, account):
        location = open_chunked(empty, account).headers["Location"]
        assert chunk(empty, location, b"abc", 0, 3).status == 204
        assert chunk(empty, location, b"abc", 0, 3).status == 400


class TestBlocks:
    def test_blocks_are_put_together_in_the_order_of_the_list(self, empty, account):
        token = begin(empty, account).json["FileContinuationToken"]
        for block_id, data in ((b"02", b"def"), (b"01", b"abc")):
            assert block(empty, token, block_id, data).status == 204
        told = commit(empty, token, b"01", b"02").json
        assert told["FileSizeInBytes"] == 6
        assert download(empty, account).content == b"abcdef"
        assert download(empty, account).headers["mimetype"] == "application/pdf"
        row = empty.get(f"accounts({account})?$select=sample_filecolumn").json
        assert row["sample_filecolumn"] == told["FileId"]

    def test_block_ids_have_one_length(self, empty, account):
        token = begin(empty, account).json["FileContinuationToken"]
        assert block(empty, token, b"1", b"abc").status == 204
        assert block(empty, token, b"1" * 40, b"abc").status == 400

    def test_block_ids_have_at_most_64_bytes(self, empty, account):
        token = begin(empty, account).json["FileContinuationToken"]
        assert block(empty, token, b"1" * 64, b"abc").status == 204
        assert block(empty, token, b"1" * 65, b"abc").status == 400

    def test_blocks_have_at_most_4_mib(self, empty, account):
        token = begin(empty, account).json["FileContinuationToken"]
        assert block(empty, token, b"1", b"x" * (4 * MIB)).status == 204
        assert block(empty, token, b"2", b"x" * (4 * MIB + 1)).status == 400

    def test_a_block_that_was_not_sent_cannot_be_committed(self, empty, account):
        token = begin(empty, account).json["FileContinuationToken"]
        assert commit(empty, token, b"01").status == 400
        assert download(empty, account).status == 404

    def test_a_token_of_nothing_is_refused(self, empty):
        assert block(empty, "nothing", b"1", b"x").status == 400

    def test_a_column_that_is_no_file_is_refused(self, empty, account):
        body = {"Target": target(account), "FileName": "x", "FileAttributeName": "name"}
        assert empty("POST", "InitializeFileBlocksUpload", body).status == 400

    def test_blocks_come_down_by_offset_and_length(self, empty, account):
        upload(empty, account, b"0123456789")
        body = {"Target": target(account), "FileAttributeName": "sample_filecolumn"}
        told = empty("POST", "InitializeFileBlocksDownload", body).json
        assert (told["FileSizeInBytes"], told["FileName"]) == (10, "notes.txt")
        assert told["IsChunkingSupported"] is True
        wanted = {"Offset": 4, "BlockLength": 4, "FileContinuationToken": told["FileContinuationToken"]}
        assert base64.b64decode(empty("POST", "DownloadBlock", wanted).json["Data"]) == b"4567"

    def test_files_in_the_database_say_so_and_refuse_parts(self, empty, account):
        upload(empty, account, b"0123456789")
        empty.api.faults.files_in_database = True
        body = {"Target": target(account), "FileAttributeName": "sample_filecolumn"}
        told = empty("POST", "InitializeFileBlocksDownload", body).json
        assert told["IsChunkingSupported"] is False
        wanted = {"Offset": 0, "BlockLength": 4, "FileContinuationToken": told["FileContinuationToken"]}
        assert empty("POST", "DownloadBlock", wanted).error == "0x80090017"


class TestDeleting:
    def test_by_the_columns_url(self, empty, account):
        upload(empty, account, b"x")
        assert empty("DELETE", f"accounts({account})/sample_filecolumn").status == 204
        assert download(empty, account).status == 404
        assert empty.api.rows("fileattachment") == []

    def test_by_the_message(self, empty, account):
        upload(empty, account, b"x")
        file_id = empty.get(f"accounts({account})?$select=sample_filecolumn").json["sample_filecolumn"]
        assert empty("POST", "DeleteFile", {"FileId": file_id}).status == 204
        assert download(empty, account).status == 404
        assert empty("POST", "DeleteFile", {"FileId": file_id}).error == "0x80040217"

    def test_with_the_row(self, empty, account):
        upload(empty, account, b"x")
        assert empty("DELETE", f"accounts({account})").status == 204
        assert empty.api.rows("fileattachment") == []

    def test_a_reset_brings_no_file_back(self, empty, account):
        upload(empty, account, b"x")
        empty.api.reset()
        assert empty.api.rows("fileattachment") == []


class TestImages:
    def test_a_row_shows_a_thumbnail_and_only_when_it_is_selected(self, empty, account):
        content = picture(300, 200)
        body = {"sample_imagecolumn": base64.b64encode(content).decode()}
        assert empty("PATCH", f"accounts({account})", body).status == 204
        row = empty.get(f"accounts({account})?$select=sample_imagecolumn,sample_imagecolumn_url").json
        assert measure(base64.b64decode(row["sample_imagecolumn"])) == (144, 144)
        assert row["sample_imagecolumn_url"].startswith(
            "/Image/download.aspx?Entity=account&Attribute=sample_"
        )
        assert "sample_imagecolumn" not in empty.get(f"accounts({account})").json
        assert "sample_imagecolumn" not in empty.get("accounts").rows[0]

    def test_small_pictures_are_cut_to_their_smaller_side(self, empty, account):
        upload(empty, account, picture(91, 130), "face.png", "sample_imagecolumn")
        assert measure(download(empty, account, "sample_imagecolumn").content) == (91, 91)

    def test_the_whole_picture_comes_when_it_is_asked_for(self, empty, account):
        content = picture(300, 200)
        upload(empty, account, content, "face.png", "sample_imagecolumn")
        assert download(empty, account, "sample_imagecolumn", "?size=full").content == content
        assert measure(download(empty, account, "sample_imagecolumn").content) == (144, 144)

    def test_blocks_bring_the_whole_picture(self, empty, account):
        content = picture(300, 200)
        upload(empty, account, content, "face.png", "sample_imagecolumn")
        body = {"Target": target(account), "FileAttributeName": "sample_imagecolumn"}
        assert empty("POST", "InitializeFileBlocksDownload", body).json["FileSizeInBytes"] == len(content)

    def test_no_picture_is_204(self, empty, account):
        assert download(empty, account, "sample_imagecolumn").status == 204
        assert download(empty, account, "sample_imagecolumn", "?size=full").status == 204

    def test_what_is_no_picture_is_0x80072553(self, empty, account):
        answer = upload(empty, account, b"words", "face.png", "sample_imagecolumn")
        assert (answer.status, answer.error) == (400, "0x80072553")

    def test_too_large_a_picture_is_0x80072553(self, empty, account):
        answer = upload(empty, account, picture(2, 2) + b"x" * 11 * MIB, "face.png", "sample_imagecolumn")
        assert "File size is too big. MaxSize: 10 MB" in answer.message

    def test_only_the_primary_image_can_come_with_a_new_row(self, empty):
        content = base64.b64encode(picture(10, 10)).decode()
        assert empty("POST", "accounts", {"name": "A", "entityimage": content}).status == 204
        answer = empty("POST", "accounts", {"name": "B", "sample_imagecolumn": content})
        assert answer.error == "0x80090487"

    @pytest.mark.parametrize("way", ["patch", "put", "delete"])
    def test_a_picture_is_deleted_in_three_ways(self, empty, account, way):
        upload(empty, account, picture(10, 10), "face.png", "sample_imagecolumn")
        path = f"accounts({account})"
        answer = {
            "patch": lambda: empty("PATCH", path, {"sample_imagecolumn": None}),
            "put": lambda: empty("PUT", f"{path}/sample_imagecolumn", {"value": None}),
            "delete": lambda: empty("DELETE", f"{path}/sample_imagecolumn"),
        }[way]()
        assert answer.status == 204
        assert download(empty, account, "sample_imagecolumn", "?size=full").status == 204
        assert empty.get(f"{path}?$select=sample_imagecolumnid").json["sample_imagecolumnid"] is None

    @pytest.mark.parametrize(
        ("content", "size"),
        [
            (b"GIF89a" + struct.pack("<HH", 7, 9), (7, 9)),
            (b"BM" + b"\x00" * 16 + struct.pack("<ii", 7, -9), (7, 9)),
            (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 9, 7), (7, 9)),
            (
                b"II*\x00\x08\x00\x00\x00\x02\x00" + struct.pack("<HHIIHHII", 256, 3, 1, 7, 257, 4, 1, 9),
                (7, 9),
            ),
            (b"\x89PNG\r\n\x1a\n", None),
            (b"%PDF-1.7", None),
        ],
    )
    def test_pictures_are_measured(self, content, size):
        assert measure(content) == size


class TestMetadata:
    @pytest.mark.parametrize(
        ("column", "cast", "most"),
        [
            ("sample_filecolumn", "FileAttributeMetadata", 102_400),
            ("sample_imagecolumn", "ImageAttributeMetadata", 10_240),
        ],
    )
    def test_the_largest_size_is_told(self, sample, column, cast, most):
        path = f"EntityDefinitions(LogicalName='account')/Attributes(LogicalName='{column}')"
        told = sample.get(f"{path}/Microsoft.Dynamics.CRM.{cast}?$select=MaxSizeInKB").json
        assert told["MaxSizeInKB"] == most

    def test_companions_say_what_they_belong_to(self, sample):
        path = "EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName,AttributeOf,AttributeType"
        told = {row["LogicalName"]: row for row in sample.get(path).rows}
        assert told["sample_filecolumn_name"]["AttributeOf"] == "sample_filecolumn"
        assert told["entityimage_url"]["AttributeOf"] == "entityimage"
        assert told["sample_filecolumn"]["AttributeType"] == "Virtual"

    def test_the_primary_image_is_told(self, sample):
        path = "EntityDefinitions(LogicalName='account')?$select=PrimaryImageAttribute"
        assert sample.get(path).json["PrimaryImageAttribute"] == "entityimage"


def test_rows_that_were_grown_have_no_pictures(grown):
    assert "entityimage" not in msgspec.json.encode(grown.api.rows("contoso_shipment")[0]).decode()


def test_a_file_is_deleted_by_who_may_write_its_row(empty, account):
    token = begin(empty, account).json["FileContinuationToken"]
    block = base64.b64encode(b"1").decode()
    body = {"BlockId": block, "BlockData": block, "FileContinuationToken": token}
    assert empty("POST", "UploadBlock", body).status == 204
    body = {"FileName": "a", "MimeType": "text/plain", "BlockList": [block], "FileContinuationToken": token}
    file_id = empty("POST", "CommitFileBlocksUpload", body).json["FileId"]
    empty.api.faults.privileges_taken.add((None, "prvWriteAccount"))
    assert empty("POST", "DeleteFile", {"FileId": file_id}).error == "0x80040220"
    empty.api.faults.privileges_taken.clear()
    assert empty("POST", "DeleteFile", {"FileId": file_id}).status == 204


@pytest.mark.parametrize("name", ['a"b.txt', "a\r\nX-Other: 1", "\x00"])
def test_a_name_breaks_no_header(empty, account, name):
    token = begin(empty, account, name).json["FileContinuationToken"]
    block = base64.b64encode(b"1").decode()
    body = {"BlockId": block, "BlockData": block, "FileContinuationToken": token}
    assert empty("POST", "UploadBlock", body).status == 204
    body = {"FileName": name, "MimeType": name, "BlockList": [block], "FileContinuationToken": token}
    assert empty("POST", "CommitFileBlocksUpload", body).status == 200
    told = download(empty, account).headers
    assert all(one.isprintable() for one in told.values())
    assert told["Content-Disposition"].count('"') == 2


@pytest.mark.parametrize("span", ["bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000, "bytes=1-0"])
def test_a_range_there_is_not_is_refused(empty, account, span):
    upload(empty, account, b"12345")
    assert download(empty, account, range=span).status in {416, 501}


def test_a_chunks_place_is_a_number_of_this_world(empty, account):
    location = open_chunked(empty, account).headers["Location"]
    span = "bytes 0-" + "9" * 5000 + "/" + "9" * 5000
    assert empty.send("PATCH", location, b"1", **OCTETS, **{"content-range": span}).status == 400


def test_the_content_may_be_asked_for_with_its_mark_encoded(empty, account):
    upload(empty, account, b"12345")
    assert empty.get(f"accounts({account})/sample_filecolumn/%24value").content == b"12345"
