"""What every store does alike, and what the file's and Redis's have to do besides."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
from cryptography.fernet import Fernet

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.redis_store import RedisStore
from airflow_provider_dynamics.auth.store import Failure, NoStore, Record, StoreError, following

ENCRYPTION_KEY = Fernet.generate_key().decode()
ANOTHER_KEY = Fernet.generate_key().decode()
RECORD = Record(
    1, "r3fresh-token", "seed", "anne@contoso.com", 1.8e9, Failure(text="expired", at=1.8e9), ("former",)
)


@pytest.fixture
def key():
    return f"dynamics_token.{uuid4()}"


@pytest.fixture(params=["none", "file", "redis"])
def store(request, tmp_path):
    if request.param == "none":
        return NoStore()
    if request.param == "file":
        return FileStore(tmp_path / "a" / "b", ENCRYPTION_KEY)
    return RedisStore(request.getfixturevalue("redis_url"), ENCRYPTION_KEY)


# --- all of them -------------------------------------------------------------------------------------------------


def test_nothing_is_stored_at_first(store, key):
    assert store.load(key) is None


def test_what_is_saved_is_loaded(store, key):
    assert store.save(key, RECORD, expected=0)
    assert store.load(key) == RECORD
    assert store.load(f"{key}-2") is None


@pytest.mark.parametrize("expected", [0, 2])
def test_a_record_that_somebody_changed_meanwhile_is_left_alone(store, key, expected):
    store.save(key, RECORD, expected=0)
    assert not store.save(key, Record(3, "another"), expected=expected)
    assert store.load(key) == RECORD


def test_a_record_that_is_as_expected_is_replaced(store, key):
    store.save(key, RECORD, expected=0)
    assert store.save(key, Record(2, "another"), expected=1)
    assert store.load(key) == Record(2, "another")


def test_a_record_that_is_gone_is_not_replaced(store, key):
    store.save(key, RECORD, expected=0)
    store.delete(key)
    assert store.load(key) is None
    assert not store.save(key, Record(2), expected=1)
    assert store.save(key, RECORD, expected=0)


def test_deleting_what_is_not_there_is_no_error(store, key):
    store.delete(key)


def test_of_many_that_save_at_once_one_wins(store, key):
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda n: store.save(key, Record(1, str(n)), expected=0), range(8)))
    assert saved.count(True) == 1
    assert store.load(key).refresh_token == str(saved.index(True))


def test_a_lock_lets_one_in_at_a_time(store, key):
    inside, most = [], []

    def enter(n):
        with store.lock(key, timeout=30):
            inside.append(n)
            most.append(len(inside))
            record = store.load(key)
            assert store.save(key, following(record), expected=record.generation if record else 0)
            inside.remove(n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(24)))
    assert max(most) == 1
    assert store.load(key).generation == 24


def test_a_lock_is_waited_for_only_so_long(store, key):
    with store.lock(key, timeout=1), pytest.raises(StoreError, match="Another task") as caught:  # noqa: SIM117 - the inner one
        with store.lock(key, timeout=0.05):
            pass
    assert caught.value.retryable
    with store.lock(key, timeout=1):
        pass


def test_a_lock_of_one_credential_does_not_hold_up_another(store, key):
    with store.lock(key, timeout=1), store.lock(f"{key}-2", timeout=0.05):
        assert store.save(key, RECORD, expected=0)


def test_a_lock_ends_with_an_error_inside(store, key):
    with pytest.raises(AuthenticationError), store.lock(key, timeout=1):
        raise AuthenticationError("refused")
    with store.lock(key, timeout=0.05):
        pass


@pytest.fixture(params=["file", "redis"])
def encrypted(request, tmp_path):
    """Return a function that opens the same place with a key."""

    def with_key(encryption_key):
        if request.param == "file":
            return FileStore(tmp_path, encryption_key)
        return RedisStore(request.getfixturevalue("redis_url"), encryption_key)

    return with_key


def test_another_key_reads_nothing_and_says_so(encrypted, key):
    encrypted(ENCRYPTION_KEY).save(key, RECORD, expected=0)
    with pytest.raises(StoreError, match="encrypted with another key, or is damaged") as caught:
        encrypted(ANOTHER_KEY).load(key)
    assert not caught.value.retryable
    assert "r3fresh-token" not in str(caught.value)


def test_a_key_can_be_replaced_with_the_old_one_beside_it(encrypted, key):
    encrypted(ENCRYPTION_KEY).save(key, RECORD, expected=0)
    assert encrypted(f"{ANOTHER_KEY}, {ENCRYPTION_KEY}").load(key) == RECORD


@pytest.mark.parametrize(
    ("encryption_key", "words"),
    [("", "keeps nothing unencrypted"), (" , ", "keeps nothing unencrypted"), ("short", "not a Fernet key")],
)
def test_there_is_no_store_without_a_key(encrypted, encryption_key, words):
    with pytest.raises(StoreError, match=words):
        encrypted(encryption_key)


# --- files -------------------------------------------------------------------------------------------------------


def test_a_file_is_its_owners_and_encrypted(tmp_path, key):
    folder = tmp_path / "tokens"
    store = FileStore(folder, ENCRYPTION_KEY)
    with store.lock(key, timeout=1):
        store.save(key, RECORD, expected=0)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert all(b"r3fresh-token" not in file.read_bytes() for file in files)


def test_nothing_half_written_is_left_behind(tmp_path, key):
    store = FileStore(tmp_path, ENCRYPTION_KEY)
    store.save(key, RECORD, expected=0)
    store.save(key, Record(2), expected=1)
    assert [file.suffix for file in tmp_path.iterdir() if file.suffix != ".lock"] == [".fernet"]


@pytest.mark.parametrize("key", ["../token", "a/b", "", ".hidden", "x" * 251])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, key):
    with pytest.raises(StoreError, match="cannot be the name"):
        FileStore(tmp_path, ENCRYPTION_KEY).load(key)


def test_a_place_that_is_no_folder_is_said(tmp_path, key):
    (tmp_path / "file").touch()
    store = FileStore(tmp_path / "file", ENCRYPTION_KEY)
    for use in (
        lambda: store.load(key),
        lambda: store.save(key, RECORD, expected=0),
        lambda: store.delete(key),
    ):
        with pytest.raises(StoreError, match=r"folder .*/file cannot be") as caught:
            use()
        assert not caught.value.retryable


def test_a_damaged_file_is_said(tmp_path, key):
    store = FileStore(tmp_path, ENCRYPTION_KEY)
    store.save(key, RECORD, expected=0)
    next(tmp_path.glob("*.fernet")).write_bytes(b"")
    with pytest.raises(StoreError, match="is damaged"):
        store.load(key)


# --- Redis -------------------------------------------------------------------------------------------------------


def test_redis_holds_nothing_in_clear(redis_url, key):
    RedisStore(redis_url, ENCRYPTION_KEY).save(key, RECORD, expected=0)
    with redis.Redis.from_url(redis_url) as client:
        kept = client.hgetall(key)
    assert kept[b"generation"] == b"1"
    assert b"r3fresh-token" not in kept[b"record"]


def test_a_lock_in_redis_lives_as_long_as_its_holder(redis_url, key):
    store = RedisStore(redis_url, ENCRYPTION_KEY, lease=2)
    with redis.Redis.from_url(redis_url) as client, store.lock(key, timeout=1):
        with pytest.raises(StoreError, match="Another task"):  # noqa: SIM117 - the inner one
            with store.lock(key, timeout=3):
                pass
        assert client.pttl(f"{key}.lock") > 0
    with redis.Redis.from_url(redis_url) as client:
        assert not client.exists(f"{key}.lock")


def test_a_lock_in_redis_that_another_has_taken_over_is_not_released(redis_url, key):
    store = RedisStore(redis_url, ENCRYPTION_KEY)
    with redis.Redis.from_url(redis_url) as client:
        with store.lock(key, timeout=1):
            client.set(f"{key}.lock", "another owner")
        assert client.get(f"{key}.lock") == b"another owner"


def test_a_lock_in_redis_ends_after_its_holder_died(redis_url, key):
    store = RedisStore(redis_url, ENCRYPTION_KEY, lease=0.2)
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{key}.lock", "a process that was killed", px=200)
    with store.lock(key, timeout=10):
        pass


def test_a_redis_that_is_away_is_said_without_its_password(key):
    store = RedisStore("redis://:s3cret@127.0.0.1:1/0", ENCRYPTION_KEY)
    with pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1:1 cannot be used") as caught:
        store.load(key)
    assert caught.value.retryable
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__} {store!r}"


def test_a_redis_that_wants_tls_is_spoken_to_in_tls(redis_url, key):
    url = redis_url.replace("redis://", "rediss://") + "?socket_timeout=0.3"
    store = RedisStore(url, ENCRYPTION_KEY)  # the server speaks none
    with pytest.raises(StoreError, match="cannot be used"):
        store.load(key)


def test_what_is_no_redis_url_is_said():
    with pytest.raises(StoreError, match="is no Redis URL"):
        RedisStore("http://127.0.0.1", ENCRYPTION_KEY)
