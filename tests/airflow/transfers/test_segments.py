"""A file that is written in segments is the file that is written at once."""

from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach

from airflow_provider_dynamics.formats import FormatError, writer
from airflow_provider_dynamics.formats.storage import place
from airflow_provider_dynamics.transfers.segments import Segments, ready
from tests.airflow.transfers.reading import FIELDS, Buckets, expected_ids, ids_in, pages_of

FORMATS = ("parquet", "ndjson", "csv")
SIZES = (3, 0, 1, 4)


@pytest.fixture(autouse=True)
def _a_store_with_buckets():
    attach("memory", fs=Buckets())


def written(path, sizes=SIZES, kept=()):
    """Write a segment a page."""
    segments = Segments(place(path), str(path).rsplit(".", 1)[1], FIELDS, "key", kept)
    for page in pages_of(sizes):
        segments.append(segments.prepare(page))
        segments.close()
    return segments


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("sizes", [(), (0,), (5,), SIZES], ids=str)
def test_segments_are_joined_into_the_file_that_would_have_been_written_at_once(tmp_path, suffix, sizes):
    path, whole = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    with writer(whole, None, FIELDS) as file:
        for page in pages_of(sizes):
            file.write(page)

    written(path, sizes).finish("replace")

    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name, whole.name]
    if suffix == "parquet":
        assert pq.read_table(path).equals(pq.read_table(whole))
    else:
        assert path.read_bytes() == whole.read_bytes()


def test_segments_are_hidden_whole_files_beside_the_destination_until_the_end(tmp_path):
    segments = written(tmp_path / "a.csv")

    names = [entry.name for entry in tmp_path.iterdir()]
    assert len(names) == 3, "a page without rows makes none"
    assert all(name.startswith(".a.csv.key.") for name in names)
    assert [one.rows for one in segments.complete] == [3, 1, 4]
    assert segments.rows == 8
    assert all((tmp_path / one.name).stat().st_size == one.size for one in segments.complete)


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_segments_of_an_earlier_try_are_joined_before_those_of_this_one(tmp_path, scheme):
    path = f"{scheme}{tmp_path}/a.csv"
    first = Segments(place(path), "csv", FIELDS, "key")
    first.append(first.prepare(pages_of([2])[0]))
    first.close()
    second = Segments(place(path), "csv", FIELDS, "key", first.complete)
    assert second.still_there()
    second.append(second.prepare(pages_of([2, 3])[1]))

    second.finish("replace")

    file = tmp_path / "a.csv"
    if scheme:
        file.write_bytes(ObjectStoragePath(path).read_bytes())
    assert ids_in(file) == expected_ids([5])


@pytest.mark.parametrize("longer", [0, 1, None], ids=["as it was", "longer", "gone"])
def test_a_segment_that_is_not_as_it_was_left_is_noticed(tmp_path, longer):
    kept = written(tmp_path / "a.csv", (2,)).complete[0]
    if longer is None:
        (tmp_path / kept.name).unlink()
    else:
        (tmp_path / kept.name).write_bytes((tmp_path / kept.name).read_bytes() + b"x" * longer)
    later = Segments(place(tmp_path / "a.csv"), "csv", FIELDS, "key", [kept])

    assert later.still_there() == (longer == 0)
    later.abandon()


class Away(Buckets):
    """Cannot say what it has."""

    def info(self, path, **options):
        raise ConnectionError("the storage is away")


def test_a_storage_that_cannot_say_what_it_has_is_asked_again_later(tmp_path):
    kept = written(tmp_path / "a.csv", (2,)).complete
    away = replace(place(f"memory://{tmp_path}/a.csv"), fs=Away())
    later = Segments(away, "csv", FIELDS, "key", kept)

    with pytest.raises(ConnectionError):
        later.still_there()


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_what_killed_tries_left_is_swept_up_and_nothing_else(tmp_path, scheme):
    folder = ObjectStoragePath(f"{scheme}{tmp_path}/lake")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (".a.csv.key.dead.00001.part", ".a.csv.other.dead.00001.part", ".b.csv.key.x", "a.csv"):
        (folder / name).write_bytes(b"x")

    Segments(place(folder / "a.csv"), "csv", FIELDS, "key").remove(others=True)

    assert sorted(entry.name for entry in folder.iterdir()) == [
        ".a.csv.other.dead.00001.part",
        ".b.csv.key.x",
        "a.csv",
    ]


def test_a_file_that_appears_in_the_way_meanwhile_is_left_alone(tmp_path):
    segments = written(tmp_path / "a.csv", (2,))
    (tmp_path / "a.csv").write_text("mine")

    with pytest.raises(FormatError, match="exists already"):
        segments.finish("fail")

    assert (tmp_path / "a.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        pytest.param("memory://missing/a.csv", "bucket 'missing' exists", id="a missing bucket"),
        pytest.param("memory://locked/a.csv", "Access Denied.*may write", id="a bucket one may not write to"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_in_words(path, said):
    with pytest.raises(FormatError, match=said) as caught:
        ready(place(ObjectStoragePath(path)), "replace")
    assert "No row was read" in str(caught.value)


def test_a_file_where_a_folder_must_be_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("mine")

    with pytest.raises(FormatError, match="No row was read"):
        ready(place(tmp_path / "file" / "a.csv"), "replace")


def test_a_storage_that_is_away_may_be_back_soon():
    with pytest.raises(ConnectionError):
        ready(place(ObjectStoragePath("memory://away/a.csv")), "replace")


def test_a_place_that_was_made_ready_is_left_as_it_was(tmp_path):
    ready(place(tmp_path / "a.csv"), "replace")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_a_folder_in_the_files_place_is_refused_in_words(tmp_path, scheme):
    target = ObjectStoragePath(f"{scheme}{tmp_path}/a.csv")
    target.mkdir(parents=True, exist_ok=True)
    (target / "theirs").write_bytes(b"x")

    with pytest.raises(FormatError, match="is a folder"):
        ready(place(target), "replace")

    assert [entry.name for entry in target.iterdir()] == ["theirs"]


@pytest.mark.parametrize("sizes", [(2,), (2, 3)], ids=["moved", "joined"])
def test_a_name_that_looks_like_a_pattern_is_a_name(tmp_path, sizes):
    folder = ObjectStoragePath(f"memory://{tmp_path}/lake")
    ready(place(folder / "a[1].csv"), "replace")

    written(folder / "a[1].csv", sizes).finish("replace")

    assert [entry.name for entry in folder.iterdir()] == ["a[1].csv"]
