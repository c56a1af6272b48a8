"""How fast a trail's files are checked: uncompressed log a second, of one core and of all.

The files are of generated records; the digest that names them is written by hand. What is measured runs in a process of
its own, so that another revision can be.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from skytrail.verify import Options, Signatures, Source, verify

from . import records
from .harness import Figure

ACCOUNT, REGION, BUCKET = "111122223333", "us-east-1", "trail-logs"
END = datetime(2026, 1, 31, 12, tzinfo=UTC)
SIZES = {"files of 5 MB": 5_000_000, "files of 200 KB": 200_000}
_SET_BYTES = 200_000_000
#: Different contents; more files of a set are copies of them.
_CONTENTS = 16


def checking(runs: int, seconds: float, source: Path | None) -> list[Figure]:
    """`skytrail verify` over log files of two sizes."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="skytrail-bench-") as folder:
        for name, size in SIZES.items():
            root = Path(folder) / str(size)
            deliver(root, size, _SET_BYTES // size)
            one = Figure(f"verify, {name}, a second of a core", "MB", "more", 300)
            every = Figure(f"verify, {name}, a second of all cores", "MB", "more")
            for _ in range(runs):
                one.runs.append(_measure(root, 1, seconds, source)["core"])
                every.runs.append(_measure(root, os.cpu_count() or 1, seconds, source)["wall"])
            figures += [one, every]
    return figures


def _measure(root: Path, threads: int, seconds: float, source: Path | None) -> dict[str, float]:
    environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
    command = [sys.executable, "-m", "bench.verify", str(root), "--threads", str(threads), "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


def deliver(root: Path, size: int, count: int) -> None:
    """`count` log files of about `size` bytes, and the digest that names them."""
    folder = f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/{END:%Y/%m/%d}"
    (root / folder).mkdir(parents=True)
    contents = [_content(size, seed) for seed in range(min(_CONTENTS, count))]
    packed = [gzip.compress(content, 6) for content in contents]
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    listed = []
    for number in range(count):
        at = END - timedelta(minutes=number % 59 + 1)
        key = f"{folder}/{ACCOUNT}_CloudTrail_{REGION}_{at:%Y%m%dT%H%MZ}_{number:016d}.json.gz"
        (root / key).write_bytes(packed[number % len(packed)])
        hashed = {"hashValue": hashes[number % len(hashes)], "hashAlgorithm": "SHA-256"}
        listed.append({"s3Bucket": BUCKET, "s3Object": key, **hashed})
    _write_digest(root, listed)


def _content(size: int, seed: int) -> bytes:
    made = [records.record(seed * 100_000 + number, 1 << 30, END.timestamp(), 3600) for number in range(2000)]
    draw = random.Random(seed)
    taken: list[bytes] = []
    length = 0
    while length < size:
        taken.append(draw.choice(made))
        length += len(taken[-1]) + 1
    return b'{"Records":[' + b",".join(taken) + b"]}"


def _write_digest(root: Path, listed: list[dict[str, str]]) -> None:
    name = f"{ACCOUNT}_CloudTrail-Digest_{REGION}_audit_{REGION}_{END:%Y%m%dT%H%M%SZ}.json.gz"
    key = f"AWSLogs/{ACCOUNT}/CloudTrail-Digest/{REGION}/{END:%Y/%m/%d}/{name}"
    digest = {
        "digestStartTime": f"{END - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        "digestEndTime": f"{END:%Y-%m-%dT%H:%M:%SZ}",
        "digestS3Bucket": BUCKET,
        "digestS3Object": key,
        "digestPublicKeyFingerprint": "none",
        "previousDigestSignature": None,
        "logFiles": listed,
    }
    (root / key).parent.mkdir(parents=True)
    (root / key).write_bytes(gzip.compress(json.dumps(digest).encode()))


def rates(root: Path, threads: int, seconds: float) -> dict[str, float]:
    """MB of uncompressed log a second, over whole checks: of the processors' time, and of the clock's."""
    inflated = 0
    begun, begun_core = time.perf_counter(), time.process_time()
    while not inflated or time.perf_counter() - begun < seconds:
        report = verify([Source(root)], None, Signatures(), Options(threads=threads))
        if report.findings or not report.logs.valid:
            raise RuntimeError(f"what was made is not valid: {report.findings[:3]}")
        inflated += report.inflated_bytes
    wall, core = time.perf_counter() - begun, time.process_time() - begun_core
    return {"wall": inflated / wall / 1e6, "core": inflated / core / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    print(json.dumps(rates(arguments.root, arguments.threads, arguments.seconds)))


if __name__ == "__main__":
    main()
