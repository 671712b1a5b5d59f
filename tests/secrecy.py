"""Looks for planted secrets in everything a run of Airflow leaves behind: files, logs, and each row of its database.

A secret is looked for as it is, in the spellings that programs give to text, and in parts, since messages are cut.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

from cryptography.fernet import Fernet, InvalidToken

__all__ = ["holds", "leaked_access_tokens", "leaks"]

SHORTEST = 12  # characters of a value that can be told from chance
PART = 24  # characters of a part that is looked for alone
ENCRYPTED = {"connection", "variable"}  # tables that may hold secrets, as ciphertext

_FERNET = re.compile(rb"gAAAA[\w=-]{60,}")
_JWT = re.compile(rb"eyJ[\w-]{10,}\.(eyJ[\w-]{10,})\.[\w-]{10,}")
_SQLITE = b"SQLite format 3\0"

Spellings = list[tuple[str, bytes]]


def leaks(home: Path, planted: Mapping[str, str], fernet_key: str | None = None) -> list[str]:
    """Return one line for each place below `home` where a planted value stands: its name, its spelling, where.

    `planted` maps a secret's name to its value; the lines never hold the value. With Airflow's Fernet key,
    what is encrypted is looked into as well, but for connections and variables. Raises ValueError for a value
    too short to be recognised.
    """
    spellings = {name: _spellings(name, value) for name, value in planted.items()}
    found = set()
    for where, content in _contents(home, fernet_key):
        for name, written in spellings.items():
            found |= {f"{name}, {how}, in {where}" for how, text in written if text in content}
    return sorted(found)


def leaked_access_tokens(home: Path, audience: str) -> list[str]:
    """Return one line for each place below `home` where an access token (a JWT) for `audience` stands, whoever issued it."""
    return sorted(
        {
            f"access token for {audience} in {where}"
            for where, content in _contents(home, None)
            for payload in _JWT.findall(content)
            if audience in str(_claims(payload).get("aud"))
        }
    )


def holds(content: str | bytes, value: str) -> bool:
    """Say whether a text holds a value in any spelling."""
    sought = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return any(text in sought for _, text in _spellings("value", value))


def _spellings(name: str, value: str) -> Spellings:
    if len(value) < SHORTEST:
        raise ValueError(f"the planted {name} is too short to be told from chance: {len(value)} characters")
    lines = [line for line in value.splitlines() if len(line) >= PART and not line.startswith("-----")]
    parts = [part for line in lines for part in _parts(line)]
    return _written("whole", value) + [
        each for part in parts for each in _written("in part", part) if each[1] != value.encode()
    ]


def _parts(line: str) -> list[str]:
    """Return beginning, middle and end of a line; the beginning of a JWT is everybody's."""
    middle = (len(line) - PART) // 2
    begins = [] if line.startswith("eyJ") else [line[:PART]]
    return [] if len(line) < PART + 8 else [*begins, line[middle : middle + PART], line[-PART:]]


def _written(extent: str, value: str) -> Spellings:
    escaped = [json.dumps(value, ensure_ascii=ascii)[1:-1] for ascii in (True, False)]  # noqa: A001 - json's own word
    percent = [quote(value, safe=""), quote(value), quote_plus(value)]
    texts = {
        "as it is": [value],
        "JSON-escaped": [*escaped, *(json.dumps(text)[1:-1] for text in escaped), repr(value)[1:-1]],
        "percent-encoded": [*percent, *(re.sub(r"%..", lambda code: code[0].lower(), p) for p in percent)],
        "HTML-escaped": [html.escape(value)],
    }
    if extent == "whole":
        texts["in hexadecimal"] = [value.encode().hex()]
        texts["in base64"] = [code for text in (value, percent[0]) for code in _base64(text)]
    seen: set[str] = set()
    written = []
    for how, spelt in texts.items():
        for text in spelt:
            if text not in seen:
                seen.add(text)
                written.append((f"{extent}, {how}", text.encode()))
    return written


def _base64(value: str) -> Iterator[str]:
    """Yield the text that stands for `value` wherever it begins inside something encoded."""
    content = value.encode()
    for before in range(3):
        code = base64.b64encode(b"\0" * before + content).decode()
        first = (0, 2, 3)[before]
        last = len(code.rstrip("=")) - (1 if (before + len(content)) % 3 else 0)
        yield code[first:last]
        yield code[first:last].replace("+", "-").replace("/", "_")


def _contents(home: Path, fernet_key: str | None) -> Iterator[tuple[str, bytes]]:
    for path in sorted(home.rglob("*")):
        name = str(path.relative_to(home))
        yield f"the name {name[:80]}", name.encode("utf-8", "surrogateescape")
        if not path.is_file():
            continue
        content = path.read_bytes()
        yield name, content
        if content.startswith(_SQLITE):
            yield from _cells(path, name)
            yield from _decrypted(path, name, fernet_key)


def _cells(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield each column of each table, since a value may lie across two pages of the file."""
    for table, columns, rows in _tables(path):
        for column, values in zip(columns, zip(*rows, strict=True), strict=False):
            texts = [v if isinstance(v, bytes) else str(v).encode() for v in values if v is not None]
            yield f"{name}, {table}.{column}", b"\n".join(texts)


def _decrypted(path: Path, name: str, fernet_key: str | None) -> Iterator[tuple[str, bytes]]:
    if not fernet_key:
        return
    fernet = Fernet(fernet_key)
    for table, _, rows in _tables(path):
        stored = b"\n".join(v if isinstance(v, bytes) else str(v).encode() for row in rows for v in row)
        for code in _FERNET.findall(stored) if table not in ENCRYPTED else ():
            with suppress(InvalidToken):
                yield f"{name}, {table}, decrypted", fernet.decrypt(code)


def _tables(path: Path) -> Iterator[tuple[str, list[str], list[tuple[object, ...]]]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.text_factory = bytes
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            table = name.decode()
            rows = database.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - a name the database itself gave
            columns = [column[0] for column in rows.description]
            yield table, columns, rows.fetchall()


def _claims(payload: bytes) -> dict[str, object]:
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
