"""The columns are lost, full or asked too much: calls go on, reads wait or say so, and afterwards all is there."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator

import pytest

from skytrail.testing import Server, Skytrail

from ..torture.columns import columns_process
from .kit import answer, client, investigated, metric, page, skytrail

ACCOUNT = "111122223333"
QUERY_MEMORY = 16 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(environment={"SKYTRAIL_COLUMNS_QUERY_MEMORY_BYTES": str(QUERY_MEMORY)}) as server:
        yield server


@pytest.fixture(autouse=True)
def _clean(server: Server) -> None:
    Skytrail(server.endpoint).reset()


def call(server: Server, times: int) -> list[str]:
    sts = client(server, "sts", account=ACCOUNT)
    return [sts.get_caller_identity()["ResponseMetadata"]["RequestId"] for _ in range(times)]


def recorded(server: Server) -> list[str]:
    return [record["requestID"] for record in investigated(server, "--name", "GetCallerIdentity")]


def test_calls_go_on_while_the_columns_are_away(server: Server) -> None:
    made = call(server, 20)
    before = metric(server, "skytrail_columns_restarts_total")
    for _ in range(3):
        os.kill(columns_process(server.pid), signal.SIGKILL)
        made += call(server, 20)
        # A reader waits for the new process.
        events = client(server, "cloudtrail", account=ACCOUNT).lookup_events(MaxResults=1)["Events"]
        assert len(events) == 1
    assert sorted(recorded(server)) == sorted(made)
    assert metric(server, "skytrail_columns_restarts_total") == before + 3
    assert json.loads(page(server, "/health")[1])["columns"] == "ready"


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
def test_records_wait_for_room_in_the_columns(server: Server) -> None:
    made = call(server, 5)
    cloudtrail = client(server, "cloudtrail", account=ACCOUNT)
    columns = columns_process(server.pid)
    soft, hard = resource.prlimit(columns, resource.RLIMIT_FSIZE)
    resource.prlimit(columns, resource.RLIMIT_FSIZE, (1, hard))
    try:
        made += call(server, 5)
        # A read shows what waits, or says that it cannot.
        assert answer(cloudtrail.lookup_events) in ((200, ""), (503, "ServiceUnavailable"))
        refused = skytrail("lookup", "--data", str(server.data))
        assert refused.returncode == 0 or "cannot be read at this moment" in refused.stderr
        assert metric(server, 'skytrail_journal_lag_records{consumer="columns"}') > 0
        made += call(server, 5)
    finally:
        resource.prlimit(columns, resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(recorded(server)) == sorted(made)


def test_a_query_that_exhausts_its_memory_says_so_and_nothing_is_lost(server: Server) -> None:
    s3 = client(server, "s3", account=ACCOUNT)
    policy = json.dumps({"Statement": "".join(chr(33 + number % 90) * 7 for number in range(12_000))})
    for number in range(150):
        assert answer(s3.put_bucket_policy, Bucket=f"bucket-{number}", Policy=policy) == (404, "NoSuchBucket")
    made = call(server, 5)
    restarts = metric(server, "skytrail_columns_restarts_total")
    done = skytrail("lookup", "--data", str(server.data), "--limit", "0", "--output", "jsonl")
    assert done.returncode == 1
    assert done.stderr.startswith("skytrail: The query over the event history met its limit of time or memory.")
    made += call(server, 5)
    assert sorted(recorded(server)) == sorted(made)
    assert metric(server, "skytrail_columns_restarts_total") == restarts
    server.stop()
    with Server(data=server.data) as roomy:
        found = investigated(roomy, "--name", "PutBucketPolicy")
        assert {record["requestParameters"]["bucketName"] for record in found} == {f"bucket-{n}" for n in range(150)}
