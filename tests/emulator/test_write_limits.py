"""What bounds writing: time that rows take, chunks that are too large, connections lost while a batch runs."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

ACCOUNT = "Microsoft.Dynamics.CRM.account"
MULTIPLE = f"/api/data/v9.2/accounts/{ACCOUNT.removesuffix('.account')}.CreateMultiple"
BATCH = "/api/data/v9.2/$batch"


def create(wire, count, **columns):
    targets = [{"@odata.type": ACCOUNT, "name": f"Row {number}", **columns} for number in range(count)]
    return wire("POST", MULTIPLE, json={"Targets": targets})


def batch(wire, count, prefer=""):
    parts = "".join(
        "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        "POST /api/data/v9.2/accounts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"
        f'{{"name": "Row {number}"}}\r\n'
        for number in range(count)
    )
    headers = {"Content-Type": "multipart/mixed; boundary=b", "Prefer": prefer}
    return wire("POST", BATCH, data=f"{parts}--b--\r\n", headers=headers)


def made(emulator):
    return sum(row["name"].startswith("Row ") for row in emulator.rows("account"))


class TestExecutionTime:
    def test_every_row_of_a_chunk_takes_its_time(self, emulator, wire):
        emulator.row_seconds = 0.01
        started = time.monotonic()
        assert create(wire, 30).status_code == 200
        assert time.monotonic() - started >= 0.3

    def test_the_time_of_rows_is_execution_time(self, emulator, wire):
        emulator.row_seconds = 0.02
        emulator.fault("limits", execution_seconds=0.3, window=300, servers=1)
        assert create(wire, 20).status_code == 200
        refused = create(wire, 1)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "0x80072321")

    def test_the_requests_of_a_batch_take_their_time_too(self, emulator, wire):
        emulator.row_seconds = 0.02
        started = time.monotonic()
        assert batch(wire, 10).status_code == 200
        assert time.monotonic() - started >= 0.2

    def test_a_request_takes_time_of_its_own(self, emulator, wire):
        emulator.request_seconds = 0.1
        started = time.monotonic()
        wire.who_am_i()
        assert time.monotonic() - started >= 0.1

    def test_a_reset_takes_the_time_away(self, emulator):
        emulator.request_seconds = emulator.row_seconds = 1.0
        emulator.reset()
        assert (emulator.request_seconds, emulator.row_seconds) == (0.0, 0.0)

    def test_what_is_no_time_is_refused(self, emulator):
        with pytest.raises(ValueError, match="row_seconds is a number of seconds"):
            emulator.row_seconds = -1


class TestTooMuch:
    def test_a_chunk_the_database_gives_up_on_writes_nothing(self, emulator, wire):
        emulator.fault("time_out", rows=10)
        answer = create(wire, 11)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "0x80044151")
        assert made(emulator) == 0
        assert create(wire, 10).status_code == 200
        assert made(emulator) == 10

    def test_only_what_is_too_large_counts_as_a_hit(self, emulator, wire):
        switch = emulator.fault("time_out", rows=10, count=1)
        create(wire, 5)
        assert switch.hits == 0
        assert create(wire, 11).status_code == 500
        assert create(wire, 11).status_code == 200

    def test_a_gateway_refuses_large_bodies(self, emulator, wire):
        emulator.fault("too_large", bytes=5000)
        answer = create(wire, 100)
        assert (answer.status_code, answer.headers["Content-Type"]) == (413, "text/html; charset=utf-8")
        assert create(wire, 5).status_code == 200
        assert made(emulator) == 5

    def test_the_sandbox_names_the_size(self, emulator, wire):
        emulator.fault("too_large", bytes=5000, who="sandbox")
        answer = create(wire, 100)
        assert answer.json()["error"]["code"] == "0x80040216"
        assert "Message size exceeded when sending context to Sandbox. Message size: 0." in answer.text
        assert made(emulator) == 0

    def test_reads_write_nothing(self, emulator, wire):
        emulator.fault("time_out", rows=0)
        assert wire.get("/accounts?$top=1").status_code == 200


class TestLostAnswers:
    @pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 4)])
    def test_a_chunk_is_written_or_not_and_nobody_says_which(self, emulator, wire, when, rows):
        emulator.fault("reset", when=when, path="CreateMultiple", count=1)
        with pytest.raises(requests.ConnectionError):
            create(wire, 4)
        assert made(emulator) == rows

    @pytest.mark.parametrize(("when", "rows"), [("before", 0), ("midway", 2), ("after", 4)])
    def test_a_batch_may_be_lost_before_after_and_midway(self, emulator, wire, when, rows):
        emulator.fault("reset", when=when, path=r"\$batch", count=1)
        with pytest.raises(requests.ConnectionError):
            batch(wire, 4)
        assert made(emulator) == rows

    def test_midway_through_a_chunk_nothing_is_written(self, emulator, wire):
        emulator.fault("reset", when="midway", path="CreateMultiple", count=1)
        with pytest.raises(requests.ConnectionError):
            create(wire, 4)
        assert made(emulator) == 0


class TestConcurrency:
    def test_as_many_writes_as_are_allowed_run_at_once_and_not_one_more(self, emulator, wire_to):
        emulator.fault("limits", concurrency=6, servers=1)
        emulator.request_seconds = 0.5
        gate = threading.Barrier(9)
        wires = [wire_to(emulator) for _ in range(9)]

        def write(wire):
            gate.wait(10)
            return create(wire, 1)

        with ThreadPoolExecutor(9) as pool:
            answers = list(pool.map(write, wires))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) == 3
        assert {answer.json()["error"]["code"] for answer in refused} == {"0x80072326"}
        assert made(emulator) == 6
