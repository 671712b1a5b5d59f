"""No value of the sign-in shows what it keeps secret, whoever prints it: a log, a debugger, a failed assertion."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from types import ModuleType
from urllib.parse import quote

import pytest

from airflow_provider_dynamics import auth, connection
from airflow_provider_dynamics.auth.authorities import Authority
from airflow_provider_dynamics.auth.authority import Signed, SignIn
from airflow_provider_dynamics.auth.code_flow import CodeFlow, DeviceFlow
from airflow_provider_dynamics.auth.credentials import (
    ClientCertificate,
    ClientSecret,
    ManagedIdentity,
    RefreshToken,
    StaticToken,
    UsernamePassword,
    WorkloadIdentity,
)
from airflow_provider_dynamics.auth.file_store import FileStore
from airflow_provider_dynamics.auth.network import Network
from airflow_provider_dynamics.auth.proofs import Assertion, Certificate, Secret
from airflow_provider_dynamics.auth.redis_store import RedisStore
from airflow_provider_dynamics.auth.store import Record
from airflow_provider_dynamics.auth.tokens import AccessToken
from airflow_provider_dynamics.connection import Settings
from tests.secrecy import holds

PLANTED = "pl4nted~value.that+must=never.show"
PROXY = f"http://airflow:{PLANTED}@proxy.contoso.com:8080"
ENVIRONMENT = "https://contoso.crm4.dynamics.com"
IDENTITY = ("contoso.onmicrosoft.com", "66666666-7777-8888-9999-000000000000")


def settings(**fields: str) -> Settings:
    password = fields.pop("password", None)
    extra = {"tenant_id": IDENTITY[0], "proxy": PROXY, "webhook_secret": PLANTED, **fields}
    return Settings.from_fields(host=ENVIRONMENT, login=IDENTITY[1], password=password, extra=extra)


NETWORK = Network(proxy=PROXY)
VALUES = [
    Secret(PLANTED),
    Certificate(PLANTED, PLANTED),
    Assertion(lambda: PLANTED),
    NETWORK,
    AccessToken(PLANTED, 0),
    Signed(AccessToken(PLANTED, 0), PLANTED, "ann@contoso.com"),
    SignIn(ENVIRONMENT, Authority(), *IDENTITY, Secret(PLANTED), "client secret", network=NETWORK),
    CodeFlow("https://login.microsoftonline.com/", {"code_verifier": PLANTED}),
    DeviceFlow("CODE", "https://microsoft.com/devicelogin", "Enter CODE", 0, 5, {"device_code": PLANTED}),
    Record(refresh_token=PLANTED),
    ClientSecret(*IDENTITY, PLANTED),
    ClientCertificate(*IDENTITY, PLANTED, PLANTED),
    WorkloadIdentity(*IDENTITY, lambda: PLANTED),
    ManagedIdentity(),
    RefreshToken(*IDENTITY, PLANTED, PLANTED),
    UsernamePassword(*IDENTITY, "ann@contoso.com", PLANTED, PLANTED),
    StaticToken(PLANTED),
    FileStore("/tmp", "x" * 43 + "="),  # noqa: S108 - nothing is written
    settings(password=PLANTED),
    settings(password=PLANTED).credential(),
    settings(password=PLANTED).client(),
    settings(password=PLANTED).sign_in(),
    settings(auth_type="refresh_token", refresh_token=PLANTED, password=PLANTED),
    settings(auth_type="username_password", username="ann@contoso.com", user_password=PLANTED),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_prints_without_its_secrets(value: object) -> None:
    nested = [value, {"a": value}]

    assert not holds(f"{value!r} {value} {nested} {nested!r}", PLANTED)


def test_a_store_in_redis_prints_without_its_password() -> None:
    pytest.importorskip("redis")
    store = RedisStore(f"redis://:{quote(PLANTED, safe='~')}@localhost:6379/0", "x" * 43 + "=")

    assert not holds(f"{store!r} {store}", PLANTED)


def modules(package: ModuleType) -> list[ModuleType]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [package, *(importlib.import_module(info.name) for info in found)]


SECRET = re.compile(
    r"secret|password|passphrase|token|private_key|verifier|proxy|kept|assertion|credential$|proof|code$"
)
OPEN = {
    "DeviceFlow.user_code": "a person reads it from the screen",
    "Explanation.code": "an error's number",
    "Failure.code": "an error's number",
    "Field.secret": "whether a field is one",
    "Settings.assertion_file": "a path",
    "SignIn.proof": "a value that hides its own",
    "Signed.token": "a value that hides its own",
    "_Slot.token": "a value that hides its own",
}
DATACLASSES = {
    value
    for package in (auth, connection)
    for module in modules(package)
    for value in vars(module).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value)
}
FIELDS = sorted(
    f"{one.__name__}.{field.name}"
    for one in DATACLASSES
    for field in dataclasses.fields(one)
    if SECRET.search(field.name) and field.repr
)


def test_what_sounds_like_a_secret_is_left_out_of_what_is_printed() -> None:
    assert [name for name in FIELDS if name not in OPEN] == []
