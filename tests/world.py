"""A small internet behind a proxy: host names of the real one, TLS that a client can be told to trust, and an ear on all of it.

Where a secret goes is decided by host names, so the tests that watch it need names: `login.microsoftonline.com` and an
attacker's. Nothing of the code under test is replaced; only its connection names this world's proxy and certificates.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.secrecy import holds

__all__ = ["Answer", "Asked", "World", "world"]


@dataclass(frozen=True)
class Asked:
    """One request as its server saw it."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body))

    def holds(self, value: str) -> bool:
        """Say whether a value came with it, in any spelling, anywhere."""
        return holds("\n".join([self.path, *self.headers.values(), self.body]), value)


@dataclass(frozen=True)
class Answer:
    """What a server says: a JSON object, or only headers."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Server = Callable[[Asked], Answer]


class World:
    """Servers by host name, and what each was asked; a host without a server answers 404 and listens all the same."""

    def __init__(self, proxy: str, ca_bundle: str) -> None:
        self.proxy = proxy
        self.ca_bundle = ca_bundle
        self.servers: dict[str, Server] = {}
        self.asked: list[Asked] = []

    @property
    def reached(self) -> set[str]:
        """The hosts somebody connected to, or tried to."""
        return {asked.path.rpartition(":")[0] for asked in self.at("proxy") if asked.method == "CONNECT"}

    def at(self, host: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.host == host]

    def holders(self, value: str) -> set[str]:
        """Return the hosts that a value was sent to, the proxy as "proxy"."""
        return {asked.host for asked in self.asked if asked.holds(value)}

    def _answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        server = self.servers.get(asked.host)
        return server(asked) if server else Answer(404, {"error": f"nobody is at {asked.host}"})


@contextmanager
def world(folder: Path, hosts: Sequence[str]) -> Iterator[World]:
    """Run a world whose certificates are good for `hosts`; any other host is reached, and its TLS fails."""
    tls = _certificates(folder, hosts)
    with _listening(_Site) as sites, _listening(_Proxy) as proxy:
        sites.socket = tls.wrap_socket(sites.socket, server_side=True, do_handshake_on_connect=False)
        made = World(f"http://127.0.0.1:{proxy.server_port}", str(folder / "ca.pem"))
        sites.world = proxy.world = made
        proxy.sites = sites.server_port
        yield made


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    world: World
    sites: int

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not like a certificate hangs up; the client's side tells why."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one piece
    disable_nagle_algorithm = True
    server: _Listener

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are recorded, not printed."""


class _Site(_Handler):
    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        host = (self.headers["Host"] or "").removesuffix(":443")
        answer = self.server.world._answer(Asked(host, self.command, self.path, dict(self.headers), body))
        content = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "OData-Version": "4.0", **answer.headers}
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _respond  # noqa: N815 - http.server's names


class _Proxy(_Handler):
    def do_CONNECT(self) -> None:
        self.server.world.asked.append(Asked("proxy", "CONNECT", self.path, dict(self.headers), ""))
        with socket.create_connection(("127.0.0.1", self.server.sites), timeout=20) as site:
            site.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            back = threading.Thread(target=_pump, args=(site, self.connection), daemon=True)
            back.start()
            _pump(self.connection, site)
            back.join(20)
        self.close_connection = True

    def _plain(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        self.server.world.asked.append(Asked("proxy", self.command, self.path, dict(self.headers), body))
        self.send_error(502)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _plain  # noqa: N815 - http.server's names


@contextmanager
def _listening(handler: type[_Handler]) -> Iterator[_Listener]:
    with _Listener(("127.0.0.1", 0), handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            listener.shutdown()
            thread.join(20)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _certificates(folder: Path, hosts: Sequence[str]) -> ssl.SSLContext:
    """Write `ca.pem`, and return what presents one certificate for all the hosts."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _draft("a small internet", "a small internet", ca_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    ca = ca.add_extension(_SIGNS, critical=True)  # which Python minds since 3.13, as it does who has signed
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    site = _draft("its sites", "a small internet", key)
    site = site.add_extension(names, critical=False).add_extension(signer, critical=False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "sites.pem").write_bytes(site.sign(ca_key, hashes.SHA256()).public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "sites.pem")
    return context


def _draft(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
