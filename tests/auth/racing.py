"""Several processes that use one refresh token at the same time: `python -m tests.auth.racing STORE URL SEED PLACE PROCESSES REFRESHES`.

Each signs in, forgets everything a process may know, and signs in again; what went wrong is printed as JSON. The
processes are forks of one that has imported everything, so that they really run at once.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_dynamics.auth.authority import Signed
from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.redis_store import RedisStore
from airflow_provider_dynamics.auth.rotation import Memory, Rotation
from airflow_provider_dynamics.auth.store import NoStore
from airflow_provider_dynamics.auth.tokens import AccessToken
from airflow_provider_dynamics.state.variable_store import VariableCredentialStore
from tests.auth.refreshing import RefreshServer, dead

ENCRYPTION_KEY = "cmFjaW5nLXJhY2luZy1yYWNpbmctcmFjaW5nLXJhY2U="
KEY = "dynamics_token.race"


class TokenServer:
    """A `RefreshServer` over HTTP on loopback, which takes its requests at once and its time for each."""

    def __init__(self, rotation):
        self.tokens = RefreshServer(rotation)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                token = self.rfile.read(int(self.headers["Content-Length"])).decode()
                time.sleep(random.uniform(0.0, 0.02))  # the way there
                try:
                    status, answer = 200, outer.tokens.redeem(token).refresh_token
                except AuthenticationError:
                    status, answer = 400, ""
                time.sleep(random.uniform(0.0, 0.02))  # and back
                body = (answer or "").encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = False  # they are waited for

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}/token"


class FileVariables:
    """What Airflow's Variables are to several workers: read, written blindly, and some milliseconds away."""

    def __init__(self, folder):
        self._folder = Path(folder)

    def get(self, key):
        self._travel()
        try:
            text = (self._folder / key).read_text()
        except FileNotFoundError:
            text = None
        self._travel()
        return text

    def put(self, key, text, description):
        self._travel()
        new = self._folder / f"{key}.{os.getpid()}.{threading.get_ident()}"
        new.write_text(text)
        new.replace(self._folder / key)
        self._travel()

    def delete(self, key):
        (self._folder / key).unlink(missing_ok=True)

    def in_clear(self):
        return False

    def _travel(self):
        time.sleep(random.uniform(0.001, 0.008))


def airflows_own():
    """Return the store in Airflow's own Variables; a connection to a database is nothing to share with a fork."""
    from airflow import settings

    settings.configure_orm()
    return VariableCredentialStore()


def store_of(kind, place):
    makers = {
        "variable": lambda: VariableCredentialStore(FileVariables(place)),
        "file": lambda: FileStore(place, ENCRYPTION_KEY),
        "redis": lambda: RedisStore(place, ENCRYPTION_KEY),
        "none": NoStore,
        "airflow": airflows_own,
    }
    return makers[kind]()


def redeem(url, token):
    """Ask the server for the next refresh token."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("POST", "/token", token)
        response = connection.getresponse()
        answer = response.read().decode()
    finally:
        connection.close()
    if response.status != 200:
        raise dead()
    return Signed(AccessToken("access", time.time() + 3600), answer or None)


def refresh(kind, url, seed, place, refreshes):
    """Sign in several times as a process that keeps nothing; return how often that failed, and how many requests it took."""
    store, failed, asked = store_of(kind, place), [], []

    def sign_in(token):
        asked.append(token)
        return redeem(url, token)

    for _ in range(refreshes):
        rotation = Rotation(store, KEY, memory=Memory())
        try:
            rotation.redeem(seed, sign_in)
        except AuthenticationError as error:
            failed.append(str(error))
    return {"failed": failed, "asked": len(asked)}


def main(kind, url, seed, place, *numbers):
    processes, refreshes = map(int, numbers)
    if kind == "airflow":
        import airflow.models.variable  # noqa: F401 - forked with the rest
    ready, go = os.pipe()
    outputs = []
    for _ in range(processes):
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(go)
            os.read(ready, 1)  # until all are there
            done = refresh(kind, url, seed, place, refreshes)
            os.write(writing, json.dumps(done).encode())
            os._exit(0)
        os.close(writing)
        outputs.append(reading)
    os.close(go)
    results = [json.loads(os.fdopen(output).read()) for output in outputs]
    failed = [error for one in results for error in one["failed"]]
    record = store_of(kind, place).load(KEY)
    kept = record.refresh_token if record else None
    print(json.dumps({"failed": failed, "asked": sum(one["asked"] for one in results), "kept": kept}))  # noqa: T201 - its result


if __name__ == "__main__":
    main(*sys.argv[1:])
