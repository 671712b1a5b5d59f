"""What the Webhook secret of a connection may hold, and how a key is compared."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.connection.fields import SettingsError
from airflow_provider_dynamics.connection.webhook_keys import is_one_of, webhook_keys

NEW, OLD = "0123456789abcdef-new", "0123456789abcdef-old"


@pytest.mark.parametrize(
    ("secret", "keys"),
    [
        (None, ()),
        ("", ()),
        ("  ", ()),
        (NEW, (NEW,)),
        (f"{NEW} {OLD}", (NEW, OLD)),
        (f"{NEW}\n{OLD}\n", (NEW, OLD)),
        (f" {NEW}, {OLD}", (NEW, OLD)),
        (f"{NEW},{NEW}", (NEW,)),
    ],
)
def test_a_secret_holds_one_key_or_while_it_is_changed_two(secret: str | None, keys: tuple[str, ...]):
    assert webhook_keys(secret) == keys


@pytest.mark.parametrize(
    "secret",
    [
        "short",
        f"{NEW} short",
        "x" * 257,
        f"{NEW} {OLD} {OLD}er",
        "schlüssel-mit-umlaut",
        "0123456789abcdef\x7f",
    ],
)
def test_a_key_that_cannot_work_is_refused_without_being_repeated(secret: str):
    with pytest.raises(SettingsError) as refused:
        webhook_keys(secret)

    assert all(part not in str(refused.value) for part in secret.split())


@pytest.mark.parametrize("keys", [(), (NEW,), (NEW, OLD)])
@pytest.mark.parametrize("given", [NEW, OLD, "", NEW[:-1], NEW + "x", "\0" * 32, "\udcff"])
def test_only_a_whole_key_is_one_of_them(given: str, keys: tuple[str, ...]):
    assert is_one_of(given, keys) == (given in keys)
