"""Change sets of elastic rows: they answer as if they were one transaction, and they are none."""

from __future__ import annotations

BATCH = "/api/data/v9.2/$batch"


def change_set(wire, *requests):
    parts = "".join(
        "--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: {number}\r\n\r\nPOST /api/data/v9.2/{entity_set} HTTP/1.1\r\n"
        f"Content-Type: application/json\r\n\r\n{body}\r\n"
        for number, (entity_set, body) in enumerate(requests, 1)
    )
    text = f"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{parts}--c--\r\n--b--\r\n"
    return wire("POST", BATCH, data=text, headers={"Content-Type": "multipart/mixed; boundary=b"})


def test_what_an_elastic_table_took_stays_when_the_set_fails(emulator, wire):
    accounts = len(emulator.rows("account"))
    answer = change_set(
        wire,
        ("contoso_sensordatas", '{"contoso_value": 1}'),
        ("accounts", '{"name": "A"}'),
        ("contoso_sensordatas", '{"contoso_value": "many"}'),
    )
    assert (answer.status_code, "0x80048d19" in answer.text) == (400, True)
    assert [row["contoso_value"] for row in emulator.rows("contoso_sensordata")] == [1]
    assert len(emulator.rows("account")) == accounts


def test_a_set_that_fits_is_answered_part_by_part(wire):
    answer = change_set(wire, *[("contoso_sensordatas", '{"contoso_value": 1}')] * 2)
    assert answer.text.count("HTTP/1.1 204") == 2
    assert answer.text.count("x-ms-session-token") == 2
