"""What looks like another tampering than the one that it is."""

from __future__ import annotations

import json
import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from .conftest import Check
from .delivered import HOUR, START, Chain, pack
from .test_verify import noted, told

MINUTE = timedelta(minutes=1)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Five hours, with the newest digest's signature beside it."""
    chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1")
    chain.deliver(5)
    chain.keep_newest_signature()
    return chain


def log_of_same_records(chain: Chain, log: str, at: datetime) -> dict[str, object]:
    """Of another trail: its file has another name, and the same content."""
    named = chain.deliver_log(at)
    chain.write(str(named["s3Object"]), chain.path(log).read_bytes())
    return named


# Digests whose content states another place


def test_a_digest_whose_place_was_changed_in_it_did_not_move(chain: Chain, check: Check) -> None:
    digest = chain.digests[2]
    document = chain.read_digest(digest)
    document["digestS3Object"] = digest.replace("31Z.json", "59Z.json")
    chain.write(digest, pack(json.dumps(document).encode()))
    assert told(check()) == [("digest-changed", digest)]
    assert told(check(keys=None)) == [("digest-changed", digest)]


def test_a_digest_whose_bucket_was_changed_in_it_did_not_move(chain: Chain, check: Check) -> None:
    digest = chain.digests[2]
    chain.path(digest + ".signature").write_text(chain.signatures[digest], "ascii")
    chain.write(digest, pack(json.dumps(chain.read_digest(digest) | {"digestS3Bucket": "other"}).encode()))
    assert told(check()) == [("digest-changed", digest)]


def test_the_newest_digest_whose_place_was_changed_in_it_did_not_move(chain: Chain, check: Check) -> None:
    newest = chain.digests[-1]
    document = chain.read_digest(newest)
    document["digestS3Object"] = newest.replace("31Z.json", "59Z.json")
    chain.write(newest, pack(json.dumps(document).encode()))
    assert told(check()) == [("digest-changed", newest)]


def test_digests_of_two_accounts_that_changed_places_are_not_changed_ones(chain: Chain, check: Check) -> None:
    other = Chain(chain.root, "444455556666", "us-east-1")
    other.deliver(5)
    one, another = chain.path(chain.digests[2]), other.path(other.digests[1])
    a, b = one.read_bytes(), another.read_bytes()
    one.write_bytes(b)
    another.write_bytes(a)
    assert told(check()) == [("digest-swapped", chain.digests[2]), ("digest-swapped", other.digests[1])]


# Trails that share a folder


def test_what_missing_first_digests_named_was_not_added(chain: Chain, check: Check) -> None:
    """However many are missing: another trail's digests cover the time, and do not name it."""
    second = Chain(chain.root, chain.account, chain.region, trail="second")
    second.deliver(5, most_logs=3)
    second.keep_newest_signature()
    for digest in second.digests[:3]:
        second.path(digest).unlink()
    assert told(check()) == [("digest-missing", second.digests[2])]


def test_another_trail_s_file_of_the_same_records_is_not_the_missing_one(chain: Chain, check: Check) -> None:
    """It is of a digest still to come."""
    second = Chain(chain.root, chain.account, chain.region, trail="second")
    second.deliver(3)
    second.keep_newest_signature()
    log = next(log for digest in reversed(chain.digests) for log in chain.logs[digest])
    log_of_same_records(second, log, START + 4 * HOUR + 30 * MINUTE)
    chain.path(log).unlink()
    assert told(check()) == [("log-missing", log)]


def test_an_organization_s_file_of_the_same_records_is_not_the_missing_one(chain: Chain, check: Check) -> None:
    above = Chain(chain.root, chain.account, chain.region, trail="org", prefix="org/")
    above.deliver(3)
    above.keep_newest_signature()
    log = next(log for digest in reversed(chain.digests) for log in chain.logs[digest] if "/CloudTrail/" in log)
    log_of_same_records(above, log, START + 4 * HOUR + 30 * MINUTE)
    chain.path(log).unlink()
    assert told(check()) == [("log-missing", log)]


def test_an_unlisted_file_of_the_same_records_is_not_the_missing_one(chain: Chain, check: Check) -> None:
    log = chain.logs[chain.digests[0]][0]
    log_of_same_records(chain, log, START + 2 * HOUR)
    chain.path(log).unlink()
    assert told(check(allow_unlisted=True)) == [("log-missing", log)]


def test_a_renamed_file_is_still_found_where_one_trail_writes(chain: Chain, check: Check) -> None:
    """Also where no digest covers the time of its new name, or it is another Region's."""
    log = chain.logs[chain.digests[0]][0]
    for to in (log.replace("Z_", "Z_x"), log.replace("us-east-1", "eu-west-1")):
        chain.path(to).parent.mkdir(parents=True, exist_ok=True)
        chain.path(log).rename(chain.path(to))
        report = check()
        assert [(finding.kind, finding.file, finding.found) for finding in report.findings] == [("log-moved", log, to)]
        chain.path(to).rename(chain.path(log))


def test_of_two_copies_the_one_with_the_name_is_the_moved_one(chain: Chain, check: Check) -> None:
    log = chain.logs[chain.digests[0]][0]
    moved, copy = log.replace("us-east-1", "eu-west-1"), log.replace("Z_", "Z_0")
    chain.write(copy, chain.path(log).read_bytes())
    chain.path(moved).parent.mkdir(parents=True, exist_ok=True)
    chain.path(log).rename(chain.path(moved))
    found = {(finding.kind, finding.file, finding.found) for finding in check().findings}
    assert found == {("log-moved", log, moved), ("log-added", copy, "")}


# Log files in a bucket that was not copied


def test_what_lies_in_another_bucket_is_not_missing(tmp_path: Path, check: Check) -> None:
    """A trail was given another bucket: the next digest, in the new one, names what was delivered to the old one."""
    old = Chain(tmp_path / "old", "111122223333", "us-east-1", bucket="old-logs")
    new = Chain(tmp_path / "new", "111122223333", "us-east-1", bucket="new-logs")
    old.deliver(1)
    old.keep_newest_signature()
    last = old.deliver_log(START + HOUR + MINUTE)
    first = new.deliver_digest(START + HOUR, START + 2 * HOUR, [last, new.deliver_log(START + 90 * MINUTE)])
    new.keep_newest_signature()
    report = check(new.root)
    assert (told(report), noted(report)) == ([], [("elsewhere", first)])
    assert "1 of the log files that it names are in s3://old-logs/AWSLogs/111122223333" in report.notes[0].text
    assert (report.logs.checked, report.complete) == (1, False)
    assert check(new.root, old.root).complete
    old.path(last["s3Object"]).unlink()
    assert told(check(new.root, old.root)) == [("log-missing", last["s3Object"])]


@pytest.mark.parametrize(("below", "missing"), [("", True), ("new", False)])
def test_what_lies_under_another_prefix_is_missing_only_from_a_whole_copy(
    tmp_path: Path, check: Check, below: str, missing: bool
) -> None:
    old = Chain(tmp_path / "bucket", "111122223333", "us-east-1")
    new = Chain(tmp_path / "bucket", "111122223333", "us-east-1", prefix="new/")
    last = old.deliver_log(START + MINUTE)
    digest = new.deliver_digest(START, START + HOUR, [last, new.deliver_log(START + 30 * MINUTE)])
    new.keep_newest_signature()
    shutil.rmtree(tmp_path / "bucket" / "AWSLogs")
    report = check(tmp_path / "bucket" / below)
    if missing:
        assert (told(report), noted(report)) == ([("log-missing", f"s3://trail-logs/{last['s3Object']}")], [])
    else:
        assert (told(report), noted(report)) == ([], [("elsewhere", digest.removeprefix("new/"))])


def test_other_folders_are_not_asked_for_with_a_trail(chain: Chain, check: Check) -> None:
    """Nothing is said of the newest files of a trail that was not named, in folders that are its own."""
    others = [
        Chain(chain.root, chain.account, "eu-west-1", trail="other"),
        Chain(chain.root, chain.account, chain.region, trail="org", prefix="org/"),
    ]
    for other in others:
        other.deliver(5)
        other.deliver_log(START + 6 * HOUR)
    report = check(trails=frozenset({"audit"}))
    assert (told(report), noted(report)) == ([], [])
    report = check(trails=frozenset({"other"}))
    assert [kind for kind, _ in noted(report)] == ["newest-unsigned", "uncovered"]


# Signatures


def test_each_byte_of_a_signature_counts(chain: Chain, check: Check) -> None:
    side = chain.path(chain.digests[-1] + ".signature")
    before, draw = side.read_bytes(), random.Random(5)
    for _ in range(20):
        content = bytearray(before)
        content[draw.randrange(512)] ^= draw.choice([1, 2, 4, 8, 64, 128])
        side.write_bytes(content)
        assert told(check()) == [("digest-forged", chain.digests[-1])]
