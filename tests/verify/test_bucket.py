"""A bucket is checked as a directory is: over a real S3, whatever is in it, and whatever it refuses."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from skytrail.cli import buckets
from skytrail.cli.aws import CallFailed
from skytrail.testing import Server, Skytrail
from skytrail.verify import Keys, Options, Report, Selection, Signatures, layout, verify
from skytrail.verify.layout import Object

from .delivered import START, Chain, pack
from .stored import Stored, Unwritten
from .tampering import Expected, Tamperer, ways
from .test_tampering import Bucket, unexpected

SEEDS = 1
ACCOUNT, REGION = "111122223333", "us-east-1"
ABOVE = f"AWSLogs/{ACCOUNT}"


@pytest.fixture(scope="module")
def s3(server: Server) -> Any:
    return Skytrail(server.endpoint).client("s3")


class Trail:
    """Five hours of a trail in a bucket of its own."""

    def __init__(self, s3: Any, root: Path, name: str, **further: Any) -> None:
        self.chain = Chain(root, ACCOUNT, REGION, bucket=name, **further)
        self.chain.deliver(5)
        self.bucket = Stored(s3, name, root)
        self.bucket.copy([self.chain])


@pytest.fixture
def trail(s3: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Trail:
    return Trail(s3, tmp_path / "delivered", bucket_name(request))


def bucket_name(request: pytest.FixtureRequest) -> str:
    """Of the test's own."""
    return f"trail-{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}"


Check = Callable[..., Report]


@pytest.fixture
def check(s3: Any, tmp_path: Path, keys: Keys) -> Check:
    def run(
        *places: str,
        client: Any = s3,
        keys: Keys | None = keys,
        start: datetime | None = None,
        end: datetime | None = None,
        into: Path = tmp_path / "fetched",
        signatures: Signatures | None = None,
        **options: Any,
    ) -> Report:
        window = Selection(start.timestamp() if start else None, end.timestamp() if end else None)
        chosen = Options(selection=window, threads=2, **options)
        named = [Object(*(place.partition("/")[::2])) for place in places]
        sources = buckets.fetch(client, named, chosen, into, lambda _: None)
        return verify(sources, keys, signatures or Signatures(), chosen)

    return run


def told(report: Report) -> list[tuple[str, str]]:
    """With the objects' keys."""
    return [(finding.kind.value, finding.file.split("/", 3)[-1]) for finding in report.findings]


def noted(report: Report) -> list[str]:
    return [note.kind.value for note in report.notes]


# What is found in a directory is found in a bucket


def test_what_was_not_touched_is_valid(trail: Trail, check: Check, tmp_path: Path) -> None:
    report = check(trail.bucket.name)
    assert (report.findings, report.notes, report.copies_of) == ([], [], [])
    assert (report.digests.checked, report.digests.valid) == (5, 5)
    logs = sum(map(len, trail.chain.logs.values()))
    assert (report.logs.checked, report.logs.valid) == (logs, logs)
    newest = tmp_path / "fetched" / trail.bucket.name / f"{trail.chain.digests[-1]}.signature"
    assert newest.read_text() == trail.chain.signatures[trail.chain.digests[-1]]


@pytest.fixture(scope="module")
def tampered(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bucket, Stored]:
    bucket = Bucket(tmp_path_factory.mktemp("trail") / "bucket")
    return bucket, Stored(s3, "trail-logs", bucket.root)


@pytest.mark.parametrize("way", ways(), ids=lambda way: way.__name__)
def test_each_tampering_is_found_and_named(
    tampered: tuple[Bucket, Stored], check: Check, tmp_path: Path, way: Callable[[Tamperer], list[Expected]]
) -> None:
    bucket, stored = tampered
    for seed in range(SEEDS):
        chains = [chain.copy() for chain in bucket.chains]
        expected = way(Tamperer(bucket.root, chains, random.Random(f"{way.__name__} {seed}")))
        stored.copy(chains)
        # Nothing in the bucket shows that its newest digest was dropped.
        newest = {chain.digests[-1]: chain.signatures[chain.digests[-1]] for chain in bucket.chains}
        kept = Signatures(newest if way.__name__ in ("drop_digest", "move_digest") else {})
        report = check("trail-logs", into=tmp_path / str(seed), signatures=kept)
        bucket.restore()
        assert unexpected(report.findings, [_in_bucket(one) for one in expected]) == [], f"seed {seed}"


def _in_bucket(expected: Expected) -> Expected:
    """Only CloudTrail's folders are looked into: what was moved elsewhere is missing."""
    kinds, file, found = expected
    place = "s3://trail-logs/"
    if found and "/CloudTrail" not in found:
        kinds, found = frozenset(kind.replace("moved", "missing") for kind in kinds), ""
    return Expected(kinds, place + file, found and place + found)


def test_a_signature_that_was_taken_away(trail: Trail, check: Check) -> None:
    chain = trail.chain
    for digest in (chain.digests[1], chain.digests[-1]):
        trail.bucket.put(digest, chain.path(digest).read_bytes())
    report = check(trail.bucket.name)
    assert told(report) == [
        ("signature-missing", chain.digests[1]),
        ("signature-missing", chain.digests[-1]),
    ]
    assert "anyone may have written it" in report.findings[1].reason
    assert report.digests.valid == 4
    known = Signatures({chain.digests[1]: chain.signatures[chain.digests[1]], **_newest(chain)})
    assert told(check(trail.bucket.name, signatures=known, into=chain.root.parent / "again")) == []


def _newest(chain: Chain) -> dict[str, str]:
    return {chain.digests[-1]: chain.signatures[chain.digests[-1]]}


def test_an_object_beside_a_digest_is_no_signature(trail: Trail, check: Check) -> None:
    newest = trail.chain.digests[-1]
    trail.bucket.put(newest, trail.chain.path(newest).read_bytes())
    trail.bucket.put(newest + ".signature", trail.chain.signatures[newest].encode())
    assert told(check(trail.bucket.name)) == [("signature-missing", newest)]


# What is looked for


def test_only_cloudtrail_s_folders_are_fetched(trail: Trail, check: Check, tmp_path: Path) -> None:
    for key in (
        "readme.txt",
        f"{ABOVE}/elasticloadbalancing/us-east-1/2026/01/31/access.gz",
        f"{ABOVE}/CloudTrail-Merkle/us-east-1/tile/0/000",
        f"{ABOVE}/CloudTrail/",
        f"{ABOVE}/CloudTrail/us-east-1/",
        f"{ABOVE}/CloudTrail/US EAST/2026/01/31/x.json.gz",
        "AWSLogs/111122224444/vpcflowlogs/us-east-1/2026/01/31/flow.gz",
    ):
        trail.bucket.put(key, b"")
    assert told(check(trail.bucket.name)) == []
    files = [path for path in (tmp_path / "fetched").rglob("*") if path.is_file() and path.suffix != ".signature"]
    assert {path.relative_to(tmp_path / "fetched" / trail.bucket.name).parts[2] for path in files} == {
        *("CloudTrail", "CloudTrail-Digest", "CloudTrail-Insight")
    }
    assert len(files) == 5 + sum(map(len, trail.chain.logs.values()))


@pytest.mark.parametrize("prefix", ["team", "a/b", ACCOUNT, "..", "a//b", "", "x=y", "logs & %2E", "ä", "p" * 300])
def test_wherever_a_trail_s_prefix_leads(s3: Any, tmp_path: Path, check: Check, prefix: str) -> None:
    bucket = Stored(s3, f"prefix-{hashlib.sha256(prefix.encode()).hexdigest()[:20]}")
    chain = Unwritten(ACCOUNT, REGION, bucket=bucket.name, prefix=f"{prefix}/")
    chain.deliver(2)
    bucket.hold(chain)
    report = check(bucket.name)
    assert (told(report), noted(report), report.digests.valid) == ([], [], 2)
    s3.delete_object(Bucket=bucket.name, Key=chain.digests[0])
    (finding,) = check(bucket.name, into=tmp_path / "again").findings
    assert (finding.kind, finding.file) == ("digest-missing", f"s3://{bucket.name}/{chain.digests[0]}")
    assert {path.name for path in tmp_path.iterdir()} == {"fetched", "again"}


def test_a_part_of_a_bucket(trail: Trail, check: Check, tmp_path: Path) -> None:
    name = trail.bucket.name
    other = Unwritten("444455556666", REGION, bucket=name, prefix="team/")
    other.deliver(3)
    trail.bucket.hold(other)
    for number, (places, options, digests) in enumerate(
        [
            ((name,), {}, 8),
            ((f"{name}/AWSLogs",), {}, 5),
            ((f"{name}/{ABOVE}",), {}, 5),
            ((f"{name}/team",), {}, 3),
            ((f"{name}/team", name), {}, 8),
            ((name,), {"accounts": frozenset({"444455556666"})}, 3),
            ((name,), {"regions": frozenset({REGION})}, 8),
        ]
    ):
        report = check(*places, into=tmp_path / str(number), **options)
        assert (told(report), report.digests.valid) == ([], digests)
    assert told(check(f"{name}/elsewhere")) == [("no-digests", "")]


def test_an_organization_s_trail(s3: Any, check: Check, request: pytest.FixtureRequest) -> None:
    bucket = Stored(s3, bucket_name(request))
    for above, account in (
        ("AWSLogs/o-abc123/", ACCOUNT),
        ("AWSLogs/o-abc123/", "444455556666"),
        ("AWSLogs/", ACCOUNT),
    ):
        chain = Unwritten(account, REGION, bucket=bucket.name)
        chain._above = f"{above}{account}"
        chain.deliver(2)
        bucket.hold(chain)
    report = check(bucket.name)
    assert (told(report), report.digests.valid) == ([], 6)


def test_only_the_days_that_were_asked_for_are_fetched(
    s3: Any, check: Check, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bucket = Stored(s3, bucket_name(request))
    chain = Unwritten(ACCOUNT, REGION, bucket=bucket.name)
    for day in range(10):
        begin = START + timedelta(days=day)
        logs = [chain.deliver_log(begin + timedelta(hours=1))]
        if day == 5:  # a file that came late, and one that is not there
            logs += [chain.deliver_log(START + timedelta(minutes=1)), chain.deliver_log(START + timedelta(minutes=2))]
            del chain.contents[missing := logs[-1]["s3Object"]]
        chain.deliver_digest(begin, begin + timedelta(days=1), logs)
    bucket.hold(chain)
    window = {"start": START + timedelta(days=5, hours=1), "end": START + timedelta(days=5, hours=2)}
    report = check(bucket.name, **window)
    assert (told(report), noted(report)) == ([("log-missing", missing)], [])
    assert (report.digests.checked, report.logs.checked, report.logs.valid) == (1, 3, 2)
    days = {path.name for path in (tmp_path / "fetched").rglob("[0-9][0-9]") if path.parts[-4] == REGION}
    assert days == {"31", "03", "04", "05", "06", "07"}


@pytest.mark.parametrize(
    "key",
    ["2026", "2026/01", "..", "../../../../escaped", "%", "%/x", "2026/01/31", "x" * 300, "a//b", "\n", "ä.json.gz"],
)
def test_a_key_that_is_no_file_s_name(trail: Trail, check: Check, tmp_path: Path, key: str) -> None:
    for kind in ("CloudTrail", "CloudTrail-Digest"):
        trail.bucket.put(f"{ABOVE}/{kind}/{REGION}/{key}", b"content")
    assert told(check(trail.bucket.name)) == []
    assert {path.name for path in tmp_path.iterdir()} == {"delivered", "fetched"}


@pytest.mark.parametrize("folder", ["2026/01/31/below/", "../", "sub/2026/01/31/", ""])
def test_a_log_file_that_was_added_anywhere(trail: Trail, check: Check, folder: str) -> None:
    log = next(log for logs in trail.chain.logs.values() for log in logs if "/CloudTrail/" in log)
    key = f"{ABOVE}/CloudTrail/{REGION}/{folder}{log.rpartition('/')[2].replace('Z_', 'Z_0')}"
    trail.bucket.put(key, pack(b'{"Records":[]}'))
    assert told(check(trail.bucket.name)) == [("log-added", key)]


def test_names_that_a_file_system_takes_for_one(trail: Trail, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_as = layout.kept_as
    monkeypatch.setattr(layout, "kept_as", lambda key: kept_as(key).lower())
    log = trail.chain.logs[trail.chain.digests[0]][0]
    trail.bucket.put(log.replace("_us-east-1_", "_US-EAST-1_"), b"")
    with pytest.raises(CallFailed, match="does not keep its copy apart"):
        check(trail.bucket.name)


# What cannot be read


def test_what_its_writer_encrypted(trail: Trail, check: Check) -> None:
    """Who writes with a key of the caller's own (SSE-C) takes the object away from all others."""
    log, digest = trail.chain.logs[trail.chain.digests[0]][0], trail.chain.digests[2]
    for key in (log, digest):
        own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
        trail.bucket.put(key, trail.chain.path(key).read_bytes(), trail.chain.signatures.get(key, ""), **own)
    report = check(trail.bucket.name)
    assert sorted(told(report)) == [("digest-unreadable", digest), ("log-unreadable", log)]
    assert all(finding.reason.startswith("InvalidRequest: ") for finding in report.findings)


class Faulty:
    """The client, with something that happens to one object."""

    def __init__(self, client: Any, key: str, happens: Callable[[], Any]) -> None:
        self._client = client
        self._key = key
        self._happens = happens
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_object(self, **asked: Any) -> Any:
        if asked["Key"] == self._key:
            self.asked += 1
            changed = self._happens()
            if changed is not None:
                return self._client.get_object(**asked) | changed
        return self._client.get_object(**asked)


def fails(code: str) -> Callable[[], Any]:
    def happens() -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "so it is"}}, "GetObject")

    return happens


@pytest.mark.parametrize(
    ("code", "kind"), [("AccessDenied", "unreadable"), ("InternalError", "unreadable"), ("NoSuchKey", "missing")]
)
def test_an_object_that_is_refused(s3: Any, trail: Trail, check: Check, tmp_path: Path, code: str, kind: str) -> None:
    chain = trail.chain
    for number, key in enumerate((chain.logs[chain.digests[0]][0], chain.digests[1], chain.digests[4])):
        report = check(trail.bucket.name, client=Faulty(s3, key, fails(code)), into=tmp_path / str(number))
        what = "digest" if key in chain.digests else "log"
        if (key, kind) == (chain.digests[4], "missing"):
            assert told(report) == []  # as if it had never been there
        else:
            assert told(report) == [(f"{what}-{kind}", key)]
        if kind == "unreadable":
            assert report.findings[0].reason.startswith(f"{code}: so it is")


@pytest.mark.parametrize("code", ["ExpiredToken", "SlowDown", "NoSuchBucket"])
def test_an_answer_that_says_nothing_of_the_object(s3: Any, trail: Trail, check: Check, code: str) -> None:
    with pytest.raises(CallFailed, match=f"GetObject.: {code}: so it is"):
        check(trail.bucket.name, client=Faulty(s3, trail.chain.digests[1], fails(code)))


class _Broken:
    """A body that ends before its end."""

    def iter_chunks(self, _: int) -> Iterator[bytes]:
        yield b"\x1f\x8b"
        raise IncompleteReadError(actual_bytes=2, expected_bytes=200)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_body_that_breaks_off_is_asked_for_again(s3: Any, trail: Trail, check: Check, times: int) -> None:
    digest = trail.chain.digests[2]
    client = Faulty(s3, digest, lambda: {"Body": _Broken()} if client.asked <= times else None)
    report = check(trail.bucket.name, client=client)
    assert told(report) == ([("digest-unreadable", digest)] if times == 3 else [])
    assert client.asked == min(times + 1, 3)


def test_an_object_larger_than_any_log_file_is_not_fetched(
    trail: Trail, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_MOST_LOG_BYTES", 1 << 20)
    log = trail.chain.logs[trail.chain.digests[0]][0]
    trail.bucket.put(log, bytes((1 << 20) + 1))
    report = check(trail.bucket.name)
    assert told(report) == [("log-too-large", log)]
    assert "1048577 bytes" in report.findings[0].reason


# What cannot be asked


def test_a_bucket_that_is_not_there(check: Check) -> None:
    with pytest.raises(CallFailed, match=r"s3://nowhere/ \(ListObjectsV2\): NoSuchBucket: "):
        check("nowhere")


def test_a_bucket_of_countless_folders(trail: Trail, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        trail.bucket.put(f"{number}/readme.txt", b"")
    monkeypatch.setattr(buckets, "_MOST_FOLDERS", 10)
    with pytest.raises(CallFailed, match="more than 10 folders: name the one above AWSLogs"):
        check(trail.bucket.name)


def test_many_objects_are_listed_in_pages(s3: Any, trail: Trail, check: Check) -> None:
    class Paging:
        def __getattr__(self, name: str) -> Any:
            return getattr(s3, name)

        def list_objects_v2(self, **asked: Any) -> Any:
            return s3.list_objects_v2(**asked, MaxKeys=2)

    report = check(trail.bucket.name, client=Paging())
    assert (told(report), report.digests.valid) == ([], 5)
    assert report.logs.valid == sum(map(len, trail.chain.logs.values()))


def test_log_files_in_a_bucket_that_was_not_named(s3: Any, check: Check, tmp_path: Path, trail: Trail) -> None:
    """The trail was given this bucket an hour ago, or this prefix: its first digest names files of before."""
    chain = Chain(tmp_path / "next", ACCOUNT, REGION, bucket=trail.bucket.name, prefix="next/")
    before = [trail.chain.deliver_log(START + timedelta(hours=5, minutes=minutes)) for minutes in (5, 10)]
    before[1]["s3Bucket"] = "old-logs"
    digest = chain.deliver_digest(START + timedelta(hours=5), START + timedelta(hours=6), before)
    trail.bucket.put(digest, chain.path(digest).read_bytes(), chain.signatures[digest])
    report = check(f"{trail.bucket.name}/next")
    assert (told(report), noted(report)) == ([], ["elsewhere", "elsewhere"])
    report = check(trail.bucket.name, f"{trail.bucket.name}/next", into=tmp_path / "both")
    assert told(report) == [("log-missing", before[0]["s3Object"])]
    assert noted(report) == ["elsewhere"]
