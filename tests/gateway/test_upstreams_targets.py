"""SERVICE=TARGET: what is understood, what is refused, and who answers which call."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from skytrail import settings as settings_module
from skytrail.errors import SettingsError
from skytrail.gateway.upstreams import Upstreams, moto_inside, targets
from skytrail.gateway.upstreams.targets import Address, Aws, Credentials, Moto, Target
from skytrail.settings import Upstreams as UpstreamSettings
from skytrail.storage.store import Store
from skytrail.work.clock import Clock
from skytrail.work.ids import Ids
from tests.audit.calls import route


def read(*services: str, **other: Any) -> dict[str, Target]:
    return dict(targets.read(UpstreamSettings(services=services, **other)))


def test_targets_are_read() -> None:
    assert read("*=moto", "s3 = http://key:s%40e@minio:9000/base/", "dynamodb=https://[::1]:8000", "logs=aws") == {
        "*": Moto(),
        "s3": Address("http://minio:9000/base", Credentials("key", "s@e")),
        "dynamodb": Address("https://[::1]:8000"),
        "logs": Aws(),
    }


def test_shared_credentials_hold_where_a_target_has_none() -> None:
    shared: dict[str, Any] = {"access_key": "a", "secret_key": "b", "session_token": "c"}
    keys = Credentials("a", "b", "c")
    assert read("s3=http://key:secret@x", "sqs=http://x", "logs=aws", **shared) == {
        "s3": Address("http://x", Credentials("key", "secret")),
        "sqs": Address("http://x", keys),
        "logs": Aws(keys),
    }


@pytest.mark.parametrize(
    ("services", "message"),
    [
        (("s3",), "'s3' is not SERVICE=TARGET"),
        (("=moto",), "is not SERVICE=TARGET"),
        (("s3=",), "is not SERVICE=TARGET"),
        (("states=moto",), "there is no service 'states'; is stepfunctions meant?"),
        (("dynamodbb=moto",), "is dynamodb meant?"),
        (("zzzzz=moto",), "services have botocore's names"),
        (("s3=moto", "s3=aws"), "s3 has two targets"),
        (("s3=minio:9000",), "is neither moto, nor aws, nor a URL"),
        (("s3=ftp://minio",), "nor a URL"),
        (("s3=http://",), "nor a URL"),
        (("s3=http://x/?a=b",), "nor a URL"),
        (("s3=http://x:port",), "is not a URL"),
        (("s3=http://key@x",), "ACCESS_KEY:SECRET_KEY@"),
    ],
)
def test_what_is_no_target_is_refused(services: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(*services)
    assert message in str(raised.value)


def test_no_secret_is_shown() -> None:
    target = read("s3=http://key:secret@minio:9000")["s3"]
    assert "secret" not in f"{target} {target!r}"
    with pytest.raises(SettingsError) as raised:
        read("s3=ftp://key:secret@minio")
    assert "secret" not in str(raised.value)


def test_half_of_the_credentials_is_refused() -> None:
    with pytest.raises(SettingsError, match="need both"):
        read("s3=aws", access_key="a")


def test_settings_from_the_environment_and_their_bounds() -> None:
    environ = {"SKYTRAIL_UPSTREAMS_SERVICES": "s3=http://x,*=moto", "SKYTRAIL_UPSTREAMS_SECONDS": "2.5"}
    upstreams = settings_module.load(environ=environ).upstreams
    assert (upstreams.services, upstreams.seconds) == (("s3=http://x", "*=moto"), 2.5)
    for name, value in (("SECONDS", "0"), ("CONNECTIONS", "0"), ("ANSWER_BYTES", "-1")):
        with pytest.raises(SettingsError):
            settings_module.load(environ={f"SKYTRAIL_UPSTREAMS_{name}": value})


def test_moto_that_is_not_installed_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "flask" else find_spec(name))
    with pytest.raises(SettingsError, match=r"pip install 'skytrail\[moto\]'"):
        moto_inside.InProcess(Moto())


def test_a_variable_that_makes_one_account_of_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "111122223333")
    with pytest.raises(SettingsError, match="MOTO_ACCOUNT_ID"):
        moto_inside.InProcess(Moto())


def test_who_answers(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db", durability="os")
    settings = settings_module.Settings(upstreams=UpstreamSettings(services=("sqs=http://q", "*=http://rest")))
    upstreams = Upstreams(settings, store, Clock(), Ids(1))
    store.close()

    def answers(service: str, operation: str, *, implemented: bool) -> str:
        return str(upstreams.target(route(service, operation), implemented=implemented))

    # A service that is named goes there always; the rest where nothing else answers.
    assert answers("sqs", "SendMessage", implemented=True) == "http://q"
    assert answers("kms", "Encrypt", implemented=True) == "None"
    assert answers("kms", "DeriveSharedSecret", implemented=False) == "http://rest"
    assert answers("ec2", "RunInstances", implemented=False) == "http://rest"
