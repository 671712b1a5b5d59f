"""Eight real processes with one refresh token: none of their sign-ins may fail, and the grant must survive.

What a service may allow decides which store is good enough; the last two tests say what happens with one that
is not, so that the others are known to test something.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.auth.racing import KEY, TokenServer, store_of

ROOT = Path(__file__).parents[2]
PROCESSES, REFRESHES = 8, 5


@pytest.fixture
def place(tmp_path):
    """Return where a kind of store keeps its records."""

    def find(kind, request):
        return request.getfixturevalue("redis_url") if kind == "redis" else str(tmp_path)

    return find


def race(server, kind, place):
    """Let the processes refresh at the same time; return what they say and what the service saw."""
    seed = server.tokens.issue()
    arguments = [kind, server.url, seed, place, str(PROCESSES), str(REFRESHES)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.auth.racing", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *said, result = done.stdout.splitlines()
    assert said == []
    return json.loads(result)


@pytest.mark.parametrize(
    ("rotation", "kind"),
    [
        pytest.param("reusable", "variable", id="Entra's tokens in Variables"),
        pytest.param("one_use", "variable", id="tokens for one use in Variables"),
        pytest.param("family", "file", id="tokens that are revoked together in files"),
        pytest.param("family", "redis", id="tokens that are revoked together in Redis"),
    ],
)
def test_no_sign_in_fails_and_the_newest_token_is_kept(request, place, rotation, kind):
    with TokenServer(rotation) as server:
        result = race(server, kind, place(kind, request))
        assert result["failed"] == []
        record = store_of(kind, place(kind, request)).load(KEY)
        assert record.refresh_token in server.tokens.valid
        if rotation != "reusable":
            assert record.refresh_token == f"seed-{PROCESSES * REFRESHES}" == server.tokens.newest["seed"]


def test_without_a_store_tokens_for_one_use_are_lost(tmp_path):
    with TokenServer("one_use") as server:
        assert len(race(server, "none", str(tmp_path))["failed"]) > 20


def test_without_a_lock_tokens_that_are_revoked_together_are_lost(tmp_path):
    with TokenServer("family") as server:
        assert race(server, "variable", str(tmp_path))["failed"]
        assert not server.tokens.valid
