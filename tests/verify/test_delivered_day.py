"""A day that a server delivered: valid to AWS's CLI and to ours, from its bucket, until somebody changes the bucket."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from awscli.clidriver import create_clidriver
from typer.testing import CliRunner

from skytrail.cli import app
from skytrail.testing import Server, Skytrail

from ..clients.aws_names import AwsNames
from ..clients.callers import Credentials, aws_cli_2
from ..clients.callers import environment as aws_environment
from .delivered import SigningKey, pack, signing_key, string_to_sign

ACCOUNTS = ("111122223333", "444455556666")
REGIONS = ("ap-south-1", "eu-west-1", "us-east-1")
STREAMS = [(account, region) for account in ACCOUNTS for region in REGIONS]
BUCKET = "trail-logs"
START = datetime(2026, 1, 31, 20, 1, 31, tzinfo=UTC)
HOURS = 24
_SERVICE = {"Service": "cloudtrail.amazonaws.com"}
_WRITES = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": _SERVICE,
            "Action": "s3:GetBucketAcl",
            "Resource": f"arn:aws:s3:::{BUCKET}",
        },
        {
            "Effect": "Allow",
            "Principal": _SERVICE,
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/AWSLogs/*",
            "Condition": _WRITES,
        },
    ],
}


@pytest.fixture(scope="module")
def day() -> Iterator[Skytrail]:
    """A trail of all Regions in each account, and a call an hour in each Region."""
    with Server(environment={"SKYTRAIL_TRAIL_DELIVERY_INTERVAL": "1800"}) as server:
        skytrail = Skytrail(server.endpoint, account=ACCOUNTS[0])
        skytrail.clock.freeze(START)
        s3 = skytrail.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(POLICY))
        for account in ACCOUNTS:
            cloudtrail = skytrail.client("cloudtrail", account=account)
            cloudtrail.create_trail(
                Name="audit", S3BucketName=BUCKET, IsMultiRegionTrail=True, EnableLogFileValidation=True
            )
            cloudtrail.start_logging(Name="audit")
        callers = [skytrail.client("sqs", account=account, region=region) for account, region in STREAMS]
        for _ in range(HOURS):
            for caller in callers:
                caller.list_queues()
            skytrail.clock.advance(3600)
        yield skytrail


class Bucket:
    """What somebody does who may write there."""

    def __init__(self, skytrail: Skytrail) -> None:
        self._s3 = skytrail.client("s3")
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        self._keys = [listed["Key"] for page in pages for listed in page["Contents"]]

    def of(self, kind: str, account: str, region: str) -> list[str]:
        return [key for key in self._keys if f"/{account}/{kind}/{region}/" in key]

    def read(self, key: str) -> tuple[bytes, dict[str, str]]:
        answer = self._s3.get_object(Bucket=BUCKET, Key=key)
        return answer["Body"].read(), answer["Metadata"]

    def write(self, key: str, content: bytes, metadata: dict[str, str] | None = None) -> None:
        kept = self.read(key)[1] if metadata is None else metadata
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=content, Metadata=kept)

    def drop(self, key: str) -> None:
        self._s3.delete_object(Bucket=BUCKET, Key=key)

    def move(self, key: str, to: str) -> None:
        self.write(to, *self.read(key))
        self.drop(key)

    def swap(self, one: str, other: str) -> None:
        a, b = self.read(one), self.read(other)
        self.write(one, *b)
        self.write(other, *a)

    def sign_anew(self, key: str, forger: SigningKey, **changed: Any) -> None:
        content, _ = self.read(key)
        digest = json.loads(gzip.decompress(content)) | {"digestPublicKeyFingerprint": forger.fingerprint} | changed
        new = json.dumps(digest).encode()
        signature = forger.sign(string_to_sign(digest, new))
        self.write(key, pack(new), {"signature": signature, "signature-algorithm": "SHA256withRSA"})


class Validated(NamedTuple):
    status: int
    out: str
    #: Kind and key of each file that is not valid.
    invalid: set[tuple[str, str]]


_LINE = re.compile(rf"(Digest|Log) file\ts3://{BUCKET}/(\S+)\tINVALID")


@pytest.fixture(autouse=True)
def environment(day: Skytrail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both commands find the server as AWS's tools do."""
    given = {
        "AWS_ACCESS_KEY_ID": ACCOUNTS[0],
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_ENDPOINT_URL": day.endpoint,
        "AWS_CONFIG_FILE": os.devnull,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)


def _command(account: str, region: str) -> list[str]:
    command = ["cloudtrail", "validate-logs", "--s3-bucket", BUCKET, "--region", region]
    command += ["--trail-arn", f"arn:aws:cloudtrail:us-east-1:{account}:trail/audit"]
    return [*command, "--start-time", "2026-01-31T20:00:00Z", "--end-time", "2026-02-01T20:02:00Z"]


def validate_logs(account: str, region: str) -> Validated:
    """With AWS's CLI, in this process; a new one, since it counts on from what it checked before."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = create_clidriver().main(_command(account, region))
    return Validated(status, out.getvalue(), set(_LINE.findall(errors.getvalue())))


Validate = Callable[[str, str], Validated]


@pytest.fixture(scope="module")
def validate_logs_2(day: Skytrail, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Validate]:
    """With version 2, which goes to S3 by AWS's own names."""
    port = int(day.endpoint.rsplit(":", 1)[1])
    with AwsNames(port, tmp_path_factory.mktemp("names")) as names:
        environment = aws_environment(day.endpoint, Credentials(ACCOUNTS[0])) | names.environment

        def validate(account: str, region: str) -> Validated:
            command = [aws_cli_2(), *_command(account, region)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            return Validated(done.returncode, done.stdout, set(_LINE.findall(done.stderr)))

        yield validate


def verify() -> tuple[int, dict[str, Any]]:
    """The keys come from the server, as AWS's CLI gets them."""
    result = CliRunner().invoke(app, ["verify", f"s3://{BUCKET}", "--strict", "-o", "json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize("stream", STREAMS, ids="-".join)
def test_a_day_is_valid_to_version_2(stream: tuple[str, str], validate_logs_2: Validate) -> None:
    validated = validate_logs_2(*stream)
    assert (validated.status, validated.invalid) == (0, set()), validated
    assert f"{HOURS}/{HOURS} digest files valid" in validated.out


def test_a_day_is_valid() -> None:
    status, report = verify()
    assert (status, report["findings"], report["notes"]) == (0, [], [])
    assert report["digests"] == {"checked": HOURS * len(STREAMS), "valid": HOURS * len(STREAMS)}
    assert report["logs"]["valid"] == report["logs"]["checked"] >= HOURS * len(STREAMS)
    assert report["covered"] == {"from": "2026-01-31T20:01:31Z", "to": "2026-02-01T20:01:31Z"}
    for stream in STREAMS:
        validated = validate_logs(*stream)
        assert (validated.status, validated.invalid) == (0, set())
        assert f"{HOURS}/{HOURS} digest files valid" in validated.out


class Done(NamedTuple):
    """To each stream: what ours is to find, and what AWS's CLI."""

    findings: list[set[tuple[str, str]]]
    invalid: list[set[tuple[str, str]]]
    #: What AWS's CLI does not look for in all versions: a second member of a log file's gzip.
    appended: set[tuple[str, str]]


@pytest.fixture(scope="module")
def done(day: Skytrail) -> Done:
    """For the last ones: it leaves the bucket as it is then."""
    bucket = Bucket(day)
    logs = [bucket.of("CloudTrail", *stream) for stream in STREAMS]
    digests = [bucket.of("CloudTrail-Digest", *stream) for stream in STREAMS]
    expected: list[set[tuple[str, str]]] = []
    invalid: list[set[tuple[str, str]]] = []

    # A byte of a log file; and its end.
    flipped, cut = logs[0][3], logs[0][7]
    content, _ = bucket.read(flipped)
    middle = len(content) // 2
    bucket.write(flipped, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    bucket.write(cut, bucket.read(cut)[0][:-100])
    expected.append({("log-changed", flipped), ("log-truncated", cut)})
    invalid.append({("Log", flipped), ("Log", cut)})

    # A log file is gone, another one has a second member.
    dropped, longer = logs[1][2], logs[1][5]
    bucket.drop(dropped)
    bucket.write(longer, bucket.read(longer)[0] + pack(b'{"Records":[]}'))
    expected.append({("log-missing", dropped), ("log-appended", longer)})
    invalid.append({("Log", dropped), ("Log", longer)})

    # A digest is gone.
    bucket.drop(digests[2][9])
    expected.append({("digest-missing", digests[2][9])})
    invalid.append({("Digest", digests[2][9])})

    # Two log files change places; one moves, one is added: nothing leads the CLI to the latter.
    bucket.swap(logs[3][0], logs[3][1])
    moved, added = logs[3][4], logs[3][6].replace("Z_", "Z_0")
    bucket.move(moved, moved.replace("Z_", "Z_moved"))
    bucket.write(added, pack(b'{"Records":[]}'), {})
    expected.append(
        {("log-swapped", logs[3][0]), ("log-swapped", logs[3][1]), ("log-moved", moved), ("log-added", added)}
    )
    invalid.append({("Log", logs[3][0]), ("Log", logs[3][1]), ("Log", moved)})

    # The newest digest is signed anew, with a key of the writer's own; an older one is emptied, its signature kept.
    bucket.sign_anew(digests[4][-1], signing_key("forger"), logFiles=[])
    emptied = json.loads(gzip.decompress(bucket.read(digests[4][11])[0])) | {"logFiles": []}
    bucket.write(digests[4][11], pack(json.dumps(emptied).encode()))
    expected.append({("digest-unknown-key", digests[4][-1]), ("digest-changed", digests[4][11])})
    invalid.append({("Digest", digests[4][-1]), ("Digest", digests[4][11])})

    # Two digests change places; another one moves.
    bucket.swap(digests[5][3], digests[5][4])
    bucket.move(digests[5][15], digests[5][15].replace("0131Z.json", "0132Z.json"))
    expected.append({("digest-swapped", digests[5][3]), ("digest-swapped", digests[5][4])})
    expected[-1].add(("digest-moved", digests[5][15]))
    invalid.append({("Digest", digests[5][3]), ("Digest", digests[5][4])})

    return Done(expected, invalid, {("Log", longer)})


def test_what_was_done_to_it_is_found(done: Done) -> None:
    status, report = verify()
    told = {(finding["kind"], finding["file"].removeprefix(f"s3://{BUCKET}/")) for finding in report["findings"]}
    assert (status, told ^ set.union(*done.findings)) == (1, set())
    for stream, wrong in zip(STREAMS, done.invalid, strict=True):
        validated = validate_logs(*stream)
        assert validated.status == 1
        assert wrong <= validated.invalid


@pytest.mark.parametrize("number", range(len(STREAMS)))
def test_what_was_done_to_it_is_found_by_version_2(number: int, done: Done, validate_logs_2: Validate) -> None:
    validated = validate_logs_2(*STREAMS[number])
    assert validated.status == 1
    assert done.invalid[number] - done.appended <= validated.invalid
