"""`python -m airflow_provider_dynamics.emulator`: serve until told to stop, and say so in one line.

The line names the Web app; ``--help`` names the native app and the people.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT_PORT = 8765


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        from airflow_provider_dynamics.emulator import Emulator
    except ImportError as error:
        return _fail(str(error))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    seed = None if options.seed == "none" else options.seed
    try:
        emulator = Emulator(
            seed=seed,
            rows=dict(options.rows),
            port=options.port,
            cert_dir=options.cert_dir,
            latency=options.latency,
            dop_hint=options.dop_hint,
            created=options.created,
        )
        for name in options.environment:
            emulator.add_environment(name)
        emulator.start()
        if options.env:
            options.env.write_text(_for_a_shell(emulator.airflow_connection()))
            options.env.chmod(0o600)
    except ValueError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"cannot listen on port {options.port} or write its files: {error.strerror or error}")
    with emulator:
        _say_ready(emulator, emulator.discovery_url if options.environment else None)
        stop.wait()
    return 0


def _say_ready(emulator: object, discovery: str | None) -> None:
    fields = {name: getattr(emulator, name) for name in ("tenant_id", "client_id", "client_secret")}
    line = (
        f"ready {getattr(emulator, 'url', '')} ca={getattr(emulator, 'ca_bundle', '')} tenant={fields['tenant_id']} "
        f"client_id={fields['client_id']} client_secret={fields['client_secret']}"
        f"{f' discovery={discovery}' if discovery else ''}"
    )
    print(line, flush=True)  # noqa: T201 - whoever started the process reads this line


def _for_a_shell(environment: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_dynamics.emulator",
        description="A Dataverse environment and its sign-in services on this machine, over TLS.",
        epilog=_who_exists(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="port on 127.0.0.1; 0 takes a free one (default %(default)s)",
    )
    parser.add_argument(
        "--seed", default="sample", help="sample, or none for tables without rows (default sample)"
    )
    parser.add_argument(
        "--rows",
        type=_row_count,
        action="append",
        default=[],
        metavar="TABLE=COUNT",
        help="add that many generated rows, for example account=100000; may be given more than once",
    )
    parser.add_argument(
        "--created",
        choices=("evenly", "skewed"),
        default="evenly",
        help="when those rows were created: over three years, or most in one day (default %(default)s)",
    )
    parser.add_argument(
        "--latency",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="answers of the environment come that much later (default 0)",
    )
    parser.add_argument(
        "--dop-hint",
        type=int,
        default=4,
        metavar="NUMBER",
        help="the degree of parallelism it recommends to its clients (default %(default)s)",
    )
    parser.add_argument(
        "--environment",
        action="append",
        default=[],
        metavar="NAME",
        help="serve one more environment of the tenant, at a port that the discovery service tells; may be given more "
        "than once",
    )
    parser.add_argument(
        "--cert-dir",
        metavar="DIR",
        help="keep the certificates here and use them again (default: a temporary folder)",
    )
    parser.add_argument(
        "--env",
        type=Path,
        metavar="FILE",
        help="write the Airflow connection dynamics_default to this file, for a shell to read with `. FILE`",
    )
    return parser


def _who_exists() -> str:
    from airflow_provider_dynamics.emulator.directory import PEOPLE, PUBLIC_CLIENT_ID, USER_IDENTITY

    people = "\n".join(f"  {one.user_name:30} {one.password:28} {one.describe()}" for one in PEOPLE.values())
    return (
        f"The native app (no secret, redirects to http://localhost) is {PUBLIC_CLIENT_ID},\n"
        f"the user-assigned managed identity {USER_IDENTITY}. AD FS is at /adfs.\n"
        f"Who can sign in, with which password:\n{people}\n"
    )


def _row_count(text: str) -> tuple[str, int]:
    table, equals, count = text.partition("=")
    if not (table and equals and count.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not TABLE=COUNT, for example account=100000")
    return table, int(count)


def _fail(sentence: str) -> int:
    print(f"emulator: {sentence}", file=sys.stderr)  # noqa: T201 - a command's error goes to stderr
    return 1


if __name__ == "__main__":
    sys.exit(main())
