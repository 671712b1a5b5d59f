"""The emulator's own speed, so that nobody's benchmark on it measures the emulator: over TLS, by plain `requests`."""

from __future__ import annotations

import statistics
import time
from typing import Any

import requests

from benchmarks.processes import serving

ROWS = 100_000
CHUNK = 1_000
CHUNKS = 10


def measure() -> tuple[float, float]:
    """Return the seconds that reading 100,000 accounts takes, and the median milliseconds of CreateMultiple of 1,000."""
    command = (
        "airflow_provider_dynamics.emulator",
        "--port",
        "0",
        "--seed",
        "sample",
        "--rows",
        f"account={ROWS}",
    )
    with serving(*command) as words, requests.Session() as session:
        facts = dict(word.split("=", 1) for word in words[1:])
        session.trust_env = False  # an environment's certificate bundle would beat ours
        session.verify = facts["ca"]
        session.headers["Authorization"] = f"Bearer {_token(session, words[0], facts)}"
        return _read(session, words[0]), _create(session, words[0])


def _token(session: requests.Session, url: str, facts: dict[str, str]) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": facts["client_id"],
        "client_secret": facts["client_secret"],
        "scope": f"{url}/.default",
    }
    reply = session.post(f"{url}/{facts['tenant']}/oauth2/v2.0/token", data=form, timeout=30)
    reply.raise_for_status()
    return str(reply.json()["access_token"])


def _read(session: requests.Session, url: str) -> float:
    columns = "name,accountnumber,emailaddress1,telephone1,revenue,numberofemployees,statecode,createdon"
    link: str | None = f"{url}/api/data/v9.2/accounts?$select={columns}"
    started, count = time.perf_counter(), 0
    while link:
        page: dict[str, Any] = session.get(link, timeout=60).json()
        count += len(page["value"])
        link = page.get("@odata.nextLink")
    seconds = time.perf_counter() - started
    if count < ROWS:
        raise SystemExit(f"the emulator gave {count} rows of {ROWS}")
    return seconds


def _create(session: requests.Session, url: str) -> float:
    times = []
    for chunk in range(CHUNKS):
        targets = [
            {
                "@odata.type": "Microsoft.Dynamics.CRM.account",
                "name": f"New {chunk}-{number}",
                "telephone1": "+1 555 0100",
                "numberofemployees": number,
            }
            for number in range(CHUNK)
        ]
        address = f"{url}/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple"
        started = time.perf_counter()
        reply = session.post(address, json={"Targets": targets}, timeout=60)
        times.append((time.perf_counter() - started) * 1000)
        reply.raise_for_status()
    return statistics.median(times)
