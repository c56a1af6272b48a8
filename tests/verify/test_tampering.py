"""Every tampering is found, and named rightly; what AWS's own CLI finds is found too."""

from __future__ import annotations

import contextlib
import os
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skytrail.verify import Finding, Keys, Options, Report, Signatures, Source, verify

from .aws_cli import Said, validate_logs
from .delivered import ACCOUNTS, Chain, deliver
from .tampering import Expected, Tamperer, ways

HOURS = 4
SEEDS_OF_EACH = 42
#: The CLI takes longer, so it looks at some of them only.
SEEDS_FOR_THE_CLI = 1

#: What the CLI says of a file, and what we may call it.
AS_THE_CLI_SAYS = {
    ("Log", "hash value doesn't match"): {"log-changed", "log-swapped", "log-truncated"},
    ("Log", "not found"): {"log-missing", "log-moved"},
    ("Log", "invalid format"): {"log-changed", "log-not-gzip", "log-truncated"},
    ("Log", "unexpected data after end of compressed stream"): {"log-appended"},
    ("Digest", "signature verification failed"): {"digest-changed", "digest-forged", "digest-added"},
    ("Digest", "has been moved from its original location"): {
        *("digest-moved", "digest-swapped", "digest-added", "digest-changed"),
    },
    ("Digest", "not found"): {"digest-missing", "digest-moved"},
    ("Digest", "invalid format"): {"digest-changed", "digest-truncated", "digest-not-gzip", "digest-malformed"},
    ("Digest", "public key not found in region"): {"digest-unknown-key"},
}


class Bucket:
    """What was delivered, made good again after each tampering."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.chains = deliver(root, accounts=ACCOUNTS[:1], hours=HOURS)
        self._contents = {path: Path(path).read_bytes() for path in self._paths()}
        self._inodes = {path: self._age(path) for path in self._contents}

    def _paths(self) -> list[str]:
        return [os.path.join(parent, name) for parent, _, names in os.walk(self.root) for name in names]

    def _age(self, path: str) -> int:
        """Whatever is written afterwards is younger."""
        os.utime(path, (0, 0))
        return os.stat(path).st_ino

    def restore(self) -> None:
        paths = self._paths()
        statuses = {path: os.stat(path) for path in paths}
        for path in statuses.keys() - self._contents.keys():
            os.unlink(path)
        for path, content in self._contents.items():
            status = statuses.get(path)
            if status is None or (status.st_ino, status.st_mtime) != (self._inodes[path], 0):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_bytes(content)
                self._inodes[path] = self._age(path)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    return Bucket(tmp_path_factory.mktemp("trail") / "bucket")


@pytest.fixture
def bucket(delivered: Bucket) -> Iterator[Bucket]:
    yield delivered
    delivered.restore()


def tamper(bucket: Bucket, way: Callable[[Tamperer], list[Expected]], seed: int) -> tuple[list[Expected], list[Chain]]:
    chains = [chain.copy() for chain in bucket.chains]
    return way(Tamperer(bucket.root, chains, random.Random(f"{way.__name__} {seed}"))), chains


def check(bucket: Bucket, keys: Keys) -> Report:
    return verify([Source(bucket.root)], keys, Signatures(), Options(threads=1))


def unexpected(findings: list[Finding], expected: list[Expected]) -> list[object]:
    """Those that are not as expected, both ways."""
    left: list[object] = []
    open_ = list(expected)
    for finding in findings:
        for one in open_:
            if finding.kind in one.kinds and (finding.file, finding.found) == (one.file, one.found):
                open_.remove(one)
                break
        else:
            left.append(finding)
    return left + list(open_)


def test_what_was_not_touched_is_valid(bucket: Bucket, keys: Keys) -> None:
    report = check(bucket, keys)
    assert (report.findings, report.notes) == ([], [])
    assert (report.digests.checked, report.digests.valid) == (2 * HOURS, 2 * HOURS)
    assert report.logs.checked == report.logs.valid > 6


@pytest.mark.parametrize("way", ways(), ids=lambda way: way.__name__)
def test_each_tampering_is_found_and_named(
    bucket: Bucket, keys: Keys, way: Callable[[Tamperer], list[Expected]]
) -> None:
    for seed in range(SEEDS_OF_EACH):
        expected, _ = tamper(bucket, way, seed)
        report = check(bucket, keys)
        assert unexpected(report.findings, expected) == [], f"seed {seed}"
        bucket.restore()


def test_many_tamperings_at_once_are_no_success(bucket: Bucket, keys: Keys) -> None:
    for seed in range(60):
        draw = random.Random(seed)
        chains = [chain.copy() for chain in bucket.chains]
        for _ in range(draw.randint(2, 5)):
            with contextlib.suppress(OSError, EOFError, ValueError, zlib.error):  # what it wants is not there any more
                draw.choice(ways())(Tamperer(bucket.root, chains, draw))
        report = check(bucket, keys)
        assert report.findings, f"seed {seed}"
        bucket.restore()


def test_a_thousand_tamperings_are_made() -> None:
    assert len(ways()) * SEEDS_OF_EACH >= 1000


@pytest.mark.parametrize("way", ways(), ids=lambda way: way.__name__)
def test_what_the_aws_cli_finds_is_found(bucket: Bucket, keys: Keys, way: Callable[[Tamperer], list[Expected]]) -> None:
    for seed in range(1000, 1000 + SEEDS_FOR_THE_CLI):
        _, chains = tamper(bucket, way, seed)
        findings = check(bucket, keys).findings
        for chain in chains:
            said, _ = validate_logs(chain, hours=HOURS)
            assert [one for one in said if not agrees(one, findings)] == [], f"seed {seed}"
        bucket.restore()


def agrees(said: Said, findings: list[Finding]) -> bool:
    (kinds,) = [
        kinds
        for (kind, reason), kinds in AS_THE_CLI_SAYS.items()
        if (kind, reason) == (said.kind, said.reason[: len(reason)])
    ]
    where = said.object.removeprefix("s3://trail-logs/")
    return any(finding.kind in kinds and where in (finding.file, finding.found) for finding in findings)


def test_the_aws_cli_finds_what_was_not_touched_valid(bucket: Bucket) -> None:
    for chain in bucket.chains:
        said, summary = validate_logs(chain, hours=HOURS)
        assert said == []
        assert f"{HOURS}/{HOURS} digest files valid" in summary
