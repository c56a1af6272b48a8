"""The test kit in use: each test begins clean, on one server, with the clock in its hands."""

from __future__ import annotations

import os
import select
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skytrail.testing import Server, Skytrail

from ..torture.columns import columns_process

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_servers: set[tuple[int, str]] = set()


def names(skytrail: Skytrail, **options: str) -> list[str]:
    events = skytrail.client("cloudtrail", **options).lookup_events()["Events"]
    return [event["EventName"] for event in events]


@pytest.mark.parametrize("time", range(4))
def test_each_test_begins_clean_on_the_same_server(time: int, skytrail: Skytrail, skytrail_server: Server) -> None:
    assert abs(skytrail.clock.now() - datetime.now(UTC)) < timedelta(seconds=30)
    iam = skytrail.client("iam")
    assert iam.list_users()["Users"] == []
    assert names(skytrail) == ["ListUsers"]
    # What the next one is not to see:
    iam.create_user(UserName="alice")
    iam.create_access_key(UserName="alice")
    skytrail.clock.freeze(NOON)
    _servers.add((skytrail_server.pid, skytrail.endpoint))
    assert len(_servers) == 1


def test_a_reset_forgets_users_keys_history_and_clock(skytrail: Skytrail) -> None:
    iam = skytrail.client("iam", account="111122223333")
    iam.create_user(UserName="alice")
    key = iam.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
    assert skytrail.client("sts", access_key=key).get_caller_identity()["Account"] == "111122223333"
    skytrail.clock.freeze(NOON)
    skytrail.reset()
    assert names(skytrail, account="111122223333") == []
    assert iam.list_users()["Users"] == []
    assert skytrail.client("sts", access_key=key).get_caller_identity()["Account"] == skytrail.account
    assert skytrail.clock.now() > NOON


def test_clients_are_of_the_account_and_region_that_they_were_asked_for(skytrail: Skytrail) -> None:
    assert skytrail.client("sts").get_caller_identity()["Account"] == "000000000000"
    place = {"account": "123456789012", "region": "ap-southeast-2"}
    assert skytrail.client("sts", **place).get_caller_identity()["Account"] == place["account"]
    assert names(skytrail, **place) == ["GetCallerIdentity"]
    other = Skytrail(skytrail.endpoint, **place)
    assert other.client("sts").get_caller_identity()["Account"] == place["account"]


def test_the_environments_proxies_are_passed_by(skytrail: Skytrail, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    skytrail.clock.now()
    skytrail.clock.freeze()
    skytrail.client("sts").get_caller_identity()
    skytrail.reset()


# The clock


def test_a_frozen_clock_stands(skytrail: Skytrail) -> None:
    assert skytrail.clock.freeze(NOON) == NOON
    skytrail.client("sts").get_caller_identity()
    skytrail.client("sts").get_caller_identity()
    assert skytrail.clock.now() == NOON
    events = skytrail.client("cloudtrail").lookup_events()["Events"]
    assert {event["EventTime"] for event in events} == {NOON}
    skytrail.reset()


def test_time_advances_as_far_as_it_is_told(skytrail: Skytrail) -> None:
    skytrail.clock.freeze(NOON)
    assert skytrail.clock.advance(90) == NOON + timedelta(seconds=90)
    assert skytrail.clock.advance(timedelta(days=2)) == NOON + timedelta(days=2, seconds=90)
    assert skytrail.clock.now() == NOON + timedelta(days=2, seconds=90)
    skytrail.reset()


def test_a_clock_that_runs_goes_on_from_where_it_was(skytrail: Skytrail) -> None:
    skytrail.clock.freeze(NOON)
    assert NOON <= skytrail.clock.run() < NOON + timedelta(minutes=1)
    assert skytrail.clock.now() > NOON
    assert skytrail.clock.set(NOON - timedelta(days=1)) < NOON
    skytrail.reset()


def test_a_time_without_a_zone_is_utc(skytrail: Skytrail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    skytrail.clock.freeze()
    assert skytrail.clock.set(NOON.replace(tzinfo=None)) == NOON
    assert skytrail.clock.set(NOON.astimezone()) == NOON
    skytrail.reset()


def test_a_wrong_command_says_why(skytrail: Skytrail) -> None:
    with pytest.raises(RuntimeError, match="advance takes 0 to"):
        skytrail.clock.advance(-1)


# The server


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = Server(arguments=["--host", "0.0.0.0"])
    with pytest.raises(RuntimeError, match="open mode accepts any credentials"), server:
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_server_tidies_its_own_directory_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, given = tmp_path / "own", tmp_path / "given"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    with Server() as server:
        assert [entry.name for entry in own.iterdir()] == [server.data.name]
    assert list(own.iterdir()) == []
    with Server(data=given) as server:
        Skytrail(server.endpoint).client("iam").create_user(UserName="alice")
    with Server(data=given) as server:
        (user,) = Skytrail(server.endpoint).client("iam").list_users()["Users"]
        assert user["UserName"] == "alice"
    assert (given / "skytrail.db").exists()


def test_a_killed_server_leaves_no_process_behind() -> None:
    with Server() as server:
        columns = os.pidfd_open(columns_process(server.pid))
        server.kill()
        assert select.select([columns], [], [], 0)[0], "the columns' process runs on"
        os.close(columns)
