"""System jobs, background operations and files over the wire, and the controls beside them."""

from __future__ import annotations

import pytest
import requests

CONTACTS = {"EntityName": "contact", "ColumnSet": {"AllColumns": True}}
CLEAN_UP = {
    "QuerySet": [CONTACTS],
    "JobName": "Clean up",
    "SendEmailNotification": False,
    "ToRecipients": [],
    "CCRecipients": [],
    "RecurrencePattern": "",
    "StartDateTime": "2025-06-01T00:00:00Z",
}


def control(emulator, method, **members):
    url = f"{emulator.url}/_emulator/jobs"
    return requests.request(method, url, json=members or None, verify=emulator.ca_bundle, timeout=20)


def start(wire):
    answer = wire("POST", "/api/data/v9.2/BulkDelete", json=CLEAN_UP)
    assert answer.status_code == 200, answer.text
    return answer.json()["JobId"]


def status(wire, job_id):
    return wire.get(f"/asyncoperations({job_id})?$select=statuscode").json()["statuscode"]


def test_a_job_is_moved_on_in_process(emulator, wire):
    emulator.jobs.waiting, emulator.jobs.running = 10, 10
    job_id = start(wire)
    assert status(wire, job_id) == 0
    emulator.jobs.advance(15)
    assert status(wire, job_id) == 20
    emulator.jobs.advance(10)
    assert status(wire, job_id) == 30
    assert emulator.rows("contact") == []


def test_a_job_is_moved_on_from_elsewhere(emulator, wire):
    told = control(emulator, "POST", waiting=10, running=10).json()
    assert (told["waiting"], told["open"]) == (10.0, [])
    job_id = start(wire)
    assert control(emulator, "GET").json()["open"] == [job_id]
    control(emulator, "POST", advance=30)
    assert status(wire, job_id) == 30
    control(emulator, "POST", forget=job_id)
    assert wire.get(f"/asyncoperations({job_id})").status_code == 404


def test_what_there_is_not_is_refused(emulator):
    assert control(emulator, "POST", speed=1).status_code == 400
    assert control(emulator, "POST", forget="nothing").status_code == 400


def test_a_reset_brings_back_times_and_takes_jobs_away(emulator, wire):
    emulator.jobs.held = True
    start(wire)
    emulator.reset()
    assert control(emulator, "GET").json()["open"] == []
    assert emulator.jobs.held is False


def test_a_status_monitor_needs_a_token(wire):
    path = "/api/backgroundoperation/00000000-0000-0000-0000-00000000dead"
    assert wire("GET", path).status_code == 404
    wire.token = None
    assert wire("GET", path).status_code == 401


@pytest.mark.parametrize("size", [10, 100_000])
def test_files_are_not_compressed_on_the_way(emulator, wire, size):
    account = emulator.rows("account")[0]["accountid"]
    path = f"/api/data/v9.2/accounts({account})/sample_filecolumn"
    headers = {"Content-Type": "application/octet-stream", "x-ms-file-name": "zeros.bin"}
    assert wire("PATCH", path, data=b"0" * size, headers=headers).status_code == 204
    answer = wire("GET", f"{path}/$value")
    assert answer.content == b"0" * size
    assert "Content-Encoding" not in answer.headers
