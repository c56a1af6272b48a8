"""What a server does when its disk is full, read-only or taken, and what it says about a durability that is less."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skytrail.testing import Server

from .kit import answer, client, investigated, metric, page, records, skytrail

ACCOUNT = "111122223333"

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")


@contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """The server's files cannot grow, which is what a full disk means to it, until the block ends."""
    (journal,) = server.data.glob("*.db-wal")
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (journal.stat().st_size, hard))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (soft, hard))


def served(path: Path, **environment: str) -> Server:
    return Server(data=path / "data", durability="fsync", environment=environment)


def test_a_full_disk_fails_calls_and_loses_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        iam = client(server, "iam", account=ACCOUNT)
        sts = client(server, "sts", account=ACCOUNT)
        acknowledged = [iam.create_user(UserName=f"before-{n}")["ResponseMetadata"]["RequestId"] for n in range(20)]
        with full_disk(server):
            for n in range(5):
                assert answer(iam.create_user, UserName=f"during-{n}") == (503, "ServiceUnavailable")
                assert answer(sts.get_caller_identity) == (503, "ServiceUnavailable")
            status, text = page(server, "/health")
            assert (status, json.loads(text)["journal"]) == (503, "failing")
            assert metric(server, "skytrail_records_lost_total") == 10
        after = iam.create_user(UserName="after")
        acknowledged.append(after["ResponseMetadata"]["RequestId"])
        assert page(server, "/health")[0] == 200
        check(server, acknowledged)
        server.stop()
        server.start()
        check(server, acknowledged)


def check(server: Server, acknowledged: list[str]) -> None:
    """Every acknowledged call has its record and its effect; those that failed have neither."""
    found = investigated(server, "--name", "CreateUser")
    assert sorted(record["requestID"] for record in found) == sorted(acknowledged)
    users = client(server, "iam", account=ACCOUNT).list_users()["Users"]
    assert {user["UserName"] for user in users} == {record["requestParameters"]["userName"] for record in found}
    assert len(users) == len(acknowledged)


def test_the_history_is_read_again_after_a_full_disk(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        sts, cloudtrail = client(server, "sts"), client(server, "cloudtrail")
        known = [sts.get_caller_identity()["ResponseMetadata"]["RequestId"] for _ in range(5)]
        with full_disk(server):
            assert answer(cloudtrail.lookup_events) == (503, "ServiceUnavailable")
        attributes = [{"AttributeKey": "EventName", "AttributeValue": "GetCallerIdentity"}]
        events = cloudtrail.lookup_events(LookupAttributes=attributes)["Events"]
        assert [record["requestID"] for record in records(events)] == known[::-1]


def test_a_server_may_answer_reads_that_it_cannot_record(tmp_path: Path) -> None:
    with served(tmp_path, SKYTRAIL_STORAGE_ON_JOURNAL_FAILURE="answer") as server:
        iam, sts = client(server, "iam"), client(server, "sts")
        iam.create_user(UserName="alice")
        with full_disk(server):
            assert answer(sts.get_caller_identity) == (200, "")
            assert answer(iam.get_user, UserName="alice") == (200, "")
            assert answer(iam.get_user, UserName="bob") == (404, "NoSuchEntity")
            assert metric(server, "skytrail_records_lost_total") == 3
            assert answer(iam.create_user, UserName="bob") == (503, "ServiceUnavailable")
        assert answer(iam.create_user, UserName="bob") == (200, "")
        found = [(record["eventName"], record.get("errorCode")) for record in investigated(server)]
        assert found == [("CreateUser", None), ("CreateUser", None)]


def test_a_lesser_durability_is_never_silent(skytrail_server: Server, tmp_path: Path) -> None:
    told = "a power cut may lose answered calls"
    assert told in skytrail_server.log()
    with served(tmp_path) as server:
        assert told not in server.log()


def test_a_second_server_on_a_directory_is_told_who_holds_it(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        second = skytrail("serve", "--port", "0", "--data", str(server.data))
        assert second.returncode == 1
        assert second.stderr == (
            f"skytrail: the data directory {server.data} is in use by process {server.pid}: "
            "stop it, or choose another with --data\n"
        )
        assert second.stdout == ""
        assert answer(client(server, "sts").get_caller_identity) == (200, "")
    assert json.loads((server.data / "endpoint.json").read_text())["pid"] == server.pid


def _obey_permissions() -> None:
    """In a child before it runs: root's right to pass over the permissions of files goes."""
    if os.geteuid() == 0:
        drop, override, search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        prctl = ctypes.CDLL(None).prctl
        prctl(drop, override, 0, 0, 0)
        prctl(drop, search, 0, 0, 0)


def refused(data: Path, before: Callable[[], None] | None = None) -> str:
    """What a server that cannot start on the directory says."""
    done = subprocess.run(
        [sys.executable, "-m", "skytrail", "serve", "--port", "0", "--data", str(data)],
        preexec_fn=before,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def test_a_read_only_directory_is_refused_by_name(tmp_path: Path) -> None:
    directory = tmp_path / "read-only"
    directory.mkdir(mode=0o500)
    for data in (directory, directory / "data"):
        said = refused(data, _obey_permissions)
        assert said == f"skytrail: cannot write to the data directory {data}: Permission denied\n"


def test_a_disk_that_is_full_at_the_start_is_told(tmp_path: Path) -> None:
    """However far the start comes, it ends with a message and leaves a directory that a later start can use."""
    data = tmp_path / "data"
    for blocks in (0, 4096, 20480):
        said = refused(data, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (blocks, blocks)))  # noqa: B023
        assert said.startswith("skytrail: "), said
        assert str(data) in said
        assert "Traceback" not in said
    with Server(data=data, durability="fsync") as server:
        assert answer(client(server, "sts").get_caller_identity) == (200, "")


def test_what_cannot_be_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = tmp_path / "file" / "data"
    assert refused(data) == f"skytrail: cannot write to the data directory {data}: Not a directory\n"
