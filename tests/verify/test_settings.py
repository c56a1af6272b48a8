"""What the settings of a trail change in its bucket: short digest intervals, aggregated events."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from .conftest import Check
from .delivered import HOUR, START, Chain, pack
from .test_verify import MINUTE, at, noted, told


def test_digests_of_a_few_seconds_behind_the_end(tmp_path: Path, check: Check) -> None:
    """With the signatures of all of them beside them, and a log file that comes two minutes late."""
    chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1")
    step = timedelta(seconds=10)
    for number in range(120):
        logs = [chain.deliver_log(START + step)] if number == 14 else []
        chain.deliver_digest(START + number * step, START + (number + 1) * step, logs)
        chain.keep_newest_signature()
    end = at(START + 5 * step)
    for signatures in ({}, chain.signatures):
        report = check(end=end, signatures=signatures)
        assert (told(report), noted(report), report.digests.valid) == ([], [], 6)
    chain.path(chain.digests[2]).unlink()
    chain.path(chain.digests[110]).unlink()
    missing = [chain.digests[2], chain.digests[110]]
    assert told(check(end=end)) == [("digest-missing", digest) for digest in missing]


def test_aggregated_files_are_named_by_the_same_digests(tmp_path: Path, check: Check) -> None:
    chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1")
    moments = [START + minutes * MINUTE for minutes in (3, 20, 40)]
    logs = [chain.deliver_log(moment, kind="CloudTrail-Aggregated") for moment in moments]
    chain.deliver_digest(START, START + HOUR, logs)
    chain.keep_newest_signature()
    report = check()
    assert (told(report), report.logs.valid) == ([], 3)
    missing, moved, kept = chain.logs[chain.digests[0]]
    added, place = kept.replace("Z_", "Z_0"), moved.replace("/CloudTrail-Aggregated/", "/CloudTrail/")
    chain.write(added, pack(b"{}"))
    chain.write(place, chain.path(moved).read_bytes())
    chain.path(moved).unlink()
    chain.path(missing).unlink()
    report = check()
    assert sorted(told(report)) == [("log-added", added), ("log-missing", missing), ("log-moved", moved)]
    assert next(finding.found for finding in report.findings if finding.found) == place
