"""Elastic tables: partitions, time to live, bulk messages that do a part, and upserts that replace."""

from __future__ import annotations

import json

import pytest

SET = "contoso_sensordatas"
TYPE = "Microsoft.Dynamics.CRM.contoso_sensordata"
FIRST = "6114ca58-0928-ee11-9965-6045bd5cd155"
SECOND = "6214ca58-0928-ee11-9965-6045bd5cd155"
DETAILS = "@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"


def key(row_id, partition):
    return f"{SET}(contoso_sensordataid={row_id},partitionid='{partition}')"


def bulk(service, message, *rows, **headers):
    targets = [{"@odata.type": TYPE, **row} for row in rows]
    return service("POST", f"{SET}/Microsoft.Dynamics.CRM.{message}", {"Targets": targets}, **headers)


def results(answer):
    return [(one["RequestIndex"], one["StatusCode"]) for one in json.loads(answer.json["error"][DETAILS])]


class TestPartitions:
    def test_the_key_is_the_partition_when_none_is_given(self, empty):
        row_id = empty.make(SET, contoso_value=1)
        row = empty.get(f"{SET}({row_id})").json
        assert row["partitionid"] == row_id

    def test_a_row_in_a_partition_is_found_by_both(self, empty):
        row_id = empty.make(SET, contoso_value=1, partitionid="device-1")
        assert empty.get(f"{SET}({row_id})").error == "0x80040217"
        assert empty.get(f"{SET}({row_id})?partitionId=device-1").json["contoso_value"] == 1
        assert empty.get(key(row_id, "device-1")).json["contoso_value"] == 1
        assert empty.get(key(row_id, "device-2")).status == 404

    def test_two_partitions_may_hold_one_key(self, empty):
        for number, partition in enumerate(("a", "b")):
            empty.make(SET, contoso_sensordataid=FIRST, partitionid=partition, contoso_value=number)
        again = empty("POST", SET, {"contoso_sensordataid": FIRST, "partitionid": "a"})
        assert again.status == 412
        assert [row["partitionid"] for row in empty.get(SET).rows] == ["a", "b"]
        assert empty.get(f"{SET}?partitionId=b").rows[0]["contoso_value"] == 1

    def test_pages_lose_no_row_with_a_key_of_another(self, empty):
        for number in range(5):
            empty.make(SET, contoso_sensordataid=FIRST, partitionid=f"p{number}")
        pages = list(empty.pages(f"{SET}?$select=partitionid", Prefer="odata.maxpagesize=2"))
        assert [row["partitionid"] for page in pages for row in page["value"]] == [f"p{n}" for n in range(5)]

    def test_the_partition_of_a_row_stays(self, empty):
        row_id = empty.make(SET, contoso_value=1, partitionid="a")
        path = key(row_id, "a")
        assert (
            empty("PATCH", path, {"contoso_value": 2, "partitionid": "b"}, **{"If-Match": "*"}).status == 204
        )
        assert empty.get(path).json["contoso_value"] == 2

    def test_microsofts_spelling_of_the_key_works(self, empty):
        row_id = empty.make(SET, contoso_value=1, partitionid="a")
        path = f"{SET}(contoso_sensordataid={row_id},partitionId='a')"
        assert empty("PATCH", path, {"contoso_value": 3}, **{"If-Match": "*"}).status == 204

    def test_a_delete_needs_the_partition(self, empty):
        row_id = empty.make(SET, partitionid="a")
        assert empty("DELETE", f"{SET}({row_id})").status == 404
        assert empty("DELETE", f"{SET}({row_id})?partitionId=a").status == 204
        assert empty.api.rows("contoso_sensordata") == []

    def test_a_partition_has_at_most_1024_bytes(self, empty):
        assert empty("POST", SET, {"partitionid": "ü" * 513}).error == "0x80044331"


class TestWriting:
    def test_writes_answer_with_a_session_token_and_deletes_do_not(self, empty):
        made = empty("POST", SET, {"contoso_value": 1})
        assert made.headers["x-ms-session-token"].startswith("240:8#")
        path = f"{SET}({made.entity_id})"
        changed = empty("PATCH", path, {"contoso_value": 2}, **{"If-Match": "*"})
        assert changed.headers["x-ms-session-token"] != made.headers["x-ms-session-token"]
        read = empty.get(path, **{"MSCRM.SessionToken": changed.headers["x-ms-session-token"]})
        assert read.json["contoso_value"] == 2
        assert "x-ms-session-token" not in empty("DELETE", path).headers

    def test_standard_tables_have_no_session(self, empty):
        assert "x-ms-session-token" not in empty("POST", "accounts", {"name": "A"}).headers

    def test_an_update_changes_and_an_upsert_replaces(self, empty):
        row_id = empty.make(SET, contoso_value=1, contoso_deviceid="x", partitionid="a")
        empty("PATCH", key(row_id, "a"), {"contoso_value": 2}, **{"If-Match": "*"})
        assert empty.get(key(row_id, "a")).json["contoso_deviceid"] == "x"
        assert empty("PATCH", f"{SET}({row_id})", {"contoso_value": 3, "partitionid": "a"}).status == 204
        row = empty.get(key(row_id, "a")).json
        assert (row["contoso_value"], row["contoso_deviceid"]) == (3, None)
        assert len(empty.api.rows("contoso_sensordata")) == 1

    def test_an_upsert_makes_the_row_in_its_partition(self, empty):
        assert empty("PATCH", f"{SET}({FIRST})", {"contoso_value": 3, "partitionid": "a"}).status == 204
        assert empty.get(key(FIRST, "a")).json["contoso_value"] == 3

    def test_rows_go_when_their_time_is_over(self, empty):
        row_id = empty.make(SET, ttlinseconds=60)
        empty.make(SET, contoso_value=1)
        empty.wait(seconds=59)
        assert empty.get(f"{SET}({row_id})").status == 200
        empty.wait(seconds=2)
        assert empty.get(f"{SET}({row_id})").status == 404
        assert len(empty.get(SET).rows) == 1


class TestBulk:
    def test_create_multiple_answers_with_ids(self, empty):
        answer = bulk(empty, "CreateMultiple", {"contoso_value": 1, "partitionid": "a"}, {"contoso_value": 2})
        first, _ = answer.json["Ids"]
        assert empty.get(key(first, "a")).json["contoso_value"] == 1
        assert "x-ms-session-token" in answer.headers

    def test_rows_that_fit_are_written_though_others_are_refused(self, empty):
        rows = ({"contoso_value": 1}, {"contoso_value": "many"}, {"contoso_value": 3})
        answer = bulk(empty, "CreateMultiple", *rows, Prefer='odata.include-annotations="*"')
        assert (answer.status, answer.error) == (400, "0x80048d19")
        assert results(answer) == [(0, 201), (1, 400), (2, 201)]
        assert sorted(row["contoso_value"] for row in empty.api.rows("contoso_sensordata")) == [1, 3]

    def test_details_come_only_when_asked_for(self, empty):
        answer = bulk(empty, "CreateMultiple", {"contoso_value": "many"})
        assert DETAILS not in answer.json["error"]

    def test_update_multiple_takes_the_partition_from_the_row(self, empty):
        row_id = empty.make(SET, contoso_value=1, partitionid="a")
        changed = {"contoso_sensordataid": row_id, "partitionid": "a", "contoso_value": 2}
        missing = {"contoso_sensordataid": SECOND, "contoso_value": 2}
        answer = bulk(empty, "UpdateMultiple", changed, missing, Prefer='odata.include-annotations="*"')
        assert results(answer) == [(0, 200), (1, 404)]
        assert empty.get(key(row_id, "a")).json["contoso_value"] == 2

    def test_upsert_multiple_replaces_and_creates(self, empty):
        empty.make(SET, contoso_sensordataid=FIRST, contoso_value=1, contoso_deviceid="x", partitionid="a")
        rows = [
            {"contoso_sensordataid": FIRST, "partitionid": "a", "contoso_value": 2},
            {"contoso_sensordataid": SECOND, "partitionid": "b", "contoso_value": 3},
        ]
        assert bulk(empty, "UpsertMultiple", *rows).status == 204
        assert empty.get(key(FIRST, "a")).json["contoso_deviceid"] is None
        assert empty.get(key(SECOND, "b")).json["contoso_value"] == 3

    def test_upsert_multiple_takes_the_key_in_a_link(self, empty):
        empty.make(SET, contoso_sensordataid=FIRST, contoso_value=1, partitionid="a")
        assert bulk(empty, "UpsertMultiple", {"@odata.id": key(FIRST, "a"), "contoso_value": 9}).status == 204
        assert (
            bulk(empty, "UpsertMultiple", {"@odata.id": key(SECOND, "b"), "contoso_value": 8}).status == 204
        )
        assert {row["contoso_value"] for row in empty.api.rows("contoso_sensordata")} == {8, 9}

    def test_delete_multiple_deletes(self, empty):
        for row_id in (FIRST, SECOND):
            empty.make(SET, contoso_sensordataid=row_id, partitionid="a")
        rows = [{"contoso_sensordataid": row_id, "partitionid": "a"} for row_id in (FIRST, SECOND)]
        answer = bulk(empty, "DeleteMultiple", *rows)
        assert (answer.status, "x-ms-session-token" in answer.headers) == (204, False)
        assert empty.api.rows("contoso_sensordata") == []

    def test_delete_multiple_tells_which_were_not_there(self, empty):
        empty.make(SET, contoso_sensordataid=FIRST, partitionid="a")
        rows = [{"contoso_sensordataid": FIRST, "partitionid": "a"}, {"contoso_sensordataid": SECOND}]
        answer = bulk(empty, "DeleteMultiple", *rows, Prefer='odata.include-annotations="*"')
        assert results(answer) == [(0, 204), (1, 404)]

    def test_standard_tables_have_no_delete_multiple(self, empty):
        answer = empty("POST", "accounts/Microsoft.Dynamics.CRM.DeleteMultiple", {"Targets": []})
        assert answer.message == "DeleteMultiple has not yet been implemented."


class TestJoins:
    @pytest.mark.parametrize("path", ["createdby/fullname eq 'x'", "createdby/systemuserid ne null"])
    def test_a_filter_over_another_table_is_0x80048d0b(self, empty, path):
        assert empty.get(f"{SET}?$filter={path}").error == "0x80048d0b"

    def test_text_with_a_slash_is_no_path(self, empty):
        assert empty.get(f"{SET}?$filter=contoso_deviceid eq 'a/b'").status == 200

    @pytest.mark.parametrize(("kind", "status"), [("inner", 400), ("outer", 200)])
    def test_only_outer_links_are_taken(self, empty, kind, status):
        document = (
            "<fetch><entity name='contoso_sensordata'><attribute name='contoso_value'/>"
            f"<link-entity name='systemuser' from='systemuserid' to='createdby' link-type='{kind}'/>"
            "</entity></fetch>"
        )
        answer = empty.get(f"{SET}?fetchXml={document}")
        assert answer.status == status
        assert status == 200 or answer.error == "0x80048d0b"


def test_the_metadata_calls_it_elastic(sample):
    path = "EntityDefinitions(LogicalName='contoso_sensordata')?$select=TableType"
    assert sample.get(path).json["TableType"] == "Elastic"


def test_a_bulk_deletion_works_here_too(empty):
    empty.api.jobs.waiting = empty.api.jobs.running = 0
    for partition in ("a", "b"):
        empty.make(SET, contoso_sensordataid=FIRST, partitionid=partition)
    body = {
        "QuerySet": [{"EntityName": "contoso_sensordata", "ColumnSet": {"AllColumns": True}}],
        "JobName": "Clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2025-06-01T00:00:00Z",
    }
    assert empty("POST", "BulkDelete", body).status == 200
    assert empty.get(SET).rows == []
