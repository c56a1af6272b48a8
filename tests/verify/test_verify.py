"""What is told of a copy in each situation that is no tampering, or more than a single one."""

from __future__ import annotations

import gzip
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from skytrail.errors import SettingsError
from skytrail.verify import NoteKind, Report, inflate

from .aws_cli import validate_logs
from .conftest import Check
from .delivered import HOUR, START, Chain, deliver, pack, signing_key

MINUTE = timedelta(minutes=1)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Five hours of one account in one Region, with the newest digest's signature beside it."""
    chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1")
    chain.deliver(5)
    chain.keep_newest_signature()
    return chain


def told(report: Report) -> list[tuple[str, str]]:
    return [(finding.kind.value, finding.file) for finding in report.findings]


def noted(report: Report) -> list[tuple[str, str]]:
    return [(note.kind.value, note.file) for note in report.notes]


def at(moment: object) -> float:
    return moment.timestamp()  # type: ignore[attr-defined, no-any-return]


# A day of two accounts in three Regions


def test_a_day_is_valid_here_and_with_the_aws_cli(tmp_path: Path, check: Check) -> None:
    regions = ("ap-south-1", "eu-west-1", "us-east-1")
    chains = deliver(tmp_path / "bucket", regions=regions, hours=24)
    report = check()
    assert (report.findings, report.notes) == ([], [])
    assert (report.digests.checked, report.digests.valid) == (144, 144)
    assert (report.covered_from, report.covered_to) == (at(START), at(START + 24 * HOUR))
    assert report.copies_of == ["s3://trail-logs/AWSLogs"]
    for chain in chains:
        said, summary = validate_logs(chain, hours=24)
        assert said == []
        assert "24/24 digest files valid" in summary


# Signatures


def test_the_newest_digest_without_its_signature_is_a_note(chain: Chain, check: Check) -> None:
    newest = chain.digests[-1]
    chain.path(newest + ".signature").unlink()
    report = check()
    assert (told(report), noted(report)) == ([], [("newest-unsigned", newest)])
    assert report.digests.valid == 5


@pytest.mark.parametrize("how", ["head-object", "metadata", "manifest", "manifest by place"])
def test_the_newest_signature_may_come_otherwise(chain: Chain, check: Check, how: str) -> None:
    newest = chain.digests[-1]
    chain.path(newest + ".signature").unlink()
    metadata = {"signature": chain.signatures[newest], "signature-algorithm": "SHA256withRSA"}
    side = chain.path(newest + ".metadata.json")
    signatures = {}
    match how:
        case "head-object":
            side.write_text(json.dumps({"ContentLength": 1, "Metadata": metadata}))
        case "metadata":
            side.write_text(json.dumps(metadata))
        case "manifest":
            signatures = {newest: chain.signatures[newest]}
        case _:
            signatures = {f"s3://trail-logs/{newest}": chain.signatures[newest]}
    report = check(signatures=signatures)
    assert (told(report), noted(report)) == ([], [])


def test_a_wrong_signature_beside_a_digest_that_another_one_proves(chain: Chain, check: Check) -> None:
    digest = chain.digests[2]
    chain.path(digest + ".signature").write_text("00" * 256)
    assert told(check()) == [("signature-changed", digest)]


def test_a_manifest_shows_that_the_newest_digest_is_gone(chain: Chain, check: Check) -> None:
    newest = chain.digests[-1]
    chain.path(newest).unlink()
    chain.path(newest + ".signature").unlink()
    assert told(check()) == []  # nothing here shows it
    assert told(check(signatures=chain.signatures)) == [("digest-missing", newest)]
    elsewhere = {f"s3://elsewhere/{key}": signature for key, signature in chain.signatures.items()}
    assert told(check(signatures=elsewhere)) == []


def test_a_digest_is_not_verified_when_the_one_after_it_was_changed(chain: Chain, check: Check) -> None:
    third = chain.digests[2]
    document = chain.read_digest(third)
    document["previousDigestSignature"] = "ab" * 256
    chain.write(third, pack(json.dumps(document).encode()))
    report = check()
    assert told(report) == [("digest-changed", third)]
    assert ("unverified", chain.digests[1]) in noted(report)
    assert report.digests.valid == 4


def test_without_keys_hashes_are_checked(chain: Chain, check: Check) -> None:
    assert noted(check(keys=None)) == [(NoteKind.WITHOUT_KEYS, "")]
    document = chain.read_digest(chain.digests[1]) | {"logFiles": []}
    chain.write(chain.digests[1], pack(json.dumps(document).encode()))
    assert told(check(keys=None)) == [("digest-changed", chain.digests[1])]


def test_a_forged_chain_is_told_from_a_changed_digest(chain: Chain, check: Check) -> None:
    """Who only has the newest digests is told at each of them."""
    forger = signing_key("forger")
    for key in chain.digests:
        chain.put_digest(key, chain.read_digest(key) | {"previousDigestSignature": None}, forger)
    chain.keep_newest_signature()
    assert ("digest-forged", chain.digests[-1]) in told(check())


# What is not there


def test_two_digests_in_a_row_are_missing(chain: Chain, check: Check) -> None:
    for digest in chain.digests[1:3]:
        chain.path(digest).unlink()
    report = check()
    (finding,) = report.findings
    assert (finding.kind, finding.file) == ("digest-missing", chain.digests[2])
    assert "nothing shows what was delivered from 2026-01-31T21:01:31Z to 2026-01-31T23:01:31Z" in finding.reason
    assert ("uncovered", "") in noted(report) or not chain.logs[chain.digests[1]] + chain.logs[chain.digests[2]]


def test_a_copy_that_begins_later(chain: Chain, check: Check) -> None:
    for digest in chain.digests[:2]:
        chain.path(digest).unlink()
    (finding,) = check().findings
    assert (finding.kind, finding.file) == ("digest-missing", chain.digests[1])
    assert "--start" in finding.reason
    assert told(check(start=at(START + 2 * HOUR) + 1)) == []


def test_only_what_was_asked_for_is_checked(chain: Chain, check: Check) -> None:
    chain.path(chain.logs[chain.digests[0]][0]).unlink()
    chain.path(chain.digests[1]).unlink()
    chain.path(chain.digests[4]).unlink()
    window = {"start": at(START + 2 * HOUR + MINUTE), "end": at(START + 3 * HOUR - MINUTE)}
    report = check(**window)
    assert (told(report), noted(report), report.digests.checked) == ([], [], 1)
    chain.write(chain.digests[2], b"no gzip")
    assert told(check(**window)) == [("digest-not-gzip", chain.digests[2])]


def test_log_files_that_no_digest_covers_yet_are_a_note(chain: Chain, check: Check) -> None:
    chain.deliver_log(START + 5 * HOUR + 20 * MINUTE)
    chain.deliver_log(START - HOUR)
    report = check()
    assert (told(report), noted(report)) == ([], [("uncovered", "")])
    assert "2 log files" in report.notes[0].text


def test_what_a_missing_digest_may_have_named_was_not_added(chain: Chain, check: Check) -> None:
    digest = chain.digests[2]
    chain.deliver_log(START + 2 * HOUR + 30 * MINUTE)
    chain.path(digest).unlink()
    report = check()
    assert told(report) == [("digest-missing", digest)]
    assert [kind for kind, _ in noted(report)] == ["uncovered", "unverified"]


def test_a_strange_name_among_log_files_was_added(chain: Chain, check: Check) -> None:
    folder = chain.logs[chain.digests[0]][0].rpartition("/")[0]
    chain.write(f"{folder}/mine.json.gz", pack(b"{}"))
    assert told(check()) == [("log-added", f"{folder}/mine.json.gz")]


def test_a_trail_without_digests_writes_here_too(chain: Chain, check: Check) -> None:
    chain.deliver_log(START + HOUR)
    assert [kind for kind, _ in told(check())] == ["log-added"]
    report = check(allow_unlisted=True)
    assert ([kind for kind, _ in told(report)], [kind for kind, _ in noted(report)]) == ([], ["unlisted"])


def test_an_empty_directory_is_not_valid(tmp_path: Path, check: Check) -> None:
    assert told(check(tmp_path)) == [("no-digests", "")]


def test_what_was_asked_for_by_name_must_be_there(chain: Chain, check: Check) -> None:
    report = check(trails=frozenset({"audit", "us-east-1/other"}))
    assert [(finding.kind, finding.reason) for finding in report.findings] == [
        ("no-digests", "there are no digest files of the trail us-east-1/other")
    ]


def test_what_cannot_be_looked_into_was_not_checked(
    chain: Chain, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(path: str) -> object:
        if path.endswith("/CloudTrail/us-east-1"):
            raise PermissionError(13, "Permission denied", path)
        return _scandir(path)

    _scandir = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SettingsError, match="CloudTrail/us-east-1: Permission denied"):
        check()


def test_another_folder_has_no_digests(chain: Chain, check: Check, tmp_path: Path) -> None:
    """A trail without digests writes under another prefix: nothing was added there."""
    other = Chain(tmp_path / "bucket", chain.account, chain.region, prefix="plain/")
    other.deliver_log(START + 2 * HOUR)
    report = check()
    assert (told(report), [kind for kind, _ in noted(report)]) == ([], ["uncovered"])


# Chains


def test_a_trail_that_paused(chain: Chain, check: Check) -> None:
    chain.stop()
    chain.deliver(2, start=START + 10 * HOUR)
    chain.keep_newest_signature()
    report = check()
    assert (told(report), [kind for kind, _ in noted(report)]) == ([], ["gap"])
    assert "from 2026-02-01T01:01:31Z to 2026-02-01T06:01:31Z" in report.notes[0].text


def test_two_trails_share_a_bucket(chain: Chain, check: Check) -> None:
    other = Chain(chain.root, chain.account, chain.region, trail="other_trail.with-marks")
    other.deliver(5)
    other.keep_newest_signature()
    assert told(check()) == []
    chain.path(chain.logs[chain.digests[0]][0]).unlink()
    assert [kind for kind, _ in told(check())] == ["log-missing"]
    report = check(trails=frozenset({"other_trail.with-marks"}))
    assert (told(report), report.digests.checked) == ([], 5)
    assert [kind for kind, _ in told(check(trails=frozenset({"us-east-1/audit"})))] == ["log-missing"]
    assert told(check(trails=frozenset({"eu-west-1/audit"}))) == [("no-digests", "")]


def test_backfill_digests_are_a_chain_of_their_own(chain: Chain, check: Check) -> None:
    late = chain.deliver_log(START + 30 * MINUTE)
    regular = chain.digests[-1]
    key = chain.digest_key(START + HOUR).replace(".json.gz", "_backfill.json.gz")
    document = chain.read_digest(chain.digests[0]) | {"digestS3Object": key, "logFiles": [late]}
    chain.put_digest(key, document)
    chain.path(key + ".signature").write_text(chain.signatures[key])
    report = check()
    assert (told(report), noted(report), report.digests.valid) == ([], [], 6)
    chain.path(late["s3Object"]).unlink()
    assert told(check()) == [("log-missing", late["s3Object"])]
    assert chain.path(regular).exists()


def test_a_chain_that_goes_on_in_another_bucket(tmp_path: Path, check: Check) -> None:
    chain = Chain(tmp_path / "old", "111122223333", "us-east-1", bucket="old-logs")
    chain.deliver(3)
    chain.root, chain.bucket = tmp_path / "new", "new-logs"
    chain.deliver(2, start=START + 3 * HOUR)
    chain.keep_newest_signature()
    # The old ones' key names the old bucket, so only the new half of the chain can be followed alone.
    new = chain.digests[3]
    document = chain.read_digest(new) | {"previousDigestS3Bucket": "old-logs"}
    chain._previous = None
    chain.put_digest(new, document)
    last = chain.read_digest(chain.digests[4])
    before = chain._previous
    assert before is not None
    chain.put_digest(
        chain.digests[4], last | {"previousDigestHashValue": before[1], "previousDigestSignature": before[2]}
    )
    chain.keep_newest_signature()
    report = check(tmp_path / "new")
    assert (told(report), noted(report)) == ([], [("elsewhere", new)])
    report = check(tmp_path / "new", tmp_path / "old")
    assert (told(report), noted(report), report.digests.valid) == ([], [], 5)


# Places


@pytest.mark.parametrize("below", ["", "team", "team/AWSLogs", "team/AWSLogs/111122223333"])
def test_a_part_of_a_bucket_may_be_copied(tmp_path: Path, check: Check, below: str) -> None:
    chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1", prefix="team/")
    chain.deliver(3)
    chain.keep_newest_signature()
    directory = tmp_path / "bucket" / below
    for report in (check(directory), check(directory, bucket="trail-logs", prefix=below)):
        assert (told(report), report.digests.valid, report.copies_of) == ([], 3, ["s3://trail-logs/team/AWSLogs"])
    chain.path(chain.digests[1]).unlink()
    (finding,) = check(directory).findings
    assert finding.file == chain.digests[1].removeprefix(f"{below}/" if below else "")
    assert finding.object == f"s3://trail-logs/{chain.digests[1]}"


def test_an_organization_s_trail(tmp_path: Path, check: Check) -> None:
    """The members' folders lie in the organization's; a member's own trail of the same name does not mix with it."""
    for above in ("AWSLogs/o-abc123/", ""):
        chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1", seed=len(above))
        chain._above = f"AWSLogs/{'o-abc123/' if above else ''}111122223333"
        chain.deliver(4)
        chain.keep_newest_signature()
    report = check()
    assert (told(report), report.digests.valid) == ([], 8)
    chain.path(chain.digests[1]).unlink()
    assert told(check()) == [("digest-missing", chain.digests[1])]


def test_digests_of_another_bucket_are_not_this_bucket_s(chain: Chain, check: Check) -> None:
    report = check(bucket="another")
    assert told(report) == [("digest-moved", digest) for digest in chain.digests]
    assert [finding.object for finding in report.findings] == [f"s3://trail-logs/{digest}" for digest in chain.digests]


def test_a_digest_of_another_bucket_among_them(chain: Chain, check: Check, tmp_path: Path) -> None:
    other = Chain(tmp_path / "other", chain.account, chain.region, bucket="other-logs")
    other.deliver(5)
    chain.write(chain.digests[2], other.path(other.digests[2]).read_bytes())
    report = check()
    assert told(report) == [("digest-moved", chain.digests[2])]
    assert report.findings[0].object == f"s3://other-logs/{chain.digests[2]}"


def test_two_copies_of_the_same_are_refused(chain: Chain, check: Check) -> None:
    with pytest.raises(SettingsError, match="both copies of s3://trail-logs"):
        check(chain.root, chain.root / "AWSLogs")


def test_three_digests_change_places(chain: Chain, check: Check) -> None:
    contents = [chain.path(digest).read_bytes() for digest in chain.digests[:3]]
    for digest, content in zip(chain.digests[:3], contents[1:] + contents[:1], strict=True):
        chain.write(digest, content)
    assert told(check()) == [("digest-swapped", digest) for digest in chain.digests[:3]]


def test_a_digest_moves_with_its_signature(chain: Chain, check: Check) -> None:
    """What lies beside it then is no sign of another one."""
    one, newest = chain.digests[1], chain.digests[-1]
    chain.path(one + ".signature").write_text(chain.signatures[one])
    for digest in (one, newest):
        for suffix in ("", ".signature"):
            chain.path(digest + suffix).rename(chain.path(digest.replace("0131Z.json", "0132Z.json") + suffix))
    report = check()
    assert told(report) == [("digest-moved", one), ("digest-moved", newest)]
    assert noted(report) == []


def test_two_digests_change_places_with_their_signatures(chain: Chain, check: Check) -> None:
    one, other = chain.digests[1], chain.digests[3]
    for digest, comes in ((one, other), (other, one)):
        chain.path(digest + ".signature").write_text(chain.signatures[comes])
    content = chain.path(one).read_bytes()
    chain.write(one, chain.path(other).read_bytes())
    chain.write(other, content)
    assert told(check()) == [("digest-swapped", one), ("digest-swapped", other)]


def test_an_account_named_folder_above_the_account_s(tmp_path: Path, check: Check) -> None:
    chain = Chain(tmp_path / "bucket", "111122223333", "us-east-1", prefix="111122223333/")
    chain.deliver(2)
    chain.keep_newest_signature()
    (tmp_path / "bucket" / "AWSLogs" / "111122223333" / "elb").mkdir(parents=True)
    report = check()
    assert (told(report), report.digests.valid) == ([], 2)


def test_a_merkle_log_is_no_folder_of_log_files(chain: Chain, check: Check) -> None:
    folder = chain.logs[chain.digests[0]][0].rpartition("/")[0].replace("/CloudTrail/", "/CloudTrail-Merkle/")
    name = chain.logs[chain.digests[0]][0].rpartition("/")[2]
    chain.write(f"{folder}/{name.replace('Z_', 'Z_0')}", pack(b"{}"))
    report = check()
    assert (told(report), noted(report)) == ([], [])


def test_insights_files_are_named_by_the_same_digests(chain: Chain, check: Check) -> None:
    insights = [log for logs in chain.logs.values() for log in logs if "/CloudTrail-Insight/" in log]
    assert insights
    added = insights[0].replace("Z_", "Z_0")
    chain.write(added, pack(b"{}"))
    chain.path(insights[-1]).unlink()
    assert sorted(told(check())) == sorted([("log-added", added), ("log-missing", insights[-1])])


def test_a_digest_moved_over_another(chain: Chain, check: Check) -> None:
    one, other = chain.digests[1], chain.digests[3]
    chain.path(one).replace(chain.path(other))
    report = check()
    assert told(report) == [("digest-moved", one), ("digest-changed", other)]
    assert report.findings[0].found == other


# Files that are not what they seem


@pytest.mark.parametrize("kind", ["fifo", "directory", "loop"])
def test_what_is_no_regular_file_is_not_read(chain: Chain, check: Check, kind: str) -> None:
    log = chain.logs[chain.digests[0]][0]
    path = chain.path(log)
    path.unlink()
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to(path)
    assert told(check()) == [("log-unreadable", log)]


def test_inflating_is_bounded(chain: Chain, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflate.read_file, "__defaults__", (1 << 20,))
    monkeypatch.setattr(inflate.hash_file, "__defaults__", (1 << 20,))
    log = chain.logs[chain.digests[0]][0]
    for key in (log, chain.digests[2]):
        chain.write(key, pack(bytes(2 << 20)))
    assert told(check()) == [("digest-too-large", chain.digests[2]), ("log-too-large", log)]


@pytest.mark.parametrize("key", ["../../../../secret", "CloudTrail/../../../secret", "CloudTrail//x", "a\0b"])
def test_a_digest_leads_to_nothing_outside(chain: Chain, check: Check, tmp_path: Path, key: str) -> None:
    """The newest one may be anyone's: its signature is not here."""
    (tmp_path / "secret").write_bytes(pack(b"{}"))
    newest = chain.digests[-1]
    chain.path(newest + ".signature").unlink()
    listed = {"s3Bucket": "trail-logs", "s3Object": f"AWSLogs/111122223333/{key}", "hashValue": "00"}
    document = chain.read_digest(newest)
    chain.put_digest(newest, document | {"logFiles": [*document["logFiles"], listed | {"hashAlgorithm": "SHA-256"}]})
    (finding,) = check().findings
    assert (finding.kind, finding.file) == ("log-missing", f"s3://trail-logs/{listed['s3Object']}")
    assert "no part of what was checked" in finding.reason


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"digestS3Object": 1}', b'{"digestEndTime": "\\ud800"}'],
    ids=["empty", "list", "object", "bytes", "deep", "number", "surrogate"],
)
def test_a_digest_that_is_none(chain: Chain, check: Check, content: bytes) -> None:
    digest = chain.digests[2]
    chain.write(digest, gzip.compress(content))
    assert told(check()) == [("digest-malformed", digest)]


def test_a_digest_that_covers_no_time(chain: Chain, check: Check) -> None:
    newest = chain.digests[-1]
    for start in ("0001-01-01T00:00:00+23:59", "2026-03-01T00:00:00Z", "9999-12-31T23:59:59-23:59"):
        chain.put_digest(newest, chain.read_digest(newest) | {"digestStartTime": start})
        assert told(check()) == [("digest-malformed", newest)]


def test_a_log_file_that_two_digests_name(chain: Chain, check: Check) -> None:
    first, newest = chain.digests[0], chain.digests[-1]
    document = chain.read_digest(newest)
    document["logFiles"] += chain.read_digest(first)["logFiles"]
    chain.put_digest(newest, document)
    chain.keep_newest_signature()
    assert told(check()) == []
    log = chain.logs[first][0]
    chain.path(log).rename(chain.path(log + ".bak"))
    assert told(check()) == [("log-moved", log)]


def test_a_hash_of_another_kind_is_not_taken_for_one_we_know(chain: Chain, check: Check) -> None:
    newest = chain.digests[-1]
    document = chain.read_digest(newest)
    document["logFiles"] = [{"s3Bucket": "b", "s3Object": "o", "hashValue": "00", "hashAlgorithm": "MD5"}]
    chain.put_digest(newest, document)
    assert told(check()) == [("digest-malformed", newest)]
