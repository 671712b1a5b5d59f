"""One of several processes that renew the same person's sign-in at once; what it is to do comes as JSON on standard input."""

from __future__ import annotations

import json
import sys

from airflow_provider_dynamics.auth.authorities import Authority
from airflow_provider_dynamics.auth.credentials import RefreshToken
from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.auth.tokens import TokenCache

NEEDED = ("issuer", "environment", "ca_bundle", "secret_app", "client_secret")


def main() -> None:
    told = json.load(sys.stdin)
    for _ in range(told["times"]):
        RefreshToken(
            None,
            told["secret_app"],
            told["seed"],
            client_secret=told["client_secret"],
            authority=Authority("oidc", told["issuer"], told["environment"]),
            store=FileStore(told["folder"], told["key"]),
            cache=TokenCache(),
        ).get_token(told["environment"], network=Network(ca_bundle=told["ca_bundle"]))
    print(f"{told['times']} renewed")  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
