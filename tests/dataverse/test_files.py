"""Files and what may go wrong with them, against answers that no emulator gives by itself."""

from __future__ import annotations

import io
from urllib.parse import quote

import pytest

from airflow_provider_dynamics.dataverse import WriteOptions, errors
from airflow_provider_dynamics.dataverse.file_columns.file_blocks import BLOCK
from airflow_provider_dynamics.dataverse.file_columns.files import Files
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Response
from airflow_provider_dynamics.dataverse.throttle import Stop
from tests.dataverse.conftest import DEFINITION, attribute, ok

ROW = "00000000-0000-0000-0000-000000000001"
WHOLE_ONLY = errors.BadRequest("not in chunks", status=400, code="0x80090017")
SESSION = f"https://contoso.crm.dynamics.com/api/data/v9.2/accounts({ROW})/new_contract?sessiontoken=t"


class Shelf:
    """A service that holds one file; `answers` come first, then it behaves as documented."""

    def __init__(self, data=b"", name="a.txt"):
        self.data, self.name = data, name
        self.answers = []
        self.requests = []
        self.headers = {}

    def send(self, request, stop=None):
        if request.target.startswith("EntityDefinitions"):
            return self._metadata(request.target)
        self.requests.append(request)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer
        return self._answer(request)

    def _metadata(self, target):
        if "MaxSizeInKB" in target:
            return ok({"MaxSizeInKB": 131072})
        columns = [
            *DEFINITION["Attributes"],
            attribute("new_contract", "Virtual", type_name="FileType"),
            attribute("new_photo", "Virtual", type_name="ImageType"),
        ]
        return ok({**DEFINITION, "Attributes": columns})

    def _answer(self, request):
        if request.method == "GET" and "$value" in request.target:
            return self._part(request.headers.get("Range"))
        if request.method == "GET":
            return ok({"new_contract": None, "new_contract_name": self.name})
        if request.headers.get("x-ms-transfer-mode"):
            return Response(200, {"Location": SESSION, "x-ms-chunk-size": str(BLOCK)}, b"")
        ranged = request.headers.get("Content-Range")
        last = ranged is None or int(ranged.split("-")[1].split("/")[0]) + 1 == int(ranged.split("/")[1])
        return Response(204 if last else 206, {}, b"")

    def _part(self, ranged):
        told = {"x-ms-file-size": str(len(self.data)), "x-ms-file-name": self.name, **self.headers}
        if ranged is None:
            return Response(200, told, self.data)
        start, end = (int(one) for one in ranged.removeprefix("bytes=").split("-"))
        return Response(206, told, self.data[start : end + 1])


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def files(shelf):
    return Files(shelf, Tables(shelf), Stop())


class OneWay(io.RawIOBase):
    """A stream that only goes forward, a little at a time."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        return self._data.read(min(size, 1000) if size >= 0 else -1)


def bodies(shelf):
    return b"".join(request.body for request in shelf.requests if request.method == "PATCH" and request.body)


def test_a_file_that_the_environment_keeps_in_its_database_comes_whole(files, shelf):
    shelf.data = b"x" * (BLOCK + 1)
    shelf.answers = [WHOLE_ONLY]

    assert files.download("account", ROW, "new_contract").data == shelf.data
    assert [request.headers.get("Range") is None for request in shelf.requests] == [False, True]


def test_a_service_that_knows_no_ranges_is_understood(files, shelf):
    shelf.data = b"x" * (BLOCK + 1)
    shelf.answers = [shelf._part(None)]

    found = files.download("account", ROW, "new_contract")

    assert (found.size, found.data) == (BLOCK + 1, shelf.data)


@pytest.mark.parametrize(
    "second",
    [
        Response(206, {"x-ms-file-size": str(BLOCK + 2), "x-ms-file-name": "a.txt"}, b"y"),
        Response(206, {"x-ms-file-size": str(BLOCK + 1), "x-ms-file-name": "b.txt"}, b"y"),
    ],
    ids=["another size", "another name"],
)
def test_a_file_that_is_replaced_while_it_is_read_is_no_file(files, shelf, second):
    shelf.data = b"x" * (BLOCK + 1)
    shelf.answers = [None, second]

    with pytest.raises(errors.Conflict, match="was replaced while it was read") as raised:
        files.download("account", ROW, "new_contract")

    assert raised.value.retryable


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Response(206, {"x-ms-file-name": "a"}, b"x"), "how large the file is"),
        (Response(206, {"x-ms-file-size": "9", "x-ms-file-name": "a"}, b"x"), "1 bytes came from place 0"),
        (Response(200, {"Content-Type": "text/html"}, b"<html>"), "The answer is no file"),
    ],
    ids=["no size", "too little", "a page"],
)
def test_an_answer_that_is_no_file_is_said_as_that(files, shelf, answer, words):
    shelf.answers = [answer]

    with pytest.raises(errors.BadResponse, match=words):
        files.download("account", ROW, "new_contract")


def test_an_empty_file_is_a_file_also_where_it_has_no_range(files, shelf):
    for answers in ([], [errors.BadRequest("beyond its end", status=416)]):
        shelf.answers = answers

        found = files.download("account", ROW, "new_contract")

        assert (found.size, found.data) == (0, b"")


def test_a_whole_file_that_is_shorter_than_it_says_is_no_file(files, shelf):
    shelf.answers = [Response(200, {"x-ms-file-size": "9", "x-ms-file-name": "a"}, b"x")]

    with pytest.raises(errors.BadResponse, match="1 bytes came of a file of 9") as raised:
        files.download("account", ROW, "new_contract", into := io.BytesIO())

    assert raised.value.retryable
    assert into.getvalue() == b""


def test_a_file_that_grows_while_it_goes_up_is_never_complete_in_dynamics(files, shelf):
    class Growing(io.BytesIO):
        def read(self, size=-1):
            found = super().read(size)
            place = self.tell()
            self.seek(0, io.SEEK_END)
            self.write(b"more")
            self.seek(place)
            return found

    for size, sent in ((3, 0), (2 * BLOCK, BLOCK)):
        shelf.requests.clear()
        with pytest.raises(errors.Conflict, match="has more now"):
            files.upload("account", ROW, "new_contract", Growing(b"x" * size), name="a")

        assert len(bodies(shelf)) == sent


def test_bytes_behind_the_size_that_was_given_are_somebody_elses(files, shelf):
    files.upload("account", ROW, "new_contract", io.BytesIO(b"abcdef"), name="a", size=3)

    assert bodies(shelf) == b"abc"


@pytest.mark.parametrize("name", [" lead.pdf", "trail.pdf ", "100%.pdf", "a%20b.pdf"])
def test_a_name_that_a_header_would_change_goes_into_the_address(files, shelf, name):
    for data in (b"x", b"x" * (BLOCK + 1)):
        shelf.requests.clear()
        files.upload("account", ROW, "new_contract", data, name=name)

        writes = [request for request in shelf.requests if request.method == "PATCH"]
        assert f"?x-ms-file-name={quote(name)}" in writes[0].target
        assert not any("x-ms-file-name" in request.headers for request in writes)


@pytest.mark.parametrize("name", ["a\nb.pdf", "a\r\nX-Other: 1.pdf", "nul\x00.pdf", "\u202egpj.exe"])
def test_a_name_with_characters_that_cannot_be_seen_is_refused(files, shelf, name):
    with pytest.raises(errors.BadRequest, match="cannot be seen"):
        files.upload("account", ROW, "new_contract", b"x", name=name)

    assert shelf.requests == []


def test_a_name_that_a_header_may_have_changed_is_asked_for(files, shelf):
    shelf.headers = {"x-ms-file-name": "%C3%9Cbersicht.pdf"}
    shelf.name = "Übersicht.pdf"

    assert files.download("account", ROW, "new_contract").name == "Übersicht.pdf"


def test_a_stream_that_cannot_go_back_is_sent_all_the_same(files, shelf):
    data = bytes(range(256)) * 20_000

    sent = files.upload("account", ROW, "new_contract", OneWay(data), name="a.bin")

    assert sent.size == len(data)
    assert bodies(shelf) == data


def test_a_stream_that_has_fewer_bytes_than_were_promised_is_not_sent_as_a_file(files, shelf):
    with pytest.raises(errors.Conflict, match=r"was to have 10 bytes and ended after 3") as raised:
        files.upload("account", ROW, "new_contract", io.BytesIO(b"abc"), name="a", size=10)

    assert "It changed while it was read" in raised.value.remedy
    assert bodies(shelf) == b""


def test_a_session_that_ended_is_begun_again_from_the_first_byte(files, shelf):
    data = b"x" * BLOCK + b"y" * BLOCK + b"z"
    shelf.answers = [None, None, None, errors.NotFound("no such session", asked="PATCH x", status=404)]

    files.upload("account", ROW, "new_contract", data, name="a.bin")

    starts = [request.headers.get("Content-Range") for request in shelf.requests]
    size = len(data)
    assert [one for one in starts if one] == [
        f"bytes 0-{BLOCK - 1}/{size}",
        f"bytes {BLOCK}-{2 * BLOCK - 1}/{size}",
        f"bytes 0-{BLOCK - 1}/{size}",
        f"bytes {BLOCK}-{2 * BLOCK - 1}/{size}",
        f"bytes {2 * BLOCK}-{size - 1}/{size}",
    ]


def test_a_file_that_arrived_though_its_answer_did_not_is_not_sent_twice(files, shelf):
    lost = errors.BadRequest("no such session", asked="PATCH x", status=400)
    lost.repeated = True
    shelf.answers = [
        *(ok({"new_contract": "old"}), None, None),
        *(lost, ok({"new_contract": "new"})),
    ]

    files.upload("account", ROW, "new_contract", b"x" * (BLOCK + 1), name="a.bin")

    assert len([request for request in shelf.requests if "Content-Range" in request.headers]) == 2


def test_what_is_refused_at_once_is_not_sent_again(files, shelf):
    refused = errors.BadRequest("a kind of file that is blocked", asked="PATCH x", status=400)
    shelf.answers = [None, refused]

    with pytest.raises(errors.BadRequest, match="blocked"):
        files.upload("account", ROW, "new_contract", b"x" * (BLOCK + 1), name="a.exe")

    assert len(shelf.requests) == 2


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        pytest.param([None, Response(200, {}, b"")], "opened no session", id="no session"),
        pytest.param([None, None, None, Response(206, {}, b"")], "waits for more", id="not the end"),
    ],
)
def test_an_upload_that_the_service_does_not_understand_is_an_error(files, shelf, answers, words):
    shelf.answers = answers

    with pytest.raises(errors.BadResponse, match=words):
        files.upload("account", ROW, "new_contract", b"x" * (BLOCK + 1), name="a.bin")


def test_the_size_of_blocks_is_the_services(files, shelf):
    shelf.answers = [None, Response(200, {"Location": SESSION, "x-ms-chunk-size": "3000000"}, b"")]

    files.upload("account", ROW, "new_contract", b"x" * 5_000_000, name="a.bin")

    assert [len(request.body) for request in shelf.requests if request.body] == [3_000_000, 2_000_000]


@pytest.mark.parametrize("name", ["", "  "])
def test_a_file_needs_a_name(files, name):
    with pytest.raises(errors.BadRequest, match="has no name"):
        files.upload("account", ROW, "new_contract", b"x", name=name)


def test_a_column_of_another_kind_names_those_that_hold_files(files):
    with pytest.raises(errors.BadRequest, match="type Money; it holds no file") as raised:
        files.download("account", ROW, "revenue")

    assert raised.value.remedy == "File and image columns of account: new_contract, new_photo."


def test_where_nobody_says_how_much_a_column_holds_the_service_will():
    class Silent(Shelf):
        def _metadata(self, target):
            if "MaxSizeInKB" in target:
                raise errors.Forbidden("no", status=403)
            return super()._metadata(target)

    silent = Silent()
    files = Files(silent, Tables(silent), Stop())

    files.upload("account", ROW, "new_contract", b"x", name="a")

    assert files.largest("account", "new_contract") is None


def test_an_upload_of_a_large_file_needs_no_memory_for_it(files, shelf, tmp_path):
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    largest = 0

    class Measured(io.FileIO):
        def read(self, size=-1):
            nonlocal largest
            largest = max(largest, size)
            return super().read(size)

    shelf.send = forgetting(shelf.send, shelf)
    with Measured(source) as file:
        files.upload("account", ROW, "new_contract", file, name="large.bin")

    assert largest == BLOCK


def forgetting(send, shelf):
    def sent(request, stop=None):
        answer = send(request, stop)
        shelf.requests.clear()
        return answer

    return sent


def test_options_go_with_every_request_that_writes(files, shelf):
    options = WriteOptions(bypass_flows=True, tag="nightly load")

    files.upload("account", ROW, "new_contract", b"x" * (BLOCK + 1), name="a.bin", options=options)
    files.upload("account", ROW, "new_contract", b"x", name="a.bin", options=options)
    files.delete("account", ROW, "new_contract", options=options)

    writes = [request for request in shelf.requests if request.method != "GET"]
    assert {request.headers["MSCRM.SuppressCallbackRegistrationExpanderJob"] for request in writes} == {
        "true"
    }
    assert all(
        "tag=nightly%20load" in request.target for request in writes if "session" not in request.target
    )


def test_a_name_in_the_address_and_a_tag_go_together(files, shelf):
    files.upload("account", ROW, "new_contract", b"x", name="Ü.bin", options=WriteOptions(tag="t"))

    assert shelf.requests[0].target.endswith("/new_contract?x-ms-file-name=%C3%9C.bin&tag=t")


def test_what_an_error_says_of_an_upload_holds_no_session(shelf, files):
    shelf.answers = [None, None, errors.Forbidden("no", status=403)]
    with pytest.raises(errors.Forbidden):
        files.upload("account", ROW, "new_contract", b"x" * (BLOCK + 1), name="a.bin")

    assert shelf.requests[-1].asked == f"PATCH accounts({ROW})/new_contract?sessiontoken"
